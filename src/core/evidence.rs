//! Readings → hits → an account that is out. Ranked, dated and attributed; the screen is history
//! until shown otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Group;
use crate::core::Core;
use crate::core::action::NoteLevel;
use crate::core::event::{AgentHome, AgentSeen, AgentState, PaneReading};
use crate::core::record::{AccountState, MoveStage, Record};
use crate::core::session::Newcomer;
use crate::core::timer;
use crate::core::verify::SILENT_CLIENT_UP;
use crate::ids::{AccountName, SessionName};
use crate::moment::{Mono, Wall};
use crate::quota::verdict::{LimitKind, Reading, Verdict};

/// Characters of a banner that the forensic line shows.
const SNIPPET_CHARS: usize = 120;

/// Pool sessions that must agree before pane-only evidence counts (one dedicated is enough).
const POOL_HITS_NEEDED: usize = 2;

/// A day: a printed clock time means its next occurrence, so the one before it is this far back.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A 5-hour window ends within 5 hours; printed times are rounded, clocks differ a little. A clock
/// time further away is one that has passed, read as tomorrow's.
const FIVE_HOUR_RESET_MAX: Duration = Duration::from_secs(5 * 60 * 60 + 15 * 60);

/// Evidence that one session's account is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub account: AccountName,
    pub verdict: Verdict,
    pub rule: String,
    pub row: String,
    pub at: Wall,
    /// Without a printed reset it takes two polls in a row.
    pub confirmed: bool,
    /// An agent that was just relaunched was refused: no second opinion needed.
    pub decides_alone: bool,
    /// The moment from which the cooldown of the last swap is over, once it was in the way.
    pub waits_for: Option<Mono>,
}

impl Core {
    pub(in crate::core) fn panes_observed(&mut self, readings: Vec<PaneReading>) {
        for reading in readings {
            if self.config.group(&reading.session).is_none() {
                continue;
            }
            if let Some(session) = self.sessions.get_mut(&reading.session) {
                session.remember_resume_ids(&reading.reading.resume_ids);
            }
            let launched = self.durable.moves.get(&reading.session);
            if launched.is_some_and(|m| matches!(m.stage, MoveStage::Launched { .. })) {
                self.startup_read(&reading);
            } else {
                self.pane_observed(&reading);
            }
        }
    }

    fn pane_observed(&mut self, seen: &PaneReading) {
        let session = &seen.session;
        let Some(agent) = self.agent_in(session).filter(|agent| agent.pane == seen.pane) else {
            return;
        };
        let ending = self.durable.moves.get(session).is_some_and(|moving| {
            !matches!(moving.stage, MoveStage::Staying { .. } | MoveStage::Held)
        });
        if ending {
            return; // it is judged already, and its next agent shows a screen of its own
        }
        let agent = agent.clone();
        self.note_user_row(session, &seen.reading);
        match &seen.reading.verdict {
            Verdict::Exhausted { .. } | Verdict::SpendLimit { .. } => {
                self.exhaustion_read(session, &agent, &seen.reading);
            }
            Verdict::AuthFailed => self.auth_failure_read(session, &agent, &seen.reading),
            Verdict::Warning
            | Verdict::Throttled
            | Verdict::ServerError
            | Verdict::ModelLimit
            | Verdict::Clear => {
                if self.hits.remove(session).is_some() {
                    self.note(
                        NoteLevel::Info,
                        format!("[quota] session={session} the banner is gone: cleared"),
                    );
                }
            }
        }
    }

    /// Clients that tell no state: a prompt that was not there when their start-up screen stood is
    /// their first turn. For the others the screen proves nothing: while it is being repainted,
    /// old prompts come up one after the other.
    pub(in crate::core) fn note_user_row(&mut self, session: &SessionName, reading: &Reading) {
        let resumed = self.durable.resumed.contains(session);
        let now = self.now.monotonic;
        let Some(seen) = self.sessions.get_mut(session) else { return };
        let Some(agent) = seen.agent.as_ref().filter(|a| a.state == AgentState::Unknown) else {
            return;
        };
        if resumed && seen.newcomer.is_none() {
            // Known from before a restart; its first screens of this life are where we start.
            seen.newcomer = Some(Newcomer::seen(agent.process, now));
        }
        let Some(newcomer) = seen.newcomer.as_mut() else { return };
        let row = reading.last_user_row.as_ref();
        if now - newcomer.since < SILENT_CLIENT_UP {
            newcomer.startup_row = row.cloned();
        } else if row.is_some() && newcomer.startup_row.as_ref() != row {
            self.turn_taken(session);
        }
    }

    fn exhaustion_read(&mut self, session: &SessionName, agent: &AgentSeen, reading: &Reading) {
        if self.is_newcomer(session, agent) {
            self.leave_row_once(session, &reading.row);
            return;
        }
        if self.is_history(session, agent, reading) {
            return;
        }
        let Some(account) = self.account_of(&agent.home).cloned() else {
            return;
        };
        if agent.home == AgentHome::Linked && self.refused_before_flip(agent) {
            return;
        }
        if agent.home == AgentHome::Linked && self.flipped_just_now() {
            self.note_once(
                NoteLevel::Info,
                format!("[quota] session={session} refusal within 5 s of a flip: not attributed"),
            );
            return;
        }
        let seen_before = self.hits.get(session).is_some_and(|hit| hit.row == reading.row);
        let confirmed = reading.verdict.resets_at().is_some() || seen_before;
        let hit = Hit {
            account,
            verdict: reading.verdict.clone(),
            rule: reading.rule.clone(),
            row: reading.row.clone(),
            at: self.now.wall,
            confirmed,
            decides_alone: false,
            waits_for: self.hits.get(session).and_then(|hit| hit.waits_for),
        };
        if !seen_before {
            self.note_hit(session, &hit);
        }
        self.hits.insert(session.clone(), hit);
    }

    /// The forensic line: enough to judge the trigger the next morning.
    pub(in crate::core) fn note_hit(&mut self, session: &SessionName, hit: &Hit) {
        let snippet: String = hit.row.chars().take(SNIPPET_CHARS).collect();
        let state = if hit.confirmed { "confirmed" } else { "suspected" };
        let text = format!(
            "[quota] hit {state} account={} trigger_session=\"{session}\" evidence=pane \
             pattern=\"{}\" snippet={snippet:?}",
            hit.account, hit.rule
        );
        self.note(NoteLevel::Info, text);
    }

    /// Whether a banner tells of something that is over.
    pub(in crate::core) fn is_history(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
    ) -> bool {
        let left = self.durable.left_rows.get(session);
        if left.is_some_and(|rows| rows.contains(&reading.row)) {
            return true;
        }
        // The client went quiet when it painted the banner. If the printed clock time came round
        // since then, the limit has been reset while nobody looked.
        let quiet = match agent.state {
            AgentState::Idle | AgentState::Waiting(_) => true,
            AgentState::Busy | AgentState::Unknown => false,
        };
        let five_hours =
            matches!(reading.verdict, Verdict::Exhausted { limit: LimitKind::FiveHour, .. });
        reading.verdict.resets_at().is_some_and(|resets_at| {
            let passed = resets_at <= self.now.wall;
            let too_far = five_hours && resets_at - self.now.wall > FIVE_HOUR_RESET_MAX;
            let came_round = quiet && resets_at.0.saturating_sub(DAY_MS) > agent.state_since.0;
            passed || too_far || came_round
        })
    }

    pub(in crate::core) fn is_newcomer(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        let newcomer = self.sessions.get(session).and_then(|seen| seen.newcomer.as_ref());
        self.durable.resumed.contains(session)
            || newcomer.is_some_and(|newcomer| newcomer.process == agent.process)
    }

    /// It has been quiet since the link named another account: that one refused it. A client that
    /// tells no state cannot be dated: once the link has moved, its banner may be from before.
    fn refused_before_flip(&self, agent: &AgentSeen) -> bool {
        match agent.state {
            AgentState::Idle | AgentState::Waiting(_) => {
                agent.state_since < self.durable.active_since
            }
            AgentState::Unknown => self.durable.active_since > Wall::default(),
            AgentState::Busy => false,
        }
    }

    fn flipped_just_now(&self) -> bool {
        self.flipped_at.is_some_and(|at| self.now.monotonic - at < timer::FLIP_SETTLES)
    }

    pub(in crate::core) fn auth_failure_read(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
    ) {
        let Some(account) = self.account_of(&agent.home).cloned() else {
            return;
        };
        if matches!(self.durable.account(&account), AccountState::AuthFailed { .. }) {
            return;
        }
        let reason = format!("session {session}: {}", reading.row);
        let text = format!(
            "account={account} its login fails ({reason}): log in with `claude` on that home"
        );
        self.note(NoteLevel::Error, text);
        let state = AccountState::AuthFailed { reason, since: self.now.wall };
        self.persist(Record::AccountChanged { account, state });
    }

    /// Marks accounts out when the hits against them suffice.
    pub(in crate::core) fn weigh_evidence(&mut self) {
        let mut by_account: BTreeMap<AccountName, Vec<SessionName>> = BTreeMap::new();
        for (session, hit) in &self.hits {
            if hit.confirmed && !self.is_out(&hit.account) {
                by_account.entry(hit.account.clone()).or_default().push(session.clone());
            }
        }
        for (account, sessions) in by_account {
            if self.suffices(&account, &sessions) && !self.cooling_down(&sessions) {
                self.account_exhausted(&account, &sessions);
            }
        }
    }

    pub(in crate::core) fn is_out(&self, account: &AccountName) -> bool {
        matches!(self.durable.account(account), AccountState::Exhausted { .. })
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
        let Some(last) = &self.durable.last_swap else {
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
                self.out.push(crate::core::action::Action::Note { level: NoteLevel::Info, text });
            }
            hit.waits_for = Some(until);
        }
        true
    }

    fn account_exhausted(&mut self, account: &AccountName, sessions: &[SessionName]) {
        let latest = sessions
            .iter()
            .filter_map(|session| self.hits.get(session))
            .max_by_key(|hit| hit.verdict.resets_at())
            .cloned();
        let Some(hit) = latest else { return };
        let since = self.now.wall;
        let until = hit.verdict.resets_at().unwrap_or(since + self.config.quota.unknown_reset);
        let state = AccountState::Exhausted { verdict: hit.verdict, row: hit.row, since, until };
        self.persist(Record::AccountChanged { account: account.clone(), state });
    }

    /// An agent whose stay on its old account is over because that account refused it.
    pub(in crate::core) fn straggler_refused(&self, session: &SessionName) -> bool {
        let staying = self
            .durable
            .moves
            .get(session)
            .is_some_and(|moving| matches!(moving.stage, MoveStage::Staying { .. }));
        staying && self.hits.get(session).is_some_and(|hit| hit.confirmed)
    }

    /// What was on the screen when an account came back or was left is history from then on.
    pub(in crate::core) fn forget_hits_on(&mut self, account: &AccountName) {
        let over: Vec<(SessionName, String)> = self
            .hits
            .iter()
            .filter(|(_, hit)| hit.account == *account)
            .map(|(session, hit)| (session.clone(), hit.row.clone()))
            .collect();
        for (session, row) in over {
            self.hits.remove(&session);
            self.persist(Record::RowLeft { session, row });
        }
    }
}
