//! `tasks retry`: another try for a task.
//!
//! One that the daemon waits for a word on may have been marked, done or removed by others since:
//! the daemon hears of the word all the same, or it would wait for ever.

use anyhow::bail;

use crate::api::control::Request;
use crate::cli::say;
use crate::cli::tasks::Desk;
use crate::cli::tasks::place::{self, Place};
use crate::ids::TaskRef;
use crate::queue::{Part, marker, retry};

pub fn run(desk: &Desk, task: &TaskRef) -> anyhow::Result<()> {
    let place = place::find(desk, task)?;
    let asked = matches!(place, Place::Held) || desk.waits_for_a_word(task);
    if asked {
        desk.ask(task, &Request::TasksRetry { task: task.clone() })?;
    }
    match place {
        Place::Failed(queue) => {
            retry::requeue(&queue, &task.id)?;
            say::line(format_args!("{task}: waits in the inbox again"));
        }
        Place::Foreign(queue) => {
            marker::remove(&queue.make_part(Part::Inbox)?, task)?;
            say::line(format_args!("{task}: the marker that was not ours is gone"));
        }
        Place::Held => {}
        Place::Waiting(_) | Place::Done | Place::Nowhere if asked => {}
        Place::Waiting(_) => bail!("{task} waits in the inbox: there is nothing to try again"),
        Place::Moving(_) => {
            bail!("{task} is being moved to failed/: tasks cancel {task} ends that, then retry")
        }
        Place::Done => bail!("{task} is done: submit it again under another id"),
        Place::Nowhere => bail!(place::nowhere(desk, task)),
    }
    Ok(())
}
