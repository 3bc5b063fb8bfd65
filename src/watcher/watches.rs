//! The kernel's notices of a set of directories, kept while directories come and go.
//!
//! A directory that is removed loses its watch without a word, so [`Watches::keep`] compares at every
//! look. notify drops watches by path: the late notice of a removal takes the watch of the successor too.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use notify::event::{EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

/// What is done with a notice; called on notify's own thread.
pub type Hear = Arc<dyn Fn(&notify::Event) + Send + Sync>;

pub struct Watches {
    /// What the notices are of, for the log.
    what: &'static str,
    hear: Hear,
    notices: Option<RecommendedWatcher>,
    watched: HashMap<PathBuf, Directory>,
    /// Some watched directory may have gone, so its watch has to be made again.
    unwatched: Arc<AtomicBool>,
    working: bool,
}

/// An inode number alone is given to the next directory at once; its birth tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directory {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Watches {
    pub fn new(what: &'static str, hear: Hear) -> Self {
        Self {
            what,
            hear,
            notices: None,
            watched: HashMap::new(),
            unwatched: Arc::default(),
            working: true,
        }
    }

    /// Watches these directories, so far as they exist, in this order, and nothing else.
    pub fn keep(&mut self, paths: &[PathBuf]) {
        let known: Vec<PathBuf> = self.watched.keys().cloned().collect();
        if self.unwatched.swap(false, Ordering::Relaxed) {
            self.watched.clear();
        }
        let mut result = Ok(());
        for path in paths {
            if let Err(error) = self.keep_one(path) {
                result = Err(error);
            }
        }
        for path in known.iter().filter(|path| !paths.contains(path)) {
            let _ = self.notices.as_mut().map(|notices| notices.unwatch(path));
        }
        self.watched.retain(|path, _| paths.contains(path));
        match (&result, self.working) {
            (Err(error), true) => log::warn!(
                "{} are looked for at every interval only, file notices fail: {error} \
                 (raise fs.inotify.max_user_instances or max_user_watches)",
                self.what
            ),
            (Ok(()), false) => log::info!("file notices of {} work again", self.what),
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
            none => none.insert(source(self.hear.clone(), self.unwatched.clone())?),
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

fn source(hear: Hear, unwatched: Arc<AtomicBool>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if takes_watch(&event) {
            // INVARIANT: before the notice is heard. The watch goes when this call returns, and one
            // that is asked for from now on is made after that.
            unwatched.store(true, Ordering::Relaxed);
        }
        hear(&event);
    })
}

/// Only a directory that we watch takes a watch with it, and the names of those have no extension.
fn takes_watch(event: &notify::Event) -> bool {
    let leaves =
        matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    leaves && event.paths.iter().any(|path| path.extension().is_none())
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, RemoveKind};

    use super::*;

    /// One event source tells of both, so what comes of the first comes before the second.
    #[test]
    fn what_is_not_wanted_any_more_is_not_watched_after_another_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let [kept, dropped] = ["kept", "dropped"].map(|name| dir.path().join(name));
        for path in [&kept, &dropped] {
            fs::create_dir(path).unwrap();
        }
        let (sender, heard) = crossbeam_channel::unbounded();
        let hear = move |event: &notify::Event| {
            let _ = sender.send(event.paths.clone());
        };
        let mut watches = Watches::new("tests", Arc::new(hear));
        watches.keep(&[kept.clone(), dropped.clone()]);
        watches.unwatched.store(true, Ordering::Relaxed);
        watches.keep(std::slice::from_ref(&kept));
        fs::write(dropped.join("x.a"), "").unwrap();
        fs::write(kept.join("x.b"), "").unwrap();
        let ten_seconds = std::time::Duration::from_secs(10);
        let paths = heard.recv_timeout(ten_seconds).unwrap();
        assert_eq!(paths, [kept.join("x.b")]);
    }

    #[test]
    fn a_directory_that_leaves_takes_its_watch() {
        let gone = EventKind::Remove(RemoveKind::Folder);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (kind, path, expected) in [
            (gone, "/h/sessions", true),
            (gone, "/h/sessions/12.json", false),
            (written, "/h/sessions", false),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(takes_watch(&event), expected, "{kind:?} {path}");
        }
    }
}
