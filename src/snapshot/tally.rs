//! How often and how long, since a moment: what metrics are made of. Pure.
//!
//! [`Tally`] takes the records of this life of the daemon and decides nothing. Lengths are by the wall
//! clock: one that was set back makes them zero.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::durable::{Durable, LastSwap, SwapOutcome};
use crate::core::job::Fate;
use crate::core::record::{MoveOutcome, Record};
use crate::core::standing::PlanWindow;
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, OpId};
use crate::moment::Wall;

/// Upper bounds of the lengths of swaps that are counted apart, in milliseconds: from a swap of idle
/// agents to one that waits for an agent's turn to end (`swap.busy_grace`).
pub const SWAP_BOUNDS_MS: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// The words of [`SwapOutcome`], of the kinds of [`Trigger`], of [`Fate`] and of [`MoveOutcome`].
pub const OUTCOMES: [&str; 3] = ["done", "rolled_back", "cleared"];
pub const TRIGGERS: [&str; 7] = [
    "refusal",
    "account_returned",
    "operator",
    "login_failed",
    "set_aside",
    "preempt",
    "preferred",
];
pub const FATES: [&str; 5] = ["done", "failed", "requeued", "given_back", "unknown"];
pub const MOVE_ENDS: [&str; 5] = ["resumed", "blocked", "failed", "held", "dropped"];

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Swaps that have ended, by outcome and trigger.
    pub swaps: BTreeMap<(&'static str, &'static str), u64>,
    /// From the decision to the end.
    pub swap_lengths: Lengths,
    /// From the decision to the start of the last agent; of swaps that came so far.
    pub relaunch_lengths: Lengths,
    /// How often an account was refused by a limit, or for longer.
    pub refusals: BTreeMap<(AccountName, PlanWindow), u64>,
    pub login_failures: BTreeMap<AccountName, u64>,
    pub parkings: u64,
    /// Of parkings that are over.
    pub parked: Duration,
    /// Since when nobody can work, or since the start of the tally.
    pub parked_since: Option<Wall>,
    /// Agents on their way, by how that ended.
    pub moves: BTreeMap<&'static str, u64>,
    pub sessions_created: u64,
    pub sessions_lost: u64,
    pub tasks_claimed: u64,
    /// Tasks that left their session, by what became of them.
    pub task_ends: BTreeMap<&'static str, u64>,
}

/// Lengths of time by their upper bounds in [`SWAP_BOUNDS_MS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lengths {
    /// How many were no longer than the bound, and longer than the one before.
    pub counts: [u64; SWAP_BOUNDS_MS.len()],
    pub count: u64,
    pub sum: Duration,
}

impl Tally {
    /// From `now` on; what went on before counts from then.
    pub fn start(state: &Durable, now: Wall) -> Self {
        Self { parked_since: state.parked.as_ref().map(|_| now), ..Self::default() }
    }

    /// One more record. `state` is what it has led to, possibly with others that came with it.
    pub fn take(&mut self, at: Wall, record: &Record, state: &Durable) {
        match record {
            Record::AccountRefused { account, window, .. } => {
                *self.refusals.entry((account.clone(), *window)).or_default() += 1;
            }
            Record::LoginFailed { account, .. } => {
                *self.login_failures.entry(account.clone()).or_default() += 1;
            }
            Record::Parked { at, .. } => {
                self.parkings += 1;
                self.parked_since = Some(*at);
            }
            Record::SwapDone { op, .. }
            | Record::SwapRolledBack { op, .. }
            | Record::StuckCleared { op, .. } => self.swap_ended(*op, state),
            Record::MoveEnded { outcome, .. } => {
                *self.moves.entry(move_word(outcome)).or_default() += 1;
            }
            Record::SessionCreated { .. } => self.sessions_created += 1,
            Record::SessionLost { .. } => self.sessions_lost += 1,
            Record::TaskClaimed { .. } => self.tasks_claimed += 1,
            Record::TaskEnding { fate, .. } => {
                *self.task_ends.entry(fate_word(fate)).or_default() += 1;
            }
            _ => {}
        }
        if state.parked.is_none()
            && let Some(since) = self.parked_since.take()
        {
            self.parked += at - since;
        }
    }

    /// Until `now`, with what goes on.
    pub fn parked_until(&self, now: Wall) -> Duration {
        self.parked + self.parked_since.map_or(Duration::ZERO, |since| now - since)
    }

    /// A stuck swap that goes on has not ended.
    fn swap_ended(&mut self, op: OpId, state: &Durable) {
        let Some(last) = state.last_swap.as_ref().filter(|last| last.op == op) else { return };
        let LastSwap { outcome, trigger, planned_at, relaunched_at, ended_at, .. } = last;
        let key = (outcome_word(*outcome), trigger_word(trigger));
        *self.swaps.entry(key).or_default() += 1;
        self.swap_lengths.add(*ended_at - *planned_at);
        if let Some(relaunched_at) = relaunched_at {
            self.relaunch_lengths.add(*relaunched_at - *planned_at);
        }
    }
}

impl Lengths {
    pub fn add(&mut self, length: Duration) {
        self.count += 1;
        self.sum += length;
        let bound = SWAP_BOUNDS_MS.iter().position(|ms| length <= Duration::from_millis(*ms));
        if let Some(place) = bound {
            self.counts[place] += 1;
        }
    }
}

fn outcome_word(outcome: SwapOutcome) -> &'static str {
    match outcome {
        SwapOutcome::Done => "done",
        SwapOutcome::RolledBack => "rolled_back",
        SwapOutcome::Cleared => "cleared",
    }
}

fn trigger_word(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::Refusal { .. } => "refusal",
        Trigger::AccountReturned => "account_returned",
        Trigger::Operator => "operator",
        Trigger::LoginFailed { .. } => "login_failed",
        Trigger::SetAside => "set_aside",
        Trigger::Preempt { .. } => "preempt",
        Trigger::Preferred => "preferred",
    }
}

fn fate_word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Done { .. } => "done",
        Fate::Failed { .. } => "failed",
        Fate::Requeued { .. } => "requeued",
        Fate::GivenBack { .. } => "given_back",
        Fate::Unknown { .. } => "unknown",
    }
}

fn move_word(outcome: &MoveOutcome) -> &'static str {
    match outcome {
        MoveOutcome::Verified => "resumed",
        MoveOutcome::Blocked { .. } => "blocked",
        MoveOutcome::Failed { .. } => "failed",
        MoveOutcome::Held => "held",
        MoveOutcome::Dropped { .. } => "dropped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::StuckVerb;

    const A: &str = "a";

    fn account(name: &str) -> AccountName {
        name.parse().unwrap()
    }

    fn planned(op: u64, at: i64) -> Record {
        Record::SwapPlanned {
            op: OpId(op),
            at: Wall(at),
            source: account(A),
            target: account("b"),
            trigger: Trigger::Operator,
            because: String::new(),
            passed_over: Vec::new(),
        }
    }

    /// One batch: all are applied before any is taken, as the coordinator does it.
    fn take(tally: &mut Tally, state: &mut Durable, at: i64, records: &[Record]) {
        for record in records {
            state.apply(record).unwrap();
        }
        for record in records {
            tally.take(Wall(at), record, state);
        }
    }

    #[test]
    fn a_swap_counts_once_at_its_end_with_its_length() {
        let (mut tally, mut state) = (Tally::default(), Durable::default());
        let aborting = Record::SwapAborting { op: OpId(1), reason: String::new() };
        let stuck = Record::SwapStuck { op: OpId(1), reason: String::new() };
        let cleared = |verb| Record::StuckCleared { op: OpId(1), verb };
        take(&mut tally, &mut state, 1_000, &[planned(1, 1_000), aborting, stuck.clone()]);
        take(&mut tally, &mut state, 2_000, &[cleared(StuckVerb::Rollback), stuck]);
        assert_eq!((tally.swaps.len(), tally.swap_lengths.count), (0, 0));
        take(&mut tally, &mut state, 3_000, &[cleared(StuckVerb::Clear), planned(2, 3_000)]);
        assert_eq!(tally.swaps.iter().collect::<Vec<_>>(), [(&("cleared", "operator"), &1)]);
        assert_eq!((tally.swap_lengths.count, tally.relaunch_lengths.count), (1, 0));
    }

    #[test]
    fn lengths_fall_below_their_bounds() {
        let mut lengths = Lengths::default();
        for ms in [0, 500, 501, 3_600_001] {
            lengths.add(Duration::from_millis(ms));
        }
        assert_eq!(lengths.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((lengths.count, lengths.sum), (4, Duration::from_millis(3_601_002)));
    }

    #[test]
    fn parked_time_counts_from_the_start_and_while_it_lasts() {
        let parked = Record::Parked { at: Wall(5_000), until: None, reasons: Vec::new() };
        let (mut tally, mut state) = (Tally::default(), Durable::default());
        take(&mut tally, &mut state, 5_000, &[parked]);
        assert_eq!(tally.parked_until(Wall(9_000)), Duration::from_secs(4));
        // Another life, which finds it parked.
        let mut tally = Tally::start(&state, Wall(7_000));
        assert_eq!(tally.parked_until(Wall(9_000)), Duration::from_secs(2));
        state.parked = None;
        tally.take(Wall(9_000), &Record::CleanStop, &state);
        assert_eq!(tally.parked_until(Wall(99_000)), Duration::from_secs(2));
        assert_eq!(tally.parkings, 0);
    }
}
