//! Runs a short command to its end: bounded in time and output, whatever it does.
//!
//! It has its own process group, its pipes are drained while it runs, and a grandchild that keeps
//! a pipe open holds nobody up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::clock;
use crate::process::environment::Variables;

/// Bytes of standard output, and of standard error, past which a command is ended.
pub const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Wait for the end of a command after SIGKILL; only one in uninterruptible sleep needs longer.
const KILLED_WAIT: Duration = Duration::from_secs(2);
/// Bytes taken from a pipe at a time: a pipe holds no more by default.
const READ_BYTES: usize = 64 << 10;

/// Between two looks at whether the caller still wants the answer.
const WANTED_INTERVAL: Duration = Duration::from_millis(100);

/// A command, where it runs, and its bounds.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub program: &'a OsStr,
    pub args: &'a [&'a OsStr],
    pub environment: Environment<'a>,
    /// `None`: where we are.
    pub cwd: Option<&'a Path>,
    pub timeout: Duration,
    /// From SIGTERM to SIGKILL for one that is ended early; zero: it is killed at once.
    pub stop_grace: Duration,
}

/// Which environment a command gets.
#[derive(Debug, Clone, Copy)]
pub enum Environment<'a> {
    Inherited,
    Exactly(&'a Variables),
}

#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program} did not end within {timeout:?} and was killed")]
    TimedOut { program: String, timeout: Duration },
    #[error("{program} wrote more than {OUTPUT_BYTES_MAX} bytes and was killed")]
    TooMuchOutput { program: String },
    #[error("{program} was ended: its answer is not wanted any more")]
    Unwanted { program: String },
    #[error("cannot follow {program}: {source}")]
    Follow { program: String, source: io::Error },
}

/// Starts `program` and waits for its end, `timeout` at most, without a terminal or input.
///
/// What it leaves running in the background after a normal end is left alone, and not waited for.
pub fn run(
    program: &OsStr,
    args: &[&OsStr],
    environment: Environment<'_>,
    timeout: Duration,
) -> Result<Output, RunError> {
    let call = Call { program, args, environment, cwd: None, timeout, stop_grace: Duration::ZERO };
    run_while(&call, &mut || true)
}

/// The same for as long as somebody wants the answer: `is_wanted` is asked while the command runs.
#[expect(clippy::disallowed_methods, reason = "the owner of short commands")]
pub fn run_while(call: &Call<'_>, is_wanted: &mut dyn FnMut() -> bool) -> Result<Output, RunError> {
    let program = || call.program.to_string_lossy().into_owned();
    let mut command = Command::new(call.program);
    command
        .args(call.args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Environment::Exactly(variables) = call.environment {
        command.env_clear().envs(variables);
    }
    if let Some(cwd) = call.cwd {
        command.current_dir(cwd);
    }
    let deadline = clock::instant() + call.timeout;
    let mut child =
        command.spawn().map_err(|source| RunError::Start { program: program(), source })?;
    let mut pipes = [
        Pipe::of(child.stdout.take().map(OwnedFd::from)),
        Pipe::of(child.stderr.take().map(OwnedFd::from)),
    ];
    let end = follow(&mut child, &mut pipes, deadline, is_wanted);
    if !matches!(end, Ok(End::Exited(_))) {
        end_group(&mut child, call.stop_grace);
    }
    let [stdout, stderr] = pipes.map(|pipe| pipe.bytes);
    match end {
        Ok(End::Exited(status)) => Ok(Output { status, stdout, stderr }),
        Ok(End::TimedOut) => Err(RunError::TimedOut { program: program(), timeout: call.timeout }),
        Ok(End::TooMuchOutput) => Err(RunError::TooMuchOutput { program: program() }),
        Ok(End::Unwanted) => Err(RunError::Unwanted { program: program() }),
        Err(source) => Err(RunError::Follow { program: program(), source }),
    }
}

enum End {
    Exited(ExitStatus),
    TimedOut,
    TooMuchOutput,
    Unwanted,
}

/// One output of the command and what has come out of it.
struct Pipe {
    /// `None` after its end.
    fd: Option<OwnedFd>,
    bytes: Vec<u8>,
}

fn follow(
    child: &mut Child,
    pipes: &mut [Pipe; 2],
    deadline: Instant,
    is_wanted: &mut dyn FnMut() -> bool,
) -> io::Result<End> {
    let pidfd = pidfd_open(pid_of(child), PidfdFlags::empty())?;
    for fd in pipes.iter().filter_map(|pipe| pipe.fd.as_ref()) {
        fcntl_setfl(fd, OFlags::NONBLOCK)?;
    }
    loop {
        let left = deadline.saturating_duration_since(clock::instant());
        if left.is_zero() {
            return Ok(End::TimedOut);
        }
        let fds = pipes.iter().filter_map(|pipe| pipe.fd.as_ref());
        let pause = left.min(WANTED_INTERVAL);
        let exited = wait_readable(pidfd.as_fd(), fds.map(AsFd::as_fd), pause)?;
        for pipe in pipes.iter_mut() {
            pipe.drain()?;
            if pipe.bytes.len() > OUTPUT_BYTES_MAX {
                return Ok(End::TooMuchOutput);
            }
        }
        if exited {
            return child.wait().map(End::Exited);
        }
        if !is_wanted() {
            return Ok(End::Unwanted);
        }
    }
}

/// Waits until one can be read or the time is up; whether the first one can.
fn wait_readable<'a>(
    pidfd: BorrowedFd<'a>,
    pipes: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> io::Result<bool> {
    let mut fds: Vec<PollFd<'_>> = std::iter::once(pidfd)
        .chain(pipes)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, Some(&timespec(timeout))) {
        Ok(_) | Err(Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(errno) => Err(errno.into()),
    }
}

pub(crate) fn timespec(length: Duration) -> Timespec {
    Timespec::try_from(length).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

/// Gently first where there is a grace: some tidy up after themselves only then.
fn end_group(child: &mut Child, grace: Duration) {
    let pid = pid_of(child);
    let wait = |timeout| {
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
            let _ = wait_readable(pidfd.as_fd(), std::iter::empty(), timeout);
        }
    };
    // Not reaped yet, so neither its pid nor its group can be another's.
    if !grace.is_zero() {
        let _ = kill_process_group(pid, Signal::TERM);
        wait(grace);
    }
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = child.kill();
    wait(KILLED_WAIT);
    if !matches!(child.try_wait(), Ok(Some(_))) {
        log::warn!("process {pid} does not end after SIGKILL");
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

impl Pipe {
    fn of(fd: Option<OwnedFd>) -> Self {
        Self { fd, bytes: Vec::new() }
    }

    /// Takes what is there, up to the limit and one reading more.
    fn drain(&mut self) -> io::Result<()> {
        let mut chunk = [0; READ_BYTES];
        while let Some(fd) = &self.fd
            && self.bytes.len() <= OUTPUT_BYTES_MAX
        {
            match rustix::io::read(fd, &mut chunk) {
                Ok(0) => self.fd = None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
