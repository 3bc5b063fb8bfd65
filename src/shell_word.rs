//! A word of a shell's command line: what is offered to be pasted must be what it says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// `text` as it is where every shell takes it so; else quoted, and whatever a terminal or a person
/// could read as something else escaped.
pub fn shell_word(text: impl AsRef<OsStr>) -> String {
    let bytes = text.as_ref().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(byte);
    let is_seen = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    match text.as_ref().to_str() {
        Some(text) if !text.is_empty() && bytes.iter().all(is_plain) => text.to_owned(),
        Some(text) if text.chars().all(is_seen) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            // `$'…'` of bash and zsh, the shells that the client runs.
            let escaped = bytes.iter().map(|byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted() {
        for (text, expected) in [
            ("/home/u/.claude", "/home/u/.claude"),
            ("/a b", "'/a b'"),
            ("/ä 世界", "'/ä 世界'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("~u", "'~u'"),
            ("", "''"),
            ("a\nb'\\", r"$'a\x0ab\'\\'"),
            ("a\u{202e}b", r"$'a\xe2\x80\xaeb'"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
        assert_eq!(shell_word(OsStr::from_bytes(b"/\xff")), r"$'/\xff'");
    }
}
