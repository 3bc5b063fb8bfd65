//! What the clients' hooks report: its form, its way to the daemon, and who must never notice.

mod report;
mod settings;
mod spool;
mod status_line;
mod verb;

use std::io::{PipeReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use claude_failover::api::control::{Reports, Server, socket_path};
use claude_failover::clock::Clock;
use claude_failover::core::event::Event;
use claude_failover::quota::report::Report;
use claude_failover::snapshot::SnapshotCell;
use claude_failover::spool as the_spool;
use crossbeam_channel::{Receiver, unbounded};

use crate::http::snapshot;
use crate::support::binary;

pub const WAIT: Duration = Duration::from_secs(10);
pub const STOP: &str = r#"{"hook_event_name":"Stop","session_id":"d54b98d3-77a4-49a8-88c9-8c587077685c","last_assistant_message":"ok","background_tasks":[]}"#;

/// A runtime directory, with a daemon's control socket or without.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("cf-").tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn spool(&self) -> PathBuf {
        the_spool::dir(self.path())
    }

    /// The control socket as the daemon has it.
    pub fn daemon(&self) -> (Server, Receiver<Event>) {
        let (sender, events) = unbounded();
        let reports = Reports { clock: Clock::start(), zone: None, patterns: Vec::new() };
        let cell = SnapshotCell::new(snapshot(true));
        (Server::spawn(self.path(), cell, reports, &sender).unwrap(), events)
    }

    /// Somebody who takes connections, as far as the kernel does it for him, and reads nothing.
    pub fn deaf(&self) -> UnixListener {
        UnixListener::bind(socket_path(self.path())).unwrap()
    }

    pub fn hook(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("hook").arg("--runtime-dir").arg(self.path()).env_remove("CLAUDE_PID");
        command
    }

    /// What waits in the spool, oldest first, as text.
    pub fn spooled(&self) -> Vec<String> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        the_spool::take(&self.spool()).into_iter().map(text).collect()
    }
}

/// What a pipe holds before somebody reads.
const PIPE_BYTES: usize = 64 << 10;

/// A pipe with this input and its end in it: whoever reads it does not depend on our getting a
/// processor in time.
pub fn filled_pipe(input: &[u8]) -> PipeReader {
    assert!(input.len() <= PIPE_BYTES);
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(input).unwrap();
    reader
}

/// Runs it with this input; what came of it and how long that took.
pub fn run(command: &mut Command, input: &[u8]) -> (Output, Duration) {
    if input.len() <= PIPE_BYTES {
        command.stdin(filled_pipe(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        return (output, begun.elapsed());
    }
    let begun = Instant::now();
    let mut child = start(command);
    // A child that has read enough may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    (output, begun.elapsed())
}

pub fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
pub fn assert_unnoticed(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

/// All reports of the next event.
pub fn next_reports(events: &Receiver<Event>) -> Vec<Report> {
    match events.recv_timeout(WAIT).unwrap() {
        Event::ReportsReceived(reports) => reports,
        other => panic!("{other:?}"),
    }
}
