//! Sessions that are lost and come back, and sessions that are none of ours.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::fleet::{Fleet, SOON, Talks, kill, session_row};
use crate::daemon::layout::{self, DEDICATED, Dedicated, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

const LEFT_ALONE: &str = "ccl-2-beta";

fn with_two_dedicated() -> Layout {
    let dedicated = vec![
        Dedicated { name: DEDICATED, resume_after_loss: true },
        Dedicated { name: LEFT_ALONE, resume_after_loss: false },
    ];
    Layout { dedicated, ..Layout::default() }
}

#[track_caller]
fn assert_in_place(fleet: &Fleet, session: &str) {
    let format = ["display-message", "-p", "-t", &format!("={session}:"), "#{pane_current_path}"];
    let cwd = fleet.tmux(&format).unwrap();
    assert_eq!(cwd, layout::project(fleet.root(), session).to_str().unwrap(), "{session}");
}

/// The loss of each was recorded, and each is there again, with its conversation where wanted.
#[track_caller]
fn await_back(fleet: &Fleet, lost: &Talks) -> Value {
    for session in lost.keys() {
        fleet.await_log(&format!("session={session} lost with its agent at=20"));
    }
    fleet.await_status("the lost ones are back", |status| {
        let back = lost.iter().all(|(session, talk)| {
            let row = session_row(status, session);
            let resumed = row["agent"]["conversation"] == talk.as_str() && row["move"].is_null();
            let wanted = resumed || session == LEFT_ALONE;
            row["exists"] == true && wanted
        });
        back && status["state"] == "normal"
    })
}

#[test]
fn a_lost_session_comes_back_in_its_directory_with_its_conversation() {
    let (fleet, talks) = Fleet::up(with_two_dedicated());
    let before = fleet.agent_pids();
    for session in [DEDICATED, LEFT_ALONE, &pool(1)] {
        fleet.tmux(&["kill-session", "-t", &format!("={session}")]).unwrap();
    }
    let mut back = talks.clone();
    back.remove(&pool(2));
    let status = await_back(&fleet, &back);
    for session in [DEDICATED, &pool(1)] {
        let agent = fleet.agent(session);
        assert_ne!(agent.pid, before[session]);
        assert_eq!(agent.homed, Some(fleet.home("a")), "{session}");
        assert_in_place(&fleet, session);
    }
    assert_eq!(fleet.agent(&pool(2)).pid, before[&pool(2)]);
    assert!(!fleet.agents().contains_key(LEFT_ALONE), "its operator wants a shell");
    assert_in_place(&fleet, LEFT_ALONE);
    assert!(!session_row(&status, LEFT_ALONE)["lost_at"].is_null());
    let (prompts, _) = outside::transcript(fleet.root(), &talks[&pool(1)]);
    assert_eq!(prompts, ["first words"], "it was in no turn: nothing to go on with");
}

/// As a script does it while nobody looks.
#[test]
fn the_agent_of_a_session_that_somebody_else_has_made_anew_is_resumed_there() {
    // tmux dates a session by the second, and clocks are allowed to differ by some.
    const TOLD_APART: Duration = Duration::from_secs(7);
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let up = Instant::now();
    let before = fleet.agent_pids();
    eventually("it is another moment", SOON, || (up.elapsed() > TOLD_APART).then_some(()));
    fleet.kill_daemon();
    fleet.tmux(&["kill-session", "-t", &format!("={DEDICATED}")]).unwrap();
    fleet.tmux(&["new-session", "-d", "-s", DEDICATED]).unwrap();
    let made = fleet.pane(DEDICATED).id;
    fleet.start();
    await_back(&fleet, &Talks::from([(DEDICATED.to_owned(), talks[DEDICATED].clone())]));
    assert_ne!(fleet.agent(DEDICATED).pid, before[DEDICATED]);
    assert_eq!(fleet.agent(DEDICATED).conversation.as_deref(), Some(&*talks[DEDICATED]));
    assert_eq!(fleet.pane(DEDICATED).id, made, "it is used as it is");
}

#[test]
fn a_killed_tmux_server_comes_back_with_all_sessions_and_conversations() {
    let (fleet, talks) = Fleet::up(with_two_dedicated());
    let server = fleet.tmux(&["display-message", "-p", "#{pid}"]).unwrap();
    kill(server.parse().unwrap(), Signal::KILL);
    await_back(&fleet, &talks);
    let mut back = talks;
    back.remove(LEFT_ALONE);
    let agents = fleet.agents();
    assert_eq!(agents.keys().collect::<Vec<_>>(), back.keys().collect::<Vec<_>>());
    for (session, talk) in &back {
        assert_eq!(fleet.agent(session).conversation.as_ref(), Some(talk));
        assert_in_place(&fleet, session);
    }
}

#[test]
fn a_session_lost_in_the_middle_of_a_swap_is_made_anew_and_resumed() {
    let (fleet, talks) = Fleet::up(Layout { stop_grace: "2s", ..Layout::default() });
    fleet.freeze(&pool(2));
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Saved");
    fleet.tmux(&["kill-session", "-t", &format!("={}", pool(1))]).unwrap();
    fleet.await_all_on("b", &talks);
    assert_in_place(&fleet, &pool(1));
}

#[test]
fn sessions_of_others_are_neither_read_nor_typed_into_nor_ended() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    let strangers = ["ccl-0", "auto-99", "ccl-auto-10", "ccl-auto-12", "ccl-1-alpha-2"];
    for session in strangers {
        fleet.tmux(&["new-session", "-d", "-s", session, "-x", "100", "-y", "30"]).unwrap();
        fleet.await_shell(&fleet.pane(session).id);
    }
    // tmux itself keeps the list of panes whose content was asked for.
    let hook = ["set-hook", "-g", "after-capture-pane", "set-option -gaF @captured ' #{pane_id}'"];
    fleet.tmux(&hook).unwrap();
    fleet.start();
    fleet.await_sessions();
    fleet.exhaust("a", 2 * 3600);
    fleet.start_agent("ccl-0", Some("a"), "'refuse me'");
    fleet.type_line(&fleet.pane("auto-99").id, "cat");
    fleet.shows(&fleet.pane("ccl-0").id, "You've hit your 5-hour limit");
    let stranger = fleet.agent("ccl-0").pid;
    fleet.script("a", "ok");
    for session in fleet.layout.sessions() {
        fleet.start_agent(&session, None, "'first words'");
    }
    let talks = fleet.await_idle_agents();
    fleet.await_adopted(&talks);
    let screens = || strangers.map(|session| fleet.screen(&fleet.pane(session).id));
    let leaders = || strangers.map(|session| fleet.pane(session));
    let before = (screens(), leaders());
    // The test has looked at them itself; from here on only the daemon does.
    fleet.tmux(&["set-option", "-g", "@captured", ""]).unwrap();
    assert_eq!(fleet.status()["active_account"], "a", "a refusal elsewhere is not ours");
    fleet.order_swap(&["--to", "b"]);
    fleet.await_status("swapped", |status| {
        status["active_account"] == "b" && status["state"] == "normal"
    });
    let captured = fleet.tmux(&["show-options", "-gv", "@captured"]).unwrap();
    let captured: Vec<&str> = captured.split(' ').filter(|pane| !pane.is_empty()).collect();
    assert!(!captured.is_empty(), "the hook does not count");
    for session in strangers {
        let pane = fleet.pane(session).id;
        assert!(!captured.contains(&pane.as_str()), "{session} {pane} was read: {captured:?}");
    }
    assert_eq!((screens(), leaders()), before);
    assert!(outside::is_alive(stranger));
    assert!(!fleet.log().contains("session=ccl-0"));
}
