//! The words for a session and for one agent on its way.

use crate::core::event::AgentHome;
use crate::core::record::{MoveOutcome, MoveStage, Record, SavedAgent};
use crate::core::why::{Said, Why, said};
use crate::ids::SessionName;
use crate::moment::Wall;

impl Why {
    pub(in crate::core::why) fn of_session(&self, record: &Record) -> Option<Said> {
        Some(match record {
            Record::AgentAdopted { agent, .. } => said(format!("an agent is there: {}", of(agent))),
            Record::AgentEnded { .. } => {
                let before = self.lines.back().map_or("", |line| line.record);
                let told = said("its agent ended: it is at its shell");
                match before.starts_with("task_") {
                    true => told.because("its task was over, or gave way"),
                    false => told.because("it ended by itself, or a person ended it"),
                }
            }
            Record::SessionLost { agent, .. } => match agent {
                Some(agent) => said(format!("its tmux session went, with {}", of(agent))),
                None => said("its tmux session went, with no agent in it"),
            },
            Record::SessionCreated { .. } => said("its tmux session was made"),
            Record::RestorePlanned { op, target, cut, agent, .. } => {
                let why = match (cut, self.state.agents.values().any(|known| known == agent)) {
                    (true, true) => "it was refused, and no swap comes for it",
                    (true, false) => "its last turn was cut off",
                    (false, _) => "it was lost with its session, or left behind",
                };
                said(format!("its agent is to be resumed on {target} (number {op})")).because(why)
            }
            _ => return None,
        })
    }

    pub(in crate::core::why) fn of_move(&self, record: &Record, at: Wall) -> Option<Said> {
        let told = match record {
            Record::MoveStopping { session, until: Some(until), .. } => {
                said(format!("{} goes when its turn ends, or at {until}", self.its_agent(session)))
                    .because("it came up where it was before, and is at work")
            }
            Record::MoveStopping { session, finished, .. } => {
                let then = if *finished { "its turn is over" } else { "its time to stay is over" };
                said(format!("{} is ended now", self.its_agent(session))).because(then)
            }
            Record::MoveStopped { session } if self.was_launching(session) => {
                let what =
                    format!("{} could not be launched; it is tried again", self.its_agent(session));
                if self.lines.back().is_some_and(|line| line.what == what) {
                    return None; // at least once a minute, for as long as it takes
                }
                said(what)
            }
            Record::MoveStopped { session } => said(format!("{} ended", self.its_agent(session))),
            Record::MoveIdentified { session, conversation } => {
                said(format!("{} had conversation {conversation}", self.its_agent(session)))
                    .because("it told it late, printed it when it ended, or was started with it")
            }
            Record::MoveLaunching { .. } => return None,
            Record::MoveLaunched { session, .. } => {
                let to = self.state.moves.get(session).map(|moving| &moving.target);
                let to = to.map_or(String::new(), |to| format!(" on {to}"));
                said(format!("{} is launched{to}", self.its_agent(session)))
            }
            Record::MoveEnded { session, outcome } => {
                let who = self.its_agent(session);
                match outcome {
                    MoveOutcome::Verified => said(format!("{who} goes on where it was")),
                    MoveOutcome::Blocked { reason } => {
                        said(format!("{who} is up and waits for a person")).because(reason.clone())
                    }
                    MoveOutcome::Failed { reason } => {
                        said(format!("{who} was not resumed: the session is at its shell"))
                            .because(reason.clone())
                    }
                    MoveOutcome::Held => said(format!("{who} stays ended"))
                        .because("it cannot be launched now; it is as soon as it can be"),
                    MoveOutcome::Dropped { reason } => {
                        said(format!("{who} is left as it is")).because(reason.clone())
                    }
                }
            }
            _ => return None,
        };
        Some(self.timed(told, at))
    }

    fn was_launching(&self, session: &SessionName) -> bool {
        let moving = self.state.moves.get(session);
        moving.is_some_and(|moving| matches!(moving.stage, MoveStage::Launching { .. }))
    }

    /// Of a swap, whose; of a session, its own.
    fn its_agent(&self, session: &SessionName) -> String {
        match self.is_swap() {
            true => format!("the agent of {session}"),
            false => "its agent".to_owned(),
        }
    }
}

pub(in crate::core::why) fn of(agent: &SavedAgent) -> String {
    let talk = agent.conversation.as_ref().map_or("unknown", |id| id.as_str());
    let home = match &agent.home {
        AgentHome::Homed(account) => format!("on {account}"),
        AgentHome::Linked => "on the link".to_owned(),
        AgentHome::Elsewhere => "on a home that is none of ours".to_owned(),
    };
    format!("pid {}, conversation {talk}, {home}", agent.process.pid)
}
