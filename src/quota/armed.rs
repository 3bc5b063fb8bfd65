//! Whether the client waits for a limit's reset and goes on by itself then. Pure.
//!
//! Its notice under the composer says so while that holds, and only there: what the conversation
//! says of it is history, or somebody's talk. Measured on 2.1.250 (one row, cut at its right edge)
//! and 2.1.330 (two, wrapped) from 30 to 120 columns, in both renderers.

use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;

/// Rows over which the notice is wrapped at 30 columns, and one more.
const NOTICE_ROWS_MAX: usize = 6;
/// `Nov 25 at 1:24pm (Area/City)`
const RESET_WORDS_MAX: usize = 5;

const REACHED: &str = "usage limit reached";
const GOES_ON: [&str; 2] = ["continuing automatically", "continuing shortly"];
/// What may follow them; anything else is a sentence.
const WHEN: [&str; 3] = ["at ", "when it resets", "· "];
/// A wait that can be cancelled is one, in whatever words a server sends for it.
const CANCEL: &str = "esc to cancel";

pub fn of_screen(screen: &Screen<'_>) -> bool {
    if !screen.has_composer() {
        return false; // a dialog, or a screen of no client
    }
    let rows = screen.footer();
    (0..rows.len()).any(|at| beginnings(&rows[at]).any(|text| says_so(text, &rows[at + 1..])))
}

/// Where a notice may begin: with its row, or at the right of the client's own keys.
fn beginnings<'a>(row: &'a Row<'a>) -> impl Iterator<Item = &'a str> {
    let text = row.text();
    let gaps = text.match_indices("   ").filter(|_| row.mark == Mark::Footer);
    std::iter::once(text).chain(gaps.map(|(at, _)| text[at..].trim_start()))
}

fn says_so(text: &str, under: &[Row<'_>]) -> bool {
    // What stands at the right of the row is none of it.
    let text = text.split("   ").next().unwrap_or(text);
    let Some(head) = text.get(..REACHED.len()) else { return false };
    if !head.eq_ignore_ascii_case(REACHED) {
        return false;
    }
    let mut notice = text.to_lowercase();
    let wrapped = under.iter().take(NOTICE_ROWS_MAX - 1).take_while(|row| row.mark == Mark::Inset);
    for row in wrapped {
        notice.push(' ');
        notice.push_str(&row.text().to_lowercase());
    }
    let rest = &notice[REACHED.len()..];
    let rest = rest.strip_prefix(" again after you continued").unwrap_or(rest);
    let rest = rest.trim_start_matches([' ', '·']);
    goes_on(rest) || rest.strip_prefix("limit resets ").is_some_and(goes_on_after_reset)
}

/// `4:24pm continuing automatically at 4:24pm · esc to cancel`
fn goes_on_after_reset(rest: &str) -> bool {
    let mut after_words = rest.match_indices(' ').take(RESET_WORDS_MAX);
    rest.contains(CANCEL) || after_words.any(|(at, space)| goes_on(&rest[at + space.len()..]))
}

fn goes_on(rest: &str) -> bool {
    // `continuing …`, as 2.1.250 cuts it at 40 columns.
    if let Some((cut, _)) = rest.split_once('…')
        && !cut.is_empty()
        && GOES_ON.iter().any(|words| words.starts_with(cut.trim_end()))
    {
        return true;
    }
    GOES_ON.iter().any(|words| {
        let rest = rest.strip_prefix(words).map(str::trim_start);
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.starts_with('…')
                || WHEN.iter().any(|when| rest.starts_with(when))
        })
    })
}
