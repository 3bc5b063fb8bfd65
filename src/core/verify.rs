//! Whether a launched agent is what it should be: this conversation, on this account, answering.

use std::time::Duration;

use crate::core::Core;
use crate::core::durable::Phase;
use crate::core::event::{AgentHome, AgentSeen, AgentState, PaneReading};
use crate::core::record::{Move, MoveCause, MoveOutcome, Record, SavedAgent};
use crate::core::testimony::Testimony;
use crate::core::trigger::EvidenceSource;
use crate::ids::{AccountName, ConversationId, PaneId, SessionName};
use crate::moment::Mono;
use crate::quota::verdict::{Dialog, Verdict};

/// A refusal is painted 0.4 s after a prompt is sent (measured on 2.1.330): busy for longer than
/// this is an answer being written.
pub const ANSWERS_AFTER: Duration = Duration::from_secs(2);

/// A dialog that stays this long waits for a person.
pub const DIALOG_STAYS: Duration = Duration::from_secs(1);

/// A client too old to tell its state is taken as up when it has lived this long.
pub const SILENT_CLIENT_UP: Duration = Duration::from_secs(5);

/// A client that knows no conversation of its id says so and ends.
pub const ENDS_AFTER_SAYING_SO: Duration = Duration::from_secs(1);

/// Twenty clients that refresh one login at once can lose it; after the canary's start the
/// credential file must have been still for this long.
pub const CREDENTIALS_STILL: Duration = Duration::from_secs(1);

/// What was seen of a launched agent since its launch.
#[derive(Debug, Clone)]
pub struct Watch {
    pub since: Mono,
    pub agent_since: Option<Mono>,
    /// In the current state (idle, busy, dialog) since.
    pub state: Option<(AgentState, Mono)>,
    pub was_busy: bool,
    /// Since when nobody can look into its session.
    pub blind_since: Option<Mono>,
    /// Since when the client says that it knows no conversation of that id.
    pub conversation_missing: Option<Mono>,
}

impl Watch {
    pub fn since(since: Mono) -> Self {
        Self {
            since,
            agent_since: None,
            state: None,
            was_busy: false,
            blind_since: None,
            conversation_missing: None,
        }
    }

    /// Its time stood still for so long: the host slept, or nobody could look.
    pub fn sleep(&mut self, length: Duration) {
        self.since = self.since + length;
        self.agent_since = self.agent_since.map(|since| since + length);
        self.blind_since = self.blind_since.map(|since| since + length);
        self.conversation_missing = self.conversation_missing.map(|said| said + length);
        if let Some((_, since)) = &mut self.state {
            *since = *since + length;
        }
    }
}

enum Judgement {
    Wait,
    Ended(MoveOutcome),
    TargetFailed(String),
}

impl Core {
    /// What the screen of a just-launched agent shows. Its banners are repaints, unless they come
    /// under the nudge that it was launched with.
    pub(in crate::core) fn startup_read(&mut self, seen: &PaneReading) {
        let session = &seen.session;
        let Some(moving) = self.durable.moves.get(session).cloned() else {
            return;
        };
        let reading = &seen.reading;
        if reading.missing_conversation.is_some()
            && reading.missing_conversation == moving.agent.conversation
            && let Some(watch) = self.watches.get_mut(session)
        {
            watch.conversation_missing.get_or_insert(self.now.monotonic);
            return;
        }
        let Some(agent) = self.agent_in(session).cloned() else {
            return;
        };
        if agent.pane != seen.pane {
            return;
        }
        self.note_user_row(session, reading);
        if self.is_only_a_hint(session, &agent, reading) {
            return;
        }
        let answers_the_nudge = self.nudge(&moving).is_some_and(|nudge| {
            reading.last_user_row.as_ref().is_some_and(|row| {
                !row.is_empty() && (nudge.starts_with(row.as_str()) || row.starts_with(&nudge))
            })
        });
        let own_turn = self.nudge(&moving).is_none() && !self.is_newcomer(session, &agent);
        match &reading.verdict {
            Verdict::AuthFailed if answers_the_nudge || own_turn => {
                self.auth_failure_shown(session, &agent, reading);
            }
            Verdict::AuthFailed => self.leave_row_once(session, &reading.row),
            verdict if verdict.is_exhaustion() => {
                if (answers_the_nudge || own_turn) && !self.is_history(session, &agent, reading) {
                    self.relaunched_agent_refused(session, &agent, seen);
                } else {
                    self.leave_row_once(session, &reading.row);
                }
            }
            _ => {}
        }
    }

    pub(in crate::core) fn leave_row_once(&mut self, session: &SessionName, row: &str) {
        let known = self.durable.left_rows.get(session);
        if !known.is_some_and(|rows| rows.iter().any(|left| left == row)) {
            let record = Record::RowLeft { session: session.clone(), row: row.to_owned() };
            self.persist(record);
        }
    }

    fn relaunched_agent_refused(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        seen: &PaneReading,
    ) {
        let Some(account) = self.account_of(&agent.home).cloned() else {
            return;
        };
        if self.has_come_back_since(&account, agent, &seen.reading) {
            // It was refused while nobody looked, and is over since.
            return self.leave_row_once(session, &seen.reading.row);
        }
        // Its screen alone, but under our own prompt: nothing older can stand there.
        let (source, at) = (EvidenceSource::Pane, self.now.wall);
        let hit = self.deciding_hit(account, &seen.reading, source, at);
        self.note_hit(session, &hit);
        self.hits.insert(session.clone(), hit);
        self.weigh_evidence();
    }

    /// One look at a launched agent. True when the state changed.
    pub(in crate::core) fn verify(&mut self, moving: &Move, pane: PaneId) -> bool {
        let session = &moving.session;
        let now = self.now.monotonic;
        let in_sight = self.is_in_sight(session);
        let watch = self.watches.entry(session.clone()).or_insert_with(|| Watch::since(now));
        if !in_sight {
            watch.blind_since.get_or_insert(now);
            return false;
        }
        if let Some(since) = watch.blind_since.take() {
            // Where nobody can look nobody is missing.
            watch.sleep(now - since);
        }
        self.update_watch(moving, pane);
        match self.judge(moving) {
            Judgement::Wait => false,
            Judgement::TargetFailed(reason) => {
                self.target_failed(reason);
                true
            }
            Judgement::Ended(outcome) => {
                self.end_verified(moving, outcome);
                true
            }
        }
    }

    fn update_watch(&mut self, moving: &Move, pane: PaneId) {
        let now = self.now.monotonic;
        let agent = self
            .sessions
            .get(&moving.session)
            .and_then(|seen| seen.agent.as_ref())
            .filter(|agent| agent.pane == pane && agent.process != moving.agent.process)
            .cloned();
        let Some(watch) = self.watches.get_mut(&moving.session) else {
            return;
        };
        match agent {
            Some(agent) => {
                watch.agent_since.get_or_insert(now);
                watch.was_busy |= agent.state == AgentState::Busy;
                if watch.state.as_ref().map(|(state, _)| state) != Some(&agent.state) {
                    watch.state = Some((agent.state, now));
                }
            }
            None => watch.state = None,
        }
    }

    /// Who came up by the launch of this move: it has the conversation, or tells of none.
    fn resumed_agent(&self, moving: &Move) -> Option<&AgentSeen> {
        let target = self.verified_target(moving);
        self.agent_in(&moving.session).filter(|agent| {
            let is_silent = agent.conversation.is_none() && agent.state == AgentState::Unknown;
            agent.process != moving.agent.process
                && Some(&agent.home) == target.map(AgentHome::Homed).as_ref()
                && (agent.conversation == moving.agent.conversation
                    || is_silent && !self.is_another(moving, agent))
        })
    }

    fn judge(&self, moving: &Move) -> Judgement {
        let Some(watch) = self.watches.get(&moving.session) else {
            return Judgement::Wait;
        };
        if self.is_left_over(moving) {
            return Judgement::Wait;
        }
        let now = self.now.monotonic;
        if let Some(said) = watch.conversation_missing {
            if now - said < ENDS_AFTER_SAYING_SO {
                return Judgement::Wait;
            }
            let reason = "the client knows no conversation of that id".to_owned();
            return Judgement::Ended(MoveOutcome::Failed { reason });
        }
        let agent = self.resumed_agent(moving);
        if let Some(agent) = agent.filter(|agent| self.has_answered(&moving.session, agent)) {
            return self.proven(moving, agent);
        }
        if let (Some(agent), Some((state, since))) = (agent, &watch.state) {
            let stayed = now - *since;
            match state {
                // Who is to prove an account has its time to be answered: on a machine at work it
                // takes seconds to start, and is busy for seconds before it asks.
                AgentState::Idle | AgentState::Busy | AgentState::Unknown
                    if self.must_be_answered(moving, agent) =>
                {
                    if now - watch.since >= self.config.swap.verify_timeout {
                        return self.proven(moving, agent);
                    }
                }
                AgentState::Idle if self.nudge(moving).is_none() || stayed >= ANSWERS_AFTER => {
                    return self.proven(moving, agent);
                }
                AgentState::Busy if stayed >= ANSWERS_AFTER => return self.proven(moving, agent),
                AgentState::Unknown if stayed >= SILENT_CLIENT_UP => {
                    return self.proven(moving, agent);
                }
                AgentState::Waiting(dialog) if stayed >= DIALOG_STAYS => {
                    let kind = self.dialog_in(&moving.session).map_or("", Dialog::name);
                    let reason = format!("a dialog waits for a person: {dialog} {kind}");
                    let reason = reason.trim_end().to_owned();
                    return Judgement::Ended(MoveOutcome::Blocked { reason });
                }
                AgentState::Idle
                | AgentState::Busy
                | AgentState::Unknown
                | AgentState::Waiting(_) => {}
            }
        }
        if now - watch.since < self.config.swap.verify_timeout {
            return Judgement::Wait;
        }
        let reason = format!(
            "no proof of life within {} s of its launch",
            self.config.swap.verify_timeout.as_secs()
        );
        if self.is_canary(moving) {
            Judgement::TargetFailed(format!("canary {}: {reason}", moving.session))
        } else {
            Judgement::Ended(MoveOutcome::Failed { reason })
        }
    }

    /// The model has spoken to this very agent, and no error came after it.
    fn has_answered(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        match self.testimony(session, agent) {
            Testimony::Known(ending) => ending.answered_at.is_some() && ending.error.is_none(),
            Testimony::Awaited | Testimony::None => false,
        }
    }

    /// The model has answered this launched agent, or is at it; of a client that tells nothing, that it
    /// took a turn and was not refused.
    fn has_had_an_answer(&self, moving: &Move) -> bool {
        let (Some(agent), Some(watch)) =
            (self.agent_in(&moving.session), self.watches.get(&moving.session))
        else {
            return false;
        };
        let silent = matches!(self.testimony(&moving.session, agent), Testimony::None);
        self.has_answered(&moving.session, agent)
            || agent.state == AgentState::Busy
            || silent && (watch.was_busy || agent.state == AgentState::Unknown)
    }

    fn proven(&self, moving: &Move, agent: &AgentSeen) -> Judgement {
        let target = match &agent.home {
            AgentHome::Homed(account) => Some(account),
            AgentHome::Linked | AgentHome::Elsewhere => None,
        };
        let changed = target.and_then(|account| self.credentials.get(account));
        // Bounded by our own clock: after a step of the host's the file may lie in the future.
        let waited = self.watches.get(&moving.session).is_some_and(|watch| {
            self.now.monotonic - watch.since >= self.config.swap.verify_timeout
        });
        let still = changed.is_none_or(|at| self.now.wall - *at >= CREDENTIALS_STILL) || waited;
        if self.is_canary(moving) && !still {
            return Judgement::Wait;
        }
        Judgement::Ended(MoveOutcome::Verified)
    }

    fn is_canary(&self, moving: &Move) -> bool {
        let goes_first = self.durable.swap.as_ref().is_some_and(|swap| {
            swap.op == moving.op
                && moving.cause == MoveCause::Swap
                && swap.phase == Phase::Flipped
                && !swap.canary_proven
        });
        goes_first || self.is_probing(moving)
    }

    /// Sent to prove an earlier target of the open swap: it says nothing of the one that is tried now,
    /// and what becomes of it is decided when the agents are saved.
    pub(in crate::core) fn is_left_over(&self, moving: &Move) -> bool {
        self.durable.swap.as_ref().is_some_and(|swap| {
            swap.op == moving.op
                && moving.cause == MoveCause::Swap
                && swap.phase < Phase::Saved
                && moving.target != swap.target
        })
    }

    /// It is on the target alone, to prove it.
    fn is_probing(&self, moving: &Move) -> bool {
        self.durable.swap.as_ref().is_some_and(|swap| {
            swap.op == moving.op && moving.cause == MoveCause::Swap && swap.phase == Phase::Probing
        })
    }

    /// Only an answer, or a long wait for one, tells of its account. A client that records none is
    /// judged by what it does.
    fn must_be_answered(&self, moving: &Move, agent: &AgentSeen) -> bool {
        let silent = matches!(self.testimony(&moving.session, agent), Testimony::None);
        self.is_probing(moving) && (agent.state != AgentState::Busy || !silent)
    }

    /// The account on which it was launched: the swap's, else the active one.
    fn verified_target(&self, moving: &Move) -> Option<AccountName> {
        match &self.durable.swap {
            Some(swap) if swap.op == moving.op && moving.cause == MoveCause::Swap => {
                Some(moving.target.clone())
            }
            Some(_) | None => self.active().cloned(),
        }
    }

    fn end_verified(&mut self, moving: &Move, outcome: MoveOutcome) {
        let (canary, probing) = (self.is_canary(moving), self.is_probing(moving));
        let answered = self.has_had_an_answer(moving);
        let verified = outcome == MoveOutcome::Verified;
        let session = moving.session.clone();
        self.end_move(&session, outcome);
        // A client that does not tell: it was launched to resume this one.
        let resumed = if verified { moving.agent.conversation.as_ref() } else { None };
        self.adopt_after_move(&session, resumed);
        if probing {
            // One that was deaf to its nudge says nothing of the account.
            if verified && answered {
                self.account_proven(&moving.target, Some(&session));
            }
            return;
        }
        if canary && verified {
            let Some(op) = self.durable.swap.as_ref().map(|swap| swap.op) else {
                return;
            };
            self.persist(Record::SwapCanaryProven { op, session: Some(session) });
        }
    }

    /// While a move is open only the agent that it has launched is adopted in its session; `resumed`: what
    /// that was launched to resume.
    pub(in crate::core) fn adopt_after_move(
        &mut self,
        session: &SessionName,
        resumed: Option<&ConversationId>,
    ) {
        let Some(agent) = self.agent_in(session) else { return };
        let mut agent = SavedAgent::from(agent);
        if agent.conversation.is_none() {
            let earlier = self.earlier_id(session, agent.process);
            agent.conversation = resumed.cloned().or(earlier);
        }
        if self.durable.agents.get(session) != Some(&agent) {
            self.persist(Record::AgentAdopted { session: session.clone(), agent });
        }
    }
}
