//! What is done with one task on order: claimed, given back, ended.

use std::io;
use std::path::Path;

use anyhow::{Context, bail};

use crate::ids::{ConversationId, SessionName, TaskRef};
use crate::moment::Wall;
use crate::queue::close;
use crate::queue::dir::{Dir, Put};
use crate::queue::inbox::{self, TaskFile};
use crate::queue::instance::new_conversation;
use crate::queue::marker::{self, Marker, Owner};
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue};
use crate::task::{TaskResult, front_matter};

/// Whose hands, and where.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    pub projects_dir: &'a Path,
    pub instance: &'a str,
    pub rules: &'a Rules,
}

/// For whom a task is claimed.
#[derive(Debug, Clone)]
pub struct Claim {
    pub task: TaskRef,
    pub session: SessionName,
    pub attempt: u32,
}

impl Hands<'_> {
    /// Puts our mark beside the task. One of ours that is there for the same attempt decides the
    /// conversation: its answer was lost. For another attempt, the earlier one is over.
    pub fn claim(&self, claim: Claim, now: Wall) -> anyhow::Result<ConversationId> {
        let inbox = self.inbox(&claim.task)?;
        self.check(&inbox, &claim.task)?;
        let known = match marker::read(&inbox, self.instance, &claim.task)? {
            Some(Owner::Foreign) => return Err(marker::foreign(&inbox, &claim.task).into()),
            Some(Owner::Ours(marker)) if marker.session.is_none() => {
                bail!("task {} is being moved to failed/", claim.task)
            }
            Some(Owner::Ours(marker)) => Some(*marker),
            None => None,
        };
        let same = known.as_ref().filter(|marker| marker.attempt == claim.attempt);
        let conversation = match same.and_then(|marker| marker.conversation.clone()) {
            Some(conversation) => conversation,
            None => new_conversation().context("cannot make the id of a conversation")?,
        };
        let fresh = Marker::of_agent(
            self.instance,
            claim.task.clone(),
            claim.session,
            claim.attempt,
            conversation.clone(),
            now,
        );
        match known {
            Some(known) if known.session == fresh.session && known.attempt == fresh.attempt => {}
            Some(_) => marker::replace(&inbox, &fresh)?,
            None if marker::put(&inbox, &fresh)? == Put::Taken => {
                return Err(marker::foreign(&inbox, &claim.task).into());
            }
            // Somebody who had marked it before us may have moved it away meanwhile.
            None => {
                if let Err(why) = self.check(&inbox, &claim.task) {
                    marker::release(&inbox, self.instance, &claim.task)?;
                    return Err(why);
                }
            }
        }
        Ok(conversation)
    }

    /// Takes the mark of our claim away. Where there is none – the queue is gone, or somebody marked
    /// the task before us – there is nothing to take, and theirs stays.
    pub fn release(&self, task: &TaskRef) -> io::Result<()> {
        let Some(queue) = Queue::open(self.projects_dir, &task.project)? else { return Ok(()) };
        let Some(inbox) = queue.part(Part::Inbox)? else { return Ok(()) };
        match marker::read(&inbox, self.instance, task)? {
            Some(Owner::Ours(mark)) if mark.session.is_some() => marker::remove(&inbox, task),
            Some(Owner::Ours(_) | Owner::Foreign) | None => Ok(()),
        }
    }

    pub fn close(&self, result: &TaskResult) -> io::Result<()> {
        let queue = Queue::make(self.projects_dir, &result.task.project)?;
        close::close(&queue, self.rules, self.instance, result)
    }

    /// Moves a task that can never run to `failed/`.
    pub fn fail(&self, task: &TaskRef, reason: &str, now: Wall) -> io::Result<()> {
        let queue = Queue::make(self.projects_dir, &task.project)?;
        close::fail(&queue, self.rules, self.instance, task, reason, now)
    }

    fn inbox(&self, task: &TaskRef) -> anyhow::Result<Dir> {
        let queue = Queue::open(self.projects_dir, &task.project)?;
        let inbox = queue.map(|queue| queue.part(Part::Inbox)).transpose()?.flatten();
        inbox.with_context(|| format!("task {task} is gone: its project has no inbox"))
    }

    /// It may have changed since it was offered.
    fn check(&self, inbox: &Dir, task: &TaskRef) -> anyhow::Result<()> {
        let bytes = match inbox::read(inbox, &task.id, self.rules)? {
            TaskFile::Gone => bail!("task {task} is gone from {}", inbox.path().display()),
            TaskFile::Refused(refusal) => bail!("task {task} is refused: {refusal}"),
            TaskFile::Read { bytes, .. } => bytes,
        };
        match front_matter::read(&task.id, &bytes) {
            Ok(spec) if spec.needs_claude_code => Ok(()),
            Ok(_) => bail!("task {task} is not for this pool (needs_claude_code: false)"),
            Err(why) => bail!("task {task} is malformed: {why}"),
        }
    }
}
