//! One round through all queues and the directories at runtime. What fails is said and left for the
//! next round.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::ids::{ProjectName, TaskRef};
use crate::janitor::broom;
use crate::moment::Wall;
use crate::queue::dir::{Dir, TEMP_PREFIX};
use crate::queue::marker::{self, Owner};
use crate::queue::{self, Part, Queue, close, file_name, inbox, results};
use crate::spool;

/// A marker that is younger may be of a claim that the core does not know to be done yet.
const MARKER_AGE: Duration = Duration::from_secs(60);
/// Results archived in one round: each waits for the disk.
const ARCHIVED_MAX: usize = 1000;

pub struct Sweep<'a> {
    pub config: &'a Config,
    pub instance: &'a str,
    pub held: &'a BTreeSet<TaskRef>,
    pub now: Wall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    All,
    /// There is more to do at once.
    Part,
}

impl Sweep<'_> {
    pub fn run(&self) -> Swept {
        let room = Cell::new(ARCHIVED_MAX);
        let projects_dir = &self.config.dispatcher.projects_dir;
        match queue::projects(projects_dir) {
            Ok(found) => {
                for project in &found.names {
                    if let Err(error) = self.project(projects_dir, project, &room) {
                        log::warn!("project={project} not swept: {error}");
                    }
                }
            }
            Err(error) => log::warn!("no queue was swept: {error}"),
        }
        for dir in [spool::dir(&self.config.runtime_dir), self.config.runtime_dir.join("launch")] {
            if let Err(error) = self.runtime(&dir) {
                log::warn!("{} not swept: {error}", dir.display());
            }
        }
        if room.get() == 0 { Swept::Part } else { Swept::All }
    }

    fn project(
        &self,
        projects_dir: &Path,
        project: &ProjectName,
        room: &Cell<usize>,
    ) -> io::Result<()> {
        let Some(queue) = Queue::open(projects_dir, project)? else { return Ok(()) };
        self.temps(&queue.dir)?;
        for part in Part::ALL {
            if let Some(dir) = queue.part(part)? {
                self.temps(&dir)?;
            }
        }
        if let Some(inbox) = queue.part(Part::Inbox)? {
            self.markers(project, &inbox)?;
        }
        if let Some(done) = queue.part(Part::Done)? {
            self.results(&queue, &done, room)?;
        }
        Ok(())
    }

    fn markers(&self, project: &ProjectName, inbox: &Dir) -> io::Result<()> {
        for id in inbox::list(inbox)?.marked {
            let task = TaskRef { project: project.clone(), id };
            if !self.held.contains(&task) && self.is_stale(inbox, &task)? {
                let name = marker::name(&task.id);
                self.remove(inbox, &name, &format_args!("task={task} a stale marker"))?;
            }
        }
        Ok(())
    }

    fn is_stale(&self, inbox: &Dir, task: &TaskRef) -> io::Result<bool> {
        let Some(Owner::Ours(marker)) = marker::read(inbox, self.instance, task)? else {
            return Ok(false);
        };
        // The mark of a move that was cut off is what the dispatcher finishes it by.
        let unfinished = marker.session.is_none() && inbox.look(file_name(&task.id))?.is_some();
        let age = self.now - marker.claimed_at;
        Ok(!unfinished && marker.claimed_at <= self.now && age >= MARKER_AGE)
    }

    fn results(&self, queue: &Queue, done: &Dir, room: &Cell<usize>) -> io::Result<()> {
        let is_result = |name: &str| results::parse(name).is_some();
        let keep = self.config.janitor.keep_done;
        for (name, _) in broom::old_files(done, self.now, keep, is_result)? {
            if room.get() == 0 {
                return Ok(());
            }
            let project = &queue.project;
            if self.config.janitor.dry_run {
                log::info!("project={project} would archive done/{name}");
                continue;
            }
            room.set(room.get() - 1);
            match close::archive(done, &queue.make_part(Part::Archive)?, &name) {
                Ok(archived) => {
                    log::info!("project={project} archived done/{name} as archive/{archived}");
                }
                // The others need not wait for it.
                Err(error) => log::warn!("project={project} not archived: {error}"),
            }
        }
        Ok(())
    }

    fn temps(&self, dir: &Dir) -> io::Result<()> {
        let is_temp = |name: &str| name.starts_with(TEMP_PREFIX);
        for name in broom::old_files_of_ours(dir, self.now, is_temp)? {
            self.remove(dir, &name, &"a temporary file that a crash has left")?;
        }
        Ok(())
    }

    /// Everything old in it: who should have taken it is gone.
    fn runtime(&self, path: &Path) -> io::Result<()> {
        if !path.is_dir() {
            return Ok(());
        }
        let dir = Dir::open(path)?;
        for name in broom::old_files_of_ours(&dir, self.now, |_| true)? {
            self.remove(&dir, &name, &"a file that nobody has taken")?;
        }
        Ok(())
    }

    fn remove(&self, dir: &Dir, name: &str, what: &dyn Display) -> io::Result<()> {
        let path = dir.path().join(name);
        if self.config.janitor.dry_run {
            log::info!("would remove {}: {what}", path.display());
            return Ok(());
        }
        dir.remove(name)?;
        log::info!("removed {}: {what}", path.display());
        Ok(())
    }
}
