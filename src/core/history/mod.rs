//! What has happened, for people: one entry a happening, with its evidence, its outcome and how long it
//! took.
//!
//! [`History`] takes the records with their numbers and moments, and decides nothing. What began before
//! the oldest record is known by the state that a compaction left; the entries of it say `partial`.
//! Durations are by the wall clock: one that was set back makes them zero.
//! Reading order: [`entry`] and [`swap`] (what there is to tell), then who tells it: `swaps`, `accounts`,
//! `context` (compactions).

mod accounts;
mod context;
pub mod entry;
pub mod kind;
mod steering;
pub mod swap;
mod swaps;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::core::history::entry::{EndedBy, Entry, Happening, Links, Sessions, Start};
use crate::core::kind::Subject;
use crate::core::record::Record;
use crate::core::standing::PlanWindow;
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

/// Entries kept, where nobody wants fewer; beyond it the oldest go.
pub const ENTRIES_MAX: usize = 100_000;

/// An entry by how many came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EntryId(usize);

/// Something that goes on; without an entry when it began before the oldest record.
#[derive(Debug, Clone, Copy)]
struct Open {
    since: Wall,
    entry: Option<EntryId>,
}

#[derive(Debug, Clone, Copy)]
struct EntriesMax(usize);

#[derive(Debug, Default)]
pub struct History {
    /// Shared with whoever has taken [`History::latest`]: an entry that changes then is copied, alone.
    entries: VecDeque<Arc<Entry>>,
    entries_max: EntriesMax,
    dropped: usize,
    /// Number and moment of the record that is being taken.
    seq: u64,
    at: Wall,
    /// `None` until anything is known of a life of the daemon.
    stopped_cleanly: Option<bool>,
    swap: Option<(OpId, EntryId)>,
    canary: Option<EntryId>,
    /// Whose move each session's is: a swap's or a restore's.
    moves: BTreeMap<SessionName, (OpId, EntryId)>,
    parking: Option<EntryId>,
    refusals: BTreeMap<(AccountName, PlanWindow), Open>,
    logins: BTreeMap<AccountName, Open>,
    rejections: BTreeMap<AccountName, Open>,
    holds: BTreeMap<AccountName, Open>,
    pin: Option<(AccountName, Open)>,
    pause: Option<Open>,
    /// What an answer on the account would prove.
    doubts: BTreeMap<AccountName, Vec<EntryId>>,
}

/// The entries of some records: number, moment, record.
pub fn fold<'a>(records: impl IntoIterator<Item = (u64, Wall, &'a Record)>) -> Vec<Entry> {
    let mut history = History::default();
    for (seq, at, record) in records {
        history.take(seq, at, record);
    }
    history.into_entries()
}

impl Default for EntriesMax {
    fn default() -> Self {
        Self(ENTRIES_MAX)
    }
}

impl History {
    /// One that forgets all but the last `entries_max`, at least 1.
    pub fn keeping(entries_max: usize) -> Self {
        Self { entries_max: EntriesMax(entries_max.max(1)), ..Self::default() }
    }

    pub fn take(&mut self, seq: u64, at: Wall, record: &Record) {
        let before = (self.seq > 0).then_some(self.at);
        (self.seq, self.at) = (seq, at);
        match topic(record) {
            Topic::Daemon => self.take_daemon(record, before),
            Topic::Account => self.take_account(record),
            Topic::Move => self.take_move(record),
            Topic::Swap => self.take_swap(record),
            Topic::None => {}
        }
        // Whatever it was: the daemon was alive.
        self.stopped_cleanly.get_or_insert(false);
    }

    /// In the order of the records that began them.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// The entries as they are now, in the same order; costs a count for each.
    pub fn latest(&self) -> Vec<Arc<Entry>> {
        self.entries.iter().cloned().collect()
    }

    /// Of the last record that was taken; 0: none was.
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    fn take_daemon(&mut self, record: &Record, before: Option<Wall>) {
        match record {
            Record::DaemonStarted { version, pid } => self.started(version, *pid, before),
            Record::CleanStop => {
                self.stopped_cleanly = Some(true);
                self.push(self.at, Happening::Stop);
            }
            Record::Compacted { state } => self.look_at(state),
            Record::Paused { at, until } => self.paused(*at, *until),
            Record::PauseEnded { at, by } => self.end_pause(EndedBy::from(*by), *at),
            Record::SessionsDrained { sessions, at } => {
                self.push(*at, Happening::Drain(Sessions { sessions: sessions.clone() }));
            }
            Record::SessionsResumed { sessions, at } => {
                self.push(*at, Happening::Resume(Sessions { sessions: sessions.clone() }));
            }
            Record::ActiveFound { account, at } => {
                let links = Links { account: account.clone() };
                self.push(self.moment(*at), Happening::Link(links));
            }
            _ => unreachable!("only records of the daemon come here"),
        }
    }

    fn started(&mut self, version: &str, pid: i32, before: Option<Wall>) {
        let unclean = self.stopped_cleanly == Some(false);
        self.stopped_cleanly = Some(false);
        if let Some(swap) = self.open_swap() {
            swap.restarts += 1;
        }
        let start = Start {
            version: version.to_owned(),
            pid,
            unclean,
            since_last_record_ms: before.map(|before| ms(self.at, before)),
        };
        self.push(self.at, Happening::Start(start));
    }

    fn push(&mut self, at: Wall, what: Happening) -> EntryId {
        let entry = Entry { seq: self.seq, at, changed_seq: self.seq, what };
        self.entries.push_back(Arc::new(entry));
        if self.entries.len() > self.entries_max.0 {
            self.entries.pop_front();
            self.dropped += 1;
        }
        EntryId(self.dropped + self.entries.len() - 1)
    }

    fn what(&mut self, id: EntryId) -> Option<&mut Happening> {
        let place = id.0.checked_sub(self.dropped)?;
        let entry = Arc::make_mut(self.entries.get_mut(place)?);
        entry.changed_seq = self.seq;
        Some(&mut entry.what)
    }

    fn began(&self, id: EntryId) -> Option<Wall> {
        let place = id.0.checked_sub(self.dropped)?;
        self.entries.get(place).map(|entry| entry.at)
    }

    /// Records of early versions have no moment of their own.
    fn moment(&self, of_record: Wall) -> Wall {
        if of_record == Wall(0) { self.at } else { of_record }
    }
}

/// What a record belongs to.
enum Topic {
    Daemon,
    Account,
    Move,
    Swap,
    /// A step of what has an entry, what is seen anew at each start, or a task, whose history is in its
    /// result.
    None,
}

fn topic(record: &Record) -> Topic {
    match record {
        Record::FiguresHeard { .. }
        | Record::SwapChecked { .. }
        | Record::SwapStopped { .. }
        | Record::SwapVerified { .. }
        | Record::SwapUnflipped { .. }
        | Record::SwapRestored { .. }
        | Record::MoveStopped { .. }
        | Record::MoveIdentified { .. }
        | Record::MoveLaunching { .. }
        | Record::MoveLaunched { .. } => Topic::None,
        Record::RestorePlanned { .. } => Topic::Move,
        other => match other.subject() {
            Subject::Daemon => Topic::Daemon,
            Subject::Account => Topic::Account,
            Subject::Swap => Topic::Swap,
            Subject::Move => Topic::Move,
            Subject::Session | Subject::Task => Topic::None,
        },
    }
}

/// Milliseconds from `earlier` to `later`.
fn ms(later: Wall, earlier: Wall) -> u64 {
    u64::try_from((later - earlier).as_millis()).unwrap_or(u64::MAX)
}
