//! Agents that are busy, deaf, frozen or loud while a swap goes by.

use std::time::{Duration, Instant};

use claude_failover::core::moves::NUDGE_AFTER_A_LOSS;

use crate::daemon::fleet::{Fleet, SOON, session_row};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

/// From the refusal on the screen to the plan, on a machine that runs other tests too.
const NOTICED: Duration = Duration::from_secs(3);

#[track_caller]
fn await_state(fleet: &Fleet, session: &str, state: &str) {
    eventually(&format!("{session} is {state}"), SOON, || {
        let known = &fleet.status();
        (session_row(known, session)["agent"]["state"] == state).then_some(())
    });
}

/// The turn before may not be over yet in the daemon's eyes.
#[track_caller]
fn prompt_and_await_busy(fleet: &Fleet, session: &str, text: &str) {
    await_state(fleet, session, "idle");
    fleet.prompt(session, text);
    await_state(fleet, session, "busy");
}

#[test]
fn an_agent_in_a_turn_finishes_it_and_follows_alone() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.script("a", "slow 5");
    prompt_and_await_busy(&fleet, &pool(1), "work slowly");
    let pid = fleet.agent(&pool(1)).pid;
    fleet.order_swap(&["--to", "b"]);
    let status = fleet
        .await_status("the swap is done", |status| status["swap"]["last"]["outcome"] == "done");
    assert_eq!(session_row(&status, &pool(1))["move"]["stage"], "staying");
    for session in [DEDICATED, &pool(2)] {
        assert_eq!(fleet.agent(session).homed, Some(fleet.home("b")), "{session}");
    }
    let agent = fleet.agent(&pool(1));
    assert_eq!((agent.pid, agent.status.as_deref()), (pid, Some("busy")));
    fleet.await_all_on("b", &talks);
    let (prompts, _) = outside::transcript(fleet.root(), &talks[&pool(1)]);
    assert_eq!(prompts[..2], ["first words", "work slowly"]);
}

#[test]
fn a_deaf_agent_is_killed_when_its_time_is_over_and_resumed() {
    let (fleet, talks) = Fleet::up(Layout { busy_grace: "1s", ..Layout::default() });
    fleet.script("a", "deaf");
    prompt_and_await_busy(&fleet, &pool(1), "never answer");
    let pid = fleet.agent(&pool(1)).pid;
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    assert!(!outside::is_alive(pid));
    let (prompts, _) = outside::transcript(fleet.root(), &talks[&pool(1)]);
    assert_eq!(prompts, ["first words", "never answer", NUDGE_AFTER_A_LOSS]);
}

#[test]
fn a_frozen_agent_is_killed_and_resumed() {
    let (fleet, talks) = Fleet::up(Layout::default());
    let pid = fleet.agent(DEDICATED).pid;
    fleet.freeze(DEDICATED);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    assert!(!outside::is_alive(pid));
}

#[test]
fn a_flooding_agent_hides_no_refusal_elsewhere() {
    let (fleet, talks) = Fleet::up(Layout { busy_grace: "1s", ..Layout::default() });
    fleet.script("a", "flood");
    prompt_and_await_busy(&fleet, &pool(1), "print without end");
    fleet.exhaust("a", 2 * 3600);
    fleet.prompt(DEDICATED, "go on");
    fleet.shows(&fleet.pane(DEDICATED).id, "You've hit your 5-hour limit");
    let shown = Instant::now();
    fleet.await_log("phase=Planned");
    assert!(shown.elapsed() < NOTICED, "{:?}", shown.elapsed());
    fleet.await_all_on("b", &talks);
}

#[test]
fn agents_that_crash_on_the_target_later_are_not_started_again() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    fleet.script("b", "crash");
    fleet.prompt(DEDICATED, "crash");
    fleet.await_log(&format!("session={DEDICATED} agent ended, session lives"));
    assert!(!fleet.agents().contains_key(DEDICATED), "its operator starts it again");
}
