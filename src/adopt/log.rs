//! The log of adoptions, beside the link: what was about to be done, and what was done. One JSON
//! line a record, on the disk before anybody acts on it; it is only ever added to.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::{Deserialize, Serialize};

use crate::adopt::Step;
use crate::crash_point::CrashPoint;
use crate::files;

/// A million steps with paths of ordinary length.
const LOG_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// An adoption begins.
    Begun,
    /// About to be done. Numbers rise over the whole log.
    Intent {
        number: u64,
        step: Step,
    },
    Done {
        number: u64,
    },
    /// It was about to be done and was not.
    Dropped {
        number: u64,
    },
    /// Everything that was planned is done.
    Finished,
    /// All that is done is being taken back, the latest first.
    UndoBegun,
    Undone {
        number: u64,
    },
    /// It could not be taken back and stays.
    Kept {
        number: u64,
        why: String,
    },
    UndoFinished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is adopted.
    Free,
    /// An adoption was cut short.
    Adopting,
    Adopted,
    /// The way back was cut short.
    Undoing,
}

/// The records, put together.
#[derive(Debug)]
pub struct State {
    pub phase: Phase,
    /// Done and not taken back.
    pub done: BTreeMap<u64, Step>,
    /// About to be done when the end came.
    pub open: Option<(u64, Step)>,
    pub next_number: u64,
}

#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: fs_err::File,
    pub state: State,
    crash_point: CrashPoint,
}

impl Log {
    /// Opens or makes the log. A last line that was cut by a crash is cut off: nothing was done yet.
    ///
    /// # Errors
    /// It cannot be read or written, or a line in it is none of ours.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = fs_err::OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let text = read(&mut file)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        let state = fold(path, &text[..whole])?;
        file.sync_all()?;
        files::sync_parent(path)?;
        let crash_point = CrashPoint::from_environment();
        Ok(Self { path: path.to_owned(), file, state, crash_point })
    }

    /// What a log says, without making one.
    pub fn peek(path: &Path) -> io::Result<State> {
        let text = match fs_err::File::open(path) {
            Ok(mut file) => read(&mut file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        fold(path, &text[..text.rfind('\n').map_or(0, |at| at + 1)])
    }

    /// On the disk when it returns.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.state.take(record).map_err(|why| self.wrong(&why))?;
        self.crash_point.passed(1);
        Ok(())
    }

    /// For tests of recovery: a step has been done, and its record has not been written.
    pub fn passed(&mut self) {
        self.crash_point.passed(1);
    }

    fn wrong(&self, why: &str) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("{}: {why}", self.path.display()))
    }
}

impl State {
    fn new() -> Self {
        Self { phase: Phase::Free, done: BTreeMap::new(), open: None, next_number: 1 }
    }

    /// Nothing is done, open or under way.
    pub fn is_blank(&self) -> bool {
        self.phase == Phase::Free && self.done.is_empty() && self.open.is_none()
    }

    fn take(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Begun => self.phase = Phase::Adopting,
            Record::Intent { number, step } => {
                if *number != self.next_number || self.open.is_some() {
                    return Err(format!("step {number} does not follow on what is before it"));
                }
                self.next_number += 1;
                self.open = Some((*number, step.clone()));
            }
            Record::Done { number } => {
                let step = self.take_open(*number)?;
                self.done.insert(*number, step);
            }
            Record::Dropped { number } => drop(self.take_open(*number)?),
            Record::Finished => self.phase = Phase::Adopted,
            Record::UndoBegun => self.phase = Phase::Undoing,
            Record::Undone { number } | Record::Kept { number, .. } => {
                if self.done.remove(number).is_none() {
                    return Err(format!("step {number} was taken back and had not been done"));
                }
            }
            Record::UndoFinished => self.phase = Phase::Free,
        }
        Ok(())
    }

    fn take_open(&mut self, number: u64) -> Result<Step, String> {
        match self.open.take() {
            Some((open, step)) if open == number => Ok(step),
            _ => Err(format!("step {number} ended and had not been begun")),
        }
    }
}

fn read(file: &mut fs_err::File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

fn fold(path: &Path, text: &str) -> io::Result<State> {
    let mut state = State::new();
    for (line, number) in text.lines().zip(1..) {
        let taken = serde_json::from_str::<Record>(line)
            .map_err(|error| error.to_string())
            .and_then(|record| state.take(&record));
        if let Err(why) = taken {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "{}:{number}: {why}: the log of the adoption is damaged; finish by hand what \
                     it says, then move it away",
                    path.display()
                ),
            ));
        }
    }
    Ok(state)
}
