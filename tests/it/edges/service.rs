//! What systemd is told, and what of it reaches nobody else.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use claude_failover::systemd::VARIABLES;
use fs_err as fs;

use crate::edges::site::Site;

/// The datagrams of one daemon.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn new(site: &Site) -> Self {
        let socket = UnixDatagram::bind(site.at("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket }
    }

    #[track_caller]
    fn next(&self) -> String {
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

    /// The next message that is no sign of life.
    #[track_caller]
    fn next_news(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_life_and_end() {
    let site = Site::new();
    let manager = Manager::new(&site);
    let mut command = site.run_command();
    command.env("NOTIFY_SOCKET", site.at("notify")).env("WATCHDOG_USEC", "400000");
    let daemon = site.start_as(command);
    assert_eq!(manager.next_news(), "READY=1");
    // Ready means that the first state is there to be read.
    assert_eq!(daemon.status()["version"], 1);
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
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
    daemon.drained();
    assert_eq!(manager.next_news(), "STOPPING=1");
}

#[test]
fn without_a_watchdog_nothing_is_fed_and_a_dead_manager_is_no_harm() {
    let site = Site::new();
    let manager = Manager::new(&site);
    let mut command = site.run_command();
    command.env("NOTIFY_SOCKET", site.at("notify"));
    let daemon = site.start_as(command);
    assert_eq!(manager.next(), "READY=1");
    drop(manager);
    daemon.normal();
    daemon.drained();
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
