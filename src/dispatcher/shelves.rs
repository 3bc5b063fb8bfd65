//! All queues as they were last read, and which of them are to be read next.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustix::fs::FileType;

use crate::clock;
use crate::dispatcher::awaited::Awaited;
use crate::dispatcher::entry::{Judged, Look};
use crate::dispatcher::hints::{Change, Hints};
use crate::dispatcher::project::{Project, Scan, TROUBLE};
use crate::dispatcher::said::Said;
use crate::ids::{ProjectName, TaskRef};
use crate::queue;
use crate::queue::dir::Dir;

/// Without notices, all queues are read this often.
const POLL_INTERVAL: Duration = Duration::from_secs(3);
/// Reading all queues for other reasons than the interval takes at most this part of the time.
const SCAN_SHARE: u32 = 20;

pub struct Shelves {
    pub projects_dir: PathBuf,
    pub projects: BTreeMap<ProjectName, Project>,
    pub awaited: Awaited,
    /// Where hints arrive.
    pub changes: Receiver<Change>,
    hints: Hints,
    said: Said,
    refused_told: BTreeSet<PathBuf>,
    poll_only: Option<String>,
    interval: Duration,
    /// To be read in the next turn.
    changed: BTreeSet<ProjectName>,
    whole: BTreeSet<TaskRef>,
    full_scan_at: Instant,
    full_scan_ended: Instant,
    full_scan_took: Duration,
    again_at: Option<Instant>,
}

impl Shelves {
    pub fn new(projects_dir: &Path, interval: Duration) -> Self {
        let (hints, changes) = Hints::start(projects_dir);
        let now = clock::instant();
        Self {
            projects_dir: projects_dir.to_owned(),
            projects: BTreeMap::new(),
            awaited: Awaited::default(),
            changes,
            hints,
            said: Said::default(),
            refused_told: BTreeSet::new(),
            poll_only: None,
            interval,
            changed: BTreeSet::new(),
            whole: BTreeSet::new(),
            full_scan_at: now,
            full_scan_ended: now,
            full_scan_took: Duration::ZERO,
            again_at: None,
        }
    }

    /// Why the queues are only polled.
    pub fn poll_only(&self) -> Option<&str> {
        self.poll_only.as_deref()
    }

    /// When something is to be read although nothing was hinted.
    pub fn wakeup(&self) -> Instant {
        self.again_at.map_or(self.full_scan_at, |at| at.min(self.full_scan_at))
    }

    pub fn note(&mut self, change: Change) {
        match change {
            Change::Arrived(task) => {
                self.changed.insert(task.project.clone());
                self.whole.insert(task);
            }
            Change::Project(project) => {
                self.changed.insert(project);
            }
            Change::Everything => {
                let soonest = self.full_scan_ended + self.full_scan_took * SCAN_SHARE;
                self.full_scan_at = self.full_scan_at.min(soonest);
            }
        }
    }

    /// Reads what is to be read; whether there was anything.
    pub fn read(&mut self, look: Look<'_>, instance: &str) -> bool {
        if self.hints.have_missed() {
            self.note(Change::Everything);
        }
        let now = clock::instant();
        if self.full_scan_at <= now {
            self.read_everything(look, instance);
            return true;
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            let again = self.projects.iter().filter(|(_, project)| project.again_after.is_some());
            self.changed.extend(again.map(|(name, _)| name.clone()));
        }
        if self.changed.is_empty() {
            return false;
        }
        self.read_changed(look, instance);
        true
    }

    fn read_everything(&mut self, look: Look<'_>, instance: &str) {
        let started = clock::instant();
        self.hints.keep_root();
        self.changed.clear();
        let after = match self.try_read_everything(look, instance) {
            Ok(()) => {
                self.said.over("dispatcher.projects_dir");
                self.interval
            }
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    self.projects.clear();
                }
                self.said.trouble("dispatcher.projects_dir", &error);
                self.interval.min(TROUBLE)
            }
        };
        self.whole.clear();
        self.full_scan_ended = clock::instant();
        self.full_scan_took = self.full_scan_ended - started;
        self.tell_poll_only();
        let after = match self.poll_only {
            Some(_) => after.min(POLL_INTERVAL.max(self.full_scan_took * SCAN_SHARE)),
            None => after,
        };
        self.full_scan_at = self.full_scan_ended + after;
        self.again_at = None;
        self.look_again_later();
        log::debug!("all {} projects read in {:?}", self.projects.len(), self.full_scan_took);
    }

    fn try_read_everything(&mut self, look: Look<'_>, instance: &str) -> std::io::Result<()> {
        let found = queue::projects(&self.projects_dir)?;
        let root = Dir::open(&self.projects_dir)?;
        let names: BTreeSet<&ProjectName> = found.names.iter().collect();
        let gone: Vec<ProjectName> =
            self.projects.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        for name in &found.names {
            self.read_one(&root, name, look, instance);
        }
        self.refused_told.retain(|told| found.refused.iter().any(|(path, _)| path == told));
        for (path, why) in found.refused {
            if self.refused_told.insert(path.clone()) {
                log::warn!("{} is no project: {why}", path.display());
            }
        }
        self.awaited.forget_all();
        self.want_awaited(|_| true);
        for project in self.awaited.take_unlooked() {
            self.awaited.look(&root, &project, &mut self.said);
        }
        Ok(())
    }

    fn read_changed(&mut self, look: Look<'_>, instance: &str) {
        let changed = std::mem::take(&mut self.changed);
        match Dir::open(&self.projects_dir) {
            Ok(root) => {
                for name in &changed {
                    let is_dir = root.look(name.as_str()).is_ok_and(|found| {
                        found.is_some_and(|found| found.kind == FileType::Directory)
                    });
                    if is_dir {
                        self.read_one(&root, name, look, instance);
                    } else {
                        self.forget(name);
                    }
                }
                self.want_awaited(|name| changed.contains(name));
                for name in self.awaited.take_unlooked().union(&changed) {
                    self.awaited.look(&root, name, &mut self.said);
                }
            }
            Err(error) => {
                self.said.trouble("dispatcher.projects_dir", &error);
                self.full_scan_at = self.full_scan_at.min(clock::instant() + TROUBLE);
            }
        }
        self.whole.clear();
        self.tell_poll_only();
        self.look_again_later();
    }

    fn read_one(&mut self, root: &Dir, name: &ProjectName, look: Look<'_>, instance: &str) {
        self.hints.keep_project(name);
        let scan = Scan { projects_dir: root, instance, look, whole: &self.whole };
        self.projects.entry(name.clone()).or_default().scan(name, &scan, &mut self.said);
    }

    fn forget(&mut self, name: &ProjectName) {
        if self.projects.remove(name).is_some() {
            self.hints.forget_project(name);
            self.said.forget(&format!("project={name}"));
        }
    }

    /// Tasks for which those of the given projects wait.
    fn want_awaited(&mut self, of: impl Fn(&ProjectName) -> bool) {
        for (_, project) in self.projects.iter().filter(|(name, _)| of(name)) {
            for entry in &project.entries {
                let Judged::Task(spec) = &entry.judged else { continue };
                for task in &spec.depends_on {
                    self.awaited.want(task);
                }
            }
        }
    }

    /// INVARIANT: what is read meanwhile never postpones it.
    fn look_again_later(&mut self) {
        let after = self.projects.values().filter_map(|project| project.again_after).min();
        let at = after.map(|after| clock::instant() + after);
        self.again_at = self.again_at.into_iter().chain(at).min();
    }

    /// A file notice that fails is made up for by reading more often.
    fn tell_poll_only(&mut self) {
        match (self.hints.trouble(), &self.poll_only) {
            (Some(why), None) => {
                let why = format!(
                    "file notices fail: {why} (raise fs.inotify.max_user_instances or \
                     max_user_watches)"
                );
                log::warn!("queues are polled every {} s only, {why}", POLL_INTERVAL.as_secs());
                self.poll_only = Some(why);
                self.full_scan_at = self.full_scan_at.min(clock::instant() + POLL_INTERVAL);
            }
            (None, Some(_)) => {
                log::info!("changes of queues are noticed again");
                self.poll_only = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
