//! A swap and what belongs to it, as `history` tells of it.

use serde::Serialize;

use crate::core::event::StuckVerb;
use crate::core::history::entry::{Reason, rfc_3339, rfc_3339_if};
use crate::core::record::{MoveOutcome, MoveStage};
use crate::core::standing::PlanWindow;
use crate::core::trigger::{EvidenceSource, Trigger};
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swap {
    pub op: OpId,
    pub from: AccountName,
    /// The last target.
    pub to: AccountName,
    pub outcome: SwapEnd,
    pub trigger: Cause,
    /// Why this target, at first.
    pub because: String,
    pub passed_over: Vec<Reason>,
    /// Targets that were given up on the way, in their order.
    pub failed_targets: Vec<Reason>,
    /// Why it turned back.
    pub trouble: Option<String>,
    pub stuck: Vec<Stuck>,
    pub sessions: Counts,
    pub moves: Vec<Moved>,
    /// Who was answered first.
    pub canary: Option<SessionName>,
    #[serde(serialize_with = "rfc_3339")]
    pub planned_at: Wall,
    pub flipped_after_ms: Option<u64>,
    pub relaunched_after_ms: Option<u64>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
    pub took_ms: Option<u64>,
    /// Starts of the daemon while it was open.
    pub restarts: u32,
    /// It began before the oldest record.
    pub partial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SwapEnd {
    Open,
    Done,
    RolledBack,
    Stuck,
    Cleared,
    /// The records of its end are missing; it was before `ended_at`.
    Unknown,
}

/// As [`Trigger`], with moments for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    Refusal {
        session: SessionName,
        evidence: EvidenceSource,
        row: String,
    },
    AccountReturned,
    Operator,
    LoginFailed {
        reason: String,
    },
    SetAside,
    Preempt {
        window: PlanWindow,
        used_permille: u16,
        #[serde(serialize_with = "rfc_3339")]
        until: Wall,
    },
    Preferred,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stuck {
    #[serde(serialize_with = "rfc_3339")]
    pub at: Wall,
    pub reason: String,
    pub ended_by: Option<StuckVerb>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
}

/// Of the sessions that the swap touched, each once, as it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    pub moved: usize,
    pub resumed: usize,
    pub blocked: usize,
    pub failed: usize,
    pub held: usize,
    pub dropped: usize,
    /// Left to finish a turn; has not followed yet.
    pub staying: usize,
    pub open: usize,
    pub unknown: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub session: SessionName,
    pub outcome: MoveEnd,
    pub reason: Option<String>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveEnd {
    Open,
    Staying,
    /// It runs on the target with its conversation.
    Resumed,
    /// It runs, and waits in a dialog for a person.
    Blocked,
    /// Its session stays at its shell.
    Failed,
    /// Stopped until an account takes it and it can be launched; that may be done since.
    Held,
    /// Left as it was.
    Dropped,
    /// The records of its end are missing.
    Unknown,
}

/// One agent on the target alone, to prove it before anybody else is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Canary {
    pub op: OpId,
    pub session: SessionName,
    pub account: AccountName,
    pub outcome: CanaryEnd,
    pub reason: Option<String>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
    pub took_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryEnd {
    Open,
    Proven,
    Refused,
    /// Its target was given up for another reason.
    Failed,
    /// It says nothing of the account.
    Unanswered,
}

/// An agent that came back after its session was lost, or moved alone because it was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restore {
    pub op: OpId,
    pub session: SessionName,
    pub account: AccountName,
    /// It was refused on another account than the one in use.
    pub cut: bool,
    pub outcome: MoveEnd,
    pub reason: Option<String>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
    pub took_ms: Option<u64>,
}

impl Swap {
    pub(in crate::core::history) fn set_move(
        &mut self,
        session: &SessionName,
        outcome: MoveEnd,
        reason: Option<String>,
        ended_at: Option<Wall>,
    ) {
        let moved = Moved { session: session.clone(), outcome, reason, ended_at };
        match self.moves.iter_mut().find(|known| known.session == *session) {
            Some(known) => *known = moved,
            None => self.moves.push(moved),
        }
        self.sessions = Counts::of(&self.moves);
    }

    /// What becomes of who is on its way at the end of the swap.
    pub(in crate::core::history) fn leave_open_moves(&mut self, outcome: MoveEnd) {
        for moved in self.moves.iter_mut().filter(|moved| moved.outcome == MoveEnd::Open) {
            moved.outcome = outcome;
        }
        self.sessions = Counts::of(&self.moves);
    }
}

impl Counts {
    fn of(moves: &[Moved]) -> Self {
        let mut counts = Self { moved: moves.len(), ..Self::default() };
        for moved in moves {
            *match moved.outcome {
                MoveEnd::Open => &mut counts.open,
                MoveEnd::Staying => &mut counts.staying,
                MoveEnd::Resumed => &mut counts.resumed,
                MoveEnd::Blocked => &mut counts.blocked,
                MoveEnd::Failed => &mut counts.failed,
                MoveEnd::Held => &mut counts.held,
                MoveEnd::Dropped => &mut counts.dropped,
                MoveEnd::Unknown => &mut counts.unknown,
            } += 1;
        }
        counts
    }
}

impl MoveEnd {
    pub(in crate::core) fn of(outcome: &MoveOutcome) -> (Self, Option<String>) {
        match outcome {
            MoveOutcome::Verified => (MoveEnd::Resumed, None),
            MoveOutcome::Blocked { reason } => (MoveEnd::Blocked, Some(reason.clone())),
            MoveOutcome::Failed { reason } => (MoveEnd::Failed, Some(reason.clone())),
            MoveOutcome::Held => (MoveEnd::Held, None),
            MoveOutcome::Dropped { reason } => (MoveEnd::Dropped, Some(reason.clone())),
        }
    }

    pub(in crate::core) fn by_stop(until: Option<Wall>) -> Self {
        if until.is_some() { MoveEnd::Staying } else { MoveEnd::Open }
    }

    pub(in crate::core) fn by(stage: &MoveStage) -> Self {
        match stage {
            MoveStage::Staying { .. } => MoveEnd::Staying,
            MoveStage::Held => MoveEnd::Held,
            MoveStage::Stopping
            | MoveStage::Stopped
            | MoveStage::Launching { .. }
            | MoveStage::Launched { .. } => MoveEnd::Open,
        }
    }
}

impl From<&Trigger> for Cause {
    fn from(trigger: &Trigger) -> Self {
        match trigger.clone() {
            Trigger::Refusal { session, row, evidence } => {
                Cause::Refusal { session, evidence, row }
            }
            Trigger::AccountReturned => Cause::AccountReturned,
            Trigger::Operator => Cause::Operator,
            Trigger::LoginFailed { reason } => Cause::LoginFailed { reason },
            Trigger::SetAside => Cause::SetAside,
            Trigger::Preempt { window, used_permille, until } => {
                Cause::Preempt { window, used_permille, until }
            }
            Trigger::Preferred => Cause::Preferred,
        }
    }
}
