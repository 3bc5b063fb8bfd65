//! Everything that can happen to the core. Past participles; facts, never wishes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::core::action::{AskId, OrderId};
use crate::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use crate::moment::Wall;
use crate::quota::report::Report;
use crate::quota::transcript::Ending;
use crate::quota::verdict::Reading;
use crate::task::Offer;

#[derive(Debug, Clone)]
pub enum Event {
    /// All panes of the tmux server, ours or not.
    SessionsObserved {
        panes: Vec<PaneSeen>,
    },
    /// All agents in the panes last named by `Action::WatchAgents`.
    AgentsObserved(AgentsObserved),
    /// Panes that changed since they were last read, and those worth a second look.
    PanesObserved(Vec<PaneReading>),
    /// Conversation files of agents that say something new at their end.
    TranscriptsObserved(Vec<TranscriptSeen>),
    /// What the clients' hooks reported, in the order in which they ran.
    ReportsReceived(Vec<Report>),
    /// The tmux server cannot be reached; `TerminalConnected` ends that.
    TerminalLost {
        reason: String,
    },
    TerminalConnected,

    TargetChecked {
        order: OrderId,
        result: Result<(), String>,
    },
    /// `survivors` could not be ended and why. All others that were named are gone; of those in
    /// `left_behind` something that they had started is not, and why.
    AgentsStopped {
        order: OrderId,
        survivors: Vec<(ProcessRef, String)>,
        left_behind: Vec<(ProcessRef, String)>,
    },
    /// `Err`: it could not be asked, so nobody can tell.
    AccountProbed {
        order: OrderId,
        account: AccountName,
        result: Result<ProbeEnd, String>,
    },
    LinkFlipped {
        order: OrderId,
        result: Result<(), String>,
    },
    SessionCreated {
        order: OrderId,
        session: SessionName,
        result: Result<PaneId, String>,
    },
    AgentLaunched {
        order: OrderId,
        session: SessionName,
        result: Result<PaneId, String>,
    },
    /// Ids in rows `claude … --resume <uuid>` of one pane, top to bottom.
    PaneRead {
        order: OrderId,
        session: SessionName,
        result: Result<Vec<ConversationId>, String>,
    },

    /// The head of the queue has changed.
    TasksOffered(TasksOffered),
    /// `Ok`: the marker is there and ours, and the task will run in this conversation.
    TaskClaimed {
        order: OrderId,
        task: TaskRef,
        result: Result<ConversationId, String>,
    },
    TaskReleased {
        order: OrderId,
        task: TaskRef,
        result: Result<(), String>,
    },
    /// The result is in `done/` or `failed/`, and nothing of the task is in the inbox.
    TaskClosed {
        order: OrderId,
        task: TaskRef,
        result: Result<(), String>,
    },
    SignalsCleared {
        order: OrderId,
        session: SessionName,
        result: Result<(), String>,
    },
    /// Signal files that are there.
    SignalsSeen(Vec<SignalSeen>),
    /// What a conversation file holds, whether its agent lives or not; `None`: there is no such
    /// file, or no prompt in it.
    ConversationRead {
        order: OrderId,
        session: SessionName,
        result: Result<Option<Box<LastWords>>, String>,
    },
    DialogHandled {
        order: OrderId,
        session: SessionName,
        result: Result<DialogEnd, String>,
    },
    /// The processes that this agent started have used processor time worth mentioning.
    ToolsWorked {
        session: SessionName,
        process: ProcessRef,
    },
    /// `ask`: somebody waits to be told what became of it → `Action::Answer`.
    VerbRequested {
        verb: Verb,
        ask: Option<AskId>,
    },
    ConfigReloaded(Arc<Config>),
    ConfigRejected {
        problems: Vec<String>,
    },
    StopRequested,

    ComponentExited {
        name: String,
        error: Option<String>,
    },
    /// The moment given by `next_wakeup` has come.
    DeadlineReached,
}

/// The head of the queue: who may be claimed now, the most urgent and oldest first, and what else
/// lies there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TasksOffered {
    /// Bounded; of one project a few more than `dispatcher.per_project`.
    pub offers: Vec<Offer>,
    pub counts: QueueCounts,
    /// Why the queues are only polled; `None` while changes are notified.
    pub poll_only: Option<String>,
    /// The last ones that could never run and so were moved to `failed/`, oldest first; bounded.
    pub hopeless: Vec<HopelessTask>,
}

/// A task that no agent was given: its file is wrong, or what it waits for can never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopelessTask {
    pub task: TaskRef,
    pub reason: String,
    /// When it was moved away.
    pub at: Wall,
}

/// Tasks in all inboxes that are not in our hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct QueueCounts {
    pub ready: usize,
    /// They wait for other tasks.
    pub blocked: usize,
    /// Their `not_before` lies ahead.
    pub later: usize,
    /// Somebody else's marker lies beside them.
    pub foreign: usize,
    /// `needs_claude_code: false`.
    pub not_for_us: usize,
    /// Links, devices, too large, or with a name that is none.
    pub refused: usize,
}

/// One file `agent-done-<session>` or `agent-failed-<session>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSeen {
    pub session: SessionName,
    pub done: bool,
    /// When the file was last written.
    pub at: Wall,
    /// Its first line, shortened; empty for an empty file.
    pub text: String,
}

/// What a conversation says at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWords {
    pub ending: Ending,
    /// The model's last text, at most 2 000 characters from its end.
    pub text: Option<String>,
}

/// What became of a dialog that stood in an agent's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialogEnd {
    /// Keys were sent; which dialog it was.
    Answered(String),
    /// No key was sent: not one that may be answered. The first rows of the screen.
    Left { dialog: String, rows: Vec<String> },
    /// No dialog stands there any more.
    Gone,
}

/// What one headless request to an account came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEnd {
    /// The model has answered.
    Answered,
    /// The plan refused it, or its login fails: the reading of the client's words.
    Refused(Reading),
}

/// What an operator wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `to: None` leaves the choice of the account to us.
    Swap {
        to: Option<AccountName>,
    },
    Stuck(StuckVerb),
    Account {
        verb: AccountVerb,
        account: AccountName,
    },
    /// Another try for a task that waits for a decision.
    TaskRetry {
        task: TaskRef,
    },
    TaskCancel {
        task: TaskRef,
    },
    /// Nothing new is begun until it is over.
    Pause {
        length: Option<Duration>,
    },
    /// No more tasks for this session; `None`: for all of the pool.
    Drain {
        session: Option<SessionName>,
    },
    /// The end of a drain; `None`: of the pause and of all drains.
    Resume {
        session: Option<SessionName>,
    },
    Reload,
    /// As TERM does.
    Stop,
}

/// Nobody waits for an answer.
impl From<Verb> for Event {
    fn from(verb: Verb) -> Self {
        Event::VerbRequested { verb, ask: None }
    }
}

/// As it is typed; of a swap without its target.
impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verb::Swap { .. } => f.write_str("swap"),
            Verb::Stuck(StuckVerb::Rollback) => f.write_str("swap --rollback"),
            Verb::Stuck(StuckVerb::Resume) => f.write_str("swap --resume"),
            Verb::Stuck(StuckVerb::Clear) => f.write_str("swap --clear"),
            Verb::Account { verb: AccountVerb::Hold, account } => {
                write!(f, "account hold {account}")
            }
            Verb::Account { verb: AccountVerb::Release, account } => {
                write!(f, "account release {account}")
            }
            Verb::Account { verb: AccountVerb::Pin, account } => write!(f, "account pin {account}"),
            Verb::TaskRetry { task } => write!(f, "tasks retry {task}"),
            Verb::TaskCancel { task } => write!(f, "tasks cancel {task}"),
            Verb::Pause { .. } => f.write_str("pause"),
            Verb::Drain { session: None } => f.write_str("drain"),
            Verb::Drain { session: Some(session) } => write!(f, "drain {session}"),
            Verb::Resume { session: None } => f.write_str("resume"),
            Verb::Resume { session: Some(session) } => write!(f, "resume {session}"),
            Verb::Reload => f.write_str("reload"),
            Verb::Stop => f.write_str("stop"),
        }
    }
}

/// What an operator decides about an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountVerb {
    /// Nothing goes there until it is released.
    Hold,
    /// Whatever stands against it is over: its hold, its pin, a failed login, a limit.
    Release,
    /// This one and no other, until it is released.
    Pin,
}

/// How an operator ends the sticky state `Stuck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckVerb {
    /// Try the way back again.
    Rollback,
    /// Try the way forward again.
    Resume,
    /// The operator has put things right by hand; take the link as it is.
    Clear,
}

/// One row of `list-panes -a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaneSeen {
    /// As tmux names it; may be a session that is not ours.
    pub session: String,
    /// When that session was made, to the second below.
    pub session_made: Wall,
    pub pane: PaneId,
    /// The pane's first process.
    pub leader_pid: i32,
    pub dead: bool,
    /// Someone scrolls in it (copy mode).
    pub in_mode: bool,
    /// The pane a person sees first in its session.
    pub active: bool,
    /// Clients attached to its session.
    pub attached: u32,
    /// When a person last typed in its session, at the latest: what tmux calls the activity of the
    /// clients attached to it. `None` while nobody is.
    pub typed_at: Option<Wall>,
    /// What the program in it has named it; the client shows its state there.
    pub title: String,
    /// `@failover_fence`; `None` when never set.
    pub fence: Option<u64>,
    /// Differs whenever the pane's text may differ.
    pub stamp: PaneStamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaneStamp {
    /// Wall seconds of the last output; a second in which we looked may have more to come.
    pub activity_s: i64,
    pub history_size: u64,
    pub cursor: (u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsObserved {
    /// Set when the core asked for this look; `None` for the sensor's own.
    pub order: Option<OrderId>,
    pub agents: Vec<AgentSeen>,
    /// The account whose home the link names now; `None` when it names none of ours.
    pub link: Option<AccountName>,
    /// Live clients outside our sessions whose configuration is the link.
    pub linked_foreign: usize,
    /// When each account's credential file last changed (by stat; never read).
    pub credentials_changed: Vec<(AccountName, Wall)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSeen {
    pub session: SessionName,
    /// The pane whose leader is the agent or one of its ancestors.
    pub pane: PaneId,
    pub process: ProcessRef,
    /// When its process started, by the host's clock of today.
    pub started_at: Wall,
    pub home: AgentHome,
    /// From `<home>/sessions/<pid>.json`, when pid and start time agree.
    pub conversation: Option<ConversationId>,
    pub state: AgentState,
    /// Since when it is in `state`, as the client says; else when we first saw it so.
    pub state_since: Wall,
    /// Arguments after the program (or after the script of an interpreter); `None` = unreadable.
    pub args: Option<Vec<String>>,
    pub cwd: PathBuf,
}

/// Which account an agent works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentHome {
    /// Its configuration is this account's real home.
    Homed(AccountName),
    /// Its configuration is the link: a flip moves it from its next request on.
    Linked,
    /// Its configuration is none of ours, or cannot be read; never moved.
    Elsewhere,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    Idle,
    Busy,
    /// A dialog is open; the client's word for it.
    Waiting(String),
    /// A client too old to say.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaneReading {
    pub session: SessionName,
    pub pane: PaneId,
    pub reading: Reading,
}

/// The end of one agent's conversation file, as far as it is newer than the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptSeen {
    pub session: SessionName,
    pub process: ProcessRef,
    pub conversation: ConversationId,
    /// `None`: there is no such file, or it cannot be read.
    pub ending: Option<Ending>,
}
