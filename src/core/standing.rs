//! What is known for and against an account. All of it can hold at once: an account that an operator
//! holds may be out of its weekly window as well, and is still so when it is released.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::trigger::EvidenceSource;
use crate::ids::SessionName;
use crate::moment::Wall;
use crate::quota::report::{Figures, Window};
use crate::quota::verdict::{LimitKind, Verdict};

/// One plan has several limits side by side; each runs out, and comes back, for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanWindow {
    FiveHour,
    Weekly,
    /// The client says "limit" without saying which.
    Unnamed,
    /// Spend limit, out of credits.
    Spend,
}

/// One limit that an account was refused by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What the client printed.
    pub row: String,
    pub evidence: EvidenceSource,
    /// Whose agent was refused; `None`: a headless request.
    pub session: Option<SessionName>,
    /// When it was said.
    pub since: Wall,
    /// When it is over, as far as anybody knows.
    pub until: Wall,
    /// `until` is what the client printed, not a guess of ours.
    #[serde(default)]
    pub printed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFailure {
    pub reason: String,
    pub since: Wall,
}

/// A check on it failed; tried again after `until`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    pub reason: String,
    pub since: Wall,
    pub until: Wall,
}

/// The used shares that a status line of its agents named last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    pub figures: Figures,
    pub at: Wall,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    pub limits: BTreeMap<PlanWindow, Limit>,
    pub login: Option<LoginFailure>,
    pub rejected: Option<Rejection>,
    /// Held by the operator since.
    pub held_since: Option<Wall>,
    /// What stood against it is over since then, and nobody has had an answer on it.
    pub unproven_since: Option<Wall>,
    /// Refusals in a row, each after a reset that had been printed.
    pub misses: u32,
    /// It was left by choice with little to spare: none of ours goes there by choice before this.
    pub spared_until: Option<Wall>,
    /// What was said against it until then is over.
    pub cleared_at: Option<Wall>,
    pub used: Option<Used>,
}

/// What follows for who wants to work on it; the strongest reason counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    Available,
    /// Probably available: its reset has passed, or its login was mended, and nobody has had an
    /// answer since.
    Unproven,
    /// A check on its home failed.
    Rejected,
    Exhausted,
    AuthFailed,
    /// By the operator.
    Held,
}

impl AccountState {
    /// The word for it in `/status` and in the log.
    pub fn word(self) -> &'static str {
        match self {
            AccountState::Available => "available",
            AccountState::Unproven => "unproven",
            AccountState::Rejected => "rejected",
            AccountState::Exhausted => "exhausted",
            AccountState::AuthFailed => "auth_failed",
            AccountState::Held => "held",
        }
    }
}

/// An account of which nobody has said anything.
static UNKNOWN: Standing = Standing {
    limits: BTreeMap::new(),
    login: None,
    rejected: None,
    held_since: None,
    unproven_since: None,
    misses: 0,
    spared_until: None,
    cleared_at: None,
    used: None,
};

impl Standing {
    pub fn unknown() -> &'static Self {
        &UNKNOWN
    }

    pub fn state(&self) -> AccountState {
        if self.held_since.is_some() {
            AccountState::Held
        } else if self.login.is_some() {
            AccountState::AuthFailed
        } else if !self.limits.is_empty() {
            AccountState::Exhausted
        } else if self.rejected.is_some() {
            AccountState::Rejected
        } else if self.unproven_since.is_some() {
            AccountState::Unproven
        } else {
            AccountState::Available
        }
    }

    /// The limit that lasts longest: it is out until all of them are over.
    pub fn limit(&self) -> Option<(PlanWindow, &Limit)> {
        let limits = self.limits.iter().max_by_key(|(_, limit)| limit.until);
        limits.map(|(window, limit)| (*window, limit))
    }

    /// When it comes back by itself; `None` when it is not away, or somebody must do something.
    pub fn until(&self) -> Option<Wall> {
        match self.state() {
            AccountState::Exhausted => self.limit().map(|(_, limit)| limit.until),
            AccountState::Rejected => self.rejected.as_ref().map(|rejected| rejected.until),
            AccountState::Available
            | AccountState::Unproven
            | AccountState::AuthFailed
            | AccountState::Held => None,
        }
    }

    /// The window that is used most, of those that have not been reset since; per mille.
    pub fn most_used(&self, now: Wall) -> Option<(PlanWindow, Window)> {
        let Used { figures, at: heard } = self.used?;
        let windows =
            [(PlanWindow::FiveHour, figures.five_hour), (PlanWindow::Weekly, figures.weekly)];
        windows
            .into_iter()
            .filter_map(|(name, window)| Some((name, window?)))
            .filter(|(name, window)| match window.resets_at {
                Some(at) => at > now,
                // It names no end: it is over when its length has passed.
                None => now - heard < name.length(),
            })
            .max_by_key(|(_, window)| window.used_permille)
    }

    /// When the last of the windows is reset of which so much is used.
    pub fn full_until(&self, threshold: u16, now: Wall) -> Option<Wall> {
        let Used { figures, .. } = self.used?;
        let windows = [figures.five_hour, figures.weekly].into_iter().flatten();
        let full = windows.filter(|window| window.used_permille >= threshold);
        full.filter_map(|window| window.resets_at).filter(|at| *at > now).max()
    }

    /// When quota is lost that is not spent before: the weekly reset, else that of the five hours.
    pub fn next_reset(&self, now: Wall) -> Option<(PlanWindow, Wall)> {
        let Used { figures, .. } = self.used?;
        let windows =
            [(PlanWindow::Weekly, figures.weekly), (PlanWindow::FiveHour, figures.five_hour)];
        windows
            .into_iter()
            .filter_map(|(name, window)| Some((name, window?.resets_at?)))
            .find(|(_, at)| *at > now)
    }
}

impl PlanWindow {
    /// How long one lasts, at most.
    pub fn length(self) -> Duration {
        match self {
            PlanWindow::FiveHour => Duration::from_secs(5 * 60 * 60),
            PlanWindow::Weekly | PlanWindow::Unnamed | PlanWindow::Spend => {
                Duration::from_secs(7 * 24 * 60 * 60)
            }
        }
    }

    /// The window that a refusal speaks of; `None`: it is no refusal by the plan.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Exhausted { limit: LimitKind::FiveHour, .. } => Some(PlanWindow::FiveHour),
            Verdict::Exhausted { limit: LimitKind::Weekly, .. } => Some(PlanWindow::Weekly),
            Verdict::Exhausted { limit: LimitKind::Unnamed, .. } => Some(PlanWindow::Unnamed),
            Verdict::SpendLimit { .. } => Some(PlanWindow::Spend),
            Verdict::Warning
            | Verdict::Throttled
            | Verdict::ServerError
            | Verdict::AuthFailed
            | Verdict::ModelLimit
            | Verdict::Clear => None,
        }
    }
}

impl fmt::Display for PlanWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlanWindow::FiveHour => "five_hour",
            PlanWindow::Weekly => "weekly",
            PlanWindow::Unnamed => "unnamed",
            PlanWindow::Spend => "spend",
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state(), self.limit(), &self.login, &self.rejected) {
            (AccountState::Exhausted, Some((window, limit)), _, _) => {
                write!(f, "exhausted window={window} until={} row={:?}", limit.until, limit.row)
            }
            (AccountState::AuthFailed, _, Some(login), _) => {
                write!(f, "auth failed: {}", login.reason)
            }
            (AccountState::Rejected, _, _, Some(Rejection { reason, until, .. })) => {
                write!(f, "rejected until={until}: {reason}")
            }
            (state, ..) => f.write_str(state.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(until: i64) -> Limit {
        Limit {
            row: String::new(),
            evidence: EvidenceSource::Transcript,
            session: None,
            since: Wall(0),
            until: Wall(until),
            printed: true,
        }
    }

    #[test]
    fn the_longest_limit_counts_and_the_others_are_not_forgotten() {
        let mut standing = Standing::default();
        standing.limits.insert(PlanWindow::Weekly, limit(900));
        standing.limits.insert(PlanWindow::FiveHour, limit(100));
        assert_eq!(standing.until(), Some(Wall(900)));
        standing.limits.remove(&PlanWindow::Weekly);
        assert_eq!(
            (standing.state(), standing.until()),
            (AccountState::Exhausted, Some(Wall(100)))
        );
    }

    #[test]
    fn a_hold_goes_before_what_stands_against_it() {
        let mut standing = Standing { held_since: Some(Wall(1)), ..Standing::default() };
        standing.limits.insert(PlanWindow::Weekly, limit(900));
        assert_eq!((standing.state(), standing.until()), (AccountState::Held, None));
        standing.held_since = None;
        assert_eq!(standing.state(), AccountState::Exhausted);
    }

    #[test]
    fn the_figures_of_a_window_that_has_been_reset_are_none() {
        let window = |used_permille, at| Some(Window { used_permille, resets_at: Some(Wall(at)) });
        let figures = Figures { five_hour: window(950, 100), weekly: window(400, 900) };
        let used = Some(Used { figures, at: Wall(50) });
        let standing = Standing { used, ..Standing::default() };
        let most = |now| standing.most_used(Wall(now)).map(|(name, w)| (name, w.used_permille));
        assert_eq!(most(60), Some((PlanWindow::FiveHour, 950)));
        assert_eq!(most(100), Some((PlanWindow::Weekly, 400)));
        assert_eq!(most(900), None);
        assert_eq!(standing.next_reset(Wall(60)), Some((PlanWindow::Weekly, Wall(900))));
    }
}
