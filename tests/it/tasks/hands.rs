//! `tasks retry` and `tasks cancel`: never on a task that is in somebody else's hands.

use std::fs;
use std::time::{Duration, Instant};

use claude_failover::api::control::{Reports, Server};
use claude_failover::clock::Clock;
use claude_failover::core::event::{Event, Verb};
use claude_failover::queue::dir::Put;
use claude_failover::snapshot::{Snapshot, SnapshotCell};
use claude_failover::task::front_matter;
use crossbeam_channel::{Receiver, unbounded};
use serde_json::json;

use crate::http::snapshot;
use crate::tasks::{Place, task};

const TASK: &str = "---\ntitle: T\n---\nbody \u{0}\r\n";
const DEADLINE: Duration = Duration::from_secs(10);

/// The control socket of a daemon, and what it hears.
pub fn daemon(place: &Place) -> (Server, Receiver<Event>) {
    daemon_with(place, snapshot(true))
}

fn daemon_with(place: &Place, snapshot: Snapshot) -> (Server, Receiver<Event>) {
    let (sender, events) = unbounded();
    let runtime_dir = place.at("run");
    fs::create_dir_all(&runtime_dir).unwrap();
    let reports = Reports { clock: Clock::start(), zone: None, patterns: Vec::new() };
    let cell = SnapshotCell::new(snapshot);
    (Server::spawn(&runtime_dir, cell, reports, &sender).unwrap(), events)
}

#[track_caller]
fn refused(place: &Place, verb: &str, name: &str, why: &str) {
    let said = place.run(&["tasks", verb, name], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.errors);
    assert!(said.errors.contains(why), "{}", said.errors);
}

#[track_caller]
fn accepted(place: &Place, verb: &str, name: &str, what: &str) {
    let said = place.run(&["tasks", verb, name], b"");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    assert!(said.out.contains(what), "{}", said.out);
}

#[test]
fn a_failed_task_goes_back_as_it_came() {
    let place = Place::new();
    place.put("shop/inbox/t.md", TASK);
    place.claim(&task("shop:t"));
    place.close(&task("shop:t"), false);
    assert_eq!(place.names("shop/inbox"), Vec::<String>::new());
    accepted(&place, "retry", "shop:t", "waits in the inbox again");
    assert_eq!(place.read("shop/inbox/t.md"), TASK.as_bytes());
    assert_eq!(place.names("shop/failed"), Vec::<String>::new());
    refused(&place, "retry", "shop:t", "there is nothing to try again");
    refused(&place, "retry", "shop:nobody", "there is no task shop:nobody");
    refused(&place, "retry", "nowhere:t", "there is no task nowhere:t");
    place.put("shop/done/d.md", "x");
    refused(&place, "retry", "shop:d", "is done");
    refused(&place, "cancel", "shop:d", "is done already");
}

#[test]
fn the_marker_of_somebody_else_goes_by_retry_alone() {
    let place = Place::new();
    place.put("shop/inbox/t.md", TASK);
    place.put("shop/inbox/t.md.dispatched", "by hand");
    refused(&place, "cancel", "shop:t", "claude-failover tasks retry shop:t");
    assert_eq!(place.names("shop/inbox"), ["t.md", "t.md.dispatched"]);
    accepted(&place, "retry", "shop:t", "the marker that was not ours is gone");
    assert_eq!(place.names("shop/inbox"), ["t.md"]);
    assert_eq!(place.read("shop/inbox/t.md"), TASK.as_bytes());
}

#[test]
fn a_task_that_waits_is_cancelled_with_its_reason() {
    let place = Place::new();
    place.put("shop/inbox/t.md", TASK);
    place.put("shop/inbox/t.md.blocked", "");
    accepted(&place, "cancel", "shop:t", "moved to failed/, cancelled");
    assert_eq!(place.names("shop/inbox"), Vec::<String>::new());
    let bytes = place.read("shop/failed/t.md");
    let result = front_matter::result(&task("shop:t"), &bytes).unwrap();
    assert_eq!((result.done, result.reason.as_str(), result.attempts), (false, "cancelled", 0));
    assert_eq!(front_matter::without_result(&bytes), TASK.as_bytes());
    refused(&place, "cancel", "shop:t", "has failed already");
    place.put("shop/inbox/large.md", "x".repeat(3000));
    refused(&place, "cancel", "shop:large", "remove it");
    assert_eq!(place.names("shop/inbox"), ["large.md"]);
}

#[test]
fn a_task_in_the_daemons_hands_is_left_to_the_daemon() {
    let place = Place::new();
    place.put("shop/inbox/t.md", TASK);
    place.claim(&task("shop:t"));
    let before = place.read("shop/inbox/t.md.dispatched");
    for verb in ["retry", "cancel"] {
        refused(&place, verb, "shop:t", "shop:t is in the daemon's hands: start the daemon");
    }
    let (server, events) = daemon(&place);
    let told = |verb: &str, expected: &Verb, result: Result<String, String>| {
        let child = place.start(&["tasks", verb, "shop:t"]);
        match events.recv_timeout(DEADLINE).unwrap() {
            Event::VerbRequested { verb, ask: Some(ask) } if verb == *expected => {
                server.answer(ask, result);
            }
            other => panic!("{other:?}"),
        }
        let said = place.said(child);
        (said.code, said.out, said.errors)
    };
    let retry = Verb::TaskRetry { task: task("shop:t") };
    let done = told("retry", &retry, Ok("shop:t is tried again".to_owned()));
    assert_eq!(done, (Some(0), "shop:t is tried again\n".to_owned(), String::new()));
    let cancel = Verb::TaskCancel { task: task("shop:t") };
    let refused = told("cancel", &cancel, Err("shop:t is ending already".to_owned()));
    assert_eq!(refused, (Some(1), String::new(), "shop:t is ending already\n".to_owned()));
    assert_eq!(place.read("shop/inbox/t.md.dispatched"), before);
    assert_eq!(place.names("shop/inbox"), ["t.md", "t.md.dispatched"]);
}

/// It waits for a word, and its marker is not ours, or its file is gone: the daemon hears the word.
#[test]
fn a_task_that_was_set_aside_can_always_be_settled() {
    let place = Place::new();
    place.put("shop/inbox/foreign.md", TASK);
    place.put("shop/inbox/foreign.md.dispatched", "by hand");
    place.put("shop/inbox/bare.md", TASK);
    place.put("shop/done/done.md", "x");
    let names = ["shop:foreign", "shop:bare", "shop:done", "gone:t"];
    let in_hand = names.map(|task| json!({"task": task, "state": "unknown"}));
    let Snapshot { health, .. } = snapshot(true);
    let snapshot = Snapshot::new(health, json!({"tasks": {"in_hand": in_hand}}));
    let (server, events) = daemon_with(&place, snapshot);
    let answered = |verb: &str, name: &str, expected: &Verb| {
        let child = place.start(&["tasks", verb, name]);
        match events.recv_timeout(DEADLINE).unwrap() {
            Event::VerbRequested { verb, ask: Some(ask) } if verb == *expected => {
                server.answer(ask, Ok("it is settled".to_owned()));
            }
            other => panic!("{other:?}"),
        }
        let said = place.said(child);
        assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
        assert!(said.out.contains("it is settled"), "{}", said.out);
    };
    for name in names {
        answered("retry", name, &Verb::TaskRetry { task: task(name) });
    }
    assert_eq!(place.names("shop/inbox"), ["bare.md", "foreign.md"]);
    answered("cancel", "shop:bare", &Verb::TaskCancel { task: task("shop:bare") });
    for name in ["shop:done", "gone:t"] {
        refused(&place, "cancel", name, &format!("tasks retry {name} tells the daemon so"));
    }
}

/// A claim and a cancel at the same moment: one of them has the task, never both.
#[test]
fn a_task_is_either_claimed_or_cancelled() {
    const ROUNDS: u32 = 24;
    let place = Place::new();
    place.instance();
    let (mut claimed, mut cancelled) = (0, 0);
    for round in 0..ROUNDS {
        let name = format!("shop:t{round}");
        let file = place.file(&format!("shop/inbox/t{round}.md"));
        place.put(&format!("shop/inbox/t{round}.md"), TASK);
        let mut child = place.start(&["tasks", "cancel", &name]);
        // The last comes after the cancel for sure, the first before it, the others between.
        if round == ROUNDS - 1 {
            child.wait().unwrap();
        }
        let until = Instant::now() + Duration::from_micros(300) * round;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let put = place.claim(&task(&name));
        // The daemon looks for the file again once it has the marker.
        let is_claimed = put == Put::Made && file.exists();
        let said = place.said(child);
        let is_cancelled = place.file(&format!("shop/failed/t{round}.md")).exists();
        assert_ne!(is_claimed, is_cancelled, "{}", said.errors);
        assert_eq!(said.code, Some(i32::from(!is_cancelled)), "{}", said.errors);
        assert!(is_cancelled || said.errors.contains("hands"), "{}", said.errors);
        claimed += u32::from(is_claimed);
        cancelled += u32::from(is_cancelled);
    }
    println!("{claimed} claimed, {cancelled} cancelled");
    assert!(claimed > 0 && cancelled > 0);
}
