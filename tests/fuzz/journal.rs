//! Bytes as journal: what a start makes of them, and what of a sound journal of any content.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use claude_failover::cli::history::line as told;
use claude_failover::config::load::{Base, parse};
use claude_failover::core::Core;
use claude_failover::core::action::Action;
use claude_failover::core::durable::Durable;
use claude_failover::core::event::Event;
use claude_failover::core::history::fold;
use claude_failover::core::record::Record;
use claude_failover::harmless::is_plain;
use claude_failover::journal::error::JournalError;
use claude_failover::journal::line::{self, Entry};
use claude_failover::journal::{Journal, reader};
use claude_failover::moment::{Mono, Now, Wall};
use claude_failover::snapshot::Snapshot;
use tempfile::TempDir;

use crate::fuzz::target::{NOW, hash, words_of};

/// Records of one history each, as a list; the shortest that together have all kinds.
const HISTORIES: &str = include_str!("corpus/histories.jsonl");
const EXAMPLE: &str = include_str!("../../etc/config.example.yaml");
const CHECKSUM_BYTES: usize = 9;

pub const WORDS: &[&str] = &[
    "\n",
    "00000000 ",
    "{\"v\":1,\"seq\":1,\"at\":0,\"record\":{\"type\":\"clean_stop\"}}\n",
    "{\"v\":2,",
    "\"v\":1",
    "\"seq\":",
    "\"at\":",
    "\"record\":",
    "\"type\":\"",
    "\"type\":\"daemon_started\"",
    "\"type\":\"swap_planned\"",
    "\"type\":\"swap_saved\"",
    "\"type\":\"swap_flipped\"",
    "\"type\":\"swap_done\"",
    "\"type\":\"swap_stuck\"",
    "\"type\":\"task_claimed\"",
    "\"type\":\"task_closed\"",
    "\"type\":\"move_ended\"",
    "\"type\":\"parked\"",
    "\"op\":1",
    "\"op\":18446744073709551615",
    "\"session\":\"",
    "\"fence\":18446744073709551615",
    "-9223372036854775808",
    "9223372036854775807",
    "4294967295",
    "null",
    "[]",
    "{}",
    "\"\\u001b[31m\"",
    "\"\\u202e\"",
    "\0",
    "\0\n",
    "\r\n",
];

pub fn corpus() -> Vec<Vec<u8>> {
    let histories = HISTORIES.lines().map(|line| serde_json::from_str(line).unwrap());
    histories.map(|records: Vec<Record>| written(&records)).collect()
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, record) in (1..).zip(records) {
        line::encode(&mut bytes, at, NOW, record).unwrap();
    }
    bytes
}

pub fn read(input: &[u8]) -> u64 {
    let sealed = sealed(input);
    let mut records = Vec::new();
    for row in sealed.split(|byte| *byte == b'\n') {
        records.extend(line::decode(row).map(|entry: Entry<Record>| entry.record));
    }
    hash(&(start(input), start(&sealed), replay(&records)))
}

/// Each line with the checksum that fits it, so that not every change is found by that alone.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(input.len());
    for row in input.split_inclusive(|byte| *byte == b'\n') {
        let (json, end) = match row.strip_suffix(b"\n") {
            Some(json) => (json, &b"\n"[..]),
            None => (row, &b""[..]),
        };
        let json = json.get(CHECKSUM_BYTES..).unwrap_or_default();
        sealed.extend(format!("{:08x} ", crc32fast::hash(json)).bytes());
        sealed.extend([json, end].concat());
    }
    sealed
}

struct State(TempDir);

impl State {
    /// In memory where that can be: a start flushes its files.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("cf-fuzz-");
        Self(builder.tempdir_in(memory).or_else(|_| builder.tempdir()).unwrap())
    }

    /// What a start makes of a journal, and what is left of it.
    fn start(&self, journal: &[u8]) -> (Result<Vec<Entry<Record>>, JournalError>, Vec<u8>) {
        let path = self.0.path().join("journal");
        fs::write(&path, journal).unwrap();
        let found = Journal::open(self.0.path()).map(|(_, entries)| entries);
        (found, fs::read(&path).unwrap())
    }

    /// What somebody else reads of the journal that is there.
    fn told(&self) -> (Result<(), JournalError>, Vec<Entry<Record>>, usize) {
        let (mut entries, mut left_out) = (Vec::new(), 0);
        let end = reader::read(self.0.path(), &mut |found| match found {
            Ok(entry) => entries.push(entry),
            Err(_) => left_out += 1,
        });
        (end, entries, left_out)
    }
}

fn start(journal: &[u8]) -> u64 {
    thread_local! {
        static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
    }
    STATE.with_borrow_mut(|state| {
        let state = state.get_or_insert_with(State::new);
        let (found, left) = state.start(journal);
        match found {
            Ok(entries) => taken(state, journal, &entries, &left),
            Err(error) => {
                assert_eq!(left, journal, "it was changed");
                refused(state, journal, &error)
            }
        }
    })
}

/// What was taken is whole lines with good checksums in their order, and what was cut a torn end.
fn taken(state: &State, journal: &[u8], entries: &[Entry<Record>], left: &[u8]) -> u64 {
    assert!(journal.starts_with(left), "other bytes");
    let rows: Vec<&[u8]> = left.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(rows.len(), entries.len());
    for (row, entry) in rows.iter().zip(entries) {
        let json = row.strip_suffix(b"\n").expect("a whole line");
        let (checksum, json) = json.split_at(CHECKSUM_BYTES);
        assert_eq!(checksum, format!("{:08x} ", crc32fast::hash(json)).as_bytes());
        let mut again = Vec::new();
        line::encode(&mut again, entry.seq, entry.at, &entry.record).unwrap();
        assert_eq!(line::decode(again.strip_suffix(b"\n").unwrap()).as_ref(), Ok(entry));
    }
    assert!(entries.windows(2).all(|two| two[0].seq + 1 == two[1].seq), "out of order");
    let torn = &journal[left.len()..];
    let (last, before) = torn.split_last().map_or((None, torn), |(last, rest)| (Some(last), rest));
    assert!(!before.contains(&b'\n'), "more than the last line was cut");
    assert!(last != Some(&b'\n') || before.contains(&0), "a line that was written whole was cut");

    let (end, told, left_out) = state.told();
    assert!(end.is_ok() && told == entries && left_out == 0, "a reader sees others");
    let (again, left_again) = state.start(left);
    assert_eq!((again.unwrap(), &*left_again), (entries.to_vec(), left), "another start");
    damaged(state, entries, left);
    hash(&(entries.len().min(4), torn.is_empty()))
}

/// One bit of it flips, or its end is lost: never is anything else believed than was written.
fn damaged(state: &State, entries: &[Entry<Record>], journal: &[u8]) {
    if journal.is_empty() {
        return;
    }
    let luck = usize::try_from(hash(&journal) >> 1).unwrap();
    let (at, bit) = (luck % journal.len(), luck / journal.len() % 8);
    let mut flipped = journal.to_vec();
    flipped[at] ^= 1 << bit;
    let (found, left) = state.start(&flipped);
    match found {
        Ok(found) => {
            assert_eq!(found, entries[..entries.len() - 1], "bit {bit} of byte {at}");
            let last_at = journal[..journal.len() - 1].iter().rposition(|byte| *byte == b'\n');
            assert!(last_at.is_none_or(|end| end < at), "an earlier line was cut");
        }
        Err(_) => assert_eq!(left, flipped),
    }
    let cut = &journal[..at];
    let whole = cut.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(state.start(cut).0.unwrap(), entries[..whole], "cut at byte {at}");
}

fn refused(state: &State, journal: &[u8], error: &JournalError) -> u64 {
    let (end, told, _) = state.told();
    let (line, newer) = match error {
        JournalError::BadLine { line, .. } | JournalError::UnknownRecord { line, .. } => {
            (*line, false)
        }
        JournalError::NewerVersion { line, .. } => (*line, true),
        other => panic!("{other}"),
    };
    assert!(!newer || end.is_err(), "a reader passes over a newer version");
    let rows: Vec<&[u8]> = journal.split(|byte| *byte == b'\n').collect();
    assert!(told.len() >= line - 1, "a reader gives less than is sound");
    assert!(told.windows(2).all(|two| two[0].seq < two[1].seq), "a reader mixes them up");
    for (row, entry) in rows.iter().zip(&told).take(line - 1) {
        assert_eq!(line::decode(row).as_ref(), Ok(entry));
    }
    hash(&(words_of(&error.to_string()), line.min(4)))
}

/// Records of any content and order are a state or refused, and both live on.
fn replay(records: &[Record]) -> u64 {
    let mut durable = Durable::default();
    let mut legal = Vec::new();
    for record in records {
        let before = durable.clone();
        match durable.apply(record) {
            Ok(()) => legal.push(record.clone()),
            Err(_) => assert!(durable == before, "a refused record has changed the state"),
        }
    }
    let snapshot = Record::Compacted { state: Box::new(durable.clone()) };
    let compacted = written(&[snapshot]);
    let entry: Entry<Record> = line::decode(compacted.strip_suffix(b"\n").unwrap()).unwrap();
    let mut again = Durable::default();
    again.apply(&entry.record).unwrap();
    assert!(again == durable, "compacted, the journal says something else");

    for entry in fold((1..).zip(&legal).map(|(seq, record)| (seq, NOW, record))) {
        let text = told::text(&entry);
        assert!(text.chars().all(|c| c == '\n' || is_plain(c)), "{text:?}");
        let json = told::json(&entry);
        assert!(json.trim_end().chars().all(is_plain), "{json:?}");
    }
    hash(&(legal.len() == records.len(), legal.len().min(4), go_on(&durable, &legal)))
}

/// A start with this journal, under a configuration that need not know any name in it.
fn go_on(durable: &Durable, records: &[Record]) -> usize {
    thread_local! {
        static CONFIG: Arc<claude_failover::config::Config> =
            Arc::new(parse(EXAMPLE, &Base::new("/home/u")).unwrap().config);
    }
    let config = CONFIG.with(Arc::clone);
    let mut core = Core::recover(config, records).expect("they were legal");
    let mut durable = durable.clone();
    let now = |ms: i64| Now { monotonic: Mono(ms.unsigned_abs()), wall: Wall(NOW.0 + ms) };
    let started = Record::DaemonStarted { version: "0".to_owned(), pid: 1 };
    let mut actions = core.start(now(1_000), None, started);
    actions.extend(core.handle(now(2_000), Event::TerminalConnected));
    actions.extend(core.handle(now(90_000_000), Event::DeadlineReached));
    for action in &actions {
        if let Action::Persist(record) = action {
            durable.apply(record).expect("it follows");
        }
    }
    assert!(durable == core.durable, "it has not written down what it knows");
    let snapshot = Snapshot::of(&core, NOW, now(90_000_000));
    assert!(snapshot.status.is_object());
    actions.len().min(8)
}
