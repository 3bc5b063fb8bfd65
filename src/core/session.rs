//! What is seen of our sessions and their agents, and what must be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::action::{Action, NoteLevel, WatchedPane};
use crate::core::event::{AgentSeen, AgentState, PaneReading, PaneSeen, TranscriptSeen};
use crate::core::job::{Job, JobStage};
use crate::core::record::{MoveCause, MoveStage, SavedAgent};
use crate::core::{Core, TerminalState};
use crate::ids::{ConversationId, OpId, PaneId, ProcessRef, SessionName};
use crate::moment::{Mono, Wall};
use crate::quota::verdict::{Activity, Reading};

/// Ids remembered from one session's screen.
const RESUME_IDS_MAX: usize = 256;

/// An agent that could not be ended is let alone for so long, unless a swap comes.
pub const ENDED_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Whether a session went with its agent is told by the second listing after the look that missed
/// it: the first may have been made before that, and have been longer on its way.
pub const LISTINGS_PROVE: u8 = 2;

/// A listing on its way when a session was made may still miss it.
const LISTING_IS_NEWS: Duration = Duration::from_secs(2);

/// One owned session as last seen.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub panes: Vec<PaneSeen>,
    pub agent: Option<AgentSeen>,
    /// Listings that have to name it until its known agent, which was not seen at the last look,
    /// has ended by itself; 0 = it was seen.
    pub listings_awaited: u8,
    /// Ids in `--resume` rows that its screen has shown: no proof of what ends later.
    pub resume_ids_seen: BTreeSet<ConversationId>,
    /// Its screen has been read since we know of it.
    pub screen_read: bool,
    /// Its processes have been looked at since the session is known, by a watcher that knew of
    /// it: only then does no agent seen mean no agent there.
    pub looked_at: bool,
    /// A pane came up since, or another process leads one: a look that knew of it has yet to come.
    pub pane_is_new: bool,
    /// The observation at hand is the first of its processes.
    pub first_look: bool,
    /// When it was made by us, until a listing shows it: an older listing proves nothing.
    pub made_at: Option<Mono>,
    /// When we made it, if we did.
    pub ours_since: Option<Mono>,
    pub newcomer: Option<Newcomer>,
    /// What its screen and title showed last.
    pub screen: Activity,
    /// The last prompt on it.
    pub user_row: Option<String>,
    /// Its agent's client waits for a reset and will go on by itself, as its screen showed last.
    pub armed: bool,
    /// The refusal that its agent's screen has shown last, be it judged or not, and that agent.
    pub refusal: Option<(ProcessRef, Reading)>,
    /// What was said last of its agent's conversation file.
    pub transcript: Option<TranscriptSeen>,
    /// What its agent's hooks said last.
    pub reported: Option<Reported>,
    /// The last turn that failed, in the words of a hook.
    pub failed_turn: Option<FailedTurn>,
    /// Agents that do not count, beside the one that does; one of them may have a task of ours.
    pub beside: Vec<AgentSeen>,
    /// The last agent that was ended here for sure: a look that was taken before still shows it.
    pub ended: Option<ProcessRef>,
    /// The last agent that could not be ended here, and when that was found.
    pub outlived: Option<(ProcessRef, Mono)>,
    /// How often somebody else brought back whom this move had ended.
    pub brought_back: Option<(OpId, u32)>,
    /// An end of the grace that lies further ahead than the grace is long, and when that was seen.
    pub long_stay: Option<(Wall, Mono)>,
}

/// The state of an agent by its hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    pub process: ProcessRef,
    pub state: AgentState,
    pub at: Wall,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedTurn {
    pub process: ProcessRef,
    pub at: Wall,
    pub reading: Reading,
}

/// An agent that was seen to start. Until it takes a turn of its own, every banner on its screen
/// is left over from an earlier agent or repainted from its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    pub process: ProcessRef,
    pub since: Mono,
    /// The last prompt on its screen when that had come up.
    pub startup_row: Option<String>,
}

impl Newcomer {
    pub fn seen(process: ProcessRef, since: Mono) -> Self {
        Self { process, since, startup_row: None }
    }
}

impl Session {
    /// Whether a look has been into all of it.
    pub fn is_looked_into(&self) -> bool {
        self.looked_at && !self.pane_is_new
    }

    /// Somebody may be there whom nobody has seen yet.
    pub fn is_unseen(&self) -> bool {
        !self.is_looked_into() && !self.panes.is_empty()
    }

    /// What a listing shows of it. True when somebody may be there whom no look on its way can see.
    fn listed(&mut self, panes: Vec<PaneSeen>) -> bool {
        let is_known = |pane: &PaneSeen| {
            let same =
                |known: &PaneSeen| (known.pane, known.leader_pid) == (pane.pane, pane.leader_pid);
            self.panes.iter().any(same)
        };
        let more = !panes.iter().all(is_known);
        self.pane_is_new |= more;
        self.panes = panes;
        self.made_at = None;
        more
    }

    /// An agent has started here. Its first screen may have been read before it was seen itself.
    pub fn meet(&mut self, process: ProcessRef, now: Mono) {
        let startup_row = self.user_row.clone();
        self.newcomer = Some(Newcomer { startup_row, ..Newcomer::seen(process, now) });
    }

    /// When tmux made it; `None` before it is listed.
    pub fn made(&self) -> Option<Wall> {
        self.panes.first().map(|pane| pane.session_made)
    }

    /// The pane a new agent goes to when none is known: the one a person sees first.
    pub fn first_pane(&self) -> Option<PaneId> {
        self.panes.iter().find(|pane| pane.active).or(self.panes.first()).map(|pane| pane.pane)
    }

    /// The agent has ended. What comes after it in the same pane waits for nothing until its own
    /// screen says so.
    pub fn agent_is_gone(&mut self) {
        self.agent = None;
        self.armed = false;
    }

    pub fn remember_refusal(&mut self, shown: &PaneReading) {
        let agent = self.agent.as_ref().filter(|agent| agent.pane == shown.pane);
        if let Some(agent) = agent.filter(|_| shown.reading.verdict.is_refusal()) {
            self.refusal = Some((agent.process, shown.reading.clone()));
        }
    }

    pub fn remember_resume_ids(&mut self, ids: &[ConversationId]) {
        if self.resume_ids_seen.len() + ids.len() > RESUME_IDS_MAX {
            self.resume_ids_seen.clear();
        }
        self.resume_ids_seen.extend(ids.iter().cloned());
        self.screen_read = true;
    }

    /// What this very agent's hooks said last.
    pub fn reported_by(&self, agent: &AgentSeen) -> Option<&Reported> {
        self.reported.as_ref().filter(|reported| reported.process == agent.process)
    }

    /// It could not be ended lately: to try again at once would only fill the journal.
    pub fn outlives(&self, process: ProcessRef, now: Mono) -> bool {
        self.outlived
            .is_some_and(|(outlived, at)| outlived == process && now - at < ENDED_AGAIN_AFTER)
    }

    pub fn fence(&self) -> u64 {
        self.panes.iter().filter_map(|pane| pane.fence).max().unwrap_or(0)
    }
}

impl From<&AgentSeen> for SavedAgent {
    fn from(seen: &AgentSeen) -> Self {
        SavedAgent {
            conversation: seen.conversation.clone(),
            home: seen.home.clone(),
            cwd: seen.cwd.clone(),
            args: seen.args.clone(),
            process: seen.process,
            started_at: Some(seen.started_at),
        }
    }
}

impl Core {
    pub(in crate::core) fn agent_in(&self, session: &SessionName) -> Option<&AgentSeen> {
        self.sessions.get(session)?.agent.as_ref()
    }

    pub(in crate::core) fn sessions_observed(&mut self, panes: Vec<PaneSeen>) {
        if matches!(self.terminal, TerminalState::Lost { .. }) {
            return;
        }
        self.terminal = TerminalState::Seen;
        self.listed_at = Some(self.now.monotonic);
        self.listing_asked = false;
        self.creation_failures.clear();
        self.job_listings_heard();
        let mut seen: BTreeMap<SessionName, Vec<PaneSeen>> = BTreeMap::new();
        for pane in panes {
            let Ok(name) = pane.session.parse::<SessionName>() else {
                continue;
            };
            if self.config.group(&name).is_some() {
                seen.entry(name).or_default().push(pane);
            }
        }
        let now = self.now.monotonic;
        let gone: Vec<SessionName> = self
            .sessions
            .iter()
            .filter(|(name, _)| !seen.contains_key(name))
            .filter(|(_, session)| session.made_at.is_none_or(|at| now - at >= LISTING_IS_NEWS))
            .map(|(name, _)| name.clone())
            .collect();
        for session in gone {
            self.session_gone(&session);
        }
        for (name, panes) in seen {
            if !self.sessions.contains_key(&name) {
                self.note(NoteLevel::Info, format!("session={name} adopted"));
            }
            let session = self.sessions.entry(name.clone()).or_default();
            if session.stays(now) {
                self.short_lived.remove(&name);
            }
            if session.listed(panes) {
                self.orders.uncover(&name);
            }
            match session.listings_awaited {
                0 => {}
                1 if !session.is_looked_into() => {} // the look on its way tells first
                1 => self.agent_ended(&name),
                _ => {
                    session.listings_awaited -= 1;
                    self.out.push(Action::ObserveSessions);
                }
            }
        }
        self.moves_lost();
        self.jobs_lost();
        self.record_losses();
    }

    /// The first after a launch may have been made before it.
    fn job_listings_heard(&mut self) {
        let mut more = false;
        for watch in self.job_watches.values_mut() {
            watch.listings_awaited = watch.listings_awaited.saturating_sub(1);
            more |= watch.listings_awaited > 0;
        }
        if more {
            self.out.push(Action::ObserveSessions);
        }
    }

    /// Tells the watcher and the monitor where to look, when that has changed.
    pub(in crate::core) fn tell_sensors(&mut self) {
        let agents: Vec<WatchedPane> = self
            .sessions
            .iter()
            .flat_map(|(name, session)| {
                let silent = session.agent.as_ref().filter(|a| a.conversation.is_none());
                let saved = self.durable.agents.get(name);
                let at_work = self.durable.jobs.get(name).is_some_and(Job::is_out);
                let known = move |pane: &PaneSeen| {
                    let agent = silent.filter(|agent| agent.pane == pane.pane)?;
                    saved.filter(|saved| saved.process == agent.process)?.conversation.clone()
                };
                session.panes.iter().map(move |pane| WatchedPane {
                    session: name.clone(),
                    pane: pane.pane,
                    leader_pid: pane.leader_pid,
                    conversation: known(pane),
                    at_work,
                })
            })
            .collect();
        if self.watched.agents.as_ref() != Some(&agents) {
            self.watched.agents = Some(agents.clone());
            self.out.push(Action::WatchAgents { panes: agents });
        }
        let panes: Vec<(SessionName, PaneId)> = self
            .sessions
            .iter()
            .filter_map(|(name, session)| {
                let launched = self.durable.moves.get(name).and_then(|moving| match moving.stage {
                    MoveStage::Launched { pane } => Some(pane),
                    _ => None,
                });
                let sent = self.durable.jobs.get(name).and_then(|job| match job.stage {
                    JobStage::Sending { pane } => Some(pane),
                    _ => None,
                });
                let pane = launched.or(sent).or(session.agent.as_ref().map(|agent| agent.pane))?;
                Some((name.clone(), pane))
            })
            .collect();
        if self.watched.panes.as_ref() != Some(&panes) {
            self.watched.panes = Some(panes.clone());
            self.out.push(Action::WatchPanes { panes });
        }
        let held = self.held_tasks();
        if self.watched.held.as_ref() != Some(&held) {
            self.watched.held = Some(held.clone());
            self.out.push(Action::HoldTasks { held });
        }
    }

    /// Whether a lost agent is coming back or a saved one waits for an account.
    pub fn is_restoring(&self) -> bool {
        self.durable.moves.values().any(|moving| moving.cause == MoveCause::Restore)
    }
}
