//! What `init` prints: for a terminal that may be a phone's.

use std::path::Path;

use crate::adopt::plan::Plan;
use crate::cli::init::find::{Home, Kind};
use crate::cli::say;
use crate::config::Config;
use crate::config::load::DEFAULT_PATH;
use crate::files::leads_to;
use crate::shell_word::shell_word;

/// A merge of two large homes has thousands; the log has them all.
const STEPS_SHOWN_MAX: usize = 40;
const NOTES_SHOWN_MAX: usize = 100;

pub fn plan(plan: &Plan) {
    for obstacle in &plan.obstacles {
        say::error(format_args!("in the way: {obstacle}"));
    }
    if !plan.obstacles.is_empty() {
        return;
    }
    if plan.steps.is_empty() {
        say::line("homes, link and shared directories: all is where it belongs");
        return;
    }
    say::line(format_args!(
        "plan: {} steps; nothing is overwritten, nothing removed",
        plan.steps.len()
    ));
    for step in plan.steps.iter().take(STEPS_SHOWN_MAX) {
        say::line(format_args!("  {}", step.to_string().replace('\n', "\n  ")));
    }
    if let Some(more) = plan.steps.len().checked_sub(STEPS_SHOWN_MAX).filter(|more| *more > 0) {
        say::line(format_args!("  and {more} more"));
    }
    notes(plan);
}

pub fn notes(plan: &Plan) {
    for note in plan.notes.iter().take(NOTES_SHOWN_MAX) {
        say::line(format_args!("note: {note}"));
    }
    if let Some(more) = plan.notes.len().checked_sub(NOTES_SHOWN_MAX).filter(|more| *more > 0) {
        say::line(format_args!("note: and {more} more"));
    }
}

/// Homes that were found and that the configuration does not name.
pub fn homes_beyond(config: &Config, homes: &[Home], file: &Path) {
    for home in homes.iter().filter(|home| home.kind != Kind::Usual) {
        let is_named = config
            .accounts
            .iter()
            .any(|account| account.home == home.path || leads_to(&account.home, &home.path));
        if !is_named {
            say::line(format_args!(
                "not in it: {} looks like a Claude home: claude-failover account add NAME --home \
                 {}{}",
                home.path.display(),
                shell_word(&home.path),
                config_option(file)
            ));
        }
    }
}

pub fn how_to_adopt(file: &Path) {
    say::line("Nothing is changed there yet. End every Claude Code of these homes, then");
    say::line(format_args!("  claude-failover init --adopt{}", config_option(file)));
    say::line("and, should you want all as it was: init --undo");
}

pub fn next(file: &Path) {
    say::line(format_args!("next: claude-failover doctor{}", config_option(file)));
}

/// What a printed command needs to speak of the same file.
pub fn config_option(file: &Path) -> String {
    match file == Path::new(DEFAULT_PATH) {
        true => String::new(),
        false => format!(" --config {}", shell_word(file)),
    }
}
