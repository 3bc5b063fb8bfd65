//! What must hold of every task.

use claude_failover::config::Group;
use claude_failover::core::job::{Fate, JobStage};
use claude_failover::core::record::Record;
use claude_failover::ids::TaskRef;
use claude_failover::moment::Wall;
use claude_failover::task::{Offer, Priority};

use crate::checks::TOLD_MS;
use crate::run::Sim;
use crate::tasks::Place;

/// In the calm no task takes longer than this, however often its agent is moved.
const JOB_MS_MAX: i64 = 12 * 60_000;

impl Sim {
    pub fn check_task_record(&mut self, record: &Record) {
        match record {
            Record::TaskClaimed { session, offer, .. } => {
                let config = self.life.as_ref().map_or(&self.config, |life| &life.core.config);
                assert_eq!(config.group(session), Some(Group::Pool), "{session} gets a task");
                self.check_order(offer);
                if let Some(task) = self.world.queue.tasks.get_mut(&offer.task) {
                    task.claims += 1;
                }
                let project = &offer.task.project;
                let jobs = self.checks.shadow.jobs.values();
                let count = jobs.filter(|job| job.offer.task.project == *project).count();
                assert!(count <= config_per_project(self), "{project} has {count} agents");
                assert!(self.checks.shadow.swap.is_none(), "a task is claimed in an open swap");
            }
            Record::TaskMarked { session, .. } => {
                let job = self.checks.shadow.jobs.get(session).expect("it follows");
                let task = &self.world.queue.tasks[job.task()];
                assert!(!task.foreign, "somebody else's task is taken");
            }
            Record::TaskEnding { fate, .. } => {
                self.count(match fate {
                    Fate::Done { .. } => "tasks done",
                    Fate::Failed { .. } => "tasks failed",
                    Fate::Requeued { .. } => "tasks requeued",
                    Fate::GivenBack { .. } => "tasks given back",
                    Fate::Unknown { .. } => "tasks unknown",
                });
            }
            Record::TaskDecided { task, .. } => {
                if let Some(task) = self.world.queue.tasks.get_mut(task) {
                    task.retried = true;
                }
            }
            _ => {}
        }
    }

    fn is_offered(&self, task: &TaskRef) -> bool {
        let offered = self.life.as_ref().and_then(|life| life.said.offered.as_ref());
        offered.is_some_and(|offered| offered.offers.iter().any(|offer| offer.task == *task))
    }

    /// Nobody who has long been waiting, was never tried and comes first is passed over.
    fn check_order(&self, offer: &Offer) {
        let shadow = &self.checks.shadow;
        let started = self.life.as_ref().map_or(self.now, |life| life.started_at);
        for task in self.world.queue.tasks.values() {
            let waits = task.place == Place::Inbox && task.marker.is_none() && !task.foreign;
            let long = self.now.saturating_sub(task.arrived_at.max(started)) > TOLD_MS;
            // Only so many of a project are offered.
            let long = long && self.is_offered(&task.offer.task);
            let project = &task.offer.task.project;
            let busy = shadow.jobs.values().any(|job| job.offer.task.project == *project);
            assert!(
                !waits || !long || busy || task.claims > 0 || rank(offer) <= rank(&task.offer),
                "{} goes before {}",
                offer.task,
                task.offer.task
            );
        }
    }

    /// Why the tasks are not at rest.
    pub fn unrest_of_tasks(&self) -> Option<String> {
        let durable = &self.life.as_ref()?.core.durable;
        let wall = self.wall();
        let (session, job) =
            durable.jobs.iter().find(|(_, job)| wall - job.claimed_at.0 > JOB_MS_MAX)?;
        // Held by a limit for which there is no other account.
        let waits = durable.moves.contains_key(session)
            || matches!(job.stage, JobStage::Running | JobStage::Sending { .. });
        let active = durable.active.as_ref()?;
        let out = !self.life.as_ref()?.core.is_available(active)
            || self.world.account(active).refuses_until > self.now;
        (!(out && waits)).then(|| format!("{} is {:?} in {session}", job.task(), job.stage))
    }

    /// At rest a marker of ours means that somebody answers for its task.
    pub fn check_tasks_at_end(&self) {
        let Some(life) = &self.life else { return };
        let durable = &life.core.durable;
        for (name, task) in &self.world.queue.tasks {
            let held = durable.set_aside.contains_key(name)
                || durable.jobs.values().any(|job| job.task() == name);
            assert_eq!(task.marker.is_some(), held, "{name}: its marker and the journal differ");
            assert!(!held || task.place == Place::Inbox, "{name} has ended and is still held");
        }
    }
}

fn config_per_project(sim: &Sim) -> usize {
    let config = sim.life.as_ref().map_or(&sim.config, |life| &life.core.config);
    config.dispatcher.per_project as usize
}

pub fn rank(offer: &Offer) -> (Priority, Wall, TaskRef) {
    (offer.priority, offer.since, offer.task.clone())
}
