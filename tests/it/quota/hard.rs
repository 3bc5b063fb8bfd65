//! Cases made to be hard, in both directions and at widths from 40 to 250, and captures of the actual
//! client; each with the exact verdict, activity and row to report that is wanted.

use std::collections::BTreeMap;

use claude_failover::quota::fold::fold;
use claude_failover::quota::pane::read;
use claude_failover::quota::pattern::normal;
use claude_failover::quota::verdict::{Context, Reading};
use serde::Deserialize;
use serde_json::Value;

use crate::quota::{BANNER, CONTEXT, IDLE, kind, summary};

const HARD: &str = include_str!("../corpus/hard.jsonl");

#[derive(Deserialize)]
struct Case {
    id: String,
    label: String,
    /// The verdict, and its limit if it has one.
    verdict: String,
    /// As [`Reading`] is serialised.
    activity: Value,
    unrecognised: Option<String>,
    note: String,
    text: String,
}

fn cases() -> Vec<Case> {
    HARD.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The verdict without the moment of its reset.
fn verdict(reading: &Reading) -> String {
    summary(reading).split(" @").next().unwrap().to_owned()
}

#[test]
fn each_hard_case_is_read_exactly() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases() {
        let reading = read(&case.text, &CONTEXT);
        let got = (
            verdict(&reading),
            serde_json::to_value(reading.activity).unwrap(),
            reading.unrecognised.clone(),
        );
        if got != (case.verdict, case.activity, case.unrecognised) {
            wrong.push(format!("{} ({}): {got:?}\n{}", case.id, case.note, case.text));
        }
        *counts.entry(case.label).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(counts["exhausted"] >= 30 && counts["conversation"] >= 30, "{counts:?}");
}

#[test]
fn colours_change_nothing() {
    let coloured: Vec<Case> =
        cases().into_iter().filter(|case| case.text.contains('\u{1b}')).collect();
    assert!(coloured.len() >= 4);
    for case in coloured {
        let plain: Vec<_> = case.text.lines().map(|row| fold(row).text).collect();
        assert_eq!(read(&case.text, &CONTEXT), read(&plain.join("\n"), &CONTEXT), "{}", case.id);
    }
}

#[test]
fn a_phrase_of_the_operators_decides_where_no_known_form_does() {
    let patterns = [normal("Your usage is SPENT")];
    let context = Context { patterns: &patterns, ..CONTEXT };
    let row = "Your usage is spent · resets 4:24pm (UTC)";
    for (screen, expected) in [
        (format!("❯ go\n  ⎿  {row}\n{IDLE}"), "exhausted unnamed @2026-11-22T16:24:00Z"),
        (format!("❯ go\n  ⎿  Your usage is spent for the session\n{IDLE}"), "exhausted five_hour"),
        (format!("● Done.\n{IDLE}\n  ⚠ {row}"), "exhausted unnamed @2026-11-22T16:24:00Z"),
        (format!("● Bash(cat x)\n  ⎿  {row}\n{IDLE}"), "clear"),
        (format!("● It says: {row}\n{IDLE}"), "clear"),
        (format!("❯ {row}\n{IDLE}"), "clear"),
        (format!("  ⎿  {row}\n\n● Back at it.\n{IDLE}"), "clear"),
        (format!("{BANNER}{IDLE}"), "exhausted five_hour @2026-11-22T16:24:00Z"),
    ] {
        let reading = read(&screen, &context);
        assert_eq!(summary(&reading), expected, "{screen}\n{reading:?}");
        assert_eq!(reading.unrecognised, None, "{screen}");
        let is_known = screen.starts_with(BANNER);
        assert_eq!(reading.rule == "pattern", expected != "clear" && !is_known, "{screen}");
    }
    let reading = read(&format!("❯ go\n  ⎿  {row}\n{IDLE}"), &CONTEXT);
    assert_eq!((kind(&reading).as_str(), reading.unrecognised.as_deref()), ("clear", Some(row)));
}
