//! Records that are not there any more, and text that is not meant well.

use claude_failover::cli::history::line;
use claude_failover::core::durable::Durable;
use claude_failover::core::history::entry::Entry;
use claude_failover::core::history::fold;
use claude_failover::core::record::{MoveOutcome, Record};
use claude_failover::core::standing::PlanWindow;
use claude_failover::core::trigger::{EvidenceSource, Trigger};
use claude_failover::ids::OpId;
use claude_failover::moment::Wall;
use expect_test::expect;

use super::script::{Script, account, at, by_refusal, session};

const HOUR_MS: i64 = 3_600_000;

/// A night with something of everything that goes on for a while.
pub fn night() -> Script {
    let name = |name: &str| account(name);
    let parked = |now| Record::Parked {
        at: now,
        until: Some(at(HOUR_MS)),
        reasons: vec![(account("primary"), "exhausted".to_owned())],
    };
    let reset =
        |at| Record::LimitReset { account: account("primary"), window: PlanWindow::FiveHour, at };
    Script::new()
        .started(0)
        .now(0, |at| Record::AccountHeld { account: name("backup"), at })
        .now(0, |at| Record::AccountPinned { account: name("primary"), at })
        .refused(1_000, "primary", PlanWindow::FiveHour, HOUR_MS)
        .refused(1_000, "primary", PlanWindow::Weekly, HOUR_MS / 2)
        .now(10, parked)
        .started(500)
        .now(HOUR_MS / 2, |at| Record::LimitReset {
            account: name("primary"),
            window: PlanWindow::Weekly,
            at,
        })
        .now(HOUR_MS / 2, reset)
        .now(10, |at| Record::AccountProven { account: name("primary"), session: None, at })
        .whole_swap(1, "primary", "primary", Trigger::AccountReturned)
        .now(0, |at| Record::AccountReleased { account: name("primary"), at })
        .now(0, |at| Record::AccountReleased { account: name("backup"), at })
        .ended(9_000, "ccl-1", MoveOutcome::Blocked { reason: "trust dialog".to_owned() })
        .whole_swap(2, "primary", "backup", by_refusal())
        .then(0, Record::CleanStop)
        .started(1_000)
        .planned(3, "backup", "primary", Trigger::Operator)
        .aborting(3, "the agents could not be looked at")
        .stuck(3, "the link could not be flipped back")
}

fn numberless(entries: &[Entry]) -> Vec<String> {
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        entry.seq = 0;
    }
    entries.iter().map(line::json).collect()
}

/// The state before record `place`, as a compaction there would have left it.
fn compacted(script: &Script, place: usize) -> Record {
    let mut state = Durable::default();
    for (_, record) in &script.records[..place] {
        state.apply(record).unwrap();
    }
    Record::Compacted { state: Box::new(state) }
}

#[test]
fn a_compaction_anywhere_is_nothing_that_happened() {
    let script = night();
    let expected = numberless(&script.entries());
    for place in 0..=script.records.len() {
        let mut with = script.clone();
        let moment = script.records[place.saturating_sub(1)].0;
        with.records.insert(place, (moment, compacted(&script, place)));
        assert_eq!(numberless(&with.entries()), expected, "before record {place}");
    }
}

#[test]
fn fewer_records_are_the_beginning_of_the_same_history() {
    let script = night();
    let kinds = |entries: &[Entry]| -> Vec<_> {
        entries.iter().map(|entry| (entry.seq, entry.at, entry.kind().word())).collect()
    };
    let whole = kinds(&script.entries());
    for count in 0..=script.records.len() {
        let some = fold(script.numbered().take(count));
        assert!(whole.starts_with(&kinds(&some)), "the first {count}");
    }
    // Whatever is missing at the beginning or in the middle, nothing panics and all is told.
    for first in 0..script.records.len() {
        for end in first..script.records.len() {
            let entries =
                fold(script.numbered().enumerate().filter_map(|(place, record)| {
                    (place < first || place > end).then_some(record)
                }));
            assert!(entries.iter().map(line::text).all(|text| text.lines().count() <= 2));
        }
    }
}

#[test]
fn what_began_before_the_oldest_record_is_told_by_its_end() {
    let script = night();
    let starts = |(_, record): &(Wall, Record)| matches!(record, Record::DaemonStarted { .. });
    let flips = |(_, record): &(Wall, Record)| matches!(record, Record::SwapFlipped { .. });
    let in_the_parking = 3 + script.records[3..].iter().position(starts).unwrap();
    let in_the_second_swap = script.records.iter().rposition(flips).unwrap();
    let told = |place: usize| {
        let mut rest = script.clone();
        rest.records.splice(..place, [(script.records[place].0, compacted(&script, place))]);
        rest.entries().iter().take(6).map(line::text).collect::<String>()
    };
    expect![[r#"
                2026-11-26 03:00:02Z parked 60 min, woken by swap 1
                2026-11-26 03:00:02Z daemon started 0.1.0 pid 4242
                    not stopped cleanly before · 0.0 s after the last record
                2026-11-26 03:30:02Z reset primary weekly still out otherwise
                2026-11-26 04:00:02Z reset primary five_hour proven after 0.0 s by a request
                2026-11-26 04:00:02Z swap 1 on primary done 2.7 s (2 resumed, 1 blocked)
                    primary came back
                2026-11-26 04:00:05Z released primary by the operator (pin)
            "#]]
    .assert_eq(&told(in_the_parking));
    expect![[r#"
                2026-11-26 04:00:14Z swap 2 primary → backup done 2.7 s (2 resumed, 1 left)
                    refused: "You've hit your 5-hour limit · resets 4am"
                2026-11-26 04:00:17Z daemon stopped
                2026-11-26 04:00:18Z daemon started 0.1.0 pid 4242
                2026-11-26 04:00:18Z swap 3 backup → primary stuck
                    stuck: the link could not be flipped back
            "#]]
    .assert_eq(&told(in_the_second_swap));
}

#[test]
fn what_ended_in_records_that_are_missing_goes_on_no_longer() {
    let script = night();
    let begun = script.records.iter().rposition(|(_, r)| r.name() == "swap_relaunched").unwrap();
    let later = script.records.iter().position(|(_, r)| *r == Record::CleanStop).unwrap();
    let mut gap = script.clone();
    gap.records.splice(begun..later, [(script.records[later].0, compacted(&script, later))]);
    let told = |script: &Script, op| {
        let entries = script.entries();
        entries.iter().map(line::text).find(|text| text.contains(&format!(" swap {op} "))).unwrap()
    };
    expect![[r#"
        2026-11-26 04:00:14Z swap 2 primary → backup done 2.7 s
            (1 resumed, 1 left, 1 unknown)
    "#]]
    .assert_eq(&told(&gap, 2));

    // With nothing that tells of it, another swap does.
    let mut blind = Script::new().planned(1, "primary", "backup", Trigger::Operator);
    let next = Script::new().planned(2, "backup", "primary", Trigger::Operator);
    blind.records.push(next.records[1].clone());
    expect![[r#"
        2026-11-26 03:00:00Z swap 1 primary → backup end unknown · by the operator
    "#]]
    .assert_eq(&told(&blind, 1));
}

/// Rows come from screens, reasons from other programs.
#[test]
fn nothing_reaches_a_terminal_that_it_could_take_for_an_order() {
    let hostile = "a\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}b\u{7f}\0 \u{1b}[2J".repeat(40);
    let op = OpId(1);
    let trigger = || Trigger::Refusal {
        session: session("ccl-auto-11"),
        row: hostile.clone(),
        evidence: EvidenceSource::Pane,
    };
    let script = Script::new()
        .now(0, |at| Record::LoginFailed { account: account("a"), reason: hostile.clone(), at })
        .now(0, |at| Record::AccountRejected {
            account: account("a"),
            reason: hostile.clone(),
            until: Wall(i64::MAX),
            at,
        })
        .now(0, |at| Record::Parked {
            at,
            until: None,
            reasons: vec![(account("a"), hostile.clone())],
        })
        .planned(1, "primary", "backup", trigger())
        .checked(1)
        .saved(1, "backup", &["ccl-1"], false)
        .ended(0, "ccl-1", MoveOutcome::Failed { reason: hostile.clone() })
        .aborting(1, &hostile)
        .then(0, Record::SwapStuck { op, reason: hostile.clone() })
        .then(0, Record::DaemonStarted { version: hostile.clone(), pid: -1 });
    for entry in script.entries() {
        let (text, json) = (line::text(&entry), line::json(&entry));
        for shown in [&text, &json] {
            let lines = shown.strip_suffix('\n').unwrap().replace('\n', " ");
            assert!(lines.chars().all(claude_failover::harmless::is_plain), "{shown:?}");
        }
        assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value, serde_json::to_value(&entry).unwrap(), "JSON says all of it");
        assert!(text.lines().count() <= 2, "{text}");
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn the_reasons_of_many_accounts_share_one_line() {
    for count in [1_usize, 2, 7, 40, 200] {
        let reason = |n| (account(&format!("a{n}")), "held by the operator".repeat(n % 9));
        let reasons = (0..count).map(reason).collect();
        let script = Script::new().now(0, |at| Record::Parked { at, until: None, reasons });
        let text = script.text();
        assert!(text.lines().count() <= 2, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
