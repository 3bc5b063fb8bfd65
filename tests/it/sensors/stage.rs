//! What the sensor tests stand on: a configuration, fake agents in real panes, events in order.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::notifications::Notifications;
use claude_failover::config::{
    Account, Agent, Autonomous, Config, Dispatcher, Http, Janitor, Lifecycle, Pool, Quota,
    Selection, SharedDirs, Strategy, Swap, Tmux, Watcher,
};
use claude_failover::core::action::{OrderId, WatchedPane};
use claude_failover::core::event::{AgentSeen, AgentsObserved, Event, TranscriptSeen};
use claude_failover::process::table;
use claude_failover::task::prompt::Template;
use claude_failover::watcher::{self, Order};
use crossbeam_channel::{Receiver, unbounded};

use crate::support::{PrivateTmux, eventually};

pub const SOON: Duration = Duration::from_secs(10);
/// No tick within a test: what is seen was noticed.
pub const NEVER: Duration = Duration::from_secs(3600);

/// Accounts `a` and `b` with homes `a` and `b` in `dir`, and the link `user/.claude`.
pub fn config(dir: &Path, interval: Duration) -> Config {
    let minute = Duration::from_secs(60);
    let account = |name: &str, priority| Account {
        name: name.parse().unwrap(),
        home: dir.join(name),
        priority,
    };
    Config {
        link: dir.join("user/.claude"),
        accounts: vec![account("a", 1), account("b", 2)],
        selection: Selection {
            strategy: Strategy::Priority,
            return_to_preferred: false,
            pin: None,
        },
        pool: Pool {
            shared: SharedDirs {
                projects: dir.join("projects"),
                session_env: dir.join("session-env"),
                file_history: dir.join("file-history"),
            },
            dedicated: Vec::new(),
            autonomous: None::<Autonomous>,
        },
        agent: Agent {
            command: vec!["/opt/own-agent".to_owned()],
            env: BTreeMap::new(),
            models: BTreeMap::new(),
            guard: false,
            guard_rules: None,
        },
        tmux: Tmux { socket: None, command: "tmux".to_owned(), start_server: false },
        lifecycle: Lifecycle { interval },
        quota: Quota {
            poll_interval: interval,
            reactivate_cooldown: minute,
            unknown_reset: minute,
            preempt_at: None,
            statusline: false,
            patterns: Vec::new(),
        },
        swap: Swap {
            stop_grace: minute,
            busy_grace: minute,
            verify_timeout: minute,
            ramp_interval: minute,
            max_per_hour: 1,
            attended_grace: minute,
        },
        watcher: Watcher { interval, idle_timeout: minute, done_signal_dir: dir.join("done") },
        dispatcher: Dispatcher {
            projects_dir: dir.join("tasks"),
            rescan_interval: minute,
            cooldown: minute,
            per_project: 1,
            max_bytes: 1,
            trusted_uids: Vec::new(),
            prompt: Template::parse(claude_failover::task::prompt::DEFAULT).unwrap(),
        },
        janitor: Janitor { interval: minute, keep_done: minute, dry_run: false },
        notifications: Notifications::default(),
        http: Http { listen: None, allow_remote: false },
        state_dir: dir.join("state"),
        runtime_dir: dir.join("run"),
    }
}

/// Two homes and the link to the first, a watcher, and a tmux server for the agents.
pub struct Stage {
    pub watcher: Component<Order>,
    pub events: Receiver<Event>,
    pub tmux: PrivateTmux,
}

impl Stage {
    pub fn new(interval: Duration) -> Self {
        let tmux = PrivateTmux::new();
        let dir = tmux.path().canonicalize().unwrap();
        for home in ["a", "b"] {
            std::fs::create_dir_all(dir.join(home).join("sessions")).unwrap();
        }
        std::fs::create_dir(dir.join("user")).unwrap();
        symlink(dir.join("a"), dir.join("user/.claude")).unwrap();
        let settings = watcher::Settings {
            config: Arc::new(config(&dir, interval)),
            clock: Clock::start(),
            zone: None,
        };
        let (sender, events) = unbounded();
        let watcher = watcher::spawn(settings, sender).unwrap();
        Self { watcher, events, tmux }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.tmux.path().canonicalize().unwrap().join(name)
    }

    /// A bash script on this stage, executable.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/bash\n{body}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, executable).unwrap();
        path
    }

    /// A new session whose pane runs `body` in bash, with the stage's own `HOME`.
    pub fn pane(&self, session: &str, body: &str) -> WatchedPane {
        self.started(&["new-session", "-d", "-s", session], session, body)
    }

    /// A second pane of a session.
    pub fn split(&self, session: &str, body: &str) -> WatchedPane {
        self.started(&["split-window", "-d", "-t", &format!("={session}:")], session, body)
    }

    fn started(&self, command: &[&str], session: &str, body: &str) -> WatchedPane {
        let count = std::fs::read_dir(self.tmux.path()).unwrap().count();
        let script = self.script(&format!("{session}-{count}.sh"), body);
        let home = self.path("user");
        let line = format!(
            "exec env -u CLAUDE_CONFIG_DIR HOME={} bash {}",
            home.display(),
            script.display()
        );
        let format = ["-P", "-F", "#{pane_id} #{pane_pid}", &line];
        let answer = self.tmux.run(&[command, &format].concat());
        let (pane, leader) = answer.split_once(' ').unwrap();
        WatchedPane {
            session: session.parse().unwrap(),
            pane: pane.parse().unwrap(),
            leader_pid: leader.parse().unwrap(),
            conversation: None,
            at_work: false,
        }
    }

    /// Writes the session file of `pid` as the client does, with fields we do not know.
    pub fn write_session(&self, home: &str, pid: i32, conversation: u32, status: &str) {
        let ticks = table::started_ticks(pid).unwrap().unwrap();
        let text = session_text(pid, &ticks.to_string(), conversation, status);
        std::fs::write(self.session_path(home, pid), text).unwrap();
    }

    pub fn session_path(&self, home: &str, pid: i32) -> PathBuf {
        self.path(home).join(format!("sessions/{pid}.json"))
    }

    pub fn watch(&self, panes: &[&WatchedPane]) {
        let panes = panes.iter().map(|&pane| pane.clone()).collect();
        self.watcher.order(Order::WatchAgents { panes }).unwrap();
    }

    /// The answer to an order, with all events before it dropped.
    #[track_caller]
    pub fn look(&self, order: u64) -> AgentsObserved {
        let order = OrderId(order);
        self.watcher.order(Order::ObserveAgents { order }).unwrap();
        self.until("an answer", |seen| seen.order == Some(order))
    }

    /// The first look, asked for or not, that satisfies `wanted`.
    #[track_caller]
    pub fn until(
        &self,
        what: &str,
        mut wanted: impl FnMut(&AgentsObserved) -> bool,
    ) -> AgentsObserved {
        let end = Instant::now() + SOON;
        let mut last = None;
        while let Ok(event) = self.events.recv_deadline(end) {
            match event {
                Event::AgentsObserved(seen) if wanted(&seen) => return seen,
                Event::AgentsObserved(seen) => last = Some(seen),
                Event::TranscriptsObserved(_) => {}
                event => panic!("an event of another kind: {event:?}"),
            }
        }
        panic!("not seen: {what}; last was {last:#?}");
    }

    /// The first event from which `wanted` takes something; others are dropped.
    #[track_caller]
    pub fn next<T>(&self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let end = Instant::now() + SOON;
        while let Ok(event) = self.events.recv_deadline(end) {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        panic!("not seen: {what}");
    }

    /// The first word about the conversation of this session's agent that satisfies `wanted`.
    #[track_caller]
    pub fn until_transcript(
        &self,
        what: &str,
        session: &str,
        mut wanted: impl FnMut(&TranscriptSeen) -> bool,
    ) -> TranscriptSeen {
        let end = Instant::now() + SOON;
        let mut last = None;
        while let Ok(event) = self.events.recv_deadline(end) {
            let Event::TranscriptsObserved(all) = event else { continue };
            for seen in all.into_iter().filter(|seen| seen.session.as_str() == session) {
                if wanted(&seen) {
                    return seen;
                }
                last = Some(seen);
            }
        }
        panic!("not seen: {what}; last was {last:#?}");
    }
}

pub fn session_text(pid: i32, ticks: &str, conversation: u32, status: &str) -> String {
    format!(
        r#"{{"pid":{pid},"sessionId":"{}","cwd":"/srv/work","startedAt":1,"procStart":"{ticks}",
        "version":"9.9.9","news":{{"to":["us"]}},{status}"updatedAt":1795361006034}}"#,
        id(conversation)
    )
}

/// A conversation id that ends in `number`.
pub fn id(number: u32) -> String {
    format!("82840528-5c4e-4114-8dc2-{number:012}")
}

/// Waits until `pid` runs under the name `claude`, that is, after its last exec.
pub fn await_client(pid: i32) {
    eventually("the client runs", SOON, || {
        let args = table::args(pid).unwrap()?;
        (args[0] == "claude" && is_settled(pid)).then_some(())
    });
}

/// The kernel dates a process to 10 ms, and no client writes a record in its first 100 ms.
pub fn is_settled(pid: i32) -> bool {
    table::started_ticks(pid)
        .unwrap()
        .is_some_and(|ticks| table::age(ticks) > Duration::from_millis(20))
}

/// The agent of one session, which must have exactly one.
#[track_caller]
pub fn agent<'a>(seen: &'a AgentsObserved, session: &str) -> &'a AgentSeen {
    let agents: Vec<&AgentSeen> =
        seen.agents.iter().filter(|agent| agent.session.as_str() == session).collect();
    assert_eq!(agents.len(), 1, "agents of {session} in {seen:#?}");
    agents[0]
}

/// A client that somebody runs outside of every pane; ended when dropped.
pub struct Outsider(Child);

impl Outsider {
    pub fn start(config_dir: &Path) -> Self {
        let command = "exec -a claude sleep 300";
        let child = Command::new("bash")
            .args(["-c", command])
            .env("CLAUDE_CONFIG_DIR", config_dir)
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
