//! The front door of a listening socket: one thread, one `poll`, a fixed number of clients.
//!
//! A client has its time to ask and its time to take the answer. When all places are taken, the
//! oldest of those that we wait for makes room, but none before [`STAY_MIN`]. So no number of idle,
//! slow or half-finished clients keeps another from an answer, or makes threads or descriptors
//! grow. What a request means is the [`Protocol`]'s affair.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{Resource, getrlimit};

use crate::api::exchange::{Exchange, Next, Start, Stir};
use crate::clock;
use crate::component::JoinOnDrop;
use crate::core::event::Event;

/// A client that asks within this time is served, however many knock after it.
pub const STAY_MIN: Duration = Duration::from_millis(50);
/// Connections the kernel keeps until there is room.
const BACKLOG: i32 = 1024;
/// Connections taken in one turn, so that those already here are looked at in between.
const ACCEPTS_PER_TURN: usize = 16;
/// No accepting for so long after it failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One client in so many descriptors that we may open: it has up to three with its maker, there are two
/// gates, and the rest is the house's own. The kernel refuses to poll more than all.
const FILES_A_CLIENT: u64 = 8;

/// What is asked and answered through a gate.
pub trait Protocol: Send + 'static {
    /// Bytes a request may have before it is complete.
    const REQUEST_BYTES_MAX: usize;
    /// Connections held at one time, or fewer where descriptors are few; the next one takes the place
    /// of the oldest.
    const CLIENTS_MAX: usize;
    /// For the maker of the answer, with the wait for its turn.
    const MAKE_TIMEOUT: Duration;

    /// Where an answer that takes time comes from. Dropped when nobody waits for it any more.
    type Maker: Source;

    /// Whether this client may ask at all.
    fn admits(&self, client: BorrowedFd<'_>) -> bool;
    /// The length of the request at the start of `received`; `None` while it is incomplete.
    fn complete(&self, received: &[u8]) -> Option<usize>;
    /// Never waits: an answer that takes time comes through a [`Reply::From`].
    fn respond(&mut self, request: &[u8]) -> Reply<Self::Maker>;
    /// Called before each wait: what was left behind when a maker was dropped is put in order.
    fn settle(&mut self) {}
    /// To be settled as soon as something comes from these.
    fn owing(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::empty()
    }
    fn failure(&self, failure: Failure) -> Vec<u8>;
}

pub enum Reply<Maker> {
    Now(Vec<u8>),
    From(Maker),
    /// No maker is free; this request and those after it wait for their turn.
    Later,
}

/// What is polled for an answer.
pub trait Source: AsFd + Send {
    /// What has come by now; never waits.
    fn take(&mut self) -> Made;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    NotYet,
    Whole(Vec<u8>),
    /// And there will be none.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request is longer than [`Protocol::REQUEST_BYTES_MAX`].
    TooLong,
    /// The request was not complete in time.
    TooSlow,
    /// The maker of the answer failed or took too long.
    NoAnswer,
    /// We end before there is an answer.
    Stopping,
}

/// A running gate.
///
/// INVARIANT: field order is shutdown order; closing the pipe ends the loop, then it is joined.
pub struct Gate {
    _stop: PipeWriter,
    _thread: JoinOnDrop,
}

impl Gate {
    /// `listener` is a listening stream socket; it is made non-blocking.
    pub fn spawn(
        name: &'static str,
        listener: OwnedFd,
        protocol: impl Protocol,
        events: Sender<Event>,
    ) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let (stop, keep) = std::io::pipe()?;
        let thread = JoinOnDrop::spawn(name, move || {
            let error = run(&listener, &stop, protocol).err();
            // The coordinator may be gone already at shutdown; then nobody asks.
            let _ = events.send(Event::ComponentExited {
                name: name.to_owned(),
                error: error.map(|error| format!("{error:#}")),
            });
        })?;
        Ok(Self { _stop: keep, _thread: thread })
    }
}

/// INVARIANT: field order is shutdown order; the protocol may end threads that wait for an exchange.
struct Loop<P: Protocol> {
    exchanges: Vec<Exchange<P::Maker>>,
    protocol: P,
    clients_max: usize,
    /// Set after accepting failed.
    paused_until: Option<Instant>,
}

/// Whether one more client can be taken.
#[derive(Debug, Clone, Copy)]
enum Room {
    Free,
    /// In the place of this one.
    Oldest(usize),
    /// Not before `opens`, or before an answer is out.
    None {
        opens: Option<Instant>,
    },
}

fn run<P: Protocol>(listener: &OwnedFd, stop: &PipeReader, protocol: P) -> anyhow::Result<()> {
    let clients_max = clients_max::<P>();
    let exchanges = Vec::with_capacity(clients_max);
    let mut turn = Loop { exchanges, protocol, clients_max, paused_until: None };
    loop {
        turn.protocol.settle();
        let ready = turn.wait(listener, stop)?;
        if ready.stop {
            turn.part();
            return Ok(());
        }
        turn.advance(&ready.exchanges);
        if ready.listener {
            turn.accept(listener, ready.since);
        }
    }
}

/// As many as the protocol allows and our descriptors do.
fn clients_max<P: Protocol>() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let affordable = usize::try_from(files / FILES_A_CLIENT).unwrap_or(usize::MAX);
    P::CLIENTS_MAX.min(affordable.max(1))
}

struct Ready {
    /// What had come by then has been seen.
    since: Instant,
    stop: bool,
    listener: bool,
    /// By the places in [`Loop::exchanges`].
    exchanges: Vec<Stir>,
}

impl<P: Protocol> Loop<P> {
    /// Waits for a socket, for the stop, or for the first deadline.
    fn wait(&self, listener: &OwnedFd, stop: &PipeReader) -> anyhow::Result<Ready> {
        let since = clock::instant();
        let room = self.room(since);
        let accepting = match (self.paused_until, room) {
            (None, Room::Free | Room::Oldest(_)) => PollFlags::IN,
            // The kernel's backlog keeps them meanwhile.
            (Some(_), _) | (_, Room::None { .. }) => PollFlags::empty(),
        };
        let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(listener, accepting)];
        fds.extend(self.exchanges.iter().flat_map(Exchange::interest));
        let owing: Vec<BorrowedFd<'_>> = self.protocol.owing().collect();
        fds.extend(owing.iter().map(|owing| PollFd::new(owing, PollFlags::IN)));
        let deadline = self
            .exchanges
            .iter()
            .map(Exchange::until)
            .chain(self.paused_until)
            .chain(room.opens())
            .min();
        match rustix::event::poll(&mut fds, deadline.map(timeout_to).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(anyhow::Error::new(error).context("could not poll")),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (ours, theirs) = ready.split_at(2);
        let stirs = theirs[..2 * self.exchanges.len()].chunks_exact(2);
        Ok(Ready {
            since,
            stop: ours[0],
            listener: ours[1],
            exchanges: stirs.map(|pair| Stir { awaited: pair[0], hung_up: pair[1] }).collect(),
        })
    }

    fn advance(&mut self, ready: &[Stir]) {
        let now = clock::instant();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let mut ready = ready.iter();
        let protocol = &mut self.protocol;
        self.exchanges.retain_mut(|exchange| {
            let stir = ready.next().copied().unwrap_or_default();
            match exchange.advance(protocol, stir, now) {
                Next::Stay => true,
                Next::Close => false,
            }
        });
        for exchange in &mut self.exchanges {
            if exchange.start(protocol, now) == Start::Later {
                break;
            }
        }
    }

    /// The last word to those who have asked; nobody is waited for.
    fn part(&mut self) {
        let now = clock::instant();
        for exchange in &mut self.exchanges {
            exchange.part(&self.protocol, now);
        }
    }

    /// Who came shortly before `since` keeps the place: what has come from there later is still to be read,
    /// however long this thread has waited for a processor.
    fn accept(&mut self, listener: &OwnedFd, since: Instant) {
        let now = clock::instant();
        for _ in 0..ACCEPTS_PER_TURN {
            let room = self.room(since);
            if let Room::None { .. } = room {
                return;
            }
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::accept_with(listener, flags) {
                Ok(client) if !self.protocol.admits(client.as_fd()) => {}
                Ok(client) => {
                    if let Room::Oldest(at) = room {
                        self.exchanges.remove(at);
                    }
                    self.exchanges.push(Exchange::new(client, now));
                }
                Err(Errno::AGAIN) => return,
                // The client, or a signal, was quicker; the next one may be fine.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => {
                    log::warn!("could not accept a connection: {error}");
                    self.paused_until = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    /// Those that have their answer go first. New ones are pushed at the end, so the first found
    /// is the oldest.
    fn room(&self, now: Instant) -> Room {
        if self.exchanges.len() < self.clients_max {
            return Room::Free;
        }
        let first =
            |wanted: fn(&Exchange<P::Maker>) -> bool| self.exchanges.iter().position(wanted);
        if let Some(at) = first(Exchange::is_leaving) {
            return Room::Oldest(at);
        }
        let Some(at) = first(Exchange::waits_for_client) else {
            return Room::None { opens: None };
        };
        let opens = self.exchanges[at].came() + STAY_MIN;
        match opens <= now {
            true => Room::Oldest(at),
            false => Room::None { opens: Some(opens) },
        }
    }
}

impl Room {
    fn opens(&self) -> Option<Instant> {
        match self {
            Room::None { opens } => *opens,
            Room::Free | Room::Oldest(_) => None,
        }
    }
}

fn timeout_to(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(clock::instant());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
