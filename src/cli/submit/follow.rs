//! Follows one task to its end by its files alone, so that a restart of the daemon does not matter.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::cli::daemon::Daemon;
use crate::ids::TaskRef;
use crate::queue::{Part, Queue, file_name, marker, results};
use crate::task::{TaskResult, front_matter};

/// A notice of the kernel is only a hint to look sooner.
const TICK: Duration = Duration::from_secs(1);
/// Front matter is no longer, and the body says nothing of its end.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// How a task has ended; with its result, when that can be read.
pub enum End {
    Done(Option<TaskResult>),
    Failed(Option<TaskResult>),
    /// Somebody took it away.
    Gone,
}

/// The results that lay there before the task did, by inode: ids may be used again.
pub struct Before(BTreeSet<u64>);

impl Before {
    pub fn of(daemon: &Daemon, task: &TaskRef) -> io::Result<Self> {
        let projects_dir = &daemon.config.dispatcher.projects_dir;
        let inodes = match Queue::open(projects_dir, &task.project)? {
            Some(queue) => {
                all_results(&queue, task)?.into_iter().map(|(_, _, inode)| inode).collect()
            }
            None => BTreeSet::new(),
        };
        Ok(Self(inodes))
    }
}

pub fn to_the_end(daemon: &Daemon, task: &TaskRef, before: &Before) -> io::Result<End> {
    let queue = Queue::open(&daemon.config.dispatcher.projects_dir, &task.project)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the queue is gone"))?;
    let (hint, hints) = bounded(1);
    let _watcher = watch(&queue, hint.clone());
    loop {
        // Looked at first: a result is there before its task has left.
        let is_there = is_there(&queue, task)?;
        if let Some(end) = ended(&queue, task, before)? {
            return Ok(end);
        }
        if !is_there {
            return Ok(End::Gone);
        }
        // Hint or tick, it looks again; `hint` lives here, so that the channel stays open.
        let _ = hints.recv_timeout(TICK);
    }
}

/// `None`: there are no notices to be had, and the ticks do.
fn watch(queue: &Queue, hint: Sender<()>) -> Option<RecommendedWatcher> {
    let tell = move |_| {
        // A hint that waits already says as much.
        let _ = hint.try_send(());
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    let inbox = queue.dir.path().join(Part::Inbox.name());
    watcher.watch(&inbox, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

fn is_there(queue: &Queue, task: &TaskRef) -> io::Result<bool> {
    let Some(inbox) = queue.part(Part::Inbox)? else { return Ok(false) };
    Ok(inbox.look(file_name(&task.id))?.is_some() || inbox.look(marker::name(&task.id))?.is_some())
}

fn ended(queue: &Queue, task: &TaskRef, before: &Before) -> io::Result<Option<End>> {
    for (part, name, inode) in all_results(queue, task)? {
        if before.0.contains(&inode) {
            continue;
        }
        let file = queue.part(part)?.map(|dir| dir.read(&name, HEAD_BYTES_MAX)).transpose()?;
        // Moved on since it was looked at: the next look finds it.
        let Some((_, bytes)) = file.flatten() else { continue };
        let result = front_matter::result(task, &bytes);
        return Ok(Some(match part {
            Part::Failed => End::Failed(result),
            Part::Inbox | Part::Done | Part::Archive => End::Done(result),
        }));
    }
    Ok(None)
}

fn all_results(queue: &Queue, task: &TaskRef) -> io::Result<Vec<(Part, String, u64)>> {
    let mut found = Vec::new();
    for part in [Part::Done, Part::Failed, Part::Archive] {
        let Some(dir) = queue.part(part)? else { continue };
        for number in results::numbers(&dir, &task.id)? {
            let name = results::name(&task.id, number);
            // Moved on meanwhile: the next look finds it.
            let Some(at) = dir.look(&name)? else { continue };
            found.push((part, name, at.stamp.inode));
        }
    }
    Ok(found)
}
