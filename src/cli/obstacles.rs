//! What keeps the daemon from starting, found before anything is made or taken: nothing here
//! changes the disk.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::geteuid;

use crate::api::control;
use crate::api::http::HttpError;
use crate::cli::run::RunError;
use crate::config::Config;
use crate::preflight;
use crate::terminal::error::TerminalError;
use crate::terminal::{DEADLINE, owner, probe};

/// On the loopback interface the answer is there at once.
const PORT_TIMEOUT: Duration = Duration::from_millis(200);

/// All problems of the configuration at once; then another daemon; then the port, which another
/// daemon would hold, too.
pub fn look(config: &Config) -> Result<(), RunError> {
    let mut problems: Vec<String> =
        preflight::disk(config, geteuid().as_raw()).iter().map(ToString::to_string).collect();
    match probe::version(&config.tmux.command, DEADLINE) {
        Ok(_) => problems.extend(check_servers(config).err()),
        Err(error) => problems.push(error.to_string()),
    }
    for warning in preflight::warnings(config) {
        log::warn!("{warning}");
    }
    if !problems.is_empty() {
        return Err(RunError::Config(problems.join("\n")));
    }
    if let Some(other) = other(config) {
        return Err(RunError::AnotherInstance(other));
    }
    check_port(config)
}

/// The socket of the server that the configuration names.
pub fn configured_socket(config: &Config) -> PathBuf {
    config.tmux.socket.clone().unwrap_or_else(default_socket)
}

fn default_socket() -> PathBuf {
    probe::default_socket(std::env::var_os("TMUX_TMPDIR").as_deref(), geteuid().as_raw())
}

fn check_servers(config: &Config) -> Result<(), String> {
    let there = sessions_known(config, &configured_socket(config))?;
    for warning in preflight::near_misses(config, &there) {
        log::warn!("{warning}");
    }
    stranded(config, &there)
}

/// Configured sessions that live on the user's default server while another one is configured, on
/// which `there` are.
pub fn stranded(config: &Config, there: &[String]) -> Result<(), String> {
    let (configured, default) = (configured_socket(config), default_socket());
    if configured == default {
        return Ok(());
    }
    let desired: Vec<String> =
        config.desired_sessions().into_iter().map(|(name, _)| name.to_string()).collect();
    let stranded: Vec<String> = sessions_known(config, &default)?
        .into_iter()
        .filter(|name| desired.contains(name) && !there.contains(name))
        .collect();
    if stranded.is_empty() {
        return Ok(());
    }
    Err(format!(
        "tmux.socket: {} has no session {}, but the user's default server {} has: move the \
         sessions, or leave tmux.socket unset",
        configured.display(),
        stranded.join(", "),
        default.display()
    ))
}

/// A server that hangs keeps nobody from starting: it is waited for, and `/health` says so meanwhile.
fn sessions_known(config: &Config, socket: &Path) -> Result<Vec<String>, String> {
    match probe::sessions_on(&config.tmux.command, socket, DEADLINE) {
        Err(hung @ TerminalError::TimedOut { .. }) => {
            log::warn!("{hung}: which sessions it has was not looked at");
            Ok(Vec::new())
        }
        other => other.map_err(|error| error.to_string()),
    }
}

/// A daemon with another state directory and link may still have our runtime directory.
fn answering(config: &Config) -> Option<String> {
    let socket = control::socket_path(&config.runtime_dir);
    UnixStream::connect(&socket).is_ok().then(|| {
        format!(
            "another instance answers on {}; stop it first, or give this one a runtime_dir of \
             its own",
            socket.display()
        )
    })
}

/// Nothing is bound at the port itself, not even for a moment: another daemon that starts now may need
/// it in that moment.
fn check_port(config: &Config) -> Result<(), RunError> {
    let Some(address) = config.http.listen else { return Ok(()) };
    let failed = |source| RunError::Config(HttpError::Bind { address, source }.to_string());
    TcpListener::bind((address.ip(), 0)).map_err(failed)?;
    match TcpStream::connect_timeout(&address, PORT_TIMEOUT) {
        // Who has the port has taken its locks before, if it is one of us.
        Ok(_) => Err(match other(config) {
            Some(other) => RunError::AnotherInstance(other),
            None => failed(Errno::ADDRINUSE.into()),
        }),
        Err(_) => Ok(()),
    }
}

fn other(config: &Config) -> Option<String> {
    preflight::instances::other(config)
        .or_else(|| answering(config))
        .or_else(|| driven_by_another(config))
}

/// Asked by a client that does not attach: tmux 3.3a ends with all its sessions (a segmentation fault)
/// when one control client is detached while another one starts, as of two daemons that start at once.
fn driven_by_another(config: &Config) -> Option<String> {
    let socket = configured_socket(config);
    // A server in trouble is waited for later.
    let owner = probe::owner(&config.tmux.command, &socket, DEADLINE).ok()??;
    // Who cannot be looked at may live.
    owner::lives(&owner)
        .unwrap_or(true)
        .then(|| TerminalError::Owned { server: probe::server_on(&socket), owner }.to_string())
}
