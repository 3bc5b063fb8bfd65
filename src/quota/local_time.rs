//! Wall clocks of IANA zones, from the tables compiled in, and of plain offsets. Never the host's
//! zone files.

use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

/// Zones change their offset at most once within this time of any moment.
const DAY_S: i64 = 86_400;
/// No place on earth is further from UTC.
const OFFSET_S_MAX: i64 = 14 * 3_600;

/// Whether this is the name of an IANA zone; case does not matter.
pub fn is_zone(name: &str) -> bool {
    tzdb::tz_by_name(name).is_some()
}

/// Where a clock hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone<'a> {
    /// The name of an IANA zone.
    Named(&'a str),
    /// Seconds that it is ahead of UTC, all year.
    Fixed(i64),
}

impl<'a> Zone<'a> {
    /// An IANA name in any case, else an offset: `GMT+2`, `UTC+5:30`, `-0330`.
    ///
    /// Such an offset counts east of Greenwich, as browsers print it; the zones `Etc/GMT+2` and
    /// their like count west, and are names.
    pub fn of(name: &'a str) -> Option<Self> {
        if is_zone(name) { Some(Self::Named(name)) } else { fixed_s(name).map(Self::Fixed) }
    }

    /// The offset from UTC at a Unix time.
    fn offset_s(self, unix_s: i64) -> Option<i64> {
        match self {
            Self::Named(name) => {
                let kind = tzdb::tz_by_name(name)?.find_local_time_type(unix_s).ok()?;
                Some(i64::from(kind.ut_offset()))
            }
            Self::Fixed(offset_s) => Some(offset_s),
        }
    }

    /// What clocks and calendars there show at a Unix time.
    pub fn shown(self, unix_s: i64) -> Option<PrimitiveDateTime> {
        let local_s = unix_s.checked_add(self.offset_s(unix_s)?)?;
        let local = OffsetDateTime::from_unix_timestamp(local_s).ok()?;
        Some(PrimitiveDateTime::new(local.date(), local.time()))
    }

    /// The calendar day there at a Unix time.
    pub fn day(self, unix_s: i64) -> Option<Date> {
        self.shown(unix_s).map(PrimitiveDateTime::date)
    }

    /// The Unix time at which clocks there show this day and time.
    ///
    /// A time that a zone shows twice is the later one, for a reset must not be expected too early;
    /// a time that it skips counts on from before the gap, as people and the C library do.
    pub fn instant(self, day: Date, clock: Time) -> Option<i64> {
        let local_s = PrimitiveDateTime::new(day, clock).assume_utc().unix_timestamp();
        let by_before = local_s - self.offset_s(local_s - DAY_S)?;
        let by_after = local_s - self.offset_s(local_s + DAY_S)?;
        let shows =
            |unix_s: i64| self.offset_s(unix_s).map(|offset_s| unix_s + offset_s == local_s);
        match (shows(by_before)?, shows(by_after)?) {
            (true, true) => Some(by_before.max(by_after)),
            (false, true) => Some(by_after),
            (true | false, false) => Some(by_before),
        }
    }
}

/// `+2`, `+02`, `+0200`, `+02:00` behind `GMT`, `UTC` or nothing, in seconds.
fn fixed_s(name: &str) -> Option<i64> {
    let lower = name.to_ascii_lowercase();
    let rest = ["gmt", "utc"].iter().find_map(|lead| lower.strip_prefix(lead)).unwrap_or(&lower);
    let (sign, digits) = match rest.strip_prefix('+') {
        Some(digits) => (1, digits),
        // A hyphen, or the minus of typographers.
        None => (-1, rest.strip_prefix(['-', '\u{2212}'])?),
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), _) => (hours, minutes),
        (None, 4) => digits.split_at_checked(2)?,
        (None, _) => (digits, "00"),
    };
    let is_number = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(hours, &[1, 2]) || !is_number(minutes, &[2]) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset_s = hours * 3_600 + minutes * 60;
    (minutes < 60 && offset_s <= OFFSET_S_MAX).then_some(sign * offset_s)
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;
    use crate::moment::Wall;

    #[test]
    fn a_clock_time_becomes_an_instant_also_where_clocks_change() {
        let rows = [
            // Plain days, with and without daylight saving time.
            ("UTC", datetime!(2026-11-22 16:24), "2026-11-22T16:24:00Z"),
            ("Europe/Paris", datetime!(2026-07-01 9:00), "2026-07-01T07:00:00Z"),
            ("asia/calcutta", datetime!(2026-07-01 5:30), "2026-07-01T00:00:00Z"),
            ("Etc/GMT+5", datetime!(2026-07-01 13:00), "2026-07-01T18:00:00Z"),
            // The clocks of New York skip 02:00–03:00.
            ("America/New_York", datetime!(2026-03-08 1:59), "2026-03-08T06:59:00Z"),
            ("America/New_York", datetime!(2026-03-08 2:30), "2026-03-08T07:30:00Z"),
            ("America/New_York", datetime!(2026-03-08 3:00), "2026-03-08T07:00:00Z"),
            // The clocks of Paris show 02:00–03:00 twice.
            ("Europe/Paris", datetime!(2026-10-25 1:59), "2026-10-24T23:59:00Z"),
            ("Europe/Paris", datetime!(2026-10-25 2:30), "2026-10-25T01:30:00Z"),
            ("Europe/Paris", datetime!(2026-10-25 3:00), "2026-10-25T02:00:00Z"),
        ];
        for (zone, local, expected) in rows {
            let zone = Zone::of(zone).expect("a zone");
            let at = zone.instant(local.date(), local.time()).map(|unix_s| Wall(unix_s * 1000));
            assert_eq!(at.map(|at| at.to_string()).as_deref(), Some(expected), "{zone:?} {local}");
        }
    }

    #[test]
    fn a_zone_is_a_name_or_an_offset_and_nothing_else() {
        for (name, offset_s) in [
            ("GMT+2", 7_200),
            ("utc+5:30", 19_800),
            ("UTC-3", -10_800),
            ("GMT\u{2212}3", -10_800),
            ("+0545", 20_700),
            ("-03:30", -12_600),
            ("GMT+14", 50_400),
        ] {
            assert_eq!(Zone::of(name), Some(Zone::Fixed(offset_s)), "{name}");
        }
        for name in ["UTC", "gmt", "GMT+0", "Etc/GMT+2", "america/los_angeles", "W-SU"] {
            assert_eq!(Zone::of(name), Some(Zone::Named(name)), "{name}");
        }
        for name in [
            "",
            "+",
            "Mars/Olympus",
            "GMT+15",
            "UTC+5:60",
            "UTC+5:3",
            "UTC+",
            "UTC+123",
            "UTC++2",
            "UTC+é1",
            "+99999999999999999999",
            "UTC+5:30:00",
            "America/Los_",
        ] {
            assert_eq!(Zone::of(name), None, "{name}");
        }
    }

    #[test]
    fn the_day_is_the_one_of_the_zone() {
        let at = datetime!(2026-11-22 23:30 UTC).unix_timestamp();
        assert_eq!(Zone::Named("UTC").day(at), Some(date!(2026 - 11 - 22)));
        assert_eq!(Zone::Named("Asia/Tokyo").day(at), Some(date!(2026 - 11 - 23)));
    }
}
