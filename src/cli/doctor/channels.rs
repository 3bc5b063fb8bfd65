//! Do messages go out? The daemon says what came of its last ones; a secret that only its unit has is
//! not seen from here, so that nothing is tried.

use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, ok, skip, warn};
use crate::config::Config;
use crate::notifier::channel;

const CHECK: &str = "notify";

pub fn check(config: &Config, answer: &Answer) -> Vec<Finding> {
    let names = channel::NAMES;
    let configured: Vec<&str> = names
        .into_iter()
        .filter(|name| channel::configured(&config.notifications, name).is_some())
        .collect();
    if configured.is_empty() {
        return vec![skip(CHECK, "no channel is configured: nobody is told anything")];
    }
    let Some(status) = answer.status() else {
        return vec![skip(CHECK, format!("{}: the daemon is down", configured.join(", ")))];
    };
    let rows = status["notifications"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failing: Vec<Finding> = rows
        .iter()
        .filter_map(|row| Some((row["channel"].as_str()?, row["last_error"].as_str()?)))
        .map(|(name, error)| {
            warn(
                CHECK,
                format!("messages by {name} do not go out: {error}"),
                format!("claude-failover notify --test --channel {name}"),
            )
        })
        .collect();
    match failing.is_empty() {
        true => vec![ok(CHECK, configured.join(", "))],
        false => failing,
    }
}
