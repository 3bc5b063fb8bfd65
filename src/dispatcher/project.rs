//! The queue of one project as it was last read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use crate::dispatcher::entry::{Entry, Judged, Look, SETTLING};
use crate::dispatcher::said::Said;
use crate::ids::{ProjectName, TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::dir::{Dir, Stamp};
use crate::queue::inbox::{self, Listing};
use crate::queue::marker::{self, Owner};
use crate::queue::{Part, Queue};

/// Names of one inbox that are no ids of tasks and of which that is told.
const MISNAMED_TOLD_MAX: usize = 100;
/// What could not be read is tried again after this.
pub const TROUBLE: Duration = Duration::from_secs(5);
/// A mark of a move that is older was left by a process that is gone.
const MOVE_MAX: Duration = Duration::from_secs(60);
/// The kernel dates files by its last tick.
const MARGIN: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct Project {
    pub has_queue: bool,
    /// By rising id.
    pub entries: Vec<Entry>,
    pub marks: BTreeMap<TaskId, Mark>,
    /// Beside these lies the mark of a task that waits for others.
    pub blocked_marks: BTreeSet<TaskId>,
    pub misnamed: usize,
    misnamed_told: BTreeSet<String>,
    /// Something in it could not be read, or is still being written: to be read again after this.
    pub again_after: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    stamp: Stamp,
    pub whose: Whose,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// An agent has it, or had it.
    Agent,
    /// It is being moved to `failed/`, or somebody of ours died while doing that.
    Mover {
        since: Wall,
        reason: String,
    },
    Foreign,
}

impl Whose {
    /// A move takes milliseconds.
    pub fn is_abandoned(&self, now: Wall) -> bool {
        matches!(self, Self::Mover { since, .. } if now - *since >= MOVE_MAX)
    }
}

/// What is needed to read a project.
pub struct Scan<'a> {
    pub projects_dir: &'a Dir,
    pub instance: &'a str,
    pub look: Look<'a>,
    /// Files that nobody writes any more.
    pub whole: &'a BTreeSet<TaskRef>,
}

impl Project {
    /// What was known stays when the inbox cannot be read.
    pub fn scan(&mut self, name: &ProjectName, scan: &Scan<'_>, said: &mut Said) {
        let about = format!("project={name}");
        let unread: Vec<TaskId> = self.unreadable().map(|(id, _)| id.clone()).collect();
        match self.try_scan(name, scan) {
            Ok(()) => said.over(&about),
            Err(error) => {
                said.trouble(&about, &error);
                self.again_after = Some(TROUBLE);
            }
        }
        let still: BTreeMap<&TaskId, &str> = self.unreadable().collect();
        for id in unread.iter().filter(|id| !still.contains_key(id)) {
            said.over(&format!("task={name}:{id}"));
        }
        for (id, why) in still {
            said.trouble(&format!("task={name}:{id}"), &why);
        }
    }

    fn unreadable(&self) -> impl Iterator<Item = (&TaskId, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.judged {
            Judged::Unreadable(why) => Some((entry.id(), why.as_str())),
            Judged::Task(_) | Judged::Malformed(_) | Judged::Refused | Judged::Settling => None,
        })
    }

    fn try_scan(&mut self, name: &ProjectName, scan: &Scan<'_>) -> io::Result<()> {
        let queue = Queue::open_in(scan.projects_dir, name)?;
        let has_queue = queue.is_some();
        let inbox = match queue {
            Some(queue) => queue.part(Part::Inbox)?,
            None => None,
        };
        let Some(inbox) = inbox else {
            *self = Self { has_queue, ..Self::default() };
            return Ok(());
        };
        let mut listing = inbox::list(&inbox)?;
        listing.tasks.sort_unstable();
        self.has_queue = true;
        self.read_marks(name, &inbox, &listing, scan)?;
        self.read_entries(name, &inbox, std::mem::take(&mut listing.tasks), scan);
        let waits = self.entries.iter().filter_map(|entry| match entry.judged {
            Judged::Settling => Some(SETTLING + MARGIN),
            Judged::Unreadable(_) => Some(TROUBLE),
            Judged::Task(_) | Judged::Malformed(_) | Judged::Refused => None,
        });
        let moves = self.marks.values().filter_map(|mark| match mark.whose {
            Whose::Mover { .. } => Some(MOVE_MAX + MARGIN),
            Whose::Agent | Whose::Foreign => None,
        });
        self.again_after = waits.chain(moves).min();
        self.tell_misnamed(name, &listing);
        self.blocked_marks = listing.blocked;
        Ok(())
    }

    fn read_entries(
        &mut self,
        project: &ProjectName,
        inbox: &Dir,
        ids: Vec<TaskId>,
        scan: &Scan<'_>,
    ) {
        let mut known = std::mem::take(&mut self.entries).into_iter().peekable();
        self.entries.reserve_exact(ids.len());
        for id in ids {
            while known.next_if(|entry| *entry.id() < id).is_some() {}
            let known = known.next_if(|entry| *entry.id() == id);
            let task = TaskRef { project: project.clone(), id };
            let whole = scan.whole.contains(&task);
            self.entries.extend(Entry::read(inbox, task, known, whole, scan.look));
        }
    }

    fn read_marks(
        &mut self,
        project: &ProjectName,
        inbox: &Dir,
        listing: &Listing,
        scan: &Scan<'_>,
    ) -> io::Result<()> {
        let mut marks = BTreeMap::new();
        for id in &listing.marked {
            let Some(found) = inbox.look(marker::name(id))? else { continue };
            let known = self.marks.get(id).filter(|mark| mark.stamp == found.stamp).cloned();
            let mark = match known {
                Some(mark) => mark,
                None => {
                    let task = TaskRef { project: project.clone(), id: id.clone() };
                    let Some(owner) = marker::read(inbox, scan.instance, &task)? else { continue };
                    Mark { stamp: found.stamp, whose: whose(&task, owner) }
                }
            };
            marks.insert(id.clone(), mark);
        }
        self.marks = marks;
        Ok(())
    }

    fn tell_misnamed(&mut self, project: &ProjectName, listing: &Listing) {
        self.misnamed = listing.misnamed.len();
        if listing.cut {
            let rule = format!("only {} names are looked at", inbox::NAMES_MAX);
            log::warn!("project={project} its inbox holds too many files: {rule}");
        }
        let present: BTreeSet<&String> = listing.misnamed.iter().collect();
        self.misnamed_told.retain(|name| present.contains(name));
        for name in listing.misnamed.iter().take(MISNAMED_TOLD_MAX) {
            if self.misnamed_told.insert(name.clone()) {
                log::warn!("project={project} inbox/{name} refused: its name is no id of a task");
            }
        }
    }
}

fn whose(task: &TaskRef, owner: Owner) -> Whose {
    match owner {
        Owner::Ours(marker) if marker.session.is_none() => {
            let reason = marker.reason.unwrap_or_else(|| "moved".to_owned());
            Whose::Mover { since: marker.claimed_at, reason }
        }
        Owner::Ours(_) => Whose::Agent,
        Owner::Foreign => {
            log::info!(
                "task={task} state=foreign: somebody else's marker lies beside it; \
                 claude-failover tasks retry {task} takes it away"
            );
            Whose::Foreign
        }
    }
}
