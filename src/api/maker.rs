//! tiny_http, and the connections to it: made once, at its start, and kept for every request.
//!
//! Its accept loop trusts the machine: when descriptors run out it ends for good, or panics, and a
//! panic ends the daemon. So it accepts while there are surely enough, and then its loop is ended and
//! its socket has no name any more. No request makes a descriptor or a thread.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::net::Shutdown;
use rustix::process::{Resource, getrlimit};
use tiny_http::{HTTPVersion, Method, Request};

use crate::api::answer::{Answer, Asked, HostPolicy, Verb, Version, answer, plain, render};
use crate::api::exchange::{ANSWER_BYTES_MAX, Flow, receive};
use crate::api::gate::{Made, Source};
use crate::api::socket;
use crate::clock::Clock;
use crate::component::JoinOnDrop;
use crate::process::own::own;
use crate::snapshot::SnapshotCell;

/// Requests that tiny_http has at one time, each on a line of its own, and so many threads it has from
/// its start. For a line that comes before one of them waits it makes one more, so there are at most
/// twice as many, and none is made later. One thread answers them all.
pub const MAKING_MAX: usize = 4;
/// One line in so many descriptors that we may open; it takes three.
const FILES_A_LINE: u64 = 32;
/// Beside the lines at a start: the listener twice, and one that looks for a stale socket.
const FILES_OF_A_START: usize = 3;
/// Left for others at a start. What they take of more in that moment is the one way left to run out.
const FILES_OF_OTHERS: usize = 8;
/// For each line to carry its first answer. It takes a millisecond.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// Before each answer, its length: the line stays open after it.
const LENGTH_BYTES: usize = size_of::<u64>();
/// Its answer proves a line, whatever it is.
const FIRST_REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n";

/// What answers, and to whom.
pub struct Site {
    pub snapshot: SnapshotCell,
    pub hosts: HostPolicy,
    pub bound: IpAddr,
}

/// A running tiny_http.
///
/// INVARIANT: field order is shutdown order: an answer that nobody takes is given up with its line.
pub struct Maker {
    lines: Lines,
    _answering: Answering,
}

impl Maker {
    /// For a moment there is a socket at `path`. Waits until every line has carried an answer.
    pub fn start(path: &Path, site: Arc<Site>) -> anyhow::Result<Self> {
        let (private, name) = socket::listen(path)?;
        let count = lines_affordable();
        has_descriptors(&private, 3 * count + FILES_OF_A_START + FILES_OF_OTHERS)?;
        let accepting = private.try_clone().context("could not copy the listener")?;
        let answering = Answering::spawn(private.into(), site)?;
        let lines: anyhow::Result<Vec<Line>> = (0..count).map(|_| Line::open(path)).collect();
        // Its loop ends with this, good or bad, and nothing else ends it now.
        rustix::net::shutdown(&accepting, Shutdown::Both).context("could not end the accepting")?;
        drop(name);
        let lines = Lines::new(lines.context("could not reach tiny_http")?);
        Ok(Self { lines, _answering: answering })
    }

    /// `None` while all lines are in use.
    ///
    /// # Errors
    /// No line is left.
    pub fn ask(&mut self, head: &[u8]) -> anyhow::Result<Option<Making>> {
        self.settle();
        while let Some(mut line) = self.lines.free.pop_front() {
            match line.ask(head) {
                Ok(()) => {
                    let give_back = self.lines.give_back.clone();
                    return Ok(Some(Making { line: Some(line), give_back }));
                }
                Err(error) => self.lines.lose(&format!("{error}")),
            }
        }
        ensure!(self.lines.count > 0, "no line to tiny_http is left");
        Ok(None)
    }

    /// Takes off the lines that came back what they still owe to clients that have gone.
    pub fn settle(&mut self) {
        self.lines.settle();
    }

    /// To be settled when something comes from these.
    pub fn owing(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.lines.owing.iter().map(|line| line.socket.as_fd())
    }
}

/// As many as may be, where descriptors are not too few.
fn lines_affordable() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / FILES_A_LINE).unwrap_or(usize::MAX).clamp(1, MAKING_MAX)
}

fn has_descriptors(any: &OwnedFd, wanted: usize) -> anyhow::Result<()> {
    let copies: std::io::Result<Vec<OwnedFd>> = (0..wanted).map(|_| any.try_clone()).collect();
    copies.map(drop).with_context(|| format!("tiny_http is not started: {wanted} descriptors"))
}

/// The thread that answers.
///
/// INVARIANT: field order is shutdown order: no more requests, then the join.
struct Answering {
    _unblock: Unblock,
    _thread: JoinOnDrop,
}

/// Ends the answering thread when dropped.
struct Unblock {
    server: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
}

impl Drop for Unblock {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.server.unblock();
    }
}

impl Answering {
    /// tiny_http is started on this thread, because its own threads take over the name.
    fn spawn(listener: UnixListener, site: Arc<Site>) -> anyhow::Result<Self> {
        let (started, result) = bounded(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = stopping.clone();
        let thread = JoinOnDrop::spawn("http", move || {
            let server = match tiny_http::Server::from_listener(listener, None) {
                Ok(server) => Arc::new(server),
                Err(error) => {
                    let _ = started.send(Err(anyhow!("{error}")));
                    return;
                }
            };
            let _ = started.send(Ok(server.clone()));
            loop {
                match server.recv() {
                    Ok(request) => site.answer(request),
                    Err(_) if stopped.load(Ordering::SeqCst) => return,
                    // The end of its accept loop, as we want it.
                    Err(error) => log::debug!("http: accepts no more: {error}"),
                }
            }
        })
        .context("could not start the thread http")?;
        let server = result.recv().context("the thread http ended early")??;
        Ok(Self { _unblock: Unblock { server, stopping }, _thread: thread })
    }
}

impl Site {
    fn answer(&self, request: Request) {
        let asked = asked(&request);
        let answer = answer(&asked, &self.snapshot.read(), self.bound, self.hosts, own);
        let mut answer = bytes(&answer, asked.verb);
        if answer.len() > ANSWER_BYTES_MAX {
            log::warn!("http: an answer of {} bytes is too long", answer.len());
            answer = bytes(&plain(503, "the answer is too long\n"), asked.verb);
        }
        let mut writer = request.into_writer();
        let length = (answer.len() as u64).to_be_bytes();
        let written = writer.write_all(&length).and_then(|()| writer.write_all(&answer));
        if let Err(error) = written.and_then(|()| writer.flush()) {
            log::debug!("http: an answer was not taken: {error}");
        }
    }
}

pub fn bytes(answer: &Answer, verb: Verb) -> Vec<u8> {
    render(answer, verb, Clock::start().wall())
}

fn asked(request: &Request) -> Asked<'_> {
    let verb = match request.method() {
        Method::Get => Verb::Get,
        Method::Head => Verb::Head,
        _ => Verb::Other,
    };
    let version = match request.http_version() {
        HTTPVersion(0, _) | HTTPVersion(1, 0) => Version::Http10,
        _ => Version::Http11,
    };
    let hosts = request
        .headers()
        .iter()
        .filter(|header| header.field.equiv("Host"))
        .map(|header| header.value.as_str())
        .collect();
    Asked { verb, version, target: request.url(), hosts }
}

/// All lines, wherever they are.
struct Lines {
    free: VecDeque<Line>,
    /// The answers on these are for nobody.
    owing: Vec<Line>,
    /// With those that are with an exchange.
    count: usize,
    given_back: Receiver<Line>,
    give_back: Sender<Line>,
}

impl Lines {
    fn new(lines: Vec<Line>) -> Self {
        let count = lines.len();
        let (give_back, given_back) = bounded(count);
        Self { free: lines.into(), owing: Vec::new(), count, given_back, give_back }
    }

    fn settle(&mut self) {
        let back = self.given_back.try_iter().collect::<Vec<_>>();
        for mut line in std::mem::take(&mut self.owing).into_iter().chain(back) {
            match line.state {
                State::Free => {}
                State::Owing { .. } => drop(line.take()),
                State::Broken => {}
            }
            match line.state {
                State::Free => self.free.push_back(line),
                State::Owing { .. } => self.owing.push(line),
                State::Broken => self.lose("it was closed, or what came was no answer of ours"),
            }
        }
    }

    fn lose(&mut self, why: &str) {
        self.count -= 1;
        log::warn!("http: a line to tiny_http is lost: {why}; {} are left", self.count);
    }
}

/// A kept connection to tiny_http. It carries one request at a time.
struct Line {
    socket: UnixStream,
    state: State,
}

enum State {
    Free,
    Owing { received: Vec<u8> },
    Broken,
}

impl Line {
    /// Accepted, and proven by an answer.
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(START_TIMEOUT))?;
        socket.write_all(FIRST_REQUEST)?;
        let mut length = [0; LENGTH_BYTES];
        socket.read_exact(&mut length)?;
        let length = u64::from_be_bytes(length);
        ensure!(length <= ANSWER_BYTES_MAX as u64, "its first answer is not one of ours");
        let mut answer = Vec::new();
        (&socket).take(length).read_to_end(&mut answer)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, state: State::Free })
    }

    /// Does not block: a head fits the buffer of a socket from which all has been read.
    fn ask(&mut self, head: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(head)?;
        self.state = State::Owing { received: Vec::new() };
        Ok(())
    }

    /// What has come of the answer that it owes.
    fn take(&mut self) -> Made {
        let State::Owing { received } = &mut self.state else {
            return Made::Nothing;
        };
        let bytes_max = LENGTH_BYTES + ANSWER_BYTES_MAX;
        let flow = receive(&self.socket, received, bytes_max);
        match (awaited(received), flow) {
            (Some(wanted), _) if wanted == received.len() => {
                let answer = received.split_off(LENGTH_BYTES);
                self.state = State::Free;
                Made::Whole(answer)
            }
            (wanted, Flow::Pause)
                if wanted.is_none_or(|all| received.len() < all && all <= bytes_max) =>
            {
                Made::NotYet
            }
            _ => {
                self.state = State::Broken;
                Made::Nothing
            }
        }
    }
}

/// The bytes of the answer and of its length, as soon as that is known.
fn awaited(received: &[u8]) -> Option<usize> {
    let (length, _) = received.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
    Some(length.saturating_add(LENGTH_BYTES))
}

/// A request on its way. The line goes back when this is dropped, with or without its answer.
pub struct Making {
    line: Option<Line>,
    give_back: Sender<Line>,
}

impl Making {
    const HELD: &str = "only the drop takes it";
}

impl AsFd for Making {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_ref().expect(Self::HELD).socket.as_fd()
    }
}

impl Source for Making {
    fn take(&mut self) -> Made {
        self.line.as_mut().expect(Self::HELD).take()
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            // There is room for all; at shutdown nobody takes it.
            let _ = self.give_back.try_send(line);
        }
    }
}
