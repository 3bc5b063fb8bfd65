//! The end of a job: first its agent, then its file. In this order nobody is at work on a task that is
//! offered again, and what the agent said last is all there.

use std::time::Duration;

use crate::core::action::{Action, NoteLevel, OrderId};
use crate::core::job::{Fate, Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveOutcome, MoveStage, Record};
use crate::core::{Core, TerminalState};
use crate::ids::{ProcessRef, SessionName, TaskRef};
use crate::task::TaskResult;

/// A file that could not be moved is left alone for so long.
const CLOSED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// After so many, which is ten minutes, the session is given free.
const CLOSES_MAX: u32 = 20;

impl Core {
    /// The job is over. An attempt too many is a failure.
    pub(in crate::core) fn end_job(&mut self, session: &SessionName, fate: Fate) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        let fate = match fate {
            Fate::Requeued { reason } if job.attempt >= job.offer.attempts => {
                Fate::Failed { reason: format!("{reason}; attempt {} was the last", job.attempt) }
            }
            other => other,
        };
        for slot in [
            Slot::Claim(job.task().clone()),
            Slot::Clear(session.clone()),
            Slot::Talk(session.clone()),
            Slot::Dialog(session.clone()),
        ] {
            self.orders.forget(&slot);
        }
        self.persist(Record::TaskEnding { session: session.clone(), fate, at: self.now.wall });
    }

    /// Who worked on it is ended, with all that it started.
    pub(in crate::core) fn end_agent_of_job(&mut self, session: &SessionName, job: &Job) -> bool {
        // Another agent's comes back whatever became of the task.
        let own = |moving: &&Move| {
            let talk = &moving.agent.conversation;
            let same = talk.is_none() || *talk == job.conversation;
            same || job.process == Some(moving.agent.process)
        };
        if let Some(moving) = self.durable.moves.get(session).filter(own) {
            return match moving.stage {
                MoveStage::Staying { .. } | MoveStage::Held => {
                    let reason = "its task is over".to_owned();
                    self.end_move(session, MoveOutcome::Dropped { reason });
                    true
                }
                MoveStage::Stopped if self.launch_troubles.contains_key(session) => {
                    let reason = "its task is over, and it could not be launched".to_owned();
                    self.end_move(session, MoveOutcome::Dropped { reason });
                    true
                }
                // Soon it is up, or surely not.
                MoveStage::Stopping
                | MoveStage::Stopped
                | MoveStage::Launching { .. }
                | MoveStage::Launched { .. } => false,
            };
        }
        if let Some(fence) = job.launching {
            return self.settle_launch(session, fence);
        }
        let to_end = self.process_to_end(session, job);
        let out_of_reach = self.config.group(session).is_none() && job.account.is_some();
        if out_of_reach && !self.is_known_who_works(session, job) && job.goes_back() {
            let reason = "its session left the configuration, perhaps with its agent".to_owned();
            self.end_job(session, Fate::Unknown { reason });
            return true;
        }
        if !self.is_accounted_for(session) || to_end.is_some() {
            return false; // ordered with all others, see `order_stop`
        }
        self.persist(Record::TaskLeft { session: session.clone() });
        true
    }

    /// Whether what runs in this session is known: after a restart somebody may be there unseen.
    pub(in crate::core) fn is_accounted_for(&self, session: &SessionName) -> bool {
        let gone = self.terminal == TerminalState::Seen && !self.sessions.contains_key(session);
        gone || self.is_in_sight(session) || self.config.group(session).is_none()
    }

    /// Whether it came up must be known before its task may go to anybody else: the order is given
    /// again, and who comes up is ended.
    fn settle_launch(&mut self, session: &SessionName, fence: u64) -> bool {
        if self.orders.is_open(&Slot::Launch(session.clone())) {
            return false;
        }
        let job = self.durable.jobs.get(session).cloned();
        let agent = job.and_then(|job| self.agent_of_job(session, &job).map(|agent| agent.pane));
        if let Some(pane) = agent {
            self.job_is_up(session, pane);
            return true;
        }
        let gone = self.terminal == TerminalState::Seen && !self.sessions.contains_key(session);
        let gone = gone || self.config.group(session).is_none();
        if self.durable.swap.is_none() && self.is_stuck(session) {
            // Another's, and nobody knows for how long: what was ordered is not waited for.
            self.persist(Record::TaskNotLaunched { session: session.clone() });
            return true;
        }
        let moves = self.durable.swap.is_some() || self.durable.moves.contains_key(session);
        let held_up = moves || !self.is_in_sight(session);
        if gone || !held_up && !self.order_job(session, fence) {
            self.persist(Record::TaskNotLaunched { session: session.clone() });
            return true;
        }
        false
    }

    /// The process that works on a job that is over, as far as we know of one.
    pub(in crate::core) fn process_to_end(
        &self,
        session: &SessionName,
        job: &Job,
    ) -> Option<ProcessRef> {
        let seen = self.agent_of_job(session, job).map(|agent| agent.process);
        seen.or(self.adopted_for(session, job)).or(job.process)
    }

    /// The process in which the conversation of this job was last known in its session.
    fn adopted_for(&self, session: &SessionName, job: &Job) -> Option<ProcessRef> {
        let known = self.durable.agents.get(session)?;
        let is_its_own = known.conversation.is_some() && known.conversation == job.conversation;
        is_its_own.then_some(known.process)
    }

    /// Whether the process that is to be ended is surely the one at work, also where nobody looks: whom we
    /// do not know we cannot end.
    pub(in crate::core) fn is_known_who_works(&self, session: &SessionName, job: &Job) -> bool {
        let is_seen = self.agent_of_job(session, job).is_some();
        let adopted = self.adopted_for(session, job);
        // A move that ends who has the task strikes him off the job, but leaves who was adopted last:
        // until somebody has taken a turn there, that may be the same.
        let agree = job.process.is_some() && adopted.is_none_or(|one| Some(one) == job.process);
        let moved = self.durable.resumed.contains(session);
        let on_record = agree || !moved && (adopted.is_some() || job.process.is_some());
        job.launching.is_none() && (is_seen || on_record)
    }

    /// Processes that are to be ended for jobs, with their sessions.
    pub(in crate::core) fn processes_to_end(&self) -> Vec<(SessionName, ProcessRef)> {
        let mut found = Vec::new();
        for (session, job) in &self.durable.jobs {
            let blocked = self.durable.moves.contains_key(session) || job.launching.is_some();
            let process = match &job.stage {
                JobStage::Stopping { process } => Some(*process),
                JobStage::Ending { .. } if !blocked && self.is_accounted_for(session) => {
                    self.process_to_end(session, job)
                }
                _ => None,
            };
            found.extend(process.map(|process| (session.clone(), process)));
        }
        found
    }

    /// The answer of the order to end these processes, for the job of this session; `why` it lives on.
    pub(in crate::core) fn agent_of_job_ended(
        &mut self,
        session: &SessionName,
        ends: &[ProcessRef],
        survivors: &[(ProcessRef, String)],
    ) {
        let Some(job) = self.durable.jobs.get(session).cloned() else { return };
        let process = match &job.stage {
            JobStage::Stopping { process } => Some(*process),
            JobStage::Ending { .. } => self.process_to_end(session, &job),
            _ => return,
        };
        if process.is_some_and(|process| !ends.contains(&process)) {
            return; // another one works on it since
        }
        let why = survivors.iter().find(|(one, _)| Some(*one) == process).map(|(_, why)| why);
        if why.is_none()
            && let Some(seen) = self.sessions.get_mut(session)
            && seen.agent.as_ref().map(|agent| agent.process) == process
        {
            seen.agent_is_gone();
        }
        match (&job.stage, why) {
            (JobStage::Stopping { .. }, None) => {
                self.persist(Record::TaskReady { session: session.clone() });
            }
            (JobStage::Stopping { .. }, Some(why)) => {
                let reason = format!("the agent there could not be ended: {why}");
                self.leave_alone(session);
                self.end_job(session, Fate::GivenBack { reason });
            }
            (
                JobStage::Ending { fate: Fate::Requeued { .. } | Fate::GivenBack { .. } },
                Some(why),
            ) => {
                let reason = format!("its agent could not be ended: {why}");
                let fate = Fate::Unknown { reason };
                self.persist(Record::TaskEnding {
                    session: session.clone(),
                    fate,
                    at: self.now.wall,
                });
                self.persist(Record::TaskLeft { session: session.clone() });
            }
            (JobStage::Ending { .. }, why) => {
                if let Some(why) = why {
                    let text = format!("session={session} agent of a task lives on: {why}");
                    self.note(NoteLevel::Warn, text);
                }
                self.persist(Record::TaskLeft { session: session.clone() });
            }
            _ => {}
        }
    }

    /// The file's way: to `done/`, to `failed/`, or back to the queue.
    pub(in crate::core) fn close_job(
        &mut self,
        session: &SessionName,
        job: &Job,
        fate: &Fate,
    ) -> bool {
        let task = job.task().clone();
        let (waits, told) = match self.job_watches.get(session) {
            Some(watch) => (watch.not_before, watch.last_text.is_some()),
            None => (None, false),
        };
        if waits.is_some_and(|until| self.now.monotonic < until) {
            return false;
        }
        match fate {
            Fate::Unknown { .. } => {
                self.persist(Record::TaskClosed { session: session.clone(), at: self.now.wall });
                self.forget_job(session, &task, fate);
                return true;
            }
            // Whoever was ended meanwhile may have taken it at last.
            Fate::GivenBack { .. } if job.account.is_some() && !told => {
                if !self.read_conversation_of(session, job) {
                    self.job_watches.entry(session.clone()).or_default().last_text = Some(None);
                    return true;
                }
            }
            Fate::Requeued { .. } | Fate::GivenBack { .. } => {
                if let Some(order) = self.open_order(Slot::Close(task.clone()), Vec::new()) {
                    self.out.push(Action::ReleaseTask { order, task });
                }
            }
            Fate::Done { .. } | Fate::Failed { .. } => {
                if !told && self.read_conversation_of(session, job) {
                    return false;
                }
                if let Some(order) = self.open_order(Slot::Close(task), Vec::new()) {
                    let result = Box::new(self.result_of(session, job, fate));
                    self.out.push(Action::CloseTask { order, result });
                }
            }
        }
        false
    }

    fn result_of(&self, session: &SessionName, job: &Job, fate: &Fate) -> TaskResult {
        let (done, reason) = match fate {
            Fate::Done { reason } => (true, reason),
            Fate::Failed { reason }
            | Fate::Requeued { reason }
            | Fate::GivenBack { reason }
            | Fate::Unknown { reason } => (false, reason),
        };
        let said = self.job_watches.get(session).and_then(|watch| watch.last_text.clone());
        TaskResult {
            task: job.task().clone(),
            done,
            reason: reason.clone(),
            session: Some(session.clone()),
            account: job.account.clone(),
            conversation: job.conversation.clone(),
            started: job.received_at,
            finished: job.ended_at.unwrap_or(self.now.wall),
            attempts: job.attempt,
            last_text: said.flatten(),
        }
    }

    /// The answer to a release or a close.
    pub(in crate::core) fn task_closed(
        &mut self,
        order: OrderId,
        task: &TaskRef,
        result: Result<(), String>,
    ) {
        if self.orders.answer(&Slot::Close(task.clone()), order).is_some() {
            self.task_told_closed(task, result);
        }
    }

    /// Also called when nobody answers.
    pub(in crate::core) fn task_told_closed(&mut self, task: &TaskRef, result: Result<(), String>) {
        if self.durable.set_aside.contains_key(task) {
            self.decision_carried_out(task, result);
            return;
        }
        let closing = self.durable.jobs.iter().find_map(|(session, job)| match &job.stage {
            JobStage::Closing { fate } if job.offer.task == *task => {
                Some((session.clone(), fate.clone()))
            }
            _ => None,
        });
        let Some((session, fate)) = closing else { return };
        if self.job_watches.get(&session).is_some_and(|watch| watch.arrived_late)
            && matches!(fate, Fate::GivenBack { .. })
        {
            self.arrived_after_all(&session);
            return;
        }
        match result {
            Ok(()) => {
                self.persist(Record::TaskClosed { session: session.clone(), at: self.now.wall });
                self.forget_job(&session, task, &fate);
            }
            Err(why) => {
                let text = format!("session={session} task={task} its file stays: {why}");
                self.note_once(NoteLevel::Error, text);
                let until = self.now.monotonic + CLOSED_AGAIN_AFTER;
                let watch = self.job_watches.entry(session.clone()).or_default();
                watch.not_before = Some(until);
                watch.closes_failed += 1;
                watch.trouble = Some(why.clone());
                if watch.closes_failed >= CLOSES_MAX {
                    // Its session is wanted by others; a person puts it right and decides.
                    let reason = format!("{fate}, but its file stays: {why}");
                    self.end_job(&session, Fate::Unknown { reason });
                }
            }
        }
    }

    fn forget_job(&mut self, session: &SessionName, task: &TaskRef, fate: &Fate) {
        self.job_watches.remove(session);
        self.rest(session, task, fate);
    }
}
