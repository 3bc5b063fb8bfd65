//! `--since`: how long ago, or a moment.

use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::moment::Wall;
use crate::units;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Milliseconds before now.
    Ago(i64),
    At(Wall),
}

impl Since {
    pub fn moment(self, now: Wall) -> Wall {
        match self {
            Since::Ago(ago_ms) => Wall(now.0.saturating_sub(ago_ms)),
            Since::At(at) => at,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = units::parse_duration(text) {
            return Ok(Since::Ago(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)));
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            "write how long ago, for example 2h or 7d, or a moment: 2026-11-26T03:00:00Z".to_owned()
        })?;
        let at_ms = at.unix_timestamp_nanos() / 1_000_000;
        Ok(Since::At(Wall(i64::try_from(at_ms).expect("a year of four digits"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_length_of_time_or_a_moment() {
        for (text, expected) in [
            ("2h", Some(Since::Ago(7_200_000))),
            ("7d", Some(Since::Ago(604_800_000))),
            ("1970-01-01T00:00:02Z", Some(Since::At(Wall(2_000)))),
            ("1970-01-01T01:00:02+01:00", Some(Since::At(Wall(2_000)))),
            ("yesterday", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Since>().ok(), expected, "{text:?}");
        }
    }
}
