//! Ends agents with everything they started: SIGTERM, a grace, SIGKILL to whoever is left.
//!
//! Never an ancestor of an agent, never a sibling, never ourselves. A process is named by pid and
//! start time and signalled through a pidfd, so a reused pid is never hit.

use std::io;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};

use crate::clock;
use crate::ids::ProcessRef;
use crate::process::hunt::Hunt;
use crate::process::member;
use crate::process::table;
use crate::process::tree::scan;

/// Wait for deaths after SIGKILL; only a process in uninterruptible sleep needs longer.
pub const KILLED_WAIT: Duration = Duration::from_secs(2);
/// Processes followed in one call; a tree that is larger is not ended whole, and says so.
pub const MEMBERS_MAX: usize = 4096;
/// Between two looks for new descendants, at least; and the share of the time spent looking.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(20);
const LOOK_SHARE: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopOutcome {
    /// No process of this pid and start time was there.
    AlreadyGone,
    /// It and every descendant that could be seen have ended. What was no descendant any more
    /// before (a server that had left its tool behind) is not looked for.
    Stopped,
    /// It lives on, or may; and why.
    Survived(String),
    /// It has ended, and a descendant lives on, or may; and why.
    LeftBehind(String),
}

/// SIGTERM to this one process, and to nobody in its place. Nothing is waited for.
pub fn terminate(process: ProcessRef) -> io::Result<()> {
    let pidfd = member::open(process)?;
    Ok(pidfd_send_signal(pidfd, Signal::TERM)?)
}

/// SIGUSR1, at which a tmux server makes its socket anew, to nobody in its place.
///
/// # Errors
/// It is gone, or is not ours.
pub fn listen_again(server: ProcessRef) -> io::Result<()> {
    let pidfd = member::open(server)?;
    Ok(pidfd_send_signal(pidfd, Signal::USR1)?)
}

/// Ends each root and its descendants, all at the same time: `grace` between SIGTERM and SIGKILL,
/// [`KILLED_WAIT`] after that, whatever the number of roots. One outcome a root, in their order.
pub fn stop_trees(roots: &[ProcessRef], grace: Duration) -> Vec<(ProcessRef, StopOutcome)> {
    stop(roots, grace).unwrap_or_else(|error| by_themselves(roots, &error))
}

fn stop(roots: &[ProcessRef], grace: Duration) -> io::Result<Vec<(ProcessRef, StopOutcome)>> {
    let mut hunt = Hunt::new(roots, &scan()?);
    let term_until = clock::instant() + grace;
    let kill_until = term_until + KILLED_WAIT;
    loop {
        let looked_at = clock::instant();
        hunt.look(&scan()?);
        let now = clock::instant();
        if hunt.is_over() || now >= kill_until {
            return Ok(hunt.outcomes());
        }
        let phase_end = if now < term_until {
            if hunt.terminate() {
                hunt.look_after_term(&scan()?);
            }
            term_until
        } else {
            hunt.freeze();
            hunt.kill();
            kill_until
        };
        let look_cost = now.saturating_duration_since(looked_at);
        let interval = LOOK_INTERVAL_MIN.max(look_cost * LOOK_SHARE);
        hunt.wait(phase_end.min(now + interval));
    }
}

/// Processes cannot be listed; each root can still be asked for. Who cannot be asked for either is
/// not taken for one that has ended: another would be started beside it.
fn by_themselves(roots: &[ProcessRef], error: &io::Error) -> Vec<(ProcessRef, StopOutcome)> {
    let why = format!("cannot look at processes: {error}");
    let outcome = |root: &ProcessRef| match table::is_alive(*root) {
        Ok(false) => (*root, StopOutcome::LeftBehind(why.clone())),
        Ok(true) | Err(_) => (*root, StopOutcome::Survived(why.clone())),
    };
    roots.iter().map(outcome).collect()
}
