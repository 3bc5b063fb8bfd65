//! What a check found: one line, with the remedy.

use serde::Serialize;

use crate::cli::text::beside;
use crate::harmless;

/// The longest name of a check fits.
const CHECK_COLUMNS: usize = 11;
const VERDICT_COLUMNS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, and something may surprise.
    Warn,
    /// Something will not work.
    Fail,
    /// It could not be looked at, for a reason that is told.
    Skip,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub what: String,
    /// `None`: there is nothing to do, or `what` says it.
    pub remedy: Option<String>,
}

pub fn ok(check: &'static str, what: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Ok, what: what.into(), remedy: None }
}

pub fn skip(check: &'static str, what: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Skip, what: what.into(), remedy: None }
}

pub fn warn(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Warn, what: what.into(), remedy: Some(remedy.into()) }
}

pub fn fail(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { check, verdict: Verdict::Fail, what: what.into(), remedy: Some(remedy.into()) }
}

/// Whose words hold the remedy already.
pub fn told(check: &'static str, verdict: Verdict, what: impl Into<String>) -> Finding {
    Finding { check, verdict, what: what.into(), remedy: None }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
        }
    }
}

impl Finding {
    /// One line; with `wrap`, as many as 80 columns need.
    pub fn text(&self, wrap: Wrap) -> String {
        let verdict = self.verdict.word();
        let head = format!("{verdict:VERDICT_COLUMNS$} {:CHECK_COLUMNS$} ", self.check);
        // What a program or a file has said may hold anything.
        let plain = |text: &str| text.replace(|c: char| !harmless::is_plain(c), " ");
        let remedy = self.remedy.as_deref();
        let remedy = remedy.map_or(String::new(), |remedy| format!(" -> {}", plain(remedy)));
        let text = format!("{}{remedy}", plain(&self.what));
        match wrap {
            Wrap::Columns => beside(&head, &text),
            Wrap::Never => format!("{head}{text}\n"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Columns,
    /// For programs, which look for lines.
    Never,
}
