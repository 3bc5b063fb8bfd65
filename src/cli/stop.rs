//! `stop`: ends the daemon as TERM does, and waits until its process is gone.

use std::time::Duration;

use crate::api::control::Request;
use crate::cli::daemon::SocketArgs;
use crate::cli::{exit, say};
use crate::process::{table, wait};

/// Effects in flight get 10 s, a question to an account 60 s, threads are joined; beyond this something
/// hangs. As `TimeoutStopSec` of the unit.
const GONE_WITHIN: Duration = Duration::from_secs(90);

const NOTES: &str = "\
What is in flight is finished and recorded: mostly a second, ten at most, and up
to a minute more while an account is being asked. tmux and the agents go on; the
next start adopts them. Under systemd the unit stays stopped until
`systemctl start claude-failover` (`--user`, if it is yours).";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
}

/// 0: its process is gone.
pub fn run(args: &Args) -> u8 {
    let status = match args.daemon.ask(&Request::Status) {
        Ok(status) => status,
        Err(code) => return code,
    };
    let pid = status["status"]["daemon"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    // Named before it is asked: its number alone may be another's a moment later.
    let daemon = match pid.map_or(Ok(None), table::identity) {
        Ok(Some(daemon)) => daemon,
        Ok(None) => {
            say::error("the daemon has ended meanwhile");
            return exit::OK;
        }
        Err(error) => {
            say::error(format_args!("the daemon was not asked to stop: {error}"));
            return exit::FAILED;
        }
    };
    let asked = args.daemon.try_ask(&Request::Stop);
    wait::until_ended(daemon, GONE_WITHIN);
    if matches!(table::is_alive(daemon), Ok(false)) {
        // Who stops may close the door before the answer is through: its process tells.
        say::line("the daemon has stopped; tmux and the agents go on without it");
        return exit::OK;
    }
    if let Err(error) = asked {
        say::error(error);
    }
    say::error(format_args!(
        "the daemon (pid {}) is still there after {} s; a second `kill -TERM {0}` ends it at once",
        daemon.pid,
        GONE_WITHIN.as_secs()
    ));
    exit::FAILED
}
