//! What the core is told of the world: dated, late, and only where it said to look.

use std::collections::BTreeMap;

use claude_failover::core::action::OrderId;
use claude_failover::core::event::{
    AgentSeen, AgentState, AgentsObserved, Event, PaneReading, PaneSeen, PaneStamp,
};
use claude_failover::ids::{PaneId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};

use crate::run::{Sim, Step};
use crate::testimony::SentTalks;
use crate::world::{Banner, DAY_MS};

/// What each sensor last said, and when its last word arrives.
#[derive(Default)]
pub struct Sent {
    agents: Option<AgentsObserved>,
    pub panes: BTreeMap<PaneId, (Reading, u32)>,
    pub talks: SentTalks,
    arrivals: BTreeMap<&'static str, u64>,
}

impl Sent {
    /// The daemon was told last of this agent with its conversation.
    pub fn has_told_of(&self, process: ProcessRef) -> bool {
        self.agents.as_ref().is_some_and(|seen| {
            let knows =
                |agent: &AgentSeen| agent.process == process && agent.conversation.is_some();
            seen.agents.iter().any(knows)
        })
    }

    /// The daemon was told of this agent's conversation file.
    pub fn has_file(&self, process: ProcessRef) -> bool {
        self.talks.get(&process).is_some_and(|said| said.ending.is_some())
    }
}

impl Sim {
    /// Delivered after everything the same source said before.
    pub fn tell(&mut self, source: &'static str, event: Event) {
        let delay = self.rng.within(1..40);
        let life = self.life_number;
        let Some(alive) = &mut self.life else { return };
        let last = alive.sent.arrivals.entry(source).or_default();
        *last = (*last).max(self.now + delay);
        let delay = *last - self.now;
        self.at(delay, Step::Deliver { life, event });
    }

    /// When the last word of this source arrives.
    pub fn told_until(&self, source: &'static str) -> u64 {
        let arrivals = self.life.as_ref().map(|life| &life.sent.arrivals);
        arrivals.and_then(|arrivals| arrivals.get(source).copied()).unwrap_or(0)
    }

    pub fn schedule_sensors(&mut self) {
        if self.life.is_none() {
            return;
        }
        if self.world.agents_changed && self.sense_agents_at.is_none() {
            self.world.agents_changed = false;
            let delay = self.rng.within(20..1_100);
            self.sense_agents_at = Some(self.now + delay);
            self.at(delay, Step::SenseAgents);
        }
        if self.world.talks_changed && self.sense_talks_at.is_none() {
            self.world.talks_changed = false;
            // A notice, or the tick when it got lost.
            let delay = if self.rng.chance(900) {
                self.rng.within(1..60)
            } else {
                self.rng.within(60..1_100)
            };
            self.sense_talks_at = Some(self.now + delay);
            self.at(delay, Step::SenseTalks);
        }
        if self.world.screens_changed && self.sense_panes_at.is_none() {
            self.world.screens_changed = false;
            let delay = self.rng.within(20..600);
            self.sense_panes_at = Some(self.now + delay);
            self.at(delay, Step::SensePanes);
        }
    }

    pub fn sense_sessions(&mut self) {
        let connected = self.life.as_ref().is_some_and(|life| life.connected);
        if !self.world.server_up || !connected {
            return;
        }
        let mut panes = Vec::new();
        for (name, session) in &self.world.tmux {
            for (index, pane) in session.panes.iter().enumerate() {
                panes.push(PaneSeen {
                    session: name.clone(),
                    session_made: Wall(session.made_wall / 1_000 * 1_000),
                    pane: pane.id,
                    leader_pid: pane.leader_pid,
                    dead: false,
                    in_mode: false,
                    active: index == 0,
                    attached: session.attached,
                    typed_at: session.typed_at.map(|at| Wall(self.wall_of_past(at))),
                    title: String::new(),
                    fence: session.fence,
                    stamp: PaneStamp::default(),
                });
            }
        }
        self.tell("terminal", Event::SessionsObserved { panes });
    }

    fn agents_now(&self, order: Option<OrderId>) -> AgentsObserved {
        let watched = self.life.as_ref().map_or(&[][..], |life| &life.watched);
        let mut agents = Vec::new();
        for pane in watched {
            for agent in self.world.agents.values().filter(|a| a.pane == Some(pane.pane)) {
                let quiet = agent.old || !agent.filed;
                agents.push(AgentSeen {
                    session: pane.session.clone(),
                    pane: pane.pane,
                    process: agent.process,
                    started_at: Wall(agent.started_wall),
                    home: agent.home.clone(),
                    conversation: (!quiet).then(|| agent.conversation.clone()),
                    state: if quiet { AgentState::Unknown } else { agent.state.clone() },
                    state_since: Wall(agent.state_since_wall),
                    args: agent.args.clone(),
                    cwd: "/work".into(),
                });
            }
        }
        AgentsObserved {
            order,
            agents,
            link: self.world.link.clone(),
            linked_foreign: self.world.linked_foreign,
            credentials_changed: self
                .world
                .accounts
                .iter()
                .map(|account| (account.name.clone(), Wall(account.credentials_changed)))
                .collect(),
        }
    }

    pub fn sense_agents(&mut self, order: Option<OrderId>) {
        let seen = self.agents_now(order);
        let Some(life) = &mut self.life else { return };
        let unordered = AgentsObserved { order: None, ..seen.clone() };
        let same = life.sent.agents.as_ref() == Some(&unordered);
        life.sent.agents = Some(unordered);
        if order.is_some() || !same {
            self.tell("watcher", Event::AgentsObserved(seen));
        }
        // Whoever is new among them is looked at in the same breath.
        self.sense_talks();
    }

    pub fn sense_panes(&mut self) {
        let connected = self.life.as_ref().is_some_and(|life| life.connected);
        if !self.world.server_up || !connected {
            return;
        }
        let screens = self.life.as_ref().map_or_else(Vec::new, |life| life.screens.clone());
        let mut readings = Vec::new();
        let mut again = false;
        for (session, pane) in screens {
            let Some(reading) = self.read(pane) else { continue };
            let Some(life) = &mut self.life else { return };
            let last = life.sent.panes.get(&pane);
            let looks = match last {
                Some((said, looks)) if *said == reading => looks + 1,
                _ => 0,
            };
            let exhausted = reading.verdict.is_exhaustion();
            // A change, and a second look at whatever looks like the end of a quota.
            if looks == 0 || exhausted && looks == 1 {
                readings.push(PaneReading { session, pane, reading: reading.clone() });
            }
            again |= exhausted && looks == 0;
            life.sent.panes.insert(pane, (reading, looks));
        }
        if again && self.sense_panes_at.is_none() {
            self.sense_panes_at = Some(self.now + 500);
            self.at(500, Step::SensePanes);
        }
        if !readings.is_empty() {
            self.tell("monitor", Event::PanesObserved(readings));
        }
    }

    fn read(&self, pane: PaneId) -> Option<Reading> {
        let pane = self
            .world
            .tmux
            .values()
            .flat_map(|session| &session.panes)
            .find(|candidate| candidate.id == pane)?;
        let mut reading = Reading::clear();
        reading.last_user_row.clone_from(&pane.last_user_row);
        reading.resume_ids.clone_from(&pane.resume_ids);
        match &pane.banner {
            None => {}
            Some(Banner::Limit { row, resets }) => {
                // The client prints a time of day; the reader takes its next occurrence.
                let resets_at = resets.map(|at| {
                    let now = self.wall();
                    let past = (now - at).max(0);
                    let days = if at > now { 0 } else { past / DAY_MS + 1 };
                    let early = if at > now { (at - now) / DAY_MS } else { 0 };
                    Wall(at + (days - early) * DAY_MS)
                });
                reading.verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
                reading.rule = "limit".to_owned();
                reading.row.clone_from(row);
            }
            Some(Banner::Login) => {
                reading.verdict = Verdict::AuthFailed;
                reading.row = "Please run /login".to_owned();
            }
            Some(Banner::NoConversation(id)) => reading.missing_conversation = Some(id.clone()),
        }
        Some(reading)
    }
}
