//! The fields of a line that bear on quota and turns; everything else in it is passed over unread.
//!
//! A field of an unexpected type counts as absent, and a line that is no JSON object, or says the
//! same field twice, costs only itself. Texts are kept to a bound, however long the line is.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Longer than any text of the client's own about errors.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Names, ids and timestamps are far shorter.
const WORD_BYTES_MAX: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Line {
    #[serde(rename = "type")]
    pub kind: Scalar,
    pub uuid: Scalar,
    /// ISO 8601.
    pub timestamp: Scalar,
    pub is_sidechain: Scalar,
    pub is_meta: Scalar,
    pub origin: Object<Origin>,
    pub is_compact_summary: Scalar,
    pub is_api_error_message: Scalar,
    pub error: Scalar,
    pub api_error: Scalar,
    pub api_error_params: Object<Params>,
    pub message: Object<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Params {
    pub rate_limit_info: Object<RateLimitInfo>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitInfo {
    pub rate_limit_type: Scalar,
    /// Seconds since 1970.
    pub resets_at: Scalar,
}

/// Who made a line of a user; only newer clients say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub kind: Scalar,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub model: Scalar,
    pub content: Content,
}

/// A text, or a list of blocks of which some are texts.
#[derive(Debug, Default)]
pub struct Content {
    /// The beginning of the first text.
    pub text: String,
    pub has_speech: bool,
    pub has_tool_result: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: Scalar,
    text: Head,
}

/// An object, or the default where something else stands.
#[derive(Debug, Default)]
pub struct Object<T>(pub T);

/// A word, flag or number; `Absent` for all else.
#[derive(Debug, Default)]
pub enum Scalar {
    #[default]
    Absent,
    Text(String),
    Flag(bool),
    Number(i64),
}

/// The beginning of a text; not all clients cut a text between characters.
#[derive(Debug, Default)]
struct Head(String);

impl Line {
    /// `None` when the line is no JSON object of the client.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl Scalar {
    pub fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Absent | Scalar::Flag(_) | Scalar::Number(_) => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Scalar::Number(number) => Some(*number),
            Scalar::Absent | Scalar::Flag(_) | Scalar::Text(_) => None,
        }
    }

    pub fn is_true(&self) -> bool {
        matches!(self, Scalar::Flag(true))
    }
}

fn head(bytes: &[u8], bytes_max: usize) -> String {
    let cut = &bytes[..bytes.len().min(bytes_max)];
    match String::from_utf8_lossy(cut) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(head(text.as_bytes(), WORD_BYTES_MAX)))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Absent, Scalar::Number))
    }

    /// A fraction of a second says nothing.
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and a date is far below")]
    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number as i64))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar, A::Error> {
        pass_seq(seq)?;
        Ok(Scalar::Absent)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

fn pass_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Object<T>, A::Error> {
        pass_seq(seq)?;
        Ok(Object::default())
    }

    fn visit_str<E>(self, _text: &str) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_bool<E>(self, _flag: bool) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_u64<E>(self, _number: u64) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Object<T>, E> {
        Ok(Object::default())
    }

    fn visit_unit<E>(self) -> Result<Object<T>, E> {
        Ok(Object::default())
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes: half a surrogate pair in a text must not cost the line.
        deserializer.deserialize_bytes(ContentVisitor).map(|content| Head(content.text))
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
        let text = head(text, TEXT_BYTES_MAX);
        Ok(Content { has_speech: !text.trim().is_empty(), text, has_tool_result: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Content, A::Error> {
        let mut content = Content::default();
        while let Some(Object(block)) = blocks.next_element::<Object<Block>>()? {
            match block.kind.text() {
                Some("text") => {
                    content.has_speech = true;
                    if content.text.is_empty() {
                        content.text = block.text.0;
                    }
                }
                Some("image" | "document") => content.has_speech = true,
                Some("tool_result") => content.has_tool_result = true,
                _ => {}
            }
        }
        Ok(content)
    }
}
