//! How orders become effects: late, lost, failed, doubled, or after the death of who gave them.

use claude_failover::core::action::{Action, LaunchAgent, OrderId};
use claude_failover::core::event::{Event, ProbeEnd};
use claude_failover::core::record::Record;
use claude_failover::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName};
use claude_failover::quota::verdict::{Reading, Verdict};

use crate::run::{Sim, Step};
use crate::world::Pane;

/// The reason given for what was not done.
pub const FAULT: &str = "a fault of the simulation";

/// What befalls one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Fine,
    /// Done, and nobody hears of it.
    AnswerLost,
    /// Not done, and nobody hears of it.
    Swallowed,
    /// Answered after this many milliseconds more.
    Late(u64),
    Doubled,
    /// Not done, and said so.
    Failed,
    /// Said to be unknown or failed, and done some milliseconds later all the same.
    Ghost(u64),
}

impl Sim {
    fn fate(&mut self, action: &Action) -> Fate {
        let trouble = match action {
            Action::FlipLink { .. } => self.trouble.flip,
            Action::CheckTarget { .. } => self.trouble.home,
            _ => self.trouble.answer,
        };
        if !self.rng.chance(trouble) {
            return Fate::Fine;
        }
        self.count("faults");
        match self.rng.below(6) {
            0 => Fate::AnswerLost,
            1 => Fate::Swallowed,
            2 => Fate::Late(self.rng.within(1_000..45_000)),
            3 => Fate::Doubled,
            4 => Fate::Failed,
            // Files are moved or are not, and their owner does one thing after the other.
            _ if of_files(action) || is_for_a_task(action) => Fate::Failed,
            // Who cannot end a process says so only after a last look at it.
            _ if matches!(action, Action::StopAgents { .. }) => Fate::AnswerLost,
            // A rename has happened or has not.
            _ if matches!(action, Action::FlipLink { .. }) => Fate::Failed,
            _ => Fate::Ghost(self.rng.within(10..30_000)),
        }
    }

    /// Hands one order to its executor.
    pub fn order(&mut self, action: Action) {
        let life = self.life_number;
        self.say(|| format!("   > {}", brief(&action)));
        match action {
            Action::WatchAgents { panes } => {
                if let Some(life) = &mut self.life {
                    life.watched = panes;
                    life.sent.talks.clear();
                    self.world.agents_changed = true;
                }
            }
            Action::WatchPanes { panes } => {
                if let Some(life) = &mut self.life {
                    life.screens = panes;
                    self.world.screens_changed = true;
                }
            }
            Action::RereadPane { pane } => {
                if let Some(life) = &mut self.life {
                    life.sent.panes.remove(&pane);
                    self.world.screens_changed = true;
                }
            }
            Action::ReadTranscript { session } => {
                // Asked for, it is said once more.
                let of_session = |process: &ProcessRef| {
                    let agent = self.world.agents.get(&process.pid);
                    agent.is_some_and(|agent| agent.session == session.as_str())
                };
                if let Some(life) = &mut self.life {
                    life.sent.talks.retain(|process, _| !of_session(process));
                }
                self.world.talks_changed = true;
            }
            Action::ApplyConfig(config) => {
                self.checks.reconfigured(&config);
                self.config = config;
            }
            Action::Stop => {
                self.persisted(Record::CleanStop);
                self.count("clean stops");
                self.end_life();
            }
            Action::Persist(_)
            | Action::Note { .. }
            | Action::Answer { .. }
            | Action::TellSession { .. } => {}
            Action::HoldTasks { .. } => {
                if let Some(life) = &mut self.life {
                    life.said.held = true;
                }
            }
            Action::ReloadConfig
            | Action::ObserveSessions
            | Action::ObserveAgents { .. }
            | Action::CheckTarget { .. }
            | Action::StopAgents { .. }
            | Action::FlipLink { .. }
            | Action::ProbeAccount { .. }
            | Action::CreateSession { .. }
            | Action::LaunchAgent(_)
            | Action::ReadPane { .. }
            | Action::ClaimTask { .. }
            | Action::ReleaseTask { .. }
            | Action::CloseTask { .. }
            | Action::ClearSignals { .. }
            | Action::ReadConversation { .. }
            | Action::HandleDialog { .. } => {
                if let Action::StopAgents { agents, .. } = &action {
                    self.note_ended_for_tasks(agents);
                }
                let fate = self.fate(&action);
                let mut delay = self.rng.within(3..200);
                if of_files(&action)
                    && let Some(life) = &mut self.life
                {
                    let last = &mut life.said.last_order_at;
                    *last = (*last).max(self.now + delay);
                    delay = *last - self.now;
                }
                self.at(delay, Step::Effect { life, action, fate });
            }
        }
    }

    pub fn answer(&mut self, life: u32, fate: Fate, event: Event) {
        let mut delay = self.rng.within(1..30);
        if matches!(event, Event::SignalsCleared { .. }) {
            // By the same thread that said before what it had seen there.
            delay += self.told_until("watcher").saturating_sub(self.now);
        }
        let late = match fate {
            Fate::AnswerLost | Fate::Swallowed => return,
            Fate::Late(more) => more,
            Fate::Fine | Fate::Doubled | Fate::Failed | Fate::Ghost(_) => 0,
        };
        if fate == Fate::Doubled {
            let again = self.rng.within(1..20_000);
            self.at(delay + again, Step::Deliver { life, event: event.clone() });
        }
        self.at(delay + late, Step::Deliver { life, event });
    }

    /// The moment at which the order takes effect.
    pub fn effect(&mut self, life: u32, action: &Action, fate: Fate) {
        let orphaned = life != self.life_number || self.life.is_none();
        if orphaned && self.rng.chance(500) {
            return;
        }
        if fate == Fate::Swallowed {
            return;
        }
        let full = self.world.disk_full_until > self.now && writes_a_file(action);
        let fate = if full { Fate::Failed } else { fate };
        if let Fate::Ghost(after) = fate {
            let action = action.clone();
            let removals = self.world.removals;
            self.at(after, Step::Ghost { life, action, removals });
        }
        let is_done = !matches!(fate, Fate::Failed | Fate::Ghost(_));
        let failed = || FAULT.to_owned();
        let event = match action {
            Action::ObserveSessions => {
                if is_done {
                    self.sense_sessions();
                }
                return;
            }
            Action::ObserveAgents { order } => {
                if is_done && !orphaned {
                    self.sense_agents(Some(*order));
                }
                return;
            }
            Action::ReloadConfig => Event::ConfigReloaded(self.config.clone()),
            Action::CheckTarget { order, account } => {
                let broken = self.world.account(account).broken_until > self.now;
                let good = is_done && !broken;
                let result = if good { Ok(()) } else { Err("home is broken".to_owned()) };
                Event::TargetChecked { order: *order, result }
            }
            Action::ProbeAccount { order, account } => {
                let result = if is_done { self.probe(account) } else { Err(failed()) };
                Event::AccountProbed { order: *order, account: account.clone(), result }
            }
            Action::StopAgents { order, agents } => {
                self.stop_agents(life, fate, *order, agents, is_done);
                return;
            }
            Action::FlipLink { order, to } => {
                let result = if is_done { self.flip(to) } else { Err(failed()) };
                Event::LinkFlipped { order: *order, result }
            }
            Action::CreateSession { order, session, .. } => {
                let result = if is_done { self.create(session) } else { Err(failed()) };
                Event::SessionCreated { order: *order, session: session.clone(), result }
            }
            // Who finds that it ran before does not say that it has not.
            Action::LaunchAgent(launch) if !is_done && self.ran_before(launch) => return,
            Action::LaunchAgent(launch) => {
                let result = if is_done { self.launch(launch) } else { Err(failed()) };
                let (order, session) = (launch.order, launch.session.clone());
                Event::AgentLaunched { order, session, result }
            }
            Action::ReadPane { order, session, pane } => {
                let result = if is_done { self.resume_rows(*pane) } else { Err(failed()) };
                Event::PaneRead { order: *order, session: session.clone(), result }
            }
            other => match self.task_effect(life, other, fate) {
                Some(event) => event,
                None => return,
            },
        };
        self.answer(life, fate, event);
    }

    /// A command that waits in the tmux server dies with it, and does nothing to a pane that is
    /// gone.
    pub fn ghost(&mut self, life: u32, action: &Action, removals: u32) {
        if removals == self.world.removals {
            self.count("ghosts");
            self.say(|| format!("   ghost: {}", brief(action)));
            match action {
                Action::LaunchAgent(launch) => self.withdrawn_launch_runs(launch),
                _ => self.effect(life, action, Fate::AnswerLost),
            }
        }
    }

    /// A launch counts as not done only when its file was withdrawn: the command that runs later starts
    /// nobody, but its fence is there.
    fn withdrawn_launch_runs(&mut self, launch: &LaunchAgent) {
        let name = launch.session.as_str();
        if !self.world.tmux.contains_key(name) {
            self.new_pane(name);
        }
        let session = self.world.tmux.entry(name.to_owned()).or_default();
        session.fence = session.fence.max(Some(launch.fence));
    }

    fn stop_agents(
        &mut self,
        life: u32,
        fate: Fate,
        order: OrderId,
        agents: &[ProcessRef],
        is_done: bool,
    ) {
        let (mut survivors, mut left_behind) = (Vec::new(), Vec::new());
        let mut longest = 0;
        for process in agents {
            let Some(agent) = self.world.agents.get(&process.pid) else { continue };
            if agent.process != *process {
                continue;
            }
            if agent.unkillable || !is_done {
                survivors.push((*process, "it does not end".to_owned()));
                if let Some(agent) = self.world.agents.get_mut(&process.pid) {
                    agent.survived = true;
                }
                continue;
            }
            let agent = agent.clone();
            // One whose session has left the configuration meanwhile is its operator's.
            let session = agent.session.parse::<SessionName>();
            let ours = session.is_ok_and(|name| self.config_of_core().group(&name).is_some());
            if ours && !self.is_over_for(&agent) {
                self.checks.stopped(&agent);
            }
            if self.rng.chance(20) && self.calm.is_none() {
                left_behind.push((*process, "a tool of its does not end".to_owned()));
            }
            let grace = self.rng.within(30..3_200);
            longest = longest.max(grace);
            let prints_its_id = self.rng.chance(800);
            self.at(grace, Step::Exit { pid: process.pid, prints_its_id });
            if let Some(agent) = self.world.agents.get_mut(&process.pid) {
                agent.turn += 1;
                agent.ending = true;
            }
        }
        let event = Event::AgentsStopped { order, survivors, left_behind };
        let late = match fate {
            Fate::AnswerLost => return,
            Fate::Late(more) => more,
            _ => 0,
        };
        self.at(longest + 5 + late, Step::Deliver { life, event: event.clone() });
        if fate == Fate::Doubled {
            self.at(longest + 5_000, Step::Deliver { life, event });
        }
    }

    fn probe(&mut self, account: &AccountName) -> Result<ProbeEnd, String> {
        self.count("probes");
        let now = self.now;
        let truth = self.world.account_mut(account);
        if truth.login_fails_until > now {
            return Ok(ProbeEnd::Refused(Reading {
                verdict: Verdict::AuthFailed,
                row: "Please run /login".to_owned(),
                ..Reading::clear()
            }));
        }
        if truth.refuses_until > now {
            truth.refused_last = Some(now);
            return Ok(ProbeEnd::Refused(self.refusal_of(account)));
        }
        truth.answered_last = Some(now);
        Ok(ProbeEnd::Answered)
    }

    fn flip(&mut self, to: &AccountName) -> Result<(), String> {
        self.say(|| format!("   link -> {to}"));
        self.world.link = Some(to.clone());
        self.world.agents_changed = true;
        Ok(())
    }

    fn create(&mut self, session: &SessionName) -> Result<PaneId, String> {
        if !self.world.server_up {
            return Err("no server".to_owned());
        }
        if let Some(known) = self.world.tmux.get(session.as_str()) {
            return known.panes.first().map(|pane| pane.id).ok_or("no pane".to_owned());
        }
        Ok(self.new_pane(session.as_str()))
    }

    fn ran_before(&self, launch: &LaunchAgent) -> bool {
        let session = self.world.tmux.get(launch.session.as_str());
        session.is_some_and(|session| session.fence == Some(launch.fence))
    }

    fn launch(&mut self, launch: &LaunchAgent) -> Result<PaneId, String> {
        if !self.world.server_up {
            return Err("not done: no server".to_owned());
        }
        let name = launch.session.as_str();
        let session = self.world.tmux.get(name).cloned().unwrap_or_default();
        let reached = session.fence.unwrap_or(0);
        if reached == launch.fence {
            let before = |pane: &&Pane| pane.launched_fence == Some(launch.fence);
            let pane = session.panes.iter().find(before).map(|pane| pane.id);
            return pane.ok_or_else(|| "it ran, but its pane is gone".to_owned());
        }
        if reached > launch.fence {
            return Err("not done: the fence is beyond".to_owned());
        }
        let wanted = session.panes.iter().find(|pane| Some(pane.id) == launch.pane);
        let earlier = session.panes.iter().filter(|pane| pane.launched_fence.is_some());
        let free = wanted.into_iter().chain(earlier).find(|pane| {
            let agent = self.world.agent_in_pane(pane.id);
            !pane.editor && agent.is_none_or(|agent| agent.launched_fence.is_some())
        });
        let pane = match free {
            Some(pane) => {
                let killed = self.world.agent_in_pane(pane.id).map(|agent| agent.process.pid);
                if let Some(pid) = killed {
                    self.check_respawn(launch, pid);
                    self.count("agents killed by a respawn");
                    self.world.end_agent(pid, false);
                }
                let pid = self.world.new_pid();
                let id = pane.id;
                if let Some(pane) = self.world.pane_mut(id) {
                    pane.leader_pid = pid;
                }
                id
            }
            None => self.new_pane(name),
        };
        if let Some(pane) = self.world.pane_mut(pane) {
            pane.launched_fence = Some(launch.fence);
            pane.resume_ids.clear();
        }
        self.world.tmux.entry(name.to_owned()).or_default().fence = Some(launch.fence);
        self.check_launch(launch);
        self.agent_launched_by_core(launch, pane);
        self.count("launches");
        Ok(pane)
    }

    fn resume_rows(&self, pane: PaneId) -> Result<Vec<ConversationId>, String> {
        self.world
            .tmux
            .values()
            .flat_map(|session| &session.panes)
            .find(|candidate| candidate.id == pane)
            .map(|pane| pane.resume_ids.clone())
            .ok_or_else(|| "no such pane".to_owned())
    }
}

/// What it may start later is withdrawn before anybody is told that it was not done.
fn is_for_a_task(action: &Action) -> bool {
    matches!(action, Action::LaunchAgent(launch) if launch.argv.iter().any(|arg| arg == "--session-id"))
}

/// Orders to the owners of files, which take them in turn.
fn of_files(action: &Action) -> bool {
    matches!(
        action,
        Action::ClaimTask { .. }
            | Action::ReleaseTask { .. }
            | Action::CloseTask { .. }
            | Action::ClearSignals { .. }
            | Action::ReadConversation { .. }
    )
}

/// A marker is taken away without room.
fn writes_a_file(action: &Action) -> bool {
    matches!(action, Action::LaunchAgent(_) | Action::ClaimTask { .. } | Action::CloseTask { .. })
}

/// One line for the history.
fn brief(action: &Action) -> String {
    match action {
        Action::WatchAgents { panes } => {
            let names: Vec<String> =
                panes.iter().map(|pane| format!("{}{}", pane.session, pane.pane)).collect();
            format!("WatchAgents {}", names.join(" "))
        }
        Action::WatchPanes { panes } => {
            let names: Vec<String> =
                panes.iter().map(|(session, pane)| format!("{session}{pane}")).collect();
            format!("WatchPanes {}", names.join(" "))
        }
        Action::LaunchAgent(launch) => format!(
            "LaunchAgent {:?} {} pane={:?} fence={} account={} id={}",
            launch.order,
            launch.session,
            launch.pane,
            launch.fence,
            launch.account,
            &launch.conversation.as_str()[30..]
        ),
        Action::ApplyConfig(_) => "ApplyConfig".to_owned(),
        other => format!("{other:?}"),
    }
}
