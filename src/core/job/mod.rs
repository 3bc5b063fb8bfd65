//! Tasks in the hands of sessions. A [`Job`] is one task in one pool session, from the claim until its
//! file has left the inbox; every step is a record, and many go side by side.
//!
//! ```text
//! Claiming → Claimed → Launching → Sending → Running → Ending → Closing → (gone)
//!               ↑ ↓                    ↓        ↓        ↑
//!            Stopping                  └─ Lost ─┴────────┘
//! ```
//!
//! Reading order: [`claim`] (which task to which session), [`deliver`] (until the agent has it), [`work`]
//! (until the agent is through with it), [`lost`] (what a job is worth whose agent is gone), [`close`]
//! (the agent's end and the file's way), [`verbs`] (what people decide).

pub mod claim;
pub mod close;
pub mod deliver;
pub mod lost;
pub mod verbs;
pub mod watch;
pub mod work;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Group;
use crate::core::args;
use crate::core::event::AgentSeen;
use crate::core::session::Session;
use crate::core::{Core, TerminalState};
use crate::ids::{AccountName, ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use crate::moment::Wall;
use crate::task::Offer;

/// One task in the hands of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The task as it was claimed.
    pub offer: Offer,
    /// 1 for the first.
    pub attempt: u32,
    pub claimed_at: Wall,
    /// Chosen with the marker; every attempt has one of its own.
    pub conversation: Option<ConversationId>,
    /// Where it was launched.
    pub account: Option<AccountName>,
    /// The fence of a launch of which nobody knows yet what became of it.
    pub launching: Option<u64>,
    /// Where it was launched last.
    pub pane: Option<PaneId>,
    /// Its agent as last known.
    pub process: Option<ProcessRef>,
    /// When it was proven that the agent had the task.
    pub received_at: Option<Wall>,
    /// When it was decided that it is over.
    pub ended_at: Option<Wall>,
    /// Times its session went under it.
    pub losses: u32,
    /// A hook said that something goes on behind its last turn.
    pub background: bool,
    pub stage: JobStage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum JobStage {
    /// On record; the marker is not known to be there.
    Claiming,
    /// The marker is there; the session is made ready.
    Claimed,
    /// An idle agent of ours is ended to make room.
    Stopping {
        process: ProcessRef,
    },
    Launching {
        fence: u64,
    },
    /// Launched; no proof yet that the agent has the task.
    Sending {
        pane: PaneId,
    },
    Running,
    /// Its agent is gone; what of the task arrived is asked.
    Lost {
        session_gone: bool,
    },
    /// It is over; the agent is ended.
    Ending {
        fate: Fate,
    },
    /// Nobody works on it any more; the file is moved, or its marker taken away.
    Closing {
        fate: Fate,
    },
}

/// What becomes of a task whose job is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fate")]
pub enum Fate {
    Done {
        reason: String,
    },
    Failed {
        reason: String,
    },
    /// Back to the queue; the attempt counts.
    Requeued {
        reason: String,
    },
    /// Back to the queue as if it had not been claimed: no agent has had it.
    GivenBack {
        reason: String,
    },
    /// Nobody can tell whether an agent had it: a person decides.
    Unknown {
        reason: String,
    },
}

/// A task that a person must decide on. Its marker stays until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub title: String,
    pub path: PathBuf,
    pub session: SessionName,
    pub account: Option<AccountName>,
    pub conversation: Option<ConversationId>,
    pub attempt: u32,
    pub since: Wall,
    pub reason: String,
    pub decision: Option<Decision>,
    pub decided_at: Option<Wall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Retry,
    Cancel,
}

impl Job {
    pub fn task(&self) -> &TaskRef {
        &self.offer.task
    }

    /// Whether its agent, if it has one, is being ended.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, JobStage::Ending { .. } | JobStage::Closing { .. })
    }

    /// Whether another agent is to have it.
    pub fn goes_back(&self) -> bool {
        let back = |fate: &Fate| matches!(fate, Fate::Requeued { .. } | Fate::GivenBack { .. });
        matches!(&self.stage, JobStage::Ending { fate } if back(fate))
    }

    /// Whether an agent was launched for it that may be at work.
    pub fn is_out(&self) -> bool {
        match self.stage {
            JobStage::Launching { .. } | JobStage::Sending { .. } | JobStage::Running => true,
            JobStage::Claiming
            | JobStage::Claimed
            | JobStage::Stopping { .. }
            | JobStage::Lost { .. }
            | JobStage::Ending { .. }
            | JobStage::Closing { .. } => false,
        }
    }
}

impl Core {
    /// One step of any task. True when the state changed.
    pub(in crate::core) fn advance_jobs(&mut self) -> bool {
        if self.claim_next() || self.carry_out_decisions() {
            return true;
        }
        let sessions: Vec<SessionName> = self.durable.jobs.keys().cloned().collect();
        sessions.iter().any(|session| self.advance_job(session))
    }

    fn advance_job(&mut self, session: &SessionName) -> bool {
        let Some(job) = self.durable.jobs.get(session).cloned() else {
            return false;
        };
        self.watch_job(session, &job);
        match &job.stage {
            JobStage::Closing { fate } => return self.close_job(session, &job, fate),
            JobStage::Ending { .. } => return self.end_agent_of_job(session, &job),
            JobStage::Lost { .. } => return self.ask_what_arrived(session, &job),
            _ => {}
        }
        // An operator's own session by now is none of ours either.
        if self.config.group(session) != Some(Group::Pool) {
            let reason = "its session left the pool".to_owned();
            let fate = match job.account {
                None => Fate::GivenBack { reason },
                Some(_) if self.is_known_who_works(session, &job) => Fate::Requeued { reason },
                Some(_) => Fate::Unknown { reason },
            };
            self.end_job(session, fate);
            return true;
        }
        match &job.stage {
            JobStage::Claiming => self.claim_on(session, &job),
            JobStage::Claimed => self.make_ready(session),
            JobStage::Stopping { .. } => self.give_back_when_due(session),
            JobStage::Launching { fence } => self.launch_job_again(session, &job, *fence),
            JobStage::Sending { .. } => self.prove_receipt(session, &job),
            JobStage::Running => self.follow_work(session, &job),
            JobStage::Lost { .. } | JobStage::Ending { .. } | JobStage::Closing { .. } => false,
        }
    }

    /// The agent that works on this job, when it is seen.
    pub(in crate::core) fn agent_of_job(
        &self,
        session: &SessionName,
        job: &Job,
    ) -> Option<&AgentSeen> {
        self.agents_seen_in(session).find(|agent| self.is_agent_of(session, agent, job))
    }

    /// The session's agent, and who stands beside it.
    pub(in crate::core) fn agents_seen_in(
        &self,
        session: &SessionName,
    ) -> impl Iterator<Item = &AgentSeen> {
        let beside = self.sessions.get(session).map_or(&[][..], |seen| &seen.beside);
        self.agent_in(session).into_iter().chain(beside)
    }

    /// By its conversation, or by its process where a client does not tell or has begun another one,
    /// or because it is where we launched it, or was launched with that conversation.
    pub(in crate::core) fn is_agent_of(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
        job: &Job,
    ) -> bool {
        let same_talk = agent.conversation.is_some() && agent.conversation == job.conversation;
        let adopted = self.durable.agents.get(session).is_some_and(|known| {
            known.process == agent.process
                && known.conversation.is_some()
                && known.conversation == job.conversation
        });
        // Not by its age: the clock may have been set since the task was claimed. What it was started
        // with goes before its pane: others come to that, and ours to others. Nor is it one that tells
        // nothing when the process that had the task is known and gone.
        let named = || agent.args.as_deref().and_then(args::named_conversation);
        let named = self.earlier_id(session, agent.process).or_else(named);
        let silent = agent.conversation.is_none()
            && match named {
                Some(named) => Some(&named) == job.conversation.as_ref(),
                None => {
                    let may_be = job.is_out() || job.process.is_none();
                    may_be && job.pane == Some(agent.pane) && self.is_launched_by_us(agent)
                }
            };
        same_talk || adopted || Some(agent.process) == job.process || silent
    }

    /// Whether this session has been looked at, all of it, so that no agent seen means no agent there.
    pub(in crate::core) fn is_in_sight(&self, session: &SessionName) -> bool {
        self.terminal == TerminalState::Seen
            && self.sessions.get(session).is_some_and(Session::is_looked_into)
    }

    /// Whether the agent in this session owes us more of its task than it has given.
    pub(in crate::core) fn owes_work(&self, session: &SessionName) -> bool {
        let out = self.durable.jobs.get(session).is_some_and(Job::is_out);
        out && self.job_watches.get(session).is_none_or(|watch| watch.turn_ended.is_none())
    }
}
