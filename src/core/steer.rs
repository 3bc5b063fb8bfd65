//! The operator's word on the whole daemon: a pause, and sessions that take no more tasks. Both stand in
//! the journal, so they hold over restarts.
//!
//! While paused nothing new is begun: no task goes out, nobody is moved, nothing is parked or woken. What
//! is under way is finished: an open swap and who follows it, tasks at work. Evidence is recorded, so that
//! the end of the pause acts at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Group;
use crate::core::Core;
use crate::core::durable::Paused;
use crate::core::job::Job;
use crate::core::record::Record;
use crate::ids::SessionName;
use crate::moment::Wall;

/// For longer an operator says it again, or without an end.
pub const PAUSE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a pause is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseEnd {
    Operator,
    /// The time that he gave it is over.
    Time,
}

impl Core {
    pub fn is_paused(&self) -> bool {
        self.durable.paused.is_some()
    }

    /// By the operator: it finishes its task and gets no other.
    pub fn is_drained(&self, session: &SessionName) -> bool {
        self.durable.drained.contains_key(session)
    }

    /// Said again it lasts as was said last.
    ///
    /// # Errors
    /// It would last too long.
    pub(in crate::core) fn pause(&mut self, length: Option<Duration>) -> Result<String, String> {
        if length.is_some_and(|length| length > PAUSE_MAX) {
            return Err("a pause lasts 30 days at most; without --for it has no end".to_owned());
        }
        let at = self.now.wall;
        let until = length.map(|length| at + length);
        let known = self.durable.paused.as_ref();
        if known.is_none_or(|paused| paused.until != until) {
            self.persist(Record::Paused { at, until });
        }
        let lasts = match until {
            Some(until) => format!("until {until}, or until `claude-failover resume`"),
            None => "until `claude-failover resume`".to_owned(),
        };
        let first = match &self.durable.swap {
            Some(swap) => format!("; swap {} is finished first", swap.op),
            None => String::new(),
        };
        Ok(format!("paused {lasts}: no task goes out and nobody is moved{first}"))
    }

    /// # Errors
    /// The session is none of the pool's.
    pub(in crate::core) fn drain(
        &mut self,
        session: Option<&SessionName>,
    ) -> Result<String, String> {
        let Some(session) = session else {
            return self.drain_pool();
        };
        match self.config.group(session) {
            Some(Group::Pool) => {}
            Some(Group::Dedicated) => {
                return Err(format!("{session} is a dedicated session: it gets no tasks anyway"));
            }
            None => return Err(format!("{session} is no session of the configuration")),
        }
        self.persist_drain(vec![session.clone()]);
        let task = self.durable.jobs.get(session).filter(|job| job.is_at_work());
        let then = match task {
            Some(job) => format!("finishes {} and then gets no other task", job.task()),
            None => "gets no task".to_owned(),
        };
        Ok(format!("{session} {then}, until `claude-failover resume {session}`"))
    }

    fn drain_pool(&mut self) -> Result<String, String> {
        let pool = self.config.pool.autonomous.as_ref();
        let names: Vec<SessionName> = pool.map_or(Vec::new(), |pool| pool.names().collect());
        if names.is_empty() {
            return Err("the configuration has no pool: nothing gets tasks".to_owned());
        }
        let count = names.len();
        self.persist_drain(names);
        let at_work = self.durable.jobs.values().filter(|job| job.is_at_work()).count();
        let first = match at_work {
            0 => String::new(),
            1 => "; 1 task is finished first".to_owned(),
            many => format!("; {many} tasks are finished first"),
        };
        Ok(format!(
            "no session of the pool ({count}) gets a task until `claude-failover resume`{first}"
        ))
    }

    /// Those that are drained already stay so since then.
    fn persist_drain(&mut self, mut sessions: Vec<SessionName>) {
        sessions.retain(|session| !self.is_drained(session));
        if !sessions.is_empty() {
            self.persist(Record::SessionsDrained { sessions, at: self.now.wall });
        }
    }

    /// `session: None` ends everything: the pause, and the drain of all sessions.
    ///
    /// # Errors
    /// There is no such session.
    pub(in crate::core) fn resume(
        &mut self,
        session: Option<&SessionName>,
    ) -> Result<String, String> {
        let at = self.now.wall;
        if let Some(session) = session {
            if self.is_drained(session) {
                self.persist(Record::SessionsResumed { sessions: vec![session.clone()], at });
                let still = match self.is_paused() {
                    true => ", once `claude-failover resume` ends the pause",
                    false => "",
                };
                return Ok(format!("{session} takes tasks again{still}"));
            }
            return match self.config.group(session) {
                Some(_) => Ok(format!("{session} was not drained: nothing changed")),
                None => Err(format!("{session} is no session of the configuration")),
            };
        }
        let mut done = Vec::new();
        if self.is_paused() {
            self.persist(Record::PauseEnded { at, by: PauseEnd::Operator });
            done.push("the pause is over".to_owned());
        }
        let sessions: Vec<SessionName> = self.durable.drained.keys().cloned().collect();
        if !sessions.is_empty() {
            let names: Vec<&str> = sessions.iter().map(SessionName::as_str).collect();
            let take = if names.len() == 1 { "takes" } else { "take" };
            done.push(format!("{} {take} tasks again", names.join(", ")));
            self.persist(Record::SessionsResumed { sessions, at });
        }
        match done.is_empty() {
            true => Ok("nothing was paused or drained".to_owned()),
            false => Ok(done.join("; ")),
        }
    }

    /// A pause whose time is over ends by itself.
    pub(in crate::core) fn end_pause_when_due(&mut self) {
        let now = self.now.wall;
        if self.pause_ends().is_some_and(|until| until <= now) {
            self.persist(Record::PauseEnded { at: now, by: PauseEnd::Time });
        }
    }

    pub(in crate::core) fn pause_ends(&self) -> Option<Wall> {
        self.durable.paused.as_ref().and_then(|paused| paused.until)
    }

    /// Why a verb that begins something is refused now.
    pub(in crate::core) fn paused_objection(&self) -> Option<String> {
        let Paused { since, .. } = self.durable.paused.as_ref()?;
        Some(format!("paused by the operator since {since}: `claude-failover resume` ends that"))
    }
}

impl Job {
    /// Its agent is on its way, or was: the task is finished, not given back.
    fn is_at_work(&self) -> bool {
        self.account.is_some() && !self.is_over()
    }
}
