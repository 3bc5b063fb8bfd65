//! `init --adopt` and `init --undo`: only while nobody could be disturbed.

use std::path::Path;

use crate::adopt::Layout;
use crate::adopt::carry_out::{AdoptError, adopt as carry_out, undo as take_back};
use crate::adopt::occupants::{Occupant, occupants};
use crate::cli::exit;
use crate::cli::init::{logins, show};
use crate::cli::say;
use crate::config::Config;
use crate::files::{self, Lock};
use crate::preflight::instances::{link_lock, other};

/// Occupants that are named one by one.
const NAMED_MAX: usize = 10;

pub fn adopt(config: &Config, file: &Path) -> u8 {
    let _lock = match alone(config) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    let layout = Layout::of(config);
    match carry_out(&layout) {
        Ok(plan) if plan.steps.is_empty() => {
            say::line("homes, link and shared directories: all is where it belongs");
        }
        Ok(plan) => {
            say::line(format_args!(
                "adopted: {} steps, written to {}",
                plan.steps.len(),
                log(&layout)
            ));
            show::notes(&plan);
        }
        Err(error) => return refused(&error),
    }
    let came = occupants(config).unwrap_or_else(|error| {
        say::line(format_args!("note: who came meanwhile cannot be told: {error}"));
        Vec::new()
    });
    for occupant in came {
        let Occupant { pid, name, .. } = occupant;
        say::line(format_args!(
            "note: process {pid} ({name}) came meanwhile: end it, and look at what it wrote"
        ));
    }
    logins::show(config);
    show::next(file);
    exit::OK
}

pub fn undo(config: &Config) -> u8 {
    let _lock = match alone(config) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    match take_back(&Layout::of(config)) {
        Ok((0, _)) => say::line("nothing was adopted here: there is nothing to take back"),
        Ok((count, kept)) => {
            say::line(format_args!(
                "taken back: {count} steps; the log stays: {}",
                log(&Layout::of(config))
            ));
            for why in kept {
                say::line(format_args!("note: {why}"));
            }
        }
        Err(error) => return refused(&error),
    }
    exit::OK
}

fn log(layout: &Layout) -> String {
    layout.log_path().display().to_string()
}

fn refused(error: &AdoptError) -> u8 {
    for line in error.to_string().lines() {
        match error {
            AdoptError::Obstacles(_) => say::error(format_args!("in the way: {line}")),
            AdoptError::Undoing | AdoptError::Step(_) | AdoptError::Log(_) => {
                say::error(line);
            }
        }
    }
    exit::FAILED
}

/// Nobody has one of the homes as its configuration, and no daemon runs or can be started.
fn alone(config: &Config) -> Result<Lock, u8> {
    if let Some(other) = other(config) {
        say::error(&other);
        return Err(exit::ANOTHER_INSTANCE);
    }
    let lock = files::lock(&link_lock(config)).map_err(|error| {
        say::error(format_args!("locking the link {}: {error}", config.link.display()));
        exit::FAILED
    })?;
    let found = occupants(config).map_err(|error| {
        say::error(format_args!("who has a home as its configuration cannot be told: {error}"));
        exit::FAILED
    })?;
    for occupant in found.iter().take(NAMED_MAX) {
        let whose = match &occupant.account {
            Some(account) => format!("the home of {account}"),
            None => config.link.display().to_string(),
        };
        say::error(format_args!(
            "process {} ({}) has {whose} as its configuration",
            occupant.pid, occupant.name
        ));
    }
    if found.is_empty() {
        return Ok(lock);
    }
    if found.len() > NAMED_MAX {
        say::error(format_args!("and {} more", found.len() - NAMED_MAX));
    }
    say::error("nothing was changed: end these first, then try again");
    Err(exit::FAILED)
}
