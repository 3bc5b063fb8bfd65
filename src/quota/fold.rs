//! A row as it was captured → the same row in plain characters: no escape sequence, no odd space,
//! no typographic apostrophe. A row that needs nothing of it is borrowed, which most are.

use std::borrow::Cow;

/// Bytes of a row that are looked at; the client's own rows are shorter.
const ROW_BYTES_MAX: usize = 1_600;
/// Columns that one escape sequence may skip.
const SKIPPED_COLUMNS_MAX: usize = 250;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<'a> {
    pub text: Cow<'a, str>,
    /// Where in `text` the first no-break space stood.
    pub no_break_at: Option<usize>,
}

pub fn fold(raw: &str) -> Folded<'_> {
    let raw = head(raw);
    if is_plain(raw.as_bytes()) {
        return Folded { text: Cow::Borrowed(raw), no_break_at: None };
    }
    let mut text = String::with_capacity(raw.len());
    let mut no_break_at = None;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars, &mut text),
            '\u{9b}' => skip_control(&mut chars, &mut text),
            '\u{a0}' => {
                no_break_at = no_break_at.or(Some(text.len()));
                text.push(' ');
            }
            '\t' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => text.push(' '),
            '‘' | '’' | 'ʼ' | '′' | '＇' => text.push('\''),
            '\u{2010}' | '\u{2011}' => text.push('-'),
            '\u{ad}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'
            | '\u{fe0e}'
            | '\u{fe0f}'
            | '\u{feff}' => {}
            _ if c.is_control() => {}
            _ => text.push(c),
        }
    }
    Folded { text: Cow::Owned(text), no_break_at }
}

/// Each row of a text that is no screen, folded.
pub fn rows(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|row| fold(row).text.trim().to_owned())
}

fn head(raw: &str) -> &str {
    if raw.len() <= ROW_BYTES_MAX {
        return raw;
    }
    let end = (0..=ROW_BYTES_MAX).rev().find(|&at| raw.is_char_boundary(at));
    &raw[..end.unwrap_or(0)]
}

/// Whether no character of the row is one that [`fold`] changes. May say no for one that is not.
fn is_plain(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = |ahead: usize| bytes.get(at + ahead).copied().unwrap_or(0);
        at += match byte {
            b' '..=b'~' => 1,
            0xc2 if next(1) > 0xad => 2,
            0xe2 => match next(1) {
                // U+2000 to U+207F: spaces, dashes, apostrophes, bullets.
                0x80 if matches!(next(2), 0x93 | 0x94 | 0x9c | 0x9d | 0xa2 | 0xa6) => 3,
                0x80 | 0x81 => return false,
                _ => 3,
            },
            // U+3000, and the variation selectors, the wide apostrophe and the byte order mark.
            0xe3 if next(1) == 0x80 => return false,
            0xef => return false,
            0xca => return false,
            0xc3..=0xdf => 2,
            0xe0..=0xee => 3,
            0xf0..=0xf7 => 4,
            _ => return false,
        };
    }
    true
}

/// What follows an escape character.
fn skip_sequence(chars: &mut std::str::Chars<'_>, text: &mut String) {
    match chars.next() {
        Some('[') => skip_control(chars, text),
        // Titles, links and other strings: up to the bell or the string terminator.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut escaped = false;
            for c in chars.by_ref() {
                if c == '\u{7}' || c == '\u{9c}' || (escaped && c == '\\') {
                    break;
                }
                escaped = c == '\u{1b}';
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | '%') => drop(chars.next()),
        _ => {}
    }
}

/// A control sequence up to its final character; a step to the right leaves its gap.
fn skip_control(chars: &mut std::str::Chars<'_>, text: &mut String) {
    let mut columns = 0_usize;
    for c in chars.by_ref() {
        match c {
            '0'..='9' => {
                let digit = c.to_digit(10).unwrap_or(0) as usize;
                columns = (columns * 10 + digit).min(SKIPPED_COLUMNS_MAX);
            }
            '@'..='~' => {
                if c == 'C' {
                    text.extend(std::iter::repeat_n(' ', columns.max(1)));
                }
                break;
            }
            _ => columns = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_adds_goes() {
        for (raw, expected) in [
            ("plain · text ❯ ─── “quoted” – dash… •", "plain · text ❯ ─── “quoted” – dash… •"),
            ("You\u{2019}ve hit\u{a0}your limit", "You've hit your limit"),
            ("\u{1b}[38;5;211mYou've hit\u{1b}[0m\u{1b}[39m", "You've hit"),
            ("\u{1b}[2Ca\u{1b}[Cb", "  a b"),
            ("\u{1b}]0;a title\u{7}after", "after"),
            ("\u{1b}]8;;https://a.b\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bx\u{1b}", "x"),
            ("⚠\u{fe0f} 5\u{2011}hour\r", "⚠ 5-hour"),
            ("Café ñ — 日本 😀 ʼ", "Café ñ — 日本 😀 '"),
            ("\u{1b}[999999999999C.", &format!("{}.", " ".repeat(SKIPPED_COLUMNS_MAX))),
        ] {
            assert_eq!(fold(raw).text, expected, "{raw:?}");
        }
        assert_eq!(fold("❯\u{a0}x").no_break_at, Some("❯".len()));
        assert_eq!(fold("\u{1b}[39m❯\u{a0}\u{1b}[7m ").no_break_at, Some("❯".len()));
    }

    #[test]
    fn a_row_that_nothing_changes_is_borrowed() {
        for number in 0x20..=0xffff_u32 {
            let Some(c) = char::from_u32(number) else { continue };
            let raw = format!("a{c}b");
            let folded = fold(&raw);
            if let Cow::Borrowed(text) = folded.text {
                let mut slow = String::from("\u{200b}");
                slow.push_str(&raw);
                assert_eq!(text, fold(&slow).text, "{number:x}");
            }
        }
        for raw in ["❯ abc", "──────", "  ⎿  Read 3 lines · done", "● Done…"] {
            assert!(matches!(fold(raw).text, Cow::Borrowed(_)), "{raw}");
        }
    }
}
