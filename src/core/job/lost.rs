//! A job whose agent is gone. Its conversation file tells whether the task had arrived: then nobody
//! gets it a second time as if it were new.

use std::time::Duration;

use crate::core::Core;
use crate::core::action::{Action, OrderId};
use crate::core::args;
use crate::core::event::{AgentHome, AgentSeen, LastWords};
use crate::core::job::{Fate, Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::{Record, SavedAgent};
use crate::ids::{ConversationId, ProcessRef, SessionName};

/// A client whose terminal goes away takes up to 1.5 s to end, and may write until then.
const ENDS_WITHIN: Duration = Duration::from_secs(4);

/// Times a session may go under one attempt.
const LOSSES_MAX: u32 = 5;
/// A conversation that cannot be read is tried again before a person is asked.
const READS_MAX: u32 = 3;
const READS_APART: Duration = Duration::from_secs(5);

impl Core {
    /// Jobs whose session is gone, after a listing.
    pub(in crate::core) fn jobs_lost(&mut self) {
        let lost: Vec<SessionName> = self
            .durable
            .jobs
            .iter()
            .filter(|(name, job)| job.is_out() && !self.sessions.contains_key(*name))
            // A launch on its way may have made the session anew: its answer tells, unless who came up
            // by it was seen there before.
            .filter(|(name, job)| {
                let on_its_way = self.orders.is_open(&Slot::Launch((*name).clone()));
                !on_its_way || self.may_have_left_one(name, job)
            })
            // A move brings its conversation back.
            .filter(|(name, _)| !self.durable.moves.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for session in lost {
            self.lose_job(&session, true);
        }
    }

    /// Whoever was seen in its session last has told nothing, or that it is the task's own.
    fn may_have_left_one(&self, session: &SessionName, job: &Job) -> bool {
        let Some(agent) = self.durable.agents.get(session) else { return false };
        match (&agent.conversation, &agent.args) {
            (Some(told), _) => Some(told) == job.conversation.as_ref(),
            (None, Some(args)) => args::named_conversation(args) == job.conversation,
            (None, None) => true,
        }
    }

    pub(in crate::core) fn lose_job(&mut self, session: &SessionName, session_gone: bool) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        let known = self.durable.agents.get(session);
        let process = known
            // One that had not told its conversation yet has lost its terminal in any case.
            .filter(|agent| agent.conversation.is_none() || agent.conversation == job.conversation)
            .filter(|agent| agent.conversation.is_some() || !self.sessions.contains_key(session))
            .map(|agent| agent.process)
            // Its end may be on record already.
            .or(self.job_watches.get(session).and_then(|watch| watch.process))
            .or(job.process);
        let (session, at) = (session.clone(), self.now.wall);
        self.persist(Record::TaskLost { session, session_gone, process, at });
    }

    pub(in crate::core) fn ask_what_arrived(&mut self, session: &SessionName, job: &Job) -> bool {
        if self.orders.is_open(&Slot::Launch(session.clone())) {
            return false; // one on its way makes the session anew, and would be nobody's
        }
        if let Some(fate) = self.fate_by_signal(session) {
            self.end_job(session, fate);
            return true;
        }
        if let Some(agent) = self.agent_of_job(session, job) {
            // It was only out of sight.
            let pane = agent.pane;
            self.job_is_up(session, pane);
            return true;
        }
        // Somebody who tells nothing may be there, unseen since a restart.
        if self.is_accounted_for(session) {
            self.ask_whether_it_arrived(session, job);
        }
        false
    }

    /// When nobody can write to its conversation any more.
    pub(in crate::core) fn ask_whether_it_arrived(&mut self, session: &SessionName, job: &Job) {
        let now = self.now.monotonic;
        let Some(watch) = self.job_watches.get(session) else { return };
        let rests = watch.not_before.is_some_and(|until| now < until);
        if now - watch.since >= ENDS_WITHIN && !rests {
            self.read_conversation_of(session, job);
        }
    }

    /// An agent that is being ended has had a prompt in this conversation, in sight or not.
    pub(in crate::core) fn prompt_heard(&mut self, conversation: Option<&ConversationId>) {
        let mut jobs = self.durable.jobs.iter();
        let its = |job: &Job| conversation.is_some() && job.conversation.as_ref() == conversation;
        let found = jobs.find(|(_, job)| its(job)).map(|(session, _)| session.clone());
        if let Some(session) = found {
            self.arrived_after_all(&session);
        }
    }

    /// What was to go back uncounted was taken between the look for it and the end of its agent.
    pub(in crate::core) fn arrived_after_all(&mut self, session: &SessionName) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        if let JobStage::Ending { fate: Fate::GivenBack { reason } }
        | JobStage::Closing { fate: Fate::GivenBack { reason } } = &job.stage
        {
            let reason = format!("{reason}, and its agent took it before it was ended");
            let released = self.orders.is_open(&Slot::Close(job.task().clone()));
            let watch = self.job_watches.entry(session.clone()).or_default();
            watch.arrived_late = true;
            watch.last_text = None;
            // The answer of a release on its way would be taken for that of a close.
            if !released {
                self.end_job(session, Fate::Requeued { reason });
            }
        }
    }

    /// Asks for the conversation of a job. False when there is none to ask for.
    pub(in crate::core) fn read_conversation_of(
        &mut self,
        session: &SessionName,
        job: &Job,
    ) -> bool {
        let (Some(conversation), Some(account)) = (&job.conversation, self.account_of_job(job))
        else {
            return false;
        };
        let conversation = conversation.clone();
        if let Some(order) = self.open_order(Slot::Talk(session.clone()), Vec::new()) {
            self.out.push(Action::ReadConversation {
                order,
                session: session.clone(),
                conversation,
                account,
                cwd: job.offer.dir.clone(),
            });
        }
        true
    }

    pub(in crate::core) fn conversation_read(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<Option<Box<LastWords>>, String>,
    ) {
        if self.orders.answer(&Slot::Talk(session.clone()), order).is_none() {
            return;
        }
        self.conversation_told(session, result);
    }

    /// Also called when nobody answers.
    pub(in crate::core) fn conversation_told(
        &mut self,
        session: &SessionName,
        result: Result<Option<Box<LastWords>>, String>,
    ) {
        let Some(job) = self.durable.jobs.get(session).cloned() else { return };
        let watch = self.job_watches.get(session);
        let not_launched = watch.and_then(|watch| watch.not_launched.clone());
        match (&job.stage, result) {
            (JobStage::Closing { fate: Fate::GivenBack { .. } }, Ok(Some(_))) => {
                self.arrived_after_all(session);
            }
            (JobStage::Closing { .. }, result) => {
                let text = result.ok().flatten().and_then(|words| words.text);
                let watch = self.job_watches.entry(session.clone()).or_default();
                watch.last_text = Some(text);
            }
            (JobStage::Launching { .. }, Ok(None)) => {
                self.job_watches.entry(session.clone()).or_default().has_not_arrived = true;
            }
            (JobStage::Launching { .. }, Ok(Some(_))) => self.lose_job(session, true),
            (JobStage::Lost { session_gone: true, .. }, Ok(_)) if job.losses > LOSSES_MAX => {
                // Whatever takes its session down each time, it takes others along.
                let reason = format!("its session went {} times", job.losses);
                self.end_job(session, Fate::Requeued { reason });
            }
            (JobStage::Lost { session_gone: true, .. }, Ok(Some(_))) => {
                self.resume_job(session, &job);
            }
            (JobStage::Lost { session_gone: false, .. }, Ok(None)) if not_launched.is_some() => {
                let reason = format!("it was not launched: {}", not_launched.unwrap_or_default());
                self.leave_alone(session);
                self.give_back_untried(session, reason);
            }
            (JobStage::Lost { .. }, Ok(_)) if self.holds_a_stranger(session) => {
                let reason = "its agent is gone, or is the one in its session that tells nothing";
                self.end_job(session, Fate::Unknown { reason: reason.to_owned() });
            }
            (JobStage::Lost { session_gone: true, .. }, Ok(None)) => {
                let reason = "its session went before the task arrived".to_owned();
                self.end_job(session, Fate::GivenBack { reason });
            }
            (JobStage::Lost { session_gone: false, .. }, Ok(words)) => {
                let when = if words.is_some() { "at work" } else { "before the task arrived" };
                self.end_job(session, Fate::Requeued { reason: format!("its agent ended {when}") });
            }
            (JobStage::Lost { .. } | JobStage::Launching { .. }, Err(why)) => {
                let watch = self.job_watches.entry(session.clone()).or_default();
                watch.reads_failed += 1;
                if watch.reads_failed < READS_MAX {
                    watch.not_before = Some(self.now.monotonic + READS_APART);
                    return;
                }
                let reason = format!("its agent is gone, and whether it had the task: {why}");
                self.end_job(session, Fate::Unknown { reason });
            }
            _ => {}
        }
    }

    /// An agent that tells nothing and whose arguments cannot be read: it may be anybody's.
    fn holds_a_stranger(&self, session: &SessionName) -> bool {
        let tells_nothing =
            |agent: &AgentSeen| agent.conversation.is_none() && agent.args.is_none();
        self.agents_seen_in(session).any(tells_nothing)
    }

    /// The agent that had the task comes back with its conversation, and goes on.
    pub(in crate::core) fn resume_job(&mut self, session: &SessionName, job: &Job) {
        // Not over another agent's move, and not before an account is known: asked again, not at once.
        let numbers = self.restore_numbers();
        let Some((op, target)) = numbers.filter(|_| !self.durable.moves.contains_key(session))
        else {
            let watch = self.job_watches.entry(session.clone()).or_default();
            watch.not_before = Some(self.now.monotonic + READS_APART);
            return;
        };
        self.task_troubles.remove(job.task());
        let agent = SavedAgent {
            conversation: job.conversation.clone(),
            home: AgentHome::Homed(target.clone()),
            cwd: job.offer.dir.clone(),
            args: Some(args::lasting(&self.config.agent.command, &self.model_of(job))),
            process: job.process.unwrap_or(ProcessRef::NOBODY),
            started_at: None,
        };
        let session = session.clone();
        if job.stage != JobStage::Running {
            let (process, at) = (job.process, self.now.wall);
            self.persist(Record::TaskReceived { session: session.clone(), process, at });
        }
        self.persist(Record::RestorePlanned { op, session, target, agent, cut: true });
    }
}
