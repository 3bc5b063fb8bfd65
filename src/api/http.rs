//! `GET /health`, `/status`, `/events`, `/metrics` and the page, from the published snapshot. Read only.
//!
//! tiny_http has a thread for each open connection and neither timeouts nor caps, so it never meets
//! a client: a [`Gate`] hands whole requests over the private lines of a [`Maker`] and takes the
//! answers off them at once, however slow the client. Timeouts on its own sockets would not do: one
//! byte in time after another keeps a thread for ever.
//! Only the request line and `Host` are handed on, because it allocates and zeroes what a
//! `Content-Length` promises, which lets one request end the process.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::Sender;

use crate::api::answer::{HostPolicy, Verb, plain};
use crate::api::gate::{Failure, Gate, Protocol, Reply};
use crate::api::maker::{Maker, Making, Site, bytes};
use crate::core::event::Event;
use crate::snapshot::SnapshotCell;

/// Request line and headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections held at one time. While there are places, nobody waits for another to lose his, which
/// takes [`crate::api::gate::STAY_MIN`]; so there are more than anybody in good faith needs.
pub const CLIENTS_MAX: usize = 256;
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
pub struct Server {
    _gate: Gate,
    address: SocketAddr,
}

impl Server {
    /// Port 0 takes a free one. In `runtime_dir` there is `http.sock` during a start.
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
        let site = Arc::new(Site { snapshot, hosts, bound: address.ip() });
        let path = runtime_dir.join("http.sock");
        let maker = Maker::start(&path, site.clone())?;
        let http = Http { maker, path, site };
        let gate = Gate::spawn("http-gate", listener.into(), http, events.clone())
            .context("could not start the thread http-gate")?;
        log::info!("http: listening on {address}");
        Ok(Self { _gate: gate, address })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// What the gate knows of HTTP.
struct Http {
    maker: Maker,
    path: PathBuf,
    site: Arc<Site>,
}

impl Http {
    /// No request can break a line, by all we know; should one, the next is answered again.
    fn ask(&mut self, head: &[u8]) -> anyhow::Result<Option<Making>> {
        let lost = match self.maker.ask(head) {
            Ok(asked) => return Ok(asked),
            Err(lost) => lost,
        };
        self.maker = Maker::start(&self.path, self.site.clone())
            .with_context(|| format!("{lost}, and another start failed"))?;
        log::warn!("http: {lost}; tiny_http was started anew");
        self.maker.ask(head)
    }
}

impl Protocol for Http {
    const REQUEST_BYTES_MAX: usize = HEAD_BYTES_MAX;
    const CLIENTS_MAX: usize = CLIENTS_MAX;
    const MAKE_TIMEOUT: Duration = MAKE_TIMEOUT;

    type Maker = Making;

    fn admits(&self, _client: BorrowedFd<'_>) -> bool {
        true
    }

    fn complete(&self, received: &[u8]) -> Option<usize> {
        received
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END)
            .map(|at| at + HEAD_END.len())
    }

    fn respond(&mut self, request: &[u8]) -> Reply<Making> {
        let Some(essence) = essence(request) else {
            return Reply::Now(bytes(&plain(400, "this is no HTTP/1.1\n"), Verb::Get));
        };
        match self.ask(&essence) {
            Ok(Some(making)) => Reply::From(making),
            Ok(None) => Reply::Later,
            Err(error) => {
                log::warn!("http: no answer can be made: {error:#}");
                let why = format!("no answer can be made: {error:#}\n");
                Reply::Now(bytes(&plain(503, why), Verb::Get))
            }
        }
    }

    fn settle(&mut self) {
        self.maker.settle();
    }

    fn owing(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.maker.owing()
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

/// The request line and the `Host` headers, and nothing that promises a body or an upgrade, or ends the
/// line that it goes over. To tiny_http a header that ends with LF alone has no end.
fn essence(head: &[u8]) -> Option<Vec<u8>> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut kept = lines.next().filter(|line| is_request_line(line))?.to_vec();
    kept.extend(b"Connection: keep-alive\r\n");
    let is_host =
        |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
    for host in lines.filter(is_host) {
        kept.extend(host.ends_with(b"\r\n").then_some(host)?);
    }
    kept.extend(b"\r\n");
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

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags};
    use serde_json::json;

    use super::*;
    use crate::api::gate::{Made, Source};
    use crate::snapshot::{Health, Snapshot};

    fn http(dir: &Path) -> Http {
        let health =
            Health { ok: true, state: "normal".to_owned(), reasons: Vec::new(), until: None };
        let site = Arc::new(Site {
            snapshot: SnapshotCell::new(Snapshot::new(health, json!({}))),
            hosts: HostPolicy::Local,
            bound: [127, 0, 0, 1].into(),
        });
        let path = dir.join("http.sock");
        Http { maker: Maker::start(&path, site.clone()).unwrap(), path, site }
    }

    fn made(mut making: Making) -> Made {
        loop {
            let mut fds = [PollFd::new(&making, PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            match making.take() {
                Made::NotYet => {}
                made => return made,
            }
        }
    }

    fn first_line(made: &Made) -> String {
        let Made::Whole(answer) = made else { panic!("{made:?}") };
        String::from_utf8_lossy(answer).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_tiny_http_that_has_lost_its_lines_is_started_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut http = http(dir.path());
        let mut lost = 0;
        // It answers this by itself, not as we do, and closes.
        while let Ok(asked) = http.maker.ask(b"nonsense\r\n\r\n") {
            assert_eq!(made(asked.expect("a free line")), Made::Nothing);
            lost += 1;
        }
        assert!(lost > 0);
        for _ in 0..10 {
            let reply = http.respond(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let Reply::From(making) = reply else { panic!("no answer is made") };
            assert_eq!(first_line(&made(making)), "HTTP/1.1 200 OK");
        }
    }

    #[test]
    fn what_was_made_for_one_who_has_gone_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let mut http = http(dir.path());
        for _ in 0..100 {
            drop(http.respond(b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        }
        let making = loop {
            match http.respond(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") {
                Reply::From(making) => break making,
                Reply::Now(answer) => panic!("{}", String::from_utf8_lossy(&answer)),
                Reply::Later => {}
            }
        };
        assert_eq!(first_line(&made(making)), "HTTP/1.1 200 OK");
    }

    #[test]
    fn of_a_head_only_what_is_needed_is_handed_on() {
        let head = b"POST /x HTTP/1.1\r\nHOST: a\r\nContent-Length: 99999999999\r\n\
            Transfer-Encoding: chunked\r\nExpect: 1\r\n Host: folded\r\nHost : b\r\nhost:c\r\n\r\n";
        assert_eq!(
            String::from_utf8(essence(head).unwrap()).unwrap(),
            "POST /x HTTP/1.1\r\nConnection: keep-alive\r\nHOST: a\r\nhost:c\r\n\r\n"
        );
        for head in [
            &b"\r\n\r\n"[..],
            b"GET /health\r\n\r\n",
            b"GET /health HTTP/2.0\r\n\r\n",
            b"GET /health HTTP/1.1\n\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\nX: y\r\n\r\n",
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
