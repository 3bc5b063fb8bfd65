//! `tasks`: what lies in the queues and what became of it, by the files, whether the daemon runs or
//! not; and another try or an end for one of them.

mod cancel;
mod held;
mod place;
mod retry;
pub mod survey;
mod table;

use anyhow::Context as _;

use crate::api::control::{AskError, Request};
use crate::cli::daemon::{Daemon, DaemonArgs, said};
use crate::cli::exit;
use crate::cli::say;
use crate::cli::tasks::survey::{Row, State};
use crate::clock::Clock;
use crate::ids::{ProjectName, TaskRef};
use crate::moment::Wall;
use crate::queue;

/// Ended tasks are listed for so long.
const ENDED_SHOWN_MS: i64 = 24 * 3_600_000;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// All tasks, and those that have ended within a day
    List(ListArgs),
    /// All that is known of one task, as JSON
    Show {
        #[arg(value_name = "PROJECT:ID")]
        task: TaskRef,
    },
    /// Another try for a task that has failed, is unknown or foreign
    Retry {
        #[arg(value_name = "PROJECT:ID")]
        task: TaskRef,
    },
    /// An end for a task that is not to be done
    Cancel {
        #[arg(value_name = "PROJECT:ID")]
        task: TaskRef,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct ListArgs {
    /// Of one project alone
    #[arg(long, value_name = "NAME")]
    project: Option<ProjectName>,
    /// Of one state alone
    #[arg(long, value_enum, hide_possible_values = true)]
    state: Option<State>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// What the verbs work with.
pub struct Desk {
    daemon: Daemon,
    now: Wall,
}

pub fn run(args: &Args) -> u8 {
    let daemon = match args.daemon.load() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    let desk = Desk { daemon, now: Clock::start().wall() };
    let done = match &args.verb {
        None => list(&desk, &args.list),
        Some(Verb::List(args)) => list(&desk, args),
        Some(Verb::Show { task }) => show(&desk, task),
        Some(Verb::Retry { task }) => retry::run(&desk, task),
        Some(Verb::Cancel { task }) => cancel::run(&desk, task),
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => {
            say::error(format_args!("{error:#}"));
            exit::FAILED
        }
    }
}

fn list(desk: &Desk, args: &ListArgs) -> anyhow::Result<()> {
    let projects = match &args.project {
        Some(project) => vec![project.clone()],
        None => {
            let found = queue::projects(&desk.daemon.config.dispatcher.projects_dir)
                .context("cannot list the projects of dispatcher.projects_dir")?;
            for (path, why) in &found.refused {
                say::error(format_args!("{}: {why}", path.display()));
            }
            found.names
        }
    };
    let since = Wall(desk.now.0.saturating_sub(ENDED_SHOWN_MS));
    let mut rows = survey::rows(desk, &projects, since)?;
    rows.retain(|row| args.state.is_none_or(|state| row.state == state));
    match args.json {
        true => say::json(&json(&rows)),
        false => say::text(&table::text(&rows, desk.now)),
    }
    Ok(())
}

/// All tasks that have not ended, of all projects that can be read.
///
/// # Errors
/// A queue cannot be read.
pub fn open_tasks(daemon: Daemon, now: Wall) -> anyhow::Result<Vec<Row>> {
    let found = queue::projects(&daemon.config.dispatcher.projects_dir)
        .context("cannot list the projects of dispatcher.projects_dir")?;
    let mut rows = survey::rows(&Desk { daemon, now }, &found.names, Wall(i64::MAX))?;
    rows.retain(|row| !matches!(row.state, State::Failed | State::Done));
    Ok(rows)
}

fn show(desk: &Desk, task: &TaskRef) -> anyhow::Result<()> {
    let rows = survey::rows(desk, std::slice::from_ref(&task.project), Wall(i64::MIN))?;
    let of_task: Vec<Row> = rows.into_iter().filter(|row| row.task == task.to_string()).collect();
    anyhow::ensure!(!of_task.is_empty(), place::nowhere(desk, task));
    say::json(&json(&of_task));
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).expect("words and numbers, which JSON can hold") + "\n"
}

impl Desk {
    /// The daemon waits for a person's word on this task, whatever has become of its files since.
    fn waits_for_a_word(&self, task: &TaskRef) -> bool {
        let Ok(answer) = self.daemon.ask(&Request::Status) else { return false };
        let in_hand = answer["status"]["tasks"]["in_hand"].as_array();
        let name = task.to_string();
        in_hand.is_some_and(|all| {
            all.iter().any(|held| held["task"] == *name && held["state"] == "unknown")
        })
    }

    /// Asks the daemon, in whose hands the task is.
    fn ask(&self, task: &TaskRef, request: &Request) -> anyhow::Result<()> {
        match self.daemon.ask(request) {
            Ok(answer) => {
                say::line(said(&answer));
                Ok(())
            }
            Err(error @ AskError::NotRunning { .. }) => Err(error).context(format!(
                "{task} is in the daemon's hands: start the daemon, then ask again"
            )),
            Err(error) => Err(error.into()),
        }
    }
}
