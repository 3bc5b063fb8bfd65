//! Where one task is, and so who may move it.

use std::io;

use crate::cli::tasks::Desk;
use crate::ids::TaskRef;
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
    if queue.is_done(&task.id)? {
        return Ok(Place::Done);
    }
    let failed = queue.part(Part::Failed)?;
    match failed.map(|dir| dir.look(file_name(&task.id))).transpose()?.flatten() {
        Some(_) => Ok(Place::Failed(queue)),
        None => Ok(Place::Nowhere),
    }
}

pub fn nowhere(desk: &Desk, task: &TaskRef) -> String {
    let projects_dir = &desk.daemon.config.dispatcher.projects_dir;
    format!("there is no task {task} in {}; tasks list names all", projects_dir.display())
}
