//! What the records of tasks change, and the arrows between the stages of a job.

use crate::core::durable::{Durable, IllegalRecord, illegal};
use crate::core::job::{Decision, Fate, Job, JobStage, SetAside};
use crate::core::kind::Step;
use crate::core::record::Record;
use crate::ids::{SessionName, TaskRef};
use crate::moment::Wall;

/// Tasks whose failed attempts are remembered; far above any queue's troubles.
const ATTEMPTS_MAX: usize = 10_000;

/// Conversations begun for tasks that are remembered, far above the agents that can be alive.
const TALKS_MAX: usize = 1_000;

impl Durable {
    pub(in crate::core::durable) fn apply_task(
        &mut self,
        record: &Record,
    ) -> Result<(), IllegalRecord> {
        match record {
            Record::TaskClaimed { session, offer, attempt, at } => {
                let held = self.jobs.values().any(|job| job.offer.task == offer.task)
                    || self.set_aside.contains_key(&offer.task);
                if held {
                    return Err(illegal(record, "the task is in our hands already"));
                }
                if self.jobs.contains_key(session) {
                    return Err(illegal(record, "the session has a task"));
                }
                let job = Job {
                    offer: (**offer).clone(),
                    attempt: *attempt,
                    claimed_at: *at,
                    conversation: None,
                    account: None,
                    launching: None,
                    pane: None,
                    process: None,
                    received_at: None,
                    ended_at: None,
                    losses: 0,
                    background: false,
                    stage: JobStage::Claiming,
                };
                self.jobs.insert(session.clone(), job);
                Ok(())
            }
            Record::TaskDecided { task, decision, at } => {
                self.decide(record, task, Some((*decision, *at)))
            }
            Record::TaskUndecided { task } => self.decide(record, task, None),
            Record::TaskSettled { task } => match self.set_aside.remove(task) {
                Some(_) => {
                    self.attempts.remove(task);
                    Ok(())
                }
                None => Err(illegal(record, "the task is not set aside")),
            },
            Record::DialogHandling { session, fence } => self.use_fence(record, session, *fence),
            Record::TaskClosed { session, .. } => self.close_job(record, session),
            _ => self.apply_stage(record),
        }
    }

    fn decide(
        &mut self,
        record: &Record,
        task: &TaskRef,
        decision: Option<(Decision, Wall)>,
    ) -> Result<(), IllegalRecord> {
        let Some(aside) = self.set_aside.get_mut(task) else {
            return Err(illegal(record, "the task is not set aside"));
        };
        aside.decision = decision.map(|(decision, _)| decision);
        aside.decided_at = decision.map(|(_, at)| at);
        Ok(())
    }

    fn use_fence(
        &mut self,
        record: &Record,
        session: &SessionName,
        fence: u64,
    ) -> Result<(), IllegalRecord> {
        if self.fences.get(session).is_some_and(|used| *used >= fence) {
            return Err(illegal(record, "its fence was used before"));
        }
        self.fences.insert(session.clone(), fence);
        Ok(())
    }

    fn apply_stage(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        let Some(Step::Job(session)) = record.step() else {
            return Err(illegal(record, "it is not a task's record"));
        };
        let Some(job) = self.jobs.get(session) else {
            return Err(illegal(record, "the session has no task"));
        };
        if !follows(&job.stage, record) {
            return Err(illegal(record, &format!("the task is in stage {:?}", job.stage)));
        }
        if let Record::TaskLaunching { fence, .. } = record {
            self.use_fence(record, session, *fence)?;
        }
        let Some(job) = self.jobs.get_mut(session) else {
            return Err(illegal(record, "the session has no task"));
        };
        let counted = step(job, record);
        if let Record::TaskMarked { conversation, .. } = record {
            self.task_talks.push(conversation.clone());
            let surplus = self.task_talks.len().saturating_sub(TALKS_MAX);
            self.task_talks.drain(..surplus);
        }
        let Some(job) = self.jobs.get(session) else {
            return Err(illegal(record, "the session has no task"));
        };
        let conversation = job.conversation.clone();
        if let Record::TaskLeft { .. } = record
            && self.agents.get(session).is_some_and(|agent| agent.conversation == conversation)
        {
            // Ended by us and for good: nobody is to bring it back with its session.
            self.agents.remove(session);
            self.resumed.insert(session.clone());
        }
        if let Some((task, attempt)) = counted {
            self.attempts.insert(task, attempt);
            if self.attempts.len() > ATTEMPTS_MAX {
                self.attempts.pop_first();
            }
        }
        Ok(())
    }

    fn close_job(&mut self, record: &Record, session: &SessionName) -> Result<(), IllegalRecord> {
        let Some(Job { stage: JobStage::Closing { fate }, .. }) = self.jobs.get(session) else {
            return Err(illegal(record, "the session has no task that is over"));
        };
        let (fate, Some(job)) = (fate.clone(), self.jobs.remove(session)) else {
            return Err(illegal(record, "the session has no task"));
        };
        match fate {
            Fate::Done { .. } | Fate::Failed { .. } => {
                self.attempts.remove(&job.offer.task);
            }
            Fate::Requeued { .. } | Fate::GivenBack { .. } => {}
            Fate::Unknown { reason } => {
                let aside = SetAside {
                    title: job.offer.title,
                    path: job.offer.path,
                    session: session.clone(),
                    account: job.account,
                    conversation: job.conversation,
                    attempt: job.attempt,
                    since: job.claimed_at,
                    reason,
                    decision: None,
                    decided_at: None,
                };
                self.set_aside.insert(job.offer.task, aside);
            }
        }
        Ok(())
    }
}

/// Which record may come in which stage.
fn follows(stage: &JobStage, record: &Record) -> bool {
    use JobStage as Stage;
    match record {
        Record::TaskMarked { .. } => matches!(stage, Stage::Claiming),
        Record::TaskMakingRoom { .. } | Record::TaskLaunching { .. } => {
            matches!(stage, Stage::Claimed)
        }
        Record::TaskReady { .. } => {
            matches!(stage, Stage::Stopping { .. })
        }
        Record::TaskLaunched { .. } => {
            matches!(stage, Stage::Launching { .. } | Stage::Lost { .. } | Stage::Ending { .. })
        }
        Record::TaskNotLaunched { .. } => matches!(stage, Stage::Ending { .. }),
        Record::TaskReceived { .. } => matches!(stage, Stage::Sending { .. } | Stage::Lost { .. }),
        Record::TaskTakenUp { .. } => matches!(stage, Stage::Running),
        Record::TaskLost { .. } => {
            matches!(stage, Stage::Launching { .. } | Stage::Sending { .. } | Stage::Running)
        }
        Record::TaskBackground { .. } => matches!(stage, Stage::Running),
        // Said again when its agent cannot be ended, or its file not be moved.
        Record::TaskEnding { fate: Fate::Unknown { .. }, .. } => true,
        // What was to go back as if nobody had had it has been had after all.
        Record::TaskEnding { fate: Fate::Requeued { .. } | Fate::Failed { .. }, .. }
            if matches!(stage, Stage::Closing { fate: Fate::GivenBack { .. } }) =>
        {
            true
        }
        Record::TaskEnding { .. } => !matches!(stage, Stage::Closing { .. }),
        Record::TaskLeft { .. } => matches!(stage, Stage::Ending { .. }),
        _ => false,
    }
}

/// The job after this record, which follows; the attempt that it has used up.
fn step(job: &mut Job, record: &Record) -> Option<(TaskRef, u32)> {
    match record {
        Record::TaskMarked { conversation, .. } => {
            job.conversation = Some(conversation.clone());
            job.stage = JobStage::Claimed;
        }
        Record::TaskMakingRoom { process, .. } => {
            job.stage = JobStage::Stopping { process: *process };
        }
        Record::TaskReady { .. } => job.stage = JobStage::Claimed,
        Record::TaskLaunching { fence, account, .. } => {
            job.account = Some(account.clone());
            job.launching = Some(*fence);
            job.stage = JobStage::Launching { fence: *fence };
        }
        Record::TaskLaunched { pane, .. } => {
            job.launching = None;
            job.pane = Some(*pane);
            job.stage = match (&job.stage, job.received_at) {
                (JobStage::Ending { fate }, _) => JobStage::Ending { fate: fate.clone() },
                (_, Some(_)) => JobStage::Running,
                (_, None) => JobStage::Sending { pane: *pane },
            };
        }
        Record::TaskNotLaunched { .. } => job.launching = None,
        Record::TaskReceived { process, at, .. } => {
            job.process = process.or(job.process);
            job.received_at = job.received_at.or(Some(*at));
            job.stage = JobStage::Running;
        }
        Record::TaskTakenUp { attempt, .. } => job.attempt = *attempt,
        Record::TaskBackground { on, .. } => job.background = *on,
        Record::TaskLost { session_gone, process, .. } => {
            job.launching = None;
            job.losses += u32::from(*session_gone);
            job.background = false;
            job.process = process.or(job.process);
            job.stage = JobStage::Lost { session_gone: *session_gone };
        }
        Record::TaskEnding { fate, at, .. } => {
            job.ended_at = Some(*at);
            // Before its launch there is nobody to end.
            job.stage = if job.account.is_none() {
                JobStage::Closing { fate: fate.clone() }
            } else {
                JobStage::Ending { fate: fate.clone() }
            };
            if let Fate::Requeued { .. } = fate {
                return Some((job.offer.task.clone(), job.attempt));
            }
        }
        Record::TaskLeft { .. } => {
            if let JobStage::Ending { fate } = &job.stage {
                job.stage = JobStage::Closing { fate: fate.clone() };
            }
        }
        _ => {}
    }
    None
}
