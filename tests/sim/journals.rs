//! Journals that hold every kind of record, cut from played histories: what each later version must be
//! able to read.
//!
//! `JOURNALS=DIR cargo test --test sim journals` writes them, each with the state that it leaves. So
//! the fixtures of a release are made: `tests/it/fixtures/journals/<version>`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use claude_failover::core::durable::Durable;
use claude_failover::core::record::Record;
use claude_failover::journal::line;
use claude_failover::moment::Wall;

use crate::run::Sim;
use crate::tables::desk::START_WALL;

/// Played until each kind was seen; some are rare.
const HISTORIES: u64 = 3_000;
/// Shorter journals are looked for in so many.
const HISTORIES_MIN: u64 = 300;

/// What a file more is worth, so that a few tell much.
const FILE_BYTES: usize = 20_000;

/// The names of all kinds, from their table.
fn kinds() -> BTreeSet<&'static str> {
    let table = include_str!("../../src/core/kind.rs");
    let names =
        table.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once("=> \""));
    names.map(|(_, name)| name).collect()
}

struct Journal {
    records: Vec<Record>,
    /// Bytes up to each record.
    ends: Vec<usize>,
}

impl Journal {
    fn of(records: Vec<Record>) -> Self {
        let mut bytes = 0;
        let ends = records.iter().map(|record| {
            bytes += serde_json::to_string(record).expect("a record has a text").len();
            bytes
        });
        let ends = ends.collect();
        Self { records, ends }
    }

    /// The beginning that has the most wanted kinds for its length: its worth, and its records.
    fn best(&self, wanted: &BTreeSet<&'static str>) -> Option<(usize, usize)> {
        let mut found = BTreeSet::new();
        let mut best = None;
        for (at, record) in self.records.iter().enumerate() {
            if wanted.contains(record.name()) && found.insert(record.name()) {
                let worth = found.len() * 1_000_000 / (FILE_BYTES + self.ends[at]);
                best = best.max(Some((worth, at + 1)));
            }
        }
        best
    }
}

/// Kinds that no history here comes to write, where they may follow: they are written behind what was
/// played.
fn by_hand(state: &Durable) -> Vec<Record> {
    let background = |session| Record::TaskBackground { session, on: true };
    let not_launched = |session| Record::TaskNotLaunched { session };
    let sessions = || state.jobs.keys().cloned();
    let undecided = state.set_aside.keys().cloned().map(|task| Record::TaskUndecided { task });
    sessions().map(background).chain(sessions().map(not_launched)).chain(undecided).collect()
}

/// A played journal, cut where each record by hand of an unseen kind may come first, and ended by it.
fn ended_by_hand(log: &[Record], unseen: &BTreeSet<&'static str>) -> Vec<Vec<Record>> {
    let mut state = Durable::default();
    let mut found: BTreeMap<&str, Vec<Record>> = BTreeMap::new();
    for (at, record) in log.iter().enumerate() {
        state.apply(record).expect("the journal is ours");
        for record in by_hand(&state) {
            let is_news = unseen.contains(record.name()) && !found.contains_key(record.name());
            if is_news && state.clone().apply(&record).is_ok() {
                found.insert(record.name(), [&log[..=at], &[record]].concat());
            }
        }
    }
    found.into_values().collect()
}

#[test]
fn histories_write_every_kind_of_record() {
    let mut unseen = kinds();
    let mut wanted = unseen.clone();
    assert!(wanted.len() > 60, "the table of kinds was not understood: {wanted:?}");
    let mut journals = Vec::new();
    for seed in 0..HISTORIES {
        if unseen.is_empty() && seed >= HISTORIES_MIN {
            break;
        }
        let mut sim = Sim::new(&seed.into(), false);
        sim.run();
        let mut played = ended_by_hand(sim.disk.records(), &unseen);
        played.push(sim.disk.records().to_vec());
        for log in played {
            let seen: BTreeSet<&str> = log.iter().map(Record::name).collect();
            let is_news = unseen.iter().any(|kind| seen.contains(kind));
            unseen.retain(|kind| !seen.contains(kind));
            if is_news || seed < HISTORIES_MIN {
                journals.push(Journal::of(log));
            }
        }
    }
    assert_eq!(unseen, BTreeSet::new(), "kinds that no history writes");
    let mut number = 0;
    while !wanted.is_empty() {
        let best = journals.iter().filter_map(|journal| Some((journal.best(&wanted)?, journal)));
        let ((_, length), journal) =
            best.max_by_key(|(best, _)| *best).expect("each kind is in some history");
        let records = &journal.records[..length];
        wanted.retain(|kind| records.iter().all(|record| record.name() != *kind));
        number += 1;
        if let Some(dir) = std::env::var_os("JOURNALS") {
            write(Path::new(&dir), number, records);
        }
    }
}

fn write(dir: &Path, number: usize, records: &[Record]) {
    let mut lines = Vec::new();
    let mut state = Durable::default();
    for (seq, record) in (1..).zip(records) {
        let at = Wall(START_WALL + 1_000 * i64::try_from(seq).expect("few records"));
        line::encode(&mut lines, seq, at, record).expect("a record fits a line");
        state.apply(record).expect("the journal is ours");
    }
    let state = serde_json::to_string_pretty(&state).expect("a state has a text");
    fs::write(dir.join(format!("{number}.journal")), lines).expect("the directory is there");
    fs::write(dir.join(format!("{number}.state.json")), state + "\n").expect("it is there");
}
