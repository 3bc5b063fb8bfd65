//! One line: `<crc32 as 8 hex digits> <json>\n`, the checksum over the bytes of the JSON.
//!
//! Pure. The JSON is `{"v":1,"seq":N,"at":<wall ms>,"record":…}`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::journal::error::JournalError;
use crate::moment::Wall;

/// The format written, and the newest that can be read.
pub const VERSION: u32 = 1;
/// A whole line, its newline included.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// Eight digits and a space.
const CHECKSUM_BYTES: usize = 9;

/// One record as it was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// Rises by one from line to line, also over compactions.
    pub seq: u64,
    pub at: Wall,
    pub record: T,
}

/// What is wrong with a line that has a newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Bad {
    Newer {
        found: u32,
    },
    /// Written whole, and not understood.
    Unknown {
        why: String,
    },
    Damaged {
        why: String,
    },
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    v: u32,
    seq: u64,
    at: Wall,
    record: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened<T> {
    #[serde(rename = "v")]
    _version: u32,
    seq: u64,
    at: Wall,
    record: T,
}

/// Read before anything else, since a newer version may have changed everything else.
#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// Appends one line to `out`.
pub fn encode<T: Serialize>(
    out: &mut Vec<u8>,
    seq: u64,
    at: Wall,
    record: &T,
) -> Result<(), JournalError> {
    let envelope = Envelope { v: VERSION, seq, at, record };
    let json = serde_json::to_vec(&envelope)
        .map_err(|error| JournalError::Record { why: error.to_string() })?;
    let length = CHECKSUM_BYTES + json.len() + 1;
    if length > LINE_BYTES_MAX {
        return Err(JournalError::Record {
            why: format!("its line has {length} bytes, the limit is {LINE_BYTES_MAX}"),
        });
    }
    out.extend_from_slice(checksum(&json).as_bytes());
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(())
}

/// `line` without its newline.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<Entry<T>, Bad> {
    let (given, json) =
        line.split_at_checked(CHECKSUM_BYTES).ok_or_else(|| damaged("it is too short"))?;
    // Compared as text: a bit that turns `a` into `A` is damage too.
    if given != checksum(json).as_bytes() {
        return Err(damaged("its checksum is wrong"));
    }
    let VersionOnly { v } = serde_json::from_slice(json)?;
    if v > VERSION {
        return Err(Bad::Newer { found: v });
    }
    if v != VERSION {
        return Err(damaged(&format!("format {v} is unknown")));
    }
    let opened: Opened<T> =
        serde_json::from_slice(json).map_err(|error| Bad::Unknown { why: error.to_string() })?;
    Ok(Entry { seq: opened.seq, at: opened.at, record: opened.record })
}

fn checksum(json: &[u8]) -> String {
    format!("{:08x} ", crc32fast::hash(json))
}

fn damaged(why: &str) -> Bad {
    Bad::Damaged { why: why.to_owned() }
}

impl From<serde_json::Error> for Bad {
    fn from(error: serde_json::Error) -> Self {
        damaged(&error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> Vec<u8> {
        format!("{}{json}", checksum(json.as_bytes())).into_bytes()
    }

    #[test]
    fn the_format_on_disk_is_this() {
        let mut out = Vec::new();
        encode(&mut out, 7, Wall(1_795_361_004_858), &"x").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "f57e6352 {\"v\":1,\"seq\":7,\"at\":1795361004858,\"record\":\"x\"}\n"
        );
    }

    #[test]
    fn a_line_that_is_not_ours_is_refused_with_its_reason() {
        let good = r#"{"v":1,"seq":1,"at":0,"record":"x"}"#;
        assert!(decode::<String>(&line(good)).is_ok());
        for (json, why) in [
            (r#"{"v":1,"seq":1,"at":0,"record":1}"#, "invalid type"),
            (r#"{"v":1,"seq":1,"at":0,"record":"x","more":1}"#, "unknown field"),
            (r#"{"v":1,"seq":1,"at":0}"#, "missing field"),
        ] {
            match decode::<String>(&line(json)) {
                Err(Bad::Unknown { why: given }) => assert!(given.contains(why), "{json}: {given}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        for (json, why) in [
            (r#"{"v":0,"seq":1,"at":0,"record":"x"}"#, "format 0 is unknown"),
            (r#"{"v":1"#, "EOF"),
            ("", "EOF"),
        ] {
            match decode::<String>(&line(json)) {
                Err(Bad::Damaged { why: given }) => assert!(given.contains(why), "{json}: {given}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        assert_eq!(
            decode::<String>(&line(r#"{"v":2,"other":"shape"}"#)),
            Err(Bad::Newer { found: 2 })
        );
        assert_eq!(decode::<String>(b"0000"), Err(damaged("it is too short")));
    }

    #[test]
    fn the_checksum_is_compared_digit_by_digit_in_lower_case() {
        let mut upper = line(r#"{"v":1,"seq":1,"at":0,"record":"x"}"#);
        upper[..8].make_ascii_uppercase();
        assert_eq!(
            decode::<String>(&upper),
            Err(damaged("its checksum is wrong")),
            "this json was chosen for a letter in its checksum"
        );
    }

    #[test]
    fn a_record_that_would_not_be_read_again_is_not_written() {
        let mut out = Vec::new();
        let long = "x".repeat(LINE_BYTES_MAX);
        assert!(matches!(encode(&mut out, 1, Wall(0), &long), Err(JournalError::Record { .. })));
        assert!(out.is_empty());
    }
}
