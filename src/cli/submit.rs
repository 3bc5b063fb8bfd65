//! `submit`: puts a task into a project's inbox by the queue's own rules, whether the daemon runs or
//! not; with `--wait` it follows the task to its end.

mod compose;
mod follow;

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::cli::daemon::{Daemon, DaemonArgs};
use crate::cli::exit;
use crate::cli::say;
use crate::cli::submit::compose::Head;
use crate::cli::submit::follow::{Before, End};
use crate::clock::Clock;
use crate::harmless;
use crate::ids::{ProjectName, TaskId, TaskRef};
use crate::queue::submit::submit;
use crate::task::front_matter;

/// Of the front matter that options make.
const HEAD_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// The directory that it is about
    #[arg(long, value_name = "NAME")]
    project: ProjectName,
    #[command(flatten)]
    head: Head,
    /// Its name [default: of date and title]
    #[arg(long)]
    id: Option<TaskId>,
    /// Follow it: exit 0 when done, 1 when failed
    #[arg(long)]
    wait: bool,
    /// What is to be done, in Markdown [default: stdin]
    file: Option<PathBuf>,
}

/// Why there is no task now.
enum Refusal {
    /// The caller can put it right.
    Usage(String),
    /// The host is in the way.
    Host(anyhow::Error),
}

impl Refusal {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Self::Usage(error.to_string())
            }
            _ => Self::Host(error.into()),
        }
    }
}

pub fn run(args: &Args) -> u8 {
    let daemon = match args.daemon.load() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match run_with(args, &daemon) {
        Ok(code) => code,
        Err(Refusal::Usage(why)) => {
            say::error(format_args!("not submitted: {why}"));
            exit::USAGE
        }
        Err(Refusal::Host(error)) => {
            say::error(format_args!("{error:#}"));
            exit::FAILED
        }
    }
}

fn run_with(args: &Args, daemon: &Daemon) -> Result<u8, Refusal> {
    check_user(daemon)?;
    let bytes_max = daemon.config.dispatcher.max_bytes;
    let body = read_body(args.file.as_deref(), bytes_max)?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => compose::new_id(args.head.title.as_deref(), Clock::start().wall())
            .map_err(Refusal::of)?,
    };
    let bytes = args.head.above(&body).map_err(Refusal::Usage)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_long(bytes_max));
    }
    let spec = front_matter::read(&id, &bytes).map_err(Refusal::Usage)?;
    if !spec.unknown_keys.is_empty() {
        say::error(format_args!(
            "kept, but without a meaning here: {}",
            spec.unknown_keys.join(", ")
        ));
    }
    let task = TaskRef { project: args.project.clone(), id };
    let before = Before::of(daemon, &task).map_err(Refusal::of)?;
    submit(&daemon.config.dispatcher.projects_dir, &task, &bytes).map_err(Refusal::of)?;
    // A closed pipe has nobody left to tell; the task is there all the same.
    let _ = writeln!(io::stdout(), "{task}");
    if !args.wait {
        return Ok(exit::OK);
    }
    if !daemon.seems_to_run() {
        say::error(format_args!(
            "no daemon seems to run: {task} waits in its inbox until one does"
        ));
    }
    let end = follow::to_the_end(daemon, &task, &before);
    end.map(|end| told(&task, end)).map_err(|error| Refusal::Host(error.into()))
}

/// A task file of a user whom the daemon does not trust would lie in the inbox for ever.
fn check_user(daemon: &Daemon) -> Result<(), Refusal> {
    let own = geteuid().as_raw();
    match daemon.user() {
        Some(user) if user != own && !daemon.config.dispatcher.trusted_uids.contains(&own) => {
            Err(Refusal::Usage(format!(
                "the daemon takes no tasks of user {own}: run this as user {user}, or add {own} to \
                 dispatcher.trusted_uids"
            )))
        }
        _ => Ok(()),
    }
}

fn read_body(file: Option<&Path>, bytes_max: u64) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let limit = bytes_max + HEAD_BYTES_MAX;
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => fs_err::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut body)),
        None => io::stdin().take(limit).read_to_end(&mut body),
    }
    .map_err(|error| Refusal::Usage(error.to_string()))?;
    if body.len() as u64 > bytes_max {
        return Err(too_long(bytes_max));
    }
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Usage("the text is empty: say what is to be done".to_owned()));
    }
    Ok(body)
}

fn too_long(bytes_max: u64) -> Refusal {
    Refusal::Usage(format!("it has more than dispatcher.max_bytes ({bytes_max})"))
}

/// Says how it ended, on stderr: stdout holds the task's name and nothing else.
fn told(task: &TaskRef, end: End) -> u8 {
    let (word, code, result) = match end {
        End::Done(result) => ("done", exit::OK, result),
        End::Failed(result) => ("failed", exit::FAILED, result),
        End::Gone => {
            say::error(format_args!("{task} is gone from its inbox, and there is no result"));
            return exit::FAILED;
        }
    };
    match result {
        Some(result) => {
            say::error(format_args!(
                "{task} {word}: {}",
                harmless::line(&result.reason, usize::MAX)
            ));
            for line in result.last_text.iter().flat_map(|text| text.lines()) {
                say::error(format_args!("{}", harmless::line(line, usize::MAX)));
            }
        }
        None => say::error(format_args!("{task} {word}")),
    }
    code
}
