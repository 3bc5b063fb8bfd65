//! `claude-failover classify`: its lines, key by key, what it does with bad input, and that a batch
//! of any length takes no more memory than its longest line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use claude_failover::cli::classify::{Source, classify_lines, classify_text, lines};
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::Context;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::support::binary;

const NOW: &str = "2026-11-22T15:23:24Z";
/// The same.
const CONTEXT: Context<'_> = Context { now: Wall(1_795_361_004_000), zone: None, patterns: &[] };

const SCREEN: &str = "\
❯ one
  ⎿  You've hit your 5-hour limit · resets 2pm (UTC)

❯ build it
  ⎿ \u{a0}You’ve hit your 5-hour limit · resets 4:24pm (UTC)
     /upgrade to increase your usage limit.";

fn classify(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(binary())
        .arg("classify")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that has refused its arguments reads nothing.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

#[track_caller]
fn check(args: &[&str], input: &str, code: i32, stdout: &Expect, stderr: &Expect) {
    let output = classify(args, input.as_bytes());
    stdout.assert_eq(&String::from_utf8(output.stdout).unwrap());
    stderr.assert_eq(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_single_text_is_one_line_of_json() {
    check(
        &["--now", NOW],
        SCREEN,
        0,
        &expect![[r#"
        {"id":null,"verdict":"exhausted","swap":true,"limit":"five_hour","resets_at":"2026-11-22T16:24:00Z","rule":"hit_your_limit","row":"You've hit your 5-hour limit · resets 4:24pm (UTC)","reset_text":"resets 4:24pm (UTC)","activity":"unknown","armed":false,"unrecognised":null}
    "#]],
        &expect![""],
    );
    check(
        &["--pane", "--now", NOW, "--zone", "asia/tokyo"],
        "  ⎿  You've hit your weekly limit · resets Mon 1:30am",
        0,
        &expect![[r#"
            {"id":null,"verdict":"exhausted","swap":true,"limit":"weekly","resets_at":"2026-11-22T16:30:00Z","rule":"hit_your_limit","row":"You've hit your weekly limit · resets Mon 1:30am","reset_text":"resets Mon 1:30am","activity":"unknown","armed":false,"unrecognised":null}
        "#]],
        &expect![""],
    );
    check(
        &["--now", "2026-11-22T16:23:24+01:00"],
        "",
        0,
        &expect![[r#"
        {"id":null,"verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":"","reset_text":null,"activity":"unknown","armed":false,"unrecognised":null}
    "#]],
        &expect![""],
    );
}

#[test]
fn a_line_of_a_batch_has_exactly_its_seven_keys() {
    let texts = [
        ("\"a\"", "  ⎿  You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)"),
        ("7", "You've hit your session limit · resets 9am (Asia/Tokyo)"),
        (
            "{\"k\":[1,null]}",
            "Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5).",
        ),
        (
            "null",
            "You've hit your monthly spend limit · raise it at https://x/y · your 5-hour limit resets 4:25pm (UTC)",
        ),
        ("true", "  ⎿  You're out of usage credits"),
        ("\"w\"", "You've used 91% of your 5-hour limit · resets 2:25pm (UTC)"),
        (
            "\"t\"",
            "● API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited",
        ),
        ("\"s\"", "● API Error: 529 Overloaded. This is a server-side issue"),
        ("\"l\"", "● Login expired · Please run /login"),
        ("\"m\"", "  ⎿  You've hit your Opus limit · resets 3:45pm"),
        ("\"c\"", "● You've hit your limit is what the banner says."),
    ];
    let mut input = String::from("{\"text\":\"\"}\n\n \r\n{\"text\":\"\",\"more\":1}\r\n");
    for (id, text) in texts {
        let text = serde_json::to_string(text).unwrap();
        input.push_str(&format!("{{\"id\":{id},\"text\":{text}}}\n"));
    }
    check(
        &["--jsonl", "--now", NOW],
        input.trim_end(),
        0,
        &expect![[r#"
        {"id":null,"verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
        {"id":null,"verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
        {"id":"a","verdict":"exhausted","swap":true,"limit":"weekly","resets_at":"2026-11-25T13:24:00Z","rule":"hit_your_limit","row":"You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)"}
        {"id":7,"verdict":"exhausted","swap":true,"limit":"five_hour","resets_at":"2026-11-23T00:00:00Z","rule":"hit_your_limit","row":"You've hit your session limit · resets 9am (Asia/Tokyo)"}
        {"id":{"k":[1,null]},"verdict":"exhausted","swap":true,"limit":"unnamed","resets_at":"2026-11-22T18:00:00Z","rule":"limit_reached","row":"Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5)."}
        {"id":null,"verdict":"spend_limit","swap":true,"limit":null,"resets_at":"2026-11-22T16:25:00Z","rule":"hit_your_limit","row":"You've hit your monthly spend limit · raise it at https://x/y · your 5-hour limit resets 4:25pm (UTC)"}
        {"id":true,"verdict":"spend_limit","swap":true,"limit":null,"resets_at":null,"rule":"credits_spent","row":"You're out of usage credits"}
        {"id":"w","verdict":"warning","swap":false,"limit":null,"resets_at":null,"rule":"warning","row":"You've used 91% of your 5-hour limit · resets 2:25pm (UTC)"}
        {"id":"t","verdict":"throttled","swap":false,"limit":null,"resets_at":null,"rule":"throttle","row":"API Error: Server is temporarily limiting requests (not your usage limit) · Rate limited"}
        {"id":"s","verdict":"server_error","swap":false,"limit":null,"resets_at":null,"rule":"api_error","row":"API Error: 529 Overloaded. This is a server-side issue"}
        {"id":"l","verdict":"auth_failed","swap":false,"limit":null,"resets_at":null,"rule":"login","row":"Login expired · Please run /login"}
        {"id":"m","verdict":"model_limit","swap":false,"limit":null,"resets_at":null,"rule":"model_limit","row":"You've hit your Opus limit · resets 3:45pm"}
        {"id":"c","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
    "#]],
        &expect![""],
    );
}

#[test]
fn a_bad_line_is_named_and_the_others_go_on() {
    let input = "{\"id\":1,\"text\":\"\"}\n{\n\n{\"id\":2}\n{\"id\":3,\"text\":4}\n[]\nnull\n{\"id\":5,\"text\":\"Login expired · Please run /login\"}\n{\"id\":6,\"te";
    check(
        &["--jsonl", "--now", NOW],
        input,
        1,
        &expect![[r#"
        {"id":1,"verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
        {"id":5,"verdict":"auth_failed","swap":false,"limit":null,"resets_at":null,"rule":"login","row":"Login expired · Please run /login"}
    "#]],
        &expect![[r#"
            claude-failover: line 2: want an object with a string "text": EOF while parsing an object at column 1
            claude-failover: line 4: want an object with a string "text": missing field `text` at column 8
            claude-failover: line 5: want an object with a string "text": invalid type: integer `4`, expected a string at column 16
            claude-failover: line 6: want an object with a string "text": invalid length 0, expected struct Input with 2 elements at column 2
            claude-failover: line 7: want an object with a string "text": invalid type: null, expected struct Input at column 4
            claude-failover: line 9: want an object with a string "text": EOF while parsing a string at column 11
            claude-failover: could not read 6 of 8 lines, first line 2: want an object with a string "text": EOF while parsing an object at column 1
        "#]],
    );
    // The functions say the same without the program.
    let mut output = Vec::new();
    let error = classify_lines(input.as_bytes(), &mut output, &CONTEXT).unwrap_err();
    assert_eq!(output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 2);
    assert!(format!("{error:#}").contains("first line 2: "), "{error:#}");
    // A complaint that nobody takes ends nothing.
    let mut output = Vec::new();
    let full: &mut [u8] = &mut [];
    lines(Source::Pane, input.as_bytes(), &mut output, full, &CONTEXT).unwrap_err();
    assert_eq!(output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 2);
}

#[test]
fn bytes_that_are_no_text_are_read_all_the_same() {
    let banner = "You've hit your limit · resets 4:24pm (UTC)";
    // Half a surrogate pair, as other languages write a byte that is no UTF-8; and such a byte.
    let escaped =
        format!("{{\"id\":\"\\ud83d\\ude00\",\"text\":\"\\udcff \\ud800\\n  ⎿  {banner}\"}}\n");
    let raw =
        [b"{\"text\":\"\xff\xfe\\n  \xe2\x8e\xbf  ".to_vec(), banner.into(), b"\"}\n".to_vec()];
    let mut output = Vec::new();
    let input = [escaped.into_bytes(), raw.concat()].concat();
    classify_lines(&input[..], &mut output, &CONTEXT).unwrap();
    expect![[r#"
        {"id":"😀","verdict":"exhausted","swap":true,"limit":"unnamed","resets_at":"2026-11-22T16:24:00Z","rule":"hit_your_limit","row":"You've hit your limit · resets 4:24pm (UTC)"}
        {"id":null,"verdict":"exhausted","swap":true,"limit":"unnamed","resets_at":"2026-11-22T16:24:00Z","rule":"hit_your_limit","row":"You've hit your limit · resets 4:24pm (UTC)"}
    "#]].assert_eq(&String::from_utf8(output).unwrap());

    let mut output = Vec::new();
    let text = [b"\xff\xff\n  \xe2\x8e\xbf  ".to_vec(), banner.into()].concat();
    classify_text(&text[..], &mut output, &CONTEXT).unwrap();
    assert!(String::from_utf8(output).unwrap().contains("\"verdict\":\"exhausted\""));
}

#[test]
fn usage_errors_are_64_and_name_the_remedy() {
    for (args, word) in [
        (&["--now", "yesterday"][..], "2026-11-22T15:23:24Z"),
        (&["--zone", "Mars/Olympus"], "Europe/Paris"),
        (&["--zone", "GMT+2"], "Europe/Paris"),
        (&["--pane", "--report"], "--report"),
        (&["--transcript", "--report"], "--transcript"),
        (&["--explain", "--jsonl"], "--explain"),
        (&["file.txt"], "file.txt"),
    ] {
        let output = classify(args, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn it_explains_itself_in_words() {
    check(
        &["--explain", "--now", NOW],
        SCREEN,
        0,
        &expect![[r#"
            verdict       exhausted (the 5-hour limit): as deciding evidence it ends in a failover
            rule          hit_your_limit
            row           You've hit your 5-hour limit · resets 4:24pm (UTC)
            reset         2026-11-22T16:24:00Z (in 1 h 0 min) from "resets 4:24pm (UTC)": the next such time after 2026-11-22T15:23:24Z in UTC, which it names
            activity      the screen does not tell
            left out      row 2: would be exhausted alone, but is not the client's last word: You've hit your 5-hour limit · resets 2pm (UTC)
        "#]],
        &expect![""],
    );
    let without_zone = "  ⎿  You've hit your weekly limit · resets Dec 25, 1am";
    check(
        &["--explain", "--now", NOW, "--zone", "Europe/Paris"],
        without_zone,
        0,
        &expect![[r#"
            verdict       exhausted (the weekly limit): as deciding evidence it ends in a failover
            rule          hit_your_limit
            row           You've hit your weekly limit · resets Dec 25, 1am
            reset         refused: "resets Dec 25, 1am", the nearest such date in Europe/Paris, as --zone says, names an unknown zone or no day of the calendar, or lies more than eight days away
            activity      the screen does not tell
            left out      nothing
        "#]],
        &expect![""],
    );
    check(
        &["--explain", "--now", NOW],
        "● Done.",
        0,
        &expect![[r#"
        verdict       clear: no failover
        rule          none
        row           none
        reset         none named
        activity      the screen does not tell
        left out      nothing
    "#]],
        &expect![""],
    );
}

const ID: &str = "d54b98d3-77a4-49a8-88c9-8c587077685c";

/// A record of a conversation file at this time of day.
fn record(kind: &str, clock: &str, more: &Value) -> String {
    let mut record = json!({
        "type": kind, "uuid": ID, "isSidechain": false, "timestamp": format!("2026-11-22T{clock}Z"),
        "message": {"role": kind, "model": "claude-opus-5-5", "content": "hello"},
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record.to_string()
}

fn error(clock: &str, text: &str) -> String {
    let message = json!({"model": "<synthetic>", "content": [{"type": "text", "text": text}]});
    let fields = json!({"isApiErrorMessage": true, "error": "rate_limit", "message": message});
    record("assistant", clock, &fields)
}

fn conversation() -> String {
    let none = json!({});
    [
        record("user", "09:00:00", &none),
        error("09:00:01", "You've hit your session limit · resets 10am (UTC)"),
        record("user", "12:00:00", &none),
        record("assistant", "12:00:05", &none),
        record("user", "13:00:00", &none),
        error("13:00:01", "You've hit your session limit · resets 5pm (UTC)"),
        "{\"half a".to_owned(),
    ]
    .join("\n")
}

#[test]
fn of_a_conversation_the_end_is_judged() {
    check(
        &["--transcript", "--now", NOW],
        &conversation(),
        0,
        &expect![[r#"
        {"id":null,"verdict":"exhausted","swap":true,"limit":"five_hour","resets_at":"2026-11-22T17:00:00Z","rule":"record_text","row":"You've hit your session limit · resets 5pm (UTC)","reset_text":"resets 5pm (UTC)","activity":"unknown","armed":false,"unrecognised":null}
    "#]],
        &expect![""],
    );
    check(
        &["--transcript", "--explain", "--now", NOW],
        &conversation(),
        0,
        &expect![[r#"
            verdict       exhausted (the 5-hour limit): as deciding evidence it ends in a failover
            rule          record_text
            row           You've hit your session limit · resets 5pm (UTC)
            reset         2026-11-22T17:00:00Z (in 1 h 36 min) from "resets 5pm (UTC)": the next such time after 2026-11-22T13:00:01Z in UTC, which it names
            left out      line 2: exhausted at 2026-11-22T09:00:01Z, before the model answered again: You've hit your session limit · resets 10am (UTC)
        "#]],
        &expect![""],
    );
    let answered = format!("{}\n{}", conversation(), record("assistant", "18:00:00", &json!({})));
    let lines = [
        json!({"id": "refused", "text": conversation()}),
        json!({"id": "answered", "text": answered}),
        json!({"id": "a screen", "text": SCREEN}),
        json!({"id": "nothing", "text": ""}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    check(
        &["--transcript", "--jsonl", "--now", NOW],
        &lines.join("\n"),
        0,
        &expect![[r#"
            {"id":"refused","verdict":"exhausted","swap":true,"limit":"five_hour","resets_at":"2026-11-22T17:00:00Z","rule":"record_text","row":"You've hit your session limit · resets 5pm (UTC)"}
            {"id":"answered","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
            {"id":"a screen","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
            {"id":"nothing","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
        "#]],
        &expect![""],
    );
}

#[test]
fn a_report_is_judged_as_the_client_gives_it_and_as_we_send_it() {
    let refused = "You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)";
    let failure = |error: &str, text: &str| {
        json!({
            "hook_event_name": "StopFailure", "session_id": ID, "cwd": "/w", "error": error,
            "transcript_path": "/h/projects/-w/x.jsonl", "last_assistant_message": text,
        })
    };
    let throttled = "API Error: Server is temporarily limiting requests (not your usage limit)";
    let ours = json!({"verb": "report", "report": failure("rate_limit", refused)});
    let in_rows = serde_json::to_string_pretty(&failure("rate_limit", refused)).unwrap();
    let lines: Vec<String> = [
        ("client", in_rows),
        ("ours", ours.to_string()),
        ("throttled", failure("rate_limit", throttled).to_string()),
        ("server", failure("server_error", "API Error: 500").to_string()),
        (
            "ended",
            json!({"hook_event_name": "Stop", "last_assistant_message": refused}).to_string(),
        ),
        ("unasked", json!({"hook_event_name": "PreToolUse"}).to_string()),
        ("none", "[1]".to_owned()),
    ]
    .into_iter()
    .map(|(id, text)| json!({"id": id, "text": text}).to_string())
    .collect();
    check(
        &["--report", "--jsonl", "--now", NOW],
        &lines.join("\n"),
        1,
        &expect![[r#"
        {"id":"client","verdict":"exhausted","swap":true,"limit":"weekly","resets_at":"2026-11-25T13:24:00Z","rule":"hook_text","row":"You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)"}
        {"id":"ours","verdict":"exhausted","swap":true,"limit":"weekly","resets_at":"2026-11-25T13:24:00Z","rule":"hook_text","row":"You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)"}
        {"id":"throttled","verdict":"throttled","swap":false,"limit":null,"resets_at":null,"rule":"hook_text","row":"API Error: Server is temporarily limiting requests (not your usage limit)"}
        {"id":"server","verdict":"server_error","swap":false,"limit":null,"resets_at":null,"rule":"hook_error","row":"API Error: 500"}
        {"id":"ended","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
        {"id":"unasked","verdict":"clear","swap":false,"limit":null,"resets_at":null,"rule":"none","row":""}
    "#]],
        &expect![[r#"
            claude-failover: line 7: want the report of a hook, one JSON object: invalid type: sequence, expected a map at line 1 column 0
            claude-failover: could not read 1 of 7 lines, first line 7: want the report of a hook, one JSON object: invalid type: sequence, expected a map at line 1 column 0
        "#]],
    );
    check(
        &["--report", "--now", NOW],
        &ours.to_string(),
        0,
        &expect![[r#"
        {"id":null,"verdict":"exhausted","swap":true,"limit":"weekly","resets_at":"2026-11-25T13:24:00Z","rule":"hook_text","row":"You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)","reset_text":"resets Nov 25, 1:24pm (UTC)","activity":"unknown","armed":false,"unrecognised":null}
    "#]],
        &expect![""],
    );
    check(
        &["--report", "--explain", "--now", NOW],
        &ours.to_string(),
        0,
        &expect![[r#"
            verdict       exhausted (the weekly limit): as deciding evidence it ends in a failover
            rule          hook_text
            row           You've hit your weekly limit · resets Nov 25, 1:24pm (UTC)
            reset         2026-11-25T13:24:00Z (in 2 d 22 h) from "resets Nov 25, 1:24pm (UTC)": the nearest such date in UTC, which it names
            left out      nothing
        "#]],
        &expect![""],
    );
    check(
        &["--report", "--now", NOW],
        SCREEN,
        1,
        &expect![""],
        &expect![[r#"
        claude-failover: want the report of a hook, one JSON object: expected value at line 1 column 1
    "#]],
    );
}

/// Bytes that go through, and what may stay of them: the program itself takes some 10 MB.
const BATCH_BYTES: usize = 100 << 20;
const MEMORY_KB_MAX: u64 = 40 << 10;

#[test]
fn a_hundred_megabytes_go_through_in_little_memory() {
    let row = "     Compiling a-crate v1.2.3 (/srv/projects/a-crate) with a rather long path\n";
    let screen = format!("{}{SCREEN}", row.repeat(1 << 13));
    let line = format!("{{\"id\":0,\"text\":{}}}\n", serde_json::to_string(&screen).unwrap());
    let count = BATCH_BYTES / line.len() + 1;
    let mut child = Command::new(binary())
        .args(["classify", "--jsonl", "--now", NOW])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut peak_kb = 0;
    for _ in 0..count {
        // An answer before the next question: nothing waits for the end of the input.
        stdin.write_all(line.as_bytes()).unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.contains("\"resets_at\":\"2026-11-22T16:24:00Z\""), "{answer}");
        peak_kb = peak_of(child.id());
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    println!("{count} lines of {} bytes in {peak_kb} kB", line.len());
    assert!((1_000..MEMORY_KB_MAX).contains(&peak_kb), "{peak_kb} kB");
}

/// The most memory that a living process has had, in kB.
fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
