//! The end of the last text in a line, however long that text is. Read apart from the fields that
//! bear on quota: those are read of every line, this of one.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::quota::transcript::line::{Object, Scalar};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    message: Object<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Content,
}

/// The last text of a list of blocks, or the only one.
#[derive(Debug, Default)]
struct Content(Vec<u8>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: Scalar,
    text: Text,
}

/// In bytes: not all clients cut a text between characters.
#[derive(Debug, Default)]
struct Text(Vec<u8>);

/// `None` when there is no text, or nothing but space in it.
pub fn end_of_last_text(line: &[u8], chars_max: usize) -> Option<String> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let text = String::from_utf8_lossy(&line.message.0.content.0);
    let text = text.trim();
    let left_out = text.chars().count().saturating_sub(chars_max);
    let end: String = text.chars().skip(left_out).collect();
    let end = end.trim();
    (!end.is_empty()).then(|| end.to_owned())
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ContentVisitor).map(|content| Text(content.0))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of blocks")
    }

    fn visit_bytes<E>(self, text: &[u8]) -> Result<Content, E> {
        Ok(Content(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Content, A::Error> {
        let mut last = Vec::new();
        while let Some(Object(block)) = blocks.next_element::<Object<Block>>()? {
            let is_text = block.kind.text() == Some("text");
            if is_text && !block.text.0.trim_ascii().is_empty() {
                last = block.text.0;
            }
        }
        Ok(Content(last))
    }
}

#[cfg(test)]
mod tests {
    use crate::quota::transcript::speech;

    fn line(fields: &str, content: &str) -> String {
        format!(
            r#"{{"type":"assistant","timestamp":"2026-11-22T18:46:12.951Z",{fields}"message":{{"model":"m","content":{content}}}}}"#
        )
    }

    #[test]
    fn only_the_model_speaks_and_only_on_the_main_chain() {
        let said = r#"[{"type":"text","text":" All 12 tests pass.\n"}]"#;
        for (what, fields, content, expected) in [
            ("a text", "", said, Some("All 12 tests pass.")),
            ("on the main chain", r#""isSidechain":false,"#, said, Some("All 12 tests pass.")),
            ("a subagent", r#""isSidechain":true,"#, said, None),
            ("an error of the API", r#""isApiErrorMessage":true,"#, said, None),
            ("a thought", "", r#"[{"type":"thinking","thinking":"hm","text":"hm"}]"#, None),
            ("a tool call", "", r#"[{"type":"tool_use","input":{"text":"x"}}]"#, None),
            ("space", "", r#"[{"type":"text","text":" \n"}]"#, None),
            ("nothing", "", "[]", None),
            (
                "several",
                "",
                r#"[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"tool_use"}]"#,
                Some("b"),
            ),
            ("a bare text", "", r#""bare""#, Some("bare")),
        ] {
            let line = line(fields, content);
            assert_eq!(speech(line.as_bytes(), 100).as_deref(), expected, "{what}");
        }
        let synthetic = line("", said).replace(r#""m""#, r#""<synthetic>""#);
        let user = line("", said).replace("assistant", "user");
        for line in [synthetic.as_str(), user.as_str(), "no JSON", ""] {
            assert_eq!(speech(line.as_bytes(), 100), None, "{line}");
        }
    }

    #[test]
    fn the_end_of_a_text_is_kept_in_whole_characters() {
        let long = format!("{}the end é😀", "x".repeat(100_000));
        let content = format!(r#"[{{"type":"text","text":"{long}"}}]"#);
        assert_eq!(speech(line("", &content).as_bytes(), 6).as_deref(), Some("end é😀"));
        // Half a surrogate pair, as a client may cut one.
        let half = r#"[{"type":"text","text":"ab\ud83d"}]"#;
        let said = speech(line("", half).as_bytes(), 100).unwrap();
        assert!(said.starts_with("ab"), "{said:?}");
    }
}
