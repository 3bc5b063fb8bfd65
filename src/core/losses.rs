//! What is gone and what comes back: sessions that were lost, agents that ended by themselves, and
//! agents that were refused where no swap comes for them.

use std::time::Duration;

use crate::config::Group;
use crate::core::event::{AgentHome, AgentSeen};
use crate::core::job::{Job, JobStage};
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveOutcome, MoveStage, Record, SavedAgent};
use crate::core::session::Session;
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, OpId, SessionName};
use crate::quota::verdict::Verdict;

/// How far the start of a process, reckoned from that of the host, and a time that tmux has noted may
/// be apart for the same moment.
const CLOCKS_APART: Duration = Duration::from_secs(5);

impl Core {
    /// What becomes of the moves whose session is gone, before anybody asks what was lost with it.
    pub(in crate::core) fn moves_lost(&mut self) {
        let moves = self.durable.moves.values();
        let lost: Vec<Move> =
            moves.filter(|moving| !self.sessions.contains_key(&moving.session)).cloned().collect();
        for moving in lost {
            match moving.stage {
                MoveStage::Launching { .. } | MoveStage::Launched { .. } => {
                    self.launch_anew(&moving);
                }
                // It comes back as anybody else does who went with a session.
                MoveStage::Staying { .. } => {
                    let reason = "it went with its session while it finished its turn".to_owned();
                    self.end_move(&moving.session, MoveOutcome::Dropped { reason });
                }
                MoveStage::Stopping | MoveStage::Stopped | MoveStage::Held => {}
            }
        }
    }

    /// Under a new fence: a session made anew does not know the old one.
    fn launch_anew(&mut self, moving: &Move) {
        let (session, process) = (moving.session.clone(), self.last_process(moving));
        if self.orders.is_open(&Slot::Launch(session.clone())) {
            return; // one on its way may have made the session anew: its answer tells
        }
        self.watches.remove(&session);
        self.persist(Record::MoveStopping { session, process, finished: false, until: None });
    }

    /// The session lives and its agent does not: its operator ended it, or it ended itself; or it went
    /// with an earlier session of that name, which somebody has made anew before we saw it missing.
    pub(in crate::core) fn agent_ended(&mut self, session: &SessionName) {
        // A swap, or a move of its own, knows better what becomes of it; when that is over, the session
        // is asked about again by the listings that are still awaited.
        if self.durable.moves.contains_key(session) || self.durable.swap.is_some() {
            return;
        }
        if let Some(seen) = self.sessions.get_mut(session) {
            seen.listings_awaited = 0;
        }
        let Some(agent) = self.durable.agents.get(session).cloned() else { return };
        // What becomes of a task is asked for itself.
        if self.is_younger(session, &agent) && !self.is_of_a_task(session, &agent) {
            self.lose(session.clone(), agent);
        } else {
            self.persist(Record::AgentEnded { session: session.clone() });
            self.hits.remove(session);
        }
    }

    /// Where nothing but a task's file is still on its way, the next agent may be there already.
    fn is_of_a_task(&self, session: &SessionName, agent: &SavedAgent) -> bool {
        self.durable.jobs.get(session).is_some_and(|job| {
            !matches!(job.stage, JobStage::Closing { .. })
                || job.conversation == agent.conversation
                || job.process == Some(agent.process)
        })
    }

    /// Whether the session was made after its agent had started.
    fn is_younger(&self, session: &SessionName, agent: &SavedAgent) -> bool {
        let made = self.sessions.get(session).and_then(Session::made);
        let started = agent.started_at;
        made.zip(started).is_some_and(|(made, started)| made > started + CLOCKS_APART)
    }

    /// A session that held an agent and is gone is recorded with its time before it is remade.
    pub(in crate::core) fn record_losses(&mut self) {
        let lost: Vec<(SessionName, SavedAgent)> = self
            .durable
            .agents
            .iter()
            .filter(|(name, _)| !self.sessions.contains_key(*name))
            .filter(|(name, _)| self.config.group(name).is_some())
            .map(|(name, agent)| (name.clone(), agent.clone()))
            .collect();
        for (session, agent) in lost {
            self.lose(session, agent);
        }
    }

    fn lose(&mut self, session: SessionName, mut agent: SavedAgent) {
        self.hits.remove(&session);
        self.watches.remove(&session);
        if agent.conversation.is_none() {
            agent.conversation = self.conversation_it_was_started_with(&session, &agent);
        }
        let restored = self.is_restored_after_loss(&session)
            && agent.conversation.is_some()
            && !self.is_of_a_task(&session, &agent);
        // INVARIANT: the restore comes first; a crash between the two finds the loss again.
        if restored && !self.durable.moves.contains_key(&session) {
            self.plan_restore(&session, &agent);
        }
        let at = self.now.wall;
        self.persist(Record::SessionLost { session, at, agent: Some(agent) });
    }

    fn plan_restore(&mut self, session: &SessionName, agent: &SavedAgent) {
        if let Some((op, target)) = self.restore_numbers() {
            let (session, agent) = (session.clone(), agent.clone());
            self.persist(Record::RestorePlanned { op, session, target, agent, cut: false });
        }
    }

    pub(in crate::core) fn restore_numbers(&self) -> Option<(OpId, AccountName)> {
        let first = self.config.accounts.first().map(|account| account.name.clone());
        // It is launched on the account that is active then; this one is what we know today.
        let target = self.active().cloned().or(first)?;
        Some((OpId(self.durable.last_op.0 + 1), target))
    }

    /// Agents that work on another account than the active one and were refused there are moved
    /// alone: no swap comes for them.
    pub(in crate::core) fn rescue_refused(&mut self) -> bool {
        let Some(active) = self.working_account() else {
            return false;
        };
        let at_rest = self.durable.swap.is_none() && !self.is_paused();
        if !at_rest || self.terminal != TerminalState::Seen {
            return false;
        }
        let refused = self.hits.iter().find_map(|(session, hit)| {
            let agent = self.agent_in(session)?;
            let elsewhere = hit.account != *active
                && agent.home == AgentHome::Homed(hit.account.clone())
                && agent.conversation.is_some();
            let decided = hit.confirmed && self.is_out(&hit.account);
            let ends = self.durable.jobs.get(session).is_some_and(Job::is_over);
            // The answer to a launch that is on its way there would be taken for the move's own.
            let comes = self.orders.is_open(&Slot::Launch(session.clone()));
            let free = !self.durable.moves.contains_key(session) && !ends && !comes;
            let free = free && !self.outlives(session, agent) && self.is_of_last_turn(hit, session);
            (elsewhere && decided && free)
                .then(|| (session.clone(), hit.row.clone(), SavedAgent::from(agent)))
        });
        let failed = || self.login_failed_elsewhere(active);
        let stranded = || self.left_alone(active);
        let found = refused.or_else(failed).or_else(stranded);
        let Some((session, row, agent)) = found else { return false };
        let Some((op, target)) = self.restore_numbers() else { return false };
        self.hits.remove(&session);
        let cut = !row.is_empty();
        if cut {
            self.leave_row_once(&session, &row);
        }
        let text = format!("claude-failover: this agent is ended and resumed on {target} now");
        self.tell_if_attached(&session, text);
        self.persist(Record::RestorePlanned { op, session, target, agent, cut });
        true
    }

    /// Agents that nobody comes for: at rest on an account that is held; or cut off on the account in
    /// use, where their client was to go on by itself and did not.
    fn left_alone(&self, active: &AccountName) -> Option<(SessionName, String, SavedAgent)> {
        self.sessions.iter().find_map(|(session, seen)| {
            let agent = seen.agent.as_ref().filter(|agent| agent.conversation.is_some())?;
            let AgentHome::Homed(home) = &agent.home else { return None };
            let taken = self.durable.moves.contains_key(session)
                || self.durable.jobs.contains_key(session)
                || self.is_in_turn(session)
                || self.is_attended(session)
                || self.outlives(session, agent);
            let held = home != active && self.standing(home).held_since.is_some();
            let waits = home == active && seen.armed && self.goes_on_where_it_is(session);
            let row = match (held, waits) {
                (true, _) => String::new(),
                (false, true) => self.last_failure_in(session)?.row,
                (false, false) => return None,
            };
            (!taken).then(|| (session.clone(), row, SavedAgent::from(agent)))
        })
    }

    /// An agent at rest whose last turn ended because the login of another account fails.
    fn login_failed_elsewhere(
        &self,
        active: &AccountName,
    ) -> Option<(SessionName, String, SavedAgent)> {
        self.sessions.iter().find_map(|(session, seen)| {
            let agent = seen.agent.as_ref().filter(|agent| agent.conversation.is_some())?;
            let AgentHome::Homed(home) = &agent.home else { return None };
            let fails = home != active && self.standing(home).login.is_some();
            let ends = self.durable.jobs.get(session).is_some_and(Job::is_over);
            // The answer to a launch that is on its way there would be taken for the move's own.
            let comes = self.orders.is_open(&Slot::Launch(session.clone()));
            let free = !self.durable.moves.contains_key(session) && !ends && !comes;
            let free = free && !self.outlives(session, agent);
            let reading = self.last_failure_in(session)?;
            let by_login = reading.verdict == Verdict::AuthFailed;
            (fails && free && by_login && !self.is_in_turn(session))
                .then(|| (session.clone(), reading.row, SavedAgent::from(agent)))
        })
    }

    fn outlives(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        let seen = self.sessions.get(session);
        seen.is_some_and(|seen| seen.outlives(agent.process, self.now.monotonic))
    }

    fn is_restored_after_loss(&self, session: &SessionName) -> bool {
        match self.config.group(session) {
            Some(Group::Dedicated) => {
                self.config.dedicated(session).is_some_and(|dedicated| dedicated.resume_after_loss)
            }
            Some(Group::Pool) => true,
            None => false,
        }
    }
}
