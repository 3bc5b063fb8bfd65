//! How a banner ends: its reset phrase, and what may stand behind it. What only talks about a limit
//! goes on as a sentence. Knows no screen and no kind of limit.

use crate::quota::phrases::{PUNCTUATION, SEPARATORS, SUFFIXES};
use crate::quota::reset_phrase;

/// Words after a reset phrase and its separator, with it, that are no sentence yet.
const SUFFIX_WORDS_MAX: usize = 4;

/// The reset phrase of a row, also where ASCII stands for the client's separators.
pub fn reset_in(row: &str) -> Option<String> {
    if let Some(phrase) = reset_phrase::find(row) {
        return Some(phrase.to_owned());
    }
    [" | ", " - ", " – ", " — "].iter().find_map(|separator| {
        let row = row.contains(separator).then(|| row.replace(separator, " · "))?;
        reset_phrase::find(&row).map(str::to_owned)
    })
}

/// What may stand behind the words of a refusal.
pub fn is_end(rest: &str) -> bool {
    let rest = rest.trim_start_matches([')', ' ']);
    rest.is_empty()
        || rest.starts_with(SEPARATORS)
        || rest.starts_with('.')
        || (rest.starts_with(PUNCTUATION)
            && begins_with_reset(rest.trim_start_matches(PUNCTUATION)))
}

/// Whether the text is a reset phrase, or comes to it after the words that may lead to one.
pub fn begins_with_reset(text: &str) -> bool {
    const LEADS: [&str; 9] =
        ["your", "limit", "usage", "will", "daily;", "weekly;", "monthly;", "it", "session"];
    let Some(phrase) = reset_in(text) else { return false };
    let Some((before, _)) = text.split_once(phrase.trim_start_matches('|')) else { return false };
    let is_lead = |word: &str| LEADS.contains(&word.to_ascii_lowercase().as_str());
    before.split_whitespace().all(is_lead)
}

/// Whether the row ends with its words or with its reset phrase, up to a separator.
pub fn is_whole(row: &str) -> bool {
    match reset_in(row) {
        Some(phrase) => row.split_once(&phrase).is_none_or(|(_, rest)| is_suffix(rest)),
        None => {
            row.trim_end_matches('.').ends_with(|c: char| c.is_alphanumeric())
                && !row.contains(SEPARATORS)
                && !row.contains('|')
        }
    }
}

/// Of a spend limit the client says how to raise it, which is no sentence either.
pub fn is_whole_spend(row: &str) -> bool {
    match reset_in(row) {
        Some(_) => is_whole(row),
        None => !row.ends_with(['.', '!', '?']) && !row.contains(" resets "),
    }
}

fn is_suffix(rest: &str) -> bool {
    let rest = rest.trim_start_matches([')', ' ']);
    let is_short = || rest.split_whitespace().count() <= SUFFIX_WORDS_MAX;
    let is_known = || SUFFIXES.iter().any(|suffix| rest.ends_with(suffix));
    rest.trim_end_matches('.').is_empty()
        || (rest.starts_with(SEPARATORS) && (is_known() || is_short()))
        || (rest.starts_with('|') && is_known())
}
