//! What happens outside by itself: limits, broken homes, people at work, servers that die.

use std::sync::Arc;

use claude_failover::config::Group;
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AccountVerb, AgentHome, Event, StuckVerb, Verb};
use claude_failover::ids::{AccountName, ConversationId, PaneId, SessionName};

use crate::run::{Sim, Step};
use crate::world::{Account, Banner, World};

/// A session made so soon after its agent was started may be taken for the agent's own.
const CLOCKS_APART_MS: i64 = 7_000;

impl Sim {
    pub fn first_world(&mut self) {
        let wall = self.wall();
        let accounts: Vec<Account> = self
            .config
            .accounts
            .iter()
            .map(|account| Account {
                name: account.name.clone(),
                refuses_until: 0,
                broken_until: 0,
                login_fails_until: 0,
                prints_reset: true,
                limits_hit: 0,
                credentials_changed: wall - 3_600_000,
                refused_last: None,
                answered_last: None,
                used_permille: 0,
                window_ends: 0,
                prints_early_ms: 0,
            })
            .collect();
        self.world = World {
            link: accounts.first().map(|account| account.name.clone()),
            accounts,
            server_up: true,
            last_pid: 1_000,
            ..World::default()
        };
        for index in 0..self.world.accounts.len() {
            self.world.accounts[index].prints_reset = self.rng.chance(800);
            if self.rng.chance(150) {
                let early = self.rng.within(1_000..3_600_000);
                self.world.accounts[index].prints_early_ms = i64::try_from(early).expect("small");
            }
        }
        let desired = self.config.desired_sessions();
        for (session, _) in desired {
            if self.rng.chance(800) {
                self.new_pane(session.as_str());
                let by_hand = if session.as_str().starts_with("auto") { 350 } else { 850 };
                if self.rng.chance(by_hand) {
                    self.operator_starts_agent(session.as_str());
                }
            }
        }
        // Neighbours that are none of ours, one of them with an agent on the link.
        for foreign in ["other", "auto-1", "auto-99", "ded-10"] {
            if self.rng.chance(400) {
                self.new_pane(foreign);
                self.operator_starts_agent(foreign);
            }
        }
    }

    /// An agent is started by hand in the first pane of a session.
    fn operator_starts_agent(&mut self, session: &str) {
        let Some(pane) = self.world.tmux.get(session).and_then(|known| known.panes.first()) else {
            return;
        };
        let pane = pane.id;
        if self.world.agent_in_pane(pane).is_none() {
            self.operator_starts_agent_in(session, pane);
        }
    }

    fn operator_starts_agent_in(&mut self, session: &str, pane: PaneId) {
        let home = match self.rng.below(10) {
            0..=3 => AgentHome::Linked,
            4..=8 => AgentHome::Homed(self.world.link.clone().expect("a link")),
            _ => AgentHome::Elsewhere,
        };
        let conversation = self.new_conversation();
        self.agent_starts(session, pane, home, conversation);
    }

    fn new_conversation(&mut self) -> ConversationId {
        let id = self.world.new_conversation();
        if self.rng.chance(30) {
            self.world.unwritten.insert(id.clone());
        }
        id
    }

    fn owned_names(&self) -> Vec<String> {
        self.world
            .tmux
            .keys()
            .filter(|name| {
                name.parse::<SessionName>().is_ok_and(|name| self.config.group(&name).is_some())
            })
            .cloned()
            .collect()
    }

    fn some_account(&mut self) -> AccountName {
        let index = self.rng.below(self.world.accounts.len());
        self.world.accounts[index].name.clone()
    }

    /// One happening, and the next one planned.
    pub fn outside(&mut self) {
        let pause = self.trouble.pause_ms / 4 + self.rng.within(0..self.trouble.pause_ms * 3 / 2);
        self.at(pause, Step::Outside);
        if self.rng.chance(100) {
            self.world.screens_changed = true; // something is drawn again
        }
        let trouble = self.trouble;
        let kinds = [
            trouble.limit,
            trouble.home,
            trouble.operator,
            trouble.terminal,
            trouble.clock,
            trouble.reload,
            trouble.verb,
            trouble.hold,
            trouble.steer,
        ];
        let happens: Vec<bool> = kinds.iter().map(|chance| self.rng.chance(*chance)).collect();
        let acts: [fn(&mut Self); 9] = [
            Self::limit_hits,
            Self::home_breaks,
            Self::operator_acts,
            Self::terminal_trouble,
            Self::clock_trouble,
            Self::reload,
            Self::verb,
            Self::account_verb,
            Self::steer,
        ];
        for (act, happens) in acts.iter().zip(happens) {
            if happens {
                act(self);
            }
        }
    }

    fn limit_hits(&mut self) {
        let active = self.world.link.clone().expect("a link");
        let name = if self.rng.chance(700) { active } else { self.some_account() };
        if self.world.account(&name).refuses_until > self.now {
            return;
        }
        let length = if self.rng.chance(500) {
            self.rng.within(120_000..1_200_000)
        } else {
            self.rng.within(1_200_000..18_000_000)
        };
        let until = self.now + length;
        self.count("limits");
        self.say(|| format!("## {name} refuses for {} s", length / 1000));
        let account = self.world.account_mut(&name);
        account.refuses_until = until;
        account.window_ends = until;
        account.used_permille = 1_000;
        account.limits_hit += 1;
    }

    fn home_breaks(&mut self) {
        if self.rng.chance(300) {
            return self.disk_fills();
        }
        let name = self.some_account();
        let until = self.now + self.rng.within(10_000..1_200_000);
        if self.rng.chance(700) {
            self.say(|| format!("## the home of {name} breaks"));
            self.world.account_mut(&name).broken_until = until;
        } else {
            self.say(|| format!("## the login of {name} fails"));
            self.world.account_mut(&name).login_fails_until = until;
        }
    }

    /// Nothing can be written beside the journal: no launch file, no marker, no result.
    fn disk_fills(&mut self) {
        let length = self.rng.within(1_000..600_000);
        self.say(|| format!("## the disk is full for {} s", length / 1_000));
        self.count("full disks");
        self.world.disk_full_until = self.now + length;
    }

    fn operator_acts(&mut self) {
        let names = self.owned_names();
        let Some(name) = self.rng.pick(&names).cloned() else { return };
        let act = self.rng.below(9);
        self.say(|| format!("## the operator does {act} at {name}"));
        self.count("operator acts");
        match act {
            0 => self.operator_kills_session(&name),
            1 | 2 => self.exit_agents(&name),
            3 | 4 => {
                self.checks.operator_took_over(&name);
                self.operator_starts_agent(&name);
            }
            5 => self.operator_splits(&name),
            6 => {
                let to = self.some_account();
                self.checks.flipped_by_hand = Some(self.now);
                self.world.link = Some(to);
                self.world.agents_changed = true;
            }
            7 => {
                self.new_pane("other");
                self.operator_starts_agent("other");
            }
            _ => {
                let attached = u32::try_from(self.rng.below(2)).expect("small");
                let typed_at = (attached > 0).then_some(self.now);
                if let Some(session) = self.world.tmux.get_mut(&name) {
                    session.attached = attached;
                    session.typed_at = typed_at;
                }
            }
        }
    }

    pub fn new_pane(&mut self, session: &str) -> PaneId {
        let wall = self.wall();
        self.world.new_pane(session, wall)
    }

    /// For good, or to make it anew.
    fn operator_kills_session(&mut self, name: &str) {
        let wall = self.wall();
        // Nothing tells then that it is another session, be it that its agent has just begun, or that the
        // clock was set back since.
        let alive = self.world.agents.values().filter(|agent| agent.session == name);
        let known =
            self.checks.shadow.agents.iter().filter(|(session, _)| session.as_str() == name);
        let known = known.filter_map(|(_, agent)| agent.started_at);
        let at_once = alive
            .map(|agent| agent.started_wall)
            .chain(known.map(|started| started.0))
            .any(|started| wall - started < CLOCKS_APART_MS);
        self.kill_session(name);
        if self.rng.chance(400) {
            self.new_pane(name);
            if at_once {
                self.checks.operator_took_over(name);
            }
        }
    }

    /// For an editor, or for an agent beside the one that is there.
    fn operator_splits(&mut self, name: &str) {
        let pane = self.new_pane(name);
        if self.rng.chance(500) {
            if !self.world.agents.values().any(|agent| agent.session == name) {
                self.checks.operator_took_over(name);
            }
            self.checks.worked_in_by_hand.insert(name.to_owned());
            self.operator_starts_agent_in(name, pane);
        } else if let Some(pane) = self.world.pane_mut(pane) {
            pane.editor = true;
        }
    }

    fn kill_session(&mut self, name: &str) {
        self.note_loss(name);
        self.checks.session_gone(name);
        let orphans = self.world.remove_session(name);
        for pid in orphans {
            let lingers = if self.rng.chance(200) { 8_000 } else { 300 };
            let delay = self.rng.within(1..lingers);
            self.at(delay, Step::Exit { pid, prints_its_id: false });
        }
    }

    fn exit_agents(&mut self, name: &str) {
        let pids: Vec<i32> = self
            .world
            .agents
            .values()
            .filter(|agent| agent.session == name && agent.pane.is_some())
            .map(|agent| agent.process.pid)
            .collect();
        self.checks.operator_took_over(name);
        for pid in pids {
            self.agent_exits(pid, true);
        }
    }

    fn terminal_trouble(&mut self) {
        if !self.world.server_up {
            return;
        }
        let back = self.rng.within(200..60_000);
        if self.rng.chance(400) {
            self.say(|| "## the connection to the tmux server is lost".to_owned());
            if let Some(life) = &mut self.life {
                life.connected = false;
            }
            let life = self.life_number;
            self.at(back, Step::Reconnected { life });
        } else {
            self.say(|| "## the tmux server dies".to_owned());
            self.count("server deaths");
            let names: Vec<String> = self.world.tmux.keys().cloned().collect();
            for name in names {
                self.kill_session(&name);
            }
            self.world.server_up = false;
            self.at(back, Step::ServerUp);
        }
        self.terminal_event(Event::TerminalLost { reason: "gone".to_owned() });
    }

    pub fn terminal_event(&mut self, event: Event) {
        let connected = !matches!(event, Event::TerminalLost { .. });
        if let Some(life) = &mut self.life {
            life.connected = connected;
        }
        // What was drawn meanwhile is read at the next poll.
        self.world.screens_changed |= connected;
        self.tell("terminal", event);
    }

    pub fn server_up(&mut self) {
        if !self.world.server_up {
            self.world.server_up = true;
            self.say(|| "## the tmux server is back".to_owned());
            self.terminal_event(Event::TerminalConnected);
        }
    }

    pub fn reconnected(&mut self, life: u32) {
        if life == self.life_number && self.world.server_up && self.life.is_some() {
            self.terminal_event(Event::TerminalConnected);
        }
    }

    fn clock_trouble(&mut self) {
        self.checks.clock_jumped = true;
        let length = self.rng.within(1_000..7_200_000);
        let signed = i64::try_from(length).expect("small");
        match self.rng.below(3) {
            0 => self.wall_offset += signed,
            1 => self.wall_offset -= signed,
            _ => {
                self.say(|| format!("## the host sleeps for {} s", length / 1000));
                self.sleep(length);
            }
        }
        let offset = self.wall_offset / 1000;
        self.say(|| format!("## the clock is off by {offset} s"));
    }

    fn reload(&mut self) {
        let mut config = (*self.config).clone();
        if let Some(pool) = &mut config.pool.autonomous {
            pool.max = 1 + u32::try_from(self.rng.below(4)).expect("small");
            pool.min = pool.max - u32::from(self.rng.chance(300));
        }
        if self.rng.chance(200) {
            config.pool.dedicated.pop();
        }
        if config.desired_sessions().is_empty() {
            return;
        }
        config.accounts.pop(); // only a restart may take this
        self.say(|| "## the configuration changes".to_owned());
        let life = self.life_number;
        self.at(5, Step::Deliver { life, event: Event::ConfigReloaded(Arc::new(config)) });
    }

    fn verb(&mut self) {
        let life = self.life_number;
        let event = match self.rng.below(5) {
            0 => Verb::Swap { to: None }.into(),
            1 => Verb::Swap { to: Some(self.some_account()) }.into(),
            2 => Event::StopRequested,
            3 => {
                let verbs = [StuckVerb::Rollback, StuckVerb::Resume, StuckVerb::Clear];
                Verb::Stuck(verbs[self.rng.below(3)]).into()
            }
            _ => Event::ComponentExited { name: "monitor".to_owned(), error: None },
        };
        self.say(|| format!("## verb {event:?}"));
        self.at(1, Step::Deliver { life, event });
    }

    /// An operator holds, pins and releases accounts.
    fn account_verb(&mut self) {
        let life = self.life_number;
        let verbs =
            [AccountVerb::Hold, AccountVerb::Release, AccountVerb::Release, AccountVerb::Pin];
        let (verb, account) = (verbs[self.rng.below(4)], self.some_account());
        self.say(|| format!("## {verb:?} {account}"));
        self.count("account verbs");
        self.at(1, Step::Deliver { life, event: Verb::Account { verb, account }.into() });
    }

    /// Whatever an operator has set aside is released.
    fn release_accounts(&mut self) {
        let life = self.life_number;
        let Some(alive) = &self.life else { return };
        let durable = &alive.core.durable;
        let set_aside: Vec<AccountName> = self
            .world
            .accounts
            .iter()
            .map(|account| account.name.clone())
            .filter(|name| {
                durable.pinned.as_ref() == Some(name) || durable.standing(name).held_since.is_some()
            })
            .collect();
        for account in set_aside {
            let verb = AccountVerb::Release;
            self.at(1, Step::Deliver { life, event: Verb::Account { verb, account }.into() });
        }
    }

    /// In the calm somebody looks after a swap that is stuck.
    pub fn operator_verb(&mut self) {
        let stuck = self.life.as_ref().is_some_and(|life| {
            life.core.durable.swap.as_ref().is_some_and(|swap| swap.phase == Phase::Stuck)
        });
        if stuck {
            let verbs = [StuckVerb::Rollback, StuckVerb::Resume, StuckVerb::Clear];
            let verb = verbs[self.rng.below(3)];
            self.count("stuck swaps resolved");
            let life = self.life_number;
            self.at(1, Step::Deliver { life, event: Verb::Stuck(verb).into() });
        }
        self.release_accounts();
        self.resume_all();
        self.person_decides();
        self.at(20_000, Step::Verb);
    }

    /// Everything that can be mended is mended.
    pub fn heal(&mut self) {
        self.world.disk_full_until = 0;
        for account in &mut self.world.accounts {
            account.broken_until = 0;
            account.login_fails_until = 0;
        }
        self.server_up();
        if self.life.as_ref().is_some_and(|life| !life.connected) {
            self.terminal_event(Event::TerminalConnected);
        }
        let wall = self.wall();
        for account in &mut self.world.accounts {
            account.credentials_changed = wall;
        }
        self.world.agents_changed = true;
        let panes: Vec<_> = self
            .world
            .tmux
            .values()
            .flat_map(|session| &session.panes)
            .filter(|pane| pane.banner == Some(Banner::Login))
            .map(|pane| pane.id)
            .collect();
        for pane in panes {
            if let Some(pane) = self.world.pane_mut(pane) {
                pane.banner = None;
            }
        }
    }

    fn note_loss(&mut self, name: &str) {
        let Ok(session) = name.parse::<SessionName>() else { return };
        let restored = match self.config.group(&session) {
            Some(Group::Pool) => true,
            Some(Group::Dedicated) => {
                self.config.dedicated(&session).is_some_and(|known| known.resume_after_loss)
            }
            None => false,
        };
        self.checks.lost(&session, restored, &self.world);
    }
}
