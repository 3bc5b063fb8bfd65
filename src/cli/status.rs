//! `status`: what the daemon does now, for a person on a terminal of 80 columns.

mod next;
mod sheet;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crossbeam_channel::tick;
use serde_json::Value;

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::cli::exit;
use crate::cli::history::line::plain;
use crate::cli::say;
use crate::clock::Clock;

/// From one look to the next; a countdown in minutes needs no more.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Clears the screen and goes to its corner.
const ANEW: &str = "\x1b[H\x1b[2J";

const EXAMPLES: &str = "\
Examples:
  claude-failover status            one sheet; exit 1: a person is needed
  claude-failover status --watch    the same every two seconds
  claude-failover status --json | jq .accounts";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// As the document of GET /status
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    /// Again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// 0: it works; 1: a person is needed, or nobody answers.
pub fn run(args: &Args) -> u8 {
    let stdout = std::io::stdout();
    let coloured = stdout.is_terminal() && wants_colour();
    let ticks = tick(WATCH_EVERY);
    let anew = if args.watch && stdout.is_terminal() { ANEW } else { "" };
    loop {
        let (text, code) = match args.daemon.try_ask(&Request::Status) {
            Ok(answer) => shown(&answer, args.json, coloured),
            // On a screen that is made anew it would be lost on standard error.
            Err(error) if args.watch => (format!("{error}\n"), error.exit_code()),
            Err(error) => {
                say::error(&error);
                (String::new(), error.exit_code())
            }
        };
        // A closed pipe has nobody left to tell.
        let told = std::io::stdout().write_all(format!("{anew}{text}").as_bytes());
        if !args.watch || told.is_err() || code == exit::CONFIG {
            return code;
        }
        // It never ends: the tick is ours.
        let _ = ticks.recv();
    }
}

fn shown(answer: &Value, as_json: bool, coloured: bool) -> (String, u8) {
    let works = answer["health"]["ok"].as_bool().unwrap_or(false);
    let code = if works { exit::OK } else { exit::FAILED };
    if as_json {
        return (plain(&format!("{:#}\n", answer["status"])), code);
    }
    match sheet::text(answer, Clock::start().wall(), coloured) {
        Ok(text) => (text, code),
        Err(error) => {
            say::error(format_args!("could not understand the daemon's state: {error}"));
            (String::new(), exit::FAILED)
        }
    }
}

/// See no-color.org: any value but an empty one says no.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
