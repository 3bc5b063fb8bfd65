//! The part of the state that survives: what the records say, and nothing else.
//!
//! [`Durable::apply`] is the one transition function; live code and replay both go through it, so
//! a crash at any record leaves exactly the state that the records on disk give.

mod accounts;
mod jobs;
mod moves;
mod swap;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::SWAPS_PER_HOUR_MAX;
use crate::core::job::{Job, SetAside};
use crate::core::kind::{Step, Subject};
use crate::core::record::{Move, Record, SavedAgent};
use crate::core::standing::Standing;
use crate::core::trigger::Trigger;
use crate::ids::{AccountName, ConversationId, OpId, SessionName, TaskRef};
use crate::moment::Wall;

/// Banner rows remembered for one session; older ones have scrolled away long since.
const LEFT_ROWS_MAX: usize = 16;

/// Swap starts remembered for `swap.max_per_hour`.
const SWAP_TIMES_MAX: usize = SWAPS_PER_HOUR_MAX as usize;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durable {
    pub active: Option<AccountName>,
    /// Since when the link names it; zero when nobody knows.
    #[serde(default)]
    pub active_since: Wall,
    /// An account that is not listed is available.
    #[serde(default)]
    pub standings: BTreeMap<AccountName, Standing>,
    /// By the operator: this account and no other.
    #[serde(default)]
    pub pinned: Option<AccountName>,
    /// No account can be taken; a swap to one that has come back ends it.
    #[serde(default)]
    pub parked: Option<Parked>,
    /// By the operator: nothing new is begun.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// By the operator: sessions that get no more tasks, and since when.
    #[serde(default)]
    pub drained: BTreeMap<SessionName, Wall>,
    /// The agent last known in each session.
    pub agents: BTreeMap<SessionName, SavedAgent>,
    /// The highest fence ever used in each session.
    pub fences: BTreeMap<SessionName, u64>,
    pub swap: Option<OpenSwap>,
    pub moves: BTreeMap<SessionName, Move>,
    pub last_swap: Option<LastSwap>,
    /// When the link was flipped by a swap.
    pub swap_times: Vec<Wall>,
    /// Banner rows that were on a session's screen when its agent left an account.
    pub left_rows: BTreeMap<SessionName, Vec<String>>,
    /// Sessions whose agent was resumed by us, seen to start, or has ended, and in which nobody has
    /// taken a turn since: every banner on the screen is history.
    #[serde(default)]
    pub resumed: BTreeSet<SessionName>,
    pub losses: BTreeMap<SessionName, Loss>,
    /// The tasks in the hands of sessions.
    #[serde(default)]
    pub jobs: BTreeMap<SessionName, Job>,
    /// Conversations that we began for tasks, the latest last: agents in them are our own.
    #[serde(default)]
    pub task_talks: Vec<ConversationId>,
    /// Attempts used up by tasks that are not finished.
    #[serde(default)]
    pub attempts: BTreeMap<TaskRef, u32>,
    /// Tasks of which nobody can tell whether they were delivered.
    #[serde(default)]
    pub set_aside: BTreeMap<TaskRef, SetAside>,
    /// The highest number given to a swap or a restore.
    pub last_op: OpId,
    pub stopped_cleanly: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSwap {
    pub op: OpId,
    pub source: AccountName,
    pub target: AccountName,
    pub phase: Phase,
    pub trigger: Trigger,
    pub planned_at: Wall,
    pub relaunched_at: Option<Wall>,
    pub canary_proven: bool,
    /// On the way back: what runs on the target has been saved, too.
    pub way_back_saved: bool,
    /// Targets that failed, and why, in the order they were tried.
    pub rejected: Vec<(AccountName, String)>,
    /// Why it turns back or is stuck.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Planned,
    Checked,
    /// One agent is on the target, to prove it; nobody else is touched.
    Probing,
    Saved,
    Stopped,
    Flipped,
    Relaunched,
    Verified,
    Aborting,
    Unflipped,
    Restored,
    Stuck,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSwap {
    pub op: OpId,
    pub from: AccountName,
    pub to: AccountName,
    pub trigger: Trigger,
    pub planned_at: Wall,
    pub relaunched_at: Option<Wall>,
    pub ended_at: Wall,
    pub outcome: SwapOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwapOutcome {
    Done,
    RolledBack,
    Cleared,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub since: Wall,
    /// When the first account was expected back then; `None`: none comes back by itself.
    pub until: Option<Wall>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    pub since: Wall,
    /// When it ends by itself.
    pub until: Option<Wall>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub at: Wall,
    pub agent: Option<SavedAgent>,
}

/// A record that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {record} is illegal here: {why}")]
pub struct IllegalRecord {
    pub record: String,
    pub why: String,
}

impl Durable {
    /// # Errors
    /// The record does not fit the state; the state is then unchanged.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        match record {
            Record::DaemonStarted { .. } => self.stopped_cleanly = false,
            Record::CleanStop => self.stopped_cleanly = true,
            Record::Compacted { state } => *self = (**state).clone(),
            Record::Paused { at, until } => {
                let since = self.paused.as_ref().map_or(*at, |known| known.since);
                self.paused = Some(Paused { since, until: *until });
            }
            Record::PauseEnded { .. } => self.paused = None,
            Record::SessionsDrained { sessions, at } => {
                self.drained.extend(sessions.iter().map(|session| (session.clone(), *at)));
            }
            Record::SessionsResumed { sessions, .. } => {
                self.drained.retain(|session, _| !sessions.contains(session));
            }
            Record::RowLeft { session, row } => self.leave_row(session, row),
            Record::NewcomerSeen { session } => {
                self.resumed.insert(session.clone());
            }
            Record::TurnTaken { session } => {
                self.left_rows.remove(session);
                self.resumed.remove(session);
            }
            Record::ActiveFound { account, at } => {
                self.active = Some(account.clone());
                self.active_since = *at;
            }
            Record::AgentAdopted { session, agent } => {
                self.agents.insert(session.clone(), agent.clone());
                self.losses.remove(session);
            }
            Record::AgentEnded { session } => {
                self.agents.remove(session);
                // What it left on its screen is not the next one's.
                self.resumed.insert(session.clone());
            }
            Record::SessionLost { session, at, agent } => {
                self.agents.remove(session);
                self.resumed.remove(session);
                self.losses.insert(session.clone(), Loss { at: *at, agent: agent.clone() });
            }
            Record::SessionCreated { .. } => {}
            Record::RestorePlanned { op, session, target, agent, cut } => {
                self.plan_restore(*op, session, target, agent, *cut);
            }
            Record::SwapPlanned { op, at, source, target, trigger, .. } => {
                if let Some(open) = &self.swap {
                    return Err(illegal(record, &format!("swap {} is open", open.op)));
                }
                if *op <= self.last_op {
                    return Err(illegal(record, "its number was used before"));
                }
                self.open_swap(*op, *at, source, target, trigger);
            }
            other => return self.apply_step(other),
        }
        Ok(())
    }

    /// The records of accounts, and of swaps, moves and tasks that are under way.
    fn apply_step(&mut self, record: &Record) -> Result<(), IllegalRecord> {
        match record.step() {
            Some(Step::Swap(op)) => self.apply_swap(*op, record),
            Some(Step::Move(session)) => self.apply_move(session, record),
            Some(Step::Job(_) | Step::SetAside(_)) => self.apply_task(record),
            None if record.subject() == Subject::Account => self.apply_account(record),
            None => Err(illegal(record, "it belongs to nothing")),
        }
    }

    fn leave_row(&mut self, session: &SessionName, row: &str) {
        let rows = self.left_rows.entry(session.clone()).or_default();
        if !rows.iter().any(|known| known == row) {
            rows.push(row.to_owned());
        }
        if rows.len() > LEFT_ROWS_MAX {
            rows.remove(0);
        }
    }
}

pub(in crate::core::durable) fn illegal(record: &Record, why: &str) -> IllegalRecord {
    IllegalRecord { record: record.name().to_owned(), why: why.to_owned() }
}
