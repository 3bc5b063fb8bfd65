//! The connection to the tmux server: made, kept, made again, and its loss reported once.
//!
//! A read may be repeated after a break; an effect never is, its caller finds out what became
//! of it.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::clock::instant;
use crate::core::event::Event;
use crate::terminal::Settings;
use crate::terminal::client::{BATCH_EXCHANGES_MAX, Broken, Client, OWN_SESSION};
use crate::terminal::command::{Command, Exchange};
use crate::terminal::error::TerminalError;
use crate::terminal::lost_socket;
use crate::terminal::orphans;
use crate::terminal::owner::{self, ClaimError};
use crate::terminal::probe;
use crate::terminal::protocol::{Block, Reply};

/// Between attempts to connect while nobody asks for anything.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(100);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

pub struct Connection {
    pub settings: Settings,
    events: Sender<Event>,
    client: Option<Client>,
    /// Set again on every new server once it has been claimed.
    owner: Option<String>,
    /// What the core believes; `None` before the first report.
    reported: Option<Reported>,
    server_pid: Option<i32>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    Connected,
    Lost,
}

struct Retry {
    error: TerminalError,
    failed_at: Instant,
    wait: Duration,
}

/// What became of an effect that was sent once.
pub enum Sent {
    Answered(Reply),
    /// It was never sent.
    Unsent(TerminalError),
    /// It was sent; whether it has run or will run is not known.
    Unanswered(TerminalError),
}

impl Connection {
    pub fn new(settings: Settings, events: Sender<Event>) -> Self {
        Self {
            settings,
            events,
            client: None,
            owner: None,
            reported: None,
            server_pid: None,
            retry: None,
        }
    }

    /// Notices an end that nobody has run into yet, and tries again what has failed.
    pub fn check(&mut self) {
        if let Some(client) = &mut self.client {
            let Err(broken) = client.check() else { return };
            self.give_up(broken);
        }
        let due = |retry: &Retry| instant() >= retry.failed_at + retry.wait;
        if self.retry.as_ref().is_none_or(due) {
            let _ = self.connect();
        }
    }

    /// A batch of any length that changes nothing. Repeated once when the client had ended.
    pub fn read(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, TerminalError> {
        let mut replies = Vec::with_capacity(batch.len());
        for part in batch.chunks(BATCH_EXCHANGES_MAX) {
            replies.extend(self.read_part(part)?);
        }
        Ok(replies)
    }

    fn read_part(&mut self, part: &[Exchange]) -> Result<Vec<Reply>, TerminalError> {
        let limit = self.settings.deadline;
        match self.client()?.run(part, limit) {
            Ok(replies) => Ok(replies),
            Err(broken @ Broken::TimedOut) => Err(self.give_up(broken)),
            Err(broken @ Broken::Gone(_)) => {
                self.give_up(broken);
                self.connect()?.run(part, limit).map_err(|broken| self.give_up(broken))
            }
        }
    }

    /// One exchange of one read; its reply.
    pub fn read_one(&mut self, exchange: Exchange) -> Result<Reply, TerminalError> {
        let replies = self.read(&[exchange])?;
        Ok(replies.into_iter().next().unwrap_or_default())
    }

    /// One exchange that changes something; never repeated.
    pub fn send(&mut self, exchange: &Exchange) -> Sent {
        let limit = self.settings.deadline;
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Sent::Unsent(error),
        };
        match client.run(std::slice::from_ref(exchange), limit) {
            Ok(replies) => Sent::Answered(replies.into_iter().next().unwrap_or_default()),
            Err(broken) => Sent::Unanswered(self.give_up(broken)),
        }
    }

    /// Takes the server for `identity`, now and whenever it is replaced.
    pub fn claim(&mut self, identity: &str) -> Result<(), TerminalError> {
        let limit = self.settings.deadline;
        let server = self.server_name();
        // Before the first try: a server that is not up yet is claimed when it is.
        self.owner = Some(identity.to_owned());
        let result = owner::claim(self.client()?, limit, identity, &server);
        match result {
            Ok(()) => Ok(()),
            Err(ClaimError::Broken(broken)) => Err(self.give_up(broken)),
            Err(ClaimError::Terminal(error)) => Err(error),
        }
    }

    /// A client, connecting when there is none. While the last failure is fresh it stands:
    /// behind a hung server each attempt costs a whole deadline.
    fn client(&mut self) -> Result<&mut Client, TerminalError> {
        if self.client.is_none() {
            if let Some(retry) = &self.retry
                && instant() < retry.failed_at + RETRY_WAIT_MIN
            {
                return Err(retry.error.clone());
            }
            return self.connect();
        }
        Ok(self.client.as_mut().expect("looked at just above"))
    }

    /// Connects now, however fresh the last failure.
    pub fn connect(&mut self) -> Result<&mut Client, TerminalError> {
        match self.try_connect() {
            Ok((client, server_pid)) => {
                self.retry = None;
                self.report_connected(server_pid);
                Ok(self.client.insert(client))
            }
            Err(error) => {
                let wait = self
                    .retry
                    .as_ref()
                    .map_or(RETRY_WAIT_MIN, |retry| (retry.wait * 2).min(RETRY_WAIT_MAX));
                self.retry = Some(Retry { error: error.clone(), failed_at: instant(), wait });
                self.report_lost(&error.to_string());
                Err(error)
            }
        }
    }

    fn try_connect(&self) -> Result<(Client, i32), TerminalError> {
        let limit = self.settings.deadline;
        self.recall_server()?;
        let mut client = Client::start(&self.settings)?;
        let replies = client.run(&handshake(), limit).map_err(|broken| match broken {
            Broken::Gone(why) => {
                self.error_of(Broken::Gone(orphans::sent_away(why, &self.settings)))
            }
            Broken::TimedOut => self.error_of(broken),
        })?;
        let answer = replies.iter().flatten().last();
        let hello = answer.map(Block::lossy).unwrap_or_default();
        if !answer.is_some_and(|block| block.ok) {
            // Somebody ended our session before we were ready.
            return Err(self.error_of(Broken::Gone(hello)));
        }
        let (pid, version) = hello.split_once(' ').unwrap_or_default();
        probe::check_version(&self.server_name(), version)?;
        let server_pid = pid
            .parse()
            .map_err(|_| TerminalError::Refused { what: "its own pid", why: hello.clone() })?;
        if let Some(identity) = &self.owner {
            owner::claim(&mut client, limit, identity, &self.server_name()).map_err(|error| {
                match error {
                    ClaimError::Broken(broken) => self.error_of(broken),
                    ClaimError::Terminal(error) => error,
                }
            })?;
        }
        Ok((client, server_pid))
    }

    /// INVARIANT: no second server is started beside one that has only lost its socket file.
    fn recall_server(&self) -> Result<(), TerminalError> {
        let socket = self.settings.socket_path();
        let unseen = |error: io::Error| TerminalError::Unreachable {
            server: self.server_name(),
            why: format!("whether it has lost its socket file cannot be told: {error}"),
        };
        let Some(orphan) = lost_socket::orphan(&socket).map_err(unseen)? else { return Ok(()) };
        let pid = orphan.pid;
        let asked = match lost_socket::recall(orphan, &socket) {
            Ok(()) => format!("process {pid}, which runs it, is asked to make it anew"),
            Err(error) => format!("process {pid} runs it, and could not be asked for it: {error}"),
        };
        let why = format!("its socket file was removed; {asked}");
        log::warn!("{}: {why}", self.server_name());
        Err(TerminalError::Unreachable { server: self.server_name(), why })
    }

    /// A client that broke is dropped. A hung server is reported at once; an ended client only
    /// when the next attempt fails too.
    fn give_up(&mut self, broken: Broken) -> TerminalError {
        self.client = None;
        let hung = matches!(broken, Broken::TimedOut);
        let error = self.error_of(broken);
        log::debug!("tmux client given up: {error}");
        if hung {
            self.report_lost(&error.to_string());
        }
        error
    }

    fn error_of(&self, broken: Broken) -> TerminalError {
        let server = self.server_name();
        match broken {
            Broken::TimedOut => TerminalError::TimedOut { server, limit: self.settings.deadline },
            Broken::Gone(why) => TerminalError::Unreachable { server, why },
        }
    }

    pub fn server_name(&self) -> String {
        match &self.settings.socket {
            Some(socket) => format!("the tmux server on {}", socket.display()),
            None => "the user's default tmux server".to_owned(),
        }
    }

    fn report_connected(&mut self, server_pid: i32) {
        let before = self.server_pid.replace(server_pid);
        if let Some(before) = before.filter(|&before| before != server_pid) {
            let reason = format!("tmux server {before} is gone, {server_pid} took its place");
            self.report_lost(&reason);
        }
        if self.reported != Some(Reported::Connected) {
            self.reported = Some(Reported::Connected);
            self.report(Event::TerminalConnected);
        }
    }

    fn report_lost(&mut self, reason: &str) {
        if self.reported != Some(Reported::Lost) {
            self.reported = Some(Reported::Lost);
            self.report(Event::TerminalLost { reason: reason.to_owned() });
        }
    }

    /// INVARIANT: the coordinator may be gone already at shutdown; then nobody asks.
    pub fn report(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Our session must outlive its client: a tmux 3.3a server that destroys a session whose control
/// client has just ended can still look into it, and dies with everything in it. Measured: 19
/// servers lost in 100 kills of the daemon with `destroy-unattached on`, none with `off`. And with
/// `exit-unattached on` that end is the server's, if nobody else is attached, although all sessions
/// are to stay. A client whose session was ended must end as well, whatever the operator has set: tmux
/// would move it to a session of the fleet, where it would count as somebody who looks.
fn handshake() -> [Exchange; 1] {
    let own = format!("={OWN_SESSION}:");
    [Exchange::plain(&[
        Command::new("set-option").option("-t", &own).flag("destroy-unattached off"),
        Command::new("set-option").option("-t", &own).flag("detach-on-destroy on"),
        Command::new("set-option").flag("-s exit-unattached off"),
        Command::new("display-message").option("-p", "#{pid} #{version}"),
    ])]
}
