//! The kind of each record, as the journal names it, what it is about, and whose step it is: one row
//! a record, so that a new one cannot be forgotten in any of these.

use crate::core::record::Record;
use crate::ids::{OpId, SessionName, TaskRef};

/// What a record is about: one owner of the state it changes, one way to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Daemon,
    Account,
    Session,
    Swap,
    Move,
    Task,
}

/// What goes on over several records, by what they name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    Swap(&'a OpId),
    /// The move of the agent in this session.
    Move(&'a SessionName),
    /// The task in the hands of this session.
    Job(&'a SessionName),
    /// A task that was set aside.
    SetAside(&'a TaskRef),
}

macro_rules! step {
    () => {
        None
    };
    ($step:ident $field:ident) => {
        Some(Step::$step($field))
    };
}

macro_rules! kinds {
    ($($variant:ident: $subject:ident $([$step:ident $field:ident])? => $name:literal,)*) => {
        impl Record {
            /// The record's kind, as in the journal.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Record::$variant { .. } => $name,)*
                }
            }

            pub fn subject(&self) -> Subject {
                match self {
                    $(Record::$variant { .. } => Subject::$subject,)*
                }
            }

            /// `None`: it stands for itself.
            pub fn step(&self) -> Option<Step<'_>> {
                match self {
                    $(Record::$variant { $($field,)? .. } => step!($($step $field)?),)*
                }
            }
        }
    };
}

kinds! {
    DaemonStarted: Daemon => "daemon_started",
    CleanStop: Daemon => "clean_stop",
    Compacted: Daemon => "compacted",
    AccountRefused: Account => "account_refused",
    LimitReset: Account => "limit_reset",
    AccountProven: Account => "account_proven",
    AccountTrusted: Account => "account_trusted",
    LoginFailed: Account => "login_failed",
    LoginMended: Account => "login_mended",
    AccountRejected: Account => "account_rejected",
    RejectionOver: Account => "rejection_over",
    AccountHeld: Account => "account_held",
    AccountReleased: Account => "account_released",
    AccountPinned: Account => "account_pinned",
    Paused: Daemon => "paused",
    PauseEnded: Daemon => "pause_ended",
    SessionsDrained: Daemon => "sessions_drained",
    SessionsResumed: Daemon => "sessions_resumed",
    FiguresHeard: Account => "figures_heard",
    Parked: Account => "parked",
    RowLeft: Session => "row_left",
    NewcomerSeen: Session => "newcomer_seen",
    TurnTaken: Session => "turn_taken",
    ActiveFound: Daemon => "active_found",
    AgentAdopted: Session => "agent_adopted",
    AgentEnded: Session => "agent_ended",
    SessionLost: Session => "session_lost",
    SessionCreated: Session => "session_created",
    RestorePlanned: Session => "restore_planned",
    SwapPlanned: Swap [Swap op] => "swap_planned",
    SwapChecked: Swap [Swap op] => "swap_checked",
    SwapProbing: Swap [Swap op] => "swap_probing",
    SwapProbed: Swap [Swap op] => "swap_probed",
    SwapRetargeted: Swap [Swap op] => "swap_retargeted",
    SwapSaved: Swap [Swap op] => "swap_saved",
    SwapStopped: Swap [Swap op] => "swap_stopped",
    SwapFlipped: Swap [Swap op] => "swap_flipped",
    SwapCanaryProven: Swap [Swap op] => "swap_canary_proven",
    SwapRelaunched: Swap [Swap op] => "swap_relaunched",
    SwapVerified: Swap [Swap op] => "swap_verified",
    SwapDone: Swap [Swap op] => "swap_done",
    SwapAborting: Swap [Swap op] => "swap_aborting",
    SwapUnflipped: Swap [Swap op] => "swap_unflipped",
    SwapRestored: Swap [Swap op] => "swap_restored",
    SwapRolledBack: Swap [Swap op] => "swap_rolled_back",
    SwapStuck: Swap [Swap op] => "swap_stuck",
    StuckCleared: Swap [Swap op] => "stuck_cleared",
    MoveStopping: Move [Move session] => "move_stopping",
    MoveStopped: Move [Move session] => "move_stopped",
    MoveIdentified: Move [Move session] => "move_identified",
    MoveLaunching: Move [Move session] => "move_launching",
    MoveLaunched: Move [Move session] => "move_launched",
    MoveEnded: Move [Move session] => "move_ended",
    TaskClaimed: Task [Job session] => "task_claimed",
    TaskMarked: Task [Job session] => "task_marked",
    TaskMakingRoom: Task [Job session] => "task_making_room",
    TaskReady: Task [Job session] => "task_ready",
    TaskLaunching: Task [Job session] => "task_launching",
    TaskLaunched: Task [Job session] => "task_launched",
    TaskNotLaunched: Task [Job session] => "task_not_launched",
    TaskReceived: Task [Job session] => "task_received",
    TaskTakenUp: Task [Job session] => "task_taken_up",
    TaskBackground: Task [Job session] => "task_background",
    TaskLost: Task [Job session] => "task_lost",
    TaskEnding: Task [Job session] => "task_ending",
    TaskLeft: Task [Job session] => "task_left",
    TaskClosed: Task [Job session] => "task_closed",
    TaskDecided: Task [SetAside task] => "task_decided",
    TaskUndecided: Task [SetAside task] => "task_undecided",
    TaskSettled: Task [SetAside task] => "task_settled",
    DialogHandling: Task [Job session] => "dialog_handling",
}
