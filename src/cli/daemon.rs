//! Which daemon a verb speaks of, by its configuration; whether it runs or not.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use serde_json::Value;

use crate::api::control::{self, AskError, REQUEST_TIMEOUT, Request};
use crate::cli::exit;
use crate::cli::say;
use crate::config::Config;
use crate::config::load::{ConfigError, DEFAULT_PATH, load};
use crate::queue::instance;

#[derive(Debug, Clone, clap::Args)]
pub struct DaemonArgs {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(
        long,
        value_name = "FILE",
        default_value = DEFAULT_PATH,
        hide_default_value = true,
        global = true
    )]
    config: PathBuf,
    /// The daemon's --runtime-dir, if it was given one
    #[arg(long, value_name = "DIR", global = true)]
    runtime_dir: Option<PathBuf>,
    /// The daemon's --state-dir, if it was given one
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
}

/// A daemon that is only asked, so that its configuration matters as far as it names the socket.
#[derive(Debug, Clone, clap::Args)]
pub struct SocketArgs {
    /// Instead of /etc/claude-failover/config.yaml
    #[arg(
        long,
        value_name = "FILE",
        default_value = DEFAULT_PATH,
        hide_default_value = true,
        global = true
    )]
    config: PathBuf,
    /// The daemon's --runtime-dir, if it was given one
    #[arg(long, value_name = "DIR", global = true)]
    runtime_dir: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Daemon {
    pub config: Config,
}

impl SocketArgs {
    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// # Errors
    /// The exit code; what is wrong has been said.
    pub fn ask(&self, request: &Request) -> Result<Value, u8> {
        self.try_ask(request).map_err(|error| {
            say::error(&error);
            error.exit_code()
        })
    }

    /// # Errors
    /// The configuration cannot be read, or there is no good answer.
    pub fn try_ask(&self, request: &Request) -> Result<Value, NoAnswer> {
        let runtime_dir = match &self.runtime_dir {
            Some(dir) => dir.clone(),
            None => load(&self.config).map_err(NoAnswer::Config)?.config.runtime_dir,
        };
        let socket = control::socket_path(&runtime_dir);
        control::ask(&socket, request, REQUEST_TIMEOUT).map_err(NoAnswer::Daemon)
    }

    /// Asks for a verb and prints what became of it. Gives the exit code.
    pub fn order(&self, request: &Request) -> u8 {
        match self.ask(request) {
            Ok(answer) => {
                say::line(said(&answer));
                exit::OK
            }
            Err(code) => code,
        }
    }
}

/// Why a verb got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error(transparent)]
    Config(ConfigError),
    #[error(transparent)]
    Daemon(AskError),
}

impl NoAnswer {
    pub fn exit_code(&self) -> u8 {
        match self {
            NoAnswer::Config(_) => exit::CONFIG,
            NoAnswer::Daemon(_) => exit::FAILED,
        }
    }
}

/// What the daemon says to a verb.
pub fn said(answer: &Value) -> &str {
    answer["said"].as_str().unwrap_or("accepted: see /status or the log for what becomes of it")
}

impl DaemonArgs {
    /// # Errors
    /// The exit code; what is wrong has been said.
    pub fn load(&self) -> Result<Daemon, u8> {
        let mut config = match load(&self.config) {
            Ok(loaded) => loaded.config,
            Err(error) => {
                say::error(error);
                return Err(exit::CONFIG);
            }
        };
        if let Some(dir) = &self.runtime_dir {
            config.runtime_dir.clone_from(dir);
        }
        if let Some(dir) = &self.state_dir {
            config.state_dir.clone_from(dir);
        }
        Ok(Daemon { config })
    }
}

impl Daemon {
    pub fn ask(&self, request: &Request) -> Result<Value, AskError> {
        control::ask(&control::socket_path(&self.config.runtime_dir), request, REQUEST_TIMEOUT)
    }

    pub fn seems_to_run(&self) -> bool {
        !matches!(self.ask(&Request::Status), Err(AskError::NotRunning { .. }))
    }

    /// The user it runs as; `None` before its first start.
    pub fn user(&self) -> Option<u32> {
        fs_err::metadata(&self.config.state_dir).ok().map(|found| found.uid())
    }

    /// As its markers name it; `None` before its first start, when there are none.
    ///
    /// # Errors
    /// It cannot be read: above all, by another user.
    pub fn instance(&self) -> io::Result<Option<String>> {
        let state_dir = &self.config.state_dir;
        match fs_err::symlink_metadata(state_dir.join("instance")) {
            Ok(_) => instance::instance(state_dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, made when it has not run yet: by the user that it will run as, which is the caller.
    pub fn instance_of_ours(&self) -> io::Result<String> {
        match self.user() {
            Some(user) if user != geteuid().as_raw() => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} belongs to user {user}: run this verb as that user",
                    self.config.state_dir.display()
                ),
            )),
            _ => instance::instance(&self.config.state_dir),
        }
    }
}
