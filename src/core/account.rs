//! Which account next, and when one comes back.

use std::time::Duration;

use crate::core::Core;
use crate::core::action::NoteLevel;
use crate::core::durable::Phase;
use crate::core::record::{AccountState, Record, Trigger};
use crate::ids::{AccountName, OpId};

/// A target that failed its check is tried again after this; long enough for a person to mend it.
pub const REJECTED_FOR: Duration = Duration::from_secs(10 * 60);

/// A client whose login fails writes its credential file, too: only a later change is a new login.
pub const LOGIN_SETTLES: Duration = Duration::from_secs(5);

/// The window of `swap.max_per_hour`.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// Why an account was taken or passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub account: AccountName,
    /// `None`: it can be taken.
    pub passed_over: Option<String>,
}

impl Core {
    /// All accounts by preference, each with the reason against it.
    pub fn candidates(&self, source: &AccountName) -> Vec<Candidate> {
        self.config
            .accounts
            .iter()
            .map(|account| Candidate {
                account: account.name.clone(),
                passed_over: self.objection(&account.name, source),
            })
            .collect()
    }

    fn objection(&self, account: &AccountName, source: &AccountName) -> Option<String> {
        if account == source {
            return Some("it is the account to leave".to_owned());
        }
        if self.config.selection.pin.as_ref().is_some_and(|pin| pin != account) {
            return Some("another account is pinned".to_owned());
        }
        match self.durable.account(account) {
            AccountState::Available => None,
            AccountState::Exhausted { until, .. } => Some(format!("exhausted until {until}")),
            AccountState::AuthFailed { reason, .. } => Some(format!("its login fails: {reason}")),
            AccountState::Rejected { reason, until, .. } => {
                Some(format!("rejected until {until}: {reason}"))
            }
            AccountState::Held => Some("held by the operator".to_owned()),
        }
    }

    pub(in crate::core) fn choose_target(&self, source: &AccountName) -> Option<AccountName> {
        self.candidates(source)
            .into_iter()
            .find(|candidate| candidate.passed_over.is_none())
            .map(|candidate| candidate.account)
    }

    pub fn is_available(&self, account: &AccountName) -> bool {
        matches!(self.durable.account(account), AccountState::Available)
    }

    /// The active account is out and no other can be taken.
    pub fn is_parked(&self) -> bool {
        let Some(active) = self.active() else {
            return false;
        };
        self.durable.swap.is_none()
            && matches!(self.durable.account(active), AccountState::Exhausted { .. })
            && self.choose_target(active).is_none()
    }

    /// Accounts whose time has come, or whose login was mended, are candidates again.
    pub(in crate::core) fn return_accounts(&mut self) {
        let back: Vec<AccountName> =
            self.durable
                .accounts
                .iter()
                .filter(|(name, state)| match state {
                    AccountState::Exhausted { until, .. }
                    | AccountState::Rejected { until, .. } => *until <= self.now.wall,
                    AccountState::AuthFailed { since, .. } => {
                        let settled = *since + LOGIN_SETTLES;
                        self.credentials.get(name).is_some_and(|changed| *changed > settled)
                    }
                    AccountState::Available | AccountState::Held => false,
                })
                .map(|(name, _)| name.clone())
                .collect();
        for account in back {
            self.forget_hits_on(&account);
            self.change_account(account, AccountState::Available);
        }
    }

    /// Plans a swap when the active account is out and another can be taken.
    pub(in crate::core) fn consider_swap(&mut self) -> bool {
        let Some(source) = self.active().cloned() else {
            return false;
        };
        let out = matches!(self.durable.account(&source), AccountState::Exhausted { .. });
        if !out || self.durable.swap.is_some() {
            return false;
        }
        let Some(target) = self.choose_target(&source) else {
            self.say_parked(&source);
            return false;
        };
        if self.throttled() {
            let text = format!(
                "throttled: {} swaps in the last hour is swap.max_per_hour; \
                 the next is planned when the oldest is an hour old",
                self.config.swap.max_per_hour
            );
            self.note_once(NoteLevel::Warn, text);
            return false;
        }
        let trigger = self
            .hits
            .iter()
            .find(|(_, hit)| hit.account == source && hit.confirmed)
            .map_or(Trigger::AccountReturned, |(session, hit)| Trigger::Refusal {
                session: session.clone(),
                row: hit.row.clone(),
                evidence: hit.source,
            });
        self.plan_swap(source, target, trigger);
        true
    }

    fn say_parked(&mut self, source: &AccountName) {
        let reasons: Vec<String> = self
            .candidates(source)
            .into_iter()
            .filter_map(|candidate| {
                candidate.passed_over.map(|reason| format!("{}: {reason}", candidate.account))
            })
            .collect();
        let until = self.next_return().map_or("unknown".to_owned(), |at| at.to_string());
        let text = format!("parked until={until} no account can be taken: {}", reasons.join("; "));
        self.note_once(NoteLevel::Warn, text);
    }

    /// When the first account comes back by itself.
    pub fn next_return(&self) -> Option<crate::moment::Wall> {
        self.durable
            .accounts
            .values()
            .filter_map(|state| match state {
                AccountState::Exhausted { until, .. } | AccountState::Rejected { until, .. } => {
                    Some(*until)
                }
                AccountState::Available | AccountState::AuthFailed { .. } | AccountState::Held => {
                    None
                }
            })
            .min()
    }

    pub fn throttled(&self) -> bool {
        let recent =
            self.durable.swap_times.iter().filter(|at| self.now.wall - **at < HOUR).count();
        recent >= self.config.swap.max_per_hour as usize
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
        let source = self.active().cloned().ok_or("no active account is known")?;
        let target = match to {
            Some(name) => {
                let candidates = self.candidates(&source);
                let wanted = candidates
                    .into_iter()
                    .find(|candidate| candidate.account == *name)
                    .ok_or_else(|| format!("{name} is no account of the configuration"))?;
                match wanted.passed_over {
                    None => wanted.account,
                    Some(reason) => return Err(format!("{name}: {reason}")),
                }
            }
            None => self.choose_target(&source).ok_or("no other account can be taken")?,
        };
        self.plan_swap(source, target, Trigger::Operator);
        Ok(())
    }

    fn plan_swap(&mut self, source: AccountName, target: AccountName, trigger: Trigger) {
        let op = OpId(self.durable.last_op.0 + 1);
        let at = self.now.wall;
        self.persist(Record::SwapPlanned { op, at, source, target, trigger });
    }
}
