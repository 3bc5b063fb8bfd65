//! Accounts: which one next, what stands against one, and what the operator says of it.

use std::sync::Arc;
use std::time::Duration;

use claude_failover::config::{Config, Strategy};
use claude_failover::core::Core;
use claude_failover::core::choice::Purpose;
use claude_failover::core::event::{
    AccountVerb, AgentHome, AgentState, AgentsObserved, Event, Verb,
};
use claude_failover::core::standing::{AccountState, PlanWindow};
use claude_failover::moment::Wall;
use claude_failover::quota::report::{Figures, News, Report, Window};
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::{LimitKind, Verdict};

use crate::tables::desk::{Desk, account, config, session};
use crate::tables::testimony::{limit, record_answer, record_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn with(change: impl FnOnce(&mut Config)) -> Desk {
    let mut config = config();
    change(&mut config);
    let mut desk = Desk::new(config);
    for (name, number) in [("ded", 1), ("auto-11", 2), ("auto-12", 3)] {
        desk.add_agent(name, AgentHome::Homed(account("one")), Some(number));
    }
    desk.start();
    desk
}

fn weekly(desk: &Desk, resets_in_min: i64) -> Verdict {
    let resets_at = Some(Wall(desk.wall_ms + resets_in_min * 60_000));
    Verdict::Exhausted { limit: LimitKind::Weekly, resets_at }
}

/// What a status line says: (per mille used, minutes to the reset) of five hours, then of the week.
pub fn figures(desk: &mut Desk, name: &str, five_hour: (u16, i64), week: (u16, i64)) {
    let now = desk.wall_ms;
    let window = |(used_permille, minutes): (u16, i64)| {
        Some(Window { used_permille, resets_at: Some(Wall(now + minutes * 60_000)) })
    };
    let figures = Figures { five_hour: window(five_hour), weekly: window(week) };
    let pid = desk.agent(name).process.pid;
    let report = Report {
        at: Wall(now),
        pid: Some(pid),
        conversation: None,
        transcript: None,
        news: News::Figures(figures),
    };
    desk.send(Event::ReportsReceived(vec![report]));
    desk.work();
}

fn verb(desk: &mut Desk, verb: AccountVerb, name: &str) {
    desk.send(Verb::Account { verb, account: account(name) }.into());
    desk.work();
    desk.pass(10 * SECOND);
}

fn state(desk: &Desk, name: &str) -> AccountState {
    desk.core.durable.account_state(&account(name))
}

/// The accounts in the order in which they would be taken.
fn order(desk: &Desk, purpose: Purpose) -> String {
    let candidates = desk.core.candidates(&account("one"), purpose);
    let open = candidates.iter().filter(|candidate| candidate.passed_over.is_none());
    open.map(|candidate| candidate.account.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_strategy_ranks_by_its_own_measure_and_the_priority_breaks_ties() {
    // Five hours, week: used per mille and minutes to the reset; of `three` nothing is known.
    let cases = [
        (Strategy::Priority, (100, 60), (100, 600), "two three"),
        (Strategy::SoonestReset, (100, 60), (100, 600), "two three"),
        (Strategy::MostHeadroom, (100, 60), (100, 600), "three two"),
        (Strategy::MostHeadroom, (0, 60), (0, 600), "two three"),
        // A window that has been reset since is an unused one.
        (Strategy::MostHeadroom, (900, -1), (0, 600), "two three"),
    ];
    for (strategy, five_hour, week, expected) in cases {
        let mut desk = with(|config| config.selection.strategy = strategy);
        desk.agent("auto-11").home = AgentHome::Homed(account("two"));
        desk.look();
        figures(&mut desk, "auto-11", five_hour, week);
        assert_eq!(order(&desk, Purpose::Leave), expected, "{strategy:?} {five_hour:?} {week:?}");
    }
}

#[test]
fn what_expires_first_is_spent_first() {
    let mut desk = with(|config| config.selection.strategy = Strategy::SoonestReset);
    for (name, home, minutes) in [("auto-11", "two", 900), ("auto-12", "three", 300)] {
        desk.agent(name).home = AgentHome::Homed(account(home));
        desk.look();
        figures(&mut desk, name, (500, 10), (500, minutes));
    }
    assert_eq!(order(&desk, Purpose::Leave), "three two", "the week that ends first");
    desk.pass(5 * HOUR + MINUTE);
    desk.look();
    assert_eq!(order(&desk, Purpose::Leave), "two three", "that week is over");
}

#[test]
fn figures_survive_a_restart_with_their_age() {
    let mut desk = Desk::at_rest();
    figures(&mut desk, "ded", (910, 30), (200, 6_000));
    figures(&mut desk, "ded", (912, 30), (200, 6_000));
    assert_eq!(desk.recorded("used five_hour="), 1, "a hair's breadth is no news");
    let heard = desk.wall_ms;
    desk.pass(MINUTE);
    desk.restart();
    let used = desk.core.standing(&account("one")).used.expect("it is known");
    assert_eq!(
        (used.at, used.figures.five_hour.map(|w| w.used_permille)),
        (Wall(heard), Some(910))
    );
}

#[test]
fn the_windows_of_a_plan_run_out_and_come_back_each_for_itself() {
    let mut desk = Desk::at_rest();
    let week = weekly(&desk, 3 * 24 * 60);
    record_end(&mut desk, "ded", week);
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    // Somebody who was left there is refused by the other window, which ends much earlier.
    desk.agent("auto-11").home = AgentHome::Homed(account("one"));
    desk.look();
    let five_hours = limit(&desk, 60);
    record_end(&mut desk, "auto-11", five_hours);
    let windows: Vec<PlanWindow> =
        desk.core.standing(&account("one")).limits.keys().copied().collect();
    assert_eq!(windows, [PlanWindow::FiveHour, PlanWindow::Weekly]);
    desk.pass(2 * HOUR);
    assert_eq!(desk.recorded("account=one window=five_hour reset"), 1);
    assert_eq!(state(&desk, "one"), AccountState::Exhausted, "the week is not over");
    desk.restart();
    desk.pass(71 * HOUR);
    assert_eq!(state(&desk, "one"), AccountState::Unproven);
}

#[test]
fn the_first_answer_after_a_reset_proves_and_one_from_before_does_not() {
    let mut desk = Desk::at_rest();
    let refusal = limit(&desk, 10);
    record_end(&mut desk, "ded", refusal);
    desk.pass(9 * MINUTE);
    desk.agent("auto-11").home = AgentHome::Homed(account("one"));
    desk.look();
    desk.pass(2 * MINUTE);
    desk.look();
    assert_eq!(state(&desk, "one"), AccountState::Unproven);
    let process = desk.agent("auto-11").process;
    let early = Some(Wall(desk.wall_ms - 180_000));
    desk.endings.insert(process, Ending { answered_at: early, ..Ending::default() });
    desk.tell_transcripts();
    assert_eq!(state(&desk, "one"), AccountState::Unproven, "said before the reset");
    record_answer(&mut desk, "auto-11");
    assert_eq!(desk.recorded("account=one answers again session=auto-11"), 1);
    assert_eq!(state(&desk, "one"), AccountState::Available);
}

#[test]
fn two_accounts_that_refuse_within_a_minute_are_left_without_a_pause_and_without_ping_pong() {
    let mut desk = Desk::at_rest();
    for name in ["one", "two"] {
        assert_eq!(desk.active(), name);
        let refusal = limit(&desk, 60);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
    desk.pass(10 * MINUTE);
    assert_eq!((desk.active(), desk.recorded("phase=Planned")), ("three", 2));
}

#[test]
fn a_hold_moves_work_away_and_lasts_over_a_restart() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Hold, "two");
    assert_eq!((desk.active(), order(&desk, Purpose::Leave).as_str()), ("one", "three"));
    verb(&mut desk, AccountVerb::Hold, "one");
    assert_eq!(desk.active(), "three");
    assert_eq!(desk.homes(), "auto-11=three auto-12=three ded=three");
    desk.restart();
    assert_eq!(state(&desk, "one"), AccountState::Held);
    verb(&mut desk, AccountVerb::Release, "one");
    assert_eq!(state(&desk, "one"), AccountState::Available, "nothing else stood against it");
    assert_eq!(desk.active(), "three", "a release moves nobody");
}

#[test]
fn a_hold_keeps_what_is_known_of_the_account() {
    let mut desk = Desk::at_rest();
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    verb(&mut desk, AccountVerb::Hold, "one");
    assert_eq!(state(&desk, "one"), AccountState::Held);
    desk.pass(2 * HOUR);
    assert_eq!(desk.recorded("account=one window=five_hour reset"), 1);
    verb(&mut desk, AccountVerb::Release, "one");
    assert_eq!(state(&desk, "one"), AccountState::Unproven);
}

#[test]
fn a_pin_means_this_one_and_no_other() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Pin, "three");
    assert_eq!(desk.active(), "three");
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    assert!(desk.core.is_parked(), "others are there, and it is pinned");
    assert_eq!(desk.recorded("one: three is pinned"), 1);
    desk.restart();
    assert!(desk.core.is_parked());
    for (verb, name, why) in [
        (AccountVerb::Hold, "three", "account hold three refused: three is pinned"),
        (AccountVerb::Pin, "nine", "account pin nine refused: nine is no account"),
    ] {
        desk.send(Verb::Account { verb, account: account(name) }.into());
        assert_eq!(desk.noted(why), 1);
    }
    verb(&mut desk, AccountVerb::Release, "three");
    assert_ne!(desk.active(), "nine");
    assert!(!desk.core.is_parked(), "without the pin there is work to be had");
}

#[test]
fn a_pin_on_an_account_that_has_left_the_configuration_pins_nothing() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Pin, "three");
    let mut fewer = config();
    fewer.accounts.pop();
    desk.core = Core::recover(Arc::new(fewer), &desk.journal).expect("the journal is ours");
    desk.orders.clear();
    desk.link = account("one");
    desk.start();
    desk.pass(10 * SECOND);
    assert_eq!((desk.active(), desk.core.pin(), desk.core.is_parked()), ("one", None, false));
}

#[test]
fn a_login_that_fails_is_left_like_a_limit_and_comes_back_through_one_proof() {
    let mut desk = Desk::at_rest();
    record_end(&mut desk, "ded", Verdict::AuthFailed);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    let bar = desk.core.bar(&account("one")).expect("it stands against it");
    assert!(bar.contains("`CLAUDE_CONFIG_DIR=/homes/one claude`, then /login"), "{bar}");
    let changed = Wall(desk.wall_ms);
    desk.send(Event::AgentsObserved(AgentsObserved {
        order: None,
        agents: desk.agents.clone(),
        link: Some(desk.link.clone()),
        linked_foreign: 0,
        credentials_changed: vec![(account("one"), changed)],
    }));
    assert_eq!(state(&desk, "one"), AccountState::Unproven);
    desk.send(Verb::Swap { to: Some(account("one")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!((desk.probed.len(), desk.active()), (1, "one"));
}

#[test]
fn who_was_cut_off_by_a_failed_login_is_not_told_of_a_limit() {
    let mut desk = Desk::at_rest();
    desk.comes_up = Some(AgentState::Busy);
    record_end(&mut desk, "auto-12", Verdict::AuthFailed);
    desk.pass(10 * SECOND);
    let launch = desk.launches.iter().find(|launch| launch.session == session("auto-12"));
    let nudge = launch.and_then(|launch| launch.argv.last()).expect("it goes on");
    assert!(nudge.starts_with("Your last turn was cut off before its end."), "{nudge}");
}

#[test]
fn an_agent_whose_login_fails_on_another_account_comes_over() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    record_end(&mut desk, "auto-11", Verdict::AuthFailed);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
    assert_eq!(desk.active(), "one");
}

#[test]
fn close_to_the_end_work_moves_by_choice_and_disturbs_nobody() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    desk.set_state("auto-11", AgentState::Busy);
    figures(&mut desk, "ded", (940, 60), (100, 6_000));
    assert_eq!(desk.active(), "one");
    desk.pass(5 * SECOND);
    desk.agent("auto-12").home = AgentHome::Linked;
    desk.look();
    desk.typed_at = Some(Wall(desk.wall_ms));
    figures(&mut desk, "ded", (960, 60), (100, 6_000));
    desk.pass(20 * SECOND);
    assert_eq!(desk.active(), "one", "somebody types to an agent that would go along");
    desk.pass(20 * SECOND);
    assert_eq!((desk.active(), desk.link.as_str()), ("two", "two"));
    assert_eq!(desk.homes(), "auto-11=one auto-12=Linked ded=one", "agents stay until refused");
    assert_eq!(desk.stops.len(), 0);
    assert_eq!(desk.recorded("trigger=preempt window=five_hour used=96.0%"), 1);
    let refusal = limit(&desk, 59);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=Linked ded=two", "who is refused follows alone");
}

#[test]
fn the_account_left_by_choice_is_the_last_resort_until_its_window_is_reset() {
    let mut desk = with(|config| {
        config.quota.preempt_at = Some(0.95);
        config.selection.return_to_preferred = true;
    });
    figures(&mut desk, "ded", (960, 120), (100, 6_000));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    desk.pass(30 * MINUTE);
    assert_eq!(desk.active(), "two", "no return before the window is over");
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    let refusal = limit(&desk, 600);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "three", "preferred, but nearly out");
    desk.pass(2 * HOUR);
    assert_eq!(desk.active(), "one");
    assert_eq!(desk.recorded("trigger=preferred"), 1);
}

#[test]
fn nobody_moves_by_choice_to_an_account_that_is_hardly_better_off() {
    let mut desk = with(|config| {
        config.quota.preempt_at = Some(0.95);
        config.accounts.pop();
    });
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    figures(&mut desk, "auto-11", (870, 60), (100, 6_000));
    figures(&mut desk, "ded", (960, 60), (100, 6_000));
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "one");
    figures(&mut desk, "auto-11", (840, 60), (100, 6_000));
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "two");
}

#[test]
fn the_return_to_the_preferred_account_waits_until_nobody_is_in_a_turn() {
    let mut desk = with(|config| config.selection.return_to_preferred = true);
    let refusal = limit(&desk, 30);
    record_end(&mut desk, "ded", refusal);
    desk.pass(10 * SECOND);
    desk.set_state("auto-12", AgentState::Busy);
    desk.pass(HOUR);
    assert_eq!(desk.active(), "two");
    assert_eq!(state(&desk, "one"), AccountState::Unproven);
    desk.set_state("auto-12", AgentState::Idle);
    desk.pass(10 * SECOND);
    assert_eq!((desk.active(), desk.probed.len()), ("one", 1), "proven before the link is flipped");
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two", "idle agents of people stay");
}

#[test]
fn every_swap_says_why_it_goes_there_and_why_nowhere_else() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Hold, "two");
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    let line = desk.journal.iter().map(ToString::to_string).find(|line| line.contains("Planned"));
    let line = line.expect("one is planned");
    for part in ["from=one to=three", "because=\"priority 3\"", "not_two=\"held by the operator"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_changed_configuration_holds_for_the_next_choice() {
    let mut desk = Desk::at_rest();
    let mut changed = config();
    changed.selection.pin = Some(account("two"));
    desk.send(Event::ConfigReloaded(Arc::new(changed)));
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    assert!(desk.core.durable.agents.contains_key(&session("ded")));
}
