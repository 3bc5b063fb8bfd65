//! Tells people: Telegram, email by Resend, a webhook. Decides nothing and holds up nobody.
//!
//! The coordinator hands over each [`Notice`] with the number of its record. For each channel it goes
//! to an outbox on the disk ([`outbox`], [`store`]) together with that number, in one write; so after a
//! crash what was not taken is handed over again from the journal, or from what its last compaction put
//! into an archive, and what was taken is not. A
//! message is taken from the outbox when its server has said yes: each notice is sent at least once,
//! and twice only where the daemon or the connection died between that yes and our hearing of it.
//! What no record stands for (tmux gone, a reload refused) is lost with a crash in the milliseconds
//! before it is taken.
//!
//! One thread keeps the outboxes; each channel has one more, which sends (`sender`). Reading order:
//! [`channel`], [`telegram`], [`resend`], [`webhook`]; [`http`], [`secret`], [`failure`]; [`outbox`],
//! [`message`]; then who drives them: `slot`, and `run` here.

pub mod channel;
pub mod failure;
pub mod http;
pub mod message;
pub mod outbox;
pub mod resend;
pub mod secret;
mod sender;
mod slot;
pub mod store;
pub mod telegram;
pub mod webhook;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, at, never, select, unbounded};
use serde_json::Value;

use crate::clock::{self, Clock};
use crate::component::Component;
use crate::config::Config;
use crate::core::event::Event;
use crate::core::notice::Notice;
use crate::moment::Wall;
use crate::notifier::channel::configured;
use crate::notifier::http::Client;
use crate::notifier::message::Reader;
use crate::notifier::sender::Done;
use crate::notifier::slot::{Shared, Slot};
use crate::notifier::store::Store;
use crate::snapshot::SnapshotCell;

/// For what is under way at the end of the daemon; the rest waits for its next start.
pub const LEAVE_PATIENCE: Duration = Duration::from_secs(1);
/// A moment that is near may come a little before the clock says so.
const NO_SOONER: Duration = Duration::from_millis(20);
/// Also without anything due: the wall clock may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Of records that were written by an earlier life, those that are handed over at a start.
pub const REPLAYED_MAX: usize = 1_000;

#[derive(Debug)]
pub enum Order {
    Tell(Vec<Told>),
    Reconfigure(Arc<Config>),
}

/// A notice, and the number of the record that it tells of, if there is one.
#[derive(Debug, Clone)]
pub struct Told {
    pub seq: Option<u64>,
    pub notice: Notice,
}

pub struct Settings {
    pub config: Arc<Config>,
    pub clock: Clock,
    /// The host's own, for a configuration that names none.
    pub zone: Option<String>,
    pub host: String,
    /// What the records of earlier lives tell of, in their order.
    pub replayed: Vec<Told>,
    /// The number of the last record of earlier lives.
    pub last_seq: u64,
    pub snapshots: SnapshotCell,
    pub timeout: Duration,
}

/// Whether a channel may have to be told of a record before this one. A channel that is new has not.
pub fn is_behind(config: &Config, seq: u64) -> bool {
    let names = channel::NAMES.into_iter();
    let mut names = names.filter(|name| configured(&config.notifications, name).is_some());
    names.any(|name| {
        let cursor = Store::open(&config.state_dir, name).and_then(|store| store.cursor());
        // What cannot be read now may be read later, and be behind.
        cursor.map_or(true, |cursor| cursor.is_some_and(|taken| taken.saturating_add(1) < seq))
    })
}

/// # Errors
/// The thread cannot be started.
pub fn spawn(settings: Settings, events: Sender<Event>) -> io::Result<Component<Order>> {
    Component::spawn("notifier", events, move |orders, _events| run(settings, &orders))
}

/// Returns when nobody orders any more, [`LEAVE_PATIENCE`] later at most.
fn run(settings: Settings, orders: &Receiver<Order>) -> anyhow::Result<()> {
    let (done, settled) = unbounded();
    let mut desk = Desk::new(settings, done)?;
    loop {
        let wake = desk.pass(false);
        select! {
            recv(orders) -> order => match order {
                Ok(order) => desk.obey(order, orders),
                Err(_) => break,
            },
            recv(settled) -> done => desk.settle(&done?),
            recv(wake.map_or_else(never, at)) -> _ => {}
        }
    }
    let end = clock::instant() + LEAVE_PATIENCE;
    desk.pass(true);
    while desk.is_flying() {
        match settled.recv_deadline(end) {
            Ok(done) => desk.settle(&done),
            Err(_) => break,
        }
    }
    Ok(())
}

struct Desk {
    slots: Vec<Slot>,
    config: Arc<Config>,
    clock: Clock,
    zone: Option<String>,
    host: String,
    client: Client,
    snapshots: SnapshotCell,
    last_seq: u64,
    done: Sender<Done>,
    published: Value,
}

impl Desk {
    fn new(settings: Settings, done: Sender<Done>) -> anyhow::Result<Self> {
        let Settings { config, clock, zone, host, replayed, last_seq, snapshots, timeout } =
            settings;
        let stores =
            channel::NAMES.map(|name| Store::open(&config.state_dir, name).map(|s| (name, s)));
        let slots: io::Result<Vec<Slot>> = stores
            .into_iter()
            .map(|store| store.map(|(name, store)| Slot::new(name, store)))
            .collect();
        let mut desk = Self {
            slots: slots.context("making the directory of notices")?,
            config,
            clock,
            zone,
            host,
            client: Client::new(timeout),
            snapshots,
            last_seq,
            done,
            published: Value::Null,
        };
        desk.configure();
        desk.tell(&replayed);
        Ok(desk)
    }

    fn zone(&self) -> Option<String> {
        self.config.notifications.time_zone.clone().or_else(|| self.zone.clone())
    }

    fn configure(&mut self) {
        let (zone, now) = (self.zone(), self.clock.wall());
        for slot in &mut self.slots {
            let configured = configured(&self.config.notifications, slot.name);
            slot.configure(configured, self.last_seq, zone.as_deref(), now);
        }
    }

    /// The order, and what else has come meanwhile: one write for all.
    fn obey(&mut self, first: Order, orders: &Receiver<Order>) {
        let mut told = Vec::new();
        for order in std::iter::once(first).chain(orders.try_iter()) {
            match order {
                Order::Tell(notices) => told.extend(notices),
                Order::Reconfigure(config) => {
                    self.tell(&std::mem::take(&mut told));
                    self.config = config;
                    self.configure();
                }
            }
        }
        self.tell(&told);
    }

    fn tell(&mut self, told: &[Told]) {
        let (zone, now) = (self.zone(), self.clock.wall());
        for slot in &mut self.slots {
            let mut changed = false;
            for Told { seq, notice } in told {
                changed |= slot.take(*seq, notice, zone.as_deref(), now);
            }
            if changed {
                slot.save();
            }
        }
        self.last_seq = told.iter().filter_map(|told| told.seq).fold(self.last_seq, u64::max);
    }

    fn settle(&mut self, done: &Done) {
        let now = self.clock.wall();
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == done.name) {
            slot.settle(done, now);
        }
    }

    /// Sends what is due, and says what waits. Gives the instant at which to look again.
    fn pass(&mut self, hurry: bool) -> Option<Instant> {
        let zone = self.zone();
        let reader = Reader { host: &self.host, zone: zone.as_deref() };
        let shared = Shared { reader, client: &self.client, clock: self.clock, done: &self.done };
        let due = self.slots.iter_mut().filter_map(|slot| slot.pass(&shared, hurry)).min();
        let now = self.clock.wall();
        self.publish(zone.as_deref(), now);
        due.map(|at| clock::instant() + (at - now).clamp(NO_SOONER, LOOK_AGAIN))
    }

    fn is_flying(&self) -> bool {
        self.slots.iter().any(Slot::is_flying)
    }

    fn publish(&mut self, zone: Option<&str>, now: Wall) {
        let channels: Value = self.slots.iter().filter_map(|slot| slot.status(zone, now)).collect();
        if channels != self.published {
            self.published = channels.clone();
            self.snapshots.publish_notifications(channels);
        }
    }
}
