//! The operator's hands and eyes: tmux commands, typed lines, the agents that run in the panes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::fleet::{Fleet, SOON, SWAP, Talks, kill, session_row};
use crate::daemon::outside::{self, Agent};
use crate::support::eventually;

/// One row of `list-panes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    pub session: String,
    pub id: String,
    pub leader: i32,
}

impl Fleet {
    pub fn tmux(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.root().join("tmux/tmux.sock")).args(["-f", "/dev/null"]);
        let output = self.at_home(&mut command).args(args).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub fn server_pid(&self) -> Option<String> {
        self.tmux(&["display-message", "-p", "#{pid}"]).ok()
    }

    /// `kill -9` of the tmux server, with all that is in it. False when none was there.
    pub fn kill_server(&mut self) -> bool {
        self.server = None;
        let Some(pid) = self.server_pid().and_then(|pid| pid.parse().ok()) else { return false };
        kill(pid, Signal::KILL);
        eventually("the tmux server is gone", SOON, || (!outside::is_alive(pid)).then_some(true))
    }

    /// All panes, that of the daemon's own session among them.
    pub fn panes(&self) -> Vec<Pane> {
        let rows = self.tmux(&["list-panes", "-a", "-F", "#{session_name} #{pane_id} #{pane_pid}"]);
        let rows = rows.unwrap_or_default();
        rows.lines()
            .filter_map(|row| {
                let [session, id, leader] = row.split(' ').collect::<Vec<_>>().try_into().ok()?;
                let leader = leader.parse().ok()?;
                Some(Pane { session: session.to_owned(), id: id.to_owned(), leader })
            })
            .collect()
    }

    /// The first pane of a session, as soon as there is one.
    #[track_caller]
    pub fn pane(&self, session: &str) -> Pane {
        eventually(&format!("session {session} has a pane"), SOON, || {
            self.panes().into_iter().find(|pane| pane.session == session)
        })
    }

    pub fn screen(&self, pane: &str) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-t", pane]).unwrap_or_default()
    }

    #[track_caller]
    pub fn shows(&self, pane: &str, text: &str) {
        eventually(&format!("pane {pane} shows {text:?}"), SOON, || {
            self.screen(pane).contains(text).then_some(())
        });
    }

    /// One line and Enter, as typed by hand.
    #[track_caller]
    pub fn type_line(&self, pane: &str, line: &str) {
        let enter = ["send-keys", "-t", pane, "Enter"];
        self.tmux(&[&["send-keys", "-t", pane, "-l", "--", line, ";"][..], &enter[..]].concat())
            .unwrap();
    }

    #[track_caller]
    pub fn prompt(&self, session: &str, text: &str) {
        let pane = self.pane_of_agent(session);
        self.type_line(&pane, text);
    }

    fn pane_of_agent(&self, session: &str) -> String {
        let panes = self.panes();
        let found = self.agents().remove(session).and_then(|agents| {
            let above = outside::ancestors(agents.first()?.pid);
            panes.iter().find(|pane| above.contains(&pane.leader)).map(|pane| pane.id.clone())
        });
        found.unwrap_or_else(|| panic!("no agent in {session}: {panes:?}"))
    }

    #[track_caller]
    pub fn await_sessions(&self) {
        for session in self.layout.sessions() {
            self.await_shell(&self.pane(&session).id);
        }
    }

    /// A shell that has printed its prompt.
    #[track_caller]
    pub fn await_shell(&self, pane: &str) {
        eventually("a shell shows its prompt", SOON, || {
            (!self.screen(pane).trim().is_empty()).then_some(())
        });
    }
}

impl Fleet {
    /// What the operator types: the client's name, with or without a home, in the shell.
    pub fn start_agent(&self, session: &str, homed: Option<&str>, args: &str) {
        let home =
            homed.map(|account| format!("CLAUDE_CONFIG_DIR={} ", self.home(account).display()));
        let line = format!(
            "IS_SANDBOX=1 {}{}/bin/claude --dangerously-skip-permissions {args}",
            home.unwrap_or_default(),
            self.root().display()
        );
        self.type_line(&self.pane(session).id, &line);
    }

    /// An idle agent with one turn behind it in each dedicated session; the conversation of each.
    #[track_caller]
    pub fn start_dedicated_agents(&self) -> Talks {
        let names: Vec<&str> = self.layout.dedicated.iter().map(|session| session.name).collect();
        names.iter().for_each(|name| self.start_agent(name, None, "'first words'"));
        let talks = eventually("an idle agent in each dedicated session", SOON, || {
            let agents = self.agents();
            let idle = |name: &&str| match agents.get(*name).map(Vec::as_slice) {
                Some([agent]) if agent.status.as_deref() == Some("idle") => {
                    Some(((*name).to_owned(), agent.conversation.clone()?))
                }
                _ => None,
            };
            names.iter().map(idle).collect::<Option<Talks>>()
        });
        self.await_adopted(&talks);
        talks
    }

    /// The live agents by the session in whose panes they run; those in none under "".
    pub fn agents(&self) -> BTreeMap<String, Vec<Agent>> {
        let panes = self.panes();
        let mut by_session: BTreeMap<String, Vec<Agent>> = BTreeMap::new();
        for agent in outside::agents(self.root()) {
            let above = outside::ancestors(agent.pid);
            let pane = panes.iter().find(|pane| above.contains(&pane.leader));
            let session = pane.map(|pane| pane.session.clone()).unwrap_or_default();
            by_session.entry(session).or_default().push(agent);
        }
        by_session
    }

    #[track_caller]
    pub fn agent(&self, session: &str) -> Agent {
        let agents = self.agents().remove(session).unwrap_or_default();
        assert_eq!(agents.len(), 1, "agents in {session}: {agents:#?}");
        agents[0].clone()
    }

    /// An agent that does not answer signals any more, except the last one.
    #[track_caller]
    pub fn freeze(&self, session: &str) {
        kill(self.agent(session).pid, Signal::STOP);
    }

    /// The pid of each session's only agent.
    #[track_caller]
    pub fn agent_pids(&self) -> BTreeMap<String, i32> {
        let sessions = self.layout.sessions();
        sessions.into_iter().map(|session| (session.clone(), self.agent(&session).pid)).collect()
    }

    /// One idle agent in each session; the conversation of each.
    #[track_caller]
    pub fn await_idle_agents(&self) -> Talks {
        let sessions = self.layout.sessions();
        eventually("an idle agent in each session", SOON, || {
            let agents = self.agents();
            sessions
                .iter()
                .map(|session| match agents.get(session).map(Vec::as_slice) {
                    Some([agent]) if agent.status.as_deref() == Some("idle") => {
                        Some((session.clone(), agent.conversation.clone()?))
                    }
                    _ => None,
                })
                .collect()
        })
    }

    /// Each session's only agent is not in a turn; the conversation of each. Its file says so a moment
    /// after its transcript.
    #[track_caller]
    pub fn await_idle_or_waiting(&self) -> Talks {
        let pairs = self.layout.sessions().into_iter().map(|session| {
            let agent = eventually(&format!("{session} is in no turn"), SOON, || {
                Some(self.agent(&session)).filter(|agent| agent.status.as_deref() != Some("busy"))
            });
            (session, agent.conversation.unwrap())
        });
        pairs.collect()
    }

    #[track_caller]
    pub fn await_answer(&self, talk: &str, text: &str) {
        eventually(&format!("the last answer is {text:?}"), SOON, || {
            outside::transcript(self.root(), talk).1.starts_with(text).then_some(())
        });
    }

    /// The daemon knows these conversations.
    #[track_caller]
    pub fn await_adopted(&self, talks: &Talks) {
        self.await_status("all agents are adopted", |status| {
            talks.iter().all(|(session, talk)| {
                session_row(status, session)["agent"]["conversation"] == talk.as_str()
            })
        });
    }

    /// Every conversation runs once, homed on `account`, in its session; the link names it; the
    /// daemon is at rest. Nothing else runs.
    #[track_caller]
    pub fn await_all_on(&self, account: &str, talks: &Talks) -> Value {
        let home = self.home(account);
        let mut last = String::new();
        let end = Instant::now() + SWAP;
        let status = eventually("all agents have moved", SWAP * 2, || {
            let status = self.status();
            let at_rest = status["state"] == "normal" && status["active_account"] == account;
            let away = match at_rest {
                true => self.away_from(&home, talks),
                false => Some(format!("state {}, {}", status["state"], status["active_account"])),
            };
            let Some(why) = away else { return Some(status) };
            last = why;
            assert!(Instant::now() < end, "not all on {account}: {last}");
            None
        });
        self.assert_same_server();
        status
    }

    /// Whatever the daemon does: the tmux server and all that others do there is not its to end.
    #[track_caller]
    pub fn assert_same_server(&self) {
        if self.server.is_some() {
            assert_eq!(self.server_pid(), self.server, "the tmux server has died");
        }
    }

    /// Why not every conversation runs exactly once, homed on `home`, idle, in its own session.
    fn away_from(&self, home: &Path, talks: &Talks) -> Option<String> {
        let named = fs::read_link(self.link()).ok();
        if named.as_deref() != Some(home) {
            return Some(format!("the link names {named:?}"));
        }
        let agents = self.agents();
        if agents.len() != talks.len() {
            return Some(format!("agents run in {:?}", agents.keys()));
        }
        talks.iter().find_map(|(session, talk)| match agents.get(session).map(Vec::as_slice) {
            Some([agent])
                if agent.homed.as_deref() == Some(home)
                    && agent.conversation.as_ref() == Some(talk)
                    && agent.status.as_deref() == Some("idle") =>
            {
                None
            }
            other => Some(format!("{session} holds {other:#?}")),
        })
    }
}
