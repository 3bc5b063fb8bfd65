//! Another try for a task that has failed, or that somebody else's marker keeps out of dispatch.

use std::io::{self, ErrorKind};

use crate::ids::TaskId;
use crate::queue::close::RESULT_BYTES_MAX;
use crate::queue::dir::{Dir, Put};
use crate::queue::{Part, Queue, file_name, results};
use crate::task::front_matter;

/// Moves the task's last failure back to the inbox, without its result.
///
/// The result is taken out in place, then the file is moved: the task is in one place at each moment.
///
/// # Errors
/// It has not failed, or a task with its name waits already.
pub fn requeue(queue: &Queue, id: &TaskId) -> io::Result<()> {
    let task = format!("{}:{id}", queue.project);
    let missing = || {
        let text = format!("task {task} is not in {}/failed", queue.dir.path().display());
        io::Error::new(ErrorKind::NotFound, text)
    };
    let failed = queue.part(Part::Failed)?.ok_or_else(missing)?;
    let inbox = queue.make_part(Part::Inbox)?;
    let name = last(&failed, id)?.ok_or_else(missing)?;
    let waiting = || {
        let text = format!("a task {task} waits in the inbox already");
        io::Error::new(ErrorKind::AlreadyExists, text)
    };
    if inbox.look(file_name(id))?.is_some() {
        return Err(waiting());
    }
    let (found, bytes) = failed.read(&name, RESULT_BYTES_MAX)?.ok_or_else(missing)?;
    if bytes.len() as u64 > RESULT_BYTES_MAX {
        let path = failed.path().join(&name);
        let text = format!("{} is longer than any task: it is left there", path.display());
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    failed.replace(&name, &front_matter::without_result(&bytes), found.mode & 0o666)?;
    match failed.rename_new(&name, &inbox, &file_name(id))? {
        Put::Made => Ok(()),
        Put::Taken => Err(waiting()),
    }
}

/// The file of its last failure.
fn last(failed: &Dir, id: &TaskId) -> io::Result<Option<String>> {
    let last = results::numbers(failed, id)?.pop();
    Ok(last.map(|number| results::name(id, number)))
}
