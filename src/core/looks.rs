//! The looks at the processes in our sessions: who is there, who is new, who is missing. Only a look
//! that was ordered after a session was known proves that nobody is there.

use std::collections::BTreeMap;

use crate::core::action::{Action, NoteLevel};
use crate::core::event::{AgentSeen, AgentState, AgentsObserved};
use crate::core::orders::Slot;
use crate::core::record::{Move, MoveStage, Record, SavedAgent};
use crate::core::session::{LISTINGS_PROVE, Session};
use crate::core::{Core, TerminalState};
use crate::ids::SessionName;

impl Core {
    /// Sessions and panes that are new to us are looked at before anything is done in them.
    pub(in crate::core) fn survey_new_sessions(&mut self) {
        if self.terminal != TerminalState::Seen {
            return;
        }
        let covers: Vec<SessionName> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_unseen())
            .map(|(name, _)| name.clone())
            .collect();
        if covers.is_empty() {
            return;
        }
        self.tell_sensors();
        if let Some(order) = self.open_order(Slot::Survey, covers) {
            self.out.push(Action::ObserveAgents { order });
        }
    }

    pub(in crate::core) fn agents_observed(&mut self, seen: AgentsObserved) {
        self.linked_foreign = seen.linked_foreign;
        if self.link_seen != seen.link {
            self.link_moved_at = Some(self.now.wall);
        }
        self.link_seen.clone_from(&seen.link);
        self.credentials = seen.credentials_changed.into_iter().collect();
        let mut by_session: BTreeMap<SessionName, Vec<AgentSeen>> = BTreeMap::new();
        for mut agent in seen.agents {
            agent.session = self.session_that_knows(&agent);
            by_session.entry(agent.session.clone()).or_default().push(agent);
        }
        let answered = seen.order.and_then(|order| {
            let survey = self.orders.answer(&Slot::Survey, order);
            survey.or_else(|| self.orders.pending(&Slot::Look, order).cloned())
        });
        let names: Vec<SessionName> = self.sessions.keys().cloned().collect();
        for name in names {
            let covered = answered.as_ref().is_some_and(|look| look.covers.contains(&name));
            let agents = by_session.remove(&name).unwrap_or_default();
            if let Some(session) = self.sessions.get_mut(&name) {
                if !session.looked_at {
                    session.looked_at = covered;
                    session.first_look = true;
                }
                session.pane_is_new &= !covered;
            }
            self.agent_observed(&name, agents);
        }
        if !self.orders.is_open(&Slot::Look) {
            self.take_link(seen.link);
        }
        if let Some(order) = seen.order
            && self.orders.answer(&Slot::Look, order).is_some()
        {
            self.agents_looked_at();
        }
    }

    /// Several sessions show the pane of a window that is linked: its agent stays with the one that knows
    /// it.
    fn session_that_knows(&self, agent: &AgentSeen) -> SessionName {
        let shows = |session: &Session| session.panes.iter().any(|pane| pane.pane == agent.pane);
        if !self.sessions.get(&agent.session).is_some_and(shows) {
            return agent.session.clone();
        }
        let shown = self.sessions.iter().filter(|(_, session)| shows(session));
        let knows = |name: &SessionName| {
            let known = self.durable.agents.get(name);
            let moving = self.durable.moves.get(name);
            let job = self.durable.jobs.get(name);
            known.is_some_and(|known| known.process == agent.process)
                || moving.is_some_and(|moving| {
                    has_talk_of(moving, agent) || is_at_place_of(moving, agent)
                })
                || job.is_some_and(|job| job.is_out() && self.is_agent_of(name, agent, job))
        };
        let mut shown = shown.map(|(name, _)| name);
        shown.find(|name| knows(name)).unwrap_or(&agent.session).clone()
    }

    /// Of several agents in one session, the one on its way or known before; else the first pane's. While
    /// one is on its way, whoever stood beside it is not taken for its successor.
    fn agent_that_counts(
        &mut self,
        name: &SessionName,
        mut agents: Vec<AgentSeen>,
    ) -> Option<AgentSeen> {
        self.rank(name, &mut agents);
        if agents.len() > 1 {
            let text = format!(
                "session={name} holds {} agents; only the one in pane {} is moved at a swap",
                agents.len(),
                agents[0].pane
            );
            self.note_once(NoteLevel::Warn, text);
        }
        let at = agents.iter().position(|agent| !self.stands_beside(name, agent));
        let counts = at.map(|at| agents.remove(at));
        if let Some(session) = self.sessions.get_mut(name) {
            session.beside = agents;
        }
        counts
    }

    /// Who stood beside one that has not come back is the session's agent now; where nobody did, listings
    /// tell what became of that one. A look tells only of what has changed, so the next may be far.
    pub(in crate::core) fn count_who_is_left(&mut self, name: &SessionName) {
        let Some(session) = self.sessions.get(name) else { return };
        let waits = self.durable.moves.contains_key(name);
        if !waits && session.agent.is_none() {
            self.agent_observed(name, session.beside.clone());
        }
    }

    /// Beside the one that is on its way from here, it was there before that one was ended: seen there,
    /// or older than the process in which that one was last seen.
    fn stands_beside(&self, name: &SessionName, agent: &AgentSeen) -> bool {
        let Some(moving) = self.durable.moves.get(name) else { return false };
        let gone = self.last_process(moving).started_ticks.max(moving.agent.process.started_ticks);
        let seen = self.sessions.get(name).map_or(&[][..], |session| &session.beside);
        let was_there = seen.iter().any(|other| other.process == agent.process)
            || moving.beside.contains(&agent.process)
            || agent.process.started_ticks < gone;
        was_there && !has_talk_of(moving, agent) && !is_at_place_of(moving, agent)
    }

    fn agent_observed(&mut self, name: &SessionName, mut agents: Vec<AgentSeen>) {
        let ended = self.sessions.get(name).and_then(|session| session.ended);
        agents.retain(|agent| ended != Some(agent.process)); // seen before that, told after it
        let known = self.durable.agents.get(name).map(|agent| agent.process);
        let agent = self.agent_that_counts(name, agents);
        let Some(session) = self.sessions.get_mut(name) else {
            return;
        };
        let before = session.agent.take();
        let watched_before = session.looked_at && !session.first_look;
        let started = agent.as_ref().map(|agent| agent.process).filter(|process| {
            let here = before.as_ref().map(|agent| agent.process);
            // It came while nobody looked, in the place of one that we knew.
            let replaced = !watched_before && known.is_some_and(|known| known != *process);
            replaced || watched_before && here != Some(*process)
        });
        if let Some(process) = started {
            session.meet(process, self.now.monotonic);
        }
        session.first_look = false;
        if agent.is_none() && !session.looked_at {
            return;
        }
        // Only at its end is the screen surely painted with what belongs to the turn.
        let turn_ended = before.as_ref().zip(agent.as_ref()).is_some_and(|(before, now)| {
            before.process == now.process
                && before.state == AgentState::Busy
                && now.state != AgentState::Busy
        });
        // What an agent was refused, and waits for, says nothing about the one after it.
        let process_before = before.map(|agent| agent.process);
        if process_before != agent.as_ref().map(|agent| agent.process) {
            // Where none was, the screen of the new one may have been read before it was seen.
            session.armed &= process_before.is_none();
            self.hits.remove(name);
            if agent.is_some() {
                // Its file may have been told of while another agent counted here.
                self.out.push(Action::ReadTranscript { session: name.clone() });
            }
        }
        session.agent.clone_from(&agent);
        if started.is_some() && !self.durable.resumed.contains(name) {
            self.persist(Record::NewcomerSeen { session: name.clone() });
        }
        if turn_ended {
            self.turn_taken(name);
        }
        let Some(session) = self.sessions.get_mut(name) else {
            return;
        };
        let on_its_way = self.durable.moves.contains_key(name);
        match agent {
            Some(agent) => {
                session.listings_awaited = 0;
                if !on_its_way || self.is_launched(name, &agent) {
                    self.adopt(name, &agent);
                }
            }
            None => {
                self.hits.remove(name);
                if known.is_some() && !on_its_way && session.listings_awaited == 0 {
                    session.listings_awaited = LISTINGS_PROVE;
                    self.out.push(Action::ObserveSessions);
                }
            }
        }
    }

    fn adopt(&mut self, name: &SessionName, agent: &AgentSeen) {
        let mut saved = SavedAgent::from(agent);
        if saved.conversation.is_none() {
            saved.conversation = self.earlier_id(name, agent.process);
        }
        let before = self.durable.agents.get(name);
        if let Some(before) = before.filter(|before| before.process == saved.process) {
            // Each life of the daemon reckons it anew, a little differently.
            saved.started_at = before.started_at.or(saved.started_at);
        }
        if before != Some(&saved) {
            self.persist(Record::AgentAdopted { session: name.clone(), agent: saved });
        }
    }

    /// Who counts in a session with several agents: the one on its way, else the one we know.
    fn rank(&self, name: &SessionName, agents: &mut [AgentSeen]) {
        let known = self.durable.agents.get(name).map(|agent| agent.process);
        let moving = self.durable.moves.get(name);
        let job = self.durable.jobs.get(name).filter(|job| job.is_out());
        agents.sort_by_key(|agent| {
            // Its conversation names it for good; its pane only as long as nobody else does.
            let works = job.map_or(2, |job| {
                let named = agent.conversation.is_some() && agent.conversation == job.conversation;
                if named { 0 } else { 1 + u8::from(!self.is_agent_of(name, agent, job)) }
            });
            let same_talk = moving.is_some_and(|moving| has_talk_of(moving, agent));
            let its_own = moving.is_some_and(|moving| is_at_place_of(moving, agent));
            (!same_talk, !its_own, works, Some(agent.process) != known, agent.pane)
        });
    }

    /// Whether this is the agent that a move has launched.
    fn is_launched(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        self.durable.moves.get(session).is_some_and(|moving| {
            matches!(moving.stage, MoveStage::Launched { .. })
                && has_talk_of(moving, agent)
                && agent.process != moving.agent.process
        })
    }

    /// What is on its screen from now on is its own: no row is history for it any more.
    pub(in crate::core) fn turn_taken(&mut self, session: &SessionName) {
        let refusal = self.sessions.get_mut(session).and_then(|seen| {
            seen.newcomer = None;
            seen.refusal.take()
        });
        let has_history = self.durable.left_rows.contains_key(session);
        let is_news = has_history || self.durable.resumed.contains(session);
        if is_news {
            self.persist(Record::TurnTaken { session: session.clone() });
        }
        if is_news || refusal.is_some() {
            // A refusal of this very turn may have been read, and passed over, a moment too early.
            if let Some(pane) = self.agent_in(session).map(|agent| agent.pane) {
                self.out.push(Action::RereadPane { pane });
            }
        }
    }
}

fn has_talk_of(moving: &Move, agent: &AgentSeen) -> bool {
    agent.conversation.is_some() && agent.conversation == moving.agent.conversation
}

/// It is the one that is to be ended, or where the other was launched.
fn is_at_place_of(moving: &Move, agent: &AgentSeen) -> bool {
    moving.stage == MoveStage::Launched { pane: agent.pane }
        || moving.agent.process == agent.process
}
