//! How the agents in the panes behave: turns, refusals, dialogs, ends.

use claude_failover::core::action::LaunchAgent;
use claude_failover::core::event::{AgentHome, AgentState};
use claude_failover::ids::{AccountName, ConversationId, PaneId, ProcessRef};
use claude_failover::quota::report::News;

use crate::run::{Sim, Step};
use crate::tasks::Manner;
use crate::testimony::TurnEnd;
use crate::world::{Agent, Banner};

const MINUTE_MS: i64 = 60_000;

impl Sim {
    /// An agent starts in a pane; nothing of it is on disk yet.
    pub fn agent_starts(
        &mut self,
        session: &str,
        pane: PaneId,
        home: AgentHome,
        conversation: ConversationId,
    ) -> i32 {
        let pid = self.world.new_pid();
        self.world.ticks += 1;
        let process = ProcessRef { pid, started_ticks: self.world.ticks };
        let old = self.rng.chance(30);
        let resumes = self.rng.chance(500);
        let named = if resumes {
            vec!["--resume".to_owned(), conversation.to_string()]
        } else {
            Vec::new()
        };
        let agent = Agent {
            process,
            session: session.to_owned(),
            pane: Some(pane),
            home,
            conversation,
            old,
            writes: self.rng.chance(850),
            started_wall: self.wall(),
            filed: false,
            state: AgentState::Idle,
            state_since_wall: self.wall(),
            state_since: self.now,
            args: self.rng.chance(900).then_some(named),
            launched_fence: None,
            launched_at: self.now,
            turn: 0,
            unkillable: self.rng.chance(5) && self.calm.is_none(),
            survived: false,
            busy_told: false,
            ending: false,
            prompt: None,
            assignment: None,
        };
        if let Some(pane) = self.world.pane_mut(pane) {
            // It paints its own screen over what its predecessor left.
            pane.banner = None;
            pane.last_user_row = None;
        }
        self.world.agent_ever.insert(process, session.to_owned());
        self.world.agents.insert(pid, agent);
        self.world.agents_changed = true;
        let delay = self.rng.within(200..2_500);
        self.at(delay, Step::Filed { pid });
        pid
    }

    pub fn agent_launched_by_core(&mut self, launch: &LaunchAgent, pane: PaneId) {
        let home = AgentHome::Homed(launch.account.clone());
        let conversation = launch.conversation.clone();
        let pid = self.agent_starts(launch.session.as_str(), pane, home, conversation.clone());
        let fresh = launch.argv.iter().any(|arg| arg == "--session-id");
        let assignment = self.assignment(&conversation, fresh);
        assert!(!fresh || assignment.is_some(), "a new agent without a task");
        if let Some(agent) = self.world.agents.get_mut(&pid) {
            agent.launched_fence = Some(launch.fence);
            agent.args = agent.args.is_some().then(|| launch.argv[1..].to_vec());
            agent.writes |= assignment.is_some();
            agent.assignment = assignment;
            let prompt = launch.argv.last().filter(|last| fresh || last.contains("o on"));
            agent.prompt = prompt.cloned();
        }
        let banner = if self.rng.chance(500) {
            self.last_banner.get(conversation.as_str()).cloned()
        } else {
            None
        };
        let unwritten = self.world.unwritten.contains(&conversation);
        let fails_at_once = self.rng.chance(self.trouble.launch / 4);
        if let Some(pane) = self.world.pane_mut(pane) {
            pane.banner = banner;
            pane.last_user_row = Some("what was asked before".to_owned());
            if unwritten {
                pane.banner = Some(Banner::NoConversation(conversation));
            }
        }
        if unwritten || fails_at_once {
            self.count("launches that fail at once");
            self.at(300, Step::Exit { pid, prints_its_id: false });
        }
    }

    /// Its session file is there, and what it was launched with begins.
    pub fn agent_filed(&mut self, pid: i32) {
        let Some(agent) = self.world.agents.get_mut(&pid) else { return };
        agent.filed = true;
        self.world.agents_changed = true;
        let (pane, home) = (agent.pane, agent.home.clone());
        let prompt = agent.prompt.clone();
        if self.rng.chance(self.trouble.launch / 4) {
            self.count("dialogs");
            let dialog = ["dialog open", "trust", "permission"][self.rng.below(3)];
            self.set_state(pid, AgentState::Waiting(dialog.to_owned()));
            if dialog == "permission" && prompt.is_none() {
                self.writes_prompt(pid); // it asks in the middle of a turn
            }
            let stays = self.rng.within(500..60_000);
            self.plan_turn(pid, stays);
            return;
        }
        let login_fails = self
            .world
            .account_of(&home)
            .is_some_and(|name| self.world.account(&name).login_fails_until > self.now);
        let silent = self.world.agents.get(&pid).is_some_and(|agent| !agent.writes);
        if login_fails
            && silent
            && let Some(pane) = pane.and_then(|id| self.world.pane_mut(id))
        {
            pane.banner = Some(Banner::Login);
            return;
        }
        if prompt.is_some() && !self.takes_task(pid) {
            return; // deaf
        }
        if prompt.is_some() {
            self.reports(pid, News::SessionStarted { source: "resume".to_owned() });
            self.prompt_taken(pid);
            self.show(pane, None, prompt);
            self.begin_turn(pid);
        } else if !self.works_on_a_task(pid) {
            let pause = self.pause_before_turn();
            self.plan_turn(pid, pause);
        }
    }

    fn has_prompt(&self, pid: i32) -> bool {
        self.world.agents.get(&pid).is_some_and(|agent| agent.prompt.is_some())
    }

    fn prompt_taken(&mut self, pid: i32) {
        if let Some(agent) = self.world.agents.get_mut(&pid) {
            agent.prompt = None;
        }
    }

    /// Nobody types to an agent that has a task.
    fn works_on_a_task(&self, pid: i32) -> bool {
        self.world.agents.get(&pid).is_some_and(|agent| agent.assignment.is_some())
    }

    fn dies_at_work(&mut self, pid: i32) -> bool {
        let assigned = self.world.agents.get(&pid).and_then(|agent| agent.assignment.as_ref());
        let dies = assigned.is_some_and(|assigned| assigned.manner == Manner::DiesAtWork);
        dies && self.rng.chance(400)
    }

    fn pause_before_turn(&mut self) -> u64 {
        self.rng.within(5_000..400_000)
    }

    pub fn plan_turn(&mut self, pid: i32, delay: u64) {
        let Some(agent) = self.world.agents.get_mut(&pid) else { return };
        agent.turn += 1;
        let turn = agent.turn;
        self.at(delay, Step::Turn { pid, turn });
    }

    fn set_state(&mut self, pid: i32, state: AgentState) {
        let (now, wall) = (self.now, self.wall());
        self.world.set_state(pid, state, now, wall);
    }

    fn begin_turn(&mut self, pid: i32) {
        self.set_state(pid, AgentState::Busy);
        self.writes_prompt(pid);
        let refused = self.is_refused(pid);
        if !refused && let Some(agent) = self.world.agents.get(&pid) {
            // New rows come below the banner: no resume repaints it as the last one.
            self.last_banner.remove(agent.conversation.as_str());
        }
        if !refused {
            self.answered(pid); // its request is taken; the answer may take its time
        }
        let delay = if refused { 400 } else { self.rng.within(2_000..60_000) };
        self.plan_turn(pid, delay);
    }

    fn is_refused(&self, pid: i32) -> bool {
        self.world
            .agents
            .get(&pid)
            .and_then(|agent| self.world.account_of(&agent.home))
            .is_some_and(|name| self.world.account(&name).refuses_until > self.now)
    }

    /// The next thing that this agent does by itself.
    pub fn agent_turn(&mut self, pid: i32, turn: u64) {
        let Some(agent) = self.world.agents.get(&pid).filter(|agent| agent.turn == turn) else {
            return;
        };
        let (state, pane, home) = (agent.state.clone(), agent.pane, agent.home.clone());
        match state {
            AgentState::Busy => {
                if self.dies_at_work(pid) {
                    self.count("agents that die at work");
                    self.agent_exits(pid, false);
                } else if self.is_refused(pid) {
                    self.refuse(pid);
                } else if self.login_fails(pid) {
                    self.writes_end(pid, TurnEnd::Login, None);
                    self.set_state(pid, AgentState::Idle);
                    if !self.works_on_a_task(pid) {
                        let pause = self.pause_before_turn();
                        self.plan_turn(pid, pause);
                    }
                } else if self.rng.chance(if self.calm.is_some() { 700 } else { 300 }) {
                    self.end_turn(pid, pane);
                    if !self.works_on_a_task(pid) {
                        let pause = self.pause_before_turn();
                        self.plan_turn(pid, pause);
                    }
                } else if self.rng.chance(self.trouble.launch / 2) {
                    self.set_state(pid, AgentState::Waiting("permission".to_owned()));
                    let stays = self.rng.within(1_000..90_000);
                    self.plan_turn(pid, stays);
                } else {
                    self.show(pane, None, None);
                    self.writes_progress(pid);
                    let delay = self.rng.within(2_000..40_000);
                    self.plan_turn(pid, delay);
                }
            }
            AgentState::Idle => {
                let refused_lately = self.is_refused(pid);
                if let Some(name) = self.world.account_of(&home) {
                    let _ = refused_lately;
                    let wall = self.wall();
                    if self.rng.chance(100) {
                        self.world.account_mut(&name).credentials_changed = wall;
                    }
                }
                let row = format!("do thing {}", self.now);
                self.show(pane, None, Some(row));
                self.begin_turn(pid);
            }
            AgentState::Waiting(_) if self.has_prompt(pid) => {
                self.prompt_taken(pid);
                if self.takes_task(pid) {
                    self.show(pane, None, None);
                    self.begin_turn(pid);
                } else {
                    self.set_state(pid, AgentState::Idle);
                }
            }
            AgentState::Waiting(_) => {
                self.show(pane, None, None);
                self.set_state(pid, AgentState::Busy);
                self.plan_turn(pid, 1_000);
            }
            AgentState::Unknown => {}
        }
    }

    fn show(&mut self, pane: Option<PaneId>, banner: Option<Banner>, user_row: Option<String>) {
        if let Some(pane) = pane.and_then(|id| self.world.pane_mut(id)) {
            pane.banner = banner;
            if user_row.is_some() {
                pane.last_user_row = user_row;
            }
        }
    }

    fn login_fails(&self, pid: i32) -> bool {
        self.world
            .agents
            .get(&pid)
            .filter(|agent| agent.writes)
            .and_then(|agent| self.world.account_of(&agent.home))
            .is_some_and(|name| self.world.account(&name).login_fails_until > self.now)
    }

    /// A turn ends well, or in a throttle; now and then its answer begins like a banner.
    fn end_turn(&mut self, pid: i32, pane: Option<PaneId>) {
        let writes = self.world.agents.get(&pid).is_some_and(|agent| {
            // Its first record may come a moment after its screen, which decides until then.
            let told = self.life.as_ref().is_some_and(|life| life.sent.has_file(agent.process));
            agent.writes && agent.filed && !agent.old && told
        });
        let (mut end, mut painted) = (TurnEnd::Answer, None);
        if writes && self.rng.chance(60) {
            self.count("answers that look like a banner");
            let resets = Some(self.wall() + 2 * 60 * MINUTE_MS);
            let row = "You've hit your session limit · resets soon".to_owned();
            painted = Some(Banner::Limit { row, resets });
        } else if self.rng.chance(40) {
            self.count("throttles");
            end = TurnEnd::Throttle;
        }
        if end == TurnEnd::Answer {
            self.finishes_task(pid);
        }
        self.writes_end(pid, end, None);
        self.show(pane, painted, None);
        self.set_state(pid, AgentState::Idle);
    }

    fn refuse(&mut self, pid: i32) {
        let Some(agent) = self.world.agents.get(&pid) else { return };
        let (pane, conversation) = (agent.pane, agent.conversation.clone());
        let Some(account) = self.world.account_of(&agent.home) else { return };
        let banner = self.banner(&account);
        let now = self.now;
        self.world.account_mut(&account).refused_last = Some(now);
        self.count("refusals");
        self.say(|| format!("   pid {pid} is refused by {account}"));
        self.last_banner.insert(conversation.as_str().to_owned(), banner.clone());
        self.writes_end(pid, TurnEnd::Refusal, Some(&banner));
        self.show(pane, Some(banner), None);
        self.set_state(pid, AgentState::Idle);
        if self.works_on_a_task(pid) {
            return;
        }
        // A person may try again after a while.
        let pause = self.rng.within(60_000..900_000);
        self.plan_turn(pid, pause);
    }

    /// What the client prints for a refusal of this account now.
    pub fn banner(&self, account: &AccountName) -> Banner {
        let account = self.world.account(account);
        if !account.prints_reset {
            return Banner::Limit { row: "You've hit your usage limit".to_owned(), resets: None };
        }
        let left = i64::try_from(account.refuses_until - self.now).expect("small");
        let at = self.wall() - self.wall_offset + left - account.prints_early_ms;
        let minute = (at + MINUTE_MS - 1).div_euclid(MINUTE_MS);
        let row = format!(
            "You've hit your session limit · resets {:02}:{:02} (UTC)",
            minute.rem_euclid(1440) / 60,
            minute.rem_euclid(60)
        );
        Banner::Limit { row, resets: Some(minute * MINUTE_MS) }
    }

    pub fn agent_exits(&mut self, pid: i32, prints_its_id: bool) {
        if let Some(agent) = self.world.end_agent(pid, prints_its_id) {
            self.say(|| format!("   pid {pid} of {} ends", agent.session));
            if let AgentHome::Homed(account) = &agent.home
                && (agent.old || !agent.writes)
            {
                self.checks.silent_seen.insert(account.clone(), self.now);
            }
        }
    }
}
