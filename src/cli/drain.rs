//! `drain`: sessions finish their tasks and get no others.

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::ids::SessionName;

const EXAMPLES: &str = "\
Examples:
  claude-failover drain               all of the pool: the host is to go down
  claude-failover drain ccl-auto-13   this session alone
  claude-failover status              says which task each still works on

A drained session moves with a swap as all do, and stays drained over restarts
of the daemon, until `claude-failover resume [SESSION]`.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// A session of the pool; without it all of them
    #[arg(value_name = "SESSION")]
    session: Option<SessionName>,
}

pub fn run(args: &Args) -> u8 {
    args.daemon.order(&Request::Drain { session: args.session.clone() })
}
