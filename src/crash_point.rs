//! A power cut on order, for the tests of recovery: the process ends, as by `kill -9`, when a given
//! number of records is on disk and nothing that comes after them has been done.
//!
//! Only debug builds look; in a release build it does nothing.

/// Debug builds: how many records of this run may reach the disk.
const VARIABLE: &str = "CLAUDE_FAILOVER_DIE_AFTER_RECORDS";

#[derive(Debug, Clone, Copy)]
pub struct CrashPoint {
    records_left: Option<usize>,
}

impl CrashPoint {
    pub fn from_environment() -> Self {
        if !cfg!(debug_assertions) {
            return Self { records_left: None };
        }
        let records_left = std::env::var(VARIABLE).ok().and_then(|count| count.parse().ok());
        Self { records_left }
    }

    /// Drops the records that come after the cut.
    pub fn cut<T>(self, records: &mut Vec<T>) {
        if let Some(left) = self.records_left {
            records.truncate(left);
        }
    }

    /// `count` records have reached the disk.
    pub fn passed(&mut self, count: usize) {
        let Some(left) = &mut self.records_left else { return };
        *left = left.saturating_sub(count);
        if *left == 0 {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    }
}
