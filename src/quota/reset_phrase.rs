//! The client's reset phrases: found in a row, and taken apart. Every grammar that a version of the
//! client is known to print; never a guess at any other.

use std::time::Duration;

use time::{Month, Time, Weekday};

/// A phrase is a handful of words.
const PHRASE_CHARS_MAX: usize = 120;
/// Longer than any window of a plan.
const LENGTH_MAX: Duration = Duration::from_secs(8 * 86_400);

/// What a phrase says, before it is placed on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Seconds since 1970.
    Epoch(i64),
    After(Duration),
    At(Time),
    OnWeekday(Weekday, Time),
    OnDay {
        year: Option<i32>,
        month: Month,
        day: u8,
        clock: Time,
    },
}

/// The reset phrase in a row of the client, from its first word to its zone: `resets 3pm (UTC)`.
pub fn find(row: &str) -> Option<&str> {
    const LEADS: [&str; 5] = [
        "resets ",
        "reset at ",
        "continuing automatically at ",
        "continue automatically at ",
        "reached|",
    ];
    let lower = row.to_ascii_lowercase();
    LEADS.iter().find_map(|lead| {
        let at = lower.find(lead)?;
        let start = if *lead == "reached|" { at + lead.len() - 1 } else { at };
        let phrase = clip(row.get(start..)?);
        shape(phrase).is_some().then_some(phrase)
    })
}

/// What a phrase says, and the zone it names.
pub fn shape(phrase: &str) -> Option<(Shape, Option<String>)> {
    const LEADS: [&str; 12] = [
        "your",
        "limit",
        "will",
        "resets",
        "reset",
        "continuing",
        "continue",
        "automatically",
        "at",
        "on",
        "until",
        "|",
    ];
    let phrase = clip(phrase);
    let (words, bracket) = match phrase.split_once('(') {
        Some((words, rest)) => (words, rest.split(')').next()),
        None => (phrase, None),
    };
    let lower = words.replace('|', "| ").to_lowercase();
    let mut words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .skip_while(|word| LEADS.contains(word))
        .collect();
    let mut zone = bracket.map(|name| name.split_whitespace().collect::<String>());
    if let [.., "utc" | "gmt"] = words[..] {
        words.pop();
        zone = zone.or(Some("UTC".to_owned()));
    }
    Some((shape_of(&words)?, zone))
}

/// Up to the end of the phrase: a separator of the client, or its closing bracket.
fn clip(text: &str) -> &str {
    let mut open = 0_u32;
    let mut end = text.len();
    for (count, (at, c)) in text.char_indices().enumerate() {
        match c {
            '(' => open += 1,
            ')' if open == 1 => {
                end = at + 1;
                break;
            }
            ')' | ';' | '·' | '∙' | '•' => {
                end = at;
                break;
            }
            _ if count >= PHRASE_CHARS_MAX => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    text[..end].trim().trim_end_matches('.')
}

fn shape_of(words: &[&str]) -> Option<Shape> {
    if let ["in", length @ ..] = words {
        return duration(length).map(Shape::After);
    }
    if let [digits] = words
        && digits.len() == 10
        && let Ok(epoch_s) = digits.parse()
    {
        return Some(Shape::Epoch(epoch_s));
    }
    if let [first, rest @ ..] = words {
        if let Some((year, month, day)) = iso_date(first) {
            let clock = clock_or_midnight(rest)?;
            return Some(Shape::OnDay { year: Some(year), month, day, clock });
        }
        if let (Some(month), [day, rest @ ..]) = (month(first), rest) {
            let day = day.parse().ok()?;
            let (year, rest) = match rest {
                [year, rest @ ..] if is_year(year) => (year.parse().ok(), rest),
                _ => (None, rest),
            };
            return Some(Shape::OnDay { year, month, day, clock: clock_or_midnight(rest)? });
        }
        if let Some(weekday) = weekday(first) {
            return Some(Shape::OnWeekday(weekday, clock_or_midnight(rest)?));
        }
    }
    clock(words).map(Shape::At).or_else(|| duration(words).map(Shape::After))
}

/// `45 minutes`, `2h 5m`, `8m`.
fn duration(words: &[&str]) -> Option<Duration> {
    let joined = words.concat();
    let mut rest = joined.as_str();
    let mut total_s: u64 = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..unit_at].parse().ok()?;
        rest = &rest[unit_at..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_s = match &rest[..unit_end] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        total_s = total_s.checked_add(count.checked_mul(unit_s)?)?;
        rest = &rest[unit_end..];
    }
    (!words.is_empty() && total_s <= LENGTH_MAX.as_secs()).then(|| Duration::from_secs(total_s))
}

fn clock_or_midnight(words: &[&str]) -> Option<Time> {
    match words {
        [] => Some(Time::MIDNIGHT),
        ["at", rest @ ..] => clock(rest),
        _ => clock(words),
    }
}

/// `3pm`, `3:45 pm`, `19:00`.
fn clock(words: &[&str]) -> Option<Time> {
    let joined = words.concat();
    let (digits, half) = match joined.strip_suffix("am") {
        Some(digits) => (digits, Some(0)),
        None => match joined.strip_suffix("pm") {
            Some(digits) => (digits, Some(12)),
            None => (joined.as_str(), None),
        },
    };
    let (hour, minute) = match digits.split_once(':') {
        Some((hour, minute)) if minute.len() == 2 => (hour, number(minute)?),
        Some(_) => return None,
        None => {
            // A bare number is no time of day.
            half?;
            (digits, 0)
        }
    };
    let hour = match (number(hour)?, half) {
        (hour @ 1..=12, Some(half)) => hour % 12 + half,
        (hour, None) => hour,
        _ => return None,
    };
    Time::from_hms(hour, minute, 0).ok()
}

fn number(digits: &str) -> Option<u8> {
    let sound = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| digits.parse().ok())?
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit())
}

fn iso_date(word: &str) -> Option<(i32, Month, u8)> {
    let (year, rest) = word.split_once('-').filter(|(year, _)| is_year(year))?;
    let (month, day) = rest.split_once('-')?;
    Some((year.parse().ok()?, Month::try_from(number(month)?).ok()?, number(day)?))
}

fn month(word: &str) -> Option<Month> {
    (1..=12)
        .filter_map(|number| Month::try_from(number).ok())
        .find(|month| names(&month.to_string(), word))
}

fn weekday(word: &str) -> Option<Weekday> {
    (0..7)
        .map(|days| Weekday::Monday.nth_next(days))
        .find(|weekday| names(&weekday.to_string(), word))
}

/// Written out or cut to three or four letters, as in `Sep`, `Sept`, `Tues`.
fn names(full: &str, word: &str) -> bool {
    let full = full.to_lowercase();
    word == full || ((3..=4).contains(&word.len()) && full.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phrase_is_found_in_its_row() {
        let rows = [
            (
                "You've hit your limit · resets 7pm (America/New_York) · progress saved",
                Some("resets 7pm (America/New_York)"),
            ),
            ("limit · resets 5pm (UTC)e", Some("resets 5pm (UTC)")),
            (
                "spend limit reached (daily; resets 2026-08-09 00:00 UTC)",
                Some("resets 2026-08-09 00:00 UTC"),
            ),
            ("Limit reached (resets 8m)", Some("resets 8m")),
            (
                "Claude usage limit reached. Your limit will reset at 4pm (Asia/Tokyo).",
                Some("reset at 4pm (Asia/Tokyo)"),
            ),
            ("Claude AI usage limit reached|1749924000", Some("|1749924000")),
            ("set to continue automatically at 4:24pm", Some("continue automatically at 4:24pm")),
            ("continuing automatically when it resets · esc to cancel", None),
            ("send a message after it resets to continue", None),
            ("the usage limit now resets more than 24 hours out", None),
        ];
        for (row, expected) in rows {
            assert_eq!(find(row), expected, "{row}");
        }
    }
}
