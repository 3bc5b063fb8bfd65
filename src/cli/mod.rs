//! The command line: one file a verb.
//!
//! Exit codes: 0 done, 1 a check, a demo or a task that found something wrong or a verb that was
//! refused, 64 usage, 70 software, 74 journal I/O, 75 another instance, 78 configuration.

pub mod account;
pub mod assemble;
pub mod check;
pub mod classify;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod history;
pub mod hook;
pub mod init;
pub mod launch;
pub mod obstacles;
pub mod run;
pub mod status;
pub mod status_line;
pub mod submit;
pub mod swap;
pub mod tasks;
pub mod text;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cli::demo::Ending;
use crate::config::load::Base;

/// Exit codes, after sysexits(3).
pub mod exit {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 64;
    pub const SOFTWARE: u8 = 70;
    pub const JOURNAL_IO: u8 = 74;
    pub const ANOTHER_INSTANCE: u8 = 75;
    pub const CONFIG: u8 = 78;
}

/// Keeps Claude Code sessions working across the operator's own accounts.
#[derive(Debug, Parser)]
#[command(name = "claude-failover", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground, as the systemd unit does
    Run(run::Args),
    /// Say everything that is wrong with a configuration file
    Check {
        /// [default: /etc/claude-failover/config.yaml]
        file: Option<PathBuf>,
    },
    /// Find your Claude homes, write a configuration; --adopt arranges them
    Init(init::Args),
    /// Check everything that a running daemon relies on, with the remedy
    Doctor(doctor::Args),
    /// See a whole failover in a temporary directory, with a scripted agent
    Demo {
        /// Leave everything running at the end and say how to look at it
        #[arg(long)]
        keep: bool,
    },
    /// What it does now: accounts, sessions, tasks, the last swap
    Status(status::Args),
    /// Move to another account now, or end a stuck swap
    Swap(swap::Args),
    /// List the accounts; hold, release or pin one of them
    Account(account::Args),
    /// Use this account alone until it is released: `account pin`
    Pin(account::PinArgs),
    /// Put a task into a project's inbox
    Submit(submit::Args),
    /// List, show, retry or cancel tasks
    Tasks(tasks::Args),
    /// Swaps, refusals, parkings and what else happened, and why
    History(history::Args),
    /// Read a captured screen on stdin and say what it means
    Classify(classify::Args),
    /// Start an agent in this pane (used by the daemon)
    #[command(hide = true)]
    Launch {
        #[arg(long)]
        spec: PathBuf,
    },
}

/// Parses the command line and runs its verb. Gives the exit code.
pub fn run() -> u8 {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == "hook") {
        return hook::run(args);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors. A closed pipe has nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check { file } => check::run(
            file.as_deref(),
            &Base::from_environment(),
            &mut std::io::stdout(),
            &mut std::io::stderr(),
        ),
        Verb::Init(args) => init::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Demo { keep } => demo::run(if keep { Ending::KeepRunning } else { Ending::CleanUp }),
        Verb::Status(args) => status::run(&args),
        Verb::Swap(args) => swap::run(&args),
        Verb::Account(args) => account::run(&args),
        Verb::Pin(args) => account::pin(&args),
        Verb::Submit(args) => submit::run(&args),
        Verb::Tasks(args) => tasks::run(&args),
        Verb::History(args) => history::run(&args),
        Verb::Classify(args) => classify::run(&args),
        Verb::Launch { spec } => launch::run(&spec),
    }
}
