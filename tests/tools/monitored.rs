//! What a swap by the built daemon leaves in `/metrics`, in `/events` and on the page.

use serde_json::Value;

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::{DEDICATED, Layout};
use crate::metrics::{assert_good, promtool, value};
use crate::page::browser::Browser;
use crate::page::{OVERFLOW_PX, await_text};

#[test]
fn a_swap_shows_in_the_metrics_the_events_and_the_page_of_the_daemon() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    fleet.exhaust("a", 2 * 3600);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    fleet.await_state("normal");

    let (code, text) = fleet.get_text("/metrics");
    assert_eq!(code, 200);
    assert_good("check metrics", &promtool(&["check", "metrics"], &text));
    for (sample, expected) in [
        (r#"claude_failover_swaps_total{outcome="done",trigger="refusal"}"#, 1.0),
        (r#"claude_failover_refusals_total{account="a",window="five_hour"}"#, 1.0),
        (r#"claude_failover_account_active{account="b"}"#, 1.0),
        (r#"claude_failover_moves_total{outcome="resumed"}"#, 3.0),
        (r#"claude_failover_swap_duration_seconds_bucket{le="+Inf"}"#, 1.0),
        ("claude_failover_healthy", 1.0),
        ("claude_failover_terminal_up", 1.0),
        ("claude_failover_config_last_reload_successful", 1.0),
    ] {
        assert!((value(&text, sample) - expected).abs() < 1e-9, "{sample}: {text}");
    }
    assert!(value(&text, "claude_failover_journal_records_total") > 10.0);
    assert!(value(&text, "claude_failover_journal_append_duration_seconds_sum") > 0.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "claude_failover_last_swap_timestamp_seconds") > 1e9);

    // Nothing on the page is what a script prints when a field is not what it takes it for.
    let mut browser = Browser::start();
    browser.look(390, "dark");
    browser.open(&format!("http://127.0.0.1:{}/", fleet.port));
    for text in ["Work runs on b", "a refused: 5-hour limit", "a → b", "3 resumed", "idle · on b"]
    {
        await_text(&mut browser, text);
    }
    let shown = browser.evaluate("document.body.innerText");
    for wrong in ["[object", "undefined", "NaN", "null", "unknown moment", "Invalid"] {
        assert!(!shown.as_str().unwrap().contains(wrong), "{wrong}: {shown}");
    }
    assert_eq!((browser.complaints(), browser.evaluate(OVERFLOW_PX)), (Vec::new(), 0.into()));
    drop(browser);

    // The same objects as `history --json`, over a restart, too.
    let told: Vec<Value> = fleet
        .done(&["history", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (code, events) = fleet.get("/events?limit=500");
    assert_eq!((code, &events["version"], &events["more"]), (200, &1.into(), &false.into()));
    assert_eq!(events["entries"].as_array().unwrap(), &told);
    let last = events["last_seq"].as_u64().unwrap();
    assert_eq!(fleet.get(&format!("/events?since={last}")).1["entries"], Value::Array(Vec::new()));
    fleet.kill_daemon();
    fleet.start();
    let entries = |events: &Value| events["entries"].as_array().unwrap().clone();
    let again = entries(&fleet.get("/events?limit=500").1);
    assert_eq!(again[..told.len()], told);
    let news = entries(&fleet.get(&format!("/events?since={last}")).1);
    assert_eq!((&news[0]["kind"], &news[0]["unclean"]), (&"start".into(), &true.into()));
    let (_, text) = fleet.get_text("/metrics");
    let swaps = value(&text, r#"claude_failover_swaps_total{outcome="done",trigger="refusal"}"#);
    assert!(swaps.abs() < 1e-9, "counted since the daemon's start");
    assert!(fleet.get_text("/").1.starts_with("<!doctype html>"));
    let (code, refused) = fleet.get_text("/events?limit=many");
    assert_eq!((code, refused.as_str()), (400, "limit is a number from 1 to 500\n"));
}
