//! The end of a task: its file with the result in `done/` or `failed/`, then nothing in the inbox.
//!
//! The order is result, inbox file, marker, each on the disk before the next; so a crash leaves a
//! task that is not yet closed, or one that only has to be tidied up, and doing it again does the
//! rest. Whether a result that lies there is this one is told by its bytes alone.

use std::io::{self, ErrorKind};

use rustix::fs::FileType;

use crate::ids::TaskRef;
use crate::moment::Wall;
use crate::queue::dir::{Dir, Found, Put};
use crate::queue::inbox::{self, TaskFile};
use crate::queue::marker::{self, Marker, Owner};
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue, file_name};
use crate::task::TaskResult;
use crate::task::front_matter;

/// Results of one id in one directory: `<id>.md`, `<id>.2.md` and so on.
pub const RESULTS_MAX: usize = 1000;
/// The largest `dispatcher.max_bytes` with room for a result.
pub const RESULT_BYTES_MAX: u64 = (64 << 20) + (64 << 10);
/// Of a result whose task file is gone.
const MODE_DEFAULT: u32 = 0o644;

/// Writes the result and takes the task out of the inbox. Done again, it only does what is missing.
///
/// # Errors
/// The marker is somebody else's, or a file could not be written; then nothing is lost, and it may be
/// done again.
pub fn close(queue: &Queue, rules: &Rules, instance: &str, result: &TaskResult) -> io::Result<()> {
    let inbox = queue.make_part(Part::Inbox)?;
    let owner = marker::read(&inbox, instance, &result.task)?;
    if owner == Some(Owner::Foreign) {
        return Err(marker::foreign(&inbox, &result.task));
    }
    let results = queue.make_part(if result.done { Part::Done } else { Part::Failed })?;
    let written = find(&results, result)?;
    // INVARIANT: with the result there and no marker of ours, a file in the inbox is a new task.
    if owner.is_none() && written == Place::Written {
        return Ok(());
    }
    let task = inbox::read(&inbox, &result.task.id, rules)?;
    write(&results, result, &task, written)?;
    if let TaskFile::Read { found, bytes } = &task {
        remove_if_same(&inbox, &file_name(&result.task.id), found, bytes)?;
    }
    inbox::clear_blocked(&inbox, &result.task.id)?;
    inbox.sync()?;
    marker::remove(&inbox, &result.task)
}

/// Moves a task that goes to no agent to `failed/`: under our own marker, so that nobody else is at it.
/// A marker that an unfinished try has left says since when and why; this finishes it.
///
/// # Errors
/// As [`close`]; also when the task is in an agent's hands.
pub fn fail(
    queue: &Queue,
    rules: &Rules,
    instance: &str,
    task: &TaskRef,
    reason: &str,
    now: Wall,
) -> io::Result<()> {
    let inbox = queue.make_part(Part::Inbox)?;
    let mark = Marker::of_mover(instance, task.clone(), reason, now);
    let mark = match marker::put(&inbox, &mark)? {
        Put::Made => mark,
        Put::Taken => match marker::read(&inbox, instance, task)? {
            Some(Owner::Ours(mark)) if mark.session.is_none() => *mark,
            Some(Owner::Ours(_)) => {
                let text = format!("task {task} is in an agent's hands");
                return Err(io::Error::new(ErrorKind::ResourceBusy, text));
            }
            Some(Owner::Foreign) | None => return Err(marker::foreign(&inbox, task)),
        },
    };
    let result = TaskResult {
        task: task.clone(),
        done: false,
        reason: mark.reason.unwrap_or_else(|| reason.to_owned()),
        session: None,
        account: None,
        conversation: None,
        started: None,
        finished: mark.claimed_at,
        attempts: 0,
        last_text: None,
    };
    close(queue, rules, instance, &result)
}

/// Moves a result from `done/` to `archive/` without replacing anything.
pub fn archive(done: &Dir, archive: &Dir, name: &str) -> io::Result<String> {
    let stem = name.strip_suffix(".md").unwrap_or(name);
    for number in 1..=RESULTS_MAX {
        let to = numbered(stem, number);
        if done.rename_new(name, archive, &to)? == Put::Made {
            return Ok(to);
        }
    }
    Err(too_many(archive, stem))
}

/// `<stem>.md`, then `<stem>.2.md` and so on.
pub fn numbered(stem: &str, number: usize) -> String {
    if number == 1 { format!("{stem}.md") } else { format!("{stem}.{number}.md") }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// This result lies there.
    Written,
    /// The first name that nothing has.
    Free(String),
}

/// Putting the result into a file that holds it already changes nothing.
fn find(results: &Dir, result: &TaskResult) -> io::Result<Place> {
    let stem = result.task.id.as_str();
    for number in 1..=RESULTS_MAX {
        let name = numbered(stem, number);
        let Some(found) = results.look(&name)? else { return Ok(Place::Free(name)) };
        if found.kind != FileType::RegularFile {
            continue;
        }
        let (_, bytes) = results.read(&name, RESULT_BYTES_MAX)?.unwrap_or((found, Vec::new()));
        let same_bytes =
            || front_matter::with_result(&front_matter::without_result(&bytes), result) == bytes;
        if is_of_same_attempt(&bytes, result) || same_bytes() {
            return Ok(Place::Written);
        }
    }
    Err(too_many(results, stem))
}

/// Asked for again after a crash, the moment and the last words may differ; the conversation of an
/// attempt has no other.
fn is_of_same_attempt(bytes: &[u8], result: &TaskResult) -> bool {
    front_matter::result(&result.task, bytes).is_some_and(|known| {
        known.conversation.is_some()
            && known.conversation == result.conversation
            && known.done == result.done
    })
}

/// What was a task and is none any more (gone, a link, too large) has a result without a body.
fn write(results: &Dir, result: &TaskResult, task: &TaskFile, mut place: Place) -> io::Result<()> {
    let (body, mode) = match task {
        TaskFile::Read { found, bytes } => (bytes.as_slice(), found.mode & 0o666),
        TaskFile::Gone => (&[][..], MODE_DEFAULT),
        TaskFile::Refused(refusal) => {
            let task = &result.task;
            log::warn!("task={task} its file stays in the inbox, its result is bare: {refusal}");
            (&[][..], MODE_DEFAULT)
        }
    };
    while let Place::Free(name) = place {
        let bytes = front_matter::with_result(body, result);
        match results.put_new(&name, &bytes, mode)? {
            Put::Made => return Ok(()),
            // Somebody was quicker, with this result or with another.
            Put::Taken => place = find(results, result)?,
        }
    }
    Ok(())
}

/// One that was put in its place, or written into it, meanwhile is another task: the number of a file
/// that is gone goes to the next one at once.
fn remove_if_same(inbox: &Dir, name: &str, read: &Found, bytes: &[u8]) -> io::Result<()> {
    let Some(now) = inbox.look(name)? else { return Ok(()) };
    let is_same = now.stamp == read.stamp
        || now.kind == FileType::RegularFile
            && inbox.read(name, read.stamp.size_bytes)?.is_some_and(|(_, now)| now == bytes);
    if is_same {
        inbox.remove(name)?;
    }
    Ok(())
}

fn too_many(dir: &Dir, stem: &str) -> io::Error {
    let text =
        format!("{} holds {RESULTS_MAX} files for {stem}: move them away", dir.path().display());
    io::Error::new(ErrorKind::AlreadyExists, text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_task_file_goes_unless_another_was_put_or_written_in_its_place() {
        type Change = fn(&Path);
        let cases: [(&str, Change, bool); 5] = [
            ("left alone", |_| {}, true),
            ("gone", |path| fs::remove_file(path).unwrap(), true),
            (
                "other bits",
                |path| fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap(),
                true,
            ),
            ("written anew", |path| fs::write(path, "new").unwrap(), false),
            (
                "replaced",
                |path| {
                    fs::remove_file(path).unwrap();
                    fs::write(path, "new").unwrap();
                },
                false,
            ),
        ];
        for (what, change, goes) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t.md");
            fs::write(&path, "old").unwrap();
            let inbox = Dir::open(dir.path()).unwrap();
            let (found, bytes) = inbox.read("t.md", 100).unwrap().unwrap();
            change(&path);
            remove_if_same(&inbox, "t.md", &found, &bytes).unwrap();
            assert_eq!(!path.exists(), goes, "{what}");
        }
    }
}
