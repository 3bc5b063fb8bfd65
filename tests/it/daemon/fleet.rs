//! One daemon, one tmux server, agents in their sessions; all of it gone when the fleet is
//! dropped, and the daemon's log printed when the test failed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use claude_failover::api::control::{self, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::daemon::layout::{self, Layout};
use crate::daemon::outside;
use crate::support::{binary, eventually, free_port};

/// For one step of a person or of the daemon; far above any real one on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);
/// For a whole swap.
pub const SWAP: Duration = Duration::from_secs(40);
const ANSWER: Duration = Duration::from_secs(5);
const LEAVE: Duration = Duration::from_secs(5);
const DIE_AFTER_RECORDS: &str = "CLAUDE_FAILOVER_DIE_AFTER_RECORDS";
/// In the environment of a test that was started once more where its surroundings are its own: the
/// directory in which its fleets lie.
pub const ROOM: &str = "CLAUDE_FAILOVER_TEST_ROOM";

pub struct Fleet {
    pub dir: tempfile::TempDir,
    pub layout: Layout,
    pub port: u16,
    daemon: Option<Child>,
    /// As first seen: whatever the daemon does, it must not take the tmux server along.
    pub server: Option<String>,
    /// The service manager's socket, for the next start.
    pub notify: Option<PathBuf>,
    /// A program and its arguments that become the daemon, for the next start.
    pub through: Vec<String>,
}

impl Fleet {
    /// The directories alone: nothing runs yet.
    pub fn new(layout: Layout) -> Self {
        let place = std::env::var_os(ROOM).map_or_else(|| "/tmp".into(), PathBuf::from);
        let dir = tempfile::Builder::new().prefix("cf-").tempdir_in(place).unwrap();
        let port = free_port();
        layout.furnish(dir.path(), port);
        Self { dir, layout, port, daemon: None, server: None, notify: None, through: Vec::new() }
    }

    /// A healthy daemon and one idle agent in each session, with one turn behind it: those of the
    /// dedicated ones follow the link, those of the pool are homed on account a.
    pub fn up(layout: Layout) -> (Self, Talks) {
        let mut fleet = Self::new(layout);
        fleet.start();
        fleet.await_sessions();
        for session in fleet.layout.sessions() {
            let homed = session.starts_with("ccl-auto-").then_some("a");
            fleet.start_agent(&session, homed, "'first words'");
        }
        let talks = fleet.await_idle_agents();
        fleet.await_adopted(&talks);
        fleet.server = fleet.server_pid();
        (fleet, talks)
    }

    /// As [`Fleet::up`], but nobody is in the sessions of the pool.
    pub fn with_free_pool(layout: Layout) -> (Self, Talks) {
        let mut fleet = Self::new(layout);
        fleet.start();
        fleet.await_sessions();
        let talks = fleet.start_dedicated_agents();
        fleet.server = fleet.server_pid();
        (fleet, talks)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn home(&self, account: &str) -> PathBuf {
        layout::home(self.root(), account)
    }

    pub fn link(&self) -> PathBuf {
        self.root().join("user/.claude")
    }

    /// What the agents of an account do from their next prompt on.
    pub fn script(&self, account: &str, order: &str) {
        fs::write(self.home(account).join(".demo-script"), format!("{order}\n")).unwrap();
    }

    /// From the next prompt on the account refuses, and says when it will not.
    pub fn exhaust(&self, account: &str, resets_in_s: u64) {
        self.script(account, &format!("limit5h {}", epoch_s() + resets_in_s));
    }

    pub fn start(&mut self) {
        self.start_with(None);
        self.await_state("normal");
    }

    /// With a number: it ends as by `kill -9` when so many of its records are on disk.
    pub fn start_with(&mut self, die_after: Option<usize>) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.run_daemon();
        command
            .envs(self.notify.as_ref().map(|socket| ("NOTIFY_SOCKET", socket)))
            .envs(die_after.map(|records| (DIE_AFTER_RECORDS, records.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.daemon = Some(self.at_home(&mut command).spawn().unwrap());
    }

    fn run_daemon(&self) -> Command {
        let words = self.through.iter().map(Into::into).chain([binary()]);
        let mut words = words.collect::<Vec<PathBuf>>().into_iter();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["run", "--config"]).arg(self.root().join("config.yaml"));
        command
    }

    /// The environment of an operator of this fleet and of nobody else.
    pub fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for name in ["TMUX", "TMUX_PANE", "CLAUDE_CONFIG_DIR", "RUST_LOG", "JOURNAL_STREAM"] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.root().join("user"))
            .env("TMUX_TMPDIR", self.root().join("default-tmux"))
            .env("SHELL", "/bin/bash")
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .current_dir(self.root())
    }

    pub fn daemon_pid(&self) -> i32 {
        i32::try_from(self.daemon.as_ref().unwrap().id()).unwrap()
    }

    pub fn signal_daemon(&self, signal: Signal) {
        kill(self.daemon_pid(), signal);
    }

    /// How the daemon ended, once it has.
    pub fn daemon_ended(&mut self) -> Option<ExitStatus> {
        let status = self.daemon.as_mut()?.try_wait().unwrap();
        if status.is_some() {
            self.daemon = None;
        }
        status
    }

    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        eventually("the daemon ends", SOON, || self.daemon_ended())
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill_daemon(&mut self) {
        self.signal_daemon(Signal::KILL);
        assert_eq!(self.await_end().signal(), Some(9));
    }

    /// TERM, and a clean exit.
    #[track_caller]
    pub fn stop_daemon(&mut self) {
        self.signal_daemon(Signal::TERM);
        assert_eq!(self.await_end().code(), Some(0));
    }

    /// The document of `/status`; null while nobody answers.
    pub fn status(&self) -> Value {
        let socket = control::socket_path(&self.root().join("run"));
        let answer = control::ask(&socket, &Request::Status, ANSWER);
        answer.map(|answer| answer["status"].clone()).unwrap_or_default()
    }

    #[track_caller]
    pub fn await_status(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        eventually(what, SWAP, || {
            last = self.status();
            is(&last).then(|| last.clone())
        })
    }

    #[track_caller]
    pub fn await_state(&self, state: &str) -> Value {
        self.await_status(&format!("/status says {state}"), |status| status["state"] == state)
    }

    /// One GET of a document; status code and body.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let (code, body) = self.get_text(path);
        (code, serde_json::from_str(&body).unwrap())
    }

    pub fn get_text(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    /// The verb of the command line, as the operator types it: exit code and output.
    pub fn swap(&self, args: &[&str]) -> (Option<i32>, String) {
        let said = self.say(&[&["swap"], args].concat());
        (said.code, said.out + &said.errors)
    }

    /// Any verb of the command line.
    pub fn say(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(args).arg("--config").arg(self.root().join("config.yaml"));
        let output = self.at_home(&mut command).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, errors) = (text(output.stdout), text(output.stderr));
        Said { code: output.status.code(), out, errors }
    }

    /// A verb that is carried out; what it prints.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let said = self.say(args);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{args:?}: {}", said.out);
        said.out
    }

    /// A verb that is refused, with its reason and nothing else.
    #[track_caller]
    pub fn refused(&self, args: &[&str]) -> String {
        let said = self.say(args);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{args:?}: {}", said.errors);
        said.errors
    }

    #[track_caller]
    pub fn order_swap(&self, args: &[&str]) {
        let (code, text) = self.swap(args);
        assert_eq!(code, Some(0), "{text}");
    }

    pub fn log_path(&self) -> PathBuf {
        self.root().join("daemon.log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    #[track_caller]
    pub fn await_log(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), SWAP, || {
            self.log().contains(text).then_some(())
        });
    }
}

pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

/// Conversation ids by session.
pub type Talks = BTreeMap<String, String>;

pub fn session_row<'a>(status: &'a Value, session: &str) -> &'a Value {
    let rows = status["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().find(|row| row["name"] == session).unwrap_or(&Value::Null)
}

pub fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let end = Instant::now() + LEAVE;
        loop {
            let left = outside::processes_of(self.root());
            for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            if left.is_empty() || Instant::now() >= end {
                return;
            }
            std::thread::yield_now();
        }
    }
}

impl Fleet {
    fn show(&self) {
        eprintln!("---- log of the daemon in {}\n{}", self.root().display(), self.log());
        eprintln!("---- status\n{:#}", self.status());
        for pane in self.panes() {
            eprintln!("---- {} {}\n{}", pane.session, pane.id, self.screen(&pane.id).trim_end());
        }
        eprintln!("---- agents\n{:#?}", self.agents());
    }
}
