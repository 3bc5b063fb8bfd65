//! The swap: `Planned → Checked → Saved → Stopped → Flipped → Relaunched → Verified → Done`, the
//! next target when one fails, and the way back: `Aborting → Unflipped → Restored → RolledBack`.
//!
//! Each phase is a record: the proof of the step before and the intent of the step after. So
//! `Core::advance_swap` needs no memory of its own; after a crash it goes on from the phase.

use crate::core::account::REJECTED_FOR;
use crate::core::action::{Action, NoteLevel, OrderId};
use crate::core::choice::Purpose;
use crate::core::durable::{OpenSwap, Phase};
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record};
use crate::core::session::Session;
use crate::core::trigger::Trigger;
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, OpId, SessionName};

impl Core {
    /// One step of the open swap. True when the state changed, so that there may be another.
    pub(in crate::core) fn advance_swap(&mut self) -> bool {
        let Some(swap) = &self.durable.swap else {
            return false;
        };
        let swap = swap.clone();
        if swap.phase < Phase::Verified && !self.is_usable(&swap.target) {
            let reason = self.bar(&swap.target).unwrap_or_default();
            self.target_failed(reason);
            return true;
        }
        // It was proven before anybody was touched. Refused since, and reset while we were away.
        if (Phase::Saved..Phase::Verified).contains(&swap.phase) && self.is_unproven(&swap.target) {
            self.target_failed("it was refused meanwhile, and is still to be proven".to_owned());
            return true;
        }
        match swap.phase {
            Phase::Planned => self.order_check(&swap.target),
            Phase::Checked => self.look_when_asked(),
            Phase::Probing => self.finish_probing(swap.op),
            Phase::Saved => self.finish_stopping(swap.op),
            Phase::Stopped => self.identify_then_flip(&swap),
            Phase::Flipped => self.finish_relaunching(&swap),
            Phase::Relaunched => self.finish_verifying(swap.op),
            Phase::Verified => self.finish(swap.op),
            Phase::Aborting => self.turn_back(&swap),
            Phase::Unflipped => self.finish_restoring(swap.op),
            Phase::Restored => self.finish_rollback(swap.op),
            Phase::Stuck => false,
        }
    }

    fn order_check(&mut self, target: &AccountName) -> bool {
        if let Some(order) = self.open_order(Slot::Check, Vec::new()) {
            self.out.push(Action::CheckTarget { order, account: target.clone() });
        }
        false
    }

    pub(in crate::core) fn target_checked(&mut self, order: OrderId, result: Result<(), String>) {
        if self.orders.answer(&Slot::Check, order).is_none() {
            return;
        }
        match (result, self.phase_op(Phase::Planned)) {
            (Ok(()), Some(op)) => self.persist(Record::SwapChecked { op }),
            (Err(reason), Some(_)) => self.target_failed(reason),
            (_, None) => {}
        }
    }

    /// Not while a headless request is on its way: what it comes to decides what is done.
    fn look_when_asked(&mut self) -> bool {
        if self.orders.is_open(&Slot::Probe) {
            return false;
        }
        self.order_look()
    }

    /// Only when the sessions are known, and by a watcher that has been told of them: who is not
    /// looked at would be left behind.
    fn order_look(&mut self) -> bool {
        if self.terminal != TerminalState::Seen {
            return false;
        }
        self.tell_sensors();
        // One that has just been made is not listed yet: the watcher knows nothing of its panes.
        let listed = self.sessions.iter().filter(|(_, session)| !session.panes.is_empty());
        let covers = listed.map(|(name, _)| name.clone()).collect();
        if let Some(order) = self.open_order(Slot::Look, covers) {
            self.out.push(Action::ObserveAgents { order });
        }
        false
    }

    /// The look that `Checked` and `Aborting` wait for has come in.
    pub(in crate::core) fn agents_looked_at(&mut self) {
        let Some(swap) = self.durable.swap.clone() else {
            return;
        };
        if self.sessions.values().any(Session::is_unseen) {
            return; // it came up since the look was ordered, which is ordered again
        }
        let moves = match swap.phase {
            Phase::Checked => {
                let moves = self.moves_to_target(&swap);
                if self.must_prove(&swap) {
                    return self.prove(&swap, moves);
                }
                match swap.trigger == Trigger::AccountReturned {
                    true => self.in_a_row(moves),
                    false => moves,
                }
            }
            Phase::Aborting if !swap.way_back_saved => {
                self.leave_canary(&swap);
                self.moves_back(&swap)
            }
            _ => return,
        };
        self.save(&swap, moves);
    }

    fn save(&mut self, swap: &OpenSwap, moves: Vec<Move>) {
        for saved in &moves {
            // A launch that is on its way, of a task or of an earlier move, is this move's matter from
            // now on: its answer would be taken for the answer to the swap's own.
            self.orders.forget(&Slot::Launch(saved.session.clone()));
            self.orders.forget(&Slot::Read(saved.session.clone()));
        }
        self.tell_attached(swap, &moves);
        if swap.phase == Phase::Checked {
            // What these sessions show now is saved as history with their moves. Who was refused and
            // is not among them is looked after when the swap is done.
            for saved in &moves {
                self.hits.remove(&saved.session);
            }
        }
        self.persist(Record::SwapSaved { op: swap.op, moves });
    }

    pub(in crate::core) fn tell_if_attached(&mut self, session: &SessionName, text: String) {
        let panes = self.sessions.get(session).map(|seen| seen.panes.as_slice());
        if panes.unwrap_or_default().iter().any(|pane| pane.attached > 0) {
            self.out.push(Action::TellSession { session: session.clone(), text });
        }
    }

    /// Whoever looks at a session hears of what is done there before it is done.
    pub(in crate::core) fn tell_attached(&mut self, swap: &OpenSwap, moves: &[Move]) {
        let text = match swap.source == swap.target {
            true => format!("claude-failover: {} takes requests again", swap.target),
            false => format!("claude-failover: moving from {} to {}", swap.source, swap.target),
        };
        for moving in moves {
            let then = match moving.stage {
                MoveStage::Staying { .. } => "this agent follows when it is at rest",
                _ => "this agent is ended and resumed now",
            };
            self.tell_if_attached(&moving.session, format!("{text}; {then}"));
        }
    }

    pub(in crate::core) fn look_failed(&mut self) {
        let why = "the agents could not be looked at".to_owned();
        if self.phase_op(Phase::Checked).is_some() {
            self.abort(why);
        } else if self.phase_op(Phase::Aborting).is_some() {
            self.stick(why);
        }
    }

    fn finish_stopping(&mut self, op: OpId) -> bool {
        if self.is_anybody_half_stopped(op) {
            return false;
        }
        self.persist(Record::SwapStopped { op });
        true
    }

    /// An agent that told nobody its conversation may have printed it when it ended.
    fn identify_then_flip(&mut self, swap: &OpenSwap) -> bool {
        if self.order_resume_rows(swap.op) {
            return false;
        }
        self.order_flip(swap.target.clone())
    }

    fn order_flip(&mut self, to: AccountName) -> bool {
        if let Some(order) = self.open_order(Slot::Flip, Vec::new()) {
            self.out.push(Action::FlipLink { order, to });
        }
        false
    }

    pub(in crate::core) fn link_flipped(&mut self, order: OrderId, result: Result<(), String>) {
        if self.orders.answer(&Slot::Flip, order).is_none() {
            return;
        }
        let Some(swap) = &self.durable.swap else {
            return;
        };
        let (op, phase, at) = (swap.op, swap.phase, self.now.wall);
        let strayed = self.link_seen != self.durable.active
            || self.link_moved_at.is_some_and(|at| (swap.planned_at..=self.now.wall).contains(&at));
        let moved = strayed && swap.source == swap.target;
        match (phase, result) {
            (Phase::Stopped, Ok(())) => {
                self.flipped_at = Some(self.now.monotonic);
                self.persist(Record::SwapFlipped { op, at, moved });
            }
            (Phase::Aborting, Ok(())) => {
                self.flipped_at = Some(self.now.monotonic);
                self.persist(Record::SwapUnflipped { op, at, moved });
            }
            (_, Ok(())) => {}
            (_, Err(why)) => self.flip_failed(&why),
        }
    }

    pub(in crate::core) fn flip_failed(&mut self, why: &str) {
        if self.phase_op(Phase::Stopped).is_some() {
            let why = format!("the link could not be flipped: {why}");
            // Otherwise the same swap is planned again as soon as this one is rolled back.
            self.reject_target(&why);
            self.abort(why);
        } else if self.phase_op(Phase::Aborting).is_some() {
            self.stick(format!("the link could not be flipped back: {why}"));
        }
    }

    /// The canary first; when it is proven, all others at once.
    fn finish_relaunching(&mut self, swap: &OpenSwap) -> bool {
        if !swap.canary_proven {
            if self.canary(swap).is_some() {
                return false;
            }
            self.persist(Record::SwapCanaryProven { op: swap.op, session: None });
            return true;
        }
        let waits = self.any_move(swap.op, |stage| {
            matches!(stage, MoveStage::Stopping | MoveStage::Stopped | MoveStage::Launching { .. })
        });
        if waits {
            return false;
        }
        self.persist(Record::SwapRelaunched { op: swap.op, at: self.now.wall });
        true
    }

    /// The move that goes first: the one under way, else a pool agent (it is nudged, so it
    /// answers), else the first by name. `None` when there is nobody left to send.
    pub(in crate::core) fn canary(&self, swap: &OpenSwap) -> Option<SessionName> {
        let mine = |moving: &&Move| moving.op == swap.op && moving.cause == MoveCause::Swap;
        let moves = || self.durable.moves.values().filter(mine);
        let under_way = moves().find(|moving| {
            matches!(moving.stage, MoveStage::Launching { .. } | MoveStage::Launched { .. })
        });
        let waiting =
            || moves().filter(|m| matches!(m.stage, MoveStage::Stopped | MoveStage::Stopping));
        under_way
            .or_else(|| waiting().find(|moving| self.nudge(moving).is_some()))
            .or_else(|| waiting().next())
            .map(|moving| moving.session.clone())
    }

    fn finish_verifying(&mut self, op: OpId) -> bool {
        if self.any_move(op, |stage| *stage != MoveStage::Held) {
            return false;
        }
        self.persist(Record::SwapVerified { op });
        true
    }

    fn finish(&mut self, op: OpId) -> bool {
        self.persist(Record::SwapDone { op, at: self.now.wall });
        if self.linked_foreign > 0 {
            let text = format!(
                "op={op} linked_foreign={}: agents outside our sessions follow the link from \
                 their next request",
                self.linked_foreign
            );
            self.note(NoteLevel::Warn, text);
        }
        true
    }

    /// The target leaves the candidates; the next one is tried, or the swap turns back.
    pub(in crate::core) fn target_failed(&mut self, reason: String) {
        let Some(swap) = self.durable.swap.clone() else {
            return;
        };
        if swap.phase >= Phase::Verified {
            return;
        }
        self.note(
            NoteLevel::Warn,
            format!("op={} target={} failed: {reason}", swap.op, swap.target),
        );
        self.reject_target(&reason);
        self.forget_forward_orders();
        match self.choose_target(&swap.source, Purpose::of(&swap.trigger)) {
            Some(target) => {
                let op = swap.op;
                let rejected = swap.target;
                self.persist(Record::SwapRetargeted { op, rejected, reason, target });
            }
            None => self.abort(format!("no account is left: {}: {reason}", swap.target)),
        }
    }

    /// It is no candidate for a while, unless worse is known of it.
    fn reject_target(&mut self, reason: &str) {
        let Some(account) = self.durable.swap.as_ref().map(|swap| swap.target.clone()) else {
            return;
        };
        if self.is_usable(&account) {
            let (at, reason) = (self.now.wall, reason.to_owned());
            let until = at + REJECTED_FOR;
            self.persist(Record::AccountRejected { account, reason, until, at });
        }
    }

    pub(in crate::core) fn abort(&mut self, reason: String) {
        let Some(op) = self.durable.swap.as_ref().map(|swap| swap.op) else {
            return;
        };
        self.forget_forward_orders();
        self.persist(Record::SwapAborting { op, reason });
    }

    /// Answers to what was ordered on the way forward must not be taken for the way back's.
    /// A launch among them may still run: the next one has a higher fence. A launch that is not this
    /// swap's own is not of its way: its answer says in which pane that agent is.
    fn forget_forward_orders(&mut self) {
        let op = self.durable.swap.as_ref().map(|swap| swap.op);
        let own = self.durable.moves.values().filter(|moving| Some(moving.op) == op);
        let launches: Vec<Slot> = own.map(|moving| Slot::Launch(moving.session.clone())).collect();
        for slot in [Slot::Check, Slot::Probe, Slot::Look, Slot::Flip].iter().chain(&launches) {
            self.orders.forget(slot);
        }
        self.watches.clear();
    }

    fn turn_back(&mut self, swap: &OpenSwap) -> bool {
        if !swap.way_back_saved {
            return self.order_look();
        }
        if self.is_anybody_half_stopped(swap.op) {
            return false;
        }
        self.order_flip(swap.source.clone())
    }

    /// Nobody may be at a flip: neither the swap's own nor those that follow one after the other.
    fn is_anybody_half_stopped(&self, op: OpId) -> bool {
        let stops = |moving: &Move| moving.op == op && moving.stage == MoveStage::Stopping;
        self.durable.moves.values().any(stops)
    }

    fn finish_restoring(&mut self, op: OpId) -> bool {
        let refused: Vec<SessionName> = self
            .durable
            .moves
            .values()
            .filter(|moving| moving.op == op && moving.cause == MoveCause::Swap)
            .filter(|moving| moving.refused && moving.stage != MoveStage::Held)
            .map(|moving| moving.session.clone())
            .collect();
        for session in refused {
            self.end_move(&session, MoveOutcome::Held);
        }
        if self.any_move(op, |stage| *stage != MoveStage::Held) {
            return false;
        }
        self.persist(Record::SwapRestored { op });
        true
    }

    fn finish_rollback(&mut self, op: OpId) -> bool {
        let turned_back =
            |moving: &&Move| moving.op == op && matches!(moving.stage, MoveStage::Staying { .. });
        let staying: Vec<SessionName> =
            self.durable.moves.values().filter(turned_back).map(|m| m.session.clone()).collect();
        for session in staying {
            let reason = "the swap that it was to follow has turned back".to_owned();
            self.end_move(&session, MoveOutcome::Dropped { reason });
        }
        self.persist(Record::SwapRolledBack { op, at: self.now.wall });
        true
    }

    /// The way back failed: nothing is tried again until an operator says how.
    pub(in crate::core) fn stick(&mut self, reason: String) {
        let Some(op) = self.durable.swap.as_ref().map(|swap| swap.op) else {
            return;
        };
        self.persist(Record::SwapStuck { op, reason });
    }

    /// Whether a move of this swap itself (not a straggler) is in a stage.
    pub(in crate::core) fn any_move(&self, op: OpId, is: impl Fn(&MoveStage) -> bool) -> bool {
        self.durable
            .moves
            .values()
            .any(|moving| moving.op == op && moving.cause == MoveCause::Swap && is(&moving.stage))
    }

    pub(in crate::core) fn phase_op(&self, phase: Phase) -> Option<OpId> {
        self.durable.swap.as_ref().filter(|swap| swap.phase == phase).map(|swap| swap.op)
    }
}
