//! The mark beside a task that says in whose hands it is: `<id>.md.dispatched`, JSON.
//!
//! It appears whole or not at all. What is not plainly ours is somebody else's: made by hand, by an
//! older tool, by another instance.

use std::io;

use rustix::fs::FileType;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::ids::{ConversationId, SessionName, TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::dir::{Dir, Put, Stamp};

const VERSION: u32 = 1;
/// Ours have less, whatever their names and reason are.
const BYTES_MAX: u64 = 4096;
const MODE: u32 = 0o644;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub version: u32,
    /// Of [`crate::queue::instance::instance`].
    pub instance: String,
    pub task: TaskRef,
    /// `None`: the task is being moved, it goes to no agent.
    pub session: Option<SessionName>,
    /// Counts from 1; 0 for a task that goes to no agent.
    pub attempt: u32,
    pub conversation: Option<ConversationId>,
    /// Milliseconds since 1970.
    pub claimed_at: Wall,
    /// Why it is being moved; so that whoever finds this mark can finish that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The file that leaves the inbox. Another one in its place is a new task; it may have the same
    /// number, and the same text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Stamp>,
    /// Where its result lies or is about to: `done/<name>` or `failed/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl Marker {
    /// Of a task that is moved, and goes to no agent; `leaving` is what lies in the inbox now.
    pub fn of_mover(
        instance: &str,
        task: TaskRef,
        reason: &str,
        leaving: Option<Stamp>,
        now: Wall,
    ) -> Self {
        Self {
            version: VERSION,
            instance: instance.to_owned(),
            task,
            session: None,
            attempt: 0,
            conversation: None,
            claimed_at: now,
            reason: Some(reason.to_owned()),
            leaving,
            result: None,
        }
    }

    /// Of a task that goes to an agent.
    pub fn of_agent(
        instance: &str,
        task: TaskRef,
        session: SessionName,
        attempt: u32,
        conversation: ConversationId,
        now: Wall,
    ) -> Self {
        Self {
            session: Some(session),
            attempt,
            conversation: Some(conversation),
            reason: None,
            ..Self::of_mover(instance, task, "", None, now)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Ours(Box<Marker>),
    Foreign,
}

pub fn name(id: &TaskId) -> String {
    format!("{id}.md.dispatched")
}

/// Whose mark lies beside the task; `None` without one.
pub fn read(inbox: &Dir, instance: &str, task: &TaskRef) -> io::Result<Option<Owner>> {
    let name = name(&task.id);
    let Some(found) = inbox.look(&name)? else { return Ok(None) };
    let ours_to_judge = found.kind == FileType::RegularFile && found.uid == geteuid().as_raw();
    if !ours_to_judge || found.stamp.size_bytes > BYTES_MAX {
        return Ok(Some(Owner::Foreign));
    }
    let Some((_, bytes)) = inbox.read(&name, BYTES_MAX)? else { return Ok(None) };
    let ours = serde_json::from_slice::<Marker>(&bytes).ok().filter(|marker| {
        marker.version == VERSION && marker.instance == instance && marker.task == *task
    });
    Ok(Some(ours.map_or(Owner::Foreign, |marker| Owner::Ours(Box::new(marker)))))
}

/// Puts our mark beside the task. One that is there, whoever's, stays: [`Put::Taken`].
pub fn put(inbox: &Dir, marker: &Marker) -> io::Result<Put> {
    inbox.put_new(&name(&marker.task.id), &bytes_of(marker), MODE)
}

/// Writes our mark anew, in the place of one that is ours.
pub fn replace(inbox: &Dir, marker: &Marker) -> io::Result<()> {
    inbox.replace(&name(&marker.task.id), &bytes_of(marker), MODE)
}

/// Takes away a mark that is ours. None there is success; somebody else's is an error.
pub fn release(inbox: &Dir, instance: &str, task: &TaskRef) -> io::Result<()> {
    match read(inbox, instance, task)? {
        None => Ok(()),
        Some(Owner::Foreign) => Err(foreign(inbox, task)),
        Some(Owner::Ours(_)) => remove(inbox, task),
    }
}

/// Takes away the mark, whoever made it.
pub fn remove(inbox: &Dir, task: &TaskRef) -> io::Result<()> {
    inbox.remove(&name(&task.id))?;
    inbox.sync()
}

pub fn foreign(inbox: &Dir, task: &TaskRef) -> io::Error {
    let path = inbox.path().join(name(&task.id));
    let text = format!(
        "task {task} is in somebody else's hands: {} is not ours; claude-failover tasks retry {task} \
         takes it away",
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

fn bytes_of(marker: &Marker) -> Vec<u8> {
    let mut bytes =
        serde_json::to_vec(marker).expect("a marker is numbers and words, which JSON can hold");
    bytes.push(b'\n');
    bytes
}
