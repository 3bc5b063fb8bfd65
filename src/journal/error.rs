//! Why the journal cannot be used, in words for the operator.

use std::io;
use std::path::{Path, PathBuf};

/// All but [`JournalError::AnotherInstance`] (75), and those of another version (78), end the daemon
/// with 74.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "another instance ({holder}) holds {}; stop it first, or give this one a state directory \
         of its own", path.display()
    )]
    AnotherInstance { path: PathBuf, holder: String },

    #[error(
        "{} line {line} (byte {offset}): {why}; nothing was changed: {}",
        path.display(), remedy(*line)
    )]
    BadLine {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Where the line starts, in bytes.
        offset: u64,
        why: String,
    },

    #[error(
        "{} line {line} was written by a newer version (format {found}, known up to {known}); \
         nothing was changed: start that version, or move the file away to begin without its state",
        path.display()
    )]
    NewerVersion { path: PathBuf, line: usize, found: u32, known: u32 },

    /// Its checksum is right, so it is no damage, and nothing after it may be cut off.
    #[error(
        "{} line {line} is whole, but says what this version does not know ({why}); nothing was \
         changed: start the version that wrote it, or move the file away to begin without its state",
        path.display()
    )]
    UnknownRecord { path: PathBuf, line: usize, why: String },

    /// A directory or file that must not be used as it stands; `why` ends with the remedy.
    #[error("{} {why}", path.display())]
    Unsafe { path: PathBuf, why: String },

    #[error("could not {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("a record does not fit the journal: {why}")]
    Record { why: String },

    #[error(
        "{} has reached its limit, since it could not be compacted; the log says why: mend that, \
         then start again, which compacts it first", path.display()
    )]
    Full { path: PathBuf },

    #[error("{} failed an earlier write and takes no more; start again", path.display())]
    Poisoned { path: PathBuf },
}

impl JournalError {
    pub(crate) fn io<E: Into<io::Error>>(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> JournalError {
        let path = path.to_owned();
        move |source| JournalError::Io { doing, path, source: source.into() }
    }
}

fn remedy(line: usize) -> String {
    match line {
        1 => "keep a copy, then restore the file from a backup or move it away to begin without \
              its state"
            .to_owned(),
        _ => format!(
            "keep a copy, then restore the file from a backup or keep what is before the damage \
             with `head -n {}`",
            line - 1
        ),
    }
}
