//! What is at the edge of parking: tasks, dialogs and people that a wait for an account meets.

use std::time::Duration;

use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentHome, AgentState, Event, ProbeEnd};
use claude_failover::core::record::Record;
use claude_failover::core::standing::AccountState;
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::Priority;

use crate::tables::account_edges::{figures, only_one, run_out, state, with};
use crate::tables::desk::{Desk, account, config, session};
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::{limit, record_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A pool agent at work on a task, refused on `three` with everybody else out.
fn parked_with_a_task(minutes: [i64; 3], timeout: Option<Duration>) -> Desk {
    let mut desk = free_pool();
    for minutes in &minutes[..2] {
        let refusal = limit(&desk, *minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    desk.comes_up = Some(AgentState::Busy);
    let mut task = offer("p:a", Priority::Default);
    task.timeout = timeout;
    desk.offer(&[task]);
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("task received"), 1);
    desk.set_state("auto-11", AgentState::Idle);
    let refusal = limit(&desk, minutes[2]);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(5 * SECOND);
    assert!(desk.core.is_parked());
    desk
}

/// No account takes anything, so the time is not the task's.
#[test]
fn the_time_limit_of_a_task_does_not_run_while_parked() {
    let mut desk = parked_with_a_task([300, 200, 120], Some(30 * MINUTE));
    let stops = desk.stops.len();
    desk.pass(60 * MINUTE);
    assert!(desk.core.is_parked());
    assert_eq!(desk.stops.len(), stops, "nothing is killed while parked");
    assert_eq!(desk.results(), "", "a task is not failed for what its account did");
}

#[test]
fn whoever_looks_at_the_canary_is_told_before_it_is_ended() {
    let mut desk = parked_with_a_task([300, 200, 10], None);
    desk.typed_at = Some(Wall(desk.wall_ms));
    desk.list();
    let stops = desk.stops.len();
    desk.told.clear();
    desk.pass(9 * MINUTE);
    for _ in 0..120 {
        desk.pass(SECOND);
        if desk.stops.len() > stops {
            break;
        }
    }
    assert_eq!(desk.stops.len(), stops + 1);
    assert_eq!(desk.told.len(), 1, "its agent has been ended under its operator's hands");
}

#[test]
fn whoever_looks_at_an_agent_that_is_moved_alone_is_told() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    figures(&mut desk, "ded", (960, 60), (100, 6_000));
    desk.pass(10 * SECOND);
    desk.typed_at = Some(Wall(desk.wall_ms));
    desk.list();
    desk.told.clear();
    let refusal = limit(&desk, 59);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=two");
    assert_eq!(desk.told.len(), 1);
}

/// Refused on the first that came back, then the second cannot be taken either.
#[test]
fn a_canary_that_was_refused_on_the_way_to_two_targets_is_left_alive() {
    let mut desk = parked_with_a_task([300, 200, 10], None);
    // Both come back in the same second.
    desk.pass(9 * MINUTE);
    let until = desk.core.standing(&account("three")).until().expect("it is out");
    let record = desk.journal.iter().rev().find_map(|record| match record {
        Record::AccountRefused { account: name, window, limit } if *name == account("three") => {
            Some((*window, limit.clone()))
        }
        _ => None,
    });
    let (window, mut limit_of_two) = record.expect("it is out");
    limit_of_two.until = until;
    desk.journal.retain(|record| {
        !matches!(record, Record::AccountRefused { account: name, .. } if *name == account("two"))
    });
    desk.journal.push(Record::AccountRefused {
        account: account("two"),
        window,
        limit: limit_of_two,
    });
    desk.restart();
    desk.probe = Ok(ProbeEnd::Refused(Reading {
        verdict: Verdict::Exhausted {
            limit: LimitKind::FiveHour,
            resets_at: Some(Wall(desk.wall_ms + 7_200_000)),
        },
        ..Reading::clear()
    }));
    desk.comes_up = Some(AgentState::Idle);
    for _ in 0..600 {
        desk.pass(SECOND / 4);
        if desk.phase() == Some(Phase::Probing) {
            break;
        }
    }
    assert_eq!(desk.phase(), Some(Phase::Probing));
    desk.pass(10 * SECOND);
    assert_eq!(state(&desk, "two"), AccountState::Unproven);
    assert_eq!(state(&desk, "three"), AccountState::Unproven);
    let refusal = limit(&desk, 120);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(30 * SECOND);
    assert!(desk.core.is_parked(), "{:?}", desk.core.durable.swap);
    assert!(desk.agents.iter().any(|agent| agent.session == session("auto-11")), "ended in vain");
}

/// After a restart nobody has been seen yet.
#[test]
fn a_crash_when_the_canary_was_refused_ends_nobody() {
    let mut desk = parked_with_a_task([300, 200, 10], None);
    for _ in 0..60 * 60 {
        desk.pass(SECOND / 4);
        if desk.phase() == Some(Phase::Probing) {
            break;
        }
    }
    desk.pass(SECOND / 2);
    desk.set_state("auto-11", AgentState::Idle);
    desk.dies_at = Some(desk.journal.len() + 1);
    let refusal = limit(&desk, 120);
    record_end(&mut desk, "auto-11", refusal);
    assert!(matches!(desk.journal.last(), Some(Record::AccountRefused { .. })));
    desk.dies_at = None;
    desk.restart();
    desk.pass(30 * SECOND);
    assert!(desk.core.is_parked());
    assert!(desk.agents.iter().any(|agent| agent.session == session("auto-11")), "ended in vain");
}

/// Nobody could be answered, so its silence is no sign of a lost task.
#[test]
fn an_agent_that_was_just_given_its_task_is_not_ended_while_parked() {
    let mut one = config();
    only_one(&mut one);
    let mut desk = Desk::new(one);
    desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
    desk.start();
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(2 * SECOND);
    assert_eq!(desk.launches.len(), 1);
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    assert!(desk.core.is_parked());
    desk.pass(10 * MINUTE);
    assert_eq!(desk.stops.len(), 0, "nothing is killed while parked");
}

/// Nor before keys are sent to a dialog that came up with the limit.
#[test]
fn no_key_is_sent_to_an_agent_that_was_just_given_its_task_while_parked() {
    let mut one = config();
    only_one(&mut one);
    let mut desk = Desk::new(one);
    desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
    desk.start();
    desk.comes_up = Some(AgentState::Waiting("dialog open".to_owned()));
    desk.offer(&[offer("p:a", Priority::Default)]);
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    assert!(desk.core.is_parked());
    let keys = |desk: &Desk| {
        let sent = |record: &&Record| matches!(record, Record::DialogHandling { .. });
        desk.journal.iter().filter(sent).count()
    };
    let before = keys(&desk);
    desk.pass(10 * MINUTE);
    assert_eq!(keys(&desk), before, "nothing is typed while parked");
}

#[test]
fn with_an_account_to_go_to_and_too_many_swaps_it_is_throttled_and_not_parked() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 2;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    run_out(&mut desk, &[300, 10, 200]);
    assert_eq!(desk.active(), "three");
    desk.pass(11 * MINUTE);
    assert_eq!(state(&desk, "two"), AccountState::Unproven);
    assert!(desk.core.throttled());
    assert!(!desk.core.is_parked(), "`two` can be taken: nothing but the throttle is in the way");
}

/// Left on the account of a refused canary, until that one comes back.
#[test]
fn an_agent_that_was_refused_where_the_others_go_to_now_is_told_to_go_on() {
    let mut desk = with(|config| {
        config.pool.dedicated[0].nudge = Some("Go on.".to_owned());
        config.pool.autonomous = None;
    });
    desk.agents.retain(|agent| agent.session == session("ded"));
    run_out(&mut desk, &[300, 10, 200]);
    assert_eq!(desk.active(), "three");
    desk.comes_up = Some(AgentState::Busy);
    for _ in 0..60 * 60 {
        desk.pass(SECOND / 4);
        if desk.phase() == Some(Phase::Probing) {
            break;
        }
    }
    desk.pass(SECOND);
    desk.set_state("ded", AgentState::Idle);
    let refusal = limit(&desk, 30);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    assert!(desk.core.is_parked());
    assert_eq!(desk.homes(), "ded=two", "it waits there");
    let launches = desk.launches.len();
    desk.pass(HOUR);
    assert_eq!(desk.active(), "two");
    assert_eq!(desk.launches.len(), launches + 1, "its turn was cut off, and it has a nudge");
}

/// A client that waits by itself (an operator's own start) and does not go on is taken up afterwards.
#[test]
fn a_client_with_a_nudge_that_does_not_go_on_by_itself_is_taken_up() {
    let mut desk = with(|config| {
        only_one(config);
        config.pool.dedicated[0].nudge = Some("Go on.".to_owned());
    });
    let refusal = limit(&desk, 10);
    record_end(&mut desk, "ded", refusal);
    desk.show("ded", Reading { armed: true, ..Reading::clear() });
    desk.pass(11 * MINUTE);
    assert_eq!(desk.launches.len(), 0, "its own 120 s");
    desk.pass(HOUR);
    assert_eq!(desk.launches.len(), 1);
}
