//! When to look sooner: notices that something changed in a home, in a directory of conversations, or
//! among the signal files. A reason to look, never the truth.
//!
//! Without notices (the user's inotify instances are used up) the tick alone finds changes. The
//! directory of signal files may be `/tmp`, so it has an instance of its own, where the noise of
//! others costs nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};

use crate::ids::ConversationId;
use crate::watcher::session_file;
use crate::watcher::signal_files;
use crate::watcher::watches::Watches;

/// Changes that wait to be read. Past that the tick finds them.
const CHANGES_MAX: usize = 4096;

pub struct Hints {
    agents: Watches,
    signals: Watches,
}

/// Where the hints arrive.
pub struct Hinted {
    /// An agent may have changed. Holds one hint at most: many changes are one reason to look.
    pub agents: Receiver<()>,
    pub files: Receiver<Changed>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    Conversation(ConversationId),
    /// A directory came or went, or notices were lost.
    Somewhere,
    /// A signal file was written, or moved to its place.
    Signals,
}

impl Hints {
    pub fn start() -> (Self, Hinted) {
        let (hint, agents) = bounded(1);
        let (changed, files) = bounded(CHANGES_MAX);
        let signalled = changed.clone();
        // Where a channel is full, a look is due already.
        let hear_agents = move |event: &notify::Event| {
            if matters(event) {
                let _ = hint.try_send(());
            }
            for change in changes(event) {
                let _ = changed.try_send(change);
            }
        };
        let hear_signals = move |event: &notify::Event| {
            if signals(event) {
                let _ = signalled.try_send(Changed::Signals);
            }
        };
        let this = Self {
            agents: Watches::new("agents", Arc::new(hear_agents)),
            signals: Watches::new("signal files", Arc::new(hear_signals)),
        };
        (this, Hinted { agents, files })
    }

    /// Watches each home and its `sessions` directory, the directories of conversations and that of
    /// signal files, so far as they exist, and nothing else.
    pub fn keep<'a>(
        &mut self,
        homes: impl Iterator<Item = &'a Path>,
        conversations: &BTreeSet<PathBuf>,
        signals: &Path,
    ) {
        // INVARIANT: a home before its `sessions`, so that one made meanwhile is noticed.
        let homes = homes.flat_map(|home| [home.to_owned(), home.join("sessions")]);
        let paths: Vec<PathBuf> = homes.chain(conversations.iter().cloned()).collect();
        self.agents.keep(&paths);
        self.signals.keep(&[signals.to_owned()]);
    }
}

/// A signal file is whole when it is closed, or moved to its place.
fn signals(event: &notify::Event) -> bool {
    let is_whole = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
    );
    let is_one =
        |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(signal_files::is_one);
    event.need_rescan() || (is_whole && event.paths.iter().any(is_one))
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
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind};

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
        assert!(matters(&gone));
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

    #[test]
    fn only_whole_signal_files_are_signals() {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let moved_in = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (kind, path, expected) in [
            (closed, "/d/agent-done-ccl-1", true),
            (moved_in, "/d/agent-failed-ccl-1", true),
            (EventKind::Create(CreateKind::File), "/d/agent-failed-ccl-1", false),
            (written, "/d/agent-failed-ccl-1", false),
            (closed, "/d/agent-done-", false),
            (closed, "/d/other", false),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(signals(&event), expected, "{kind:?} {path}");
        }
        assert!(signals(&notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }
}
