//! What one channel has yet to tell, and when: a value without clock, file or network.
//!
//! It takes notices, says which of them make the next message and when that is due, and is told what
//! came of it. Said again is counted, not sent; what comes in a burst goes as one message; what is
//! below critical waits for the end of the quiet hours; what fails is tried again, ever less often.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::notifications::{Level, Rules};
use crate::core::notice::Notice;
use crate::moment::Wall;
use crate::notifier::failure::Failure;
use crate::notifier::message::Part;
use crate::quota::local_time::Zone;

/// What comes within this goes as one message.
pub const GATHER: Duration = Duration::from_secs(2);
/// The same said again within this is counted, and told once at its end.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(30 * 60);
/// Within this no more messages than [`MESSAGES_MAX`] are sent; what else comes goes as one after.
pub const RATE_WINDOW: Duration = Duration::from_secs(10 * 60);
pub const MESSAGES_MAX: usize = 6;
/// With something critical among them.
pub const MESSAGES_CRITICAL_MAX: usize = 12;
/// After this long without success, what is older than this is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// After the first failure; doubled by each further one.
pub const BACKOFF_MIN: Duration = Duration::from_secs(5);
pub const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// Notices that wait; beyond it the least serious and oldest is given up.
pub const WAITING_MAX: usize = 100;
/// Topics of which is known what was said last.
const TOPICS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbox {
    /// The last record of the journal that was taken; `None`: none yet.
    pub cursor: Option<u64>,
    next_id: u64,
    waiting: Vec<Waiting>,
    /// By topic.
    said: BTreeMap<String, Said>,
    /// When the messages of the last [`RATE_WINDOW`] were sent.
    sent_at: VecDeque<Wall>,
    /// Failures in a row.
    attempts: u32,
    retry_at: Option<Wall>,
    failing_since: Option<Wall>,
    /// Notices that were given up and not told of yet.
    left_out: u32,
    pub last_sent_at: Option<Wall>,
    /// Without secrets; `None` after a success.
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    id: u64,
    taken_at: Wall,
    again: u32,
    notice: Notice,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    at: Wall,
    key: String,
    level: Level,
    /// Since `at`.
    again: u32,
    /// As it was said last.
    latest: Option<Notice>,
}

/// How this channel is told things.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub rules: Rules,
    /// Of the quiet hours; `None`: UTC.
    pub zone: Option<&'a str>,
    pub now: Wall,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These make the next message, now.
    Send(Vec<u64>),
    /// Nothing before.
    At(Wall),
    Nothing,
}

impl Terms<'_> {
    /// When the quiet hours end that it is now.
    pub fn quiet_until(&self) -> Option<Wall> {
        let hours = self.rules.quiet_hours?;
        let zone = self.zone.and_then(Zone::of).unwrap_or(Zone::Named("UTC"));
        let unix_s = self.now.0.div_euclid(1000);
        let shown = zone.shown(unix_s)?;
        let minute = u16::from(shown.hour()) * 60 + u16::from(shown.minute());
        if !hours.hold(minute) {
            return None;
        }
        // At least the rest of this minute, since they hold.
        let left_s = u64::from(hours.left_min(minute)) * 60 - u64::from(shown.second());
        Some(Wall(unix_s * 1000) + Duration::from_secs(left_s))
    }
}

impl Said {
    /// Not so when the clock was set back: better said twice than not at all.
    fn is_recent(&self, now: Wall) -> bool {
        self.at <= now && now - self.at < REPEAT_WINDOW
    }
}

impl Outbox {
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub fn retry_at(&self) -> Option<Wall> {
        self.retry_at
    }

    /// An outbox that is new begins after this record: nobody wants the past of a daemon.
    pub fn begin_after(&mut self, seq: u64) {
        self.cursor.get_or_insert(seq);
    }

    /// `seq`: of the record that it tells of. True when there is something to keep, and be it only how
    /// far this is: what was below the level then must not be told by a lower one after a restart.
    pub fn take(&mut self, seq: Option<u64>, notice: Notice, terms: &Terms<'_>) -> bool {
        if let Some(seq) = seq {
            if self.cursor.is_some_and(|last| seq <= last) {
                return false;
            }
            self.cursor = Some(seq);
        }
        if notice.level < terms.rules.level {
            return seq.is_some();
        }
        let (topic, now) = (notice.topic().to_owned(), terms.now);
        if let Some(said) = self.said.get_mut(&topic)
            && said.key == notice.key
            && notice.level <= said.level
            && said.is_recent(now)
        {
            match self.waiting.iter_mut().find(|waiting| waiting.notice.key == notice.key) {
                Some(waiting) => waiting.again += 1,
                None => {
                    said.again += 1;
                    said.latest = Some(notice);
                }
            }
            return true;
        }
        self.say(notice, 0, now);
        true
    }

    fn say(&mut self, notice: Notice, again: u32, now: Wall) {
        let (topic, key, level) = (notice.topic().to_owned(), notice.key.clone(), notice.level);
        self.said.insert(topic, Said { at: now, key, level, again: 0, latest: None });
        self.said.retain(|_, said| said.again > 0 || said.is_recent(now));
        while self.said.len() > TOPICS_MAX {
            self.said.pop_first();
        }
        self.waiting.push(Waiting { id: self.next_id, taken_at: now, again, notice });
        self.next_id += 1;
        if self.waiting.len() > WAITING_MAX {
            let least = self.waiting.iter().enumerate();
            if let Some((place, _)) = least.min_by_key(|(place, one)| (one.notice.level, *place)) {
                self.waiting.remove(place);
                self.left_out += 1;
            }
        }
    }

    /// What has been counted for long enough becomes something to tell. True when anything did.
    pub fn tell_repeats(&mut self, now: Wall) -> bool {
        let is_over = |said: &Said| said.again > 0 && !said.is_recent(now);
        let over: Vec<(Notice, u32)> = self
            .said
            .values_mut()
            .filter(|said| is_over(said))
            .filter_map(|said| Some((said.latest.take()?, std::mem::take(&mut said.again))))
            .collect();
        let any = !over.is_empty();
        for (notice, again) in over {
            self.say(notice, again, now);
        }
        any
    }

    pub fn next(&self, terms: &Terms<'_>) -> Next {
        let (now, quiet_until) = (terms.now, terms.quiet_until());
        let is_ripe = |one: &&Waiting| quiet_until.is_none() || one.notice.level == Level::Critical;
        let ripe: Vec<&Waiting> = self.waiting.iter().filter(is_ripe).collect();
        let repeats = self.said.values().filter(|said| said.again > 0);
        let mut later: Option<Wall> = repeats.map(|said| said.at + REPEAT_WINDOW).min();
        if ripe.len() < self.waiting.len() {
            later = later.into_iter().chain(quiet_until).min();
        }
        let Some(taken_at) = ripe.iter().map(|one| one.taken_at).min() else {
            return later.map_or(Next::Nothing, Next::At);
        };
        let critical = ripe.iter().any(|one| one.notice.level == Level::Critical);
        let waits = [
            // A clock that was set back must not hold anything up for longer than it is meant to.
            Some((taken_at + GATHER).min(now + GATHER)).filter(|_| taken_at + GATHER > now),
            self.retry_at.filter(|at| *at > now && *at - now <= GIVE_UP_AFTER),
            self.rate_allows_at(critical, now),
        ];
        match waits.into_iter().flatten().max() {
            None => Next::Send(ripe.iter().map(|one| one.id).collect()),
            Some(at) => Next::At(later.map_or(at, |later| later.min(at))),
        }
    }

    /// The same, when there is no time left to gather.
    pub fn rest(&self, terms: &Terms<'_>) -> Next {
        let mut hurried = self.clone();
        for one in &mut hurried.waiting {
            one.taken_at = Wall(one.taken_at.0.min(terms.now.0 - 60_000));
        }
        hurried.next(terms)
    }

    /// `None`: at once.
    fn rate_allows_at(&self, critical: bool, now: Wall) -> Option<Wall> {
        let limit = if critical { MESSAGES_CRITICAL_MAX } else { MESSAGES_MAX };
        let recent: Vec<Wall> = self
            .sent_at
            .iter()
            .copied()
            .filter(|at| *at <= now && now - *at < RATE_WINDOW)
            .collect();
        let first = recent.len().checked_sub(limit)?;
        Some(recent[first] + RATE_WINDOW)
    }

    pub fn parts(&self, ids: &[u64]) -> Vec<Part<'_>> {
        let chosen = self.waiting.iter().filter(|one| ids.contains(&one.id));
        chosen.map(|one| Part { notice: &one.notice, again: one.again }).collect()
    }

    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    /// What came of the message of these. `jitter`: 0 to 1, by which a retry is spread.
    pub fn settle(&mut self, ids: &[u64], result: Result<(), &Failure>, now: Wall, jitter: f64) {
        match result {
            Ok(()) => {
                self.drop_waiting(ids);
                self.sent_at.push_back(now);
                while self.sent_at.len() > MESSAGES_CRITICAL_MAX {
                    self.sent_at.pop_front();
                }
                self.left_out = 0;
                self.last_sent_at = Some(now);
                self.last_error = None;
                self.forget_failures();
            }
            Err(Failure::Refused { why, remedy }) => {
                self.drop_waiting(ids);
                self.last_error = Some(format!("{why}: {remedy}"));
                self.forget_failures();
            }
            Err(Failure::Later { why, after }) => {
                self.attempts = self.attempts.saturating_add(1);
                let wait = backoff(self.attempts, jitter).max(after.unwrap_or_default());
                self.retry_at = Some(now + wait.min(GIVE_UP_AFTER));
                self.failing_since.get_or_insert(now);
                self.last_error = Some(why.clone());
                self.give_up_old(now);
            }
        }
    }

    /// An operator has changed something: what failed may not fail now.
    pub fn retry_soon(&mut self) {
        self.retry_at = None;
        self.attempts = 0;
        self.last_error = None;
    }

    fn forget_failures(&mut self) {
        (self.attempts, self.retry_at, self.failing_since) = (0, None, None);
    }

    fn drop_waiting(&mut self, ids: &[u64]) {
        self.waiting.retain(|one| !ids.contains(&one.id));
    }

    fn give_up_old(&mut self, now: Wall) {
        let long = self.failing_since.is_some_and(|since| now - since >= GIVE_UP_AFTER);
        if !long {
            return;
        }
        let before = self.waiting.len();
        self.waiting.retain(|one| now - one.taken_at < GIVE_UP_AFTER);
        let given_up = u32::try_from(before - self.waiting.len()).unwrap_or(u32::MAX);
        self.left_out = self.left_out.saturating_add(given_up);
    }
}

/// Doubled each time; three quarters to five quarters of it, so that many daemons do not come at once.
fn backoff(attempts: u32, jitter: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let plain = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    plain.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}
