//! Hits → an account that is out. What makes a hit is read in [`crate::core::screen`] (what panes
//! show: history until shown otherwise) and in [`crate::core::testimony`] (what the client records
//! and reports itself: deciding); here hits are weighed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Group;
use crate::core::Core;
use crate::core::action::{Action, NoteLevel};
use crate::core::event::{AgentHome, AgentSeen, AgentState};
use crate::core::orders::Slot;
use crate::core::record::{MoveStage, Record};
use crate::core::standing::{Limit, PlanWindow};
use crate::core::testimony::Testimony;
use crate::core::timer;
use crate::core::trigger::EvidenceSource;
use crate::ids::{AccountName, SessionName};
use crate::moment::{Mono, Wall};
use crate::quota::verdict::{Reading, Verdict};

/// Characters of a banner that the forensic line shows.
const SNIPPET_CHARS: usize = 120;

/// What was said within this is told without delay.
const SAID_NOW: Duration = Duration::from_secs(30);

/// Pool sessions that must agree before pane-only evidence counts (one dedicated is enough).
const POOL_HITS_NEEDED: usize = 2;

/// Evidence that one session's account is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub account: AccountName,
    pub verdict: Verdict,
    pub rule: String,
    pub row: String,
    /// When it was said; for a screen, when it was seen.
    pub at: Wall,
    /// What it means for the account, as it was weighed then: how long to wait after a moment that
    /// was printed wrong changes with every refusal.
    pub limit: Limit,
    pub source: EvidenceSource,
    /// Without a printed reset a screen must say it in two polls in a row.
    pub confirmed: bool,
    /// The client's own record, or the refusal of an agent that was just relaunched: no second
    /// opinion needed, and no cooldown.
    pub decides_alone: bool,
    /// The moment from which the cooldown of the last swap is over, once it was in the way.
    pub waits_for: Option<Mono>,
}

impl Core {
    /// Whoever is at work again since was refused in an earlier turn.
    pub(in crate::core) fn is_of_last_turn(&self, hit: &Hit, session: &SessionName) -> bool {
        let Some(seen) = self.sessions.get(session) else { return true };
        let Some(agent) = &seen.agent else { return true };
        let since = match agent.state {
            AgentState::Unknown => seen.reported_by(agent).map(|reported| reported.at),
            AgentState::Busy | AgentState::Idle | AgentState::Waiting(_) => Some(agent.state_since),
        };
        let busy = self.state_of(session).is_some_and(|(state, _)| state == AgentState::Busy);
        !busy || since.is_none_or(|since| since <= hit.at)
    }

    /// A reading that decides alone.
    pub(in crate::core) fn deciding_hit(
        &self,
        account: AccountName,
        reading: &Reading,
        source: EvidenceSource,
        at: Wall,
    ) -> Hit {
        Hit {
            limit: self.limit_of(&account, reading, at, source),
            account,
            verdict: reading.verdict.clone(),
            rule: reading.rule.clone(),
            row: reading.row.clone(),
            at,
            source,
            confirmed: true,
            decides_alone: true,
            waits_for: None,
        }
    }

    /// The account against which a refusal of this agent counts when it was said at `at`; `None`
    /// when that cannot be told.
    pub(in crate::core) fn refusing_account(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        at: Wall,
    ) -> Option<AccountName> {
        match &agent.home {
            AgentHome::Homed(account) => Some(account.clone()),
            AgentHome::Elsewhere => None,
            AgentHome::Linked => {
                let since = self.active_since();
                if self.orders.is_open(&Slot::Flip) {
                    return None; // it may have been done, and its answer is on its way
                }
                if self.link_seen != self.durable.active {
                    return None; // a flip of ours is not on record yet, or it names none of ours
                }
                if self.durable.active_since > self.now.wall && !self.is_of_now(at) {
                    return None; // the clock was set back since the flip: only what is fresh is dated
                }
                if self.link_moved_at.is_some_and(|moved| at < moved && moved <= self.now.wall) {
                    return None; // it was said to whatever account the link named then
                }
                let moved = since > Wall::default();
                if moved && at < since {
                    return None; // another account's, and that one is left
                }
                if moved && at - since < timer::FLIP_SETTLES || self.flipped_just_now() {
                    let text = format!(
                        "[quota] session={session} refusal within 5 s of a flip: not attributed"
                    );
                    self.note_once(NoteLevel::Info, text);
                    return None;
                }
                self.active().cloned()
            }
        }
    }

    /// Said a moment ago, and the link has not been moved for longer than that.
    fn is_of_now(&self, at: Wall) -> bool {
        let settled = self.flipped_at.is_none_or(|flip| self.now.monotonic - flip > 2 * SAID_NOW);
        settled && at <= self.now.wall && self.now.wall - at < SAID_NOW
    }

    /// The forensic line: enough to judge the trigger the next morning.
    pub(in crate::core) fn note_hit(&mut self, session: &SessionName, hit: &Hit) {
        let snippet: String = hit.row.chars().take(SNIPPET_CHARS).collect();
        let state = if hit.confirmed { "confirmed" } else { "suspected" };
        let text = format!(
            "[quota] hit {state} account={} trigger_session=\"{session}\" evidence={} \
             pattern=\"{}\" snippet={snippet:?}",
            hit.account, hit.source, hit.rule
        );
        self.note(NoteLevel::Info, text);
    }

    /// Marks accounts out when the hits against them suffice.
    pub(in crate::core) fn weigh_evidence(&mut self) {
        let mut by_account: BTreeMap<AccountName, Vec<SessionName>> = BTreeMap::new();
        for (session, hit) in &self.hits {
            // Of one that is out a screen tells nothing new; the client's own word may: one more
            // window, or a later reset.
            if hit.confirmed && (hit.decides_alone || !self.is_out(&hit.account)) {
                by_account.entry(hit.account.clone()).or_default().push(session.clone());
            }
        }
        for (account, sessions) in by_account {
            let known = self.is_out(&account);
            if known || self.suffices(&account, &sessions) && !self.cooling_down(&sessions) {
                self.account_exhausted(&account, &sessions);
            }
        }
    }

    pub(in crate::core) fn is_out(&self, account: &AccountName) -> bool {
        !self.standing(account).limits.is_empty()
    }

    /// One dedicated session, two of the pool, or all of a pool that has but one agent.
    fn suffices(&self, account: &AccountName, sessions: &[SessionName]) -> bool {
        let alone = sessions.iter().any(|session| {
            self.config.group(session) == Some(Group::Dedicated)
                || self.hits.get(session).is_some_and(|hit| hit.decides_alone)
        });
        let pool_agents = self
            .sessions
            .iter()
            .filter(|(name, _)| self.config.group(name) == Some(Group::Pool))
            .filter_map(|(_, seen)| seen.agent.as_ref())
            .filter(|agent| self.account_of(&agent.home) == Some(account))
            .count();
        alone || sessions.len() >= POOL_HITS_NEEDED.min(pool_agents.max(1))
    }

    /// Pane-only evidence soon after a swap is logged and waits; it is weighed again afterwards.
    fn cooling_down(&mut self, sessions: &[SessionName]) -> bool {
        // One that lies ahead ended before the clock was set back, and long ago for all we know.
        let last = self.durable.last_swap.as_ref();
        let Some(last) = last.filter(|last| last.ended_at <= self.now.wall) else {
            return false;
        };
        let past = self.now.wall - last.ended_at;
        let cooldown = self.config.quota.reactivate_cooldown;
        let decides = sessions
            .iter()
            .any(|session| self.hits.get(session).is_some_and(|hit| hit.decides_alone));
        if past >= cooldown || decides || self.durable.swap.is_some() {
            return false;
        }
        let until = self.now.monotonic + (cooldown - past);
        for session in sessions {
            let Some(hit) = self.hits.get_mut(session) else {
                continue;
            };
            if hit.waits_for.is_none() {
                let text = format!(
                    "[quota] swap cooldown active session={session} account={} until={}",
                    hit.account,
                    self.now.wall + (cooldown - past)
                );
                self.out.push(Action::Note { level: NoteLevel::Info, text });
            }
            hit.waits_for = Some(until);
        }
        true
    }

    /// Each window of the plan for itself; of several hits on one the latest end counts.
    fn account_exhausted(&mut self, account: &AccountName, sessions: &[SessionName]) {
        let mut windows: BTreeMap<PlanWindow, Limit> = BTreeMap::new();
        for session in sessions {
            let Some(hit) = self.hits.get(session) else { continue };
            let Some(window) = PlanWindow::of(&hit.verdict) else { continue };
            let limit = Limit { session: Some(session.clone()), ..hit.limit.clone() };
            // What was printed goes before a guess of ours.
            let sure = |limit: &Limit| (limit.printed, limit.until);
            if windows.get(&window).is_none_or(|known| sure(known) < sure(&limit)) {
                windows.insert(window, limit);
            }
        }
        for (window, limit) in windows {
            self.account_refused(account, window, limit);
        }
    }

    /// An agent whose stay on its old account is over because that account refused it.
    pub(in crate::core) fn straggler_refused(&self, session: &SessionName) -> bool {
        let staying = self
            .durable
            .moves
            .get(session)
            .is_some_and(|moving| matches!(moving.stage, MoveStage::Staying { .. }));
        let hit = self.hits.get(session).filter(|hit| hit.confirmed);
        staying && hit.is_some_and(|hit| self.is_of_last_turn(hit, session))
    }

    /// What was said when an account came back or was left is history from then on. A record is
    /// dated; a row of a screen must be remembered.
    pub(in crate::core) fn forget_hits_on(&mut self, account: &AccountName) {
        self.forget_hits(|hit| hit.account == *account);
        self.leave_refusals_on(account, |_| true);
    }

    /// Of one limit of several: the others go on.
    pub(in crate::core) fn forget_hits_of(&mut self, account: &AccountName, window: PlanWindow) {
        self.forget_hits(|hit| {
            hit.account == *account && PlanWindow::of(&hit.verdict) == Some(window)
        });
        self.leave_refusals_on(account, |verdict| PlanWindow::of(verdict) == Some(window));
    }

    /// Nothing dates later what a screen shows now and nobody has judged yet: that of a client whose
    /// launch is still to be answered, say.
    fn leave_refusals_on(&mut self, account: &AccountName, is_over: impl Fn(&Verdict) -> bool) {
        let shown = self.sessions.iter().filter_map(|(session, seen)| {
            let agent = seen.agent.as_ref()?;
            let (process, refusal) = seen.refusal.as_ref()?;
            let is_there = *process == agent.process
                && is_over(&refusal.verdict)
                && self.account_of(&agent.home) == Some(account);
            let is_dated = matches!(self.testimony(session, agent), Testimony::Known(_));
            (is_there && !is_dated).then(|| (session.clone(), refusal.row.clone()))
        });
        let shown: Vec<(SessionName, String)> = shown.collect();
        for (session, row) in shown {
            self.leave_row_once(&session, &row);
        }
    }

    fn forget_hits(&mut self, is_over: impl Fn(&Hit) -> bool) {
        let over: Vec<(SessionName, Hit)> = self
            .hits
            .iter()
            .filter(|(_, hit)| is_over(hit))
            .map(|(session, hit)| (session.clone(), hit.clone()))
            .collect();
        for (session, hit) in over {
            self.hits.remove(&session);
            // Where a hook has told of it, there is no conversation file, and the screen decides next.
            if matches!(hit.source, EvidenceSource::Pane | EvidenceSource::Hook) {
                self.persist(Record::RowLeft { session, row: hit.row });
            }
        }
    }
}
