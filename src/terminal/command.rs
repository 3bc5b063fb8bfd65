//! tmux commands as values, and which answer each batch item waits for. Pure.
//!
//! Targets: `=name:` for a session (any other form may hit one whose name begins alike),
//! `=name:.%N` for a pane of it. A bare `%N` says nothing about the session: where sessions share
//! their windows (`new-session -t`) tmux takes any of them. No name or id can be empty.

use crate::ids::{PaneId, SessionName};
use crate::terminal::encode::quote;
use crate::terminal::protocol::{Block, Reply};

/// One tmux command; each argument is encoded, so it always stays one.
#[derive(Debug, Clone)]
pub struct Command(String);

impl Command {
    pub fn new(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    pub fn flag(mut self, flag: &'static str) -> Self {
        self.0.push(' ');
        self.0.push_str(flag);
        self
    }

    pub fn arg(mut self, value: impl AsRef<[u8]>) -> Self {
        self.0.push(' ');
        self.0.push_str(&quote(value.as_ref()));
        self
    }

    pub fn option(self, flag: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.flag(flag).arg(value)
    }

    /// The command fails when the pane is not in the session.
    pub fn pane(self, session: &SessionName, pane: PaneId) -> Self {
        self.option("-t", pane_target(session, pane))
    }

    pub fn session(self, session: &SessionName) -> Self {
        self.option("-t", session_target(session))
    }
}

pub fn session_target(session: &SessionName) -> String {
    format!("={session}:")
}

pub fn pane_target(session: &SessionName, pane: PaneId) -> String {
    format!("={session}:.{pane}")
}

/// Commands of which a later one runs only when the earlier ones succeeded.
pub fn list(commands: &[Command]) -> String {
    let texts: Vec<&str> = commands.iter().map(|command| command.0.as_str()).collect();
    texts.join(" ; ")
}

/// What is sent as one item of a batch.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// One or more control lines, each with its newline.
    pub lines: String,
    pub ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With so many blocks, or with the first error.
    Blocks(usize),
    /// With the block that begins with [`MARKER`], however many came before it.
    Marker,
}

/// Begins the text of the block that ends an exchange of unknown length. Only options and
/// errors are printed before it, never the text of a pane.
pub const MARKER: &str = "failover-marker ";

impl Exchange {
    /// A list in which each command answers with one block.
    pub fn plain(commands: &[Command]) -> Self {
        Self { lines: list(commands) + "\n", ends: Ends::Blocks(commands.len()) }
    }

    /// A list that may answer with any number of blocks, then the marker with `format` expanded
    /// for `target`; a target that is gone gives an empty expansion.
    pub fn marked(commands: &[Command], target: &str, format: &str) -> Self {
        Self::marked_lines(&[list(commands)], target, format)
    }

    /// The same with several lists, each of which runs whatever became of the one before it.
    pub fn marked_lines(lists: &[String], target: &str, format: &str) -> Self {
        let marker = Command::new("display-message")
            .option("-p -t", target)
            .arg(format!("{MARKER}{format}"));
        Self { lines: format!("{}\n{}\n", lists.join("\n"), marker.0), ends: Ends::Marker }
    }
}

/// What the marker at the end of a reply expanded to.
pub fn marker_value(reply: &Reply) -> String {
    let text = reply.last().map(Block::lossy).unwrap_or_default();
    text.strip_prefix(MARKER).unwrap_or_default().to_owned()
}

/// `if-shell -F`: tmux itself checks `condition` for `target` in the same step as `then`.
///
/// For effects, never for what is asked again and again: the server of 3.3a keeps what `then` was parsed
/// into for ever, 0.6 kB a command (measured), when it has run it.
pub fn guarded(target: &str, condition: &str, then: &[Command]) -> Command {
    Command::new("if-shell").option("-F -t", target).arg(condition).arg(list(then))
}

/// A condition that holds when all of `conditions` do; at least one.
pub fn all_of(conditions: &[String]) -> String {
    match conditions {
        [] => "1".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("#{{&&:{first},{}}}", all_of(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_list_is_one_line() {
        let session = "ccl-1".parse().expect("a name");
        let then = [
            Command::new("set-option").session(&session).arg("@x").arg("1"),
            Command::new("send-keys").pane(&session, PaneId(7)).flag("-l").arg("a;\nb"),
        ];
        let exchange = Exchange::plain(&[guarded("%7", "1", &then)]);
        assert_eq!(exchange.ends, Ends::Blocks(1));
        assert_eq!(exchange.lines.matches('\n').count(), 1);
        assert!(exchange.lines.starts_with(r#"if-shell -F -t "\0457" "1" "set-option -t "#));
        assert!(!exchange.lines.contains(';'), "{}", exchange.lines);
    }

    #[test]
    fn conditions_are_nested_in_pairs() {
        let conditions = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(all_of(&conditions), "#{&&:a,#{&&:b,c}}");
    }
}
