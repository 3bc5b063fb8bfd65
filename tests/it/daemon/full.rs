//! A journal that is full ends the daemon, and must not end every one after it.

use std::fs;
use std::path::Path;

use claude_failover::core::record::Record;
use claude_failover::journal::error::JournalError;
use claude_failover::journal::{COMPACT_MIN_BYTES, JOURNAL_BYTES_MAX, Journal};
use claude_failover::moment::Wall;

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::Layout;

/// Of text in one record, well below what a line may have.
const TEXT_BYTES: u64 = 3 << 20;
/// Less than the shortest record has.
const ROOM_BYTES: u64 = 32;

fn started(version: &str) -> Record {
    Record::DaemonStarted { version: version.to_owned(), pid: 1 }
}

/// As a daemon leaves it that could not compact for long. The number of its records.
fn fill(state: &Path) -> u64 {
    let (mut journal, _) = Journal::open(state).unwrap();
    journal.append(&[started("")], Wall(1)).unwrap();
    let around = journal.size_bytes();
    loop {
        let room = JOURNAL_BYTES_MAX - journal.size_bytes();
        // Numbers get longer.
        let Some(fits) = room.checked_sub(around + ROOM_BYTES / 2) else { break };
        let text = "x".repeat(usize::try_from(fits.min(TEXT_BYTES)).unwrap());
        journal.append(&[started(&text)], Wall(2)).unwrap();
    }
    let records = journal.next_seq() - 1;
    let full = journal.append(&[started("0.1.0")], Wall(3)).unwrap_err();
    assert!(matches!(full, JournalError::Full { .. }), "{full}");
    records
}

#[test]
fn a_start_compacts_a_full_journal_before_it_writes_to_it() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    let state = fleet.root().join("state");
    let records = fill(&state);
    fleet.start();
    let text = fs::read_to_string(state.join("journal")).unwrap();
    assert!((text.len() as u64) < COMPACT_MIN_BYTES, "{}", text.len());
    let first: Vec<&str> = text.lines().take(2).collect();
    let compacted = format!("\"seq\":{},", records + 1);
    assert!(first[0].contains(&compacted) && first[0].contains("\"compacted\""), "{}", first[0]);
    assert!(first[1].contains("\"daemon_started\""), "{}", first[1]);
    fleet.stop_daemon();
}
