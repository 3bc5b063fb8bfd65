//! The part of the state that survives: what the records say, and nothing else.
//!
//! [`Durable::apply`] is the one transition function; live code and replay both go through it, so
//! a crash at any record leaves exactly the state that the records on disk give.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::core::event::StuckVerb;
use crate::core::record::{
    AccountState, Move, MoveCause, MoveOutcome, MoveStage, Record, SavedAgent, Trigger,
};
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

/// Banner rows remembered for one session; older ones have scrolled away long since.
const LEFT_ROWS_MAX: usize = 16;

/// Swap starts remembered for `swap.max_per_hour`.
const SWAP_TIMES_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durable {
    pub active: Option<AccountName>,
    /// Since when the link names it; zero when nobody knows.
    #[serde(default)]
    pub active_since: Wall,
    /// An account that is not listed is available.
    pub accounts: BTreeMap<AccountName, AccountState>,
    /// When an account came back: what was said against it until then is over.
    #[serde(default)]
    pub available_since: BTreeMap<AccountName, Wall>,
    /// The agent last known in each session.
    pub agents: BTreeMap<SessionName, SavedAgent>,
    /// The highest fence ever used in each session.
    pub fences: BTreeMap<SessionName, u64>,
    pub swap: Option<OpenSwap>,
    pub moves: BTreeMap<SessionName, Move>,
    pub last_swap: Option<LastSwap>,
    pub swap_times: Vec<Wall>,
    /// Banner rows that were on a session's screen when its agent left an account.
    pub left_rows: BTreeMap<SessionName, Vec<String>>,
    /// Sessions whose agent was resumed by us, or seen to start, and has not taken a turn since:
    /// every banner on its screen is history.
    #[serde(default)]
    pub resumed: BTreeSet<SessionName>,
    pub losses: BTreeMap<SessionName, Loss>,
    /// The highest number given to a swap or a restore.
    pub last_op: OpId,
    pub stopped_cleanly: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSwap {
    pub op: OpId,
    pub source: AccountName,
    pub target: AccountName,
    pub phase: Phase,
    pub trigger: Trigger,
    pub planned_at: Wall,
    pub relaunched_at: Option<Wall>,
    pub canary_proven: bool,
    /// On the way back: what runs on the target has been saved, too.
    pub way_back_saved: bool,
    /// Targets that failed, and why, in the order they were tried.
    pub rejected: Vec<(AccountName, String)>,
    /// Why it turns back or is stuck.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Planned,
    Checked,
    Saved,
    Stopped,
    Flipped,
    Relaunched,
    Verified,
    Aborting,
    Unflipped,
    Restored,
    Stuck,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSwap {
    pub op: OpId,
    pub from: AccountName,
    pub to: AccountName,
    pub trigger: Trigger,
    pub planned_at: Wall,
    pub relaunched_at: Option<Wall>,
    pub ended_at: Wall,
    pub outcome: SwapOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwapOutcome {
    Done,
    RolledBack,
    Cleared,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub at: Wall,
    pub agent: Option<SavedAgent>,
}

/// A record that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {record} is illegal here: {why}")]
pub struct IllegalRecord {
    pub record: String,
    pub why: String,
}

impl Durable {
    /// # Errors
    /// The record does not fit the state; the state is then unchanged.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        match record {
            Record::DaemonStarted { .. } => self.stopped_cleanly = false,
            Record::CleanStop => self.stopped_cleanly = true,
            Record::Compacted { state } => *self = (**state).clone(),
            Record::AccountChanged { account, state, at } => {
                self.change_account(account, state, *at);
            }
            Record::RowLeft { session, row } => self.leave_row(session, row),
            Record::NewcomerSeen { session } => {
                self.resumed.insert(session.clone());
            }
            Record::TurnTaken { session } => {
                self.left_rows.remove(session);
                self.resumed.remove(session);
            }
            Record::ActiveFound { account, at } => {
                self.active = Some(account.clone());
                self.active_since = *at;
            }
            Record::AgentAdopted { session, agent } => {
                self.agents.insert(session.clone(), agent.clone());
                self.losses.remove(session);
            }
            Record::AgentEnded { session } => {
                self.agents.remove(session);
                self.resumed.remove(session);
            }
            Record::SessionLost { session, at, agent } => {
                self.agents.remove(session);
                self.resumed.remove(session);
                self.losses.insert(session.clone(), Loss { at: *at, agent: agent.clone() });
            }
            Record::SessionCreated { .. } => {}
            Record::RestorePlanned { op, session, target, agent, cut } => {
                self.plan_restore(*op, session, target, agent, *cut);
            }
            Record::MoveStopping { .. }
            | Record::MoveStopped { .. }
            | Record::MoveIdentified { .. }
            | Record::MoveLaunching { .. }
            | Record::MoveLaunched { .. }
            | Record::MoveEnded { .. } => return self.apply_move(record),
            Record::SwapPlanned { op, at, source, target, trigger } => {
                if let Some(open) = &self.swap {
                    return Err(illegal(record, &format!("swap {} is open", open.op)));
                }
                if *op <= self.last_op {
                    return Err(illegal(record, "its number was used before"));
                }
                self.open_swap(*op, *at, source, target, trigger);
            }
            Record::SwapChecked { op }
            | Record::SwapRetargeted { op, .. }
            | Record::SwapSaved { op, .. }
            | Record::SwapStopped { op }
            | Record::SwapFlipped { op, .. }
            | Record::SwapCanaryProven { op, .. }
            | Record::SwapRelaunched { op, .. }
            | Record::SwapVerified { op }
            | Record::SwapDone { op, .. }
            | Record::SwapAborting { op, .. }
            | Record::SwapUnflipped { op, .. }
            | Record::SwapRestored { op }
            | Record::SwapRolledBack { op, .. }
            | Record::SwapStuck { op, .. }
            | Record::StuckCleared { op, .. } => return self.apply_swap(*op, record),
        }
        Ok(())
    }

    fn change_account(&mut self, account: &AccountName, state: &AccountState, at: Wall) {
        if *state == AccountState::Available {
            self.available_since.insert(account.clone(), at);
        }
        self.accounts.insert(account.clone(), state.clone());
    }

    /// The state of an account; available when nothing is known against it.
    pub fn account(&self, name: &AccountName) -> &AccountState {
        self.accounts.get(name).unwrap_or(&AccountState::Available)
    }

    fn plan_restore(
        &mut self,
        op: OpId,
        session: &SessionName,
        target: &AccountName,
        agent: &SavedAgent,
        cut: bool,
    ) {
        self.last_op = self.last_op.max(op);
        let restore = Move {
            op,
            session: session.clone(),
            agent: agent.clone(),
            pane: None,
            target: target.clone(),
            cause: MoveCause::Restore,
            refused: cut,
            cut,
            left_row: None,
            stage: MoveStage::Stopping,
        };
        self.moves.insert(session.clone(), restore);
    }

    fn open_swap(
        &mut self,
        op: OpId,
        at: Wall,
        source: &AccountName,
        target: &AccountName,
        trigger: &Trigger,
    ) {
        self.last_op = op;
        self.swap_times.push(at);
        if self.swap_times.len() > SWAP_TIMES_MAX {
            self.swap_times.remove(0);
        }
        self.swap = Some(OpenSwap {
            op,
            source: source.clone(),
            target: target.clone(),
            phase: Phase::Planned,
            trigger: trigger.clone(),
            planned_at: at,
            relaunched_at: None,
            canary_proven: false,
            way_back_saved: false,
            rejected: Vec::new(),
            trouble: None,
        });
    }

    fn apply_swap(&mut self, op: OpId, record: &Record) -> Result<(), IllegalRecord> {
        let Some(swap) = self.swap.as_mut().filter(|swap| swap.op == op) else {
            return Err(illegal(record, "no such swap is open"));
        };
        if !follows(swap, record) {
            return Err(illegal(record, &format!("the swap is in phase {:?}", swap.phase)));
        }
        match record {
            Record::SwapChecked { .. } => swap.phase = Phase::Checked,
            Record::SwapRetargeted { rejected, reason, target, .. } => {
                swap.rejected.push((rejected.clone(), reason.clone()));
                swap.target = target.clone();
                swap.phase = Phase::Planned;
                swap.canary_proven = false;
                swap.relaunched_at = None;
            }
            Record::SwapSaved { moves, .. } => {
                if swap.phase == Phase::Aborting {
                    swap.way_back_saved = true;
                } else {
                    swap.phase = Phase::Saved;
                }
                self.save_moves(moves);
            }
            Record::SwapStopped { .. } => swap.phase = Phase::Stopped,
            Record::SwapFlipped { at, .. } => {
                swap.phase = Phase::Flipped;
                self.active_since = *at;
                self.active = Some(swap.target.clone());
            }
            Record::SwapCanaryProven { .. } => swap.canary_proven = true,
            Record::SwapRelaunched { at, .. } => {
                swap.phase = Phase::Relaunched;
                swap.relaunched_at = Some(*at);
            }
            Record::SwapVerified { .. } => swap.phase = Phase::Verified,
            Record::SwapDone { at, .. } => self.close_swap(*at, SwapOutcome::Done),
            Record::SwapAborting { reason, .. } => {
                swap.phase = Phase::Aborting;
                swap.way_back_saved = false;
                swap.trouble = Some(reason.clone());
            }
            Record::SwapUnflipped { at, .. } => {
                swap.phase = Phase::Unflipped;
                self.active_since = *at;
                self.active = Some(swap.source.clone());
            }
            Record::SwapRestored { .. } => swap.phase = Phase::Restored,
            Record::SwapRolledBack { at, .. } => self.close_swap(*at, SwapOutcome::RolledBack),
            Record::SwapStuck { reason, .. } => {
                swap.phase = Phase::Stuck;
                swap.trouble = Some(reason.clone());
            }
            Record::StuckCleared { verb, .. } => self.clear_stuck(*verb),
            _ => return Err(illegal(record, "it is not a swap's record")),
        }
        Ok(())
    }

    /// Only called while a swap is stuck.
    fn clear_stuck(&mut self, verb: StuckVerb) {
        let Some(swap) = self.swap.as_mut() else { return };
        match verb {
            StuckVerb::Rollback => {
                swap.phase = Phase::Aborting;
                swap.way_back_saved = false;
            }
            StuckVerb::Resume => {
                swap.phase = Phase::Planned;
                swap.canary_proven = false;
            }
            StuckVerb::Clear => {
                let at = swap.planned_at;
                self.close_swap(at, SwapOutcome::Cleared);
            }
        }
    }

    fn save_moves(&mut self, moves: &[Move]) {
        for saved in moves {
            if let Some(row) = &saved.left_row {
                self.leave_row(&saved.session, row);
            }
            self.moves.insert(saved.session.clone(), saved.clone());
        }
    }

    fn leave_row(&mut self, session: &SessionName, row: &str) {
        let rows = self.left_rows.entry(session.clone()).or_default();
        if !rows.iter().any(|known| known == row) {
            rows.push(row.to_owned());
        }
        if rows.len() > LEFT_ROWS_MAX {
            rows.remove(0);
        }
    }

    fn close_swap(&mut self, at: Wall, outcome: SwapOutcome) {
        let Some(swap) = self.swap.take() else { return };
        let to = match outcome {
            SwapOutcome::Done => swap.target,
            SwapOutcome::RolledBack | SwapOutcome::Cleared => swap.source.clone(),
        };
        if outcome == SwapOutcome::Cleared {
            // Only the link itself says now which account is active.
            self.active = None;
        }
        for left in self.moves.values_mut().filter(|left| left.cause == MoveCause::Swap) {
            left.stage = MoveStage::Held;
        }
        self.last_swap = Some(LastSwap {
            op: swap.op,
            from: swap.source,
            to,
            trigger: swap.trigger,
            planned_at: swap.planned_at,
            relaunched_at: swap.relaunched_at,
            ended_at: at,
            outcome,
        });
    }

    fn apply_move(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        let (Record::MoveStopping { session, .. }
        | Record::MoveStopped { session }
        | Record::MoveIdentified { session, .. }
        | Record::MoveLaunching { session, .. }
        | Record::MoveLaunched { session, .. }
        | Record::MoveEnded { session, .. }) = record
        else {
            return Err(illegal(record, "it is not a move's record"));
        };
        let Some(moving) = self.moves.get_mut(session) else {
            return Err(illegal(record, "no such move is open"));
        };
        match record {
            Record::MoveStopping { process, finished, .. } => {
                moving.agent.process = *process;
                moving.cut &= !finished;
                moving.stage = MoveStage::Stopping;
            }
            Record::MoveStopped { .. } => moving.stage = MoveStage::Stopped,
            Record::MoveIdentified { conversation, .. } => {
                moving.agent.conversation = Some(conversation.clone());
            }
            Record::MoveLaunching { fence, .. } => {
                if self.fences.get(session).is_some_and(|used| used >= fence) {
                    return Err(illegal(record, "its fence was used before"));
                }
                self.fences.insert(session.clone(), *fence);
                moving.stage = MoveStage::Launching { fence: *fence };
            }
            Record::MoveLaunched { pane, .. } => {
                moving.pane = Some(*pane);
                moving.stage = MoveStage::Launched { pane: *pane };
                self.resumed.insert(session.clone());
            }
            Record::MoveEnded { outcome, .. } => match outcome {
                MoveOutcome::Held => moving.stage = MoveStage::Held,
                MoveOutcome::Verified
                | MoveOutcome::Blocked { .. }
                | MoveOutcome::Failed { .. }
                | MoveOutcome::Dropped { .. } => {
                    self.moves.remove(session);
                }
            },
            _ => return Err(illegal(record, "it is not a move's record")),
        }
        Ok(())
    }
}

/// The arrows of the swap: which record may come in which phase.
fn follows(swap: &OpenSwap, record: &Record) -> bool {
    let phase = swap.phase;
    match record {
        Record::SwapChecked { .. } => phase == Phase::Planned,
        Record::SwapSaved { .. } => {
            phase == Phase::Checked || (phase == Phase::Aborting && !swap.way_back_saved)
        }
        Record::SwapStopped { .. } => phase == Phase::Saved,
        Record::SwapFlipped { .. } => phase == Phase::Stopped,
        Record::SwapCanaryProven { .. } => phase == Phase::Flipped && !swap.canary_proven,
        Record::SwapRelaunched { .. } => phase == Phase::Flipped && swap.canary_proven,
        Record::SwapVerified { .. } => phase == Phase::Relaunched,
        Record::SwapDone { .. } => phase == Phase::Verified,
        Record::SwapRetargeted { .. } | Record::SwapAborting { .. } => phase < Phase::Verified,
        Record::SwapUnflipped { .. } => phase == Phase::Aborting && swap.way_back_saved,
        Record::SwapRestored { .. } => phase == Phase::Unflipped,
        Record::SwapRolledBack { .. } => phase == Phase::Restored,
        Record::SwapStuck { .. } => phase == Phase::Aborting,
        Record::StuckCleared { .. } => phase == Phase::Stuck,
        _ => false,
    }
}

fn illegal(record: &Record, why: &str) -> IllegalRecord {
    IllegalRecord { record: record.name().to_owned(), why: why.to_owned() }
}
