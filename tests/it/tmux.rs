//! The terminal against real tmux servers, each on a socket of its own.

mod breaks;
mod descriptors;
mod dialogs;
mod effects;
mod ghosts;
mod hostile;
mod people;
mod reading;
mod shells;
mod views;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use claude_failover::core::action::{LaunchAgent, OrderId};
use claude_failover::core::event::{Event, PaneSeen};
use claude_failover::ids::{ConversationId, PaneId, SessionName};
use claude_failover::terminal::encode::PasteLine;
use claude_failover::terminal::{Order, Settings, Terminal};
use crossbeam_channel::{Receiver, bounded, unbounded};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PrivateTmux, eventually, eventually_or};

/// Generous for a loaded machine; what is waited for takes milliseconds.
const SOON: Duration = Duration::from_secs(10);
/// Stays for as long as it has a terminal, counts its starts, and is `launch` to the eye.
const LAUNCHER: &str = "#!/bin/sh\necho \"$3\" >> \"$0.log\"\nwhile read -r line; do :; done\n";

/// What an operator may have open over the program of a pane; each is the command that opens it.
const MODES: [&str; 3] = ["copy-mode", "choose-tree", "clock-mode"];

/// INVARIANT: the terminal goes first; it must never see its server's directory vanish.
struct Rig {
    terminal: Terminal,
    events: Receiver<Event>,
    tmux: PrivateTmux,
}

impl Rig {
    /// A terminal on a server that it starts itself.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let tmux = PrivateTmux::new();
        let mut settings = settings(&tmux);
        change(&mut settings);
        Self::start(tmux, settings)
    }

    fn start(tmux: PrivateTmux, settings: Settings) -> Self {
        let (sender, events) = unbounded();
        let terminal = Terminal::spawn(settings, sender).unwrap();
        Self { terminal, events, tmux }
    }

    fn connected() -> Self {
        let rig = Self::new();
        rig.connects();
        rig
    }

    #[track_caller]
    fn next(&self) -> Event {
        self.events.recv_timeout(SOON).expect("an event")
    }

    #[track_caller]
    fn connects(&self) {
        let event = self.next();
        assert!(matches!(event, Event::TerminalConnected), "{event:?}");
    }

    #[track_caller]
    fn loses(&self) -> String {
        match self.next() {
            Event::TerminalLost { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn list(&self) -> Vec<PaneSeen> {
        self.terminal.handle().list().unwrap()
    }

    fn pane(&self, session: &str) -> PaneSeen {
        let mut panes = self.list().into_iter().filter(|pane| pane.session == session);
        let pane = panes.next().expect("the session has a pane");
        assert!(panes.next().is_none(), "the session has one pane");
        pane
    }

    fn capture(&self, pane: PaneId) -> String {
        let texts = self.terminal.handle().capture(&[pane]).unwrap();
        texts.into_iter().next().map(|(_, text)| text).unwrap_or_default()
    }

    #[track_caller]
    fn shows(&self, pane: PaneId, text: &str) -> String {
        let is_shown = || Some(self.capture(pane)).filter(|screen| screen.contains(text));
        eventually_or(SOON, is_shown, || {
            format!("{text:?} in pane {pane}:\n{}", self.capture(pane))
        })
    }

    /// A session whose pane runs `command`.
    fn runs(&self, session: &str, command: &str) -> PaneSeen {
        let args = ["-s", session, "-x", "80", "-y", "24", command];
        self.tmux.run(&[&["new-session", "-d"], &args[..]].concat());
        self.pane(session)
    }

    /// A split whose person has typed something and not sent it, and whose keys go to all panes.
    fn split_in_step(&self, session: &str) -> PaneId {
        let target = format!("={session}:");
        let split = ["split-window", "-d", "-t", &target, "-P", "-F", "#{pane_id}", "exec cat"];
        let beside: PaneId = self.tmux.run(&split).parse().unwrap();
        self.tmux.run(&["send-keys", "-t", &beside.to_string(), "-l", "unsent"]);
        self.shows(beside, "unsent");
        self.tmux.run(&["set-option", "-w", "-t", &target, "synchronize-panes", "on"]);
        beside
    }

    /// A session whose pane runs `/bin/sh` at its prompt.
    fn shell(&self, session: &str) -> PaneSeen {
        self.tmux.run(&["new-session", "-d", "-s", session, "-x", "80", "-y", "24"]);
        let pane = self.pane(session);
        eventually("a prompt", SOON, || {
            let screen = self.capture(pane.pane);
            screen.trim_end().ends_with(['$', '#']).then_some(())
        });
        pane
    }

    fn order(&self, session: &str, pane: Option<PaneId>, fence: u64) -> LaunchAgent {
        LaunchAgent {
            order: OrderId(fence),
            session: name(session),
            pane,
            fence,
            account: "backup".parse().unwrap(),
            conversation: "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap(),
            home: self.tmux.path().join("home"),
            cwd: self.tmux.path().to_owned(),
            argv: vec!["claude".to_owned()],
            env: BTreeMap::new(),
        }
    }

    fn launch(&self, order: LaunchAgent) -> Result<PaneId, String> {
        self.terminal.order(Order::Launch(order)).unwrap();
        match self.next() {
            Event::AgentLaunched { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn create(&self, session: &str, cwd: &Path) -> Result<PaneId, String> {
        let order = OrderId(1);
        let (session, cwd) = (name(session), cwd.to_owned());
        let order = Order::Create { order, session, cwd };
        self.terminal.order(order).unwrap();
        match self.next() {
            Event::SessionCreated { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn read_pane(&self, session: &str, pane: PaneId) -> Result<Vec<ConversationId>, String> {
        let order = OrderId(1);
        let session = name(session);
        let order = Order::ReadPane { order, session, pane };
        self.terminal.order(order).unwrap();
        match self.next() {
            Event::PaneRead { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn paste(&self, session: &str, pane: PaneId, fence: u64, text: &str) -> Result<(), String> {
        let (reply, answer) = bounded(1);
        let line = PasteLine::new(text).unwrap();
        let session = name(session);
        let order = Order::Paste { session, pane, fence, line, reply };
        self.terminal.order(order).unwrap();
        answer.recv_timeout(SOON).unwrap()
    }

    /// The launch files of all starts so far, in order.
    fn starts(&self) -> Vec<String> {
        starts(self.tmux.path())
    }

    fn server(&self) -> Pid {
        server(&self.tmux)
    }
}

fn settings(tmux: &PrivateTmux) -> Settings {
    let home = tmux.path().join("home");
    fs::create_dir_all(&home).unwrap();
    let config = tmux.path().join("tmux.conf");
    let text = format!(
        "set -g default-shell /bin/sh\nset-environment -g HOME {}\nset-environment -g PS1 '$ '\n",
        home.display()
    );
    fs::write(&config, text).unwrap();
    let launcher = tmux.path().join("launcher");
    fs::write(&launcher, LAUNCHER).unwrap();
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o700)).unwrap();
    Settings {
        socket: Some(tmux.socket()),
        command: "tmux".to_owned(),
        extra_args: vec!["-f".to_owned(), config.to_string_lossy().into_owned()],
        start_server: true,
        deadline: Duration::from_secs(5),
        launcher,
        runtime_dir: tmux.path().join("run"),
    }
}

fn name(text: &str) -> SessionName {
    text.parse().unwrap()
}

fn starts(dir: &Path) -> Vec<String> {
    let log = fs::read_to_string(dir.join("launcher.log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

fn server(tmux: &PrivateTmux) -> Pid {
    let pid = tmux.run(&["display-message", "-p", "#{pid}"]);
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

/// A server that does not answer; it goes on when this is dropped, so that it can be killed.
struct Frozen(Pid);

impl Frozen {
    fn new(server: Pid) -> Self {
        kill_process(server, Signal::STOP).unwrap();
        let frozen = Self(server);
        let status = format!("/proc/{}/stat", server.as_raw_nonzero());
        eventually("stopped", SOON, || {
            let status = fs::read_to_string(&status).unwrap();
            status.contains(") T ").then_some(())
        });
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}
