//! Which of the tasks that others wait for are done.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::dispatcher::said::Said;
use crate::ids::{ProjectName, TaskId, TaskRef};
use crate::queue::dir::Dir;
use crate::queue::{Part, Queue, file_name};

#[derive(Debug, Default)]
pub struct Awaited {
    done: BTreeMap<ProjectName, BTreeMap<TaskId, bool>>,
    /// Somebody began to wait for a task of theirs since they were last looked at.
    unlooked: BTreeSet<ProjectName>,
}

impl Awaited {
    pub fn is_done(&self, task: &TaskRef) -> bool {
        self.done.get(&task.project).and_then(|tasks| tasks.get(&task.id)).is_some_and(|&done| done)
    }

    /// Not done until [`Awaited::look`] finds that it is.
    pub fn want(&mut self, task: &TaskRef) {
        let tasks = self.done.entry(task.project.clone()).or_default();
        if !tasks.contains_key(&task.id) {
            tasks.insert(task.id.clone(), false);
            self.unlooked.insert(task.project.clone());
        }
    }

    pub fn forget_all(&mut self) {
        self.done.clear();
        self.unlooked.clear();
    }

    /// Whose results are to be looked at.
    pub fn take_unlooked(&mut self) -> BTreeSet<ProjectName> {
        std::mem::take(&mut self.unlooked)
    }

    /// Looks at the results of one project.
    pub fn look(&mut self, projects_dir: &Dir, project: &ProjectName, said: &mut Said) {
        let Some(tasks) = self.done.get_mut(project) else { return };
        let about = format!("project={project} results");
        match look(projects_dir, project, tasks) {
            Ok(()) => said.over(&about),
            Err(error) => said.trouble(&about, &error),
        }
    }
}

fn look(
    projects_dir: &Dir,
    project: &ProjectName,
    tasks: &mut BTreeMap<TaskId, bool>,
) -> io::Result<()> {
    let mut dirs = Vec::new();
    if let Some(queue) = Queue::open_in(projects_dir, project)? {
        for part in [Part::Done, Part::Archive] {
            dirs.extend(queue.part(part)?);
        }
    }
    for (id, done) in tasks {
        *done = false;
        for dir in &dirs {
            *done |= dir.look(file_name(id))?.is_some_and(|found| found.kind.is_file());
        }
    }
    Ok(())
}
