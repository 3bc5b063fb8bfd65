//! What panes show of their agents. The screen is history until shown otherwise, and it decides
//! only for an agent whose conversation file is not known; for all others it is a reason to look
//! into that file now.

use std::time::Duration;

use crate::core::Core;
use crate::core::action::{Action, NoteLevel};
use crate::core::event::{AgentHome, AgentSeen, AgentState, PaneReading};
use crate::core::evidence::Hit;
use crate::core::record::{MoveStage, Record};
use crate::core::session::Newcomer;
use crate::core::testimony::Testimony;
use crate::core::timer;
use crate::core::trigger::EvidenceSource;
use crate::core::verify::SILENT_CLIENT_UP;
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;
use crate::quota::verdict::{LimitKind, Reading, Verdict};

/// A day: a printed clock time means its next occurrence, so the one before it is this far back.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A 5-hour window ends within 5 hours; printed times are rounded, clocks differ a little. A clock
/// time further away is one that has passed, read as tomorrow's.
const FIVE_HOUR_RESET_MAX: Duration = Duration::from_secs(5 * 60 * 60 + 15 * 60);

/// What a printed clock time may lie after the true end of a limit.
const PRINTED_TO: Duration = Duration::from_secs(60);

impl Core {
    pub(in crate::core) fn panes_observed(&mut self, readings: Vec<PaneReading>) {
        for reading in readings {
            if self.config.group(&reading.session).is_none() {
                continue;
            }
            let is_awaited = self.awaits_its_row(&reading.session);
            if let Some(session) = self.sessions.get_mut(&reading.session) {
                if !is_awaited {
                    session.remember_resume_ids(&reading.reading.resume_ids);
                }
                session.screen = reading.reading.activity;
                session.user_row.clone_from(&reading.reading.last_user_row);
                session.armed = reading.reading.armed;
                session.remember_refusal(&reading);
            }
            self.say_unrecognised(&reading);
            let launched = self.durable.moves.get(&reading.session);
            if launched.is_some_and(|m| matches!(m.stage, MoveStage::Launched { .. })) {
                self.startup_read(&reading);
            } else {
                self.pane_observed(&reading);
            }
        }
    }

    /// The row by which a nameless agent that is being ended tells who it was is no old one. The first
    /// look while it lives tells what stood there before.
    fn awaits_its_row(&self, session: &SessionName) -> bool {
        let Some(moving) = self.durable.moves.get(session) else { return false };
        let ends = match moving.stage {
            MoveStage::Stopping => self.sessions.get(session).is_some_and(|seen| seen.screen_read),
            MoveStage::Stopped => true,
            MoveStage::Staying { .. }
            | MoveStage::Launching { .. }
            | MoveStage::Launched { .. }
            | MoveStage::Held => false,
        };
        ends && moving.agent.conversation.is_none()
    }

    fn pane_observed(&mut self, seen: &PaneReading) {
        let session = &seen.session;
        let Some(agent) = self.agent_in(session).filter(|agent| agent.pane == seen.pane) else {
            return;
        };
        let agent = agent.clone();
        let moving = self.durable.moves.get(session);
        let is_moved = moving.is_some_and(|moving| moving.agent.process == agent.process);
        match moving.map(|moving| &moving.stage) {
            // It is judged already. Who came in its place meanwhile shows a screen of its own.
            Some(MoveStage::Stopping | MoveStage::Stopped) if is_moved => return,
            // That may be up before the answer says so.
            Some(MoveStage::Launching { .. }) => {
                self.note_startup_row(session, &seen.reading);
                return;
            }
            // What came up by a launch is read by `startup_read`.
            Some(
                MoveStage::Stopping
                | MoveStage::Stopped
                | MoveStage::Launched { .. }
                | MoveStage::Staying { .. }
                | MoveStage::Held,
            )
            | None => {}
        }
        self.note_user_row(session, &seen.reading);
        if self.is_only_a_hint(session, &agent, &seen.reading) {
            return;
        }
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
                self.clear_hit(session, "the banner is gone");
            }
        }
    }

    /// What the screen of an agent shows whose client can be asked itself. What it refuses makes
    /// the watcher look into the conversation file now; anything else proves nothing.
    pub(in crate::core) fn is_only_a_hint(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
    ) -> bool {
        match self.testimony(session, agent) {
            Testimony::None => return false,
            Testimony::Awaited | Testimony::Known(_) => {}
        }
        if reading.verdict.is_refusal() {
            self.out.push(Action::ReadTranscript { session: session.clone() });
        }
        true
    }

    /// Once for each wording, so that operators can report it or name it in `quota.patterns`.
    fn say_unrecognised(&mut self, seen: &PaneReading) {
        let Some(row) = &seen.reading.unrecognised else { return };
        let wording: String =
            row.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let text = format!(
            "[quota] unrecognised row that speaks of a limit, session={}: {row:?}; if the account \
             was out, add its beginning to quota.patterns and report it",
            seen.session
        );
        self.note_once_about(&format!("unrecognised {wording}"), NoteLevel::Warn, text);
    }

    pub(in crate::core) fn clear_hit(&mut self, session: &SessionName, why: &str) {
        if self.hits.remove(session).is_some() {
            self.note(NoteLevel::Info, format!("[quota] session={session} {why}: cleared"));
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

    /// What a client shows until its launch is answered is what it came up with; when that is long, its
    /// first turn is told by the answer to its nudge.
    fn note_startup_row(&mut self, session: &SessionName, reading: &Reading) {
        let newcomer = self.sessions.get_mut(session).and_then(|seen| seen.newcomer.as_mut());
        if let Some(newcomer) = newcomer {
            newcomer.startup_row.clone_from(&reading.last_user_row);
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
        if agent.home == AgentHome::Linked && self.refused_before_flip(agent) {
            return;
        }
        // A screen has no date: it is judged as of now.
        let Some(account) = self.refusing_account(session, agent, self.now.wall) else {
            return;
        };
        if self.has_come_back_since(&account, agent, reading) {
            // A dialog that is opened over it and closed again does not make it news.
            return self.leave_row_once(session, &reading.row);
        }
        let seen_before = self.hits.get(session).is_some_and(|hit| hit.row == reading.row);
        let confirmed = reading.verdict.resets_at().is_some() || seen_before;
        let hit = Hit {
            limit: self.limit_of(&account, reading, self.now.wall, EvidenceSource::Pane),
            account,
            verdict: reading.verdict.clone(),
            rule: reading.rule.clone(),
            row: reading.row.clone(),
            at: self.now.wall,
            source: EvidenceSource::Pane,
            confirmed,
            decides_alone: false,
            waits_for: self.hits.get(session).and_then(|hit| hit.waits_for),
        };
        if !seen_before {
            self.note_hit(session, &hit);
        }
        self.hits.insert(session.clone(), hit);
    }

    /// By its reset, or by the operator's word: a quiet client was refused before that.
    pub(in crate::core) fn has_come_back_since(
        &self,
        account: &AccountName,
        agent: &AgentSeen,
        reading: &Reading,
    ) -> bool {
        let is_over = is_quiet(agent) && self.came_back_since(account, agent.state_since);
        is_over || self.names_a_return(account, reading)
    }

    /// A clock time is printed to the minute, rounded up. An account that a record has brought back a
    /// moment earlier is not out again for the rest of that minute.
    fn names_a_return(&self, account: &AccountName, reading: &Reading) -> bool {
        let Some(end) = reading.verdict.resets_at() else { return false };
        let back = self.standing(account).cleared_at;
        back.is_some_and(|back| end > back && end - back <= PRINTED_TO)
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
        let quiet = is_quiet(agent);
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
            AgentState::Idle | AgentState::Waiting(_) => agent.state_since < self.active_since(),
            AgentState::Unknown => self.active_since() > Wall::default(),
            AgentState::Busy => false,
        }
    }

    pub(in crate::core) fn flipped_just_now(&self) -> bool {
        self.flipped_at.is_some_and(|at| self.now.monotonic - at < timer::FLIP_SETTLES)
    }

    pub(in crate::core) fn auth_failure_read(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
    ) {
        let left = self.durable.left_rows.get(session);
        if self.is_newcomer(session, agent) || left.is_some_and(|rows| rows.contains(&reading.row))
        {
            // Repainted from its conversation, or told of a login that is mended by now.
            return self.leave_row_once(session, &reading.row);
        }
        self.auth_failure_shown(session, agent, reading);
    }

    /// It is this agent's own, and of its last turn.
    pub(in crate::core) fn auth_failure_shown(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
    ) {
        if let Some(account) = self.account_of(&agent.home).cloned() {
            self.login_failed(session, account, reading);
        }
    }

    pub(in crate::core) fn login_failed(
        &mut self,
        session: &SessionName,
        account: AccountName,
        reading: &Reading,
    ) {
        if self.standing(&account).login.is_some() {
            return;
        }
        let reason = format!("session {session}: {}", reading.row);
        let remedy = self.login_remedy(&account);
        self.note(NoteLevel::Error, format!("account={account} its login fails; {remedy}"));
        self.persist(Record::LoginFailed { account, reason, at: self.now.wall });
    }
}

/// It paints nothing new; since when is known.
fn is_quiet(agent: &AgentSeen) -> bool {
    match agent.state {
        AgentState::Idle | AgentState::Waiting(_) => true,
        AgentState::Busy | AgentState::Unknown => false,
    }
}
