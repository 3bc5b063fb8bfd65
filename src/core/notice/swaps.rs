//! Swaps: done, turned back, stuck; and the waking from a parking, which is a swap, too.

use std::collections::BTreeMap;

use crate::config::notifications::Level;
use crate::core::durable::OpenSwap;
use crate::core::event::StuckVerb;
use crate::core::history::swap::MoveEnd;
use crate::core::notice::words::{cause, length_s};
use crate::core::notice::{Notice, Scene};
use crate::core::record::Record;
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;

type Moved = BTreeMap<SessionName, MoveEnd>;

impl Scene<'_> {
    pub(in crate::core::notice) fn of_swap(
        &self,
        record: &Record,
        moved: &Moved,
    ) -> Option<Notice> {
        let swap = self.state.swap.as_ref()?;
        match record {
            Record::SwapDone { at, .. } => self.done(swap, *at, moved),
            Record::SwapRolledBack { at, .. } => self.rolled_back(swap, *at, moved),
            Record::SwapStuck { reason, .. } => self.stuck(swap, reason),
            Record::StuckCleared { verb, .. } => {
                let how = match verb {
                    StuckVerb::Rollback => "its way back is tried again",
                    StuckVerb::Resume => "its way forward is tried again",
                    StuckVerb::Clear => "it is over; the link is taken as it is",
                };
                let lines = vec![format!("Next: {how}")];
                let key = format!("swap:{}/unstuck", swap.op);
                self.tell(Level::Info, key, &format!("Swap {} is no longer stuck", swap.op), lines)
            }
            _ => None,
        }
    }

    fn done(&self, swap: &OpenSwap, at: Wall, moved: &Moved) -> Option<Notice> {
        let OpenSwap { source, target, .. } = swap;
        let parked = self.state.parked.as_ref();
        let title = match parked {
            Some(_) => format!("Awake again: work goes on on {target}"),
            None if source == target => format!("{target} works again"),
            None => format!("Moved from {source} to {target}"),
        };
        let mut lines = vec![format!("Why: {}", cause(&swap.trigger, source, target))];
        if let Some(parked) = parked {
            let parked_s = (at - parked.since).as_secs();
            lines.push(format!("Parked for: {}", length_s(parked_s)));
        }
        lines.extend(failed_targets(swap));
        if source != target {
            lines.extend(self.out_until(source));
        }
        lines.push(format!("Agents: {}", counts(moved)));
        lines.push(format!(
            "Next: work goes on on {target}; the swap took {}",
            length_s((at - swap.planned_at).as_secs())
        ));
        lines.push(self.advice(moved));
        let key = match parked {
            Some(_) => format!("parking/awake:{}", swap.op),
            None => format!("swap:{}/done", swap.op),
        };
        self.tell(Level::Info, key, &title, lines)
    }

    fn advice(&self, moved: &Moved) -> String {
        let troubled = moved.values().any(|end| matches!(end, MoveEnd::Failed | MoveEnd::Blocked));
        match (troubled, self.reserve_left()) {
            (true, _) => "You: look at the agents that were not resumed".to_owned(),
            (false, true) => "You: nothing to do".to_owned(),
            (false, false) => "You: nothing now; no other account is left if this one runs out, \
                               see claude-failover account list"
                .to_owned(),
        }
    }

    /// Whether another account than the target and the source could be taken.
    fn reserve_left(&self) -> bool {
        let Some(swap) = &self.state.swap else { return true };
        self.config
            .accounts
            .iter()
            .filter(|account| account.name != swap.target)
            .any(|account| self.is_free(&account.name))
    }

    fn is_free(&self, account: &AccountName) -> bool {
        use crate::core::standing::AccountState as State;
        let known = self.state.standings.get(account);
        known.is_none_or(|standing| match standing.state() {
            State::Available | State::Unproven => true,
            State::Rejected | State::Exhausted | State::AuthFailed | State::Held => false,
        })
    }

    fn rolled_back(&self, swap: &OpenSwap, at: Wall, moved: &Moved) -> Option<Notice> {
        let OpenSwap { source, target, op, .. } = swap;
        let mut lines = vec![format!("Why it was tried: {}", cause(&swap.trigger, source, target))];
        if let Some(trouble) = &swap.trouble {
            lines.push(format!("Why it failed: {trouble}"));
        }
        lines.extend(failed_targets(swap));
        lines.push(format!("Agents: {}", counts(&left(moved))));
        lines.push(format!(
            "Next: the link names {source} again, {} after the start; agents that {source} \
             refused wait until an account takes them",
            length_s((at - swap.planned_at).as_secs())
        ));
        lines.push(
            "You: mend what is named above, then `claude-failover swap`; \
             `claude-failover account list` says why each account is passed over"
                .to_owned(),
        );
        let chosen = swap.trigger.is_voluntary() || swap.trigger == Trigger::Operator;
        let level = if chosen { Level::Warning } else { Level::Critical };
        let title = format!("Swap {op} to {target} failed and was turned back to {source}");
        self.tell(level, format!("swap:{op}/rolled-back"), &title, lines)
    }

    fn stuck(&self, swap: &OpenSwap, reason: &str) -> Option<Notice> {
        let OpenSwap { source, target, op, .. } = swap;
        let mut lines = vec![
            format!("Why it is stuck: {reason}"),
            format!("Why it was tried: {}", cause(&swap.trigger, source, target)),
        ];
        lines.extend(failed_targets(swap));
        lines.push(
            "Next: nothing; no account is changed and no agent is started or ended for this swap, \
             also after a restart, until you decide"
                .to_owned(),
        );
        lines.push(
            "You: mend what is named above, then one of `claude-failover swap --resume` (forward \
             again), `--rollback` (back again), `--clear` (you have put it right by hand)"
                .to_owned(),
        );
        let title = format!("Swap {op} from {source} to {target} is stuck: you must decide");
        self.tell(Level::Critical, format!("swap:{op}/stuck"), &title, lines)
    }

    /// Until when the account cannot be taken, if anybody knows.
    pub(in crate::core::notice) fn out_until(&self, account: &AccountName) -> Option<String> {
        let until = self.state.standings.get(account)?.until()?;
        Some(format!("Until: {account} is out until {}", self.words.until(until)))
    }
}

fn failed_targets(swap: &OpenSwap) -> impl Iterator<Item = String> + '_ {
    swap.rejected.iter().map(|(account, reason)| format!("Not {account}: {reason}"))
}

/// Who is still on its way when a swap turns back, waits for another one.
fn left(moved: &Moved) -> Moved {
    let held = |end| if end == MoveEnd::Open { MoveEnd::Held } else { end };
    moved.iter().map(|(session, end)| (session.clone(), held(*end))).collect()
}

fn counts(moved: &Moved) -> String {
    let of = |wanted: &[MoveEnd]| moved.values().filter(|end| wanted.contains(end)).count();
    let counts = [
        (of(&[MoveEnd::Resumed]), "resumed"),
        (of(&[MoveEnd::Blocked]), "waiting for a person"),
        (of(&[MoveEnd::Failed]), "not resumed"),
        (of(&[MoveEnd::Held]), "held until they can be resumed"),
        (of(&[MoveEnd::Staying, MoveEnd::Open]), "following later"),
        (of(&[MoveEnd::Dropped]), "left as they were"),
    ];
    let said: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if said.is_empty() { "none had to move".to_owned() } else { said.join(", ") }
}
