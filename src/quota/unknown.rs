//! Rows that begin like a banner in words that nobody here knows: what an operator should report.
//! Never a verdict.

use crate::quota::banner::reset_in;
use crate::quota::live::is_output;
use crate::quota::phrases::SEPARATORS;
use crate::quota::row::Mark;
use crate::quota::screen::Screen;

/// Words before the first separator of a banner; more are a sentence.
const CLAUSE_WORDS_MAX: usize = 9;
/// Words of a whole banner.
const BANNER_WORDS_MAX: usize = 24;
/// Words of an indented row from which on it is a sentence.
const PROSE_WORDS_MIN: usize = 5;

/// The row, when it stands where a banner would and is like one.
pub fn candidate(screen: &Screen<'_>, at: usize, line: String) -> Option<String> {
    let row = &screen.rows[at];
    let in_place = match row.mark {
        Mark::Result => !is_output(screen, at),
        Mark::Bullet | Mark::Alert => true,
        // Where no client is, anybody may have written it.
        Mark::Plain => screen.shows_client(),
        _ => false,
    };
    (in_place && is_like_a_banner(&line, row.mark)).then_some(line)
}

/// Few words about a limit, then the end, a separator or a reset phrase.
pub fn is_like_a_banner(line: &str, mark: Mark) -> bool {
    const SUBJECTS: [&str; 6] = ["limit", "limits", "usage", "quota", "credits", "allowance"];
    let words = |text: &str| text.split_whitespace().count();
    let clause = line.split(SEPARATORS).next().unwrap_or(line);
    let speaks_of_it = line
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| SUBJECTS.contains(&word.to_ascii_lowercase().as_str()));
    let has_shape = match mark {
        Mark::Result | Mark::Alert => true,
        _ => line.contains(SEPARATORS) || reset_in(line).is_some(),
    };
    speaks_of_it
        && has_shape
        && words(clause) <= CLAUSE_WORDS_MAX
        && words(line) <= BANNER_WORDS_MAX
        && line.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
        && !line.contains(['"', '`', '“', '{', '='])
        && !clause.contains(['?', ':'])
}

/// A sentence or a part of one, and not a hint, a task or a status.
pub fn is_prose(text: &str) -> bool {
    let is_own = text.starts_with(|c: char| !c.is_alphabetic() && !"\"'“(".contains(c));
    !is_own && text.split_whitespace().count() >= PROSE_WORDS_MIN && !text.contains(SEPARATORS)
}
