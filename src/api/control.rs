//! The operator's verbs, and the reports of the clients' hooks, over `<runtime_dir>/control.sock`:
//! one JSON line in, one JSON line out.
//!
//! Only our own user and root are heard. `{"ok":true}` means that the verb has reached the
//! coordinator, not that it was carried out: `status` shows that.

use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
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

use crate::api::exchange::ANSWER_BYTES_MAX;
use crate::api::gate::{Failure, Gate, Protocol, Reply};
use crate::api::socket::{self, SocketFile};
use crate::clock::{self, Clock};
use crate::core::event::{Event, StuckVerb};
use crate::ids::{AccountName, TaskRef};
use crate::quota::report::Wire;
use crate::quota::verdict;
use crate::snapshot::SnapshotCell;

/// One request, its newline included.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
const CLIENTS_MAX: usize = 64;
const MAKE_TIMEOUT: Duration = Duration::from_secs(2);

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
    Reload,
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
        let control = Control { snapshot, reports: reports.clone(), events: events.clone() };
        let gate = Gate::spawn("control", listener, control, events.clone())
            .context("could not start the thread control")?;
        Ok(Self { _gate: gate, file, reports })
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
    events: Sender<Event>,
}

fn lock(reports: &Mutex<Reports>) -> std::sync::MutexGuard<'_, Reports> {
    // Whoever held it when it panicked only read it, or replaced it whole.
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Protocol for Control {
    const REQUEST_BYTES_MAX: usize = REQUEST_BYTES_MAX;
    const CLIENTS_MAX: usize = CLIENTS_MAX;
    const MAKING_MAX: usize = CLIENTS_MAX;
    const MAKE_TIMEOUT: Duration = MAKE_TIMEOUT;

    /// None: all answers are there at once.
    type Maker = OwnedFd;

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

    fn respond(&mut self, request: &[u8]) -> Reply<OwnedFd> {
        let answer = match serde_json::from_slice(request) {
            Ok(request) => self.carry_out(request),
            Err(error) => refusal(&format!("could not read the request: {error}")),
        };
        Reply::Now(line(&answer))
    }

    fn failure(&self, failure: Failure) -> Vec<u8> {
        line(&refusal(match failure {
            Failure::TooLong => "the request is too long",
            Failure::TooSlow => "the request took too long",
            Failure::NoAnswer => "no answer could be made",
            Failure::Stopping => "the daemon is stopping",
        }))
    }
}

impl Control {
    fn carry_out(&self, request: Request) -> Value {
        let event = match request {
            Request::Swap { to } => Event::SwapRequested { to },
            Request::Stuck { how } => Event::StuckResolved(how),
            Request::Reload => Event::ReloadRequested,
            Request::TasksRetry { task } => Event::TaskRetryRequested { task },
            Request::TasksCancel { task } => Event::TaskCancelRequested { task },
            Request::Status => {
                let snapshot = self.snapshot.read();
                return json!({"ok": true, "health": snapshot.health, "status": snapshot.status});
            }
            Request::Report { report } => return self.take_report(*report),
        };
        log::info!("control: {event:?}");
        self.pass_on(event)
    }

    fn take_report(&self, report: Wire) -> Value {
        let reports = lock(&self.reports).clone();
        let now = reports.clock.wall();
        let context =
            verdict::Context { now, zone: reports.zone.as_deref(), patterns: &reports.patterns };
        match report.report(&context) {
            Some(report) => self.pass_on(Event::ReportsReceived(vec![report])),
            None => json!({"ok": true}),
        }
    }

    fn pass_on(&self, event: Event) -> Value {
        match self.events.send(event) {
            Ok(()) => json!({"ok": true}),
            Err(_) => refusal("the daemon is stopping"),
        }
    }
}

fn refusal(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

fn line(answer: &Value) -> Vec<u8> {
    format!("{answer}\n").into_bytes()
}

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no daemon answers on {}; is it running, with this runtime_dir?", path.display())]
    NotRunning { path: PathBuf },
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
            (r#"{"verb":"reload"}"#, Request::Reload),
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
            r#"{"verb":"stop"}"#,
            r#"{"verb":"swap","to":"a;b"}"#,
            r#"{"verb":"swap","to":null,"force":true}"#,
            r#"{"verb":"stuck","how":"later"}"#,
            r#"{"verb":"stuck"}"#,
            r#"{"verb":"tasks_cancel","task":"shop:../t"}"#,
            "{}",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
        }
    }
}
