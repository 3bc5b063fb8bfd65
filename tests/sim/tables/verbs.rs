//! What an operator is told when he asks for something: what was done and what follows, or why not.

use std::time::Duration;

use claude_failover::core::action::{Action, AskId};
use claude_failover::core::event::{AccountVerb, Event, StuckVerb, Verb};

use crate::tables::desk::{Desk, account, config};

const SECOND: Duration = Duration::from_secs(1);
const ASK: AskId = AskId(7);

/// The answer, which must be the only one and comes after all records; then all orders are done.
#[track_caller]
fn told(desk: &mut Desk, verb: Verb) -> Result<String, String> {
    let answer = answer(desk, verb);
    desk.work();
    answer
}

/// While all orders are on their way still.
#[track_caller]
fn answer(desk: &mut Desk, verb: Verb) -> Result<String, String> {
    desk.send(Event::VerbRequested { verb, ask: Some(ASK) });
    let mut answers = answers(desk);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn answers(desk: &mut Desk) -> Vec<Result<String, String>> {
    let orders = std::mem::take(&mut desk.orders);
    let mut answers = Vec::new();
    for order in orders {
        match order {
            Action::Answer { ask, result } => {
                assert_eq!(ask, ASK);
                answers.push(result);
            }
            other => desk.orders.push(other),
        }
    }
    answers
}

fn said(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn refused(text: &str) -> Result<String, String> {
    Err(text.to_owned())
}

fn of(verb: AccountVerb, name: &str) -> Verb {
    Verb::Account { verb, account: account(name) }
}

fn swap_to(name: &str) -> Verb {
    Verb::Swap { to: Some(account(name)) }
}

#[test]
fn a_swap_is_planned_or_refused_with_its_reason() {
    let mut desk = Desk::at_rest();
    for (name, why) in [
        ("nosuch", "nosuch is no account of the configuration"),
        ("one", "one: it is the account to leave"),
    ] {
        assert_eq!(told(&mut desk, swap_to(name)), refused(why));
        assert_eq!(desk.noted(&format!("swap refused: {why}")), 1);
    }
    let planned = answer(&mut desk, swap_to("three"));
    assert_eq!(planned, said("swap 1 planned: one → three (priority 3)"));
    assert_eq!(told(&mut desk, swap_to("two")), refused("swap 1 is open"));
    desk.pass(10 * SECOND);
    assert_eq!(
        told(&mut desk, Verb::Swap { to: None }),
        said("swap 2 planned: three → one (priority 1)")
    );
    desk.pass(10 * SECOND);
    desk.send(Event::StopRequested);
    desk.orders.clear();
    assert_eq!(told(&mut desk, swap_to("two")), refused("the daemon is draining"));
}

#[test]
fn how_a_stuck_swap_ends_is_told() {
    for (verb, told_then) in [
        (StuckVerb::Resume, "swap 1 goes forward to two again"),
        (StuckVerb::Rollback, "swap 1 goes back to one again"),
        (StuckVerb::Clear, "swap 1 is over, and the link is taken as it is"),
    ] {
        let mut desk = Desk::at_rest();
        assert_eq!(told(&mut desk, Verb::Stuck(verb)), refused("nothing is stuck"));
        desk.flips_fail = vec![account("two"), account("one")];
        told(&mut desk, swap_to("two")).unwrap();
        desk.pass(10 * SECOND);
        assert_eq!(told(&mut desk, swap_to("two")), refused("swap 1 is stuck"));
        assert_eq!(answer(&mut desk, Verb::Stuck(verb)), said(told_then));
    }
}

#[test]
fn an_account_in_reserve_is_held_and_released() {
    let mut desk = Desk::at_rest();
    let held = "two is held: nothing goes there until it is released";
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "two")), said(held));
    let why = "two: held by the operator; `claude-failover account release two` ends that";
    assert_eq!(told(&mut desk, swap_to("two")), refused(why));
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "two")), said(held));
    let why = "two is held: release it first";
    assert_eq!(told(&mut desk, of(AccountVerb::Pin, "two")), refused(why));
    assert_eq!(desk.noted("account pin two refused: two is held"), 1);
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "two")), said("two is released"));
    let why = "nosuch is no account of the configuration";
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "nosuch")), refused(why));
    assert_eq!(desk.active(), "one");
}

#[test]
fn what_follows_for_the_work_is_told() {
    let mut desk = Desk::at_rest();
    let text = "one is held: nothing goes there until it is released; \
                swap 1 planned: one → two (priority 2)";
    assert_eq!(answer(&mut desk, of(AccountVerb::Hold, "one")), said(text));
    let text = "two is held: nothing goes there until it is released; swap 1 goes to three instead";
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "two")), said(text));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "three");
    let text = "three is held: nothing goes there until it is released; \
                no account can be taken: parked until one is released";
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "three")), said(text));
    let text = "two is released; swap 2 planned: three → two (priority 2)";
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "two")), said(text));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
}

#[test]
fn a_pin_bars_the_others() {
    let mut desk = Desk::at_rest();
    let text = "three is pinned: no other account is used until it is released; \
                swap 1 planned: one → three (priority 3)";
    assert_eq!(told(&mut desk, of(AccountVerb::Pin, "three")), said(text));
    desk.pass(10 * SECOND);
    assert_eq!(told(&mut desk, swap_to("two")), refused("two: three is pinned"));
    let text = "two is released; still passed over: three is pinned";
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "two")), said(text));
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "three")), said("three is released"));
    let mut pinned = config();
    pinned.selection.pin = Some(account("three"));
    desk.send(Event::ConfigReloaded(pinned.into()));
    desk.work();
    let text = "three is released; still pinned: selection.pin of the configuration names it";
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "three")), said(text));
}

#[test]
fn a_limit_that_is_released_is_proven_first() {
    let mut desk = Desk::at_rest();
    desk.set_state("ded", claude_failover::core::event::AgentState::Busy);
    desk.set_state("ded", claude_failover::core::event::AgentState::Idle);
    desk.banner("ded", "You've hit your session limit · resets later", Some(60));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    let text = "one is released: one answer proves it before anybody is moved there";
    assert_eq!(told(&mut desk, of(AccountVerb::Release, "one")), said(text));
}

#[test]
fn too_many_swaps_are_told_to_who_makes_work_wait() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    told(&mut desk, swap_to("two")).unwrap();
    desk.pass(10 * SECOND);
    let text = "two is held: nothing goes there until it is released; \
                throttled: work moves when swap.max_per_hour allows the next swap";
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "two")), said(text));
    let text = "three is held: nothing goes there until it is released";
    assert_eq!(told(&mut desk, of(AccountVerb::Hold, "three")), said(text), "that is no news");
}

#[test]
fn a_reload_is_answered_when_the_file_has_been_read() {
    let mut desk = Desk::at_rest();
    let reload = || Event::VerbRequested { verb: Verb::Reload, ask: Some(ASK) };
    desk.send(reload());
    desk.send(reload());
    desk.send(Verb::Reload.into());
    assert_eq!(answers(&mut desk), []);
    assert!(desk.orders.iter().all(|order| *order == Action::ReloadConfig));
    desk.orders.clear();
    desk.send(Event::ConfigReloaded(config().into()));
    let read = said("the configuration has been read again");
    assert_eq!(answers(&mut desk), [read.clone(), read]);
    desk.send(reload());
    desk.send(Event::ConfigRejected { problems: vec!["a: b".to_owned(), "c: d".to_owned()] });
    assert_eq!(answers(&mut desk), [refused("nothing changed: a: b\nc: d")]);
    let mut elsewhere = config();
    elsewhere.link = "/elsewhere".into();
    desk.send(reload());
    desk.send(Event::ConfigReloaded(elsewhere.into()));
    let text = "the configuration has been read again; a restart is needed for link";
    assert_eq!(answers(&mut desk), [said(text)]);
    desk.send(Event::ConfigReloaded(config().into()));
    assert_eq!(answers(&mut desk), [], "nobody is told twice");
}

#[test]
fn a_verb_on_a_task_says_in_whose_hands_it_is() {
    let task = || "p:a".parse().expect("a valid name");
    let mut desk = Desk::at_rest();
    let nowhere = refused("p:a is not in the daemon's hands");
    assert_eq!(told(&mut desk, Verb::TaskRetry { task: task() }), nowhere);
    assert_eq!(told(&mut desk, Verb::TaskCancel { task: task() }), nowhere);
    let mut desk = Desk::at_work();
    let retried = told(&mut desk, Verb::TaskRetry { task: task() });
    assert!(retried.unwrap_err().starts_with("p:a is at work in auto-1"));
    let cancelled = answer(&mut desk, Verb::TaskCancel { task: task() }).unwrap();
    assert!(
        cancelled.starts_with("p:a is cancelled: whoever works on it in auto-1"),
        "{cancelled}"
    );
    let again = answer(&mut desk, Verb::TaskCancel { task: task() });
    assert_eq!(again, refused("p:a is ending already"));
    desk.work();
    assert_eq!(desk.results(), "p:a=failed(cancelled)");
}
