//! What must hold when the troubles are over: everything comes to rest, and nothing is lost.

use std::collections::BTreeSet;

use claude_failover::config::Group;
use claude_failover::core::durable::Durable;
use claude_failover::core::event::AgentHome;
use claude_failover::core::record::MoveStage;
use claude_failover::ids::{AccountName, SessionName};

use crate::checks::{Held, REFUSED_MS, named_in};
use crate::run::Sim;
use crate::world::{Agent, Banner};

impl Sim {
    /// Why things are not at rest; `None` when they are.
    pub fn unrest(&self) -> Option<String> {
        let Some(life) = &self.life else { return Some("the daemon is down".to_owned()) };
        let core = &life.core;
        let durable = &core.durable;
        if core.draining_since.is_some() {
            return Some("it drains".to_owned());
        }
        if let Some(swap) = &durable.swap {
            return Some(format!("swap {} is open in {:?}", swap.op, swap.phase));
        }
        if !core.orders.is_empty() {
            return Some(format!("orders in flight: {:?}", core.orders));
        }
        for (session, _) in self.config.desired_sessions() {
            if !self.world.tmux.contains_key(session.as_str()) {
                return Some(format!("session {session} is missing"));
            }
        }
        let active = durable.active.as_ref()?;
        let can_work = core.working_account().is_some();
        for moving in durable.moves.values() {
            let waits = matches!(
                moving.stage,
                MoveStage::Staying { .. }
                    | MoveStage::Stopped
                    | MoveStage::Held
                    | MoveStage::Launching { .. }
            );
            if !waits || can_work {
                return Some(format!("{} is {:?} to {active}", moving.session, moving.stage));
            }
        }
        if let Some(why) = self.unrest_of_tasks() {
            return Some(why);
        }
        if let Some(agent) = self.forgotten_refused(active).filter(|_| can_work) {
            return Some(format!(
                "pid {} of {} sits refused on {:?} while {active} works",
                agent.process.pid, agent.session, agent.home
            ));
        }
        None
    }

    /// An agent of ours that was refused and stays so although the active account would work.
    pub fn forgotten_refused(&self, active: &AccountName) -> Option<&Agent> {
        if self.world.account(active).refuses_until > self.now || self.checks.clock_jumped {
            return None;
        }
        let ours = |name: &SessionName| self.config.group(name) == Some(Group::Dedicated);
        // Of two in one session the daemon follows one; the other is its operator's.
        let alone = |agent: &Agent| {
            let mut others = self.world.agents.values();
            !others.any(|other| {
                other.session == agent.session
                    && other.process != agent.process
                    && other.pane.is_some()
            })
        };
        self.world
            .owned_agents(ours)
            .filter(|(_, agent)| alone(agent))
            .find(|(_, agent)| {
                let AgentHome::Homed(home) = &agent.home else { return false };
                let shown = agent.pane.and_then(|pane| self.world.pane(pane));
                let refused =
                    shown.is_some_and(|pane| matches!(pane.banner, Some(Banner::Limit { .. })));
                let by_now = self.world.account(home).refuses_until > self.now;
                let long = self.now - agent.state_since > REFUSED_MS;
                // What an operator has released is good until somebody is refused there again.
                let released = self.checks.released.get(home);
                let long = long && released.is_none_or(|at| *at < agent.state_since);
                // So is one whose printed reset has passed, though it was printed too early.
                let back = self.checks.shadow.standing(home).cleared_at;
                let back = back.is_some_and(|at| at.0 > self.wall_of_past(agent.state_since));
                let sits = refused && by_now && long && !back;
                sits && home != active && agent.filed && !agent.old
            })
            .map(|(_, agent)| agent)
    }

    pub fn check_end(&mut self) {
        self.check_tasks_at_end();
        let Some(life) = &self.life else { return };
        let mut replayed = Durable::default();
        for record in self.disk.records() {
            replayed.apply(record).expect("the journal is ours");
        }
        assert!(replayed == life.core.durable, "the journal gives another state");
        let running: BTreeSet<Held> = self
            .world
            .owned_agents(|_| true)
            .map(|(session, agent)| (session, agent.conversation.clone()))
            .collect();
        for ((session, id), why) in &self.checks.owed {
            // One that told nobody its id is asked for that when its turn comes.
            let pending = replayed.moves.get(session).is_some_and(|moving| {
                let told = moving.agent.conversation.clone();
                told.or_else(|| named_in(&moving.agent)).as_ref() == Some(id)
            });
            let held = running.contains(&(session.clone(), id.clone()));
            let ours = self.config.group(session).is_some();
            assert!(pending || held || !ours, "{id} of {session} is lost: {why}");
        }
    }
}
