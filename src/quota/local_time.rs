//! Wall clocks of IANA zones, from the tables compiled in. Never the host's zone files.

use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

/// Zones change their offset at most once within this time of any moment.
const DAY_S: i64 = 86_400;

/// Whether this is the name of an IANA zone; case does not matter.
pub fn is_zone(name: &str) -> bool {
    tzdb::tz_by_name(name).is_some()
}

/// The offset of `zone` from UTC at a Unix time; `None` when there is no such zone.
fn offset_s(zone: &str, unix_s: i64) -> Option<i64> {
    let zone = tzdb::tz_by_name(zone)?;
    let kind = zone.find_local_time_type(unix_s).ok()?;
    Some(i64::from(kind.ut_offset()))
}

/// The calendar day in `zone` at a Unix time.
pub fn day(zone: &str, unix_s: i64) -> Option<Date> {
    let local_s = unix_s.checked_add(offset_s(zone, unix_s)?)?;
    let local = OffsetDateTime::from_unix_timestamp(local_s).ok()?;
    Some(local.date())
}

/// The Unix time at which clocks in `zone` show this day and time.
///
/// A time that a zone shows twice is the later one, for a reset must not be expected too early; a
/// time that it skips counts on from before the gap, as people and the C library do.
pub fn instant(zone: &str, day: Date, clock: Time) -> Option<i64> {
    let local_s = PrimitiveDateTime::new(day, clock).assume_utc().unix_timestamp();
    let by_before = local_s - offset_s(zone, local_s - DAY_S)?;
    let by_after = local_s - offset_s(zone, local_s + DAY_S)?;
    let shows = |unix_s: i64| offset_s(zone, unix_s).map(|offset| unix_s + offset == local_s);
    match (shows(by_before)?, shows(by_after)?) {
        (true, true) => Some(by_before.max(by_after)),
        (false, true) => Some(by_after),
        (true | false, false) => Some(by_before),
    }
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
            let at = instant(zone, local.date(), local.time()).map(|unix_s| Wall(unix_s * 1000));
            assert_eq!(at.map(|at| at.to_string()).as_deref(), Some(expected), "{zone} {local}");
        }
        assert_eq!(instant("Mars/Olympus", date!(2026 - 10 - 25), Time::MIDNIGHT), None);
    }

    #[test]
    fn the_day_is_the_one_of_the_zone() {
        let at = datetime!(2026-11-22 23:30 UTC).unix_timestamp();
        assert_eq!(day("UTC", at), Some(date!(2026 - 11 - 22)));
        assert_eq!(day("Asia/Tokyo", at), Some(date!(2026 - 11 - 23)));
    }
}
