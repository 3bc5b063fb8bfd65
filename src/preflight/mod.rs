//! Looks at the disk before the daemon starts, and changes nothing on it.
//!
//! [`disk`] gives what must be repaired first (exit 78), all of it at once; [`warnings`] what an
//! operator should know; [`near_misses`] what looks like a slip in the name of the pool;
//! [`instances`] whether another daemon is at work already (exit 75); [`login`] asks the client whether an
//! account is logged in, for `init` and `doctor` alone.

mod client;
mod directories;
mod homes;
pub mod instances;
pub mod login;
mod names;

use std::path::Path;

use crate::config::Config;
use crate::config::load::Problem;
use crate::files;
use crate::guard::rules::{self, Rules};
use crate::shell_word::shell_word;

/// Everything on disk that keeps the daemon from its work. `uid` is the user it will run as.
pub fn disk(config: &Config, uid: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(root_user(config, uid));
    homes::check_homes(config, &mut problems);
    homes::check_link(config, &mut problems);
    homes::check_shared(config, uid, &mut problems);
    directories::check(config, uid, &mut problems);
    problems.extend(guard_rules(config));
    problems
}

/// What does not keep the daemon from starting: missing project directories, and dialogs that
/// would wait for a person in front of an agent.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = directories::missing_projects(config);
    warnings.extend(client::open_dialogs(config));
    warnings
}

/// Existing tmux sessions that look like the configured pool and are not in it, when none is.
pub fn near_misses(config: &Config, existing: &[String]) -> Vec<String> {
    names::near_misses(config, existing).into_iter().collect()
}

/// Claude Code refuses `--dangerously-skip-permissions` for root outside a sandbox.
fn root_user(config: &Config, uid: u32) -> Option<Problem> {
    let is_sandbox = config.agent.env.get("IS_SANDBOX").map(String::as_str) == Some("1");
    (uid == 0 && !is_sandbox).then(|| {
        problem(
            "agent.env",
            "this is root (uid 0): run the daemon, the tmux server and the agents as one \
             ordinary user (User= in both units), or, where root is confined to a container, set \
             agent.env: {IS_SANDBOX: \"1\"}"
                .to_owned(),
        )
    })
}

/// Agents would be refused every command.
pub fn guard_rules(config: &Config) -> Option<Problem> {
    let file = config.agent.guard_rules.as_ref().filter(|_| config.agent.guard)?;
    let why = match files::read_at_most(file, rules::FILE_BYTES_MAX) {
        Ok(text) => Rules::load(Some(&text)).err()?,
        Err(error) => error.to_string(),
    };
    let message = format!("{}: {why}: put the file right, or name none", file.display());
    Some(problem("agent.guard_rules", message))
}

fn problem(path: impl Into<String>, message: String) -> Problem {
    Problem { path: path.into(), line: None, message }
}

/// A command for the operator's shell.
fn command(words: &[&Path]) -> String {
    let words: Vec<String> = words.iter().map(shell_word).collect();
    words.join(" ")
}
