//! Two agents in one session: a person has begun one in a split, beside the one that is ours to move.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Verb};
use claude_failover::ids::{PaneId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::Reading;

use crate::tables::account_edges::with;
use crate::tables::accounts::figures;
use crate::tables::desk::{Desk, account, config, id, session};

const SECOND: Duration = Duration::from_secs(1);

/// Another agent that a person has begun in a split of `ded`, before the look at it.
fn split(desk: &mut Desk, number: u32) -> ProcessRef {
    let person = desk.add_agent("ded", AgentHome::Homed(account("one")), Some(number));
    desk.agents.last_mut().expect("just added").pane = PaneId(9);
    person
}

#[test]
fn who_stands_beside_the_agent_that_is_moved_is_not_taken_for_its_successor() {
    let mut desk = Desk::at_rest();
    let person = split(&mut desk, 77);
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one ded=two");
    assert!(!desk.stops.contains(&person), "{:?}", desk.stops);
    assert!(desk.launches.iter().any(|launch| launch.conversation == id(1)));
    assert_eq!(desk.recorded("another agent"), 0);
}

/// The daemon that saw them both has died; who is older was there.
#[test]
fn nor_when_nobody_remembers_it() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").process.started_ticks = 2;
    split(&mut desk, 77);
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    desk.restart();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one ded=two");
}

/// Nor by its age, which is less here.
#[test]
fn nor_when_it_came_after_the_one_that_is_moved() {
    let mut desk = Desk::at_rest();
    split(&mut desk, 77);
    desk.agents.last_mut().expect("just added").process.started_ticks = 2;
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    desk.restart();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one ded=two");
}

#[test]
fn who_comes_into_its_place_while_it_is_away_is_left_there() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    split(&mut desk, 77);
    desk.look();
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    assert_eq!(desk.recorded("another agent"), 1);
}

/// The person came while it was launched, and both were seen at once; then its operator ended it.
#[test]
fn who_is_older_than_what_was_launched_was_there_before_it() {
    let mut desk = Desk::new(config());
    desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
    desk.start();
    desk.comes_up = None;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    let person = split(&mut desk, 77);
    desk.agents.last_mut().expect("just added").process.started_ticks = 2;
    let person = ProcessRef { started_ticks: 2, ..person };
    desk.add_agent("ded", AgentHome::Homed(account("two")), Some(1));
    let agent = desk.agents.last_mut().expect("just added");
    agent.process.started_ticks = 3;
    agent.state = AgentState::Waiting("dialog open".to_owned());
    let launched = agent.process;
    desk.look();
    desk.agents.retain(|agent| agent.process != launched);
    desk.restart();
    desk.look();
    desk.comes_up = Some(AgentState::Idle);
    desk.pass(2 * 60 * SECOND);
    assert_eq!(desk.recorded("another agent"), 0);
    assert!(!desk.stops.contains(&person), "{:?}", desk.stops);
    let resumed = desk.agents.iter().any(|agent| agent.conversation == Some(id(1)));
    assert!(resumed, "{}", desk.homes());
}

/// Its operator has restarted it since, while it was to finish its turn.
#[test]
fn who_is_older_than_the_one_that_was_ended_was_there_before_it() {
    let mut desk = Desk::at_rest();
    desk.set_state("ded", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk.agents.retain(|agent| agent.session != session("ded"));
    let again = desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
    desk.agent("ded").process = ProcessRef { started_ticks: 3, ..again };
    split(&mut desk, 77);
    desk.agents.last_mut().expect("just added").process.started_ticks = 2;
    desk.observe(None);
    desk.pass(SECOND);
    desk.work_until(|order| matches!(order, Action::LaunchAgent(_)));
    desk.restart();
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one ded=two");
    assert_eq!(desk.recorded("another agent"), 0);
}

/// Nothing in the session changes any more, so that no look tells of it.
#[test]
fn who_is_left_alone_there_is_the_sessions_agent() {
    let mut desk = Desk::at_rest();
    let person = split(&mut desk, 77);
    desk.look();
    desk.set_state("ded", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(15 * SECOND);
    desk.comes_up = None;
    desk.set_state("ded", AgentState::Idle);
    desk.pass(5 * SECOND);
    desk.show("ded", Reading { missing_conversation: Some(id(1)), ..Reading::clear() });
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("knows no conversation"), 1);
    let agent = desk.core.sessions[&session("ded")].agent.as_ref();
    assert_eq!(agent.map(|agent| agent.process), Some(person));
}

#[test]
fn a_swap_by_choice_waits_for_who_types_to_the_one_beside_that_would_go_along() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    split(&mut desk, 77);
    desk.agents.last_mut().expect("just added").home = AgentHome::Linked;
    desk.look();
    desk.pass(5 * SECOND);
    desk.typed_at = Some(Wall(desk.wall_ms));
    figures(&mut desk, "ded", (960, 60), (100, 6_000));
    desk.pass(20 * SECOND);
    assert_eq!(desk.active(), "one");
    desk.pass(20 * SECOND);
    assert_eq!(desk.active(), "two");
}
