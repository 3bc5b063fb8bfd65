//! What only the world outside does: processes that stay, loops in shells, sleep, late listings.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentHome, AgentState, Event, Verb};
use claude_failover::moment::Wall;
use claude_failover::task::{HeldState, Priority};

use crate::tables::account_edges::{figures_alone, with};
use crate::tables::desk::{Desk, account, session};
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::{limit, write_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn whoever_leaves_a_process_behind_is_resumed_all_the_same() {
    let mut desk = Desk::at_rest();
    desk.leave_tools_behind = true;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.noted("its agent has ended, and left behind: it failed"), 3);
}

/// The tool may work on in the project.
#[test]
fn but_a_task_is_not_given_to_the_next_while_a_process_of_its_agent_lives() {
    let mut desk = Desk::at_work();
    desk.leave_tools_behind = true;
    desk.pass(8 * 60 * MINUTE);
    assert_eq!(desk.recorded("stalled"), 1);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)], "a person decides");
}

#[test]
fn whoever_is_begun_again_by_a_loop_is_left_alone_after_a_while() {
    let mut desk = Desk::at_rest();
    desk.in_a_loop.push(session("ded"));
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(MINUTE);
    assert_eq!((desk.phase(), desk.homes().as_str()), (None, "auto-11=two auto-12=two ded=Linked"));
    assert_eq!(desk.recorded("somebody brings it back each time that it is ended"), 1);
    assert_eq!(desk.stops.len(), 5, "it and two that came after it");
}

/// Until then the watcher looks below the process that was in the pane before.
#[test]
fn a_task_is_not_lost_before_a_listing_has_shown_where_it_was_launched() {
    let mut desk = free_pool();
    desk.inbox = vec![offer("p:a", Priority::Default)];
    desk.tell_offers();
    desk.work_until(|order| matches!(order, Action::LaunchAgent(_)));
    let launch = desk.orders.remove(0);
    desk.carry_out(launch);
    desk.orders.clear();
    let unseen = desk.agents.pop().expect("it was launched");
    desk.list();
    desk.observe(None);
    for _ in 0..15 {
        desk.now_ms += 1_000;
        desk.wall_ms += 1_000;
        desk.send(Event::DeadlineReached);
        desk.orders.retain(|order| !matches!(order, Action::ObserveSessions));
        desk.work();
    }
    assert_eq!(desk.recorded("task lost") + desk.recorded("requeued"), 0, "nobody could see it");
    desk.agents.push(unseen);
    desk.list();
    desk.look();
    desk.prompt("auto-11");
    desk.pass(SECOND);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
}

#[test]
fn what_the_host_slept_is_not_the_time_of_a_task() {
    let mut desk = free_pool();
    let mut task = offer("p:a", Priority::Default);
    task.timeout = Some(30 * MINUTE);
    desk.offer(&[task]);
    desk.prompt("auto-11");
    desk.set_state("auto-11", AgentState::Busy);
    desk.pass(SECOND);
    desk.now_ms += 8 * 3_600_000;
    desk.wall_ms += 8 * 3_600_000;
    desk.look();
    desk.pass(20 * MINUTE);
    assert_eq!(desk.results(), "");
    desk.pass(11 * MINUTE);
    assert_eq!(desk.results(), "p:a=failed(timeout)");
}

/// While a swap is stuck people move the link by hand, and nobody writes that down.
#[test]
fn what_was_said_before_a_restart_in_a_stuck_swap_is_nobodys() {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session != session("auto-12"));
    desk.look();
    desk.flips_fail = vec![account("one"), account("two")];
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.phase(), Some(Phase::Stuck));
    desk.link = account("two");
    desk.add_agent("auto-12", AgentHome::Linked, Some(7));
    desk.pass(MINUTE);
    let (refusal, at) = (limit(&desk, 60), Wall(desk.wall_ms));
    write_end(&mut desk, "auto-12", refusal, at);
    desk.pass(MINUTE);
    desk.link = account("one");
    desk.restart();
    desk.pass(MINUTE);
    assert_eq!(desk.recorded("exhausted"), 0, "two has refused, and nobody knows that");
}

/// Its directory is away: that is no reason for the others to wait.
#[test]
fn a_session_that_cannot_be_made_does_not_keep_the_others_from_a_swap_by_choice() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    desk.creations_fail = true;
    desk.sessions.retain(|name| name != "ded");
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.list();
    desk.work();
    desk.pass(30 * SECOND);
    assert!(desk.core.durable.moves.contains_key(&session("ded")), "it is to come back");
    figures_alone(&mut desk, "auto-11", (970, 60), (100, 6_000));
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.recorded("trigger=preempt"), 1);
}
