//! A client's printer of resets, written without a look at the parser.

use arbtest::arbitrary::{Result, Unstructured};
use time::OffsetDateTime;

pub const MINUTE_S: i64 = 60;
pub const HOUR_S: i64 = 60 * MINUTE_S;
pub const DAY_S: i64 = 24 * HOUR_S;

/// An instant as clocks in its zone show it.
pub struct Shown {
    pub zone: &'static str,
    pub at_s: i64,
    pub local: OffsetDateTime,
}

pub fn offset_s(zone: &str, at_s: i64) -> i64 {
    let zone = tzdb::tz_by_name(zone).unwrap();
    i64::from(zone.find_local_time_type(at_s).unwrap().ut_offset())
}

impl Shown {
    pub fn new(zone: &'static str, at_s: i64) -> Self {
        let local = OffsetDateTime::from_unix_timestamp(at_s + offset_s(zone, at_s)).unwrap();
        Self { zone, at_s, local }
    }

    /// As much of `ahead_s` as leaves it unmistakable: what clocks were put forward is missing from
    /// its days, up to a whole one, for Samoa and Tokelau had no 2011-12-30. "Sat" was said of two
    /// days within seven, and a time that is skipped is read as one shortly after the change.
    pub fn unmistakable_s(&self, ahead_s: i64, span_s: i64) -> i64 {
        let before_s = offset_s(self.zone, self.at_s - ahead_s - DAY_S);
        let forward_s = offset_s(self.zone, self.at_s) - before_s;
        ahead_s.min(span_s - forward_s).max(0)
    }

    /// Clocks that are put back show some times twice; the later one is meant.
    pub fn last_instant(&self) -> i64 {
        let offset = offset_s(self.zone, self.at_s);
        let others = [-DAY_S, DAY_S].map(|away_s| offset_s(self.zone, self.at_s + away_s));
        let alike = others
            .map(|other| (self.at_s + offset - other, other))
            .into_iter()
            .filter(|&(at_s, other)| offset_s(self.zone, at_s) == other)
            .map(|(at_s, _)| at_s);
        alike.max().map_or(self.at_s, |at_s| at_s.max(self.at_s))
    }
}

/// What a phrase gives beside the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    None,
    Weekday,
    Date,
    DateAndYear,
    Iso,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    Clock(Day),
    /// A day that begins at that instant, and no time of day.
    Midnight(Day),
    Length,
    Epoch,
}

pub const GRAMMARS: [Grammar; 10] = [
    Grammar::Clock(Day::None),
    Grammar::Clock(Day::Weekday),
    Grammar::Clock(Day::Date),
    Grammar::Clock(Day::DateAndYear),
    Grammar::Clock(Day::Iso),
    Grammar::Midnight(Day::Weekday),
    Grammar::Midnight(Day::Date),
    Grammar::Midnight(Day::DateAndYear),
    Grammar::Length,
    Grammar::Epoch,
];

impl Grammar {
    /// How long before the reset it is unmistakable, where no clocks are put forward. A time that
    /// passed within two minutes is no coming one.
    pub fn span_s(self) -> i64 {
        match self {
            Self::Clock(Day::None) => 22 * HOUR_S,
            Self::Clock(Day::Weekday) | Self::Midnight(Day::Weekday) => 7 * DAY_S - 2 * HOUR_S,
            Self::Clock(_) | Self::Midnight(_) | Self::Length | Self::Epoch => 8 * DAY_S,
        }
    }
}

fn clock(u: &mut Unstructured<'_>, local: OffsetDateTime) -> Result<String> {
    let (hour, minute) = (local.hour(), local.minute());
    let half = if hour < 12 { "am" } else { "pm" };
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let space = *u.choose(&["", " ", "\u{a0}", "\u{202f}"])?;
    Ok(match (minute, u.int_in_range(0..=3)?) {
        (_, 0) => format!("{hour:02}:{minute:02}"),
        // The client drops the minutes of full hours.
        (0, 1 | 2) => format!("{twelve}{space}{half}"),
        _ => format!("{twelve}:{minute:02}{space}{half}"),
    })
}

fn day(u: &mut Unstructured<'_>, kind: Day, local: OffsetDateTime) -> Result<String> {
    let (month, weekday) = (local.month().to_string(), local.weekday().to_string());
    let month = if u.arbitrary()? { &month } else { &month[..3] };
    let weekday = if u.arbitrary()? { &weekday } else { &weekday[..3] };
    let (year, day) = (local.year(), local.day());
    Ok(match kind {
        Day::None => String::new(),
        Day::Weekday => weekday.to_owned(),
        Day::Date => format!("{month} {day}"),
        Day::DateAndYear => format!("{month} {day}, {year}"),
        Day::Iso => format!("{year}-{:02}-{day:02}", u8::from(local.month())),
    })
}

fn length(u: &mut Unstructured<'_>, minutes: i64) -> Result<String> {
    let (days, hours, rest) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    let short = [(days, "d"), (hours, "h"), (rest, "m")];
    let long = [(days, " days"), (hours, " hours"), (rest, " minutes")];
    let parts = match u.int_in_range(0..=2)? {
        0 => vec![(minutes, "m")],
        1 => short.to_vec(),
        _ => long.to_vec(),
    };
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    let parts = if parts.is_empty() { "0m".to_owned() } else { parts.join(" ") };
    Ok(format!("{}{parts}", u.choose(&["in ", ""])?))
}

/// The name in brackets, perhaps cut by the edge of the screen; or nothing, for a client whose zone
/// is the reader's.
fn zone(u: &mut Unstructured<'_>, name: &str) -> Result<(String, bool)> {
    let cut = u.int_in_range(0..=name.len())?;
    Ok(match u.int_in_range(0..=3)? {
        0 => (String::new(), false),
        1 => (format!(" ({}{}{})", &name[..cut], u.choose(&[" ", "\n     "])?, &name[cut..]), true),
        2 if name == "UTC" => (" UTC".to_owned(), true),
        _ => (format!(" ({name})"), true),
    })
}

/// The row of a client around its phrase.
fn row(u: &mut Unstructured<'_>, lead: &str, phrase: &str) -> Result<String> {
    let before = u.choose(&[
        "You've hit your session limit · ",
        "Weekly limit reached ∙ ",
        "5-hour limit reached • ",
        "You've hit your monthly spend limit · raise it at https://x/y · your 5-hour limit ",
        "Usage limit reached · continuing automatically when it resets · limit ",
        "Claude usage limit reached. Your limit ",
        "spend limit reached (daily; ",
        "",
    ])?;
    let after = u.choose(&[
        "",
        " · progress saved",
        " · out of usage credits",
        " ∙ x",
        " • /upgrade",
        ".",
        ")",
        "; x",
    ])?;
    let row = format!("{before}{lead}{phrase}{after}");
    Ok(match u.int_in_range(0..=3)? {
        0 => row.to_ascii_uppercase(),
        1 => row.to_ascii_lowercase(),
        _ => row,
    })
}

/// The row that a client in this zone prints at `now_s`, and whether it names the zone.
pub fn print(
    u: &mut Unstructured<'_>,
    grammar: Grammar,
    shown: &Shown,
    now_s: i64,
) -> Result<(String, bool)> {
    let (zone, names_zone) = zone(u, shown.zone)?;
    let words = match grammar {
        Grammar::Epoch => {
            return Ok((format!("Claude AI usage limit reached|{}", shown.at_s), true));
        }
        Grammar::Length => {
            let words = length(u, (shown.at_s - now_s) / MINUTE_S)?;
            let lead = u.choose(&["resets ", "will reset "])?;
            return Ok((row(u, lead, &words)?, true));
        }
        Grammar::Midnight(kind) => day(u, kind, shown.local)?,
        Grammar::Clock(Day::None) => clock(u, shown.local)?,
        Grammar::Clock(kind) => {
            let day = day(u, kind, shown.local)?;
            format!("{day}{}{}", u.choose(&[" ", ", ", " at "])?, clock(u, shown.local)?)
        }
    };
    let lead = u.choose(&["resets ", "resets at ", "reset at ", "continuing automatically at "])?;
    Ok((row(u, lead, &format!("{words}{zone}"))?, names_zone))
}
