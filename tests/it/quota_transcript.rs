//! The reader of conversation files: records of every era, lines that only look like one, and lines
//! that are meant to hurt.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use claude_failover::moment::Wall;
use claude_failover::quota::transcript::{Ending, Entry, entry, read};
use claude_failover::quota::verdict::{Context, LimitKind, Reading, Verdict};

/// Long after every record here, so that an anchor at the reader's moment would show.
const CONTEXT: Context<'_> = Context { now: Wall(1_900_000_000_000), zone: None, patterns: &[] };

const STAMP: &str =
    r#""uuid":"00000000-0000-4000-8000-000000000001","timestamp":"2026-11-22T15:23:24.858Z","#;
/// The same moment.
const AT: Wall = Wall(1_795_361_004_858);

/// An error as clients record it: the fields that tell eras apart, and the text.
fn record(fields: &str, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(
        r#"{{"parentUuid":null,"isSidechain":false,"type":"assistant",{STAMP}"message":{{"id":"m","model":"<synthetic>","role":"assistant","type":"message","usage":{{"input_tokens":0}},"content":[{{"type":"text","text":{text}}}]}},{fields}"isApiErrorMessage":true,"userType":"external","cwd":"/srv/work","version":"9.9.9"}}"#
    )
}

fn user(content: &str, fields: &str) -> String {
    format!(
        r#"{{"isSidechain":false,{fields}"type":"user",{STAMP}"message":{{"role":"user","content":{content}}}}}"#
    )
}

fn answer(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(
        r#"{{"isSidechain":false,"message":{{"model":"claude-opus-5-5","content":[{{"type":"text","text":{text}}}]}},"type":"assistant",{STAMP}"x":1}}"#
    )
}

/// The fields by which the newest client says which limit was hit.
fn limited(info: &str) -> String {
    format!(
        r#""apiError":"usage_limit_reached","apiErrorParams":{{"rate_limit_info":{{"status":"rejected",{info}"overageStatus":"rejected","isUsingOverage":false}}}},"error":"rate_limit","apiErrorStatus":429,"apiErrorType":"rate_limit_error","#
    )
}

fn of(line: &str) -> Option<Entry> {
    entry(line.as_bytes(), &CONTEXT)
}

#[track_caller]
fn reading(line: &str) -> Reading {
    match of(line) {
        Some(Entry::Error(error)) => {
            assert_eq!(error.at, AT);
            assert_eq!(error.record, "00000000-0000-4000-8000-000000000001");
            error.reading
        }
        other => panic!("no error: {other:?} in {line}"),
    }
}

/// `exhausted five_hour @2026-11-22T16:24:00Z`
fn summary(reading: &Reading) -> String {
    let verdict = serde_json::to_value(&reading.verdict).unwrap();
    let mut text = verdict["kind"].as_str().unwrap().to_owned();
    if let Some(limit) = verdict["limit"].as_str() {
        write!(text, " {limit}").unwrap();
    }
    if let Some(at) = reading.verdict.resets_at() {
        write!(text, " @{at}").unwrap();
    }
    text
}

#[track_caller]
fn check(rows: &[(&str, &str, &str)]) {
    for (fields, text, expected) in rows {
        let reading = reading(&record(fields, text));
        let seen = format!("{} by {}", summary(&reading), reading.rule);
        assert_eq!(seen, *expected, "{fields} {text}");
        assert_eq!(reading.row.is_empty(), text.is_empty());
    }
}

#[test]
fn the_newest_client_names_the_limit_and_its_reset() {
    let at = r#""resetsAt":1795364667,"#;
    let of = |kind: &str| limited(&format!(r#"{at}"rateLimitType":"{kind}","#));
    check(&[
        (
            &of("five_hour"),
            "You've hit your 5-hour limit · resets 4:24pm (UTC)",
            "exhausted five_hour @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &of("seven_day"),
            "You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)",
            "exhausted weekly @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        // The limit of paid usage stands in the text, the window and its end in the fields.
        (
            &of("five_hour"),
            "You've hit your monthly spend limit · raise it at https://claude.ai/settings/usage · your 5-hour limit resets 4:25pm (UTC)",
            "spend_limit @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &of("five_hour"),
            "You've hit your 5-hour limit · resets 4:25pm (UTC) · out of usage credits",
            "exhausted five_hour @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        // Nothing of the plan is refused, whatever window is named.
        (
            &of("five_hour"),
            "You've hit your fast limit · resets in 2h",
            "warning by usage_limit_reached",
        ),
        (
            &of("five_hour"),
            "5-hour limit reached · resets 3pm · now using extra usage",
            "warning by usage_limit_reached",
        ),
        (
            &of("seven_day"),
            "Opus 4.1 limit reached, now using Sonnet 4.5",
            "model_limit by usage_limit_reached",
        ),
        (&of("five_hour_opus"), "A new saying", "model_limit by usage_limit_reached"),
        (&of("five_hour"), "", "exhausted five_hour @2026-11-22T16:24:27Z by usage_limit_reached"),
        (
            &limited(at),
            "You've hit your limit · resets 4:24pm (UTC)",
            "exhausted unnamed @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &limited(r#""rateLimitType":null,"#),
            "You've hit your limit · resets 4:24pm (UTC)",
            "exhausted unnamed @2026-11-22T16:24:00Z by usage_limit_reached",
        ),
        (&limited(""), "You're out of usage credits", "spend_limit by usage_limit_reached"),
        (&of("seven_day_opus"), "You've hit your Opus limit", "model_limit by usage_limit_reached"),
        (&of("seven_day_sonnet"), "Sonnet limit", "model_limit by usage_limit_reached"),
        (
            &of("seven_day_overage_included"),
            "You've hit your Fable limit · resets 4:24pm (UTC)",
            "model_limit by usage_limit_reached",
        ),
        (&of("seven_day_saga"), "A new saying", "model_limit by usage_limit_reached"),
        (
            &of("overage"),
            "You've hit your monthly spend limit · raise it at claude.ai/settings/usage",
            "spend_limit @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &of("overage"),
            "A new saying about a limit",
            "spend_limit @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &of("fortnight"),
            "You've hit your weekly limit",
            "exhausted weekly @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
        (
            &of("fortnight"),
            "You've hit your Opus limit · resets 3pm",
            "model_limit by usage_limit_reached",
        ),
        (
            &of("fortnight"),
            "A new saying about a limit",
            "exhausted unnamed @2026-11-22T16:24:27Z by usage_limit_reached",
        ),
    ]);
}

#[test]
fn resets_that_cannot_be_are_left_out() {
    for (resets_at, expected) in [
        ("1795364667", "2026-11-22T16:24:27Z"),
        ("1795364667.5", "2026-11-22T16:24:27Z"),
        ("1795364667000", "2026-11-22T16:24:27Z"),
        // From here on the text's own.
        ("1895364667", "2026-11-22T17:00:00Z"),
        ("-1", "2026-11-22T17:00:00Z"),
        ("\"soon\"", "2026-11-22T17:00:00Z"),
        ("{\"a\":[1]}", "2026-11-22T17:00:00Z"),
        ("1e300", "2026-11-22T17:00:00Z"),
        ("18446744073709551615", "2026-11-22T17:00:00Z"),
    ] {
        let fields = limited(&format!(r#""rateLimitType":"five_hour","resetsAt":{resets_at},"#));
        let line = record(&fields, "You've hit your 5-hour limit · resets 5pm (UTC)");
        let reading = reading(&line);
        assert_eq!(reading.verdict.resets_at().unwrap().to_string(), expected, "{resets_at}");
        assert_eq!(reading.reset_text.as_deref(), Some("resets 5pm (UTC)"));
    }
}

#[test]
fn without_a_name_the_text_tells_a_limit_from_a_throttle() {
    const E429: &str = r#""error":"rate_limit","apiErrorStatus":429,"#;
    const E1: &str = r#""error":"rate_limit","#;
    check(&[
        (
            E429,
            "API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited",
            "throttled by record_text",
        ),
        (
            E429,
            "API Error: Request rejected (429) · You've hit your limit · resets 5pm",
            "throttled by record_text",
        ),
        (E1, "API Error: Rate limit reached", "throttled by record_text"),
        (
            E429,
            "You\u{2019}ve hit your session\u{a0}limit · resets 5:04pm (UTC)",
            "exhausted five_hour @2026-11-22T17:04:00Z by record_text",
        ),
        (
            E1,
            "\u{2060}You\u{2bc}ve hit your weekly\u{200b} limit · resets 5:04pm (UTC)",
            "exhausted weekly @2026-11-22T17:04:00Z by record_text",
        ),
        (
            E1,
            "You've hit your usage limit for Claude Max. Your limit will reset at 5pm (UTC).",
            "exhausted unnamed @2026-11-22T17:00:00Z by record_text",
        ),
        (
            E1,
            "You've hit your limit · resets Nov 23 at 6pm (America/Los_Angeles)",
            "exhausted unnamed @2026-11-24T02:00:00Z by record_text",
        ),
        (
            E1,
            "You've hit your weekly limit · resets Mon 12:00am",
            "exhausted weekly @2026-11-23T00:00:00Z by record_text",
        ),
        (
            E1,
            "You're out of extra usage · resets 5pm (UTC)",
            "spend_limit @2026-11-22T17:00:00Z by record_text",
        ),
        (E1, "You've hit your Opus limit · resets 3:45pm", "model_limit by record_text"),
        (E1, "You've hit your fast limit · resets in 2h", "warning by record_text"),
        (E1, "Words that nobody knows", "throttled by rate_limit"),
        (E1, "", "throttled by rate_limit"),
        // 1.0.x: nothing but the mark.
        (
            "",
            "Session limit reached ∙ resets 5:12pm",
            "exhausted five_hour @2026-11-22T17:12:00Z by record_text",
        ),
        (
            "",
            "Weekly limit reached ∙ resets Nov 24, 9:45pm",
            "exhausted weekly @2026-11-24T21:45:00Z by record_text",
        ),
        (
            "",
            "5-hour limit reached ∙ resets 5pm\n     /upgrade to increase your usage limit.",
            "exhausted five_hour @2026-11-22T17:00:00Z by record_text",
        ),
        (
            "",
            "Claude AI usage limit reached|1795364667",
            "exhausted unnamed @2026-11-22T16:24:27Z by record_text",
        ),
        (
            "",
            "Claude usage limit reached. Your limit will reset at Nov 24, 9:45pm.\n\n • /upgrade to increase your usage limit.",
            "exhausted unnamed @2026-11-24T21:45:00Z by record_text",
        ),
        (
            "",
            "Spending cap reached resets 5:10pm",
            "spend_limit @2026-11-22T17:10:00Z by record_text",
        ),
        ("", "API Error: 500 {\"type\":\"error\"}", "server_error by record_text"),
        ("", "Prompt is too long", "clear by record_text"),
    ]);
}

#[test]
fn every_other_error_ends_where_it_belongs() {
    let error = |name: &str| format!(r#""error":"{name}","apiErrorStatus":400,"#);
    let banner = "You've hit your limit · resets 5pm";
    check(&[
        (
            &error("server_error"),
            "API Error: 500 Internal server error.",
            "server_error by server_error",
        ),
        (&error("overloaded"), "API Error: 529 Overloaded.", "server_error by overloaded"),
        (&error("server_error"), banner, "server_error by server_error"),
        (
            &error("authentication_failed"),
            "Login expired · Please run /login",
            "auth_failed by authentication_failed",
        ),
        (
            &error("oauth_org_not_allowed"),
            "Claude Code can't use your Claude subscription",
            "auth_failed by oauth_org_not_allowed",
        ),
        (
            &error("billing_error"),
            "Credit balance too low · Add funds: https://platform.claude.com/settings/billing",
            "auth_failed by record_text",
        ),
        (
            &error("billing_error"),
            "You've hit your monthly spend limit · raise it at claude.ai/settings/usage",
            "spend_limit by record_text",
        ),
        (&error("billing_error"), "You're out of usage credits", "spend_limit by record_text"),
        (
            &error("billing_error"),
            "Your org is out of usage · add funds to continue",
            "spend_limit by record_text",
        ),
        (&error("billing_error"), "Words that nobody knows", "clear by billing_error"),
        (&error("invalid_request"), "Prompt is too long · Esc twice", "clear by invalid_request"),
        (&error("unknown"), "API Error: 400 messages: empty", "clear by unknown"),
        (
            &error("unknown"),
            "API Error: 400 This organization has been disabled.",
            "auth_failed by record_text",
        ),
        (
            &error("unknown"),
            "Unable to connect to API (ECONNREFUSED)",
            "server_error by record_text",
        ),
        (&error("model_not_found"), "There's an issue with the model", "clear by model_not_found"),
        (
            &error("max_output_tokens"),
            "API Error: Claude's response exceeded",
            "server_error by record_text",
        ),
        (r#""error":{"status":429},"#, "Prompt is too long", "clear by record_text"),
    ]);
}

#[test]
fn a_text_is_read_in_the_moment_and_the_zone_of_its_record() {
    let line = record("", "5-hour limit reached ∙ resets 1am");
    let tokyo = Context { zone: Some("Asia/Tokyo"), ..CONTEXT };
    let Some(Entry::Error(error)) = entry(line.as_bytes(), &tokyo) else { panic!("{line}") };
    assert_eq!(error.reading.verdict.resets_at().unwrap().to_string(), "2026-11-22T16:00:00Z");
}

#[test]
fn wordings_of_the_operator_count_and_unknown_ones_are_told() {
    let patterns = ["the well is dry".to_owned()];
    let context = Context { patterns: &patterns, ..CONTEXT };
    for (fields, swaps) in
        [("", true), (r#""error":"rate_limit","#, true), (r#""error":"server_error","#, false)]
    {
        let line = record(fields, "The well is dry · resets 5pm");
        let Some(Entry::Error(error)) = entry(line.as_bytes(), &context) else { panic!("{line}") };
        assert_eq!(error.reading.verdict.is_exhaustion(), swaps, "{fields}");
        assert!(!reading(&line).verdict.is_exhaustion(), "not without the pattern");
    }
    let unknown = reading(&record(r#""error":"rate_limit","#, "A new limit\nof a new kind"));
    assert_eq!(unknown.verdict, Verdict::Throttled);
    assert_eq!(unknown.unrecognised.as_deref(), Some("A new limit of a new kind"));
    let known = reading(&record("", "Session limit reached ∙ resets 5:12pm"));
    assert_eq!(known.unrecognised, None);
}

#[test]
fn what_the_model_says_is_an_answer_however_it_begins() {
    let banner = "You've hit your session limit · resets 3pm (UTC)";
    assert_eq!(of(&answer(banner)), Some(Entry::Answer { at: AT }));
    let quoted = answer(&record("", banner));
    assert_eq!(of(&quoted), Some(Entry::Answer { at: AT }));
    for flag in ["false", "null", "\"true\"", "1", "[true]"] {
        let line = record("", banner)
            .replace("\"isApiErrorMessage\":true", &format!("\"isApiErrorMessage\":{flag}"))
            .replace("<synthetic>", "claude-opus-5-5");
        assert_eq!(of(&line), Some(Entry::Answer { at: AT }), "{flag}");
    }
    let filler = answer("No response requested.").replace("claude-opus-5-5", "<synthetic>");
    assert_eq!(of(&filler), None, "no model has spoken");
}

#[test]
fn prompts_are_what_the_user_typed() {
    let prompt = Some(Entry::Prompt { at: AT });
    let text = |text: &str| format!(r#"[{{"type":"text","text":{}}}]"#, serde_json::json!(text));
    for (content, fields, expected) in [
        ("\"go on\"", "", &prompt),
        (&text("go on"), "", &prompt),
        (
            r#"[{"type":"image","source":{"data":"AAAA"}},{"type":"text","text":"see"}]"#,
            "",
            &prompt,
        ),
        ("\"You've hit your limit\"", r#""promptSource":"typed","#, &prompt),
        (r#""half \ud83d of a pair""#, "", &prompt),
        ("\"<pasted_content id='1'>x</pasted_content>\"", "", &prompt),
        ("\"go on\"", r#""isMeta":true,"#, &None),
        ("\"go on\"", r#""isMeta":true,"origin":{"kind":"auto-continuation"},"#, &prompt),
        ("\"go on\"", r#""isMeta":true,"origin":{"kind":"hook"},"#, &None),
        ("\"go on\"", r#""isMeta":true,"origin":"auto-continuation","#, &None),
        ("\"go on\"", r#""isCompactSummary":true,"#, &None),
        ("\"  \"", "", &None),
        ("[]", "", &None),
        (r#"[{"type":"tool_result","tool_use_id":"t","content":"x"}]"#, "", &None),
        (
            r#"[{"type":"tool_result","content":[{"type":"text","text":"x"}]},{"type":"text","text":"y"}]"#,
            "",
            &None,
        ),
        ("\"<command-name>/clear</command-name>\"", "", &None),
        ("\"<command-message>x</command-message>\"", "", &None),
        ("\"<local-command-stdout>x\"", "", &None),
        ("\"<bash-input>ls</bash-input>\"", "", &None),
        (&text("<task-notification>x"), "", &None),
        (&text("[Request interrupted by user]"), "", &None),
    ] {
        assert_eq!(of(&user(content, fields)), *expected, "{content} {fields}");
    }
}

#[test]
fn lines_that_are_no_records_of_the_main_chain_say_nothing() {
    let error = record("", "Session limit reached ∙ resets 5:12pm");
    let with = |from: &str, to: &str| {
        assert!(error.contains(from));
        error.replacen(from, to, 1)
    };
    for line in [
        with("\"isSidechain\":false", "\"isSidechain\":true"),
        with("\"isSidechain\":false", "\"isSidechain\":\"yes\""),
        with("\"type\":\"assistant\"", "\"type\":\"progress\""),
        with("\"type\":\"assistant\"", "\"type\":\"system\",\"subtype\":\"api_error\""),
        with("\"type\":\"assistant\"", "\"type\":7"),
        with("2026-11-22T15:23:24.858Z", "yesterday"),
        with("\"timestamp\":\"2026-11-22T15:23:24.858Z\",", ""),
        with("\"timestamp\":\"2026-11-22T15:23:24.858Z\"", "\"timestamp\":1795361004858"),
        user(&serde_json::to_string(&error).unwrap(), r#""isMeta":true,"#),
        format!(
            r#"{{"type":"api-request-blob","timestamp":"2026-11-22T15:23:24Z","message":{error}}}"#
        ),
        format!(
            r#"{{"type":"queue-operation","content":{error},"timestamp":"2026-11-22T15:23:24Z"}}"#
        ),
        format!("[{error}]"),
        format!("{error}{error}"),
        r#"{"type":"mode","mode":"normal"}"#.to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        assert_eq!(of(&line), None, "{line}");
    }
    // Older clients know no sidechain, and the order of fields is nobody's promise.
    assert!(of(&with("\"isSidechain\":false,", "")).is_some());
    assert!(of(&with("\"isSidechain\":false", "\"isSidechain\":null")).is_some());
    assert!(of(&with("{\"parentUuid\"", "{ \"parentUuid\" ")).is_some());
}

#[test]
fn the_end_of_a_file_decides() {
    let limit = record("", "Session limit reached ∙ resets 5:12pm");
    let throttle = record(r#""error":"rate_limit","#, "API Error: Rate limit reached");
    let too_long = record(r#""error":"invalid_request","#, "Prompt is too long");
    let (said, asked) = (answer("done"), user("\"go on\"", ""));
    let noise = r#"{"type":"system","subtype":"turn_duration"}"#;
    for (lines, expected) in [
        (vec![&*asked, &limit], "exhausted five_hour @2026-11-22T17:12:00Z"),
        (vec![&*limit, &asked, noise], "exhausted five_hour @2026-11-22T17:12:00Z"),
        (vec![&*limit, &asked, &said], "clear"),
        (vec![&*limit, &throttle], "throttled"),
        (vec![&*limit, &asked, &too_long], "clear"),
        (
            vec![&*throttle, "{broken", &limit, "{\"type\":"],
            "exhausted five_hour @2026-11-22T17:12:00Z",
        ),
        (vec![noise], "clear"),
        (vec![], "clear"),
    ] {
        let reading = read(lines.join("\n").as_bytes(), &CONTEXT);
        assert_eq!(summary(&reading), expected, "{lines:?}");
        let crlf = read((lines.join("\r\n") + "\r\n").as_bytes(), &CONTEXT);
        assert_eq!(crlf, reading);
        let mut ending = Ending::default();
        lines.iter().filter_map(|line| of(line)).for_each(|entry| ending.take(entry));
        let error = ending.error.map_or(Reading::clear(), |error| error.reading);
        assert_eq!(error, reading, "line by line or as a whole");
    }
}

#[test]
fn no_cut_and_no_change_of_a_line_does_harm() {
    let whole = record(
        &limited(r#""resetsAt":1795364667,"rateLimitType":"five_hour","#),
        "You've hit your 5-hour limit · resets 4:24pm (UTC)",
    );
    let sound = of(&whole);
    let bytes = whole.as_bytes();
    for end in 0..bytes.len() {
        assert_eq!(entry(&bytes[..end], &CONTEXT), None, "cut at {end}");
    }
    let mut seed = 7_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap()
    };
    let mut read_as_before = 0;
    for _ in 0..50_000 {
        let mut line = bytes.to_vec();
        for _ in 0..=random() % 3 {
            let at = random() % line.len().max(1);
            if line.is_empty() {
                break;
            }
            match random() % 4 {
                0 => line[at] = u8::try_from(random() % 256).unwrap(),
                1 => drop(line.remove(at)),
                2 => line.insert(at, b"\"{}[]:,\\n0\xff"[random() % 11]),
                _ => line.truncate(at.max(1)),
            }
        }
        read_as_before += usize::from(entry(&line, &CONTEXT) == sound);
        let reading = read(&line, &CONTEXT);
        assert!(reading.row.chars().count() <= 600);
    }
    assert!(read_as_before > 1000, "{read_as_before}");
}

#[test]
fn monstrous_lines_are_read_in_bounded_time_and_kept_to_a_bound() {
    let banner = "Session limit reached ∙ resets 5:12pm";
    let long = "x".repeat(8 << 20);
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let deep_objects = "{\"a\":".repeat(1 << 18) + "1" + &"}".repeat(1 << 18);
    let many = format!("[{}0]", "{\"type\":\"text\"},".repeat(1 << 17));
    let began = Instant::now();
    for filler in [format!("\"{long}\""), deep, deep_objects, many] {
        for name in ["toolUseResult", "error", "apiErrorParams", "uuid"] {
            let line = record(&format!("\"{name}\":{filler},"), banner);
            // A second `uuid` costs the line, and no more than that.
            let Some(Entry::Error(error)) = of(&line) else {
                assert_eq!(name, "uuid");
                continue;
            };
            let expected = Verdict::Exhausted {
                limit: LimitKind::FiveHour,
                resets_at: error.reading.verdict.resets_at(),
            };
            assert_eq!(error.reading.verdict, expected, "{name}");
            assert!(error.reading.rule.len() <= 256);
        }
    }
    let text = reading(&record("", &format!("{banner} {long}")));
    assert!(text.row.chars().count() <= 600);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
