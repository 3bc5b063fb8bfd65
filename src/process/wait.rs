//! Waiting for the end of a process that is not our child: a pidfd, no polling of `/proc`.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock;
use crate::ids::ProcessRef;
use crate::process::run::timespec;
use crate::process::table;

/// Between two attempts while no descriptor is left.
const ATTEMPTS_APART: Duration = Duration::from_millis(20);

/// Returns when `process` has ended, or after `limit`.
pub fn until_ended(process: ProcessRef, limit: Duration) {
    let deadline = clock::instant() + limit;
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    loop {
        let pidfd = pidfd_open(pid, PidfdFlags::empty());
        if matches!(pidfd, Err(Errno::SRCH)) || matches!(table::is_alive(process), Ok(false)) {
            return;
        }
        let left = deadline.saturating_duration_since(clock::instant());
        if let Ok(pidfd) = pidfd {
            // Interrupted or not: the caller looks again.
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timespec(left)));
            return;
        }
        if left.is_zero() {
            return;
        }
        let _ = poll(&mut [], Some(&timespec(left.min(ATTEMPTS_APART))));
    }
}
