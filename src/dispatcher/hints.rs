//! The kernel's notices that something changed in a queue: a reason to look sooner, never the truth.
//!
//! Watched are `projects_dir`, each queue directory with its inbox, and a project without a queue. A
//! directory that goes takes its watch with it without a word, so the notice of that unwatches here
//! too, and [`Hints::keep`] compares at every look. notify drops watches by path: the late notice of a
//! removal takes the watch of the successor, and those below it, too.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::event::{AccessKind, AccessMode, EventKind, Flag, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::ids::{ProjectName, TaskRef};
use crate::queue::{Part, QUEUE_DIR};

/// Changes that wait to be looked at. Past that everything is looked at.
const CHANGES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// This task's file was moved here or closed after writing: it is whole.
    Arrived(TaskRef),
    Project(ProjectName),
    /// Projects came or went, or notices were lost.
    Everything,
}

pub struct Hints {
    root: PathBuf,
    notices: Option<RecommendedWatcher>,
    /// Device and inode of each watched directory.
    watched: HashMap<PathBuf, (u64, u64)>,
    failures: BTreeSet<PathBuf>,
    trouble: Option<String>,
    signals: Signals,
}

/// What the source of notices tells us.
#[derive(Clone)]
struct Signals {
    changes: Sender<Change>,
    /// A change found no room.
    missed: Arc<AtomicBool>,
    /// Directories whose watches have gone, with all that were below them.
    unwatched: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Hints {
    pub fn start(root: &Path) -> (Self, Receiver<Change>) {
        let (changes, receiver) = bounded(CHANGES_MAX);
        let signals = Signals { changes, missed: Arc::default(), unwatched: Arc::default() };
        let this = Self {
            root: root.to_owned(),
            notices: None,
            watched: HashMap::new(),
            failures: BTreeSet::new(),
            trouble: None,
            signals,
        };
        (this, receiver)
    }

    /// Whether changes were lost since the last time it was asked.
    pub fn have_missed(&self) -> bool {
        self.signals.missed.swap(false, Ordering::Relaxed)
    }

    /// Why some queue is not watched.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Watches the directory of projects. To be called before it is listed.
    pub fn keep_root(&mut self) {
        self.forget_unwatched();
        let root = self.root.clone();
        self.keep(&root);
        self.settle();
    }

    /// Watches the project's queue, or the project while it has none. To be called before the queue
    /// is read: what changes after that must leave a hint.
    pub fn keep_project(&mut self, project: &ProjectName) {
        self.forget_unwatched();
        let home = self.root.join(project.as_str());
        let queue = home.join(QUEUE_DIR);
        // INVARIANT: a directory before what is in it, so that what is made meanwhile is noticed.
        if self.keep(&queue) {
            self.keep(&queue.join(Part::Inbox.name()));
            self.drop_watch(&home);
        } else {
            self.drop_watch(&queue.join(Part::Inbox.name()));
            self.keep(&home);
            // Made between the two: from now on it is watched.
            if self.keep(&queue) {
                self.keep(&queue.join(Part::Inbox.name()));
                self.drop_watch(&home);
            }
        }
        self.settle();
    }

    pub fn forget_project(&mut self, project: &ProjectName) {
        let home = self.root.join(project.as_str());
        let queue = home.join(QUEUE_DIR);
        for path in [queue.join(Part::Inbox.name()), queue, home] {
            self.drop_watch(&path);
            self.failures.remove(&path);
        }
        self.settle();
    }

    /// Whether the directory is there.
    fn keep(&mut self, path: &Path) -> bool {
        let directory = if path == self.root { identity_of_root(path) } else { identity(path) };
        if directory.is_none() {
            self.drop_watch(path);
            self.failures.remove(path);
            return false;
        }
        if directory.as_ref() == self.watched.get(path) {
            return true;
        }
        self.drop_watch(path);
        match self.watch(path) {
            Ok(()) => {
                self.failures.remove(path);
                self.watched.extend(directory.map(|directory| (path.to_owned(), directory)));
            }
            // Gone since we looked, which is noticed in its parent.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => return false,
            Err(error) => {
                self.failures.insert(path.to_owned());
                self.trouble = Some(error.to_string());
            }
        }
        true
    }

    fn watch(&mut self, path: &Path) -> notify::Result<()> {
        let notices = match &mut self.notices {
            Some(notices) => notices,
            none => none.insert(source(&self.root, self.signals.clone())?),
        };
        notices.watch(path, RecursiveMode::NonRecursive)
    }

    fn drop_watch(&mut self, path: &Path) {
        if self.watched.remove(path).is_some()
            && let Some(notices) = &mut self.notices
        {
            // A removed directory has taken its watch with it.
            let _ = notices.unwatch(path);
        }
    }

    fn forget_unwatched(&mut self) {
        let gone = std::mem::take(&mut *locked(&self.signals.unwatched));
        if !gone.is_empty() {
            self.watched.retain(|path, _| !gone.iter().any(|gone| path.starts_with(gone)));
        }
    }

    fn settle(&mut self) {
        if self.failures.is_empty() {
            self.trouble = None;
        }
    }
}

/// `None` for what is no directory; a link is none.
fn identity(path: &Path) -> Option<(u64, u64)> {
    identified(fs::symlink_metadata(path))
}

/// The operator wrote this path: it may be a link.
fn identity_of_root(path: &Path) -> Option<(u64, u64)> {
    identified(fs::metadata(path))
}

fn identified(found: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    let found = found.ok().filter(fs::Metadata::is_dir)?;
    Some((found.dev(), found.ino()))
}

/// A thread that panicked with the lock left a set that is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn source(root: &Path, signals: Signals) -> notify::Result<RecommendedWatcher> {
    let root = root.to_owned();
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What cannot be read, or was dropped, may have been about any directory.
        let event = event.unwrap_or_else(|error| {
            log::debug!("a file notice could not be read: {error}");
            notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)
        });
        // INVARIANT: before the change. The watch goes when this call returns, and one that is asked
        // for from now on is made after that.
        locked(&signals.unwatched).extend(unwatched(&root, &event));
        for change in changes(&root, &event) {
            if signals.changes.try_send(change).is_err() {
                signals.missed.store(true, Ordering::Relaxed);
            }
        }
    })
}

/// The words of a path below the root.
fn below<'a>(root: &Path, path: &'a Path) -> Option<Vec<&'a str>> {
    let inside = path.strip_prefix(root).ok()?;
    inside
        .components()
        .map(|component| match component {
            Component::Normal(word) => word.to_str(),
            _ => None,
        })
        .collect()
}

/// The directories that this event takes the watch from.
fn unwatched(root: &Path, event: &notify::Event) -> Vec<PathBuf> {
    if event.need_rescan() {
        return vec![root.to_owned()];
    }
    let moved_away = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    if !event.kind.is_remove() && event.kind != moved_away {
        return Vec::new();
    }
    let is_ours = |path: &&PathBuf| match below(root, path).as_deref() {
        Some([] | [_]) => true,
        Some([_, queue]) => *queue == QUEUE_DIR,
        Some([_, queue, inbox]) => *queue == QUEUE_DIR && *inbox == Part::Inbox.name(),
        _ => false,
    };
    event.paths.iter().filter(is_ours).cloned().collect()
}

fn changes(root: &Path, event: &notify::Event) -> Vec<Change> {
    if event.need_rescan() {
        return vec![Change::Everything];
    }
    let kind = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Kind::Whole,
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(ModifyKind::Name(RenameMode::From) | ModifyKind::Metadata(_))
        | EventKind::Any
        | EventKind::Other => Kind::Changed,
        // Our own reading; what was written is told when it is closed; both ends of a rename are
        // told one by one.
        EventKind::Access(_) | EventKind::Modify(_) => return Vec::new(),
    };
    event.paths.iter().filter_map(|path| change(&below(root, path)?, kind)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The file is not being written any more.
    Whole,
    Changed,
}

fn change(words: &[&str], kind: Kind) -> Option<Change> {
    match words {
        [] => Some(Change::Everything),
        [project] => project.parse().ok().map(Change::Project),
        [project, queue] if *queue == QUEUE_DIR => project.parse().ok().map(Change::Project),
        [project, queue, inbox] if *queue == QUEUE_DIR && *inbox == Part::Inbox.name() => {
            project.parse().ok().map(Change::Project)
        }
        [project, queue, inbox, file]
            if *queue == QUEUE_DIR && *inbox == Part::Inbox.name() && !file.starts_with('.') =>
        {
            let project: ProjectName = project.parse().ok()?;
            let id = file.strip_suffix(".md").and_then(|id| id.parse().ok());
            match (id, kind) {
                (Some(id), Kind::Whole) => Some(Change::Arrived(TaskRef { project, id })),
                _ if file.ends_with(".md.blocked") => None,
                _ => Some(Change::Project(project)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind};

    use super::*;

    fn event(kind: EventKind, path: &str) -> notify::Event {
        notify::Event::new(kind).add_path(path.into())
    }

    #[test]
    fn only_changes_of_queues_matter() {
        let root = Path::new("/p");
        let project = || vec![Change::Project("a".parse().unwrap())];
        let arrived = || vec![Change::Arrived("a:t".parse().unwrap())];
        let moved = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let closed = |mode| EventKind::Access(AccessKind::Close(mode));
        let made = EventKind::Create(CreateKind::Any);
        for (kind, path, expected) in [
            (moved(RenameMode::To), "/p/a/.agent-queue/inbox/t.md", arrived()),
            (closed(AccessMode::Write), "/p/a/.agent-queue/inbox/t.md", arrived()),
            (made, "/p/a/.agent-queue/inbox/t.md", project()),
            (moved(RenameMode::From), "/p/a/.agent-queue/inbox/t.md", project()),
            (moved(RenameMode::To), "/p/a/.agent-queue/inbox/t.md.dispatched", project()),
            (EventKind::Remove(RemoveKind::File), "/p/a/.agent-queue/inbox/t.md", project()),
            (
                EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
                "/p/a/.agent-queue/inbox/t.md",
                project(),
            ),
            (moved(RenameMode::To), "/p/a/.agent-queue/inbox/a b.md", project()),
            (made, "/p/a/.agent-queue/inbox/t.md.blocked", vec![]),
            (made, "/p/a/.agent-queue/inbox/.claude-failover-1-1", vec![]),
            (closed(AccessMode::Read), "/p/a/.agent-queue/inbox/t.md", vec![]),
            (
                EventKind::Modify(ModifyKind::Data(DataChange::Any)),
                "/p/a/.agent-queue/inbox/t.md",
                vec![],
            ),
            (moved(RenameMode::To), "/p/a/.agent-queue/status.json", vec![]),
            (made, "/p/a/.agent-queue/inbox", project()),
            (made, "/p/a/.agent-queue", project()),
            (made, "/p/a/src", vec![]),
            (made, "/p/a", project()),
            (EventKind::Remove(RemoveKind::Folder), "/p", vec![Change::Everything]),
        ] {
            assert_eq!(changes(root, &event(kind, path)), expected, "{kind:?} {path}");
        }
    }

    #[test]
    fn notices_that_were_lost_are_a_reason_to_look_at_everything() {
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(changes(Path::new("/p"), &overflow), [Change::Everything]);
        assert_eq!(unwatched(Path::new("/p"), &overflow), [Path::new("/p")]);
    }

    #[test]
    fn a_directory_that_leaves_takes_its_watch_with_it() {
        let root = Path::new("/p");
        let gone = EventKind::Remove(RemoveKind::Folder);
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        for (kind, path, expected) in [
            (gone, "/p", true),
            (gone, "/p/a", true),
            (moved, "/p/a/.agent-queue", true),
            (gone, "/p/a/.agent-queue/inbox", true),
            (gone, "/p/a/.agent-queue/inbox/t.md", false),
            (gone, "/p/a/target", false),
            (EventKind::Create(CreateKind::Folder), "/p/a", false),
        ] {
            assert_eq!(!unwatched(root, &event(kind, path)).is_empty(), expected, "{path}");
        }
    }
}
