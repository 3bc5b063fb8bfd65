//! The model of everything outside: accounts, the link, a tmux server, agents in its panes.
//!
//! It knows the truth. The core sees of it only what the sensors tell.

use std::collections::{BTreeMap, BTreeSet};

use claude_failover::core::event::{AgentHome, AgentState};
use claude_failover::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName};

use crate::tasks::{Assignment, Queue};
use crate::testimony::Talks;

/// A day; banners name a time of day without a date.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone)]
pub struct Account {
    pub name: AccountName,
    /// True time until which it refuses requests.
    pub refuses_until: u64,
    /// True time until which its home fails the check.
    pub broken_until: u64,
    pub login_fails_until: u64,
    pub prints_reset: bool,
    pub limits_hit: u32,
    pub credentials_changed: i64,
    /// When it last refused anybody.
    pub refused_last: Option<u64>,
    /// When it last answered anybody.
    pub answered_last: Option<u64>,
    /// Of its five-hour window; per mille, as a status line tells it.
    pub used_permille: u16,
    /// True time at which that window begins anew.
    pub window_ends: u64,
    /// What it prints lies so much before the true end of its limit.
    pub prints_early_ms: i64,
}

/// What a banner on a screen says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Banner {
    Limit {
        row: String,
        /// Wall milliseconds of one occurrence of the printed time of day.
        resets: Option<i64>,
    },
    Login,
    NoConversation(ConversationId),
}

#[derive(Debug, Clone)]
pub struct Agent {
    pub process: ProcessRef,
    pub session: String,
    /// `None`: its pane is gone and it has not noticed yet.
    pub pane: Option<PaneId>,
    pub home: AgentHome,
    pub conversation: ConversationId,
    /// It writes a conversation file where the watcher finds it.
    pub writes: bool,
    /// It is too old to write a session file.
    pub old: bool,
    /// Its session file is there.
    pub filed: bool,
    pub state: AgentState,
    pub state_since_wall: i64,
    pub started_wall: i64,
    pub state_since: u64,
    pub args: Option<Vec<String>>,
    pub launched_fence: Option<u64>,
    pub launched_at: u64,
    /// Steps of its life that were planned under another number are void.
    pub turn: u64,
    pub unkillable: bool,
    /// Who was to end it has said that it lives on.
    pub survived: bool,
    /// An observation that shows it busy in this turn has reached the core.
    pub busy_told: bool,
    pub ending: bool,
    /// The prompt it was launched with, until it submits it.
    pub prompt: Option<String>,
    /// The task it was launched for, or goes on with.
    pub assignment: Option<Assignment>,
}

#[derive(Debug, Clone)]
pub struct Pane {
    pub id: PaneId,
    pub leader_pid: i32,
    /// Something of the operator's runs here: nothing may be started in its place.
    pub editor: bool,
    pub banner: Option<Banner>,
    pub last_user_row: Option<String>,
    pub resume_ids: Vec<ConversationId>,
    /// (fence, pane) of a launch that made it.
    pub launched_fence: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct TmuxSession {
    pub panes: Vec<Pane>,
    pub made_wall: i64,
    pub fence: Option<u64>,
    pub attached: u32,
    pub typed_at: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct World {
    pub accounts: Vec<Account>,
    pub link: Option<AccountName>,
    pub server_up: bool,
    /// True time until which no file can be written but the journal.
    pub disk_full_until: u64,
    /// Sessions that have been removed so far.
    pub removals: u32,
    pub tmux: BTreeMap<String, TmuxSession>,
    pub agents: BTreeMap<i32, Agent>,
    pub linked_foreign: usize,
    pub last_pid: i32,
    pub last_pane: u32,
    pub last_conversation: u64,
    pub ticks: u64,
    /// Conversations without a transcript: nobody can resume them.
    pub unwritten: BTreeSet<ConversationId>,
    /// What clients wrote.
    pub talks: Talks,
    pub talks_changed: bool,
    pub queue: Queue,
    pub agents_changed: bool,
    pub screens_changed: bool,
    /// All processes that ever were an agent, with their session.
    pub agent_ever: BTreeMap<ProcessRef, String>,
}

impl World {
    pub fn account(&self, name: &AccountName) -> &Account {
        self.accounts.iter().find(|account| account.name == *name).expect("a known account")
    }

    pub fn account_mut(&mut self, name: &AccountName) -> &mut Account {
        self.accounts.iter_mut().find(|account| account.name == *name).expect("a known account")
    }

    pub fn new_pid(&mut self) -> i32 {
        self.last_pid += 1;
        self.last_pid
    }

    pub fn new_conversation(&mut self) -> ConversationId {
        self.last_conversation += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.last_conversation)
            .parse()
            .expect("a valid id")
    }

    /// In that session, which is made when it is not there.
    pub fn new_pane(&mut self, session: &str, wall: i64) -> PaneId {
        self.last_pane += 1;
        let id = PaneId(self.last_pane);
        let leader_pid = self.new_pid();
        let pane = Pane {
            id,
            leader_pid,
            editor: false,
            banner: None,
            last_user_row: None,
            resume_ids: Vec::new(),
            launched_fence: None,
        };
        let made = || TmuxSession { made_wall: wall, ..TmuxSession::default() };
        self.tmux.entry(session.to_owned()).or_insert_with(made).panes.push(pane);
        self.agents_changed = true;
        id
    }

    pub fn pane_mut(&mut self, id: PaneId) -> Option<&mut Pane> {
        self.screens_changed = true;
        self.tmux
            .values_mut()
            .flat_map(|session| session.panes.iter_mut())
            .find(|pane| pane.id == id)
    }

    pub fn pane(&self, id: PaneId) -> Option<&Pane> {
        self.tmux.values().flat_map(|session| &session.panes).find(|pane| pane.id == id)
    }

    pub fn agent_in_pane(&self, pane: PaneId) -> Option<&Agent> {
        self.agents.values().find(|agent| agent.pane == Some(pane))
    }

    /// The account whose quota a request of this agent uses now.
    pub fn account_of(&self, home: &AgentHome) -> Option<AccountName> {
        match home {
            AgentHome::Homed(name) => Some(name.clone()),
            AgentHome::Linked => self.link.clone(),
            AgentHome::Elsewhere => None,
        }
    }

    pub fn set_state(&mut self, pid: i32, state: AgentState, now: u64, wall: i64) {
        self.agents_changed = true;
        if let Some(agent) = self.agents.get_mut(&pid) {
            if agent.state != state {
                agent.busy_told = false;
                agent.state_since = now;
                agent.state_since_wall = wall;
            }
            agent.state = state;
        }
    }

    /// The agent process is gone; what it printed last stays in its pane. One that was not up yet prints
    /// nothing.
    pub fn end_agent(&mut self, pid: i32, prints_its_id: bool) -> Option<Agent> {
        let agent = self.agents.remove(&pid)?;
        self.agents_changed = true;
        let conversation = agent.conversation.clone();
        if let Some(pane) = agent.pane.and_then(|id| self.pane_mut(id))
            && prints_its_id
            && agent.filed
        {
            pane.resume_ids.push(conversation);
        }
        Some(agent)
    }

    /// The session and its panes are gone. Agents get a hang-up: they are returned.
    pub fn remove_session(&mut self, name: &str) -> Vec<i32> {
        self.agents_changed = true;
        self.removals += 1;
        let Some(session) = self.tmux.remove(name) else { return Vec::new() };
        let panes: BTreeSet<PaneId> = session.panes.iter().map(|pane| pane.id).collect();
        let mut orphans = Vec::new();
        for agent in self.agents.values_mut() {
            if agent.pane.is_some_and(|pane| panes.contains(&pane)) {
                agent.pane = None;
                orphans.push(agent.process.pid);
            }
        }
        orphans
    }

    pub fn owned_agents<'a>(
        &'a self,
        owns: impl Fn(&SessionName) -> bool + 'a,
    ) -> impl Iterator<Item = (SessionName, &'a Agent)> {
        self.agents.values().filter_map(move |agent| {
            let name: SessionName = agent.session.parse().ok()?;
            owns(&name).then_some((name, agent))
        })
    }
}
