//! When the core must be woken although nothing happened. Each wait has a name, so that a
//! wake-up can say why it came.

use std::time::Duration;

use crate::core::record::{MoveCause, MoveStage};
use crate::core::{Core, verify};
use crate::moment::{Mono, Wall};

/// A refusal this soon after a flip cannot be told apart from one of the account before.
pub const FLIP_SETTLES: Duration = Duration::from_secs(5);

/// Effects in flight get this long to answer when the daemon is asked to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Clocks can be set: waits on the wall clock are looked at again this often.
const WALL_CHECK: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    OrderOverdue,
    AccountReturns,
    PauseOver,
    /// A swap by choice waits until it disturbs nobody.
    BetterMoment,
    NextInTheRow,
    /// A client that was to go on by itself has not.
    LeftToItself,
    CooldownOver,
    StayOver,
    LaunchUnproven,
    /// A launch that was not done is tried again.
    LaunchAgain,
    /// A session that did not stay is made again.
    MakeAgain,
    ThrottleOver,
    TaskDue,
    /// A longer pause than this is not ours: the host has slept.
    SleepNoticed,
    DrainOver,
}

impl Core {
    /// The earliest moment at which the core must be given `DeadlineReached`, and why.
    pub fn next_wakeup(&self) -> Option<(Mono, Timer)> {
        let mut waits: Vec<(Mono, Timer)> = Vec::new();
        let now = self.now;
        if let Some(since) = self.draining_since {
            return Some((since + DRAIN_TIMEOUT, Timer::DrainOver));
        }
        waits.extend(self.orders.next_deadline().map(|at| (at, Timer::OrderOverdue)));
        waits.extend(self.pause_ends().map(|at| (self.on_wall(at), Timer::PauseOver)));
        for (account, standing) in &self.durable.standings {
            let limits = standing.limits.values().map(|limit| self.limit_over(account, limit));
            let rejected = standing.rejected.iter().map(|rejected| rejected.until);
            waits
                .extend(limits.chain(rejected).map(|at| (self.on_wall(at), Timer::AccountReturns)));
        }
        waits.extend(self.choice_wakeups().into_iter().map(|at| (at, Timer::BetterMoment)));
        waits.extend(self.continuing_until().map(|at| (self.on_wall(at), Timer::LeftToItself)));
        if let Some((_, since)) = &self.ramp
            && self.durable.moves.values().any(|moving| moving.cause == MoveCause::Straggler)
        {
            waits.push((*since + self.config.swap.ramp_interval, Timer::NextInTheRow));
        }
        for hit in self.hits.values() {
            waits.extend(
                hit.waits_for.filter(|at| *at > now.monotonic).map(|at| (at, Timer::CooldownOver)),
            );
        }
        for moving in self.durable.moves.values() {
            if let MoveStage::Staying { until } = moving.stage {
                waits.push((self.on_wall(until), Timer::StayOver));
            }
        }
        for session in self.durable.moves.keys() {
            waits.extend(self.unknown_until(session).map(|at| (at, Timer::LaunchUnproven)));
        }
        let again = self.launch_troubles.values().map(|trouble| trouble.again_at);
        waits.extend(again.map(|at| (at, Timer::LaunchAgain)));
        let again = self.short_lived.values().map(|trouble| trouble.again_at);
        waits.extend(again.map(|at| (at, Timer::MakeAgain)));
        for watch in self.watches.values() {
            let since_state = watch.state.as_ref().map(|(_, since)| *since);
            let looks = since_state.into_iter().flat_map(|since| {
                [verify::DIALOG_STAYS, verify::ANSWERS_AFTER, verify::SILENT_CLIENT_UP]
                    .map(|length| since + length)
            });
            let proof = watch.since + self.config.swap.verify_timeout;
            let ends = watch.conversation_missing.map(|said| said + verify::ENDS_AFTER_SAYING_SO);
            let next = looks.chain([proof]).chain(ends).filter(|at| *at > now.monotonic).min();
            waits.push((next.unwrap_or(now.monotonic + WALL_CHECK), Timer::LaunchUnproven));
        }
        for changed in self.credentials.values() {
            let still = *changed + verify::CREDENTIALS_STILL;
            if !self.watches.is_empty() && still > now.wall {
                waits.push((self.on_wall(still), Timer::LaunchUnproven));
            }
        }
        let throttled = self.throttled_until().map(|at| self.on_wall(at));
        waits.extend(throttled.map(|at| (at, Timer::ThrottleOver)));
        waits.extend(self.job_wakeups().into_iter().map(|at| (at, Timer::TaskDue)));
        if self.waits_for_somebody() {
            waits.push((now.monotonic + WALL_CHECK, Timer::SleepNoticed));
        }
        // What is due already was looked at just now: only another event can get it going.
        waits.into_iter().filter(|(at, _)| *at > now.monotonic).min_by_key(|(at, _)| *at)
    }

    pub(in crate::core) fn on_wall(&self, at: Wall) -> Mono {
        self.now.monotonic + (at - self.now.wall).min(WALL_CHECK)
    }
}
