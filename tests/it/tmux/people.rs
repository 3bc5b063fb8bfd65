//! Beside others: operators who look, other daemons, other servers.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_failover::ids::PaneId;
use claude_failover::terminal::error::TerminalError;
use claude_failover::terminal::{Order, probe};
use rustix::process::{Signal, kill_process};

use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Frozen, Rig, SOON, name, server};

#[test]
fn an_attached_operator_is_told_and_keeps_his_window() {
    let rig = Rig::connected();
    let editor = rig.runs("work", "exec cat");
    let outer = PrivateTmux::new();
    let attach = format!("env -u TMUX tmux -S {} attach -t =work:", rig.tmux.socket().display());
    outer.run(&["new-session", "-d", "-x", "120", "-y", "20", &attach]);
    eventually("attached", SOON, || (rig.pane("work").attached == 1).then_some(()));

    rig.terminal
        .order(Order::Tell { session: name("work"), text: "50 % of #{pid} left\nnow".to_owned() })
        .unwrap();
    eventually("the message", SOON, || {
        outer.run(&["capture-pane", "-p"]).contains("50 % of #{pid} left now").then_some(())
    });
    let pane = rig.launch(rig.order("work", Some(editor.pane), 1)).unwrap();
    let panes = rig.list();
    let active: Vec<PaneId> =
        panes.iter().filter(|pane| pane.active).map(|pane| pane.pane).collect();
    assert_eq!(active, [editor.pane]);
    let said = format!("goes on in a new window ({pane})");
    eventually("the second message", SOON, || {
        outer.run(&["capture-pane", "-p"]).contains(&said).then_some(())
    });
    rig.terminal.order(Order::Tell { session: name("nobody"), text: "lost".to_owned() }).unwrap();
    assert_eq!(rig.list().len(), 2);
}

#[test]
fn a_line_is_typed_past_copy_mode_and_at_most_once() {
    let rig = Rig::connected();
    let pane = rig.runs("work", "exec cat").pane;
    rig.tmux.run(&["copy-mode", "-t", &pane.to_string()]);
    assert!(rig.pane("work").in_mode);
    let text = "-x $HOME #{pid} \"q\" é; end;";
    assert_eq!(rig.paste("work", pane, 1, text), Ok(()));
    // Once as the terminal echoes it, once as `cat` read it.
    let screen = rig.shows(pane, &format!("{text}\n{text}\n"));
    assert_eq!(screen.matches("end;").count(), 2);
    assert!(!rig.pane("work").in_mode);
    assert_eq!(rig.paste("work", pane, 1, text), Ok(()), "it has run");
    assert_eq!(rig.paste("work", pane, 3, "marker"), Ok(()));
    let late = rig.paste("work", pane, 2, text).unwrap_err();
    assert!(late.contains("not done"), "{late}");
    let screen = rig.shows(pane, "marker\nmarker\n");
    assert_eq!(screen.matches("end;").count(), 2);
    assert_eq!(rig.tmux.run(&["list-buffers"]), "");
}

#[test]
fn a_dead_pane_takes_no_line_and_the_server_lives() {
    let rig = Rig::connected();
    rig.shell("work");
    rig.tmux.run(&["set-option", "-g", "remain-on-exit", "on"]);
    rig.runs("dead", "true");
    eventually("the pane is dead", SOON, || rig.pane("dead").dead.then_some(()));
    let dead = rig.pane("dead");
    let server = rig.server();
    assert!(rig.paste("dead", dead.pane, 1, "hello").unwrap_err().contains("dead"));
    assert_eq!(rig.server(), server);
    assert_eq!(rig.launch(rig.order("dead", Some(dead.pane), 2)), Ok(dead.pane));
    assert!(!rig.pane("dead").dead);
}

#[test]
fn a_server_has_one_living_owner() {
    let rig = Rig::connected();
    let handle = rig.terminal.handle();
    let owner = || rig.tmux.run(&["show-options", "-s", "-v", "@failover_owner"]);
    handle.claim_owner("1@1:/a, b}").unwrap();
    assert_eq!(owner(), "1@1:/a, b}");
    handle.claim_owner("2@2:/other").unwrap();
    assert_eq!(owner(), "2@2:/other", "a dead owner is replaced");

    let mut child = Waiting::new();
    let living = child.identity("/b");
    rig.tmux.run(&["set-option", "-s", "@failover_owner", &living]);
    let error = handle.claim_owner("2@2:/other").unwrap_err();
    assert!(matches!(&error, TerminalError::Owned { owner, .. } if *owner == living), "{error}");
    handle.claim_owner(&living).unwrap();
    child.end();
    handle.claim_owner("3@3:/c").unwrap();

    kill_process(rig.server(), Signal::KILL).unwrap();
    rig.loses();
    rig.connects();
    assert_eq!(owner(), "3@3:/c", "a new server is claimed again");
}

/// A living process of ours.
struct Waiting(Child);

impl Waiting {
    fn new() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).spawn().unwrap())
    }

    fn identity(&self, link: &str) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let ticks = stat.rsplit_once(')').unwrap().1.split(' ').nth(20).unwrap();
        format!("{}@{ticks}:{link}", self.0.id())
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn another_server_is_looked_at_without_starting_or_waiting_for_it() {
    let tmux = PrivateTmux::new();
    let limit = Duration::from_millis(500);
    assert!(probe::version("tmux", SOON).unwrap() >= (3, 2));
    assert_eq!(probe::sessions_on("tmux", &tmux.socket(), limit).unwrap(), [""; 0]);
    assert!(!tmux.socket().exists());
    tmux.run(&["new-session", "-d", "-s", "ccl-1", "exec cat"]);
    assert_eq!(probe::sessions_on("tmux", &tmux.socket(), SOON).unwrap(), ["ccl-1"]);
    let frozen = Frozen::new(server(&tmux));
    let error = probe::sessions_on("tmux", &tmux.socket(), limit).unwrap_err();
    assert!(matches!(error, TerminalError::TimedOut { .. }), "{error}");
    drop(frozen);
    kill_process(server(&tmux), Signal::KILL).unwrap();
    eventually("no server", SOON, || {
        probe::sessions_on("tmux", &tmux.socket(), SOON).ok().filter(Vec::is_empty)
    });
}
