//! `pause`: nothing new is begun until `resume`.

use std::time::Duration;

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::units;

const EXAMPLES: &str = "\
Examples:
  claude-failover pause            until `claude-failover resume`
  claude-failover pause --for 2h   two hours at most

No task goes out and nobody is moved: not by a refusal, by choice, or to wake.
What is under way is finished, refusals are recorded, and `resume` acts on them
at once. A pause holds over restarts of the daemon.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// It ends by itself after so long: 30m, 2h, 1h30m
    #[arg(long = "for", value_name = "LENGTH", value_parser = length)]
    length: Option<Duration>,
}

pub fn run(args: &Args) -> u8 {
    let for_ms = args.length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    args.daemon.order(&Request::Pause { for_ms })
}

fn length(text: &str) -> Result<Duration, String> {
    let length = units::parse_duration(text).filter(|length| !length.is_zero());
    length.ok_or_else(|| units::TIME_REMEDY.to_owned())
}
