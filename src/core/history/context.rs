//! A compaction's state is nothing that happened. It tells what goes on where the records of its
//! beginning are older than the oldest ones kept, and what is over where those of its end are missing.

use crate::core::durable::{Durable, OpenSwap, Phase, SwapOutcome};
use crate::core::history::entry::{EndedBy, Happening, Parking, Reason};
use crate::core::history::swap::{MoveEnd, Swap, SwapEnd};
use crate::core::history::{History, Open, ms};
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

impl History {
    /// Changes nothing where no records are missing before it.
    pub(in crate::core::history) fn look_at(&mut self, state: &Durable) {
        self.look_at_swap(state);
        self.look_at_moves(state);
        self.look_at_parking(state);
        self.look_at_pause(state.paused.as_ref().map(|paused| paused.since));
        self.look_at_accounts(state);
        self.stopped_cleanly = Some(state.stopped_cleanly);
    }

    fn look_at_swap(&mut self, state: &Durable) {
        let known = self.swap.map(|(op, _)| op);
        let open = state.swap.as_ref();
        if known == open.map(|swap| swap.op) {
            return;
        }
        match &state.last_swap {
            Some(last) if known == Some(last.op) => {
                let how = match last.outcome {
                    SwapOutcome::Done => SwapEnd::Done,
                    SwapOutcome::RolledBack => SwapEnd::RolledBack,
                    SwapOutcome::Cleared => SwapEnd::Cleared,
                };
                self.end_swap(how, last.ended_at);
            }
            _ => self.lose_swap(),
        }
        if let Some(open) = open {
            self.push_swap(partial(open));
        }
    }

    fn look_at_moves(&mut self, state: &Durable) {
        let at = self.at;
        let is_known = |session: &SessionName, op: OpId| {
            state.moves.get(session).is_some_and(|moving| moving.op == op)
        };
        let moves = self.moves.iter().map(|(session, (op, _))| (session.clone(), *op));
        let over: Vec<_> = moves.filter(|(session, op)| !is_known(session, *op)).collect();
        for (session, _) in over {
            self.set_move(&session, MoveEnd::Unknown, None, Some(at));
            self.moves.remove(&session);
        }
        let Some((op, id)) = self.swap else { return };
        for moving in state.moves.values().filter(|moving| moving.op == op) {
            if self.moves.contains_key(&moving.session) {
                continue;
            }
            self.moves.insert(moving.session.clone(), (op, id));
            self.set_move(&moving.session, MoveEnd::by(&moving.stage), None, None);
        }
    }

    fn look_at_parking(&mut self, state: &Durable) {
        let at = self.at;
        match (&state.parked, self.parking) {
            (None, Some(_)) => self.end_parking(None, at),
            (Some(parked), None) => {
                let parking = Parking {
                    until: parked.until,
                    reasons: Vec::new(),
                    woken_by: None,
                    ended_at: None,
                    took_ms: None,
                    partial: true,
                };
                self.parking = Some(self.push(parked.since, Happening::Parking(parking)));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn look_at_accounts(&mut self, state: &Durable) {
        let at = self.at;
        let mut over = Vec::new();
        let mut goes_on = |is_known: bool, open: &Open| {
            if !is_known {
                over.push(*open);
            }
            is_known
        };
        self.holds.retain(|name, open| goes_on(state.standing(name).held_since.is_some(), open));
        self.logins.retain(|name, open| goes_on(state.standing(name).login.is_some(), open));
        self.rejections.retain(|name, open| goes_on(state.standing(name).rejected.is_some(), open));
        self.refusals.retain(|(name, window), open| {
            goes_on(state.standing(name).limits.contains_key(window), open)
        });
        for open in over {
            self.end(open, EndedBy::Unknown, at);
        }
        self.look_at_pin(state.pinned.as_ref());
        for (name, standing) in &state.standings {
            let known = |since: Wall| Open { since, entry: None };
            if let Some(since) = standing.held_since {
                self.holds.entry(name.clone()).or_insert(known(since));
            }
            if let Some(login) = &standing.login {
                self.logins.entry(name.clone()).or_insert(known(login.since));
            }
            if let Some(rejected) = &standing.rejected {
                self.rejections.entry(name.clone()).or_insert(known(rejected.since));
            }
            for (window, limit) in &standing.limits {
                let key = (name.clone(), *window);
                self.refusals.entry(key).or_insert(known(limit.since));
            }
            if standing.unproven_since.is_none() {
                self.doubts.remove(name);
            }
        }
    }

    fn look_at_pin(&mut self, pinned: Option<&AccountName>) {
        if self.pin.as_ref().map(|(name, _)| name) == pinned {
            return;
        }
        let at = self.at;
        self.end_pin(EndedBy::Unknown, at);
        self.pin = pinned.map(|name| (name.clone(), Open { since: at, entry: None }));
    }
}

fn partial(open: &OpenSwap) -> Swap {
    let mut swap = Swap::new(open.op, open.planned_at, &open.source, &open.target, &open.trigger);
    swap.failed_targets = open.rejected.iter().map(Reason::of).collect();
    swap.trouble.clone_from(&open.trouble);
    if open.phase == Phase::Stuck {
        swap.outcome = SwapEnd::Stuck;
    }
    swap.relaunched_after_ms = open.relaunched_at.map(|at| ms(at, open.planned_at));
    swap.partial = true;
    swap
}
