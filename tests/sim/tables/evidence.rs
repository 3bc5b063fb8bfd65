//! Which evidence counts, and against whom.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AccountVerb, AgentHome, AgentState, Event, PaneReading, Verb};
use claude_failover::core::standing::AccountState;
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};

use crate::tables::account_edges::with;
use crate::tables::desk::{Desk, account, session};

const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn how_many_sessions_have_to_agree() {
    let cases: [(&[&str], bool); 4] = [
        (&["ded"], true),
        (&["auto-11"], false),
        (&["auto-11", "auto-12"], true),
        (&["auto-11", "auto-11"], false),
    ];
    for (sessions, swaps) in cases {
        let mut desk = Desk::at_rest();
        for name in sessions {
            desk.banner(name, LIMIT, Some(60));
        }
        assert_eq!(desk.recorded("phase=Planned") == 1, swaps, "{sessions:?}");
    }
}

#[test]
fn a_banner_without_a_reset_is_believed_at_the_second_look() {
    let mut desk = Desk::at_rest();
    desk.banner("ded", "You've hit your usage limit", None);
    assert_eq!(desk.recorded("phase=Planned"), 0);
    desk.banner("ded", "You've hit your usage limit", None);
    assert_eq!(desk.recorded("phase=Planned"), 1);
}

#[test]
fn a_banner_that_goes_is_forgotten() {
    let mut desk = Desk::at_rest();
    desk.banner("ded", "You've hit your usage limit", None);
    desk.clear("ded");
    desk.banner("ded", "You've hit your usage limit", None);
    assert_eq!(desk.recorded("phase=Planned"), 0);
    assert_eq!(desk.noted("the banner is gone"), 1);
}

#[test]
fn what_is_no_exhaustion_swaps_nobody() {
    for verdict in [Verdict::Warning, Verdict::Throttled, Verdict::ServerError, Verdict::ModelLimit]
    {
        let mut desk = Desk::at_rest();
        desk.show("ded", Reading { verdict: verdict.clone(), ..Reading::clear() });
        desk.show("ded", Reading { verdict: verdict.clone(), ..Reading::clear() });
        assert_eq!(desk.recorded("exhausted"), 0, "{verdict:?}");
    }
}

#[test]
fn a_login_that_fails_leaves_the_candidates_until_it_is_mended() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    desk.show("auto-11", Reading { verdict: Verdict::AuthFailed, ..Reading::clear() });
    assert_eq!(desk.core.durable.account_state(&account("two")), AccountState::AuthFailed);
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "three");
}

#[test]
fn soon_after_a_swap_evidence_waits_and_is_weighed_again() {
    let mut desk = Desk::at_rest();
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    assert_eq!((desk.active(), desk.phase()), ("two", None));
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.banner("ded", "You've hit your session limit · resets 5pm (UTC)", Some(120));
    desk.banner("ded", "You've hit your session limit · resets 5pm (UTC)", Some(120));
    assert_eq!(desk.noted("[quota] swap cooldown active"), 1, "said once");
    assert_eq!(desk.recorded("phase=Planned"), 1);
    desk.pass(300 * SECOND);
    assert_eq!((desk.active(), desk.recorded("phase=Planned")), ("three", 2));
}

#[test]
fn a_resume_repaints_old_banners_and_they_are_history_until_a_turn() {
    let mut desk = Desk::at_rest();
    desk.banner("ded", LIMIT, Some(290));
    desk.pass(10 * SECOND);
    desk.pass(600 * SECOND);
    desk.banner("ded", LIMIT, Some(280));
    desk.restart();
    desk.banner("ded", LIMIT, Some(280));
    assert_eq!(desk.active(), "two");
    assert_eq!(desk.recorded("phase=Planned"), 1);
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.banner("ded", LIMIT, Some(279));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "three", "the same words after a turn are news");
}

/// A screen does not decide while the conversation file is awaited. When there turns out to be none, it
/// does, but not by what a quiet client has shown since before its account was released.
#[test]
fn what_a_quiet_client_showed_before_a_release_is_history() {
    for released_first in [false, true] {
        let mut desk = Desk::at_rest();
        for name in ["ded", "auto-11"] {
            desk.agent(name).home = AgentHome::Homed(account("three"));
        }
        desk.look();
        desk.refuse("auto-11");
        desk.pass(20 * SECOND);
        assert_eq!(desk.recorded("account=three exhausted"), 1);
        desk.watcher_is_silent = true;
        desk.restart();
        let release = Verb::Account { verb: AccountVerb::Release, account: account("three") };
        if released_first {
            desk.send(release.clone().into());
            desk.pass(SECOND);
        }
        desk.set_state("ded", AgentState::Busy);
        desk.set_state("ded", AgentState::Idle);
        desk.banner("ded", LIMIT, Some(60));
        assert_eq!(desk.recorded("account=three exhausted"), 1, "awaited");
        desk.pass(SECOND);
        if !released_first {
            desk.send(release.into());
        }
        desk.watcher_is_silent = false;
        desk.tell_transcripts();
        desk.banner("ded", LIMIT, Some(60));
        let times = desk.recorded("account=three exhausted");
        assert_eq!(times, 1 + usize::from(released_first));
        // Nor does a menu that somebody opens over it and closes again make it news.
        desk.pass(SECOND);
        desk.set_state("ded", AgentState::Waiting("dialog open".to_owned()));
        desk.set_state("ded", AgentState::Idle);
        desk.banner("ded", LIMIT, Some(60));
        assert_eq!(desk.recorded("account=three exhausted"), times);
    }
}

/// It may be of that very turn, and was read a moment before the end was seen.
#[test]
fn a_refusal_that_waits_to_be_judged_is_read_again_at_the_end_of_a_turn() {
    let mut desk = Desk::at_rest();
    desk.watcher_is_silent = true;
    desk.restart();
    desk.set_state("ded", AgentState::Busy);
    desk.pass(10 * SECOND);
    let pane = desk.pane("ded");
    let ends_its_turn = |desk: &mut Desk| {
        desk.agent("ded").state = AgentState::Idle;
        desk.observe(None);
        let is_read = |order: &Action| *order == Action::RereadPane { pane };
        let times = desk.orders.iter().filter(|order| is_read(order)).count();
        desk.work();
        times
    };
    assert_eq!(ends_its_turn(&mut desk), 0, "nothing waits");
    desk.set_state("ded", AgentState::Busy);
    desk.banner("ded", LIMIT, Some(60));
    assert_eq!(ends_its_turn(&mut desk), 1);
}

/// It tells nothing itself, and came where another one is on its way. Nothing dates its screen once the
/// account has come back.
#[test]
fn what_the_next_agent_shows_counts_while_the_one_before_it_is_on_its_way() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-12").home = AgentHome::Homed(account("three"));
    desk.look();
    desk.refuse("auto-12");
    desk.pass(20 * SECOND);
    assert_eq!(desk.recorded("account=three exhausted"), 1);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    let flip = desk.orders.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("three")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.observe(None);
    let resets_at = Some(Wall(desk.wall_ms) + 60 * MINUTE);
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
    let last_user_row = Some("What is next?".to_owned());
    let reading = Reading { verdict, row: LIMIT.to_owned(), last_user_row, ..Reading::clear() };
    desk.now_ms += 8_000;
    desk.set_clock_right();
    let shown = PaneReading { session: session("ded"), pane: desk.pane("ded"), reading };
    desk.send(Event::PanesObserved(vec![shown.clone()]));
    desk.send(Verb::Account { verb: AccountVerb::Release, account: account("three") }.into());
    desk.carry_out(flip);
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.recorded("another agent"), 1);
    desk.send(Event::PanesObserved(vec![shown]));
    desk.pass(6 * MINUTE);
    assert_eq!(desk.recorded("account=three exhausted"), 1);
}

/// A person's agent takes a turn where another waits for its launch; its own screen is repainted then.
#[test]
fn what_an_agent_was_refused_with_is_history_whoever_was_there_meanwhile() {
    let mut desk = with(|config| config.pool.dedicated[0].nudge = Some("Go on.".to_owned()));
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    let resets_at = Some(Wall(desk.wall_ms) + 90 * MINUTE);
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
    let row = "You've hit your session limit · resets 5pm (UTC)".to_owned();
    let last_user_row = Some("Go on.".to_owned());
    let shown = Reading { verdict, row, last_user_row, ..Reading::clear() };
    desk.show("ded", shown.clone());
    desk.now_ms += 360_000;
    desk.set_clock_right();
    desk.send(Event::DeadlineReached);
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    let flip = desk.orders.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("three")), Some(9));
    for state in [AgentState::Busy, AgentState::Idle] {
        desk.agent("ded").state = state;
        desk.observe(None);
    }
    assert_eq!(desk.recorded("session=ded took a turn"), 2);
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.observe(None);
    desk.carry_out(flip);
    desk.work();
    assert_eq!(desk.agent("ded").home, AgentHome::Homed(account("three")));
    desk.show("ded", shown);
    desk.pass(10 * SECOND);
    assert_eq!(desk.recorded("account=three exhausted"), 0);
}

/// Under the nudge, and its account is released before that.
#[test]
fn what_a_client_showed_before_its_launch_was_answered_is_history_when_its_account_is_released() {
    let mut desk = with(|config| config.pool.dedicated[0].nudge = Some("Go on.".to_owned()));
    let is_its_launch = |order: &Action| matches!(order, Action::LaunchAgent(launch) if launch.session == session("ded"));
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(is_its_launch);
    let launch = desk.orders.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("two")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.look();
    let resets_at = Some(Wall(desk.wall_ms) + 60 * MINUTE);
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
    let last_user_row = Some("Go on.".to_owned());
    let shown = Reading { verdict, row: LIMIT.to_owned(), last_user_row, ..Reading::clear() };
    desk.show("ded", shown.clone());
    desk.pass(SECOND);
    desk.send(Verb::Account { verb: AccountVerb::Release, account: account("two") }.into());
    desk.comes_up = None;
    desk.carry_out(launch);
    desk.show("ded", shown);
    desk.pass(6 * MINUTE);
    assert_eq!(desk.recorded("account=two exhausted"), 0);
}

#[test]
fn a_reset_that_came_round_while_the_agent_was_quiet_is_over() {
    let mut desk = Desk::at_rest();
    desk.pass(3_600 * SECOND);
    // The printed time was half an hour ago: read as tomorrow's, 23.5 h ahead.
    desk.banner("ded", LIMIT, Some(23 * 60 + 30));
    assert_eq!(desk.recorded("exhausted"), 0);
}

#[test]
fn a_linked_agent_is_not_judged_within_five_seconds_of_a_flip() {
    for (seconds, counts) in [(4, false), (6, true)] {
        let mut desk = Desk::at_rest();
        desk.agent("ded").home = AgentHome::Linked;
        desk.look();
        desk.link = account("two");
        desk.look();
        desk.pass(seconds * SECOND);
        desk.set_state("ded", AgentState::Busy);
        desk.set_state("ded", AgentState::Idle);
        desk.banner("ded", LIMIT, Some(60));
        assert_eq!(desk.recorded("account=two exhausted") == 1, counts, "{seconds} s");
        assert_eq!(desk.recorded("account=one exhausted"), 0);
    }
}

#[test]
fn a_linked_agent_that_was_quiet_before_the_flip_was_refused_by_the_account_before() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").home = AgentHome::Linked;
    desk.look();
    desk.pass(SECOND);
    desk.link = account("two");
    desk.look();
    desk.pass(60 * SECOND);
    desk.restart();
    desk.banner("ded", LIMIT, Some(60));
    assert_eq!(desk.recorded("exhausted"), 0);
}

#[test]
fn an_agent_refused_on_another_account_than_the_active_one_is_moved_alone() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").home = AgentHome::Homed(account("three"));
    desk.look();
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(10 * SECOND);
    assert_eq!(desk.recorded("phase=Planned"), 0);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
}

/// Its screen names the minute in which that was.
#[test]
fn what_a_launched_agent_was_refused_before_its_account_came_back_counts_no_more() {
    let mut desk = with(|config| config.pool.dedicated[0].nudge = Some("Go on.".to_owned()));
    desk.agent("auto-11").home = AgentHome::Homed(account("two"));
    desk.look();
    desk.refuse("auto-11");
    let resets_at = Wall(desk.wall_ms) + 60 * MINUTE;
    desk.pass(60 * MINUTE - 30 * SECOND);
    assert_eq!(desk.recorded("account=two exhausted"), 1);
    desk.send(Verb::Account { verb: AccountVerb::Release, account: account("two") }.into());
    desk.comes_up = Some(AgentState::Unknown);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(
        |order| matches!(order, Action::LaunchAgent(launch) if launch.session == session("ded")),
    );
    let launch = desk.orders.remove(0);
    desk.carry_out(launch);
    desk.orders.clear();
    let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at: Some(resets_at) };
    let last_user_row = Some("Go on.".to_owned());
    let reading = Reading { verdict, row: LIMIT.to_owned(), last_user_row, ..Reading::clear() };
    let shown = PaneReading { session: session("ded"), pane: desk.pane("ded"), reading };
    desk.send(Event::PanesObserved(vec![shown]));
    assert_eq!(desk.recorded("account=two exhausted"), 1);
}
