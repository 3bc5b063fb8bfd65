//! How the standing of accounts changes: refusals, resets, logins, proofs, and the operator's word.

use std::time::Duration;

use crate::core::Core;
use crate::core::event::AccountVerb;
use crate::core::record::Record;
use crate::core::standing::{AccountState, Limit, PlanWindow, Standing, Used};
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;
use crate::quota::report::{Figures, Window};

/// A target that failed its check is tried again after this; long enough for a person to mend it.
pub const REJECTED_FOR: Duration = Duration::from_secs(10 * 60);

/// A client whose login fails writes its credential file, too: only a later change is a new login.
pub const LOGIN_SETTLES: Duration = Duration::from_secs(5);

/// The clocks of two hosts differ a little, and two accounts that come back in the same minute are not
/// asked in the same second.
const RESET_SETTLES: Duration = Duration::from_secs(1);
const RESET_JITTER_MS: u64 = 4_000;

/// The reset that was printed was wrong: it is asked again after one minute, two, four, … and, however
/// often, after this.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

/// A prompt so long after a refusal was not on its way already when that came.
const ANSWER_IS_NEWS: Duration = Duration::from_secs(60);

/// A window of five hours ends within them; printed times are rounded, clocks differ a little.
pub(in crate::core) const FIVE_HOURS_MAX: Duration = Duration::from_secs(5 * 60 * 60 + 15 * 60);

/// Without any moment named the guess grows with each refusal, up to this.
const GUESS_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// Figures come with each answer; what differs less is not worth a record.
const FIGURES_DIFFER_PERMILLE: u16 = 10;
const FIGURES_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// A moment that a client prints is rounded to the minute.
const SAME_RESET: Duration = Duration::from_secs(60);

impl Core {
    pub fn standing(&self, account: &AccountName) -> &Standing {
        self.durable.standing(account)
    }

    /// Requests on it have been answered, and nothing is known against it.
    pub fn is_available(&self, account: &AccountName) -> bool {
        self.durable.account_state(account) == AccountState::Available
    }

    /// Nothing is known against it; perhaps it is still to be proven.
    pub fn is_usable(&self, account: &AccountName) -> bool {
        match self.durable.account_state(account) {
            AccountState::Available | AccountState::Unproven => true,
            AccountState::Rejected
            | AccountState::Exhausted
            | AccountState::AuthFailed
            | AccountState::Held => false,
        }
    }

    pub(in crate::core) fn is_unproven(&self, account: &AccountName) -> bool {
        self.durable.account_state(account) == AccountState::Unproven
    }

    /// The account on which work can be started now.
    pub fn working_account(&self) -> Option<&AccountName> {
        let active = self.active().filter(|active| self.bar(active).is_none())?;
        (self.is_available(active) && self.durable.parked.is_none()).then_some(active)
    }

    /// When the reset of a limit counts as passed.
    pub(in crate::core) fn limit_over(&self, account: &AccountName, limit: &Limit) -> Wall {
        let name: u64 = account.as_str().bytes().map(u64::from).sum();
        let jitter = (name.wrapping_mul(2_654_435_761)) % RESET_JITTER_MS;
        limit.until + RESET_SETTLES + Duration::from_millis(jitter)
    }

    /// Accounts whose time has come, or whose login was mended, are candidates again.
    pub(in crate::core) fn return_accounts(&mut self) {
        let names: Vec<AccountName> = self.durable.standings.keys().cloned().collect();
        for account in names {
            self.reset_limits(&account);
            let standing = self.standing(&account);
            let now = self.now.wall;
            let over = standing.rejected.as_ref().is_some_and(|rejected| rejected.until <= now);
            let mended = standing.login.as_ref().is_some_and(|login| {
                // By a clock that has been set back since it failed at no moment that we know.
                let known = login.since <= now;
                let settled = if known { login.since + LOGIN_SETTLES } else { Wall::default() };
                // A change that lies ahead was made before the clock was set back: it dates nothing.
                let changed = self.credentials.get(&account).filter(|changed| **changed <= now);
                changed.is_some_and(|changed| *changed > settled)
            });
            if over {
                self.persist(Record::RejectionOver { account: account.clone(), at: now });
            }
            if mended {
                self.forget_hits_on(&account);
                self.persist(Record::LoginMended { account, at: now });
            }
        }
    }

    fn reset_limits(&mut self, account: &AccountName) {
        let now = self.now.wall;
        let over: Vec<PlanWindow> = self
            .standing(account)
            .limits
            .iter()
            .filter(|(_, limit)| self.limit_over(account, limit) <= now)
            .map(|(window, _)| *window)
            .collect();
        for window in over {
            match self.standing(account).limits.len() {
                1 => self.forget_hits_on(account),
                // Else it would be taken for a new refusal, again and again.
                _ => self.forget_hits_of(account, window),
            }
            self.persist(Record::LimitReset { account: account.clone(), window, at: now });
        }
    }

    /// A refusal that counts. `printed`: what the client said about its end.
    pub(in crate::core) fn account_refused(
        &mut self,
        account: &AccountName,
        window: PlanWindow,
        mut limit: Limit,
    ) {
        let standing = self.standing(account);
        if standing.unproven_since.is_some() {
            // Asked right after its reset, and refused: the moment that was printed was wrong.
            limit.until = limit.until.max(self.now.wall + retry_after(standing.misses));
        }
        let known = standing.limits.get(&window);
        if known.is_some_and(|known| !limit.printed && limit.since <= known.since) {
            return; // the same refusal, heard again: how long it is guessed to last has grown since
        }
        let later = known.is_none_or(|known| limit.until > known.until + SAME_RESET);
        let surer = known.is_some_and(|known| limit.printed && !known.printed);
        if later || surer {
            let account = account.clone();
            self.persist(Record::AccountRefused { account, window, limit });
        }
    }

    /// For how long an account is left alone whose refusal names no end, or one that had passed.
    pub(in crate::core) fn unprinted(
        &self,
        account: &AccountName,
        named: Option<Wall>,
    ) -> Duration {
        match named {
            Some(_) => retry_after(self.standing(account).misses),
            None => {
                let guess = self.config.quota.unknown_reset;
                let misses = self.standing(account).misses.min(8);
                guess.saturating_mul(1 << misses).min(GUESS_MAX.max(guess))
            }
        }
    }

    /// An answer that was given at `at` to a prompt of `prompted_at`: one from before its reset proves
    /// nothing. Where something stands against the account, an answer to a later prompt tells that it
    /// is over: a limit that was lifted early, a login that failed for one client alone.
    pub(in crate::core) fn account_answered(
        &mut self,
        account: &AccountName,
        session: &SessionName,
        prompted_at: Wall,
        at: Wall,
    ) {
        let standing = self.standing(account);
        let over = |since: Wall| prompted_at > since + ANSWER_IS_NEWS && prompted_at <= at;
        let now = self.now.wall;
        if standing.login.as_ref().is_some_and(|login| over(login.since)) {
            self.persist(Record::LoginMended { account: account.clone(), at: now });
            return self.account_proven(account, Some(session));
        }
        let lifted = standing.limits.values().all(|limit| over(limit.since));
        let windows: Vec<PlanWindow> = standing.limits.keys().copied().collect();
        if !windows.is_empty() && lifted {
            self.forget_hits_on(account);
            for window in windows {
                self.persist(Record::LimitReset { account: account.clone(), window, at: now });
            }
            return;
        }
        if standing.unproven_since.is_some_and(|since| at > since) {
            self.account_proven(account, Some(session));
        }
    }

    /// By whom we have sent there to prove it.
    pub(in crate::core) fn account_proven(
        &mut self,
        account: &AccountName,
        session: Option<&SessionName>,
    ) {
        if self.standing(account).unproven_since.is_some() {
            let (account, session) = (account.clone(), session.cloned());
            self.persist(Record::AccountProven { account, session, at: self.now.wall });
        }
    }

    pub(in crate::core) fn figures_heard(
        &mut self,
        account: AccountName,
        figures: Figures,
        at: Wall,
    ) {
        let known = self.standing(&account).used;
        let figures = known.map_or(figures, |known| Figures {
            five_hour: newest(known.figures.five_hour, figures.five_hour),
            weekly: newest(known.figures.weekly, figures.weekly),
        });
        let news = known.is_none_or(|known| {
            at >= known.at
                && (at - known.at >= FIGURES_AGE_MAX
                    || differs(known.figures.five_hour, figures.five_hour)
                    || differs(known.figures.weekly, figures.weekly))
        });
        if news {
            self.persist(Record::FiguresHeard { account, used: Used { figures, at } });
        }
    }

    /// # Errors
    /// Why the operator's word cannot be taken.
    pub(in crate::core) fn account_verb(
        &mut self,
        verb: AccountVerb,
        account: &AccountName,
    ) -> Result<(), String> {
        // One that has left the configuration may still be pinned, or held.
        let known = self.durable.pinned.as_ref() == Some(account)
            || self.durable.standings.contains_key(account);
        let releases = verb == AccountVerb::Release && known;
        if self.config.account(account).is_none() && !releases {
            return Err(format!("{account} is no account of the configuration"));
        }
        let (at, account) = (self.now.wall, account.clone());
        let pinned = self.durable.pinned.as_ref() == Some(&account);
        let held = self.standing(&account).held_since.is_some();
        match verb {
            AccountVerb::Hold if pinned => {
                return Err(format!("{account} is pinned: release it first"));
            }
            AccountVerb::Pin if held => {
                return Err(format!("{account} is held: release it first"));
            }
            AccountVerb::Hold if held => {}
            AccountVerb::Pin if pinned => {}
            AccountVerb::Hold => self.persist(Record::AccountHeld { account, at }),
            AccountVerb::Pin => self.persist(Record::AccountPinned { account, at }),
            AccountVerb::Release => {
                self.forget_hits_on(&account);
                self.persist(Record::AccountReleased { account, at });
            }
        }
        Ok(())
    }
}

fn retry_after(misses: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << misses.min(8)).min(RETRY_MAX)
}

/// Within one window use only grows: what another agent heard earlier is no news.
fn newest(known: Option<Window>, heard: Option<Window>) -> Option<Window> {
    match (known, heard) {
        (Some(known), Some(heard)) if heard.resets_at < known.resets_at => Some(known),
        (Some(known), Some(heard))
            if heard.resets_at == known.resets_at && heard.used_permille < known.used_permille =>
        {
            Some(known)
        }
        (known, heard) => heard.or(known),
    }
}

fn differs(known: Option<Window>, heard: Option<Window>) -> bool {
    match (known, heard) {
        (Some(known), Some(heard)) => {
            known.used_permille.abs_diff(heard.used_permille) >= FIGURES_DIFFER_PERMILLE
                || known.resets_at != heard.resets_at
        }
        (None, None) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_and_has_an_end() {
        let pauses: Vec<u64> = (0..6).map(|misses| retry_after(misses).as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
        assert_eq!(retry_after(u32::MAX), RETRY_MAX);
    }
}
