//! HUP, TERM and INT become events; a second TERM or INT ends the process on the spot.
//!
//! Spawned before any other thread, so that no signal finds its default action. Exec resets the
//! handlers, so children start clean. Repeats in quick succession may arrive as one.

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::component::JoinOnDrop;
use crate::core::event::{Event, Verb};

/// Exit codes after a signal are, by custom, 128 and its number.
const EXIT_SIGNAL_BASE: i32 = 128;

/// The thread that hears signals.
///
/// INVARIANT: field order is shutdown order; the end of the iterator ends the thread. From then on
/// the three signals are ignored, so this goes last.
pub struct Listener {
    _close: CloseOnDrop,
    _thread: JoinOnDrop,
}

struct CloseOnDrop(Handle);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Listener {
    /// The handlers are in place when this returns.
    pub fn spawn(events: Sender<Event>) -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
        let close = CloseOnDrop(signals.handle());
        let thread = JoinOnDrop::spawn("signals", move || forward(&mut signals, &events))?;
        Ok(Self { _close: close, _thread: thread })
    }
}

fn forward(signals: &mut Signals, events: &Sender<Event>) {
    let mut stopping = false;
    for signal in signals.forever() {
        let event = match signal {
            SIGHUP => Verb::Reload.into(),
            // Not a word to the log: whoever hangs may hold it, and no exit handler is run.
            _ if stopping => signal_hook::low_level::exit(EXIT_SIGNAL_BASE + signal),
            _ => {
                stopping = true;
                Event::StopRequested
            }
        };
        // The coordinator may have ended already; the second signal still works then.
        let _ = events.send(event);
    }
}
