//! Text on its way into and out of tmux. Pure.
//!
//! Every argument goes through [`quote`]: in a control line a newline starts a new command, a
//! last `;` splits one, and bad UTF-8 is mangled, unless the byte is written in octal.

use std::fmt::Write;

use crate::terminal::error::TerminalError;

/// A cooked terminal cuts a line at 4 096 bytes; one of them is the Enter.
pub const PASTE_BYTES_MAX: usize = 4095;

/// One argument of a control line, exact for every byte from 1 to 255.
///
/// A NUL ends the argument for tmux, so it is left out here.
pub fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for &byte in bytes.iter().filter(|&&byte| byte != 0) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => quoted.push(char::from(byte)),
            b' ' | b'.' | b',' | b':' | b'/' | b'_' | b'-' => quoted.push(char::from(byte)),
            _ => write!(quoted, "\\{byte:03o}").expect("a String takes any text"),
        }
    }
    quoted.push('"');
    quoted
}

/// Undoes the encoding of `show-buffer` to a control client (vis: octal, C style, tab, newline).
///
/// An escape that tmux would not write stands for the character behind its backslash.
pub fn unvis(encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else {
            plain.push(byte);
            break;
        };
        if let Some(value) = octal(rest) {
            plain.push(value);
            rest = &rest[3..];
            continue;
        }
        rest = tail;
        plain.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 0x07,
            b'b' => 0x08,
            b'v' => 0x0b,
            b'f' => 0x0c,
            b's' => b' ',
            b'0' => 0,
            other => other,
        });
    }
    plain
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..3)?;
    let mut value: u16 = 0;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value * 8 + u16::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

/// A directory for `-c`, which tmux expands as a format: without this `#{…}` in a name is
/// replaced and `#(…)` is run. A `#` before `[` must stay single (3.3a; found by trying).
pub fn directory(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let hashes = path[at..].iter().take_while(|&&byte| byte == b'#').count();
        if hashes == 0 {
            escaped.push(path[at]);
            at += 1;
            continue;
        }
        at += hashes;
        let copies = if path.get(at) == Some(&b'[') { 1 } else { 2 };
        escaped.extend(std::iter::repeat_n(b'#', hashes * copies));
    }
    escaped
}

/// A text for `display-message`: it expands formats and strftime, and draws `#[…]` as a style.
pub fn message(text: &str) -> String {
    let one_line = text.replace(char::is_control, " ");
    one_line.replace("#[", "# [").replace('#', "##").replace('%', "%%")
}

/// One line to be typed into a pane, free of anything that a terminal would take for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasteLine(String);

impl PasteLine {
    /// Control characters other than the tab are left out (an ESC would end the bracketed paste).
    /// Errors: more than one line, nothing left to type, over [`PASTE_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, TerminalError> {
        let refuse = |why| TerminalError::Untypeable { text: text.chars().take(80).collect(), why };
        if text.contains(['\n', '\r']) {
            return Err(refuse("it has more than one line"));
        }
        let kept: String = text.chars().filter(|&c| c == '\t' || !c.is_control()).collect();
        if kept.trim().is_empty() {
            return Err(refuse("it is empty"));
        }
        if kept.len() > PASTE_BYTES_MAX {
            return Err(refuse("it is longer than 4095 bytes"));
        }
        Ok(Self(kept))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_tmux_could_read_as_syntax_is_octal() {
        for (text, expected) in [
            ("plain-1.txt", r#""plain-1.txt""#),
            ("end;", r#""end\073""#),
            ("a\nkill-server", r#""a\012kill-server""#),
            ("\"$HOME\\", r#""\042\044HOME\134""#),
            ("é", r#""\303\251""#),
            ("~#{pid}%1", r#""\176\043\173pid\175\0451""#),
            ("", r#""""#),
        ] {
            assert_eq!(quote(text.as_bytes()), expected);
        }
        assert_eq!(quote(b"a\0b"), r#""ab""#);
    }

    #[test]
    fn vis_is_undone() {
        for (encoded, expected) in [
            (&br"row 1\nrow 2\n"[..], &b"row 1\nrow 2\n"[..]),
            (br"back\\slash \\n", br"back\slash \n"),
            (br"\033[1m\377\t", b"\x1b[1m\xff\t"),
            ("❯\u{a0}é".as_bytes(), "❯\u{a0}é".as_bytes()),
            (br"\$HOME \0x", b"$HOME \0x"),
            (br"\400", b"400"),
            (br"ends in \", br"ends in \"),
        ] {
            assert_eq!(unvis(encoded), expected);
        }
    }

    #[test]
    fn a_directory_is_taken_by_letter() {
        for (path, expected) in [
            ("/srv/a", "/srv/a"),
            ("/a#{pid}", "/a##{pid}"),
            ("/#(id)/100%", "/##(id)/100%"),
            ("/#[x", "/#[x"),
            ("/a##", "/a####"),
        ] {
            assert_eq!(directory(path.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn a_message_is_one_line_without_formats() {
        assert_eq!(message("50 %\n#(id) #[fg=red]"), "50 %% ##(id) ## [fg=red]");
    }

    #[test]
    fn a_line_to_be_typed_has_no_control_characters() {
        let line = PasteLine::new("a\x1b[201~\tb\u{9b}").expect("one line");
        assert_eq!(line.as_str(), "a[201~\tb");
        for text in ["a\nb", "a\rb", "", " ", "\x1b", &"a".repeat(PASTE_BYTES_MAX + 1)] {
            assert!(PasteLine::new(text).is_err(), "{text:?}");
        }
    }
}
