//! Targets that fail, and what is done when none is left.

use std::fs;

use crate::daemon::fleet::{Fleet, session_row};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;

const HOURS: u64 = 3600;

fn account_row<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    status["accounts"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

/// A file of the operator's where a shared link belongs: never moved away, so no target.
fn obstruct(fleet: &Fleet, account: &str) {
    let link = fleet.home(account).join("projects");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "mine").unwrap();
}

#[test]
fn a_target_that_fails_its_check_gives_way_to_the_next() {
    let (fleet, talks) = Fleet::up(Layout { accounts: 3, ..Layout::default() });
    obstruct(&fleet, "b");
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_all_on("c", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "done");
    assert_eq!(account_row(&status, "b")["state"], "rejected");
    assert!(fleet.log().contains("target=b failed: "), "it is not told why");
    assert_eq!(fs::read_to_string(fleet.home("b").join("projects")).unwrap(), "mine");
}

#[test]
fn when_the_only_target_fails_its_check_nobody_is_stopped() {
    let (fleet, talks) = Fleet::up(Layout::default());
    let before = fleet.agent_pids();
    obstruct(&fleet, "b");
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_state("parked");
    assert_eq!(status["swap"]["last"]["outcome"], "rolled_back");
    assert_eq!(fleet.agent_pids(), before);
    assert_eq!(fleet.await_idle_or_waiting(), talks);
    assert_eq!(fs::read_link(fleet.link()).unwrap(), fleet.home("a"));
    let (code, health) = fleet.get("/health");
    assert_eq!((code, &health["state"]), (200, &"parked".into()));
}

/// One refused pool session alone starts no swap; so both are refused when it comes, and the pool
/// agent, which is nudged, is the canary.
#[test]
fn a_target_whose_canary_crashes_gives_way_to_the_next() {
    let layout = Layout { accounts: 3, verify_timeout: "3s", ..Layout::default() };
    let (fleet, talks) = Fleet::up(layout);
    fleet.script("b", "crash");
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(&pool(1), "go on");
    let status = fleet.await_all_on("c", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "done");
    assert_eq!(account_row(&status, "b")["state"], "rejected");
}

#[test]
fn a_canary_that_shows_no_life_gives_way_to_the_next() {
    let layout = Layout { accounts: 3, verify_timeout: "2s", ..Layout::default() };
    let (fleet, talks) = Fleet::up(layout);
    fleet.script("b", "dialog trust");
    fleet.order_swap(&["--to", "b"]);
    let status = fleet.await_all_on("c", &talks);
    assert_eq!(account_row(&status, "b")["state"], "rejected");
}

#[test]
fn agents_in_a_dialog_are_left_to_a_person_and_reported() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.script("b", "dialog account");
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Done");
    assert_eq!(fleet.await_state("normal")["active_account"], "b");
    let log = fleet.log();
    for (session, talk) in &talks {
        let agent = fleet.agent(session);
        assert_eq!(agent.homed.as_deref(), Some(&*fleet.home("b")), "{session}");
        assert_eq!(agent.conversation.as_ref(), Some(talk), "{session}");
        assert!(
            log.lines().any(|row| row.contains(session) && row.contains("dialog")),
            "{session}"
        );
    }
}

#[test]
fn when_the_canary_fails_on_the_last_target_all_who_were_not_refused_come_back() {
    let (fleet, talks) = Fleet::up(Layout { verify_timeout: "3s", ..Layout::default() });
    fleet.script("b", "crash");
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(&pool(1), "go on");
    let status = fleet.await_state("parked");
    assert_eq!(status["swap"]["last"]["outcome"], "rolled_back");
    assert_eq!(fs::read_link(fleet.link()).unwrap(), fleet.home("a"));
    let agents = fleet.agents();
    let back: Vec<&str> = agents.keys().map(String::as_str).collect();
    assert_eq!(back, [DEDICATED, &pool(2)], "these were not refused");
    for session in back {
        let agent = fleet.agent(session);
        assert_eq!(agent.homed, Some(fleet.home("a")), "{session}");
        assert_eq!(agent.conversation.as_ref(), Some(&talks[session]), "{session}");
    }
    let moving = &session_row(&status, &pool(1))["move"];
    assert_eq!(moving["stage"], "held");
    assert_eq!(moving["conversation"], talks[&pool(1)].as_str());
}

#[test]
fn with_every_account_out_it_parks_and_touches_nobody() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    let before = fleet.agent_pids();
    fleet.exhaust("b", 3 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_state("parked");
    let (code, health) = fleet.get("/health");
    assert_eq!((code, &health["state"]), (200, &"parked".into()));
    assert_eq!(health["until"], account_row(&status, "a")["until"], "the earliest reset");
    assert_eq!(fleet.agent_pids(), before);
    let (prompts, _) = outside::transcript(fleet.root(), &talks[DEDICATED]);
    assert_eq!(prompts, ["first words", "go on", "go on"]);
}

#[test]
fn a_parked_fleet_wakes_when_an_account_comes_back() {
    let (fleet, talks) = Fleet::up(Layout { unknown_reset: "6s", ..Layout::default() });
    // Refusals that name no reset: such accounts are tried again after `unknown_reset`.
    fleet.script("a", "limit");
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    fleet.script("a", "ok");
    fleet.script("b", "limit");
    fleet.prompt(DEDICATED, "go on");
    fleet.await_state("parked");
    let status = fleet.await_all_on("a", &talks);
    assert_eq!((&status["last_swap_from"], &status["last_swap_to"]), (&"b".into(), &"a".into()));
    fleet.prompt(DEDICATED, "who are you?");
    fleet.await_answer(&talks[DEDICATED], "OK acct=.claude-a");
}

/// As with a full disk: nothing that is to be launched can be written down.
#[test]
fn who_cannot_be_launched_comes_back_when_it_can() {
    let (fleet, talks) = Fleet::up(Layout::default());
    let launches = fleet.root().join("run/launch");
    fs::remove_dir_all(&launches).unwrap();
    fs::write(&launches, "no directory").unwrap();
    fleet.order_swap(&["--to", "b"]);
    let waits = |status: &serde_json::Value| {
        let reasons = status["reasons"].as_array().unwrap().iter();
        let stuck = |reason: &&serde_json::Value| {
            reason.as_str().unwrap().contains("cannot be resumed yet: not done: ")
        };
        reasons.filter(stuck).count() == talks.len() && status["swap"]["last"]["outcome"] == "done"
    };
    let status = fleet.await_status("the swap goes on, and all are waited for", waits);
    assert_eq!((&status["active_account"], &status["state"]), (&"b".into(), &"degraded".into()));
    assert!(outside::agents(fleet.root()).is_empty());
    fs::remove_file(&launches).unwrap();
    let status = fleet.await_all_on("b", &talks);
    assert_eq!(status["state"], "normal");
}
