//! Text that is known in part: what a word of a command may become when the shell has expanded it.
//!
//! The unknown stands in it as characters of a private plane, which no command may hold itself.

/// Anything, also nothing.
pub const UNKNOWN: char = '\u{10fff0}';
/// A name: not empty, and no way out of the directory it stands in.
pub const SOME: char = '\u{10fff1}';
/// What came over the network.
pub const FETCHED: char = '\u{10fff2}';
/// What was written so that nobody could read it: base64, compressed, turned round.
pub const DECODED: char = '\u{10fff3}';
/// An unquoted `*`.
pub const STAR: char = '\u{10fff4}';
/// An unquoted `?` or `[…]`.
pub const ONE: char = '\u{10fff5}';

/// What `xargs` passes on without anybody knowing what it is.
pub const PIPED: char = '\u{10fff6}';

/// Bytes of an output that are followed; what is longer counts as unknown.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Whether a command may not hold `c`, because here it has a meaning.
pub fn is_reserved(c: char) -> bool {
    (UNKNOWN..='\u{10ffff}').contains(&c) || c == '\0'
}

pub fn is_hole(c: char) -> bool {
    [UNKNOWN, SOME, FETCHED, DECODED, PIPED].contains(&c)
}

pub fn is_glob(c: char) -> bool {
    [STAR, ONE].contains(&c)
}

pub fn has_hole(text: &str) -> bool {
    text.contains(is_hole)
}

/// Nothing of it is known, and it may be nothing at all.
pub fn is_unknown(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| is_hole(c) && c != SOME)
}

/// As a person may read it.
pub fn shown(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            UNKNOWN | SOME | PIPED => '…',
            FETCHED | DECODED => '⁇',
            STAR => '*',
            ONE => '?',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// Whether `pattern` can become `text`. In a pattern, `*` and an unknown are anything but a slash.
pub fn may_be(pattern: &str, text: &str) -> bool {
    matches(pattern, text, |c| c != '/')
}

/// The same for words that are no paths: slashes are like all else.
pub fn may_be_word(pattern: &str, text: &str) -> bool {
    matches(pattern, text, |_| true)
}

fn matches(pattern: &str, text: &str, is_free: impl Fn(char) -> bool) -> bool {
    let means_more = |c: char| matches!(c, '*' | '?') || is_glob(c) || is_hole(c);
    // Most differ in their first character.
    let first = pattern.chars().next();
    if first.is_some_and(|first| !means_more(first) && !text.starts_with(first)) {
        return false;
    }
    if !pattern.contains(means_more) {
        return pattern == text;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where each prefix of the pattern can end.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for p in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            if p == STAR || p == '*' || is_hole(p) {
                next[at] = ends[at] || (at > 0 && next[at - 1] && is_free(text[at - 1]));
            } else if at > 0 {
                let one = p == ONE || p == '?';
                next[at] = ends[at - 1] && (p == text[at - 1] || (one && is_free(text[at - 1])));
            }
        }
        ends = next;
    }
    ends[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_what_they_may_become() {
        let glob = |text: &str| text.replace('*', &STAR.to_string());
        for (pattern, text, expected) in [
            ("rm", "rm", true),
            ("r*", "rm", true),
            ("*", "", true),
            ("*m", "rm", true),
            ("r?", "rm", true),
            ("r?", "r", false),
            ("a*", "rm", false),
            ("/e*", "/etc", true),
            ("/*", "/etc/passwd", false),
            ("/*/*", "/etc/passwd", true),
        ] {
            assert_eq!(may_be(&glob(pattern), text), expected, "{pattern} {text}");
        }
        assert!(may_be(&format!("{UNKNOWN}"), "rm") && may_be(&format!("r{UNKNOWN}"), "rm"));
    }
}
