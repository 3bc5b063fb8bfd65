//! What the records of a swap change: its phases, and the arrows between them.

use crate::core::durable::{
    Durable, IllegalRecord, LastSwap, OpenSwap, Phase, SWAP_TIMES_MAX, SwapOutcome, illegal,
};
use crate::core::event::StuckVerb;
use crate::core::record::{Move, MoveCause, MoveStage, Record};
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, OpId};
use crate::moment::Wall;

impl Durable {
    pub(in crate::core::durable) fn open_swap(
        &mut self,
        op: OpId,
        at: Wall,
        source: &AccountName,
        target: &AccountName,
        trigger: &Trigger,
    ) {
        self.last_op = op;
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

    pub(in crate::core::durable) fn apply_swap(
        &mut self,
        op: OpId,
        record: &Record,
    ) -> Result<(), IllegalRecord> {
        let Some(swap) = self.swap.as_mut().filter(|swap| swap.op == op) else {
            return Err(illegal(record, "no such swap is open"));
        };
        if !follows(swap, record) {
            return Err(illegal(record, &format!("the swap is in phase {:?}", swap.phase)));
        }
        match record {
            Record::SwapChecked { .. } | Record::SwapProbed { .. } => swap.phase = Phase::Checked,
            Record::SwapProbing { canary, .. } => {
                swap.phase = Phase::Probing;
                self.save_moves(std::slice::from_ref(canary));
            }
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
            Record::SwapFlipped { at, moved, .. } => {
                swap.phase = Phase::Flipped;
                let changed = swap.source != swap.target;
                self.active = Some(swap.target.clone());
                // Waking where we are moves no link, unless somebody else had.
                if changed || *moved {
                    self.active_since = *at;
                }
                if changed {
                    self.count_flip(*at);
                }
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
            Record::SwapUnflipped { at, moved, .. } => {
                swap.phase = Phase::Unflipped;
                if swap.source != swap.target || *moved {
                    self.active_since = *at;
                }
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

    /// While nobody can work no task's time runs.
    fn stretch_jobs(&mut self, length: std::time::Duration) {
        for job in self.jobs.values_mut() {
            job.received_at = job.received_at.map(|received| received + length);
        }
    }

    fn count_flip(&mut self, at: Wall) {
        self.swap_times.push(at);
        if self.swap_times.len() > SWAP_TIMES_MAX {
            self.swap_times.remove(0);
        }
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
        if outcome == SwapOutcome::Done {
            if let Some(parked) = self.parked.take() {
                self.stretch_jobs(at - parked.since);
            }
            if let Trigger::Preempt { until, .. } = swap.trigger {
                self.standing_mut(&swap.source).spared_until = Some(until);
            }
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
}

/// The arrows of the swap: which record may come in which phase.
fn follows(swap: &OpenSwap, record: &Record) -> bool {
    let phase = swap.phase;
    match record {
        Record::SwapChecked { .. } => phase == Phase::Planned,
        Record::SwapProbing { .. } => phase == Phase::Checked,
        Record::SwapProbed { .. } => phase == Phase::Probing,
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
