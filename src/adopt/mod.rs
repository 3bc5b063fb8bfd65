//! Turns the Claude homes that a host has into homes, a link and shared directories, and back.
//!
//! [`plan`] says what is to be done, out of what lies on the disk; [`carry_out`] does it, step by
//! step, each written to a [`log`](mod@log) before and after; the way back walks that log. Everything is a
//! rename without replacement, a new directory or a new link: no file is opened but to compare two
//! of the same name and size, and none is ever removed. A login moves with its home, unopened.

pub mod carry_out;
pub mod log;
mod merge;
pub mod occupants;
pub mod plan;
mod step;
mod view;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// In each home: what was in the way of a shared link and is there already, or is empty.
pub const ASIDE_DIR: &str = "adopted-duplicates";

/// Where everything belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub link: PathBuf,
    /// The preferred one first: name and home.
    pub accounts: Vec<(String, PathBuf)>,
    /// The name inside each home and where it leads.
    pub shared: Vec<(String, PathBuf)>,
}

/// One change, whole or not at all, that has an exact way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    MakeDir {
        path: PathBuf,
    },
    /// A rename: of a directory with all that is in it, or of a file.
    Move {
        from: PathBuf,
        to: PathBuf,
        /// Device and inode of what is moved, by which it is known again after a crash.
        id: (u64, u64),
    },
    /// A symlink.
    Link {
        path: PathBuf,
        target: PathBuf,
        role: Role,
    },
    /// A hard link: `name` is the same file.
    SecondName {
        file: PathBuf,
        name: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Names the active account; a swap makes it lead elsewhere.
    Active,
    Shared,
}

impl Layout {
    pub fn of(config: &Config) -> Self {
        let accounts = config.accounts.iter();
        let shared = config.pool.shared.links().into_iter();
        Self {
            link: config.link.clone(),
            accounts: accounts
                .map(|account| (account.name.to_string(), account.home.clone()))
                .collect(),
            shared: shared.map(|(name, path)| (name.to_owned(), path.clone())).collect(),
        }
    }

    /// Beside the link, as its lock.
    pub fn log_path(&self) -> PathBuf {
        with_suffix(&self.link, ".failover-adopt")
    }

    /// Where the client keeps its state for whoever has no `CLAUDE_CONFIG_DIR`.
    pub fn state_beside(&self) -> PathBuf {
        with_suffix(&self.link, ".json")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}
