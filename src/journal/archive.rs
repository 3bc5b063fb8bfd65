//! What the journal held before each compaction: the old file itself, under a name of its own.
//!
//! `journal.<first>-<last>` after the numbers of its lines, so that names sort as the lines do and no
//! two compactions want the same one. For people alone: no state is made from it, and nothing that fails
//! here stops the daemon.

use crate::journal::dir::StateDir;
use crate::journal::error::JournalError;

/// A busy fleet fills one of [`crate::journal::COMPACT_MIN_BYTES`] in some hours to a day.
pub const ARCHIVES_MAX: usize = 16;
/// All of them together; the latest one stays whatever its size.
pub const ARCHIVES_BYTES_MAX: u64 = 256 << 20;

const PREFIX: &str = "journal.";
const DIGITS_MIN: usize = 12;
/// Any number of so many digits can be counted on from.
const DIGITS_MAX: usize = 18;

/// The numbers of the lines in one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub first: u64,
    pub last: u64,
}

impl Range {
    pub fn name(self) -> String {
        format!("{PREFIX}{:0DIGITS_MIN$}-{:0DIGITS_MIN$}", self.first, self.last)
    }

    pub fn of_name(name: &str) -> Option<Self> {
        let (first, last) = name.strip_prefix(PREFIX)?.split_once('-')?;
        Some(Self { first: number(first)?, last: number(last)? })
    }
}

fn number(digits: &str) -> Option<u64> {
    let fine = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| digits.parse().ok())?
}

/// The oldest first.
pub(in crate::journal) fn list(dir: &StateDir) -> Result<Vec<Range>, JournalError> {
    let mut ranges = dir.names(Range::of_name)?;
    ranges.sort_unstable();
    Ok(ranges)
}

/// Gives the journal its second name, which is all that is left to it after the rename. Durable when
/// it returns: a file system may keep the rename and forget the link.
pub(in crate::journal) fn keep(
    dir: &StateDir,
    journal: &str,
    range: Range,
) -> Result<(), JournalError> {
    // One from a compaction that went no further would be an archive with the lines of another.
    drop_second_names(dir, journal)?;
    dir.link(journal, &range.name())?;
    dir.sync()
}

/// A start: what a compaction that never came to its rename has left goes. Gives the highest number
/// that archives have, 0 without any.
pub(in crate::journal) fn settle(dir: &StateDir, journal: &str) -> u64 {
    let highest = drop_second_names(dir, journal).and_then(|()| {
        let ranges = list(dir)?;
        Ok(ranges.iter().map(|range| range.last).max().unwrap_or(0))
    });
    highest.unwrap_or_else(|error| {
        log::warn!("the archives of the journal are left as they are: {error}");
        0
    })
}

fn drop_second_names(dir: &StateDir, journal: &str) -> Result<(), JournalError> {
    let Some((own, _)) = dir.look(journal)? else { return Ok(()) };
    for range in list(dir)? {
        let name = range.name();
        if dir.look(&name)?.is_some_and(|(found, _)| found == own) {
            dir.remove(&name)?;
        }
    }
    Ok(())
}

/// Removes what is beyond the limits.
pub(in crate::journal) fn prune(dir: &StateDir) {
    if let Err(error) = try_prune(dir) {
        log::warn!("old archives of the journal stay for now: {error}");
    }
}

/// INVARIANT: the oldest first. A reader opens them from the latest on, so that what is removed under
/// its hands leaves no gap in what it has.
fn try_prune(dir: &StateDir) -> Result<(), JournalError> {
    let ranges = list(dir)?;
    let (mut kept, mut bytes) = (0, 0_u64);
    for range in ranges.iter().rev() {
        let size_bytes = dir.look(&range.name())?.map_or(0, |(_, size_bytes)| size_bytes);
        bytes = bytes.saturating_add(size_bytes);
        if kept == ARCHIVES_MAX || (kept > 0 && bytes > ARCHIVES_BYTES_MAX) {
            break;
        }
        kept += 1;
    }
    for range in &ranges[..ranges.len() - kept] {
        dir.remove(&range.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_numbers_and_nothing_else_is_a_name() {
        let range = Range { first: 7, last: 1_234_567_890_123 };
        assert_eq!(range.name(), "journal.000000000007-1234567890123");
        assert_eq!(Range::of_name(&range.name()), Some(range));
        for name in [
            "journal",
            "journal.new",
            "journal.000000000007",
            "journal.7-9",
            "journal.000000000007-00000000000x",
            "journal.+00000000007-000000000009",
            "journal.000000000007-99999999999999999999",
            "journal.000000000007-000000000009.bak",
            "xjournal.000000000007-000000000009",
        ] {
            assert_eq!(Range::of_name(name), None, "{name}");
        }
    }
}
