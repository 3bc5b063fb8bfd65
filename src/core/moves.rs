//! One agent on its way to another account, step by step: [`crate::core::saving`],
//! [`crate::core::stopping`], [`crate::core::launching`], [`crate::core::verify`]. Used by the swap,
//! by stragglers afterwards, and by agents that come back after their session was lost.

use std::time::Duration;

use crate::config::Group;
use crate::core::action::Action;
use crate::core::event::AgentHome;
use crate::core::job::Fate;
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record};
use crate::core::testimony::Testimony;
use crate::core::{Core, TerminalState};
use crate::ids::{ConversationId, OpId, SessionName};
use crate::moment::Wall;

/// Typed for a pool agent whose turn was cut off, as a launch argument.
pub const NUDGE: &str = "Your last turn was cut off by a usage limit, and you now run on another \
                         account. Go on with the task from where you stopped.";

/// The same for one whose own account takes requests again.
const NUDGE_AFTER_A_RESET: &str = "Your last turn was cut off because your account took no requests. \
                                   It does again. Go on with the task from where you stopped.";

/// A client that waits for the reset goes on by itself 30 to 120 s after it: it draws 30 to 90 s and
/// looks every 30 s, unless its server says otherwise (2.1.250 and 2.1.330; measured 33 to 100 s).
/// Half a minute more, so that it is never ended in the moment in which it goes on.
const CONTINUES_WITHIN: Duration = Duration::from_secs(150);

/// The same for one whose session was lost with its task, whose turn ended in an error, or whose
/// account's login failed.
pub const NUDGE_AFTER_A_LOSS: &str = "Your last turn was cut off before its end. Go on with the task from \
                                  where you stopped.";

impl Core {
    /// One step of any move. True when the state changed.
    pub(in crate::core) fn advance_moves(&mut self) -> bool {
        self.order_stop();
        let sessions: Vec<SessionName> = self.durable.moves.keys().cloned().collect();
        sessions.iter().any(|session| self.advance_move(session))
    }

    /// Its session is not ours any more. Whom we have ended before that, its operator brings back.
    fn why_left_behind(moving: &Move) -> String {
        let left = "its session left the configuration";
        let ended = match moving.stage {
            MoveStage::Stopping | MoveStage::Stopped | MoveStage::Held => true,
            MoveStage::Staying { .. }
            | MoveStage::Launching { .. }
            | MoveStage::Launched { .. } => false,
        };
        match moving.agent.conversation.as_ref().filter(|_| ended) {
            Some(id) => format!("{left} while its agent was ended: claude --resume {id} goes on"),
            None => left.to_owned(),
        }
    }

    fn advance_move(&mut self, session: &SessionName) -> bool {
        let Some(moving) = self.durable.moves.get(session).cloned() else {
            return false;
        };
        if self.config.group(session).is_none() {
            let reason = Self::why_left_behind(&moving);
            if self.durable.jobs.get(session).is_some_and(|job| job.is_out() || job.goes_back()) {
                // Its agent may be up by now, in a place that is not ours any more.
                self.end_job(session, Fate::Unknown { reason: reason.clone() });
            }
            self.end_move(session, MoveOutcome::Dropped { reason });
            return true;
        }
        if self.cannot_be_made(session) && self.holds_up_the_swap(&moving) {
            // It is made again and again; then its agent comes back.
            self.end_move(session, MoveOutcome::Held);
            return true;
        }
        if moving.stage == MoveStage::Stopped
            && self.is_stuck(session)
            && self.holds_up_the_swap(&moving)
        {
            // It could not be launched before this swap either, and nobody waits for its next try.
            self.end_move(session, MoveOutcome::Held);
            return true;
        }
        if self.tells_its_conversation_by_now(&moving) {
            return true;
        }
        match &moving.stage {
            MoveStage::Staying { until } => {
                let is_over = self.is_stay_over(session, *until);
                self.end_stay(&moving, is_over)
            }
            MoveStage::Stopping => false,
            MoveStage::Stopped | MoveStage::Held => self.launch_when_due(&moving),
            MoveStage::Launching { fence } => self.launch_again(&moving, *fence),
            MoveStage::Launched { pane } => self.verify(&moving, *pane),
        }
    }

    /// Nobody stays longer than the grace. An end that lies further ahead was reckoned by another clock,
    /// or with another grace: then the grace runs from when that was seen.
    fn is_stay_over(&mut self, session: &SessionName, until: Wall) -> bool {
        let (now, grace) = (self.now, self.config.swap.busy_grace);
        let Some(seen) = self.sessions.get_mut(session) else { return until <= now.wall };
        let far = until > now.wall + grace;
        let since = seen.long_stay.filter(|(known, _)| *known == until).map(|(_, since)| since);
        if far && since.is_none() {
            seen.long_stay = Some((until, now.monotonic));
        }
        until <= now.wall || since.is_some_and(|since| now.monotonic - since >= grace)
    }

    /// True when it has told who it is, and that is on record now.
    fn tells_its_conversation_by_now(&mut self, moving: &Move) -> bool {
        let agent = self.agent_in(&moving.session);
        let agent = agent.filter(|agent| agent.process == moving.agent.process);
        let told = agent.and_then(|agent| agent.conversation.clone());
        told.is_some_and(|conversation| self.identify(moving, conversation))
    }

    /// It had not said yet which conversation it has when it was saved, or has begun another. True when
    /// that is news, and on record now.
    pub(in crate::core) fn identify(
        &mut self,
        moving: &Move,
        conversation: ConversationId,
    ) -> bool {
        let known = &moving.agent.conversation;
        let may_be_told = match moving.stage {
            // A person may begin another one in it meanwhile; what becomes of a task is asked for itself.
            MoveStage::Staying { .. } => {
                known.is_none() || !self.durable.jobs.contains_key(&moving.session)
            }
            MoveStage::Stopping => known.is_none(),
            MoveStage::Stopped
            | MoveStage::Launching { .. }
            | MoveStage::Launched { .. }
            | MoveStage::Held => false,
        };
        let is_news = known.as_ref() != Some(&conversation);
        if !may_be_told || !is_news || self.has_it_elsewhere(&moving.session, &conversation) {
            return false;
        }
        let session = moving.session.clone();
        self.persist(Record::MoveIdentified { session, conversation });
        true
    }

    /// One conversation is resumed in one session alone: whether it is on record for another.
    pub(in crate::core) fn has_it_elsewhere(
        &self,
        session: &SessionName,
        conversation: &ConversationId,
    ) -> bool {
        // What is on record of a session that left the configuration is nobody's to bring back.
        let known =
            self.durable.agents.iter().filter(|(name, _)| self.config.group(name).is_some());
        let known = known.map(|(name, other)| (name, &other.conversation));
        let moves = self.durable.moves.iter().map(|(name, m)| (name, &m.agent.conversation));
        let jobs = self.durable.jobs.iter().map(|(name, job)| (name, &job.conversation));
        let mut all = known.chain(moves).chain(jobs);
        all.any(|(name, other)| name != session && other.as_ref() == Some(conversation))
    }

    /// Whether the open swap waits for the launch of this stopped agent.
    pub(in crate::core) fn holds_up_the_swap(&self, moving: &Move) -> bool {
        let of_swap = self.durable.swap.as_ref().is_some_and(|swap| swap.op == moving.op);
        let waits = match moving.stage {
            MoveStage::Stopped | MoveStage::Launching { .. } | MoveStage::Launched { .. } => true,
            MoveStage::Staying { .. } | MoveStage::Stopping | MoveStage::Held => false,
        };
        of_swap && moving.cause == MoveCause::Swap && waits
    }

    /// A straggler goes when its turn ends, when it is refused, or when its time is over.
    fn end_stay(&mut self, moving: &Move, is_over: bool) -> bool {
        if self.durable.swap.is_some() || self.terminal != TerminalState::Seen {
            return false;
        }
        let Some(active) = self.working_account().cloned() else {
            return false; // there is nowhere to go: it stays alive where it is
        };
        let session = &moving.session;
        // Whoever came in its place is not ours to end.
        let it = self.agent_in(session).filter(|agent| {
            agent.process == moving.agent.process
                || agent.conversation.is_some() && agent.conversation == moving.agent.conversation
        });
        let Some(agent) = it else {
            if self.is_in_sight(session) {
                let reason = "it ended while it finished its turn".to_owned();
                self.end_move(session, MoveOutcome::Dropped { reason });
                return true;
            }
            return false;
        };
        let at_rest = !self.is_in_turn(session);
        let is_home = self.account_of(&agent.home) == Some(&active)
            && (agent.home != AgentHome::Linked || moving.target == active);
        let goes_on = moving.target == active && self.is_cut_off(session);
        if is_home && !goes_on {
            let reason = "its account is the active one again".to_owned();
            self.end_move(session, MoveOutcome::Dropped { reason });
            return true;
        }
        if !at_rest && !is_over && !self.straggler_refused(session) {
            return false;
        }
        // An order of its own, at once: by the time another one is answered it may be at work.
        if !self.ramp_due(moving) || self.orders.is_open(&Slot::Stop) {
            return false;
        }
        let process = agent.process;
        let refused = moving.refused || self.straggler_refused(session);
        let finished = at_rest && !refused && !self.owes_work(session);
        self.ramp_on(moving);
        let text = format!("claude-failover: this agent is ended and resumed on {active} now");
        self.tell_if_attached(session, text);
        let session = session.clone();
        self.persist(Record::MoveStopping { session, process, finished, until: None });
        true
    }

    /// Those who follow a swap alone go one after the other, `swap.ramp_interval` apart.
    pub(in crate::core) fn ramp_due(&self, moving: &Move) -> bool {
        let interval = self.config.swap.ramp_interval;
        moving.cause != MoveCause::Straggler
            || self.ramp.as_ref().is_none_or(|(last, since)| {
                *last == in_row(moving) || self.now.monotonic - *since >= interval
            })
    }

    pub(in crate::core) fn ramp_on(&mut self, moving: &Move) {
        let place = in_row(moving);
        if self.ramp.as_ref().is_none_or(|(last, _)| *last != place) {
            self.ramp = Some((place, self.now.monotonic));
        }
    }

    /// Its client has said that it goes on by itself, and has had no time to do so yet.
    pub(in crate::core) fn continues_by_itself(&self, session: &SessionName) -> bool {
        let Some(seen) = self.sessions.get(session).filter(|seen| seen.armed) else {
            return false;
        };
        let account = seen.agent.as_ref().and_then(|agent| self.account_of(&agent.home));
        let reset = account.and_then(|account| self.standing(account).cleared_at);
        reset.is_none_or(|reset| self.now.wall - reset < CONTINUES_WITHIN)
    }

    /// When the time of the clients that go on by themselves is over.
    pub(in crate::core) fn continuing_until(&self) -> Option<Wall> {
        let armed = self.sessions.values().filter(|seen| seen.armed);
        let accounts = armed.filter_map(|seen| self.account_of(&seen.agent.as_ref()?.home));
        let resets = accounts.filter_map(|account| self.standing(account).cleared_at);
        resets.map(|reset| reset + CONTINUES_WITHIN).filter(|at| *at > self.now.wall).min()
    }

    /// What the resumed agent is told, if anything.
    pub(in crate::core) fn nudge(&self, moving: &Move) -> Option<String> {
        match self.config.group(&moving.session)? {
            Group::Dedicated => self.config.dedicated(&moving.session)?.nudge.clone(),
            Group::Pool => {
                let stays = moving.agent.home == AgentHome::Homed(moving.target.clone());
                let text = match (self.was_cut_by_a_limit(moving), stays) {
                    (false, _) => NUDGE_AFTER_A_LOSS,
                    (true, true) => NUDGE_AFTER_A_RESET,
                    (true, false) => NUDGE,
                };
                moving.cut.then(|| text.to_owned())
            }
        }
    }

    fn was_cut_by_a_limit(&self, moving: &Move) -> bool {
        let lost =
            moving.cause == MoveCause::Restore && self.durable.jobs.contains_key(&moving.session);
        let by_its_login = self.account_of(&moving.agent.home).is_some_and(|account| {
            let known = self.standing(account);
            known.limits.is_empty() && (known.login.is_some() || known.cleared_at.is_none())
        });
        !lost && !by_its_login
    }

    pub(in crate::core) fn end_move(&mut self, session: &SessionName, outcome: MoveOutcome) {
        self.watches.remove(session);
        if outcome != MoveOutcome::Held {
            self.launch_troubles.remove(session);
        }
        for slot in [Slot::Launch(session.clone()), Slot::Read(session.clone())] {
            self.orders.forget(&slot);
        }
        let dropped = matches!(outcome, MoveOutcome::Dropped { .. });
        self.persist(Record::MoveEnded { session: session.clone(), outcome });
        if dropped {
            self.adopt_after_move(session, None);
        }
        self.count_who_is_left(session);
        if let Some(agent) = self.agent_in(session).cloned() {
            // What its agent was refused meanwhile was passed over, and is not told again.
            self.hear_transcript(session, &agent);
            self.out.push(Action::ReadTranscript { session: session.clone() });
            if self.testimony(session, &agent) == Testimony::None {
                self.out.push(Action::RereadPane { pane: agent.pane });
            }
        }
    }
}

/// Ended and launched it has one place in the row; in a later row it has another.
fn in_row(moving: &Move) -> (OpId, SessionName) {
    (moving.op, moving.session.clone())
}
