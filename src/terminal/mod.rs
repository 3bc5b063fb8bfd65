//! The owner of tmux: one thread, one control client, every command with a deadline.
//!
//! Nothing else in the house starts tmux or talks to it. This module reads, creates, starts, types
//! and answers dialogs; it never kills a session, a window or a process of a pane that is not free.

pub mod client;
pub mod command;
pub mod connection;
pub mod create;
pub mod dialog;
pub mod effect;
pub mod encode;
pub mod error;
pub mod launch;
pub mod leader;
pub mod lost_socket;
pub mod orphans;
pub mod owner;
pub mod probe;
pub mod protocol;
pub mod screen;
pub mod tell;

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select, tick};
use rustix::process::geteuid;

use crate::component::{Component, Refused};
use crate::core::action::{LaunchAgent, OrderId};
use crate::core::event::{Event, PaneSeen};
use crate::ids::{PaneId, SessionName};
use crate::terminal::connection::Connection;
use crate::terminal::effect::Fence;
use crate::terminal::encode::PasteLine;
use crate::terminal::error::TerminalError;

/// For one batch. The slowest seen on a loaded machine is 0.7 s, with 500 panes.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// How long an ended client may go unnoticed while nobody asks for anything.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// A question waits behind the orders before it: one batch, one attempt to connect, its own.
const ASK_DEADLINES: u32 = 3;

#[derive(Debug, Clone)]
pub struct Settings {
    /// `None`: the user's default server.
    pub socket: Option<PathBuf>,
    /// The tmux program.
    pub command: String,
    /// Arguments before the command, such as `-f FILE`.
    pub extra_args: Vec<String>,
    /// Start a server that does not run; else it is waited for.
    pub start_server: bool,
    /// For one batch; [`DEADLINE`] unless a test is in a hurry.
    pub deadline: Duration,
    /// Our own binary, which a pane runs as `launch --spec FILE`.
    pub launcher: PathBuf,
    /// Launch files go to `launch/` in it.
    pub runtime_dir: PathBuf,
}

impl Settings {
    fn socket_path(&self) -> PathBuf {
        let default = || {
            let base = std::env::var_os("TMUX_TMPDIR");
            probe::default_socket(base.as_deref(), geteuid().as_raw())
        };
        self.socket.clone().unwrap_or_else(default)
    }
}

#[derive(Debug)]
pub enum Order {
    /// → `SessionCreated`
    Create {
        order: OrderId,
        session: SessionName,
        cwd: PathBuf,
    },
    /// → `AgentLaunched`
    Launch(LaunchAgent),
    /// → `PaneRead`
    ReadPane {
        order: OrderId,
        session: SessionName,
        pane: PaneId,
    },
    /// Answer the dialog that stands in this pane, if it is one that may be → `DialogHandled`
    HandleDialog {
        order: OrderId,
        session: SessionName,
        pane: PaneId,
        fence: u64,
    },
    Tell {
        session: SessionName,
        text: String,
    },
    Paste {
        session: SessionName,
        pane: PaneId,
        fence: u64,
        line: PasteLine,
        reply: Sender<Result<(), String>>,
    },
    List {
        reply: Sender<Result<Vec<PaneSeen>, TerminalError>>,
    },
    Capture {
        panes: Vec<PaneId>,
        reply: Sender<Result<Vec<(PaneId, String)>, TerminalError>>,
    },
    ClaimOwner {
        identity: String,
        reply: Sender<Result<(), TerminalError>>,
    },
}

/// Ends when it and every [`Handle`] of it are dropped, so sensors go first.
pub struct Terminal {
    component: Component<Order>,
    deadline: Duration,
}

/// Asks the terminal and waits for the answer; for sensors.
#[derive(Clone)]
pub struct Handle {
    inbox: Sender<Order>,
    /// For one question, however long the queue before it.
    limit: Duration,
}

impl Terminal {
    /// Connects at once and reports `TerminalConnected` or `TerminalLost`; never waits for it.
    pub fn spawn(settings: Settings, events: Sender<Event>) -> anyhow::Result<Self> {
        let deadline = settings.deadline;
        let component = Component::spawn("terminal", events, move |orders, events| {
            run(&orders, Connection::new(settings, events.clone()));
            Ok(())
        })?;
        Ok(Self { component, deadline })
    }

    pub fn order(&self, order: Order) -> Result<(), Refused> {
        self.component.order(order)
    }

    pub fn handle(&self) -> Handle {
        Handle { inbox: self.component.inbox(), limit: self.deadline * ASK_DEADLINES }
    }
}

impl Handle {
    /// Every pane of the server but our own.
    pub fn list(&self) -> Result<Vec<PaneSeen>, TerminalError> {
        self.ask(|reply| Order::List { reply })
    }

    /// The visible text of each pane that still exists; at most 1 MiB each.
    pub fn capture(&self, panes: &[PaneId]) -> Result<Vec<(PaneId, String)>, TerminalError> {
        let panes = panes.to_vec();
        self.ask(|reply| Order::Capture { panes, reply })
    }

    /// Takes the server for `identity` (`pid@started_ticks:link`), also after it is replaced.
    /// Errors: `Owned` when another living process holds it.
    pub fn claim_owner(&self, identity: &str) -> Result<(), TerminalError> {
        let identity = identity.to_owned();
        self.ask(|reply| Order::ClaimOwner { identity, reply })
    }

    fn ask<T>(
        &self,
        order: impl FnOnce(Sender<Result<T, TerminalError>>) -> Order,
    ) -> Result<T, TerminalError> {
        let closed = |why| TerminalError::Closed { why };
        let (reply, answer) = bounded(1);
        self.inbox.try_send(order(reply)).map_err(|error| match error {
            TrySendError::Full(_) => closed("its inbox is full"),
            TrySendError::Disconnected(_) => closed("its thread has ended"),
        })?;
        let answer = answer.recv_timeout(self.limit);
        answer.map_err(|_| closed("it did not get to this one in time"))?
    }
}

fn run(orders: &Receiver<Order>, mut connection: Connection) {
    connection.check();
    let idle = tick(IDLE_CHECK_INTERVAL);
    loop {
        select! {
            recv(orders) -> order => match order {
                Ok(order) => serve(&mut connection, order),
                Err(_) => return,
            },
            recv(idle) -> _ => connection.check(),
        }
    }
}

/// INVARIANT: whoever asked may have stopped waiting; an answer that nobody takes is dropped.
fn serve(connection: &mut Connection, order: Order) {
    match order {
        Order::Create { order, session, cwd } => {
            let result = create::create(connection, &session, &cwd);
            connection.report(Event::SessionCreated { order, session, result });
        }
        Order::Launch(order) => {
            let result = launch::launch(connection, &order);
            let LaunchAgent { order, session, .. } = order;
            if let Some(result) = result {
                connection.report(Event::AgentLaunched { order, session, result });
            }
        }
        Order::ReadPane { order, session, pane } => {
            let result = screen::read_pane(connection, &session, pane);
            connection.report(Event::PaneRead { order, session, result });
        }
        Order::HandleDialog { order, session, pane, fence } => {
            let fence = Fence { session: &session, number: fence };
            let result = dialog::handle(connection, fence, pane);
            connection.report(Event::DialogHandled { order, session, result });
        }
        Order::Tell { session, text } => tell::tell(connection, &session, &text),
        Order::Paste { session, pane, fence, line, reply } => {
            let fence = Fence { session: &session, number: fence };
            let _ = reply.send(tell::paste(connection, fence, pane, &line));
        }
        Order::List { reply } => drop(reply.send(screen::list(connection))),
        Order::Capture { panes, reply } => {
            let _ = reply.send(screen::capture(connection, &panes));
        }
        Order::ClaimOwner { identity, reply } => {
            let _ = reply.send(connection.claim(&identity));
        }
    }
}
