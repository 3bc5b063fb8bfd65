//! What the records of accounts change: their standing, the pin, and whether we are parked.

use crate::core::durable::{Durable, IllegalRecord, Parked, illegal};
use crate::core::record::Record;
use crate::core::standing::{AccountState, Limit, LoginFailure, PlanWindow, Rejection, Standing};
use crate::ids::AccountName;
use crate::moment::Wall;

impl Durable {
    /// What is known of an account.
    pub fn standing(&self, name: &AccountName) -> &Standing {
        self.standings.get(name).unwrap_or(Standing::unknown())
    }

    pub fn account_state(&self, name: &AccountName) -> AccountState {
        self.standing(name).state()
    }

    pub(in crate::core::durable) fn standing_mut(&mut self, name: &AccountName) -> &mut Standing {
        self.standings.entry(name.clone()).or_default()
    }

    pub(in crate::core::durable) fn apply_account(
        &mut self,
        record: &Record,
    ) -> Result<(), IllegalRecord> {
        match record {
            Record::AccountRefused { account, window, limit } => {
                self.standing_mut(account).refuse(*window, limit);
            }
            Record::LimitReset { account, window, at } => {
                self.standing_mut(account).reset(*window, *at);
            }
            Record::AccountProven { account, .. } => {
                let standing = self.standing_mut(account);
                standing.unproven_since = None;
                standing.misses = 0;
            }
            Record::AccountTrusted { account, .. } => {
                let standing = self.standing_mut(account);
                standing.unproven_since = None;
                standing.misses = standing.misses.saturating_add(1);
            }
            Record::LoginFailed { account, reason, at } => {
                let standing = self.standing_mut(account);
                standing.login = Some(LoginFailure { reason: reason.clone(), since: *at });
                standing.unproven_since = None;
            }
            Record::LoginMended { account, at } => {
                let standing = self.standing_mut(account);
                standing.login = None;
                standing.doubt(*at);
            }
            Record::AccountRejected { account, reason, until, at } => {
                let rejection = Rejection { reason: reason.clone(), since: *at, until: *until };
                self.standing_mut(account).rejected = Some(rejection);
            }
            Record::RejectionOver { account, .. } => self.standing_mut(account).rejected = None,
            Record::AccountHeld { account, at } => {
                self.standing_mut(account).held_since = Some(*at);
            }
            Record::AccountReleased { account, at } => {
                self.standing_mut(account).release(*at);
                if self.pinned.as_ref() == Some(account) {
                    self.pinned = None;
                }
            }
            Record::AccountPinned { account, .. } => self.pinned = Some(account.clone()),
            Record::FiguresHeard { account, used } => {
                self.standing_mut(account).used = Some(*used);
            }
            Record::Parked { at, until, .. } => {
                self.parked = Some(Parked { since: *at, until: *until });
            }
            _ => return Err(illegal(record, "it is not an account's record")),
        }
        Ok(())
    }
}

impl Standing {
    fn refuse(&mut self, window: PlanWindow, limit: &Limit) {
        if self.unproven_since.take().is_some() {
            self.misses = self.misses.saturating_add(1);
        }
        self.limits.insert(window, limit.clone());
    }

    fn reset(&mut self, window: PlanWindow, at: Wall) {
        self.limits.remove(&window);
        self.doubt(at);
    }

    /// What was said against it is over; an answer must prove it.
    fn doubt(&mut self, at: Wall) {
        self.cleared_at = Some(at);
        if self.limits.is_empty() && self.login.is_none() {
            self.unproven_since = Some(at);
        }
    }

    fn release(&mut self, at: Wall) {
        let stood = self.login.is_some() || !self.limits.is_empty();
        self.limits.clear();
        self.login = None;
        self.rejected = None;
        self.held_since = None;
        self.spared_until = None;
        self.misses = 0;
        if stood {
            self.doubt(at);
        }
    }
}
