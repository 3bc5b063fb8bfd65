//! A core on a desk: events in, records and orders out. Orders are carried out at once and without
//! fault (`executors`), except where a table says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude_failover::config::{self, Autonomous, Config, Dedicated};
use claude_failover::core::Core;
use claude_failover::core::action::{Action, LaunchAgent, OrderId};
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{
    AgentHome, AgentSeen, AgentState, AgentsObserved, DialogEnd, Event, LastWords, PaneReading,
    PaneSeen, PaneStamp, ProbeEnd, TranscriptSeen,
};
use claude_failover::core::record::Record;
use claude_failover::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use claude_failover::moment::{Mono, Now, Wall};
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::{Offer, TaskResult};

use crate::scenario;
use crate::seasons::Plan;

pub const START_WALL: i64 = 1_772_352_000_000;

/// No table needs more records; a core that goes round in circles does.
const JOURNAL_MAX: usize = 200_000;

/// Nor more orders at a stretch.
const ORDERS_MAX: usize = 10_000;

pub struct Desk {
    pub core: Core,
    pub now_ms: u64,
    pub wall_ms: i64,
    pub sessions: Vec<String>,
    /// Those that somebody has made anew, and when.
    pub made: BTreeMap<String, Wall>,
    /// Sessions that show the pane of another one, too: (session, other).
    pub linked: Vec<(String, String)>,
    /// The process that leads every pane; each launch brings another one there.
    pub leader_pid: i32,
    pub agents: Vec<AgentSeen>,
    pub link: AccountName,
    /// Accounts whose home fails the check.
    pub broken: Vec<AccountName>,
    /// Flips to these accounts fail.
    pub flips_fail: Vec<AccountName>,
    pub creations_fail: bool,
    /// Sessions are made, and gone before anybody has seen them.
    pub end_at_once: bool,
    /// Why no agent can be launched.
    pub no_launch: Option<String>,
    /// Processes that cannot be ended.
    pub endure: Vec<ProcessRef>,
    /// Whoever is ended leaves a process behind that cannot be.
    pub leave_tools_behind: bool,
    /// Whoever is ended there is begun again at once, by a loop in the shell.
    pub in_a_loop: Vec<SessionName>,
    /// Conversation files; an agent that is not listed has none.
    pub endings: BTreeMap<ProcessRef, Ending>,
    /// Nobody says anything of conversation files.
    pub watcher_is_silent: bool,
    /// Ids in resume rows on every screen.
    pub resume_rows: Vec<ConversationId>,
    /// What a launched agent does at first; `None`: it never comes up.
    pub comes_up: Option<AgentState>,
    pub orders: Vec<Action>,
    pub journal: Vec<Record>,
    pub notes: Vec<String>,
    pub launches: Vec<LaunchAgent>,
    pub refused_launches: u32,
    pub stops: Vec<ProcessRef>,
    pub created: Vec<SessionName>,
    pub inbox: Vec<Offer>,
    pub taken: Vec<TaskRef>,
    /// The marker beside the one task that is claimed, by its conversation.
    pub marker: Option<u32>,
    pub claims: u32,
    pub closed: Vec<TaskResult>,
    /// What every conversation file says.
    pub last_words: Result<Option<Box<LastWords>>, String>,
    /// When somebody last typed, in all sessions.
    pub typed_at: Option<Wall>,
    /// What a headless request comes to; nothing is asked twice.
    pub probe: Result<ProbeEnd, String>,
    pub probed: Vec<AccountName>,
    /// The truth about accounts, where a season plays it: it decides what is answered.
    pub plans: BTreeMap<AccountName, Plan>,
    /// When something was read by a clock that was wrong.
    pub misread: BTreeSet<Wall>,
    /// What was said to whoever is attached.
    pub told: Vec<String>,
    /// The first word came before the first stop.
    pub told_first: bool,
    /// What becomes of every dialog.
    pub dialog: Result<DialogEnd, String>,
    /// The daemon dies with this many records on disk.
    pub dies_at: Option<usize>,
    pids: i32,
}

pub fn account(name: &str) -> AccountName {
    name.parse().expect("a valid name")
}

pub fn session(name: &str) -> SessionName {
    name.parse().expect("a valid name")
}

pub fn id(number: u32) -> ConversationId {
    format!("00000000-0000-4000-8000-{number:012x}").parse().expect("a valid id")
}

/// Three accounts, a dedicated session `ded`, two of the pool: `auto-11`, `auto-12`.
pub fn config() -> Config {
    let ded = Dedicated {
        name: session("ded"),
        project: PathBuf::from("/srv"),
        resume_after_loss: true,
        nudge: None,
    };
    let pool = Autonomous {
        prefix: "auto-".to_owned(),
        start_index: 11,
        min: 2,
        max: 3,
        workdir: PathBuf::from("/work"),
    };
    let mut config = scenario::fixed(Some(pool), vec![ded]);
    config.accounts = ["one", "two", "three"]
        .iter()
        .zip(1..)
        .map(|(name, priority)| config::Account {
            name: account(name),
            home: scenario::home(name),
            priority,
        })
        .collect();
    config
}

impl Desk {
    /// A daemon at rest: every session is there, each with an idle agent on `one`.
    pub fn at_rest() -> Self {
        let mut desk = Self::new(config());
        for (name, number) in [("ded", 1), ("auto-11", 2), ("auto-12", 3)] {
            desk.add_agent(name, AgentHome::Homed(account("one")), Some(number));
        }
        desk.start();
        desk
    }

    pub fn new(config: Config) -> Self {
        let core = Core::recover(Arc::new(config), &[]).expect("an empty journal is ours");
        Self {
            core,
            now_ms: 0,
            wall_ms: START_WALL,
            sessions: ["ded", "auto-11", "auto-12"].map(str::to_owned).to_vec(),
            leader_pid: 1,
            made: BTreeMap::new(),
            linked: Vec::new(),
            agents: Vec::new(),
            link: account("one"),
            broken: Vec::new(),
            flips_fail: Vec::new(),
            creations_fail: false,
            end_at_once: false,
            no_launch: None,
            endure: Vec::new(),
            leave_tools_behind: false,
            in_a_loop: Vec::new(),
            endings: BTreeMap::new(),
            watcher_is_silent: false,
            resume_rows: Vec::new(),
            comes_up: Some(AgentState::Idle),
            orders: Vec::new(),
            journal: Vec::new(),
            notes: Vec::new(),
            launches: Vec::new(),
            refused_launches: 0,
            stops: Vec::new(),
            created: Vec::new(),
            inbox: Vec::new(),
            taken: Vec::new(),
            marker: None,
            claims: 0,
            closed: Vec::new(),
            last_words: Ok(None),
            typed_at: None,
            probe: Ok(ProbeEnd::Answered),
            probed: Vec::new(),
            plans: BTreeMap::new(),
            misread: BTreeSet::new(),
            told: Vec::new(),
            told_first: false,
            dialog: Ok(DialogEnd::Gone),
            dies_at: None,
            pids: 100,
        }
    }

    pub fn start(&mut self) {
        self.begin();
        self.work();
    }

    /// The first orders of a life are left to be looked at.
    fn begin(&mut self) {
        let started = Record::DaemonStarted { version: "t".to_owned(), pid: 1 };
        let actions = self.core.start(self.now(), Some(self.link.clone()), started);
        self.take(actions);
    }

    /// The daemon dies and comes back with its journal.
    pub fn restart(&mut self) {
        self.come_back();
        self.work();
    }

    pub fn come_back(&mut self) {
        let config = self.core.config.clone();
        self.core = Core::recover(config, &self.journal).expect("the journal is ours");
        self.orders.clear();
        self.begin();
    }

    pub fn now(&self) -> Now {
        Now { monotonic: Mono(self.now_ms), wall: Wall(self.wall_ms) }
    }

    /// The clock shows the truth.
    pub fn wall_is_true(&self) -> bool {
        self.wall_ms == START_WALL + i64::try_from(self.now_ms).expect("small")
    }

    /// What this account refuses whoever asks it now with.
    pub fn refusal_of(&mut self, account: &AccountName) -> Option<Reading> {
        let refusal = self.plans.get(account)?.refusal(self.now_ms, self.wall_ms);
        if !self.wall_is_true() {
            self.misread.insert(Wall(self.wall_ms));
        }
        refusal
    }

    pub fn set_clock_right(&mut self) {
        self.wall_ms = START_WALL + i64::try_from(self.now_ms).expect("small");
    }

    pub fn add_agent(&mut self, name: &str, home: AgentHome, number: Option<u32>) -> ProcessRef {
        self.pids += 1;
        let process = ProcessRef { pid: self.pids, started_ticks: 1 };
        self.agents.push(AgentSeen {
            session: session(name),
            pane: self.pane(name),
            process,
            started_at: Wall::default(),
            home,
            conversation: number.map(id),
            state: AgentState::Idle,
            state_since: Wall(self.wall_ms),
            args: None,
            cwd: PathBuf::from("/work"),
        });
        process
    }

    pub fn agent(&mut self, name: &str) -> &mut AgentSeen {
        let name = session(name);
        self.agents.iter_mut().find(|agent| agent.session == name).expect("an agent is there")
    }

    pub fn set_state(&mut self, name: &str, state: AgentState) {
        let wall = self.wall_ms;
        let agent = self.agent(name);
        agent.state = state;
        agent.state_since = Wall(wall);
        self.look();
    }

    pub fn pane(&self, name: &str) -> PaneId {
        let index = self.sessions.iter().position(|known| known == name).expect("it is there");
        PaneId(u32::try_from(index).expect("small"))
    }

    fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|records| self.journal.len() >= records)
    }

    pub fn send(&mut self, event: Event) {
        if self.is_dead() {
            return;
        }
        let actions = self.core.handle(self.now(), event);
        self.take(actions);
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            if self.is_dead() {
                return;
            }
            match action {
                Action::Persist(record) => {
                    self.journal.push(record);
                    assert!(
                        self.journal.len() < JOURNAL_MAX,
                        "it does not come to rest: {:#?}",
                        self.tail()
                    );
                }
                Action::Note { text, .. } => self.notes.push(text),
                order => self.orders.push(order),
            }
        }
    }

    /// Time goes on; deadlines come when they are due.
    pub fn pass(&mut self, length: Duration) {
        let end = self.now_ms + u64::try_from(length.as_millis()).expect("small");
        if self.is_dead() {
            return;
        }
        while let Some((Mono(at), _)) = self.core.next_wakeup().filter(|(at, _)| at.0 <= end) {
            self.wall_ms += i64::try_from(at.max(self.now_ms) - self.now_ms).expect("small");
            self.now_ms = at.max(self.now_ms);
            self.send(Event::DeadlineReached);
            self.work();
        }
        self.wall_ms += i64::try_from(end - self.now_ms).expect("small");
        self.now_ms = end;
    }

    pub fn look(&mut self) {
        self.observe(None);
        self.work();
    }

    /// What the watcher sees now; nothing that follows from it is carried out.
    pub fn observe(&mut self, order: Option<OrderId>) {
        let agents = self.agents.clone();
        let link = Some(self.link.clone());
        self.send(Event::AgentsObserved(AgentsObserved {
            order,
            agents,
            link,
            linked_foreign: 0,
            credentials_changed: Vec::new(),
        }));
        self.tell_transcripts();
    }

    /// What the watcher says of each conversation file; without one in `endings` there is none.
    pub fn tell_transcripts(&mut self) {
        if self.watcher_is_silent {
            return;
        }
        let seen: Vec<TranscriptSeen> = self
            .agents
            .iter()
            .filter_map(|agent| {
                Some(TranscriptSeen {
                    session: agent.session.clone(),
                    process: agent.process,
                    conversation: agent.conversation.clone()?,
                    ending: self.endings.get(&agent.process).cloned(),
                })
            })
            .collect();
        self.send(Event::TranscriptsObserved(seen));
    }

    pub fn list(&mut self) {
        let own = self.sessions.iter().map(|name| (name, name));
        let linked = self.linked.iter().map(|(name, other)| (name, other));
        let panes = own
            .chain(linked)
            .map(|(name, shown)| PaneSeen {
                session: name.clone(),
                session_made: self.made.get(name).copied().unwrap_or_default(),
                pane: self.pane(shown),
                leader_pid: self.leader_of(shown),
                dead: false,
                in_mode: false,
                active: name == shown,
                attached: u32::from(self.typed_at.is_some()),
                typed_at: self.typed_at,
                title: String::new(),
                fence: None,
                stamp: PaneStamp::default(),
            })
            .collect();
        self.send(Event::SessionsObserved { panes });
    }

    fn leader_of(&self, name: &str) -> i32 {
        let launches = self.launches.iter().filter(|launch| launch.session.as_str() == name);
        self.leader_pid + i32::try_from(launches.count()).expect("small")
    }

    /// Carries out every order, and those that follow from it.
    pub fn work(&mut self) {
        let mut carried_out = 0;
        while !self.orders.is_empty() {
            carried_out += 1;
            assert!(carried_out < ORDERS_MAX, "it does not come to rest: {:#?}", self.tail());
            let order = self.orders.remove(0);
            self.carry_out(order);
        }
    }

    /// Carries out what is ordered until the next order is such a one.
    pub fn work_until(&mut self, is: impl Fn(&Action) -> bool) {
        while !self.orders.first().is_some_and(&is) {
            assert!(!self.orders.is_empty(), "it was not ordered");
            let order = self.orders.remove(0);
            self.carry_out(order);
        }
    }

    /// What a screen shows; a reset in so many minutes.
    pub fn banner(&mut self, name: &str, row: &str, resets_in_min: Option<i64>) {
        let at = resets_in_min.map(|minutes| Wall(self.wall_ms + minutes * 60_000));
        let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: at };
        self.show(name, Reading { verdict, row: row.to_owned(), ..Reading::clear() });
    }

    pub fn clear(&mut self, name: &str) {
        self.show(name, Reading::clear());
    }

    pub fn show(&mut self, name: &str, reading: Reading) {
        let (pane, session) = (self.pane(name), session(name));
        self.send(Event::PanesObserved(vec![PaneReading { session, pane, reading }]));
        self.work();
    }

    pub fn phase(&self) -> Option<Phase> {
        self.core.durable.swap.as_ref().map(|swap| swap.phase)
    }

    pub fn active(&self) -> &str {
        self.core.durable.active.as_ref().expect("it is known").as_str()
    }

    /// Where the agent of each session works, in the order of the sessions.
    pub fn homes(&self) -> String {
        let mut homes: Vec<String> = self
            .agents
            .iter()
            .map(|agent| match &agent.home {
                AgentHome::Homed(name) => format!("{}={name}", agent.session),
                other => format!("{}={other:?}", agent.session),
            })
            .collect();
        homes.sort();
        homes.join(" ")
    }

    pub fn noted(&self, text: &str) -> usize {
        self.notes.iter().filter(|note| note.contains(text)).count()
    }

    /// The last lines of the journal.
    fn tail(&self) -> Vec<String> {
        self.journal.iter().rev().take(40).rev().map(ToString::to_string).collect()
    }

    /// How often a record whose line holds `text` was written.
    pub fn recorded(&self, text: &str) -> usize {
        self.journal.iter().filter(|record| record.to_string().contains(text)).count()
    }
}
