//! Stopped agents are launched again here: when it is their turn, under a fence of their own, and
//! never beside a live agent with the same conversation.

use crate::core::action::{Action, LaunchAgent, NoteLevel, OrderId};
use crate::core::args;
use crate::core::durable::Phase;
use crate::core::event::{AgentHome, AgentSeen};
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record};
use crate::core::session::Session;
use crate::core::setback::{Setback, TOLD_FROM};
use crate::core::verify::{SILENT_CLIENT_UP, Watch};
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, PaneId, SessionName};
use crate::moment::{Mono, Wall};

/// Successors that are ended for one move; the next one is left alone.
const BROUGHT_BACK_MAX: u32 = 2;

impl Core {
    /// Whether this stopped agent may be launched now, and on which account.
    fn launch_target(&self, moving: &Move) -> Option<AccountName> {
        if !self.is_in_sight(&moving.session) {
            return None;
        }
        match &self.durable.swap {
            Some(swap) if moving.op == swap.op && moving.cause == MoveCause::Swap => {
                let due = match swap.phase {
                    Phase::Probing => !self.is_left_over(moving),
                    Phase::Flipped if swap.canary_proven => true,
                    // Its session was lost after its launch.
                    Phase::Relaunched => true,
                    Phase::Flipped => self.canary(swap).as_ref() == Some(&moving.session),
                    Phase::Unflipped => !moving.refused,
                    _ => false,
                };
                (due && moving.stage != MoveStage::Held).then(|| moving.target.clone())
            }
            Some(_) => None,
            None => {
                let active = self.working_account()?;
                let another_is_first = self.durable.moves.values().any(|other| {
                    other.session != moving.session
                        && matches!(
                            other.stage,
                            MoveStage::Launching { .. } | MoveStage::Launched { .. }
                        )
                });
                // What was ordered already is only asked for again.
                let ordered = matches!(moving.stage, MoveStage::Launching { .. });
                let in_turn = ordered || !another_is_first && self.ramp_due(moving);
                in_turn.then(|| active.clone())
            }
        }
    }

    pub(in crate::core) fn launch_when_due(&mut self, moving: &Move) -> bool {
        let Some(target) = self.launch_target(moving) else {
            return false;
        };
        let session = moving.session.clone();
        if moving.agent.conversation.is_none() {
            return self.ask_who_it_was(moving);
        }
        let trouble = self.launch_troubles.get(&session);
        let rests = trouble.is_some_and(|trouble| self.now.monotonic < trouble.again_at);
        if self.unknown_until(&session).is_some_and(|until| self.now.monotonic < until) {
            return false;
        }
        if let Some(agent) = self.agent_in(&session).cloned() {
            self.settle_with_live_agent(moving, &agent, &target);
            return true;
        }
        if rests {
            return false;
        }
        let seen = self.sessions.get(&session).map_or(0, Session::fence);
        let used = self.durable.fences.get(&session).copied().unwrap_or(0);
        let fence = seen.max(used) + 1;
        if moving.cause == MoveCause::Straggler {
            self.ramp_on(moving);
        }
        self.persist(Record::MoveLaunching { session, fence });
        self.order_launch(moving, fence, &target);
        true
    }

    /// Whoever is in this session and has not said yet who it is: a client that comes up, or a last
    /// child of the one that was ended, which carries its name for a moment.
    pub(in crate::core) fn unknown_until(&self, session: &SessionName) -> Option<Mono> {
        let seen = self.sessions.get(session)?;
        let agent = seen.agent.as_ref().filter(|agent| agent.conversation.is_none())?;
        let newcomer = seen.newcomer.as_ref().filter(|n| n.process == agent.process)?;
        Some(newcomer.since + SILENT_CLIENT_UP)
    }

    /// An agent is up where one was to be launched: an earlier launch whose answer was lost, or
    /// its operator was quicker.
    fn settle_with_live_agent(&mut self, moving: &Move, agent: &AgentSeen, target: &AccountName) {
        let session = moving.session.clone();
        if agent.conversation != moving.agent.conversation {
            let reason = "another agent was started there meanwhile".to_owned();
            self.end_move(&session, MoveOutcome::Dropped { reason });
        } else if agent.home == AgentHome::Homed(target.clone()) {
            let pane = agent.pane;
            self.move_launched(&session, pane);
        } else if self.launch_troubles.contains_key(&session)
            && agent.process != moving.agent.process
        {
            // People were told that we cannot.
            let reason = "somebody has resumed it there by hand".to_owned();
            self.end_move(&session, MoveOutcome::Dropped { reason });
        } else if self.comes_back_each_time(moving) {
            let reason = "somebody brings it back each time that it is ended".to_owned();
            self.end_move(&session, MoveOutcome::Dropped { reason });
        } else {
            let process = agent.process;
            let until = self.may_finish_until(&session);
            self.persist(Record::MoveStopping { session, process, finished: false, until });
        }
    }

    /// A shell's loop, perhaps: whoever is ended for this move has a successor at once.
    fn comes_back_each_time(&mut self, moving: &Move) -> bool {
        let Some(seen) = self.sessions.get_mut(&moving.session) else { return false };
        let times = seen.brought_back.filter(|(op, _)| *op == moving.op).map_or(0, |(_, n)| n);
        seen.brought_back = Some((moving.op, times + 1));
        times >= BROUGHT_BACK_MAX
    }

    /// Up where it was before, by a launch that ran late or by hand, and at work: as anybody whom a
    /// swap finds in a turn it has its time. On the way back nobody has.
    fn may_finish_until(&self, session: &SessionName) -> Option<Wall> {
        let goes_back =
            self.durable.swap.as_ref().is_some_and(|swap| swap.phase >= Phase::Aborting);
        let stays = self.is_in_turn(session) && !goes_back;
        stays.then(|| self.now.wall + self.config.swap.busy_grace)
    }

    /// After a crash or a lost answer: the same fence again, so that it runs at most once.
    pub(in crate::core) fn launch_again(&mut self, moving: &Move, fence: u64) -> bool {
        let target = self.launch_target(moving);
        if let Some(agent) = self.launched_agent(moving, target.as_ref()).cloned() {
            // It is there: its answer is late or lost.
            let pane = agent.pane;
            self.orders.forget(&Slot::Launch(moving.session.clone()));
            self.move_launched(&moving.session, pane);
            return true;
        }
        if self.orders.is_open(&Slot::Launch(moving.session.clone())) {
            return false;
        }
        // Asked again, it would come up beside whoever is there now.
        let other = self.agent_in(&moving.session).and_then(|agent| agent.conversation.as_ref());
        if other.is_some() && other != moving.agent.conversation.as_ref() {
            let reason = "another agent was started there meanwhile".to_owned();
            self.end_move(&moving.session, MoveOutcome::Dropped { reason });
            return true;
        }
        if let Some(target) = target {
            self.order_launch(moving, fence, &target);
        }
        false
    }

    /// The agent that is to be launched, when it is seen alive already.
    fn launched_agent(&self, moving: &Move, target: Option<&AccountName>) -> Option<&AgentSeen> {
        let home = AgentHome::Homed(target?.clone());
        self.agent_in(&moving.session).filter(|agent| {
            agent.home == home
                && agent.conversation.is_some()
                && agent.conversation == moving.agent.conversation
                && agent.process != moving.agent.process
        })
    }

    fn order_launch(&mut self, moving: &Move, fence: u64, target: &AccountName) {
        let session = moving.session.clone();
        let Some(conversation) = moving.agent.conversation.clone() else {
            return;
        };
        let Some(home) = self.config.account(target).map(|account| account.home.clone()) else {
            return;
        };
        let Some(order) = self.open_order(Slot::Launch(session.clone()), Vec::new()) else {
            return;
        };
        let settings = self.agent_settings(&session);
        let nudge = self.nudge(moving);
        let argv = args::resume(
            &self.config.agent.command,
            moving.agent.args.as_deref(),
            &conversation,
            &settings,
            nudge.as_deref(),
        );
        let fallback = self.sessions.get(&session).and_then(Session::first_pane);
        self.out.push(Action::LaunchAgent(LaunchAgent {
            order,
            session,
            pane: moving.pane.or(fallback),
            fence,
            account: target.clone(),
            conversation,
            home,
            cwd: moving.agent.cwd.clone(),
            argv,
            env: self.config.agent.env.clone(),
        }));
    }

    pub(in crate::core) fn agent_launched(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<PaneId, String>,
    ) {
        if self.orders.answer(&Slot::Launch(session.clone()), order).is_none() {
            if result.is_ok() {
                // Its agent may be in a pane of its own, where nobody looks yet.
                self.out.push(Action::ObserveSessions);
            }
            return;
        }
        if !self.durable.moves.contains_key(session) {
            self.job_launched(session, result);
            return;
        }
        match result {
            Ok(pane) => {
                self.session_made(session);
                self.move_launched(session, pane);
                self.out.push(Action::ObserveSessions);
            }
            Err(why) => self.launch_failed(session, why),
        }
    }

    /// What its client shows already was passed over until now, and is not told again by itself.
    fn move_launched(&mut self, session: &SessionName, pane: PaneId) {
        self.launch_troubles.remove(session);
        // It repaints what it was refused with; who was there meanwhile may have taken a turn.
        let left = self.durable.moves.get(session).and_then(|moving| moving.left_row.clone());
        if let Some(row) = left {
            self.leave_row_once(session, &row);
        }
        let at = self.now.wall;
        self.persist(Record::MoveLaunched { session: session.clone(), pane, at });
        self.watches.insert(session.clone(), Watch::since(self.now.monotonic));
        self.out.push(Action::RereadPane { pane });
    }

    pub(in crate::core) fn launch_failed(&mut self, session: &SessionName, why: String) {
        let Some(moving) = self.durable.moves.get(session).cloned() else {
            return; // a task's: asked again with the same fence until the answer comes
        };
        if matches!(self.terminal, TerminalState::Lost { .. }) {
            return; // asked again with the same fence when the server is back
        }
        let before = self.launch_troubles.get(session);
        let changed = before.is_none_or(|known| known.why != why);
        let trouble = Setback::after(before, why, self.now.monotonic);
        let lasts = trouble.is_lasting();
        if changed || trouble.failures <= TOLD_FROM {
            let (pause_s, why) = (trouble.pause().as_secs(), &trouble.why);
            let text = format!("session={session} launch not done, again in {pause_s} s: {why}");
            self.note(NoteLevel::Warn, text);
        }
        self.launch_troubles.insert(session.clone(), trouble);
        if lasts && self.holds_up_the_swap(&moving) {
            self.end_move(session, MoveOutcome::Held);
        } else {
            self.persist(Record::MoveStopped { session: session.clone() });
        }
    }

    /// Agents that could not be launched for a while, and why.
    pub fn stuck_launches(&self) -> impl Iterator<Item = (&SessionName, &str)> {
        self.launch_troubles
            .iter()
            .filter(|(_, trouble)| trouble.is_lasting())
            .map(|(session, trouble)| (session, trouble.why.as_str()))
    }

    /// It waits for a person to mend what stands in the way of its launch.
    pub(in crate::core) fn is_stuck(&self, session: &SessionName) -> bool {
        let rests = self
            .durable
            .moves
            .get(session)
            .is_some_and(|moving| matches!(moving.stage, MoveStage::Stopped | MoveStage::Held));
        rests && self.launch_troubles.get(session).is_some_and(Setback::is_lasting)
    }
}
