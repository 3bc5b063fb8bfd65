//! `swap`: asks the running daemon to move now, says how a stuck swap ends, or shows what a swap would
//! do.

mod plan;

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::core::event::StuckVerb;
use crate::ids::AccountName;

const EXAMPLES: &str = "\
Examples:
  claude-failover swap --dry-run     where a swap would go now, and why
  claude-failover swap               go there
  claude-failover swap --to backup   go to this account
  claude-failover swap --rollback    end a stuck swap: the way back again";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// The account to move to; without it the daemon chooses
    #[arg(long, value_name = "NAME", group = "what")]
    to: Option<AccountName>,
    /// Only say where a swap would go, and why not elsewhere
    #[arg(long, conflicts_with_all = ["resume", "rollback", "clear"])]
    dry_run: bool,
    /// With --dry-run: as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// Stuck: try the way forward again
    #[arg(long, group = "what")]
    resume: bool,
    /// Stuck: try the way back again
    #[arg(long, group = "what")]
    rollback: bool,
    /// Stuck: put right by hand; take the link as it is
    #[arg(long, group = "what")]
    clear: bool,
}

impl Args {
    fn request(&self) -> Request {
        if self.resume {
            Request::Stuck { how: StuckVerb::Resume }
        } else if self.rollback {
            Request::Stuck { how: StuckVerb::Rollback }
        } else if self.clear {
            Request::Stuck { how: StuckVerb::Clear }
        } else {
            Request::Swap { to: self.to.clone() }
        }
    }
}

pub fn run(args: &Args) -> u8 {
    match args.dry_run {
        true => plan::run(args),
        false => args.daemon.order(&args.request()),
    }
}
