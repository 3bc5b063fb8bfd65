//! The control socket: verbs in, events out, the core's answers back, and only for our own user.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_failover::api::control::{
    AskError, REQUEST_BYTES_MAX, Reports, Request, Server, ask, socket_path,
};
use claude_failover::clock::Clock;
use claude_failover::core::action::AskId;
use claude_failover::core::event::{AccountVerb, Event, StuckVerb, Verb};
use claude_failover::snapshot::SnapshotCell;
use crossbeam_channel::{Receiver, unbounded};

use super::snapshot;
use crate::child::in_a_child;
use crate::support::eventually;

pub const TIMEOUT: Duration = Duration::from_secs(10);

pub struct House {
    pub server: Server,
    pub events: Receiver<Event>,
    pub dir: tempfile::TempDir,
}

fn reports() -> Reports {
    Reports { clock: Clock::start(), zone: None, patterns: Vec::new() }
}

impl House {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let (sender, events) = unbounded();
        let cell = SnapshotCell::new(snapshot(true));
        let server = Server::spawn(dir.path(), cell, reports(), &sender).unwrap();
        Self { server, events, dir }
    }

    pub fn path(&self) -> PathBuf {
        socket_path(self.dir.path())
    }

    pub fn ask(&self, request: &Request) -> Result<serde_json::Value, AskError> {
        ask(&self.path(), request, TIMEOUT)
    }

    /// The verb that has reached the coordinator, and whom to answer.
    #[track_caller]
    pub fn next_verb(&self) -> (Verb, AskId) {
        match self.events.recv_timeout(TIMEOUT).unwrap() {
            Event::VerbRequested { verb, ask: Some(ask) } => (verb, ask),
            other => panic!("{other:?}"),
        }
    }

    /// What the client hears, and the verb, when the coordinator answers this.
    fn ask_with(
        &self,
        request: &Request,
        result: Result<String, String>,
    ) -> (Result<serde_json::Value, AskError>, Verb) {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask(request));
            let (verb, ask) = self.next_verb();
            self.server.answer(ask, result);
            (asking.join().unwrap(), verb)
        })
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
fn each_verb_is_answered_with_what_the_core_says() {
    let house = House::new();
    let account = || "backup".parse().unwrap();
    let task = || "shop:t-1".parse().unwrap();
    for (request, verb) in [
        (Request::Swap { to: None }, Verb::Swap { to: None }),
        (Request::Swap { to: Some(account()) }, Verb::Swap { to: Some(account()) }),
        (Request::Stuck { how: StuckVerb::Rollback }, Verb::Stuck(StuckVerb::Rollback)),
        (
            Request::Account { how: AccountVerb::Pin, account: account() },
            Verb::Account { verb: AccountVerb::Pin, account: account() },
        ),
        (Request::Reload, Verb::Reload),
        (Request::TasksRetry { task: task() }, Verb::TaskRetry { task: task() }),
        (Request::TasksCancel { task: task() }, Verb::TaskCancel { task: task() }),
    ] {
        let (answer, heard) = house.ask_with(&request, Ok("it is done".to_owned()));
        assert_eq!(answer.unwrap(), serde_json::json!({"ok": true, "said": "it is done"}));
        assert_eq!(heard, verb);
        let (answer, _) = house.ask_with(&request, Err("no:\nfor two\treasons".to_owned()));
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, AskError::Refused(why) if why == "no:\nfor two reasons"),
            "{error}"
        );
    }
    assert_eq!(house.server.asks_waiting(), 0);
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
        ("{\"verb\":\"a\u{202e}b\u{9b}c\"}\n".as_bytes(), "unknown variant `a b c`"),
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
    house.ask(&Request::Status).unwrap();
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

/// The mode of the socket and its directory keep others out; here nothing but the look at the peer does.
#[test]
fn another_user_who_comes_as_far_as_the_socket_is_not_heard() {
    if let Some(path) = std::env::var_os("CF_TEST_SOCKET") {
        let mut stream = UnixStream::connect(path).unwrap();
        // Already sent away, perhaps.
        let _ = stream.write_all(b"{\"verb\":\"status\"}\n");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        println!("came in, heard={:?}", read.map(|_| answer.contains("\"ok\":true")));
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return; // nobody else can be asked to try
    }
    let house = House::new();
    fs::set_permissions(house.dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(house.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let heard = |uid: u32| {
        let test = "http::control::another_user_who_comes_as_far_as_the_socket_is_not_heard";
        let mut child = in_a_child(test);
        let output = child.env("CF_TEST_SOCKET", house.path()).uid(uid).gid(uid).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("came in, heard="), "{uid}: {said}");
        said.contains("heard=Ok(true)")
    };
    assert!(heard(0));
    assert!(!heard(65_534));
    assert!(house.events.is_empty());
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
    house.ask(&Request::Status).unwrap();

    let other = tempfile::tempdir().unwrap();
    let path = socket_path(other.path());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the name behind, like a crash");
    // A process that another test has forked keeps the listener until it begins its own program.
    eventually("nobody answers there", TIMEOUT, || UnixStream::connect(&path).err());
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
