//! A pause and drained sessions: what is still done, what is not, and what the end of them sets off.

use std::time::Duration;

use claude_failover::core::action::{Action, AskId};
use claude_failover::core::durable::{Durable, Phase};
use claude_failover::core::event::{AccountVerb, AgentHome, AgentState, Event, TasksOffered, Verb};
use claude_failover::core::record::Record;
use claude_failover::core::steer::{PAUSE_MAX, PauseEnd};
use claude_failover::moment::Wall;
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, session};
use crate::tables::tasks::{free_pool, offer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: &str = "You've hit your session limit · resets later";
const PAUSED: &str = "paused until `claude-failover resume`: no task goes out and nobody is moved";

const PAUSE: Verb = Verb::Pause { length: None };
const RESUME: Verb = Verb::Resume { session: None };

/// What is said to a verb, before its orders are carried out.
#[track_caller]
fn told(desk: &mut Desk, verb: Verb) -> Result<String, String> {
    desk.send(Event::VerbRequested { verb, ask: Some(AskId(1)) });
    let is_answer = |order: &Action| matches!(order, Action::Answer { .. });
    let place = desk.orders.iter().position(is_answer).expect("an answer");
    let Action::Answer { result, .. } = desk.orders.remove(place) else { unreachable!() };
    assert!(!desk.orders.iter().any(is_answer), "answered twice");
    result
}

fn said(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn drain(name: &str) -> Verb {
    Verb::Drain { session: Some(session(name)) }
}

fn refuse_ded(desk: &mut Desk) {
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.banner("ded", LIMIT, Some(60));
}

#[test]
fn a_refusal_in_a_pause_is_recorded_and_acted_on_at_its_end() {
    let mut desk = Desk::at_rest();
    assert_eq!(told(&mut desk, PAUSE), said(PAUSED));
    refuse_ded(&mut desk);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.recorded("account=one exhausted"), 1);
    assert_eq!((desk.active(), desk.phase()), ("one", None));
    let text = "the pause is over; swap 1 planned: one → two (priority 2)";
    assert_eq!(told(&mut desk, RESUME), said(text));
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
}

#[test]
fn a_pause_holds_over_a_restart_and_ends_when_its_time_is_over() {
    let mut desk = Desk::at_rest();
    let pause = Verb::Pause { length: Some(2 * MINUTE) };
    let until = desk.now().wall + 2 * MINUTE;
    let text = format!(
        "paused until {until}, or until `claude-failover resume`: no task goes out and nobody is moved"
    );
    assert_eq!(told(&mut desk, pause.clone()), said(&text));
    refuse_ded(&mut desk);
    desk.restart();
    assert!(desk.core.is_paused());
    desk.pass(MINUTE);
    assert_eq!(desk.phase(), None);
    desk.pass(MINUTE + 30 * SECOND);
    assert_eq!(desk.recorded("pause ended: its time is over"), 1);
    assert_eq!(desk.active(), "two", "what was recorded meanwhile is acted on");
    // Said again it lasts as was said last, and since when it was first said.
    told(&mut desk, pause).unwrap();
    let since = desk.core.durable.paused.clone().expect("paused").since;
    desk.pass(MINUTE);
    told(&mut desk, PAUSE).unwrap();
    let paused = desk.core.durable.paused.clone().expect("paused");
    assert_eq!((paused.since, paused.until), (since, None));
    let records = desk.journal.len();
    assert_eq!(told(&mut desk, PAUSE), said(PAUSED));
    assert_eq!(desk.journal.len(), records, "that is no news");
}

#[test]
fn nothing_is_begun_in_a_pause() {
    let mut desk = Desk::at_rest();
    told(&mut desk, PAUSE).unwrap();
    let since = desk.core.durable.paused.clone().expect("paused").since;
    let why = format!("paused by the operator since {since}: `claude-failover resume` ends that");
    assert_eq!(told(&mut desk, Verb::Swap { to: None }), Err(why));
    let hold = Verb::Account { verb: AccountVerb::Hold, account: account("one") };
    let text = "one is held: nothing goes there until it is released; \
                paused: nobody is moved before `claude-failover resume`";
    assert_eq!(told(&mut desk, hold), said(text));
    desk.offer(&[offer("p:a", Priority::Default)]);
    for name in ["two", "three"] {
        let hold = Verb::Account { verb: AccountVerb::Hold, account: account(name) };
        told(&mut desk, hold).unwrap();
    }
    desk.pass(10 * MINUTE);
    assert_eq!((desk.claims, desk.stops.len(), desk.launches.len()), (0, 0, 0));
    assert!(desk.core.durable.parked.is_none(), "nor is anything parked");
    assert!(!desk.core.may_dispatch());
    // A parked daemon does not wake in a pause.
    let text = "the pause is over; no account can be taken: parked until one is released";
    assert_eq!(told(&mut desk, RESUME), said(text));
    told(&mut desk, PAUSE).unwrap();
    let release = Verb::Account { verb: AccountVerb::Release, account: account("two") };
    let text = "two is released; paused: nobody is moved before `claude-failover resume`";
    assert_eq!(told(&mut desk, release), said(text));
    desk.pass(10 * MINUTE);
    assert_eq!((desk.active(), desk.phase()), ("one", None));
    let text = "the pause is over; swap 1 planned: one → two (priority 2)";
    assert_eq!(told(&mut desk, RESUME), said(text));
}

#[test]
fn by_choice_nobody_moves_in_a_pause_either() {
    let mut desk = Desk::at_rest();
    let mut preferring = config();
    preferring.selection.return_to_preferred = true;
    let hold = |verb| Verb::Account { verb, account: account("one") };
    told(&mut desk, hold(AccountVerb::Hold)).unwrap();
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    desk.send(Event::ConfigReloaded(preferring.into()));
    desk.work();
    told(&mut desk, PAUSE).unwrap();
    told(&mut desk, hold(AccountVerb::Release)).unwrap();
    desk.pass(20 * MINUTE);
    assert_eq!((desk.active(), desk.core.next_wakeup()), ("two", None), "nothing is waited for");
    told(&mut desk, RESUME).unwrap();
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "one");
}

#[test]
fn an_open_swap_is_finished_first() {
    let mut desk = Desk::at_rest();
    told(&mut desk, Verb::Swap { to: None }).unwrap();
    assert_eq!(desk.phase(), Some(Phase::Planned));
    let text = format!("{PAUSED}; swap 1 is finished first");
    assert_eq!(told(&mut desk, PAUSE), said(&text));
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!((desk.active(), desk.phase()), ("two", None));
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert!(desk.core.is_paused());
}

#[test]
fn a_task_that_is_not_launched_yet_goes_back_and_one_at_work_is_finished() {
    for verb in [PAUSE, drain("auto-11"), Verb::Drain { session: None }] {
        let mut desk = free_pool();
        let offers = vec![offer("p:a", Priority::Default)];
        desk.inbox.clone_from(&offers);
        desk.send(Event::TasksOffered(TasksOffered { offers, ..TasksOffered::default() }));
        assert_eq!(desk.recorded("task=p:a claimed attempt=1"), 1, "its marker is on its way");
        told(&mut desk, verb.clone()).unwrap();
        desk.work();
        desk.pass(10 * SECOND);
        let elsewhere = usize::from(verb == drain("auto-11"));
        assert_eq!(desk.recorded("task launching"), elsewhere, "{verb}");
        assert_eq!(desk.recorded("session=auto-11 task given back uncounted"), 1, "{verb}");
        told(&mut desk, RESUME).unwrap();
        desk.work();
        desk.pass(10 * SECOND);
        assert_eq!(desk.recorded("task launching"), 1, "{verb}");
        assert!(desk.core.durable.attempts.is_empty(), "{verb}: it counts as no attempt");

        let mut desk = Desk::at_work();
        told(&mut desk, verb.clone()).unwrap();
        desk.offer(&[offer("q:b", Priority::Default)]);
        desk.signal("auto-11", true, "");
        desk.pass(10 * SECOND);
        assert_eq!(desk.results(), "p:a=done(signal)", "{verb}");
        assert_eq!(desk.recorded("task=q:b claimed"), elsewhere, "{verb}");
    }
}

#[test]
fn who_is_drained_stays_so_until_he_is_resumed() {
    let mut desk = Desk::at_work();
    let text = "auto-11 finishes p:a and then gets no other task, \
                until `claude-failover resume auto-11`";
    assert_eq!(told(&mut desk, drain("auto-11")), said(text));
    let text = "auto-12 gets no task, until `claude-failover resume auto-12`";
    assert_eq!(told(&mut desk, drain("auto-12")), said(text));
    told(&mut desk, drain("auto-13")).unwrap();
    let records = desk.journal.len();
    assert_eq!(told(&mut desk, drain("auto-12")), said(text));
    assert_eq!(desk.journal.len(), records, "that is no news");
    desk.restart();
    desk.signal("auto-11", true, "");
    desk.offer(&[offer("q:b", Priority::Default)]);
    desk.pass(MINUTE);
    assert_eq!(desk.recorded("task=q:b claimed"), 0);
    let resume = |name| Verb::Resume { session: Some(session(name)) };
    assert_eq!(told(&mut desk, resume("auto-12")), said("auto-12 takes tasks again"));
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.recorded("session=auto-12 task=q:b claimed"), 1);
    assert_eq!(told(&mut desk, RESUME), said("auto-11, auto-13 take tasks again"));
    assert_eq!(told(&mut desk, RESUME), said("nothing was paused or drained"));
    let text = "auto-11 was not drained: nothing changed";
    assert_eq!(told(&mut desk, resume("auto-11")), said(text));
}

#[test]
fn drained_sessions_move_with_a_swap_as_all_do() {
    let mut desk = Desk::at_rest();
    let text = "no session of the pool (3) gets a task until `claude-failover resume`";
    assert_eq!(told(&mut desk, Verb::Drain { session: None }), said(text));
    refuse_ded(&mut desk);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    told(&mut desk, PAUSE).unwrap();
    let text = "auto-11 takes tasks again, once `claude-failover resume` ends the pause";
    let one = Verb::Resume { session: Some(session("auto-11")) };
    assert_eq!(told(&mut desk, one), said(text));
    assert_eq!(
        told(&mut desk, RESUME),
        said("the pause is over; auto-12, auto-13 take tasks again")
    );
}

#[test]
fn no_session_is_made_for_tasks_while_all_are_drained() {
    let mut desk = free_pool();
    let mut roomy = config();
    roomy.pool.autonomous.as_mut().expect("a pool").max = 4; // two of them are there
    desk.send(Event::ConfigReloaded(roomy.into()));
    desk.work();
    told(&mut desk, Verb::Drain { session: None }).unwrap();
    desk.offer(&[offer("p:a", Priority::Default), offer("q:b", Priority::Default)]);
    desk.pass(MINUTE);
    assert_eq!((desk.claims, desk.created.len()), (0, 0));
    told(&mut desk, Verb::Resume { session: Some(session("auto-13")) }).unwrap();
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.created, [session("auto-13")]);
    assert_eq!(desk.recorded("session=auto-13 task=p:a claimed"), 1);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_reason() {
    let mut desk = Desk::at_rest();
    let too_long = Verb::Pause { length: Some(PAUSE_MAX + SECOND) };
    for (verb, why) in [
        (too_long, "a pause lasts 30 days at most; without --for it has no end"),
        (drain("ded"), "ded is a dedicated session: it gets no tasks anyway"),
        (drain("auto-99"), "auto-99 is no session of the configuration"),
        (
            Verb::Resume { session: Some(session("auto-99")) },
            "auto-99 is no session of the configuration",
        ),
    ] {
        assert_eq!(told(&mut desk, verb.clone()), Err(why.to_owned()));
        assert_eq!(desk.noted(&format!("{verb} refused: {why}")), 1);
    }
    let mut alone = config();
    alone.pool.autonomous = None;
    desk.send(Event::ConfigReloaded(alone.into()));
    let why = "the configuration has no pool: nothing gets tasks";
    assert_eq!(told(&mut desk, Verb::Drain { session: None }), Err(why.to_owned()));
}

#[test]
fn a_stop_is_answered_and_ends_the_daemon() {
    let mut desk = Desk::at_rest();
    let text = "the daemon stops; tmux and the agents go on without it";
    assert_eq!(told(&mut desk, Verb::Stop), said(text));
    assert!(desk.orders.contains(&Action::Stop));
    let text = "paused until `claude-failover resume`: no task goes out and nobody is moved; \
                the daemon stops: the next one acts on it";
    assert_eq!(told(&mut desk, PAUSE), said(text));
    // Somebody's agent is no matter of ours.
    assert!(desk.agents.iter().any(|agent| agent.home == AgentHome::Homed(account("one"))));
}

/// A state that an earlier version has written down, and how the records stand in the journal.
#[test]
fn journals_of_before_are_read_and_the_records_keep_their_names() {
    let mut old = serde_json::to_value(Durable::default()).expect("it has a text");
    for key in ["paused", "drained"] {
        old.as_object_mut().expect("an object").remove(key).expect("it is there");
    }
    let read: Durable = serde_json::from_value(old).expect("an early state is read");
    assert_eq!(read, Durable::default());
    let (at, sessions) = (Wall(5), vec![session("auto-11")]);
    for (record, text) in [
        (Record::Paused { at, until: None }, r#"{"type":"paused","at":5,"until":null}"#),
        (
            Record::PauseEnded { at, by: PauseEnd::Operator },
            r#"{"type":"pause_ended","at":5,"by":"operator"}"#,
        ),
        (
            Record::SessionsDrained { sessions: sessions.clone(), at },
            r#"{"type":"sessions_drained","sessions":["auto-11"],"at":5}"#,
        ),
        (
            Record::SessionsResumed { sessions, at },
            r#"{"type":"sessions_resumed","sessions":["auto-11"],"at":5}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&record).expect("it has a text"), text);
        assert_eq!(serde_json::from_str::<Record>(text).expect("it reads back"), record);
    }
}
