//! From the claim until the agent has the task: the session is made ready, the agent launched with the
//! line that names the task's file, and its receipt proven. Nothing is typed but answers to dialogs.

use std::time::Duration;

use crate::config::Group;
use crate::core::action::{Action, LaunchAgent, NoteLevel, OrderId};
use crate::core::args;
use crate::core::event::{AgentSeen, AgentState, DialogEnd};
use crate::core::job::{Fate, Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::Record;
use crate::core::session::{LISTINGS_PROVE, Session};
use crate::core::testimony::Testimony;
use crate::core::verify::{ANSWERS_AFTER, DIALOG_STAYS};
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, PaneId, SessionName};
use crate::moment::Mono;
use crate::task::Priority;
use crate::task::prompt::Facts;

/// Dialogs handled in one attempt; a client that asks more often does not understand our answers.
const DIALOGS_MAX: u32 = 8;
/// A client takes a moment to act on an answer.
const DIALOGS_APART: Duration = Duration::from_secs(3);
const BLOCKED_LOOKS_APART: Duration = Duration::from_secs(30);
/// An agent that is not seen for so long is gone; a client that starts is seen within a second.
pub(in crate::core) const GONE_AFTER: Duration = Duration::from_secs(5);

impl Core {
    /// An idle agent of ours is ended first, and what an earlier one left in the signal directory goes.
    pub(in crate::core) fn make_ready(&mut self, session: &SessionName) -> bool {
        if self.give_back_when_due(session) {
            return true;
        }
        if !self.is_in_sight(session) {
            return false;
        }
        if let Some(agent) = self.agent_in(session) {
            let process = agent.process;
            if self.holds_an_idle_worker(session) {
                self.persist(Record::TaskMakingRoom { session: session.clone(), process });
            } else {
                let reason = "somebody else works in its session".to_owned();
                self.leave_alone(session);
                self.end_job(session, Fate::GivenBack { reason });
            }
            return true;
        }
        if let Some(order) = self.open_order(Slot::Clear(session.clone()), Vec::new()) {
            let session = session.clone();
            self.out.push(Action::ClearSignals { order, session });
        }
        false
    }

    pub(in crate::core) fn signals_cleared(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<(), String>,
    ) {
        if self.orders.answer(&Slot::Clear(session.clone()), order).is_none() {
            return;
        }
        let Some(job) = self.durable.jobs.get(session).cloned() else { return };
        if job.stage != JobStage::Claimed || self.agent_in(session).is_some() {
            return;
        }
        if let Err(why) = result {
            let text = format!("session={session} takes no task: {why}");
            self.note_once(NoteLevel::Error, text);
            self.leave_alone(session);
            self.give_back_untried(session, why);
            return;
        }
        if !self.may_dispatch() || !self.is_in_sight(session) {
            return; // given back in a moment, or asked again once somebody has looked
        }
        let Some(account) = self.active().cloned() else { return };
        let seen = self.sessions.get(session).map_or(0, Session::fence);
        let used = self.durable.fences.get(session).copied().unwrap_or(0);
        let fence = seen.max(used) + 1;
        self.persist(Record::TaskLaunching { session: session.clone(), fence, account });
        self.order_job(session, fence);
    }

    /// The launch is ordered as it stands in the journal, however often. False when it cannot be.
    pub(in crate::core) fn order_job(&mut self, session: &SessionName, fence: u64) -> bool {
        let Some(job) = self.durable.jobs.get(session).cloned() else { return false };
        if self.config.group(session) != Some(Group::Pool) {
            return false;
        }
        let (Some(conversation), Some(account)) = (job.conversation.clone(), job.account.clone())
        else {
            return false;
        };
        let Some(home) = self.config.account(&account).map(|account| account.home.clone()) else {
            return false;
        };
        let Some(order) = self.open_order(Slot::Launch(session.clone()), Vec::new()) else {
            return true;
        };
        let argv = args::fresh(
            &self.config.agent.command,
            &self.model_of(&job),
            &conversation,
            &self.agent_settings(session),
            &self.line_of(session, &job),
        );
        self.out.push(Action::LaunchAgent(LaunchAgent {
            order,
            session: session.clone(),
            pane: self.sessions.get(session).and_then(Session::first_pane),
            fence,
            account,
            conversation,
            home,
            cwd: job.offer.dir.clone(),
            argv,
            env: self.config.agent.env.clone(),
        }));
        true
    }

    pub(in crate::core) fn model_of(&self, job: &Job) -> String {
        let by_priority = || {
            let key = match job.offer.priority {
                Priority::Critical => "critical",
                Priority::High | Priority::Default | Priority::Low => "default",
            };
            self.config.agent.models.get(key).cloned().unwrap_or_default()
        };
        job.offer.model.clone().unwrap_or_else(by_priority)
    }

    fn line_of(&self, session: &SessionName, job: &Job) -> String {
        let signals = &self.config.watcher.done_signal_dir;
        self.config.dispatcher.prompt.line(&Facts {
            id: &job.offer.task.id,
            title: &job.offer.title,
            path: &job.offer.path,
            done: &signals.join(format!("agent-done-{session}")),
            failed: &signals.join(format!("agent-failed-{session}")),
        })
    }

    /// After a crash or a lost answer: the same fence again, so that it runs at most once in a session.
    /// A session that was made anew knows no fence: the agent may have had the task before it went.
    pub(in crate::core) fn launch_job_again(
        &mut self,
        session: &SessionName,
        job: &Job,
        fence: u64,
    ) -> bool {
        if let Some(agent) = self.agent_of_job(session, job) {
            let pane = agent.pane;
            self.orders.forget(&Slot::Launch(session.clone()));
            self.job_is_up(session, pane);
            return true;
        }
        let on_its_way = self.orders.is_open(&Slot::Launch(session.clone()));
        if !on_its_way && self.durable.swap.is_none() && self.is_stuck(session) {
            // That other agent cannot be launched for a while: this task does not wait for it.
            self.lose_job(session, true);
            return true;
        }
        // Another agent may have come to its session before it did, and be moved by now.
        let moves = self.durable.swap.is_some() || self.durable.moves.contains_key(session);
        if on_its_way || !self.is_in_sight(session) || moves {
            return false;
        }
        if self.working_account().is_none_or(|working| job.account.as_ref() != Some(working)) {
            // Not under an account that takes nothing: back to the queue, unless it has arrived.
            self.lose_job(session, true);
            return true;
        }
        if !self.job_watches.get(session).is_some_and(|watch| watch.has_not_arrived) {
            self.ask_whether_it_arrived(session, job);
            return false;
        }
        if !self.order_job(session, fence) {
            self.lose_job(session, false);
            return true;
        }
        if let Some(watch) = self.job_watches.get_mut(session) {
            watch.has_not_arrived = false;
        }
        false
    }

    /// `Ok`: it runs in this pane; `Err`: it does not, and will not. For a launch that was a job's.
    pub(in crate::core) fn job_launched(
        &mut self,
        session: &SessionName,
        result: Result<PaneId, String>,
    ) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        let is_over = matches!(job.stage, JobStage::Ending { .. });
        let is_lost = matches!(job.stage, JobStage::Lost { .. });
        if job.launching.is_none() && !is_lost {
            return;
        }
        match result {
            Ok(pane) => {
                self.session_made(session);
                self.job_is_up(session, pane);
                let watch = self.job_watches.entry(session.clone()).or_default();
                watch.listings_awaited = LISTINGS_PROVE;
                self.out.push(Action::ObserveSessions);
            }
            // Asked again with the same fence when the server is back.
            Err(_) if matches!(self.terminal, TerminalState::Lost { .. }) => {}
            Err(_) if is_over => self.persist(Record::TaskNotLaunched { session: session.clone() }),
            Err(why) => {
                self.note(NoteLevel::Warn, format!("session={session} launch not done: {why}"));
                // Perhaps it was up for a moment: its conversation tells.
                self.job_watches.entry(session.clone()).or_default().not_launched = Some(why);
                if !is_lost {
                    self.lose_job(session, false);
                }
            }
        }
    }

    pub(in crate::core) fn job_is_up(&mut self, session: &SessionName, pane: PaneId) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        self.task_troubles.remove(&job.offer.task);
        let at = self.now.wall;
        self.persist(Record::TaskLaunched { session: session.clone(), pane, at });
    }

    /// Launched: it has the task, it asks something, it is gone, or it is deaf.
    pub(in crate::core) fn prove_receipt(&mut self, session: &SessionName, job: &Job) -> bool {
        let agent = self.agent_of_job(session, job).cloned();
        if let Some(agent) = &agent
            && self.has_received(session, agent)
        {
            // Only whom its conversation names is known for good: others may come to its pane.
            let named = agent.conversation.is_some() && agent.conversation == job.conversation;
            let (process, at) = (named.then_some(agent.process), self.now.wall);
            self.persist(Record::TaskReceived { session: session.clone(), process, at });
            return true;
        }
        if let Some(fate) = self.fate_by_signal(session) {
            self.end_job(session, fate);
            return true;
        }
        if self.durable.swap.is_some() || self.durable.moves.contains_key(session) {
            return false;
        }
        if self.lose_if_gone(session) {
            return true;
        }
        if self.working_account().is_none() {
            return false; // it can take nothing now, and nobody is to press a key
        }
        let Some(watch) = self.job_watches.get(session) else { return false };
        // The time that a dialog took is not the agent's.
        let since = watch.state.as_ref().map_or(watch.since, |(_, since)| watch.since.max(*since));
        let since = watch.dialog_at.map_or(since, |at| since.max(at));
        let waited = self.now.monotonic - since;
        if let Some(agent) = &agent
            && watch.stayed_in(|state| matches!(state, AgentState::Waiting(_))).is_some()
        {
            self.handle_dialog(session, agent.pane);
            return self.end_if_stalled(session);
        }
        if agent.is_some() && waited >= self.config.swap.verify_timeout {
            let reason = format!("no sign of its receipt within {} s", waited.as_secs());
            self.end_job(session, Fate::Requeued { reason });
            return true;
        }
        false
    }

    /// A report of a prompt, the prompt's record, or busy after idle.
    fn has_received(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        let recorded = match self.testimony(session, agent) {
            Testimony::Known(ending) => ending.prompted_at.is_some() || ending.error.is_some(),
            Testimony::Awaited | Testimony::None => false,
        };
        let recorded = recorded || self.failed_turn_of(session, agent).is_some();
        let recorded = recorded && self.talks_of_its_task(session, agent);
        let Some(watch) = self.job_watches.get(session) else { return recorded };
        let busy = watch.stayed_in(|state| *state == AgentState::Busy);
        let at_work =
            busy.is_some_and(|since| watch.was_idle || self.now.monotonic - since >= ANSWERS_AFTER);
        recorded || watch.prompted || at_work
    }

    /// Orders that the dialog in this pane be handled, when it has stood for a while.
    pub(in crate::core) fn handle_dialog(&mut self, session: &SessionName, pane: PaneId) {
        let now = self.now.monotonic;
        let Some(watch) = self.job_watches.get(session) else { return };
        let stands = watch
            .stayed_in(|state| matches!(state, AgentState::Waiting(_)))
            .is_some_and(|since| now - since >= DIALOG_STAYS);
        // A person may have answered one, and the next may be one of ours.
        let apart = if watch.blocked.is_some() { BLOCKED_LOOKS_APART } else { DIALOGS_APART };
        let rests = watch.dialog_at.is_some_and(|at| now - at < apart);
        if !stands || rests {
            return;
        }
        if watch.dialogs >= DIALOGS_MAX {
            let reason = format!("{DIALOGS_MAX} answers to its dialogs did not help");
            self.block_job(session, reason);
            return;
        }
        let Some(order) = self.open_order(Slot::Dialog(session.clone()), Vec::new()) else {
            return;
        };
        let seen = self.sessions.get(session).map_or(0, Session::fence);
        let used = self.durable.fences.get(session).copied().unwrap_or(0);
        let fence = seen.max(used) + 1;
        let session = session.clone();
        self.persist(Record::DialogHandling { session: session.clone(), fence });
        self.out.push(Action::HandleDialog { order, session, pane, fence });
    }

    pub(in crate::core) fn dialog_handled(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<DialogEnd, String>,
    ) {
        if self.orders.answer(&Slot::Dialog(session.clone()), order).is_none() {
            return;
        }
        let now = self.now.monotonic;
        let Some(watch) = self.job_watches.get_mut(session) else { return };
        watch.dialog_at = Some(now);
        match result {
            Ok(DialogEnd::Answered(dialog)) => {
                watch.dialogs += 1;
                watch.blocked = None;
                self.note(NoteLevel::Info, format!("session={session} dialog={dialog:?} answered"));
            }
            Ok(DialogEnd::Gone) => {}
            Ok(DialogEnd::Left { dialog, rows }) => {
                self.block_job(session, format!("{dialog}: {}", rows.join(" | ")));
            }
            Err(why) => {
                self.note(NoteLevel::Warn, format!("session={session} dialog not handled: {why}"));
            }
        }
    }

    /// A person is waited for; said once.
    fn block_job(&mut self, session: &SessionName, reason: String) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        let text = format!("session={session} task={} blocked: {reason}", job.task());
        let Some(watch) = self.job_watches.get_mut(session) else { return };
        if watch.blocked.replace(reason.clone()) != Some(reason) {
            self.note(NoteLevel::Warn, text);
        }
    }

    /// Its agent has not been seen for a while although its session is in sight. True when it is lost.
    pub(in crate::core) fn lose_if_gone(&mut self, session: &SessionName) -> bool {
        let gone = self.job_watches.get(session).and_then(|watch| watch.gone_since);
        let is_over = |since: Mono| self.now.monotonic - since >= GONE_AFTER;
        if !gone.is_some_and(is_over) {
            return false;
        }
        self.lose_job(session, false);
        true
    }

    pub(in crate::core) fn account_of_job(&self, job: &Job) -> Option<AccountName> {
        job.account.clone().or_else(|| self.active().cloned())
    }
}
