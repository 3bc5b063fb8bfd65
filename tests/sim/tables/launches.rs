//! Launches that are surely not done: the disk is full, a directory is gone.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, Event, Verb};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, session};
use crate::tables::tasks::{free_pool, offer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const FULL: &str = "no space left on device";
const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";

fn full() -> Option<String> {
    Some(FULL.to_owned())
}

#[test]
fn a_fleet_that_cannot_be_launched_is_resumed_when_it_can_be() {
    let mut desk = Desk::at_rest();
    desk.no_launch = full();
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(MINUTE);
    assert_eq!((desk.phase(), desk.active()), (None, "two"), "the swap goes on without them");
    assert_eq!(desk.homes(), "");
    assert_eq!(desk.core.stuck_launches().count(), 3);
    desk.no_launch = None;
    desk.pass(MINUTE);
    desk.work();
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.core.stuck_launches().count(), 0);
    assert!(desk.core.durable.moves.is_empty());
}

/// What stands in the way for a day costs 1 440 tries an agent, not one at each event.
#[test]
fn it_is_tried_ever_more_slowly_and_said_a_few_times() {
    let mut desk = Desk::at_rest();
    desk.no_launch = full();
    desk.lose_session("ded");
    desk.pass(60 * MINUTE);
    let tries = desk.refused_launches;
    assert!((60..=70).contains(&tries), "{tries}");
    assert_eq!(desk.noted(FULL), 3);
}

#[test]
fn a_canary_that_cannot_be_launched_does_not_speak_against_its_target() {
    let mut desk = Desk::at_rest();
    desk.no_launch = full();
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(2 * MINUTE);
    assert_eq!(desk.recorded("rejected"), 0);
    assert_eq!(desk.active(), "two");
}

#[test]
fn a_session_whose_task_was_cancelled_is_not_waited_for() {
    let mut desk = Desk::at_work();
    desk.no_launch = full();
    desk.refuse("auto-11");
    desk.pass(MINUTE);
    assert!(desk.core.durable.moves.contains_key(&session("auto-11")));
    desk.signal("auto-11", true, "");
    desk.pass(MINUTE);
    assert_eq!(desk.results(), "p:a=done(signal)");
    assert!(!desk.core.durable.moves.contains_key(&session("auto-11")));
}

#[test]
fn a_task_that_was_not_launched_has_all_its_attempts_left() {
    let mut desk = free_pool();
    desk.no_launch = full();
    desk.last_words = Ok(None);
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.closed.len(), 0);
    assert!((3..=60).contains(&desk.refused_launches), "{}", desk.refused_launches);
    desk.no_launch = None;
    for _ in 0..60 {
        desk.pass(SECOND);
        if desk.deliveries() == 1 {
            break;
        }
    }
    assert_eq!(desk.deliveries(), 1);
    assert_eq!(desk.core.held_tasks()[0].attempt, 1);
}

#[test]
fn tasks_that_cannot_be_begun_are_shown_until_one_is() {
    let mut desk = free_pool();
    desk.no_launch = full();
    desk.last_words = Ok(None);
    desk.offer(&[offer("p:a", Priority::Default)]);
    let stuck = |desk: &Desk| desk.core.stuck_tasks().count();
    assert_eq!(stuck(&desk), 0, "perhaps it is a matter of a moment");
    desk.pass(10 * MINUTE);
    assert_eq!(stuck(&desk), 1);
    let tries = desk.refused_launches;
    desk.pass(60 * MINUTE);
    let tries = desk.refused_launches - tries;
    assert!((50..=65).contains(&tries), "once a minute, not {tries} times an hour");
    desk.no_launch = None;
    while desk.deliveries() == 0 {
        desk.pass(SECOND);
        assert!(desk.now_ms < 72 * 60_000, "it is not begun");
    }
    assert_eq!(stuck(&desk), 0);
}

/// Somebody has taken its file away.
#[test]
fn a_task_that_nobody_offers_any_more_is_in_nobodys_way() {
    let mut desk = free_pool();
    desk.no_launch = full();
    desk.last_words = Ok(None);
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(10 * MINUTE);
    desk.offer(&[]);
    desk.pass(12 * MINUTE);
    desk.list();
    assert_eq!(desk.core.stuck_tasks().count(), 0);
}

/// The last try was seven seconds ago, the next is 53 s away.
fn with_one_stuck(name: &str) -> Desk {
    let mut desk = Desk::at_rest();
    desk.no_launch = full();
    desk.lose_session(name);
    desk.pass(250 * SECOND);
    assert_eq!(desk.core.stuck_launches().count(), 1);
    desk
}

#[test]
fn a_swap_does_not_wait_for_who_could_not_be_launched_before_it() {
    let mut desk = with_one_stuck("auto-11");
    desk.no_launch = None;
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    assert_eq!((desk.phase(), desk.active()), (None, "two"));
    assert_eq!(desk.homes(), "auto-12=two ded=two");
    desk.pass(MINUTE);
    desk.work();
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

#[test]
fn who_is_resumed_by_hand_meanwhile_is_left_to_that() {
    let mut desk = with_one_stuck("ded");
    let by_hand = desk.add_agent("ded", AgentHome::Linked, Some(1));
    desk.look();
    desk.pass(2 * MINUTE);
    assert!(!desk.stops.contains(&by_hand));
    assert!(desk.core.durable.moves.is_empty());
    assert_eq!(desk.core.stuck_launches().count(), 0);
}

/// The monitor tells a screen once, and until the answer nobody knows that it is the launched one's.
#[test]
fn what_a_client_shows_before_its_launch_is_answered_is_asked_for_again() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::LaunchAgent(_)));
    let launch = desk.orders.remove(0);
    let Action::LaunchAgent(launch) = launch else { unreachable!() };
    let pane = desk.pane(launch.session.as_str());
    let asked = Action::RereadPane { pane };
    assert!(!desk.orders.contains(&asked));
    // Nobody has looked at its agent yet: the answer alone has it read.
    let (order, session) = (launch.order, launch.session);
    desk.send(Event::AgentLaunched { order, session, result: Ok(pane) });
    assert!(desk.orders.contains(&asked), "{:?}", desk.orders);
}
