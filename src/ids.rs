//! The identifiers of the house, each its own type, each impossible to hold when malformed.
//!
//! A leaf: imports nothing of ours. Parsing happens once, at the edge where the text comes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct IdError {
    pub text: String,
    pub kind: &'static str,
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { text: text.to_owned(), kind: $kind, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The operator's name for one account.
    AccountName,
    "account name",
    "a letter, then at most 63 letters, digits, '_' or '-'",
    is_name
);
text_id!(
    /// A tmux session of ours. Never empty, never a tmux target with a meaning of its own.
    SessionName,
    "session name",
    "a letter, then at most 63 letters, digits, '_' or '-'",
    is_name
);
text_id!(
    /// A Claude Code conversation: a UUID as the client writes it, lower case.
    ConversationId,
    "conversation id",
    "36 characters, hexadecimal digits in groups of 8-4-4-4-12",
    is_uuid
);

text_id!(
    /// A directory in `dispatcher.projects_dir` with a queue of its own.
    ProjectName,
    "project name",
    "at most 128 of letters, digits, '.', '_' and '-', not beginning with '.' or '-'",
    is_file_word
);
text_id!(
    /// The file name of a task, without `.md`.
    TaskId,
    "task id",
    "at most 128 of letters, digits, '.', '_' and '-', not beginning with '.' or '-'",
    is_file_word
);

/// One task of one project, as `depends_on` and the command line name it: `project:id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskRef {
    pub project: ProjectName,
    pub id: TaskId,
}

impl FromStr for TaskRef {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (project, id) = text.split_once(':').ok_or_else(|| IdError {
            text: text.to_owned(),
            kind: "task reference",
            rule: "a project, ':' and a task id",
        })?;
        Ok(Self { project: project.parse()?, id: id.parse()? })
    }
}

impl TryFrom<String> for TaskRef {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TaskRef> for String {
    fn from(task: TaskRef) -> String {
        task.to_string()
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.id)
    }
}

/// A word that is harmless as a file name, in a shell, and as an argument.
fn is_file_word(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// A tmux pane id, `%N`; unique for the life of one tmux server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaneId(pub u32);

impl FromStr for PaneId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix('%').and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(|| {
            IdError { text: text.to_owned(), kind: "pane id", rule: "'%' and a number" }
        })
    }
}

impl fmt::Display for PaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// One process for its whole life: a pid alone may be reused, a pid with its start time may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub started_ticks: u64,
}

impl ProcessRef {
    /// A process that was never seen, and is gone: there is nobody to end.
    pub const NOBODY: Self = Self { pid: 0, started_ticks: 0 };
}

impl fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pid, self.started_ticks)
    }
}

/// The number of a swap or of a single move; rises over the life of the journal.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tmux_could_read_as_something_else_are_refused() {
        for text in ["", "=x", "-x", "$1", "@1", "%1", "a b", "a.b", "a:b", "*", "é", "1a"] {
            assert!(text.parse::<SessionName>().is_err(), "{text:?}");
        }
        for text in ["a", "ccl-1-conformvault", "A_9-"] {
            assert!(text.parse::<SessionName>().is_ok(), "{text:?}");
        }
        assert!("a".repeat(65).parse::<SessionName>().is_err());
    }

    #[test]
    fn a_conversation_id_is_a_lower_case_uuid() {
        assert!("82840528-5c4e-4114-8dc2-50dc43ea65c9".parse::<ConversationId>().is_ok());
        for text in [
            "82840528-5C4E-4114-8dc2-50dc43ea65c9",
            "82840528x5c4e-4114-8dc2-50dc43ea65c9",
            "------------------------------------",
            "82840528-5c4e-4114-8dc2-50dc43ea65c",
        ] {
            assert!(text.parse::<ConversationId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_malformed_id_in_json_is_refused() {
        assert!(serde_json::from_str::<SessionName>("\"a;kill-server\"").is_err());
    }
}
