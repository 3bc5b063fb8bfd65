//! What systemd is told, and what of it reaches nobody else.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use claude_failover::systemd::VARIABLES;
use fs_err as fs;
use serde_json::Value;

use crate::edges::site::Site;
use crate::support::free_port;

/// The datagrams of one daemon.
pub struct Manager {
    pub socket: UnixDatagram,
}

impl Manager {
    pub fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket }
    }

    /// Its own environment for the daemon of a site.
    fn of(site: &Site) -> (Self, Command) {
        let mut command = site.run_command();
        command.env("NOTIFY_SOCKET", site.at("notify"));
        (Self::new(&site.at("notify")), command)
    }

    #[track_caller]
    pub fn next(&self) -> String {
        let mut bytes = [0; 4096];
        loop {
            match self.socket.recv(&mut bytes) {
                Ok(length) => {
                    return String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned();
                }
                // Other tests raise signals in this process.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("a message in time: {error}"),
            }
        }
    }

    /// The next message that is neither a sign of life nor a line of status.
    #[track_caller]
    pub fn next_news(&self) -> String {
        self.next_but(&["WATCHDOG=1", "STATUS="])
    }

    #[track_caller]
    fn next_status(&self) -> String {
        let message = self.next_but(&["WATCHDOG=1"]);
        message.strip_prefix("STATUS=").unwrap_or_else(|| panic!("{message:?}")).to_owned()
    }

    #[track_caller]
    fn next_but(&self, unwanted: &[&str]) -> String {
        loop {
            let message = self.next();
            if !unwanted.iter().any(|start| message.starts_with(start)) {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_life_and_end() {
    let site = Site::new();
    let port = free_port();
    site.edit("http: {listen: null}", &format!("http: {{listen: \"127.0.0.1:{port}\"}}"));
    let (manager, mut command) = Manager::of(&site);
    command.env("WATCHDOG_USEC", "400000");
    let daemon = site.start_as(command);
    assert_eq!(manager.next_news(), "READY=1");
    // Ready means that both doors are open, and that the first state is there to be read.
    let status = daemon.status();
    assert_eq!(status["version"], 1);
    assert_eq!(status["daemon"]["commit"], serde_json::json!(claude_failover::version::COMMIT));
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    for _ in 0..3 {
        assert_eq!(manager.next_but(&["STATUS="]), "WATCHDOG=1");
    }
    daemon.signal("-HUP");
    let reloading = manager.next_news();
    let (state, moment) = reloading.split_once('\n').expect("two lines");
    assert_eq!(state, "RELOADING=1");
    let moment = moment.strip_prefix("MONOTONIC_USEC=").expect("the moment");
    assert!(moment.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next_news(), "READY=1");
    site.write_config("nothing: good");
    daemon.signal("-HUP");
    assert!(manager.next_news().starts_with("RELOADING=1\n"));
    assert_eq!(manager.next_news(), "READY=1");
    // The end of a reload means that it is in force, or refused, and can be seen.
    assert_ne!(daemon.status()["config_problems"], serde_json::json!([]));
    daemon.drained();
    // 10 s for what is in flight, 60 s for the question to an account, 15 s beside.
    assert_eq!(manager.next_news(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=85000000");
}

#[test]
fn the_line_of_status_tells_the_state_and_is_told_when_it_changes() {
    let site = Site::new();
    let (manager, command) = Manager::of(&site);
    let daemon = site.start_as(command);
    let mut heard: Vec<String> = Vec::new();
    let mut hear = |start: &str| {
        while !heard.iter().any(|message| message.starts_with(start)) {
            heard.push(manager.next());
        }
        heard.clone()
    };
    let first = hear("READY=1").swap_remove(0);
    assert!(first.starts_with("STATUS=starting on a; sessions 0/1, agents 0; tasks"), "{first}");
    let well = "on a; sessions 1/1, agents 0; tasks 0 in hand, 0 ready";
    hear(&format!("STATUS=normal {well}"));
    // Much is looked at that changes nothing of it, and so nobody hears of that.
    let looked = |status: &Value| status["at"].as_str().map(str::to_owned);
    let before = looked(&daemon.status());
    daemon.status_when("more is published", |status| looked(status) > before);
    site.write_config("nothing: good");
    daemon.signal("-HUP");
    let all = hear(&format!("STATUS=degraded {well}; reload refused: "));
    let lines: Vec<&String> = all.iter().filter(|line| line.starts_with("STATUS=")).collect();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{lines:#?}");
    daemon.drained();
}

#[test]
fn a_start_that_fails_leaves_its_reason_with_the_manager() {
    let site = Site::new();
    let (manager, command) = Manager::of(&site);
    site.write_config("nothing: good\nmore: bad\n");
    let mut daemon = site.start_as(command);
    assert_eq!(daemon.ended().code(), Some(78));
    let why = manager.next_status();
    let config = site.config();
    let start = format!(" problems, the first: {}", config.display());
    assert!(why.contains(&start) && !why.contains('\n'), "{why}");
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 8]).is_err(), "it was never ready");
}

#[test]
fn without_a_watchdog_nothing_is_fed_and_a_dead_manager_is_no_harm() {
    let site = Site::new();
    let (manager, command) = Manager::of(&site);
    let daemon = site.start_as(command);
    assert_eq!(manager.next_but(&["STATUS="]), "READY=1");
    drop(manager);
    daemon.normal();
    daemon.drained();
}

#[test]
fn a_manager_that_does_not_read_does_not_hold_the_daemon() {
    let site = Site::new();
    let (manager, mut command) = Manager::of(&site);
    command.env("WATCHDOG_USEC", "100000");
    let full = UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send_to(b"X=1", site.at("notify")).is_ok() {}
    let daemon = site.start_as(command);
    daemon.says("systemd: could not send \"READY=1\"");
    daemon.normal();
    daemon.drained();
    drop(manager);
}

#[test]
fn variables_of_the_service_reach_neither_the_tmux_server_nor_a_pane() {
    let site = Site::new();
    // Not as the notification variables of a real manager: those would be spoken to.
    let mut command = site.run_command();
    for name in VARIABLES {
        if name != "NOTIFY_SOCKET" {
            command.env(name, "1");
        }
    }
    command.env("NOTIFY_SOCKET", site.at("nobody-listens"));
    command.env("ANTHROPIC_API_KEY", "not-a-key");
    let daemon = site.start_as(command);
    daemon.status_when("the session exists", |status| status["sessions"][0]["exists"] == true);
    let server = site.tmux(&["display-message", "-p", "#{pid}"]).stdout;
    let server: i32 = String::from_utf8(server).unwrap().trim().parse().unwrap();
    let pane = site.panes(Site::tmux)["site"];
    for pid in [server, pane] {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let names: BTreeSet<String> = environment
            .split(|byte| *byte == 0)
            .filter_map(|entry| String::from_utf8_lossy(entry).split_once('=').map(|e| e.0.into()))
            .collect();
        assert!(names.contains("HOME"), "nothing was read of {pid}: {names:?}");
        let leaked: Vec<&str> = VARIABLES
            .into_iter()
            .chain(["ANTHROPIC_API_KEY"])
            .filter(|name| names.contains(*name))
            .collect();
        assert!(leaked.is_empty(), "process {pid} has {leaked:?}");
    }
    daemon.drained();
}
