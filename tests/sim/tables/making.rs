//! Sessions that are wanted and cannot be made, or end as soon as they are.

use std::sync::Arc;
use std::time::Duration;

use claude_failover::core::event::{AgentState, Event, Verb};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, session};
use crate::tables::sessions::lose;
use crate::tables::tasks::offer;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_session_that_cannot_be_made_keeps_its_agent_waiting_and_holds_up_no_swap() {
    let mut desk = Desk::at_rest();
    desk.creations_fail = true;
    lose(&mut desk, "ded");
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(30 * SECOND);
    assert_eq!((desk.active(), desk.phase()), ("two", None));
    assert!(desk.core.durable.moves.contains_key(&session("ded")));
    desk.creations_fail = false;
    desk.list();
    desk.work();
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

/// Its shell is `nologin`, or a hook of tmux renames it.
#[test]
fn a_session_that_ends_at_once_is_made_ever_more_slowly_and_holds_up_no_swap() {
    let mut desk = Desk::at_rest();
    lose(&mut desk, "ded");
    for _ in 0..180 {
        lose(&mut desk, "ded");
        desk.pass(SECOND);
    }
    assert!((7..=9).contains(&desk.created.len()), "{:?}", desk.created);
    assert_eq!(desk.core.missing_sessions().count(), 1);
    assert_eq!(desk.noted("ends as soon as it is made"), 1);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    for _ in 0..30 {
        lose(&mut desk, "ded");
        desk.pass(SECOND);
    }
    assert_eq!((desk.active(), desk.phase()), ("two", None));
    for _ in 0..90 {
        desk.pass(SECOND);
        desk.list();
        desk.work();
    }
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.core.missing_sessions().count(), 0);
}

#[test]
fn nobody_is_told_of_a_session_that_ends_at_once_when_it_is_not_wanted_any_more() {
    let mut desk = Desk::at_rest();
    for _ in 0..20 {
        lose(&mut desk, "ded");
        desk.pass(SECOND);
    }
    assert_eq!(desk.core.missing_sessions().count(), 1);
    let mut config = (*desk.core.config).clone();
    config.pool.dedicated.clear();
    desk.send(Event::ConfigReloaded(Arc::new(config)));
    desk.work();
    assert_eq!(desk.core.missing_sessions().count(), 0);
}

/// It was never tried again after the third time, and the task waited for good.
#[test]
fn a_session_above_the_minimum_that_ends_at_once_is_tried_again_while_a_task_waits() {
    let mut desk = Desk::at_rest();
    for name in ["auto-11", "auto-12"] {
        desk.set_state(name, AgentState::Busy);
    }
    desk.end_at_once = true;
    desk.offer(&[offer("p:a", Priority::Default)]);
    for _ in 0..180 {
        desk.pass(SECOND);
        desk.list();
        desk.work();
    }
    assert!((7..=9).contains(&desk.created.len()), "{:?}", desk.created);
    assert_eq!(desk.core.missing_sessions().count(), 1);
    assert_eq!(desk.deliveries(), 0);
    desk.end_at_once = false;
    for _ in 0..90 {
        if desk.deliveries() > 0 {
            break;
        }
        desk.pass(SECOND);
        desk.list();
        desk.work();
    }
    assert_eq!(desk.created.last(), Some(&session("auto-13")));
    assert_eq!(desk.deliveries(), 1);
}
