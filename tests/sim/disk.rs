//! The journal as the bytes on a disk, by the format and the replay of the daemon itself: what a
//! crash leaves of a write, what a bit that turned over does, and what the next start makes of both.

use std::path::Path;

use claude_failover::core::record::Record;
use claude_failover::journal::line;
use claude_failover::journal::replay::{Replayed, replay};
use claude_failover::moment::Wall;

use crate::prng::Prng;

const FIRST: u64 = 1;

#[derive(Debug, Clone, Default)]
pub struct Disk {
    bytes: Vec<u8>,
    /// What was written whole, and so may have been acted upon.
    records: Vec<Record>,
    /// Of the first record.
    first: u64,
    last_line_at: usize,
}

impl Disk {
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn append(&mut self, record: Record, at: Wall) {
        self.last_line_at = self.bytes.len();
        let line = self.line(&record, at);
        let again = line::decode::<Record>(line.trim_ascii_end()).expect("its text reads back");
        assert_eq!(again.record, record, "a record changes on disk");
        self.bytes.extend(line);
        self.records.push(record);
    }

    /// A crash in the middle of the write: the file ends early, or is as long as it was to be and has
    /// no data yet in some of it.
    pub fn tear(&mut self, record: &Record, at: Wall, rng: &mut Prng) {
        let mut line = self.line(record, at);
        let from = rng.below(line.len());
        if rng.chance(500) {
            line.truncate(from);
        } else {
            let hole = 1 + rng.below(line.len() - from);
            line[from..from + hole].fill(0);
        }
        self.bytes.extend(line);
    }

    /// All of it becomes this one record, whose number goes on.
    pub fn replace(&mut self, record: Record, at: Wall) {
        let first = self.next();
        *self = Self { first, ..Self::default() };
        self.append(record, at);
    }

    /// # Panics
    /// When a replay finds anything else than what was written whole.
    pub fn replay(&mut self) {
        let replayed = read(&self.bytes).expect("the journal is ours");
        let read_back = replayed.entries.iter().map(|entry| &entry.record);
        assert!(read_back.eq(&self.records), "a replay changes the journal");
        self.bytes.truncate(usize::try_from(replayed.size_bytes).expect("small"));
    }

    /// # Panics
    /// When a journal with one bit turned over is taken for good, but for its last line: what the
    /// bit makes look like half a write cannot be told from one.
    pub fn survives_a_flipped_bit(&self, rng: &mut Prng) {
        if self.bytes.is_empty() {
            return;
        }
        let mut bytes = self.bytes.clone();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        let Some(replayed) = read(&bytes) else { return };
        let kept = replayed.entries.len();
        let read_back = replayed.entries.iter().map(|entry| &entry.record);
        assert!(read_back.eq(&self.records[..kept]), "damage at byte {at} is taken for a record");
        let lost = self.records.len() - kept;
        assert!(
            lost == 0 || lost == 1 && at >= self.last_line_at,
            "damage at byte {at} drops {lost} records"
        );
    }

    fn next(&self) -> u64 {
        self.first.max(FIRST) + self.records.len() as u64
    }

    fn line(&self, record: &Record, at: Wall) -> Vec<u8> {
        let mut line = Vec::new();
        line::encode(&mut line, self.next(), at, record).expect("no record is that long");
        line
    }
}

fn read(bytes: &[u8]) -> Option<Replayed<Record>> {
    replay(bytes, Path::new("journal")).ok()
}
