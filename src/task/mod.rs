//! Tasks as words and values: what a task file says, what becomes of it, what an agent is told. Pure.
//!
//! A task is a Markdown file in `<project>/.agent-queue/inbox/` with front matter at its top. Its
//! bytes stay in that file: an agent is told where it lies, in one line.

pub mod front_matter;
pub mod plan;
pub mod prompt;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountName, ConversationId, SessionName, TaskRef};
use crate::moment::Wall;

/// Attempts of a task that names no number itself.
pub const ATTEMPTS_DEFAULT: u32 = 3;

/// The most urgent first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Critical,
    High,
    #[default]
    Default,
    Low,
}

/// The front matter of a task, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// One line without control characters; the task's id when the file gives none.
    pub title: String,
    pub priority: Priority,
    pub tags: Vec<String>,
    /// False: it is not for this pool.
    pub needs_claude_code: bool,
    pub model: Option<String>,
    pub depends_on: Vec<TaskRef>,
    /// From its receipt; over it the task has failed.
    pub timeout: Option<Duration>,
    /// At least 1.
    pub attempts: u32,
    pub not_before: Option<Wall>,
    /// Kept in the file, and told to whoever looks.
    pub unknown_keys: Vec<String>,
}

/// A task that may be claimed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub task: TaskRef,
    pub title: String,
    pub priority: Priority,
    /// When its file was last written: of equal priority, the older goes first.
    pub since: Wall,
    pub model: Option<String>,
    pub timeout: Option<Duration>,
    pub attempts: u32,
    /// The task's file in the inbox. Absolute.
    pub path: PathBuf,
    /// The project's directory, in which its agent works. Absolute.
    pub dir: PathBuf,
}

/// How a task ended, as its result file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskResult {
    pub task: TaskRef,
    pub done: bool,
    /// `signal`, `turn_ended`, `stalled`, `timeout`, `malformed: …`, `cancelled` …
    pub reason: String,
    pub session: Option<SessionName>,
    pub account: Option<AccountName>,
    pub conversation: Option<ConversationId>,
    /// When the task had reached its agent.
    pub started: Option<Wall>,
    pub finished: Wall,
    pub attempts: u32,
    /// What the agent said last.
    pub last_text: Option<String>,
}

/// A task that is in our hands: claimed and not yet closed, or left to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTask {
    pub task: TaskRef,
    pub title: String,
    pub state: HeldState,
    pub session: SessionName,
    pub account: Option<AccountName>,
    pub conversation: Option<ConversationId>,
    pub attempt: u32,
    pub since: Wall,
    /// Why it is blocked or unknown.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldState {
    /// Claimed; its session is made ready.
    Claimed,
    /// Launched; there is no proof yet that it arrived.
    Sending,
    Running,
    /// A dialog or a question waits for a person.
    Blocked,
    /// It is over; its agent is ended and its file moved.
    Ending,
    /// Nobody can tell whether it was delivered: `tasks retry` or `tasks cancel` decides.
    Unknown,
}
