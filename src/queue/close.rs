//! The end of a task: its file with the result in `done/` or `failed/`, then nothing in the inbox.
//!
//! The order is our mark, which names the file and the result to be, then the result, the inbox file,
//! the mark again: each on the disk before the next. So a crash leaves a task that is not yet closed,
//! or one that only has to be tidied up; doing it again does the rest, and takes no other file that
//! was put into the inbox meanwhile for the one that it was about.

use std::io::{self, ErrorKind};

use crate::ids::TaskRef;
use crate::moment::Wall;
use crate::queue::dir::{Dir, Found, Put, Stamp};
use crate::queue::inbox::{self, TaskFile};
use crate::queue::marker::{self, Marker, Owner};
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue, file_name, results};
use crate::task::TaskResult;
use crate::task::front_matter;

/// The largest `dispatcher.max_bytes` with room for a result.
pub const RESULT_BYTES_MAX: u64 = (64 << 20) + (64 << 10);
/// Files of one id that were no task at its end, in one directory.
const SET_ASIDE_MAX: u32 = 100;
/// Of a result whose task file is gone.
const MODE_DEFAULT: u32 = 0o644;

/// Writes the result and takes the task out of the inbox. Done again, it only does what is missing.
///
/// # Errors
/// The marker is somebody else's, or a file could not be written; then nothing is lost, and it may be
/// done again.
pub fn close(queue: &Queue, rules: &Rules, instance: &str, result: &TaskResult) -> io::Result<()> {
    let inbox = queue.make_part(Part::Inbox)?;
    let part = part_of(result);
    let closing = Closing { inbox: &inbox, results: &queue.make_part(part)?, part, rules, result };
    let mark = match marker::read(&inbox, instance, &result.task)? {
        Some(Owner::Foreign) => return Err(marker::foreign(&inbox, &result.task)),
        Some(Owner::Ours(mark)) => *mark,
        // INVARIANT: with the result there and no marker of ours, a file in the inbox is a new task.
        None if closing.is_among_all()? => return Ok(()),
        None => closing.mark(instance)?,
    };
    closing.run(mark)?;
    inbox::clear_blocked(&inbox, &result.task.id)?;
    inbox.sync()?;
    marker::remove(&inbox, &result.task)
}

/// Moves a task that goes to no agent to `failed/`: under our own marker, so that nobody else is at it.
/// A marker that an unfinished try has left says since when and why, and which file; this finishes it.
/// A file that was put in its place since is a new task, and stays.
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
    let leaving = inbox.look(file_name(&task.id))?.map(|found| found.stamp);
    let mark = Marker::of_mover(instance, task.clone(), reason, leaving, now);
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
    let (id, _) = results::parse(name).ok_or_else(|| {
        let text = format!("{} is no result", done.path().join(name).display());
        io::Error::new(ErrorKind::InvalidInput, text)
    })?;
    loop {
        let to = results::name(&id, results::free(archive, &id)?);
        if done.rename_new(name, archive, &to)? == Put::Made {
            return Ok(to);
        }
    }
}

fn part_of(result: &TaskResult) -> Part {
    if result.done { Part::Done } else { Part::Failed }
}

/// One task on its way out of the inbox.
struct Closing<'a> {
    inbox: &'a Dir,
    results: &'a Dir,
    part: Part,
    rules: &'a Rules,
    result: &'a TaskResult,
}

impl Closing<'_> {
    fn run(&self, mark: Marker) -> io::Result<()> {
        let lying = self.stamp_in_inbox()?;
        if let Some(written) = self.written(&mark)? {
            let is_it = match mark.leaving {
                Some(leaving) => lying == Some(leaving),
                None if mark.result.is_some() => false,
                // An older version did not note which file it was.
                None => self.holds(&front_matter::without_result(&written))?,
            };
            return if is_it { self.clear(&self.read()?, lying) } else { self.leave(lying) };
        }
        // What has come in the place of one that was to be moved was never judged.
        let is_moved = mark.session.is_none() && mark.leaving.is_some();
        if is_moved && lying.is_some() && lying != mark.leaving {
            return self.leave(lying);
        }
        let task = self.read()?;
        let leaving = match &task {
            TaskFile::Read { found, .. } => Some(found.stamp),
            TaskFile::Refused(_) => lying,
            TaskFile::Gone => None,
        };
        self.write(Marker { leaving, ..mark }, &task)?;
        self.clear(&task, leaving)
    }

    fn stamp_in_inbox(&self) -> io::Result<Option<Stamp>> {
        let found = self.inbox.look(file_name(&self.result.task.id))?;
        Ok(found.map(|found| found.stamp))
    }

    fn read(&self) -> io::Result<TaskFile> {
        inbox::read(self.inbox, &self.result.task.id, self.rules)
    }

    fn holds(&self, body: &[u8]) -> io::Result<bool> {
        Ok(matches!(self.read()?, TaskFile::Read { bytes, .. } if bytes == body))
    }

    /// Of a task that nobody holds: taken away by hand, or of a queue that was made anew.
    fn mark(&self, instance: &str) -> io::Result<Marker> {
        let TaskResult { task, reason, finished, .. } = self.result;
        let mark = Marker::of_mover(instance, task.clone(), reason, None, *finished);
        match marker::put(self.inbox, &mark)? {
            Put::Made => Ok(mark),
            Put::Taken => Err(marker::foreign(self.inbox, task)),
        }
    }

    /// The bytes of the result, if it lies there already. A mark that names nothing may be of an older
    /// version: the newest may be it.
    fn written(&self, mark: &Marker) -> io::Result<Option<Vec<u8>>> {
        let prefix = format!("{}/", self.part.name());
        let noted = mark.result.as_deref().and_then(|path| path.strip_prefix(&prefix));
        let newest = match noted {
            Some(name) => return self.result_in(name),
            None if mark.leaving.is_some() => None,
            None => results::numbers(self.results, &self.result.task.id)?.pop(),
        };
        newest
            .map_or(Ok(None), |number| self.result_in(&results::name(&self.result.task.id, number)))
    }

    fn is_among_all(&self) -> io::Result<bool> {
        let id = &self.result.task.id;
        for number in results::numbers(self.results, id)?.into_iter().rev() {
            if self.result_in(&results::name(id, number))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Putting the result into a file that holds it already changes nothing.
    fn result_in(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let is_plain = self.results.look(name)?.is_some_and(|found| found.kind.is_file());
        let read = if is_plain { self.results.read(name, RESULT_BYTES_MAX)? } else { None };
        let Some((_, bytes)) = read else { return Ok(None) };
        let same_bytes = || {
            front_matter::with_result(&front_matter::without_result(&bytes), self.result) == bytes
        };
        let is_it = is_of_same_attempt(&bytes, self.result) || same_bytes();
        Ok(is_it.then_some(bytes))
    }

    /// What was a task and is none any more (gone, a link, too large) has a result without a body.
    fn write(&self, mut mark: Marker, task: &TaskFile) -> io::Result<()> {
        let (body, mode) = match task {
            TaskFile::Read { found, bytes } => (bytes.as_slice(), found.mode & 0o666),
            TaskFile::Gone | TaskFile::Refused(_) => (&[][..], MODE_DEFAULT),
        };
        let bytes = front_matter::with_result(body, self.result);
        let id = &self.result.task.id;
        loop {
            let name = results::name(id, results::next(self.results, id)?);
            mark.result = Some(format!("{}/{name}", self.part.name()));
            marker::replace(self.inbox, &mark)?;
            if self.results.put_new(&name, &bytes, mode)? == Put::Made {
                return Ok(());
            }
        }
    }

    /// Takes the file out of the inbox; `leaving` is what it was when the result was made of it.
    fn clear(&self, task: &TaskFile, leaving: Option<Stamp>) -> io::Result<()> {
        match task {
            TaskFile::Gone => Ok(()),
            TaskFile::Read { found, bytes } => {
                remove_if_same(self.inbox, &file_name(&self.result.task.id), found, bytes)
            }
            TaskFile::Refused(_) if self.stamp_in_inbox()? != leaving => Ok(()),
            TaskFile::Refused(refusal) => {
                let task = &self.result.task;
                match self.set_aside() {
                    Ok(to) => log::warn!("task={task} its result is bare: {refusal}; it is {to}"),
                    Err(error) => {
                        log::warn!("task={task} its result is bare: {refusal}; it stays: {error}");
                    }
                }
                Ok(())
            }
        }
    }

    /// What is no task now may be one again later, and would be done once more.
    fn set_aside(&self) -> io::Result<String> {
        let id = &self.result.task.id;
        let mut to = String::new();
        for number in 1..=SET_ASIDE_MAX {
            to = format!("{}.refused", results::name(id, number));
            if self.inbox.rename_new(&file_name(id), self.results, &to)? == Put::Made {
                return Ok(format!("{}/{to}", self.part.name()));
            }
        }
        let text = format!("{to} and all before it are taken: move them away");
        Err(io::Error::new(ErrorKind::AlreadyExists, text))
    }

    fn leave(&self, lying: Option<Stamp>) -> io::Result<()> {
        if lying.is_some() {
            let task = &self.result.task;
            log::info!("task={task} another of its name was put into the inbox: it waits");
        }
        Ok(())
    }
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

/// One that was put in its place, or written into it, meanwhile is another task: the number of a file
/// that is gone goes to the next one at once.
fn remove_if_same(inbox: &Dir, name: &str, read: &Found, bytes: &[u8]) -> io::Result<()> {
    let Some(now) = inbox.look(name)? else { return Ok(()) };
    let is_same = now.stamp == read.stamp
        || now.kind.is_file()
            && inbox.read(name, read.stamp.size_bytes)?.is_some_and(|(_, now)| now == bytes);
    if is_same {
        inbox.remove(name)?;
    }
    Ok(())
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
