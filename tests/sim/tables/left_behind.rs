//! Agents that a swap leaves where they are, or has to.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentHome, AgentState, Event, Verb};
use claude_failover::core::record::{Move, MoveCause, MoveStage, SavedAgent};
use claude_failover::core::session::ENDED_AGAIN_AFTER;
use claude_failover::ids::OpId;
use claude_failover::quota::verdict::Verdict;

use crate::tables::account_edges::{figures_alone, with};
use crate::tables::desk::{Desk, account, config, id, session};
use crate::tables::rare::dead_as_two_is_refused;
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

/// It was ended on its old account by an earlier swap, and waits on another one under a new process.
/// The earlier process was ended once more, and it counted as somebody else's.
#[test]
fn a_client_that_tells_nobody_who_it_is_is_known_by_what_it_was_started_with() {
    let mut desk = Desk::at_rest();
    let earlier = desk.agent("auto-12").clone();
    desk.core.durable.moves.insert(
        session("auto-12"),
        Move {
            op: OpId(0),
            session: session("auto-12"),
            agent: SavedAgent::from(&earlier),
            pane: Some(earlier.pane),
            target: account("three"),
            cause: MoveCause::Swap,
            refused: true,
            cut: false,
            left_row: None,
            beside: Vec::new(),
            stage: MoveStage::Held,
        },
    );
    desk.agents.retain(|agent| agent.session != session("auto-12"));
    desk.add_agent("auto-12", AgentHome::Homed(account("three")), None);
    let named = earlier.conversation.expect("it has told").to_string();
    desk.agent("auto-12").args = Some(vec!["--resume".to_owned(), named]);
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert!(!desk.stops.contains(&earlier.process), "{:?}", desk.stops);
    assert_eq!(desk.homes(), "auto-11=two auto-12=three ded=two");
}

/// The look that a swap has ordered knows nothing of a session that has come up since.
#[test]
fn who_comes_into_sight_while_a_swap_looks_around_is_taken_along() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: None }.into());
    let is_look = |order: &Action| matches!(order, Action::ObserveAgents { .. });
    desk.work_until(is_look);
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

/// A pool agent in its turn while everybody else has followed a swap to `two`.
fn with_a_straggler() -> Desk {
    let mut desk = Desk::at_rest();
    desk.set_state("auto-11", AgentState::Busy);
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=two ded=two");
    desk
}

/// The grace is ten minutes; its end was reckoned by a clock that was three hours fast.
#[test]
fn nobody_stays_for_hours_because_the_clock_was_set_back() {
    let mut desk = with_a_straggler();
    desk.wall_ms -= 3 * 3_600_000;
    desk.pass(9 * 60 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=two ded=two", "nor is its turn cut off for that");
    desk.pass(2 * 60 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

#[test]
fn who_goes_with_its_session_while_it_finishes_its_turn_comes_back() {
    for name in ["ded", "auto-11"] {
        for dies in [false, true] {
            let mut desk = Desk::at_rest();
            desk.set_state(name, AgentState::Busy);
            desk.send(Verb::Swap { to: Some(account("two")) }.into());
            desk.work_until(|order| matches!(order, Action::LaunchAgent(_)));
            let launches = std::mem::take(&mut desk.orders);
            let talk = desk.agent(name).conversation.clone();
            desk.lose_session(name);
            if dies {
                desk.restart();
            }
            desk.orders.extend(launches);
            desk.work();
            desk.pass(20 * SECOND);
            assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two", "{name} {dies}");
            assert_eq!(desk.agent(name).conversation, talk, "{name} {dies}");
        }
    }
}

/// Its end goes out, and before it is done a look finds the agent at work for another target.
#[test]
fn who_is_ended_by_an_order_from_before_it_was_saved_anew_is_resumed() {
    let mut desk = dead_as_two_is_refused();
    desk.agent("ded").state = AgentState::Busy;
    desk.come_back();
    let is_stop = |order: &Action| matches!(order, Action::StopAgents { .. });
    let stop = desk.orders.iter().position(is_stop).expect("who was saved is ended");
    let stop = desk.orders.remove(stop);
    desk.work();
    desk.carry_out(stop);
    desk.work();
    desk.pass(60 * SECOND);
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
    assert_eq!(desk.agent("ded").conversation, Some(id(1)));
}

/// One pane further on somebody's agent was known before the one that finishes its turn.
#[test]
fn nobody_else_is_ended_for_the_one_that_finishes_its_turn() {
    let mut desk = with_a_straggler();
    let straggler = desk.agent("auto-11").process;
    let theirs = desk.add_agent("auto-11", AgentHome::Homed(account("one")), Some(9));
    desk.agents.rotate_right(1);
    desk.look();
    assert_eq!(
        desk.core.sessions[&session("auto-11")].agent.as_ref().map(|a| a.process),
        Some(straggler)
    );
    desk.pass(15 * 60 * SECOND);
    assert!(desk.stops.contains(&straggler) && !desk.stops.contains(&theirs));
}

#[test]
fn whoever_came_in_the_place_of_the_one_that_finished_its_turn_is_not_ended() {
    let mut desk = with_a_straggler();
    desk.agents.retain(|agent| agent.session != session("auto-11"));
    let theirs = desk.add_agent("auto-11", AgentHome::Homed(account("one")), Some(9));
    desk.look();
    desk.pass(15 * 60 * SECOND);
    assert!(!desk.stops.contains(&theirs));
}

/// It has been made and is not listed yet, so that a look knows nothing of its panes.
#[test]
fn who_is_in_a_session_that_was_made_while_a_swap_looks_around_is_taken_along() {
    let mut desk = Desk::at_rest();
    let mut grown = config();
    grown.pool.autonomous.as_mut().expect("it has a pool").min = 3;
    desk.send(Event::ConfigReloaded(grown.into()));
    let is_creation = |order: &Action| matches!(order, Action::CreateSession { .. });
    let create = desk.orders.iter().position(is_creation).expect("the pool grows");
    let create = desk.orders.remove(create);
    desk.carry_out(create);
    let is_listing = |order: &Action| matches!(order, Action::ObserveSessions);
    desk.orders.retain(|order| !is_listing(order));
    desk.send(Verb::Swap { to: None }.into());
    let is_look = |order: &Action| matches!(order, Action::ObserveAgents { .. });
    desk.work_until(is_look);
    let look = desk.orders.remove(0);
    let seen = desk.agents.clone();
    desk.add_agent("auto-13", AgentHome::Homed(account("one")), Some(4));
    desk.list();
    let all = std::mem::replace(&mut desk.agents, seen);
    desk.carry_out(look);
    desk.agents = all;
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two auto-13=two ded=two");
}
