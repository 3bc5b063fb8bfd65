//! The chain as text for a terminal of 80 columns, and as JSON. Reasons are rows of screens and words of
//! others: nothing of them is an order to a terminal.

use serde::Serialize;

use crate::cli::history::line::plain;
use crate::cli::text::beside;
use crate::core::why::{Line, Subject, Why};
use crate::harmless;
use crate::moment::Wall;

/// Of one line's own words, or of its reason.
const TEXT_CHARS_MAX: usize = 600;

#[derive(Serialize)]
struct Chain<'a> {
    about: &'a Subject,
    now: Vec<String>,
    /// Older lines that are not here.
    earlier: usize,
    lines: Vec<&'a Line>,
}

impl<'a> Chain<'a> {
    fn of(why: &'a Why, limit: usize) -> Self {
        let lines = why.lines();
        let earlier = lines.len().saturating_sub(limit);
        Self {
            about: why.subject(),
            now: why.now(),
            earlier: why.dropped() + earlier,
            lines: lines.skip(earlier).collect(),
        }
    }
}

/// One object; an array where a name is a session's and an account's.
pub fn json(chains: &[Why], limit: usize) -> String {
    let chains: Vec<Chain<'_>> = chains.iter().map(|why| Chain::of(why, limit)).collect();
    let json = match chains.as_slice() {
        [one] => serde_json::to_string_pretty(one),
        more => serde_json::to_string_pretty(more),
    };
    plain(&json.expect("words and numbers, which JSON can hold")) + "\n"
}

pub fn text(chains: &[Why], limit: usize) -> String {
    let sheets: Vec<String> = chains.iter().map(|why| sheet(&Chain::of(why, limit))).collect();
    sheets.join("\n")
}

fn sheet(chain: &Chain<'_>) -> String {
    let mut text = beside("", &words(&chain.about.to_string()));
    for now in &chain.now {
        text.push_str(&beside("  now  ", &words(now)));
    }
    if chain.earlier > 0 {
        text.push_str(&format!("\n({} earlier lines: --limit shows more)\n", chain.earlier));
    }
    let mut day = String::new();
    for line in &chain.lines {
        let (today, time) = moment(line.at);
        if today != day {
            text.push_str(&format!("\n{today}\n"));
            day = today;
        }
        let because = line.because.as_ref();
        let because = because.map_or(String::new(), |why| format!(" because {}", words(why)));
        text.push_str(&beside(&format!("{time}  "), &format!("{}{because}", words(&line.what))));
    }
    text
}

fn words(text: &str) -> String {
    harmless::line(text, TEXT_CHARS_MAX)
}

/// Day and time, by UTC as all moments here.
fn moment(at: Wall) -> (String, String) {
    let whole = at.to_string();
    match whole.split_once('T') {
        Some((day, time)) => (day.to_owned(), time.to_owned()),
        None => (whole, String::new()),
    }
}
