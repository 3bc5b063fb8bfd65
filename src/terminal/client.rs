//! One tmux control client: a child process, two pipes, answers within a deadline.
//!
//! It is attached to a session of our own, since a control client must be attached to one; that
//! session stays for the next client. A client that broke or hung is killed, never reused.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::clock::instant;
use crate::terminal::Settings;
use crate::terminal::command::{Ends, Exchange, MARKER};
use crate::terminal::error::TerminalError;
use crate::terminal::protocol::{Block, Item, Parser, Reply};

/// The session our client sits in. No configured name can begin with an underscore.
pub const OWN_SESSION: &str = "_claude-failover";
/// Exchanges on their way at once: deeper gains nothing, and tmux keeps unread answers in memory.
pub const BATCH_EXCHANGES_MAX: usize = 200;

/// Both pipes; the measured gain over 64 KiB is a quarter of the server's time.
const PIPE_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;
/// Its last words, when it could not connect.
const STDERR_BYTES_MAX: usize = 4 << 10;

/// What the tmux server (when we start it) and so every pane inherits of our environment.
const ENVIRONMENT: [&str; 9] =
    ["HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PATH", "TMUX_TMPDIR", "XDG_CONFIG_HOME"];

/// The client is of no further use. Whether what was sent has run, or will run, is not known.
#[derive(Debug)]
pub enum Broken {
    TimedOut,
    Gone(String),
}

pub struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    parser: Parser,
    /// Room for one read.
    buffer: Box<[u8]>,
    /// Its own command line has been answered: it is attached. A control line that arrives
    /// earlier may run earlier, too, without our session.
    attached: bool,
    exit: Option<String>,
}

impl Client {
    /// Starts the process; its first answer comes with the first batch.
    pub fn start(settings: &Settings) -> Result<Self, TerminalError> {
        let missing = |error: io::Error| TerminalError::Missing {
            command: settings.command.clone(),
            why: error.to_string(),
        };
        let mut child = command(settings).spawn().map_err(missing)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for as pipes");
        };
        let client = Self {
            child,
            stdin,
            stdout,
            parser: Parser::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            attached: false,
            exit: None,
        };
        client.prepare_pipes().map_err(missing)?;
        Ok(client)
    }

    fn prepare_pipes(&self) -> io::Result<()> {
        for pipe in [self.stdin.as_fd(), self.stdout.as_fd()] {
            set_nonblocking(pipe)?;
            // A user over his pipe quota keeps the default size, which is slower and no worse.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
        }
        Ok(())
    }

    pub fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.id()).ok()
    }

    /// Sends the whole batch and waits for all of its answers, at most `limit`.
    pub fn run(&mut self, batch: &[Exchange], limit: Duration) -> Result<Vec<Reply>, Broken> {
        assert!(batch.len() <= BATCH_EXCHANGES_MAX, "the caller cuts batches");
        let deadline = instant() + limit;
        while !self.attached {
            self.wait(Waiting::ForAnswers, deadline)?;
            self.receive()?;
        }
        let lines: String = batch.iter().map(|exchange| exchange.lines.as_str()).collect();
        let mut unsent = lines.as_bytes();
        let mut replies = Replies::new(batch);
        while !replies.complete() {
            let waiting = if unsent.is_empty() { Waiting::ForAnswers } else { Waiting::ForBoth };
            self.wait(waiting, deadline)?;
            unsent = self.send(unsent)?;
            for block in self.receive()? {
                replies.add(block);
            }
        }
        Ok(replies.done)
    }

    /// Takes what has come unasked: notifications to be skipped, or the news that it is over.
    pub fn check(&mut self) -> Result<(), Broken> {
        self.receive().map(drop)
    }

    fn wait(&self, waiting: Waiting, deadline: Instant) -> Result<(), Broken> {
        let left = deadline.saturating_duration_since(instant());
        let timeout = Timespec::try_from(left).map_err(|_| Broken::TimedOut)?;
        let mut pipes =
            [PollFd::new(&self.stdout, PollFlags::IN), PollFd::new(&self.stdin, PollFlags::OUT)];
        let watched = match waiting {
            Waiting::ForAnswers => &mut pipes[..1],
            Waiting::ForBoth => &mut pipes[..],
        };
        match poll(watched, Some(&timeout)) {
            Ok(0) => Err(Broken::TimedOut),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Broken::Gone(error.to_string())),
        }
    }

    fn send<'a>(&mut self, unsent: &'a [u8]) -> Result<&'a [u8], Broken> {
        if unsent.is_empty() {
            return Ok(unsent);
        }
        match self.stdin.write(unsent) {
            Ok(count) => Ok(&unsent[count..]),
            Err(error) if would_block(&error) => Ok(unsent),
            // Its reason, if it gave one, still waits on its output.
            Err(error) => Err(self.receive().err().unwrap_or(Broken::Gone(error.to_string()))),
        }
    }

    fn receive(&mut self) -> Result<Vec<Block>, Broken> {
        let mut blocks = Vec::new();
        loop {
            match self.stdout.read(&mut self.buffer) {
                Ok(0) => return Err(Broken::Gone(self.last_words())),
                Ok(count) => {
                    for item in self.parser.feed(&self.buffer[..count]) {
                        match item {
                            Item::Block(block) if block.ours => blocks.push(block),
                            Item::Block(block) if block.ok => self.attached = true,
                            Item::Block(block) => self.exit = Some(block.lossy()),
                            Item::Exit(reason) if reason.is_empty() => {}
                            Item::Exit(reason) => self.exit = Some(reason),
                        }
                    }
                }
                Err(error) if would_block(&error) => return Ok(blocks),
                Err(error) => return Err(Broken::Gone(error.to_string())),
            }
        }
    }

    fn last_words(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take()
            && set_nonblocking(stderr.as_fd()).is_ok()
        {
            let limit = STDERR_BYTES_MAX as u64;
            let _ = stderr.take(limit).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match (said.is_empty(), self.exit.take()) {
            (false, _) => said,
            (true, Some(reason)) => reason,
            _ => format!("the session {OWN_SESSION} or its client was ended"),
        }
    }
}

/// INVARIANT: killed and waited for before the pipes are dropped with the fields. Reading to the
/// end instead would block for as long as a hung server holds the other side.
impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy)]
enum Waiting {
    ForAnswers,
    /// Also for room to send more.
    ForBoth,
}

struct Replies<'a> {
    waiting: &'a [Exchange],
    current: Reply,
    done: Vec<Reply>,
}

impl<'a> Replies<'a> {
    fn new(batch: &'a [Exchange]) -> Self {
        Self { waiting: batch, current: Reply::new(), done: Vec::with_capacity(batch.len()) }
    }

    fn complete(&self) -> bool {
        self.waiting.is_empty()
    }

    fn add(&mut self, block: Block) {
        let [exchange, rest @ ..] = self.waiting else {
            return;
        };
        let ends = match exchange.ends {
            Ends::Blocks(count) => !block.ok || self.current.len() + 1 == count,
            Ends::Marker => block.text.starts_with(MARKER.as_bytes()),
        };
        self.current.push(block);
        if ends {
            self.done.push(std::mem::take(&mut self.current));
            self.waiting = rest;
        }
    }
}

/// `-u`: without it tmux writes `_` for everything beyond ASCII.
fn command(settings: &Settings) -> Command {
    let mut command = base_command(&settings.command);
    command.args(["-C", "-u"]);
    if let Some(socket) = &settings.socket {
        command.arg("-S").arg(socket);
    }
    if !settings.start_server {
        command.arg("-N");
    }
    command.args(&settings.extra_args);
    command.args(["new-session", "-A", "-s", OWN_SESSION]);
    command.args(["-f", "no-output,ignore-size", "sleep", "2147483647"]);
    command
}

/// tmux with a clean environment and directory, in a process group that no Ctrl-C reaches: if it
/// becomes the server, every pane inherits these. A small environment has one more use: tmux 3.3a
/// takes a client for a control client from its first message on and makes what belongs to one at
/// its last, and a notice to it in between ends the server (`control_write` on a null pointer). Each
/// variable is a message in between.
#[expect(clippy::disallowed_methods, reason = "the owner of the tmux processes")]
pub fn base_command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (name, value) in std::env::vars_os() {
        let locale = name.as_encoded_bytes().starts_with(b"LC_");
        if locale || ENVIRONMENT.iter().any(|allowed| name == *allowed) {
            command.env(name, value);
        }
    }
    command.env("TERM", "screen").current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn set_nonblocking(pipe: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}

pub fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
