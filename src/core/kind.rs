//! The kind of each record, as the journal names it, and what it is about.

use crate::core::record::Record;

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

macro_rules! kinds {
    ($($variant:ident: $subject:ident => $name:literal,)*) => {
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
    SwapPlanned: Swap => "swap_planned",
    SwapChecked: Swap => "swap_checked",
    SwapProbing: Swap => "swap_probing",
    SwapProbed: Swap => "swap_probed",
    SwapRetargeted: Swap => "swap_retargeted",
    SwapSaved: Swap => "swap_saved",
    SwapStopped: Swap => "swap_stopped",
    SwapFlipped: Swap => "swap_flipped",
    SwapCanaryProven: Swap => "swap_canary_proven",
    SwapRelaunched: Swap => "swap_relaunched",
    SwapVerified: Swap => "swap_verified",
    SwapDone: Swap => "swap_done",
    SwapAborting: Swap => "swap_aborting",
    SwapUnflipped: Swap => "swap_unflipped",
    SwapRestored: Swap => "swap_restored",
    SwapRolledBack: Swap => "swap_rolled_back",
    SwapStuck: Swap => "swap_stuck",
    StuckCleared: Swap => "stuck_cleared",
    MoveStopping: Move => "move_stopping",
    MoveStopped: Move => "move_stopped",
    MoveIdentified: Move => "move_identified",
    MoveLaunching: Move => "move_launching",
    MoveLaunched: Move => "move_launched",
    MoveEnded: Move => "move_ended",
    TaskClaimed: Task => "task_claimed",
    TaskMarked: Task => "task_marked",
    TaskMakingRoom: Task => "task_making_room",
    TaskReady: Task => "task_ready",
    TaskLaunching: Task => "task_launching",
    TaskLaunched: Task => "task_launched",
    TaskNotLaunched: Task => "task_not_launched",
    TaskReceived: Task => "task_received",
    TaskTakenUp: Task => "task_taken_up",
    TaskBackground: Task => "task_background",
    TaskLost: Task => "task_lost",
    TaskEnding: Task => "task_ending",
    TaskLeft: Task => "task_left",
    TaskClosed: Task => "task_closed",
    TaskDecided: Task => "task_decided",
    TaskUndecided: Task => "task_undecided",
    TaskSettled: Task => "task_settled",
    DialogHandling: Task => "dialog_handling",
}
