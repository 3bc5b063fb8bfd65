//! Time as values: given to whoever needs it, never fetched. `clock` alone makes them.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the daemon started; never goes back, also counts while the host sleeps.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Mono(pub u64);

/// Milliseconds since 1970-01-01 UTC; may jump when the clock is set.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Wall(pub i64);

/// One instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    pub monotonic: Mono,
    pub wall: Wall,
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, length: Duration) -> Mono {
        Mono(self.0.saturating_add(millis(length)))
    }
}

impl Sub for Mono {
    type Output = Duration;

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    fn sub(self, earlier: Mono) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;

    fn add(self, length: Duration) -> Wall {
        Wall(self.0.saturating_add_unsigned(millis(length)))
    }
}

impl Sub for Wall {
    type Output = Duration;

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    fn sub(self, earlier: Wall) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with seconds, as the log and `/status` print it.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        match time::OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        {
            Some(text) => f.write_str(&text),
            None => write!(f, "{seconds} s since 1970"),
        }
    }
}

/// As it prints; any offset.
impl FromStr for Wall {
    type Err = time::error::Parse;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let format = &time::format_description::well_known::Rfc3339;
        let at = time::OffsetDateTime::parse(text, format)?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        Ok(Wall(i64::try_from(millis).unwrap_or(i64::MAX)))
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_moment_prints_as_rfc_3339() {
        assert_eq!(Wall(1_795_361_004_858).to_string(), "2026-11-22T15:23:24Z");
    }

    #[test]
    fn what_prints_reads_back() {
        let at: Wall = "2026-11-22T15:23:24Z".parse().unwrap();
        assert_eq!(at, Wall(1_795_361_004_000));
        assert_eq!("2026-11-22T16:23:24.858+01:00".parse(), Ok(Wall(1_795_361_004_858)));
        assert!("2026-11-22 15:23".parse::<Wall>().is_err());
    }

    #[test]
    fn differences_never_go_below_zero() {
        assert_eq!(Mono(5) - Mono(9), Duration::ZERO);
        assert_eq!(Wall(5) - Wall(9), Duration::ZERO);
    }
}
