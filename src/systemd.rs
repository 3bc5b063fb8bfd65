//! What the service manager is told. Without one (no `NOTIFY_SOCKET`) every call does nothing.
//!
//! The variables of the protocol stay in our own environment, since taking one out is not sound
//! with threads about; children get an environment made anew and never see them (see
//! [`VARIABLES`]). A failed message is logged and forgotten: the service manager will act on it.

use std::time::Duration;

use sd_notify::NotifyState;

/// Set by systemd for us alone: who starts a child with our environment must leave these out.
pub const VARIABLES: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "SYSTEMD_EXEC_PID",
];

/// The start, or a reload, is over.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A reload has begun; [`ready`] ends it, whether or not the new file was taken.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("systemd: could not read the clock: {error}"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The line in `systemctl status`.
pub fn status(text: &str) {
    // A second line would be a message of its own.
    let line = text.replace(char::is_control, " ");
    notify(&[NotifyState::Status(&line)]);
}

/// To be called at least every [`watchdog_interval`] by the loop that must not hang.
pub fn watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Half of what the unit's `WatchdogSec` allows; `None` without a watchdog for this process.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()).map(|allowed| allowed / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("systemd: could not send {states:?}: {error}");
    }
}
