//! The result of a task as a part of its front matter: printed, found again, read again.
//!
//! It stands between two comments of ours, so that taking it away leaves exactly what was there.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ids::TaskRef;
use crate::moment::Wall;
use crate::task::TaskResult;
use crate::yaml::Node;
use crate::yaml::print::quoted;

pub const KEY: &str = "result";

/// The line above a result in the author's own front matter.
pub const ADDED: &str = "# claude-failover: from here to the line of its end, added by it\n";
/// The line above a result in a front matter that holds nothing else: the file follows below it.
pub const ABOVE: &str = "# claude-failover: added above the file as it was\n";
pub const END: &str = "# claude-failover: end\n";

const REASON_CHARS_MAX: usize = 1_000;
const LAST_TEXT_CHARS_MAX: usize = 2_000;

/// Where a result stands in a front matter.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// From this byte to the end.
    Added(usize),
    /// The whole front matter is ours.
    Above,
}

/// `inner` is what stands between the lines `---`.
pub fn find(inner: &[u8]) -> Option<Place> {
    let above_end = inner.strip_suffix(END.as_bytes())?;
    // No line of ours holds a text that could be one of these: texts are quoted.
    let added = last_line(above_end, ADDED);
    let above = last_line(above_end, ABOVE);
    match (added, above) {
        (Some(added), above) if above.is_none_or(|above| above < added) => {
            Some(Place::Added(added))
        }
        (_, Some(0)) => Some(Place::Above),
        _ => None,
    }
}

fn last_line(text: &[u8], line: &str) -> Option<usize> {
    let line = line.as_bytes();
    let mut places = (0..(text.len() + 1).saturating_sub(line.len())).rev();
    places.find(|at| text[*at..].starts_with(line) && (*at == 0 || text[at - 1] == b'\n'))
}

/// YAML: one key with a mapping, a line each.
pub fn print(result: &TaskResult) -> String {
    let mut text = format!("{KEY}:\n");
    let mut line = |key: &str, value: String| {
        writeln!(text, "  {key}: {value}").expect("a String takes all");
    };
    line("outcome", if result.done { "done" } else { "failed" }.to_owned());
    line("reason", quoted(&cut(&result.reason, REASON_CHARS_MAX)));
    if let Some(session) = &result.session {
        line("session", quoted(session.as_str()));
    }
    if let Some(account) = &result.account {
        line("account", quoted(account.as_str()));
    }
    if let Some(conversation) = &result.conversation {
        line("conversation", quoted(conversation.as_str()));
    }
    if let Some(started) = result.started {
        line("started", quoted(&started.to_string()));
    }
    line("finished", quoted(&result.finished.to_string()));
    line("attempts", result.attempts.to_string());
    if let Some(last_text) = &result.last_text {
        line("last_text", quoted(&cut(last_text, LAST_TEXT_CHARS_MAX)));
    }
    text
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// `None` when it lacks what every result has.
pub fn read(task: &TaskRef, node: &Node) -> Option<TaskResult> {
    let Node::Map(entries) = node else { return None };
    let of = |wanted: &str| {
        entries.iter().find_map(|(key, node)| match node {
            Node::Text(text) if key == wanted => Some(text.as_str()),
            _ => None,
        })
    };
    let attempts = entries.iter().find_map(|(key, node)| match node {
        Node::Int(attempts) if key == "attempts" => u32::try_from(*attempts).ok(),
        _ => None,
    });
    Some(TaskResult {
        task: task.clone(),
        done: match of("outcome")? {
            "done" => true,
            "failed" => false,
            _ => return None,
        },
        reason: of("reason")?.to_owned(),
        session: of("session").and_then(|text| text.parse().ok()),
        account: of("account").and_then(|text| text.parse().ok()),
        conversation: of("conversation").and_then(|text| text.parse().ok()),
        started: of("started").and_then(moment),
        finished: of("finished").and_then(moment)?,
        attempts: attempts?,
        last_text: of("last_text").map(str::to_owned),
    })
}

fn moment(text: &str) -> Option<Wall> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Wall(at.unix_timestamp().checked_mul(1_000)?))
}
