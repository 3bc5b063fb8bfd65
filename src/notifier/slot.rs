//! One channel with what waits for it: when a message is due it is composed and handed to the thread
//! of the channel, and what came of it is kept.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::Sender as Inbox;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::core::notice::Notice;
use crate::moment::Wall;
use crate::notifier::channel::Configured;
use crate::notifier::failure::Failure;
use crate::notifier::http::Client;
use crate::notifier::message::Reader;
use crate::notifier::outbox::{Next, Outbox, Terms};
use crate::notifier::sender::{Done, Job, Sender};
use crate::notifier::store::Store;
use crate::notifier::{REPLAYED_MAX, Told};

/// After this an outbox that could not be read is tried again.
const READ_AGAIN: Duration = Duration::from_secs(5);

pub struct Slot {
    pub name: &'static str,
    /// `None`: not configured.
    pub configured: Option<Configured>,
    outbox: Outbox,
    /// INVARIANT: while there is this, the outbox is none and the file is not written: it may be
    /// whole, with notices in it that wait.
    unread: Option<Unread>,
    /// Another one with each outbox: what comes of a message of an earlier one, whose channel was
    /// taken out meanwhile, says nothing of the notices that have its numbers now.
    generation: u64,
    store: Store,
    sender: Option<Sender>,
    /// A message is on its way.
    is_flying: bool,
    /// Why what is known is not on the disk.
    unsaved: Option<String>,
}

/// An outbox that is on the disk, as far as anybody knows, and has not been read.
struct Unread {
    /// After this record begins one that turns out to be new.
    begin_after: u64,
    /// What has come meanwhile; beyond [`REPLAYED_MAX`] the oldest goes.
    told: VecDeque<Told>,
    /// Of the last try.
    why: Option<String>,
    again_at: Wall,
}

/// What all channels share.
pub struct Shared<'a> {
    pub reader: Reader<'a>,
    pub client: &'a Client,
    pub clock: Clock,
    pub done: &'a Inbox<Done>,
}

impl Slot {
    pub fn new(name: &'static str, store: Store) -> Self {
        let outbox = Outbox::default();
        Self {
            name,
            configured: None,
            outbox,
            unread: None,
            generation: 0,
            store,
            sender: None,
            is_flying: false,
            unsaved: None,
        }
    }

    /// From now on by this configuration. `seq`: the last record there is; one that is new begins
    /// after it.
    pub fn configure(
        &mut self,
        configured: Option<Configured>,
        seq: u64,
        zone: Option<&str>,
        now: Wall,
    ) {
        match (&self.configured, &configured) {
            (None, Some(_)) => self.unread = Some(Unread::new(seq, now)),
            (_, None) => {
                self.outbox = Outbox::default();
                self.unread = None;
                self.generation += 1;
                self.store.remove();
            }
            (Some(_), Some(_)) => {}
        }
        let goes_on = self.configured.is_some() && configured.is_some();
        self.configured = configured;
        self.read(zone, now);
        if goes_on {
            self.outbox.retry_soon();
        }
        self.check();
    }

    /// Only bytes that make no sense are given up. What else keeps us from reading them may be over
    /// soon: too many open files, a disk that stumbles, a wrong owner.
    fn read(&mut self, zone: Option<&str>, now: Wall) {
        let Some(Configured { rules, .. }) = self.configured else { return };
        let Some(mut unread) = self.unread.take() else { return };
        let name = self.name;
        match self.store.load() {
            Ok(outbox) => {
                if unread.why.is_some() {
                    log::info!("channel={name} what waits could be read");
                }
                self.outbox = outbox;
                self.outbox.begin_after(unread.begin_after);
                let terms = Terms { rules, zone, now };
                for Told { seq, notice } in unread.told {
                    self.outbox.take(seq, notice, &terms);
                }
                self.save();
            }
            Err(error) => {
                let why = format!("what waits cannot be read, and is left as it is: {error}");
                if unread.why.replace(why.clone()).is_none() {
                    log::error!("channel={name} {why}");
                }
                unread.again_at = now + READ_AGAIN;
                self.unread = Some(unread);
            }
        }
    }

    fn check(&mut self) {
        let Some(Configured { channel, rules }) = &self.configured else { return };
        let (name, level) = (self.name, rules.level.word());
        match channel.check() {
            Ok(()) => log::info!("channel={name} is told from level={level} on"),
            Err(why) => {
                log::error!("channel={name} cannot be told anything: {why}");
                self.outbox.last_error = Some(why);
            }
        }
    }

    /// True when there is something to keep.
    pub fn take(
        &mut self,
        seq: Option<u64>,
        notice: &Notice,
        zone: Option<&str>,
        now: Wall,
    ) -> bool {
        let Some(configured) = &self.configured else { return false };
        if let Some(unread) = &mut self.unread {
            unread.keep(Told { seq, notice: notice.clone() });
            return false;
        }
        let terms = Terms { rules: configured.rules, zone, now };
        self.outbox.take(seq, notice.clone(), &terms)
    }

    /// Sends what is due. Gives the moment before which nothing else is.
    pub fn pass(&mut self, shared: &Shared<'_>, hurry: bool) -> Option<Wall> {
        let configured = self.configured.clone()?;
        let now = shared.clock.wall();
        if let Some(unread) = &self.unread {
            if !hurry && !unread.is_due(now) {
                return Some(unread.again_at);
            }
            self.read(shared.reader.zone, now);
            match &self.unread {
                Some(unread) => return Some(unread.again_at),
                None => self.check(),
            }
        }
        if self.outbox.tell_repeats(now) {
            self.save();
        }
        if self.is_flying {
            return None; // its end comes by itself
        }
        let terms = Terms { rules: configured.rules, zone: shared.reader.zone, now };
        let next = if hurry { self.outbox.rest(&terms) } else { self.outbox.next(&terms) };
        match next {
            Next::Nothing => None,
            Next::At(at) => Some(at),
            Next::Send(ids) => {
                self.send(configured, ids, shared);
                None
            }
        }
    }

    pub fn is_flying(&self) -> bool {
        self.is_flying
    }

    fn send(&mut self, configured: Configured, ids: Vec<u64>, shared: &Shared<'_>) {
        let parts = self.outbox.parts(&ids);
        let host = shared.reader.host;
        let first = parts.first().map_or(0, |part| part.notice.at.0);
        let id = ids.first().copied().unwrap_or_default();
        let again: u32 = parts.iter().map(|part| part.again).sum();
        let id = format!("{host}-{}-{first}-{id}-{}-{again}", self.name, ids.len());
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let message = shared.reader.compose(id, &parts, self.outbox.left_out());
        let sender = match self.sender.take() {
            Some(sender) => Ok(sender),
            None => {
                Sender::spawn(self.name, shared.client.clone(), shared.clock, shared.done.clone())
            }
        };
        match sender {
            Ok(sender) => {
                let generation = self.generation;
                let job = Job { channel: configured.channel, message, ids, generation };
                self.is_flying = sender.send(job);
                self.sender = Some(sender);
            }
            Err(error) => {
                let failure = Failure::later(format!("no thread can be started: {error}"));
                self.book(&ids, &Err(failure), shared.clock.wall());
            }
        }
    }

    pub fn settle(&mut self, done: &Done, now: Wall) {
        self.is_flying = false;
        if done.generation == self.generation {
            self.book(&done.ids, &done.result, now);
        }
    }

    fn book(&mut self, ids: &[u64], result: &Result<(), Failure>, now: Wall) {
        let name = self.name;
        let was_failing = self.outbox.last_error.is_some();
        match result {
            Ok(()) => log::info!("channel={name} told of {} notices", ids.len()),
            Err(refused @ Failure::Refused { .. }) => {
                log::error!(
                    "channel={name} refused {} notices, not tried again: {refused}",
                    ids.len()
                );
            }
            // Logged once, not at each try.
            Err(later) if !was_failing => {
                log::warn!("channel={name} could not be told, tried again: {later}");
            }
            Err(later) => log::debug!("channel={name} could not be told: {later}"),
        }
        self.outbox.settle(ids, result.as_ref().copied(), now, jitter());
        self.save();
    }

    pub fn save(&mut self) {
        if self.configured.is_none() || self.unread.is_some() {
            return;
        }
        match self.store.save(&self.outbox) {
            Ok(()) => self.unsaved = None,
            Err(error) => {
                let why = format!("what waits is not on the disk: {error}");
                if self.unsaved.replace(why.clone()).is_none() {
                    log::error!("channel={} {why}", self.name);
                }
            }
        }
    }

    /// For `/status`.
    pub fn status(&self, zone: Option<&str>, now: Wall) -> Option<Value> {
        let configured = self.configured.as_ref()?;
        let outbox = &self.outbox;
        let unread = self.unread.as_ref();
        let last_error = unread.and_then(|unread| unread.why.as_ref());
        let last_error = last_error.or(self.unsaved.as_ref()).or(outbox.last_error.as_ref());
        let terms = Terms { rules: configured.rules, zone, now };
        let moment = |at: Option<Wall>| at.map(|at| at.to_string());
        Some(json!({
            "channel": self.name,
            "level": configured.rules.level,
            "quiet_hours": configured.rules.quiet_hours.map(|hours| hours.to_string()),
            "quiet_until": moment(terms.quiet_until()),
            "waiting": unread.map_or(outbox.waiting_count(), |unread| unread.told.len()),
            "last_sent_at": moment(outbox.last_sent_at),
            "last_error": last_error,
            "retry_at": moment(unread.map_or(outbox.retry_at(), |unread| Some(unread.again_at))),
        }))
    }
}

impl Unread {
    fn new(begin_after: u64, now: Wall) -> Self {
        Self { begin_after, told: VecDeque::new(), why: None, again_at: now }
    }

    fn keep(&mut self, told: Told) {
        self.told.push_back(told);
        if self.told.len() > REPLAYED_MAX {
            self.told.pop_front();
        }
    }

    /// A clock that was set back must not hold it up.
    fn is_due(&self, now: Wall) -> bool {
        self.again_at <= now || self.again_at - now > READ_AGAIN
    }
}

/// 0 to 1. Without randomness retries come together, which is no harm for a day.
fn jitter() -> f64 {
    let mut bytes = [0_u8; 2];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}
