//! A reading in words, for the operator who asks why. Judges nothing itself.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::classify::{Source, name};
use crate::moment::Wall;
use crate::quota::reset_phrase::{Shape, shape};
use crate::quota::transcript::Entry;
use crate::quota::verdict::{Activity, Context, LimitKind, Reading, Verdict};
use crate::quota::{pane, reset_time, transcript};

/// Rows from the bottom of a screen, or records, that are looked at again.
const LOOKED_AT_MAX: usize = 200;
/// Of these, so many are shown, the newest.
const SHOWN_MAX: usize = 12;
const SHOWN_CHARS_MAX: usize = 120;

/// What was decided, by what, and what was left out.
pub fn words(source: Source, bytes: &[u8], reading: &Reading, context: &Context<'_>) -> String {
    let mut facts = vec![
        ("verdict", verdict(&reading.verdict)),
        ("rule", reading.rule.clone()),
        ("row", if reading.row.is_empty() { "none".to_owned() } else { reading.row.clone() }),
        (
            "reset",
            reset(
                reading,
                &Context { now: anchor(source, bytes, context), ..*context },
                context.now,
            ),
        ),
    ];
    if source == Source::Pane {
        facts.push(("activity", activity(reading.activity)));
    }
    if reading.armed {
        let wait = "the client waits for the reset and will go on by itself";
        facts.push(("armed", wait.to_owned()));
    }
    if let Some(row) = &reading.unrecognised {
        facts.push(("unrecognised", row.clone()));
    }
    let left_out = match source {
        Source::Pane => other_rows(&String::from_utf8_lossy(bytes), reading, context),
        Source::Transcript => other_records(bytes, reading, context),
        Source::Report => Vec::new(),
    };
    match &left_out[..] {
        [] => facts.push(("left out", "nothing".to_owned())),
        rows => facts.extend(rows.iter().map(|row| ("left out", row.clone()))),
    }
    let mut text = String::new();
    for (name, fact) in facts {
        writeln!(text, "{name:13} {fact}").expect("a String takes everything");
    }
    text
}

fn verdict(verdict: &Verdict) -> String {
    let end = if verdict.is_exhaustion() {
        "as deciding evidence it ends in a failover"
    } else {
        "no failover"
    };
    match verdict {
        Verdict::Exhausted { limit: LimitKind::FiveHour, .. } => {
            format!("exhausted (the 5-hour limit): {end}")
        }
        Verdict::Exhausted { limit: LimitKind::Weekly, .. } => {
            format!("exhausted (the weekly limit): {end}")
        }
        Verdict::Exhausted { limit: LimitKind::Unnamed, .. } => {
            format!("exhausted (a limit without a name): {end}")
        }
        Verdict::SpendLimit { .. }
        | Verdict::Warning
        | Verdict::Throttled
        | Verdict::ServerError
        | Verdict::AuthFailed
        | Verdict::ModelLimit
        | Verdict::Clear => format!("{}: {end}", name(verdict)),
    }
}

/// The moment at which resets are meant: a record's own, else that of the reading.
fn anchor(source: Source, bytes: &[u8], context: &Context<'_>) -> Wall {
    let newest_first = bytes.rsplit(|&byte| byte == b'\n').filter(|_| source == Source::Transcript);
    let mut entries = newest_first.filter_map(|line| transcript::entry(line, context));
    let error = entries.find_map(|entry| match entry {
        Entry::Error(error) => Some(error.at),
        Entry::Prompt { .. } | Entry::Answer { .. } => None,
    });
    error.unwrap_or(context.now)
}

/// `context.now` is the anchor, `now` the moment of asking.
fn reset(reading: &Reading, context: &Context<'_>, now: Wall) -> String {
    let at = reading.verdict.resets_at();
    let Some(phrase) = reading.reset_text.as_deref() else {
        return at.map_or("none named".to_owned(), |at| {
            format!("{at} ({}), as the record has it", away(at, now))
        });
    };
    let Some((shape, zone)) = shape(phrase) else {
        return format!("{phrase:?} is no phrase of the client");
    };
    let zone = match (zone, context.zone) {
        (Some(zone), _) => format!("{zone}, which it names"),
        (None, Some(zone)) => format!("{zone}, as --zone says"),
        (None, None) => "UTC, for it names none and --zone is not given".to_owned(),
    };
    let how = match shape {
        Shape::Epoch(_) => "a moment since 1970".to_owned(),
        Shape::After(_) => format!("a length from {}", context.now),
        Shape::At(_) => format!("the next such time after {} in {zone}", context.now),
        Shape::InDays(..) => format!("a time beside the day of {} in {zone}", context.now),
        Shape::OnWeekday(..) => format!("the next such weekday after {} in {zone}", context.now),
        Shape::OnDay { year: Some(_), .. } => format!("a date in {zone}"),
        Shape::OnDay { year: None, .. } => format!("the nearest such date in {zone}"),
    };
    match (at, reset_time::parse(phrase, context.now, context.zone)) {
        (Some(at), placed) if placed == Some(at) => {
            format!("{at} ({}) from {phrase:?}: {how}", away(at, now))
        }
        (Some(at), _) => {
            format!("{at} ({}) by the record's own fields; it prints {phrase:?}", away(at, now))
        }
        (None, Some(_)) => format!("{phrase:?}, which this verdict has no use for"),
        (None, None) => format!(
            "refused: {phrase:?}, {how}, names an unknown zone or no day of the calendar, or lies \
             more than eight days away"
        ),
    }
}

/// `in 1 h 5 min`, `3 min ago`
fn away(at: Wall, now: Wall) -> String {
    let length = |length: Duration| {
        let minutes = length.as_secs() / 60;
        match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        }
    };
    if at >= now { format!("in {}", length(at - now)) } else { format!("{} ago", length(now - at)) }
}

fn activity(activity: Activity) -> String {
    match activity {
        Activity::Unknown => "the screen does not tell".to_owned(),
        Activity::Idle => "idle".to_owned(),
        Activity::Busy => "busy".to_owned(),
        Activity::Dialog(dialog) => format!("waits in a dialog: {dialog:?}"),
    }
}

/// The rows that would say something if they stood alone, without the one that decided.
fn other_rows(text: &str, reading: &Reading, context: &Context<'_>) -> Vec<String> {
    let rows: Vec<&str> = text.trim_end().lines().collect();
    let first = rows.len().saturating_sub(LOOKED_AT_MAX);
    let mut decided = false;
    let mut shown = Vec::new();
    for (at, row) in rows.iter().enumerate().skip(first).rev() {
        let alone = pane::read(row.trim_start(), context);
        if alone.verdict == Verdict::Clear {
            continue;
        }
        if !decided && reading.row.starts_with(&alone.row) {
            decided = true;
            continue;
        }
        shown.push(format!(
            "row {}: would be {} alone, but is not the client's last word: {}",
            at + 1,
            name(&alone.verdict),
            cut(&alone.row)
        ));
    }
    shown.truncate(SHOWN_MAX);
    shown
}

/// The errors that the client recorded, without the one that decided.
fn other_records(lines: &[u8], reading: &Reading, context: &Context<'_>) -> Vec<String> {
    let mut decided = reading.rule == Reading::clear().rule;
    let mut after = "";
    let mut shown = Vec::new();
    let lines: Vec<&[u8]> = lines.split(|&byte| byte == b'\n').collect();
    for (at, line) in lines.iter().enumerate().rev() {
        match transcript::entry(line, context) {
            Some(Entry::Error(error)) if decided => shown.push(format!(
                "line {}: {} at {}{after}: {}",
                at + 1,
                name(&error.reading.verdict),
                error.at,
                cut(&error.reading.row)
            )),
            Some(Entry::Error(_)) => {
                decided = true;
                after = ", before the last error";
            }
            Some(Entry::Answer { .. }) => after = ", before the model answered again",
            Some(Entry::Prompt { .. }) | None => {}
        }
        if shown.len() >= SHOWN_MAX {
            break;
        }
    }
    shown
}

fn cut(row: &str) -> String {
    match row.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &row[..end]),
        None => row.to_owned(),
    }
}
