//! Everything the core can order. Imperatives; each is idempotent, bounded in time and answered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::core::record::Record;
use crate::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use crate::task::{HeldTask, TaskResult};

/// The number of one order of this process; its answer carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OrderId(pub u64);

/// The number of one question from outside; its answer carries it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AskId(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Fsynced before any later action of the same batch.
    Persist(Record),
    /// One line for the log that no record stands for.
    Note {
        level: NoteLevel,
        text: String,
    },

    /// → `SessionsObserved`, at once.
    ObserveSessions,
    /// → `AgentsObserved` with this order, at once.
    ObserveAgents {
        order: OrderId,
    },
    /// The panes in which the watcher looks for agents, from now on.
    WatchAgents {
        panes: Vec<WatchedPane>,
    },
    /// The panes the monitor reads, from now on: those of agents, never a whole session.
    WatchPanes {
        panes: Vec<(SessionName, PaneId)>,
    },
    /// Report this pane at the next poll, also when nothing on it has changed.
    RereadPane {
        pane: PaneId,
    },
    /// Look at this agent's conversation file now, and again for a moment: something was refused.
    ReadTranscript {
        session: SessionName,
    },

    /// Everything that can fail on the target, tried before anything is stopped.
    CheckTarget {
        order: OrderId,
        account: AccountName,
    },
    /// Each named process and its descendants; never an ancestor. "Already gone" is success.
    StopAgents {
        order: OrderId,
        agents: Vec<ProcessRef>,
    },
    FlipLink {
        order: OrderId,
        to: AccountName,
    },
    /// One headless request to this account → `AccountProbed`, after a minute or so at most.
    ProbeAccount {
        order: OrderId,
        account: AccountName,
    },
    CreateSession {
        order: OrderId,
        session: SessionName,
        cwd: PathBuf,
    },
    LaunchAgent(LaunchAgent),
    ReadPane {
        order: OrderId,
        session: SessionName,
        pane: PaneId,
    },
    /// Put our marker beside the task, once → `TaskClaimed`. Asked for again, the same conversation
    /// is the answer.
    ClaimTask {
        order: OrderId,
        task: TaskRef,
        session: SessionName,
        attempt: u32,
    },
    /// Take our marker away; the task is offered again → `TaskReleased`.
    ReleaseTask {
        order: OrderId,
        task: TaskRef,
    },
    /// Move the task to `done/` or `failed/` → `TaskClosed`.
    CloseTask {
        order: OrderId,
        result: Box<TaskResult>,
    },
    /// The tasks in our hands, from now on: for `status.json`, and what a stale marker is.
    HoldTasks {
        held: Vec<HeldTask>,
    },
    /// Remove what an earlier agent of this session left in the signal directory.
    ClearSignals {
        order: OrderId,
        session: SessionName,
    },
    /// → `ConversationRead`; also of an agent that is gone.
    ReadConversation {
        order: OrderId,
        session: SessionName,
        conversation: ConversationId,
        account: AccountName,
        cwd: PathBuf,
    },
    /// Answer the dialog in this pane if it is one that may be answered, fenced → `DialogHandled`.
    HandleDialog {
        order: OrderId,
        session: SessionName,
        pane: PaneId,
        fence: u64,
    },
    /// A line on the status row of whoever is attached to the session.
    TellSession {
        session: SessionName,
        text: String,
    },

    /// Read the file again → `ConfigReloaded` or `ConfigRejected`.
    ReloadConfig,
    /// The configuration from now on, for every component.
    ApplyConfig(Arc<Config>),
    /// What became of a verb: what was done and what follows, or why not. Once for each ask; told
    /// when the records of its batch are on disk.
    Answer {
        ask: AskId,
        result: Result<String, String>,
    },
    /// Everything is at rest; the driver may write `CleanStop` and end.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteLevel {
    Error,
    Warn,
    Info,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedPane {
    pub session: SessionName,
    pub pane: PaneId,
    pub leader_pid: i32,
    /// The conversation of the agent there, for a client that does not tell it itself.
    pub conversation: Option<ConversationId>,
    /// An agent works on a task there: what its tools do counts.
    pub at_work: bool,
}

/// Start an agent in a session, fenced: it runs at most once for one value of `fence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchAgent {
    pub order: OrderId,
    pub session: SessionName,
    /// The pane to start in; `None`, or a pane that is gone or not free, means a new window.
    pub pane: Option<PaneId>,
    /// `@failover_fence` must be one less for the effect to run, and is this afterwards.
    pub fence: u64,
    pub account: AccountName,
    pub conversation: ConversationId,
    /// The account's real home, for `CLAUDE_CONFIG_DIR`.
    pub home: PathBuf,
    pub cwd: PathBuf,
    /// Program and arguments, the nudge included.
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
}
