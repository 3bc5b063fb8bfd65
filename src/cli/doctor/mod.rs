//! `doctor`: everything that a running daemon relies on, one line each, with the remedy. Changes
//! nothing and starts nothing; works with the daemon down, too.

pub mod channels;
pub mod client;
pub mod daemon;
pub mod disk;
pub mod finding;
pub mod homes;
pub mod hooks;
pub mod host;
pub mod queues;
pub mod tmux;
pub mod units;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use serde_json::json;

use crate::cli::daemon::Daemon;
use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, Verdict, Wrap, ok, told};
use crate::cli::exit;
use crate::cli::history::line::plain;
use crate::cli::say;
use crate::cli::units::Units;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::load::{ConfigError, DEFAULT_PATH, load};
use crate::config::reload::summary;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    config: PathBuf,
    /// The daemon's --runtime-dir, if it was given one
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// The daemon's --state-dir, if it was given one
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// As a JSON object: `ok`, and `checks`, one object each
    #[arg(long)]
    json: bool,
}

/// 0: nothing has failed; 1: something has.
pub fn run(args: &Args) -> u8 {
    let (mut findings, config) = configuration(&args.config);
    findings.extend(host::check(Path::new("/")));
    if let Some(mut config) = config {
        if let Some(dir) = &args.runtime_dir {
            config.runtime_dir.clone_from(dir);
        }
        if let Some(dir) = &args.state_dir {
            config.state_dir.clone_from(dir);
        }
        findings.extend(of_config(config));
    }
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Fail);
    let text = match args.json {
        true => plain(&format!("{:#}\n", json!({"ok": is_well, "checks": findings}))),
        false => text(&findings),
    };
    say::text(&text);
    if is_well { exit::OK } else { exit::FAILED }
}

/// What the file says decides what else is looked at, so this comes first.
fn configuration(file: &Path) -> (Vec<Finding>, Option<Config>) {
    match load(file) {
        Ok(loaded) => {
            let file = file.display();
            let good = ok("config", format!("{file}: {}", summary(&loaded.config)));
            let warnings = loaded.warnings.iter();
            let warnings =
                warnings.map(|what| told("config", Verdict::Warn, format!("{file}: {what}")));
            (std::iter::once(good).chain(warnings).collect(), Some(loaded.config))
        }
        Err(ConfigError::Invalid { path, problems }) => {
            let fail = |what: String| told("config", Verdict::Fail, what);
            (problems.iter().map(|problem| fail(problem.in_file(&path))).collect(), None)
        }
        Err(error @ ConfigError::Unreadable { .. }) => {
            (vec![told("config", Verdict::Fail, error.to_string())], None)
        }
    }
}

fn of_config(mut config: Config) -> Vec<Finding> {
    let uid = geteuid().as_raw();
    let user_home = std::env::home_dir().unwrap_or_default();
    let units = Units::look(Path::new("/"), &user_home, uid);
    let mut findings = units::check(&units, &config, uid);
    let (found, client) = client::check(&mut config);
    findings.extend(found);
    findings.extend(homes::check(&config, uid, &units));
    findings.extend(client::logins(&config, client.as_ref()));
    findings.extend(homes::dialogs(&config));
    findings.extend(tmux::check(&config, uid, units.kind_of_tmux()));
    let answer = Answer::ask(&config);
    let kind = units.kind_of_daemon();
    findings.extend(daemon::check(&config, &answer, kind));
    findings.extend(hooks::check(&config, &answer, kind));
    findings.extend(channels::check(&config, &answer));
    findings.extend(host::limits(Path::new("/"), &config, &answer));
    findings.extend(disk::check(&config));
    let now = Clock::start().wall();
    findings.extend(queues::check(&Daemon { config }, &answer, now));
    findings
}

fn text(findings: &[Finding]) -> String {
    let wrap = if std::io::stdout().is_terminal() { Wrap::Columns } else { Wrap::Never };
    let mut text: String = findings.iter().map(|finding| finding.text(wrap)).collect();
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (ok, warn, fail) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    text += &format!("{ok} ok, {warn} to look at, {fail} failed\n");
    text
}
