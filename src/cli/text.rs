//! Text for a terminal of 80 columns.

use std::time::Duration;

pub const COLUMNS: usize = 80;

/// Lines of at most `columns` characters, broken at spaces; a longer word is cut.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.len() <= columns {
            push(&mut lines, ' ', &word);
            continue;
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            start(&mut lines, &word);
            word = rest;
        }
        start(&mut lines, &word);
    }
    lines
}

fn push(lines: &mut [String], space: char, word: &[char]) {
    if let Some(line) = lines.last_mut() {
        line.push(space);
        line.extend(word);
    }
}

fn start(lines: &mut Vec<String>, word: &[char]) {
    if lines.last().is_some_and(|line| !line.is_empty()) {
        lines.push(String::new());
    }
    if let Some(line) = lines.last_mut() {
        line.extend(word);
    }
}

/// `text` beside `head`, whose width all its lines keep free. At most [`COLUMNS`] wide.
pub fn beside(head: &str, text: &str) -> String {
    let indent = head.chars().count();
    let mut block = String::new();
    for (line, number) in wrapped(text, COLUMNS.saturating_sub(indent).max(1)).iter().zip(0..) {
        let head = if number == 0 { head } else { "" };
        block.push_str(format!("{head:indent$}{line}").trim_end());
        block.push('\n');
    }
    block
}

/// In one unit, or two while the second matters: `59s`, `12m`, `2h13m`, `6d23h`.
pub fn length(length: Duration) -> String {
    let total_s = length.as_secs();
    let (days, hours, minutes) = (total_s / 86_400, total_s / 3_600 % 24, total_s / 60 % 60);
    match total_s {
        0..60 => format!("{total_s}s"),
        60..3_600 => format!("{minutes}m"),
        3_600..86_400 => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one  twothreefour", 5), ["one", "twoth", "reefo", "ur"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(beside("a  ", "x y"), "a  x y\n");
        let long = beside("ab  ", &"word ".repeat(30));
        assert!(long.lines().all(|line| line.chars().count() <= COLUMNS), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("    word")), "{long}");
    }

    #[test]
    fn a_length_is_short() {
        let said: Vec<String> = [0, 59, 60, 3_599, 3_600, 7_980, 86_399, 86_400, 604_799]
            .map(|s| length(Duration::from_secs(s)))
            .into();
        assert_eq!(said, ["0s", "59s", "1m", "59m", "1h00m", "2h13m", "23h59m", "1d00h", "6d23h"]);
    }
}
