//! What the service manager is told. Without one (no `NOTIFY_SOCKET`) every call does nothing.
//!
//! Whoever tells it something must not hang on it: a manager that does not read costs
//! [`SEND_TIMEOUT`] for what it must know, and nothing for what only people read. A failed message
//! is logged and forgotten: the service manager will act on it.
//!
//! The variables of the protocol stay in our own environment, since taking one out is not sound
//! with threads about; children get an environment made anew and never see them (see
//! [`VARIABLES`]).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::moment::Mono;

/// Set by systemd for us alone: who starts a child with our environment must leave these out.
pub const VARIABLES: [&str; 11] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
];

/// How long a message may wait for a manager that does not read.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Each line of status goes by the message bus to everybody who watches the unit.
pub const STATUS_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Signs of life in the time that the unit allows for one.
const FEEDS: u64 = 3;
/// Characters of one line of status.
pub const STATUS_CHARS_MAX: usize = 200;

/// The service manager, by the environment it gave us.
#[derive(Debug)]
pub struct Manager {
    line: Option<Line>,
    status: String,
    status_at: Option<Mono>,
    stopping: bool,
}

/// One socket for every message: one made for each would take a watchdog's food away when
/// descriptors run out, and a daemon that is well would be killed for it.
///
/// It is not connected, so that a manager that was started anew is found again.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
}

enum Wait {
    ForTimeout,
    Never,
}

impl Manager {
    pub fn from_environment() -> Self {
        let line = std::env::var_os("NOTIFY_SOCKET").and_then(|socket| {
            Line::to(&socket)
                .inspect_err(|error| log::warn!("systemd: NOTIFY_SOCKET={socket:?}: {error}"))
                .ok()
        });
        Self { line, status: String::new(), status_at: None, stopping: false }
    }

    /// The start is over: whoever was told to wait for it may ask us now.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// A reload has begun; [`Self::ready`] ends it, whether or not the new file was taken.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
    }

    /// The end has begun and takes no longer than this, which may be more than the unit allows. Only
    /// the first call says so.
    pub fn stopping(&mut self, within: Duration) {
        if !self.stopping {
            self.stopping = true;
            self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
        }
    }

    /// To be called every [`watchdog_interval`] by the loop that must not hang; this, too, would be
    /// a hang. One that gets lost is no harm.
    pub fn watchdog(&self) {
        if let Err(error) = self.send("WATCHDOG=1", &Wait::Never) {
            log::warn!("systemd: could not send WATCHDOG=1: {error}");
        }
    }

    /// The line in `systemctl status`; told when it has changed, and not more often than
    /// [`STATUS_INTERVAL_MIN`]. What was not told now is told by a later call.
    pub fn status(&mut self, line: &str, now: Mono) {
        let early = self.status_at.is_some_and(|at| now - at < STATUS_INTERVAL_MIN);
        if early || self.line.is_none() {
            return;
        }
        let line = one_line(line);
        // Not worth a wait, nor a word: the next call tries again.
        if line != self.status && self.send(&format!("STATUS={line}"), &Wait::Never).is_ok() {
            self.status = line;
            self.status_at = Some(now);
        }
    }

    /// Why we end. It stays in `systemctl status` until the next start.
    pub fn failed(&self, why: &str) {
        self.tell(&format!("STATUS={}", one_line(why)));
    }

    fn tell(&self, message: &str) {
        if let Err(error) = self.send(message, &Wait::ForTimeout) {
            log::warn!("systemd: could not send {message:?}: {error}");
        }
    }

    fn send(&self, message: &str, wait: &Wait) -> io::Result<()> {
        match &self.line {
            Some(line) => line.send(message, wait),
            None => Ok(()),
        }
    }
}

impl Line {
    fn to(socket: &OsStr) -> io::Result<Self> {
        let address = address(socket)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket, address })
    }

    fn send(&self, message: &str, wait: &Wait) -> io::Result<()> {
        self.socket.set_nonblocking(matches!(wait, Wait::Never))?;
        self.socket.send_to_addr(message.as_bytes(), &self.address).map(drop)
    }
}

/// A path, or `@` and a name without one. (The third kind, for virtual machines, is for managers.)
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(socket),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor @name")),
    }
}

/// A third of what the unit's `WatchdogSec` allows; `None` without a watchdog for this process.
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let own_pid = u64::from(std::process::id());
    let for_another = number("WATCHDOG_PID").is_some_and(|pid| pid != own_pid);
    let allowed_us = number("WATCHDOG_USEC").filter(|us| !for_another && *us >= FEEDS)?;
    Some(Duration::from_micros(allowed_us / FEEDS))
}

/// As the manager reads its own clock, to tell this reload from an earlier one.
fn monotonic_us() -> u128 {
    let now = clock_gettime(ClockId::Monotonic);
    let since_boot = Duration::try_from(now).expect("the clock has run since the boot");
    since_boot.as_micros()
}

/// A second line would be a message of its own.
fn one_line(text: &str) -> String {
    text.chars().take(STATUS_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
