//! One task file as it was last read. Read once, and again only when it has changed.

use std::io;
use std::time::Duration;

use crate::ids::{TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::dir::{Dir, Stamp};
use crate::queue::file_name;
use crate::queue::inbox::{self, TaskFile};
use crate::queue::rules::Rules;
use crate::task::{TaskSpec, front_matter};

/// A file changed so lately may still be written, unless we saw it closed or moved here.
pub const SETTLING: Duration = Duration::from_secs(1);

/// Kept small: there may be a hundred thousand.
#[derive(Debug)]
pub struct Entry {
    pub task: TaskRef,
    stamp: Stamp,
    /// When the file was last written.
    pub since: Wall,
    pub judged: Judged,
}

#[derive(Debug)]
pub enum Judged {
    Task(TaskSpec),
    /// Why it can be no task.
    Malformed(String),
    /// Said when it was read.
    Refused,
    /// It may still be written; to be read when it has settled.
    Settling,
    /// For a reason that may pass; to be read again.
    Unreadable(String),
}

/// What is the same for all files of one look.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub rules: &'a Rules,
    pub now: Wall,
}

impl Entry {
    /// `None` when the file is gone. `whole`: nobody writes it any more.
    pub fn read(
        inbox: &Dir,
        task: TaskRef,
        known: Option<Self>,
        whole: bool,
        look: Look<'_>,
    ) -> Option<Self> {
        let found = match inbox.look(file_name(&task.id)) {
            Ok(found) => found?,
            Err(error) => return Some(Self::unreadable(task, known, &error)),
        };
        if let Some(known) = known.filter(|known| known.stands(&found.stamp)) {
            return Some(known);
        }
        let unsettled = !whole && is_settling(found.stamp.changed(), look.now);
        let (stamp, since) = (found.stamp, found.modified);
        if unsettled {
            return Some(Self { task, stamp, since, judged: Judged::Settling });
        }
        match inbox::read(inbox, &task.id, look.rules) {
            Ok(TaskFile::Gone) => None,
            Ok(TaskFile::Refused(refusal)) => {
                log::warn!("task={task} refused: {refusal}");
                Some(Self { task, stamp, since, judged: Judged::Refused })
            }
            Ok(TaskFile::Read { found, bytes }) => {
                let judged = judge(&task, &bytes);
                Some(Self { task, stamp: found.stamp, since: found.modified, judged })
            }
            Err(error) => Some(Self::unreadable(task, None, &error)),
        }
    }

    fn unreadable(task: TaskRef, known: Option<Self>, error: &io::Error) -> Self {
        let stamp = Stamp { inode: 0, size_bytes: 0, changed_ns: 0 };
        let since = known.map_or(Wall(0), |known| known.since);
        Self { task, stamp, since, judged: Judged::Unreadable(error.to_string()) }
    }

    fn stands(&self, stamp: &Stamp) -> bool {
        match self.judged {
            Judged::Task(_) | Judged::Malformed(_) | Judged::Refused => self.stamp == *stamp,
            Judged::Settling | Judged::Unreadable(_) => false,
        }
    }

    pub fn id(&self) -> &TaskId {
        &self.task.id
    }
}

/// A clock that was set back does not keep a file waiting.
fn is_settling(changed: Wall, now: Wall) -> bool {
    changed <= now && now - changed < SETTLING
}

fn judge(task: &TaskRef, bytes: &[u8]) -> Judged {
    let mut spec = match front_matter::read(&task.id, bytes) {
        Ok(spec) => spec,
        Err(why) => return Judged::Malformed(why),
    };
    if !spec.unknown_keys.is_empty() {
        log::warn!("task={task} keys that mean nothing here: {}", spec.unknown_keys.join(", "));
    }
    if !spec.needs_claude_code {
        log::info!("task={task} not for this pool (needs_claude_code: false), left alone");
    }
    // Nobody asks for these any more.
    spec.unknown_keys = Vec::new();
    spec.tags = Vec::new();
    Judged::Task(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_settles_within_a_second_by_whatever_clock() {
        for (changed, now, expected) in [
            (1_000, 1_000, true),
            (1_000, 1_999, true),
            (1_000, 2_000, false),
            (5_000, 1_000, false),
        ] {
            assert_eq!(is_settling(Wall(changed), Wall(now)), expected, "{changed} {now}");
        }
    }
}
