//! What a person does to sessions and to the server while the daemon runs: renames them, restarts it,
//! takes its socket away. No conversation is lost, and none runs twice.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, SOON, SWAP, Talks, kill, session_row};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

/// How often each conversation runs, wherever it does.
fn running(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for talk in outside::agents(fleet.root()).into_iter().filter_map(|agent| agent.conversation) {
        *count.entry(talk).or_default() += 1;
    }
    count
}

/// Until the daemon has them all in their places and is at rest. At no moment on the way does one run
/// twice.
#[track_caller]
pub fn await_each_once(fleet: &Fleet, talks: &Talks) {
    eventually("each conversation runs once, in its session", SWAP * 2, || {
        let running = running(fleet);
        assert!(running.values().all(|count| *count == 1), "{running:?}");
        let status = fleet.status();
        let in_place = talks.iter().all(|(session, talk)| {
            let row = session_row(&status, session);
            row["agent"]["conversation"] == talk.as_str() && row["move"].is_null()
        });
        (in_place && status["state"] == "normal" && running.len() == talks.len()).then_some(())
    });
}

#[test]
fn a_renamed_session_is_made_anew_and_its_conversation_runs_once() {
    let (fleet, talks) = Fleet::up(Layout::default());
    for (session, renamed) in [(DEDICATED, "mine"), (pool(1).as_str(), "yours")] {
        let pane = fleet.pane(session);
        fleet.tmux(&["rename-session", "-t", &format!("={session}:"), renamed]).unwrap();
        fleet.await_log(&format!("session={session} lost with its agent"));
        await_each_once(&fleet, &talks);
        assert_ne!(fleet.pane(session).id, pane.id);
        assert_eq!(
            fleet.pane(renamed),
            crate::daemon::hands::Pane { session: renamed.to_owned(), ..pane },
            "the renamed one stays as it is, with its shell"
        );
    }
    fleet.assert_same_server();
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
}

/// What it was told while it hung it may do when it goes on.
#[test]
fn a_server_that_hangs_in_the_middle_of_a_swap_starts_no_agent_twice() {
    let (fleet, talks) = Fleet::up(Layout { stop_grace: "2s", ..Layout::default() });
    let server: i32 = fleet.server_pid().unwrap().parse().unwrap();
    // Its end takes the whole grace, and all launches come behind it.
    fleet.freeze(&pool(2));
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Saved");
    kill(server, Signal::STOP);
    fleet.await_log("phase=Flipped");
    fleet.await_log("tmux server unreachable");
    kill(server, Signal::CONT);
    await_each_once(&fleet, &talks);
    fleet.await_all_on("b", &talks);
}

#[test]
fn a_server_restarted_by_hand_is_taken_as_it_is() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let before = fleet.agent_pids();
    fleet.server = None;
    let old: i32 = fleet.server_pid().unwrap().parse().unwrap();
    fleet.tmux(&["kill-server"]).unwrap();
    eventually("the server is gone", SOON, || (!outside::is_alive(old)).then_some(()));
    // The daemon may have been quicker; either way there is one server, with what a person wants in it.
    eventually("a person's own session", SOON, || {
        fleet.tmux(&["new-session", "-d", "-s", "mine", "exec cat"]).ok()
    });
    await_each_once(&fleet, &talks);
    assert!(fleet.agent_pids().iter().all(|(session, pid)| before[session] != *pid));
    assert_eq!(fleet.panes().iter().filter(|pane| pane.session == "mine").count(), 1);
}

#[test]
fn a_socket_that_is_taken_away_costs_no_conversation_also_over_a_restart() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let old: i32 = fleet.server_pid().unwrap().parse().unwrap();
    let socket = fleet.root().join("tmux/tmux.sock");
    fs::remove_file(&socket).unwrap();
    // What is connected works on, also through a swap.
    let pids = |fleet: &Fleet| {
        let agents = outside::agents(fleet.root());
        agents.into_iter().map(|agent| agent.pid).collect::<Vec<_>>()
    };
    let before = pids(&fleet);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_status("swapped", |status| {
        status["active_account"] == "b" && status["state"] == "normal"
    });
    await_each_once(&fleet, &talks);
    assert!(pids(&fleet).iter().all(|pid| !before.contains(pid)));
    assert!(!socket.exists(), "it was the same server");
    // A daemon that starts now has the server make it anew; a second one would split the fleet.
    let before = pids(&fleet);
    fleet.kill_daemon();
    fleet.start_with(None);
    await_each_once(&fleet, &talks);
    assert_eq!(fleet.server_pid(), Some(old.to_string()));
    assert_eq!(pids(&fleet), before, "nobody is ended for it");
}
