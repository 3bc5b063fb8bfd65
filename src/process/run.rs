//! Runs a short command to its end: bounded in time and output, whatever it does.
//!
//! It has its own process group, its pipes are drained while it runs, and a grandchild that keeps
//! a pipe open holds nobody up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
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
    #[error("cannot follow {program}: {source}")]
    Follow { program: String, source: io::Error },
}

/// Starts `program` and waits for its end, `timeout` at most, without a terminal or input.
///
/// What it leaves running in the background after a normal end is left alone, and not waited for.
#[expect(clippy::disallowed_methods, reason = "the owner of short commands")]
pub fn run(
    program: &OsStr,
    args: &[&OsStr],
    environment: Environment<'_>,
    timeout: Duration,
) -> Result<Output, RunError> {
    let name = || program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Environment::Exactly(variables) = environment {
        command.env_clear().envs(variables);
    }
    let deadline = clock::instant() + timeout;
    let mut child =
        command.spawn().map_err(|source| RunError::Start { program: name(), source })?;
    let mut pipes = [
        Pipe::of(child.stdout.take().map(OwnedFd::from)),
        Pipe::of(child.stderr.take().map(OwnedFd::from)),
    ];
    let end = follow(&mut child, &mut pipes, deadline);
    if !matches!(end, Ok(End::Exited(_))) {
        kill_group(&mut child);
    }
    let [stdout, stderr] = pipes.map(|pipe| pipe.bytes);
    match end {
        Ok(End::Exited(status)) => Ok(Output { status, stdout, stderr }),
        Ok(End::TimedOut) => Err(RunError::TimedOut { program: name(), timeout }),
        Ok(End::TooMuchOutput) => Err(RunError::TooMuchOutput { program: name() }),
        Err(source) => Err(RunError::Follow { program: name(), source }),
    }
}

enum End {
    Exited(ExitStatus),
    TimedOut,
    TooMuchOutput,
}

/// One output of the command and what has come out of it.
struct Pipe {
    /// `None` after its end.
    fd: Option<OwnedFd>,
    bytes: Vec<u8>,
}

fn follow(child: &mut Child, pipes: &mut [Pipe; 2], deadline: Instant) -> io::Result<End> {
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
        let exited = wait_readable(pidfd.as_fd(), fds.map(AsFd::as_fd), left)?;
        for pipe in pipes.iter_mut() {
            pipe.drain()?;
            if pipe.bytes.len() > OUTPUT_BYTES_MAX {
                return Ok(End::TooMuchOutput);
            }
        }
        if exited {
            return child.wait().map(End::Exited);
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

fn kill_group(child: &mut Child) {
    let pid = pid_of(child);
    // Not reaped yet, so neither its pid nor its group can be another's.
    let _ = kill_process_group(pid, Signal::KILL);
    let _ = child.kill();
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = wait_readable(pidfd.as_fd(), std::iter::empty(), KILLED_WAIT);
    }
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
