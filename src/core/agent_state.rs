//! What an agent is doing, from the best source that tells: its session file, its hooks, its pane's
//! title and screen. For everybody who must not disturb an agent, or gives it work.

use crate::core::Core;
use crate::core::event::{AgentSeen, AgentState};
use crate::core::session::{Reported, Session};
use crate::ids::SessionName;
use crate::quota::verdict::{Activity, Dialog};

/// The client's word for a menu or notice; any other dialog belongs to a turn.
const DIALOG_OPEN: &str = "dialog open";

/// Who says in which state an agent is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSource {
    SessionFile,
    Hook,
    Screen,
    /// Nobody.
    None,
}

impl StateSource {
    pub fn word(self) -> &'static str {
        match self {
            StateSource::SessionFile => "session_file",
            StateSource::Hook => "hook",
            StateSource::Screen => "screen",
            StateSource::None => "none",
        }
    }
}

impl Core {
    /// The state of the agent in this session and who says so; `None` when no agent is there.
    pub fn state_of(&self, session: &SessionName) -> Option<(AgentState, StateSource)> {
        let seen = self.sessions.get(session)?;
        let agent = seen.agent.as_ref()?;
        Some(state_of(seen, agent))
    }

    /// Whether the agent in this session is at work, or waits in it for an answer: to end it now
    /// would cut its turn.
    pub(in crate::core) fn is_in_turn(&self, session: &SessionName) -> bool {
        let Some((state, source)) = self.state_of(session) else {
            return false;
        };
        match (state, source) {
            (AgentState::Busy, _) => true,
            (AgentState::Idle | AgentState::Unknown, _) => false,
            (AgentState::Waiting(_), StateSource::Screen) => {
                matches!(self.dialog_in(session), Some(Dialog::Permission | Dialog::Question))
            }
            (AgentState::Waiting(dialog), _) => dialog != DIALOG_OPEN,
        }
    }

    /// The dialog that stands open in this session, as far as its screen tells.
    pub fn dialog_in(&self, session: &SessionName) -> Option<Dialog> {
        match self.sessions.get(session)?.screen {
            Activity::Dialog(dialog) => Some(dialog),
            Activity::Idle | Activity::Busy | Activity::Unknown => None,
        }
    }
}

fn state_of(seen: &Session, agent: &AgentSeen) -> (AgentState, StateSource) {
    if agent.state != AgentState::Unknown {
        return (agent.state.clone(), StateSource::SessionFile);
    }
    if let Some(Reported { state, .. }) = seen.reported_by(agent) {
        return (state.clone(), StateSource::Hook);
    }
    match seen.screen {
        Activity::Idle => (AgentState::Idle, StateSource::Screen),
        Activity::Busy => (AgentState::Busy, StateSource::Screen),
        Activity::Dialog(dialog) => {
            (AgentState::Waiting(dialog.name().to_owned()), StateSource::Screen)
        }
        Activity::Unknown => (AgentState::Unknown, StateSource::None),
    }
}
