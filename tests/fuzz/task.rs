//! Bytes as a task's file: what it says, and the result that is added to it and taken away again.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use claude_failover::harmless::{self, is_plain};
use claude_failover::ids::{TaskId, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::task::front_matter::{self, is_there, with_result, without_result};
use claude_failover::task::prompt::{self, Facts, Template};
use claude_failover::task::{TaskResult, TaskSpec};
use claude_failover::terminal::encode::{PASTE_BYTES_MAX, PasteLine};
use claude_failover::yaml::print::quoted;
use claude_failover::yaml::{Limits, Node, parse};

use crate::fuzz::target::{hash, words_of};

/// One file each, between lines of `===`.
const FILES: &str = include_str!("corpus/tasks.md");
const WHY_CHARS_MAX: usize = 500;
const TITLE_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 1_000;
const LAST_TEXT_CHARS_MAX: usize = 2_000;

pub const WORDS: &[&str] = &[
    "---\n",
    "---\r\n",
    "---",
    "--- \n",
    "...\n",
    "\u{feff}",
    "title: x\n",
    "title: |\n",
    "title: >-\n",
    "  more\n",
    "title: \"open\n",
    "priority: critical\n",
    "tags: [a, b]\n",
    "needs_claude_code: false\n",
    "model: opus\n",
    "depends_on: [a:t-1]\n",
    "timeout: 30m\n",
    "attempts: 3\n",
    "not_before: 2027-01-31T18:00:00+01:00\n",
    "result: mine\n",
    "result:\n",
    "  outcome: done\n",
    "  reason: \"signal\"\n",
    "  finished: \"2026-11-22T15:24:24Z\"\n",
    "  attempts: 1\n",
    "\"result\": 5\n",
    "# claude-failover: from here to the line of its end, added by it\n",
    "# claude-failover: added above the file as it was\n",
    "# claude-failover: end\n",
    "{a: b}\n",
    "[a]\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "!tag ",
    "? ",
    ": ",
    "- ",
    " #",
    "%YAML 1.1\n",
    "\t",
    "\r",
    "\r\n",
    "\0",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{1b}[31m",
    "\\u202e",
    "\\x1b[2J",
    "\\n",
    "9999-12-31T23:59:59Z",
    "-9999-01-01T00:00:00Z",
    "99999999999999999999999999999999999999999",
    "{title}",
    "{path}",
];

pub fn corpus() -> Vec<Vec<u8>> {
    FILES.split("===\n").map(|text| text.as_bytes().to_vec()).collect()
}

pub fn read(input: &[u8]) -> u64 {
    let id: TaskId = "t-1".parse().unwrap();
    let said = front_matter::read(&id, input);
    match &said {
        Ok(spec) => good(spec),
        Err(why) => plain(why, WHY_CHARS_MAX),
    }
    assert!(is_there(input) || said.is_ok(), "a file without front matter is good");
    let before = result(input, &said);
    told(input, &said);
    let kind = match &said {
        Ok(spec) => hash(&(
            spec.priority,
            (spec.tags.len().min(2), spec.depends_on.len().min(2), spec.unknown_keys.len().min(2)),
            (spec.model.is_some(), spec.timeout.is_some(), spec.not_before.is_some()),
            (spec.needs_claude_code, spec.attempts == 3, spec.title == "t-1"),
        )),
        Err(why) => hash(&words_of(why)),
    };
    hash(&(is_there(input), before, kind))
}

fn good(spec: &TaskSpec) {
    assert!(!spec.title.is_empty());
    plain(&spec.title, TITLE_CHARS_MAX);
    for text in spec.tags.iter().chain(&spec.unknown_keys) {
        plain(text, 64);
    }
    assert!(spec.tags.len() <= 32 && spec.unknown_keys.len() <= 32 && spec.depends_on.len() <= 64);
    assert!((1..=100).contains(&spec.attempts));
    if let Some(model) = &spec.model {
        plain(model, 128);
        assert!(!model.starts_with('-') && !model.contains(char::is_whitespace), "{model:?}");
    }
}

/// With a result the file says what it said, and its result; without it again it is what it was.
fn result(input: &[u8], said: &Result<TaskSpec, String>) -> (bool, bool) {
    let task: TaskRef = "website:t-1".parse().unwrap();
    let text = String::from_utf8_lossy(input);
    let chars = |chars_max| text.chars().take(chars_max).collect::<String>();
    let ended = TaskResult {
        task: task.clone(),
        done: input.len().is_multiple_of(2),
        reason: chars(REASON_CHARS_MAX),
        session: Some("ccl-auto-1".parse().unwrap()),
        account: None,
        conversation: None,
        started: None,
        finished: Wall(1_795_361_064_000),
        attempts: 1,
        last_text: Some(chars(LAST_TEXT_CHARS_MAX)),
    };
    let with = with_result(input, &ended);
    assert_eq!(front_matter::result(&task, &with), Some(ended.clone()), "its result");
    assert_eq!(without_result(&with), input, "without it again");
    let is_above = with.ends_with(input) && with.len() > input.len();
    if !is_above {
        assert_eq!(&front_matter::read(&task.id, &with), said, "what it says");
    }
    // An end in another file, or by another hand, hides none of ours.
    let twice = with_result(&with, &ended);
    assert_eq!(front_matter::result(&task, &twice), Some(ended), "its second result");
    assert_eq!(without_result(&twice), with);
    (is_above, front_matter::result(&task, input).is_some())
}

/// What an agent is told of it is one line that can be typed, wherever its file lies.
fn told(input: &[u8], said: &Result<TaskSpec, String>) {
    const PATH_BYTES_MAX: usize = 200;
    let name = &input[..input.len().min(PATH_BYTES_MAX)];
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    let text = String::from_utf8_lossy(input);
    let title = said.as_ref().map_or(&*text, |spec| &spec.title);
    let id = "t-1".parse().unwrap();
    let facts = Facts { id: &id, title, path, done: path, failed: Path::new("/run/f") };
    let template = Template::parse(prompt::DEFAULT).unwrap();
    for template in [Some(template), Template::parse(&text).ok()].into_iter().flatten() {
        let line = template.line(&facts);
        assert!(line.chars().all(is_plain), "{line:?}");
        match PasteLine::new(&line) {
            Ok(typed) => assert_eq!(typed.as_str(), line),
            Err(why) => assert!(line.len() > PASTE_BYTES_MAX, "{why}"),
        }
    }
    let last: String = text.chars().take(LAST_TEXT_CHARS_MAX).collect();
    let limits = Limits { nodes_max: 1, work_max: 32 << 20 };
    assert_eq!(parse(&quoted(&last), limits), Ok(Node::Text(last)), "quoted");
    let line = harmless::line(&text, 100);
    assert_eq!(harmless::line(&line, 100), line, "harmless twice");
}

#[track_caller]
fn plain(line: &str, chars_max: usize) {
    assert!(line.chars().all(is_plain), "{line:?}");
    assert!(line.chars().count() <= chars_max, "{} characters", line.chars().count());
}
