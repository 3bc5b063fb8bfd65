//! Agents that a swap leaves where they are, or has to.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentHome, Verb};
use claude_failover::core::session::ENDED_AGAIN_AFTER;
use claude_failover::quota::verdict::Verdict;

use crate::tables::account_edges::{figures_alone, with};
use crate::tables::desk::{Desk, account};
use crate::tables::testimony::{limit, record_end};

const SECOND: Duration = Duration::from_secs(1);

/// By choice an operator's agent stays until it is refused; that may be before the swap is done.
#[test]
fn who_is_refused_during_a_swap_by_choice_follows_it() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    figures_alone(&mut desk, "ded", (970, 60), (100, 6_000));
    assert_eq!(desk.phase(), Some(Phase::Planned));
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    desk.pass(15 * SECOND);
    assert_eq!(desk.recorded("trigger=preempt"), 1);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=two", "idle ones have time");
}

/// The look that a swap has ordered knows nothing of a session that has come up since.
#[test]
fn who_comes_into_sight_while_a_swap_looks_around_is_taken_along() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: None }.into());
    let is_look = |order: &Action| matches!(order, Action::ObserveAgents { .. });
    while !desk.orders.first().is_some_and(is_look) {
        let order = desk.orders.remove(0);
        desk.carry_out(order);
    }
    let seen = desk.agents.clone();
    let look = desk.orders.remove(0);
    desk.sessions.push("auto-13".to_owned());
    desk.add_agent("auto-13", AgentHome::Homed(account("one")), Some(4));
    desk.list();
    let all = std::mem::replace(&mut desk.agents, seen);
    desk.carry_out(look);
    desk.agents = all;
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two auto-13=two ded=two");
}

#[test]
fn who_cannot_be_ended_is_tried_again_after_a_while() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    let process = desk.agent("auto-11").process;
    desk.endure.push(process);
    desk.look();
    record_end(&mut desk, "auto-11", Verdict::AuthFailed);
    desk.pass(ENDED_AGAIN_AFTER - SECOND);
    desk.list();
    assert_eq!(desk.recorded("could not be ended"), 1);
    desk.endure.clear();
    desk.pass(2 * SECOND);
    desk.list();
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
}
