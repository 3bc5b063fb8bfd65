//! The swap and its ways out.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::durable::Phase;
use claude_failover::core::event::{AgentState, Event, StuckVerb, Verb};
use claude_failover::core::moves::NUDGE;
use claude_failover::core::record::Record;
use claude_failover::ids::{ProcessRef, SessionName};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};

use crate::tables::desk::{Desk, account, config, id, session};

const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";
const SECOND: Duration = Duration::from_secs(1);

/// How a straggler's stay may end.
type End = fn(&mut Desk);

/// The lines of the journal that tell of a swap.
fn phases(desk: &Desk) -> String {
    let word = |record: &Record| {
        let line = record.to_string();
        line.split_whitespace().find_map(|word| word.strip_prefix("phase=").map(str::to_owned))
    };
    desk.journal.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

pub fn refuse_dedicated(desk: &mut Desk) {
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
}

#[test]
fn a_refused_fleet_moves_to_the_next_account_with_its_conversations() {
    let mut desk = Desk::at_rest();
    refuse_dedicated(&mut desk);
    let all = "Planned Checked Saved Stopped Flipped Relaunched Verified Done";
    assert_eq!(phases(&desk), all);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.link, account("two"));
    let resumed: Vec<_> = desk.launches.iter().map(|launch| launch.conversation.clone()).collect();
    assert_eq!(resumed.len(), 3);
    assert!([id(1), id(2), id(3)].iter().all(|id| resumed.contains(id)));
}

#[test]
fn a_target_that_fails_its_check_is_passed_over_before_anything_is_stopped() {
    let mut desk = Desk::at_rest();
    desk.broken = vec![account("two")];
    refuse_dedicated(&mut desk);
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.stops.len(), 3, "each agent is ended once");
    assert_eq!(desk.recorded("account=two rejected"), 1);
}

#[test]
fn with_no_target_left_the_swap_rolls_back_and_nothing_was_stopped() {
    let mut desk = Desk::at_rest();
    desk.broken = vec![account("two"), account("three")];
    refuse_dedicated(&mut desk);
    assert_eq!((desk.active(), desk.phase()), ("one", None));
    assert_eq!(desk.stops, Vec::<ProcessRef>::new());
    assert!(phases(&desk).ends_with("Aborting Saved Unflipped Restored RolledBack"));
}

#[test]
fn a_flip_that_fails_brings_back_everybody_but_the_refused() {
    let mut desk = Desk::at_rest();
    desk.flips_fail = vec![account("two")];
    refuse_dedicated(&mut desk);
    assert!(phases(&desk).contains("Stopped Aborting Saved Unflipped Restored RolledBack Planned"));
    assert_eq!(desk.recorded("session=ded held until it can be resumed"), 1);
    assert_eq!(desk.recorded("account=two rejected"), 1, "it is not tried again at once");
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
}

#[test]
fn each_verb_ends_a_stuck_swap_its_own_way_and_nothing_is_done_before() {
    let cases = [
        (StuckVerb::Rollback, "auto-11=three auto-12=three ded=three", "three"),
        (StuckVerb::Resume, "auto-11=two auto-12=two ded=two", "two"),
        (StuckVerb::Clear, "", ""),
    ];
    for (verb, homes, active) in cases {
        let mut desk = Desk::at_rest();
        desk.flips_fail = vec![account("two"), account("one")];
        refuse_dedicated(&mut desk);
        assert_eq!(desk.phase(), Some(Phase::Stuck));
        desk.restart();
        desk.pass(300 * SECOND);
        assert_eq!(desk.launches.len(), 0, "{verb:?}");
        desk.send(Verb::Swap { to: None }.into());
        assert_eq!(desk.noted("swap refused: swap 1 is stuck"), 1);
        desk.flips_fail.clear();
        desk.send(Verb::Stuck(verb).into());
        desk.work();
        if verb == StuckVerb::Clear {
            assert_eq!(desk.phase(), None);
            assert_eq!(desk.core.durable.active.as_ref(), Some(&desk.link), "only the link says");
            continue;
        }
        desk.pass(10 * SECOND);
        assert_eq!((desk.homes().as_str(), desk.active()), (homes, active), "{verb:?}");
    }
}

#[test]
fn a_busy_agent_stays_until_its_turn_ends_or_it_is_refused_or_its_time_is_over() {
    let ends: [(&str, End); 3] = [
        ("idle", |desk| desk.set_state("auto-11", AgentState::Idle)),
        ("refused", |desk| desk.banner("auto-11", LIMIT, Some(60))),
        ("over", |desk| desk.pass(601 * SECOND)),
    ];
    for (name, end) in ends {
        let mut desk = Desk::at_rest();
        desk.set_state("auto-11", AgentState::Busy);
        refuse_dedicated(&mut desk);
        assert_eq!(desk.phase(), None, "{name}: it does not hold the swap open");
        assert_eq!(desk.homes(), "auto-11=one auto-12=two ded=two", "{name}");
        desk.pass(500 * SECOND);
        assert_eq!(desk.homes(), "auto-11=one auto-12=two ded=two", "{name}");
        end(&mut desk);
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two", "{name}");
    }
}

#[test]
fn a_straggler_is_not_forgotten_over_a_restart() {
    let mut desk = Desk::at_rest();
    desk.set_state("auto-11", AgentState::Busy);
    refuse_dedicated(&mut desk);
    desk.restart();
    assert!(desk.core.durable.moves.contains_key(&session("auto-11")));
}

#[test]
fn a_cut_pool_agent_goes_first_and_is_nudged_and_a_dedicated_one_is_not() {
    let mut desk = Desk::at_rest();
    desk.comes_up = Some(AgentState::Busy);
    desk.banner("auto-12", LIMIT, Some(60));
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    let nudged: Vec<(&SessionName, bool)> = desk
        .launches
        .iter()
        .map(|launch| (&launch.session, launch.argv.last().is_some_and(|arg| arg == NUDGE)))
        .collect();
    assert_eq!(nudged[0], (&session("auto-12"), true));
    assert!(nudged[1..].iter().all(|(_, nudged)| !nudged));
}

#[test]
fn a_canary_that_is_refused_ends_the_target_and_the_next_is_tried() {
    let mut desk = Desk::at_rest();
    desk.comes_up = Some(AgentState::Busy);
    desk.banner("auto-12", LIMIT, Some(60));
    desk.banner("ded", LIMIT, Some(60));
    assert_eq!(desk.launches.len(), 1, "the canary alone");
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: None };
    desk.show(
        "auto-12",
        Reading {
            verdict,
            row: "You've hit your weekly limit".to_owned(),
            last_user_row: Some(NUDGE.to_owned()),
            ..Reading::clear()
        },
    );
    desk.pass(20 * SECOND);
    assert_eq!(desk.recorded("account=two exhausted"), 1);
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
}

#[test]
fn a_canary_that_never_comes_up_ends_the_target() {
    let mut desk = Desk::at_rest();
    desk.comes_up = None;
    refuse_dedicated(&mut desk);
    assert_eq!(desk.launches.len(), 1);
    desk.comes_up = Some(AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.recorded("account=two rejected"), 1);
}

#[test]
fn a_dialog_blocks_its_session_and_not_the_swap() {
    let mut desk = Desk::at_rest();
    desk.comes_up = Some(AgentState::Waiting("trust".to_owned()));
    refuse_dedicated(&mut desk);
    desk.pass(60 * SECOND);
    assert_eq!(desk.phase(), None);
    assert_eq!(desk.recorded("blocked: a dialog waits for a person: trust"), 3);
}

#[test]
fn with_every_account_out_it_parks_and_wakes_at_the_first_reset() {
    let mut desk = Desk::at_rest();
    refuse_dedicated(&mut desk);
    for minutes in [30, 120] {
        desk.pass(301 * SECOND);
        desk.set_state("ded", AgentState::Busy);
        desk.set_state("ded", AgentState::Idle);
        desk.banner("ded", "You've hit your session limit · resets later", Some(minutes));
        desk.pass(10 * SECOND);
    }
    assert!(desk.core.is_parked());
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.recorded("parked until="), 1);
    desk.pass(1_810 * SECOND);
    assert_eq!((desk.active(), desk.core.is_parked()), ("two", false));
}

#[test]
fn too_many_swaps_in_an_hour_wait_for_the_hour() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    desk.send(Verb::Swap { to: None }.into());
    desk.work();
    desk.pass(400 * SECOND);
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.banner("ded", LIMIT, Some(290));
    desk.pass(60 * SECOND);
    assert_eq!((desk.active(), desk.noted("throttled:")), ("two", 1));
    desk.pass(3_600 * SECOND);
    assert_ne!(desk.active(), "two");
}

/// What is allowed must be remembered.
#[test]
fn many_swaps_an_hour_are_counted_too() {
    const MANY: u32 = 150;
    let mut desk = Desk::at_rest();
    let mut many = config();
    many.swap.max_per_hour = MANY;
    desk.send(Event::ConfigReloaded(many.into()));
    desk.work();
    for number in 0..MANY {
        assert!(!desk.core.throttled(), "after {number}");
        desk.send(Verb::Swap { to: None }.into());
        desk.pass(22 * SECOND);
    }
    assert_eq!(desk.recorded("phase=Done"), MANY as usize);
    assert!(desk.core.throttled());
}

#[test]
fn a_late_or_doubled_answer_is_dropped() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    let check = desk.orders.iter().find_map(|order| match order {
        Action::CheckTarget { order, .. } => Some(*order),
        _ => None,
    });
    let order = check.expect("the target is checked");
    desk.work();
    desk.pass(10 * SECOND);
    let before = desk.journal.len();
    desk.send(Event::TargetChecked { order, result: Err("late".to_owned()) });
    assert_eq!(desk.journal.len(), before);
}

#[test]
fn an_operator_swap_to_the_account_in_use_or_one_that_is_out_is_refused() {
    let mut desk = Desk::at_rest();
    refuse_dedicated(&mut desk);
    for (name, why) in [("two", "the account to leave"), ("one", "exhausted until")] {
        desk.send(Verb::Swap { to: Some(account(name)) }.into());
        assert_eq!(desk.noted(&format!("swap refused: {name}: ")), 1, "{why}");
    }
    assert_eq!(desk.active(), "two");
}
