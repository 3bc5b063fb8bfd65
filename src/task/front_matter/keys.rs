//! What front matter may say, key by key.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harmless;
use crate::ids::{TaskId, TaskRef};
use crate::moment::Wall;
use crate::task::front_matter::outcome;
use crate::task::{ATTEMPTS_DEFAULT, Priority, TaskSpec};
use crate::units;
use crate::yaml::Node;
use crate::yaml::value::{describe, in_range, line_of_text, whole_number, with_unit};

pub const TITLE_CHARS_MAX: usize = 200;
const TAG_CHARS_MAX: usize = 64;
const TAGS_MAX: usize = 32;
const DEPENDS_ON_MAX: usize = 64;
const MODEL_CHARS_MAX: usize = 128;
const ATTEMPTS_MAX: u32 = 100;
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 86_400);
const UNKNOWN_KEYS_MAX: usize = 32;
const UNKNOWN_KEY_CHARS_MAX: usize = 60;

/// The task of a file that says nothing.
pub fn defaults(id: &TaskId) -> TaskSpec {
    TaskSpec {
        title: id.to_string(),
        priority: Priority::default(),
        tags: Vec::new(),
        needs_claude_code: true,
        model: None,
        depends_on: Vec::new(),
        timeout: None,
        attempts: ATTEMPTS_DEFAULT,
        not_before: None,
        unknown_keys: Vec::new(),
    }
}

/// # Errors
/// The first thing that is wrong, with its key and a remedy.
pub fn read(id: &TaskId, tree: &Node) -> Result<TaskSpec, String> {
    let entries = entries(tree).ok_or_else(|| {
        let what = describe(tree);
        format!("the front matter is no mapping (key: value) but {what}")
    })?;
    let mut spec = defaults(id);
    let mut seen = BTreeSet::new();
    for (key, node) in entries {
        if !seen.insert(key) {
            let key = harmless::line(key, UNKNOWN_KEY_CHARS_MAX);
            return Err(format!("{key}: this key is given twice: remove one of them"));
        }
        read_key(&mut spec, key, node).map_err(|why| format!("{key}: {why}"))?;
    }
    Ok(spec)
}

/// `None` when it is no mapping. An empty front matter is an empty mapping.
pub fn entries(tree: &Node) -> Option<&[(String, Node)]> {
    match tree {
        Node::Map(entries) => Some(entries),
        Node::Null => Some(&[]),
        Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) | Node::List(_) => None,
    }
}

/// A key without a value is as good as absent.
fn read_key(spec: &mut TaskSpec, key: &str, node: &Node) -> Result<(), String> {
    if *node == Node::Null {
        return Ok(());
    }
    match key {
        "title" => spec.title = title(node)?.unwrap_or_else(|| spec.title.clone()),
        "priority" => spec.priority = priority(node)?,
        "tags" => spec.tags = tags(node)?,
        "needs_claude_code" => spec.needs_claude_code = flag(node)?,
        "model" => spec.model = Some(model(line_of_text(node)?)?),
        "depends_on" => spec.depends_on = depends_on(node)?,
        "timeout" => spec.timeout = Some(timeout(node)?),
        "attempts" => spec.attempts = whole_number(node, &(1..=ATTEMPTS_MAX))?,
        "not_before" => spec.not_before = Some(moment(line_of_text(node)?)?),
        outcome::KEY => {}
        _ if spec.unknown_keys.len() < UNKNOWN_KEYS_MAX => {
            spec.unknown_keys.push(harmless::line(key, UNKNOWN_KEY_CHARS_MAX));
        }
        _ => {}
    }
    Ok(())
}

/// `None`: there is nothing in it that can be seen.
fn title(node: &Node) -> Result<Option<String>, String> {
    let title = harmless::line(text(node)?, TITLE_CHARS_MAX);
    Ok((!title.is_empty()).then_some(title))
}

fn priority(node: &Node) -> Result<Priority, String> {
    match node {
        Node::Text(text) if text == "critical" => Ok(Priority::Critical),
        Node::Text(text) if text == "high" => Ok(Priority::High),
        Node::Text(text) if text == "default" => Ok(Priority::Default),
        Node::Text(text) if text == "low" => Ok(Priority::Low),
        other => {
            Err(format!("{} is no priority: write critical, high, default or low", describe(other)))
        }
    }
}

fn tags(node: &Node) -> Result<Vec<String>, String> {
    let tags =
        list(node, TAGS_MAX)?.iter().map(|tag| Ok(harmless::line(text(tag)?, TAG_CHARS_MAX)));
    tags.filter(|tag| tag.as_ref().is_ok_and(|tag| !tag.is_empty()) || tag.is_err()).collect()
}

fn flag(node: &Node) -> Result<bool, String> {
    match node {
        Node::Bool(value) => Ok(*value),
        other => Err(format!("expected true or false, got {}", describe(other))),
    }
}

/// A word that no program takes for an option.
fn model(name: &str) -> Result<String, String> {
    if name.chars().any(char::is_whitespace) || name.chars().count() > MODEL_CHARS_MAX {
        return Err(format!(
            "{} is no model: write one word, for example opus",
            describe(&Node::Text(name.to_owned()))
        ));
    }
    if name.starts_with('-') {
        return Err(format!("{name:?} is no model: it must not begin with -"));
    }
    Ok(name.to_owned())
}

fn depends_on(node: &Node) -> Result<Vec<TaskRef>, String> {
    list(node, DEPENDS_ON_MAX)?.iter().map(|item| parsed(line_of_text(item)?)).collect()
}

fn timeout(node: &Node) -> Result<Duration, String> {
    let timeout = with_unit(node, units::parse_duration, units::TIME_REMEDY)?;
    in_range(timeout, &(TIMEOUT_MIN..=TIMEOUT_MAX), units::print_duration)
}

fn moment(text: &str) -> Result<Wall, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        let text = describe(&Node::Text(text.to_owned()));
        format!("{text} is no moment: write it as 2027-01-31T18:00:00Z or with +01:00 for Z")
    })?;
    let at_ms = at.unix_timestamp_nanos() / 1_000_000;
    Ok(Wall(i64::try_from(at_ms).expect("a year of four digits")))
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn text(node: &Node) -> Result<&str, String> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Bool(_) | Node::Int(_) | Node::Float(_) => {
            Err(format!("expected text, got {}: put it in quotes", describe(node)))
        }
        Node::Null | Node::List(_) | Node::Map(_) => {
            Err(format!("expected text, got {}", describe(node)))
        }
    }
}

/// A single value stands for a list of one.
fn list(node: &Node, items_max: usize) -> Result<&[Node], String> {
    let items = match node {
        Node::List(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    if items.len() > items_max {
        return Err(format!("{} items: at most {items_max}", items.len()));
    }
    Ok(items)
}
