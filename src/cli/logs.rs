//! `logs`: the daemon's log, by journalctl where it is in the journal; else where it is.

use std::io;
use std::path::Path;

use crate::api::control::{AskError, Request};
use crate::cli::daemon::{NoAnswer, SocketArgs};
use crate::cli::since::Since;
use crate::cli::{exit, say};
use crate::clock::Clock;
use crate::moment::Wall;
use crate::process::exec;
use crate::process::service::{self, Stderr, Unit};

/// As the shipped unit is named; what a daemon that is down is looked for under.
const UNIT: &str = "claude-failover.service";
const SYSTEM_DIRS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const USER_DIRS: [&str; 3] = ["/etc/systemd/user", "/run/systemd/user", "/usr/lib/systemd/user"];
const JOURNALS: [&str; 3] = ["/var/log/journal", "/run/log/journal", "/run/systemd/journal/socket"];

/// Without any wish.
const LINES: usize = 100;

const EXAMPLES: &str = "\
Examples:
  claude-failover logs -f             the last 100 lines, and what comes
  claude-failover logs --since 2h     what was said in the last two hours
  claude-failover logs | grep op=17   swap 17; or: claude-failover why 17";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    daemon: SocketArgs,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// The last so many [default: 100; with --since all]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// What was said since: 2h, 7d, 2026-11-26T03:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

/// Where the log is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Journal(Option<Unit>),
    /// Not in the journal, and what to do.
    Elsewhere(String),
}

/// journalctl's own exit code; 1: the log is not in the journal.
pub fn run(args: &Args) -> u8 {
    let place = match args.daemon.try_ask(&Request::Status) {
        Ok(answer) => {
            let pid = answer["status"]["daemon"]["pid"].as_i64();
            of_running(pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0))
        }
        Err(NoAnswer::Config(error)) => {
            say::error(error);
            return exit::CONFIG;
        }
        Err(NoAnswer::Daemon(AskError::NotRunning { .. })) => of_stopped(&|path| path.exists()),
        // It hangs, or is another user's: its log is worth a look all the same.
        Err(NoAnswer::Daemon(error)) => {
            say::error(error);
            of_stopped(&|path| path.exists())
        }
    };
    match place {
        Place::Elsewhere(why) => {
            say::error(why);
            exit::FAILED
        }
        Place::Journal(unit) => {
            let error = exec::program("journalctl", &args.journalctl(unit, Clock::start().wall()));
            say::error(match error.kind() {
                io::ErrorKind::NotFound => {
                    "the log is in the journal, and journalctl is not installed".to_owned()
                }
                _ => format!("could not run journalctl: {error}"),
            });
            exit::FAILED
        }
    }
}

fn of_running(pid: i32) -> Place {
    match service::stderr(pid) {
        Stderr::Journal => Place::Journal(service::unit(pid)),
        Stderr::Other(target) if target.is_file() => Place::Elsewhere(format!(
            "the daemon (pid {pid}) does not log to the journal; its log is {}",
            target.display()
        )),
        Stderr::Other(target) => Place::Elsewhere(format!(
            "the daemon (pid {pid}) does not log to the journal; its standard error is {}",
            target.display()
        )),
        Stderr::Unknown => Place::Elsewhere(format!(
            "cannot see where the daemon (pid {pid}) logs to: run this verb as its user"
        )),
    }
}

fn of_stopped(exists: &dyn Fn(&Path) -> bool) -> Place {
    let has_unit = |dirs: &[&str]| dirs.iter().any(|dir| exists(&Path::new(dir).join(UNIT)));
    let home = std::env::home_dir().map(|home| home.join(".config/systemd/user").join(UNIT));
    if has_unit(&SYSTEM_DIRS) {
        return Place::Journal(Some(Unit::System(UNIT.to_owned())));
    }
    if has_unit(&USER_DIRS) || home.is_some_and(|unit| exists(&unit)) {
        return Place::Journal(Some(Unit::User(UNIT.to_owned())));
    }
    if JOURNALS.iter().any(|path| exists(Path::new(path))) {
        return Place::Journal(None);
    }
    Place::Elsewhere(
        "no daemon answers, and there is no journal on this machine: a daemon that is not run by \
         systemd logs to its standard error"
            .to_owned(),
    )
}

impl Args {
    fn journalctl(&self, unit: Option<Unit>, now: Wall) -> Vec<String> {
        let mut args = match unit {
            Some(Unit::System(unit)) => vec![format!("--unit={unit}")],
            Some(Unit::User(unit)) => vec![format!("--user-unit={unit}")],
            None => vec!["--identifier=claude-failover".to_owned()],
        };
        match (self.lines, self.since) {
            (Some(lines), _) => args.push(format!("--lines={lines}")),
            (None, None) => args.push(format!("--lines={LINES}")),
            (None, Some(_)) => {}
        }
        if let Some(since) = self.since {
            // In seconds since 1970, which no zone changes.
            args.push(format!("--since=@{}", since.moment(now).0.div_euclid(1_000)));
        }
        if self.follow {
            args.push("--follow".to_owned());
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn asked(line: &[&str], unit: Option<Unit>) -> String {
        let line = Line::try_parse_from([&["logs"], line].concat()).unwrap();
        line.args.journalctl(unit, Wall(10_000_000)).join(" ")
    }

    #[test]
    fn journalctl_is_asked_for_this_unit_and_these_lines() {
        let system = || Some(Unit::System("a.service".to_owned()));
        let user = || Some(Unit::User("b.service".to_owned()));
        assert_eq!(asked(&[], system()), "--unit=a.service --lines=100");
        assert_eq!(asked(&["-f"], user()), "--user-unit=b.service --lines=100 --follow");
        assert_eq!(
            asked(&["-n", "7", "--since", "1h"], None),
            "--identifier=claude-failover --lines=7 --since=@6400"
        );
        assert_eq!(asked(&["--since", "1h"], system()), "--unit=a.service --since=@6400");
    }

    #[test]
    fn a_daemon_that_is_down_is_looked_for_where_units_are() {
        let with = |there: &str| of_stopped(&|path| path == Path::new(there));
        let system = Place::Journal(Some(Unit::System(UNIT.to_owned())));
        assert_eq!(with("/etc/systemd/system/claude-failover.service"), system);
        let user = Place::Journal(Some(Unit::User(UNIT.to_owned())));
        assert_eq!(with("/usr/lib/systemd/user/claude-failover.service"), user);
        assert_eq!(with("/var/log/journal"), Place::Journal(None));
        assert!(matches!(with("/nowhere"), Place::Elsewhere(_)));
    }
}
