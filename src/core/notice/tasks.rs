//! Tasks that did not come to a good end. Their titles are told, their texts never.

use crate::config::notifications::Level;
use crate::core::job::{Fate, Job};
use crate::core::notice::{Notice, Scene};
use crate::core::record::Record;
use crate::harmless;

const TITLE_CHARS_MAX: usize = 80;
/// What `tasks cancel` gives; a person knows what they asked for.
const CANCELLED: &str = "cancelled";

impl Scene<'_> {
    pub(in crate::core::notice) fn of_task(&self, record: &Record) -> Option<Notice> {
        let Record::TaskEnding { session, fate, .. } = record else { return None };
        let job = self.state.jobs.get(session)?;
        let task = job.task();
        let (level, word, title, reason, next, you) = match fate {
            Fate::Done { .. } | Fate::GivenBack { .. } => return None,
            Fate::Failed { reason } if reason == CANCELLED => return None,
            Fate::Failed { reason } => (
                Level::Warning,
                "failed",
                format!("Task {task} failed"),
                reason,
                "it is not tried again; its file and its result lie in failed/",
                format!("claude-failover tasks show {task}, then tasks retry {task}"),
            ),
            Fate::Requeued { reason } => (
                Level::Info,
                "requeued",
                format!("Task {task} goes back to its queue"),
                reason,
                "it is tried again by the next free session",
                "nothing to do".to_owned(),
            ),
            Fate::Unknown { reason } => (
                Level::Warning,
                "unknown",
                format!("Task {task} waits for your decision"),
                reason,
                "nobody can tell whether an agent had it, so it is not sent twice",
                format!(
                    "claude-failover tasks show {task}, then tasks retry or tasks cancel {task}"
                ),
            ),
        };
        let lines = vec![
            format!("Title: {}", harmless::line(&job.offer.title, TITLE_CHARS_MAX)),
            format!("Why: {reason}"),
            attempts(job),
            format!("Next: {next}"),
            format!("You: {you}"),
        ];
        self.tell(level, format!("task:{task}/{word}:{}", job.attempt), &title, lines)
    }
}

fn attempts(job: &Job) -> String {
    let who = match &job.account {
        Some(account) => format!("by an agent on {account}"),
        None => "no agent has had it".to_owned(),
    };
    format!("Attempt: {} of {}, {who}", job.attempt, job.offer.attempts)
}
