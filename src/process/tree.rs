//! One look at all processes of the host: who is whose child, in which group, in what state.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;

use crate::ids::ProcessRef;

/// What `/proc/<pid>/stat` says of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub process: ProcessRef,
    pub name: String,
    /// One letter, as proc(5) lists them.
    pub state: char,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub threads: u32,
}

impl Row {
    /// Ended, and at most waiting for its parent to notice. A first thread that ended before the
    /// others shows as a zombie too, and its process lives.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// All processes we may see, by pid. One that ends meanwhile may or may not be there.
pub fn scan() -> io::Result<BTreeMap<i32, Row>> {
    let mut rows = BTreeMap::new();
    for entry in fs_err::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(row) = read(pid)? {
            rows.insert(pid, row);
        }
    }
    Ok(rows)
}

/// `None` when there is no such process, or when it is hidden from us. Any other failure is an
/// error: out of file descriptors, everybody would look dead.
pub fn read(pid: i32) -> io::Result<Option<Row>> {
    let path = format!("/proc/{pid}/stat");
    // A name may be cut inside a character, so this is bytes.
    let stat = match std::fs::read(&path) {
        Ok(stat) => stat,
        Err(error) => {
            let hidden = error.kind() == io::ErrorKind::PermissionDenied;
            return match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH) => Ok(None),
                _ if hidden => Ok(None),
                _ => Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
            };
        }
    };
    parse(pid, &String::from_utf8_lossy(&stat))
        .map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {path}")))
}

fn parse(pid: i32, stat: &str) -> Option<Row> {
    // The name is in parentheses and may hold anything, parentheses too.
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    Some(Row {
        process: ProcessRef { pid, started_ticks: fields.get(19)?.parse().ok()? },
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_one_field() {
        let stat = "77 (a) S (b) Z 5 6 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 888 0 0";
        let row = parse(77, stat).unwrap();
        assert_eq!(row.name, "a) S (b");
        assert_eq!((row.state, row.parent, row.group, row.session, row.threads), ('Z', 5, 6, 7, 3));
        assert_eq!(row.process.started_ticks, 888);
        assert!(!row.is_gone(), "three threads live on");
        assert!(Row { threads: 1, ..row }.is_gone());
    }

    #[test]
    fn we_are_among_all_processes() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(scan().unwrap()[&own].process, read(own).unwrap().unwrap().process);
    }
}
