//! The daemon comes and goes; sessions and agents stay.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, Talks};
use crate::daemon::hands::Pane;
use crate::daemon::inboxes::{TASK, task_text};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::edges::service::Manager;
use crate::support::eventually;

/// A server that each of them could take along would die with near certainty.
const KILLS: usize = 25;

/// Enough for some ten restarts while four agents work on them.
const TASKS: usize = 24;
const RESTARTS_MAX: usize = 60;

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
    assert!(log.contains("agent is stopped"), "what was in flight is recorded");
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
fn the_service_manager_hears_of_the_end_when_it_begins() {
    let (mut fleet, talks) = Fleet::up(Layout { stop_grace: "2s", ..Layout::default() });
    let socket = fleet.root().join("notify");
    let manager = Manager::new(&socket);
    fleet.stop_daemon();
    fleet.notify = Some(socket);
    fleet.start();
    fleet.await_adopted(&talks);
    assert_eq!(manager.next_news(), "READY=1");
    fleet.freeze(&pool(2));
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Saved");
    fleet.signal_daemon(Signal::TERM);
    assert!(manager.next_news().starts_with("STOPPING=1\n"));
    assert!(fleet.daemon_ended().is_none(), "it waits for the frozen agent's end");
    assert_eq!(fleet.await_end().code(), Some(0));
}

/// Number, name and first pane of every session: a session that was made anew has others.
fn identities(fleet: &Fleet) -> String {
    let row = "#{session_id} #{session_name} #{session_created} #{pane_id}";
    let rows = fleet.tmux(&["list-panes", "-a", "-F", row]).unwrap();
    let names = fleet.layout.sessions();
    let ours = rows.lines().filter(|row| names.iter().any(|name| row.contains(name.as_str())));
    ours.collect::<Vec<_>>().join("\n")
}

#[test]
fn restarts_under_load_end_no_session_and_no_agent_of_an_operator() {
    let layout = Layout { pool: 4, per_project: 2, cooldown: "0s", ..Layout::default() };
    let (mut fleet, talks) = Fleet::with_free_pool(layout);
    let before = (identities(&fleet), fleet.agent(DEDICATED).pid);
    let tasks: Vec<String> = (0..TASKS).map(|n| format!("p{}:t{n}", n % 4)).collect();
    for task in &tasks {
        fleet.submit(task, &task_text("work 300ms"));
    }
    // A neighbour in the operator's session that prints as fast as it can.
    let flood = format!("={DEDICATED}:");
    fleet.tmux(&["new-window", "-d", "-t", &flood, "yes"]).unwrap();
    let mut restarts = 0;
    while !tasks.iter().all(|task| fleet.parts_of(task) != ["inbox"]) {
        assert!(restarts < RESTARTS_MAX, "tasks are left after {restarts} restarts");
        match restarts % 2 {
            0 => fleet.stop_daemon(),
            _ => fleet.kill_daemon(),
        }
        fleet.start();
        fleet.assert_same_server();
        restarts += 1;
        let ended = tasks.iter().filter(|task| fleet.parts_of(task) != ["inbox"]).count();
        // Some work between two restarts: one more task is over.
        eventually("one more task has ended", TASK, || {
            let now = tasks.iter().filter(|task| fleet.parts_of(task) != ["inbox"]).count();
            (now > ended || now == tasks.len()).then_some(())
        });
    }
    for task in &tasks {
        let result = fleet.await_result(task);
        assert!(result.done, "{task}: {result:?}");
        let id = task.split_once(':').unwrap().1;
        assert_eq!(fleet.told_of(id), ["received", "done"], "{task} has reached one agent, once");
    }
    assert!(restarts >= 3, "{restarts} restarts are no load");
    fleet.await_adopted(&talks);
    let without_flood = |text: String| {
        text.lines().filter(|row| before.0.contains(row)).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_flood(identities(&fleet)), before.0);
    assert_eq!(fleet.agent(DEDICATED).pid, before.1);
    println!("{restarts} restarts beside {TASKS} tasks");
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
