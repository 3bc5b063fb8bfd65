//! What is seen of a job in this life of the daemon. Nothing here survives a restart; all of it is seen
//! again.

use std::time::Duration;

use crate::core::Core;
use crate::core::args;
use crate::core::event::{AgentSeen, AgentState, SignalSeen};
use crate::core::job::work::{TURN_ENDED, fate_by};
use crate::core::job::{Fate, Job, JobStage};
use crate::core::record::Record;
use crate::ids::{ConversationId, ProcessRef, SessionName};
use crate::moment::{Mono, Wall};
use crate::quota::report::{News, Report};
use crate::quota::transcript::Ending;

/// A listing that was asked for can get lost; the regular ones come every `lifecycle.interval`.
const LISTED_WITHIN: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Default)]
pub struct JobWatch {
    /// Since when the job is in its present stage, or was found in it.
    pub since: Mono,
    /// The stage's name: the clock starts anew when it changes.
    stage: &'static str,
    pub process: Option<ProcessRef>,
    /// That process has named the conversation of the task.
    named: bool,
    /// Listings to come until the pane of its launch is known for sure: until then the watcher may look
    /// below a process that was there before.
    pub listings_awaited: u8,
    /// Since when its agent is not seen where it should be.
    pub gone_since: Option<Mono>,
    /// In this state since.
    pub state: Option<(AgentState, Mono)>,
    pub was_idle: bool,
    pub was_busy: bool,
    /// A hook said that a prompt was taken.
    pub prompted: bool,
    /// A hook said that the turn ended well, and nothing goes on behind it.
    pub turn_ended: Option<TurnEnded>,
    pub progressed: Mono,
    /// What the host slept meanwhile.
    pub slept: Duration,
    pub ending: Option<Ending>,
    pub signal: Option<SignalSeen>,
    pub signal_heard: Option<Mono>,
    /// Dialogs handled for it, and when the last was.
    pub dialogs: u32,
    pub dialog_at: Option<Mono>,
    /// Why a person is waited for.
    pub blocked: Option<String>,
    /// Why its file stays where it is.
    pub trouble: Option<String>,
    pub closes_failed: u32,
    /// Its agent has hooks, and they arrive.
    pub hooks_heard: bool,
    /// Its conversation was asked for since its launch was ordered last, and there is none.
    pub has_not_arrived: bool,
    /// Its agent took the prompt on its way out, which was heard while its task was being released.
    pub arrived_late: bool,
    /// Why its launch was surely not done.
    pub not_launched: Option<String>,
    /// Times its conversation could not be read.
    pub reads_failed: u32,
    /// Times it was taken up again after an error.
    pub taken_up: u32,
    /// What its agent said last; `Some(None)`: nothing that can be read.
    pub last_text: Option<Option<String>>,
    /// After a failure nothing is tried again before this.
    pub not_before: Option<Mono>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnded {
    /// When we heard of it.
    pub heard: Mono,
    /// When the hook ran.
    pub at: Wall,
}

impl JobWatch {
    /// The agent could do nothing for so long.
    pub fn sleep(&mut self, length: Duration) {
        self.slept += length;
        let moments = [Some(&mut self.since), Some(&mut self.progressed)];
        let known = [
            self.state.as_mut().map(|(_, since)| since),
            self.gone_since.as_mut(),
            self.turn_ended.as_mut().map(|ended| &mut ended.heard),
            self.signal_heard.as_mut(),
            self.dialog_at.as_mut(),
            self.not_before.as_mut(),
        ];
        for moment in moments.into_iter().chain(known).flatten() {
            *moment = *moment + length;
        }
    }

    /// What its predecessor did says nothing about this agent, except that it was through.
    fn meet(&mut self, process: Option<ProcessRef>) {
        self.process = process;
        self.named = false;
        self.state = None;
        self.was_idle = false;
        self.was_busy = false;
        self.prompted = false;
        self.hooks_heard = false;
        self.ending = None;
        self.not_launched = None;
        self.dialogs = 0;
        self.blocked = None;
    }

    pub fn stayed_in(&self, wanted: impl Fn(&AgentState) -> bool) -> Option<Mono> {
        self.state.as_ref().filter(|(state, _)| wanted(state)).map(|(_, since)| *since)
    }

    fn turn_begins(&mut self, now: Mono) {
        self.prompted = true;
        self.turn_ended = None;
        self.progressed = now;
    }
}

fn stage_name(job: &Job) -> &'static str {
    use crate::core::job::JobStage as Stage;
    match job.stage {
        Stage::Claiming => "claiming",
        Stage::Claimed => "claimed",
        Stage::Stopping { .. } => "stopping",
        Stage::Launching { .. } => "launching",
        Stage::Sending { .. } => "sending",
        Stage::Running => "running",
        Stage::Lost { .. } => "lost",
        Stage::Ending { .. } => "ending",
        Stage::Closing { .. } => "closing",
    }
}

impl Core {
    /// Keeps what is seen of the job up to date.
    pub(in crate::core) fn watch_job(&mut self, session: &SessionName, job: &Job) {
        let now = self.now.monotonic;
        let in_sight = self.is_in_sight(session);
        let moving = self.durable.moves.contains_key(session);
        let is_there = self.agent_of_job(session, job).is_some();
        let counts =
            self.agent_in(session).is_some_and(|agent| self.is_agent_of(session, agent, job));
        let state = if counts { self.state_of(session).map(|(state, _)| state) } else { None };
        let panes = self.sessions.get(session).map(|seen| seen.panes.as_slice());
        let is_listed = job.pane.is_none_or(|pane| {
            panes.is_some_and(|panes| panes.iter().any(|listed| listed.pane == pane))
        });
        let takes = self.working_account().is_some();
        let process = self.agent_of_job(session, job).map(|agent| agent.process);
        let names_it = |agent: &AgentSeen| self.has_named(session, agent, job);
        let seen: Vec<(ProcessRef, bool)> =
            self.agents_seen_in(session).map(|agent| (agent.process, names_it(agent))).collect();
        let watch = self.job_watches.entry(session.clone()).or_default();
        // Somebody may have begun another conversation in its client while nobody was here to see it.
        let named = seen.iter().find(|(_, names)| *names).map(|(process, _)| *process);
        let nobody_known = watch.process.or(process).or(job.process).is_none();
        if nobody_known && named.is_some() {
            watch.meet(named);
            watch.named = true;
        }
        // One that was taken for its agent by its place alone may tell by now that it is not.
        let is_seen = |met| seen.iter().any(|(process, _)| *process == met);
        let is_another = process.is_none() && !watch.named && watch.process.is_some_and(is_seen);
        if is_another || process.is_some() && watch.process != process {
            watch.meet(process);
        }
        watch.named |=
            seen.iter().any(|(process, names)| *names && watch.process == Some(*process));
        if watch.stage != stage_name(job) {
            watch.stage = stage_name(job);
            watch.since = now;
            watch.progressed = now;
            watch.gone_since = None;
            watch.not_before = None;
        }
        // A pane that no listing has shown yet is not looked into.
        let looked_into =
            watch.listings_awaited == 0 && (is_listed || now - watch.since >= LISTED_WITHIN);
        if is_there || !in_sight || moving || !looked_into {
            watch.gone_since = None;
        } else {
            watch.gone_since.get_or_insert(now);
        }
        if moving || !takes {
            // How long it could do nothing is not its fault.
            watch.progressed = now;
            watch.dialog_at = watch.dialog_at.map(|_| now);
            if job.account.is_some() && !takes && matches!(job.stage, JobStage::Sending { .. }) {
                watch.since = now;
            }
        }
        match state {
            Some(state) if watch.state.as_ref().map(|(known, _)| known) == Some(&state) => {}
            Some(state) => {
                watch.was_idle |= state == AgentState::Idle;
                watch.was_busy |= state == AgentState::Busy;
                if !matches!(state, AgentState::Waiting(_)) {
                    watch.blocked = None;
                }
                watch.state = Some((state, now));
            }
            None => watch.state = None,
        }
    }

    /// It tells the conversation of the task, was begun with it, or told it before a daemon that began
    /// anew could hear of it.
    fn has_named(&self, session: &SessionName, agent: &AgentSeen, job: &Job) -> bool {
        let begun_with = || agent.args.as_deref().and_then(args::named_conversation);
        let names = |told: Option<ConversationId>| told.is_some() && told == job.conversation;
        names(agent.conversation.clone())
            || names(self.earlier_id(session, agent.process))
            || names(begun_with())
    }

    fn job_watch_of(&mut self, session: &SessionName, agent: &AgentSeen) -> Option<&mut JobWatch> {
        let job = self.durable.jobs.get(session)?;
        if !job.is_out() || !self.is_agent_of(session, agent, job) {
            return None;
        }
        Some(self.job_watches.entry(session.clone()).or_default())
    }

    /// A hook of the agent in this session has something to say about its work.
    pub(in crate::core) fn hear_of_work(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        report: &Report,
    ) {
        let by_another = self.durable.jobs.get(session).is_some_and(|job| {
            report.conversation.is_some() && report.conversation != job.conversation
        });
        if by_another {
            return; // a client that tells nothing else, and none of ours
        }
        let at = report.at;
        let now = self.now.monotonic;
        let Some(watch) = self.job_watch_of(session, agent) else { return };
        watch.hooks_heard = true;
        match &report.news {
            News::PromptSubmitted => watch.turn_begins(now),
            News::TurnEnded { background, .. } => {
                watch.turn_begins(now);
                let goes_on = background.is_some_and(|count| count > 0);
                watch.turn_ended = (!goes_on).then_some(TurnEnded { heard: now, at });
                self.note_background(session, goes_on);
            }
            News::TurnFailed { .. } => watch.turn_begins(now),
            News::SessionStarted { .. }
            | News::SessionEnded { .. }
            | News::Notified { .. }
            | News::Figures(_) => {}
        }
    }

    fn note_background(&mut self, session: &SessionName, on: bool) {
        let job = self.durable.jobs.get(session);
        if job.is_some_and(|job| job.stage == JobStage::Running && job.background != on) {
            self.persist(Record::TaskBackground { session: session.clone(), on });
        }
    }

    /// A new record in its conversation is progress.
    pub(in crate::core) fn hear_of_progress(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        ending: Option<&Ending>,
    ) {
        let now = self.now.monotonic;
        let Some(watch) = self.job_watch_of(session, agent) else { return };
        if watch.ending.as_ref() != ending {
            watch.ending = ending.cloned();
            watch.progressed = now;
            let prompted = ending.and_then(|ending| ending.prompted_at);
            if watch.turn_ended.is_some_and(|ended| prompted > Some(ended.at)) {
                watch.turn_ended = None; // it has begun another one
            }
        }
    }

    pub(in crate::core) fn tools_worked(&mut self, session: &SessionName, process: ProcessRef) {
        let now = self.now.monotonic;
        let Some(agent) = self.agent_in(session).filter(|a| a.process == process).cloned() else {
            return;
        };
        if let Some(watch) = self.job_watch_of(session, &agent) {
            watch.progressed = now;
        }
    }

    /// The word of the agent itself goes before what we took from the end of its turn.
    fn hear_late_signal(&mut self, signal: &SignalSeen) {
        let Some(job) = self.durable.jobs.get(&signal.session) else { return };
        if let JobStage::Ending { fate: Fate::Done { reason } } = &job.stage
            && reason == TURN_ENDED
        {
            self.end_job(&signal.session, fate_by(signal));
        }
    }

    pub(in crate::core) fn signals_seen(&mut self, signals: Vec<SignalSeen>) {
        let now = self.now.monotonic;
        for signal in signals {
            // Older ones were removed before the launch: no date is needed, and no clock trusted.
            self.hear_late_signal(&signal);
            let job = self.durable.jobs.get(&signal.session);
            if !job.is_some_and(|job| job.is_out() || matches!(job.stage, JobStage::Lost { .. })) {
                continue;
            }
            let watch = self.job_watches.entry(signal.session.clone()).or_default();
            if watch.signal.as_ref().is_none_or(|known| known.at <= signal.at) {
                watch.signal_heard.get_or_insert(now);
                watch.signal = Some(signal);
            }
        }
    }
}
