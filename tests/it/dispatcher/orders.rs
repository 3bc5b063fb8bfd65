//! Claims, releases and results on order, over restarts too; what a project is told.

use claude_failover::clock::Clock;
use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, QueueCounts};
use claude_failover::dispatcher::Order;
use claude_failover::ids::ConversationId;
use claude_failover::moment::Wall;
use claude_failover::queue::dir::Dir;
use claude_failover::queue::instance::instance;
use claude_failover::queue::marker::{self, Marker};
use claude_failover::task::{HeldState, TaskResult};

use crate::dispatcher::stage::{SOON, Stage, held, inboxes, names, task};
use crate::support::eventually;

fn result(name: &str, done: bool, conversation: Option<ConversationId>) -> Box<TaskResult> {
    Box::new(TaskResult {
        task: task(name),
        done,
        reason: "signal".to_owned(),
        session: Some("ccl-auto-11".parse().unwrap()),
        account: None,
        conversation,
        started: None,
        finished: Wall(1_795_361_004_000),
        attempts: 1,
        last_text: None,
    })
}

#[test]
fn a_claim_asked_for_again_has_the_same_conversation_and_the_next_attempt_another() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    let first = stage.claim("a:t", 1).unwrap();
    stage.until_offered(&[]);
    assert_eq!(stage.offered.counts, QueueCounts::default(), "it is in our hands");
    assert_eq!(stage.claim("a:t", 1).unwrap(), first);
    stage.restart();
    assert_eq!(stage.claim("a:t", 1).unwrap(), first, "another process of the same instance");
    let second = stage.claim("a:t", 2).unwrap();
    assert_ne!(second, first);
    assert_eq!(stage.claim("a:t", 2).unwrap(), second);
    let marker = std::fs::read_to_string(stage.inbox("a").join("t.md.dispatched")).unwrap();
    assert!(marker.contains(second.as_str()) && !marker.contains(first.as_str()), "{marker}");
}

#[test]
fn a_claim_looks_again() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    std::fs::write(stage.inbox("a").join("t.md"), "---\npriority: soon\n---\n").unwrap();
    let why = stage.claim("a:t", 1).unwrap_err();
    assert!(why.contains("malformed") || why.contains("gone"), "{why}");
    for name in ["a:gone", "none:t"] {
        let why = stage.claim(name, 1).unwrap_err();
        assert!(why.contains("gone"), "{why}");
    }
}

/// Who asked holds it for gone: if it is not, it has to be offered again, though nothing has changed.
#[test]
fn after_a_claim_that_failed_everything_is_offered_again() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    stage.claim("a:gone", 1).unwrap_err();
    assert_eq!(stage.next().offers[0].task, task("a:t"));
}

#[test]
fn a_task_that_is_being_moved_goes_to_no_agent_and_its_move_is_finished() {
    let mut stage = Stage::silent(|root| inboxes(root, &["a"]), "");
    let me = instance(&stage.dir().join("state")).unwrap();
    let inbox = Dir::open(&stage.inbox("a")).unwrap();
    let now = Clock::start().wall();
    stage.submit("a:old", "Do it.");
    stage.submit("a:young", "Do it.");
    let mark = |id: &str, at| Marker::of_mover(&me, task(id), "cancelled", None, at);
    marker::put(&inbox, &mark("a:old", Wall(now.0 - 120_000))).unwrap();
    marker::put(&inbox, &mark("a:young", now)).unwrap();
    assert!(stage.claim("a:young", 1).unwrap_err().contains("being moved"));
    stage.hold(Vec::new());
    let failed = stage.project("a").join(".agent-queue/failed/old.md");
    let written = eventually("it is moved", SOON, || std::fs::read_to_string(&failed).ok());
    assert!(written.contains("cancelled"), "{written}");
    eventually("its mark goes", SOON, || {
        (std::fs::read_dir(stage.inbox("a")).unwrap().count() == 2).then_some(())
    });
    assert_eq!(stage.next().counts, QueueCounts::default());
}

#[test]
fn a_released_task_is_offered_again() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    stage.claim("a:t", 1).unwrap();
    stage.until_offered(&[]);
    for _ in 0..2 {
        stage.order(Order::Release { order: OrderId(5), task: task("a:t") });
        match stage.answer() {
            Event::TaskReleased { order: OrderId(5), result: Ok(()), .. } => {}
            other => panic!("{other:?}"),
        }
    }
    stage.until_offered(&["a:t"]);
    assert_eq!(std::fs::read_dir(stage.inbox("a")).unwrap().count(), 1);
}

/// It was marked between the offer and the claim, and is given back untried.
#[test]
fn what_was_never_ours_is_given_back_and_the_mark_of_another_stays() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    let mark = stage.inbox("a").join("t.md.dispatched");
    std::fs::write(&mark, "by hand").unwrap();
    assert!(stage.claim("a:t", 1).unwrap_err().contains("somebody else's hands"));
    stage.order(Order::Release { order: OrderId(5), task: task("a:t") });
    match stage.answer() {
        Event::TaskReleased { order: OrderId(5), result: Ok(()), .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(&mark).unwrap(), b"by hand");
}

#[test]
fn a_task_that_is_done_frees_those_that_waited_for_it() {
    let mut stage = Stage::new(|root| inboxes(root, &["a", "b"]));
    stage.submit("a:t", "Do it.");
    stage.submit("b:then", "---\ndepends_on: [\"a:t\"]\n---\n");
    stage.until("one waits", |offered| offered.counts.blocked == 1 && offered.counts.ready == 1);
    let conversation = stage.claim("a:t", 1).unwrap();
    let result = result("a:t", true, Some(conversation));
    for _ in 0..2 {
        stage.order(Order::Close { order: OrderId(6), result: result.clone() });
        match stage.answer() {
            Event::TaskClosed { order: OrderId(6), result: Ok(()), .. } => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(names(&stage.offered), ["b:then"], "said before a session is free for it");
    }
    let done = stage.project("a").join(".agent-queue/done");
    assert_eq!(std::fs::read_dir(done).unwrap().count(), 1, "closed twice, done once");
    assert_eq!(std::fs::read_dir(stage.inbox("a")).unwrap().count(), 0);
}

#[test]
fn a_task_that_failed_frees_nobody() {
    let mut stage = Stage::new(|root| inboxes(root, &["a", "b"]));
    stage.submit("a:t", "Do it.");
    stage.submit("b:then", "---\ndepends_on: [\"a:t\"]\n---\n");
    stage.until("one waits", |offered| offered.counts.blocked == 1 && offered.counts.ready == 1);
    stage.claim("a:t", 1).unwrap();
    stage.order(Order::Close { order: OrderId(6), result: result("a:t", false, None) });
    let Event::TaskClosed { result: Ok(()), .. } = stage.answer() else { panic!("not closed") };
    stage.until_offered(&[]);
    assert_eq!(stage.offered.counts, QueueCounts { blocked: 1, ..QueueCounts::default() });
    assert!(stage.project("a").join(".agent-queue/failed/t.md").exists());
}

#[test]
fn a_result_that_cannot_be_written_leaves_the_task_and_is_written_later() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    stage.claim("a:t", 1).unwrap();
    let done = stage.project("a").join(".agent-queue/done");
    std::fs::write(&done, "in the way").unwrap();
    let close = || Order::Close { order: OrderId(6), result: result("a:t", true, None) };
    stage.order(close());
    match stage.answer() {
        Event::TaskClosed { result: Err(why), .. } => assert!(why.contains("done"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(stage.inbox("a")).unwrap().count(), 2, "the task and its mark");
    std::fs::remove_file(&done).unwrap();
    stage.order(close());
    let Event::TaskClosed { result: Ok(()), .. } = stage.answer() else { panic!("not closed") };
    assert!(done.join("t.md").exists());
}

#[test]
fn a_held_task_is_not_offered_even_without_its_marker() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    stage.hold(vec![held("a:t", HeldState::Unknown)]);
    stage.until_offered(&[]);
    stage.hold(Vec::new());
    stage.until_offered(&["a:t"]);
}

#[test]
fn a_marker_of_ours_that_nobody_holds_keeps_its_task_back() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.submit("a:u", "Do it.");
    stage.until("both", |offered| offered.counts.ready == 2);
    stage.claim("a:t", 1).unwrap();
    stage.restart();
    stage.hold(Vec::new());
    stage.until_offered(&["a:u"]);
    assert_eq!(stage.offered.counts.ready, 1);
}

#[test]
fn each_project_is_told_what_runs_and_what_waits() {
    let stage = Stage::new(|root| inboxes(root, &["a", "b"]));
    let told = |project: &str, is_so: &dyn Fn(&serde_json::Value) -> bool| {
        let path = stage.project(project).join(".agent-queue/status.json");
        eventually("it is told", SOON, || {
            let text = std::fs::read_to_string(&path).ok()?;
            let told: serde_json::Value = serde_json::from_str(&text).expect("always whole");
            is_so(&told).then_some(told)
        })
    };
    told("b", &|told| told["claude_failover"] == 1);
    stage.submit("a:u", "Do it.");
    stage.hold(vec![held("a:t", HeldState::Running)]);
    let status = told("a", &|told| told["queued"]["ready"] == 1 && !told["tasks"][0].is_null());
    assert_eq!(status["project"], "a");
    let running = &status["tasks"][0];
    assert_eq!(running["id"], "t");
    assert_eq!(running["state"], "running");
    assert_eq!(running["session"], "ccl-auto-11");
    assert_eq!(running["since"], "2026-11-22T15:23:24Z");
    let others = told("b", &|_| true);
    assert_eq!(others["tasks"].as_array().unwrap().len(), 0);
    assert_eq!(others["queued"]["ready"], 0);
}

#[test]
fn other_rules_are_held_against_what_was_read_by_the_old_ones() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:long", &"x".repeat(2000));
    stage.until("it is refused", |offered| offered.counts.refused == 1);
    let mut config = crate::dispatcher::stage::config(stage.dir(), "");
    config.dispatcher.max_bytes = 4096;
    stage.order(Order::Reconfigure(std::sync::Arc::new(config)));
    stage.until_offered(&["a:long"]);
    assert_eq!(names(&stage.offered), ["a:long"]);
}
