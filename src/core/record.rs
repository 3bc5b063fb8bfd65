//! The facts on disk. One transition function (`Durable::apply`) serves live code and replay.
//!
//! INVARIANT: a variant or field, once released, keeps its name and meaning; new fields get
//! `#[serde(default)]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::durable::Durable;
use crate::core::event::{AgentHome, StuckVerb};
use crate::core::job::{Decision, Fate};
use crate::core::standing::{Limit, PlanWindow, Used};
use crate::core::steer::PauseEnd;
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, ConversationId, OpId, PaneId, ProcessRef, SessionName, TaskRef};
use crate::moment::Wall;
use crate::task::Offer;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Record {
    DaemonStarted {
        version: String,
        pid: i32,
    },
    CleanStop,
    /// All that earlier records said; always the first line after a compaction.
    Compacted {
        state: Box<Durable>,
    },

    /// A limit of its plan is used up: one more window, or the same for longer.
    AccountRefused {
        account: AccountName,
        window: PlanWindow,
        limit: Limit,
    },
    /// The reset of this limit has passed.
    LimitReset {
        account: AccountName,
        window: PlanWindow,
        at: Wall,
    },
    /// Somebody has had an answer on it since its reset; `None`: a headless request.
    AccountProven {
        account: AccountName,
        session: Option<SessionName>,
        at: Wall,
    },
    /// Nobody could ask it: it is taken on trust, and its first refusal tells.
    AccountTrusted {
        account: AccountName,
        reason: String,
        at: Wall,
    },
    LoginFailed {
        account: AccountName,
        reason: String,
        at: Wall,
    },
    /// Its credential file has changed since.
    LoginMended {
        account: AccountName,
        at: Wall,
    },
    /// A check on its home failed: it is no candidate until then.
    AccountRejected {
        account: AccountName,
        reason: String,
        until: Wall,
        at: Wall,
    },
    RejectionOver {
        account: AccountName,
        at: Wall,
    },
    /// The operator's word: nothing of ours goes there.
    AccountHeld {
        account: AccountName,
        at: Wall,
    },
    /// The operator's word: whatever stood against it is over, and so is its pin.
    AccountReleased {
        account: AccountName,
        at: Wall,
    },
    /// The operator's word: this one and no other, until it is released.
    AccountPinned {
        account: AccountName,
        at: Wall,
    },
    /// The operator's word: nothing new is begun until it is over; said again, it lasts as said last.
    Paused {
        at: Wall,
        /// When it ends by itself.
        until: Option<Wall>,
    },
    PauseEnded {
        at: Wall,
        by: PauseEnd,
    },
    /// The operator's word: these finish their tasks and get no others.
    SessionsDrained {
        sessions: Vec<SessionName>,
        at: Wall,
    },
    SessionsResumed {
        sessions: Vec<SessionName>,
        at: Wall,
    },
    /// What a status line said of its windows.
    FiguresHeard {
        account: AccountName,
        used: Used,
    },
    /// No account can be taken: everything stays as it is until one comes back.
    Parked {
        at: Wall,
        until: Option<Wall>,
        /// Each account, and why it cannot be taken.
        reasons: Vec<(AccountName, String)>,
    },
    /// This banner row in this session tells of something that is over.
    RowLeft {
        session: SessionName,
        row: String,
    },
    /// An agent was seen to start here: until it takes a turn, its screen shows history.
    NewcomerSeen {
        session: SessionName,
    },
    /// The agent has taken a turn since its start: what its screen shows now is news.
    TurnTaken {
        session: SessionName,
    },
    /// The link was found to name this account without a swap of ours.
    ActiveFound {
        account: AccountName,
        /// Zero when nobody knows since when.
        #[serde(default)]
        at: Wall,
    },

    /// An agent was first seen in this session, or its conversation changed.
    AgentAdopted {
        session: SessionName,
        agent: SavedAgent,
    },
    /// The agent is gone while its session lives: its operator ended it.
    AgentEnded {
        session: SessionName,
    },
    /// The session is gone; with the agent it held, if any.
    SessionLost {
        session: SessionName,
        at: Wall,
        agent: Option<SavedAgent>,
    },
    SessionCreated {
        session: SessionName,
    },
    /// An agent that was lost with its session is to be resumed, or one that was refused on
    /// another account than the active one is to be moved alone (`cut`).
    RestorePlanned {
        op: OpId,
        session: SessionName,
        target: AccountName,
        agent: SavedAgent,
        #[serde(default)]
        cut: bool,
    },

    SwapPlanned {
        op: OpId,
        at: Wall,
        source: AccountName,
        target: AccountName,
        trigger: Trigger,
        /// Why this target, by `selection.strategy`.
        #[serde(default)]
        because: String,
        /// The others, and why each was passed over.
        #[serde(default)]
        passed_over: Vec<(AccountName, String)>,
    },
    SwapChecked {
        op: OpId,
    },
    /// Nobody has had an answer on the target since its reset: this agent goes there alone, before
    /// anybody else is touched.
    SwapProbing {
        op: OpId,
        canary: Box<Move>,
    },
    /// The canary's part is over; whether the target is proven stands in its own record.
    SwapProbed {
        op: OpId,
    },
    /// `rejected` is no candidate any more; the swap starts over towards `target`.
    SwapRetargeted {
        op: OpId,
        rejected: AccountName,
        reason: String,
        target: AccountName,
    },
    /// Every conversation that the swap will touch, and what is to be done with each agent.
    SwapSaved {
        op: OpId,
        moves: Vec<Move>,
    },
    SwapStopped {
        op: OpId,
    },
    /// `moved`: the swap stays on its account, but somebody else had moved the link away from it.
    SwapFlipped {
        op: OpId,
        #[serde(default)]
        at: Wall,
        #[serde(default)]
        moved: bool,
    },
    SwapCanaryProven {
        op: OpId,
        session: Option<SessionName>,
    },
    SwapRelaunched {
        op: OpId,
        at: Wall,
    },
    SwapVerified {
        op: OpId,
    },
    SwapDone {
        op: OpId,
        at: Wall,
    },
    SwapAborting {
        op: OpId,
        reason: String,
    },
    /// `moved` as for `SwapFlipped`.
    SwapUnflipped {
        op: OpId,
        #[serde(default)]
        at: Wall,
        #[serde(default)]
        moved: bool,
    },
    SwapRestored {
        op: OpId,
    },
    SwapRolledBack {
        op: OpId,
        at: Wall,
    },
    SwapStuck {
        op: OpId,
        reason: String,
    },
    StuckCleared {
        op: OpId,
        verb: StuckVerb,
    },

    /// Meant for this session; the intent of the marker.
    TaskClaimed {
        session: SessionName,
        offer: Box<Offer>,
        attempt: u32,
        at: Wall,
    },
    /// Our marker lies beside the task, which will run in this conversation.
    TaskMarked {
        session: SessionName,
        conversation: ConversationId,
    },
    /// An idle agent of ours is ended to make room.
    TaskMakingRoom {
        session: SessionName,
        process: ProcessRef,
    },
    /// Nobody is in the session any more.
    TaskReady {
        session: SessionName,
    },
    TaskLaunching {
        session: SessionName,
        fence: u64,
        account: AccountName,
    },
    TaskLaunched {
        session: SessionName,
        pane: PaneId,
        at: Wall,
    },
    /// The launch of a task that is over by now has not been done, and will not be.
    TaskNotLaunched {
        session: SessionName,
    },
    /// The agent has the task.
    TaskReceived {
        session: SessionName,
        process: Option<ProcessRef>,
        at: Wall,
    },
    /// A turn that ended in an error is gone on with, as another attempt.
    TaskTakenUp {
        session: SessionName,
        attempt: u32,
        reason: String,
    },
    /// Whether something goes on behind the last turn of the task's agent.
    TaskBackground {
        session: SessionName,
        on: bool,
    },
    /// The task's agent is gone, with its session or alone.
    TaskLost {
        session: SessionName,
        session_gone: bool,
        process: Option<ProcessRef>,
        at: Wall,
    },
    TaskEnding {
        session: SessionName,
        fate: Fate,
        at: Wall,
    },
    /// Nobody works on the task any more.
    TaskLeft {
        session: SessionName,
    },
    /// The file is where its fate wants it, or its marker gone; the session is free.
    TaskClosed {
        session: SessionName,
        at: Wall,
    },
    /// A person's word on a task that was set aside.
    TaskDecided {
        task: TaskRef,
        decision: Decision,
        at: Wall,
    },
    /// It could not be carried out.
    TaskUndecided {
        task: TaskRef,
    },
    TaskSettled {
        task: TaskRef,
    },
    /// Keys may be sent to the agent in this session, once.
    DialogHandling {
        session: SessionName,
        fence: u64,
    },

    /// This process of the move is to be ended: a straggler whose time has come, or one that came up
    /// where it must not stay.
    MoveStopping {
        session: SessionName,
        process: ProcessRef,
        /// Its turn ended well before: it has nothing to go on with.
        #[serde(default)]
        finished: bool,
        /// Not before its turn ends, or this moment at the latest; `None`: now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Wall>,
    },
    MoveStopped {
        session: SessionName,
    },
    /// The agent told its id late, printed it when it ended, or was started with it.
    MoveIdentified {
        session: SessionName,
        conversation: ConversationId,
    },
    MoveLaunching {
        session: SessionName,
        fence: u64,
    },
    MoveLaunched {
        session: SessionName,
        pane: PaneId,
        at: Wall,
    },
    MoveEnded {
        session: SessionName,
        outcome: MoveOutcome,
    },
}

/// What is needed to bring an agent back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAgent {
    pub conversation: Option<ConversationId>,
    pub home: AgentHome,
    pub cwd: PathBuf,
    /// `None`: unreadable; `agent.command` serves instead.
    pub args: Option<Vec<String>>,
    pub process: ProcessRef,
    /// `None` in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Wall>,
}

/// One agent on its way from one account to another (or back to life on the same one).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The swap that made it; a restore has a number of its own.
    pub op: OpId,
    pub session: SessionName,
    pub agent: SavedAgent,
    pub pane: Option<PaneId>,
    pub target: AccountName,
    pub cause: MoveCause,
    /// Its account refused it; it is not taken back there.
    pub refused: bool,
    /// It was inside a turn or refused in one, so a pool agent gets a nudge.
    pub cut: bool,
    /// The banner on its screen when it was saved: history from now on.
    pub left_row: Option<String>,
    /// Who was seen beside it when it was saved: none of them is its successor. Unknown in a restore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<ProcessRef>,
    pub stage: MoveStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveCause {
    Swap,
    /// It was left to finish its turn and no longer belongs to an open swap.
    Straggler,
    /// Its session was lost.
    Restore,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum MoveStage {
    /// Left to finish its turn, until `until` at most.
    Staying {
        until: Wall,
    },
    Stopping,
    Stopped,
    Launching {
        fence: u64,
    },
    Launched {
        pane: PaneId,
    },
    /// Stopped and not launched again: no account would take it, or its launch cannot be done. Launched
    /// when there is an account, and no swap is open.
    Held,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum MoveOutcome {
    /// The agent runs on the target with its conversation.
    Verified,
    /// The agent runs, and waits in a dialog for a person.
    Blocked { reason: String },
    /// The session stays at its shell.
    Failed { reason: String },
    /// It stays stopped until an account takes it and it can be launched.
    Held,
    /// Its session left the configuration, or its agent was ended by its operator.
    Dropped { reason: String },
}
