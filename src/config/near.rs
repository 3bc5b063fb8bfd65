//! Which known word a wrong one was most likely meant to be.

/// Letters that a slip of the hand changes.
const SLIPS_MAX: usize = 2;
/// Longer words are compared with nothing.
const WORD_CHARS_MAX: usize = 64;

/// The known word that `word` was most likely meant to be.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let folded = |text: &str| text.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (distance(&folded(word), candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= SLIPS_MAX && *distance < candidate.len() / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein: letters to insert, delete or replace.
pub fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        let known = ["interval", "keep_done", "dry_run", "home", "name"];
        for (word, expected) in [
            ("intervall", Some("interval")),
            ("Interval", Some("interval")),
            ("keep-done", Some("keep_done")),
            ("keepdone", Some("keep_done")),
            ("hoem", None),
            ("hom", Some("home")),
            ("path", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word:?}");
        }
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
