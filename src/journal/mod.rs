//! The facts on disk: one checked line a record, appended and flushed before anything acts on it.
//!
//! Owns `<state_dir>/journal`, its archives `journal.<first>-<last>` and `<state_dir>/lock`, and knows
//! nothing of what a record means. It never repairs: a torn last line is cut, any other damage stops
//! the start; `replay` says how they differ. What a compaction replaces is kept by [`archive`] for
//! people, whom [`reader`] serves; no state is ever made from it again.
//!
//! Order of flushes. Append: one write, one fdatasync; only then may the record be acted upon.
//! Open: the file (after a cut) and its directory are fsynced before the first record is handed
//! out, because a predecessor may have died between its write and its flush. Compaction: the new
//! file is written and fsynced; the old one gets its second name, that of an archive, and the
//! directory is fsynced; the new one is renamed over the old one's first name, and the directory
//! fsynced again. A crash at any point leaves the old or the new journal whole. What else it may leave
//! the next start removes: a file `journal.new`, and a second name of the journal in use.

pub mod archive;
mod dir;
pub mod error;
pub mod line;
pub mod reader;
pub mod replay;

use std::fs::File;
use std::io::{BufReader, Write};
use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::archive::Range;
use crate::journal::dir::{Lock, StateDir};
use crate::journal::error::JournalError;
use crate::journal::line::Entry;
use crate::moment::Wall;

/// No compaction below this size: a start replays it in some milliseconds.
pub const COMPACT_MIN_BYTES: u64 = 4 << 20;
/// No compaction before the journal is this many times its size after the last one.
pub const COMPACT_GROWTH: u64 = 4;
/// An append that would go past this is refused. Compaction keeps a journal far below it; where that
/// failed for so long, it is the first thing that a start does.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;

const JOURNAL: &str = "journal";
const JOURNAL_NEXT: &str = "journal.new";

/// The open journal of the only instance that works in this state directory.
pub struct Journal<T> {
    file: File,
    /// Of its first line, or of the one that will be.
    first_seq: u64,
    next_seq: u64,
    size_bytes: u64,
    compact_above_bytes: u64,
    /// INVARIANT: true from the start of a write to its proven end. After a failed fsync the
    /// kernel may have dropped the pages, so a retry would report success for lost data.
    poisoned: bool,
    /// That there is no archive has been said.
    unkept_said: bool,
    dir: StateDir,
    _record: PhantomData<fn(&T)>,
    /// INVARIANT: the last field, so that nothing of this journal outlives its lock.
    _lock: Lock,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Takes the lock and replays. Makes the directory (0700) when it is missing, not its parents.
    ///
    /// On any error the journal file is as it was.
    pub fn open(state_dir: &Path) -> Result<(Self, Vec<Entry<T>>), JournalError> {
        let dir = StateDir::open(state_dir)?;
        let lock = dir.lock()?;
        let file = dir.open_file(JOURNAL)?;
        let path = dir.path_of(JOURNAL);
        let replayed = replay::replay(BufReader::with_capacity(64 << 10, &file), &path)?;
        if let Some(torn) = &replayed.torn {
            log::warn!("{} {torn}", path.display());
            file.set_len(replayed.size_bytes)
                .map_err(JournalError::io("cut the torn last line of", &path))?;
        }
        file.sync_all().map_err(JournalError::io("flush", &path))?;
        dir.remove(JOURNAL_NEXT)?;
        let archived = archive::settle(&dir, JOURNAL);
        dir.sync()?;
        // A journal that was moved away takes no numbers back that archives have.
        let first_seq = replayed.entries.first().map_or(archived + 1, |first| first.seq);
        let journal = Self {
            file,
            first_seq,
            next_seq: replayed.entries.last().map_or(first_seq, |last| last.seq + 1),
            size_bytes: replayed.size_bytes,
            compact_above_bytes: compact_above_bytes(replayed.first_line_bytes),
            poisoned: false,
            unkept_said: false,
            dir,
            _record: PhantomData,
            _lock: lock,
        };
        Ok((journal, replayed.entries))
    }

    /// Makes `records` durable, in order, with one write and one flush. Some 0.2 ms on a disk.
    ///
    /// After any error every later call fails too, and the daemon must end: what is on disk is a
    /// prefix of the records given, and the next start finds out which.
    pub fn append(&mut self, records: &[T], at: Wall) -> Result<(), JournalError> {
        let path = self.dir.path_of(JOURNAL);
        if self.poisoned {
            return Err(JournalError::Poisoned { path });
        }
        if records.is_empty() {
            return Ok(());
        }
        self.poisoned = true;
        let mut lines = Vec::new();
        let mut seq = self.next_seq;
        for record in records {
            line::encode(&mut lines, seq, at, record)?;
            seq += 1;
        }
        let size_bytes = self.size_bytes + lines.len() as u64;
        if size_bytes > JOURNAL_BYTES_MAX {
            return Err(JournalError::Full { path });
        }
        self.file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data())
            .map_err(JournalError::io("append to", &path))?;
        self.next_seq = seq;
        self.size_bytes = size_bytes;
        self.poisoned = false;
        Ok(())
    }

    /// Whether [`Journal::compact`] is worth its two flushes.
    pub fn should_compact(&self) -> bool {
        self.size_bytes > self.compact_above_bytes
    }

    /// Replaces all lines by one that says the same, and keeps the old ones as an archive where the
    /// file system has hard links. Numbers go on where they were.
    ///
    /// An error before the rename leaves the journal as it was, usable, and not asking for another
    /// try before [`COMPACT_MIN_BYTES`] more are written. After the rename it poisons the journal.
    pub fn compact(&mut self, snapshot: &T, at: Wall) -> Result<(), JournalError> {
        let path = self.dir.path_of(JOURNAL);
        if self.poisoned {
            return Err(JournalError::Poisoned { path });
        }
        self.compact_above_bytes = self.size_bytes + COMPACT_MIN_BYTES;
        let mut lines = Vec::new();
        line::encode(&mut lines, self.next_seq, at, snapshot)?;
        let file = self.write_next(&lines)?;
        self.keep();

        self.poisoned = true;
        self.dir.replace(JOURNAL_NEXT, JOURNAL)?;
        self.dir.sync()?;
        self.file = file;
        self.first_seq = self.next_seq;
        self.next_seq += 1;
        self.size_bytes = lines.len() as u64;
        self.compact_above_bytes = compact_above_bytes(self.size_bytes);
        self.poisoned = false;
        archive::prune(&self.dir);
        Ok(())
    }

    /// The state is worth more than its past: without an archive we go on, and say so once.
    fn keep(&mut self) {
        if self.size_bytes == 0 {
            return;
        }
        let range = Range { first: self.first_seq, last: self.next_seq - 1 };
        if let Err(error) = archive::keep(&self.dir, JOURNAL, range)
            && !std::mem::replace(&mut self.unkept_said, true)
        {
            log::warn!(
                "{error}: what the journal held before this compaction will be missing in \
                 `claude-failover history`; the state is not touched"
            );
        }
    }

    /// The number that the next record will have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write_next(&self, lines: &[u8]) -> Result<File, JournalError> {
        self.dir.remove(JOURNAL_NEXT)?;
        let mut file = self.dir.open_file(JOURNAL_NEXT)?;
        file.write_all(lines)
            .and_then(|()| file.sync_all())
            .map_err(JournalError::io("write", &self.dir.path_of(JOURNAL_NEXT)))?;
        Ok(file)
    }
}

/// The first line of a journal is its last compaction, or a record of ordinary size.
fn compact_above_bytes(first_line_bytes: u64) -> u64 {
    COMPACT_MIN_BYTES.max(COMPACT_GROWTH * first_line_bytes)
}
