//! What must hold of the agents that a swap moves: who is saved, who is launched, who is left alone.

use std::collections::{BTreeMap, BTreeSet};

use claude_failover::core::durable::{Durable, OpenSwap, Phase};
use claude_failover::core::event::AgentHome;
use claude_failover::core::job::Job;
use claude_failover::core::record::{Move, MoveStage};
use claude_failover::core::standing::AccountState;
use claude_failover::ids::{ProcessRef, SessionName};

use crate::checks::{TOLD_MS, named_in};
use crate::run::Sim;

impl Sim {
    /// Nor do its arguments name a conversation that nobody else has and that is no task's.
    pub fn check_nameless(&self, before: &Durable, session: &SessionName) {
        let moving = &before.moves[session];
        let Some(named) = named_in(&moving.agent) else { return };
        let of_a_task = before.task_talks.contains(&named);
        let moves = before.moves.values().map(|other| &other.agent);
        let known = before.agents.values().filter(|a| a.process != moving.agent.process);
        let known = moves.chain(known).any(|agent| agent.conversation.as_ref() == Some(&named));
        let others = self.world.agents.values().filter(|a| a.process != moving.agent.process);
        let alive = others.filter(|agent| agent.conversation == named).count() > 0;
        assert!(
            of_a_task || known || alive,
            "{session} is left at its shell, started with {named}"
        );
    }

    /// Everybody on the source whom a sensor could see is in the list.
    pub fn check_saved(&self, before: &Durable, moves: &[Move]) {
        // Who wakes where it is leaves nobody behind, and by choice only the idle are moved.
        let flips = |swap: &&OpenSwap| {
            let by_choice = swap.trigger.is_voluntary();
            swap.phase == Phase::Checked && swap.source != swap.target && !by_choice
        };
        let Some(swap) = before.swap.as_ref().filter(flips) else {
            return;
        };
        let ours = |name: &SessionName| self.config_of_core().group(name).is_some();
        for (session, agent) in self.world.owned_agents(ours) {
            let alone = self.world.agents.values().filter(|a| a.session == agent.session).count();
            let leaves = agent.home == AgentHome::Linked
                || agent.home == AgentHome::Homed(swap.source.clone());
            let known = agent.filed
                && self.now - agent.launched_at > 2 * TOLD_MS
                && self.life.as_ref().is_some_and(|life| {
                    life.watched.iter().any(|pane| Some(pane.pane) == agent.pane)
                });
            // Of two in one session the other counts; it may have ended a moment ago.
            let other_counts = self.life.as_ref().is_some_and(|life| {
                let seen = life.core.sessions.get(&session).and_then(|seen| seen.agent.as_ref());
                seen.is_some_and(|seen| seen.process != agent.process)
            });
            let alone = if other_counts { 2 } else { alone };
            let is_over = before.jobs.get(&session).is_some_and(Job::is_over);
            let listed = is_over || moves.iter().any(|moving| moving.session == session);
            assert!(
                !leaves || !known || alone > 1 || agent.ending || listed,
                "the agent of {session} is left behind on {}",
                swap.source
            );
        }
    }

    /// Who stood beside it when it was saved has not come in its place.
    pub fn check_newcomer(&self, session: &SessionName) {
        let Some((life, present)) = self.checks.present.get(session) else { return };
        let of_session = |name: &String| name == session.as_str();
        let last = present.iter().map(|process| process.started_ticks).min().unwrap_or(0);
        let has_come = self.world.agent_ever.iter().any(|(process, name)| {
            of_session(name) && process.started_ticks > last && !present.contains(process)
        });
        assert!(has_come || *life != self.life_number, "{session} is left to one of {present:?}");
    }

    /// Who is in no turn when it is saved may begin one before its end is ordered.
    pub fn note_saved(&mut self, moves: &[Move]) {
        for moving in moves {
            self.note_present(&moving.session, moving.agent.process);
        }
        for moving in moves.iter().filter(|moving| moving.stage == MoveStage::Stopping) {
            let process = moving.agent.process;
            let known = self.world.agents.get(&process.pid);
            if known.is_some_and(|agent| agent.process == process && !self.is_in_a_turn(agent)) {
                self.checks.stays_over.insert(process);
            }
        }
    }

    pub fn note_present(&mut self, session: &SessionName, saved: ProcessRef) {
        let life = self.life.as_ref();
        let seen = life.and_then(|life| life.core.sessions.get(session));
        let beside = seen.map_or(&[][..], |seen| &seen.beside);
        let mut present: BTreeSet<_> = beside.iter().map(|agent| agent.process).collect();
        present.insert(saved);
        self.checks.present.insert(session.clone(), (self.life_number, present));
    }

    pub fn check_launching(&self, before: &Durable, session: &SessionName) {
        let stuck = before.swap.as_ref().is_some_and(|swap| swap.phase == Phase::Stuck);
        let mine = before.moves.get(session).map(|moving| moving.op)
            == before.swap.as_ref().map(|swap| swap.op);
        let back = before.swap.as_ref().is_some_and(|swap| {
            swap.phase == Phase::Unflipped
                && before.account_state(&swap.source) == AccountState::Exhausted
        });
        if let Some(swap) = before
            .swap
            .as_ref()
            .filter(|swap| mine && swap.phase != Phase::Probing && swap.phase < Phase::Aborting)
        {
            assert!(
                before.account_state(&swap.target) != AccountState::Unproven
                    || self.checks.clock_jumped,
                "{session} goes to {}, which nobody has proven",
                swap.target
            );
        }
        let refused = before.moves.get(session).is_some_and(|moving| moving.refused);
        assert!(!(back && refused), "{session} goes back to the account that refused it");
        assert!(!(stuck && mine), "a stuck swap launches {session}");
    }

    /// No conversation is on its way in two sessions.
    pub fn check_ids(&self) {
        let mut taken = BTreeMap::new();
        for moving in self.checks.shadow.moves.values() {
            let Some(id) = &moving.agent.conversation else { continue };
            if let Some(other) = taken.insert(id, &moving.session) {
                panic!("{id} is on its way in {other} and in {}", moving.session);
            }
        }
    }
}
