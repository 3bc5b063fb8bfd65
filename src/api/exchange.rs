//! One client of a [`crate::api::gate`]: from its first byte to the end of its connection.
//!
//! Asking → Queued → Making → Answering → Leaving. Never blocks; each stage has its deadline.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::api::gate::{Failure, Made, Protocol, Reply, Source};

/// From the connection to the last byte of the request.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// For the client to take the whole answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// For the client to close after us. To close with bytes of its unread would make the kernel
/// reset the connection and take the answer from it.
pub const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);
/// A longer answer is a fault of ours.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;

const CHUNK_BYTES: usize = 16 << 10;
/// Chunks taken from one socket in one turn, so that a flooding client waits for the others.
const CHUNKS_PER_TURN: usize = 16;

pub struct Exchange<Maker> {
    client: OwnedFd,
    came: Instant,
    until: Instant,
    stage: Stage<Maker>,
}

enum Stage<Maker> {
    Asking { received: Vec<u8> },
    Queued { request: Vec<u8> },
    Making { maker: Maker },
    Answering { answer: Vec<u8>, sent: usize },
    Leaving,
}

/// What has happened to the sockets of [`Exchange::interest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stir {
    pub awaited: bool,
    pub hung_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Stay,
    Close,
}

/// Whether a request could go to its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Or there was none to go.
    Done,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing more for now.
    Pause,
    End,
    Broken,
}

impl<Maker: Source> Exchange<Maker> {
    pub fn new(client: OwnedFd, now: Instant) -> Self {
        Self {
            client,
            came: now,
            until: now + ASK_TIMEOUT,
            stage: Stage::Asking { received: Vec::new() },
        }
    }

    pub fn came(&self) -> Instant {
        self.came
    }

    pub fn until(&self) -> Instant {
        self.until
    }

    /// What to poll for: the socket that is waited for, and the client's, whose hang-up is reported
    /// although nothing is asked for.
    pub fn interest(&self) -> [PollFd<'_>; 2] {
        let awaited = match &self.stage {
            Stage::Asking { .. } | Stage::Leaving => PollFd::new(&self.client, PollFlags::IN),
            Stage::Queued { .. } => PollFd::new(&self.client, PollFlags::empty()),
            Stage::Making { maker } => PollFd::new(maker, PollFlags::IN),
            Stage::Answering { .. } => PollFd::new(&self.client, PollFlags::OUT),
        };
        [awaited, PollFd::new(&self.client, PollFlags::empty())]
    }

    /// It has its answer.
    pub fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving)
    }

    /// Whether the next move is the client's; else we owe it one.
    pub fn waits_for_client(&self) -> bool {
        match self.stage {
            Stage::Asking { .. } | Stage::Answering { .. } | Stage::Leaving => true,
            Stage::Queued { .. } | Stage::Making { .. } => false,
        }
    }

    /// Hands a queued request to its maker.
    pub fn start<P: Protocol<Maker = Maker>>(&mut self, protocol: &mut P, now: Instant) -> Start {
        let Stage::Queued { request } = &self.stage else {
            return Start::Done;
        };
        match protocol.respond(request) {
            Reply::Now(answer) => self.answer(answer, now),
            Reply::From(maker) => self.stage = Stage::Making { maker },
            Reply::Later => return Start::Later,
        }
        Start::Done
    }

    /// Does what can be done without waiting.
    pub fn advance<P: Protocol>(&mut self, protocol: &P, stir: Stir, now: Instant) -> Next {
        let next = match self.stage {
            // Nobody is left to take what is being made.
            Stage::Making { .. } if stir.hung_up => Next::Close,
            _ if !stir.awaited => Next::Stay,
            Stage::Asking { .. } => self.ask(protocol, now),
            // Nothing was asked for, so this is a hang-up.
            Stage::Queued { .. } => Next::Close,
            Stage::Making { .. } => self.make(protocol, now),
            Stage::Answering { .. } => self.send(now),
            Stage::Leaving => self.leave(),
        };
        match next {
            Next::Stay if now >= self.until => self.time_out(protocol, now),
            next => next,
        }
    }

    /// We end: who has asked gets the answer that has just come, or is told that none will.
    pub fn part<P: Protocol>(&mut self, protocol: &P, now: Instant) {
        if let Stage::Making { .. } = self.stage {
            let _ = self.make(protocol, now);
        }
        // What does not fit now is not waited for.
        if self.waits_for_client() {
            let _ = self.send(now);
        } else {
            self.answer(protocol.failure(Failure::Stopping), now);
        }
    }

    fn ask<P: Protocol>(&mut self, protocol: &P, now: Instant) -> Next {
        let Stage::Asking { received } = &mut self.stage else {
            return Next::Stay;
        };
        let flow = receive(&self.client, received, P::REQUEST_BYTES_MAX);
        match protocol.complete(received) {
            Some(length) if length <= P::REQUEST_BYTES_MAX => {
                // What follows the request is not read: each connection has one answer.
                received.truncate(length);
                let request = std::mem::take(received);
                self.stage = Stage::Queued { request };
                self.until = now + P::MAKE_TIMEOUT;
                Next::Stay
            }
            _ if received.len() > P::REQUEST_BYTES_MAX => {
                self.answer(protocol.failure(Failure::TooLong), now);
                Next::Stay
            }
            _ => next_after(flow),
        }
    }

    fn make<P: Protocol>(&mut self, protocol: &P, now: Instant) -> Next {
        let Stage::Making { maker } = &mut self.stage else {
            return Next::Stay;
        };
        match maker.take() {
            Made::NotYet => {}
            Made::Whole(answer) => self.answer(answer, now),
            Made::Nothing => self.answer(protocol.failure(Failure::NoAnswer), now),
        }
        Next::Stay
    }

    fn send(&mut self, now: Instant) -> Next {
        let Stage::Answering { answer, sent } = &mut self.stage else {
            return Next::Stay;
        };
        while *sent < answer.len() {
            match rustix::net::send(&self.client, &answer[*sent..], SendFlags::NOSIGNAL) {
                Ok(length) => *sent += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Next::Stay,
                Err(_) => return Next::Close,
            }
        }
        if rustix::net::shutdown(&self.client, Shutdown::Write).is_err() {
            return Next::Close;
        }
        self.stage = Stage::Leaving;
        self.until = now + LEAVE_TIMEOUT;
        Next::Stay
    }

    fn leave(&mut self) -> Next {
        let mut ignored = Vec::new();
        next_after(receive(&self.client, &mut ignored, usize::MAX))
    }

    fn time_out<P: Protocol>(&mut self, protocol: &P, now: Instant) -> Next {
        let failure = match &self.stage {
            Stage::Asking { received } if received.is_empty() => return Next::Close,
            Stage::Asking { .. } => Failure::TooSlow,
            Stage::Queued { .. } | Stage::Making { .. } => Failure::NoAnswer,
            Stage::Answering { .. } | Stage::Leaving => return Next::Close,
        };
        self.answer(protocol.failure(failure), now);
        Next::Stay
    }

    /// As much as fits is sent at once: who is still answered after that is waited for, and has to make
    /// room for others. A connection that has broken is closed in the next turn.
    fn answer(&mut self, answer: Vec<u8>, now: Instant) {
        self.stage = Stage::Answering { answer, sent: 0 };
        self.until = now + ANSWER_TIMEOUT;
        let _ = self.send(now);
    }
}

fn next_after(flow: Flow) -> Next {
    match flow {
        Flow::Pause => Next::Stay,
        Flow::End | Flow::Broken => Next::Close,
    }
}

/// Adds to `into` what has come, until it is longer than `bytes_max`.
pub fn receive(socket: impl AsFd, into: &mut Vec<u8>, bytes_max: usize) -> Flow {
    let mut chunk = [0; CHUNK_BYTES];
    for _ in 0..CHUNKS_PER_TURN {
        if into.len() > bytes_max {
            return Flow::Pause;
        }
        match rustix::net::recv(&socket, &mut chunk, RecvFlags::empty()) {
            Ok((0, _)) => return Flow::End,
            Ok((length, _)) => into.extend_from_slice(&chunk[..length]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Flow::Pause,
            Err(_) => return Flow::Broken,
        }
    }
    Flow::Pause
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::BorrowedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::clock;

    /// Never makes anything.
    struct Idle(OwnedFd);

    impl AsFd for Idle {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Source for Idle {
        fn take(&mut self) -> Made {
            Made::NotYet
        }
    }

    /// Answers each line with itself.
    struct Echo;

    impl Protocol for Echo {
        const REQUEST_BYTES_MAX: usize = 16;
        const CLIENTS_MAX: usize = 1;
        const MAKE_TIMEOUT: Duration = Duration::from_secs(1);

        type Maker = Idle;

        fn admits(&self, _client: BorrowedFd<'_>) -> bool {
            true
        }

        fn complete(&self, received: &[u8]) -> Option<usize> {
            received.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
        }

        fn respond(&mut self, request: &[u8]) -> Reply<Idle> {
            Reply::Now(request.to_vec())
        }

        fn failure(&self, failure: Failure) -> Vec<u8> {
            format!("{failure:?}").into_bytes()
        }
    }

    /// A client, and what is at the gate of it.
    fn came() -> (UnixStream, Exchange<Idle>) {
        let (client, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (client, Exchange::new(ours.into(), clock::instant()))
    }

    const AWAITED: Stir = Stir { awaited: true, hung_up: false };

    #[test]
    fn who_takes_the_answer_has_it_before_another_can_take_the_place() {
        let (mut client, mut exchange) = came();
        client.write_all(b"hello\n").unwrap();
        let now = clock::instant();
        assert_eq!(exchange.advance(&Echo, AWAITED, now), Next::Stay);
        assert_eq!(exchange.start(&mut Echo, now), Start::Done);
        assert!(exchange.is_leaving(), "nothing more is awaited of it");
        drop(exchange);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello\n");
    }

    #[test]
    fn who_cannot_take_the_whole_answer_is_waited_for() {
        let (mut client, mut exchange) = came();
        let large = vec![b'x'; 4 << 20];
        exchange.answer(large.clone(), clock::instant());
        assert!(!exchange.is_leaving() && exchange.waits_for_client());
        let taken = std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut taken = Vec::new();
                client.read_to_end(&mut taken).unwrap();
                taken
            });
            while !exchange.is_leaving() {
                let [awaited, _] = exchange.interest();
                rustix::event::poll(&mut [awaited], None).unwrap();
                assert_eq!(exchange.advance(&Echo, AWAITED, clock::instant()), Next::Stay);
            }
            drop(exchange);
            reader.join().unwrap()
        });
        assert!(taken == large);
    }
}
