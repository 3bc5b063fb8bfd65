//! A directory of projects, a dispatcher over it, and what it said last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::Config;
use claude_failover::config::load::{Base, parse};
use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, TasksOffered};
use claude_failover::dispatcher::{self, Order};
use claude_failover::ids::{ConversationId, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::task::{HeldState, HeldTask, Offer};
use crossbeam_channel::{Receiver, unbounded};

use crate::logged;

pub const SOON: Duration = Duration::from_secs(20);

/// INVARIANT: field order is shutdown order: the dispatcher would write anew what goes before it.
pub struct Stage {
    pub dispatcher: Option<Component<Order>>,
    events: Receiver<Event>,
    pub offered: TasksOffered,
    dir: tempfile::TempDir,
}

impl Stage {
    /// Started and told that nothing is held; reads everything once, then only what is noticed.
    pub fn new(prepare: impl Fn(&Path)) -> Self {
        let mut stage = Self::silent(prepare, "");
        stage.hold(Vec::new());
        stage.next();
        stage
    }

    /// Started and told nothing. `more` are lines of `dispatcher:`.
    pub fn silent(prepare: impl Fn(&Path), more: &str) -> Self {
        logged::start();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("projects")).unwrap();
        prepare(&dir.path().join("projects"));
        let (sender, events) = unbounded();
        let config = Arc::new(config(dir.path(), more));
        let dispatcher = Some(dispatcher::spawn(config, Clock::start(), sender).unwrap());
        Self { dir, dispatcher, events, offered: TasksOffered::default() }
    }

    /// Ends the dispatcher and starts another over the same files.
    pub fn restart(&mut self) {
        self.dispatcher = None;
        let (sender, events) = unbounded();
        let config = Arc::new(config(self.dir.path(), ""));
        self.dispatcher = Some(dispatcher::spawn(config, Clock::start(), sender).unwrap());
        self.events = events;
    }

    pub fn order(&self, order: Order) {
        self.dispatcher.as_ref().unwrap().order(order).unwrap();
    }

    pub fn hold(&self, held: Vec<HeldTask>) {
        self.order(Order::Hold { held });
    }

    /// The next thing it says of the queues.
    pub fn next(&mut self) -> &TasksOffered {
        match self.events.recv_timeout(SOON).unwrap() {
            Event::TasksOffered(offered) => self.offered = offered,
            other => panic!("{other:?}"),
        }
        &self.offered
    }

    /// Until what it says is so; everything on the way is let pass.
    #[track_caller]
    pub fn until(&mut self, what: &str, is_so: impl Fn(&TasksOffered) -> bool) {
        let end = Instant::now() + SOON;
        while !is_so(&self.offered) {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::TasksOffered(offered)) => self.offered = offered,
                Ok(other) => panic!("{other:?}"),
                Err(_) => panic!("not within {SOON:?}: {what}; last: {:?}", self.offered),
            }
        }
    }

    #[track_caller]
    pub fn until_offered(&mut self, tasks: &[&str]) {
        self.until(&format!("{tasks:?}"), |offered| heads(offered) == tasks);
    }

    pub fn nothing_was_said(&self) -> bool {
        self.events.is_empty()
    }

    #[track_caller]
    pub fn claim(&mut self, id: &str, attempt: u32) -> Result<ConversationId, String> {
        let session = "ccl-auto-11".parse().unwrap();
        self.order(Order::Claim { order: OrderId(3), task: task(id), session, attempt });
        match self.answer() {
            Event::TaskClaimed { order: OrderId(3), task: of, result } if of == task(id) => result,
            other => panic!("{other:?}"),
        }
    }

    /// The next event that is not about offers.
    #[track_caller]
    pub fn answer(&mut self) -> Event {
        loop {
            match self.events.recv_timeout(SOON).unwrap() {
                Event::TasksOffered(offered) => self.offered = offered,
                other => return other,
            }
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn project(&self, name: &str) -> PathBuf {
        self.dir.path().join("projects").join(name)
    }

    pub fn inbox(&self, project: &str) -> PathBuf {
        self.project(project).join(".agent-queue/inbox")
    }

    /// Writes a task elsewhere and renames it into the inbox.
    pub fn submit(&self, task: &str, text: &str) {
        let temp = self.dir.path().join("temp");
        std::fs::write(&temp, text).unwrap();
        let (project, id) = task.split_once(':').unwrap();
        std::fs::rename(&temp, self.inbox(project).join(format!("{id}.md"))).unwrap();
    }
}

/// Makes the inboxes of these projects.
pub fn inboxes(root: &Path, projects: &[&str]) {
    for project in projects {
        std::fs::create_dir_all(root.join(project).join(".agent-queue/inbox")).unwrap();
    }
}

pub fn config(dir: &Path, more: &str) -> Config {
    let text = format!(
        "accounts: [{{name: a, home: {0}/a}}]\npool: {{shared_projects_dir: {0}/projects-shared}}\n\
         dispatcher: {{projects_dir: {0}/projects, rescan_interval: 1h, max_bytes: 1KiB{more}}}\n\
         janitor: {{interval: 1h, keep_done: 30d}}\n\
         state_dir: {0}/state\nruntime_dir: {0}/run\n",
        dir.display()
    );
    match parse(&text, &Base::new(dir)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:?}"),
    }
}

pub fn task(name: &str) -> TaskRef {
    name.parse().unwrap()
}

/// The first of each project; those behind them are only there in case it has to rest.
pub fn heads(offered: &TasksOffered) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let first = |offer: &&Offer| seen.insert(offer.task.project.clone());
    offered.offers.iter().filter(first).map(|offer| offer.task.to_string()).collect()
}

pub fn names(offered: &TasksOffered) -> Vec<String> {
    offered.offers.iter().map(|offer| offer.task.to_string()).collect()
}

pub fn held(name: &str, state: HeldState) -> HeldTask {
    HeldTask {
        task: task(name),
        title: "Mend it".to_owned(),
        state,
        session: "ccl-auto-11".parse().unwrap(),
        account: None,
        conversation: None,
        attempt: 1,
        since: Wall(1_795_361_004_000),
        reason: None,
    }
}
