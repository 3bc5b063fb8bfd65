//! `logs`: the daemon's log, by journalctl where it is in the journal; else where it is.

use std::io;
use std::path::Path;

use rustix::process::geteuid;

use crate::api::control::{AskError, Request};
use crate::cli::daemon::{NoAnswer, SocketArgs};
use crate::cli::since::Since;
use crate::cli::units::{Kind, Units};
use crate::cli::{exit, say};
use crate::clock::Clock;
use crate::moment::Wall;
use crate::process::exec;
use crate::process::service::{self, Stderr, Unit};

/// Below the root.
const JOURNALS: [&str; 3] = ["var/log/journal", "run/log/journal", "run/systemd/journal/socket"];

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
        Err(NoAnswer::Daemon(AskError::NotRunning { .. })) => of_stopped(),
        // It hangs, or is another user's: its log is worth a look all the same.
        Err(NoAnswer::Daemon(error)) => {
            say::error(error);
            of_stopped()
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

fn of_stopped() -> Place {
    let root = Path::new("/");
    let user_home = std::env::home_dir().unwrap_or_default();
    of_units(&Units::look(root, &user_home, geteuid().as_raw()), root)
}

/// The shipped unit that is in use; `root` is `/` but in tests.
fn of_units(units: &Units, root: &Path) -> Place {
    if let Some(unit) = &units.daemon {
        let name = unit.name();
        return Place::Journal(Some(match unit.kind {
            Kind::System => Unit::System(name),
            Kind::User => Unit::User(name),
        }));
    }
    if JOURNALS.iter().any(|path| root.join(path).exists()) {
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
    fn a_daemon_that_is_down_is_looked_for_under_the_unit_that_is_in_use() {
        let name = || "claude-failover.service".to_owned();
        let (system, user) = (Unit::System(name()), Unit::User(name()));
        let (etc, lib) = ("etc/systemd/system", "usr/lib/systemd/system");
        let (own, global) = ("home/.config/systemd/user", "usr/lib/systemd/user");
        let unit = |dir: &str| format!("{dir}/claude-failover.service");
        let group = format!("{}/x", unit("sys/fs/cgroup/system.slice"));
        for (files, expected) in [
            (vec![unit(etc)], Place::Journal(Some(system.clone()))),
            (vec![unit(global)], Place::Journal(Some(user.clone()))),
            // A package installs both; neither is enabled.
            (vec![unit(lib), unit(global)], Place::Journal(Some(system.clone()))),
            (
                vec![unit(lib), unit(global), unit(&format!("{own}/default.target.wants"))],
                Place::Journal(Some(user)),
            ),
            (
                vec![unit(lib), unit(global), unit(&format!("{own}/default.target.wants")), group],
                Place::Journal(Some(system)),
            ),
            (vec!["var/log/journal/x".to_owned()], Place::Journal(None)),
        ] {
            let root = tempfile::tempdir().unwrap();
            for file in &files {
                let path = root.path().join(file);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                match file.contains(".wants/") {
                    true => std::os::unix::fs::symlink("../x", &path).unwrap(),
                    false => fs_err::write(&path, "[Service]\n").unwrap(),
                }
            }
            let units = Units::look(root.path(), &root.path().join("home"), 1000);
            assert_eq!(of_units(&units, root.path()), expected, "{files:?}");
        }
        let nothing = Units::default();
        assert!(matches!(of_units(&nothing, Path::new("/nowhere")), Place::Elsewhere(_)));
    }
}
