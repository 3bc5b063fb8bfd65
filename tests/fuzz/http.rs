//! Bytes that a client sends to the HTTP side: a real server, over a real socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use claude_failover::api::answer::HostPolicy;
use claude_failover::api::http::{HEAD_BYTES_MAX, Server};
use claude_failover::core::event::Event;
use claude_failover::snapshot::{Health, Snapshot, SnapshotCell};
use crossbeam_channel::{Receiver, unbounded};
use tempfile::TempDir;

use crate::fuzz::target::{cuts, hash};

/// One request each, between lines of `===`; its lines end in CR and LF.
const REQUESTS: &str = include_str!("corpus/requests.http");
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A busy machine may keep an answer from being made in time.
const TRIES: usize = 5;
const PATHS: [&str; 5] = ["/", "/health", "/status", "/events", "/metrics"];
/// Of every answer, and of a refusal of the verb.
const HEADERS: [&str; 10] = [
    "Date",
    "Content-Type",
    "Content-Length",
    "Cache-Control",
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Resource-Policy",
    "Connection",
];

pub const WORDS: &[&str] = &[
    "GET ",
    "HEAD ",
    "POST ",
    "get ",
    "CONNECT ",
    "OPTIONS * ",
    "/",
    "/health",
    "/status",
    "/events",
    "/metrics",
    "/../",
    "/%2e%2e/",
    "//",
    "http://localhost/health",
    "?limit=1",
    "?limit=0",
    "?since=18446744073709551616",
    "&since=1",
    "#",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    " HTTP/0.9\r\n",
    " HTTP/1.1\n",
    " HTTP/1.1 HTTP/1.1\r\n",
    "Host: localhost\r\n",
    "host:localhost:80\r\n",
    "Host: [::1]:8765\r\n",
    "Host: 127.0.0.1\r\n",
    "Host: evil.example\r\n",
    "Host:\r\n",
    "Host : localhost\r\n",
    "Host: localhost\n",
    " Host: folded\r\n",
    "Content-Length: 99999999999\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\t",
    "\0",
    "\u{7f}",
    "\u{e9}",
    "\u{1b}[31m",
];

pub fn corpus() -> Vec<Vec<u8>> {
    let requests = REQUESTS.split("===\n");
    requests.map(|text| text.replace('\n', "\r\n").into_bytes()).collect()
}

/// Nobody takes the events: there are none but the end.
struct House {
    server: Server,
    _events: Receiver<Event>,
    _dir: TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let (sender, events) = unbounded();
        let health =
            Health { ok: true, state: "normal".to_owned(), reasons: Vec::new(), until: None };
        let snapshot = SnapshotCell::new(Snapshot::new(health, serde_json::json!({"active": "a"})));
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let server =
            Server::spawn(listen, HostPolicy::Local, dir.path(), snapshot, &sender).unwrap();
        Self { server, _events: events, _dir: dir }
    }

    /// All that comes back for these pieces. The server may have heard enough before the last.
    fn exchange<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut client = TcpStream::connect(self.server.local_addr()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        for piece in pieces {
            if client.write_all(piece).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        match client.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        answer
    }

    fn answer<'a, P: Iterator<Item = &'a [u8]>>(&self, pieces: impl Fn() -> P) -> Answer {
        let is_late = |answer: &Answer| [408, 503].contains(&answer.status);
        let mut tries = (0..TRIES).map(|_| Answer::read(&self.exchange(pieces())));
        tries.find(|answer| !is_late(answer)).expect("an answer is made")
    }
}

/// One answer as a client sees it; none at all has the status 0.
#[derive(Debug, PartialEq, Eq, Default)]
struct Answer {
    status: u16,
    /// But `Date`.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let text = std::str::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1.1 ") && status.is_ascii(), "{status:?}");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            status: status[9..12].parse().unwrap(),
            headers: headers.filter(|(name, _)| name != "Date").collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }
}

pub fn read(input: &[u8]) -> u64 {
    thread_local! {
        static HOUSE: House = House::new();
    }
    HOUSE.with(|house| {
        let answer = house.answer(|| std::iter::once(input));
        let cut = house.answer(|| cuts(input));
        // The figures of the process are others each time.
        if answer.status != 200 || !is_asked(input, "/metrics") {
            assert_eq!(cut, answer, "cut elsewhere");
        }
        check(input, &answer);
        hash(&(answer.status, answer.body.chars().take(24).collect::<String>(), answer.body.len()))
    })
}

fn is_asked(input: &[u8], path: &str) -> bool {
    let line = input.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.split(|byte| *byte == b' ')
        .nth(1)
        .is_some_and(|target| target.split(|byte| *byte == b'?').next() == Some(path.as_bytes()))
}

/// Answered is who has asked in full, and shown is something only to whom it may be shown.
fn check(input: &[u8], answer: &Answer) {
    let seen = &input[..input.len().min(HEAD_BYTES_MAX)];
    let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        let expected = if input.len() > HEAD_BYTES_MAX { 431 } else { 0 };
        assert_eq!(answer.status, expected, "its head has no end");
        return;
    };
    let known = [200, 400, 404, 405, 421];
    assert!(known.contains(&answer.status), "{answer:?}");
    let is_known = |(name, _): &(String, String)| HEADERS.contains(&&**name) || name == "Allow";
    assert!(answer.headers.iter().all(is_known), "{answer:?}");
    let head = String::from_utf8_lossy(&input[..end]);
    // Whoever ends a line with LF alone is not believed more than others.
    let mut lines = head.lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let is_head = words.first() == Some(&"HEAD");
    let length: usize = answer.header("Content-Length").expect("its length").parse().unwrap();
    assert!(answer.body.len() == length || (is_head && answer.body.is_empty()), "{answer:?}");
    if answer.status != 200 {
        return;
    }
    let [verb, target, version] = *words else { panic!("{words:?}") };
    assert!(["GET", "HEAD"].contains(&verb) && ["HTTP/1.1", "HTTP/1.0"].contains(&version));
    assert!(PATHS.contains(&target.split('?').next().unwrap()), "{target:?}");
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value)
        .collect();
    match *hosts {
        [] => assert_eq!(version, "HTTP/1.0"),
        [host] => assert!(is_here(host.trim()), "{host:?}"),
        _ => panic!("{hosts:?}"),
    }
}

/// By the letters: a name of this host with any port.
fn is_here(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let end = host.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let name = host[..end].strip_suffix(':').unwrap_or(&host);
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.starts_with("127.") || name.contains("::") || name.ends_with(":1")
}
