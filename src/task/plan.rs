//! Which of the queued tasks may be claimed now, in which order, and what keeps the others. Pure.
//!
//! Fast enough to be made anew for every change of a queue: 100 000 tasks take milliseconds.

mod cycle;

use std::collections::HashMap;
use std::path::Path;

use crate::ids::{ProjectName, TaskRef};
use crate::moment::Wall;
use crate::task::{Offer, Priority, TaskSpec};

/// A task in an inbox beside which nobody's marker lies.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    pub task: &'a TaskRef,
    pub spec: &'a TaskSpec,
    /// When its file was last written.
    pub since: Wall,
    pub path: &'a Path,
    /// The project's directory.
    pub dir: &'a Path,
}

impl<'a> Queued<'a> {
    /// The least goes first.
    fn order(&self) -> (Priority, Wall, &'a TaskRef) {
        (self.spec.priority, self.since, self.task)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Offers of one project; what it has in its agents' hands already is not known here.
    pub per_project: usize,
    pub offers: usize,
}

#[derive(Debug, PartialEq, Eq, Default)]
pub struct Plan<'a> {
    /// The most urgent and of those the oldest first.
    pub offers: Vec<Offer>,
    pub blocked: Vec<Blocked<'a>>,
    pub cyclic: Vec<Cyclic<'a>>,
    /// All that may be claimed now, offered or not.
    pub ready: usize,
    /// Only their `not_before` keeps them.
    pub later: usize,
    pub not_for_us: usize,
    /// When the first of the later ones becomes ready.
    pub next_at: Option<Wall>,
}

/// A task that waits for others.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocked<'a> {
    pub task: &'a TaskRef,
    /// Those of its dependencies that are not done. Never empty.
    pub waits_for: Vec<&'a TaskRef>,
}

/// A task that waits for itself, at once or through others. It can never start.
#[derive(Debug, PartialEq, Eq)]
pub struct Cyclic<'a> {
    pub task: &'a TaskRef,
    /// `it waits for itself: a:x → b:y → a:x`
    pub reason: String,
}

/// A dependency is met when its task is done; a task that nobody knows is not.
pub fn plan<'a>(
    now: Wall,
    tasks: &[Queued<'a>],
    limits: Limits,
    is_done: impl Fn(&TaskRef) -> bool,
) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut ready = Vec::new();
    for queued in tasks {
        let spec = queued.spec;
        if !spec.needs_claude_code {
            plan.not_for_us += 1;
            continue;
        }
        let unmet = spec.depends_on.iter().filter(|task| !is_done(task));
        let waits_for: Vec<&TaskRef> = unmet.collect();
        if !waits_for.is_empty() {
            plan.blocked.push(Blocked { task: queued.task, waits_for });
            continue;
        }
        match spec.not_before.filter(|at| *at > now) {
            Some(at) => {
                plan.later += 1;
                plan.next_at = Some(plan.next_at.map_or(at, |next| next.min(at)));
            }
            None => ready.push(queued),
        }
    }
    plan.ready = ready.len();
    plan.offers = offers(&ready, limits);
    plan.cyclic = cycle::find(&plan.blocked);
    cycle::part(&mut plan.blocked, &plan.cyclic);
    plan
}

/// Of each project only the first are kept on the way, so that never all have to be sorted.
fn offers(ready: &[&Queued<'_>], limits: Limits) -> Vec<Offer> {
    let mut first_of: HashMap<&ProjectName, Vec<&Queued<'_>>> = HashMap::new();
    for queued in ready {
        let first = first_of.entry(&queued.task.project).or_default();
        let is_full = first.len() >= limits.per_project;
        if is_full && first.last().is_none_or(|last| last.order() <= queued.order()) {
            continue;
        }
        let at = first.partition_point(|other| other.order() <= queued.order());
        first.insert(at, queued);
        first.truncate(limits.per_project);
    }
    let mut first: Vec<&Queued<'_>> = first_of.into_values().flatten().collect();
    first.sort_unstable_by_key(|queued| queued.order());
    first.into_iter().take(limits.offers).map(offer).collect()
}

fn offer(queued: &Queued<'_>) -> Offer {
    let spec = queued.spec;
    Offer {
        task: queued.task.clone(),
        title: spec.title.clone(),
        priority: spec.priority,
        since: queued.since,
        model: spec.model.clone(),
        timeout: spec.timeout,
        attempts: spec.attempts,
        path: queued.path.to_owned(),
        dir: queued.dir.to_owned(),
    }
}
