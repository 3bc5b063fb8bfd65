//! Reset times, for every zone and every grammar: a printer of our own prints an instant as the
//! client would, and what is read back must be that instant. A failure prints its seed;
//! `ARBTEST_SEED=0x… cargo test --test it reset::` plays it again.

mod printer;

use std::cell::Cell;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use claude_failover::moment::Wall;
use claude_failover::quota::reset_phrase;
use claude_failover::quota::reset_time::parse;

use crate::reset::printer::{DAY_S, GRAMMARS, Grammar, HOUR_S, MINUTE_S, Shown, offset_s, print};

const BUDGET_MS: u64 = 2_500;
/// A loaded machine manages ten times as many.
const CASES_MIN: u64 = 2_000;

const HORIZON_MS: u64 = 8 * 86_400_000;

/// 2005-01-01 and 2100-01-01.
const FIRST_S: i64 = 1_104_537_600;
const LAST_S: i64 = 4_102_444_800;

#[test]
fn what_is_printed_is_read_back() {
    let cases = Cell::new(0_u64);
    let (skipped, folds) = (Cell::new(0_u64), Cell::new(0_u64));
    arbtest(|u| {
        let grammar = *u.choose(&GRAMMARS)?;
        let name = *u.choose(tzdb::TZ_NAMES)?;
        let mut at_s = u.int_in_range(FIRST_S / MINUTE_S..=LAST_S / MINUTE_S)? * MINUTE_S;
        if u.ratio(1, 4)? {
            at_s = near_a_change(name, at_s, u.int_in_range(-180..=180)? * MINUTE_S);
        }
        let mut shown = Shown::new(name, at_s);
        if let Grammar::Midnight(_) = grammar {
            shown = Shown::new(name, at_s - at_s_of_day(&shown));
            if at_s_of_day(&shown) != 0 {
                skipped.set(skipped.get() + 1);
                return Ok(());
            }
        }
        let ahead_s = match grammar {
            Grammar::Length => u.int_in_range(0..=grammar.span_s() / MINUTE_S)? * MINUTE_S,
            Grammar::Epoch => u.int_in_range(0..=grammar.span_s())?,
            Grammar::Clock(_) | Grammar::Midnight(_) => {
                shown.unmistakable_s(u.int_in_range(0..=grammar.span_s())?, grammar.span_s())
            }
        };
        let now_s = shown.at_s - ahead_s;
        let (row, names_zone) = print(u, grammar, &shown, now_s)?;
        let default_zone = if names_zone { *u.choose(tzdb::TZ_NAMES)? } else { name };
        let expected_s = match grammar {
            Grammar::Epoch | Grammar::Length => shown.at_s,
            Grammar::Clock(_) | Grammar::Midnight(_) => shown.last_instant(),
        };
        let within = expected_s - now_s <= 8 * DAY_S;
        let phrase = reset_phrase::find(&row).unwrap_or_else(|| panic!("no phrase in {row:?}"));
        let read = parse(phrase, Wall(now_s * 1000), Some(default_zone));
        let expected = within.then_some(Wall(expected_s * 1000));
        assert_eq!(
            read,
            expected,
            "{row:?} {grammar:?} {name} ({default_zone}) {phrase:?} at {}",
            Wall(now_s * 1000)
        );
        folds.set(folds.get() + u64::from(expected_s != shown.at_s));
        cases.set(cases.get() + 1);
        Ok(())
    })
    .size_min(64)
    .size_max(256)
    .budget_ms(BUDGET_MS)
    .run();
    let (cases, folds, skipped) = (cases.get(), folds.get(), skipped.get());
    println!("{cases} resets printed and read back, {folds} shown twice; {skipped} skipped");
    if std::env::var_os("ARBTEST_SEED").is_none() {
        assert!(cases >= CASES_MIN && folds > 0, "{cases} cases, {folds} shown twice");
    }
}

fn at_s_of_day(shown: &Shown) -> i64 {
    i64::from(shown.local.hour()) * HOUR_S + i64::from(shown.local.minute()) * MINUTE_S
}

/// A moment some minutes from the first change of the zone's clocks in the year after `at_s`, where
/// there is one.
fn near_a_change(zone: &str, at_s: i64, away_s: i64) -> i64 {
    let before = offset_s(zone, at_s);
    let Some(week) = (1..=52).find(|week| offset_s(zone, at_s + week * 7 * DAY_S) != before) else {
        return at_s;
    };
    let (mut low_s, mut high_s) = (at_s + (week - 1) * 7 * DAY_S, at_s + week * 7 * DAY_S);
    while high_s - low_s > MINUTE_S {
        let middle_s = (low_s + high_s) / 2 / MINUTE_S * MINUTE_S;
        let is_before = offset_s(zone, middle_s) == before;
        (low_s, high_s) = if is_before { (middle_s, high_s) } else { (low_s, middle_s) };
    }
    high_s + away_s
}

const PIECES: [&str; 64] = [
    "resets",
    "reset",
    "will",
    "at",
    "on",
    "in",
    "until",
    "automatically",
    "continuing",
    "reached|",
    "|",
    "(",
    ")",
    "(UTC)",
    "(Asia/ Tokyo)",
    "(GMT+2)",
    "UTC",
    "America/Los_Angeles",
    "·",
    "∙",
    "•",
    ";",
    ",",
    ".",
    ":",
    "-",
    "\u{2212}",
    " ",
    "  ",
    "\n",
    "\t",
    "\u{a0}",
    "\u{202f}",
    "\u{0}",
    "3pm",
    "12:00am",
    "19:00",
    "24:00",
    "3",
    "am",
    "p.m.",
    "Mon",
    "Monday",
    "Nov",
    "February",
    "29",
    "31",
    "25,",
    "2027",
    "0000",
    "9999",
    "2026-11-25",
    "2026-02-30",
    "1795364667",
    "9999999999999",
    "5m",
    "2h",
    "7",
    "days",
    "and",
    "today",
    "tomorrow",
    "İ",
    "9999999999999999999999",
];

/// A few pieces of phrases in any order, with a few characters changed.
fn rubble(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::new();
    for _ in 0..u.int_in_range(0..=12)? {
        match u.int_in_range(0..=9)? {
            0 => text.push_str(u.arbitrary::<&str>()?.get(..8).unwrap_or("é")),
            1 => text.push(u.arbitrary()?),
            _ => text.push_str(u.choose(&PIECES)?),
        }
        text.push_str(u.choose(&["", " "])?);
    }
    Ok(text)
}

#[test]
fn no_text_fails_and_nothing_read_lies_beyond_the_horizon() {
    let (cases, read) = (Cell::new(0_u64), Cell::new(0_u64));
    arbtest(|u| {
        let now = match u.int_in_range(0..=9)? {
            0 => u.arbitrary()?,
            _ => u.int_in_range(FIRST_S..=LAST_S)? * 1000,
        };
        let text = if u.ratio(1, 4)? {
            let shown = Shown::new(u.choose(tzdb::TZ_NAMES)?, now.clamp(FIRST_S, LAST_S));
            let grammar = *u.choose(&GRAMMARS)?;
            let (mut row, _) = print(u, grammar, &shown, shown.at_s)?;
            let at = u.choose_index(row.chars().count().max(1))?;
            let (at, c) = row.char_indices().nth(at).unwrap_or((0, 'x'));
            row.replace_range(at..at + c.len_utf8(), u.choose(&PIECES)?);
            row
        } else {
            rubble(u)?
        };
        let zone = u.choose(&[None, Some("UTC"), Some("Asia/Kathmandu"), Some("nowhere")])?;
        let found = reset_phrase::find(&text);
        assert!(found.is_none_or(|phrase| reset_phrase::shape(phrase).is_some()), "{text:?}");
        for phrase in [Some(text.as_str()), found].into_iter().flatten() {
            if let Some(at) = parse(phrase, Wall(now), *zone) {
                assert!(at.0.abs_diff(now) <= HORIZON_MS, "{phrase:?} at {now}: {at}");
                read.set(read.get() + 1);
            }
        }
        cases.set(cases.get() + 1);
        Ok(())
    })
    .size_min(64)
    .size_max(512)
    .budget_ms(BUDGET_MS)
    .run();
    let (cases, read) = (cases.get(), read.get());
    println!("{cases} texts, {read} of them read as a reset");
    if std::env::var_os("ARBTEST_SEED").is_none() {
        assert!(cases >= CASES_MIN && read > 0, "{cases} texts, {read} read");
    }
}
