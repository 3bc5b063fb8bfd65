//! A journal as an older version has left it in the middle of a swap: without the fields that came later.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use claude_failover::core::durable::Durable;
use claude_failover::core::record::Record;
use claude_failover::journal::Journal;
use serde_json::{Map, Value, json};

use crate::daemon::fleet::{Fleet, Talks};
use crate::daemon::layout::{Layout, pool};

/// Records after which the older version died, in a swap of some thirty.
const DIED_AFTER: [usize; 3] = [6, 12, 18];

/// What the first version did not write. A record's type, and the names of its later fields.
const LATER: &[(&str, &[&str])] = &[
    ("active_found", &["at"]),
    ("restore_planned", &["cut"]),
    ("swap_planned", &["because", "passed_over"]),
    ("swap_flipped", &["at"]),
    ("swap_unflipped", &["at"]),
    ("move_stopping", &["finished"]),
];
/// The same for the state that a compaction writes.
const LATER_STATE: &[&str] = &[
    "active_since",
    "standings",
    "pinned",
    "parked",
    "paused",
    "drained",
    "resumed",
    "jobs",
    "task_talks",
    "attempts",
    "set_aside",
];

fn strip(record: &mut Map<String, Value>) -> usize {
    let kind = record["type"].as_str().unwrap().to_owned();
    let mut taken = 0;
    for (_, fields) in LATER.iter().filter(|(name, _)| *name == kind) {
        taken += fields.iter().filter(|field| record.remove(**field).is_some()).count();
    }
    if let Some(state) = record.get_mut("state").and_then(Value::as_object_mut) {
        taken += LATER_STATE.iter().filter(|field| state.remove(**field).is_some()).count();
    }
    if let Some(limit) = record.get_mut("limit").and_then(Value::as_object_mut) {
        taken += usize::from(limit.remove("printed").is_some());
    }
    if kind == "daemon_started" {
        record.insert("version".to_owned(), json!("0.0.1"));
    }
    taken
}

/// Writes every line anew as the older version would have; how many fields it did not know.
fn age(journal: &Path) -> usize {
    let text = fs::read_to_string(journal).unwrap();
    let mut taken = 0;
    let mut aged = String::new();
    for line in text.lines() {
        let mut entry: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        taken += strip(entry["record"].as_object_mut().unwrap());
        let json = entry.to_string();
        aged += &format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    }
    fs::write(journal, aged).unwrap();
    taken
}

/// Replaces the records by the state that they lead to.
fn compact(state_dir: &Path) {
    let (mut journal, entries) = Journal::<Record>::open(state_dir).unwrap();
    let mut durable = Durable::default();
    entries.iter().for_each(|entry| durable.apply(&entry.record).unwrap());
    let at = entries.last().unwrap().at;
    journal.compact(&Record::Compacted { state: Box::new(durable) }, at).unwrap();
}

fn died_in_a_swap(records: usize) -> (Fleet, Talks) {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    fleet.stop_daemon();
    fleet.start_with(Some(records));
    fleet.exhaust("a", 2 * 3600);
    fleet.prompt(&pool(1), "go on");
    assert_eq!(fleet.await_end().signal(), Some(9), "after record {records}");
    (fleet, talks)
}

#[test]
fn a_journal_of_an_older_version_is_gone_on_with() {
    for records in DIED_AFTER {
        for compacted in [false, true] {
            let (mut fleet, talks) = died_in_a_swap(records);
            let state = fleet.root().join("state");
            if compacted {
                compact(&state);
            }
            let taken = age(&state.join("journal"));
            assert!(taken > 2, "{taken} fields were taken away");
            fleet.start_with(None);
            fleet.await_all_on("b", &talks);
            println!("died after {records}, compacted: {compacted}, without {taken} fields: moved");
        }
    }
}
