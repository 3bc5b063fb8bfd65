//! What people do with a session beside the agent: they look from several terminals, scroll, move and
//! rename, and take the socket away.

use std::fs;
use std::time::Duration;

use claude_failover::terminal::Order;
use rustix::process::{Signal, kill_process};

use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Rig, SOON, name};

/// Columns and rows of the terminals of three people.
const SIZES: [(usize, usize); 3] = [(40, 10), (80, 24), (200, 50)];

/// A person at a terminal of this size.
fn attach(rig: &Rig, session: &str, (columns, rows): (usize, usize)) -> PrivateTmux {
    let outer = PrivateTmux::new();
    let socket = rig.tmux.socket();
    let attach = format!("env -u TMUX tmux -S {} attach -t '={session}:'", socket.display());
    let (columns, rows) = (columns.to_string(), rows.to_string());
    outer.run(&["new-session", "-d", "-x", &columns, "-y", &rows, &attach]);
    outer
}

fn size(rig: &Rig) -> String {
    rig.tmux.run(&["display-message", "-p", "-t", "=work:", "#{window_width}x#{window_height}"])
}

#[test]
fn three_clients_of_different_sizes_change_neither_what_is_read_nor_what_is_done() {
    let rig = Rig::connected();
    // Longer than the narrowest terminal is wide.
    let row = "a-row-of-one-hundred-characters-".repeat(4)[..100].to_owned();
    let shell = rig.shell("work");
    assert_eq!(size(&rig), "80x24", "our own client has no size");
    rig.tmux.run(&["send-keys", "-t", "=work:", "-l", &format!("echo {row}")]);
    rig.tmux.run(&["send-keys", "-t", "=work:", "Enter"]);
    let printed = format!("\n{row}\n");
    rig.shows(shell.pane, &printed);
    let mut people = Vec::new();
    for (count, of) in (1..).zip(SIZES) {
        people.push(attach(&rig, "work", of));
        eventually("attached", SOON, || (rig.pane("work").attached == count).then_some(()));
        // `window-size latest`: the one who came last; one row is the status line's.
        let wanted = format!("{}x{}", of.0, of.1 - 1);
        eventually(&format!("the size of {of:?}"), SOON, || (size(&rig) == wanted).then_some(()));
        // A row that was wrapped is one again for who reads it, however narrow the window is.
        rig.shows(shell.pane, &printed);
    }
    rig.terminal
        .order(Order::Tell { session: name("work"), text: "to all of you".to_owned() })
        .unwrap();
    for person in &people {
        eventually("each of them is told", SOON, || {
            person.run(&["capture-pane", "-p"]).contains("to all of you").then_some(())
        });
    }
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 1)), Ok(shell.pane));
    eventually("the agent is there", SOON, || (rig.starts().len() == 1).then_some(()));
    assert_eq!(rig.pane("work").attached, 3, "and all look on");
    let typed = format!("typed-{row}");
    assert_eq!(rig.paste("work", shell.pane, 2, &typed), Ok(()));
    rig.shows(shell.pane, &typed);
    // The narrowest first: in a window that is only as large, rows at the top leave the screen for good.
    for (person, left) in people.into_iter().zip((0..3).rev()) {
        drop(person);
        eventually("gone", SOON, || (rig.pane("work").attached == left).then_some(()));
    }
    rig.shows(shell.pane, &typed);
}

#[test]
fn a_launch_goes_through_to_a_pane_in_which_somebody_scrolls() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    let person = attach(&rig, "work", (80, 24));
    eventually("attached", SOON, || (rig.pane("work").attached == 1).then_some(()));
    rig.tmux.run(&["copy-mode", "-t", &shell.pane.to_string()]);
    assert!(rig.pane("work").in_mode);
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 1)), Ok(shell.pane));
    eventually("the agent is there", SOON, || (rig.starts().len() == 1).then_some(()));
    assert_ne!(rig.pane("work").leader_pid, shell.leader_pid);
    // Whoever scrolled sees the agent's screen again, or leaves the mode as ever.
    person.run(&["send-keys", "q"]);
    eventually("out of the mode", SOON, || (!rig.pane("work").in_mode).then_some(()));
    assert_eq!(rig.paste("work", shell.pane, 2, "typed"), Ok(()));
    rig.shows(shell.pane, "typed\n");
}

#[test]
fn a_pane_is_found_wherever_its_operator_moves_it() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    let pane = shell.pane.to_string();
    rig.tmux.run(&["split-window", "-d", "-b", "-t", &pane, "exec cat"]);
    assert_eq!(
        rig.launch(rig.order("work", Some(shell.pane), 1)),
        Ok(shell.pane),
        "the second one"
    );
    rig.tmux.run(&["break-pane", "-d", "-s", &pane]);
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 2)), Ok(shell.pane), "by itself");
    rig.tmux.run(&["move-window", "-d", "-s", &pane, "-t", "=work:7"]);
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 3)), Ok(shell.pane), "elsewhere");
    eventually("three starts", SOON, || (rig.starts().len() == 3).then_some(()));
    rig.tmux.run(&["new-session", "-d", "-s", "other", "exec cat"]);
    rig.tmux.run(&["join-pane", "-d", "-s", &pane, "-t", "=other:"]);
    let beside = rig.list().into_iter().filter(|pane| pane.session == "work").count();
    assert_eq!(beside, 1, "it is in another session now");
    let moved = rig.launch(rig.order("work", Some(shell.pane), 4)).unwrap();
    assert_ne!(moved, shell.pane, "what is in a session of others is not replaced");
    assert_eq!(
        rig.paste("work", shell.pane, 5, "x").unwrap_err().split(':').next(),
        Some("not done")
    );
}

#[test]
fn a_session_that_is_renamed_under_an_order_gets_nothing_of_it() {
    let rig = Rig::connected();
    let cat = rig.runs("work", "exec cat");
    rig.tmux.run(&["rename-session", "-t", "=work:", "mine"]);
    assert!(rig.paste("work", cat.pane, 1, "hit").is_err());
    let pane = rig.launch(rig.order("work", Some(cat.pane), 2)).unwrap();
    assert_ne!(pane, cat.pane);
    assert_eq!(rig.pane("mine").leader_pid, cat.leader_pid);
    assert_eq!((rig.pane("mine").fence, rig.pane("work").fence), (None, Some(2)));
    assert!(!rig.capture(cat.pane).contains("hit"));
}

#[test]
fn a_socket_that_is_taken_away_ends_nothing_and_comes_back_by_a_signal() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    let server = rig.server();
    fs::remove_file(rig.tmux.socket()).unwrap();
    // What is connected stays connected.
    assert_eq!(rig.pane("work").pane, shell.pane);
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 1)), Ok(shell.pane));
    assert!(!rig.tmux.socket().exists());
    kill_process(server, Signal::USR1).unwrap();
    eventually("the socket is back", SOON, || rig.tmux.socket().exists().then_some(()));
    assert_eq!(rig.server(), server);
    assert_eq!(rig.pane("work").fence, Some(1));
    assert!(rig.events.recv_timeout(Duration::from_millis(1)).is_err(), "nobody needs to know");
}

/// Who connects next asks the server for its file, and starts no second one beside it.
#[test]
fn a_server_without_its_socket_is_found_by_who_connects_next() {
    for start_server in [true, false] {
        let Rig { terminal, tmux, .. } = Rig::connected();
        tmux.run(&["new-session", "-d", "-s", "work", "exec cat"]);
        let server = crate::tmux::server(&tmux);
        drop(terminal);
        fs::remove_file(tmux.socket()).unwrap();
        let mut settings = crate::tmux::settings(&tmux);
        settings.start_server = start_server;
        let rig = Rig::start(tmux, settings);
        let reason = rig.loses();
        let pid = server.as_raw_nonzero();
        assert!(reason.contains(&format!("process {pid}, which runs it, is asked")), "{reason}");
        rig.connects();
        assert_eq!(rig.server(), server);
        assert_eq!(rig.pane("work").session, "work");
    }
}
