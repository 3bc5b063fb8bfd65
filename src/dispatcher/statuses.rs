//! The `status.json` of each project, written when it changes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::core::event::QueueCounts;
use crate::dispatcher::offering::Held;
use crate::dispatcher::said::Said;
use crate::ids::ProjectName;
use crate::queue::Queue;
use crate::queue::status::{self, Status};
use crate::task::HeldTask;

#[derive(Debug, Default)]
pub struct Statuses {
    written: BTreeMap<ProjectName, (QueueCounts, Vec<HeldTask>)>,
}

impl Statuses {
    /// Whether all could be written; the others are tried again at the next call.
    pub fn write(
        &mut self,
        projects_dir: &Path,
        counts: &BTreeMap<ProjectName, QueueCounts>,
        held: &Held,
        said: &mut Said,
    ) -> bool {
        let mut all = true;
        self.written.retain(|name, _| counts.contains_key(name));
        for (name, counts) in counts {
            let held = held.get(name).map_or(&[][..], Vec::as_slice);
            let written = self.written.get(name);
            if written.is_some_and(|(had, holding)| had == counts && holding == held) {
                continue;
            }
            let about = format!("project={name} status.json");
            match write(projects_dir, name, *counts, held) {
                Ok(()) => {
                    said.over(&about);
                    self.written.insert(name.clone(), (*counts, held.to_vec()));
                }
                Err(error) => {
                    said.trouble(&about, &error);
                    all = false;
                }
            }
        }
        all
    }
}

fn write(
    projects_dir: &Path,
    name: &ProjectName,
    counts: QueueCounts,
    held: &[HeldTask],
) -> io::Result<()> {
    let Some(queue) = Queue::open(projects_dir, name)? else { return Ok(()) };
    status::write(&queue, &Status::new(name.as_str(), held, counts).text())
}
