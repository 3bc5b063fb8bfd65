//! What the tests share: waiting for a condition, a private tmux server, the built binary.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Above them the kernel takes ports for connections of its own.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
static PORTS_TAKEN: AtomicU16 = AtomicU16::new(0);

/// Of a line of the journal.
const CHECKSUM_BYTES: usize = 9;

/// Looks at `condition` every 10 ms until it gives a value; fails the test after `deadline`.
#[track_caller]
pub fn eventually<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    eventually_or(deadline, condition, || what.to_owned())
}

/// The same; `why` is asked when the time is over, and may look at the thing once more.
#[track_caller]
pub fn eventually_or<T>(
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
    why: impl FnOnce() -> String,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {}", why());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_claude-failover"))
}

/// The records of a journal, in order, with their moments in milliseconds since 1970.
pub fn journal_records(state_dir: &Path) -> Vec<(i64, Value)> {
    let text = std::fs::read_to_string(state_dir.join("journal")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.get(CHECKSUM_BYTES..)?).ok())
        .map(|entry| (entry["at"].as_i64().unwrap(), entry["record"].clone()))
        .collect()
}

/// A port of this machine that no other fleet of this run has and nobody listens on.
pub fn free_port() -> u16 {
    let span = PORTS.end - PORTS.start;
    let start = u16::try_from(std::process::id() % u32::from(span)).unwrap();
    loop {
        let next = PORTS_TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (start + next) % span;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A tmux server of its own, with no configuration file; killed by its socket when dropped.
pub struct PrivateTmux {
    pub dir: tempfile::TempDir,
}

impl PrivateTmux {
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("cf-").tempdir().unwrap() }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("tmux.sock")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs one tmux command and gives what it answered.
    pub fn output(&self, args: &[&str]) -> Output {
        Command::new("tmux")
            .arg("-S")
            .arg(self.socket())
            .args(["-f", "/dev/null"])
            .args(args)
            .env_remove("TMUX")
            .env_remove("TMUX_PANE")
            .output()
            .unwrap()
    }

    /// Runs one tmux command that must succeed; its output without the last newline.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }
}

impl Drop for PrivateTmux {
    /// The client of a daemon that was killed with an answer on its way would hold the end up for ever.
    fn drop(&mut self) {
        let clients = self.output(&["list-clients", "-F", "#{client_pid}"]).stdout;
        let _ = self.output(&["kill-server"]);
        let clients = String::from_utf8_lossy(&clients);
        for client in clients.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(client, Signal::TERM);
        }
    }
}
