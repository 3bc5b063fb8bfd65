//! `account`: what stands for and against each account, and an operator's word on one of them.

mod add;
mod insert;
pub mod table;

use std::path::PathBuf;

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::cli::exit;
use crate::cli::history::line::plain;
use crate::cli::say;
use crate::clock::Clock;
use crate::core::event::AccountVerb;
use crate::ids::AccountName;

const EXAMPLES: &str = "\
Examples:
  claude-failover account list             who can be used, and until when not
  claude-failover account hold backup      keep it for yourself today
  claude-failover account release backup   use it again";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// All accounts: state, how long, used shares, why passed over
    List {
        /// As a JSON array: `accounts` of /status
        #[arg(long)]
        json: bool,
    },
    /// One more: its home, its links, its place in the configuration
    Add {
        #[arg(value_name = "NAME")]
        account: AccountName,
        /// Instead of ~/.claude-NAME
        #[arg(long, value_name = "DIR")]
        home: Option<PathBuf>,
        /// Lower is preferred; without it: after those there are
        #[arg(long, value_name = "N")]
        priority: Option<u32>,
    },
    /// Nothing goes there until it is released; work there moves off it
    Hold {
        #[arg(value_name = "NAME")]
        account: AccountName,
    },
    /// Whatever stands against it is over: hold, pin, failed login, limit
    Release {
        #[arg(value_name = "NAME")]
        account: AccountName,
    },
    /// This one and no other, until it is released
    Pin {
        #[arg(value_name = "NAME")]
        account: AccountName,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub struct PinArgs {
    #[command(flatten)]
    daemon: SocketArgs,
    #[arg(value_name = "NAME")]
    account: AccountName,
}

pub fn run(args: &Args) -> u8 {
    let (how, account) = match &args.verb {
        Verb::Add { account, home, priority } => {
            return add::run(args.daemon.config(), account, home.as_deref(), *priority);
        }
        Verb::List { json } => return list(&args.daemon, *json),
        Verb::Hold { account } => (AccountVerb::Hold, account),
        Verb::Release { account } => (AccountVerb::Release, account),
        Verb::Pin { account } => (AccountVerb::Pin, account),
    };
    args.daemon.order(&Request::Account { how, account: account.clone() })
}

pub fn pin(args: &PinArgs) -> u8 {
    let account = args.account.clone();
    args.daemon.order(&Request::Account { how: AccountVerb::Pin, account })
}

fn list(daemon: &SocketArgs, as_json: bool) -> u8 {
    let answer = match daemon.ask(&Request::Status) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let status = &answer["status"];
    let text = match as_json {
        true => Ok(plain(&format!("{:#}\n", status["accounts"]))),
        false => table::text(status, Clock::start().wall()),
    };
    match text {
        Ok(text) => {
            say::text(&text);
            exit::OK
        }
        Err(error) => {
            say::error(format_args!("could not understand the daemon's list of accounts: {error}"));
            exit::FAILED
        }
    }
}
