//! `agent.guard`: which agents are given the guarded settings, also by a reload that turns it on.

use std::fs;

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::{DEDICATED, Layout, pool};

const GUARDED: &str = "agent-settings-guarded.json";
const UNGUARDED: &str = "agent-settings.json";

/// The settings that the session's agent was launched with.
#[track_caller]
fn settings(fleet: &Fleet, session: &str) -> String {
    let args = fleet.agent(session).args;
    let at = args.iter().position(|arg| arg == "--settings").expect("it is given settings");
    let path = fleet.root().join("run").join(args[at + 1].rsplit('/').next().unwrap());
    assert_eq!(path.to_str(), Some(args[at + 1].as_str()));
    assert!(path.exists(), "{args:?}");
    args[at + 1].rsplit('/').next().unwrap().to_owned()
}

#[track_caller]
fn guard(fleet: &Fleet, from: &str, to: &str) {
    let path = fleet.root().join("config.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
    assert_eq!(fleet.done(&["reload"]), "the configuration has been read again\n");
}

#[test]
fn the_next_launch_in_the_pool_gets_the_guard_that_a_reload_turned_on() {
    let (mut fleet, talks) = Fleet::up(Layout { pool: 1, ..Layout::default() });
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    assert_eq!(settings(&fleet, &pool(1)), UNGUARDED);
    // It is there already, for whoever is launched right after the reload.
    let guarded = fleet.root().join("run").join(GUARDED);
    let text = fs::read_to_string(&guarded).unwrap();
    assert!(text.contains("PreToolUse") && text.contains(" guard --closed "), "{text}");

    guard(&fleet, "agent: {command", "agent: {guard: true, command");
    fleet.order_swap(&["--to", "a"]);
    fleet.await_all_on("a", &talks);
    assert_eq!(settings(&fleet, &pool(1)), GUARDED);
    assert_eq!(settings(&fleet, DEDICATED), UNGUARDED, "a person sits there");

    // Over a restart of the daemon it is the same, and off again it is taken back.
    fleet.stop_daemon();
    fleet.start();
    fleet.await_adopted(&talks);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    assert_eq!(settings(&fleet, &pool(1)), GUARDED);
    guard(&fleet, "guard: true", "guard: false");
    fleet.order_swap(&["--to", "a"]);
    fleet.await_all_on("a", &talks);
    assert_eq!(settings(&fleet, &pool(1)), UNGUARDED);
}
