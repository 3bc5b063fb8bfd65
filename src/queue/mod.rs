//! The owner of the files of a queue: `<project>/.agent-queue/` with `inbox/`, `done/`, `failed/`,
//! `archive/`, the markers beside tasks, and `status.json`. Used by the dispatcher, the janitor and the
//! verbs `submit` and `tasks`; whoever holds a task's marker may move the task.
//!
//! ```text
//! <projects_dir>/<project>/.agent-queue/
//!   inbox/<id>.md              a task; made by rename, see `submit`
//!   inbox/<id>.md.dispatched   it is in somebody's hands, see `marker`
//!   inbox/<id>.md.blocked      it waits for other tasks; its mtime says since when
//!   done/<id>.md  failed/<id>.md   with the result in the front matter, see `close`; of an id that
//!                                  was used before, `<id>~2.md` and so on, see `results`
//!   done/<id>.md.refused           what lay in a task's place when it ended, and was no task
//!   archive/<id>.md            done long ago
//!   status.json                see `status`
//! ```
//! No link is followed below `projects_dir`, and nothing is replaced but `status.json` and our own
//! markers. Reading order: `dir` (a directory held open), `rules` (what a task file is), `inbox`,
//! `marker`, `results`, `close`, `retry`, `submit`, `status`, `instance`.

pub mod close;
pub mod dir;
pub mod inbox;
pub mod instance;
pub mod marker;
pub mod results;
pub mod retry;
pub mod rules;
pub mod status;
pub mod submit;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::ids::{ProjectName, TaskId};
use crate::queue::dir::Dir;

/// In each project.
pub const QUEUE_DIR: &str = ".agent-queue";
/// Names looked at in `projects_dir`.
pub const PROJECTS_MAX: usize = 20_000;

/// The queue of one project, held open.
#[derive(Debug)]
pub struct Queue {
    pub project: ProjectName,
    pub dir: Dir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Inbox,
    Done,
    Failed,
    Archive,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Done, Self::Failed, Self::Archive];

    pub fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Archive => "archive",
        }
    }
}

/// What lies in `projects_dir`.
#[derive(Debug, Default)]
pub struct Projects {
    /// Directories whose names can be a project's, with a queue or without one. Sorted.
    pub names: Vec<ProjectName>,
    /// With a queue, but not to be used: path and reason.
    pub refused: Vec<(PathBuf, String)>,
}

/// # Errors
/// `projects_dir` cannot be listed.
pub fn projects(projects_dir: &Path) -> io::Result<Projects> {
    let dir = Dir::open(projects_dir)?;
    let mut found = Projects::default();
    let mut looked_at = 0;
    dir.for_each(|name, kind| {
        looked_at += 1;
        let path = projects_dir.join(name);
        // Some file systems do not tell it with the name.
        let looked = || dir.look(name.to_str()?).ok()?.map(|found| found.kind);
        let kind = if kind == FileType::Unknown { looked().unwrap_or(kind) } else { kind };
        if looked_at > PROJECTS_MAX || !matches!(kind, FileType::Directory | FileType::Symlink) {
            return;
        }
        match name.to_str().and_then(|name| name.parse().ok()) {
            Some(name) if kind == FileType::Directory => found.names.push(name),
            _ if !path.join(QUEUE_DIR).exists() => {}
            Some(_) => found.refused.push((path, "it is a link; links are refused".to_owned())),
            None => found.refused.push((path, "its name is no project name".to_owned())),
        }
    })?;
    if looked_at > PROJECTS_MAX {
        let why = format!("more than {PROJECTS_MAX} names; the rest is not looked at");
        found.refused.push((projects_dir.to_owned(), why));
    }
    found.names.sort_unstable();
    Ok(found)
}

impl Queue {
    /// `None` when the project is not there or has no queue.
    ///
    /// # Errors
    /// [`ErrorKind::NotADirectory`]: a link or a file is in the queue's place.
    pub fn open(projects_dir: &Path, project: &ProjectName) -> io::Result<Option<Self>> {
        Self::open_in(&Dir::open(projects_dir)?, project)
    }

    /// The same in a `projects_dir` held open.
    pub fn open_in(projects_dir: &Dir, project: &ProjectName) -> io::Result<Option<Self>> {
        let home = match projects_dir.inside(project.as_str()) {
            Ok(Some(home)) => home,
            Ok(None) => return Ok(None),
            // A file is no project; a link to one is told by `projects`.
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(None),
            Err(error) => return Err(error),
        };
        let dir = home.inside(QUEUE_DIR)?;
        Ok(dir.map(|dir| Self { project: project.clone(), dir }))
    }

    /// Makes the queue of a project that is there.
    pub fn make(projects_dir: &Path, project: &ProjectName) -> io::Result<Self> {
        let Some(home) = Dir::open(projects_dir)?.inside(project.as_str())? else {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no project {project} in {}: make its directory first",
                    projects_dir.display()
                ),
            ));
        };
        Ok(Self { project: project.clone(), dir: home.make_inside(QUEUE_DIR)? })
    }

    /// `None` when it was not made yet.
    pub fn part(&self, part: Part) -> io::Result<Option<Dir>> {
        self.dir.inside(part.name())
    }

    pub fn make_part(&self, part: Part) -> io::Result<Dir> {
        self.dir.make_inside(part.name())
    }
}

/// The name of a task's file, wherever it lies.
pub fn file_name(id: &TaskId) -> String {
    format!("{id}.md")
}
