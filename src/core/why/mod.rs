//! The chain of evidence and decisions behind one thing: a swap, a task, a session, an account.
//!
//! [`Why`] takes the records in their order and keeps what concerns its subject, in words. It decides
//! nothing. A record is told by the state before it, which the records before it give; what is older than
//! the oldest record is known as far as a compaction's state tells of it.
//! Reading order: `concerns`, then the words: `of_swap`, `of_session`, `of_task`, `of_account`;
//! then `now` (what the last record leaves).

mod concerns;
mod now;
mod of_account;
mod of_session;
mod of_swap;
mod of_task;

use std::collections::VecDeque;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::core::durable::{Durable, LastSwap};
use crate::core::history::entry::rfc_3339;
use crate::core::job::Fate;
use crate::core::kind::Subject as Kind;
use crate::core::record::Record;
use crate::ids::{AccountName, OpId, SessionName, TaskRef};
use crate::moment::Wall;

/// Lines kept; beyond it the oldest go.
pub const LINES_MAX: usize = 10_000;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Swap(OpId),
    Task(TaskRef),
    Session(SessionName),
    Account(AccountName),
}

/// One thing that happened, and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Of the record that tells it.
    pub seq: u64,
    #[serde(serialize_with = "rfc_3339")]
    pub at: Wall,
    /// The record's kind, as in the journal.
    pub record: &'static str,
    pub what: String,
    pub because: Option<String>,
}

#[derive(Debug)]
pub struct Why {
    subject: Subject,
    /// What the records up to here leave.
    state: Durable,
    lines: VecDeque<Line>,
    dropped: usize,
    /// How the swap that is asked about ended.
    ended: Option<LastSwap>,
    /// What was decided last for the task that is asked about.
    fate: Option<(Fate, Wall)>,
}

/// What is said of a record.
pub(in crate::core::why) struct Said {
    /// When it was, if the record tells of something earlier.
    at: Option<Wall>,
    what: String,
    because: Option<String>,
}

pub(in crate::core::why) fn said(what: impl Into<String>) -> Said {
    Said { at: None, what: what.into(), because: None }
}

impl Said {
    pub(in crate::core::why) fn because(self, because: impl Into<String>) -> Self {
        Self { because: Some(because.into()).filter(|text| !text.is_empty()), ..self }
    }

    pub(in crate::core::why) fn at(self, at: Wall) -> Self {
        Self { at: Some(at), ..self }
    }
}

impl Why {
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            state: Durable::default(),
            lines: VecDeque::new(),
            dropped: 0,
            ended: None,
            fate: None,
        }
    }

    pub fn take(&mut self, seq: u64, at: Wall, record: &Record) {
        if self.concerns(record) {
            for Said { at: earlier, what, because } in self.words(record, at) {
                let at = earlier.unwrap_or(at);
                self.push(Line { seq, at, record: record.name(), what, because });
            }
            if let Record::TaskEnding { fate, at, .. } = record {
                self.fate = Some((fate.clone(), *at));
            }
        }
        // One that does not fit, because others before it are missing, is told all the same.
        let _ = self.state.apply(record);
        let last = self.state.last_swap.as_ref();
        if let Some(last) = last.filter(|last| self.subject == Subject::Swap(last.op)) {
            self.ended = Some(last.clone());
        }
    }

    fn words(&self, record: &Record, at: Wall) -> Vec<Said> {
        match record {
            Record::SwapPlanned { .. } if self.is_swap() => self.evidence_and_plan(record),
            Record::DaemonStarted { .. } | Record::CleanStop | Record::ActiveFound { .. } => {
                self.of_daemon(record).into_iter().collect()
            }
            Record::SessionsDrained { .. } => {
                vec![said("drained: it gets no more tasks").because("the operator said so")]
            }
            Record::SessionsResumed { .. } => {
                vec![said("takes tasks again").because("the operator said so")]
            }
            _ => match record.subject() {
                Kind::Account => self.of_account(record).into_iter().collect(),
                Kind::Swap => self.of_swap(record, at),
                Kind::Session => self.of_session(record).into_iter().collect(),
                Kind::Move => self.of_move(record, at).into_iter().collect(),
                Kind::Task => self.of_task(record).into_iter().collect(),
                Kind::Daemon => Vec::new(),
            },
        }
    }

    fn of_daemon(&self, record: &Record) -> Option<Said> {
        match record {
            Record::DaemonStarted { version, pid } => {
                let unclean = !self.state.stopped_cleanly;
                let started = said(format!("the daemon started, version {version}, pid {pid}"));
                Some(match unclean {
                    true => started.because("it had not stopped cleanly before"),
                    false => started,
                })
            }
            Record::CleanStop => Some(said("the daemon stopped cleanly")),
            Record::ActiveFound { .. } => Some(
                said("in use from now on").because("the link names it, without a swap of ours"),
            ),
            _ => None,
        }
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }

    /// Whether the records tell anything of it.
    pub fn is_known(&self) -> bool {
        !self.lines.is_empty() || !self.now().is_empty()
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.lines.iter()
    }

    /// Older lines that were more than are kept.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    pub(in crate::core::why) fn is_swap(&self) -> bool {
        matches!(self.subject, Subject::Swap(_))
    }

    pub(in crate::core::why) fn is_session(&self) -> bool {
        matches!(self.subject, Subject::Session(_))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Swap(op) => write!(f, "swap {op}"),
            Subject::Task(task) => write!(f, "task {task}"),
            Subject::Session(session) => write!(f, "session {session}"),
            Subject::Account(account) => write!(f, "account {account}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
