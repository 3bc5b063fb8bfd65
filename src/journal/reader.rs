//! Archives and journal read by somebody else than the daemon, which may append and compact meanwhile;
//! and the latest archive read by a start, for what it has not told yet.
//!
//! Takes no lock and changes nothing. The journal is opened before the archives are listed, and those
//! are opened from the latest on: a compaction in between gives the file in hand a second name, which
//! is then passed over, and a removal takes the oldest. So what is read has no gap, and lacks at most
//! what was written after the start. What cannot be read is told, line by line, and left out.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::journal::JOURNAL;
use crate::journal::archive;
use crate::journal::dir::{FileId, ReadFile, StateDir};
use crate::journal::error::JournalError;
use crate::journal::line::{self, Bad, Entry, LINE_BYTES_MAX, VERSION};
use crate::journal::replay::is_torn;

/// Bad lines of one file that are told one by one.
pub const BAD_LINES_TOLD_MAX: usize = 5;

/// What is missing in what was read, in words for the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum LeftOut {
    Line {
        path: PathBuf,
        /// From 1.
        line: usize,
        why: String,
    },
    /// Beyond those that were told.
    MoreLines {
        path: PathBuf,
        count: usize,
    },
    /// From this line on, or all of it.
    Rest {
        path: PathBuf,
        line: usize,
        why: String,
    },
    File {
        why: String,
    },
    /// Numbers that no file has.
    Gap {
        first: u64,
        last: u64,
    },
}

struct Source {
    file: ReadFile,
    /// Lines with this number and higher ones are a later file's.
    end: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Archive,
    /// Perhaps somebody writes at its end.
    Journal,
}

type Take<'a, T> = &'a mut dyn FnMut(Result<Entry<T>, LeftOut>);

/// Gives each record once, in the order of its number, and what is left out where it would have been.
///
/// # Errors
/// The directory or the journal cannot be read, is another user's, or is of a newer version. A
/// directory that is not there has no records.
pub fn read<T: DeserializeOwned>(state_dir: &Path, take: Take<'_, T>) -> Result<(), JournalError> {
    let Some(dir) = StateDir::open_to_read(state_dir)? else { return Ok(()) };
    let mut reading = Reading { take, last_seq: None, excused: false };
    for source in reading.sources(&dir)? {
        reading.file(&source)?;
    }
    Ok(())
}

/// Gives what the compaction whose line has this number took out of the journal, where an archive has
/// kept it: the latest one, or none.
///
/// # Errors
/// The directory or the archive cannot be read, or is another user's.
pub fn read_compacted<T: DeserializeOwned>(
    state_dir: &Path,
    seq: u64,
    take: Take<'_, T>,
) -> Result<(), JournalError> {
    let Some(dir) = StateDir::open_to_read(state_dir)? else { return Ok(()) };
    let ranges = archive::list(&dir)?;
    let Some(range) = ranges.iter().find(|range| range.last.checked_add(1) == Some(seq)) else {
        return Ok(());
    };
    let Some(file) = dir.read_file(&range.name())? else { return Ok(()) };
    let mut reading = Reading { take, last_seq: None, excused: false };
    reading.file(&Source { file, end: seq, kind: Kind::Archive })
}

struct Reading<'a, T> {
    take: Take<'a, T>,
    last_seq: Option<u64>,
    /// What is missing before the next record has been told.
    excused: bool,
}

impl<T: DeserializeOwned> Reading<'_, T> {
    /// The oldest first; the journal itself comes last.
    fn sources(&mut self, dir: &StateDir) -> Result<Vec<Source>, JournalError> {
        let journal = dir.read_file(JOURNAL)?;
        let mut end = match &journal {
            Some(journal) => first_seq(journal)?.unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        let own = journal.as_ref().map(|journal| journal.id);
        let mut found: Vec<Source> = journal
            .map(|file| Source { file, end: u64::MAX, kind: Kind::Journal })
            .into_iter()
            .collect();
        for range in archive::list(dir)?.iter().rev() {
            if range.first >= end && has_moved_on(dir, own)? {
                continue; // made since we opened the journal, of what was written since
            }
            match dir.read_file(&range.name()) {
                Ok(Some(file)) if Some(file.id) != own => {
                    found.push(Source { file, end, kind: Kind::Archive });
                    end = end.min(range.first);
                }
                Ok(_) => {}
                Err(error) => self.leave_out(LeftOut::File { why: error.to_string() }),
            }
        }
        found.reverse();
        Ok(found)
    }

    fn file(&mut self, source: &Source) -> Result<(), JournalError> {
        let path = &source.file.path;
        // Only now: before its second name was seen, the file may have grown.
        let size_bytes = source.file.file.metadata().map_err(JournalError::io("look at", path))?;
        let mut lines = Lines::new(&source.file, size_bytes.len());
        let mut bad_lines = 0;
        while let Some(line) = lines.next()? {
            let why = match line.decode::<T>() {
                Ok(entry) if entry.seq >= source.end => {
                    let why = format!("a later file begins with number {}", source.end);
                    self.leave_out(LeftOut::Rest { path: path.clone(), line: line.number, why });
                    break;
                }
                Ok(entry) => match self.give(entry) {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                Err(Bad::Newer { found }) if source.kind == Kind::Journal => {
                    let (path, line) = (path.clone(), line.number);
                    return Err(JournalError::NewerVersion { path, line, found, known: VERSION });
                }
                Err(Bad::Newer { found }) => {
                    let why = format!("it was written by a newer version (format {found})");
                    self.leave_out(LeftOut::Rest { path: path.clone(), line: line.number, why });
                    break;
                }
                Err(Bad::Damaged { .. }) if source.kind == Kind::Journal && line.is_torn() => break,
                Err(Bad::Damaged { why } | Bad::Unknown { why }) => why,
            };
            bad_lines += 1;
            self.excused = true;
            if bad_lines <= BAD_LINES_TOLD_MAX {
                self.leave_out(LeftOut::Line { path: path.clone(), line: line.number, why });
            }
        }
        if bad_lines > BAD_LINES_TOLD_MAX {
            let count = bad_lines - BAD_LINES_TOLD_MAX;
            self.leave_out(LeftOut::MoreLines { path: path.clone(), count });
        }
        Ok(())
    }

    fn give(&mut self, entry: Entry<T>) -> Result<(), String> {
        if let Some(last) = self.last_seq {
            if entry.seq <= last {
                return Err(format!("its number is {}, after {last}", entry.seq));
            }
            if entry.seq > last + 1 && !self.excused {
                self.leave_out(LeftOut::Gap { first: last + 1, last: entry.seq - 1 });
            }
        }
        self.last_seq = Some(entry.seq);
        self.excused = false;
        (self.take)(Ok(entry));
        Ok(())
    }

    fn leave_out(&mut self, what: LeftOut) {
        self.excused = true;
        (self.take)(Err(what));
    }
}

/// Whether the journal is another file by now than this one: it has been compacted.
fn has_moved_on(dir: &StateDir, own: Option<FileId>) -> Result<bool, JournalError> {
    Ok(dir.read_file(JOURNAL)?.map(|journal| journal.id) != own)
}

/// `None` when the first line cannot be read, or is not there yet.
fn first_seq(source: &ReadFile) -> Result<Option<u64>, JournalError> {
    let mut lines = Lines::new(source, u64::MAX);
    let line = lines.next()?;
    let seq = line.and_then(|line| line.decode::<IgnoredAny>().ok()).map(|entry| entry.seq);
    (&source.file).rewind().map_err(JournalError::io("read", &source.path))?;
    Ok(seq)
}

struct Lines<'a> {
    reader: BufReader<io::Take<&'a File>>,
    path: &'a Path,
    bytes: Vec<u8>,
    number: usize,
}

struct Line<'a> {
    /// With its newline, if it has one.
    bytes: &'a [u8],
    /// From 1.
    number: usize,
    is_last: bool,
}

impl<'a> Lines<'a> {
    fn new(source: &'a ReadFile, size_bytes: u64) -> Self {
        let reader = BufReader::with_capacity(64 << 10, (&source.file).take(size_bytes));
        Self { reader, path: &source.path, bytes: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> Result<Option<Line<'_>>, JournalError> {
        self.try_next().map_err(JournalError::io("read", self.path))?;
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let rest = self.reader.fill_buf().map_err(JournalError::io("read", self.path))?;
        Ok(Some(Line { bytes: &self.bytes, number: self.number, is_last: rest.is_empty() }))
    }

    fn try_next(&mut self) -> io::Result<()> {
        self.bytes.clear();
        self.number += 1;
        let limit = LINE_BYTES_MAX as u64;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.bytes)?;
        if self.bytes.len() == LINE_BYTES_MAX && !self.bytes.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?; // what follows may be sound
        }
        Ok(())
    }
}

impl Line<'_> {
    fn decode<T: DeserializeOwned>(&self) -> Result<Entry<T>, Bad> {
        match self.bytes.strip_suffix(b"\n") {
            Some(text) => line::decode(text),
            None => Err(Bad::Damaged { why: "it has no end".to_owned() }),
        }
    }

    /// A write under way, or one that a crash cut short.
    fn is_torn(&self) -> bool {
        self.is_last && is_torn(self.bytes)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::Line { path, line, why } => {
                write!(f, "{} line {line} is left out: {why}", path.display())
            }
            LeftOut::MoreLines { path, count } => {
                write!(f, "{}: {count} more lines are left out", path.display())
            }
            LeftOut::Rest { path, line, why } => {
                write!(f, "{} is left out from line {line} on: {why}", path.display())
            }
            LeftOut::File { why } => write!(f, "an archive is left out: {why}"),
            LeftOut::Gap { first, last } => write!(
                f,
                "the records {first} to {last} are in no file: an archive was taken away, or none \
                 could be kept"
            ),
        }
    }
}
