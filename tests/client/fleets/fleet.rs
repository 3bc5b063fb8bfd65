//! A fleet of real clients under one daemon, on accounts and in folders of its own, and what an
//! operator, the API and the daemon tell of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use claude_failover::task::{TaskResult, front_matter};
use serde_json::Value;

use crate::agent::{PATIENCE, now};
use crate::failover::{Daemon, STARTS, is_idle};
use crate::fleets::plan::{self, Plan};
use crate::rig::{Asked, Rig};
use crate::support::{PrivateTmux, binary, eventually, free_port, journal_records};
use crate::typing::{self, type_line};

/// For a whole swap, or a wake-up.
pub const SWAPS: Duration = Duration::from_secs(90);
const ANSWER: Duration = Duration::from_secs(5);
/// The hints beside the first come and go; at its reset a client that waits says something else.
const FICKLE: [&str; 2] = ["bypass permissions on", "ontinu"];
/// A client's menu comes half a second after the refusal that it belongs to.
const STILL: Duration = Duration::from_secs(2);
/// To ask more often would only keep the clients from their work.
const LOOKS_EVERY: Duration = Duration::from_millis(200);

pub struct Fleet {
    _daemon: Daemon,
    pub rig: Rig,
    pub tmux: PrivateTmux,
    plan: Plan,
    port: u16,
}

/// An agent as the daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub pid: i64,
    pub conversation: String,
    /// The account that it is homed on, or `linked`.
    pub home: String,
}

pub type Agents = BTreeMap<String, Agent>;

impl Fleet {
    /// The daemon with all its sessions, and nobody in them. All accounts answer.
    pub fn up(plan: Plan) -> Self {
        let (rig, tmux, port) = (Rig::up(), PrivateTmux::new(), free_port());
        for letter in plan.accounts.chars() {
            let account = plan.account(letter);
            rig.log_in_with(&account, &plan.root(&rig), &[]);
            rig.share_projects(&account);
            rig.answer(&account, &["ok"]);
        }
        let config = plan.furnish(&rig, &tmux, port);
        let daemon = Daemon::start(&config, tmux.path().join("daemon.log"));
        let fleet = Self { _daemon: daemon, rig, tmux, plan, port };
        let count = fleet.plan.dedicated.len() + fleet.plan.pool as usize;
        fleet.await_status("all sessions", STARTS, |status| {
            let sessions = status["sessions"].as_array().into_iter().flatten();
            let made = sessions.filter(|session| session["panes"].as_u64() > Some(0)).count();
            status["state"] == "normal" && made == count
        });
        fleet
    }

    pub fn account(&self, letter: char) -> String {
        self.plan.account(letter)
    }

    pub fn answer(&self, letter: char, scenario: &[&str]) {
        self.rig.answer(&self.account(letter), scenario);
    }

    pub fn asked(&self, letter: char) -> Vec<Asked> {
        self.rig.asked(&self.account(letter))
    }

    /// A reset to come, in milliseconds since 1970. An older client tells the minute alone: on the
    /// minute it is, so that nobody asks before.
    pub fn reset_after(&self, seconds: i64) -> i64 {
        let at = now().0 / 1000 + seconds;
        let at = if self.rig.is_exact() { at } else { (at + 59) / 60 * 60 };
        at * 1000
    }

    pub fn link(&self) -> PathBuf {
        plan::link(&self.tmux)
    }

    pub fn work(&self, session: &str) -> PathBuf {
        self.plan.root(&self.rig).join(session)
    }

    pub fn records(&self) -> Vec<(i64, Value)> {
        journal_records(&self.tmux.path().join("state"))
    }

    /// When records of this type were written that say so.
    pub fn recorded(&self, kind: &str, says: impl Fn(&Value) -> bool) -> Vec<i64> {
        let records = self.records().into_iter();
        let meant = records.filter(|(_, record)| record["type"] == kind && says(record));
        meant.map(|(at, _)| at).collect()
    }

    /// The verb of the command line, as the operator types it.
    #[track_caller]
    pub fn order(&self, verb: &[&str]) {
        let mut command = Command::new(binary());
        command.args(verb).arg("--config").arg(self.tmux.path().join("config.yaml"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{verb:?}: {output:?}");
    }
}

/// What the operator sees.
impl Fleet {
    /// Status code and document of one GET; `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, serde_json::from_str(body).ok()?))
    }

    pub fn status(&self) -> Value {
        self.get("/status").map(|(_, status)| status).unwrap_or_default()
    }

    #[track_caller]
    pub fn await_status(
        &self,
        what: &str,
        deadline: Duration,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut asked_at: Option<Instant> = None;
        eventually(what, deadline, || {
            if asked_at.is_some_and(|at| at.elapsed() < LOOKS_EVERY) {
                return None;
            }
            asked_at = Some(Instant::now());
            let status = self.status();
            is(&status).then_some(status)
        })
    }

    /// Nothing is open and nobody on the way, with this account in use.
    #[track_caller]
    pub fn await_settled_on(&self, letter: char) -> Agents {
        let account = self.account(letter);
        let status = self.await_status(&format!("settled on {letter}"), SWAPS, |status| {
            let sessions = status["sessions"].as_array().into_iter().flatten();
            status["state"] == "normal"
                && status["active_account"] == account.as_str()
                && sessions.clone().all(|session| session["move"].is_null())
        });
        agents_of(&status)
    }

    #[track_caller]
    pub fn await_parked(&self) -> Value {
        self.await_status("parked", SWAPS, |status| status["state"] == "parked")
    }

    pub fn agents(&self) -> Agents {
        agents_of(&self.status())
    }

    /// What these clients paint after a turn is painted.
    #[track_caller]
    pub fn await_at_rest(&self, agents: &Agents) {
        let mut last = (self.screens(), Instant::now());
        eventually("still screens", PATIENCE, || {
            let screens = self.screens();
            if screens != last.0 {
                last = (screens, Instant::now());
            }
            (last.1.elapsed() >= STILL && self.agents() == *agents).then_some(())
        });
    }

    /// The row of an account.
    pub fn standing(&self, status: &Value, letter: char) -> Value {
        let name = self.account(letter);
        let accounts = status["accounts"].as_array().into_iter().flatten();
        accounts.into_iter().find(|row| row["name"] == name.as_str()).cloned().unwrap_or_default()
    }

    /// Parked as it is, nobody touched, until that moment, and `/health` says so all the time.
    #[track_caller]
    pub fn watch_parked(&self, until_ms: i64, agents: &Agents) {
        let conversations = || -> Vec<usize> {
            agents.values().map(|agent| self.rig.conversation(&agent.conversation).len()).collect()
        };
        let before = (conversations(), self.screens());
        let mut looked_at: Option<Instant> = None;
        let length = Duration::from_millis(u64::try_from(until_ms - now().0).unwrap_or(0));
        eventually("the end of the park", length + ANSWER, || {
            if now().0 >= until_ms {
                return Some(());
            }
            if looked_at.is_none_or(|at| at.elapsed() >= LOOKS_EVERY) {
                looked_at = Some(Instant::now());
                let (code, health) = self.get("/health").expect("the daemon answers");
                assert_eq!((code, &health["state"]), (200, &"parked".into()), "{health}");
                assert!(health["until"].is_string(), "{health}");
                assert_eq!(&self.agents(), agents);
                let lives = |agent: &Agent| Path::new(&format!("/proc/{}", agent.pid)).exists();
                assert!(agents.values().all(lives));
            }
            None
        });
        assert_eq!((conversations(), self.screens()), before, "nothing was typed");
    }

    /// By session, without the rows that change by themselves.
    fn screens(&self) -> BTreeMap<String, String> {
        let sessions = self.tmux.run(&["list-panes", "-a", "-F", "#{session_name} #{pane_id}"]);
        let ours = sessions.lines().filter(|line| !line.starts_with('_'));
        let screen = |line: &str| {
            let (session, pane) = line.split_once(' ').unwrap();
            let screen = self.tmux.run(&["capture-pane", "-p", "-t", pane]);
            let is_fickle = |row: &&str| FICKLE.iter().any(|words| row.contains(words));
            let rows: Vec<&str> = screen.lines().filter(|row| !is_fickle(row)).collect();
            (session.to_owned(), rows.join("\n"))
        };
        ours.map(screen).collect()
    }
}

/// What the operator does.
impl Fleet {
    /// Starts a client by hand, and has a first turn with it: its conversation.
    pub fn talk(&self, session: &str, letter: char, config_dir: &Path, word: &str) -> String {
        let pane = self.pane(session);
        let start = format!(
            "CLAUDE_CONFIG_DIR={} {} --dangerously-skip-permissions",
            config_dir.display(),
            self.rig.client().display()
        );
        type_line(&self.tmux, &pane, &start);
        let (account, work) = (self.account(letter), self.work(session));
        let idle = || self.rig.session(&account, &work).filter(is_idle);
        let started = eventually("an idle client", PATIENCE, idle);
        let conversation = started["sessionId"].as_str().unwrap().to_owned();
        self.say_to(session, &conversation, &format!("remember the word {word}"));
        eventually("an answer", PATIENCE, || self.answered(letter, &conversation).then_some(()));
        eventually("an idle client", PATIENCE, idle);
        self.await_status("its agent known", PATIENCE, |status| {
            agents_of(status).get(session).is_some_and(|a| a.conversation == conversation)
        });
        conversation
    }

    /// Types a prompt for the idle agent in this session.
    #[track_caller]
    pub fn say(&self, session: &str, text: &str) {
        let agent = self.agents().remove(session).expect("an agent");
        self.say_to(session, &agent.conversation, text);
    }

    fn say_to(&self, session: &str, conversation: &str, text: &str) {
        let conversation = || self.rig.conversation(conversation);
        typing::prompt(&self.tmux, &self.pane(session), text, conversation);
    }

    pub fn pane(&self, session: &str) -> String {
        self.tmux.run(&["list-panes", "-t", &format!("={session}:"), "-F", "#{pane_id}"])
    }

    /// Whether the last request of this conversation to this account was answered.
    pub fn answered(&self, letter: char, conversation: &str) -> bool {
        let of = |asked: &&Asked| asked.main && asked.conversation == conversation;
        self.asked(letter).iter().rfind(of).is_some_and(|asked| asked.reply == 200)
    }

    pub fn refused(&self, letter: char, conversation: &str) -> bool {
        let of = |asked: &&Asked| asked.main && asked.conversation == conversation;
        self.asked(letter).iter().rfind(of).is_some_and(|asked| asked.reply == 429)
    }
}

/// Tasks, one a project.
impl Fleet {
    pub fn submit(&self, id: &str) {
        let project = self.work("srv").join(id);
        let inbox = project.join(".agent-queue/inbox");
        fs::create_dir_all(&inbox).unwrap();
        let written = project.join(".agent-queue/written");
        fs::write(&written, format!("---\ntitle: Work on {id}\n---\n# {id}\n")).unwrap();
        fs::rename(written, inbox.join(format!("{id}.md"))).unwrap();
    }

    /// An account that obeys, up to a gate in its tool: its task is in the middle of its work.
    pub fn obey_up_to(&self, letter: char, gate: &Path) {
        let gate = gate.display();
        let held = format!(
            "touch {gate}.$(basename {{path}} .md); until test -e {gate}; do sleep 0.2; done"
        );
        self.answer(letter, &["obey", &format!("command={held}")]);
    }

    #[track_caller]
    pub fn await_at_gate(&self, gate: &Path, id: &str) {
        let waits = PathBuf::from(format!("{}.{id}", gate.display()));
        eventually("the task in the middle of its work", SWAPS, || waits.exists().then_some(()));
    }

    pub fn gate(&self, name: &str) -> PathBuf {
        self.tmux.path().join(format!("gate-{name}"))
    }

    pub fn done(&self, id: &str) -> Option<TaskResult> {
        let file = self.work("srv").join(id).join(format!(".agent-queue/done/{id}.md"));
        let task = format!("{id}:{id}").parse().unwrap();
        Some(front_matter::result(&task, &fs::read(file).ok()?).expect("a readable result"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- status\n{:#}", self.status());
            for (session, screen) in self.screens() {
                eprintln!("---- {session}\n{}", screen.trim_end());
            }
            for letter in self.plan.accounts.chars() {
                eprintln!("---- requests to {letter}\n{:#?}", self.asked(letter));
            }
        }
    }
}

/// Milliseconds since 1970 of a moment of the status.
pub fn moment_ms(moment: &Value) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(moment.as_str().expect("a moment"), format).unwrap();
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap()
}

fn agents_of(status: &Value) -> Agents {
    let sessions = status["sessions"].as_array().into_iter().flatten();
    let agent = |session: &Value| {
        let agent = &session["agent"];
        let home = agent["home"]["homed"].as_str().or(agent["home"].as_str())?;
        Some((
            session["name"].as_str()?.to_owned(),
            Agent {
                pid: agent["pid"].as_i64()?,
                conversation: agent["conversation"].as_str().unwrap_or_default().to_owned(),
                home: home.to_owned(),
            },
        ))
    };
    sessions.filter_map(agent).collect()
}
