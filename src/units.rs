//! Lengths of time and sizes as the file writes them: always a number with its unit.

use std::time::Duration;

const MILLISECOND: u64 = 1;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// From long to short, as they must follow each other in one text.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND)];

const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

pub const TIME_REMEDY: &str =
    "write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m";
pub const SIZE_REMEDY: &str =
    "write a whole number with its unit (B, KiB, MiB, GiB), for example 64KiB";

/// `500ms`, `30s`, `1h30m`: whole numbers, units from long to short, each at most once.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut total_ms: u64 = 0;
    loop {
        let (number, unit, tail) = split(rest)?;
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        if tail.is_empty() {
            return Some(Duration::from_millis(total_ms));
        }
        rest = tail;
    }
}

/// `512B`, `64KiB`, `1MiB`, in bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit, tail) = split(text)?;
    let (_, unit_bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    tail.is_empty().then(|| number.checked_mul(*unit_bytes))?
}

/// In the longest unit that gives a whole number.
pub fn print_duration(length: Duration) -> String {
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    if length_ms == 0 {
        return "0s".to_owned();
    }
    print_in(length_ms, TIME_UNITS.iter())
}

/// In the largest unit that gives a whole number.
pub fn print_size(size_bytes: u64) -> String {
    print_in(size_bytes, SIZE_UNITS.iter().rev())
}

fn print_in<'u>(value: u64, mut units: impl Iterator<Item = &'u (&'static str, u64)>) -> String {
    let (name, factor) =
        units.find(|(_, factor)| value.is_multiple_of(*factor)).expect("the last unit is 1");
    format!("{}{name}", value / factor)
}

/// The first number, its unit, and what follows.
fn split(text: &str) -> Option<(u64, &str, &str)> {
    let (number, tail) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
    let (unit, tail) = tail.split_at(end);
    Some((number.parse().ok()?, unit, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_unit() {
        for (text, expected_ms) in [
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("5m0s", Some(300_000)),
            ("30d", Some(30 * 86_400_000)),
            ("", None),
            ("0", None),
            ("30", None),
            ("s", None),
            ("1.5h", None),
            ("-5s", None),
            ("5 s", None),
            (" 5s", None),
            ("5S", None),
            ("30m1h", None),
            ("1s1s", None),
            ("1s2", None),
            ("5min", None),
            ("٣s", None),
            ("99999999999999999999s", None),
            ("999999999999999999d", None),
        ] {
            let expected = expected_ms.map(Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_size_has_a_unit() {
        for (text, expected) in [
            ("512B", Some(512)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1 << 20)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("512", None),
            ("1MB", None),
            ("1mib", None),
            ("1MiB2B", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["100ms", "90s", "5m", "36h", "8d", "0s"] {
            let length = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&print_duration(length)), Some(length));
            assert_eq!(print_duration(length), text);
        }
        for text in ["512B", "64KiB", "1536MiB", "2GiB"] {
            assert_eq!(print_size(parse_size(text).unwrap()), text);
        }
    }
}
