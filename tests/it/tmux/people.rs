//! Beside others: operators who look, other daemons, other servers.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_failover::clock::Clock;
use claude_failover::ids::PaneId;
use claude_failover::terminal::error::TerminalError;
use claude_failover::terminal::{Order, probe};
use rustix::process::{Signal, kill_process};

use crate::descriptors::{take_all_but, with_few};
use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Frozen, MODES, Rig, SOON, name, server};

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

/// A person at a terminal of his own, attached to this session.
fn attach(rig: &Rig, session: &str) -> PrivateTmux {
    let outer = PrivateTmux::new();
    let socket = rig.tmux.socket();
    let attach = format!("env -u TMUX tmux -S {} attach -t '={session}:'", socket.display());
    outer.run(&["new-session", "-d", "-x", "120", "-y", "20", &attach]);
    outer
}

#[test]
fn a_session_tells_when_a_person_last_typed_in_it() {
    let rig = Rig::connected();
    let pane = rig.runs("work", "exec cat").pane;
    let own = rig.tmux.run(&["list-clients", "-F", "#{client_control_mode} #{session_name}"]);
    assert_eq!(own, "1 _claude-failover", "our own client is attached, and nobody else");
    let typed_s = || rig.pane("work").typed_at.map(|at| at.0.div_euclid(1000));
    assert_eq!(typed_s(), None);

    let begun = now_s();
    let person = attach(&rig, "work");
    // Whoever has only looked so far came at most then; from then on a second has passed.
    let came = eventually("attached", SOON, || typed_s().filter(|came| now_s() > came + 1));
    assert!(came >= begun, "{came} is before {begun}");
    assert_eq!(rig.paste("work", pane, 1, "ours"), Ok(()));
    rig.shows(pane, "ours\nours\n");
    rig.tmux.run(&["send-keys", "-t", "=work:", "-l", "a program's"]);
    rig.shows(pane, "a program's");
    assert_eq!(typed_s(), Some(came), "no person typed that");

    let before = now_s();
    person.run(&["send-keys", "-l", " a person's"]);
    rig.shows(pane, " a person's");
    let at = typed_s().unwrap();
    assert!((before..=now_s()).contains(&at), "{at} is not about {before}");
    drop(person);
    eventually("detached", SOON, || typed_s().is_none().then_some(()));
}

#[test]
fn typing_counts_for_the_session_it_is_done_in() {
    let rig = Rig::connected();
    rig.runs("work", "exec cat");
    rig.runs("a b %1", "exec cat");
    rig.tmux.run(&["new-session", "-d", "-t", "=a b %1:", "-s", "beside"]);
    let typed = || -> Vec<String> {
        let panes = rig.list().into_iter().filter(|pane| pane.typed_at.is_some());
        panes.map(|pane| pane.session).collect()
    };
    let _person = attach(&rig, "a b %1");
    eventually("attached", SOON, || (typed() == ["a b %1"]).then_some(()));
    let mut program = Waiting(control_client(&rig.tmux.socket()));
    eventually("a control client", SOON, || (rig.pane("work").attached == 1).then_some(()));
    assert_eq!(typed(), ["a b %1"], "a program types nothing");
    program.end();
    let clients = rig.tmux.run(&["list-clients", "-t", "=a b %1:", "-F", "#{client_name}"]);
    rig.tmux.run(&["switch-client", "-c", &clients, "-t", "=beside:"]);
    assert_eq!(typed(), ["beside"], "of two sessions with the same window");
}

fn now_s() -> i64 {
    Clock::start().wall().0.div_euclid(1000)
}

fn control_client(socket: &Path) -> Child {
    let mut tmux = Command::new("tmux");
    tmux.arg("-S").arg(socket).args(["-C", "attach", "-t", "=work:"]);
    tmux.env_remove("TMUX").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_line_is_typed_past_all_modes_and_at_most_once() {
    let rig = Rig::connected();
    let pane = rig.runs("work", "exec cat").pane;
    for mode in MODES {
        rig.tmux.run(&[mode, "-t", &pane.to_string()]);
    }
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
fn no_line_is_typed_that_would_go_to_a_split_too() {
    let rig = Rig::connected();
    let pane = rig.runs("work", "exec cat").pane;
    let beside = rig.split_in_step("work");
    let error = rig.paste("work", pane, 1, "hello").unwrap_err();
    assert!(error.contains("not done") && error.contains("synchronize-panes"), "{error}");
    rig.tmux.run(&["set-option", "-w", "-t", "=work:", "synchronize-panes", "off"]);
    assert_eq!(rig.paste("work", pane, 1, "hello"), Ok(()));
    rig.shows(pane, "hello\nhello\n");
    assert_eq!(rig.capture(beside).matches("unsent").count(), 1, "nobody has sent it");
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

#[test]
fn the_server_of_an_owner_who_cannot_be_looked_at_is_not_taken() {
    let name = "tmux::people::the_server_of_an_owner_who_cannot_be_looked_at_is_not_taken";
    with_few(name, || {
        let rig = Rig::connected();
        let handle = rig.terminal.handle();
        let mut child = Waiting::new();
        let living = child.identity("/b");
        rig.tmux.run(&["set-option", "-s", "@failover_owner", &living]);
        let taken = take_all_but(0);
        let claimed = handle.claim_owner("2@2:/other");
        drop(taken);
        let owner = rig.tmux.run(&["show-options", "-s", "-v", "@failover_owner"]);
        child.end();
        assert!(
            matches!(&claimed, Err(TerminalError::Owned { owner, .. }) if owner.starts_with(&living)),
            "{claimed:?}"
        );
        assert_eq!(owner, living);
    });
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
