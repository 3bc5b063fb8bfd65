//! The kernel's notices that something changed in a home, or in a directory of conversations: a
//! reason to look sooner, never the truth.
//!
//! A directory that is removed loses its watch without a word, so [`Hints::keep`] compares at every
//! look. Without notices (the user's inotify instances are used up) the tick alone finds changes.
//! notify drops watches by path: the late notice of a removal takes the watch of the successor too.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::ids::ConversationId;
use crate::watcher::session_file;

/// Changes that wait to be read. Past that the tick finds them.
const CHANGES_MAX: usize = 4096;

pub struct Hints {
    notices: Option<RecommendedWatcher>,
    watched: HashMap<PathBuf, Directory>,
    working: bool,
    signals: Signals,
}

/// Where the hints arrive.
pub struct Hinted {
    /// An agent may have changed. Holds one hint at most: many changes are one reason to look.
    pub agents: Receiver<()>,
    pub conversations: Receiver<Changed>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    Conversation(ConversationId),
    /// A directory came or went, or notices were lost.
    Somewhere,
}

/// What the source of notices tells us.
#[derive(Clone)]
struct Signals {
    hint: Sender<()>,
    changed: Sender<Changed>,
    /// Some watched directory may have gone, so its watch has to be made again.
    unwatched: Arc<AtomicBool>,
}

/// An inode number alone is given to the next directory at once; its birth tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directory {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Hints {
    pub fn start() -> (Self, Hinted) {
        let (hint, agents) = bounded(1);
        let (changed, conversations) = bounded(CHANGES_MAX);
        let this = Self {
            notices: None,
            watched: HashMap::new(),
            working: true,
            signals: Signals { hint, changed, unwatched: Arc::default() },
        };
        (this, Hinted { agents, conversations })
    }

    /// Watches each home and its `sessions` directory, and the directories of conversations, so far
    /// as they exist, and nothing else.
    pub fn keep<'a>(
        &mut self,
        homes: impl Iterator<Item = &'a Path>,
        conversations: &BTreeSet<PathBuf>,
    ) {
        if self.signals.unwatched.swap(false, Ordering::Relaxed) {
            self.watched.clear();
        }
        // INVARIANT: a home before its `sessions`, so that one made meanwhile is noticed.
        let homes = homes.flat_map(|home| [home.to_owned(), home.join("sessions")]);
        let paths: Vec<PathBuf> = homes.chain(conversations.iter().cloned()).collect();
        let mut result = Ok(());
        for path in &paths {
            if let Err(error) = self.keep_one(path) {
                result = Err(error);
            }
        }
        for path in self.watched.keys().filter(|path| !paths.contains(path)) {
            let _ = self.notices.as_mut().map(|notices| notices.unwatch(path));
        }
        self.watched.retain(|path, _| paths.contains(path));
        match (&result, self.working) {
            (Err(error), true) => log::warn!(
                "agents are looked for at every interval only, file notices fail: {error} \
                 (raise fs.inotify.max_user_instances or max_user_watches)"
            ),
            (Ok(()), false) => log::info!("file notices work again"),
            _ => {}
        }
        self.working = result.is_ok();
    }

    fn keep_one(&mut self, path: &Path) -> notify::Result<()> {
        let directory = Directory::at(path);
        if directory.as_ref() == self.watched.get(path) {
            return Ok(());
        }
        let notices = match &mut self.notices {
            Some(notices) => notices,
            none => none.insert(source(self.signals.clone())?),
        };
        if self.watched.remove(path).is_some() {
            // A removed directory has taken its watch with it.
            let _ = notices.unwatch(path);
        }
        let Some(directory) = directory else {
            return Ok(());
        };
        match notices.watch(path, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(path.to_owned(), directory);
                Ok(())
            }
            // Gone since we looked, which is noticed in its parent.
            Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Directory {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() })
    }
}

fn source(signals: Signals) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if takes_watch(&event) {
            // INVARIANT: before the hint. The watch goes when this call returns, and one that is
            // asked for from now on is made after that.
            signals.unwatched.store(true, Ordering::Relaxed);
        }
        if matters(&event) {
            // Full: a look is due already.
            let _ = signals.hint.try_send(());
        }
        for changed in changes(&event) {
            let _ = signals.changed.try_send(changed);
        }
    })
}

/// Only a directory that we watch takes a watch with it, and the names of those have no extension.
fn takes_watch(event: &notify::Event) -> bool {
    let leaves =
        matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    leaves && event.paths.iter().any(|path| path.extension().is_none())
}

fn changes(event: &notify::Event) -> impl Iterator<Item = Changed> {
    let lost = event.need_rescan().then_some(Changed::Somewhere);
    let (paths, entries_changed) = match event.kind {
        // Our own reading; and a file that is closed was written before.
        EventKind::Access(_) => (&[][..], false),
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(ModifyKind::Name(_))
        | EventKind::Any
        | EventKind::Other => (&*event.paths, true),
        EventKind::Modify(_) => (&*event.paths, false),
    };
    let of = move |path: &PathBuf| match path.extension() {
        Some(extension) if extension == "jsonl" => {
            path.file_stem()?.to_str()?.parse().ok().map(Changed::Conversation)
        }
        Some(_) => None,
        None => entries_changed.then_some(Changed::Somewhere),
    };
    lost.into_iter().chain(paths.iter().filter_map(of))
}

/// Our own reading makes notices too, and a home is full of files that say nothing of agents.
fn matters(event: &notify::Event) -> bool {
    if event.need_rescan() {
        return true;
    }
    let changed = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    };
    changed
        && event.paths.iter().any(|path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or("");
            name == "sessions"
                || name == ".credentials.json"
                || session_file::pid_of(name).is_some()
        })
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    const ID: &str = "82840528-5c4e-4114-8dc2-50dc43ea65c9";

    use super::*;

    #[test]
    fn only_changes_that_tell_of_agents_matter() {
        let closed = |mode| EventKind::Access(AccessKind::Close(mode));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let moved_in = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        for (kind, path, expected) in [
            (closed(AccessMode::Write), "/h/sessions/12.json", true),
            (written, "/h/sessions/12.json", true),
            (moved_in, "/h/sessions/12.json", true),
            (EventKind::Create(CreateKind::Folder), "/h/sessions", true),
            (written, "/h/.credentials.json", true),
            (opened, "/h/sessions/12.json", false),
            (closed(AccessMode::Read), "/h/sessions", false),
            (written, "/h/sessions/12.ab.key", false),
            (written, "/h/.claude.json", false),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(matters(&event), expected, "{kind:?} {path}");
        }
        let gone = notify::Event::new(EventKind::Remove(RemoveKind::Folder));
        let gone = gone.add_path("/h/sessions".into());
        assert!(matters(&gone) && takes_watch(&gone));
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(matters(&overflow));
    }

    #[test]
    fn a_change_of_a_conversation_names_it() {
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let file = format!("/p/-srv-work/{ID}.jsonl");
        let conversation = || vec![Changed::Conversation(ID.parse().unwrap())];
        for (kind, path, expected) in [
            (written, &*file, conversation()),
            (EventKind::Create(CreateKind::File), &file, conversation()),
            (EventKind::Remove(RemoveKind::File), &file, conversation()),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), &file, vec![]),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), &file, vec![]),
            (written, "/p/-srv-work/agent-x.jsonl", vec![]),
            (written, "/h/history.jsonl", vec![]),
            (written, "/h/sessions/12.json", vec![]),
            (EventKind::Create(CreateKind::Folder), "/p/-srv-work", vec![Changed::Somewhere]),
            (EventKind::Create(CreateKind::File), "/h/projects", vec![Changed::Somewhere]),
            (written, "/h/projects", vec![]),
            (EventKind::Create(CreateKind::Folder), "/h/.claude.json.lock", vec![]),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(changes(&event).collect::<Vec<_>>(), expected, "{kind:?} {path}");
        }
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(changes(&overflow).collect::<Vec<_>>(), [Changed::Somewhere]);
    }
}
