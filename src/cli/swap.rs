//! `swap`: asks the running daemon to move now, or says how a stuck swap ends.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::control::{self, Request};
use crate::cli::exit;
use crate::config::load::{DEFAULT_PATH, load};
use crate::core::event::StuckVerb;
use crate::ids::AccountName;

/// The daemon answers when the verb has reached it, so this only bounds a hung one.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
    /// The daemon's --runtime-dir, if it was given one
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// The account to move to; without it the daemon chooses
    #[arg(long, value_name = "NAME", group = "what")]
    to: Option<AccountName>,
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
    let runtime_dir = match &args.runtime_dir {
        Some(dir) => dir.clone(),
        None => match load(&args.config) {
            Ok(loaded) => loaded.config.runtime_dir,
            Err(error) => {
                eprintln!("{error}");
                return exit::CONFIG;
            }
        },
    };
    match control::ask(&control::socket_path(&runtime_dir), &args.request(), DEADLINE) {
        Ok(_) => {
            println!("accepted: see /status or the log for what becomes of it");
            exit::OK
        }
        Err(error) => {
            eprintln!("{error}");
            exit::FAILED
        }
    }
}
