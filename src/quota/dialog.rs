//! Which dialog stands on a screen, told by its own words and by its cursor. Pure; presses no key.
//!
//! A dialog takes the composer's place: a menu that is printed above a composer is a picture of one.

use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;
use crate::quota::verdict::Dialog;

/// Rows from the bottom over which a dialog extends.
const DIALOG_ROWS_MAX: usize = 45;

/// Words of a dialog, in lower case, at the beginning of a row; the first that stands decides.
const TITLES: [(&str, Dialog); 47] = [
    ("this session belongs to another account", Dialog::AnotherAccount),
    ("resume from summary", Dialog::ResumeFromSummary),
    ("resume full session as-is", Dialog::ResumeFromSummary),
    ("stop and wait for limit to reset", Dialog::LimitMenu),
    ("wait here, then continue automatically", Dialog::LimitMenu),
    ("continue with usage credits", Dialog::LimitMenu),
    ("ask your admin for more usage", Dialog::LimitMenu),
    ("accessing workspace:", Dialog::Trust),
    ("quick safety check:", Dialog::Trust),
    ("do you trust the files in this folder", Dialog::Trust),
    ("yes, i trust this folder", Dialog::Trust),
    ("warning: claude code running in bypass permissions mode", Dialog::Bypass),
    ("choose the text style that looks best", Dialog::Onboarding),
    ("detected a custom api key", Dialog::Onboarding),
    ("do you want to use this api key", Dialog::Onboarding),
    ("security notes:", Dialog::Onboarding),
    ("use claude code's terminal setup", Dialog::Onboarding),
    ("settings error", Dialog::SettingsError),
    ("exit and fix manually", Dialog::SettingsError),
    ("invalid settings", Dialog::SettingsError),
    ("select login method", Dialog::Login),
    ("browser didn't open?", Dialog::Login),
    ("paste code here if prompted", Dialog::Login),
    ("opening browser to sign in", Dialog::Login),
    ("login successful. press enter", Dialog::Login),
    ("claude account with subscription", Dialog::Login),
    ("try the new fullscreen renderer", Dialog::Upsell),
    ("we recommend medium effort", Dialog::Upsell),
    ("try claude in chrome", Dialog::Upsell),
    ("yes, try it", Dialog::Upsell),
    ("select model", Dialog::Other),
    ("resume session", Dialog::ResumePicker),
    ("resume a conversation", Dialog::ResumePicker),
    ("do you want to proceed?", Dialog::Permission),
    ("do you want to make this edit", Dialog::Permission),
    ("do you want to create", Dialog::Permission),
    ("do you want to overwrite", Dialog::Permission),
    ("do you want to allow", Dialog::Permission),
    ("this command requires approval", Dialog::Permission),
    ("would you like to proceed?", Dialog::Permission),
    ("claude wants to", Dialog::Permission),
    ("claude in chrome wants to", Dialog::Permission),
    ("yes, allow all edits", Dialog::Permission),
    ("yes, and don't ask again", Dialog::Permission),
    ("no, and tell claude what to do", Dialog::Permission),
    ("enter to select", Dialog::Question),
    ("chat about this", Dialog::Question),
];

/// Rows of keys that stand under a dialog alone.
const KEYS: [&str; 10] = [
    "enter to confirm",
    "enter to select",
    "enter to continue",
    "press enter to continue",
    "enter to apply",
    "esc to exit",
    "esc to cancel · tab to",
    "↑/↓ to navigate",
    "ctrl+a to show all projects",
    // A login waits for a code to be pasted.
    "paste code here if prompted",
];

/// The rows over which a dialog extends, and what they say.
#[derive(Debug)]
pub struct Region<'s, 'a> {
    pub rows: &'s [Row<'a>],
    has_cursor: bool,
    /// In lower case, each with the two rows after it: a narrow screen wraps a title.
    lines: Vec<String>,
}

pub fn of_screen(screen: &Screen<'_>) -> Option<Dialog> {
    let region = Region::of(screen)?;
    let known = region.titles().next().map(|(_, dialog)| dialog);
    known.or_else(|| region.has_cursor.then_some(Dialog::Other))
}

impl<'s, 'a> Region<'s, 'a> {
    /// `None` when no dialog stands there.
    pub fn of(screen: &'s Screen<'a>) -> Option<Self> {
        let rows = &screen.rows[screen.rows.len().saturating_sub(DIALOG_ROWS_MAX)..];
        let is_older = |row: &Row<'_>| {
            matches!(row.mark, Mark::Bullet | Mark::Spinner | Mark::Done | Mark::Logo)
        };
        let rows = &rows[rows.iter().rposition(is_older).unwrap_or(0)..];
        // Above a composer stands only what an answer quotes, which is indented.
        let indent_max = if screen.has_composer() { 0 } else { usize::MAX };
        let has_cursor =
            rows.iter().any(|row| row.mark == Mark::Choice && row.indent <= indent_max);
        if !has_cursor && screen.has_composer() {
            return None;
        }
        let lower: Vec<String> = rows
            .iter()
            .filter(|row| !matches!(row.mark, Mark::Blank | Mark::Rule | Mark::Result))
            .map(|row| row.text().to_lowercase())
            .collect();
        let is_keys = |text: &str| KEYS.iter().any(|keys| text.contains(keys));
        // Somebody else writes under a dialog whose client has ended.
        let last = rows.last().filter(|row| row.mark == Mark::Plain).and(lower.last());
        if last.is_some_and(|text| !is_keys(text) && entry(text) == text && has_cursor) {
            return None;
        }
        if !has_cursor && !lower.iter().any(|text| is_keys(text)) {
            return None;
        }
        let wrapped = |at: usize| lower[at..lower.len().min(at + 3)].join(" ");
        let lines = (0..lower.len()).map(wrapped).collect();
        Some(Self { rows, has_cursor, lines })
    }

    /// The known words that stand there, the deciding ones first.
    pub fn titles(&self) -> impl Iterator<Item = (&'static str, Dialog)> {
        let stands = |title: &str| self.lines.iter().any(|line| entry(line).starts_with(title));
        TITLES.into_iter().filter(move |(title, _)| stands(title))
    }
}

/// The text of a row without its number in a menu.
pub fn entry(text: &str) -> &str {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(". ") {
        Some(entry) if rest.len() < text.len() => entry,
        _ => text.strip_prefix("⚠ ").unwrap_or(text),
    }
}
