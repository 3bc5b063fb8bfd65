//! `claude-failover hook`: what the hooks and the status line of an agent's client run.
//!
//! It passes on what the client says, to the daemon or, when that does not answer, to the spool.
//! The client waits for it, so it is quick whatever happens, says nothing and always ends well:
//! an agent must not notice that anybody listens. It reads no configuration of ours.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix};

use crate::api::control::{REQUEST_BYTES_MAX, Request, socket_path};
use crate::api::socket::stream_socket;
use crate::cli::{exit, status_line};
use crate::clock::{self, Clock};
use crate::process::run::timespec;
use crate::quota::json;
use crate::quota::report::{TEXT_CHARS_MAX, Wire};
use crate::spool;

/// Bytes of the client's JSON; a prompt is in it whole.
const INPUT_BYTES_MAX: usize = 4 << 20;
/// Within 50 ms, the start of a process and its end included, we are gone.
const HOOK_TIMEOUT: Duration = Duration::from_millis(40);
/// The client writes at once and closes, as soon as it has a processor. From our start.
const READ_TIMEOUT: Duration = Duration::from_millis(30);
/// For the daemon to take the report and say so, which takes it less than one. After the reading.
const SEND_TIMEOUT: Duration = Duration::from_millis(15);
/// A status line is not waited for by the agent, and the operator's own needs all of its input.
const STATUS_READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Characters of each text of a report that is too long otherwise.
const SHORT_CHARS_MAX: usize = 400;
/// An answer is a few bytes.
const ANSWER_BYTES_MAX: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Hook,
    StatusLine,
}

#[derive(Debug, PartialEq, Eq)]
struct Args {
    runtime_dir: PathBuf,
    caller: Caller,
}

/// `args` follow the verb. Not read by the parser of the other verbs, which says what it misses.
pub fn run(args: impl Iterator<Item = OsString>) -> u8 {
    let begun = clock::instant();
    let Some(args) = parse(args) else {
        return exit::OK;
    };
    let at = Clock::start().wall().0;
    let input = read_input(match args.caller {
        Caller::Hook => begun + READ_TIMEOUT,
        Caller::StatusLine => begun + STATUS_READ_TIMEOUT,
    });
    let until = clock::instant() + SEND_TIMEOUT;
    let until = match args.caller {
        Caller::Hook => until.min(begun + HOOK_TIMEOUT),
        Caller::StatusLine => until,
    };
    if let Some(line) = line(&input, at)
        && tell(&args.runtime_dir, &line, until).is_err()
    {
        // Full, or not to be written in: nobody is left to tell.
        let _ = spool::leave(&spool::dir(&args.runtime_dir), at, std::process::id(), &line);
    }
    match args.caller {
        Caller::Hook => {}
        Caller::StatusLine => status_line::become_the_operators_own(&input),
    }
    exit::OK
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Args> {
    let (mut runtime_dir, mut caller) = (None, Caller::Hook);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--runtime-dir") => runtime_dir = Some(PathBuf::from(args.next()?)),
            Some("--status-line") => caller = Caller::StatusLine,
            // Of another version of ours.
            Some(_) | None => {}
        }
    }
    Some(Args { runtime_dir: runtime_dir?, caller })
}

/// What has come until the end of the input, the deadline or one byte too many.
fn read_input(until: Instant) -> Vec<u8> {
    let stdin = rustix::stdio::stdin();
    let mut input = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    while input.len() <= INPUT_BYTES_MAX && wait_for(stdin, PollFlags::IN, until).is_ok() {
        match rustix::io::read(stdin, &mut chunk) {
            Ok(0) => break,
            Ok(length) => input.extend_from_slice(&chunk[..length]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => break,
        }
    }
    input
}

/// The line for the daemon; `None` when the input is nothing that it would want to know.
pub fn line(input: &[u8], at: i64) -> Option<Vec<u8>> {
    if input.len() > INPUT_BYTES_MAX {
        return None;
    }
    // Of an input that has not ended yet, the first value may be all there is to come.
    let mut report = json::first::<Wire>(input).filter(Wire::is_news)?;
    report.at = Some(at);
    report.pid = env::var("CLAUDE_PID").ok().and_then(|pid| pid.parse().ok());
    [TEXT_CHARS_MAX, SHORT_CHARS_MAX].into_iter().find_map(|chars_max| {
        report.cut(chars_max);
        let request = Request::Report { report: Box::new(report.clone()) };
        let mut line = serde_json::to_vec(&request).ok()?;
        line.push(b'\n');
        (line.len() <= REQUEST_BYTES_MAX).then_some(line)
    })
}

/// Hands the line to the daemon. An error means that it has not said it has it: it may have it
/// all the same, if it was only slow.
fn tell(runtime_dir: &Path, line: &[u8], until: Instant) -> io::Result<()> {
    let stream = stream_socket()?;
    rustix::io::ioctl_fionbio(&stream, true)?;
    // Never waits: without a place in the daemon's backlog it fails.
    rustix::net::connect(&stream, &SocketAddrUnix::new(socket_path(runtime_dir))?)?;
    let mut rest = line;
    while !rest.is_empty() {
        match rustix::net::send(&stream, rest, SendFlags::NOSIGNAL) {
            Ok(length) => rest = &rest[length..],
            Err(Errno::AGAIN) => wait_for(stream.as_fd(), PollFlags::OUT, until)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") && answer.len() < ANSWER_BYTES_MAX {
        let mut chunk = [0; 512];
        wait_for(stream.as_fd(), PollFlags::IN, until)?;
        match rustix::net::recv(&stream, &mut chunk, RecvFlags::empty()) {
            Ok((0, _)) => break,
            Ok((length, _)) => answer.extend_from_slice(&chunk[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match answer.starts_with(br#"{"ok":true"#) {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// An error when it is not so by then. What is there already counts also after that: we may have
/// waited for a processor all the time. An endless input is bounded by its bytes.
fn wait_for(fd: BorrowedFd<'_>, what: PollFlags, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(clock::instant());
    match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&timespec(left))) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Option<Args> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn the_arguments_are_these() {
        let args = |caller| Some(Args { runtime_dir: "/run/x".into(), caller });
        assert_eq!(parsed(&["--runtime-dir", "/run/x"]), args(Caller::Hook));
        let status_line = ["--status-line", "--runtime-dir", "/run/x"];
        assert_eq!(parsed(&status_line), args(Caller::StatusLine));
        assert_eq!(parsed(&["--later", "--runtime-dir", "/run/x"]), args(Caller::Hook));
        assert_eq!(parsed(&["--runtime-dir"]), None);
        assert_eq!(parsed(&[]), None);
    }

    #[test]
    fn a_line_never_outgrows_what_the_daemon_takes() {
        for text in ["\u{1}", "é", "\\", "x"] {
            let text = text.repeat(100_000);
            let input = serde_json::json!({
                "hook_event_name": "StopFailure",
                "last_assistant_message": text,
                "error_details": text,
                "cwd": text,
                "transcript_path": text,
                "message": text,
            });
            let line = line(input.to_string().as_bytes(), 5).expect("a line");
            assert!(line.len() <= REQUEST_BYTES_MAX, "{}", line.len());
            assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'));
        }
    }

    #[test]
    fn an_input_without_its_end_counts_when_its_value_is_whole() {
        let whole = br#"{"hook_event_name":"Stop"}"#;
        assert!(line(&[whole, &b"\n\0\0\0"[..]].concat(), 5).is_some());
        assert!(line(&whole[..whole.len() - 1], 5).is_none());
        assert!(line(b"", 5).is_none());
    }

    #[test]
    fn a_text_that_the_client_cut_within_a_character_costs_no_report() {
        let input = br#"{"hook_event_name":"Stop","last_assistant_message":"done \ud83d"}"#;
        let line = line(input, 5).expect("a line");
        assert!(String::from_utf8(line).expect("text").contains("done \u{fffd}"));
    }
}
