//! Tasks from the inbox to their result, by the built daemon and scripted agents.

use std::time::Instant;

use crate::daemon::fleet::{Fleet, SWAP, Talks, session_row};
use crate::daemon::inboxes::{TASK, task_text};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

/// One session of the pool, beside the dedicated one.
fn one_pool_session() -> Layout {
    Layout { pool: 1, ..Layout::default() }
}

/// The operator's own sessions are as they were.
#[track_caller]
fn assert_dedicated_untouched(fleet: &Fleet, talks: &Talks, pid: i32) {
    let agent = fleet.agent(DEDICATED);
    assert_eq!((agent.pid, agent.conversation.as_ref()), (pid, Some(&talks[DEDICATED])));
    assert_eq!(outside::transcript(fleet.root(), &talks[DEDICATED]).0, ["first words"]);
}

#[track_caller]
fn await_gone(fleet: &Fleet, session: &str) {
    eventually(&format!("no agent in {session}"), TASK, || {
        (!fleet.agents().contains_key(session)).then_some(())
    });
}

#[test]
fn a_task_by_file_is_worked_on_and_comes_back_with_its_result() {
    let (fleet, talks) = Fleet::with_free_pool(one_pool_session());
    let pid = fleet.agent(DEDICATED).pid;
    let text = task_text("work 1500ms\nsay all \"12\" tests pass");
    fleet.submit("shop:t1", &text);
    let row = fleet.await_in_hand("shop:t1", "running");
    assert_eq!((&row["session"], &row["account"]), (&pool(1).into(), &"a".into()));
    assert_eq!((&row["attempt"], &row["title"]), (&1.into(), &"A day's \"work\"".into()));
    let own = eventually("status.json tells of it", TASK, || {
        let status = fleet.project_status("shop");
        (status["tasks"][0]["state"] == "running").then_some(status)
    });
    assert_eq!((&own["project"], &own["tasks"][0]["id"]), (&"shop".into(), &"t1".into()));

    let result = fleet.await_result("shop:t1");
    assert!(result.done && result.reason == "signal", "{result:?}");
    assert_eq!(result.session.unwrap().as_str(), pool(1));
    assert_eq!(result.account.unwrap().as_str(), "a");
    assert_eq!(row["conversation"], result.conversation.unwrap().as_str());
    assert_eq!(result.attempts, 1);
    assert!(result.started.unwrap() < result.finished);
    let said = result.last_text.unwrap();
    assert_eq!(said, "Task t1 is over: all \"12\" tests pass acct=.claude-a");
    assert_eq!(fleet.file_without_result("shop:t1"), text);
    assert_eq!(fleet.told_of("t1"), ["received", "done"]);

    await_gone(&fleet, &pool(1));
    let status = fleet.await_status("nothing is in hand", |status| {
        status["tasks"]["in_hand"].as_array().is_some_and(Vec::is_empty)
    });
    assert!(session_row(&status, &pool(1))["agent"].is_null());
    eventually("status.json tells that it is over", TASK, || {
        (fleet.project_status("shop")["tasks"].as_array()?.is_empty()).then_some(())
    });
    assert_dedicated_untouched(&fleet, &talks, pid);
}

#[test]
fn the_next_task_waits_for_the_session_and_its_cooldown() {
    let (fleet, _) =
        Fleet::with_free_pool(Layout { per_project: 2, cooldown: "3s", ..one_pool_session() });
    fleet.submit("shop:t1", &task_text("work 200ms"));
    fleet.await_told("t1", "received");
    fleet.submit("shop:t2", &task_text("work 200ms"));
    let first = fleet.await_result("shop:t1");
    let second = fleet.await_result("shop:t2");
    assert_eq!(first.session, second.session);
    assert_ne!(first.conversation, second.conversation);
    let between_ms = second.started.unwrap().0 - first.finished.0;
    assert!((3_000..15_000).contains(&between_ms), "{between_ms} ms for a cooldown of 3 s");
    let told: Vec<String> = fleet.told().into_iter().map(|told| told.task + &told.what).collect();
    assert_eq!(told, ["t1received", "t1done", "t2received", "t2done"]);
}

#[test]
fn an_agent_may_say_that_it_failed_or_only_end_its_turn() {
    let (fleet, _) = Fleet::with_free_pool(Layout { pool: 2, hooks: true, ..one_pool_session() });
    fleet.submit("shop:fails", &task_text("fail no compiler here"));
    fleet.submit("mill:stops", &task_text("stop\nsay that is all"));
    let failed = fleet.await_result("shop:fails");
    assert!(!failed.done && failed.attempts == 1, "{failed:?}");
    assert_eq!(failed.reason, "signal: no compiler here");
    assert_eq!(fleet.file_without_result("shop:fails"), task_text("fail no compiler here"));
    let stopped = fleet.await_result("mill:stops");
    assert!(stopped.done, "{stopped:?}");
    assert_eq!(stopped.reason, "turn_ended");
    let said = stopped.last_text.unwrap();
    assert!(said.starts_with("Task stops is over: that is all"), "{said}");
    // By the hook: without one it takes ten seconds of silence.
    let took_ms = stopped.finished.0 - stopped.started.unwrap().0;
    assert!((5_000..9_500).contains(&took_ms), "{took_ms} ms");
}

#[test]
fn without_hooks_an_answer_and_silence_end_a_task() {
    let (fleet, _) = Fleet::with_free_pool(one_pool_session());
    fleet.submit("shop:stops", &task_text("stop"));
    let stopped = fleet.await_result("shop:stops");
    assert!(stopped.done && stopped.reason == "turn_ended", "{stopped:?}");
}

#[test]
fn dialogs_in_the_way_are_answered_and_a_login_waits_for_a_person() {
    let layout = Layout { pool: 4, per_project: 4, ..one_pool_session() };
    let (fleet, _) = Fleet::with_free_pool(layout);
    for kind in ["trust", "bypass", "upsell"] {
        fleet.submit(&format!("shop:{kind}"), &task_text(&format!("dialog {kind}\nwork 200ms")));
    }
    fleet.submit("shop:login", &task_text("dialog login\nwork 200ms"));
    for kind in ["trust", "bypass", "upsell"] {
        let result = fleet.await_result(&format!("shop:{kind}"));
        assert!(result.done && result.attempts == 1, "{kind}: {result:?}");
        assert_eq!(fleet.told_of(kind), [&format!("answered:{kind}:1"), "received", "done"]);
    }
    let row = fleet.await_in_hand("shop:login", "blocked");
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("Select login method"), "{reason}");
    assert_eq!(fleet.told_of("login"), Vec::<String>::new());
    let session = row["session"].as_str().unwrap();
    // A person logs in; then it goes on by itself.
    fleet.tmux(&["send-keys", "-t", &fleet.pane(session).id, "Enter"]).unwrap();
    let result = fleet.await_result("shop:login");
    assert!(result.done && result.attempts == 1, "{result:?}");
}

#[test]
fn an_agent_that_never_takes_its_task_is_replaced_until_the_attempts_are_used_up() {
    let (fleet, talks) =
        Fleet::with_free_pool(Layout { verify_timeout: "1s", ..one_pool_session() });
    let pid = fleet.agent(DEDICATED).pid;
    fleet.submit("shop:deaf", &task_text("deaf"));
    let result = fleet.await_result_within("shop:deaf", TASK * 2);
    assert!(!result.done && result.attempts == 3, "{result:?}");
    assert!(result.reason.contains("no sign of its receipt"), "{}", result.reason);
    assert!(result.reason.contains("attempt 3 was the last"), "{}", result.reason);
    assert_eq!(fleet.told_of("deaf"), Vec::<String>::new());
    await_gone(&fleet, &pool(1));
    assert_dedicated_untouched(&fleet, &talks, pid);
}

#[test]
fn an_agent_that_dies_at_work_is_replaced_by_another_attempt() {
    let (fleet, _) = Fleet::with_free_pool(one_pool_session());
    fleet.submit("shop:dies", &task_text("work 1200ms\ndie once"));
    let result = fleet.await_result_within("shop:dies", TASK * 2);
    assert!(result.done && result.attempts == 2, "{result:?}");
    assert_eq!(fleet.told_of("dies"), ["received", "died", "received", "done"]);
    let talks: Vec<String> = fleet.told().into_iter().map(|told| told.conversation).collect();
    assert_ne!(talks[0], talks[2], "each attempt has a conversation of its own");
}

#[test]
fn a_task_cut_by_the_limit_is_finished_by_the_second_account_in_its_conversation() {
    let (fleet, talks) = Fleet::with_free_pool(one_pool_session());
    fleet.submit("shop:long", &task_text("work 4s"));
    fleet.await_told("long", "received");
    fleet.exhaust("a", 2 * 3600);
    let result = fleet.await_result_within("shop:long", SWAP * 2);
    assert!(result.done && result.attempts == 1, "{result:?}");
    let told = fleet.told();
    let whats: Vec<&str> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(whats, ["received", "resumed", "done"]);
    assert!(told.iter().all(|one| one.conversation == told[0].conversation), "{told:?}");
    assert_eq!(told[0].home, fleet.home("a"));
    assert_eq!(told[2].home, fleet.home("b"));
    assert!(result.last_text.unwrap().ends_with("acct=.claude-b"));
    assert_eq!(result.account.unwrap().as_str(), "b");
    // The dedicated session moved too, with its conversation, and got no task.
    let agent = fleet.agent(DEDICATED);
    assert_eq!(agent.conversation.as_ref(), Some(&talks[DEDICATED]));
    assert_eq!(outside::transcript(fleet.root(), &talks[DEDICATED]).0, ["first words"]);
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_task_finishes_it_and_delivers_it_once() {
    let (mut fleet, _) = Fleet::with_free_pool(one_pool_session());
    for (id, until) in [("t1", "sending"), ("t2", "running")] {
        let task = format!("shop:{id}");
        fleet.submit(&task, &task_text("slow 600ms\nwork 3s"));
        fleet.await_in_hand(&task, until);
        fleet.kill_daemon();
        if until == "running" {
            // The agent finishes while nobody looks.
            fleet.await_told(id, "done");
        }
        let begun = Instant::now();
        fleet.start();
        let result = fleet.await_result(&task);
        assert!(result.done && result.attempts == 1, "{until}: {result:?}");
        assert_eq!(fleet.told_of(id), ["received", "done"], "{until}");
        println!("killed while {until}: result {} ms after the start", begun.elapsed().as_millis());
    }
}
