//! From what lies in the queues to what is offered, and what else has to be done about it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::Instant;

use crate::core::event::QueueCounts;
use crate::dispatcher::awaited::Awaited;
use crate::dispatcher::entry::{Entry, Judged};
use crate::dispatcher::project::{Project, Whose};
use crate::ids::{ProjectName, TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::file_name;
use crate::queue::{Part, QUEUE_DIR};
use crate::task::plan::{self, Limits, Plan, Queued};
use crate::task::{HeldTask, Offer};

/// More than there can be agents: those of projects that are at their limit already must not crowd
/// out the others.
pub const OFFERS_MAX: usize = 1000;

pub type Held = BTreeMap<ProjectName, Vec<HeldTask>>;

/// What follows from the queues as they are.
#[derive(Debug, Default)]
pub struct Offering {
    pub offers: Vec<Offer>,
    /// Of each project with a queue.
    pub counts: BTreeMap<ProjectName, QueueCounts>,
    /// They can never run: to be moved to `failed/` with the reason.
    pub hopeless: Vec<(TaskRef, String)>,
    /// They wait, and nothing beside them says so yet; for whom.
    pub newly_blocked: Vec<(TaskRef, String)>,
    /// They wait no more, and something beside them says that they do.
    pub unblocked: Vec<TaskRef>,
    /// When the first of the later ones becomes ready.
    pub next_at: Option<Wall>,
}

pub struct Queues<'a> {
    pub projects_dir: &'a Path,
    pub projects: &'a BTreeMap<ProjectName, Project>,
    pub held: &'a Held,
    pub awaited: &'a Awaited,
    /// Our own marks on these are of moves that failed.
    pub unmoved: &'a BTreeMap<TaskRef, Instant>,
    pub per_project: usize,
}

impl Queues<'_> {
    pub fn plan(&self, now: Wall) -> Offering {
        let mut queued = Vec::new();
        for (entry, held) in self.entries() {
            if let (Judged::Task(spec), Hand::Nobody) = (&entry.judged, held) {
                // Filled in for those that are offered: a hundred thousand paths are megabytes.
                let nowhere = Path::new("");
                let (task, since) = (&entry.task, entry.since);
                queued.push(Queued { task, spec, since, path: nowhere, dir: nowhere });
            }
        }
        let limits = Limits { per_project: self.per_project, offers: OFFERS_MAX };
        let plan = plan::plan(now, &queued, limits, |task| self.awaited.is_done(task));
        drop(queued);
        let mut offering = Offering { next_at: plan.next_at, ..Offering::default() };
        offering.counts = self.counts(&plan, now);
        offering.hopeless = self.hopeless(&plan, now);
        self.mark_blocked(&plan, &mut offering);
        offering.offers = plan.offers.into_iter().map(|offer| self.with_place(offer)).collect();
        offering
    }

    /// Each entry, and in whose hands it is.
    fn entries(&self) -> impl Iterator<Item = (&Entry, Hand<'_>)> {
        self.projects.iter().flat_map(|(name, project)| {
            let held = self.held.get(name).map_or(&[][..], Vec::as_slice);
            project.entries.iter().map(move |entry| (entry, hand(entry.id(), project, held)))
        })
    }

    fn with_place(&self, offer: Offer) -> Offer {
        let dir = self.projects_dir.join(offer.task.project.as_str());
        let inbox = dir.join(QUEUE_DIR).join(Part::Inbox.name());
        Offer { path: inbox.join(file_name(&offer.task.id)), dir, ..offer }
    }

    fn counts(&self, plan: &Plan<'_>, now: Wall) -> BTreeMap<ProjectName, QueueCounts> {
        let blocked = plan.blocked.iter().map(|blocked| blocked.task);
        let blocked: HashSet<&TaskRef> =
            blocked.chain(plan.cyclic.iter().map(|cyclic| cyclic.task)).collect();
        let with_queue = self.projects.iter().filter(|(_, project)| project.has_queue);
        with_queue
            .map(|(name, project)| {
                let held = self.held.get(name).map_or(&[][..], Vec::as_slice);
                (name.clone(), counts(project, held, &blocked, now))
            })
            .collect()
    }

    fn hopeless(&self, plan: &Plan<'_>, now: Wall) -> Vec<(TaskRef, String)> {
        let cyclic = plan.cyclic.iter();
        let mut hopeless: Vec<(TaskRef, String)> =
            cyclic.map(|cyclic| (cyclic.task.clone(), cyclic.reason.clone())).collect();
        for (entry, hand) in self.entries() {
            match (&entry.judged, hand) {
                (Judged::Malformed(why), Hand::Nobody) => {
                    hopeless.push((entry.task.clone(), format!("malformed: {why}")));
                }
                (_, Hand::Mover(mark))
                    if mark.is_abandoned(now) || self.unmoved.contains_key(&entry.task) =>
                {
                    let Whose::Mover { reason, .. } = mark else { continue };
                    hopeless.push((entry.task.clone(), reason.clone()));
                }
                _ => {}
            }
        }
        hopeless
    }

    fn mark_blocked(&self, plan: &Plan<'_>, offering: &mut Offering) {
        let mut waiting: BTreeMap<&ProjectName, BTreeSet<&TaskId>> = BTreeMap::new();
        for blocked in &plan.blocked {
            let TaskRef { project, id } = blocked.task;
            waiting.entry(project).or_default().insert(id);
            let marked = self.projects.get(project).is_some_and(|it| it.blocked_marks.contains(id));
            if !marked {
                let names: Vec<String> =
                    blocked.waits_for.iter().map(ToString::to_string).collect();
                offering.newly_blocked.push((blocked.task.clone(), names.join(", ")));
            }
        }
        for (name, project) in self.projects {
            let still = waiting.get(name);
            let resolved = project.blocked_marks.iter();
            let resolved = resolved.filter(|id| !still.is_some_and(|still| still.contains(id)));
            offering
                .unblocked
                .extend(resolved.map(|id| TaskRef { project: name.clone(), id: id.clone() }));
        }
    }
}

fn counts(
    project: &Project,
    held: &[HeldTask],
    blocked: &HashSet<&TaskRef>,
    now: Wall,
) -> QueueCounts {
    let mut counts = QueueCounts { refused: project.misnamed, ..QueueCounts::default() };
    for entry in &project.entries {
        let counted = match (&entry.judged, hand(entry.id(), project, held)) {
            (_, Hand::Ours | Hand::Mover(_)) => continue,
            (_, Hand::Foreign) => &mut counts.foreign,
            (Judged::Task(spec), Hand::Nobody) if !spec.needs_claude_code => &mut counts.not_for_us,
            (Judged::Task(_), Hand::Nobody) if blocked.contains(&entry.task) => &mut counts.blocked,
            (Judged::Task(spec), Hand::Nobody) => match spec.not_before {
                Some(at) if at > now => &mut counts.later,
                _ => &mut counts.ready,
            },
            (Judged::Refused | Judged::Unreadable(_), Hand::Nobody) => &mut counts.refused,
            (Judged::Malformed(_) | Judged::Settling, Hand::Nobody) => continue,
        };
        *counted += 1;
    }
    counts
}

#[derive(Debug, Clone, Copy)]
enum Hand<'a> {
    Nobody,
    /// The journal holds it, or our mark lies beside it.
    Ours,
    /// It is being moved to `failed/`.
    Mover(&'a Whose),
    Foreign,
}

fn hand<'a>(id: &TaskId, project: &'a Project, held: &[HeldTask]) -> Hand<'a> {
    if held.iter().any(|held| held.task.id == *id) {
        return Hand::Ours;
    }
    // Most have none, and a hundred thousand are asked.
    if project.marks.is_empty() {
        return Hand::Nobody;
    }
    match project.marks.get(id).map(|mark| &mark.whose) {
        None => Hand::Nobody,
        Some(Whose::Agent) => Hand::Ours,
        Some(mark @ Whose::Mover { .. }) => Hand::Mover(mark),
        Some(Whose::Foreign) => Hand::Foreign,
    }
}
