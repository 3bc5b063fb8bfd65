//! `tasks cancel`: an end for a task that is not to be done.

use anyhow::bail;

use crate::api::control::Request;
use crate::cli::say;
use crate::cli::tasks::Desk;
use crate::cli::tasks::place::{self, Place};
use crate::ids::TaskRef;
use crate::queue::dir::Put;
use crate::queue::inbox::{self, TaskFile};
use crate::queue::marker::Marker;
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue, close, file_name, marker};

const REASON: &str = "cancelled";

pub fn run(desk: &Desk, task: &TaskRef) -> anyhow::Result<()> {
    let place = place::find(desk, task)?;
    let awaited = !matches!(place, Place::Held) && desk.waits_for_a_word(task);
    match place {
        Place::Waiting(_) if awaited => cancel_by_the_daemon(desk, task),
        Place::Waiting(queue) | Place::Moving(queue) => {
            move_away(desk, &queue, task)?;
            say::line(format_args!("{task}: moved to failed/, {REASON}"));
            Ok(())
        }
        Place::Held => cancel_by_the_daemon(desk, task),
        Place::Foreign(queue) => Err(marker::foreign(&queue.make_part(Part::Inbox)?, task).into()),
        // Nothing is left to cancel, but the daemon does not know that yet.
        Place::Failed(_) | Place::Done | Place::Nowhere if awaited => {
            bail!("{task} lies in no inbox any more: tasks retry {task} tells the daemon so")
        }
        Place::Failed(_) => bail!("{task} has failed already"),
        Place::Done => bail!("{task} is done already"),
        Place::Nowhere => bail!(place::nowhere(desk, task)),
    }
}

fn cancel_by_the_daemon(desk: &Desk, task: &TaskRef) -> anyhow::Result<()> {
    desk.ask(task, &Request::TasksCancel { task: task.clone() })
}

/// Under a marker of ours, so that the daemon cannot claim it meanwhile; or else the daemon was
/// quicker, and its marker refuses us.
fn move_away(desk: &Desk, queue: &Queue, task: &TaskRef) -> anyhow::Result<()> {
    let rules = Rules::of(&desk.daemon.config.dispatcher);
    if let TaskFile::Refused(refusal) =
        inbox::read(&queue.make_part(Part::Inbox)?, &task.id, &rules)?
    {
        bail!("{task} is no task but {refusal}: remove it");
    }
    let instance = desk.daemon.instance_of_ours()?;
    let inbox = queue.make_part(Part::Inbox)?;
    let lies_there = || inbox.look(file_name(&task.id));
    let leaving = lies_there()?.map(|found| found.stamp);
    let mark = Marker::of_mover(&instance, task.clone(), REASON, leaving, desk.now);
    // Looked at again under the marker: it may have been claimed, done and moved since.
    if marker::put(&inbox, &mark)? == Put::Made && lies_there()?.is_none() {
        marker::release(&inbox, &instance, task)?;
        bail!("{task} has left the inbox meanwhile; tasks show {task} says what became of it");
    }
    close::fail(queue, &rules, &instance, task, REASON, desk.now)?;
    if lies_there()?.is_some() {
        bail!("{task} was put into the inbox anew meanwhile: cancel it again if that one is meant");
    }
    Ok(())
}
