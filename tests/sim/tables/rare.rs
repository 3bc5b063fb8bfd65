//! What only long simulations met: news that come late, twice or in the wrong moment.

use std::time::Duration;

use claude_failover::core::Core;
use claude_failover::core::action::{Action, OrderId};
use claude_failover::core::event::{AgentHome, AgentState, Event, Verb};
use claude_failover::core::record::Record;
use claude_failover::ids::{PaneId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, id, session};
use crate::tables::parking::parked;
use crate::tables::tasks::offer;
use crate::tables::testimony::{limit, record_end, write_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";

/// In a swap to `two`, with the first order to end agents given, the daemon's last record is that of
/// a refusal of `two`, told by `auto-12`.
pub fn dead_as_two_is_refused() -> Desk {
    let mut desk = Desk::at_rest();
    desk.agent("auto-12").home = AgentHome::Homed(account("two"));
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    let (refusal, at) = (limit(&desk, 30), Wall(desk.wall_ms));
    write_end(&mut desk, "auto-12", refusal, at);
    desk.tell_transcripts();
    let is_refusal = |record: &Record| record.to_string().contains("account=two exhausted");
    let refused = desk.journal.iter().position(is_refusal).expect("it is on record");
    desk.journal.truncate(refused + 1);
    desk.endings.clear();
    desk
}

pub fn is_launch(order: &Action) -> bool {
    matches!(order, Action::LaunchAgent(_))
}

#[test]
fn a_look_from_before_an_agent_was_ended_does_not_bring_it_back() {
    let mut desk = Desk::at_work();
    let seen = desk.agents.clone();
    desk.signal("auto-11", true, "");
    assert_eq!(desk.results(), "p:a=done(signal)");
    let alive = std::mem::replace(&mut desk.agents, seen);
    desk.look();
    assert!(desk.core.sessions[&session("auto-11")].agent.is_none());
    desk.agents = alive;
    desk.offer(&[offer("p:b", Priority::Default)]);
    assert_eq!(desk.deliveries(), 2, "its session is free");
}

/// The daemon was away when the target was refused and when it was reset.
#[test]
fn a_target_that_was_refused_meanwhile_is_proven_before_anybody_is_brought_to_it() {
    let mut desk = dead_as_two_is_refused();
    desk.now_ms += 40 * 60_000;
    desk.set_clock_right();
    desk.restart();
    desk.pass(MINUTE);
    assert_eq!(desk.noted("target=two failed: it was refused meanwhile"), 1);
    assert_eq!(desk.active(), "three");
}

/// A person moved the link while the daemon was away, in the middle of a swap that moves no link.
#[test]
fn what_an_agent_heard_where_somebody_had_moved_the_link_is_not_the_active_accounts() {
    let mut desk = parked();
    desk.agent("ded").home = AgentHome::Linked;
    desk.look();
    desk.pass(10 * MINUTE);
    let stopped = desk.journal.iter().rposition(|r| r.to_string().contains("phase=Stopped"));
    desk.journal.truncate(stopped.expect("it woke where it is") + 1);
    desk.link = account("two");
    let elsewhere = Wall(desk.wall_ms + 2_000);
    desk.now_ms += 30_000;
    desk.set_clock_right();
    desk.restart();
    assert_eq!((desk.phase(), desk.active(), desk.link.as_str()), (None, "three", "three"));
    desk.restart(); // nothing but the journal remembers the move now
    desk.pass(30 * SECOND);
    let refusal = limit(&desk, 60);
    write_end(&mut desk, "ded", refusal, elsewhere);
    desk.tell_transcripts();
    desk.work();
    assert!(desk.core.is_available(&account("three")));
}

#[test]
fn the_same_refusal_heard_again_does_not_make_its_guessed_end_later() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-12").home = AgentHome::Homed(account("three"));
    desk.look();
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: None };
    let until = |desk: &Desk| {
        let limits = &desk.core.standing(&account("three")).limits;
        limits.values().map(|limit| limit.until).collect::<Vec<_>>()
    };
    record_end(&mut desk, "auto-12", verdict.clone());
    desk.pass(6 * 60 * MINUTE);
    assert_eq!(until(&desk), []);
    // Refused once more after its end: the next guess is a longer one.
    desk.agent("auto-12").home = AgentHome::Homed(account("three"));
    let stays = desk.agent("auto-12").process;
    desk.endure.push(stays);
    desk.look();
    record_end(&mut desk, "auto-12", verdict);
    let guessed = until(&desk);
    assert_eq!(guessed.len(), 1);
    for _ in 0..3 {
        desk.pass(SECOND);
        desk.restart();
        assert_eq!(until(&desk), guessed);
    }
}

/// A client that tells nothing is in a turn when its screen shows another prompt than it came up with.
#[test]
fn the_first_screen_of_a_client_may_be_read_before_it_is_seen() {
    let mut desk = Desk::at_rest();
    desk.watcher_is_silent = true;
    let prompt = Some("> mend the build".to_owned());
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.look();
    desk.show("ded", Reading { last_user_row: prompt.clone(), ..Reading::clear() });
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.look();
    desk.pass(MINUTE);
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: None };
    let banner =
        Reading { verdict, row: LIMIT.to_owned(), last_user_row: prompt, ..Reading::clear() };
    for _ in 0..3 {
        desk.show("ded", banner.clone());
    }
    assert_eq!(desk.recorded("exhausted"), 0, "repainted from its conversation");
    let asked_since = Reading {
        last_user_row: Some("> go on".to_owned()),
        row: LIMIT.replace("4pm", "5pm"),
        ..banner
    };
    for _ in 0..3 {
        desk.show("ded", asked_since.clone());
    }
    assert_eq!(desk.recorded("exhausted"), 1);
}

/// Nor is what it shows before the answer says that it is up.
#[test]
fn what_a_client_comes_up_with_before_its_launch_is_answered_is_no_turn() {
    let mut desk = Desk::at_rest();
    desk.watcher_is_silent = true;
    desk.show("ded", Reading { last_user_row: Some("> mend".to_owned()), ..Reading::clear() });
    desk.agents.retain(|agent| agent.session == session("ded"));
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(is_launch);
    let launch = desk.orders.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("two")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.comes_up = None;
    desk.look();
    let repainted = Some("> what was asked before".to_owned());
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: None };
    let row = LIMIT.to_owned();
    let banner = Reading { verdict, row, last_user_row: repainted, ..Reading::clear() };
    desk.show("ded", banner.clone());
    desk.now_ms += 10_000;
    desk.set_clock_right();
    desk.carry_out(launch);
    for _ in 0..3 {
        desk.show("ded", banner.clone());
    }
    assert_eq!((desk.recorded("took a turn"), desk.recorded("exhausted")), (0, 0));
}

#[test]
fn who_tells_its_conversation_while_it_finishes_its_turn_is_resumed_in_it() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").conversation = None;
    desk.set_state("ded", AgentState::Busy);
    desk.core.durable.agents.remove(&session("ded"));
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk.agent("ded").conversation = Some(id(1));
    desk.look();
    desk.set_state("ded", AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(1)));
}

/// Ordered before a swap, answered after it has saved the agent.
#[test]
fn a_launch_that_is_answered_late_is_not_the_swaps() {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.sessions.retain(|name| name != "ded");
    desk.list();
    desk.work_until(is_launch);
    let launch = desk.orders.remove(0);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    desk.carry_out(launch);
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.active(), "two");
}

/// An agent comes back to `ded`, and a person has begun one in its pane: it gets a pane of its own.
/// Gives the order of the launch, and the person's agent.
fn with_a_launch_beside_a_person() -> (Desk, OrderId, ProcessRef) {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.sessions.retain(|name| name != "ded");
    desk.list();
    desk.work_until(is_launch);
    let Action::LaunchAgent(launch) = desk.orders.remove(0) else { unreachable!() };
    let person = desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").state = AgentState::Unknown;
    (desk, launch.order, person)
}

fn launched(order: OrderId) -> Event {
    Event::AgentLaunched { order, session: session("ded"), result: Ok(PaneId(9)) }
}

/// Neither has said yet who it is, so that its pane alone tells which one came back.
#[test]
fn a_launch_from_before_a_swap_is_heard_of_when_the_swaps_target_has_failed() {
    let (mut desk, order, person) = with_a_launch_beside_a_person();
    desk.broken = vec![account("two")];
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    let three = account("three");
    desk.work_until(
        |order| matches!(order, Action::CheckTarget { account, .. } if *account == three),
    );
    let back = desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    let agent = desk.agents.last_mut().expect("just added");
    (agent.pane, agent.state) = (PaneId(9), AgentState::Unknown);
    desk.send(launched(order));
    assert_eq!(desk.recorded("session=ded launched pane=%9"), 1);
    desk.work();
    desk.pass(MINUTE);
    assert!(desk.stops.contains(&back) && !desk.stops.contains(&person), "{:?}", desk.stops);
}

#[test]
fn who_was_launched_and_is_not_waited_for_any_more_is_looked_for() {
    let (mut desk, order, _) = with_a_launch_beside_a_person();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    desk.orders.clear();
    desk.send(launched(order));
    let listings = desk.orders.iter().filter(|order| matches!(order, Action::ObserveSessions));
    assert_eq!(listings.count(), 1, "nobody knows its pane");
}

/// `ded` is being brought back on `one` while all others go to `two`; its launch runs late.
fn at_work_by_a_launch_from_before_a_swap() -> Desk {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.sessions.retain(|name| name != "ded");
    desk.list();
    desk.work_until(is_launch);
    let launch = desk.orders.remove(0);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    desk.comes_up = Some(AgentState::Busy);
    desk.carry_out(launch);
    desk.comes_up = Some(AgentState::Idle);
    desk.work();
    desk.pass(MINUTE);
    assert_eq!((desk.phase(), desk.active()), (None, "two"), "it holds nobody up");
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk
}

#[test]
fn who_is_at_work_by_a_launch_from_before_a_swap_finishes_its_turn_there() {
    let mut desk = at_work_by_a_launch_from_before_a_swap();
    desk.restart();
    desk.pass(MINUTE);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk.set_state("ded", AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(1)));
}

#[test]
fn nor_has_it_more_time_for_that_turn_than_others() {
    let mut desk = at_work_by_a_launch_from_before_a_swap();
    desk.pass(desk.core.config.swap.busy_grace);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

/// The daemon was away when its session left the configuration.
#[test]
fn the_screen_of_a_session_that_is_not_ours_any_more_is_not_read() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").conversation = None;
    desk.core.durable.agents.remove(&session("ded"));
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    let is_read = |order: &Action| matches!(order, Action::ReadPane { .. });
    desk.work_until(is_read);
    let mut changed = config();
    changed.pool.dedicated.clear();
    desk.core = Core::recover(changed.into(), &desk.journal).expect("the journal is ours");
    let started = Record::DaemonStarted { version: "t".to_owned(), pid: 2 };
    let orders = desk.core.start(desk.now(), Some(account("one")), started);
    assert!(!orders.iter().any(is_read));
    desk.restart();
    desk.pass(15 * SECOND);
    assert_eq!((desk.phase(), desk.active()), (None, "two"), "nor does it hold up the swap");
}

/// On the way back, or to another target, somebody else's process is to be ended in that session.
#[test]
fn the_answer_to_an_order_ends_nobody_who_was_not_in_it() {
    let mut desk = dead_as_two_is_refused();
    desk.agents.retain(|agent| agent.session != session("ded"));
    let anew = desk.add_agent("ded", AgentHome::Homed(account("two")), Some(1));
    desk.come_back();
    let is_stop = |order: &Action| matches!(order, Action::StopAgents { .. });
    let stop = desk.orders.iter().position(is_stop).expect("who was saved is ended");
    let stop = desk.orders.remove(stop);
    desk.work();
    assert!(!desk.stops.contains(&anew));
    desk.carry_out(stop);
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
    assert!(desk.stops.contains(&anew));
}
