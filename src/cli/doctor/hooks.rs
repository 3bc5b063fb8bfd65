//! Do the clients' hooks arrive? No document of the daemon's says that of hooks alone, so the way
//! that they go is looked at: the generated settings, the binary they name, what else the homes'
//! settings say, and the spool, where reports lie that found no daemon.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::Access;
use serde_json::Value;

use crate::agent_settings;
use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::cli::units::Kind;
use crate::config::Config;
use crate::spool;

const CHECK: &str = "hooks";
/// Settings of a home are a few KiB.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// While a daemon takes them, some lie there for a moment.
const SPOOLED_MAX: usize = 100;

pub fn check(config: &Config, answer: &Answer, kind: Kind) -> Vec<Finding> {
    let mut findings = vec![settings(&agent_settings::path(&config.runtime_dir), answer, kind)];
    if config.agent.guard {
        let guarded = agent_settings::guarded_path(&config.runtime_dir);
        findings.push(settings(&guarded, answer, kind));
    }
    for account in &config.accounts {
        findings.extend(disabled(account.name.as_str(), &account.home));
    }
    let spooled = fs_err::read_dir(spool::dir(&config.runtime_dir)).map_or(0, Iterator::count);
    findings.extend(left_in_spool(spooled, answer));
    findings
}

/// The generated settings name a binary that is there.
pub fn settings(path: &Path, answer: &Answer, kind: Kind) -> Finding {
    let restart = format!("{} restart claude-failover", kind.systemctl());
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && answer.status().is_none() => {
            return skip(CHECK, "their settings are written at the daemon's start");
        }
        Err(error) => {
            return fail(CHECK, error.to_string(), restart);
        }
    };
    let Some(launcher) = launcher(&text) else {
        let what = format!("{} names no hook of ours", path.display());
        return fail(CHECK, what, format!("{restart} writes it anew"));
    };
    if rustix::fs::access(&launcher, Access::EXEC_OK).is_err() {
        return fail(
            CHECK,
            format!("{} names {launcher}, which cannot be run", path.display()),
            format!("put the binary back there, then {restart}"),
        );
    }
    let told = from_hooks(answer);
    let told = told.map_or(String::new(), |(of, agents)| {
        format!("; {of} of {agents} agents are known by them now")
    });
    ok(CHECK, format!("agents are given {launcher}{told}"))
}

/// The first word of the first hook's command: it is quoted for a shell.
fn launcher(text: &str) -> Option<String> {
    let settings: Value = serde_json::from_str(text).ok()?;
    let command = settings["hooks"]["Stop"][0]["hooks"][0]["command"].as_str()?;
    let quoted = command.split(" hook --runtime-dir ").next()?;
    let bare = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(bare.replace(r"'\''", "'"))
}

/// Agents whose state a hook told last, of all; a newer client's session file goes before a hook,
/// so that none is no sign of trouble.
fn from_hooks(answer: &Answer) -> Option<(usize, usize)> {
    let sessions = answer.status()?["sessions"].as_array()?;
    let agents = || sessions.iter().filter(|session| session["agent"].is_object());
    let of = agents().filter(|session| session["agent"]["state_from"] == "hook").count();
    (of > 0).then(|| (of, agents().count()))
}

/// An operator's own settings can switch all hooks off.
pub fn disabled(account: &str, home: &Path) -> Option<Finding> {
    let path = home.join("settings.json");
    let metadata = fs_err::metadata(&path).ok()?;
    if !metadata.is_file() || metadata.len() > SETTINGS_BYTES_MAX {
        return None;
    }
    let settings: Value = serde_json::from_str(&fs_err::read_to_string(&path).ok()?).ok()?;
    (settings["disableAllHooks"] == true).then(|| {
        warn(
            CHECK,
            format!("account {account}: {} switches all hooks off", path.display()),
            "take \"disableAllHooks\" out, or live with slower reports from transcripts and screens",
        )
    })
}

pub fn left_in_spool(count: usize, answer: &Answer) -> Option<Finding> {
    (count > SPOOLED_MAX && answer.status().is_some()).then(|| {
        fail(
            CHECK,
            format!("{count} reports lie in the spool, and the daemon runs"),
            "are hooks run by another user, or with another runtime_dir? see the log",
        )
    })
}
