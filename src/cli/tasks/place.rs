//! Where one task is, and so who may move it.

use std::io;

use crate::cli::tasks::Desk;
use crate::ids::{TaskId, TaskRef};
use crate::queue::marker::{self, Owner};
use crate::queue::{Part, Queue, file_name};

pub enum Place {
    /// In the inbox, in nobody's hands.
    Waiting(Queue),
    /// Somebody else's marker lies beside it.
    Foreign(Queue),
    Held,
    /// On its way to `failed/`, by a marker of ours.
    Moving(Queue),
    Failed(Queue),
    Done,
    Nowhere,
}

/// # Errors
/// The queue, or what tells our markers from others', cannot be read.
pub fn find(desk: &Desk, task: &TaskRef) -> io::Result<Place> {
    let projects_dir = &desk.daemon.config.dispatcher.projects_dir;
    let Some(queue) = Queue::open(projects_dir, &task.project)? else {
        return Ok(Place::Nowhere);
    };
    if let Some(inbox) = queue.part(Part::Inbox)? {
        // No instance is called "".
        let instance = desk.daemon.instance()?.unwrap_or_default();
        match marker::read(&inbox, &instance, task)? {
            Some(Owner::Foreign) => return Ok(Place::Foreign(queue)),
            Some(Owner::Ours(mark)) if mark.session.is_none() => return Ok(Place::Moving(queue)),
            Some(Owner::Ours(_)) => return Ok(Place::Held),
            None => {}
        }
        if inbox.look(file_name(&task.id))?.is_some() {
            return Ok(Place::Waiting(queue));
        }
    }
    if is_done(&queue, &task.id)? {
        return Ok(Place::Done);
    }
    match lies_in(&queue, Part::Failed, &task.id)? {
        true => Ok(Place::Failed(queue)),
        false => Ok(Place::Nowhere),
    }
}

/// As those who wait for it ask.
pub fn is_done(queue: &Queue, id: &TaskId) -> io::Result<bool> {
    Ok(lies_in(queue, Part::Done, id)? || lies_in(queue, Part::Archive, id)?)
}

fn lies_in(queue: &Queue, part: Part, id: &TaskId) -> io::Result<bool> {
    let Some(dir) = queue.part(part)? else { return Ok(false) };
    Ok(dir.look(file_name(id))?.is_some_and(|found| found.kind.is_file()))
}

pub fn nowhere(desk: &Desk, task: &TaskRef) -> String {
    let projects_dir = &desk.daemon.config.dispatcher.projects_dir;
    format!("there is no task {task} in {}; tasks list names all", projects_dir.display())
}
