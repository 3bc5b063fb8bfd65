//! What the records of a move change: one agent on its way to another account.

use crate::core::durable::{Durable, IllegalRecord, illegal};
use crate::core::job::Job;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record, SavedAgent};
use crate::ids::{AccountName, OpId, SessionName};

impl Durable {
    pub(in crate::core::durable) fn plan_restore(
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
            beside: Vec::new(),
            stage: MoveStage::Stopping,
        };
        self.moves.insert(session.clone(), restore);
    }

    pub(in crate::core::durable) fn apply_move(
        &mut self,
        session: &SessionName,
        record: &Record,
    ) -> Result<(), IllegalRecord> {
        let Some(moving) = self.moves.get_mut(session) else {
            return Err(illegal(record, "no such move is open"));
        };
        match record {
            Record::MoveStopping { process, finished, until, .. } => {
                moving.agent.process = *process;
                moving.cut &= !finished;
                moving.stage = MoveStage::Stopping;
                if let Some(until) = *until {
                    if moving.cause == MoveCause::Swap {
                        moving.cause = MoveCause::Straggler;
                    }
                    moving.stage = MoveStage::Staying { until };
                    moving.refused = false; // it takes turns there
                    moving.cut = true; // until it has finished
                }
            }
            Record::MoveStopped { .. } => {
                moving.stage = MoveStage::Stopped;
                if let Some(job) = self.jobs.get_mut(session)
                    && job.process == Some(moving.agent.process)
                {
                    job.process = None; // its next one is not known yet
                }
            }
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
                // Where a task has just begun, or is over, another one may come back.
                let is_its_own = |job: &&mut Job| job.conversation == moving.agent.conversation;
                if let Some(job) = self.jobs.get_mut(session).filter(is_its_own) {
                    job.pane = Some(*pane);
                    // Whoever finishes it is told; one that was launched for nobody has none.
                    job.account = job.account.take().map(|_| moving.target.clone());
                }
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
