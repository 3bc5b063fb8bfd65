//! JSON as the client writes it. Pure.
//!
//! The client's language cuts texts between the halves of a surrogate pair, writes such a half as
//! `\ud83d`, and no text of ours can hold it. It is read as an unknown character, as is a byte that is no
//! UTF-8: neither costs anything else.

use serde::de::DeserializeOwned;

/// Of one unit, `\ud83d`.
const ESCAPE_BYTES: usize = 6;
const UNKNOWN: &str = "\\ufffd";

/// All of `json` as one value.
pub fn whole<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    read(json, |json| serde_json::from_slice(json))
}

/// The first value of `json`, whatever follows it.
pub fn first<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    read(json, |json| T::deserialize(&mut serde_json::Deserializer::from_slice(json)))
}

/// Mended only when it must be, which is next to never.
fn read<T>(json: &[u8], read: impl Fn(&[u8]) -> serde_json::Result<T>) -> Option<T> {
    read(json).ok().or_else(|| read(mended(json)?.as_bytes()).ok())
}

/// `None` when there is nothing to be mended.
fn mended(json: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(json);
    let mut mended = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let after = escape.get(ESCAPE_BYTES..).unwrap_or_default();
        let (kept, length) = match (unit(escape), unit(after)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                (&escape[..2 * ESCAPE_BYTES], 2 * ESCAPE_BYTES)
            }
            (Some(0xd800..=0xdfff), _) => (UNKNOWN, ESCAPE_BYTES),
            _ => {
                // With what it escapes, which may be another backslash.
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                (&escape[..length], length)
            }
        };
        mended.push_str(before);
        mended.push_str(kept);
        rest = &escape[length..];
    }
    mended.push_str(rest);
    (mended.as_bytes() != json).then_some(mended)
}

/// The number in an escape `\uXXXX` at the beginning of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_an_unknown_character_and_a_pair_is_none() {
        for (json, expected) in [
            (&br#""ab\ud83d""#[..], Some("ab\u{fffd}")),
            (br#""\udcff \ud800\n""#, Some("\u{fffd} \u{fffd}\n")),
            (br#""\ud83d\ud83d\ude00\ude00""#, Some("\u{fffd}😀\u{fffd}")),
            (br#""\uD83D\uDE00\uD83d""#, Some("😀\u{fffd}")),
            (br#""\\ud83d\ud83d""#, Some("\\ud83d\u{fffd}")),
            (br#""\ud83\ud83d""#, None),
            ("\"é\\ud83dé\"".as_bytes(), Some("é\u{fffd}é")),
            (b"\"a\xff\\udcff\"", Some("a\u{fffd}\u{fffd}")),
            (br#""\ud83d"#, None),
            (br#""\"#, None),
        ] {
            let text = String::from_utf8_lossy(json);
            assert_eq!(whole::<String>(json).as_deref(), expected, "{text}");
            assert_eq!(first::<String>(&[json, b"\0x"].concat()).as_deref(), expected, "{text}");
        }
    }
}
