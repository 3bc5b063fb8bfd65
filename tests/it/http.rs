//! The HTTP side over real sockets, with clients that are rude, slow, many or in the way.

mod asks;
mod control;
mod service;
mod shortage;
mod siege;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use claude_failover::api::answer::HostPolicy;
use claude_failover::api::exchange::{ASK_TIMEOUT, LEAVE_TIMEOUT};
use claude_failover::api::http::{CLIENTS_MAX, HEAD_BYTES_MAX, HttpError, MAKE_TIMEOUT, Server};
use claude_failover::api::maker::MAKING_MAX;
use claude_failover::api::page::POLICY;
use claude_failover::core::event::Event;
use claude_failover::snapshot::{Health, Snapshot, SnapshotCell};
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::support::eventually;

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn snapshot(ok: bool) -> Snapshot {
    let health = Health { ok, state: "normal".to_owned(), reasons: Vec::new(), until: None };
    Snapshot::new(health, serde_json::json!({"active": "primary"}))
}

/// A server on a free port.
struct House {
    server: Server,
    snapshot: SnapshotCell,
    events: Receiver<Event>,
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let snapshot = SnapshotCell::new(snapshot(true));
        let (sender, events) = unbounded();
        let server = spawn(dir.path(), ([127, 0, 0, 1], 0).into(), &snapshot, &sender).unwrap();
        Self { server, snapshot, events, dir }
    }

    fn connect(&self) -> TcpStream {
        connect(self.server.local_addr())
    }

    /// All that comes back for these bytes.
    fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).unwrap();
        rest(&mut stream)
    }
}

fn spawn(
    dir: &Path,
    listen: SocketAddr,
    snapshot: &SnapshotCell,
    events: &Sender<Event>,
) -> Result<Server, HttpError> {
    Server::spawn(listen, HostPolicy::Local, dir, snapshot.clone(), events)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads to the end, which must come.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Whether the other side has closed, gently or not.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn health_and_status_show_what_was_published_last() {
    let house = House::new();
    let well = house.exchange(get("/health"));
    assert!(well.starts_with("HTTP/1.1 200 OK\r\n"), "{well}");
    assert_eq!(body(&well)["version"], env!("CARGO_PKG_VERSION"));

    house.snapshot.publish(snapshot(false));
    let sick = house.exchange(get("/health"));
    assert!(sick.starts_with("HTTP/1.1 503 "), "{sick}");
    assert_eq!(body(&sick)["ok"], false);
    assert_eq!(body(&house.exchange(get("/status")))["active"], "primary");
    assert!(house.exchange(get("/nothing")).contains("GET /metrics"));
}

#[test]
fn a_browser_is_told_what_it_may_do_with_each_answer() {
    let house = House::new();
    for path in ["/", "/health", "/status", "/events", "/metrics", "/nothing", "/events?x"] {
        let answer = house.exchange(get(path));
        let head = answer.split_once("\r\n\r\n").unwrap().0;
        for line in [
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin",
        ] {
            assert!(head.lines().any(|given| given == line), "{path}: {line}: {head}");
        }
        let policy = head.lines().find_map(|line| line.strip_prefix("Content-Security-Policy: "));
        let policy = policy.unwrap_or_else(|| panic!("{path}: {head}"));
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(policy == POLICY, path == "/", "{path}: {policy}");
        assert!(head.lines().any(|line| line.starts_with("Date: ") && line.ends_with(" GMT")));
    }
}

#[test]
fn what_is_not_served_is_refused() {
    let house = House::new();
    for (request, status) in [
        (get("/nothing"), 404),
        (get("/health").replace("GET", "POST"), 405),
        (get("/health").replace("GET", "BREW"), 405),
        (get("/health").replace("localhost", "evil.example"), 421),
        (get("/health").replace("Host", "Ghost"), 400),
        ("HEAD /health HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n".to_owned(), 200),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 200),
        ("GET /health HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("GET /health\r\n\r\n".to_owned(), 400),
        ("\r\n\r\n".to_owned(), 400),
        ("\u{fc}\u{0}\r\n\r\n".to_owned(), 400),
        (get("/health").replace("1.1", "2.0"), 400),
        (get("/health").replace("1.1", "0.9"), 400),
        (get("/health\u{fc}"), 400),
        ("A B C D HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        // The third word is the version to tiny_http, whose thread would never end.
        (get("/health").replace(" HTTP/1.1", " HTTP/2.0 HTTP/1.1"), 400),
        (get("/health").replace(" HTTP/1.1", " HTTP/1.0 HTTP/1.1"), 400),
        (get("/health").replace("GET ", ""), 400),
        (get("/health").replace("GET", ""), 400),
    ] {
        let answer = house.exchange(&request);
        assert!(!answer.contains("tiny-http"), "{request:?}: {answer:?}");
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request:?}: {answer:?}");
    }
    assert!(house.exchange(get("/health")).contains(" 200 "));
}

/// The length alone would make tiny_http allocate it, and end the process.
#[test]
fn a_promised_body_is_neither_waited_for_nor_allocated() {
    let house = House::new();
    for promise in [
        "Content-Length: 999999999999999",
        "Content-Length: 10",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue\r\nContent-Length: 5000",
        "Expect: something",
        "Connection: upgrade\r\nUpgrade: websocket",
    ] {
        let begun = Instant::now();
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{promise}\r\n\r\n");
        let answer = house.exchange(request);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{promise}: {answer}");
        assert!(begun.elapsed() < MAKE_TIMEOUT, "{promise}");
    }
}

#[test]
fn every_connection_ends_with_its_one_answer() {
    let house = House::new();
    let keep_alive = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n";
    let answer = house.exchange(keep_alive);
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");

    let pipelined = house.exchange([get("/health"), get("/status"), get("/")].concat());
    assert_eq!(pipelined.matches("HTTP/1.1 ").count(), 1, "{pipelined}");
}

#[test]
fn forty_clients_that_keep_their_connection_are_all_answered() {
    let house = House::new();
    let mut clients: Vec<_> = (0..40).map(|_| house.connect()).collect();
    for client in &mut clients {
        client.write_all(get("/health").as_bytes()).unwrap();
    }
    for (count, client) in clients.iter_mut().enumerate() {
        let answer = rest(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "client {count}: {answer:?}");
    }
}

#[test]
fn a_burst_larger_than_the_house_is_served_to_the_last() {
    let house = House::new();
    let mut clients: Vec<_> = (0..CLIENTS_MAX * 3 / 2)
        .map(|_| {
            let mut client = house.connect();
            client.write_all(get("/status").as_bytes()).unwrap();
            client
        })
        .collect();
    for (count, client) in clients.iter_mut().enumerate() {
        let answer = rest(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "client {count}: {answer:?}");
    }
}

#[test]
fn a_head_that_is_too_long_is_refused_at_its_limit() {
    let house = House::new();
    let fill = |length: usize| {
        let head = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ";
        let fill = "x".repeat(length - head.len() - 4);
        format!("{head}{fill}\r\n\r\n")
    };
    let fits = house.exchange(fill(HEAD_BYTES_MAX));
    assert!(fits.starts_with("HTTP/1.1 200 "), "{fits}");
    let over = house.exchange(fill(HEAD_BYTES_MAX + 1));
    assert!(over.starts_with("HTTP/1.1 431 "), "{over}");
    let endless = house.exchange(vec![b'x'; 200_000]);
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
}

#[test]
fn who_does_not_ask_in_time_is_sent_away() {
    let house = House::new();
    let begun = Instant::now();
    let mut idle = house.connect();
    let mut half = house.connect();
    half.write_all(b"GET /health HTTP/1.1\r\nHo").unwrap();
    assert_eq!(rest(&mut idle), "");
    assert!(rest(&mut half).starts_with("HTTP/1.1 408 "));
    let took = begun.elapsed();
    assert!(took >= ASK_TIMEOUT && took < 2 * ASK_TIMEOUT, "{took:?}");
}

#[test]
fn one_who_takes_no_answer_keeps_no_other_from_theirs() {
    // More than the 4 MiB that the kernel keeps at most for a client that reads nothing.
    const LARGE_BYTES: usize = 5 << 20;
    let house = House::new();
    let mut large = snapshot(true);
    large.status = serde_json::json!("x".repeat(LARGE_BYTES));
    house.snapshot.publish(large);
    let mut deaf = Vec::new();
    for count in 1..=MAKING_MAX + 1 {
        let mut client = house.connect();
        rustix::net::sockopt::set_socket_recv_buffer_size(&client, 4096).unwrap();
        client.write_all(get("/status").as_bytes()).unwrap();
        deaf.push(client);
        eventually("the answer waits for its client", PATIENCE, || {
            (untaken(house.server.local_addr()) == count).then_some(())
        });
    }
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = house.exchange(get("/health"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    assert!(begun.elapsed() < MAKE_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!(untaken(house.server.local_addr()), deaf.len());
}

#[test]
fn who_goes_before_the_answer_is_made_takes_nothing_from_the_next() {
    let house = House::new();
    let mut large = snapshot(true);
    large.status = serde_json::json!("x".repeat(1 << 20));
    house.snapshot.publish(large);
    for turn in 0..20 {
        for _ in 0..2 * MAKING_MAX {
            let mut client = house.connect();
            client.write_all(get("/status").as_bytes()).unwrap();
            // Closed with a reset.
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        }
        let begun = Instant::now();
        let answer = house.exchange(get("/health"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{turn}: {answer:?}");
        assert!(begun.elapsed() < MAKE_TIMEOUT, "{turn}: {:?}", begun.elapsed());
    }
}

/// Connections of this server in whose send queue something waits.
fn untaken(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let waits = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        let ours = columns.next().is_some_and(|local| local.ends_with(&port));
        let queue = columns.nth(2).unwrap_or_default();
        ours && queue.len() == 17 && !queue.starts_with("00000000:")
    };
    table.lines().filter(waits).count()
}

#[test]
fn a_taken_port_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let address = taken.local_addr().unwrap();
    let (events, _) = unbounded();
    let error =
        spawn(dir.path(), address, &SnapshotCell::new(snapshot(true)), &events).err().unwrap();
    assert!(matches!(error, HttpError::Bind { .. }));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("choose another address"), "{text}");
}

#[test]
fn it_stops_at_once_with_clients_inside_and_leaves_no_socket() {
    let house = House::new();
    let mut clients: Vec<_> = (0..10).map(|_| house.connect()).collect();
    for client in &mut clients[..5] {
        client.write_all(b"GET /he").unwrap();
    }
    // Its answer proves that those before it are inside.
    house.exchange(get("/health"));
    let address = house.server.local_addr();
    let House { server, events, dir, .. } = house;
    assert!(!dir.path().join("http.sock").exists(), "a door to tiny_http itself");
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    // A process that another test has forked keeps the listener until it begins its own program.
    eventually("nobody listens", PATIENCE, || TcpStream::connect_timeout(&address, PATIENCE).err());
    let ends: Vec<_> = events.try_iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(ends, [r#"ComponentExited { name: "http-gate", error: None }"#]);
    for mut client in clients {
        eventually("the client is let go", PATIENCE, || is_closed(&mut client).then_some(()));
    }
}

#[test]
fn a_client_that_never_closes_is_left_behind() {
    let house = House::new();
    let mut client = house.connect();
    client.write_all(get("/health").as_bytes()).unwrap();
    rest(&mut client);
    // Ours is half open still; once the server closes its half, a write is answered by a reset.
    let begun = Instant::now();
    eventually("the server closes", PATIENCE, || client.write_all(b"x").is_err().then_some(()));
    assert!(begun.elapsed() < 10 * LEAVE_TIMEOUT);
}
