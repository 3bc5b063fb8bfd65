//! `claude-failover launch --spec FILE`: what a pane runs to start an agent.

use std::path::Path;

use crate::cli::exit;
use crate::cli::say;
use crate::launch::agent::Ended;
use crate::launch::run;

/// Comes back only when the pane was closed: with the agent's exit code (128 + n for signal n), or
/// 70 when neither agent nor shell could be started.
pub fn run(spec_path: &Path) -> u8 {
    match run::run(spec_path) {
        Ok(Ended::Exit(code)) => u8::try_from(code).unwrap_or(exit::SOFTWARE),
        Ok(Ended::Signal(number)) => u8::try_from(128 + number).unwrap_or(exit::SOFTWARE),
        Err(error) => {
            say::error(format_args!("claude-failover: {error:#}"));
            exit::SOFTWARE
        }
    }
}
