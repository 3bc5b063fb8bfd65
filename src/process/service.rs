//! What started another process, and where its standard error goes.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::process::table;

/// Of a process that runs as a service of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    System(String),
    User(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stderr {
    /// The journal of systemd.
    Journal,
    /// As `/proc` names it: a file, a terminal, a pipe.
    Other(PathBuf),
    /// It is gone, or another user's.
    Unknown,
}

/// By its control group.
pub fn unit(pid: i32) -> Option<Unit> {
    unit_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// `0::/system.slice/claude-failover.service`
fn unit_in(cgroup: &str) -> Option<Unit> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut parts = path.rsplit('/');
    let name = parts.find(|part| part.ends_with(".service"))?;
    if name.starts_with("user@") {
        return None; // the user's manager itself: a session, no unit of its own
    }
    let is_users = parts.any(|part| part.starts_with("user@") && part.ends_with(".service"));
    Some(if is_users { Unit::User(name.to_owned()) } else { Unit::System(name.to_owned()) })
}

/// `JOURNAL_STREAM` names the device and inode of the journal's stream; a child whose standard error
/// was redirected still inherits the variable.
pub fn stderr(pid: i32) -> Stderr {
    let Ok(target) = fs::read_link(format!("/proc/{pid}/fd/2")) else {
        return Stderr::Unknown;
    };
    let stream = table::env_value(pid, "JOURNAL_STREAM").ok().flatten().unwrap_or_default();
    let inode = stream.as_bytes().splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
    let named = [b"socket:[", inode, b"]"].concat();
    match !inode.is_empty() && target.as_os_str().as_bytes() == named {
        true => Stderr::Journal,
        false => Stderr::Other(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_service() {
        let system = |name: &str| Some(Unit::System(name.to_owned()));
        let user = |name: &str| Some(Unit::User(name.to_owned()));
        for (cgroup, expected) in [
            ("0::/system.slice/claude-failover.service\n", system("claude-failover.service")),
            ("1:name=systemd:/x\n0::/system.slice/a.service/sub\n", system("a.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/cf.service\n",
                user("cf.service"),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", None),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in(cgroup), expected, "{cgroup:?}");
        }
    }

    #[test]
    fn our_own_standard_error_is_no_journal_of_a_test() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_ne!(stderr(pid), Stderr::Unknown);
        assert_eq!(stderr(-1), Stderr::Unknown);
        assert_eq!(unit(-1), None);
    }
}
