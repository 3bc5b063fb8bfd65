//! The operator's verbs, and the reports of the clients' hooks, over `<runtime_dir>/control.sock`:
//! one JSON line in, one JSON line out.
//!
//! Only our own user and root are heard. A verb is answered with what the core says to it, by the
//! coordinator, through [`crate::api::asks`]; `status` and reports wait for nobody.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::Sender;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::asks::{Asks, NoAsk, Pending, line, refusal};
use crate::api::exchange::ANSWER_BYTES_MAX;
use crate::api::gate::{Failure, Gate, Protocol, Reply};
use crate::api::socket::{self, SocketFile};
use crate::clock::{self, Clock};
use crate::core::action::AskId;
use crate::core::event::{AccountVerb, Event, StuckVerb, Verb};
use crate::harmless;
use crate::ids::{AccountName, SessionName, TaskRef};
use crate::quota::report::Wire;
use crate::quota::verdict;
use crate::snapshot::SnapshotCell;

/// One request, its newline included.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Verbs that may wait for the coordinator at one time; those beyond are refused.
pub const ASKS_MAX: usize = 128;

/// For the coordinator to answer a verb. It takes milliseconds; over it the coordinator hangs.
pub const VERB_TIMEOUT: Duration = Duration::from_secs(5);

/// For the whole of a request to the daemon: longer than it lets a verb wait, so that it can say so.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// Places beside those of waiting verbs, so that `status` and reports find one.
const OTHERS_MAX: usize = 64;

/// What is wrong with a request that cannot be read.
const ERROR_CHARS_MAX: usize = 400;

const STOPPING: &str = "the daemon is stopping";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// `to: null` leaves the choice of the account to the daemon.
    Swap {
        to: Option<AccountName>,
    },
    Stuck {
        how: StuckVerb,
    },
    Account {
        how: AccountVerb,
        account: AccountName,
    },
    /// `for_ms: null` has no end.
    Pause {
        for_ms: Option<u64>,
    },
    /// `session: null`: all of the pool.
    Drain {
        session: Option<SessionName>,
    },
    /// `session: null`: the pause, and all drains.
    Resume {
        session: Option<SessionName>,
    },
    Reload,
    Stop,
    Status,
    /// Another try for a task in the daemon's hands, above all one of state `unknown`.
    TasksRetry {
        task: TaskRef,
    },
    /// An end for a task in the daemon's hands.
    TasksCancel {
        task: TaskRef,
    },
    /// What a hook of a client has to say. One of a kind that we do not know is taken and dropped.
    Report {
        report: Box<Wire>,
    },
}

/// What the texts in reports are read with.
#[derive(Debug, Clone)]
pub struct Reports {
    pub clock: Clock,
    /// The zone in which the clients print resets; `None` = UTC.
    pub zone: Option<String>,
    /// `quota.patterns`
    pub patterns: Vec<String>,
}

/// Where the socket is.
pub fn socket_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control.sock")
}

/// The listening side.
///
/// INVARIANT: field order is shutdown order; the name goes when nobody answers any more.
pub struct Server {
    _gate: Gate,
    file: SocketFile,
    reports: Arc<Mutex<Reports>>,
    asks: Arc<Asks>,
}

impl Server {
    pub fn spawn(
        runtime_dir: &Path,
        snapshot: SnapshotCell,
        reports: Reports,
        events: &Sender<Event>,
    ) -> anyhow::Result<Self> {
        let (listener, file) = socket::listen(&socket_path(runtime_dir))?;
        let reports = Arc::new(Mutex::new(reports));
        let asks = Arc::new(Asks::new(ASKS_MAX));
        let events = events.clone();
        let control = Control {
            snapshot,
            reports: reports.clone(),
            asks: asks.clone(),
            events: events.clone(),
        };
        let gate = Gate::spawn("control", listener, control, events)
            .context("could not start the thread control")?;
        Ok(Self { _gate: gate, file, reports, asks })
    }

    /// What became of a verb: done, and what follows; or why not. Never waits. Whoever asked may
    /// have gone meanwhile.
    pub fn answer(&self, ask: AskId, result: Result<String, String>) {
        self.asks.answer(ask, result);
    }

    /// Verbs that wait for their answer.
    pub fn asks_waiting(&self) -> usize {
        self.asks.waiting()
    }

    /// From now on `quota.patterns` are these.
    pub fn reconfigure(&self, patterns: &[String]) {
        patterns.clone_into(&mut lock(&self.reports).patterns);
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

struct Control {
    snapshot: SnapshotCell,
    reports: Arc<Mutex<Reports>>,
    asks: Arc<Asks>,
    events: Sender<Event>,
}

fn lock(reports: &Mutex<Reports>) -> std::sync::MutexGuard<'_, Reports> {
    // Whoever held it when it panicked only read it, or replaced it whole.
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Protocol for Control {
    const REQUEST_BYTES_MAX: usize = REQUEST_BYTES_MAX;
    const CLIENTS_MAX: usize = ASKS_MAX + OTHERS_MAX;
    const MAKE_TIMEOUT: Duration = VERB_TIMEOUT;

    type Maker = Pending;

    fn admits(&self, client: BorrowedFd<'_>) -> bool {
        match socket_peercred(client) {
            Ok(peer) if peer.uid.is_root() || peer.uid == rustix::process::geteuid() => true,
            Ok(peer) => {
                log::warn!("control: user {} was not heard", peer.uid.as_raw());
                false
            }
            Err(error) => {
                log::warn!("control: a client could not be identified: {error}");
                false
            }
        }
    }

    fn complete(&self, received: &[u8]) -> Option<usize> {
        received.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
    }

    fn respond(&mut self, request: &[u8]) -> Reply<Pending> {
        match serde_json::from_slice(request) {
            Ok(request) => self.carry_out(request),
            Err(error) => {
                // It quotes the request, which somebody else than its sender may have written.
                let error = harmless::line(&error.to_string(), ERROR_CHARS_MAX);
                now(&refusal(&format!("could not read the request: {error}")))
            }
        }
    }

    fn failure(&self, failure: Failure) -> Vec<u8> {
        line(&refusal(&match failure {
            Failure::TooLong => "the request is too long".to_owned(),
            Failure::TooSlow => "the request took too long".to_owned(),
            Failure::NoAnswer => format!(
                "no answer from the coordinator within {} s; what was asked may still be done",
                VERB_TIMEOUT.as_secs()
            ),
            Failure::Stopping => STOPPING.to_owned(),
        }))
    }
}

impl Control {
    fn carry_out(&self, request: Request) -> Reply<Pending> {
        let verb = match request {
            Request::Swap { to } => Verb::Swap { to },
            Request::Stuck { how } => Verb::Stuck(how),
            Request::Account { how, account } => Verb::Account { verb: how, account },
            Request::Pause { for_ms } => Verb::Pause { length: for_ms.map(Duration::from_millis) },
            Request::Drain { session } => Verb::Drain { session },
            Request::Resume { session } => Verb::Resume { session },
            Request::Reload => Verb::Reload,
            Request::Stop => Verb::Stop,
            Request::TasksRetry { task } => Verb::TaskRetry { task },
            Request::TasksCancel { task } => Verb::TaskCancel { task },
            Request::Status => {
                let snapshot = self.snapshot.read();
                let (health, status) = (&snapshot.health, &snapshot.status);
                return now(&json!({"ok": true, "health": health, "status": status}));
            }
            Request::Report { report } => return now(&self.take_report(*report)),
        };
        log::info!("control: {verb:?}");
        match self.ask(verb) {
            Ok(pending) => Reply::From(pending),
            Err(error) => now(&refusal(&error)),
        }
    }

    fn ask(&self, verb: Verb) -> Result<Pending, String> {
        let (ask, pending) = Asks::open(&self.asks).map_err(|error| {
            log::warn!("control: {verb} was not passed on: {error}");
            match error {
                NoAsk::Full => {
                    format!("{ASKS_MAX} verbs wait for the coordinator already; ask again later")
                }
                NoAsk::Io(error) => format!("could not wait for the coordinator: {error}"),
            }
        })?;
        let event = Event::VerbRequested { verb, ask: Some(ask) };
        self.events.send(event).map_err(|_| STOPPING.to_owned())?;
        Ok(pending)
    }

    fn take_report(&self, report: Wire) -> Value {
        let reports = lock(&self.reports).clone();
        let now = reports.clock.wall();
        let context =
            verdict::Context { now, zone: reports.zone.as_deref(), patterns: &reports.patterns };
        match report.report(&context) {
            Some(report) => match self.events.send(Event::ReportsReceived(vec![report])) {
                Ok(()) => json!({"ok": true}),
                Err(_) => refusal(STOPPING),
            },
            None => json!({"ok": true}),
        }
    }
}

fn now(answer: &Value) -> Reply<Pending> {
    Reply::Now(line(answer))
}

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no daemon answers on {}; is it running, with this runtime_dir?", path.display())]
    NotRunning { path: PathBuf },
    /// It ended, or was killed, in between.
    #[error("the daemon behind {} ended without an answer; what was asked may be done", path.display())]
    Gone { path: PathBuf },
    #[error("could not {doing} the daemon on {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// The daemon's own words.
    #[error("{0}")]
    Refused(String),
}

/// Asks the daemon behind the socket at `path`; the whole takes at most `timeout`.
///
/// Gives the answer, whose `ok` is true.
pub fn ask(path: &Path, request: &Request, timeout: Duration) -> Result<Value, AskError> {
    let failed = |doing| move |source| AskError::Io { doing, path: path.to_owned(), source };
    let deadline = clock::instant() + timeout;
    let left = || {
        let left = deadline.saturating_duration_since(clock::instant());
        match left.is_zero() {
            true => Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
            false => Ok(left),
        }
    };
    let mut stream = connect(path, timeout)?;
    let request =
        serde_json::to_string(request).map_err(|error| AskError::Refused(error.to_string()))?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed("ask"))?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    while !answer.ends_with(b"\n") && answer.len() <= ANSWER_BYTES_MAX {
        let length = left()
            .and_then(|left| stream.set_read_timeout(Some(left)))
            .and_then(|()| stream.read(&mut chunk))
            .map_err(failed("hear from"))?;
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..length]);
    }
    if answer.is_empty() {
        return Err(AskError::Gone { path: path.to_owned() });
    }
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|error| failed("understand")(error.into()))?;
    match answer["ok"].as_bool() {
        Some(true) => Ok(answer),
        _ => {
            Err(AskError::Refused(answer["error"].as_str().unwrap_or("no reason given").to_owned()))
        }
    }
}

/// The send timeout also bounds the wait for a place in the daemon's backlog.
fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, AskError> {
    let stream = || {
        let stream = socket::stream_socket()?;
        set_socket_timeout(&stream, Timeout::Send, Some(timeout))?;
        rustix::net::connect(&stream, &SocketAddrUnix::new(path)?)?;
        Ok(UnixStream::from(stream))
    };
    stream().map_err(|error| match error {
        Errno::NOENT | Errno::CONNREFUSED => AskError::NotRunning { path: path.to_owned() },
        error => AskError::Io { doing: "reach", path: path.to_owned(), source: error.into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_these() {
        for (json, request) in [
            (r#"{"verb":"swap","to":null}"#, Request::Swap { to: None }),
            (
                r#"{"verb":"swap","to":"backup"}"#,
                Request::Swap { to: Some("backup".parse().unwrap()) },
            ),
            (r#"{"verb":"stuck","how":"rollback"}"#, Request::Stuck { how: StuckVerb::Rollback }),
            (
                r#"{"verb":"account","how":"hold","account":"backup"}"#,
                Request::Account { how: AccountVerb::Hold, account: "backup".parse().unwrap() },
            ),
            (r#"{"verb":"pause","for_ms":7200000}"#, Request::Pause { for_ms: Some(7_200_000) }),
            (r#"{"verb":"pause","for_ms":null}"#, Request::Pause { for_ms: None }),
            (
                r#"{"verb":"drain","session":"auto-11"}"#,
                Request::Drain { session: Some("auto-11".parse().unwrap()) },
            ),
            (r#"{"verb":"resume","session":null}"#, Request::Resume { session: None }),
            (r#"{"verb":"reload"}"#, Request::Reload),
            (r#"{"verb":"stop"}"#, Request::Stop),
            (r#"{"verb":"status"}"#, Request::Status),
            (
                r#"{"verb":"tasks_retry","task":"shop:t-1"}"#,
                Request::TasksRetry { task: "shop:t-1".parse().unwrap() },
            ),
            (
                r#"{"verb":"tasks_cancel","task":"shop:t-1"}"#,
                Request::TasksCancel { task: "shop:t-1".parse().unwrap() },
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), json);
            assert_eq!(serde_json::from_str::<Request>(json).unwrap(), request);
        }
        for json in [
            r#"{"verb":"halt"}"#,
            r#"{"verb":"pause","for_ms":-1}"#,
            r#"{"verb":"drain","session":"a b"}"#,
            r#"{"verb":"swap","to":"a;b"}"#,
            r#"{"verb":"swap","to":null,"force":true}"#,
            r#"{"verb":"stuck","how":"later"}"#,
            r#"{"verb":"stuck"}"#,
            r#"{"verb":"account","how":"sell","account":"backup"}"#,
            r#"{"verb":"account","how":"hold","account":null}"#,
            r#"{"verb":"tasks_cancel","task":"shop:../t"}"#,
            "{}",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
        }
    }
}
