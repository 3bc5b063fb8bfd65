//! `reload`: the daemon reads its configuration again and says what it thinks of it.

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;

const NOTES: &str = "\
A bad file changes nothing; all its problems are printed. Keys that need a
restart are named and keep their values. `claude-failover check` reads the file
alone.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
}

pub fn run(args: &Args) -> u8 {
    args.daemon.order(&Request::Reload)
}
