//! Phrases of the operator's (`quota.patterns`): the rows they match, and those they may not. Pure.

use crate::quota::fold::fold;
use crate::quota::form::{BEGINNINGS, Class, Form, head, kind};

/// A phrase as it is compared: in lower case, folded as rows are.
pub fn normal(phrase: &str) -> String {
    fold(phrase.trim()).text.to_lowercase()
}

/// The beginning of a harmless text of the client that a phrase of the operator's would match too.
pub fn harmless(phrase: &str) -> Option<&'static str> {
    const MORE: [&str; 8] = [
        "api error",
        "you've hit your opus limit",
        "you've hit your sonnet limit",
        "you've hit your fable limit",
        "you've reached your fable limit",
        "opus limit reached",
        "sonnet limit reached",
        "fable limit reached",
    ];
    let is_harmless = |class: Class| !class.refuses();
    let known = BEGINNINGS.iter().filter(|(_, class, _)| is_harmless(*class));
    known
        .flat_map(|(starts, _, _)| starts.iter())
        .chain(&MORE)
        .find(|start| start.starts_with(phrase) || phrase.starts_with(**start))
        .copied()
}

/// A row that begins with a phrase of the operator's; the words say which limit, if any do.
pub fn by_pattern(row: &str, patterns: &[String]) -> Option<Form> {
    if patterns.is_empty() {
        return None;
    }
    let lower = head(row).to_lowercase();
    patterns.iter().find(|phrase| lower.starts_with(phrase.as_str()))?;
    let words: Vec<&str> = lower.split(|c: char| c.is_whitespace() || c == '·').collect();
    Some(Form { class: Class::Plan(kind(&words)), rule: "pattern" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::verdict::LimitKind;

    #[test]
    fn a_phrase_that_would_match_a_harmless_text_is_told() {
        for (phrase, expected) in [
            ("you've used", Some("you've used")),
            ("you’ve USED 9", Some("you've used")),
            ("you've", Some("you've used")),
            ("api error: 4", Some("api error")),
            ("approaching", Some("approaching")),
            ("login expired", Some("login expired")),
            ("you've hit your opus limit", Some("you've hit your opus limit")),
            ("too many requests", Some("too many requests")),
            ("your five-hour pool is empty", None),
            ("usage paused until", None),
        ] {
            assert_eq!(harmless(&normal(phrase)), expected, "{phrase}");
        }
    }

    #[test]
    fn the_words_behind_a_phrase_name_the_limit() {
        let patterns = [normal("Usage paused")];
        for (row, expected) in [
            ("Usage paused for your session · back at 3pm", Some(LimitKind::FiveHour)),
            ("USAGE PAUSED · weekly", Some(LimitKind::Weekly)),
            ("Usage paused", Some(LimitKind::Unnamed)),
            ("The usage paused", None),
        ] {
            let class = by_pattern(row, &patterns).map(|form| form.class);
            assert_eq!(class, expected.map(Class::Plan), "{row}");
        }
        assert_eq!(by_pattern("Usage paused", &[]), None);
    }
}
