//! Bytes that a client sends to the control socket: a real one, with a coordinator that says yes.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use claude_failover::api::control::{REQUEST_BYTES_MAX, Reports, Request, Server, socket_path};
use claude_failover::clock::Clock;
use claude_failover::core::event::Event;
use claude_failover::harmless::is_plain;
use claude_failover::snapshot::{Health, Snapshot, SnapshotCell};
use crossbeam_channel::{Receiver, unbounded};
use serde_json::Value;
use tempfile::TempDir;

use crate::fuzz::target::{cuts, hash, words_of};

const REQUESTS: &str = include_str!("corpus/requests.jsonl");
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const UNREAD_BYTES_MAX: usize = 4 << 10;
/// An answer says something, and does not send back what was asked.
const ANSWER_BYTES_MAX: usize = 8 << 10;

pub const WORDS: &[&str] = &[
    "\n",
    "{\"verb\":\"status\"}\n",
    "{\"verb\":\"swap\",\"to\":null}",
    "\"verb\":\"",
    "\"verb\":\"stop\"",
    "\"verb\":\"reload\"",
    "\"verb\":\"pause\"",
    "\"verb\":\"resume\"",
    "\"verb\":\"drain\"",
    "\"verb\":\"stuck\"",
    "\"verb\":\"account\"",
    "\"verb\":\"tasks_retry\"",
    "\"verb\":\"report\"",
    "\"to\":\"backup\"",
    "\"how\":\"hold\"",
    "\"how\":\"rollback\"",
    "\"account\":\"a\"",
    "\"session\":null",
    "\"task\":\"shop:t-1\"",
    "\"for_ms\":18446744073709551615",
    "\"for_ms\":1e300",
    "\"report\":{\"hook_event_name\":\"Stop\"}",
    "\"a;kill-server\"",
    "\"../x:t\"",
    "\"\\ud800\"",
    "\"\\u001b[31m\"",
    "\u{1b}]0;x\u{7}",
    "\u{9b}2J",
    "\u{202e}",
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\0",
];

pub fn corpus() -> Vec<Vec<u8>> {
    REQUESTS.lines().map(|line| format!("{line}\n").into_bytes()).collect()
}

struct House {
    server: Server,
    events: Receiver<Event>,
    dir: TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let (sender, events) = unbounded();
        let health =
            Health { ok: true, state: "normal".to_owned(), reasons: Vec::new(), until: None };
        let snapshot = SnapshotCell::new(Snapshot::new(health, serde_json::json!({"active": "a"})));
        let reports = Reports { clock: Clock::start(), zone: None, patterns: Vec::new() };
        let server = Server::spawn(dir.path(), snapshot, reports, &sender).unwrap();
        Self { server, events, dir }
    }

    /// All that comes back for these pieces, and whether the coordinator was asked.
    fn exchange<'a>(
        &self,
        pieces: impl Iterator<Item = &'a [u8]>,
        is_verb: bool,
    ) -> (Vec<u8>, Vec<Event>) {
        let mut client = UnixStream::connect(socket_path(self.dir.path())).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for piece in pieces {
            if client.write_all(piece).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
        let mut heard = Vec::new();
        if is_verb {
            let event = self.events.recv_timeout(PATIENCE).expect("the verb is passed on");
            if let Event::VerbRequested { ask: Some(ask), .. } = &event {
                self.server.answer(*ask, Ok("done".to_owned()));
            }
            heard.push(event);
        }
        let mut answer = Vec::new();
        match client.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        heard.extend(self.events.try_iter());
        (answer, heard)
    }
}

pub fn read(input: &[u8]) -> u64 {
    thread_local! {
        static HOUSE: House = House::new();
    }
    let length = input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
    let line = length.filter(|length| *length <= REQUEST_BYTES_MAX).map(|length| &input[..length]);
    let request = line.and_then(|line| serde_json::from_slice::<Request>(line).ok());
    if let Some(request) = &request {
        let again = serde_json::to_string(request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&again).as_ref().ok(), Some(request), "{again}");
    }
    let is_verb = !matches!(request, None | Some(Request::Status | Request::Report { .. }));
    // While a verb waits nobody reads on: what follows must fit the buffer of a socket.
    let taken = if is_verb { line.map_or(0, <[u8]>::len) + UNREAD_BYTES_MAX } else { input.len() };
    let input = &input[..input.len().min(taken)];
    HOUSE.with(|house| {
        let (answer, heard) = house.exchange(std::iter::once(input), is_verb);
        let (cut, again) = house.exchange(cuts(input), is_verb);
        assert_eq!(cut, answer, "cut elsewhere");
        assert_eq!(again.len(), heard.len(), "cut elsewhere");
        if line.is_none() && input.len() <= REQUEST_BYTES_MAX {
            assert!(answer.is_empty() && heard.is_empty(), "half a request");
            return 0;
        }
        let said = check(&answer);
        assert_eq!(said["ok"].as_bool().unwrap(), request.is_some(), "{said}");
        assert!(heard.len() <= usize::from(request.is_some()), "{heard:?}");
        let error = said["error"].as_str().map(words_of);
        let verb = heard.first().map(|event| match event {
            Event::VerbRequested { verb, .. } => hash(&std::mem::discriminant(verb)),
            event => hash(&std::mem::discriminant(event)),
        });
        hash(&(error, verb, said.as_object().unwrap().len()))
    })
}

/// One line of JSON that can be shown.
fn check(answer: &[u8]) -> Value {
    assert!(answer.len() <= ANSWER_BYTES_MAX, "{} bytes", answer.len());
    let text = std::str::from_utf8(answer).unwrap();
    let line = text.strip_suffix('\n').expect("a line");
    assert!(line.chars().all(is_plain), "{line:?}");
    serde_json::from_str(line).unwrap()
}
