//! Which task goes to which session: the head of the queue to the first free session of the pool.

use std::path::Path;
use std::time::Duration;

use crate::config::Group;
use crate::core::action::{Action, NoteLevel, OrderId};
use crate::core::event::{AgentSeen, AgentState, TasksOffered};
use crate::core::job::{Fate, Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::Record;
use crate::core::session::Session;
use crate::core::setback::Setback;
use crate::core::{Core, TerminalState};
use crate::ids::{ConversationId, ProjectName, SessionName, TaskRef};
use crate::task::Offer;

/// A task that was given back, or whose attempt failed, is left alone for so long.
const GIVEN_BACK_REST: Duration = Duration::from_secs(2);
/// So is a session that could not be made ready.
const TROUBLED_REST: Duration = Duration::from_secs(30);
/// Where one task cannot be claimed, perhaps none can be.
const REFUSED_REST: Duration = Duration::from_secs(5);
/// A task that was not tried for so long after its rest waits for something else, or is gone.
const TRIED_LATELY: Duration = Duration::from_secs(600);
const REQUEUED_REST: Duration = Duration::from_secs(10);

impl Core {
    pub(in crate::core) fn tasks_offered(&mut self, offered: TasksOffered) {
        if self.queue.poll_only.is_none()
            && let Some(why) = &offered.poll_only
        {
            self.note(NoteLevel::Warn, format!("the queues are polled: {why}"));
        }
        self.queue = offered;
    }

    /// Claims one task for one session. True when it did.
    pub(in crate::core) fn claim_next(&mut self) -> bool {
        if !self.may_dispatch() {
            return false;
        }
        let Some(offer) = self.next_offer().cloned() else {
            return false;
        };
        let Some(session) = self.free_session() else {
            return false;
        };
        // INVARIANT: an operator's own session never gets a task.
        assert_eq!(self.config.group(&session), Some(Group::Pool), "{session} is no pool session");
        let tried = self.durable.attempts.get(&offer.task).copied().unwrap_or(0);
        let (attempt, at) = (tried + 1, self.now.wall);
        self.job_watches.remove(&session);
        self.persist(Record::TaskClaimed { session, offer: Box::new(offer), attempt, at });
        true
    }

    /// Nothing is dispatched while paused, while a swap is open, while all accounts are out, or with
    /// tmux away.
    pub fn may_dispatch(&self) -> bool {
        !self.is_paused()
            && self.durable.swap.is_none()
            && self.draining_since.is_none()
            && self.terminal == TerminalState::Seen
            && self.working_account().is_some()
    }

    /// The first offer that may go now.
    pub(in crate::core) fn next_offer(&self) -> Option<&Offer> {
        let now = self.now.monotonic;
        self.queue.offers.iter().find(|offer| {
            let rests = self.task_rests.get(&offer.task).is_some_and(|until| now < *until);
            let full = self.jobs_of(&offer.task.project) >= self.config.dispatcher.per_project;
            !rests && !full && !self.is_held(&offer.task)
        })
    }

    fn jobs_of(&self, project: &ProjectName) -> u32 {
        let jobs = self.durable.jobs.values();
        let count = jobs.filter(|job| job.offer.task.project == *project).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn is_held(&self, task: &TaskRef) -> bool {
        self.durable.set_aside.contains_key(task)
            || self.durable.jobs.values().any(|job| job.offer.task == *task)
    }

    /// The first pool session, by number, that can take a task.
    fn free_session(&self) -> Option<SessionName> {
        let pool = self.config.pool.autonomous.as_ref()?;
        pool.names().find(|name| self.is_free(name))
    }

    fn is_free(&self, name: &SessionName) -> bool {
        let Some(seen) = self.sessions.get(name) else {
            return false;
        };
        let rests = self.session_rests.get(name).is_some_and(|until| self.now.monotonic < *until);
        let taken = self.durable.jobs.contains_key(name)
            || self.durable.moves.contains_key(name)
            || self.hits.contains_key(name)
            || self.orders.is_open(&Slot::Launch(name.clone()));
        let takes_tasks = !self.is_drained(name) && !rests && !taken;
        self.is_in_sight(name) && !seen.panes.is_empty() && takes_tasks && self.has_room(name, seen)
    }

    /// Nobody is there, or an agent of ours that has nothing to do.
    fn has_room(&self, name: &SessionName, seen: &Session) -> bool {
        match &seen.agent {
            // Whoever was there may be lost, and come back.
            None => seen.listings_awaited == 0,
            Some(_) => self.holds_an_idle_worker(name),
        }
    }

    /// An agent that we began for a task, and that nobody looks at, has nothing to do.
    pub(in crate::core) fn holds_an_idle_worker(&self, session: &SessionName) -> bool {
        let attended = self
            .sessions
            .get(session)
            .is_some_and(|seen| seen.panes.iter().any(|pane| pane.attached > 0));
        let talk = self.agent_in(session).and_then(|agent| agent.conversation.as_ref());
        let ours = talk.is_some_and(|talk| self.durable.task_talks.contains(talk));
        ours && !attended && self.is_idle(session)
    }

    fn is_idle(&self, session: &SessionName) -> bool {
        self.state_of(session).is_some_and(|(state, _)| state == AgentState::Idle)
    }

    /// Whoever starts an agent by hand does not name our settings. Arguments that cannot be read are
    /// held to be ours: no task is lost sight of for that.
    pub(in crate::core) fn is_launched_by_us(&self, agent: &AgentSeen) -> bool {
        let is_ours = |arg: &String| self.config.is_agent_settings(Path::new(arg));
        agent.args.as_ref().is_none_or(|args| args.iter().any(is_ours))
    }

    /// A pool session above the minimum, when a task waits and none is free for it.
    pub(in crate::core) fn session_to_add(&self) -> Option<SessionName> {
        if !self.may_dispatch() || self.next_offer().is_none() || self.free_session().is_some() {
            return None;
        }
        let pool = self.config.pool.autonomous.as_ref()?;
        // One that is on its way, or that nobody has looked into yet, may be free in a moment.
        let on_its_way = pool.names().any(|name| {
            let unseen = self.sessions.get(&name).is_some_and(|seen| !seen.is_looked_into());
            let unseen = unseen && !self.is_drained(&name);
            unseen || self.orders.is_open(&Slot::Create(name))
        });
        if on_its_way {
            return None;
        }
        pool.names().find(|name| {
            let failed = self.is_not_made_now(name);
            !self.sessions.contains_key(name) && !failed && !self.is_drained(name)
        })
    }

    pub(in crate::core) fn claim_on(&mut self, session: &SessionName, job: &Job) -> bool {
        if self.give_back_when_due(session) {
            return true;
        }
        if let Some(order) = self.open_order(Slot::Claim(job.task().clone()), Vec::new()) {
            self.out.push(Action::ClaimTask {
                order,
                task: job.task().clone(),
                session: session.clone(),
                attempt: job.attempt,
            });
        }
        false
    }

    pub(in crate::core) fn task_claimed(
        &mut self,
        order: OrderId,
        task: &TaskRef,
        result: Result<ConversationId, String>,
    ) {
        if self.orders.answer(&Slot::Claim(task.clone()), order).is_none() {
            return;
        }
        let claiming = |(_, job): &(&SessionName, &Job)| {
            job.offer.task == *task && job.stage == JobStage::Claiming
        };
        let Some(session) = self.durable.jobs.iter().find(claiming).map(|(name, _)| name.clone())
        else {
            return;
        };
        match result {
            Ok(conversation) => self.persist(Record::TaskMarked { session, conversation }),
            Err(reason) => {
                // Whoever has it, or whatever became of its file, the next offer tells.
                self.queue.offers.retain(|offer| offer.task != *task);
                let now = self.now.monotonic;
                self.session_rests.insert(session.clone(), now + REFUSED_REST);
                self.give_back_untried(&session, reason);
            }
        }
    }

    /// It goes back with its attempts because something of the host's was in the way.
    pub(in crate::core) fn give_back_untried(&mut self, session: &SessionName, reason: String) {
        let Some(job) = self.durable.jobs.get(session) else { return };
        let task = job.task().clone();
        let before = self.task_troubles.get(&task);
        let setback = Setback::after(before, reason.clone(), self.now.monotonic);
        self.task_troubles.insert(task, setback);
        self.end_job(session, Fate::GivenBack { reason });
    }

    /// Tasks that could not be begun for a while, and why.
    pub fn stuck_tasks(&self) -> impl Iterator<Item = (&TaskRef, &str)> {
        let lasting = self.task_troubles.iter().filter(|(_, trouble)| {
            let tried_lately = self.now.monotonic < trouble.again_at + TRIED_LATELY;
            trouble.is_lasting() && tried_lately
        });
        lasting.map(|(task, trouble)| (task, trouble.why.as_str()))
    }

    /// Before its launch a task goes back as soon as it could not be worked on. True when it did.
    pub(in crate::core) fn give_back_when_due(&mut self, session: &SessionName) -> bool {
        let moving = self.durable.moves.contains_key(session);
        let reason = if self.durable.swap.is_some() || moving {
            "a swap came first"
        } else if self.terminal == TerminalState::Seen && !self.sessions.contains_key(session) {
            "its session went"
        } else if self.working_account().is_none() {
            "no account is available"
        } else if self.is_paused() {
            "the daemon is paused"
        } else if self.is_drained(session) {
            "its session is drained"
        } else {
            return false;
        };
        self.end_job(session, Fate::GivenBack { reason: reason.to_owned() });
        true
    }

    /// A session that takes no task now will not take one in a moment.
    pub(in crate::core) fn leave_alone(&mut self, session: &SessionName) {
        let until = self.now.monotonic + TROUBLED_REST;
        self.session_rests.insert(session.clone(), until);
    }

    /// After its end: how long the task and the session are left alone.
    pub(in crate::core) fn rest(&mut self, session: &SessionName, task: &TaskRef, fate: &Fate) {
        let now = self.now.monotonic;
        let (task_rest, session_rest) = match fate {
            Fate::GivenBack { .. } => (Some(GIVEN_BACK_REST), None),
            Fate::Requeued { .. } => (Some(REQUEUED_REST), Some(self.config.dispatcher.cooldown)),
            Fate::Done { .. } | Fate::Failed { .. } | Fate::Unknown { .. } => {
                (None, Some(self.config.dispatcher.cooldown))
            }
        };
        self.task_rests.retain(|_, until| now < *until);
        self.task_troubles.retain(|_, trouble| now < trouble.again_at + TRIED_LATELY);
        if !matches!(fate, Fate::GivenBack { .. }) {
            self.task_troubles.remove(task);
        }
        if let Some(length) = task_rest {
            let set_back = self.task_troubles.get(task).map(|trouble| trouble.again_at);
            self.task_rests.insert(task.clone(), (now + length).max(set_back.unwrap_or(now)));
        }
        if let Some(length) = session_rest {
            self.session_rests.insert(session.clone(), now + length);
        }
    }
}
