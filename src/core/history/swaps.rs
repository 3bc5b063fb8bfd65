//! What the records of swaps and moves tell.
//!
//! A move's end names its session alone. It is told of the swap or restore that saved the session's move
//! last; when that record is missing, of nobody.

use crate::core::event::StuckVerb;
use crate::core::history::entry::{Happening, Reason};
use crate::core::history::swap::{
    Canary, CanaryEnd, Cause, Counts, MoveEnd, Restore, Stuck, Swap, SwapEnd,
};
use crate::core::history::{History, ms};
use crate::core::record::{Move, MoveOutcome, Record};
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

impl History {
    pub(in crate::core::history) fn take_swap(&mut self, record: &Record) {
        match record {
            Record::SwapPlanned { op, at, source, target, trigger, because, passed_over } => {
                self.lose_swap();
                let mut swap = Swap::new(*op, self.moment(*at), source, target, trigger);
                because.clone_into(&mut swap.because);
                swap.passed_over = passed_over.iter().map(Reason::of).collect();
                self.push_swap(swap);
            }
            Record::SwapProbing { op, canary } => self.probing(*op, canary),
            Record::SwapProbed { .. } => self.end_canary(CanaryEnd::Unanswered, None),
            Record::SwapRetargeted { rejected, reason, target, .. } => {
                self.end_canary(CanaryEnd::Failed, Some(reason));
                let Some(swap) = self.open_swap() else { return };
                let failed = (rejected.clone(), reason.clone());
                swap.failed_targets.push(Reason::of(&failed));
                swap.to = target.clone();
                (swap.canary, swap.flipped_after_ms, swap.relaunched_after_ms) = (None, None, None);
            }
            Record::SwapSaved { op, moves } => self.saved(*op, moves),
            Record::SwapFlipped { at, .. } => {
                let at = self.moment(*at);
                if let Some(swap) = self.open_swap() {
                    swap.flipped_after_ms = Some(ms(at, swap.planned_at));
                }
            }
            Record::SwapCanaryProven { session, .. } => {
                if let Some(swap) = self.open_swap() {
                    swap.canary.clone_from(session);
                }
            }
            Record::SwapRelaunched { at, .. } => {
                if let Some(swap) = self.open_swap() {
                    swap.relaunched_after_ms = Some(ms(*at, swap.planned_at));
                }
            }
            Record::SwapAborting { reason, .. } => {
                self.end_canary(CanaryEnd::Failed, Some(reason));
                if let Some(swap) = self.open_swap() {
                    swap.trouble = Some(reason.clone());
                }
            }
            Record::SwapDone { op, at } => {
                self.end_swap(SwapEnd::Done, *at);
                self.end_parking(Some(*op), *at);
            }
            Record::SwapRolledBack { at, .. } => self.end_swap(SwapEnd::RolledBack, *at),
            Record::SwapStuck { reason, .. } => {
                let (at, reason) = (self.at, reason.clone());
                if let Some(swap) = self.open_swap() {
                    swap.outcome = SwapEnd::Stuck;
                    swap.stuck.push(Stuck { at, reason, ended_by: None, ended_at: None });
                }
            }
            Record::StuckCleared { verb, .. } => self.unstick(*verb),
            _ => unreachable!("only records of swaps come here"),
        }
    }

    pub(in crate::core::history) fn take_move(&mut self, record: &Record) {
        match record {
            Record::RestorePlanned { op, session, target, cut, .. } => {
                let restore = Restore {
                    op: *op,
                    session: session.clone(),
                    account: target.clone(),
                    cut: *cut,
                    outcome: MoveEnd::Open,
                    reason: None,
                    ended_at: None,
                    took_ms: None,
                };
                self.take_over(session, *op);
                let id = self.push(self.at, Happening::Restore(restore));
                self.moves.insert(session.clone(), (*op, id));
            }
            // One that stayed follows now, unless it has a turn to finish.
            Record::MoveStopping { session, until, .. } => {
                self.set_move(session, MoveEnd::by_stop(*until), None, None);
            }
            Record::MoveEnded { session, outcome } => {
                let (end, reason) = MoveEnd::of(outcome);
                self.set_move(session, end, reason, Some(self.at));
                if *outcome != MoveOutcome::Held {
                    self.moves.remove(session);
                }
            }
            _ => unreachable!("only records of moves come here"),
        }
    }

    pub(in crate::core::history) fn set_move(
        &mut self,
        session: &SessionName,
        outcome: MoveEnd,
        reason: Option<String>,
        ended_at: Option<Wall>,
    ) {
        let Some((_, id)) = self.moves.get(session).copied() else { return };
        let Some(began) = self.began(id) else { return };
        match self.what(id) {
            Some(Happening::Swap(swap)) => swap.set_move(session, outcome, reason, ended_at),
            Some(Happening::Restore(restore)) => {
                restore.outcome = outcome;
                restore.reason = reason;
                restore.ended_at = ended_at;
                restore.took_ms = ended_at.map(|at| ms(at, began));
            }
            _ => {}
        }
    }

    fn saved(&mut self, op: OpId, moves: &[Move]) {
        for saved in moves {
            self.own_move(op, &saved.session, MoveEnd::by(&saved.stage));
        }
    }

    /// From now on this session's move is the open swap's.
    fn own_move(&mut self, op: OpId, session: &SessionName, outcome: MoveEnd) {
        let Some((open, id)) = self.swap.filter(|(open, _)| *open == op) else { return };
        self.take_over(session, open);
        self.moves.insert(session.clone(), (open, id));
        if let Some(Happening::Swap(swap)) = self.what(id) {
            swap.set_move(session, outcome, None, None);
        }
    }

    /// A restore whose agent another operation takes along comes to no end of its own.
    fn take_over(&mut self, session: &SessionName, by: OpId) {
        let known = self.moves.get(session).map(|(op, id)| (*op, *id));
        let Some((_, id)) = known.filter(|(op, _)| *op != by) else { return };
        if let Some(Happening::Restore(restore)) = self.what(id)
            && restore.ended_at.is_none()
        {
            let reason = Some(format!("taken along by {by}"));
            self.set_move(session, MoveEnd::Held, reason, Some(self.at));
        }
    }

    fn probing(&mut self, op: OpId, canary: &Move) {
        self.own_move(op, &canary.session, MoveEnd::Open);
        let entry = Canary {
            op,
            session: canary.session.clone(),
            account: canary.target.clone(),
            outcome: CanaryEnd::Open,
            reason: None,
            ended_at: None,
            took_ms: None,
        };
        self.canary = Some(self.push(self.at, Happening::Canary(entry)));
    }

    pub(in crate::core::history) fn end_canary_of(
        &mut self,
        account: &AccountName,
        how: CanaryEnd,
        reason: Option<&str>,
    ) {
        let asked = match self.canary.and_then(|id| self.what(id)) {
            Some(Happening::Canary(canary)) => canary.account == *account,
            _ => false,
        };
        if asked {
            self.end_canary(how, reason);
        }
    }

    fn end_canary(&mut self, how: CanaryEnd, reason: Option<&str>) {
        let at = self.at;
        let Some(id) = self.canary.take() else { return };
        let Some(began) = self.began(id) else { return };
        if let Some(Happening::Canary(canary)) = self.what(id) {
            canary.outcome = how;
            canary.reason = reason.map(str::to_owned);
            canary.ended_at = Some(at);
            canary.took_ms = Some(ms(at, began));
        }
    }

    fn unstick(&mut self, verb: StuckVerb) {
        let at = self.at;
        let Some(swap) = self.open_swap() else { return };
        if let Some(stuck) = swap.stuck.last_mut() {
            (stuck.ended_by, stuck.ended_at) = (Some(verb), Some(at));
        }
        match verb {
            StuckVerb::Rollback | StuckVerb::Resume => swap.outcome = SwapEnd::Open,
            StuckVerb::Clear => self.end_swap(SwapEnd::Cleared, at),
        }
    }

    pub(in crate::core::history) fn push_swap(&mut self, swap: Swap) {
        let (op, at) = (swap.op, swap.planned_at);
        self.swap = Some((op, self.push(at, Happening::Swap(Box::new(swap)))));
    }

    pub(in crate::core::history) fn open_swap(&mut self) -> Option<&mut Swap> {
        let (_, id) = self.swap?;
        match self.what(id) {
            Some(Happening::Swap(swap)) => Some(swap),
            _ => None,
        }
    }

    pub(in crate::core::history) fn end_swap(&mut self, how: SwapEnd, at: Wall) {
        let at = self.moment(at);
        if let Some(swap) = self.open_swap() {
            swap.outcome = how;
            swap.ended_at = Some(at);
            swap.took_ms = (how != SwapEnd::Unknown).then(|| ms(at, swap.planned_at));
            swap.leave_open_moves(match how {
                SwapEnd::Unknown => MoveEnd::Unknown,
                _ => MoveEnd::Held,
            });
        }
        self.end_canary(CanaryEnd::Unanswered, None);
        self.swap = None;
    }

    /// Another one is open by now, or none: how this one ended, nobody has written down here.
    pub(in crate::core::history) fn lose_swap(&mut self) {
        let at = self.at;
        if self.swap.is_some() {
            self.end_swap(SwapEnd::Unknown, at);
        }
    }
}

impl Swap {
    pub(in crate::core::history) fn new(
        op: OpId,
        planned_at: Wall,
        from: &AccountName,
        to: &AccountName,
        trigger: &Trigger,
    ) -> Self {
        Self {
            op,
            from: from.clone(),
            to: to.clone(),
            outcome: SwapEnd::Open,
            trigger: Cause::from(trigger),
            because: String::new(),
            passed_over: Vec::new(),
            failed_targets: Vec::new(),
            trouble: None,
            stuck: Vec::new(),
            sessions: Counts::default(),
            moves: Vec::new(),
            canary: None,
            planned_at,
            flipped_after_ms: None,
            relaunched_after_ms: None,
            ended_at: None,
            took_ms: None,
            restarts: 0,
            partial: false,
        }
    }
}
