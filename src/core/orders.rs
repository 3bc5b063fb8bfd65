//! Orders that wait for their answer. A slot holds at most one; a lost answer is asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::action::OrderId;
use crate::ids::{ProcessRef, SessionName, TaskRef};
use crate::moment::Mono;

/// Times one slot is ordered before the core takes silence for failure.
const ATTEMPTS_MAX: u32 = 3;

/// What the core may wait for. Everything that can be in flight at once is a slot of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Check,
    /// The headless request to an unproven target.
    Probe,
    /// The look at all agents before they are saved.
    Look,
    /// The first look at the processes of sessions that have just become known.
    Survey,
    Stop,
    /// Of its own, so that no task holds up a swap.
    StopForTasks,
    Flip,
    Create(SessionName),
    Launch(SessionName),
    Read(SessionName),
    Claim(TaskRef),
    /// A release or a close.
    Close(TaskRef),
    /// The signal directory.
    Clear(SessionName),
    /// What a conversation says at its end.
    Talk(SessionName),
    Dialog(SessionName),
}

impl Slot {
    /// Longer than any executor may take: its own limits come first.
    fn timeout(&self, stop_grace: Duration) -> Duration {
        match self {
            Slot::Check | Slot::Create(_) | Slot::Launch(_) => Duration::from_secs(20),
            Slot::Look
            | Slot::Survey
            | Slot::Flip
            | Slot::Read(_)
            | Slot::Clear(_)
            | Slot::Dialog(_) => Duration::from_secs(10),
            // The client itself retries for minutes; its runner has a bound of its own.
            Slot::Probe => Duration::from_secs(90),
            // Behind a rescan of everything, or a conversation of many megabytes.
            Slot::Claim(_) | Slot::Close(_) | Slot::Talk(_) => Duration::from_secs(30),
            Slot::Stop | Slot::StopForTasks => stop_grace + Duration::from_secs(10),
        }
    }
}

/// The slots that one executor serves, one after the other.
const SWITCHER: [Slot; 4] = [Slot::Check, Slot::Stop, Slot::StopForTasks, Slot::Flip];

#[derive(Debug, Clone)]
pub struct Pending {
    pub order: OrderId,
    pub deadline: Mono,
    /// The sessions that a `Stop`, `Look` or `Survey` order covers.
    pub covers: Vec<SessionName>,
    /// The processes that a `Stop` order ends. Who is to be ended since then is asked for in turn.
    pub ends: Vec<ProcessRef>,
}

#[derive(Debug, Default)]
pub struct Orders {
    last: OrderId,
    pending: BTreeMap<Slot, Pending>,
    attempts: BTreeMap<Slot, u32>,
}

/// What became of a slot whose answer did not come.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    AskAgain,
    GiveUp,
}

impl Orders {
    /// A number for a new order in `slot`; `None` while the slot waits for an answer.
    pub fn open(
        &mut self,
        slot: Slot,
        covers: Vec<SessionName>,
        now: Mono,
        stop_grace: Duration,
    ) -> Option<OrderId> {
        if self.pending.contains_key(&slot) {
            return None;
        }
        self.last = OrderId(self.last.0 + 1);
        let deadline = now + slot.timeout(stop_grace) + self.before(&slot, stop_grace);
        let ends = Vec::new();
        self.pending.insert(slot, Pending { order: self.last, deadline, covers, ends });
        Some(self.last)
    }

    /// How long others may take that are served before it.
    fn before(&self, slot: &Slot, stop_grace: Duration) -> Duration {
        if !SWITCHER.contains(slot) {
            return Duration::ZERO;
        }
        let waits = SWITCHER.iter().filter(|other| self.pending.contains_key(other));
        waits.map(|other| other.timeout(stop_grace)).sum()
    }

    /// What came up in this session since they were ordered is not seen by the looks on their way.
    pub fn uncover(&mut self, session: &SessionName) {
        for slot in [Slot::Look, Slot::Survey] {
            if let Some(pending) = self.pending.get_mut(&slot) {
                pending.covers.retain(|covered| covered != session);
            }
        }
    }

    /// What the order just opened in `slot` ends.
    pub fn ends(&mut self, slot: &Slot, processes: &[ProcessRef]) {
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.ends = processes.to_vec();
        }
    }

    /// Takes the pending order that `order` answers. `None`: it is stale, drop the answer.
    pub fn answer(&mut self, slot: &Slot, order: OrderId) -> Option<Pending> {
        if self.pending.get(slot)?.order != order {
            return None;
        }
        self.attempts.remove(slot);
        self.pending.remove(slot)
    }

    /// The pending order, if `order` is its number; it stays pending.
    pub fn pending(&self, slot: &Slot, order: OrderId) -> Option<&Pending> {
        self.pending.get(slot).filter(|pending| pending.order == order)
    }

    /// Slots whose answer is overdue, and whether to ask again.
    pub fn overdue(&mut self, now: Mono) -> Vec<(Slot, Pending, Silence)> {
        let late: Vec<(Slot, Pending)> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now)
            .map(|(slot, pending)| (slot.clone(), pending.clone()))
            .collect();
        late.into_iter()
            .map(|(slot, pending)| {
                self.pending.remove(&slot);
                let attempts = self.attempts.entry(slot.clone()).or_default();
                *attempts += 1;
                let silence =
                    if *attempts < ATTEMPTS_MAX { Silence::AskAgain } else { Silence::GiveUp };
                if silence == Silence::GiveUp {
                    self.attempts.remove(&slot);
                }
                (slot, pending, silence)
            })
            .collect()
    }

    /// Nobody could answer for so long.
    pub fn sleep(&mut self, length: Duration) {
        for pending in self.pending.values_mut() {
            pending.deadline = pending.deadline + length;
        }
    }

    /// Forgets what was asked in `slot`; its answer will be stale.
    pub fn forget(&mut self, slot: &Slot) {
        self.pending.remove(slot);
        self.attempts.remove(slot);
    }

    pub fn is_open(&self, slot: &Slot) -> bool {
        self.pending.contains_key(slot)
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Mono> {
        self.pending.values().map(|pending| pending.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(orders: &mut Orders, now: Mono) -> Vec<(Slot, Silence)> {
        orders.overdue(now).into_iter().map(|(slot, _, silence)| (slot, silence)).collect()
    }

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn a_slot_waits_for_its_own_answer_only() {
        let mut orders = Orders::default();
        let first = orders.open(Slot::Flip, vec![], Mono(0), GRACE).expect("the slot is free");
        assert_eq!(orders.open(Slot::Flip, vec![], Mono(0), GRACE), None);
        assert!(orders.answer(&Slot::Check, first).is_none());
        assert!(orders.answer(&Slot::Flip, first).is_some());
        assert!(orders.answer(&Slot::Flip, first).is_none(), "a doubled answer is stale");
    }

    #[test]
    fn what_waits_behind_another_order_of_its_executor_has_more_time() {
        let grace = Duration::from_secs(60);
        let mut orders = Orders::default();
        orders.open(Slot::StopForTasks, vec![], Mono(0), grace).expect("the slot is free");
        orders.open(Slot::Flip, vec![], Mono(1_000), grace).expect("the slot is free");
        orders.open(Slot::Look, vec![], Mono(1_000), grace).expect("the slot is free");
        let pending = |slot| orders.pending[&slot].deadline;
        assert_eq!(pending(Slot::StopForTasks), Mono(70_000));
        assert_eq!(pending(Slot::Flip), Mono(81_000));
        assert_eq!(pending(Slot::Look), Mono(11_000), "somebody else looks");
    }

    #[test]
    fn silence_is_asked_about_again_and_then_taken_for_failure() {
        let mut orders = Orders::default();
        let mut now = Mono(0);
        for expected in [Silence::AskAgain, Silence::AskAgain, Silence::GiveUp] {
            orders.open(Slot::Flip, vec![], now, GRACE).expect("the slot is free");
            assert_eq!(said(&mut orders, now), vec![]);
            now = orders.next_deadline().expect("one is pending");
            assert_eq!(said(&mut orders, now), vec![(Slot::Flip, expected)]);
        }
        assert!(orders.is_empty());
    }
}
