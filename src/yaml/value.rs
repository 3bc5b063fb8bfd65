//! One value of the tree as a Rust value, or the sentence that says what is wrong with it.

use std::ops::RangeInclusive;

use crate::harmless;
use crate::yaml::Node;

/// What a value is, for a message; long texts are cut.
pub fn describe(node: &Node) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    match node {
        Node::Null => "no value".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Int(value) => format!("the number {value}"),
        Node::Float(value) => format!("the number {value:?}"),
        Node::Text(text) => {
            let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            let more = if start.len() < text.len() { "…" } else { "" };
            format!("the text {start:?}{more}")
        }
        Node::List(_) => "a list".to_owned(),
        Node::Map(_) => "a mapping".to_owned(),
    }
}

/// Text that is not empty and that no log, message or terminal shows as something else.
pub fn line_of_text(node: &Node) -> Result<&str, String> {
    match node {
        Node::Text(text) if text.trim().is_empty() => Err("the text is empty".to_owned()),
        Node::Text(text) if !text.chars().all(harmless::is_plain) => {
            Err(format!("control characters are not allowed: {}", describe(node)))
        }
        Node::Text(text) => Ok(text),
        Node::Bool(_) | Node::Int(_) | Node::Float(_) => {
            Err(format!("expected text, got {}: put it in quotes", describe(node)))
        }
        other => Err(format!("expected text, got {}", describe(other))),
    }
}

pub fn whole_number(node: &Node, range: &RangeInclusive<u32>) -> Result<u32, String> {
    let Node::Int(value) = node else {
        return Err(format!("expected a whole number, got {}", describe(node)));
    };
    let (least, most) = (i128::from(*range.start()), i128::from(*range.end()));
    let value = in_range(*value, &(least..=most), |value| value.to_string())?;
    Ok(u32::try_from(value).expect("the range holds only u32"))
}

pub fn with_unit<T>(
    node: &Node,
    parse: impl Fn(&str) -> Option<T>,
    remedy: &str,
) -> Result<T, String> {
    let no_unit = match node {
        Node::Text(text) => match parse(text) {
            Some(value) => return Ok(value),
            None => format!("{} is not understood", describe(node)),
        },
        Node::Int(_) | Node::Float(_) => format!("{} has no unit", describe(node)),
        other => format!("got {}", describe(other)),
    };
    Err(format!("{no_unit}: {remedy}"))
}

pub fn in_range<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    print: impl Fn(T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "{} is out of range: {} to {}",
        print(value),
        print(*range.start()),
        print(*range.end())
    ))
}
