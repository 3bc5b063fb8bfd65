//! tmux: its version, its server, who may reach it, and which sessions it has.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::cli::doctor::finding::{Finding, Verdict, fail, ok, skip, told, warn};
use crate::cli::doctor::host::open_files;
use crate::cli::obstacles::{configured_socket, stranded};
use crate::cli::units::Kind;
use crate::config::Config;
use crate::preflight;
use crate::shell_word::shell_word;
use crate::terminal::{DEADLINE, lost_socket, probe};

const CHECK: &str = "tmux";
/// Agents inherit the server's limit, and one opens dozens of files, with its tools hundreds.
const OPEN_FILES_MIN: u64 = 4096;

pub fn check(config: &Config, uid: u32, kind: Kind) -> Vec<Finding> {
    let command = config.tmux.command.as_str();
    let (major, minor) = match probe::version(command, DEADLINE) {
        Ok(version) => version,
        Err(error) => return vec![told(CHECK, Verdict::Fail, error.to_string())],
    };
    let mut findings = vec![ok(CHECK, format!("{command} {major}.{minor}"))];
    let socket = configured_socket(config);
    if config.tmux.socket.is_none() {
        findings.extend(open_to_others(&socket, uid));
    }
    if let Ok(Some(orphan)) = lost_socket::orphan(&socket) {
        let (pid, at) = (orphan.pid, socket.display());
        findings.push(fail(
            CHECK,
            format!(
                "the server on {at} is process {pid}, but its file was removed: nobody finds it"
            ),
            match socket.parent().filter(|dir| !dir.exists()) {
                Some(dir) => {
                    format!("install -d -m 700 {}, then kill -USR1 {pid}", shell_word(dir))
                }
                None => format!("kill -USR1 {pid}; the daemon does so by itself when it connects"),
            },
        ));
        return findings;
    }
    match probe::sessions_on(command, &socket, DEADLINE) {
        Err(error) => findings.push(fail(
            CHECK,
            error.to_string(),
            format!("is it this user's server? {} status claude-failover-tmux", kind.systemctl()),
        )),
        Ok(names) => {
            let pid = probe::server_pid(command, &socket, DEADLINE).ok().flatten();
            findings.push(server(config, kind, &socket, names.len(), pid));
            findings.extend(pid.and_then(|pid| limit(pid, open_files(Path::new("/"), pid))));
            findings.extend(sessions(config, &names));
        }
    }
    findings
}

/// `pid`: the server's, when there is one that has a session.
pub fn server(
    config: &Config,
    kind: Kind,
    socket: &Path,
    sessions: usize,
    pid: Option<i32>,
) -> Finding {
    let at = socket.display();
    match pid {
        Some(pid) => {
            ok(CHECK, format!("the server on {at} is process {pid}; sessions: {sessions}"))
        }
        // A server without a session does not tell its process.
        None if socket.exists() && !config.tmux.start_server => {
            ok(CHECK, format!("{at} is there; no session yet"))
        }
        None if config.tmux.start_server => {
            ok(CHECK, format!("no server runs on {at}: the daemon starts one"))
        }
        None => fail(
            CHECK,
            format!("no server runs on {at}, and tmux.start_server is false"),
            format!("{} start claude-failover-tmux", kind.systemctl()),
        ),
    }
}

/// `soft`: how many files the server may have open.
pub fn limit(pid: i32, soft: Option<u64>) -> Option<Finding> {
    let soft = soft?;
    let what = format!("the server (process {pid}) and its agents may open {soft} files each");
    Some(match soft < OPEN_FILES_MIN {
        false => ok(CHECK, what),
        true => warn(
            CHECK,
            what,
            format!(
                "LimitNOFILE=65536 in the tmux unit, or ulimit -n {OPEN_FILES_MIN} before the \
                 server starts; it holds from the server's next start"
            ),
        ),
    })
}

/// What others can write to, they can replace by a server of theirs.
pub fn open_to_others(socket: &Path, uid: u32) -> Option<Finding> {
    let dir = socket.parent()?;
    let found = fs_err::metadata(dir).ok()?;
    if found.uid() == uid && found.mode() & 0o077 == 0 {
        return None;
    }
    Some(fail(
        CHECK,
        format!(
            "{} belongs to uid {} and has mode {:04o}",
            dir.display(),
            found.uid(),
            found.mode() & 0o7777
        ),
        format!("chown {uid} {0} && chmod 700 {0}", shell_word(dir)),
    ))
}

/// The configuration against what there is.
pub fn sessions(config: &Config, there: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for what in preflight::near_misses(config, there) {
        findings.push(told("sessions", Verdict::Warn, what));
    }
    findings
        .extend(stranded(config, there).err().map(|what| told("sessions", Verdict::Fail, what)));
    if findings.is_empty() {
        let desired = config.desired_sessions();
        if desired.is_empty() {
            return vec![skip("sessions", "none is configured to exist always")];
        }
        let is_there = |name: &str| there.iter().any(|there| there == name);
        let count = desired.iter().filter(|(name, _)| is_there(name.as_str())).count();
        let what = format!("{count} of the {} that shall always exist", desired.len());
        findings.push(ok("sessions", what));
    }
    findings
}
