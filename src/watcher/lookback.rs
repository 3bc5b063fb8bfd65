//! The end of a conversation file, found backwards from its last byte.
//!
//! What is read is bounded, so that the length of a conversation costs nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::moment::Wall;
use crate::quota::transcript::{self, Ending, Entry};
use crate::quota::verdict::Context;

/// Read at first; each further step is four times as long.
const FIRST_STEP_BYTES: u64 = 64 * 1024;
const STEP_FACTOR: u64 = 4;
/// What lies further back cannot be told from nothing.
const LOOKBACK_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Once it is known how the last turn ended, the prompt before it is looked for this far back.
const PROMPT_BYTES_MAX: u64 = 1024 * 1024;

/// The end of a file as it stood at one moment.
#[derive(Debug)]
pub struct Found {
    pub ending: Ending,
    /// Behind the last whole line: where the next one begins.
    pub next_line_at: u64,
}

/// What the lines say that are not older than `since`.
///
/// # Errors
/// The file cannot be read.
pub fn find(file: &File, size_bytes: u64, since: Wall, context: &Context<'_>) -> io::Result<Found> {
    let mut ending = Ending::default();
    let mut next_line_at = None;
    // Everything from here on is known.
    let mut known_from = size_bytes;
    let mut step = FIRST_STEP_BYTES;
    let earliest = size_bytes.saturating_sub(LOOKBACK_BYTES_MAX);
    while known_from > earliest {
        let start = known_from.saturating_sub(step).max(earliest);
        step = step.saturating_mul(STEP_FACTOR);
        let mut bytes = read_exactly(file, start, known_from)?;
        let newline = |byte: &u8| *byte == b'\n';
        if next_line_at.is_none() {
            // What follows the last newline is not whole yet.
            bytes.truncate(bytes.iter().rposition(newline).map_or(0, |at| at + 1));
            next_line_at = (!bytes.is_empty()).then_some(start + bytes.len() as u64);
        }
        // A line may have begun before this step; it is read again with the next one.
        let whole_from = match bytes.iter().position(newline) {
            _ if start == 0 => 0,
            Some(at) => at + 1,
            None => bytes.len(),
        };
        let looked_enough = size_bytes - start >= PROMPT_BYTES_MAX;
        if take(&bytes[whole_from..], &mut ending, since, context).is_break()
            || (is_decided(&ending) && looked_enough)
            || start == earliest
        {
            break;
        }
        if next_line_at.is_some() {
            known_from = start + whole_from as u64;
        }
    }
    // Without an end of a line the file is one unfinished line, or its rest is no record.
    Ok(Found { ending, next_line_at: next_line_at.unwrap_or(earliest) })
}

/// # Errors
/// The file is shorter, or cannot be read.
pub fn read_exactly(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end - start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

fn is_decided(ending: &Ending) -> bool {
    ending.error.is_some() || ending.answered_at.is_some()
}

/// Takes lines from the last to the first; breaks when nothing before them counts.
fn take(
    lines: &[u8],
    ending: &mut Ending,
    since: Wall,
    context: &Context<'_>,
) -> std::ops::ControlFlow<()> {
    use std::ops::ControlFlow::{Break, Continue};
    let newest_first = lines.rsplit(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    for entry in newest_first.filter_map(|line| transcript::entry(line, context)) {
        if moment(&entry) < since {
            return Break(());
        }
        match entry {
            Entry::Prompt { at } => ending.prompted_at = ending.prompted_at.or(Some(at)),
            Entry::Answer { at } if !is_decided(ending) => ending.answered_at = Some(at),
            Entry::Error(error) if !is_decided(ending) => ending.error = Some(*error),
            Entry::Answer { .. } | Entry::Error(_) => {}
        }
        if is_decided(ending) && ending.prompted_at.is_some() {
            return Break(());
        }
    }
    Continue(())
}

fn moment(entry: &Entry) -> Wall {
    match entry {
        Entry::Prompt { at } | Entry::Answer { at } => *at,
        Entry::Error(error) => error.at,
    }
}
