//! What may be pressed in the dialog on a screen: the keys that lead from its cursor to the one answer
//! we may give, or none. Pure; presses no key.
//!
//! One wrong key ends the client, or logs somebody in. So a dialog is answered only when all that it
//! says is known: its words, each of its entries, one cursor, and nothing under them.

use crate::quota::dialog::{self, Region, entry};
use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;
use crate::quota::verdict::Dialog;

/// Of a dialog that is left to a person, so many rows are passed on.
const ROWS_MAX: usize = 12;
const ROW_CHARS_MAX: usize = 200;
/// Rows of a wrapped entry, or of what stands under a menu.
const WRAPPED_ROWS_MAX: usize = 4;
/// What may stand under a menu.
const UNDER_MENU: [&str; 2] =
    ["enter to confirm · esc to cancel", "enter to confirm · esc to exit"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No dialog stands there.
    Gone,
    /// Not one that may be answered, or not one that we know through and through.
    Left {
        dialog: Dialog,
        rows: Vec<String>,
    },
    Press(Keys),
}

/// Steps, then Enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub dialog: Dialog,
    /// What must be on the screen before the first key.
    pub from: Spot,
    pub steps: Vec<Step>,
    /// What must be on the screen before Enter.
    pub to: Spot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Up,
    Down,
}

/// Beginnings of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// The cursor stands at this entry.
    Cursor(String),
    /// A row, where there is no cursor.
    Row(String),
}

/// A dialog that may be answered.
struct Rule {
    dialog: Dialog,
    /// One of these stands there, and none of another dialog.
    titles: &'static [&'static str],
    answer: Wanted,
}

enum Wanted {
    /// This entry, when these are all there are, in whatever order.
    Entry { wanted: &'static str, other: &'static str },
    /// The entry at which the cursor stands already.
    Default,
    /// Enter, where nothing is to be chosen.
    Continue { row: &'static str },
}

const TRUST: &[&str] = &[
    "accessing workspace:",
    "quick safety check:",
    "do you trust the files in this folder",
    "yes, i trust this folder",
];

/// What the operator has decided by giving us the folder, the mode and the account. Never among these:
/// a login, a key, money, another account, what a conversation is resumed from, a broken
/// configuration, and what the model or a tool asks.
const RULES: [Rule; 7] = [
    Rule {
        dialog: Dialog::Trust,
        titles: TRUST,
        answer: Wanted::Entry { wanted: "Yes, I trust this folder", other: "No, exit" },
    },
    Rule {
        dialog: Dialog::Trust,
        titles: TRUST,
        answer: Wanted::Entry { wanted: "Yes, proceed", other: "No, exit" },
    },
    Rule {
        dialog: Dialog::Bypass,
        titles: &["warning: claude code running in bypass permissions mode"],
        answer: Wanted::Entry { wanted: "Yes, I accept", other: "No, exit" },
    },
    Rule {
        dialog: Dialog::Upsell,
        titles: &["try the new fullscreen renderer", "yes, try it"],
        answer: Wanted::Entry { wanted: "Not now", other: "Yes, try it" },
    },
    Rule {
        dialog: Dialog::Upsell,
        titles: &["we recommend medium effort"],
        answer: Wanted::Default,
    },
    Rule {
        dialog: Dialog::Onboarding,
        titles: &["choose the text style that looks best"],
        answer: Wanted::Default,
    },
    Rule {
        dialog: Dialog::Onboarding,
        titles: &["security notes:"],
        answer: Wanted::Continue { row: "Press Enter to continue" },
    },
];

/// Reads one screen, as `capture-pane -J` gives it.
pub fn answer(text: &str) -> Answer {
    let screen = Screen::of(text);
    let (Some(dialog), Some(region)) = (dialog::of_screen(&screen), Region::of(&screen)) else {
        return Answer::Gone;
    };
    let titles: Vec<&str> = region.titles().map(|(title, _)| title).collect();
    let fits = |rule: &&Rule| {
        rule.dialog == dialog && titles.iter().all(|title| rule.titles.contains(title))
    };
    let keys = RULES.iter().filter(fits).find_map(|rule| rule.keys(region.rows));
    keys.map_or_else(|| Answer::Left { dialog, rows: first(region.rows) }, Answer::Press)
}

impl Rule {
    /// `None` when something on the screen is not as we know it.
    fn keys(&self, rows: &[Row<'_>]) -> Option<Keys> {
        let cursors = rows.iter().filter(|row| row.mark == Mark::Choice).count();
        let (from, steps, to) = match self.answer {
            Wanted::Entry { wanted, other } if cursors == 1 => {
                let menu = Menu::of(rows, [wanted, other])?;
                (menu.spot(menu.cursor), menu.steps(), menu.spot(menu.wanted))
            }
            Wanted::Default if cursors == 1 => {
                let at = rows.iter().find(|row| row.mark == Mark::Choice)?;
                let spot = Spot::Cursor(at.text().to_owned());
                (spot.clone(), Vec::new(), spot)
            }
            Wanted::Continue { row } if cursors == 0 => {
                rows.last().filter(|last| last.text().starts_with(row))?;
                let spot = Spot::Row(row.to_owned());
                (spot.clone(), Vec::new(), spot)
            }
            Wanted::Entry { .. } | Wanted::Default | Wanted::Continue { .. } => return None,
        };
        Some(Keys { dialog: self.dialog, from, steps, to })
    }
}

/// A menu of two entries, of which we know both.
struct Menu<'s> {
    /// The first row of each, as it stands there without its cursor.
    entries: [&'s str; 2],
    cursor: usize,
    wanted: usize,
}

impl<'s> Menu<'s> {
    /// `known` is the wanted entry and the other one.
    fn of(rows: &'s [Row<'_>], known: [&str; 2]) -> Option<Self> {
        let at = rows.iter().position(|row| row.mark == Mark::Choice)?;
        let is_apart = |row: &Row<'_>| matches!(row.mark, Mark::Blank | Mark::Rule);
        let start = rows[..at].iter().rposition(is_apart).map_or(0, |apart| apart + 1);
        let end = rows[at..].iter().position(is_apart).map_or(rows.len(), |apart| at + apart);
        let under: Vec<&str> =
            rows[end..].iter().filter(|row| !is_apart(row)).map(Row::text).collect();
        if !is_known_under(&under) {
            return None;
        }
        // A title may stand close above the first entry, further out, but nothing under the last.
        let column = rows[at].indent + 2;
        let is_title = |row: &&Row<'_>| row.indent < column && row.mark != Mark::Choice;
        let titles = rows[start..end].iter().take_while(is_title).count();
        Self::exactly(&rows[start + titles..end], column, known)
    }

    /// These rows are the two entries and nothing else.
    fn exactly(rows: &'s [Row<'_>], column: usize, known: [&str; 2]) -> Option<Self> {
        let mark = rows.iter().position(|row| row.mark == Mark::Choice)?;
        let is_inside = |(at, row): (usize, &Row<'_>)| at == mark || row.indent >= column;
        if !rows.iter().enumerate().all(is_inside) {
            return None;
        }
        (1..rows.len()).find_map(|second| {
            // Where its cursor stands is the beginning of an entry.
            let cursor = [0, second].into_iter().position(|first| first == mark)?;
            let other = &rows[[second, 0][cursor]];
            let texts = [joined(&rows[..second])?, joined(&rows[second..])?];
            let [first, last] = texts.each_ref().map(|text| label(text));
            let numbers = [number(&texts[0]), number(&texts[1])];
            let is_even = matches!(numbers, [None, None] | [Some('1'), Some('2')]);
            let wanted = [first, last].iter().position(|label| *label == known[0])?;
            let is_known = [first, last][1 - wanted] == known[1];
            (is_even && is_known && other.indent == column).then(|| Self {
                entries: [rows[0].text(), rows[second].text()],
                cursor,
                wanted,
            })
        })
    }

    fn steps(&self) -> Vec<Step> {
        match (self.cursor, self.wanted) {
            (0, 1) => vec![Step::Down],
            (1, 0) => vec![Step::Up],
            _ => Vec::new(),
        }
    }

    fn spot(&self, at: usize) -> Spot {
        Spot::Cursor(self.entries[at].to_owned())
    }
}

/// One entry, had its menu been wide enough.
fn joined(rows: &[Row<'_>]) -> Option<String> {
    let goes_on = |row: &Row<'_>| matches!(row.mark, Mark::Inset | Mark::Plain);
    let (_, rest) = rows.split_first()?;
    if rows.len() > WRAPPED_ROWS_MAX || !rest.iter().all(goes_on) {
        return None;
    }
    Some(rows.iter().map(Row::text).collect::<Vec<_>>().join(" "))
}

/// An entry without its number and the mark of what is set now.
fn label(text: &str) -> &str {
    entry(text).trim_end_matches('✔').trim_end()
}

fn number(text: &str) -> Option<char> {
    text.chars().next().filter(|_| entry(text).len() < text.len())
}

fn is_known_under(rows: &[&str]) -> bool {
    let text = rows.join(" ").to_lowercase();
    rows.len() <= WRAPPED_ROWS_MAX && (rows.is_empty() || UNDER_MENU.contains(&text.as_str()))
}

/// Without escape sequences and control characters, and shortened.
fn first(rows: &[Row<'_>]) -> Vec<String> {
    let said = rows.iter().filter(|row| !matches!(row.mark, Mark::Blank | Mark::Rule));
    let whole = said.map(|row| match row.mark {
        Mark::Choice => format!("❯ {}", row.text()),
        _ => row.text().to_owned(),
    });
    whole.map(|row| row.chars().take(ROW_CHARS_MAX).collect()).take(ROWS_MAX).collect()
}
