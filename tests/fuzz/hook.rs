//! What the client says to the hooks, and what else it writes for others: each is read or passed over,
//! and a field that is strange costs nothing but itself.

use claude_failover::api::control::{REQUEST_BYTES_MAX, Request};
use claude_failover::cli::hook::line;
use claude_failover::guard::tool::Call;
use claude_failover::quota::{headless, report};
use claude_failover::watcher::session_file;
use serde_json::Value;

use crate::fuzz::target::guard::refused;
use crate::fuzz::target::{CONTEXT, NOW, hash};

const INPUTS: &str = include_str!("corpus/hooks.jsonl");

pub const WORDS: &[&str] = &[
    "{\"hook_event_name\":\"Stop\"}",
    "\"hook_event_name\":\"",
    "\"hook_event_name\":\"SessionStart\"",
    "\"hook_event_name\":\"UserPromptSubmit\"",
    "\"hook_event_name\":\"StopFailure\"",
    "\"hook_event_name\":\"SessionEnd\"",
    "\"hook_event_name\":\"Notification\"",
    "\"hook_event_name\":\"PreToolUse\"",
    "\"session_id\":\"82840528-5c4e-4114-8dc2-50dc43ea65c9\"",
    "\"transcript_path\":\"/a\"",
    "\"agent_id\":\"x\"",
    "\"last_assistant_message\":\"",
    "\"error\":\"rate_limit\"",
    "\"background_tasks\":[]",
    "\"session_crons\":4294967295",
    "\"rate_limits\":{\"five_hour\":{\"used_percentage\":",
    "\"resets_at\":1e300",
    "\"seven_day\":null",
    "\"tool_name\":\"Bash\"",
    "\"tool_name\":\"Write\"",
    "\"tool_input\":{\"command\":\"",
    "\"file_path\":\"/etc/passwd\"",
    "\"cwd\":\"/srv/p\"",
    "\"type\":\"result\"",
    "\"type\":\"assistant\"",
    "\"is_error\":true",
    "\"usage\":{\"output_tokens\":5}",
    "\"pid\":2147483648",
    "\"sessionId\":\"",
    "\"status\":\"waiting\"",
    "\"procStart\":\"7\"",
    "rm -rf /",
    "You've hit your 5-hour limit · resets 3pm",
    "\\ud83d",
    "\\ud83d\\ude00",
    "\\udcff",
    "\\u0000",
    "\\u001b[31m",
    "\u{1b}]0;x\u{7}",
    "1e999",
    "-1",
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    "\0",
];

pub fn corpus() -> Vec<Vec<u8>> {
    INPUTS.lines().map(|line| line.as_bytes().to_vec()).collect()
}

pub fn read(input: &[u8]) -> u64 {
    let told = headless::read(input, &CONTEXT).map(|told| hash(&std::mem::discriminant(&told)));
    let client = session_file::parse(input).map(|file| {
        assert!(file.cwd.as_ref().is_none_or(|cwd| cwd.is_absolute()), "{file:?}");
        (file.conversation.is_some(), hash(&std::mem::discriminant(&file.state)))
    });
    let call = Call::parse(input).map(|call| {
        assert!(call.cwd.starts_with('/'), "{call:?}");
        (call.is_judged(), refused(&call))
    });
    hash(&(told, client, call.ok(), passed_on(input)))
}

/// What the daemon, or the spool, is given of it.
fn passed_on(input: &[u8]) -> u64 {
    let Some(line) = line(input, NOW.0) else {
        assert!(!is_news(input), "a field has cost the report");
        return 0;
    };
    assert!(line.len() <= REQUEST_BYTES_MAX, "{} bytes", line.len());
    let text = line.strip_suffix(b"\n").expect("a line");
    assert!(!text.contains(&b'\n'));
    let request: Request = serde_json::from_slice(text).unwrap();
    let Request::Report { report } = request else { panic!("{request:?}") };
    assert!(report.is_news());
    let report = report.report(&CONTEXT).expect("a report");
    assert_eq!(report::parse(text, &CONTEXT).as_ref(), Some(&report), "by the spool");
    assert_eq!(report.at, NOW);
    if let Some(direct) = report::parse(input, &CONTEXT)
        && direct.news != report.news
    {
        // Only its texts may have been cut.
        let short = |news: &report::News| hash(&std::mem::discriminant(news));
        assert!(input.len() > 400 && short(&direct.news) == short(&report.news), "{direct:?}");
    }
    hash(&(std::mem::discriminant(&report.news), report.conversation.is_some()))
}

/// Whether it is an object that begins with the name of a hook whose report is awaited. Of a name that
/// stands there twice nobody knows which counts.
fn is_news(input: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(&whole(input)) else { return false };
    let once = |name: &str| whole(input).matches(&format!("\"{name}\"")).count() <= 1;
    let awaited = ["SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "SessionEnd"];
    let name = fields.get("hook_event_name").and_then(Value::as_str);
    name.is_some_and(|name| awaited.contains(&name))
        && !fields.contains_key("agent_id")
        && fields.keys().all(|name| once(name))
}

/// JSON without halves of surrogate pairs, and without bytes that are no text.
fn whole(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let text = text.replace("\\ud83d\\ude00", "x").replace("\\uD83D\\uDE00", "x");
    text.replace("\\ud", "\\u0").replace("\\uD", "\\u0")
}
