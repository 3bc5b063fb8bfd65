//! The client's words in the mouth of a program that ran it. Pure.
//!
//! Only a screen on which no client is has such rows: a wrapper prints why its client ended.

use crate::quota::banner::{is_whole, is_whole_spend};
use crate::quota::form::{Class, Form, head, judge};
use crate::quota::phrases::{CLIENTS, FAILURES};
use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;

/// Words that another program puts before the client's.
const WRAPPER_WORDS_MAX: usize = 6;
/// Rows of a message that a client prints before it ends.
const MESSAGE_ROWS_MAX: usize = 8;
/// The rule by which such a row is known.
pub const RULE: &str = "repeated";

/// `claude exited 1: You've hit your limit · resets 5am (Europe/Ljubljana)`: a program that ran the
/// client repeats its last words, after a few of its own that say so and name the client, and adds
/// none to them. A test that fails prints its texts after other words.
fn repeated(row: &str) -> Option<Form> {
    let names_client = |before: &str| {
        before.split([' ', ':']).any(|word| CLIENTS.contains(&word.to_ascii_lowercase().as_str()))
    };
    after_failure(row, names_client)
}

/// What a row says after words of another program that `is_known`.
fn after_failure(row: &str, is_known: impl Fn(&str) -> bool) -> Option<Form> {
    let row = head(row);
    let plain = |c: char| c.is_alphanumeric() || c == ' ' || c == ':';
    let ends = row.match_indices(": ").map(|(at, colon)| (at, at + colon.len()));
    for (at, start) in ends.take(WRAPPER_WORDS_MAX) {
        let before = &row[..at];
        let words = before.split(' ').map(|word| word.trim_end_matches(':').to_ascii_lowercase());
        let says_so = words.clone().any(|word| FAILURES.contains(&word.as_str()));
        if !before.chars().all(plain) || words.count() > WRAPPER_WORDS_MAX {
            return None;
        }
        let said = row[start..].trim_end_matches(['{', ' ', ':']);
        let says_so = says_so && is_known(before);
        let Some(form) = judge(said).filter(|form| says_so && form.class.refuses()) else {
            continue;
        };
        if is_whole_of(form.class, said) {
            return Some(Form { rule: RULE, ..form });
        }
    }
    None
}

/// Whether a banner of this class is complete.
pub fn is_whole_of(class: Class, row: &str) -> bool {
    if class == Class::Spend { is_whole_spend(row) } else { is_whole(row) }
}

/// What a program that ran the client repeats of it, on a screen where no client is.
pub fn said(screen: &Screen<'_>, at: usize) -> Option<(Form, String)> {
    if screen.rows[at].mark != Mark::Plain || screen.shows_client() {
        return None;
    }
    let text = screen.rows[at].text();
    let is_first = at == 0 || screen.rows[at - 1].mark == Mark::Blank;
    if let Some(form) = repeated(text).filter(|_| is_first || is_call(screen, at - 1)) {
        return Some((form, text.to_owned()));
    }
    message(screen)
}

/// The whole text is one message: a failure, then sentences, one of which says to try again.
fn message<'a>(screen: &'a Screen<'_>) -> Option<(Form, String)> {
    let said: Vec<&'a Row<'a>> = screen.rows.iter().filter(|row| row.mark != Mark::Blank).collect();
    let (first, others) = said.split_first()?;
    let is_sentence = |row: &&Row<'_>| {
        let text = row.text();
        row.mark == Mark::Plain
            && text.starts_with(char::is_uppercase)
            && text.ends_with(['.', '!'])
            && !text.contains(['"', '`', '=', '|'])
    };
    let is_message = said.len() <= MESSAGE_ROWS_MAX
        && said.iter().all(is_sentence)
        && others.iter().any(|row| row.text().contains("try again"));
    let form = after_failure(first.text(), |_| true).filter(|_| is_message)?;
    Some((form, first.text().to_owned()))
}

/// A shell's row that starts the client.
pub fn is_call(screen: &Screen<'_>, at: usize) -> bool {
    let row = &screen.rows[at];
    let command = match row.mark {
        Mark::Plain => row.text().rsplit_once(['$', '%', '#']).map(|(_, command)| command),
        Mark::Prompt => Some(row.text()),
        _ => None,
    };
    command.is_some_and(|command| command.trim_start().starts_with("claude "))
}
