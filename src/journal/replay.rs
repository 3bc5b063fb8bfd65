//! Reading a journal back, and telling a torn write from damage.
//!
//! An append is acknowledged only when all of its bytes are durable, so a write that a crash cut
//! short was never acted upon and may go. Two things prove such a write, and only for the last
//! line: it has no newline; or it has one and holds a NUL byte, which no line of ours does (JSON
//! escapes it) and which a file system shows where it made a file longer before it had the data.
//! A last line with a newline, no NUL and a wrong checksum was written whole and damaged later: it
//! may have been acted upon, so cutting it could forget a conversation or a step of a swap. That
//! stops the start, like damage in any earlier line.

use std::fmt;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{self, Bad, Entry, LINE_BYTES_MAX, VERSION};

/// How much of a cut line the log shows.
const SHOWN_BYTES: usize = 120;

#[derive(Debug)]
pub struct Replayed<T> {
    pub entries: Vec<Entry<T>>,
    /// Of all whole lines.
    pub size_bytes: u64,
    pub first_line_bytes: u64,
    pub torn: Option<Torn>,
}

/// The rest of a write that never ended. Prints as the log line about it.
#[derive(Debug)]
pub struct Torn {
    offset: u64,
    bytes: Vec<u8>,
}

/// Of all that `reader` has; errors name `path`.
///
/// # Errors
/// It cannot be read, or holds a line that is damaged or of a newer version.
pub fn replay<T: DeserializeOwned>(
    mut reader: impl BufRead,
    path: &Path,
) -> Result<Replayed<T>, JournalError> {
    let mut replayed =
        Replayed { entries: Vec::new(), size_bytes: 0, first_line_bytes: 0, torn: None };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let length = reader
            .by_ref()
            .take(LINE_BYTES_MAX as u64)
            .read_until(b'\n', &mut bytes)
            .map_err(JournalError::io("read", path))? as u64;
        if length == 0 {
            return Ok(replayed);
        }
        match read_line(&bytes, replayed.entries.last()) {
            Ok(entry) => replayed.entries.push(entry),
            Err(bad) => {
                let last = reader.fill_buf().map_err(JournalError::io("read", path))?.is_empty();
                if !(last && is_torn(&bytes)) {
                    return Err(refuse(bad, path, replayed.entries.len() + 1, replayed.size_bytes));
                }
                replayed.torn = Some(Torn { offset: replayed.size_bytes, bytes });
                return Ok(replayed);
            }
        }
        if replayed.size_bytes == 0 {
            replayed.first_line_bytes = length;
        }
        replayed.size_bytes += length;
    }
}

fn read_line<T: DeserializeOwned>(bytes: &[u8], prev: Option<&Entry<T>>) -> Result<Entry<T>, Bad> {
    let Some(text) = bytes.strip_suffix(b"\n") else {
        return Err(Bad::Damaged { why: format!("it does not end within {LINE_BYTES_MAX} bytes") });
    };
    let entry = line::decode(text)?;
    match prev {
        Some(prev) if prev.seq.checked_add(1) != Some(entry.seq) => {
            Err(Bad::Damaged { why: format!("its number is {}, after {}", entry.seq, prev.seq) })
        }
        _ => Ok(entry),
    }
}

/// Of the last line alone.
pub fn is_torn(bytes: &[u8]) -> bool {
    !bytes.ends_with(b"\n") || bytes.contains(&0)
}

fn refuse(bad: Bad, path: &Path, line: usize, offset: u64) -> JournalError {
    let path = path.to_owned();
    match bad {
        Bad::Newer { found } => JournalError::NewerVersion { path, line, found, known: VERSION },
        Bad::Unknown { why } => JournalError::UnknownRecord { path, line, why },
        Bad::Damaged { why } => JournalError::BadLine { path, line, offset, why },
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(SHOWN_BYTES)];
        write!(
            f,
            "ends in a write that a crash cut short: {} bytes at byte {} are dropped: {:?}",
            self.bytes.len(),
            self.offset,
            String::from_utf8_lossy(shown)
        )
    }
}
