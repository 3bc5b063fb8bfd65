//! `why`: the chain of evidence and decisions behind one thing, from the journal and its archives,
//! whether the daemon runs or not.

pub mod sheet;

use crate::cli::records::{self, JournalArgs};
use crate::cli::{exit, say};
use crate::core::why::{Subject, Why};
use crate::ids::OpId;

const EXAMPLES: &str = "\
Examples:
  claude-failover why 17            a swap: what made it, where to, each phase
  claude-failover why ccl-auto-11   a session: who is there, what was done
  claude-failover why shop:mend-1   a task: claims, attempts, its result
  claude-failover why backup        an account: limits, logins, holds, proofs

Numbers of swaps are in `claude-failover history` and in the log (op=17).";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    journal: JournalArgs,
    /// A swap's number, a session, a task, an account
    #[arg(value_name = "SWAP|SESSION|TASK|ACCOUNT")]
    about: String,
    /// The last so many lines
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// 1: the records know nothing of it.
pub fn run(args: &Args) -> u8 {
    let subjects = subjects(&args.about);
    if subjects.is_empty() {
        say::error(format_args!(
            "{}: no swap has such a number, and no session, task or account such a name",
            args.about
        ));
        return exit::USAGE;
    }
    let state_dir = match args.journal.state_dir() {
        Ok(dir) => dir,
        Err(code) => return code,
    };
    let mut chains: Vec<Why> = subjects.into_iter().map(Why::new).collect();
    let read = records::each(&state_dir, &mut |entry| {
        for why in &mut chains {
            why.take(entry.seq, entry.at, &entry.record);
        }
    });
    if let Err(code) = read {
        return code;
    }
    chains.retain(Why::is_known);
    if chains.is_empty() {
        say::error(format_args!(
            "nothing is known of {} in the journal in {}: `claude-failover history` and `status` \
             show what there is",
            args.about,
            state_dir.display()
        ));
        return exit::FAILED;
    }
    say::text(&match args.json {
        true => sheet::json(&chains, args.limit),
        false => sheet::text(&chains, args.limit),
    });
    exit::OK
}

/// What may be meant: of a plain name a session or an account, which the records tell.
fn subjects(about: &str) -> Vec<Subject> {
    let number = about.strip_prefix('#').unwrap_or(about);
    if let Ok(op) = number.parse() {
        return vec![Subject::Swap(OpId(op))];
    }
    if let Ok(task) = about.parse() {
        return vec![Subject::Task(task)];
    }
    let session = about.parse().ok().map(Subject::Session);
    let account = about.parse().ok().map(Subject::Account);
    session.into_iter().chain(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_a_task_or_a_name_is_meant() {
        let said = |about| subjects(about).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said("17"), ["swap 17"]);
        assert_eq!(said("#17"), ["swap 17"]);
        assert_eq!(said("shop:t-1"), ["task shop:t-1"]);
        assert_eq!(said("ccl-auto-11"), ["session ccl-auto-11", "account ccl-auto-11"]);
        assert_eq!(said("two words"), Vec::<String>::new());
        assert_eq!(said(""), Vec::<String>::new());
    }
}
