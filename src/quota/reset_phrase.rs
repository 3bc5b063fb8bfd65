//! The client's reset phrases: found in a row, and taken apart. Every grammar that a version of the
//! client is known to print; never a guess at any other.

use std::time::Duration;

use time::{Month, Time, Weekday};

/// A phrase is a handful of words.
const PHRASE_CHARS_MAX: usize = 120;
/// Places of a text that may begin a phrase; the client's own rows have three at most.
const LEADS_LOOKED_AT_MAX: usize = 16;
/// Longer than any window of a plan.
const LENGTH_MAX: Duration = Duration::from_secs(8 * 86_400);

/// What a phrase says, before it is placed on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Seconds since 1970.
    Epoch(i64),
    After(Duration),
    At(Time),
    /// Days from today.
    InDays(i64, Time),
    OnWeekday(Weekday, Time),
    OnDay {
        year: Option<i32>,
        month: Month,
        day: u8,
        clock: Time,
    },
}

/// The first reset phrase in a row of the client, from its first word to its zone:
/// `resets 3pm (UTC)`. In a row that names several, the first belongs to the limit that was hit.
pub fn find(row: &str) -> Option<&str> {
    const LEADS: [&str; 7] = [
        "resets ",
        "reset at ",
        "reset on ",
        "will reset ",
        "continuing automatically at ",
        "continue automatically at ",
        "reached|",
    ];
    let lower = lowered(row);
    let mut starts: Vec<usize> = LEADS
        .iter()
        .flat_map(|lead| lower.match_indices(lead).take(LEADS_LOOKED_AT_MAX).map(start_of))
        .filter(|&at| {
            !lower[..at].ends_with(|c: char| c.is_alphanumeric()) || lower[at..].starts_with('|')
        })
        .collect();
    starts.sort_unstable();
    starts.into_iter().find_map(|start| {
        let phrase = clip(row.get(start..)?);
        // What is no screen has several lines; a zone may be wrapped, and nothing else.
        let lines = [phrase, phrase.lines().next().unwrap_or(phrase).trim_end_matches(['.', ' '])];
        lines.into_iter().find(|phrase| shape(phrase).is_some())
    })
}

/// Where the phrase begins that a lead was found in.
fn start_of((at, lead): (usize, &str)) -> usize {
    match lead {
        "reached|" => at + lead.len() - 1,
        "will reset " => at + "will ".len(),
        _ => at,
    }
}

/// Lower case, with every space a plain one; each character is where it was.
fn lowered(row: &str) -> String {
    let mut lower = String::with_capacity(row.len());
    for c in row.chars() {
        if c.is_whitespace() {
            lower.extend(std::iter::repeat_n(' ', c.len_utf8()));
        } else {
            lower.push(c.to_ascii_lowercase());
        }
    }
    lower
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
    // The terminal may have cut it at any character.
    let mut zone = bracket.map(|name| name.split_whitespace().collect::<String>());
    if let [_, .., last] = words[..]
        && names_zone(last)
    {
        words.pop();
        zone = zone.or(Some(last.to_owned()));
    }
    Some((shape_of(&words)?, zone))
}

/// `utc`, `gmt+2`, `europe/paris`: a last word that no time of day is.
fn names_zone(word: &str) -> bool {
    word.starts_with("utc") || word.starts_with("gmt") || word.contains('/')
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
    let [first, rest @ ..] = words else { return None };
    if *first == "in" {
        return duration(rest).map(Shape::After);
    }
    if rest.is_empty()
        && let Some(unix_s) = epoch_s(first)
    {
        return Some(Shape::Epoch(unix_s));
    }
    if let Some((year, month, day)) = iso_date(first) {
        let clock = clock_or_midnight(rest)?;
        return Some(Shape::OnDay { year: Some(year), month, day, clock });
    }
    if let Some(on_day) = date(words) {
        return Some(on_day);
    }
    if let Some(weekday) = weekday(first) {
        // Beside a date it says nothing more.
        return date(rest).or_else(|| Some(Shape::OnWeekday(weekday, clock_or_midnight(rest)?)));
    }
    match *first {
        "today" => Some(Shape::InDays(0, clock_or_midnight(rest)?)),
        "tomorrow" => Some(Shape::InDays(1, clock_or_midnight(rest)?)),
        _ => clock(words).map(Shape::At).or_else(|| duration(words).map(Shape::After)),
    }
}

/// Seconds since 1970, or milliseconds, which have three digits more.
fn epoch_s(word: &str) -> Option<i64> {
    let number: i64 = word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok())??;
    match word.len() {
        10 => Some(number),
        13 => Some(number / 1000),
        _ => None,
    }
}

/// `Nov 25, 1:24pm`, `25 Nov`, `Jan 2, 2027 at 9am`.
fn date(words: &[&str]) -> Option<Shape> {
    let [first, second, rest @ ..] = words else { return None };
    let (month, day) = match month(first) {
        Some(month) => (month, number(second)?),
        None => (month(second)?, number(first)?),
    };
    let (year, rest) = match rest {
        [year, rest @ ..] if is_year(year) => (year.parse().ok(), rest),
        _ => (None, rest),
    };
    Some(Shape::OnDay { year, month, day, clock: clock_or_midnight(rest)? })
}

/// `45 minutes`, `2h 5m`, `2 hours and 5 minutes`, `8m`.
fn duration(words: &[&str]) -> Option<Duration> {
    let joined = words.join(" ").replace(" and ", " ").replace(' ', "");
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
    (!joined.is_empty() && total_s <= LENGTH_MAX.as_secs()).then(|| Duration::from_secs(total_s))
}

fn clock_or_midnight(words: &[&str]) -> Option<Time> {
    match words {
        [] => Some(Time::MIDNIGHT),
        ["at", rest @ ..] => clock(rest),
        _ => clock(words),
    }
}

/// `3pm`, `3:45 pm`, `3:45:10 p.m.`, `19:00`.
fn clock(words: &[&str]) -> Option<Time> {
    let joined = words.concat();
    let halves = [("am", 0), ("a.m", 0), ("a.m.", 0), ("pm", 12), ("p.m", 12), ("p.m.", 12)];
    let half = halves.iter().find_map(|(name, hours)| Some((joined.strip_suffix(name)?, *hours)));
    let (digits, half) = half.map_or((joined.as_str(), None), |(rest, hours)| (rest, Some(hours)));
    let parts: Vec<&str> = digits.split(':').collect();
    let (hour, minute, second) = match parts[..] {
        // A bare number is no time of day.
        [hour] if half.is_some() => (hour, "00", "00"),
        [hour, minute] => (hour, minute, "00"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    if minute.len() != 2 || second.len() != 2 {
        return None;
    }
    let hour = match (number(hour)?, half) {
        (hour @ 1..=12, Some(half)) => hour % 12 + half,
        (hour, None) => hour,
        _ => return None,
    };
    Time::from_hms(hour, number(minute)?, number(second)?).ok()
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
            // Several in one row.
            (
                "monthly spend limit · raise it at https://x/y · your 5-hour limit resets 4:25pm",
                Some("resets 4:25pm"),
            ),
            (
                "your budget resets soon · your session limit resets 1am (America/Sao_Paulo)",
                Some("resets 1am (America/Sao_Paulo)"),
            ),
            (
                "continuing automatically when it resets · limit resets 6:20pm · resets Mon 1am",
                Some("resets 6:20pm"),
            ),
            // Wrapped, in other spaces, in other cases, in several lines.
            (
                "limit · resets 8pm (America/Los_ Angeles)",
                Some("resets 8pm (America/Los_ Angeles)"),
            ),
            (
                "LIMIT · RESETS\u{a0}8\u{202f}PM (Asia/ Tokyo)",
                Some("RESETS\u{a0}8\u{202f}PM (Asia/ Tokyo)"),
            ),
            ("Your limit will reset at 8pm.\n\n • /upgrade to go on", Some("reset at 8pm")),
            ("limit · resets 8pm\n/upgrade to go on", Some("resets 8pm")),
            ("limit · resets 8pm\n     (Asia/Tokyo)", Some("resets 8pm\n     (Asia/Tokyo)")),
            ("Your limit will reset on Monday", Some("reset on Monday")),
            // Other words, and sentences.
            ("the presets 3pm", None),
            ("resets 3pm, as the screen says", None),
            ("it resets 3pm because of that", None),
            ("İ resets 3pm", Some("resets 3pm")),
        ];
        for (row, expected) in rows {
            assert_eq!(find(row), expected, "{row}");
        }
    }
}
