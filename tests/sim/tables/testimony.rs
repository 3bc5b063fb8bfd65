//! What clients record and report themselves, against what their screens show.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::agent_state::StateSource;
use claude_failover::core::event::{
    AccountVerb, AgentHome, AgentState, AgentsObserved, Event, PaneReading,
};
use claude_failover::core::moves::NUDGE;
use claude_failover::core::standing::AccountState;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::transcript::{ApiError, Ending};
use claude_failover::quota::verdict::{Activity, Dialog, LimitKind, Reading, Verdict};
use claude_failover::snapshot::Snapshot;

use crate::tables::account_edges::{only_one, verb, with};
use crate::tables::desk::{Desk, account, id, session};

const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";
const SECOND: Duration = Duration::from_secs(1);
const HOUR_MIN: i64 = 60;

/// A plan limit that resets in so many minutes.
pub fn limit(desk: &Desk, resets_in_min: i64) -> Verdict {
    let resets_at = Some(Wall(desk.wall_ms + resets_in_min * 60_000));
    Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at }
}

fn reading(verdict: Verdict) -> Reading {
    Reading { verdict, row: LIMIT.to_owned(), ..Reading::clear() }
}

/// The agent's turn ended so, and its file says when; nobody has read it yet.
pub fn write_end(desk: &mut Desk, name: &str, verdict: Verdict, at: Wall) {
    let error = ApiError { record: at.0.to_string(), at, reading: reading(verdict) };
    let process = desk.agent(name).process;
    let ending = Ending { error: Some(error), prompted_at: Some(at), answered_at: None };
    desk.endings.insert(process, ending);
}

/// The agent's turn ends so now, and the watcher reads its file.
pub fn record_end(desk: &mut Desk, name: &str, verdict: Verdict) {
    let at = Wall(desk.wall_ms);
    write_end(desk, name, verdict, at);
    desk.tell_transcripts();
    desk.work();
}

/// The model has just spoken to the agent, and its file says so.
pub fn record_answer(desk: &mut Desk, name: &str) {
    let process = desk.agent(name).process;
    let answered_at = Some(Wall(desk.wall_ms));
    let prompted_at = Some(Wall(desk.wall_ms - 500));
    desk.endings.insert(process, Ending { answered_at, prompted_at, error: None });
    desk.tell_transcripts();
    desk.work();
}

/// A look at the processes alone: of conversation files the watcher says nothing yet.
fn look_at_processes(desk: &mut Desk, credentials_changed: &[(&str, Wall)]) {
    let credentials_changed =
        credentials_changed.iter().map(|(name, at)| (account(name), *at)).collect();
    let (agents, link) = (desk.agents.clone(), Some(desk.link.clone()));
    desk.send(Event::AgentsObserved(AgentsObserved {
        order: None,
        agents,
        link,
        linked_foreign: 0,
        credentials_changed,
    }));
}

/// A screen shows this; the orders that follow are left to be looked at.
fn screen(desk: &mut Desk, name: &str, reading: Reading) {
    let (pane, session) = (desk.pane(name), session(name));
    desk.send(Event::PanesObserved(vec![PaneReading { session, pane, reading }]));
}

/// A hook reports this; the orders that follow are left to be looked at.
fn report(desk: &mut Desk, name: &str, news: News, at: Wall) {
    let agent = desk.agent(name);
    let (pid, conversation) = (Some(agent.process.pid), agent.conversation.clone());
    desk.send(Event::ReportsReceived(vec![Report {
        at,
        pid,
        conversation,
        transcript: None,
        news,
    }]));
}

fn failed(verdict: Verdict) -> News {
    News::TurnFailed { error: "rate_limit".to_owned(), reading: reading(verdict) }
}

/// Whether the watcher has been told to read this agent's file now.
fn is_read(desk: &Desk, name: &str) -> bool {
    let session = session(name);
    desk.orders.contains(&Action::ReadTranscript { session })
}

#[test]
fn one_refusal_on_record_of_a_pool_agent_swaps_at_once_and_within_the_cooldown() {
    let mut desk = Desk::at_rest();
    for (planned, target) in [(1, "two"), (2, "three")] {
        let refusal = limit(&desk, HOUR_MIN);
        record_end(&mut desk, "auto-11", refusal);
        assert_eq!(desk.recorded("phase=Planned"), planned, "no time has passed");
        desk.pass(10 * SECOND);
        assert_eq!((desk.active(), desk.phase()), (target, None));
    }
    assert_eq!(desk.noted("[quota] swap cooldown active"), 0);
}

#[test]
fn a_screen_is_a_reason_to_read_a_known_file_and_decides_nothing() {
    for verdict in [limit(&Desk::at_rest(), HOUR_MIN), Verdict::AuthFailed] {
        let mut desk = Desk::at_rest();
        // The model's answer begins like a banner: the file knows that it is one.
        record_answer(&mut desk, "ded");
        for _ in 0..3 {
            screen(&mut desk, "ded", reading(verdict.clone()));
            assert!(is_read(&desk, "ded"), "{verdict:?}");
            desk.work();
            desk.tell_transcripts();
            desk.pass(400 * SECOND);
        }
        screen(&mut desk, "ded", Reading::clear());
        assert!(!is_read(&desk, "ded"), "nothing to look for");
        assert!(desk.core.is_available(&account("one")), "{verdict:?}");
        assert_eq!((desk.active(), desk.recorded("phase=Planned")), ("one", 0));
    }
}

#[test]
fn while_a_file_is_awaited_nobody_decides_and_without_one_the_screen_is_read_again() {
    let mut desk = Desk::at_rest();
    desk.agent("ded").conversation = Some(id(9));
    look_at_processes(&mut desk, &[]);
    let refusal = reading(limit(&desk, HOUR_MIN));
    for _ in 0..2 {
        screen(&mut desk, "ded", refusal.clone());
        assert!(is_read(&desk, "ded"));
        desk.work();
    }
    assert_eq!(desk.recorded("exhausted"), 0);
    desk.tell_transcripts();
    let reread = Action::RereadPane { pane: desk.pane("ded") };
    assert!(desk.orders.contains(&reread), "{:?}", desk.orders);
    screen(&mut desk, "ded", refusal);
    assert_eq!((desk.recorded("account=one exhausted"), desk.noted("evidence=pane")), (1, 1));
}

#[test]
fn a_record_from_before_the_accounts_return_is_history() {
    for (seconds, counts) in [(-1, false), (0, false), (1, true)] {
        let mut desk = Desk::at_rest();
        let refusal = limit(&desk, 10);
        record_end(&mut desk, "ded", refusal);
        desk.pass(660 * SECOND);
        let since = desk.core.standing(&account("one")).cleared_at.expect("its reset has passed");
        desk.agent("auto-11").home = AgentHome::Homed(account("one"));
        desk.look();
        let refusal = limit(&desk, HOUR_MIN);
        write_end(&mut desk, "auto-11", refusal, Wall(since.0 + seconds * 1_000));
        desk.tell_transcripts();
        let times = desk.recorded("account=one exhausted");
        assert_eq!(times == 2, counts, "{seconds} s after its return");
    }
}

#[test]
fn a_record_whose_reset_has_passed_since_is_history() {
    for (minutes, counts) in [(-1, false), (0, false), (1, true)] {
        let mut desk = Desk::at_rest();
        let refusal = limit(&desk, minutes);
        let said = Wall(desk.wall_ms - 120_000);
        write_end(&mut desk, "ded", refusal, said);
        desk.tell_transcripts();
        assert_eq!(desk.recorded("exhausted") == 1, counts, "in {minutes} min");
    }
}

#[test]
fn a_record_that_names_a_reset_from_before_it_counts_for_a_minute() {
    let mut desk = Desk::at_rest();
    let refusal = limit(&desk, -1);
    record_end(&mut desk, "ded", refusal);
    let until = desk.core.standing(&account("one")).until();
    assert_eq!(until, Some(Wall(desk.wall_ms + 60_000)));
}

#[test]
fn a_linked_agents_record_counts_against_the_account_that_the_link_named_then() {
    for (seconds, counts) in [(-1, 0), (0, 0), (4, 0), (6, 1)] {
        let mut desk = Desk::at_rest();
        desk.agent("ded").home = AgentHome::Linked;
        desk.look();
        desk.pass(60 * SECOND);
        desk.link = account("two");
        desk.look();
        let flipped = desk.wall_ms;
        desk.pass(60 * SECOND);
        let refusal = limit(&desk, HOUR_MIN);
        write_end(&mut desk, "ded", refusal, Wall(flipped + seconds * 1_000));
        desk.tell_transcripts();
        assert_eq!(desk.recorded("account=two exhausted"), counts, "{seconds} s after the flip");
        assert_eq!(desk.recorded("account=one exhausted"), 0, "that one is left");
        let unsure = (0..5).contains(&seconds);
        assert_eq!(desk.noted("within 5 s of a flip") == 1, unsure, "{seconds} s");
    }
}

#[test]
fn what_is_no_exhaustion_on_record_marks_nobody_and_ends_an_earlier_suspicion() {
    for verdict in [Verdict::ModelLimit, Verdict::Throttled, Verdict::ServerError, Verdict::Warning]
    {
        let mut desk = Desk::at_rest();
        desk.banner("auto-11", LIMIT, Some(HOUR_MIN));
        record_end(&mut desk, "auto-11", verdict.clone());
        assert_eq!(desk.noted("its last turn ended otherwise: cleared"), 1, "{verdict:?}");
        desk.banner("auto-12", LIMIT, Some(HOUR_MIN));
        assert!(desk.core.is_available(&account("one")), "{verdict:?}: one of two is too few");
    }
}

#[test]
fn a_login_that_failed_on_record_counts_unless_it_was_mended_since() {
    let cases = [(None, true), (Some(-60), true), (Some(4), true), (Some(6), false)];
    for (mended_s, counts) in cases {
        let mut desk = Desk::at_rest();
        desk.pass(60 * SECOND);
        desk.agent("auto-11").home = AgentHome::Homed(account("two"));
        let at = Wall(desk.wall_ms - 30_000);
        let changed: Vec<_> =
            mended_s.iter().map(|seconds| ("two", Wall(at.0 + seconds * 1_000))).collect();
        look_at_processes(&mut desk, &changed);
        write_end(&mut desk, "auto-11", Verdict::AuthFailed, at);
        desk.tell_transcripts();
        let state = desk.core.durable.account_state(&account("two"));
        assert_eq!(state == AccountState::AuthFailed, counts, "{mended_s:?}");
        assert_eq!(desk.recorded("phase=Planned"), 0);
    }
}

#[test]
fn a_failed_turns_report_has_the_file_read_and_decides_only_without_one() {
    for (has_file, swaps) in [(true, 0), (false, 1)] {
        let mut desk = Desk::at_rest();
        if has_file {
            record_answer(&mut desk, "auto-11");
        }
        let (refusal, at) = (limit(&desk, HOUR_MIN), Wall(desk.wall_ms));
        report(&mut desk, "auto-11", failed(refusal), at);
        assert!(is_read(&desk, "auto-11"));
        assert_eq!(desk.recorded("phase=Planned"), swaps, "a file: {has_file}");
        assert_eq!(desk.noted("evidence=hook"), swaps);
    }
}

#[test]
fn a_report_of_an_earlier_process_of_that_number_is_dropped() {
    for (ms, counts) in [(-1, false), (0, true)] {
        let mut desk = Desk::at_rest();
        desk.pass(60 * SECOND);
        let started = desk.wall_ms;
        desk.agent("ded").started_at = Wall(started);
        desk.look();
        let refusal = limit(&desk, HOUR_MIN);
        report(&mut desk, "ded", failed(refusal), Wall(started + ms));
        assert!(is_read(&desk, "ded"), "the file is worth a look in any case");
        assert_eq!(desk.recorded("exhausted") == 1, counts, "{ms} ms");
    }
}

#[test]
fn a_doubled_or_late_report_changes_nothing() {
    for late_ms in [0, 1_000] {
        let mut desk = Desk::at_rest();
        desk.set_state("auto-11", AgentState::Unknown);
        desk.pass(60 * SECOND);
        let at = desk.wall_ms;
        report(&mut desk, "auto-11", News::PromptSubmitted, Wall(at));
        let (refusal, before) = (limit(&desk, HOUR_MIN), desk.journal.len());
        report(&mut desk, "auto-11", failed(refusal), Wall(at - late_ms));
        assert_eq!(desk.journal.len(), before, "{late_ms} ms late");
        let busy = Some((AgentState::Busy, StateSource::Hook));
        assert_eq!(desk.core.state_of(&session("auto-11")), busy);
    }
}

#[test]
fn a_session_file_knows_an_agents_state_before_its_hooks_and_those_before_its_screen() {
    let mut desk = Desk::at_rest();
    let ded = session("ded");
    desk.set_state("ded", AgentState::Unknown);
    assert_eq!(desk.core.state_of(&ded), Some((AgentState::Unknown, StateSource::None)));
    let waiting = |name: &str| AgentState::Waiting(name.to_owned());
    for (activity, state) in [
        (Activity::Dialog(Dialog::Permission), waiting("permission")),
        (Activity::Dialog(Dialog::LimitMenu), waiting("limit menu")),
        (Activity::Busy, AgentState::Busy),
        (Activity::Idle, AgentState::Idle),
    ] {
        screen(&mut desk, "ded", Reading { activity, ..Reading::clear() });
        assert_eq!(desk.core.state_of(&ded), Some((state, StateSource::Screen)));
    }
    let at = desk.wall_ms;
    report(&mut desk, "ded", News::PromptSubmitted, Wall(at));
    assert_eq!(desk.core.state_of(&ded), Some((AgentState::Busy, StateSource::Hook)));
    let asks = News::Notified { kind: "permission_prompt".to_owned() };
    report(&mut desk, "ded", asks, Wall(at + 1));
    let asked = Some((waiting("permission_prompt"), StateSource::Hook));
    assert_eq!(desk.core.state_of(&ded), asked);
    desk.set_state("ded", AgentState::Idle);
    assert_eq!(desk.core.state_of(&ded), Some((AgentState::Idle, StateSource::SessionFile)));
    assert_eq!(desk.core.dialog_in(&ded), None);
}

#[test]
fn a_nudged_canary_that_has_answered_on_record_is_proven_at_once() {
    let mut desk = Desk::at_rest();
    desk.comes_up = Some(AgentState::Busy);
    let refusal = limit(&desk, HOUR_MIN);
    record_end(&mut desk, "auto-12", refusal);
    let process = desk.agent("auto-12").process;
    let prompted_at = Some(Wall(desk.wall_ms));
    desk.endings.insert(process, Ending { prompted_at, ..Ending::default() });
    desk.look();
    assert_eq!(desk.launches.len(), 1, "a prompt is no answer");
    record_answer(&mut desk, "auto-12");
    assert_eq!(desk.launches.len(), 3, "no time has passed");
}

#[test]
fn a_straggler_whose_turn_ended_well_is_not_nudged_and_a_refused_one_is() {
    for refused in [false, true] {
        let mut desk = Desk::at_rest();
        desk.set_state("auto-11", AgentState::Busy);
        let refusal = limit(&desk, HOUR_MIN);
        record_end(&mut desk, "ded", refusal.clone());
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), "auto-11=one auto-12=two ded=two");
        if refused {
            record_end(&mut desk, "auto-11", refusal);
        } else {
            record_answer(&mut desk, "auto-11");
        }
        desk.set_state("auto-11", AgentState::Idle);
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two", "refused: {refused}");
        let launch = desk.launches.last().expect("it was launched again");
        let nudged = launch.argv.last().is_some_and(|argument| argument == NUDGE);
        assert_eq!((&launch.session, nudged), (&session("auto-11"), refused));
    }
}

/// Its screen could not be read for a while, and the account has been released since.
#[test]
fn the_screen_of_a_turn_that_was_reported_is_no_news_of_a_client_that_tells_no_state() {
    let mut desk = with(only_one);
    desk.watcher_is_silent = true;
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.look();
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.look();
    desk.pass(60 * SECOND);
    let (refusal, at) = (limit(&desk, HOUR_MIN), Wall(desk.wall_ms));
    report(&mut desk, "ded", failed(refusal.clone()), at);
    assert_eq!(desk.recorded("account=one exhausted"), 1);
    verb(&mut desk, AccountVerb::Release, "one");
    let prompt = Some("> go on".to_owned());
    for _ in 0..3 {
        desk.show("ded", Reading { last_user_row: prompt.clone(), ..reading(refusal.clone()) });
        desk.pass(SECOND);
    }
    assert_eq!(desk.noted("evidence=pane"), 0);
}

/// Its client writes no session file, or not yet.
#[test]
fn the_status_names_the_conversation_that_only_a_hook_has_told() {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.look();
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    assert_eq!(told_conversation(&mut desk, "ded"), None);
    let started = News::SessionStarted { source: "startup".to_owned() };
    let (at, pid) = (Wall(desk.wall_ms), Some(desk.agent("ded").process.pid));
    let (conversation, transcript) = (Some(id(7)), None);
    desk.send(Event::ReportsReceived(vec![Report {
        at,
        pid,
        conversation,
        transcript,
        news: started,
    }]));
    assert_eq!(told_conversation(&mut desk, "ded"), Some(id(7).to_string()));
}

/// What `/status` says after a look.
fn told_conversation(desk: &mut Desk, name: &str) -> Option<String> {
    desk.look();
    let wall = Wall(desk.wall_ms);
    let status = Snapshot::of(&desk.core, wall, desk.now()).status;
    let rows = status["sessions"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == name).expect("its row");
    assert!(row["agent"]["pid"].is_number(), "{row:#}");
    row["agent"]["conversation"].as_str().map(str::to_owned)
}
