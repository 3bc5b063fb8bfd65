//! Which account next, and why not the others.
//!
//! What stands against an account passes it over; among the rest `selection.strategy` ranks. What a
//! status line said decides nothing but this rank, and only while its window lasts.

use std::cmp::Reverse;

use crate::config::Strategy;
use crate::core::Core;
use crate::core::standing::{AccountState, PlanWindow};
use crate::core::trigger::Trigger;
use crate::ids::AccountName;
use crate::moment::Wall;
use crate::quota::report::Window;
use crate::shell_word::shell_word;

/// By choice nobody moves to an account that is hardly better off.
pub const HYSTERESIS_PERMILLE: u16 = 100;

/// What an account is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The account in use cannot go on.
    Leave,
    /// Nobody could work; also the account in use may be the one that has come back.
    Wake,
    /// The account in use is nearly out.
    Preempt,
    /// The account in use is not the preferred one.
    Prefer,
}

impl Purpose {
    pub fn of(trigger: &Trigger) -> Self {
        match trigger {
            Trigger::AccountReturned => Purpose::Wake,
            Trigger::Preempt { .. } => Purpose::Preempt,
            Trigger::Preferred => Purpose::Prefer,
            Trigger::Refusal { .. }
            | Trigger::Operator
            | Trigger::LoginFailed { .. }
            | Trigger::SetAside => Purpose::Leave,
        }
    }
}

/// Why an account is taken or passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub account: AccountName,
    /// What the strategy goes by.
    pub merit: String,
    /// `None`: it can be taken.
    pub passed_over: Option<String>,
}

/// The smaller, the better: spared accounts last, then the strategy's measure, then the priority.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_spared: bool,
    no_reset: bool,
    reset: Wall,
    headroom: Reverse<u16>,
    place: usize,
}

impl Core {
    /// All accounts: those that can be taken, the best first, then the others as they are configured.
    pub fn candidates(&self, source: &AccountName, purpose: Purpose) -> Vec<Candidate> {
        let mut candidates: Vec<(Option<Rank>, Candidate)> = self
            .config
            .accounts
            .iter()
            .enumerate()
            .map(|(place, account)| {
                let account = account.name.clone();
                let passed_over = self.objection(&account, source, purpose);
                let rank = passed_over.is_none().then(|| self.measure(&account, place));
                (rank, Candidate { merit: self.merit(&account), account, passed_over })
            })
            .collect();
        candidates.sort_by(|(left, _), (right, _)| match (left, right) {
            (Some(left), Some(right)) => left.cmp(right),
            (left, right) => left.is_none().cmp(&right.is_none()),
        });
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }

    pub(in crate::core) fn choose_target(
        &self,
        source: &AccountName,
        purpose: Purpose,
    ) -> Option<AccountName> {
        self.candidates(source, purpose)
            .into_iter()
            .find(|candidate| candidate.passed_over.is_none())
            .map(|candidate| candidate.account)
    }

    /// The account that alone may be used; a pin by hand goes before the configuration's. One that
    /// has left the configuration since pins nothing.
    pub fn pin(&self) -> Option<&AccountName> {
        let by_hand = self.durable.pinned.as_ref();
        let by_hand = by_hand.filter(|account| self.config.account(account).is_some());
        by_hand.or(self.config.selection.pin.as_ref())
    }

    /// What stands against an account, whatever it is wanted for.
    pub fn bar(&self, account: &AccountName) -> Option<String> {
        if let Some(pin) = self.pin().filter(|pin| *pin != account) {
            return Some(format!("{pin} is pinned"));
        }
        let standing = self.standing(account);
        match standing.state() {
            AccountState::Available | AccountState::Unproven => None,
            AccountState::Exhausted => standing.limit().map(|(window, limit)| {
                format!("exhausted until {}: {}", limit.until, said(window, &limit.row))
            }),
            AccountState::AuthFailed => standing.login.as_ref().map(|login| {
                format!("its login fails: {}; {}", login.reason, self.login_remedy(account))
            }),
            AccountState::Rejected => standing
                .rejected
                .as_ref()
                .map(|rejected| format!("rejected until {}: {}", rejected.until, rejected.reason)),
            AccountState::Held => Some(format!(
                "held by the operator; `claude-failover account release {account}` ends that"
            )),
        }
    }

    pub(in crate::core) fn login_remedy(&self, account: &AccountName) -> String {
        let home = self.config.account(account).map(|account| shell_word(&account.home));
        format!(
            "log in again: `CLAUDE_CONFIG_DIR={} claude`, then /login",
            home.unwrap_or_default()
        )
    }

    fn objection(
        &self,
        account: &AccountName,
        source: &AccountName,
        purpose: Purpose,
    ) -> Option<String> {
        if account == source && purpose != Purpose::Wake {
            return Some("it is the account to leave".to_owned());
        }
        self.bar(account).or_else(|| match purpose {
            Purpose::Leave | Purpose::Wake => None,
            Purpose::Preempt => self.spared(account).or_else(|| self.hardly_better(account)),
            Purpose::Prefer => self
                .spared(account)
                .or_else(|| self.not_preferred(account, source))
                .or_else(|| self.hardly_better(account)),
        })
    }

    fn spared(&self, account: &AccountName) -> Option<String> {
        let until = self.standing(account).spared_until.filter(|until| *until > self.now.wall)?;
        Some(format!("it was left with little to spare until {until}"))
    }

    fn hardly_better(&self, account: &AccountName) -> Option<String> {
        let limit = self.config.quota.preempt_at.map(permille)?;
        let (window, used) = self.standing(account).most_used(self.now.wall)?;
        (used.used_permille.saturating_add(HYSTERESIS_PERMILLE) > limit)
            .then(|| format!("hardly better: {}", usage(window, used)))
    }

    fn not_preferred(&self, account: &AccountName, source: &AccountName) -> Option<String> {
        let place = |name: &AccountName| {
            self.config.accounts.iter().position(|account| account.name == *name)
        };
        (place(account) >= place(source)).then(|| format!("not preferred to {source}"))
    }

    fn measure(&self, account: &AccountName, place: usize) -> Rank {
        let now = self.now.wall;
        let standing = self.standing(account);
        let is_spared = self.spared(account).is_some();
        let mut rank = Rank { is_spared, no_reset: false, reset: now, headroom: Reverse(0), place };
        match self.config.selection.strategy {
            Strategy::Priority => {}
            Strategy::SoonestReset => match standing.next_reset(now) {
                Some((_, at)) => rank.reset = at,
                None => rank.no_reset = true,
            },
            Strategy::MostHeadroom => {
                let used = standing.most_used(now).map_or(0, |(_, used)| used.used_permille);
                rank.headroom = Reverse(1000_u16.saturating_sub(used));
            }
        }
        rank
    }

    /// In words what [`Core::measure`] goes by.
    fn merit(&self, account: &AccountName) -> String {
        let now = self.now.wall;
        let standing = self.standing(account);
        let merit = match self.config.selection.strategy {
            Strategy::Priority => {
                let priority = self.config.account(account).map_or(0, |account| account.priority);
                format!("priority {priority}")
            }
            Strategy::SoonestReset => match standing.next_reset(now) {
                Some((window, at)) => format!("{window} reset at {at}"),
                None => "no reset known".to_owned(),
            },
            Strategy::MostHeadroom => match standing.most_used(now) {
                Some((window, used)) => usage(window, used),
                None => "no figures, taken as unused".to_owned(),
            },
        };
        match standing.state() {
            AccountState::Unproven => format!("{merit}, to be proven first"),
            _ => merit,
        }
    }
}

/// `0.95` → 950.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1 by its check")]
pub(in crate::core) fn permille(share: f64) -> u16 {
    (share * 1000.0).round() as u16
}

fn usage(window: PlanWindow, used: Window) -> String {
    format!("{}.{} % of {window} used", used.used_permille / 10, used.used_permille % 10)
}

fn said(window: PlanWindow, row: &str) -> String {
    if row.is_empty() { format!("{window} limit") } else { row.to_owned() }
}
