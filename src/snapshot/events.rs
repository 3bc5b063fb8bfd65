//! What has happened lately, as `GET /events` tells it; etc/reference.md describes the document ("Events").

use std::sync::Arc;

use serde_json::{Value, json};

use crate::core::history::entry::Entry;
use crate::harmless;

/// The version of the `/events` document.
pub const EVENTS_VERSION: u32 = 1;
/// Entries kept for it. A swap of 20 sessions takes about 3 kB, others some 200 bytes: 0.5 MiB in all.
pub const ENTRIES_MAX: usize = 500;
/// Entries in an answer to who names no number.
pub const LIMIT_DEFAULT: usize = 50;
/// The entries of one answer together; older ones are left out.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// One text in an entry: a row of a screen, a reason. The whole of it is in `history --json`.
const TEXT_CHARS_MAX: usize = 500;

/// One state of the chronicle. Shared by every snapshot until something happens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// In the order of the records that began them.
    pub entries: Vec<Arc<Entry>>,
    /// Number of the last record, whether it told anything or not.
    pub last_seq: u64,
}

/// What a client wants to see of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The last so many, 1 to [`ENTRIES_MAX`].
    pub limit: usize,
    /// Only those of which a record with a higher number has told something.
    pub since: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { limit: LIMIT_DEFAULT, since: 0 }
    }
}

impl Wanted {
    /// What stands behind the `?` of a request.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for who asked.
    pub fn read(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("limit", number)) => {
                    let limit = number.parse().ok();
                    let fits = |limit: &usize| (1..=ENTRIES_MAX).contains(limit);
                    let wrong = || format!("limit is a number from 1 to {ENTRIES_MAX}");
                    wanted.limit = limit.filter(fits).ok_or_else(wrong)?;
                }
                Some(("since", number)) => {
                    let wrong = |_| "since is the number of a record, as in last_seq".to_owned();
                    wanted.since = number.parse().map_err(wrong)?;
                }
                _ => return Err("only limit and since can be asked for here".to_owned()),
            }
        }
        Ok(wanted)
    }
}

impl Events {
    /// The document, at most a little longer than [`ANSWER_BYTES_MAX`].
    ///
    /// # Errors
    /// An entry cannot be written, which would be a fault of ours.
    pub fn document(&self, wanted: Wanted) -> serde_json::Result<String> {
        let mut matching =
            self.entries.iter().rev().filter(|entry| entry.changed_seq > wanted.since);
        let mut texts = Vec::new();
        let mut bytes_left = ANSWER_BYTES_MAX;
        let mut left_out = false;
        for entry in matching.by_ref().take(wanted.limit) {
            let text = text(entry)?;
            let Some(left) = bytes_left.checked_sub(text.len() + 1) else {
                left_out = true;
                break;
            };
            bytes_left = left;
            texts.push(text);
        }
        let head = json!({
            "version": EVENTS_VERSION,
            "last_seq": self.last_seq,
            "oldest_seq": self.entries.first().map(|entry| entry.seq),
            "more": left_out || matching.next().is_some(),
        });
        texts.reverse();
        let head = head.to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        Ok(format!("{head},\"entries\":[{}]}}\n", texts.join(",")))
    }
}

/// As `history --json` prints it, but for texts that are too long or would harm a terminal.
fn text(entry: &Entry) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(entry)?;
    tame(&mut value);
    serde_json::to_string(&value)
}

fn tame(value: &mut Value) {
    match value {
        Value::String(text) => *text = harmless::line(text, TEXT_CHARS_MAX),
        Value::Array(items) => items.iter_mut().for_each(tame),
        Value::Object(fields) => fields.values_mut().for_each(tame),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::history::History;
    use crate::core::record::Record;
    use crate::moment::Wall;

    /// One hold a record, the last of which is released.
    fn events(count: u64) -> Events {
        let mut history = History::keeping(ENTRIES_MAX);
        for seq in 1..=count {
            let account = format!("a{seq}").parse().unwrap();
            history.take(seq, Wall(0), &Record::AccountHeld { account, at: Wall(1) });
        }
        Events { entries: history.latest(), last_seq: history.last_seq() }
    }

    fn seen(events: &Events, query: &str) -> (Vec<u64>, bool) {
        let document = events.document(Wanted::read(query).unwrap()).unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        let entries = document["entries"].as_array().unwrap();
        let seqs = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        (seqs, document["more"].as_bool().unwrap())
    }

    #[test]
    fn the_last_come_last_and_what_is_left_out_is_said() {
        let events = events(4);
        for (query, seqs, more) in [
            ("", vec![1, 2, 3, 4], false),
            ("limit=4", vec![1, 2, 3, 4], false),
            ("limit=2", vec![3, 4], true),
            ("since=2", vec![3, 4], false),
            ("since=2&limit=1", vec![4], true),
            ("since=4", vec![], false),
            ("since=9", vec![], false),
        ] {
            assert_eq!(seen(&events, query), (seqs, more), "{query}");
        }
        assert_eq!(seen(&Events::default(), ""), (vec![], false));
    }

    #[test]
    fn an_entry_that_changed_since_is_news_again() {
        let mut history = History::default();
        let account: crate::ids::AccountName = "a".parse().unwrap();
        let held = Record::AccountHeld { account: account.clone(), at: Wall(1) };
        history.take(7, Wall(1), &held);
        let before = history.latest();
        history.take(9, Wall(2), &Record::AccountReleased { account, at: Wall(2) });
        let events = Events { entries: history.latest(), last_seq: 9 };
        assert_eq!(seen(&events, "since=8"), (vec![7, 9], false));
        assert_eq!(before[0].ended_at(), None, "who has taken it sees no change");
    }

    #[test]
    fn a_query_that_means_nothing_is_refused() {
        for query in ["limit=0", "limit=501", "limit=x", "since=-1", "limit", "x=1", "since=1&y"] {
            assert!(Wanted::read(query).is_err(), "{query}");
        }
        assert_eq!(Wanted::read("&").unwrap(), Wanted::default());
    }

    #[test]
    fn what_is_too_long_is_cut_and_an_answer_stays_within_its_bytes() {
        let mut history = History::keeping(ENTRIES_MAX);
        let long = "\u{1b}]0;title\u{7}\u{202e}".to_owned() + &"\"".repeat(1_000_000);
        for seq in 1..=3_000 {
            let account = "a".parse().unwrap();
            let reasons = (0..20).map(|n| (format!("a{n}").parse().unwrap(), long.clone()));
            let reasons = if seq > 2_980 { reasons.collect() } else { Vec::new() };
            history.take(seq, Wall(0), &Record::AccountHeld { account, at: Wall(1) });
            history.take(seq, Wall(0), &Record::Parked { at: Wall(1), until: None, reasons });
        }
        let events = Events { entries: history.latest(), last_seq: 3_000 };
        assert_eq!(events.entries.len(), ENTRIES_MAX);
        let document = events.document(Wanted { limit: ENTRIES_MAX, since: 0 }).unwrap();
        assert!(document.len() < ANSWER_BYTES_MAX + 1_000, "{}", document.len());
        assert!(!document.contains(['\u{1b}', '\u{7}', '\u{202e}']));
        assert!(document.contains('…'));
    }
}
