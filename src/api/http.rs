//! `GET /health`, `/status`, `/events`, `/metrics` and the page, from the published snapshot. Read only.
//!
//! tiny_http has a thread for each open connection and neither timeouts nor caps, so it never meets
//! a client: it listens on a private Unix socket behind a [`Gate`], which hands it whole requests,
//! at most [`MAKING_MAX`] at a time, and takes the answers off it at
//! once, however slow the client. Timeouts on its own sockets would not do: one byte in time after
//! another keeps a thread for ever, and a timeout inherited from the listener ends its accept loop.
//! Only the request line and `Host` are handed on, because it allocates and zeroes what a
//! `Content-Length` promises, which lets one request end the process.

use std::io::Write;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use crossbeam_channel::{Sender, bounded};
use tiny_http::{HTTPVersion, Method, Request};

use crate::api::answer::{Answer, Asked, HostPolicy, Verb, Version, answer, plain, render};
use crate::api::gate::{Failure, Gate, Protocol, Reply};
use crate::api::socket::{self, SocketFile};
use crate::clock::Clock;
use crate::component::JoinOnDrop;
use crate::core::event::Event;
use crate::process::own::own;
use crate::snapshot::SnapshotCell;

/// Request line and headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections held at one time. While there are places, nobody waits for another to lose his, which
/// takes [`crate::api::gate::STAY_MIN`]; so there are more than anybody in good faith needs.
pub const CLIENTS_MAX: usize = 256;
/// Requests that tiny_http has at one time.
pub const MAKING_MAX: usize = 8;
/// An answer is made from a snapshot, so this ends only what is broken.
pub const MAKE_TIMEOUT: Duration = Duration::from_secs(2);

const HEAD_END: &[u8] = b"\r\n\r\n";
/// Ends of a request line. Of any other version tiny_http's thread would hang for ever.
const VERSIONS: [&[u8]; 2] = [b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"];

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A problem of the configuration.
    #[error(
        "http.listen: could not listen on {address}: {source}; stop what uses it, choose another \
         address, or set `listen: null`"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("could not start the http server: {0:#}")]
    Start(#[from] anyhow::Error),
}

/// A running server.
///
/// INVARIANT: field order is shutdown order: no more clients, no more requests, the join. The name
/// of the private socket goes last, because tiny_http ends by connecting to it.
pub struct Server {
    _gate: Gate,
    _maker: Unblock,
    _answering: JoinOnDrop,
    _file: SocketFile,
    address: SocketAddr,
}

impl Server {
    /// Port 0 takes a free one. `runtime_dir` holds the private socket `http.sock`.
    pub fn spawn(
        listen: SocketAddr,
        hosts: HostPolicy,
        runtime_dir: &Path,
        snapshot: SnapshotCell,
        events: &Sender<Event>,
    ) -> Result<Self, HttpError> {
        let bind = |source| HttpError::Bind { address: listen, source };
        let listener = TcpListener::bind(listen).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let site = Site { snapshot, hosts, bound: address.ip() };
        let path = runtime_dir.join("http.sock");
        let (private, file) = socket::listen(&path)?;
        let (maker, answering) = spawn_maker(private.into(), site, events.clone())?;
        let gate = Gate::spawn("http-gate", listener.into(), Http { path }, events.clone())
            .context("could not start the thread http-gate")?;
        log::info!("http: listening on {address}");
        Ok(Self { _gate: gate, _maker: maker, _answering: answering, _file: file, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// What the gate knows of HTTP.
struct Http {
    path: PathBuf,
}

impl Protocol for Http {
    const REQUEST_BYTES_MAX: usize = HEAD_BYTES_MAX;
    const CLIENTS_MAX: usize = CLIENTS_MAX;
    const MAKING_MAX: usize = MAKING_MAX;
    const MAKE_TIMEOUT: Duration = MAKE_TIMEOUT;

    type Maker = OwnedFd;

    fn admits(&self, _client: BorrowedFd<'_>) -> bool {
        true
    }

    fn complete(&self, received: &[u8]) -> Option<usize> {
        received
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END)
            .map(|at| at + HEAD_END.len())
    }

    fn respond(&mut self, request: &[u8]) -> Reply<OwnedFd> {
        let Some(essence) = essence(request) else {
            return Reply::Now(bytes(&plain(400, "this is no HTTP/1.1\n"), Verb::Get));
        };
        match hand_on(&self.path, &essence) {
            Ok(maker) => Reply::From(maker),
            Err(error) => {
                log::warn!("http: could not hand a request on: {error}");
                Reply::Now(self.failure(Failure::NoAnswer))
            }
        }
    }

    fn failure(&self, failure: Failure) -> Vec<u8> {
        let answer = match failure {
            Failure::TooLong => plain(431, "the request's head is too long\n"),
            Failure::TooSlow => plain(408, "the request's head took too long\n"),
            Failure::NoAnswer => plain(503, "no answer could be made\n"),
            Failure::Stopping => plain(503, "the daemon is stopping\n"),
        };
        bytes(&answer, Verb::Get)
    }
}

fn bytes(answer: &Answer, verb: Verb) -> Vec<u8> {
    render(answer, verb, Clock::start().wall())
}

/// The request line and the `Host` headers, and nothing that promises a body or an upgrade.
fn essence(head: &[u8]) -> Option<Vec<u8>> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut kept = lines.next().filter(|line| is_request_line(line))?.to_vec();
    let is_host =
        |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
    lines.filter(is_host).for_each(|line| kept.extend(line));
    kept.extend(b"Connection: close\r\n\r\n");
    kept.is_ascii().then_some(kept)
}

/// A verb, a target and a version, with one space between them. tiny_http takes the third word for the
/// version, whatever follows it, and answers by itself what it cannot read.
fn is_request_line(line: &[u8]) -> bool {
    let asked = VERSIONS.iter().find_map(|version| line.strip_suffix(*version));
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    asked.is_some_and(|asked| {
        let words: Vec<&[u8]> = asked.split(|byte| *byte == b' ').collect();
        words.len() == 2 && words.iter().all(|word| is_word(word))
    })
}

/// Does not block: a head fits a fresh socket's buffer, and the backlog is larger than the number
/// of requests under way.
fn hand_on(path: &Path, head: &[u8]) -> std::io::Result<OwnedFd> {
    let mut maker = UnixStream::connect(path)?;
    maker.set_nonblocking(true)?;
    maker.write_all(head)?;
    maker.shutdown(Shutdown::Write)?;
    Ok(maker.into())
}

/// Ends the answering thread when dropped.
struct Unblock {
    maker: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
}

impl Drop for Unblock {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.maker.unblock();
    }
}

/// tiny_http is started on the thread that answers, because its own threads take over the name.
fn spawn_maker(
    listener: UnixListener,
    site: Site,
    events: Sender<Event>,
) -> anyhow::Result<(Unblock, JoinOnDrop)> {
    let (started, result) = bounded(1);
    let stopping = Arc::new(AtomicBool::new(false));
    let stopped = stopping.clone();
    let thread = JoinOnDrop::spawn("http", move || {
        let server = tiny_http::Server::from_listener(listener, None);
        let maker = match server {
            Ok(maker) => Arc::new(maker),
            Err(error) => {
                let _ = started.send(Err(anyhow!("{error}")));
                return;
            }
        };
        let _ = started.send(Ok(maker.clone()));
        let error = loop {
            match maker.recv() {
                Ok(request) => site.answer(request),
                Err(_) if stopped.load(Ordering::SeqCst) => break None,
                Err(error) => break Some(format!("could not accept: {error}")),
            }
        };
        // The coordinator may be gone already at shutdown; then nobody asks.
        let _ = events.send(Event::ComponentExited { name: "http".to_owned(), error });
    })
    .context("could not start the thread http")?;
    let maker = result.recv().context("the thread http ended early")??;
    Ok((Unblock { maker, stopping }, thread))
}

struct Site {
    snapshot: SnapshotCell,
    hosts: HostPolicy,
    bound: IpAddr,
}

impl Site {
    fn answer(&self, request: Request) {
        let asked = asked(&request);
        let answer = answer(&asked, &self.snapshot.read(), self.bound, self.hosts, own);
        let bytes = bytes(&answer, asked.verb);
        let mut writer = request.into_writer();
        if let Err(error) = writer.write_all(&bytes).and_then(|()| writer.flush()) {
            log::debug!("http: an answer was not taken: {error}");
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_head_only_what_is_needed_is_handed_on() {
        let head = b"POST /x HTTP/1.1\r\nHOST: a\r\nContent-Length: 99999999999\r\n\
            Transfer-Encoding: chunked\r\nExpect: 1\r\n Host: folded\r\nHost : b\r\nhost:c\r\n\r\n";
        assert_eq!(
            String::from_utf8(essence(head).unwrap()).unwrap(),
            "POST /x HTTP/1.1\r\nHOST: a\r\nhost:c\r\nConnection: close\r\n\r\n"
        );
        for head in [
            &b"\r\n\r\n"[..],
            b"GET /health\r\n\r\n",
            b"GET /health HTTP/2.0\r\n\r\n",
            b"GET /health HTTP/1.1\n\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2.0 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.0 HTTP/1.1\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b" GET / HTTP/1.1\r\n\r\n",
            b"GET HTTP/1.1\r\n\r\n",
            b" HTTP/1.1\r\n\r\n",
            b"GET /\t HTTP/1.1\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(essence(head), None, "{head:?}");
        }
    }
}
