//! When to move, when to wait, and when to wake.
//!
//! Nobody is moved without a reason. With a reason and no account to go to we are parked: nothing is
//! typed, ended or dispatched until an account comes back. Waking is a swap, possibly to the account
//! in use; its target is proven by one agent, or one headless request, before anybody else is touched.

use std::time::Duration;

use crate::core::action::{Action, NoteLevel};
use crate::core::choice::{Purpose, permille};
use crate::core::durable::Phase;
use crate::core::event::{AgentHome, AgentSeen};
use crate::core::job::Job;
use crate::core::record::Record;
use crate::core::standing::AccountState;
use crate::core::trigger::Trigger;
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::{Mono, Wall};
use crate::quota::report::Window;

/// The window of `swap.max_per_hour`.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// A listing no older than this tells who is attended.
const LISTING_IS_FRESH: Duration = Duration::from_secs(1);

/// What a status line said longer ago decides nothing: quota may have been spent elsewhere, or reset.
const FIGURES_ARE_FRESH: Duration = Duration::from_secs(15 * 60);

/// A five-hour window that names no end is over by then.
const WINDOW_LENGTH: Duration = Duration::from_secs(5 * 60 * 60);

impl Core {
    /// Nobody can work, and nothing is done until an account comes back.
    pub fn is_parked(&self) -> bool {
        let nowhere = |active| self.choose_target(active, Purpose::Wake).is_none();
        self.durable.parked.is_some()
            && self.durable.swap.is_none()
            && self.active().is_none_or(nowhere)
    }

    /// Plans a swap when there is a reason and an account to go to; parks when there is none.
    pub(in crate::core) fn consider_swap(&mut self) -> bool {
        if self.durable.swap.is_some() || self.is_paused() {
            return false;
        }
        let Some(source) = self.active().cloned() else {
            return false;
        };
        let Some(trigger) = self.reason_to_move(&source) else {
            return false;
        };
        let Some(mut target) = self.choose_target(&source, Purpose::of(&trigger)) else {
            return !trigger.is_voluntary() && self.park(&source);
        };
        if self.throttled() {
            // To wake where we are flips nothing.
            if trigger != Trigger::AccountReturned || self.bar(&source).is_some() {
                self.say_throttled();
                return false;
            }
            target.clone_from(&source);
        }
        if trigger.is_voluntary() && self.would_disturb(&trigger) {
            return false;
        }
        self.plan_swap(source, target, trigger);
        true
    }

    /// Why the account in use is not the one to go on with.
    fn reason_to_move(&self, active: &AccountName) -> Option<Trigger> {
        let standing = self.standing(active);
        if self.durable.parked.is_some() || standing.state() == AccountState::Unproven {
            return Some(Trigger::AccountReturned);
        }
        if self.pin().is_some_and(|pin| pin != active) {
            return Some(Trigger::SetAside);
        }
        match standing.state() {
            AccountState::Exhausted => {
                let (_, limit) = standing.limit()?;
                let (row, evidence) = (limit.row.clone(), limit.evidence);
                Some(match limit.session.clone() {
                    Some(session) => Trigger::Refusal { session, row, evidence },
                    None => Trigger::AccountReturned,
                })
            }
            AccountState::AuthFailed => {
                let reason = standing.login.as_ref()?.reason.clone();
                Some(Trigger::LoginFailed { reason })
            }
            AccountState::Held | AccountState::Rejected => Some(Trigger::SetAside),
            AccountState::Available => {
                self.nearly_out(active).or_else(|| self.preferred_is_back(active))
            }
            AccountState::Unproven => None,
        }
    }

    /// Something other than choice speaks against the account in use.
    pub(in crate::core) fn reason_to_move_now(&self) -> bool {
        let trigger = self.active().and_then(|active| self.reason_to_move(active));
        trigger.is_some_and(|trigger| !trigger.is_voluntary())
    }

    /// `quota.preempt_at` is reached in one of its windows.
    fn nearly_out(&self, active: &AccountName) -> Option<Trigger> {
        let threshold = self.config.quota.preempt_at.map(permille)?;
        let standing = self.standing(active);
        let heard = standing.used?.at;
        if self.now.wall - heard > FIGURES_ARE_FRESH {
            return None;
        }
        let (window, Window { used_permille, resets_at }) = standing.most_used(self.now.wall)?;
        let until = standing.full_until(threshold, self.now.wall);
        let until = until.or(resets_at).unwrap_or(heard + WINDOW_LENGTH);
        (used_permille >= threshold).then_some(Trigger::Preempt { window, used_permille, until })
    }

    fn preferred_is_back(&self, active: &AccountName) -> Option<Trigger> {
        let wanted = self.config.selection.return_to_preferred && !self.is_here_by_hand();
        let back = wanted && self.choose_target(active, Purpose::Prefer).is_some();
        back.then_some(Trigger::Preferred)
    }

    /// An operator has put us here: the next swap may go elsewhere, a return does not.
    fn is_here_by_hand(&self) -> bool {
        let since = self.durable.active_since;
        match &self.durable.last_swap {
            Some(last) if since <= last.ended_at => last.trigger == Trigger::Operator,
            Some(_) | None => since > Wall::default(),
        }
    }

    /// True when this is news.
    fn park(&mut self, source: &AccountName) -> bool {
        if self.durable.parked.is_some() {
            return false;
        }
        let reasons = self
            .candidates(source, Purpose::Wake)
            .into_iter()
            .filter_map(|candidate| Some((candidate.account, candidate.passed_over?)))
            .collect();
        let (at, until) = (self.now.wall, self.next_return());
        self.persist(Record::Parked { at, until, reasons });
        true
    }

    /// When the first account that may be used comes back by itself.
    pub fn next_return(&self) -> Option<Wall> {
        let accounts = self.config.accounts.iter().map(|account| &account.name);
        accounts
            .filter(|account| self.pin().is_none_or(|pin| pin == *account))
            .filter_map(|account| self.standing(account).until())
            .min()
    }

    pub fn throttled(&self) -> bool {
        self.recent_flips().count() >= self.config.swap.max_per_hour as usize
    }

    /// One that lies ahead was made before the clock was set back: nobody knows when.
    fn recent_flips(&self) -> impl Iterator<Item = Wall> + '_ {
        let now = self.now.wall;
        self.durable.swap_times.iter().copied().filter(move |at| *at <= now && now - *at < HOUR)
    }

    /// When the next swap may be planned; `None` while nothing holds it up.
    pub fn throttled_until(&self) -> Option<Wall> {
        let oldest = self.recent_flips().min().filter(|_| self.throttled())?;
        Some(oldest + HOUR)
    }

    fn say_throttled(&mut self) {
        let text = format!(
            "throttled: {} swaps in the last hour is swap.max_per_hour; \
             the next is planned when the oldest is an hour old",
            self.config.swap.max_per_hour
        );
        let until = self.throttled_until().unwrap_or_default();
        self.note_once_about(&format!("throttled until {until}"), NoteLevel::Warn, text);
    }

    /// A swap by choice waits for a better moment: nobody types, and nothing else is on its way.
    fn would_disturb(&mut self, trigger: &Trigger) -> bool {
        // Who waits for a person to mend something does not come meanwhile.
        let waits = |session| self.is_stuck(session) || self.cannot_be_made(session);
        let on_its_way = self.durable.moves.keys().any(|session| !waits(session));
        let at_rest = self.terminal == TerminalState::Seen && !on_its_way;
        if !at_rest || self.settles_until().is_some_and(|until| self.now.wall < until) {
            return true;
        }
        if *trigger == Trigger::Preferred && self.anybody_works() {
            return true;
        }
        let listed = self.listed_at.is_some_and(|at| self.now.monotonic - at <= LISTING_IS_FRESH);
        if !listed {
            // Asked once; the listing brings us back here.
            if !std::mem::replace(&mut self.listing_asked, true) {
                self.out.push(Action::ObserveSessions);
            }
            return true;
        }
        // Who has not been looked at may be at work.
        if self.sessions.values().any(|seen| !seen.is_looked_into()) {
            return true;
        }
        // Agents on the link go along with it, whoever types to them.
        self.sessions.keys().any(|session| {
            let linked = |agent: &AgentSeen| agent.home == AgentHome::Linked;
            self.agents_seen_in(session).any(linked) && self.is_attended(session)
        })
    }

    fn settles_until(&self) -> Option<Wall> {
        let last = self.durable.last_swap.as_ref();
        let last = last.filter(|last| last.ended_at <= self.now.wall)?;
        Some(last.ended_at + self.config.quota.reactivate_cooldown)
    }

    fn anybody_works(&self) -> bool {
        self.durable.jobs.values().any(Job::is_out)
            || self.sessions.keys().any(|session| self.is_in_turn(session))
    }

    /// A person has typed here a moment ago.
    pub(in crate::core) fn is_attended(&self, session: &SessionName) -> bool {
        self.attended_until(session).is_some_and(|until| self.now.wall < until)
    }

    fn attended_until(&self, session: &SessionName) -> Option<Wall> {
        let panes = &self.sessions.get(session)?.panes;
        let typed = panes.iter().filter_map(|pane| pane.typed_at).max()?;
        Some(typed + self.config.swap.attended_grace)
    }

    /// When a swap by choice that waits is to be thought of again although nothing happens.
    pub(in crate::core) fn choice_wakeups(&self) -> Vec<Mono> {
        let at_rest = self.durable.swap.is_none() && !self.is_paused();
        let Some(active) = self.active().filter(|_| at_rest) else {
            return Vec::new();
        };
        // Who was left with little to spare may be preferred again when its window is over.
        let spared = || self.durable.standings.values().filter_map(|known| known.spared_until);
        let moments: Vec<Wall> = match self.reason_to_move(active) {
            Some(trigger) if trigger.is_voluntary() => {
                let attended = self.sessions.keys().filter_map(|s| self.attended_until(s));
                self.settles_until().into_iter().chain(attended).collect()
            }
            Some(_) => Vec::new(),
            None if self.config.selection.return_to_preferred => spared().collect(),
            None => Vec::new(),
        };
        moments.into_iter().filter(|at| *at > self.now.wall).map(|at| self.on_wall(at)).collect()
    }

    /// # Errors
    /// Why the operator's swap cannot be done now.
    pub(in crate::core) fn plan_operator_swap(
        &mut self,
        to: Option<&AccountName>,
    ) -> Result<(), String> {
        if self.draining_since.is_some() {
            return Err("the daemon is draining".to_owned());
        }
        if let Some(swap) = &self.durable.swap {
            return Err(match swap.phase {
                Phase::Stuck => format!("swap {} is stuck", swap.op),
                _ => format!("swap {} is open", swap.op),
            });
        }
        if let Some(why) = self.paused_objection() {
            return Err(why);
        }
        let source = self.active().cloned().ok_or("no active account is known")?;
        let purpose = if self.durable.parked.is_some() { Purpose::Wake } else { Purpose::Leave };
        let target = match to {
            Some(name) => {
                let candidates = self.candidates(&source, purpose);
                let wanted = candidates
                    .into_iter()
                    .find(|candidate| candidate.account == *name)
                    .ok_or_else(|| format!("{name} is no account of the configuration"))?;
                match wanted.passed_over {
                    None => wanted.account,
                    Some(reason) => return Err(format!("{name}: {reason}")),
                }
            }
            None => {
                let target = self.choose_target(&source, purpose);
                target.ok_or("no other account can be taken")?
            }
        };
        self.plan_swap(source, target, Trigger::Operator);
        Ok(())
    }

    fn plan_swap(&mut self, source: AccountName, target: AccountName, trigger: Trigger) {
        let (mut because, mut passed_over) = (String::new(), Vec::new());
        for candidate in self.candidates(&source, Purpose::of(&trigger)) {
            if candidate.account == target {
                because = candidate.merit;
            } else {
                let behind = || format!("behind {target}: {}", candidate.merit);
                passed_over.push((candidate.account, candidate.passed_over.unwrap_or_else(behind)));
            }
        }
        let op = OpId(self.durable.last_op.0 + 1);
        let at = self.now.wall;
        self.listing_asked = false;
        self.persist(Record::SwapPlanned { op, at, source, target, trigger, because, passed_over });
    }
}
