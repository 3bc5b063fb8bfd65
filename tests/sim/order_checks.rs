//! What must hold of every order, in the moment in which it is given.

use claude_failover::config::{Config, Group};
use claude_failover::core::action::{Action, LaunchAgent};
use claude_failover::core::durable::{OpenSwap, Phase};
use claude_failover::core::record::MoveStage;
use claude_failover::ids::SessionName;

use crate::checks::TOLD_MS;
use crate::run::Sim;

impl Sim {
    pub fn check_action(&mut self, action: &Action) {
        let config = self.config_of_core();
        let owned = |session: &SessionName| {
            assert!(config.group(session).is_some(), "{session} is not ours: {action:?}");
        };
        let swap = self.checks.shadow.swap.clone();
        let stuck = swap.as_ref().filter(|swap| swap.phase == Phase::Stuck);
        match action {
            Action::CreateSession { session, .. }
            | Action::ReadPane { session, .. }
            | Action::TellSession { session, .. } => owned(session),
            Action::LaunchAgent(launch) => owned(&launch.session),
            Action::WatchPanes { panes } => panes.iter().for_each(|(session, _)| owned(session)),
            Action::WatchAgents { panes } => panes.iter().for_each(|pane| owned(&pane.session)),
            Action::StopAgents { agents, .. } => {
                for process in agents {
                    if self.is_ended_for_a_task(process) {
                        continue;
                    }
                    self.check_choice(process.pid, swap.as_ref());
                    let session = self.world.agent_ever.get(process);
                    let name = session.expect("an agent is stopped that never was one");
                    owned(&name.parse().expect("a name of ours"));
                    self.check_stop(process.pid);
                    let of_swap =
                        stuck.is_some_and(|swap| {
                            self.checks.shadow.moves.values().any(|moving| {
                                moving.op == swap.op && moving.agent.process == *process
                            })
                        });
                    assert!(!of_swap, "a stuck swap stops {process}");
                }
            }
            Action::CheckTarget { .. } | Action::FlipLink { .. } => {
                assert!(stuck.is_none(), "a stuck swap orders {action:?}");
            }
            _ => {}
        }
        if let Action::StopAgents { agents, .. } = action {
            self.checks.ordered.extend(agents);
        }
        if let Action::LaunchAgent(launch) = action {
            self.note_launch(launch);
        }
        if let Action::FlipLink { .. } = action {
            let early = self.checks.shadow.moves.values().any(|moving| {
                let process = moving.agent.process;
                // Who has ended, though it is not on record yet, is in nobody's way.
                let lives = (self.world.agents.get(&process.pid))
                    .is_some_and(|agent| agent.process == process);
                lives
                    && moving.stage == MoveStage::Stopping
                    && Some(moving.op) == self.checks.shadow.swap.as_ref().map(|swap| swap.op)
            });
            assert!(!early, "the link is flipped before the agents are stopped");
        }
    }

    /// By choice nobody is disturbed: no operator, and nobody at work.
    fn check_choice(&self, pid: i32, swap: Option<&OpenSwap>) {
        let by_choice = swap.filter(|swap| swap.trigger.is_voluntary());
        let (Some(swap), Some(agent)) = (by_choice, self.world.agents.get(&pid)) else { return };
        let of_swap = self.checks.shadow.moves.values().any(|moving| {
            moving.op == swap.op && moving.agent.process == agent.process && !moving.refused
        });
        let ours = agent
            .session
            .parse()
            .is_ok_and(|name| self.config_of_core().group(&name) == Some(Group::Pool));
        assert!(
            !of_swap || ours || swap.phase >= Phase::Aborting || self.checks.clock_jumped,
            "pid {pid} of {} is ended by choice",
            agent.session
        );
    }

    pub fn config_of_core(&self) -> &Config {
        self.life.as_ref().map_or(&self.config, |life| &life.core.config)
    }

    /// An agent in a turn is left alone until its time is over, unless it came up in this swap.
    fn check_stop(&self, pid: i32) {
        let Some(agent) = self.world.agents.get(&pid) else { return };
        let way_back =
            self.checks.shadow.swap.as_ref().is_some_and(|swap| swap.phase >= Phase::Aborting);
        let orphan = agent.pane.is_none();
        if !self.is_in_a_turn(agent) || way_back || orphan || self.checks.clock_jumped {
            return;
        }
        // An order that was lost is given again, whatever the agent has begun meanwhile.
        let again = self.checks.ordered.contains(&agent.process);
        let over = again || self.checks.stays_over.contains(&agent.process);
        assert!(over, "pid {pid} of {} is ended in the middle of its turn", agent.session);
    }

    /// A move launches its agent once: one that is up already is found. Where a swap takes the session
    /// over before the launch is answered, nobody may know of it yet.
    pub fn check_respawn(&self, launch: &LaunchAgent, pid: i32) {
        let Some(agent) = self.world.agents.get(&pid) else { return };
        let work_of = |fence| self.checks.launches.get(&(launch.session.clone(), fence));
        let before = agent.launched_fence.and_then(work_of);
        assert!(
            before.is_none()
                || before != work_of(launch.fence)
                || agent.conversation != launch.conversation,
            "{} is launched a second time in {}",
            launch.conversation,
            launch.session
        );
    }

    fn note_launch(&mut self, launch: &LaunchAgent) {
        let shadow = &self.checks.shadow;
        if let Some(moving) = shadow.moves.get(&launch.session) {
            let work = (moving.op, shadow.swap.as_ref().map(|swap| swap.op));
            self.checks.launches.insert((launch.session.clone(), launch.fence), work);
        }
    }

    pub fn check_launch(&mut self, launch: &LaunchAgent) {
        let name = launch.session.as_str().to_owned();
        let last = self.checks.fences_run.get(&name).copied().unwrap_or(0);
        assert!(launch.fence > last, "fence {} of {name} runs after {last}", launch.fence);
        self.checks.fences_run.insert(name.clone(), launch.fence);
        for agent in self.world.agents.values() {
            let beside = self.checks.worked_in_by_hand.contains(&name)
                && agent.conversation != launch.conversation;
            assert!(
                agent.launched_fence.is_none()
                    || agent.session != name
                    || agent.pane.is_none()
                    || beside,
                "two agents of ours in {name}"
            );
            let fresh = self.now - agent.launched_at < TOLD_MS;
            // Nobody could know of it: it lost its session before its process was on record.
            let unknown = agent.pane.is_none() && !self.checks.adopted.contains(&agent.process);
            let by_hand = agent.launched_fence.is_none() && fresh || unknown;
            assert!(
                agent.conversation != launch.conversation || by_hand,
                "{} is resumed in {name} while it lives in {}",
                launch.conversation,
                agent.session
            );
        }
        self.checks.settle(&launch.session);
    }
}
