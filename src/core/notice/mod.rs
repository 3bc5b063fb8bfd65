//! What a person is told of, away from the terminal: one [`Notice`] for what matters, in words that
//! are understood at 3 am – what, why, until when, what the daemon does next, what one can do.
//!
//! [`Teller`] takes the records in their order, live and at a start alike, and gives the same notice
//! for the same record each time: so what was not told before a crash can be told after it. What no
//! record stands for (a reload refused, tmux gone) it sees by [`Teller::look`]. It decides nothing.
//! Reading order: `words`, then who tells what: `swaps`, `moves`, `accounts`, `tasks`, `daemon`,
//! `conditions`.

mod accounts;
mod conditions;
mod daemon;
mod moves;
mod swaps;
mod tasks;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::notifications::Level;
use crate::core::durable::Durable;
use crate::core::history::swap::MoveEnd;
use crate::core::kind::Subject;
use crate::core::notice::conditions::Conditions;
use crate::core::notice::words::Words;
use crate::core::record::Record;
use crate::harmless;
use crate::ids::SessionName;
use crate::moment::Wall;

const TITLE_CHARS_MAX: usize = 160;
const LINE_CHARS_MAX: usize = 400;
const LINES_MAX: usize = 16;
/// Of a reason, as far as it makes a notice another one.
pub(in crate::core::notice) const KEY_CHARS_MAX: usize = 200;

/// One thing to tell. Its texts are lines without anything that a terminal could take for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it speaks of, `/`, and what it says of it (`tmux/lost`). Who hears the same key again, and
    /// nothing else of that topic in between, hears nothing new.
    pub key: String,
    pub level: Level,
    /// When it happened.
    pub at: Wall,
    /// Without a full stop.
    pub title: String,
    /// `Why: …`, `Until: …`, `Next: …`, `You: …`.
    pub lines: Vec<String>,
}

/// The records so far, as far as telling needs them.
#[derive(Debug)]
pub struct Teller {
    /// The host's, for a configuration that names none; `None`: UTC.
    zone: Option<String>,
    /// After the last record that was taken.
    state: Durable,
    last_at: Option<Wall>,
    /// How the open swap left each agent that it touched.
    moved: BTreeMap<SessionName, MoveEnd>,
    conditions: Conditions,
}

/// What a notice is made from: the state before the record, and the words for it.
struct Scene<'a> {
    state: &'a Durable,
    config: &'a Config,
    words: Words<'a>,
    at: Wall,
}

impl Teller {
    pub fn new(zone: Option<String>) -> Self {
        Self {
            zone,
            state: Durable::default(),
            last_at: None,
            moved: BTreeMap::new(),
            conditions: Conditions::default(),
        }
    }

    /// The next record, and what is to be told of it.
    pub fn take(&mut self, at: Wall, record: &Record, config: &Config) -> Option<Notice> {
        let words = Words { zone: zone(config, self.zone.as_deref()), near: at };
        let scene = Scene { state: &self.state, config, words, at };
        let notice = match record.subject() {
            Subject::Daemon => scene.of_daemon(record, self.last_at),
            Subject::Account => scene.of_account(record),
            Subject::Swap => scene.of_swap(record, &self.moved),
            Subject::Move => scene.of_move(record),
            Subject::Session => scene.of_session(record),
            Subject::Task => scene.of_task(record),
        };
        self.follow(record);
        // The core has taken it before us, and starts with no other records.
        let _ = self.state.apply(record);
        self.last_at = Some(at);
        notice
    }

    fn follow(&mut self, record: &Record) {
        match record {
            Record::SwapPlanned { .. } => self.moved.clear(),
            Record::SwapProbing { canary, .. } => {
                self.moved.insert(canary.session.clone(), MoveEnd::Open);
            }
            Record::SwapSaved { moves, .. } => {
                for saved in moves {
                    self.moved.insert(saved.session.clone(), MoveEnd::by(&saved.stage));
                }
            }
            Record::MoveStopping { session, until, .. } => {
                if let Some(end) = self.moved.get_mut(session) {
                    *end = MoveEnd::by_stop(*until);
                }
            }
            Record::MoveEnded { session, outcome } => {
                if let Some(end) = self.moved.get_mut(session) {
                    *end = MoveEnd::of(outcome).0;
                }
            }
            _ => {}
        }
    }
}

/// Moments are printed in the configuration's zone, else in the host's.
fn zone<'a>(config: &'a Config, host: Option<&'a str>) -> Option<&'a str> {
    config.notifications.time_zone.as_deref().or(host)
}

impl Notice {
    /// What it speaks of.
    pub fn topic(&self) -> &str {
        self.key.split('/').next().unwrap_or_default()
    }

    pub(in crate::core::notice) fn new(
        level: Level,
        key: String,
        at: Wall,
        title: &str,
        lines: Vec<String>,
    ) -> Self {
        let lines = lines.into_iter().map(|line| harmless::line(&line, LINE_CHARS_MAX));
        Self {
            key,
            level,
            at,
            title: harmless::line(title, TITLE_CHARS_MAX),
            lines: lines.filter(|line| !line.is_empty()).take(LINES_MAX).collect(),
        }
    }
}

impl Scene<'_> {
    fn tell(&self, level: Level, key: String, title: &str, lines: Vec<String>) -> Option<Notice> {
        Some(Notice::new(level, key, self.at, title, lines))
    }
}
