//! What the coordinator remembers of the records it has written: for `/events` and `/metrics`.

use std::sync::Arc;

use crate::core::durable::Durable;
use crate::core::history::History;
use crate::core::record::Record;
use crate::moment::Wall;
use crate::snapshot::events::{ENTRIES_MAX, Events};
use crate::snapshot::tally::Tally;

#[derive(Debug)]
pub struct Chronicle {
    history: History,
    tally: Arc<Tally>,
    events: Arc<Events>,
}

impl Chronicle {
    /// The entries of `replayed` (number, moment, record), and counts from `now` on.
    pub fn new<'a>(
        replayed: impl IntoIterator<Item = (u64, Wall, &'a Record)>,
        state: &Durable,
        now: Wall,
    ) -> Self {
        let mut history = History::keeping(ENTRIES_MAX);
        for (seq, at, record) in replayed {
            history.take(seq, at, record);
        }
        let tally = Arc::new(Tally::start(state, now));
        let mut chronicle = Self { history, tally, events: Arc::default() };
        chronicle.renew();
        chronicle
    }

    /// One more record that is on disk; `state` is what it has led to.
    pub fn take(&mut self, seq: u64, at: Wall, record: &Record, state: &Durable) {
        self.history.take(seq, at, record);
        Arc::make_mut(&mut self.tally).take(at, record, state);
    }

    pub fn events(&mut self) -> Arc<Events> {
        if self.history.last_seq() != self.events.last_seq {
            self.renew();
        }
        self.events.clone()
    }

    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    fn renew(&mut self) {
        let (entries, last_seq) = (self.history.latest(), self.history.last_seq());
        self.events = Arc::new(Events { entries, last_seq });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_changes_only_with_a_record() {
        let state = Durable::default();
        let mut chronicle = Chronicle::new([(1, Wall(5), &Record::CleanStop)], &state, Wall(9));
        let first = chronicle.events();
        assert_eq!((first.entries.len(), first.last_seq), (1, 1));
        assert!(Arc::ptr_eq(&first, &chronicle.events()));
        chronicle.take(2, Wall(9), &Record::CleanStop, &state);
        let second = chronicle.events();
        assert_eq!((first.entries.len(), second.entries.len()), (1, 2));
        assert!(Arc::ptr_eq(&first.entries[0], &second.entries[0]), "entries are shared");
    }
}
