//! The daemon comes and goes; sessions and agents stay.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, Talks};
use crate::daemon::hands::Pane;
use crate::daemon::layout::{Layout, pool};

/// A server that each of them could take along would die with near certainty.
const KILLS: usize = 25;

fn own_panes(fleet: &Fleet) -> Vec<Pane> {
    let names = fleet.layout.sessions();
    fleet.panes().into_iter().filter(|pane| names.contains(&pane.session)).collect()
}

#[test]
fn a_restart_adopts_what_is_there_and_starts_nothing() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let (panes, pids) = (own_panes(&fleet), fleet.agent_pids());
    fleet.stop_daemon();
    assert_eq!(
        (own_panes(&fleet), fleet.agent_pids()),
        (panes.clone(), pids.clone()),
        "after TERM"
    );
    fleet.start();
    fleet.await_adopted(&talks);
    assert_eq!(
        (own_panes(&fleet), fleet.agent_pids()),
        (panes.clone(), pids.clone()),
        "after a start"
    );
    fleet.kill_daemon();
    fleet.start();
    fleet.await_adopted(&talks);
    assert_eq!((own_panes(&fleet), fleet.agent_pids()), (panes, pids), "after kill -9");
    assert!(!fleet.log().contains("launching"), "nothing was to be launched");
}

/// A swap that is held up for two seconds by an agent that must be killed.
fn held_up() -> (Fleet, Talks) {
    let (fleet, talks) = Fleet::up(Layout { stop_grace: "2s", ..Layout::default() });
    fleet.freeze(&pool(2));
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Saved");
    (fleet, talks)
}

#[test]
fn a_stop_in_the_middle_of_a_swap_is_clean_and_the_next_start_finishes_it() {
    let (mut fleet, talks) = held_up();
    fleet.stop_daemon();
    let log = fleet.log();
    assert!(log.contains("agent stopped"), "what was in flight is recorded");
    assert!(!log.contains("phase=Flipped"), "nothing new is begun");
    fleet.start_with(None);
    let status = fleet.await_all_on("b", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "done");
}

#[test]
fn a_second_term_ends_the_daemon_at_once() {
    let (mut fleet, talks) = held_up();
    fleet.signal_daemon(Signal::TERM);
    fleet.await_log("draining");
    assert!(fleet.daemon_ended().is_none(), "it waits for the frozen agent's end");
    let asked = Instant::now();
    fleet.signal_daemon(Signal::TERM);
    let status = fleet.await_end();
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(!status.success() || status.signal().is_none(), "{status}");
    fleet.start_with(None);
    fleet.await_all_on("b", &talks);
}

#[test]
fn two_daemons_never_share_a_link() {
    let (fleet, _) = Fleet::up(Layout { dedicated: Vec::new(), pool: 1, ..Layout::default() });
    let root = fleet.root();
    let output = std::process::Command::new(crate::support::binary())
        .args(["run", "--config"])
        .arg(root.join("config.yaml"))
        .arg("--state-dir")
        .arg(root.join("state-2"))
        .arg("--runtime-dir")
        .arg(root.join("run-2"))
        .env("HOME", root.join("user"))
        .env("TMUX_TMPDIR", root.join("default-tmux"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.contains("one link can have only one daemon"), "{text}");
}

#[test]
fn the_tmux_server_outlives_daemons_that_are_killed() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    for _ in 0..KILLS {
        fleet.kill_daemon();
        fleet.start();
        fleet.assert_same_server();
    }
    fleet.await_adopted(&talks);
    assert_eq!(fleet.await_idle_or_waiting(), talks);
}
