//! YAML as a bounded tree of plain values, without a meaning for any of them. A leaf, and pure.
//!
//! The configuration and the front matter of tasks are read through it: neither may hurt by its size,
//! its depth, its tags or its aliases.

pub mod print;
pub mod value;

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

/// Of a complaint of the library, its end.
const MESSAGE_CHARS_MAX: usize = 300;

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In file order; a key that is given twice stands here twice.
    Map(Vec<(String, Node)>),
}

/// The text did not become a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub line: Option<usize>,
    pub message: String,
}

/// What a text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Values, those behind aliases counted each time: aliases of aliases could make a small text grow
    /// without end.
    pub nodes_max: usize,
    /// Bytes, times signs that may open a list or a mapping: at every word the library looks at all that
    /// are open, and a file of nothing else took seconds. 2 million take a millisecond.
    pub work_max: usize,
}

/// The library bounds the depth.
///
/// # Errors
/// It is no YAML, holds a tag or a second document, or is too much.
pub fn parse(text: &str, limits: Limits) -> Result<Node, Malformed> {
    let opens = text.bytes().filter(|byte| b"[{".contains(byte)).count();
    if opens.saturating_mul(text.len()) > limits.work_max {
        return Err(Malformed {
            line: None,
            message: "cannot be read as YAML: too many of [ and { are in it: write lists and \
                      mappings a line each"
                .to_owned(),
        });
    }
    let left = Cell::new(limits.nodes_max);
    NodeSeed { left: &left }.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(
        |error| Malformed {
            line: error.location().map(|at| at.line()),
            message: format!("cannot be read as YAML: {}", printable(&error.to_string())),
        },
    )
}

/// The library begins with the keys that lead there, whatever they hold and however long they are.
fn printable(message: &str) -> String {
    let is_kept = |c: char| ['"', '\'', '\\'].contains(&c);
    let cut = message.char_indices().rev().nth(MESSAGE_CHARS_MAX).map_or(0, |(at, _)| at);
    let mut printable = String::from(if cut > 0 { "…" } else { "" });
    for c in message[cut..].chars() {
        match is_kept(c) {
            true => printable.push(c),
            false => printable.extend(c.escape_debug()),
        }
    }
    printable
}

#[derive(Clone, Copy)]
struct NodeSeed<'b> {
    /// Values that may still come.
    left: &'b Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        let left =
            self.left.get().checked_sub(1).ok_or_else(|| {
                D::Error::custom("there are too many values in it (aliases counted)")
            })?;
        self.left.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    /// A text without any value.
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(A::Error::custom("a tag (!name) has no meaning here: remove it"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Int(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { nodes_max: 20_000, work_max: 32 << 20 };

    #[test]
    fn what_could_grow_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let item = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{item}]\n"));
        }
        for text in [bomb, "[".repeat(10_000), "- ".repeat(10_000)] {
            assert!(parse(&text, LIMITS).is_err());
        }
    }

    #[test]
    fn what_is_open_costs_no_time() {
        for opener in ["[", "[a: ", "{a: ", "[a: ']', "] {
            let text = opener.repeat(64_000 / opener.len());
            let error = parse(&text, LIMITS).unwrap_err();
            assert!(error.message.contains("too many of [ and {"), "{error:?}");
        }
        let most = "- {a: [1]}\n".repeat(700);
        assert!(parse(&most, LIMITS).is_ok());
        assert!(parse(&most.repeat(2), LIMITS).is_err());
    }

    #[test]
    fn tags_and_second_documents_are_refused_with_their_line() {
        let error = parse("a: 1\nb: !secret x\n", LIMITS).unwrap_err();
        assert_eq!(error.line, Some(2), "{error:?}");
        assert!(parse("a: 1\n---\nb: 1\n", LIMITS).is_err());
    }

    #[test]
    fn a_complaint_is_one_line_whatever_the_keys_hold() {
        let text = "\"a\\x1b\\u202e\\n\\\"é\": !secret x\n";
        let message = parse(text, LIMITS).unwrap_err().message;
        assert!(message.contains(r#"a\u{1b}\u{202e}\n"é: a tag"#), "{message}");
        let long = format!("\"{}\": !secret x\n", "k".repeat(1_000));
        let message = parse(&long, LIMITS).unwrap_err().message;
        assert!(message.len() < 400 && message.contains("a tag (!name)"), "{message}");
    }
}
