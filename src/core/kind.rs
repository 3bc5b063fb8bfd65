//! The kind of each record, as the journal names it.

use crate::core::record::Record;

macro_rules! kinds {
    ($($variant:ident => $name:literal,)*) => {
        impl Record {
            /// The record's kind, as in the journal.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Record::$variant { .. } => $name,)*
                }
            }
        }
    };
}

kinds! {
    DaemonStarted => "daemon_started",
    CleanStop => "clean_stop",
    Compacted => "compacted",
    AccountRefused => "account_refused",
    LimitReset => "limit_reset",
    AccountProven => "account_proven",
    AccountTrusted => "account_trusted",
    LoginFailed => "login_failed",
    LoginMended => "login_mended",
    AccountRejected => "account_rejected",
    RejectionOver => "rejection_over",
    AccountHeld => "account_held",
    AccountReleased => "account_released",
    AccountPinned => "account_pinned",
    FiguresHeard => "figures_heard",
    Parked => "parked",
    RowLeft => "row_left",
    NewcomerSeen => "newcomer_seen",
    TurnTaken => "turn_taken",
    ActiveFound => "active_found",
    AgentAdopted => "agent_adopted",
    AgentEnded => "agent_ended",
    SessionLost => "session_lost",
    SessionCreated => "session_created",
    RestorePlanned => "restore_planned",
    SwapPlanned => "swap_planned",
    SwapChecked => "swap_checked",
    SwapProbing => "swap_probing",
    SwapProbed => "swap_probed",
    SwapRetargeted => "swap_retargeted",
    SwapSaved => "swap_saved",
    SwapStopped => "swap_stopped",
    SwapFlipped => "swap_flipped",
    SwapCanaryProven => "swap_canary_proven",
    SwapRelaunched => "swap_relaunched",
    SwapVerified => "swap_verified",
    SwapDone => "swap_done",
    SwapAborting => "swap_aborting",
    SwapUnflipped => "swap_unflipped",
    SwapRestored => "swap_restored",
    SwapRolledBack => "swap_rolled_back",
    SwapStuck => "swap_stuck",
    StuckCleared => "stuck_cleared",
    MoveStopping => "move_stopping",
    MoveStopped => "move_stopped",
    MoveIdentified => "move_identified",
    MoveLaunching => "move_launching",
    MoveLaunched => "move_launched",
    MoveEnded => "move_ended",
    TaskClaimed => "task_claimed",
    TaskMarked => "task_marked",
    TaskMakingRoom => "task_making_room",
    TaskReady => "task_ready",
    TaskLaunching => "task_launching",
    TaskLaunched => "task_launched",
    TaskNotLaunched => "task_not_launched",
    TaskReceived => "task_received",
    TaskTakenUp => "task_taken_up",
    TaskBackground => "task_background",
    TaskLost => "task_lost",
    TaskEnding => "task_ending",
    TaskLeft => "task_left",
    TaskClosed => "task_closed",
    TaskDecided => "task_decided",
    TaskUndecided => "task_undecided",
    TaskSettled => "task_settled",
    DialogHandling => "dialog_handling",
}
