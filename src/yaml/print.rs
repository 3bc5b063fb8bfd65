//! Texts as YAML.

use std::fmt::Write as _;

/// In double quotes and on one line, as every reader of YAML takes it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => write!(quoted, "\\U{:08X}", u32::from(c)).expect("a String takes all"),
        }
    }
    quoted.push('"');
    quoted
}

/// As YAML 1.1 has it, without what it takes for a line break or drops.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Limits, Node, parse};

    const LIMITS: Limits = Limits { nodes_max: 1, work_max: 1 << 20 };

    #[test]
    fn every_character_is_read_back() {
        let below = (0..=0x3100).chain(0xfe00..=0x1_0100);
        let text: String = below.filter_map(char::from_u32).collect();
        assert_eq!(parse(&quoted(&text), LIMITS).unwrap(), Node::Text(text));
        for text in ["", "yes", "5", "- a", "{x", "# x", "a: b", "'\"\\"] {
            assert_eq!(parse(&quoted(text), LIMITS).unwrap(), Node::Text(text.to_owned()));
        }
    }
}
