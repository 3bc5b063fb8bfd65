//! The JSON of a hook or a status line → a report.

use claude_failover::moment::Wall;
use claude_failover::quota::report::{Figures, News, Report, Window, parse};
use claude_failover::quota::verdict::{Context, LimitKind, Reading, Verdict};
use serde_json::{Value, json};

const ID: &str = "d54b98d3-77a4-49a8-88c9-8c587077685c";
const NOW: Wall = Wall(1_795_372_600_000);
/// 2026-11-22T18:35:35Z
const AT: Wall = Wall(1_795_372_535_903);
/// 2026-11-22T21:35:00Z
const RESET: Wall = Wall(1_795_383_300_000);

fn context() -> Context<'static> {
    Context { now: NOW, zone: None, patterns: &[] }
}

fn sent(report: &Value) -> Option<Report> {
    parse(json!({"verb": "report", "report": report}).to_string().as_bytes(), &context())
}

/// A hook's JSON with the fields that all of them have.
fn hook(event: &str, more: &Value) -> Value {
    let mut report = json!({
        "at": AT.0, "pid": 4711, "hook_event_name": event, "session_id": ID,
        "transcript_path": "/h/projects/-w/x.jsonl", "cwd": "/w", "prompt_id": "p",
    });
    let more = more.as_object().unwrap().clone();
    report.as_object_mut().unwrap().extend(more);
    report
}

fn news(event: &str, more: &Value) -> News {
    sent(&hook(event, more)).unwrap().news
}

#[track_caller]
fn failed(error: &str, text: &str) -> Reading {
    let more = json!({"error": error, "last_assistant_message": text});
    match news("StopFailure", &more) {
        News::TurnFailed { error: told, reading } => {
            assert_eq!(told, error);
            reading
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_hook_becomes_its_news() {
    let started = |source: &str| News::SessionStarted { source: source.to_owned() };
    let ended = |background| News::TurnEnded { last_text: "ok".to_owned(), background };
    for (event, more, expected) in [
        ("SessionStart", json!({"source": "startup"}), started("startup")),
        ("SessionStart", json!({"source": 5}), started("")),
        ("UserPromptSubmit", json!({"prompt": "a secret plan"}), News::PromptSubmitted),
        ("Stop", json!({"last_assistant_message": "ok"}), ended(None)),
        (
            "Stop",
            json!({"last_assistant_message": "ok", "background_tasks": [], "session_crons": []}),
            ended(Some(0)),
        ),
        (
            "Stop",
            json!({
                "last_assistant_message": "ok",
                "background_tasks": [{"id": "b1", "type": "shell"}, {"id": "b2"}],
                "session_crons": [{"id": "c1"}],
            }),
            ended(Some(3)),
        ),
        ("Stop", json!({"last_assistant_message": "ok", "background_tasks": 2}), ended(Some(2))),
        ("SessionEnd", json!({"reason": "other"}), News::SessionEnded { reason: "other".into() }),
        (
            "Notification",
            json!({"notification_type": "idle_prompt", "message": "Claude waits"}),
            News::Notified { kind: "idle_prompt".to_owned() },
        ),
    ] {
        let report = sent(&hook(event, &more)).unwrap();
        assert_eq!(report.at, AT);
        assert_eq!(report.pid, Some(4711));
        assert_eq!(report.conversation, Some(ID.parse().unwrap()));
        assert_eq!(report.transcript, Some("/h/projects/-w/x.jsonl".into()));
        assert_eq!(report.news, expected, "{event} {more}");
    }
}

#[test]
fn a_failed_turn_is_judged_by_its_text_where_the_error_tells_too_little() {
    let exhausted = |limit| Verdict::Exhausted { limit, resets_at: Some(RESET) };
    let banner = "You've hit your 5-hour limit · resets 9:35pm (UTC)";
    let throttle = "API Error: Server is temporarily limiting requests (not your usage limit)";
    for (error, text, verdict, rule) in [
        ("rate_limit", banner, exhausted(LimitKind::FiveHour), "hook_text"),
        (
            "rate_limit",
            "You’ve hit your\u{a0}weekly limit · resets 9:35pm (UTC)",
            exhausted(LimitKind::Weekly),
            "hook_text",
        ),
        ("rate_limit", throttle, Verdict::Throttled, "hook_text"),
        ("rate_limit", "API Error: Request rejected (429) · x", Verdict::Throttled, "hook_text"),
        ("rate_limit", "You've hit your Opus limit · resets 4pm", Verdict::ModelLimit, "hook_text"),
        (
            "rate_limit",
            "You've hit your monthly spend limit · raise it at https://claude.ai/settings/usage \
             · your 5-hour limit resets 9:35pm (UTC)",
            Verdict::SpendLimit { resets_at: Some(RESET) },
            "hook_text",
        ),
        ("rate_limit", "", Verdict::Throttled, "hook_error"),
        (
            "billing_error",
            "You're out of usage credits",
            Verdict::SpendLimit { resets_at: None },
            "hook_text",
        ),
        (
            "billing_error",
            "Credit balance too low · Add funds: https://x",
            Verdict::AuthFailed,
            "hook_text",
        ),
        ("server_error", "API Error: 500 Internal", Verdict::ServerError, "hook_error"),
        ("server_error", banner, Verdict::ServerError, "hook_error"),
        ("overloaded", "API Error: 529 Overloaded.", Verdict::ServerError, "hook_error"),
        ("authentication_failed", "Login expired · x", Verdict::AuthFailed, "hook_error"),
        ("oauth_org_not_allowed", "Claude Code can't", Verdict::AuthFailed, "hook_error"),
        ("invalid_request", "Prompt is too long", Verdict::Clear, "none"),
        ("unknown", banner, exhausted(LimitKind::FiveHour), "hook_text"),
        ("invalid_request", banner, exhausted(LimitKind::FiveHour), "hook_text"),
        ("", banner, exhausted(LimitKind::FiveHour), "hook_text"),
        ("unknown", "Something new", Verdict::Clear, "none"),
        ("max_output_tokens", banner, Verdict::Clear, "none"),
        (
            "rate_limit",
            "\u{200b}You\u{2bc}ve hit your weekly limit\u{2009}· resets 9:35pm (UTC)",
            exhausted(LimitKind::Weekly),
            "hook_text",
        ),
    ] {
        let reading = failed(error, text);
        assert_eq!(reading.verdict, verdict, "{error}: {text}");
        assert_eq!(reading.rule, rule, "{error}: {text}");
        assert_eq!(reading.unrecognised, None, "{error}: {text}");
    }
}

#[test]
fn a_reading_carries_what_decided() {
    let reading =
        failed("rate_limit", "\nYou’ve hit your 5-hour limit · resets 9:35pm (UTC)\nmore");
    assert_eq!(reading.row, "You've hit your 5-hour limit · resets 9:35pm (UTC)");
    assert_eq!(reading.reset_text.as_deref(), Some("resets 9:35pm (UTC)"));
    let reading = failed("rate_limit", "Your crew has met its limit for now");
    assert_eq!(reading.verdict, Verdict::Throttled);
    assert_eq!(reading.unrecognised.as_deref(), Some("Your crew has met its limit for now"));
    let reading = failed("billing_error", "Something about money");
    assert_eq!((reading.verdict, reading.rule.as_str()), (Verdict::Clear, "hook_error"));
    assert_eq!(reading.unrecognised.as_deref(), Some("Something about money"));
}

#[test]
fn the_operators_patterns_count_at_the_beginning() {
    let patterns = ["your crew has met".to_owned()];
    let context = Context { patterns: &patterns, ..context() };
    for (text, expected) in
        [("Your crew has met its limit", true), ("I say your crew has met its limit", false)]
    {
        let more = json!({"error": "rate_limit", "last_assistant_message": text});
        let report = hook("StopFailure", &more).to_string();
        let Some(Report { news: News::TurnFailed { reading, .. }, .. }) =
            parse(report.as_bytes(), &context)
        else {
            panic!("no failed turn");
        };
        assert_eq!(reading.verdict.is_exhaustion(), expected, "{text}");
    }
}

/// A report that lay in the spool for a day speaks of the day before.
#[test]
fn a_reset_counts_from_the_moment_of_the_hook() {
    let late = Wall(AT.0 + 86_400_000);
    let more = json!({"error": "rate_limit",
        "last_assistant_message": "You've hit your 5-hour limit · resets 9:35pm (UTC)"});
    let report = parse(
        hook("StopFailure", &more).to_string().as_bytes(),
        &Context { now: late, ..context() },
    );
    let report = report.unwrap();
    assert_eq!(report.at, AT);
    let News::TurnFailed { reading, .. } = report.news else { panic!("no failed turn") };
    assert_eq!(reading.verdict.resets_at(), Some(RESET));
}

#[test]
fn a_report_is_never_from_the_future() {
    let mut report = hook("Stop", &json!({}));
    report["at"] = json!(NOW.0 + 1);
    assert_eq!(sent(&report).unwrap().at, NOW);
    report["at"] = Value::Null;
    assert_eq!(sent(&report).unwrap().at, NOW);
}

#[test]
fn the_figures_of_the_status_line_may_be_whole_or_broken_or_absent() {
    let window = |used_permille, at: Option<i64>| {
        Some(Window { used_permille, resets_at: at.map(|at| Wall(at * 1000)) })
    };
    let at = Some(1_795_383_334);
    for (limits, five_hour, weekly) in [
        (
            json!({"five_hour": {"used_percentage": 30, "resets_at": 1_795_383_334},
                "seven_day": {"used_percentage": 20.25, "resets_at": 1_795_383_334}}),
            window(300, at),
            window(203, at),
        ),
        (
            json!({"five_hour": {"used_percentage": 107.5, "resets_at": 1_795_383_334.0}}),
            window(1000, at),
            None,
        ),
        (json!({"seven_day": {"used_percentage": -1}}), None, window(0, None)),
        (json!({"five_hour": {"resets_at": 5}, "seven_day": null}), None, None),
        (json!({"five_hour": "full", "seven_day": {"used_percentage": "20"}}), None, None),
        (json!({}), None, None),
    ] {
        let report = json!({"at": AT.0, "session_id": ID, "rate_limits": limits});
        let report = sent(&report).unwrap();
        assert_eq!(report.news, News::Figures(Figures { five_hour, weekly }), "{limits}");
    }
    assert_eq!(sent(&json!({"session_id": ID, "model": {}})), None, "before the first answer");
}

/// At `debug` every event is in the log.
#[test]
fn what_a_model_said_is_not_in_the_log() {
    let more = json!({"last_assistant_message": "the plan is secret", "prompt": "secret too"});
    for event in ["Stop", "UserPromptSubmit"] {
        let report = sent(&hook(event, &more)).unwrap();
        assert!(!format!("{report:?}").contains("secret"), "{report:?}");
    }
}

#[test]
fn what_says_nothing_to_us_is_no_report() {
    for report in [
        hook("PreToolUse", &json!({"tool_name": "Bash"})),
        hook("Stop", &json!({"agent_id": "a1"})),
        json!({"hook_event_name": 5}),
        json!({}),
        json!([]),
        json!("Stop"),
    ] {
        assert_eq!(sent(&report), None, "{report}");
    }
    for line in [&b""[..], b"{", b"\xff\xfe", b"null", b"{\"report\":null}"] {
        assert_eq!(parse(line, &context()), None);
    }
}

#[test]
fn the_clients_own_json_reads_as_a_report_of_now() {
    let line = format!(
        r#"{{"session_id":"{ID}","transcript_path":"/t.jsonl","cwd":"/w","effort":{{"level":"medium"}},
        "hook_event_name":"StopFailure","error":"rate_limit",
        "last_assistant_message":"You've hit your 5-hour limit · resets 9:35pm (UTC)"}}"#
    );
    let report = parse(line.as_bytes(), &context()).unwrap();
    assert_eq!((report.at, report.pid), (NOW, None));
    assert!(
        matches!(report.news, News::TurnFailed { reading, .. } if reading.verdict.is_exhaustion())
    );
}

/// A field of another type than today's costs itself alone.
#[test]
fn odd_fields_do_not_cost_the_report() {
    for odd in [json!(null), json!(5), json!(["x"]), json!({"a": 1}), json!(true)] {
        let report = json!({
            "at": odd, "pid": odd, "hook_event_name": "StopFailure", "session_id": odd,
            "transcript_path": odd, "cwd": odd, "prompt_id": odd, "error": "server_error",
            "error_details": odd, "last_assistant_message": odd, "background_tasks": odd,
            "rate_limits": odd, "source": odd, "message": odd,
        });
        let told = sent(&report).unwrap();
        assert!(matches!(told.news, News::TurnFailed { .. }), "{told:?}");
    }
}
