//! An agent at work on its task: when it is through, when it is stuck, when it was cut off.
//!
//! A signal file decides, then a hook's word that the turn ended, then what the client's own state and
//! conversation say. Silence is not an end: it is a stall, after `watcher.idle_timeout`.

use std::time::Duration;

use crate::core::Core;
use crate::core::event::{AgentSeen, AgentState, SignalSeen};
use crate::core::job::{Fate, Job};
use crate::core::record::Record;
use crate::core::testimony::Testimony;
use crate::ids::SessionName;
use crate::moment::{Mono, Wall};
use crate::quota::transcript::Ending;

/// After the end of a turn a signal file may still come, or the next turn begin by itself.
pub(in crate::core) const TURN_SETTLES: Duration = Duration::from_secs(5);
/// How long an agent may go on after its signal.
pub(in crate::core) const LAST_WORDS: Duration = Duration::from_secs(10);
/// The reason of a task that is done by the end of its turn.
pub(in crate::core) const TURN_ENDED: &str = "turn_ended";
/// Where no hook tells of the end of a turn, an agent that has answered and done nothing since is
/// through with it.
pub(in crate::core) const QUIET_ENDS: Duration = Duration::from_secs(10);
/// With hooks only a report that was lost leaves this to be done.
pub(in crate::core) const QUIET_ENDS_AFTER_HOOKS: Duration = Duration::from_secs(600);
/// A turn that ended in an error is taken up again after this; the client itself has retried for three
/// minutes by then.
pub(in crate::core) const ERROR_PAUSE: Duration = Duration::from_secs(60);

/// Times one attempt is taken up again; a limit can cut it off several times, and rightly.
const TAKEN_UP_MAX: u32 = 10;

impl Core {
    pub(in crate::core) fn follow_work(&mut self, session: &SessionName, job: &Job) -> bool {
        if let Some(fate) = self.fate_by_signal(session)
            && !self.has_more_to_say(session)
        {
            self.end_job(session, fate);
            return true;
        }
        if self.durable.swap.is_some() || self.durable.moves.contains_key(session) {
            return false;
        }
        if self.is_over_time(session, job) {
            self.end_job(session, Fate::Failed { reason: "timeout".to_owned() });
            return true;
        }
        let Some(agent) = self.agent_of_job(session, job).cloned() else {
            return self.lose_if_gone(session);
        };
        if self.has_ended_its_turn(session, &agent) {
            self.end_job(session, Fate::Done { reason: TURN_ENDED.to_owned() });
            return true;
        }
        if self.was_cut_off(session, &agent) {
            self.take_up_again(session, job);
            return true;
        }
        // The menu of a limit stands there until an account takes requests: nobody's to answer.
        if self.working_account().is_some() {
            self.handle_dialog(session, agent.pane);
        }
        self.end_if_stalled(session)
    }

    pub(in crate::core) fn fate_by_signal(&self, session: &SessionName) -> Option<Fate> {
        self.job_watches.get(session)?.signal.as_ref().map(fate_by)
    }

    /// After its signal an agent sums up what it did, which belongs to the result.
    fn has_more_to_say(&self, session: &SessionName) -> bool {
        let heard = self.job_watches.get(session).and_then(|watch| watch.signal_heard);
        let lately = heard.is_some_and(|heard| self.now.monotonic - heard < LAST_WORDS);
        let moving = self.durable.swap.is_some() || self.durable.moves.contains_key(session);
        lately && !moving && self.is_in_turn(session)
    }

    fn is_over_time(&self, session: &SessionName, job: &Job) -> bool {
        if self.working_account().is_none() {
            return false; // it can do nothing, and its time is not counted
        }
        let slept = self.job_watches.get(session).map_or(Duration::ZERO, |watch| watch.slept);
        over_at(job, slept).is_some_and(|at| at <= self.now.wall)
    }

    fn has_ended_its_turn(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        if self.is_in_turn(session) {
            return false;
        }
        let Some(watch) = self.job_watches.get(session) else { return false };
        let now = self.now.monotonic;
        if let Some(ended) = watch.turn_ended {
            return now - ended.heard >= TURN_SETTLES;
        }
        if self.durable.jobs.get(session).is_some_and(|job| job.background) {
            return false; // what it left running brings it back, or it stalls
        }
        // Where hooks are heard, their silence may be a person's who has interrupted the turn.
        let length = if watch.hooks_heard { QUIET_ENDS_AFTER_HOOKS } else { QUIET_ENDS };
        let quiet = watch
            .stayed_in(|state| *state == AgentState::Idle)
            .is_some_and(|since| now - since >= length);
        quiet
            && self.talks_of_its_task(session, agent)
            && match self.testimony(session, agent) {
                Testimony::Known(ending) => ends_with_an_answer(ending),
                Testimony::Awaited => false,
                Testimony::None => watch.was_busy && self.failed_turn_of(session, agent).is_none(),
            }
    }

    /// What the client of a task has on file is that task's, unless somebody has begun another
    /// conversation in it.
    pub(in crate::core) fn talks_of_its_task(
        &self,
        session: &SessionName,
        agent: &AgentSeen,
    ) -> bool {
        let job = self.durable.jobs.get(session);
        agent.conversation.is_none()
            || job.is_some_and(|job| job.conversation == agent.conversation)
    }

    /// Its turn ended in an error of the API, and its account would take it now.
    fn was_cut_off(&self, session: &SessionName, agent: &AgentSeen) -> bool {
        let idle = self.job_watches.get(session).and_then(|watch| {
            watch.stayed_in(|state| matches!(state, AgentState::Idle | AgentState::Waiting(_)))
        });
        let long = idle.is_some_and(|since| self.now.monotonic - since >= ERROR_PAUSE);
        let cut = match self.testimony(session, agent) {
            Testimony::Known(Ending { error: Some(error), prompted_at, .. }) => {
                *prompted_at <= Some(error.at)
            }
            Testimony::None => self.failed_turn_of(session, agent).is_some(),
            Testimony::Known(_) | Testimony::Awaited => false,
        };
        let rests = self.job_watches.get(session).and_then(|watch| watch.not_before);
        let takes = self.working_account().is_some()
            && rests.is_none_or(|until| until <= self.now.monotonic);
        let cut = cut && self.talks_of_its_task(session, agent);
        long && cut && takes && !self.is_in_turn(session) && !self.continues_by_itself(session)
    }

    /// In its conversation, told to go on. An error that is no limit counts as an attempt.
    fn take_up_again(&mut self, session: &SessionName, job: &Job) {
        let reading = self.last_failure_in(session);
        let by_limit = reading.as_ref().is_some_and(|reading| reading.verdict.is_exhaustion());
        let row = reading.map(|reading| reading.row);
        let now = self.now.monotonic;
        let watch = self.job_watches.entry(session.clone()).or_default();
        watch.taken_up += 1;
        watch.not_before = Some(now + ERROR_PAUSE);
        if watch.taken_up > TAKEN_UP_MAX {
            let reason = format!("cut off again and again: {}", row.unwrap_or_default());
            self.end_job(session, Fate::Requeued { reason });
            return;
        }
        if !by_limit {
            if job.attempt >= job.offer.attempts {
                let reason = format!("api error: {}", row.unwrap_or_default());
                self.end_job(session, Fate::Failed { reason });
                return;
            }
            self.persist(Record::TaskTakenUp {
                session: session.clone(),
                attempt: job.attempt + 1,
                reason: row.unwrap_or_default(),
            });
        }
        let mut job = job.clone();
        job.process = self.agent_of_job(session, &job).map(|agent| agent.process).or(job.process);
        self.resume_job(session, &job);
    }

    /// Neither a record nor a busy tool for `watcher.idle_timeout`.
    pub(in crate::core) fn end_if_stalled(&mut self, session: &SessionName) -> bool {
        let limit = self.config.watcher.idle_timeout;
        let Some(watch) = self.job_watches.get(session) else { return false };
        if self.now.monotonic - watch.progressed < limit {
            return false;
        }
        let reason = match &watch.blocked {
            Some(why) => format!("stalled: {why}"),
            None => format!("stalled: no progress for {} s", limit.as_secs()),
        };
        self.end_job(session, Fate::Requeued { reason });
        true
    }

    /// When to look again at the jobs although nothing happens.
    pub(in crate::core) fn job_wakeups(&self) -> Vec<Mono> {
        use crate::core::job::deliver::GONE_AFTER;
        let swap = &self.config.swap;
        let mut moments: Vec<Mono> = self.task_rests.values().copied().collect();
        moments.extend(self.session_rests.values().copied());
        for (session, watch) in &self.job_watches {
            let Some(job) = self.durable.jobs.get(session) else { continue };
            moments.push(watch.since + swap.verify_timeout);
            moments.push(watch.since + GONE_AFTER);
            moments.push(watch.progressed + self.config.watcher.idle_timeout);
            moments.extend(watch.gone_since.map(|since| since + GONE_AFTER));
            moments.extend(watch.turn_ended.map(|ended| ended.heard + TURN_SETTLES));
            moments.extend(watch.dialog_at.map(|at| at + TURN_SETTLES));
            moments.extend(watch.signal_heard.map(|heard| heard + LAST_WORDS));
            moments.extend(watch.not_before);
            if let Some((_, since)) = &watch.state {
                let lengths = [Duration::from_secs(1), Duration::from_secs(2), QUIET_ENDS];
                moments.extend(
                    lengths
                        .into_iter()
                        .chain([ERROR_PAUSE, QUIET_ENDS_AFTER_HOOKS])
                        .map(|l| *since + l),
                );
            }
            moments.extend(over_at(job, watch.slept).map(|at| self.on_wall(at)));
        }
        moments
    }
}

/// When a task with a time limit of its own has used it up. What the host slept is not its time.
fn over_at(job: &Job, slept: Duration) -> Option<Wall> {
    Some(job.received_at? + job.offer.timeout? + slept)
}

/// What a signal file says.
pub(in crate::core) fn fate_by(signal: &SignalSeen) -> Fate {
    match (signal.done, signal.text.as_str()) {
        (true, _) => Fate::Done { reason: "signal".to_owned() },
        (false, "") => Fate::Failed { reason: "signal".to_owned() },
        (false, text) => Fate::Failed { reason: format!("signal: {text}") },
    }
}

fn ends_with_an_answer(ending: &Ending) -> bool {
    ending.error.is_none()
        && ending.answered_at.is_some()
        && ending.answered_at >= ending.prompted_at
}
