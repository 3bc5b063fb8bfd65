//! Anybody's text as one line that no terminal, log or person reads as something else.

/// Cut to `chars_max` characters, of which the last then is `…`.
pub fn line(text: &str, chars_max: usize) -> String {
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    let mut chars = plain.trim().chars();
    let mut line: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// The same of each line, uncut.
pub fn lines(text: &str) -> String {
    let plain = |c: char| if c == '\n' || is_plain(c) { c } else { ' ' };
    text.chars().map(plain).collect()
}

/// Neither a control character, nor a line break of Unicode, nor a mark that turns the direction in
/// which text is shown.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{2028}'
                | '\u{2029}'
                | '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_something_else_becomes_a_space() {
        for (text, expected) in [
            ("plain", "plain"),
            ("  äöü … 世界 ", "äöü … 世界"),
            ("a\nb\r\nc\td", "a b  c d"),
            ("\u{1b}[31mred\u{7}", "[31mred"),
            ("a\u{2028}b\u{85}c\u{202e}d\u{feff}e\u{61c}", "a b c d e"),
            ("\n\t \u{0}", ""),
            ("1234567890", "1234567890"),
            ("12345678901", "123456789…"),
        ] {
            assert_eq!(line(text, 10), expected, "{text:?}");
        }
    }
}
