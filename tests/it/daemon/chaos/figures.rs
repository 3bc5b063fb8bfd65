//! What daemon and tmux server use, as the kernel says.

use std::fmt;
use std::fs;

use crate::daemon::fleet::Fleet;

/// A daemon keeps its events and the records since the last compaction; both have limits.
const DAEMON_GROWTH_KIB_MAX: i64 = 6 * 1024;
/// The history of a pane has 2 000 rows and is not full when it begins.
const SERVER_GROWTH_KIB_MAX: i64 = 3 * 1024;
/// tmux 3.3a keeps 0.6 kB of each command that `if-shell` has run: some 7 kB for a swap with its tasks.
const SERVER_LEAK_KIB_A_SWAP: i64 = 9;
/// Connections, files and pipes of what happens to be under way.
const FILES_GROWTH_MAX: i64 = 6;

#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    daemon: Size,
    server: Size,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    resident_kib: i64,
    files: i64,
    threads: i64,
}

impl Sizes {
    pub fn of(fleet: &Fleet) -> Self {
        let server = fleet.server_pid().unwrap().parse().unwrap();
        Self { daemon: Size::of(fleet.daemon_pid()), server: Size::of(server) }
    }

    /// From `self` to `last`, with so many swaps in between.
    #[track_caller]
    pub fn assert_no_growth(self, last: Self, swaps: u64) {
        let leaked_kib = SERVER_LEAK_KIB_A_SWAP * i64::try_from(swaps).unwrap();
        let grown = |name: &str, from: Size, to: Size, kib_max: i64| {
            let text = format!("{name} has grown from {from} to {to}");
            assert!(to.resident_kib - from.resident_kib <= kib_max, "{text}");
            assert!(to.files - from.files <= FILES_GROWTH_MAX, "{text}");
            assert!(to.threads <= from.threads + 2, "{text}");
        };
        grown("the daemon", self.daemon, last.daemon, DAEMON_GROWTH_KIB_MAX);
        grown("the tmux server", self.server, last.server, SERVER_GROWTH_KIB_MAX + leaked_kib);
    }
}

impl Size {
    fn of(pid: i32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self {
            resident_kib: field("VmRSS:"),
            files: i64::try_from(files).unwrap(),
            threads: field("Threads:"),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "daemon {}, tmux server {}", self.daemon, self.server)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { resident_kib, files, threads } = self;
        write!(out, "{resident_kib} KiB, {files} files, {threads} threads")
    }
}
