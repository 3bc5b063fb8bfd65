//! A new task: written beside the inbox's other files, then renamed, so that nobody reads half of it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::ids::TaskRef;
use crate::queue::dir::Put;
use crate::queue::{Part, Queue, file_name, marker};

/// Puts the task into its project's inbox, whose directories are made; where its file lies.
///
/// # Errors
/// There is no such project, a task with this id waits already or is in somebody's hands, or a file
/// cannot be written.
pub fn submit(projects_dir: &Path, task: &TaskRef, bytes: &[u8]) -> io::Result<PathBuf> {
    let inbox = Queue::make(projects_dir, &task.project)?.make_part(Part::Inbox)?;
    let taken = || {
        let text = format!("a task {task} is in the inbox already: choose another id");
        io::Error::new(ErrorKind::AlreadyExists, text)
    };
    if inbox.look(marker::name(&task.id))?.is_some() {
        return Err(taken());
    }
    let name = file_name(&task.id);
    match inbox.put_new(&name, bytes, 0o644)? {
        Put::Made => Ok(inbox.path().join(name)),
        Put::Taken => Err(taken()),
    }
}
