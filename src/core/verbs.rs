//! What an operator wants, and what he is told: what was done and what follows, or why not.
//!
//! INVARIANT: each ask is answered once, after the records that its answer tells of; that of a reload
//! when the file has been read.

use crate::core::Core;
use crate::core::action::{Action, AskId, NoteLevel};
use crate::core::choice::Purpose;
use crate::core::durable::{OpenSwap, Phase};
use crate::core::event::{AccountVerb, StuckVerb, Verb};
use crate::core::record::Record;
use crate::ids::{AccountName, OpId};

/// An answer that waits for the end of its batch: only then is it seen what follows.
pub(in crate::core) struct Owed {
    ask: AskId,
    result: Result<String, String>,
    before: Before,
}

/// What the verb has found.
struct Before {
    last_op: OpId,
    target: Option<AccountName>,
    phase: Option<Phase>,
    is_parked: bool,
    must_wait: bool,
    is_draining: bool,
    is_paused: bool,
}

impl Before {
    fn of(core: &Core) -> Self {
        let swap = core.durable.swap.as_ref();
        Self {
            last_op: core.durable.last_op,
            target: swap.map(|swap| swap.target.clone()),
            phase: swap.map(|swap| swap.phase),
            is_parked: core.durable.parked.is_some(),
            must_wait: core.must_wait(),
            is_draining: core.draining_since.is_some(),
            is_paused: core.is_paused(),
        }
    }
}

impl Core {
    pub(in crate::core) fn verb_requested(
        &mut self,
        verb: &Verb,
        ask: Option<AskId>,
    ) -> Option<Owed> {
        let before = Before::of(self);
        let result = match verb {
            // What follows says it all.
            Verb::Swap { to } => self.plan_operator_swap(to.as_ref()).map(|()| String::new()),
            Verb::Stuck(how) => self.resolve_stuck(*how),
            Verb::Account { verb, account } => {
                self.account_verb(*verb, account).map(|()| self.said_of(*verb, account))
            }
            Verb::TaskRetry { task } => self.retry_task(task),
            Verb::TaskCancel { task } => self.cancel_task(task),
            Verb::Pause { length } => self.pause(*length),
            Verb::Drain { session } => self.drain(session.as_ref()),
            Verb::Resume { session } => self.resume(session.as_ref()),
            Verb::Stop => {
                self.stop_requested();
                Ok(String::new())
            }
            Verb::Reload => {
                self.reloads_asked.extend(ask);
                self.out.push(Action::ReloadConfig);
                return None;
            }
        };
        if let Err(why) = &result {
            self.note(NoteLevel::Warn, format!("{verb} refused: {why}"));
        }
        ask.map(|ask| Owed { ask, result, before })
    }

    pub(in crate::core) fn pay(&mut self, owed: Option<Owed>) {
        let Some(Owed { ask, result, before }) = owed else {
            return;
        };
        let result = result.map(|done| {
            let parts = [Some(done), self.follows(&before)];
            let said: Vec<String> =
                parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            said.join("; ")
        });
        self.out.push(Action::Answer { ask, result });
    }

    /// `Ok`: the keys that keep their values until a restart.
    pub(in crate::core) fn reload_told(&mut self, read: Result<&[&str], &[String]>) {
        let result = match read {
            Ok([]) => Ok("the configuration has been read again".to_owned()),
            Ok(kept) => Ok(format!(
                "the configuration has been read again; a restart is needed for {}",
                kept.join(", ")
            )),
            Err(problems) => Err(format!("nothing changed: {}", problems.join("\n"))),
        };
        for ask in std::mem::take(&mut self.reloads_asked) {
            self.out.push(Action::Answer { ask, result: result.clone() });
        }
    }

    fn resolve_stuck(&mut self, verb: StuckVerb) -> Result<String, String> {
        let stuck = self.durable.swap.as_ref().filter(|swap| swap.phase == Phase::Stuck);
        let swap = stuck.ok_or("nothing is stuck")?;
        let (op, source, target) = (swap.op, swap.source.clone(), swap.target.clone());
        if verb == StuckVerb::Resume {
            // Forward means this target: the operator has mended what was wrong with it.
            self.end_rejection(target.clone());
        }
        self.persist(Record::StuckCleared { op, verb });
        if verb == StuckVerb::Clear {
            // A link that was put right while the swap was stuck has been told, and is not told again.
            self.take_link(self.link_seen.clone());
        }
        Ok(match verb {
            StuckVerb::Resume => format!("swap {op} goes forward to {target} again"),
            StuckVerb::Rollback => format!("swap {op} goes back to {source} again"),
            StuckVerb::Clear => format!("swap {op} is over, and the link is taken as it is"),
        })
    }

    /// What an account's verb has done.
    fn said_of(&self, verb: AccountVerb, account: &AccountName) -> String {
        match verb {
            AccountVerb::Hold => {
                format!("{account} is held: nothing goes there until it is released")
            }
            AccountVerb::Pin => {
                format!("{account} is pinned: no other account is used until it is released")
            }
            AccountVerb::Release => {
                let proof = match self.is_unproven(account) {
                    true => ": one answer proves it before anybody is moved there",
                    false => "",
                };
                let still = match self.bar(account) {
                    Some(reason) => format!("; still passed over: {reason}"),
                    None if self.pin() == Some(account) => {
                        "; still pinned: selection.pin of the configuration names it".to_owned()
                    }
                    None => String::new(),
                };
                format!("{account} is released{proof}{still}")
            }
        }
    }

    /// What becomes of the work for it.
    fn follows(&self, before: &Before) -> Option<String> {
        if self.draining_since.is_some() {
            let text = match before.is_draining {
                true => "the daemon stops: the next one acts on it",
                false => "the daemon stops; tmux and the agents go on without it",
            };
            return Some(text.to_owned());
        }
        if let Some(swap) = &self.durable.swap {
            return self.follows_in(swap, before);
        }
        if self.is_paused() {
            // Of the pause itself its own answer tells.
            let waits = before.is_paused && self.reason_to_move_now();
            return waits
                .then(|| "paused: nobody is moved before `claude-failover resume`".to_owned());
        }
        if self.durable.parked.is_some() && !before.is_parked {
            return Some(match self.next_return() {
                Some(at) => format!("no account can be taken: parked until {at}"),
                None => "no account can be taken: parked until one is released".to_owned(),
            });
        }
        let news = self.must_wait() && !before.must_wait;
        news.then(|| "throttled: work moves when swap.max_per_hour allows the next swap".to_owned())
    }

    /// The account in use cannot go on, and there have been too many swaps to leave it.
    fn must_wait(&self) -> bool {
        let is_barred = self.active().is_some_and(|active| self.bar(active).is_some());
        is_barred && self.durable.parked.is_none() && self.throttled()
    }

    fn follows_in(&self, swap: &OpenSwap, before: &Before) -> Option<String> {
        let OpenSwap { op, source, target, phase, .. } = swap;
        if *op > before.last_op {
            if source == target {
                return Some(format!("swap {op} planned: one answer of {target} wakes the others"));
            }
            let merit = self
                .candidates(source, Purpose::of(&swap.trigger))
                .into_iter()
                .find(|candidate| candidate.account == *target)
                .map_or(String::new(), |candidate| format!(" ({})", candidate.merit));
            return Some(format!("swap {op} planned: {source} → {target}{merit}"));
        }
        if before.target.as_ref() != Some(target) {
            return Some(format!("swap {op} goes to {target} instead"));
        }
        let turned = *phase == Phase::Aborting && before.phase < Some(Phase::Aborting);
        turned.then(|| format!("swap {op} turns back to {source}"))
    }
}
