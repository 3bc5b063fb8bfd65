//! Waiting for the end of a process that is not our child: a pidfd, no polling of `/proc`.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::ids::ProcessRef;
use crate::process::table;

/// Returns when `process` has ended, or after `limit`.
pub fn until_ended(process: ProcessRef, limit: Duration) {
    let Some(pidfd) =
        Pid::from_raw(process.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
    else {
        return; // it is gone already
    };
    if !table::is_alive(process) {
        return;
    }
    let limit = Timespec::try_from(limit).ok();
    // Interrupted or not: the caller looks again.
    let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], limit.as_ref());
}
