//! What a verb says. Nobody may be left to hear it (`claude-failover status | head -1`): that is no
//! failure of the verb, and its exit code is that of what it did.

use std::fmt::Display;
use std::io::Write as _;

use crate::cli::history::line::plain;

/// To standard output, as it is.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A document, of which no terminal takes a part for an order; to a program it says the same.
pub fn json(json: &str) {
    text(&plain(json));
}

/// One line to standard output.
pub fn line(line: impl Display) {
    text(&format!("{line}\n"));
}

/// One line to standard error.
pub fn error(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
