//! What people decide about tasks: another try, or no more of it. And what everybody may see of them.

use crate::core::Core;
use crate::core::action::{Action, NoteLevel};
use crate::core::job::{Decision, Fate, Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::Record;
use crate::ids::{SessionName, TaskRef};
use crate::task::{HeldState, HeldTask, TaskResult};

impl Core {
    /// For a task of which nobody can tell whether it was delivered.
    pub(in crate::core) fn retry_task(&mut self, task: &TaskRef) -> Result<String, String> {
        if self.durable.set_aside.contains_key(task) {
            self.decide(task, Decision::Retry)?;
            return Ok(format!("{task} goes back to the queue for another try"));
        }
        match self.session_of(task) {
            Some(session) => Err(format!("{task} is at work in {session}: nothing to try again")),
            None => Err(format!("{task} is not in the daemon's hands")),
        }
    }

    pub(in crate::core) fn cancel_task(&mut self, task: &TaskRef) -> Result<String, String> {
        if self.durable.set_aside.contains_key(task) {
            self.decide(task, Decision::Cancel)?;
            return Ok(format!("{task} is cancelled: its file goes to failed/"));
        }
        let Some(session) = self.session_of(task) else {
            return Err(format!("{task} is not in the daemon's hands"));
        };
        if self.durable.jobs.get(&session).is_some_and(Job::is_over) {
            return Err(format!("{task} is ending already"));
        }
        self.end_job(&session, Fate::Failed { reason: "cancelled".to_owned() });
        Ok(format!("{task} is cancelled: whoever works on it in {session} is ended"))
    }

    fn session_of(&self, task: &TaskRef) -> Option<SessionName> {
        let mut jobs = self.durable.jobs.iter();
        jobs.find(|(_, job)| job.task() == task).map(|(session, _)| session.clone())
    }

    /// Once: what was decided first is on its way.
    fn decide(&mut self, task: &TaskRef, decision: Decision) -> Result<(), String> {
        let decided = self.durable.set_aside.get(task).and_then(|aside| aside.decision);
        if let Some(decided) = decided {
            let word = match decided {
                Decision::Retry => "retry",
                Decision::Cancel => "cancel",
            };
            return Err(format!("{word} of {task} is on its way already"));
        }
        self.persist(Record::TaskDecided { task: task.clone(), decision, at: self.now.wall });
        Ok(())
    }

    /// True when the state changed.
    pub(in crate::core) fn carry_out_decisions(&mut self) -> bool {
        let decided: Vec<(TaskRef, Decision)> = self
            .durable
            .set_aside
            .iter()
            .filter_map(|(task, aside)| Some((task.clone(), aside.decision?)))
            .collect();
        for (task, decision) in decided {
            let Some(order) = self.open_order(Slot::Close(task.clone()), Vec::new()) else {
                continue;
            };
            match decision {
                Decision::Retry => self.out.push(Action::ReleaseTask { order, task }),
                Decision::Cancel => {
                    let Some(aside) = self.durable.set_aside.get(&task) else { continue };
                    let result = Box::new(TaskResult {
                        task,
                        done: false,
                        reason: "cancelled".to_owned(),
                        session: Some(aside.session.clone()),
                        account: aside.account.clone(),
                        conversation: aside.conversation.clone(),
                        started: None,
                        finished: aside.decided_at.unwrap_or(self.now.wall),
                        attempts: aside.attempt,
                        last_text: None,
                    });
                    self.out.push(Action::CloseTask { order, result });
                }
            }
        }
        false
    }

    pub(in crate::core) fn decision_carried_out(
        &mut self,
        task: &TaskRef,
        result: Result<(), String>,
    ) {
        match result {
            Ok(()) => self.persist(Record::TaskSettled { task: task.clone() }),
            // Until it can be done, the person's word is asked for again.
            Err(why) => {
                self.note(NoteLevel::Error, format!("task={task} its file stays: {why}"));
                self.persist(Record::TaskUndecided { task: task.clone() });
            }
        }
    }

    /// All tasks in our hands, by session.
    pub fn held_tasks(&self) -> Vec<HeldTask> {
        let aside = self.durable.set_aside.iter().map(|(task, aside)| HeldTask {
            task: task.clone(),
            title: aside.title.clone(),
            state: HeldState::Unknown,
            session: aside.session.clone(),
            account: aside.account.clone(),
            conversation: aside.conversation.clone(),
            attempt: aside.attempt,
            since: aside.since,
            reason: Some(aside.reason.clone()),
        });
        let jobs = self.durable.jobs.iter().map(|(session, job)| HeldTask {
            task: job.task().clone(),
            title: job.offer.title.clone(),
            state: self.held_state(session, &job.stage),
            session: session.clone(),
            account: job.account.clone(),
            conversation: job.conversation.clone(),
            attempt: job.attempt,
            since: job.received_at.unwrap_or(job.claimed_at),
            reason: self
                .job_watches
                .get(session)
                .and_then(|watch| watch.blocked.clone().or_else(|| watch.trouble.clone())),
        });
        jobs.chain(aside).collect()
    }

    fn held_state(&self, session: &SessionName, stage: &JobStage) -> HeldState {
        let blocked = self.job_watches.get(session).is_some_and(|watch| watch.blocked.is_some());
        match stage {
            JobStage::Sending { .. } | JobStage::Running if blocked => HeldState::Blocked,
            JobStage::Claiming | JobStage::Claimed | JobStage::Stopping { .. } => {
                HeldState::Claimed
            }
            JobStage::Launching { .. } | JobStage::Sending { .. } => HeldState::Sending,
            JobStage::Running | JobStage::Lost { .. } => HeldState::Running,
            JobStage::Ending { .. } | JobStage::Closing { .. } => HeldState::Ending,
        }
    }
}
