//! The command line: one file a verb.
//!
//! Exit codes are the same for every verb: [`exit::TABLE`], which the man page prints.

pub mod account;
pub mod assemble;
pub mod check;
pub mod classify;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod drain;
pub mod generate;
pub mod guard;
pub mod history;
pub mod hook;
pub mod init;
pub mod launch;
pub mod logs;
pub mod notify;
pub mod obstacles;
pub mod pause;
pub mod records;
pub mod reload;
pub mod resume;
pub mod run;
pub mod say;
pub mod since;
pub mod status;
pub mod status_line;
pub mod stop;
pub mod submit;
pub mod swap;
pub mod tasks;
pub mod text;
pub mod units;
pub mod why;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cli::demo::Ending;
use crate::config::load::Base;
use crate::version;

/// Exit codes, after sysexits(3).
pub mod exit {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    /// What Claude Code takes for a no of a hook.
    pub const TOOL_REFUSED: u8 = 2;
    pub const USAGE: u8 = 64;
    pub const SOFTWARE: u8 = 70;
    pub const JOURNAL_IO: u8 = 74;
    pub const ANOTHER_INSTANCE: u8 = 75;
    pub const CONFIG: u8 = 78;

    /// Each code and what it means, for every verb.
    pub const TABLE: [(u8, &str); 8] = [
        (OK, "done, or all is well"),
        (
            FAILED,
            "refused by the daemon, or no daemon answers; something was looked for and found wrong or \
             not at all; a person is needed (status)",
        ),
        (TOOL_REFUSED, "the guard refuses a tool call (guard, as the client's hook)"),
        (USAGE, "the command line, or the task that is submitted, cannot be understood"),
        (SOFTWARE, "a bug, or the machine failed: see the log"),
        (JOURNAL_IO, "the journal cannot be read or written"),
        (ANOTHER_INSTANCE, "another daemon has this state directory, link or tmux server (run)"),
        (
            CONFIG,
            "the configuration, or what it names, is wrong; or the journal is of a newer version",
        ),
    ];
}

const EXAMPLES: &str = "\
Is it working?     claude-failover status
Why did it do so?  claude-failover history, then: claude-failover why 17
How do I stop it?  claude-failover pause, and: claude-failover resume

Exit codes: 0 done, 1 refused or found wrong, 64 usage, 70 software, 74 journal,
75 another instance, 78 configuration; all of them in claude-failover(1).";

/// Keeps Claude Code sessions working across the operator's own accounts.
#[derive(Debug, Parser)]
#[command(name = "claude-failover", version = version::LONG, after_help = EXAMPLES)]
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
    /// Begin nothing new: no task, no swap; until `resume`
    Pause(pause::Args),
    /// End the pause and the drains
    Resume(resume::Args),
    /// Let sessions finish their tasks and give them no others
    Drain(drain::Args),
    /// Read the configuration again, and say what is wrong with it
    Reload(reload::Args),
    /// End the daemon; tmux and the agents go on
    Stop(stop::Args),
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
    /// The daemon's log
    Logs(logs::Args),
    /// Why a swap, session, task or account is as it is
    Why(why::Args),
    /// Send a test message through each channel of notifications
    Notify(notify::Args),
    /// Read a captured screen on stdin and say what it means
    Classify(classify::Args),
    /// Say whether the guard would refuse a command, and why
    Guard(guard::Args),
    /// Completions and the man page, from these definitions
    #[command(hide = true)]
    Generate(generate::Args),
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
        Verb::Pause(args) => pause::run(&args),
        Verb::Resume(args) => resume::run(&args),
        Verb::Drain(args) => drain::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Stop(args) => stop::run(&args),
        Verb::Account(args) => account::run(&args),
        Verb::Pin(args) => account::pin(&args),
        Verb::Submit(args) => submit::run(&args),
        Verb::Tasks(args) => tasks::run(&args),
        Verb::History(args) => history::run(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Why(args) => why::run(&args),
        Verb::Notify(args) => notify::run(&args),
        Verb::Classify(args) => classify::run(&args),
        Verb::Generate(args) => generate::run(&args),
        Verb::Guard(args) => guard::run(&args),
        Verb::Launch { spec } => launch::run(&spec),
    }
}
