//! Whether a target takes requests, found out before anybody is moved to it.
//!
//! A reset that has passed, or a login that was mended, only makes it probable. One agent that owes
//! us work goes first, alone, and comes back to its work if it is answered; where there is none, one
//! headless request asks. A refusal costs nobody else anything: nobody has been ended for it.

use std::collections::BTreeSet;

use crate::core::Core;
use crate::core::account::FIVE_HOURS_MAX;
use crate::core::action::{Action, OrderId};
use crate::core::durable::{OpenSwap, Phase};
use crate::core::event::ProbeEnd;
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record};
use crate::core::standing::{Limit, PlanWindow};
use crate::core::trigger::EvidenceSource;
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;
use crate::quota::verdict::{Reading, Verdict};

/// What was tried for the open swap in this life. A daemon that starts anew asks again.
#[derive(Debug, Default)]
pub struct Proof {
    op: OpId,
    /// Canaries that came to nothing: they cannot be ended, or do not come up.
    tried: BTreeSet<SessionName>,
}

impl Core {
    /// Whether the target must prove itself before this swap touches anybody.
    pub(in crate::core) fn must_prove(&self, swap: &OpenSwap) -> bool {
        self.is_unproven(&swap.target)
    }

    /// By one of the agents that are to move, else by a headless request.
    pub(in crate::core) fn prove(&mut self, swap: &OpenSwap, moves: Vec<Move>) {
        if self.proof.op != swap.op {
            self.proof = Proof { op: swap.op, ..Proof::default() };
        }
        let goes_first = |moving: &Move| {
            moving.stage == MoveStage::Stopping
                && moving.agent.conversation.is_some()
                && self.nudge(moving).is_some()
                && !self.proof.tried.contains(&moving.session)
        };
        match moves.into_iter().find(goes_first) {
            Some(canary) => {
                self.proof.tried.insert(canary.session.clone());
                self.orders.forget(&Slot::Launch(canary.session.clone()));
                self.orders.forget(&Slot::Read(canary.session.clone()));
                let canary = Box::new(Move { cause: MoveCause::Swap, ..canary });
                self.tell_attached(swap, std::slice::from_ref(&*canary));
                self.persist(Record::SwapProbing { op: swap.op, canary });
            }
            None => {
                if let Some(order) = self.open_order(Slot::Probe, Vec::new()) {
                    let account = swap.target.clone();
                    self.out.push(Action::ProbeAccount { order, account });
                }
            }
        }
    }

    /// The canary is through with its part: proven, or gone in a way that says nothing of the account.
    pub(in crate::core) fn finish_probing(&mut self, op: OpId) -> bool {
        let is_canary = |moving: &&Move| {
            moving.op == op && moving.cause == MoveCause::Swap && !self.is_left_over(moving)
        };
        let mut canaries = self.durable.moves.values().filter(is_canary);
        if canaries.any(|canary| canary.stage != MoveStage::Held) {
            return false;
        }
        self.persist(Record::SwapProbed { op });
        true
    }

    /// A canary that is up was refused there as it was before: it waits where it is, alive. Before the
    /// flip nobody else has been launched by this swap.
    pub(in crate::core) fn leave_canary(&mut self, swap: &OpenSwap) {
        if self.has_flipped(swap) {
            return;
        }
        let up = |moving: &&Move| {
            let launched =
                matches!(moving.stage, MoveStage::Launching { .. } | MoveStage::Launched { .. });
            let lives = self.agent_in(&moving.session).is_some_and(|agent| {
                agent.process != moving.agent.process
                    && agent.conversation == moving.agent.conversation
            });
            moving.op == swap.op && launched && lives
        };
        // More than one, when a target before this one has refused the first.
        let canaries: Vec<SessionName> =
            self.durable.moves.values().filter(up).map(|moving| moving.session.clone()).collect();
        for session in canaries {
            let reason = "its account does not take it either; it waits there".to_owned();
            self.end_move(&session, MoveOutcome::Dropped { reason });
        }
    }

    pub(in crate::core) fn account_probed(
        &mut self,
        order: OrderId,
        account: &AccountName,
        result: Result<ProbeEnd, String>,
    ) {
        if self.orders.answer(&Slot::Probe, order).is_none() {
            return;
        }
        let asked = self.durable.swap.as_ref().is_some_and(|swap| swap.target == *account);
        if self.phase_op(Phase::Checked).is_none() || !asked {
            return;
        }
        match result {
            Ok(ProbeEnd::Answered) => self.account_proven(account, None),
            Ok(ProbeEnd::Refused(reading)) => self.probe_refused(account, &reading),
            Err(why) => self.probe_failed(&why),
        }
    }

    fn probe_refused(&mut self, account: &AccountName, reading: &Reading) {
        let now = self.now.wall;
        match (PlanWindow::of(&reading.verdict), &reading.verdict) {
            // What a headless request pays with may be another purse: believed once, not for ever.
            (Some(PlanWindow::Spend), _) if self.standing(account).misses > 0 => {
                self.probe_failed(&reading.row);
            }
            (Some(window), _) => {
                let limit = self.limit_of(account, reading, now, EvidenceSource::Probe);
                self.account_refused(account, window, limit);
            }
            (None, Verdict::AuthFailed) => {
                let (account, reason) = (account.clone(), reading.row.clone());
                self.persist(Record::LoginFailed { account, reason, at: now });
            }
            (None, _) => self.probe_failed(&reading.row),
        }
    }

    /// Nobody can tell beforehand: the swap goes on, and its canary tells.
    pub(in crate::core) fn probe_failed(&mut self, why: &str) {
        let Some(account) = self.durable.swap.as_ref().map(|swap| swap.target.clone()) else {
            return;
        };
        if self.is_unproven(&account) {
            let (reason, at) = (why.to_owned(), self.now.wall);
            self.persist(Record::AccountTrusted { account, reason, at });
        }
    }

    /// What a refusal says of the account.
    pub(in crate::core) fn limit_of(
        &self,
        account: &AccountName,
        reading: &Reading,
        at: Wall,
        evidence: EvidenceSource,
    ) -> Limit {
        let named = reading.verdict.resets_at();
        let printed = named.filter(|end| *end > at);
        let mut until = printed.unwrap_or(at + self.unprinted(account, named));
        if PlanWindow::of(&reading.verdict) == Some(PlanWindow::FiveHour) {
            // A clock time that has just passed is read as tomorrow's.
            until = until.min(at + FIVE_HOURS_MAX);
        }
        Limit {
            row: reading.row.clone(),
            evidence,
            session: None,
            since: at,
            until,
            printed: printed.is_some(),
        }
    }
}
