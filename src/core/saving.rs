//! What a swap saves: every agent that it will touch, with its conversation, and what is to be done
//! with each. Reads the state and makes the list; the record is made by [`crate::core::swap`].

use std::collections::BTreeSet;

use crate::config::Group;
use crate::core::Core;
use crate::core::action::NoteLevel;
use crate::core::args;
use crate::core::durable::OpenSwap;
use crate::core::event::{AgentHome, AgentSeen};
use crate::core::job::Job;
use crate::core::record::{Move, MoveCause, MoveStage, SavedAgent};
use crate::core::trigger::Trigger;
use crate::ids::{ConversationId, ProcessRef, SessionName};

impl Core {
    /// Every agent that the swap will touch, and what is to be done with each.
    pub(in crate::core) fn moves_to_target(&mut self, swap: &OpenSwap) -> Vec<Move> {
        let mut moves = Vec::new();
        for (session, seen) in &self.sessions {
            let Some(agent) = &seen.agent else { continue };
            let is_over = self.durable.jobs.get(session).is_some_and(Job::is_over);
            let moves_now = self.must_move(session, agent, swap);
            if moves_now && !is_over && !self.owes_another(session, agent) {
                moves.push(self.new_move(session, agent, swap));
            }
        }
        let live: BTreeSet<SessionName> =
            moves.iter().map(|moving| moving.session.clone()).collect();
        for stopped in self.durable.moves.values() {
            // It may be one that tells nobody who it is: then by what it was started with.
            let lives = self.agent_in(&stopped.session).is_some_and(|agent| {
                stopped.agent.conversation.is_none() || !self.is_another(stopped, agent)
            });
            if live.contains(&stopped.session) || lives {
                continue;
            }
            let mut again = stopped.clone();
            again.op = swap.op;
            again.target = swap.target.clone();
            again.cause = MoveCause::Swap;
            // Its process may be alive although no pane shows it: end it by its identity.
            again.stage = MoveStage::Stopping;
            again.agent.process = self.last_process(stopped);
            moves.push(again);
        }
        self.settle_ids(&mut moves);
        moves
    }

    /// Whether an agent that we ended waits to come back to this session, and this one is another:
    /// its operator's, and not in our debt.
    fn owes_another(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        self.durable.moves.get(session).is_some_and(|moving| {
            !matches!(moving.stage, MoveStage::Staying { .. })
                && moving.agent.conversation.is_some()
                && self.is_another(moving, agent)
        })
    }

    /// By what it says, else by what it was started with: a client may not have told yet who it is.
    pub(in crate::core) fn is_another(&self, moving: &Move, agent: &AgentSeen) -> bool {
        let named = || agent.args.as_deref().and_then(args::named_conversation);
        match agent.conversation.clone().or_else(named) {
            Some(conversation) => Some(conversation) != moving.agent.conversation,
            None => !self.is_launched_by_us(agent),
        }
    }

    fn must_move(&self, session: &SessionName, agent: &AgentSeen, swap: &OpenSwap) -> bool {
        if swap.trigger.is_voluntary() {
            return self.moves_by_choice(session, agent, swap);
        }
        let flips = swap.source != swap.target;
        let home = match &agent.home {
            AgentHome::Linked if flips => return true,
            AgentHome::Linked => &swap.target,
            AgentHome::Homed(home) => home,
            AgentHome::Elsewhere => return false,
        };
        if *home == swap.target {
            let wakes = swap.trigger == Trigger::AccountReturned;
            return wakes && self.goes_on_where_it_is(session);
        }
        *home == swap.source || !self.is_usable(home)
    }

    /// By choice only who has nothing to do is moved: of an agent at work, or an operator's, nothing
    /// is in the way where it is.
    fn moves_by_choice(&self, session: &SessionName, agent: &AgentSeen, swap: &OpenSwap) -> bool {
        let leaves = match &agent.home {
            AgentHome::Homed(home) => *home == swap.source,
            AgentHome::Linked | AgentHome::Elsewhere => false,
        };
        let free = !self.durable.jobs.contains_key(session) && !self.is_attended(session);
        leaves && free && self.holds_an_idle_worker(session)
    }

    /// Refused on the account that takes requests again: it is resumed there only if it is told to go
    /// on, and not if its client goes on by itself.
    pub(in crate::core) fn goes_on_where_it_is(&self, session: &SessionName) -> bool {
        let is_told = match self.config.group(session) {
            Some(Group::Dedicated) => {
                self.config.dedicated(session).is_some_and(|dedicated| dedicated.nudge.is_some())
            }
            Some(Group::Pool) => true,
            None => false,
        };
        is_told && self.is_cut_off(session) && !self.continues_by_itself(session)
    }

    /// A move of one after the other once the swap is done: whoever is alive stays where it is till
    /// then, and is not ended before its turn.
    pub(in crate::core) fn in_a_row(&self, mut moves: Vec<Move>) -> Vec<Move> {
        let until = self.now.wall + self.config.swap.busy_grace;
        for moving in &mut moves {
            moving.cause = MoveCause::Straggler;
            let process = moving.agent.process;
            let lives = self.agent_in(&moving.session).is_some_and(|a| a.process == process);
            if lives {
                moving.stage = MoveStage::Staying { until };
            }
        }
        moves
    }

    fn new_move(&self, session: &SessionName, agent: &AgentSeen, swap: &OpenSwap) -> Move {
        let hit = self.hits.get(session);
        let in_turn = self.is_in_turn(session);
        let by_hit = hit.is_some_and(|hit| {
            Some(&hit.account) == self.account_of(&agent.home) && self.is_of_last_turn(hit, session)
        });
        // What was said before the account came back, or of its login, is no hit any more.
        let wakes = swap.trigger == Trigger::AccountReturned;
        let source_is_out = wakes || !self.is_usable(&swap.source);
        let refused = by_hit || source_is_out && self.is_cut_off(session);
        let stays = in_turn && !refused;
        let mut saved = SavedAgent::from(agent);
        let before = self.durable.moves.get(session).filter(|moving| moving.op == swap.op);
        if saved.conversation.is_none() {
            saved.conversation = self
                .earlier_id(session, agent.process)
                .or_else(|| before.and_then(|moving| moving.agent.conversation.clone()))
                .or_else(|| self.conversation_of_job(session, agent))
                .or_else(|| self.conversation_of_launch(session, agent));
        }
        let was_refused = before.is_some_and(|moving| moving.refused);
        let was_cut = before.is_some_and(|moving| moving.cut);
        let until = self.now.wall + self.config.swap.busy_grace;
        let beside = self.agents_seen_in(session).map(|other| other.process);
        let beside = beside.filter(|process| *process != agent.process).collect();
        Move {
            op: swap.op,
            session: session.clone(),
            agent: saved,
            pane: Some(agent.pane),
            target: swap.target.clone(),
            cause: if stays { MoveCause::Straggler } else { MoveCause::Swap },
            refused: refused || was_refused,
            cut: refused || in_turn || was_cut || self.owes_work(session),
            left_row: hit.map(|hit| hit.row.clone()),
            beside,
            stage: if stays { MoveStage::Staying { until } } else { MoveStage::Stopping },
        }
    }

    /// A client that comes up for a task has not said yet who it is.
    fn conversation_of_job(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
    ) -> Option<ConversationId> {
        let job = self.durable.jobs.get(session).filter(|job| job.is_out())?;
        let ours = job.launching.is_some() && self.is_launched_by_us(agent)
            || self.is_agent_of(session, agent, job);
        ours.then(|| job.conversation.clone()).flatten()
    }

    /// The same for one that was brought back a moment ago, be it by another swap or after a loss.
    fn conversation_of_launch(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
    ) -> Option<ConversationId> {
        let moving = self.durable.moves.get(session)?;
        let launched =
            matches!(moving.stage, MoveStage::Launching { .. } | MoveStage::Launched { .. });
        let is_it = launched && !self.is_another(moving, agent);
        is_it.then(|| moving.agent.conversation.clone()).flatten()
    }

    /// For one that has ended.
    pub(in crate::core) fn conversation_it_was_started_with(
        &self,
        session: &SessionName,
        agent: &SavedAgent,
    ) -> Option<ConversationId> {
        let named = agent.args.as_deref().and_then(args::named_conversation)?;
        self.is_free_for(session, agent.process, &named).then_some(named)
    }

    /// Whether that conversation may come back after this process in this session: nobody else has it, be
    /// it alive or on its way back. What was begun for a task comes back with that task or not at all.
    pub(in crate::core) fn is_free_for(
        &self,
        session: &SessionName,
        process: ProcessRef,
        conversation: &ConversationId,
    ) -> bool {
        let alive = self.sessions.keys().flat_map(|name| self.agents_seen_in(name));
        let alive = alive.filter(|other| other.process != process);
        let alive = alive.filter_map(|other| other.conversation.as_ref());
        // Who is on record here has been followed by that process.
        let ours = |name: &SessionName| name != session && self.config.group(name).is_some();
        let known = self.durable.agents.iter().filter(|(name, _)| ours(name));
        let known = known.filter_map(|(_, other)| other.conversation.as_ref());
        let moves = self.durable.moves.values().filter_map(|m| m.agent.conversation.as_ref());
        let is_taken = alive.chain(known).chain(moves).any(|other| other == conversation);
        let job = self.durable.jobs.get(session).filter(|job| job.is_out());
        let is_its_task = job.is_some_and(|job| job.conversation.as_ref() == Some(conversation));
        !is_taken && (is_its_task || !self.durable.task_talks.contains(conversation))
    }

    /// The id under which the same process was known before.
    pub(crate) fn earlier_id(
        &self,
        session: &SessionName,
        process: ProcessRef,
    ) -> Option<ConversationId> {
        let known = self.durable.agents.get(session)?;
        (known.process == process).then(|| known.conversation.clone()).flatten()
    }

    /// No two sessions get one conversation: the first by name keeps it.
    fn settle_ids(&mut self, moves: &mut [Move]) {
        let mut taken: BTreeSet<ConversationId> = BTreeSet::new();
        for moving in moves {
            let Some(id) = moving.agent.conversation.clone() else {
                continue;
            };
            if !taken.insert(id.clone()) {
                let text = format!(
                    "session={} conversation={id} is another session's: it is not resumed twice",
                    moving.session
                );
                self.note(NoteLevel::Warn, text);
                moving.agent.conversation = None;
            }
        }
    }

    /// Whether the link has been moved by this swap.
    pub(in crate::core) fn has_flipped(&self, swap: &OpenSwap) -> bool {
        self.active() != Some(&swap.source)
    }

    /// What the swap has touched so far, to be brought back to the source.
    pub(in crate::core) fn moves_back(&self, swap: &OpenSwap) -> Vec<Move> {
        let touched = self
            .durable
            .moves
            .values()
            .filter(|moving| moving.op == swap.op && moving.cause == MoveCause::Swap);
        let mut moves: Vec<Move> = touched.cloned().collect();
        for moving in &mut moves {
            let launched =
                matches!(moving.stage, MoveStage::Launching { .. } | MoveStage::Launched { .. });
            moving.target = swap.source.clone();
            moving.stage = MoveStage::Stopping;
            moving.agent.process = self.last_process(moving);
            if let Some(agent) = self.agent_in(&moving.session)
                && agent.home == AgentHome::Homed(swap.target.clone())
                && (launched || agent.conversation.is_some())
                && !self.is_another(moving, agent)
            {
                moving.agent.process = agent.process;
            }
        }
        // Before the flip nobody was launched there but by this swap: whoever else is there is at home.
        if !self.has_flipped(swap) {
            return moves;
        }
        let known: BTreeSet<SessionName> = moves.iter().map(|m| m.session.clone()).collect();
        for (session, seen) in &self.sessions {
            let Some(agent) = &seen.agent else { continue };
            let is_over = self.durable.jobs.get(session).is_some_and(Job::is_over);
            if !known.contains(session)
                && !is_over
                && agent.home == AgentHome::Homed(swap.target.clone())
            {
                let mut back = self.new_move(session, agent, swap);
                back.target = swap.source.clone();
                back.cause = MoveCause::Swap;
                back.stage = MoveStage::Stopping;
                back.refused = false;
                moves.push(back);
            }
        }
        moves
    }

    /// The process in which the conversation of this move was last seen.
    pub(in crate::core) fn last_process(&self, moving: &Move) -> ProcessRef {
        let known = self.durable.agents.get(&moving.session);
        known
            .filter(|agent| agent.conversation == moving.agent.conversation)
            .map_or(moving.agent.process, |agent| agent.process)
    }
}
