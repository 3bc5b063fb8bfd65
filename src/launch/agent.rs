//! The agent as a child: its program and environment, the wait for its end, the keys in between.
//!
//! It shares our process group, so what is typed reaches it as if we were not there.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use signal_hook::iterator::Signals;

use crate::ids::ProcessRef;
use crate::launch::LaunchSpec;
use crate::process::environment::{Variables, of_agent};
use crate::process::shell::resolve_program;
use crate::process::table;
use crate::process::wait::until_ended;

/// Handled, not ignored: exec resets a handler, while an ignored signal stays ignored in the agent
/// and in all it starts.
const SIGNALS: [i32; 8] = [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU];

/// The daemon stops an agent before it kills it, so that none of its tools slips away in between; the
/// two are some 20 ms apart. Whoever is still stopped after this was not to be killed.
const HELD_FOR_THE_KILL: Duration = Duration::from_secs(1);

/// How the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exit(i32),
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// What is left after the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    There,
    /// The pane was closed: nobody sees a message or could use a shell.
    HungUp,
}

/// From here on no key ends or stops us. Call it before the agent is started.
pub fn watch_signals() -> io::Result<Signals> {
    Signals::new(SIGNALS)
}

/// The agent's whole environment: the allowed part of ours, the spec's, its configuration.
pub fn environment(spec: &LaunchSpec) -> Variables {
    let mut variables = of_agent(&spec.env);
    variables.insert("CLAUDE_CONFIG_DIR".into(), spec.home.clone().into());
    variables
}

/// Starts the agent in its directory; errors name the program and the directory.
#[expect(clippy::disallowed_methods, reason = "the owner of agent processes")]
pub fn start(spec: &LaunchSpec) -> anyhow::Result<Pid> {
    let variables = environment(spec);
    let [name, args @ ..] = spec.argv.as_slice() else {
        bail!("cannot start an agent: no program is named");
    };
    if !spec.cwd.is_dir() {
        bail!("cannot start {name}: no directory {}", spec.cwd.display());
    }
    let path = variables.get(OsStr::new("PATH"));
    let program = resolve_program(name, path.map_or(OsStr::new(""), OsString::as_os_str))
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("cannot start {name}"))?;
    let child = Command::new(&program)
        .args(args)
        .env_clear()
        .envs(&variables)
        .current_dir(&spec.cwd)
        .spawn()
        .with_context(|| {
            let cwd = spec.cwd.display();
            format!("cannot start {} in {cwd}", program.display())
        })?;
    Ok(Pid::from_child(&child))
}

/// Waits for the agent's end. Whatever stops it, it goes on: nobody could type `fg` here.
pub fn wait_for(child: Pid, signals: &mut Signals) -> io::Result<(Ended, Terminal)> {
    let mut terminal = Terminal::There;
    loop {
        while let Some((_, status)) =
            waitpid(Some(child), WaitOptions::UNTRACED | WaitOptions::NOHANG)?
        {
            match ended(status) {
                Some(ended) => return Ok((ended, terminal)),
                None => {
                    if status.stopping_signal() == Some(Signal::STOP.as_raw()) {
                        leave_to_the_kill(child);
                    }
                    send(child, Signal::CONT);
                }
            }
        }
        for signal in signals.wait() {
            match signal {
                SIGTERM => pass_on(child, Signal::TERM),
                SIGHUP => {
                    terminal = Terminal::HungUp;
                    pass_on(child, Signal::HUP);
                }
                // Sent to the whole group, by the terminal or by a client that suspends itself.
                // Our group is orphaned, so the kernel stops nobody in it, and the client would
                // wait for this for ever. It also takes back a SIGTSTP not yet delivered.
                SIGTSTP => send(child, Signal::CONT),
                _ => {}
            }
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let exit = status.exit_status().map(Ended::Exit);
    exit.or_else(|| status.terminating_signal().map(Ended::Signal))
}

fn leave_to_the_kill(child: Pid) {
    let pid = child.as_raw_nonzero().get();
    if let Ok(Some(started_ticks)) = table::started_ticks(pid) {
        until_ended(ProcessRef { pid, started_ticks }, HELD_FOR_THE_KILL);
    }
}

/// A stopped child acts on a signal only when it goes on.
fn pass_on(child: Pid, signal: Signal) {
    send(child, signal);
    send(child, Signal::CONT);
}

/// INVARIANT: the child is not reaped yet, so its pid is still its own.
fn send(child: Pid, signal: Signal) {
    if let Err(errno) = kill_process(child, signal) {
        log::warn!("cannot pass a signal on to process {child}: {errno}");
    }
}
