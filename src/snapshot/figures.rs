//! Numbers that are not in `/status`: what the driver has counted, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use crate::core::event::Event;
use crate::moment::Wall;
use crate::snapshot::tally::Tally;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    pub tally: Arc<Tally>,
    pub driver: Driver,
    /// Whether the tmux server answers.
    pub terminal_up: bool,
}

/// Counted by the coordinator since the daemon's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Driver {
    pub events_handled: u64,
    pub events_waiting: usize,
    pub terminal_losses: u64,
    pub journal_bytes: u64,
    pub journal_records: u64,
    pub appends: u64,
    /// Writing and flushing, all appends together.
    pub append_time: Duration,
    pub compactions: u64,
    /// When a configuration was last taken: at the start or by a reload.
    pub config_read_at: Wall,
    /// The last reload was refused.
    pub config_refused: bool,
}

impl Driver {
    pub fn saw(&mut self, event: &Event, at: Wall) {
        self.events_handled += 1;
        match event {
            Event::TerminalLost { .. } => self.terminal_losses += 1,
            Event::ConfigReloaded(_) => (self.config_read_at, self.config_refused) = (at, false),
            Event::ConfigRejected { .. } => self.config_refused = true,
            _ => {}
        }
    }

    pub fn appended(&mut self, records: usize, took: Duration) {
        self.appends += 1;
        self.journal_records += records as u64;
        self.append_time += took;
    }
}
