//! The labelled texts from public material: each with its verdict, its activity, and the rows that an
//! operator would be asked to report.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use claude_failover::quota::pane::read;
use claude_failover::quota::verdict::{Activity, Reading};
use expect_test::expect;

use crate::quota::{CONTEXT, kind, panes};

/// Texts that are judged unlike their label, and why. None of them is labelled `exhausted`, and
/// none is judged to be it.
const UNLIKE: [(&str, &str); 4] = [
    ("idle-005", "a logo alone: no composer, so its activity is unknown"),
    ("server_error-016", "the error is history: the model has answered after it"),
    ("server_error-018", "the user stopped the retries"),
    ("transient_429-018", "the terminal cut the row; its end alone says nothing of the kind"),
];

fn activity(reading: &Reading) -> String {
    match reading.activity {
        Activity::Unknown => "unknown".to_owned(),
        Activity::Idle => "idle".to_owned(),
        Activity::Busy => "busy".to_owned(),
        Activity::Dialog(dialog) => format!("{dialog:?}"),
    }
}

/// One row a pair, with how often it is there.
fn table(pairs: impl Iterator<Item = (String, String)>) -> String {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for pair in pairs {
        *counts.entry(pair).or_default() += 1;
    }
    let mut text = String::new();
    for ((label, what), count) in counts {
        writeln!(text, "{label:14} {what:13} {count:5}").unwrap();
    }
    print!("{text}");
    text
}

#[test]
fn the_corpus_is_read_as_labelled() {
    let verdicts = panes().into_iter().map(|pane| {
        let verdict = kind(&read(&pane.text, &CONTEXT));
        (pane.label, verdict)
    });
    expect![[r#"
        auth_error     auth_failed      11
        busy           clear             9
        conversation   clear            50
        dialog         clear             7
        exhausted      exhausted        64
        exhausted      spend_limit      12
        idle           clear             5
        menu           clear             3
        menu           exhausted         1
        other          clear            10
        other          exhausted         1
        other          model_limit       9
        other          spend_limit       1
        server_error   clear             2
        server_error   server_error     22
        transient_429  clear             1
        transient_429  throttled         9
        warning        warning          14
    "#]]
    .assert_eq(&table(verdicts));
}

#[test]
fn every_refusal_of_the_client_is_seen_and_nothing_else_is_one() {
    let not_scored = ["menu", "other"];
    for pane in panes() {
        let reading = read(&pane.text, &CONTEXT);
        let wanted = pane.label == "exhausted";
        if !not_scored.contains(&pane.label.as_str()) {
            assert_eq!(reading.verdict.is_exhaustion(), wanted, "{} {reading:?}", pane.id);
        }
        if wanted {
            assert_eq!(reading.reset_text.is_some(), pane.reset.is_some(), "{}", pane.id);
        }
    }
}

#[test]
fn every_text_that_is_judged_unlike_its_label_is_listed() {
    let mut unlike = Vec::new();
    for pane in panes() {
        let reading = read(&pane.text, &CONTEXT);
        let (verdict, activity) = (kind(&reading), activity(&reading));
        let as_labelled = match pane.label.as_str() {
            "exhausted" => reading.verdict.is_exhaustion(),
            "server_error" => verdict == "server_error",
            "transient_429" => verdict == "throttled",
            "warning" => verdict == "warning",
            "auth_error" => verdict == "auth_failed",
            "busy" => verdict == "clear" && activity == "busy",
            "idle" => verdict == "clear" && activity == "idle",
            "dialog" => verdict == "clear" && activity.starts_with(char::is_uppercase),
            "menu" => activity == "LimitMenu",
            "conversation" => verdict == "clear",
            _ => true,
        };
        if !as_labelled {
            unlike.push(pane.id);
        }
    }
    assert_eq!(unlike, UNLIKE.map(|(id, _)| id));
}

#[test]
fn activity_is_read_from_the_screen() {
    let shown = ["busy", "idle", "dialog", "menu"];
    let activities = panes().into_iter().filter_map(|pane| {
        let reading = read(&pane.text, &CONTEXT);
        shown.contains(&pane.label.as_str()).then(|| (pane.label, activity(&reading)))
    });
    expect![[r#"
        busy           busy              9
        dialog         Bypass            1
        dialog         Permission        6
        idle           idle              4
        idle           unknown           1
        menu           LimitMenu         4
    "#]]
    .assert_eq(&table(activities));
}

#[test]
fn nothing_in_the_corpus_is_reported_as_unknown() {
    let reported: Vec<String> = panes()
        .into_iter()
        .filter_map(|pane| {
            Some(format!("{}: {}", pane.id, read(&pane.text, &CONTEXT).unrecognised?))
        })
        .collect();
    assert_eq!(reported, Vec::<String>::new());
}
