//! `/metrics` as Prometheus takes it, the rules and the dashboard that are shipped for it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use claude_failover::moment::Wall;
use claude_failover::snapshot::Snapshot;
use claude_failover::snapshot::metrics::metrics;
use claude_failover::snapshot::tally::Tally;
use serde_json::Value;

use crate::page::scene::{Scene, snapshot};

/// What Prometheus makes itself, for every target.
const ITS_OWN: [&str; 1] = ["up"];

fn etc(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(path)
}

pub fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .current_dir(etc("prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: apt-get install prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
pub fn assert_good(what: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
}

/// Whatever has a moment only now and then has one here.
fn all_at_once() -> Snapshot {
    let scene = Scene { now: Wall(1_795_361_004_000) };
    let mut status = scene.parked();
    status["swap"]["open"] = scene.swapping()["swap"]["open"].clone();
    snapshot(status, scene.night())
}

/// The sample of one line of the format; its labels in the order in which they are written.
#[track_caller]
pub fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// Names of samples.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn prometheus_takes_every_family_and_finds_nothing_to_mend() {
    let text = metrics(&all_at_once()).into_string();
    assert_good("check metrics", &promtool(&["check", "metrics"], &text));
    // That it would have said so.
    let wrong = text.replace("claude_failover_parkings_total", "claude_failover_parkings");
    let refused = promtool(&["check", "metrics"], &wrong);
    assert!(!refused.status.success() && wrong != text);
}

#[test]
fn what_the_documents_say_is_what_is_gauged() {
    let snapshot = all_at_once();
    let text = metrics(&snapshot).into_string();
    for (sample, expected) in [
        (r#"claude_failover_state{state="parked"}"#, 1.0),
        (r#"claude_failover_state{state="normal"}"#, 0.0),
        (r#"claude_failover_account_active{account="backup"}"#, 1.0),
        (r#"claude_failover_account_state{account="primary",state="exhausted"}"#, 1.0),
        (r#"claude_failover_account_state{account="third",state="auth_failed"}"#, 1.0),
        (r#"claude_failover_account_until_timestamp_seconds{account="primary"}"#, 1_795_365_324.0),
        (r#"claude_failover_account_used_ratio{account="backup",window="five_hour"}"#, 0.782),
        (r#"claude_failover_account_used_timestamp_seconds{account="backup"}"#, 1_795_360_992.0),
        ("claude_failover_parked_until_timestamp_seconds", 1_795_365_324.0),
        (r#"claude_failover_sessions{group="dedicated",state="idle"}"#, 1.0),
        (r#"claude_failover_sessions{group="pool",state="waiting"}"#, 1.0),
        (r#"claude_failover_sessions{group="pool",state="missing"}"#, 1.0),
        (r#"claude_failover_tasks_waiting{state="ready"}"#, 12.0),
        (r#"claude_failover_tasks_in_hand{state="blocked"}"#, 1.0),
        ("claude_failover_linked_foreign_agents", 1.0),
        (r#"claude_failover_notifications_failing{channel="resend"}"#, 1.0),
        (r#"claude_failover_notifications_waiting{channel="resend"}"#, 2.0),
        (r#"claude_failover_notifications_failing{channel="telegram"}"#, 0.0),
        (r#"claude_failover_refusals_total{account="third",window="weekly"}"#, 0.0),
        (r#"claude_failover_swaps_total{outcome="done",trigger="refusal"}"#, 0.0),
    ] {
        assert!((value(&text, sample) - expected).abs() < 1e-6, "{sample}: {text}");
    }
    assert!(!text.contains("account_used_ratio{account=\"third\""), "nobody has said anything");
}

#[test]
fn a_window_that_has_been_reset_is_not_used_any_more_and_new_states_show() {
    let mut snapshot = all_at_once();
    let at = snapshot.status["at"].clone();
    snapshot.status["accounts"][1]["used"]["five_hour"]["resets_at"] = at;
    snapshot.health.state = "of a later version".to_owned();
    snapshot.figures.tally =
        Tally { parked_since: Some(Wall(1_795_361_000_000)), ..Tally::default() }.into();
    let text = metrics(&snapshot).into_string();
    assert!(!text.contains(r#"used_ratio{account="backup",window="five_hour"}"#));
    assert!(text.contains(r#"used_ratio{account="backup",window="weekly"}"#));
    assert!(
        (value(&text, r#"claude_failover_state{state="of a later version"}"#) - 1.0).abs() < 1e-9
    );
    assert!((value(&text, "claude_failover_parked_seconds_total") - 4.0).abs() < 1e-9);
}

/// Every word of an expression that is a name of ours or of the process's.
fn named(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("claude_failover_") || word.starts_with("process_"))
        .collect()
}

/// All texts of a document under one of these keys.
fn expressions<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => expressions(field, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, keys, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_rules_name_only_what_there_is() {
    let mut text = metrics(&all_at_once()).into_string();
    text += "process_start_time_seconds 1\nprocess_resident_memory_bytes 1\n\
        process_cpu_seconds_total 1\n";
    let there = names(&text);
    let dashboard = std::fs::read_to_string(etc("grafana/claude-failover.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let rules = std::fs::read_to_string(etc("prometheus/alerts.yaml")).unwrap();
    let mut used = Vec::new();
    expressions(&dashboard, &["expr", "definition", "query"], &mut used);
    used.extend(rules.lines().filter(|line| !line.trim_start().starts_with('#')));
    let used: BTreeSet<&str> = used.into_iter().flat_map(named).collect();
    let missing: Vec<_> = used.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(used.len() > 20, "{used:?}");
    assert!(!there.iter().any(|name| ITS_OWN.contains(name)));
}

#[test]
fn the_dashboard_can_be_imported_and_its_panels_do_not_overlap() {
    let dashboard = std::fs::read_to_string(etc("grafana/claude-failover.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource", "no data source of ours is written into it");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies over another");
            }
        }
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$__rate_interval", "5m").replace('$', "");
            let rule = format!(
                "groups: [{{name: g, rules: [{{record: r, expr: {}}}]}}]",
                serde_json::to_string(&expression).unwrap()
            );
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(rule.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            assert_good(&expression, &promtool(&["check", "rules", path], ""));
        }
    }
}

#[test]
fn the_rules_are_good_and_fire_when_they_should() {
    assert_good("check rules", &promtool(&["check", "rules", "alerts.yaml"], ""));
    assert_good("test rules", &promtool(&["test", "rules", "alerts.test.yaml"], ""));
}
