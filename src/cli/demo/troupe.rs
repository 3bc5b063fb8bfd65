//! The daemon and the tmux server of one demo, and their end: gentle, then by force, always by
//! pid, and only processes that the demo itself brought into being.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use fs_err as fs;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cli::demo::outside;
use crate::cli::demo::patience::Patience;
use crate::cli::demo::server::{self, Tmux};
use crate::cli::demo::stage::Stage;
use crate::clock::instant;
use crate::ids::ProcessRef;

/// For the daemon to be healthy after its start.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// For the daemon to drain after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// For shells and agents to go after their tmux server.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
const LEAVE_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// INVARIANT: field order is the order of the end: daemon, tmux server with all in it, files.
pub struct Troupe {
    daemon: Daemon,
    server: TmuxServer,
    stage: Stage,
}

impl Troupe {
    /// Starts the daemon and waits until it is healthy. Nothing is left when that fails.
    pub fn enter(stage: Stage, patience: &Patience) -> anyhow::Result<Self> {
        Tmux::check_installed()?;
        check_bash()?;
        let mut troupe = Self {
            daemon: Daemon::start(&stage)?,
            server: TmuxServer {
                tmux: Tmux { socket: stage.socket() },
                agent: stage.agent(),
                kept: false,
            },
            stage,
        };
        let healthy = troupe.wait_for_health(patience);
        if healthy.is_err() {
            super::show_log(&troupe);
        }
        healthy.map(|()| troupe)
    }

    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    pub fn tmux(&self) -> &Tmux {
        &self.server.tmux
    }

    pub fn daemon_pid(&self) -> u32 {
        self.daemon.child.id()
    }

    /// Ends nothing; daemon, agents and files stay for the operator.
    pub fn leave_running(mut self) {
        self.daemon.kept = true;
        self.server.kept = true;
        self.stage.keep();
    }

    fn wait_for_health(&mut self, patience: &Patience) -> anyhow::Result<()> {
        let port = self.stage.port;
        patience.until("GET /health answers 200", START_TIMEOUT, || {
            if let Some(status) = self.daemon.child.try_wait()? {
                bail!("the daemon ended with {status} before it was healthy");
            }
            Ok(matches!(server::get(port, "/health"), Ok((200, _))).then_some(()))
        })
    }
}

fn check_bash() -> anyhow::Result<()> {
    match server::command("bash").args(["-c", ":"]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("bash -c : ended with {status}"),
        Err(error) => {
            Err(error).context("bash, which runs the scripted agent, cannot be started; install it")
        }
    }
}

struct Daemon {
    child: Child,
    kept: bool,
}

impl Daemon {
    /// The same program as this one, in a process group of its own: a C-c here is not for it.
    fn start(stage: &Stage) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program's own file")?;
        let log = fs::File::create(stage.log())?.into_file();
        let mut command = server::command(&program);
        command
            .args(["run", "--config"])
            .arg(stage.config())
            .env_clear()
            .env("HOME", stage.user_home())
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .current_dir(stage.root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        for name in ["PATH", "USER", "LOGNAME", "TZ", "RUST_LOG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let child =
            command.spawn().with_context(|| format!("starting {} run", program.display()))?;
        Ok(Self { child, kept: false })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.kept || matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let gone = within(DRAIN_TIMEOUT, || !matches!(self.child.try_wait(), Ok(None)));
        if !gone {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

struct TmuxServer {
    tmux: Tmux,
    agent: PathBuf,
    kept: bool,
}

impl Drop for TmuxServer {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let processes = outside::processes_of(self.tmux.server_pid(), &self.agent);
        let _ = self.tmux.run(&["kill-server"]);
        let left = || processes.iter().filter(|process| is_alive(**process));
        if !within(LEAVE_TIMEOUT, || left().next().is_none()) {
            left().for_each(|process| kill(*process));
            within(LEAVE_TIMEOUT, || left().next().is_none());
        }
    }
}

fn is_alive(process: ProcessRef) -> bool {
    outside::alive(process.pid) == Some(process)
}

/// The pidfd is opened first and the start time compared after, so that no successor is hit.
fn kill(process: ProcessRef) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
        && is_alive(process)
    {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

/// Looks until `done` or the timeout; never interrupted, because it is the end itself.
fn within(timeout: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = instant() + timeout;
    loop {
        if done() {
            return true;
        }
        if instant() >= deadline {
            return false;
        }
        let _ = crossbeam_channel::never::<()>().recv_timeout(LEAVE_LOOK_INTERVAL);
    }
}
