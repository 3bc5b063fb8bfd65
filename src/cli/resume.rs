//! `resume`: the end of a pause, and of drains.

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::ids::SessionName;

const EXAMPLES: &str = "\
Examples:
  claude-failover resume               ends the pause and every drain
  claude-failover resume ccl-auto-13   this session takes tasks again";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// A drained session; without it the pause and all drains end
    #[arg(value_name = "SESSION")]
    session: Option<SessionName>,
}

pub fn run(args: &Args) -> u8 {
    args.daemon.order(&Request::Resume { session: args.session.clone() })
}
