//! Looks at tmux without the control client: its version, and what lives on another server.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::instant;
use crate::terminal::client::{OWN_SESSION, base_command, set_nonblocking, would_block};
use crate::terminal::error::TerminalError;
use crate::terminal::owner;

/// Comparing numbers in formats (`#{e|<|:}`), client flags and `-N` came with 3.2.
const VERSION_MIN: (u32, u32) = (3, 2);
const VERSION_MIN_TEXT: &str = "3.2";
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// What a client says when there is no server, or none any more: one may end while it is asked.
const ABSENT: [&str; 5] = [
    "no server running",
    "No such file or directory",
    "no sessions",
    "server exited unexpectedly",
    "lost server",
];

/// The version of the tmux program. Errors: it does not run, it is older than 3.2.
pub fn version(program: &str, limit: Duration) -> Result<(u32, u32), TerminalError> {
    let output = run(program, &[OsStr::new("-V")], limit)?;
    let text = output.stdout.trim();
    check_version(program, text.strip_prefix("tmux ").unwrap_or(text))
}

/// `what` is the program or server that gave `text`.
pub fn check_version(what: &str, text: &str) -> Result<(u32, u32), TerminalError> {
    parse_version(text).filter(|version| *version >= VERSION_MIN).ok_or_else(|| {
        TerminalError::TooOld {
            command: what.to_owned(),
            found: text.to_owned(),
            needed: VERSION_MIN_TEXT,
        }
    })
}

/// `3.3a`, `3.2`, `next-3.4`; anything else is no version that we know to be new enough.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let text = text.strip_prefix("next-").unwrap_or(text);
    let (major, minor) = text.split_once('.')?;
    let digits = minor.find(|c: char| !c.is_ascii_digit());
    let minor = &minor[..digits.unwrap_or(minor.len())];
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The sessions of the server on `socket`; none when there is no server, which is never started.
pub fn sessions_on(
    program: &str,
    socket: &Path,
    limit: Duration,
) -> Result<Vec<String>, TerminalError> {
    let answer = ask_sessions(program, socket, "#{session_name}", limit)?;
    let names = answer.lines().filter(|name| *name != OWN_SESSION);
    Ok(names.map(str::to_owned).collect())
}

/// The process of the server on `socket`; `None` when there is none, or one without a session.
pub fn server_pid(
    program: &str,
    socket: &Path,
    limit: Duration,
) -> Result<Option<i32>, TerminalError> {
    let answer = ask_sessions(program, socket, "#{pid}", limit)?;
    Ok(answer.lines().next().and_then(|pid| pid.parse().ok()))
}

/// Who drives the server on `socket`, as [`crate::terminal::owner`] writes it; `None` when nobody ever
/// has.
pub fn owner(
    program: &str,
    socket: &Path,
    limit: Duration,
) -> Result<Option<String>, TerminalError> {
    let answer = ask_sessions(program, socket, owner::VALUE, limit)?;
    Ok(answer.lines().next().filter(|owner| !owner.is_empty()).map(str::to_owned))
}

pub fn server_on(socket: &Path) -> String {
    format!("the tmux server on {}", socket.display())
}

fn ask_sessions(
    program: &str,
    socket: &Path,
    format: &str,
    limit: Duration,
) -> Result<String, TerminalError> {
    let args = [
        OsStr::new("-u"),
        OsStr::new("-N"),
        OsStr::new("-S"),
        socket.as_os_str(),
        OsStr::new("list-sessions"),
        OsStr::new("-F"),
        OsStr::new(format),
    ];
    let server = || server_on(socket);
    let output = run(program, &args, limit).map_err(|error| match error {
        TerminalError::TimedOut { limit, .. } => {
            TerminalError::TimedOut { server: server(), limit }
        }
        other => other,
    })?;
    if !output.stderr.is_empty() && !ABSENT.iter().any(|text| output.stderr.contains(text)) {
        return Err(TerminalError::Unreachable { server: server(), why: output.stderr });
    }
    Ok(output.stdout)
}

/// Where tmux without `-S` and `-L` finds its server; `tmux_tmpdir` is `TMUX_TMPDIR`.
pub fn default_socket(tmux_tmpdir: Option<&OsStr>, uid: u32) -> PathBuf {
    let base = tmux_tmpdir.filter(|dir| !dir.is_empty() && Path::new(dir).is_dir());
    Path::new(base.unwrap_or(OsStr::new("/tmp"))).join(format!("tmux-{uid}")).join("default")
}

struct Output {
    stdout: String,
    stderr: String,
}

fn run(program: &str, args: &[&OsStr], limit: Duration) -> Result<Output, TerminalError> {
    let missing = |error: io::Error| TerminalError::Missing {
        command: program.to_owned(),
        why: error.to_string(),
    };
    let mut child = base_command(program).args(args).spawn().map_err(missing)?;
    let output = read_output(&mut child, instant() + limit).map_err(missing);
    // A hung server holds its client for ever and a killed client's pipe open, so nobody waits
    // for the end of either.
    let _ = child.kill();
    let _ = child.wait();
    output?.ok_or_else(|| TerminalError::TimedOut { server: format!("{program:?}"), limit })
}

/// All that the child prints; `None` when it is not done by `deadline`.
fn read_output(child: &mut Child, deadline: Instant) -> io::Result<Option<Output>> {
    drop(child.stdin.take());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        unreachable!("both were asked for as pipes");
    };
    let Some(stdout) = read_to_end(stdout, deadline)? else {
        return Ok(None);
    };
    let stderr = read_to_end(stderr, deadline)?;
    Ok(stderr.map(|stderr| Output { stdout, stderr }))
}

fn read_to_end(mut pipe: impl Read + AsFd, deadline: Instant) -> io::Result<Option<String>> {
    set_nonblocking(pipe.as_fd())?;
    let mut all = Vec::new();
    let mut part = [0; 4096];
    while all.len() < OUTPUT_BYTES_MAX {
        match pipe.read(&mut part) {
            Ok(0) => break,
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) if would_block(&error) => {
                let left = deadline.saturating_duration_since(instant());
                let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
                let mut pipes = [PollFd::new(&pipe, PollFlags::IN)];
                match poll(&mut pipes, Some(&timeout)) {
                    Ok(0) => return Ok(None),
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&all).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_and_of_their_forerunners() {
        for (text, expected) in [
            ("3.3a", Some((3, 3))),
            ("3.2", Some((3, 2))),
            ("next-3.4", Some((3, 4))),
            ("3.5-rc2", Some((3, 5))),
            ("10.0", Some((10, 0))),
            ("3.1c", None),
            ("2.9", None),
            ("", None),
            ("openbsd-7.3", None),
            ("3", None),
        ] {
            assert_eq!(check_version("tmux", text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_program_that_is_missing_says_how_to_get_it() {
        let error = version("/nowhere/tmux", Duration::from_secs(1)).expect_err("not there");
        let text = error.to_string();
        assert!(text.contains("/nowhere/tmux") && text.contains("apt-get install tmux"), "{text}");
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let error = run("sleep", &[OsStr::new("60")], Duration::from_millis(50)).err();
        assert!(matches!(error, Some(TerminalError::TimedOut { .. })), "{error:?}");
    }

    #[test]
    fn the_default_socket_follows_the_environment_as_tmux_does() {
        let expected = Path::new("/tmp/tmux-7/default");
        assert_eq!(default_socket(None, 7), expected);
        assert_eq!(default_socket(Some(OsStr::new("/nowhere")), 7), expected);
        let set = default_socket(Some(OsStr::new("/dev")), 7);
        assert_eq!(set, Path::new("/dev/tmux-7/default"));
    }
}
