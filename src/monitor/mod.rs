//! The sensor of screens: which of the watched panes say that a quota is out.
//!
//! Asks its [`PaneSource`] for one cheap list a poll and for the text of changed panes only; the
//! reading of a text is [`crate::quota::pane`]'s. Never speaks to tmux and never types.

mod memory;
pub mod zone;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, tick};

use crate::clock::Clock;
use crate::component::{Component, INBOX_ORDERS_MAX};
use crate::config::Config;
use crate::core::event::{Event, PaneReading, PaneSeen};
use crate::ids::{PaneId, SessionName};
use crate::moment::Wall;
use crate::monitor::memory::Memory;
use crate::quota::pane;
use crate::quota::verdict::{Context, Reading};

/// Where panes come from. Each call is bounded in time by its implementation.
pub trait PaneSource {
    /// All panes of the server.
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>>;

    /// The visible text of each of these panes that still exists.
    fn capture(&mut self, panes: &[PaneId]) -> anyhow::Result<Vec<(PaneId, String)>>;
}

pub struct Settings {
    pub config: Arc<Config>,
    /// IANA name of the zone in which the clients print resets, see [`zone`]; `None` = UTC.
    pub zone: Option<String>,
    pub clock: Clock,
}

#[derive(Debug)]
pub enum Order {
    /// The panes to read from now on; with none, the source is left in peace.
    WatchPanes {
        panes: Vec<(SessionName, PaneId)>,
    },
    /// Report this pane at the next poll, also when it is as it was.
    Reread {
        pane: PaneId,
    },
    Reconfigure(Arc<Config>),
}

type Reader = fn(&str, &Context<'_>) -> Reading;

struct Monitor<Source> {
    source: Source,
    reader: Reader,
    zone: Option<String>,
    patterns: Vec<String>,
    clock: Clock,
    watched: HashMap<PaneId, SessionName>,
    memories: HashMap<PaneId, Memory>,
    /// The last poll failed, and that was said.
    failing: bool,
}

/// # Errors
/// The thread cannot be started.
pub fn spawn(
    settings: Settings,
    source: impl PaneSource + Send + 'static,
    events: Sender<Event>,
) -> io::Result<Component<Order>> {
    Component::spawn("monitor", events, move |orders, events| {
        let interval = settings.config.quota.poll_interval;
        let monitor = Monitor {
            source,
            reader: pane::read,
            zone: settings.zone,
            patterns: settings.config.quota.patterns.clone(),
            clock: settings.clock,
            watched: HashMap::new(),
            memories: HashMap::new(),
            failing: false,
        };
        monitor.run(&orders, events, interval);
        Ok(())
    })
}

impl<Source: PaneSource> Monitor<Source> {
    /// Returns when nobody orders or nobody listens any more.
    fn run(mut self, orders: &Receiver<Order>, events: &Sender<Event>, interval: Duration) {
        let mut interval = interval;
        // INVARIANT: a tick channel holds one tick, so a slow source is not asked in a row for
        // every poll it missed.
        let mut polls = tick(interval);
        loop {
            select! {
                recv(orders) -> order => {
                    let Ok(order) = order else { return };
                    let waiting = orders.try_iter().take(INBOX_ORDERS_MAX);
                    let mut anew = false;
                    for order in [order].into_iter().chain(waiting) {
                        match order {
                            Order::WatchPanes { panes } => anew |= self.watch(panes),
                            Order::Reread { pane } => drop(self.memories.remove(&pane)),
                            Order::Reconfigure(config) => {
                                self.patterns.clone_from(&config.quota.patterns);
                                if config.quota.poll_interval != interval {
                                    interval = config.quota.poll_interval;
                                    polls = tick(interval);
                                }
                            }
                        }
                    }
                    if !anew {
                        continue;
                    }
                }
                recv(polls) -> _ => {}
            }
            let readings = self.poll();
            if !readings.is_empty() && events.send(Event::PanesObserved(readings)).is_err() {
                return;
            }
        }
    }

    /// True when a pane is watched that was not before.
    fn watch(&mut self, panes: Vec<(SessionName, PaneId)>) -> bool {
        let earlier = std::mem::take(&mut self.watched);
        self.watched = panes.into_iter().map(|(name, pane)| (pane, name)).collect();
        self.memories.retain(|pane, _| self.watched.get(pane) == earlier.get(pane));
        self.watched.iter().any(|(pane, name)| earlier.get(pane) != Some(name))
    }

    fn poll(&mut self) -> Vec<PaneReading> {
        if self.watched.is_empty() {
            return Vec::new();
        }
        // INVARIANT: before the list, so that later output in the same second is seen as such.
        let now = self.clock.wall();
        match self.observe(now) {
            Ok(readings) => {
                if std::mem::take(&mut self.failing) {
                    log::info!("panes can be read again");
                }
                readings
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::warn!("panes cannot be read, trying again at every poll: {error:#}");
                }
                Vec::new()
            }
        }
    }

    fn observe(&mut self, now: Wall) -> anyhow::Result<Vec<PaneReading>> {
        let seen: HashMap<PaneId, PaneSeen> = self
            .source
            .list()?
            .into_iter()
            .filter(|seen| {
                let name = self.watched.get(&seen.pane);
                name.is_some_and(|name| name.as_str() == seen.session)
            })
            .map(|seen| (seen.pane, seen))
            .collect();
        self.memories.retain(|pane, _| seen.contains_key(pane));
        let mut due: Vec<PaneId> = seen
            .values()
            .filter(|seen| {
                let memory = self.memories.get(&seen.pane);
                memory.is_none_or(|memory| memory.is_due(seen))
            })
            .map(|seen| seen.pane)
            .collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        due.sort_unstable();
        let zone = self.zone.as_deref();
        let context = Context { now, zone, patterns: &self.patterns };
        let mut readings = Vec::new();
        for (pane, text) in self.source.capture(&due)? {
            let (Some(seen), Some(session)) = (seen.get(&pane), self.watched.get(&pane)) else {
                continue;
            };
            let earlier = self.memories.remove(&pane);
            let read = |text: &str| (self.reader)(text, &context);
            let (memory, news) = Memory::update(earlier, seen, now, &text, read);
            readings.extend(news.map(|reading| PaneReading {
                session: session.clone(),
                pane,
                reading,
            }));
            self.memories.insert(pane, memory);
        }
        Ok(readings)
    }
}
