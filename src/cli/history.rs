//! `history`: what has happened, from the journal and its archives, whether the daemon runs or not.

pub mod line;
mod words;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::exit;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::load::{DEFAULT_PATH, load};
use crate::core::history::History;
use crate::core::history::entry::Entry;
use crate::core::history::kind::Kind;
use crate::core::record::Record;
use crate::ids::AccountName;
use crate::journal::error::JournalError;
use crate::journal::reader;
use crate::moment::Wall;
use crate::task::harmless;
use crate::units;

/// What could not be read and is told of, one by one.
const WARNINGS_MAX: usize = 20;
const WARNING_CHARS_MAX: usize = 400;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
    /// Instead of the configuration's; that is then not read
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Began or ended since: 2h, 7d, 2026-11-26T03:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// The last so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// About one account alone
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,
    /// Of these kinds alone: swap,refusal,parking,…
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kind: Vec<Kind>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Milliseconds before now.
    Ago(i64),
    At(Wall),
}

pub fn run(args: &Args) -> u8 {
    let state_dir = match &args.state_dir {
        Some(dir) => dir.clone(),
        None => match load(&args.config) {
            Ok(loaded) => loaded.config.state_dir,
            Err(error) => {
                say::error(error);
                return exit::CONFIG;
            }
        },
    };
    let entries = match entries(&state_dir) {
        Ok(entries) => entries,
        Err(error) => {
            say::error(&error);
            return match error {
                JournalError::NewerVersion { .. } => exit::CONFIG,
                _ => exit::JOURNAL_IO,
            };
        }
    };
    if entries.is_empty() {
        say::error(format_args!("no history: nothing is in a journal in {}", state_dir.display()));
        return exit::OK;
    }
    let count = entries.len();
    let wanted = args.choose(entries, Clock::start().wall());
    if wanted.is_empty() {
        say::error(format_args!("nothing of what was asked for is among {count} entries"));
    }
    say::text(&text(&wanted, args.json));
    exit::OK
}

/// What cannot be read is said on stderr, and left out.
fn entries(state_dir: &Path) -> Result<Vec<Entry>, JournalError> {
    let mut history = History::default();
    let mut warnings = 0;
    reader::read::<Record>(state_dir, &mut |found| match found {
        Ok(entry) => history.take(entry.seq, entry.at, &entry.record),
        Err(left_out) => {
            warnings += 1;
            if warnings <= WARNINGS_MAX {
                let text = harmless::line(&left_out.to_string(), WARNING_CHARS_MAX);
                say::error(format_args!("warning: {text}"));
            }
        }
    })?;
    if warnings > WARNINGS_MAX {
        say::error(format_args!("warning: {} more of these", warnings - WARNINGS_MAX));
    }
    Ok(history.into_entries())
}

fn text(entries: &[Entry], json: bool) -> String {
    entries.iter().map(|entry| if json { line::json(entry) } else { line::text(entry) }).collect()
}

impl Args {
    fn choose(&self, mut entries: Vec<Entry>, now: Wall) -> Vec<Entry> {
        let since = self.since.map(|since| match since {
            Since::Ago(ago_ms) => Wall(now.0.saturating_sub(ago_ms)),
            Since::At(at) => at,
        });
        entries.retain(|entry| {
            since.is_none_or(|since| entry.ended_at().is_none_or(|ended| ended >= since))
                && (self.kind.is_empty() || self.kind.contains(&entry.kind()))
                && self.account.as_ref().is_none_or(|account| entry.is_about(account))
        });
        let earlier = entries.len().saturating_sub(self.limit);
        entries.split_off(earlier)
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = units::parse_duration(text) {
            return Ok(Since::Ago(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)));
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
            "write how long ago, for example 2h or 7d, or a moment: 2026-11-26T03:00:00Z".to_owned()
        })?;
        let at_ms = at.unix_timestamp_nanos() / 1_000_000;
        Ok(Since::At(Wall(i64::try_from(at_ms).expect("a year of four digits"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_length_of_time_or_a_moment() {
        for (text, expected) in [
            ("2h", Some(Since::Ago(7_200_000))),
            ("7d", Some(Since::Ago(604_800_000))),
            ("1970-01-01T00:00:02Z", Some(Since::At(Wall(2_000)))),
            ("1970-01-01T01:00:02+01:00", Some(Since::At(Wall(2_000)))),
            ("yesterday", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Since>().ok(), expected, "{text:?}");
        }
    }
}
