//! Other processes as `/proc` shows them: who lives, who started whom, with which arguments.
//!
//! Every read is bounded. Nothing here signals, and of a process's environment one value is kept,
//! never the rest. A process may end between two reads: "gone" is an answer, not an error. Whatever
//! else keeps us from looking is an error, for out of descriptors everybody would look gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::Errno;

use crate::clock;
use crate::ids::ProcessRef;

/// `stat` up to its 22nd field; the kernel's own name for a process is at most 64 bytes.
const STAT_BYTES_MAX: usize = 1024;
/// Arguments longer than this count as unreadable; a prompt fits, a file as an argument need not.
const ARGS_BYTES_MAX: u64 = 256 * 1024;
/// The kernel's limit for arguments and environment together is 6 MiB.
const ENVIRON_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// One thread's list of children: eleven bytes each.
const CHILDREN_BYTES_MAX: u64 = 1024 * 1024;
/// `USER_HZ`: 100 on every architecture that Claude Code exists for.
const TICKS_PER_S: u64 = 100;
/// Nearly every list is shorter than half of this, and then known after one read.
const FIRST_READ_BYTES: usize = 4096;
/// What the kernel adds to a link whose target was removed.
const REMOVED_MARK: &[u8] = b" (deleted)";

/// The part of `/proc/<pid>/stat` that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Ended, but not yet collected by its parent.
    pub ended: bool,
    /// 0 for the first process and for kernel threads.
    pub parent: i32,
    /// Clock ticks since boot.
    pub started_ticks: u64,
    /// Processor time of its own.
    pub used: Duration,
    /// Processor time of what it started and has collected, with all that those had collected.
    pub used_by_collected: Duration,
}

/// `None` when there is no such process.
///
/// # Errors
/// It cannot be looked at, and may live: here and wherever else a result is given.
pub fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let mut line = [0; STAT_BYTES_MAX];
    // INVARIANT: one read is enough, procfs gives a file this small whole.
    let read = File::open(&path).and_then(|mut file| file.read(&mut line));
    let Some(length) = unless_gone(read).map_err(|error| named(&path, &error))? else {
        return Ok(None);
    };
    let unreadable = || io::Error::new(ErrorKind::InvalidData, format!("cannot read {path}"));
    parse_stat(&line[..length]).map(Some).ok_or_else(unreadable)
}

/// `None` for what a process that has ended answers with, and for no other failure.
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::SRCH) => Ok(None),
            _ => Err(error),
        },
    }
}

/// `None`, too, where a mount option (`hidepid`) hides other users' processes: whoever looks for one
/// of ours has not found it there.
pub fn unless_hidden<T>(read: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
        read => read,
    }
}

/// `None` for what is gone, or not ours to read.
pub fn readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    unless_hidden(unless_gone(read))
}

/// The path, which the system's own words lack. The kind stays.
fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// The start time of whatever has this pid now, ended or not.
pub fn started_ticks(pid: i32) -> io::Result<Option<u64>> {
    Ok(stat(pid)?.map(|stat| stat.started_ticks))
}

/// The living process that has this pid now.
pub fn identity(pid: i32) -> io::Result<Option<ProcessRef>> {
    let stat = stat(pid)?.filter(|stat| !stat.ended);
    Ok(stat.map(|stat| ProcessRef { pid, started_ticks: stat.started_ticks }))
}

/// False for a zombie and for a later process with the same pid.
pub fn is_alive(process: ProcessRef) -> io::Result<bool> {
    Ok(identity(process.pid)? == Some(process))
}

/// `None` for the first process, and when there is no such process.
pub fn parent(pid: i32) -> io::Result<Option<i32>> {
    Ok(stat(pid)?.map(|stat| stat.parent).filter(|&pid| pid > 0))
}

/// How long ago something happened that the kernel dated `ticks` after boot.
pub fn age(ticks: u64) -> Duration {
    clock::uptime().saturating_sub(after_boot(ticks))
}

/// From boot to what the kernel dated `ticks`; up to 10 ms too short.
pub fn after_boot(ticks: u64) -> Duration {
    duration(ticks)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1000) / TICKS_PER_S)
}

/// Every process there is, at most the kernel's number of pids.
pub fn all() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs_err::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// The processes that `pid` started and that still have it as parent.
///
/// The kernel may leave out some while others end at the same time: look again before you conclude
/// that there are none.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    Offspring::default().of(pid)
}

/// Everything below `pid`, parents before children, at most `count_max`; never `pid` itself. What a
/// hidden process has started is passed over.
pub fn descendants(pid: i32, count_max: usize) -> io::Result<Vec<i32>> {
    let mut offspring = Offspring::default();
    let mut found = Vec::new();
    // A pid that is reused during the walk could lead in a circle.
    let mut met = HashSet::from([pid]);
    let mut parents = VecDeque::from([pid]);
    while let Some(parent) = parents.pop_front() {
        let children = unless_hidden(offspring.of(parent).map(Some))?;
        for child in children.into_iter().flatten() {
            if found.len() == count_max {
                return Ok(found);
            }
            if met.insert(child) {
                found.push(child);
                parents.push_back(child);
            }
        }
    }
    Ok(found)
}

/// Children of several processes in one look; on a kernel without `task/*/children` the process
/// table is read once for all of them.
#[derive(Debug, Default)]
pub struct Offspring {
    scanned: Option<HashMap<i32, Vec<i32>>>,
}

impl Offspring {
    pub fn of(&mut self, pid: i32) -> io::Result<Vec<i32>> {
        if kernel_lists_children() {
            return listed_children(pid);
        }
        let scanned = match self.scanned.take() {
            Some(scanned) => scanned,
            None => scan_children()?,
        };
        let children = scanned.get(&pid).cloned().unwrap_or_default();
        self.scanned = Some(scanned);
        Ok(children)
    }
}

/// The name it gave itself, of at most 15 bytes; else that of its file.
pub fn name(pid: i32) -> io::Result<Option<Vec<u8>>> {
    let path = format!("/proc/{pid}/comm");
    let read = unless_gone(std::fs::read(&path)).map_err(|error| named(&path, &error))?;
    Ok(read.map(|name| name.strip_suffix(b"\n").unwrap_or(&name).to_vec()))
}

/// `None` when there is none to read, when it is too long, and when it is not UTF-8.
pub fn args(pid: i32) -> io::Result<Option<Vec<String>>> {
    let path = format!("/proc/{pid}/cmdline");
    let read = match read_bounded(&path, ARGS_BYTES_MAX) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => return Ok(None),
        read => unless_gone(read).map_err(|error| named(&path, &error))?,
    };
    Ok(read.and_then(|text| words(&text)))
}

fn words(text: &[u8]) -> Option<Vec<String>> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    text.split(|&byte| byte == 0)
        .map(|arg| std::str::from_utf8(arg).ok().map(str::to_owned))
        .collect()
}

/// One value of the environment the process was started with; `None` = it is not set.
///
/// # Errors
/// The environment cannot be read: the process is gone, is another user's, or was sealed.
pub fn env_value(pid: i32, name: &str) -> io::Result<Option<OsString>> {
    let environ = File::open(format!("/proc/{pid}/environ"))?.take(ENVIRON_BYTES_MAX);
    let mut environ = BufReader::new(environ);
    let mut entry = Vec::new();
    loop {
        entry.clear();
        if environ.read_until(0, &mut entry)? == 0 {
            return Ok(None);
        }
        let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value {
            let value = value.strip_suffix(b"\0").unwrap_or(value);
            return Ok(Some(OsStr::from_bytes(value).to_owned()));
        }
    }
}

/// Its working directory; where it was, when it has been removed.
pub fn cwd(pid: i32) -> Option<PathBuf> {
    link(pid, "cwd")
}

/// The file it was started from; where it was, when an update has replaced it.
pub fn exe(pid: i32) -> Option<PathBuf> {
    link(pid, "exe")
}

fn link(pid: i32, name: &str) -> Option<PathBuf> {
    let target = std::fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    let mut bytes = target.into_os_string().into_vec();
    if bytes.ends_with(REMOVED_MARK) && !Path::new(OsStr::from_bytes(&bytes)).exists() {
        bytes.truncate(bytes.len() - REMOVED_MARK.len());
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

/// The name in the second field may hold spaces and parentheses, so fields count from the last ')'.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let line = std::str::from_utf8(&line[line.iter().rposition(|&byte| byte == b')')? + 1..]);
    let mut fields = line.ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let mut fields = fields.skip(9);
    let mut both = || {
        let ticks: [i64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
        // Those of collected processes are signed.
        Some(duration(ticks.iter().filter_map(|ticks| u64::try_from(*ticks).ok()).sum()))
    };
    let (used, used_by_collected) = (both()?, both()?);
    let started_ticks = fields.nth(4)?.parse().ok()?;
    let ended = matches!(state, "Z" | "X" | "x");
    Some(Stat { ended, parent, started_ticks, used, used_by_collected })
}

/// `CONFIG_PROC_CHILDREN`, which every distribution sets and a home-made kernel may not.
fn kernel_lists_children() -> bool {
    static LISTED: OnceLock<bool> = OnceLock::new();
    *LISTED.get_or_init(|| Path::new("/proc/thread-self/children").exists())
}

/// INVARIANT: a list that cannot be opened is no empty list. Where one descriptor is left, the
/// directory has it.
fn listed_children(pid: i32) -> io::Result<Vec<i32>> {
    let dir = format!("/proc/{pid}/task");
    let failed = |error: io::Error| named(&dir, &error);
    let Some(tasks) = unless_gone(std::fs::read_dir(&dir)).map_err(failed)? else {
        return Ok(Vec::new());
    };
    let mut children = Vec::new();
    for task in tasks {
        let Some(task) = unless_gone(task).map_err(failed)? else { break };
        let read = read_bounded(task.path().join("children"), CHILDREN_BYTES_MAX);
        let Some(text) = unless_gone(read).map_err(failed)? else { continue };
        let text = String::from_utf8_lossy(&text);
        children.extend(text.split_ascii_whitespace().flat_map(str::parse::<i32>));
    }
    Ok(children)
}

fn scan_children() -> io::Result<HashMap<i32, Vec<i32>>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in all()? {
        if let Some(stat) = unless_hidden(stat(pid))? {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    Ok(children)
}

/// The whole file, or an error when it is longer than `bytes_max`.
fn read_bounded(path: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut first = [0; FIRST_READ_BYTES];
    let length = file.read(&mut first)?;
    let mut text = first[..length].to_vec();
    // procfs fills what it is given up to a record that no longer fits: with so much room left it
    // has given all.
    if length > FIRST_READ_BYTES / 2 {
        file.take(bytes_max + 1 - length as u64).read_to_end(&mut text)?;
    }
    if text.len() as u64 > bytes_max {
        let why = format!("longer than {bytes_max} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test starts processes")]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process of this test alone, ended and collected when dropped.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(command: &mut Command) -> Self {
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            Self(child.spawn().unwrap())
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }

        /// Waits for the first line, which the process prints when all of it is up.
        fn line(&mut self) -> String {
            let mut line = String::new();
            BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn fields_count_from_the_last_parenthesis_of_the_name() {
        let rest = "1 1 0 -1 4194560 1 2 3 4 150 6 200 8 20 0 1 0 65813 2469888 0";
        for (name, state, ended) in [
            ("(claude)", "S", false),
            ("(a) Z 9 (b c)", "S", false),
            ("(()", "R", false),
            ("(sh)", "Z", true),
            ("(sh)", "X", true),
        ] {
            let line = format!("42 {name} {state} 7 {rest}");
            let stat = parse_stat(line.as_bytes()).unwrap();
            let expected = Stat {
                ended,
                parent: 7,
                started_ticks: 65_813,
                used: Duration::from_millis(1_560),
                used_by_collected: Duration::from_millis(2_080),
            };
            assert_eq!(stat, expected, "{line}");
        }
        for line in ["", "42 (sh", "42 (sh) S 7", "42 (sh) S x 1 1"] {
            assert_eq!(parse_stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_zombie_is_dead_but_still_has_a_start_time() {
        let mut child = Sleeper::start(&mut Command::new("cat"));
        let process = identity(child.pid()).unwrap().unwrap();
        assert!(is_alive(process).unwrap());
        let later = ProcessRef { started_ticks: process.started_ticks + 1, ..process };
        assert!(!is_alive(later).unwrap());
        child.0.kill().unwrap();
        let gone = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = rustix::process::Pid::from_raw(process.pid).unwrap();
        rustix::process::waitid(rustix::process::WaitId::Pid(id), gone).unwrap();
        assert!(!is_alive(process).unwrap());
        assert_eq!(started_ticks(process.pid).unwrap(), Some(process.started_ticks));
        assert_eq!(identity(process.pid).unwrap(), None);
    }

    #[test]
    fn children_and_descendants_are_found_with_and_without_the_kernels_lists() {
        let script = "exec 3<&0; sh -c 'cat <&3 & echo up; wait' & wait";
        let mut top = Sleeper::start(Command::new("sh").args(["-c", script]));
        assert_eq!(top.line(), "up");
        let shells = children(top.pid()).unwrap();
        assert_eq!(shells.len(), 1, "{shells:?}");
        let cats = children(shells[0]).unwrap();
        assert_eq!(cats.len(), 1, "{cats:?}");
        assert_eq!(descendants(top.pid(), 9).unwrap(), [shells[0], cats[0]]);
        assert_eq!(descendants(top.pid(), 1).unwrap(), [shells[0]]);
        assert_eq!(parent(cats[0]).unwrap(), Some(shells[0]));
        assert_eq!(parent(shells[0]).unwrap(), Some(top.pid()));
        let scanned = scan_children().unwrap();
        assert_eq!(scanned[&top.pid()], shells);
        assert_eq!(scanned[&shells[0]], cats);
    }

    #[test]
    fn arguments_environment_and_links_of_a_process_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Sleeper::start(
            Command::new("bash")
                .args(["-c", "echo up; read line", "", "two words", "é"])
                .current_dir(dir.path())
                .env_clear()
                .env("AB", "wrong")
                .env("A", "x=y")
                .env("EMPTY", ""),
        );
        assert_eq!(child.line(), "up");
        let pid = child.pid();
        let args = args(pid).unwrap().unwrap();
        assert_eq!(args, ["bash", "-c", "echo up; read line", "", "two words", "é"]);
        assert_eq!(env_value(pid, "A").unwrap(), Some("x=y".into()));
        assert_eq!(env_value(pid, "EMPTY").unwrap(), Some("".into()));
        assert_eq!(env_value(pid, "B").unwrap(), None);
        assert_eq!(exe(pid).unwrap().file_name().unwrap(), "bash");
        let at = dir.path().canonicalize().unwrap();
        assert_eq!(cwd(pid), Some(at.clone()));
        drop(dir);
        assert_eq!(cwd(pid), Some(at), "removed under its feet");
        drop(child);
        assert!(env_value(pid, "A").is_err());
        assert_eq!(super::args(pid).unwrap(), None);
        assert_eq!(stat(pid).unwrap(), None);
    }

    #[test]
    fn a_process_is_as_old_as_the_kernel_says() {
        let child = Sleeper::start(&mut Command::new("cat"));
        let age = age(started_ticks(child.pid()).unwrap().unwrap());
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
}
