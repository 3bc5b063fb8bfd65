//! What the client itself says of its turns: its conversation file and its hooks. Deciding evidence;
//! dated by the client, so nothing that is older than the agent, the account's return or the last
//! flip counts.

use crate::core::Core;
use crate::core::account::LOGIN_SETTLES;
use crate::core::action::{Action, NoteLevel};
use crate::core::event::{AgentHome, AgentSeen, AgentState, TranscriptSeen};
use crate::core::record::{MoveStage, Record, SavedAgent};
use crate::core::session::{FailedTurn, Reported};
use crate::core::timer::FLIP_SETTLES;
use crate::core::trigger::EvidenceSource;
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;
use crate::quota::report::{Figures, News, Report};
use crate::quota::transcript::{ApiError, Ending};
use crate::quota::verdict::{Reading, Verdict};

/// What is known of an agent's conversation file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Testimony<'a> {
    /// The watcher has not said yet whether there is one: nobody else decides meanwhile.
    Awaited,
    /// There is none: its hooks and its screen decide.
    None,
    Known(&'a Ending),
}

impl Testimony<'_> {
    fn is_none(&self) -> bool {
        match self {
            Testimony::None => true,
            Testimony::Awaited | Testimony::Known(_) => false,
        }
    }
}

impl Core {
    pub(in crate::core) fn testimony(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
    ) -> Testimony<'_> {
        let said = self.sessions.get(session).and_then(|seen| seen.transcript.as_ref());
        let said = said.filter(|said| is_of(said, agent));
        match (said, &agent.conversation) {
            (Some(TranscriptSeen { ending: Some(ending), .. }), _) => Testimony::Known(ending),
            (Some(_), _) | (None, None) => Testimony::None,
            (None, Some(_)) => Testimony::Awaited,
        }
    }

    /// The error that ended the last turn of the agent in this session, of whatever kind.
    pub fn last_error_in(&self, session: &SessionName) -> Option<&ApiError> {
        match self.testimony(session, self.agent_in(session)?) {
            Testimony::Known(ending) => ending.error.as_ref(),
            Testimony::Awaited | Testimony::None => None,
        }
    }

    /// What a hook said of the last turn of this agent, if that failed.
    pub(in crate::core) fn failed_turn_of(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
    ) -> Option<&FailedTurn> {
        let failed = self.sessions.get(session)?.failed_turn.as_ref();
        failed.filter(|failed| failed.process == agent.process)
    }

    /// Why the last turn in this session ended, if it failed: the record's word, else the hook's.
    pub(in crate::core) fn last_failure_in(&self, session: &SessionName) -> Option<Reading> {
        let by_record = self.last_error_in(session).map(|error| error.reading.clone());
        by_record.or_else(|| {
            let agent = self.agent_in(session)?;
            self.failed_turn_of(session, agent).map(|failed| failed.reading.clone())
        })
    }

    /// Its last turn ended because its account would not take it, and it has begun none since.
    pub(in crate::core) fn is_cut_off(&self, session: &SessionName) -> bool {
        let Some(agent) = self.agent_in(session).filter(|_| !self.is_in_turn(session)) else {
            return false;
        };
        match self.testimony(session, agent) {
            Testimony::Known(Ending { error: Some(error), prompted_at, .. }) => {
                error.reading.verdict.is_refusal() && *prompted_at <= Some(error.at)
            }
            Testimony::Known(Ending { error: None, .. }) | Testimony::Awaited => false,
            Testimony::None => match self.failed_turn_of(session, agent) {
                Some(failed) => failed.reading.verdict.is_refusal(),
                None => self.owes_work(session),
            },
        }
    }

    pub(in crate::core) fn transcripts_observed(&mut self, seen: Vec<TranscriptSeen>) {
        for said in seen {
            let session = said.session.clone();
            let agent = self.agent_in(&session).cloned();
            let before = agent.as_ref().map(|agent| self.testimony(&session, agent).is_none());
            // Of several agents in one session only the one that counts is heard.
            let Some(agent) = agent.filter(|agent| is_of(&said, agent)) else { continue };
            let Some(known) = self.sessions.get_mut(&session) else { continue };
            let ending = said.ending.clone();
            known.transcript = Some(said);
            self.hear_of_progress(&session, &agent, ending.as_ref());
            self.hear_transcript(&session, &agent);
            if before == Some(false) && self.testimony(&session, &agent).is_none() {
                // What its screen showed was not weighed so far.
                self.out.push(Action::RereadPane { pane: agent.pane });
            }
        }
    }

    pub(in crate::core) fn hear_transcript(&mut self, session: &SessionName, agent: &AgentSeen) {
        if self.is_on_its_way(session) {
            return; // judged already; its next agent has a testimony of its own
        }
        match self.testimony(session, agent) {
            Testimony::Awaited => {}
            Testimony::None => self.hear_failed_turn(session, agent),
            // Prompted again since: how that turn ends will be told.
            Testimony::Known(Ending { error: Some(error), prompted_at, .. })
                if *prompted_at > Some(error.at) => {}
            Testimony::Known(Ending { error: Some(error), .. }) => {
                let error = error.clone();
                self.hear_error(session, agent, &error);
            }
            Testimony::Known(Ending { error: None, answered_at, prompted_at }) => {
                let (answered_at, prompted_at) = (*answered_at, *prompted_at);
                self.clear_hit(session, "its conversation goes on");
                self.hear_answer(session, agent, prompted_at, answered_at);
            }
        }
    }

    /// The first answer after a reset proves the account.
    fn hear_answer(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        prompted_at: Option<Wall>,
        at: Option<Wall>,
    ) {
        let (Some(at), Some(account)) = (at, self.account_of(&agent.home).cloned()) else {
            return;
        };
        // Whoever is on the link is answered by the account that it named then.
        let linked = agent.home == AgentHome::Linked;
        let moves = self.durable.swap.is_some() || self.link_seen != self.durable.active;
        let settled = at > self.active_since() + FLIP_SETTLES;
        if !linked || settled && !moves {
            let prompted_at = prompted_at.unwrap_or_default();
            self.account_answered(&account, session, prompted_at, at);
        }
    }

    fn hear_error(&mut self, session: &SessionName, agent: &AgentSeen, error: &ApiError) {
        self.hear_refusal(session, agent, &error.reading, error.at, EvidenceSource::Transcript);
    }

    /// Stopped or being started: what its last agent said has been taken into account.
    fn is_on_its_way(&self, session: &SessionName) -> bool {
        self.durable.moves.get(session).is_some_and(|moving| match moving.stage {
            MoveStage::Stopping | MoveStage::Stopped | MoveStage::Launching { .. } => true,
            MoveStage::Staying { .. } | MoveStage::Launched { .. } | MoveStage::Held => false,
        })
    }

    /// An error that ended a turn, in the client's own words.
    fn hear_refusal(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
        at: Wall,
        source: EvidenceSource,
    ) {
        match &reading.verdict {
            Verdict::Exhausted { .. } | Verdict::SpendLimit { .. } => {
                self.hear_exhaustion(session, agent, reading, at, source);
            }
            Verdict::AuthFailed => self.hear_auth_failure(session, agent, reading, at),
            Verdict::Warning
            | Verdict::Throttled
            | Verdict::ServerError
            | Verdict::ModelLimit
            | Verdict::Clear => {
                self.clear_hit(session, "its last turn ended otherwise");
            }
        }
    }

    fn hear_exhaustion(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
        at: Wall,
        source: EvidenceSource,
    ) {
        let end = reading.verdict.resets_at().filter(|end| *end > at);
        if end.is_some_and(|end| end <= self.now.wall) {
            return self.clear_hit(session, "its limit has been reset");
        }
        let Some(account) = self.refusing_account(session, agent, at) else { return };
        // Without a reset, or with one that had passed already, it is believed for as long as the
        // account is left alone for it.
        if self.limit_of(&account, reading, at, source).until <= self.now.wall {
            return self.clear_hit(session, "its limit has been reset");
        }
        if self.came_back_since(&account, at) {
            return self.clear_hit(session, "its account has come back since");
        }
        let mut hit = self.deciding_hit(account, reading, source, at);
        let before = self.hits.get(session);
        let known = before.is_some_and(|before| before.at == at && before.source == source);
        if known {
            return;
        }
        // Said by the weaker source first, it is the same refusal.
        hit.waits_for = before.and_then(|before| before.waits_for);
        self.note_hit(session, &hit);
        self.hits.insert(session.clone(), hit);
    }

    fn hear_auth_failure(
        &mut self,
        session: &SessionName,
        agent: &AgentSeen,
        reading: &Reading,
        at: Wall,
    ) {
        self.clear_hit(session, "its last turn ended otherwise");
        let Some(account) = self.refusing_account(session, agent, at) else { return };
        let returned = self.came_back_since(&account, at);
        let settled = at + LOGIN_SETTLES;
        let mended = self.credentials.get(&account).is_some_and(|changed| *changed > settled);
        if !returned && !mended {
            self.login_failed(session, account, reading);
        }
    }

    /// A moment that lies ahead was written down before the clock was set back: it dates nothing.
    pub(in crate::core) fn came_back_since(&self, account: &AccountName, at: Wall) -> bool {
        let since = self.standing(account).cleared_at;
        since.is_some_and(|since| at <= since && since <= self.now.wall)
    }

    pub(in crate::core) fn reports_received(&mut self, reports: Vec<Report>) {
        for report in reports {
            if report.news.tells_of_a_prompt() {
                self.prompt_heard(report.conversation.as_ref());
            }
            if let Some(session) = self.reporter(&report) {
                self.report_received(&session, report);
            }
        }
    }

    /// The session whose agent ran the hook: by its process, else by its conversation.
    fn reporter(&self, report: &Report) -> Option<SessionName> {
        let by = |is: &dyn Fn(&AgentSeen) -> bool| {
            let mut found =
                self.sessions.iter().filter(|(_, seen)| seen.agent.as_ref().is_some_and(is));
            found.next().map(|(name, _)| name.clone())
        };
        report.pid.and_then(|pid| by(&|agent| agent.process.pid == pid)).or_else(|| {
            let conversation = report.conversation.as_ref()?;
            by(&|agent| agent.conversation.as_ref() == Some(conversation))
        })
    }

    fn report_received(&mut self, session: &SessionName, report: Report) {
        let Some(agent) = self.agent_in(session).cloned() else { return };
        if let News::TurnFailed { .. } = report.news {
            // Whatever its date is worth: the file tells.
            self.out.push(Action::ReadTranscript { session: session.clone() });
        }
        if report.at < agent.started_at && agent.started_at <= self.now.wall {
            return; // left in the spool by an earlier process with this number
        }
        let state = match &report.news {
            News::SessionStarted { .. } | News::TurnEnded { .. } | News::TurnFailed { .. } => {
                Some(AgentState::Idle)
            }
            News::PromptSubmitted => Some(AgentState::Busy),
            News::Notified { kind } if kind == "permission_prompt" => {
                Some(AgentState::Waiting(kind.clone()))
            }
            News::Notified { .. } | News::SessionEnded { .. } | News::Figures(_) => None,
        };
        let known = self.sessions.get(session).and_then(|seen| seen.reported_by(&agent));
        // A report may come twice, or late through the spool: the newest word stands.
        let known = known.filter(|known| known.at <= self.now.wall);
        if known.is_some_and(|known| state.is_some() && report.at <= known.at) {
            return;
        }
        if let (Some(state), Some(seen)) = (state, self.sessions.get_mut(session)) {
            seen.reported = Some(Reported { process: agent.process, state, at: report.at });
            self.learn_conversation(session, &agent, &report);
        }
        self.hear_of_work(session, &agent, &report);
        match report.news {
            News::SessionStarted { .. } | News::PromptSubmitted => {
                self.forget_failed_turn(session);
            }
            News::TurnFailed { reading, .. } => {
                if let Some(seen) = self.sessions.get_mut(session) {
                    let (process, at) = (agent.process, report.at);
                    seen.failed_turn = Some(FailedTurn { process, at, reading });
                }
                self.note_reported_turn(session, &agent);
                self.hear_failed_turn(session, &agent);
            }
            News::TurnEnded { .. } => self.turn_ended_well(session, &agent),
            News::Figures(figures) => {
                if let Some(account) = self.account_of_figures(&agent, &figures, report.at) {
                    self.figures_heard(account, figures, report.at);
                }
            }
            News::SessionEnded { .. } | News::Notified { .. } => {}
        }
    }

    /// Those of an agent on the link are of the account that it named at the last request: after a
    /// flip it repeats what it knows of the one before.
    fn account_of_figures(
        &self,
        agent: &AgentSeen,
        figures: &Figures,
        at: Wall,
    ) -> Option<AccountName> {
        let account = self.account_of(&agent.home)?.clone();
        if agent.home != AgentHome::Linked {
            return Some(account);
        }
        let ends = |figures: &Figures| {
            [figures.five_hour, figures.weekly].map(|window| window.and_then(|w| w.resets_at))
        };
        let of_another = self.durable.standings.iter().any(|(name, standing)| {
            let known = standing.used.map(|used| ends(&used.figures));
            *name != account && known == Some(ends(figures))
        });
        let moves = self.durable.swap.is_some() || self.link_seen != self.durable.active;
        let settled = at > self.active_since() + FLIP_SETTLES;
        (settled && !moves && !of_another).then_some(account)
    }

    /// A client that writes no session file names its conversation only here.
    fn learn_conversation(&mut self, session: &SessionName, agent: &AgentSeen, report: &Report) {
        let told = report.conversation.clone().filter(|_| agent.conversation.is_none());
        let Some(conversation) = told else { return };
        if let Some(moving) = self.durable.moves.get(session).cloned() {
            if moving.agent.process == agent.process {
                self.identify(&moving, conversation);
            }
            return;
        }
        if self.has_it_elsewhere(session, &conversation) {
            return;
        }
        let saved = SavedAgent { conversation: Some(conversation), ..SavedAgent::from(agent) };
        if self.durable.agents.get(session) != Some(&saved) {
            self.persist(Record::AgentAdopted { session: session.clone(), agent: saved });
        }
    }

    fn turn_ended_well(&mut self, session: &SessionName, agent: &AgentSeen) {
        self.forget_failed_turn(session);
        if self.testimony(session, agent).is_none() {
            self.clear_hit(session, "its turn ended well");
        }
        self.note_reported_turn(session, agent);
    }

    /// A client that tells no state has taken a turn, whenever its screen shows that.
    fn note_reported_turn(&mut self, session: &SessionName, agent: &AgentSeen) {
        if agent.state == AgentState::Unknown {
            self.turn_taken(session);
        }
    }

    fn forget_failed_turn(&mut self, session: &SessionName) {
        if let Some(seen) = self.sessions.get_mut(session) {
            seen.failed_turn = None;
        }
    }

    /// The words of a hook decide only where there is no file to look into.
    fn hear_failed_turn(&mut self, session: &SessionName, agent: &AgentSeen) {
        if !self.testimony(session, agent).is_none() || self.is_on_its_way(session) {
            return;
        }
        let failed = self.sessions.get(session).and_then(|seen| seen.failed_turn.clone());
        if let Some(FailedTurn { at, reading, .. }) =
            failed.filter(|failed| failed.process == agent.process)
        {
            let text = format!("session={session} no conversation file: its hook's words decide");
            self.note_once(NoteLevel::Info, text);
            self.hear_refusal(session, agent, &reading, at, EvidenceSource::Hook);
        }
    }
}

fn is_of(said: &TranscriptSeen, agent: &AgentSeen) -> bool {
    let same_talk =
        agent.conversation.is_none() || agent.conversation.as_ref() == Some(&said.conversation);
    said.process == agent.process && same_talk
}
