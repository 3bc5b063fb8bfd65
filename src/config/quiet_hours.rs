//! Hours of the day in which a person is left alone, `23:00-07:00`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

const MINUTES_A_DAY: u16 = 24 * 60;

/// From one time of day to another, also over midnight. Never empty, never a whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// Minutes after midnight.
    pub start_min: u16,
    pub end_min: u16,
}

impl QuietHours {
    /// Whether this minute of a day is one of them.
    pub fn hold(self, minute: u16) -> bool {
        if self.start_min < self.end_min {
            (self.start_min..self.end_min).contains(&minute)
        } else {
            minute >= self.start_min || minute < self.end_min
        }
    }

    /// How many minutes after this one they are over.
    pub fn left_min(self, minute: u16) -> u16 {
        (self.end_min + MINUTES_A_DAY - minute) % MINUTES_A_DAY
    }
}

impl FromStr for QuietHours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} are no hours: write \"23:00-07:00\"");
        let (start, end) = text.split_once('-').ok_or_else(wrong)?;
        let (Some(start_min), Some(end_min)) = (minute(start.trim()), minute(end.trim())) else {
            return Err(wrong());
        };
        if start_min == end_min {
            return Err(format!("{text:?} is a whole day: to be told less, set level: critical"));
        }
        Ok(Self { start_min, end_min })
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [start, end] = [self.start_min, self.end_min].map(|min| (min / 60, min % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", start.0, start.1, end.0, end.1)
    }
}

/// `7:00`, `07:00`; `24:00` is midnight.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, lengths: RangeInclusive<usize>| {
        let plain = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok())?
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES_A_DAY).then_some(minute % MINUTES_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_are_read_and_hold_over_midnight() {
        for (text, minute, holds, left_min) in [
            ("23:00-07:00", 23 * 60, true, 8 * 60),
            ("23:00-07:00", 6 * 60 + 59, true, 1),
            ("23:00-07:00", 7 * 60, false, 0),
            ("23:00-07:00", 12 * 60, false, 19 * 60),
            ("9:30 - 17:00", 9 * 60 + 29, false, 451),
            ("9:30 - 17:00", 16 * 60, true, 60),
            ("22:00-24:00", 23 * 60, true, 60),
            ("22:00-24:00", 0, false, 0),
        ] {
            let hours: QuietHours = text.parse().unwrap();
            assert_eq!((hours.hold(minute), hours.left_min(minute)), (holds, left_min), "{text}");
        }
        assert_eq!("7:00-9:00".parse::<QuietHours>().unwrap().to_string(), "07:00-09:00");
        for text in ["", "23-7", "23:00", "25:00-07:00", "23:60-7:00", "7:00-07:00", "1:2-3:4"] {
            assert!(text.parse::<QuietHours>().is_err(), "{text:?}");
        }
    }
}
