//! Waiting for a condition, with a deadline, and ending at once when the operator interrupts.

use std::time::Duration;

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::clock::instant;
use crate::component::JoinOnDrop;

/// Between two looks; also the resolution of the times that are printed.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// INVARIANT: field order is shutdown order; `_listener` closes before its thread is joined.
pub struct Patience {
    _listener: CloseOnDrop,
    _thread: JoinOnDrop,
    interrupts: Receiver<i32>,
}

struct CloseOnDrop(Handle);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Patience {
    /// From here on HUP, INT and TERM end the wait they meet instead of the process.
    pub fn start() -> anyhow::Result<Self> {
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGTERM]).context("installing signal handlers")?;
        let (sender, interrupts) = bounded(1);
        let listener = CloseOnDrop(signals.handle());
        let thread = JoinOnDrop::spawn("demo-signals", move || {
            for signal in signals.forever() {
                // A second signal while the first waits to be read says nothing new.
                let _ = sender.try_send(signal);
            }
        })
        .context("starting the signal thread")?;
        Ok(Self { _listener: listener, _thread: thread, interrupts })
    }

    /// Looks until `look` gives a value.
    ///
    /// # Errors
    /// What `look` gives, a missed deadline (naming `what`), or an interrupt.
    pub fn until<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = instant() + timeout;
        loop {
            if let Some(value) = look()? {
                return Ok(value);
            }
            if instant() >= deadline {
                bail!("not within {} s: {what}", timeout.as_secs());
            }
            self.pause()?;
        }
    }

    fn pause(&self) -> anyhow::Result<()> {
        match self.interrupts.recv_timeout(LOOK_INTERVAL) {
            Ok(signal) => bail!("interrupted by signal {signal}"),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("the signal thread has ended"),
        }
    }
}
