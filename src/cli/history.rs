//! `history`: what has happened, from the journal and its archives, whether the daemon runs or not.

pub mod line;
mod words;

use crate::cli::exit;
use crate::cli::records::{self, JournalArgs};
use crate::cli::say;
use crate::cli::since::Since;
use crate::clock::Clock;
use crate::core::history::History;
use crate::core::history::entry::Entry;
use crate::core::history::kind::Kind;
use crate::ids::AccountName;
use crate::moment::Wall;

const EXAMPLES: &str = "\
Examples:
  claude-failover history --since 12h            the night
  claude-failover history --kind swap,refusal    who ran out, where work went
  claude-failover history --account backup --json";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    journal: JournalArgs,
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

pub fn run(args: &Args) -> u8 {
    let state_dir = match args.journal.state_dir() {
        Ok(dir) => dir,
        Err(code) => return code,
    };
    let mut history = History::default();
    let read = records::each(&state_dir, &mut |entry| {
        history.take(entry.seq, entry.at, &entry.record);
    });
    if let Err(code) = read {
        return code;
    }
    let entries = history.into_entries();
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

fn text(entries: &[Entry], json: bool) -> String {
    entries.iter().map(|entry| if json { line::json(entry) } else { line::text(entry) }).collect()
}

impl Args {
    fn choose(&self, mut entries: Vec<Entry>, now: Wall) -> Vec<Entry> {
        let since = self.since.map(|since| since.moment(now));
        entries.retain(|entry| {
            since.is_none_or(|since| entry.ended_at().is_none_or(|ended| ended >= since))
                && (self.kind.is_empty() || self.kind.contains(&entry.kind()))
                && self.account.as_ref().is_none_or(|account| entry.is_about(account))
        });
        let earlier = entries.len().saturating_sub(self.limit);
        entries.split_off(earlier)
    }
}
