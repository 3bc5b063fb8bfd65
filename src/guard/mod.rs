//! Whether a command of an autonomous agent is destructive. Pure: text in, verdict out.
//!
//! [`shell`] reads commands as bash does, `walk` and `expand` carry them out as far as they can be
//! known without running anything, and the modules beside them judge what each command would do.
//! [`rules`] is `etc/guard.yaml`. It stops accidents and what an agent writes to get past a simple
//! filter. It is no sandbox: a program that the agent has written itself may do anything.

mod brace;
mod call;
mod code;
mod delete;
mod disk;
mod edit;
mod expand;
mod feed;
mod find;
mod git;
mod options;
mod path;
pub mod rules;
pub mod shell;
mod shells;
pub mod text;
pub mod tool;
mod walk;
mod wrap;
mod write;

use std::fmt;

use crate::guard::rules::Rules;
use crate::guard::shell::parse::parse;
use crate::guard::walk::Walk;

/// Where a command would run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Absolute.
    pub cwd: String,
    /// The directory that the agent works in; `None` when nobody said so.
    pub work: Option<String>,
    pub home: String,
    pub user: String,
    /// Directories that are protected as the agents' settings are: their home, our runtime directory.
    pub closed: Vec<String>,
    /// Directories inside those that agents write to all the same; patterns as in rules.
    pub open: Vec<String>,
}

/// What can be asked about the disk.
pub trait World {
    /// `path` with its links followed, as far as it exists.
    fn real(&self, path: &str) -> String;
    /// The branch that is checked out in `dir`, if it is in a repository and on a branch.
    fn branch(&self, dir: &str) -> Option<String>;
}

/// Why a command must not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub rule: String,
    pub why: String,
    pub instead: String,
    /// The part of the command that decided.
    pub part: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused ({}): ", self.rule)?;
        if !self.part.is_empty() {
            write!(f, "`{}`: ", self.part)?;
        }
        write!(f, "{}. Instead: {}.", self.why, self.instead)
    }
}

/// Names of refusals that are no rules.
pub const UNREADABLE: &str = "unreadable";
pub const DENIED: &str = "denied";

/// # Errors
/// The command is destructive, or cannot be read.
pub fn judge(
    command: &str,
    rules: &Rules,
    place: &Place,
    world: &dyn World,
) -> Result<(), Box<Refusal>> {
    if command.contains(text::is_reserved) {
        return Err(unreadable("it holds a character that no command needs"));
    }
    let script = parse(command).map_err(|why| unreadable(&why.to_string()))?;
    Walk::new(rules, place, world).whole(&script)
}

/// # Errors
/// The file is none that an agent may write to.
pub fn judge_file(
    path: &str,
    rules: &Rules,
    place: &Place,
    world: &dyn World,
) -> Result<(), Box<Refusal>> {
    if path.contains(text::is_reserved) {
        return Err(unreadable("the path holds a character that no path needs"));
    }
    Walk::new(rules, place, world).file(path)
}

pub fn unreadable(why: &str) -> Box<Refusal> {
    Box::new(Refusal {
        rule: UNREADABLE.to_owned(),
        why: format!("the guard cannot read this command: {why}"),
        instead: "write it in a simpler way, or in several commands".to_owned(),
        part: String::new(),
    })
}
