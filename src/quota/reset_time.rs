//! A reset phrase, a moment and a zone → an instant. Never fetches the moment or the zone.
//!
//! What cannot be placed gives `None`, never a guess: the caller then asks again later instead of
//! waiting for a wrong moment.

use std::time::Duration;

use time::Date;

use crate::moment::Wall;
use crate::quota::local_time::Zone;
use crate::quota::reset_phrase::{Shape, shape};

/// No window of a plan is longer than seven days; a reset further from now is a misreading.
const HORIZON: Duration = Duration::from_secs(8 * 86_400);
/// The client drops the seconds, so a clock time that has just passed is still the coming reset
/// and not the same time tomorrow.
const JUST_PASSED: Duration = Duration::from_secs(120);

/// The instant that a phrase means when it is read at `now`.
///
/// A clock time means its next occurrence, but one that passed at most two minutes ago is given as
/// it was. A day without a clock time is its midnight. A date may lie in the past, and is given so:
/// its banner is history. A length counts from `now`, so only the first look at it is right.
/// `None`: no phrase of the client, an unknown zone, or more than eight days from now.
/// `default_zone` (`None` = UTC) is meant where the phrase names none.
pub fn parse(phrase: &str, now: Wall, default_zone: Option<&str>) -> Option<Wall> {
    let (shape, zone) = shape(phrase)?;
    let zone = Zone::of(zone.as_deref().or(default_zone).unwrap_or("UTC"))?;
    let at = resolve(shape, now, zone)?;
    (at - now <= HORIZON && now - at <= HORIZON).then_some(at)
}

fn resolve(shape: Shape, now: Wall, zone: Zone<'_>) -> Option<Wall> {
    let wall = |unix_s: i64| unix_s.checked_mul(1000).map(Wall);
    let now_s = now.0.div_euclid(1000);
    let today = zone.day(now_s)?;
    let place = |day: Date, clock| zone.instant(day, clock).and_then(wall);
    let still_to_come = |at: &Wall| now - *at <= JUST_PASSED;
    let days = (-1..=8).filter_map(|days| today.checked_add(time::Duration::days(days)));
    match shape {
        Shape::Epoch(unix_s) => wall(unix_s),
        Shape::InDays(days, clock) => place(today.checked_add(time::Duration::days(days))?, clock),
        Shape::After(length) => Some(now + length),
        Shape::At(clock) => days.filter_map(|day| place(day, clock)).find(still_to_come),
        Shape::OnWeekday(weekday, clock) => days
            .filter(|day| day.weekday() == weekday)
            .filter_map(|day| place(day, clock))
            .find(still_to_come),
        Shape::OnDay { year: Some(year), month, day, clock } => {
            place(Date::from_calendar_date(year, month, day).ok()?, clock)
        }
        // The year that brings it nearest: on 31 December "Jan 2" is next year's.
        Shape::OnDay { year: None, month, day, clock } => (-1..=1)
            .filter_map(|years| Date::from_calendar_date(today.year() + years, month, day).ok())
            .filter_map(|day| place(day, clock))
            .min_by_key(|at| at.0.abs_diff(now.0)),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::macros::datetime;

    use super::*;

    fn wall(at: OffsetDateTime) -> Wall {
        Wall(at.unix_timestamp() * 1000)
    }

    #[track_caller]
    fn check(now: OffsetDateTime, zone: Option<&str>, rows: &[(&str, &str)]) {
        for (phrase, expected) in rows {
            let at = parse(phrase, wall(now), zone);
            let at = at.map_or("none".to_owned(), |at| at.to_string());
            assert_eq!(at, *expected, "{phrase:?} at {now}");
        }
    }

    /// A Sunday.
    const NOW: OffsetDateTime = datetime!(2026-11-22 15:23:24 UTC);

    #[test]
    fn every_grammar_is_read() {
        check(
            NOW,
            None,
            &[
                ("resets 4:24pm (UTC)", "2026-11-22T16:24:00Z"),
                ("resets 3pm", "2026-11-23T15:00:00Z"),
                ("resets 12am", "2026-11-23T00:00:00Z"),
                ("resets 12pm", "2026-11-23T12:00:00Z"),
                ("resets at 11:30pm", "2026-11-22T23:30:00Z"),
                ("resets 5 PM", "2026-11-22T17:00:00Z"),
                ("3:45pm", "2026-11-22T15:45:00Z"),
                ("resets 19:00", "2026-11-22T19:00:00Z"),
                ("resets 3pm (America/Los_Angeles)", "2026-11-22T23:00:00Z"),
                ("resets 3:20am (Asia/Calcutta)", "2026-11-22T21:50:00Z"),
                ("resets 4am (America/Buenos_Aires)", "2026-11-23T07:00:00Z"),
                ("resets 1am (America/ Sao_Paulo)", "2026-11-23T04:00:00Z"),
                ("Your limit will reset at 1pm (Etc/GMT+5).", "2026-11-22T18:00:00Z"),
                ("limit resets 6:20pm", "2026-11-22T18:20:00Z"),
                ("continuing automatically at 5pm", "2026-11-22T17:00:00Z"),
                ("resets Nov 25, 1:24pm (UTC)", "2026-11-25T13:24:00Z"),
                ("resets Nov 27 at 4:30am (Asia/Calcutta)", "2026-11-26T23:00:00Z"),
                ("resets Nov 28 at 19:00 (Europe/Paris)", "2026-11-28T18:00:00Z"),
                ("resets November 24", "2026-11-24T00:00:00Z"),
                ("resets Nov 24, 2026, 9:30am (UTC)", "2026-11-24T09:30:00Z"),
                ("resets Mon 12:00am", "2026-11-23T00:00:00Z"),
                ("resets Sun 3pm", "2026-11-29T15:00:00Z"),
                ("resets Sun 4pm", "2026-11-22T16:00:00Z"),
                ("resets Monday", "2026-11-23T00:00:00Z"),
                ("resets Thu at 1pm", "2026-11-26T13:00:00Z"),
                ("resets in 5m", "2026-11-22T15:28:24Z"),
                ("resets 8m", "2026-11-22T15:31:24Z"),
                ("resets in 45 minutes", "2026-11-22T16:08:24Z"),
                ("resets in 2 hours", "2026-11-22T17:23:24Z"),
                ("resets in 2h 5m", "2026-11-22T17:28:24Z"),
                ("in 1 day 1 hour", "2026-11-23T16:23:24Z"),
                ("resets 2026-11-23 00:00 UTC)", "2026-11-23T00:00:00Z"),
                ("|1795364667", "2026-11-22T16:24:27Z"),
                ("1795364667", "2026-11-22T16:24:27Z"),
            ],
        );
    }

    #[test]
    fn forms_that_no_client_is_known_to_print_are_read_where_they_mean_one_thing() {
        check(
            NOW,
            None,
            &[
                ("resets 6pm (GMT+2)", "2026-11-22T16:00:00Z"),
                ("resets 10pm (UTC+5:30)", "2026-11-22T16:30:00Z"),
                ("resets 1pm (GMT-3)", "2026-11-22T16:00:00Z"),
                ("resets 6pm UTC+2", "2026-11-22T16:00:00Z"),
                ("resets 6pm Europe/Paris", "2026-11-22T17:00:00Z"),
                ("resets 4:24:10 pm (UTC)", "2026-11-22T16:24:10Z"),
                ("resets 4:24 p.m. (UTC)", "2026-11-22T16:24:00Z"),
                ("resets 4:24\u{202f}PM (UTC)", "2026-11-22T16:24:00Z"),
                ("resets 25 Nov, 1:24pm", "2026-11-25T13:24:00Z"),
                ("resets Wed, Nov 25, 1:24pm", "2026-11-25T13:24:00Z"),
                ("resets today at 11pm", "2026-11-22T23:00:00Z"),
                ("resets today at 1pm", "2026-11-22T13:00:00Z"),
                ("resets tomorrow at 1pm (Asia/Tokyo)", "2026-11-24T04:00:00Z"),
                ("resets in 2 hours and 5 minutes", "2026-11-22T17:28:24Z"),
                ("|1795364667000", "2026-11-22T16:24:27Z"),
            ],
        );
    }

    #[test]
    fn a_phrase_without_a_zone_is_meant_in_the_default_zone() {
        check(
            NOW,
            Some("Asia/Tokyo"),
            &[
                ("resets 1am", "2026-11-22T16:00:00Z"),
                ("resets 1am (UTC)", "2026-11-23T01:00:00Z"),
                // It is Monday in Tokyo.
                ("resets Tue 12am", "2026-11-23T15:00:00Z"),
                ("resets Jan 2, 2027, 9:30am (UTC)", "none"),
            ],
        );
        check(NOW, Some("Mars/Olympus"), &[("resets 1am", "none")]);
    }

    #[test]
    fn a_time_that_has_just_passed_is_not_tomorrow() {
        check(
            datetime!(2026-11-22 15:01:59 UTC),
            None,
            &[("resets 3pm", "2026-11-22T15:00:00Z"), ("resets Sun 3pm", "2026-11-22T15:00:00Z")],
        );
        check(datetime!(2026-11-22 15:02:01 UTC), None, &[("resets 3pm", "2026-11-23T15:00:00Z")]);
        check(
            datetime!(2026-11-23 0:00:30 UTC),
            None,
            &[("resets 11:59pm", "2026-11-22T23:59:00Z")],
        );
    }

    #[test]
    fn a_date_means_the_nearest_year() {
        check(
            datetime!(2026-12-31 12:00 UTC),
            None,
            &[
                ("resets Jan 2, 9am", "2027-01-02T09:00:00Z"),
                ("resets Jan 2, 2027, 9:30am (UTC)", "2027-01-02T09:30:00Z"),
                ("resets Dec 30 at 6am", "2026-12-30T06:00:00Z"),
                ("resets Feb 29, 1pm", "none"),
            ],
        );
    }

    #[test]
    fn further_than_eight_days_is_refused() {
        check(
            NOW,
            None,
            &[
                ("resets Nov 30, 3:23pm", "2026-11-30T15:23:00Z"),
                ("resets Nov 30, 3:24pm", "none"),
                ("resets Dec 17 at 6am (Europe/Oslo)", "none"),
                ("resets Nov 10, 5pm", "none"),
                ("resets in 9 days", "none"),
                ("|1749924000", "none"),
                ("|9999999999", "none"),
            ],
        );
    }

    #[test]
    fn clocks_that_change_change_the_answer() {
        check(
            datetime!(2026-03-08 5:00 UTC),
            Some("America/New_York"),
            &[("resets 2:30am", "2026-03-08T07:30:00Z"), ("resets 3am", "2026-03-08T07:00:00Z")],
        );
        check(
            datetime!(2026-10-24 23:00 UTC),
            Some("Europe/Paris"),
            &[("resets 2:30am", "2026-10-25T01:30:00Z")],
        );
    }

    #[test]
    fn what_is_no_phrase_of_the_client_gives_nothing() {
        let nines = "9".repeat(500);
        check(
            NOW,
            None,
            &[
                ("", "none"),
                ("resets", "none"),
                ("resets soon", "none"),
                ("resets 3", "none"),
                ("resets 13pm", "none"),
                ("resets 0am", "none"),
                ("resets 3:5pm", "none"),
                ("resets 3:60pm", "none"),
                ("resets 24:00", "none"),
                ("resets 25:00", "none"),
                ("resets +3pm", "none"),
                ("resets Nov 31, 1pm", "none"),
                ("resets Nov 24 tomorrow", "none"),
                ("resets 3pm is what it says", "none"),
                ("resets 3pm (Not/AZone)", "none"),
                ("resets 3pm (America/Los_", "none"),
                ("resets 3pm (GMT+25)", "none"),
                ("resets 3:45:61pm", "none"),
                ("resets 13:00pm", "none"),
                ("resets 3p.m.a.m", "none"),
                ("resets 0 Nov, 1pm", "none"),
                ("resets today tomorrow 1pm", "none"),
                ("resets Mon, Tue 1pm", "none"),
                ("resets in 5m and", "none"),
                ("|179536466700000", "none"),
                ("|-795364667", "none"),
                ("resets 2026-13-01 00:00 UTC", "none"),
                ("resets in", "none"),
                ("resets in m", "none"),
                ("resets in 99999999999999999999h", "none"),
                ("resets in 9223372036854775807 d", "none"),
                (&nines, "none"),
            ],
        );
        check(
            OffsetDateTime::from_unix_timestamp(0).expect("the epoch"),
            None,
            &[("resets 1am", "1970-01-01T01:00:00Z")],
        );
        for now in [i64::MIN, i64::MAX] {
            assert_eq!(parse("resets 3pm", Wall(now), None), None);
        }
    }
}
