//! The journal and its archives, for verbs that tell of the past, whether the daemon runs or not.

use std::path::{Path, PathBuf};

use crate::cli::{exit, say};
use crate::config::load::{DEFAULT_PATH, load};
use crate::core::record::Record;
use crate::harmless;
use crate::journal::error::JournalError;
use crate::journal::line::Entry;
use crate::journal::reader;

/// What could not be read and is told of, one by one.
const WARNINGS_MAX: usize = 20;
const WARNING_CHARS_MAX: usize = 400;

#[derive(Debug, Clone, clap::Args)]
pub struct JournalArgs {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
    /// Instead of the configuration's; that is then not read
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl JournalArgs {
    /// # Errors
    /// The exit code; what is wrong has been said.
    pub fn state_dir(&self) -> Result<PathBuf, u8> {
        if let Some(dir) = &self.state_dir {
            return Ok(dir.clone());
        }
        load(&self.config).map(|loaded| loaded.config.state_dir).map_err(|error| {
            say::error(error);
            exit::CONFIG
        })
    }
}

/// Gives each record, the oldest first. What cannot be read is said on stderr, and left out.
///
/// # Errors
/// The exit code; what is wrong has been said.
pub fn each(state_dir: &Path, take: &mut dyn FnMut(&Entry<Record>)) -> Result<(), u8> {
    let mut warnings = 0;
    let read = reader::read::<Record>(state_dir, &mut |found| match found {
        Ok(entry) => take(&entry),
        Err(left_out) => {
            warnings += 1;
            if warnings <= WARNINGS_MAX {
                let text = harmless::line(&left_out.to_string(), WARNING_CHARS_MAX);
                say::error(format_args!("warning: {text}"));
            }
        }
    });
    if warnings > WARNINGS_MAX {
        say::error(format_args!("warning: {} more of these", warnings - WARNINGS_MAX));
    }
    read.map_err(|error| {
        say::error(&error);
        match error {
            JournalError::NewerVersion { .. } => exit::CONFIG,
            _ => exit::JOURNAL_IO,
        }
    })
}
