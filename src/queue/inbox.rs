//! What lies in an inbox: tasks, the marks beside them, and what is no task.

use std::collections::BTreeSet;
use std::io;

use crate::ids::TaskId;
use crate::queue::dir::{Dir, Found, Put};
use crate::queue::file_name;
use crate::queue::rules::{Refusal, Rules};

/// Names looked at in one inbox.
pub const NAMES_MAX: usize = 400_000;
const MARKED: &str = ".md.dispatched";
const BLOCKED: &str = ".md.blocked";
const TASK: &str = ".md";

#[derive(Debug, Default)]
pub struct Listing {
    /// Whatever they are: a name says nothing of its file.
    pub tasks: Vec<TaskId>,
    /// Somebody's mark lies beside it, or where it was.
    pub marked: BTreeSet<TaskId>,
    /// Beside it lies the mark of a task that waits for others.
    pub blocked: BTreeSet<TaskId>,
    /// `*.md` whose names are no ids of tasks, made printable.
    pub misnamed: Vec<String>,
    /// There was more than [`NAMES_MAX`].
    pub cut: bool,
}

/// Hidden names and those with other endings are nobody's business.
pub fn list(inbox: &Dir) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut looked_at = 0;
    inbox.for_each(|name, _| {
        looked_at += 1;
        let Some(text) = name.to_str() else {
            let text = name.to_string_lossy();
            if text.ends_with(TASK) {
                listing.misnamed.push(text.escape_debug().to_string());
            }
            return;
        };
        if looked_at > NAMES_MAX || text.starts_with('.') {
        } else if let Some(id) = text.strip_suffix(MARKED) {
            listing.marked.extend(id.parse::<TaskId>());
        } else if let Some(id) = text.strip_suffix(BLOCKED) {
            listing.blocked.extend(id.parse::<TaskId>());
        } else if let Some(id) = text.strip_suffix(TASK) {
            match id.parse() {
                Ok(id) => listing.tasks.push(id),
                Err(_) => listing.misnamed.push(text.escape_debug().to_string()),
            }
        }
    })?;
    listing.cut = looked_at > NAMES_MAX;
    Ok(listing)
}

/// A task file, or why what has its name is none.
#[derive(Debug)]
pub enum TaskFile {
    Gone,
    Refused(Refusal),
    Read { found: Found, bytes: Vec<u8> },
}

/// Reads what the rules allow, however it may be changed meanwhile.
pub fn read(inbox: &Dir, id: &TaskId, rules: &Rules) -> io::Result<TaskFile> {
    let name = file_name(id);
    let Some(before) = inbox.look(&name)? else { return Ok(TaskFile::Gone) };
    if let Err(refusal) = rules.check(&before) {
        return Ok(TaskFile::Refused(refusal));
    }
    let Some((found, bytes)) = inbox.read(&name, rules.bytes_max)? else {
        return Ok(TaskFile::Gone);
    };
    if let Err(refusal) = rules.check(&found) {
        return Ok(TaskFile::Refused(refusal));
    }
    let size = bytes.len() as u64;
    if size > rules.bytes_max {
        let refusal = Refusal::TooLarge { bytes: size, bytes_max: rules.bytes_max };
        return Ok(TaskFile::Refused(refusal));
    }
    Ok(TaskFile::Read { found, bytes })
}

/// Says beside the task that it waits for others. A mark that is there keeps its time.
pub fn mark_blocked(inbox: &Dir, id: &TaskId) -> io::Result<()> {
    match inbox.put_empty(&blocked_name(id), 0o644)? {
        Put::Made | Put::Taken => Ok(()),
    }
}

/// The task waits no more, or is gone.
pub fn clear_blocked(inbox: &Dir, id: &TaskId) -> io::Result<()> {
    inbox.remove(&blocked_name(id)).map(|_| ())
}

fn blocked_name(id: &TaskId) -> String {
    format!("{id}{BLOCKED}")
}
