//! The control socket: verbs in, events out, and only for our own user.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_failover::api::control::{
    AskError, REQUEST_BYTES_MAX, Reports, Request, Server, ask, socket_path,
};
use claude_failover::clock::Clock;
use claude_failover::core::event::{Event, StuckVerb};
use claude_failover::snapshot::SnapshotCell;
use crossbeam_channel::{Receiver, unbounded};

use super::snapshot;

const TIMEOUT: Duration = Duration::from_secs(10);

struct House {
    server: Server,
    events: Receiver<Event>,
    dir: tempfile::TempDir,
}

fn reports() -> Reports {
    Reports { clock: Clock::start(), zone: None, patterns: Vec::new() }
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let (sender, events) = unbounded();
        let cell = SnapshotCell::new(snapshot(true));
        let server = Server::spawn(dir.path(), cell, reports(), &sender).unwrap();
        Self { server, events, dir }
    }

    fn path(&self) -> PathBuf {
        socket_path(self.dir.path())
    }

    fn ask(&self, request: &Request) -> Result<serde_json::Value, AskError> {
        ask(&self.path(), request, TIMEOUT)
    }

    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn next_event(&self) -> String {
        format!("{:?}", self.events.recv_timeout(TIMEOUT).unwrap())
    }
}

#[test]
fn each_verb_becomes_its_event() {
    let house = House::new();
    for (request, event) in [
        (Request::Swap { to: None }, "SwapRequested { to: None }"),
        (
            Request::Swap { to: Some("backup".parse().unwrap()) },
            r#"SwapRequested { to: Some(AccountName("backup")) }"#,
        ),
        (Request::Stuck { how: StuckVerb::Rollback }, "StuckResolved(Rollback)"),
        (Request::Reload, "ReloadRequested"),
        (
            Request::TasksRetry { task: "shop:t-1".parse().unwrap() },
            r#"TaskRetryRequested { task: TaskRef { project: ProjectName("shop"), id: TaskId("t-1") } }"#,
        ),
        (
            Request::TasksCancel { task: "shop:t-1".parse().unwrap() },
            r#"TaskCancelRequested { task: TaskRef { project: ProjectName("shop"), id: TaskId("t-1") } }"#,
        ),
    ] {
        assert_eq!(house.ask(&request).unwrap(), serde_json::json!({"ok": true}));
        assert_eq!(house.next_event(), event);
    }
}

#[test]
fn status_answers_from_the_snapshot_and_bothers_nobody() {
    let house = House::new();
    let answer = house.ask(&Request::Status).unwrap();
    assert_eq!(answer["health"]["state"], "normal");
    assert_eq!(answer["status"]["active"], "primary");
    assert!(house.events.is_empty());
}

#[test]
fn a_report_becomes_its_event_and_one_of_another_kind_nothing() {
    let house = House::new();
    let refused = r#"{"verb":"report","report":{"at":5,"pid":7,"hook_event_name":"StopFailure",
        "error":"rate_limit","last_assistant_message":"Crew quota is gone"}}"#
        .replace('\n', "");
    assert_eq!(house.exchange(format!("{refused}\n").as_bytes()), "{\"ok\":true}\n");
    assert!(house.next_event().contains("verdict: Throttled"));
    house.server.reconfigure(&["crew quota".to_owned()]);
    assert_eq!(house.exchange(format!("{refused}\n").as_bytes()), "{\"ok\":true}\n");
    assert!(house.next_event().contains("verdict: Exhausted"));
    for report in [r#"{"hook_event_name":"FromTomorrow"}"#, "{}"] {
        let request = format!("{{\"verb\":\"report\",\"report\":{report}}}\n");
        assert_eq!(house.exchange(request.as_bytes()), "{\"ok\":true}\n");
    }
    assert!(house.events.is_empty());
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_reason() {
    let house = House::new();
    for (bytes, reason) in [
        (&b"{\"verb\":\"dance\"}\n"[..], "unknown variant `dance`"),
        (b"\n", "could not read the request"),
        (b"\xff\n", "could not read the request"),
        (b"{\"verb\":\"report\"}\n", "missing field `report`"),
        (b"{\"verb\":\"report\",\"report\":5}\n", "could not read the request"),
        (&[b' '; REQUEST_BYTES_MAX + 10], "the request is too long"),
    ] {
        let answer = house.exchange(bytes);
        assert!(answer.starts_with(r#"{"error":"#), "{answer}");
        assert!(answer.contains(reason), "{answer}");
        assert!(answer.ends_with("\"ok\":false}\n"), "{answer}");
    }
    assert!(house.events.is_empty());
}

#[test]
fn a_silent_client_keeps_nobody_from_an_answer() {
    let house = House::new();
    let silent: Vec<_> = (0..100).map(|_| UnixStream::connect(house.path()).unwrap()).collect();
    let begun = Instant::now();
    house.ask(&Request::Reload).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn the_socket_is_for_us_alone_and_goes_with_the_server() {
    let house = House::new();
    let path = house.path();
    assert_eq!(house.server.path(), path);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let begun = Instant::now();
    drop(house.server);
    assert!(begun.elapsed() < Duration::from_millis(500));
    assert!(!path.exists());
    assert!(matches!(ask(&path, &Request::Status, TIMEOUT), Err(AskError::NotRunning { .. })));
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let house = House::new();
    let (events, _) = unbounded();
    let again = || {
        let cell = SnapshotCell::new(snapshot(true));
        Server::spawn(house.dir.path(), cell, reports(), &events)
    };
    let error = format!("{:#}", again().err().unwrap());
    assert!(error.contains("another process answers"), "{error}");
    house.ask(&Request::Reload).unwrap();

    let other = tempfile::tempdir().unwrap();
    let path = socket_path(other.path());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the name behind, like a crash");
    let cell = SnapshotCell::new(snapshot(true));
    let server = Server::spawn(other.path(), cell.clone(), reports(), &events).unwrap();
    ask(&path, &Request::Status, TIMEOUT).unwrap();
    drop(server);

    fs::write(&path, "somebody's notes").unwrap();
    let error =
        format!("{:#}", Server::spawn(other.path(), cell, reports(), &events).err().unwrap());
    assert!(error.contains("in the way"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's notes");
}

#[test]
fn a_daemon_that_does_not_answer_costs_no_more_than_the_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_path(dir.path());
    let _listener = UnixListener::bind(&path).unwrap();
    let begun = Instant::now();
    let error = ask(&path, &Request::Status, Duration::from_millis(200)).unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, AskError::Io { .. }), "{error}");
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
}
