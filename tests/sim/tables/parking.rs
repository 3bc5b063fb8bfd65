//! With every account out: what is left alone, and how it wakes.

use std::time::Duration;

use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentHome, AgentState, Event, ProbeEnd};
use claude_failover::core::standing::AccountState;
use claude_failover::core::verify::SILENT_CLIENT_UP;
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, session};
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::{limit, record_answer, record_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// All accounts are out; the active one, `three`, comes back first, in ten minutes.
pub fn parked() -> Desk {
    let mut desk = Desk::at_rest();
    run_out(&mut desk);
    desk
}

fn run_out(desk: &mut Desk) {
    for minutes in [300, 200, 10] {
        let refusal = limit(desk, minutes);
        record_end(desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    assert!(desk.core.is_parked(), "{:?}", desk.core.durable.swap);
    assert_eq!(desk.active(), "three");
}

fn refused(desk: &Desk, resets_in_min: Option<i64>) -> Result<ProbeEnd, String> {
    let resets_at = resets_in_min.map(|minutes| Wall(desk.wall_ms + minutes * 60_000));
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
    Ok(ProbeEnd::Refused(Reading { verdict, ..Reading::clear() }))
}

/// A pool agent at work on a task, refused on `three` with everybody else out.
fn parked_with_a_task() -> Desk {
    let mut desk = free_pool();
    for minutes in [300, 200] {
        let refusal = limit(&desk, minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    desk.comes_up = Some(AgentState::Busy);
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("task received"), 1);
    desk.set_state("auto-11", AgentState::Idle);
    let refusal = limit(&desk, 10);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(5 * SECOND);
    assert!(desk.core.is_parked());
    desk
}

fn probe_begins(desk: &mut Desk) {
    let mut quarters = 0;
    while desk.phase() != Some(Phase::Probing) {
        desk.pass(SECOND / 4);
        quarters += 1;
        assert!(quarters < 30, "it wakes within seconds of the reset");
    }
}

#[test]
fn while_parked_nothing_is_typed_ended_launched_or_dispatched() {
    let mut desk = parked();
    let (stops, launches) = (desk.stops.len(), desk.launches.len());
    desk.offer(&[offer("p:a", Priority::Critical)]);
    desk.pass(9 * MINUTE);
    desk.restart();
    desk.pass(30 * SECOND);
    assert_eq!((desk.stops.len(), desk.launches.len()), (stops, launches));
    assert_eq!(desk.recorded("claimed"), 0);
    assert_eq!((desk.recorded("parked until="), desk.probed.len()), (1, 0));
    assert!(desk.core.is_parked(), "over a restart, too");
}

#[test]
fn it_wakes_where_it_is_by_one_headless_request_and_disturbs_no_operator() {
    let mut desk = parked();
    let (stops, launches) = (desk.stops.len(), desk.launches.len());
    desk.pass(10 * MINUTE);
    assert_eq!(desk.probed, [account("three")]);
    assert!(!desk.core.is_parked());
    assert_eq!(desk.recorded("account=three answers again by=probe"), 1);
    assert_eq!(desk.recorded("trigger=account_returned"), 1);
    // Their agents are idle on that very account, and nobody is to be told to go on.
    assert_eq!((desk.stops.len(), desk.launches.len()), (stops, launches));
}

#[test]
fn it_wakes_on_the_account_that_comes_back_first_and_the_others_follow_in_a_row() {
    let mut desk = Desk::at_rest();
    for minutes in [300, 10, 200] {
        let refusal = limit(&desk, minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    let before = desk.launches.len();
    let mut moved = Vec::new();
    for _ in 0..15 * 60 * 4 {
        desk.pass(SECOND / 4);
        if desk.launches.len() > before + moved.len() {
            moved.push(desk.now_ms);
        }
    }
    assert_eq!(desk.active(), "two");
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(moved.len(), 3);
    let apart = moved.windows(2).all(|pair| pair[1] - pair[0] >= 2_000);
    assert!(apart, "swap.ramp_interval lies between two: {moved:?}");
}

#[test]
fn who_has_followed_a_swap_before_has_a_place_of_its_own_in_the_next_row() {
    let mut desk = Desk::at_rest();
    desk.set_state("auto-11", AgentState::Busy);
    for minutes in [300, 10] {
        let refusal = limit(&desk, minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    desk.set_state("auto-11", AgentState::Idle);
    desk.pass(15 * SECOND);
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
    let refusal = limit(&desk, 200);
    record_end(&mut desk, "ded", refusal);
    let before = desk.stops.len();
    let mut ended = Vec::new();
    for _ in 0..15 * 60 * 4 {
        desk.pass(SECOND / 4);
        while desk.stops.len() > before + ended.len() {
            ended.push(desk.now_ms);
        }
    }
    assert_eq!((desk.active(), ended.len()), ("two", 3));
    let apart = ended.windows(2).all(|pair| pair[1] - pair[0] >= 2_000);
    assert!(apart, "swap.ramp_interval lies between two: {ended:?}");
}

#[test]
fn a_cut_task_goes_first_and_its_answer_proves_the_account() {
    let mut desk = parked_with_a_task();
    let launches = desk.launches.len();
    desk.pass(10 * MINUTE);
    assert_eq!(desk.probed.len(), 0, "a task is a better proof than a request of ours");
    assert_eq!(desk.launches.len(), launches + 1);
    let last = desk.launches.last().expect("the canary");
    assert!(last.argv.last().is_some_and(|nudge| nudge.contains("It does again.")));
    record_answer(&mut desk, "auto-11");
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("account=three answers again session=auto-11"), 1);
    assert!(!desk.core.is_parked());
    assert_eq!(desk.core.durable.jobs[&session("auto-11")].attempt, 1, "the same attempt");
}

#[test]
fn a_canary_that_is_refused_extends_the_wait_and_costs_nobody_else_anything() {
    let mut desk = parked_with_a_task();
    let stops = desk.stops.len();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let until = desk.core.standing(&account("three")).until().expect("it is out");
        desk.pass(until - Wall(desk.wall_ms));
        probe_begins(&mut desk);
        desk.set_state("auto-11", AgentState::Idle);
        // The moment that is printed lies in the past: it tells nothing.
        let refusal = limit(&desk, -1);
        record_end(&mut desk, "auto-11", refusal);
        desk.pass(5 * SECOND);
        assert!(desk.core.is_parked());
        let until = desk.core.standing(&account("three")).until().expect("it is out");
        waits.push((until - Wall(desk.wall_ms)).as_secs().div_ceil(60));
        desk.comes_up = Some(AgentState::Busy);
    }
    assert_eq!(waits, [1, 2, 4, 8], "minutes");
    assert_eq!(desk.stops.len(), stops + 4, "only the canary");
    assert_eq!(desk.recorded("parked until="), 1);
    assert_eq!(desk.recorded("phase=Flipped"), 2, "the link was never touched for it");
    assert_eq!(desk.core.durable.jobs.len(), 1, "its task is not lost");
}

/// What is left of it would else be waited for, and count against an account that answers.
#[test]
fn a_canary_that_never_came_up_says_nothing_of_the_next_target() {
    let mut desk = free_pool();
    for minutes in [8, 200] {
        let refusal = limit(&desk, minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    desk.comes_up = Some(AgentState::Busy);
    desk.offer(&[offer("p:a", Priority::Default), offer("q:b", Priority::Default)]);
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("task received"), 2);
    for name in ["auto-11", "auto-12"] {
        desk.set_state(name, AgentState::Idle);
        let refusal = limit(&desk, 7);
        record_end(&mut desk, name, refusal);
    }
    desk.pass(5 * SECOND);
    assert!(desk.core.is_parked());
    desk.comes_up = None;
    let until = desk.core.standing(&account("three")).until().expect("it is out");
    desk.pass(until - Wall(desk.wall_ms));
    probe_begins(&mut desk);
    desk.pass(SECOND);
    assert_eq!(desk.launches.last().expect("the canary").session, session("auto-11"));
    desk.comes_up = Some(AgentState::Busy);
    desk.pass(35 * SECOND);
    assert_eq!(desk.noted("target=three failed: canary auto-11"), 1);
    assert_eq!(desk.recorded("account=one answers again session=auto-12"), 1);
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "one");
    assert_eq!(desk.core.standing(&account("one")).state(), AccountState::Available);
    assert_eq!(desk.noted("target=one failed"), 0);
    let homes = desk.homes();
    assert!(homes.contains("auto-11=one"), "the first one comes back, too: {homes}");
}

#[test]
fn a_canary_that_is_busy_for_long_proves_nothing_before_it_is_answered() {
    let mut desk = parked_with_a_task();
    let (stops, until) = (desk.stops.len(), desk.core.standing(&account("three")).until());
    desk.pass(until.expect("it is out") - Wall(desk.wall_ms));
    probe_begins(&mut desk);
    // Its file is known, and nothing was said in it since its launch.
    let process = desk.agent("auto-11").process;
    desk.endings.insert(process, Ending::default());
    desk.look();
    desk.pass(10 * SECOND);
    assert_eq!(desk.phase(), Some(Phase::Probing), "busy is not answered");
    desk.set_state("auto-11", AgentState::Idle);
    let refusal = limit(&desk, -1);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(5 * SECOND);
    assert!(desk.core.is_parked());
    assert_eq!(desk.stops.len(), stops + 1, "only the canary");
    assert_eq!(desk.recorded("answers again"), 0);
}

#[test]
fn a_canary_that_takes_long_to_start_is_waited_for() {
    let mut desk = parked_with_a_task();
    desk.comes_up = Some(AgentState::Unknown);
    let until = desk.core.standing(&account("three")).until();
    desk.pass(until.expect("it is out") - Wall(desk.wall_ms));
    probe_begins(&mut desk);
    let launches = desk.launches.len();
    desk.pass(2 * SILENT_CLIENT_UP);
    assert_eq!(desk.phase(), Some(Phase::Probing), "to be there is not to be answered");
    assert_eq!(desk.recorded("answers again"), 0);
    desk.set_state("auto-11", AgentState::Busy);
    record_answer(&mut desk, "auto-11");
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("account=three answers again session=auto-11"), 1);
    assert_eq!(desk.launches.len(), launches, "it was the only one to be sent");
}

#[test]
fn a_probe_that_is_refused_takes_the_new_moment_and_the_next_account_is_asked() {
    let mut desk = parked();
    desk.probe = refused(&desk, Some(70));
    desk.pass(10 * MINUTE);
    assert!(desk.core.is_parked());
    assert_eq!(state(&desk, "three"), AccountState::Exhausted);
    desk.probe = Ok(ProbeEnd::Answered);
    desk.pass(50 * MINUTE);
    assert!(desk.core.is_parked(), "it is believed");
    desk.pass(20 * MINUTE);
    assert_eq!(desk.probed.len(), 2);
    assert!(!desk.core.is_parked());
}

#[test]
fn an_account_that_cannot_be_asked_is_taken_on_trust() {
    let mut desk = parked();
    desk.probe = Err("the client knows no such option".to_owned());
    desk.pass(10 * MINUTE);
    assert_eq!(desk.recorded("account=three could not be asked, taken on trust"), 1);
    assert!(!desk.core.is_parked());
    assert_eq!(desk.probed.len(), 1, "once for one swap");
}

#[test]
fn a_login_that_fails_under_the_probe_is_no_account_to_wake_on() {
    let mut desk = parked();
    let reading = Reading { verdict: Verdict::AuthFailed, ..Reading::clear() };
    desk.probe = Ok(ProbeEnd::Refused(reading));
    desk.pass(10 * MINUTE);
    assert_eq!(state(&desk, "three"), AccountState::AuthFailed);
    assert!(desk.core.is_parked());
}

#[test]
fn a_client_that_goes_on_by_itself_is_left_to_it_and_then_taken_up() {
    for (armed, launches) in [(true, 0), (false, 1)] {
        let mut desk = parked_with_a_task();
        let before = desk.launches.len();
        desk.show("auto-11", Reading { armed, ..Reading::clear() });
        desk.pass(11 * MINUTE);
        assert_eq!(desk.launches.len() - before, launches, "armed: {armed}");
        desk.pass(4 * MINUTE);
        assert_eq!(desk.launches.len() - before, 1, "it had its 120 s; armed: {armed}");
    }
}

#[test]
fn a_limit_that_is_days_away_survives_restarts_and_clock_changes() {
    let mut desk = Desk::at_rest();
    for _ in 0..3 {
        let at = Some(Wall(desk.wall_ms + 4 * 24 * 3_600_000));
        let verdict = Verdict::Exhausted { limit: LimitKind::Weekly, resets_at: at };
        record_end(&mut desk, "ded", verdict);
        desk.pass(15 * SECOND);
    }
    let until = desk.core.next_return().expect("one comes back first");
    for step_ms in [7_200_000, -7_200_000, -3_600_000, 3_600_000] {
        desk.wall_ms += step_ms;
        desk.pass(24 * 60 * MINUTE / 4 * 3);
        desk.restart();
        assert_eq!(desk.core.next_return(), Some(until));
        assert!(desk.core.is_parked());
    }
    desk.pass(until - Wall(desk.wall_ms) + 8 * SECOND);
    assert!(!desk.core.is_parked());
}

#[test]
fn whoever_looks_at_a_session_is_told_before_its_agent_is_ended() {
    let mut desk = Desk::at_rest();
    desk.typed_at = Some(Wall(desk.wall_ms));
    desk.list();
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    let told: Vec<&str> = desk.told.iter().map(String::as_str).collect();
    assert_eq!(told.len(), 3, "a refusal moves them although somebody types");
    assert!(told[0].contains("moving from one to two; this agent is ended and resumed now"));
    assert!(desk.told_first, "nobody was ended before");
}

#[test]
fn an_account_that_is_still_unproven_at_a_refusal_is_proven_before_anybody_moves() {
    let mut desk = Desk::at_rest();
    let refusal = limit(&desk, 10);
    record_end(&mut desk, "ded", refusal);
    desk.pass(11 * MINUTE);
    assert_eq!((desk.active(), state(&desk, "one")), ("two", AccountState::Unproven));
    desk.probe = refused(&desk, Some(100));
    let stops = desk.stops.len();
    let refusal = limit(&desk, 120);
    record_end(&mut desk, "ded", refusal);
    desk.pass(15 * SECOND);
    assert_eq!(desk.probed, [account("one")]);
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.stops.len(), stops + 3, "each was ended once");
}

#[test]
fn too_many_swaps_keep_nobody_from_waking_where_he_is() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 2;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    run_out(&mut desk);
    desk.pass(11 * MINUTE);
    assert!(!desk.core.is_parked());
    assert!(desk.core.throttled());
}

#[test]
fn a_flip_by_hand_while_parked_is_taken_for_what_it_is() {
    let mut desk = parked();
    desk.link = account("one");
    desk.look();
    assert_eq!(desk.active(), "one");
    assert!(desk.core.is_parked(), "that one is out, too");
    desk.pass(11 * MINUTE);
    assert_eq!(desk.active(), "three");
    let home = AgentHome::Homed(account("three"));
    assert!(desk.agents.iter().all(|agent| agent.home == home));
}

fn state(desk: &Desk, name: &str) -> AccountState {
    desk.core.durable.account_state(&account(name))
}
