//! `run`: the daemon itself. Everything that can be wrong is found before anything is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::unbounded;

use crate::cli::{assemble, exit, obstacles};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::load::{ConfigError, DEFAULT_PATH, load};
use crate::config::reload::summary;
use crate::coordinator::{Coordinator, Failure, Reload};
use crate::core::Core;
use crate::core::record::Record;
use crate::crash_point::CrashPoint;
use crate::files::{self, LockError};
use crate::journal::Journal;
use crate::journal::error::JournalError;
use crate::logging;
use crate::preflight;
use crate::preflight::instances::link_lock;
use crate::process::own;
use crate::process::shell::{login_path, login_shell};
use crate::signals::Listener;
use crate::snapshot::chronicle::Chronicle;
use crate::snapshot::figures::Driver;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::spool;
use crate::switcher::check::ensure_shared;
use crate::systemd::Manager;

/// Options of the verb; each path overrides the configuration's.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, hide_default_value = true)]
    pub config: PathBuf,
    /// Journal and lock, instead of `state_dir`
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Sockets and launch files, instead of `runtime_dir`
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// error, warn, info or debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<log::LevelFilter>,
}

/// Why the daemon does not start, or ended; each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    AnotherInstance(String),
    #[error("{0}")]
    Journal(String),
    #[error("{0:#}")]
    Software(anyhow::Error),
}

impl RunError {
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Config(_) => exit::CONFIG,
            RunError::AnotherInstance(_) => exit::ANOTHER_INSTANCE,
            RunError::Journal(_) => exit::JOURNAL_IO,
            RunError::Software(_) => exit::SOFTWARE,
        }
    }
}

impl From<JournalError> for RunError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::AnotherInstance { .. } => RunError::AnotherInstance(error.to_string()),
            // Nothing is wrong with the disk: this version is not the one to run here.
            JournalError::NewerVersion { .. } | JournalError::UnknownRecord { .. } => {
                RunError::Config(error.to_string())
            }
            other => RunError::Journal(other.to_string()),
        }
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Journal(error) => error.into(),
            other @ (Failure::Overrun { .. } | Failure::Deserted) => {
                RunError::Software(other.into())
            }
        }
    }
}

impl From<anyhow::Error> for RunError {
    fn from(error: anyhow::Error) -> Self {
        RunError::Software(error)
    }
}

/// Runs until told to stop. Gives the exit code; what went wrong is in the log.
pub fn run(args: &Args) -> u8 {
    logging::init(args.log_level);
    if let Err(error) = own::leave_no_core() {
        log::warn!("a crash may leave a core with secrets in it: {error}");
    }
    match daemon(args) {
        Ok(()) => exit::OK,
        Err(error) => {
            let text = error.to_string();
            for line in text.lines() {
                log::error!("{line}");
            }
            Manager::from_environment().failed(&first_of(&text));
            error.exit_code()
        }
    }
}

/// For the one line that `systemctl status` has.
fn first_of(problems: &str) -> String {
    let mut lines = problems.lines();
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => first.to_owned(),
        more => format!("{} problems, the first: {first}", more + 1),
    }
}

fn daemon(args: &Args) -> Result<(), RunError> {
    let clock = Clock::start();
    let login_path = login_path(&login_shell());
    let config = Arc::new(read_config(args, login_path.as_deref())?);
    log::info!("{}", summary(&config));
    obstacles::look(&config)?;

    // From here on things are made and taken. Signals first: no thread may start before them.
    let (events, inbox) = unbounded();
    let _signals = Listener::spawn(events.clone()).map_err(anyhow::Error::from)?;
    make_private(&config.state_dir)?;
    let (journal, entries) = Journal::<Record>::open(&config.state_dir)?;
    let core = Core::recover(config.clone(), entries.iter().map(|entry| &entry.record)).map_err(
        |illegal| RunError::Journal(format!("{}: {illegal}", config.state_dir.display())),
    )?;
    let _link_lock = lock_link(&config)?;
    make_directories(&config)?;
    for account in &config.accounts {
        ensure_shared(&config, account).map_err(RunError::Config)?;
    }
    let link = assemble::account_of_link(&config);
    let snapshots = SnapshotCell::new(Snapshot::of(&core, clock.wall(), clock.now()));
    let (teller, past) = assemble::tell_past(&config, &entries);
    let house = assemble::house(&config, &events, &snapshots, clock, past)?;
    drop(events); // the house holds the senders; the last one that goes ends the loop
    let replayed = entries.iter().map(|entry| (entry.seq, entry.at, &entry.record));
    let chronicle = Chronicle::new(replayed, &core.durable, clock.wall());
    drop(entries);
    let coordinator = Coordinator {
        core,
        journal,
        chronicle,
        counted: Driver { config_read_at: clock.wall(), ..Driver::default() },
        events: inbox,
        house,
        snapshots,
        clock,
        started_at: clock.wall(),
        manager: Manager::from_environment(),
        reload: reload(args.clone(), login_path),
        teller,
        crash_point: CrashPoint::from_environment(),
    };
    Ok(coordinator.run(link)?)
}

/// `login_path` is the one of the start: nothing is decided during a reload, and a login shell
/// may take a second or two.
fn reload(args: Args, login_path: Option<String>) -> Reload {
    Box::new(move || {
        let config = read_config(&args, login_path.as_deref()).map_err(|error| -> Vec<String> {
            error.to_string().lines().map(str::to_owned).collect()
        })?;
        match preflight::guard_rules(&config) {
            Some(problem) => Err(vec![problem.to_string()]),
            None => Ok(config),
        }
    })
}

/// The file, with the overrides of the command line and the PATH that agents are started with.
fn read_config(args: &Args, login_path: Option<&str>) -> Result<Config, RunError> {
    let loaded =
        load(&args.config).map_err(|error: ConfigError| RunError::Config(error.to_string()))?;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let mut config = loaded.config;
    if let Some(dir) = &args.state_dir {
        config.state_dir = absolute("--state-dir", dir)?;
    }
    if let Some(dir) = &args.runtime_dir {
        config.runtime_dir = absolute("--runtime-dir", dir)?;
    }
    if let Some(path) = login_path {
        config.agent.env.entry("PATH".to_owned()).or_insert_with(|| path.to_owned());
    }
    Ok(config)
}

/// Panes have other working directories than the daemon.
fn absolute(option: &str, dir: &Path) -> Result<PathBuf, RunError> {
    std::path::absolute(dir)
        .map_err(|error| RunError::Config(format!("{option} {}: {error}", dir.display())))
}

fn make_directories(config: &Config) -> Result<(), RunError> {
    make_private(&config.runtime_dir)?;
    make_private(&config.runtime_dir.join("launch"))?;
    let spool = spool::dir(&config.runtime_dir);
    make_private(&spool)?;
    spool::clean(&spool);
    // An operator may have named a directory of another kind for it, such as /tmp.
    if config.watcher.done_signal_dir.exists() {
        return Ok(());
    }
    make_private(&config.watcher.done_signal_dir)
}

fn make_private(dir: &Path) -> Result<(), RunError> {
    files::make_private_dir(dir)
        .map_err(|error| RunError::Config(format!("making {}: {error}", dir.display())))
}

/// One daemon for one link, whatever their state directories.
fn lock_link(config: &Config) -> Result<files::Lock, RunError> {
    files::lock(&link_lock(config)).map_err(|error| match error {
        LockError::Held { .. } => RunError::AnotherInstance(format!(
            "the link {} is another daemon's: {error}; stop that one first",
            config.link.display()
        )),
        LockError::Io { .. } => RunError::Config(error.to_string()),
    })
}
