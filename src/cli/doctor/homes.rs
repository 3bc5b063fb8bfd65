//! Homes, link, shared directories and the daemon's own: what a start would refuse, and the dialogs
//! that would stand in front of an agent.

use crate::cli::doctor::finding::{Finding, Verdict, ok, told};
use crate::cli::units::{Kind, Units};
use crate::config::Config;
use crate::config::load::Problem;
use crate::preflight;

/// Each check with the keys of the configuration whose problems belong to it.
const CHECKS: [(&str, &[&str]); 5] = [
    ("user", &["agent.env"]),
    ("guard", &["agent.guard_rules"]),
    ("homes", &["accounts", "link", "pool.shared_projects_dir"]),
    ("directories", &["state_dir", "runtime_dir", "watcher.done_signal_dir", "pool.autonomous"]),
    ("tmux", &["tmux.socket"]),
];

pub fn check(config: &Config, uid: u32, units: &Units) -> Vec<Finding> {
    let mut problems = preflight::disk(config, uid);
    problems.retain(|problem| !is_made_by_unit(config, problem, units));
    let mut findings = Vec::new();
    for (check, keys) in CHECKS {
        let is_here = |problem: &&Problem| keys.iter().any(|key| problem.path.starts_with(key));
        let here: Vec<Finding> =
            problems.iter().filter(is_here).map(|problem| failed(check, problem)).collect();
        match (here.is_empty(), check) {
            // The check of tmux itself tells what is right there.
            (true, "tmux") => {}
            (true, "guard") if !config.agent.guard => {}
            (true, _) => findings.push(ok(check, well(check, config, uid))),
            (false, _) => findings.extend(here),
        }
    }
    // A start would refuse them, whatever they are.
    let known = |problem: &&Problem| {
        CHECKS.iter().any(|(_, keys)| keys.iter().any(|key| problem.path.starts_with(key)))
    };
    let others = problems.iter().filter(|problem| !known(problem));
    findings.extend(others.map(|problem| failed("config", problem)));
    findings
}

fn failed(check: &'static str, problem: &Problem) -> Finding {
    told(check, Verdict::Fail, problem.to_string())
}

/// The system's manager makes both, with the right owner, before it starts the daemon.
fn is_made_by_unit(config: &Config, problem: &Problem, units: &Units) -> bool {
    let dir = match problem.path.as_str() {
        "state_dir" => &config.state_dir,
        "runtime_dir" => &config.runtime_dir,
        _ => return false,
    };
    units.daemon.as_ref().is_some_and(|unit| unit.kind == Kind::System) && !dir.exists()
}

fn well(check: &str, config: &Config, uid: u32) -> String {
    match check {
        "user" => format!("uid {uid}"),
        "guard" => match &config.agent.guard_rules {
            Some(file) => format!("its own rules and those of {}", file.display()),
            None => "its own rules".to_owned(),
        },
        "homes" => format!(
            "{} homes, the link {}, and what they share in {}",
            config.accounts.len(),
            config.link.display(),
            config.pool.shared.projects.display()
        ),
        _ => format!("{} and {}", config.state_dir.display(), config.runtime_dir.display()),
    }
}

/// The words are those of the start's warnings, with the command to run once.
pub fn dialogs(config: &Config) -> Vec<Finding> {
    let warnings = preflight::warnings(config);
    if warnings.is_empty() {
        return vec![ok("dialogs", "no first-start, trust or bypass dialog is open")];
    }
    warnings.into_iter().map(|what| told("dialogs", Verdict::Warn, what)).collect()
}
