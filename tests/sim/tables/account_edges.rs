//! What is at the edge of accounts: old rows and figures, clocks that were wrong, pins and holds that
//! nobody took back, checks that failed.

use std::sync::Arc;
use std::time::Duration;

use claude_failover::config::{Config, Strategy};
use claude_failover::core::Core;
use claude_failover::core::event::{
    AccountVerb, AgentHome, AgentState, AgentsObserved, Event, Verb,
};
use claude_failover::core::standing::AccountState;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{Figures, News, Report, Window};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, session};
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::{limit, record_answer, record_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY_MS: i64 = 24 * 3_600_000;

pub fn with(change: impl FnOnce(&mut Config)) -> Desk {
    let mut config = config();
    change(&mut config);
    let mut desk = Desk::new(config);
    for (name, number) in [("ded", 1), ("auto-11", 2), ("auto-12", 3)] {
        desk.add_agent(name, AgentHome::Homed(account("one")), Some(number));
    }
    desk.start();
    desk
}

pub fn only_one(config: &mut Config) {
    config.accounts.truncate(1);
}

pub fn verb(desk: &mut Desk, verb: AccountVerb, name: &str) {
    desk.send(Verb::Account { verb, account: account(name) }.into());
    desk.work();
    desk.pass(10 * SECOND);
}

pub fn state(desk: &Desk, name: &str) -> AccountState {
    desk.core.durable.account_state(&account(name))
}

pub fn figures(desk: &mut Desk, name: &str, five_hour: (u16, i64), week: (u16, i64)) {
    figures_alone(desk, name, five_hour, week);
    desk.work();
}

/// What is ordered for them waits.
pub fn figures_alone(desk: &mut Desk, name: &str, five_hour: (u16, i64), week: (u16, i64)) {
    let now = desk.wall_ms;
    let window = |(used_permille, minutes): (u16, i64)| {
        Some(Window { used_permille, resets_at: Some(Wall(now + minutes * 60_000)) })
    };
    let figures = Figures { five_hour: window(five_hour), weekly: window(week) };
    let pid = desk.agent(name).process.pid;
    hear_figures(desk, pid, figures);
}

fn tell_figures(desk: &mut Desk, pid: i32, figures: Figures) {
    hear_figures(desk, pid, figures);
    desk.work();
}

fn hear_figures(desk: &mut Desk, pid: i32, figures: Figures) {
    let (at, news) = (Wall(desk.wall_ms), News::Figures(figures));
    let report = Report { at, pid: Some(pid), conversation: None, transcript: None, news };
    desk.send(Event::ReportsReceived(vec![report]));
}

/// The daemon comes back with another configuration.
fn restart_with(desk: &mut Desk, change: impl FnOnce(&mut Config)) {
    let mut config = (*desk.core.config).clone();
    change(&mut config);
    desk.core = Core::recover(Arc::new(config), &desk.journal).expect("the journal is ours");
    desk.orders.clear();
    desk.start();
}

pub fn run_out(desk: &mut Desk, minutes: &[i64]) {
    for minutes in minutes {
        let refusal = limit(desk, *minutes);
        record_end(desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    assert!(desk.core.is_parked(), "{:?}", desk.core.durable.swap);
}

fn credentials(desk: &mut Desk, name: &str, at: Wall) {
    desk.send(Event::AgentsObserved(AgentsObserved {
        order: None,
        agents: desk.agents.clone(),
        link: Some(desk.link.clone()),
        linked_foreign: 0,
        credentials_changed: vec![(account(name), at)],
    }));
    desk.work();
}

fn auth_failed() -> Reading {
    let row = "Login expired · Please run /login".to_owned();
    Reading { verdict: Verdict::AuthFailed, row, ..Reading::clear() }
}

#[test]
fn a_pin_on_an_account_that_left_the_configuration_parks_nobody_for_ever() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Pin, "three");
    assert_eq!(desk.active(), "three");
    // Its operator takes it out, and makes the link name another one, as the start demands.
    desk.link = account("one");
    restart_with(&mut desk, |config| {
        config.accounts.pop();
    });
    desk.look();
    assert_eq!(desk.active(), "one");
    desk.pass(HOUR);
    assert!(!desk.core.is_parked(), "`one` and `two` are available");
}

/// And the operator can take it back.
#[test]
fn a_pin_on_an_account_that_left_the_configuration_can_be_released() {
    let mut desk = Desk::at_rest();
    verb(&mut desk, AccountVerb::Pin, "three");
    desk.link = account("one");
    restart_with(&mut desk, |config| {
        config.accounts.pop();
    });
    desk.look();
    verb(&mut desk, AccountVerb::Release, "three");
    assert_eq!(desk.noted("three is no account of the configuration"), 0);
    assert_eq!(desk.core.pin(), None);
}

/// A resumed conversation repaints the old row, which bears no date.
#[test]
fn a_login_failure_that_is_repainted_after_the_move_blames_nobody() {
    let mut desk = Desk::at_rest();
    desk.show("ded", auth_failed());
    for _ in 0..20 {
        desk.pass(SECOND);
        if desk.agents.iter().any(|agent| agent.session == session("ded")) {
            desk.show("ded", auth_failed());
        }
    }
    assert_eq!(state(&desk, "one"), AccountState::AuthFailed);
    assert_eq!(state(&desk, "two"), AccountState::Available, "it never refused anybody");
    assert_eq!(desk.active(), "two");
}

/// The same row on the screen of an agent that waits where it is: it says nothing new.
#[test]
fn a_login_that_was_mended_is_not_lost_to_an_old_row_on_a_screen() {
    let mut desk = with(only_one);
    desk.show("ded", auth_failed());
    desk.pass(MINUTE);
    assert!(desk.core.is_parked());
    let now = Wall(desk.wall_ms);
    credentials(&mut desk, "one", now);
    assert!(!desk.core.is_parked(), "it was mended, and proven");
    desk.show("ded", auth_failed());
    desk.pass(MINUTE);
    desk.show("ded", auth_failed());
    desk.pass(10 * MINUTE);
    assert_eq!(state(&desk, "one"), AccountState::Available);
    assert!(!desk.core.is_parked());
}

/// The same, released by the operator.
#[test]
fn a_release_is_not_undone_by_an_old_row_on_a_screen() {
    let mut desk = with(only_one);
    desk.show("ded", auth_failed());
    desk.pass(MINUTE);
    verb(&mut desk, AccountVerb::Release, "one");
    desk.show("ded", auth_failed());
    desk.pass(MINUTE);
    assert!(!desk.core.is_parked());
}

/// An agent on the link repeats what its last answer said; that came from the account before.
#[test]
fn figures_of_an_agent_on_the_link_are_not_the_next_accounts() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    desk.agent("ded").home = AgentHome::Linked;
    desk.look();
    let now = desk.wall_ms;
    let window = |used_permille, minutes: i64| {
        Some(Window { used_permille, resets_at: Some(Wall(now + minutes * 60_000)) })
    };
    let said = Figures { five_hour: window(960, 120), weekly: window(100, 6_000) };
    let pid = desk.agent("ded").process.pid;
    tell_figures(&mut desk, pid, said);
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    tell_figures(&mut desk, pid, said);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.active(), "two", "of `two` nothing is known");
}

/// Within a window use only grows, so the lower figure is the older one.
#[test]
fn an_agent_that_repeats_an_old_figure_does_not_lower_what_is_known() {
    let mut desk = Desk::at_rest();
    let now = desk.wall_ms;
    let said = |used_permille| Figures {
        five_hour: Some(Window { used_permille, resets_at: Some(Wall(now + 7_200_000)) }),
        weekly: None,
    };
    let (ded, auto) = (desk.agent("ded").process.pid, desk.agent("auto-11").process.pid);
    for _ in 0..20 {
        tell_figures(&mut desk, ded, said(940));
        tell_figures(&mut desk, auto, said(500));
        desk.pass(SECOND);
    }
    let used = desk.core.standing(&account("one")).used.expect("known").figures;
    assert_eq!(used.five_hour.map(|window| window.used_permille), Some(940));
    assert!(desk.recorded("used five_hour=") <= 2, "{}", desk.recorded("used five_hour="));
}

/// An answer to a later prompt proves a login as well.
#[test]
fn an_account_that_answers_after_its_login_failed_once_is_not_lost() {
    let mut desk = with(only_one);
    // One of several clients that refreshed the same login at once.
    record_end(&mut desk, "auto-11", Verdict::AuthFailed);
    desk.pass(MINUTE);
    assert!(desk.core.is_parked());
    for _ in 0..5 {
        record_answer(&mut desk, "auto-11");
        record_answer(&mut desk, "ded");
        desk.pass(MINUTE);
    }
    assert!(!desk.core.is_parked(), "it answers two agents, again and again");
}

/// The same for a limit that was lifted before the printed end (credits bought, reset by the vendor).
#[test]
fn an_account_that_answers_hours_after_its_refusal_is_taken_again_before_the_printed_end() {
    let mut desk = with(only_one);
    let at = Some(Wall(desk.wall_ms + 6 * DAY_MS));
    let verdict = Verdict::Exhausted { limit: LimitKind::Weekly, resets_at: at };
    record_end(&mut desk, "ded", verdict);
    desk.pass(2 * HOUR);
    assert!(desk.core.is_parked());
    for _ in 0..5 {
        record_answer(&mut desk, "ded");
        desk.pass(MINUTE);
    }
    assert!(!desk.core.is_parked(), "its operator works there, and has been answered five times");
}

/// A client that prints a clock time which has just
/// passed is read as tomorrow's, also in its conversation file, its hook and the headless request.
#[test]
fn a_five_hour_limit_is_over_within_five_hours() {
    let mut desk = with(only_one);
    let refusal = limit(&desk, 24 * 60 - 1);
    record_end(&mut desk, "ded", refusal);
    desk.pass(MINUTE);
    let until = desk.core.standing(&account("one")).until().expect("it is out");
    assert!(until - Wall(desk.wall_ms) <= 5 * HOUR + 15 * MINUTE, "{}", until);
}

/// `account hold --help`: "work there moves off it".
#[test]
fn work_on_an_account_that_is_held_moves_off_it_also_where_it_is_not_the_active_one() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    figures(&mut desk, "ded", (960, 60), (100, 6_000));
    desk.pass(10 * SECOND);
    assert_eq!((desk.active(), desk.homes().as_str()), ("two", "auto-11=one auto-12=one ded=one"));
    verb(&mut desk, AccountVerb::Hold, "one");
    desk.pass(HOUR);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

#[test]
fn nothing_is_dispatched_to_another_account_than_the_pinned_one() {
    let mut desk = free_pool();
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    verb(&mut desk, AccountVerb::Pin, "three");
    assert_eq!(desk.active(), "two", "throttled");
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(5 * SECOND);
    assert_eq!(desk.recorded("claimed"), 0, "three is pinned: no other account is used");
}

/// Moments of swaps that lie ahead of a clock that was put right count for nothing.
#[test]
fn a_clock_that_was_a_day_ahead_throttles_nobody_for_a_day() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.wall_ms += DAY_MS;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    desk.wall_ms -= DAY_MS;
    desk.pass(2 * HOUR);
    assert!(!desk.core.throttled(), "two hours later");
}

/// The same for the cooldown of the last swap.
#[test]
fn a_clock_that_was_a_day_ahead_does_not_silence_screens_for_a_day() {
    for step in [0, DAY_MS] {
        screens_are_heard(step);
    }
}

fn screens_are_heard(step_ms: i64) {
    let mut desk = Desk::at_rest();
    desk.wall_ms += step_ms;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    desk.wall_ms -= step_ms;
    desk.pass(HOUR);
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.pass(MINUTE);
    desk.banner("ded", "You've hit your session limit · resets 4pm (UTC)", Some(60));
    desk.pass(HOUR / 2);
    assert_eq!(state(&desk, "two"), AccountState::Exhausted, "a step of {step_ms} ms");
}

/// The same for a login whose failure lies ahead.
#[test]
fn a_login_that_failed_under_a_wrong_clock_can_be_mended() {
    for step in [0, DAY_MS] {
        login_is_mended(step);
    }
}

fn login_is_mended(step_ms: i64) {
    let mut desk = Desk::at_rest();
    desk.wall_ms += step_ms;
    record_end(&mut desk, "ded", Verdict::AuthFailed);
    desk.pass(MINUTE);
    assert_eq!(state(&desk, "one"), AccountState::AuthFailed);
    desk.wall_ms -= step_ms;
    desk.pass(HOUR);
    let now = Wall(desk.wall_ms - 60_000);
    credentials(&mut desk, "one", now);
    assert_eq!(state(&desk, "one"), AccountState::Unproven, "a step of {step_ms} ms");
}

/// And for an operator's agent on the link: its refusals are those of the account in use.
#[test]
fn an_agent_on_the_link_is_heard_after_the_clock_was_set_back() {
    for step in [0, DAY_MS] {
        linked_is_heard(step);
    }
}

fn linked_is_heard(step_ms: i64) {
    let mut desk = Desk::at_rest();
    desk.wall_ms += step_ms;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    desk.wall_ms -= step_ms;
    desk.agent("ded").home = AgentHome::Linked;
    desk.look();
    desk.pass(HOUR);
    let refusal = limit(&desk, 60);
    record_end(&mut desk, "ded", refusal);
    assert_eq!(state(&desk, "two"), AccountState::Exhausted, "a step of {step_ms} ms");
}

#[test]
fn nobody_returns_to_an_account_that_is_known_to_be_nearly_out() {
    let mut desk = with(|config| {
        config.quota.preempt_at = Some(0.95);
        config.selection.return_to_preferred = true;
    });
    figures(&mut desk, "ded", (980, 60), (970, 6_000));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    desk.pass(2 * HOUR);
    assert_eq!(desk.active(), "two", "97 % of its week is used, and it ends in four days");
}

#[test]
fn a_flip_by_hand_is_not_undone_at_once_by_the_return() {
    let mut desk = with(|config| config.selection.return_to_preferred = true);
    desk.link = account("two");
    desk.look();
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "two");
}

/// An operator's `swap --to` outlasts `quota.reactivate_cooldown`.
#[test]
fn a_swap_by_hand_is_not_undone_by_the_return_after_five_minutes() {
    let mut desk = with(|config| config.selection.return_to_preferred = true);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * MINUTE);
    assert_eq!(desk.active(), "two");
}

/// Without a moment in the first words there is a guess, until one is printed.
#[test]
fn a_printed_moment_goes_before_a_guess() {
    let mut desk = with(only_one);
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: None };
    record_end(&mut desk, "ded", verdict);
    desk.pass(SECOND);
    let refusal = limit(&desk, 5);
    record_end(&mut desk, "auto-11", refusal);
    desk.pass(6 * MINUTE);
    assert!(!desk.core.is_parked(), "known since a minute: it was over after five");
}

#[test]
fn work_leaves_an_account_in_use_whose_home_does_not_pass_the_check() {
    let mut desk = Desk::at_rest();
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    let refusal = limit(&desk, 120);
    record_end(&mut desk, "ded", refusal);
    desk.pass(15 * SECOND);
    let refusal = limit(&desk, 10);
    record_end(&mut desk, "ded", refusal);
    desk.pass(15 * SECOND);
    assert_eq!((desk.active(), desk.core.throttled()), ("two", true));
    // It comes back in place, but its home has gone; and so have the others', for a moment.
    desk.broken = ["one", "two", "three"].map(account).to_vec();
    verb(&mut desk, AccountVerb::Hold, "three");
    desk.pass(11 * MINUTE);
    assert_eq!(state(&desk, "two"), AccountState::Rejected);
    desk.broken = vec![account("two")];
    let wide = config();
    desk.send(Event::ConfigReloaded(wide.into()));
    verb(&mut desk, AccountVerb::Release, "three");
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "three");
}

/// Figures that name no reset end with the longest window they can mean.
#[test]
fn a_figure_of_last_week_that_names_no_reset_ranks_nobody() {
    let mut desk = with(|config| config.selection.strategy = Strategy::MostHeadroom);
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    let used = Some(Window { used_permille: 900, resets_at: None });
    let pid = desk.agent("auto-11").process.pid;
    tell_figures(&mut desk, pid, Figures { five_hour: used, weekly: None });
    desk.pass(24 * HOUR);
    desk.send(Verb::Swap { to: None }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two", "five hours are over since long");
}

#[test]
fn an_active_account_that_failed_a_check_is_left_or_used() {
    let mut desk = free_pool();
    // Throttled on `two` until that comes back in place; then no home passes its check for a moment.
    let mut few = config();
    few.swap.max_per_hour = 1;
    desk.send(Event::ConfigReloaded(few.into()));
    desk.work();
    for minutes in [600, 10] {
        let refusal = limit(&desk, minutes);
        record_end(&mut desk, "ded", refusal);
        desk.pass(15 * SECOND);
    }
    assert_eq!((desk.active(), desk.core.throttled(), desk.core.is_parked()), ("two", true, false));
    desk.broken = ["two", "three"].map(account).to_vec();
    desk.pass(10 * MINUTE);
    assert_eq!(state(&desk, "two"), AccountState::Rejected);
    desk.broken.clear();
    verb(&mut desk, AccountVerb::Release, "three");
    desk.send(Event::ConfigReloaded(config().into()));
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(state(&desk, "three"), AccountState::Available);
    assert!(!desk.core.is_parked() && !desk.core.throttled());
    assert!(desk.core.working_account().is_some(), "`three` is available, and nobody works");
}

/// One person at a keyboard keeps nobody else from leaving in time.
#[test]
fn who_types_in_his_own_session_keeps_only_that_one_from_a_swap_by_choice() {
    let mut desk = with(|config| config.quota.preempt_at = Some(0.95));
    for _ in 0..40 {
        desk.typed_at = Some(Wall(desk.wall_ms));
        desk.list();
        figures(&mut desk, "ded", (990, 60), (100, 6_000));
        desk.pass(15 * SECOND);
    }
    assert_eq!(desk.active(), "two", "ten minutes at 99 %");
}
