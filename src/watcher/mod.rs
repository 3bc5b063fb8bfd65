//! The sensor of agents: which run in our panes, on whose account, in which conversation and state.
//!
//! Reads `<home>/sessions/*.json` and `/proc`; never a credential, never a screen. A tick is the
//! truth, file notices make it quick, and an event goes out only when something differs.
//!
//! Reading order: `look` (one look), `search` (who is an agent), `session_file`, `client`,
//! `home`; `hints` (when to look sooner).

mod client;
mod hints;
mod home;
mod look;
mod search;
mod session_file;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select, tick};

use crate::clock::{self, Clock};
use crate::component::{Component, INBOX_ORDERS_MAX};
use crate::config::Config;
use crate::core::action::{OrderId, WatchedPane};
use crate::core::event::{AgentsObserved, Event};
use crate::watcher::hints::Hints;
use crate::watcher::look::Looker;

/// A client writes a file in several steps; one look serves all of them.
const HINT_DELAY: Duration = Duration::from_millis(5);
/// However often a file is written, looks are at least this far apart.
const HINTED_LOOKS_APART: Duration = Duration::from_millis(25);

pub struct Settings {
    pub config: Arc<Config>,
    pub clock: Clock,
}

#[derive(Debug)]
pub enum Order {
    /// The panes in which agents are looked for from now on. Until the first of these nothing is
    /// reported unasked: "no agents" would be a guess.
    WatchAgents {
        panes: Vec<WatchedPane>,
    },
    /// Look at once, and answer with this order even when nothing differs.
    ObserveAgents {
        order: OrderId,
    },
    Reconfigure(Arc<Config>),
}

struct Sensor {
    looker: Looker,
    hints: Hints,
    watching: bool,
    /// What was sent last, without its order.
    sent: Option<AgentsObserved>,
    looked_at: Instant,
}

/// # Errors
/// The thread cannot be started.
pub fn spawn(settings: Settings, events: Sender<Event>) -> io::Result<Component<Order>> {
    Component::spawn("watcher", events, move |orders, events| {
        run(&orders, events, settings);
        Ok(())
    })
}

/// Returns when nobody orders or nobody listens any more.
fn run(orders: &Receiver<Order>, events: &Sender<Event>, settings: Settings) {
    let (hints, hinted) = Hints::start();
    let mut interval = settings.config.watcher.interval;
    let mut truth = tick(interval);
    let mut due: Option<Instant> = None;
    let mut sensor = Sensor {
        looker: Looker::new(settings.config, settings.clock),
        hints,
        watching: false,
        sent: None,
        looked_at: clock::instant(),
    };
    loop {
        let news = select! {
            recv(orders) -> order => {
                let Ok(order) = order else { return };
                let news = sensor.obey(order, orders);
                let config = &sensor.looker.config().watcher;
                if config.interval != interval {
                    interval = config.interval;
                    truth = tick(interval);
                }
                news
            },
            recv(hinted) -> _ => {
                // INVARIANT: a hint never postpones a look that is due.
                due = due.or_else(|| Some(sensor.next_hinted_look()));
                continue;
            },
            recv(due.map_or_else(never, at)) -> _ => sensor.look(&[]),
            recv(truth) -> _ => sensor.look(&[]),
        };
        due = None;
        for event in news {
            if events.send(Event::AgentsObserved(event)).is_err() {
                return;
            }
        }
    }
}

impl Sensor {
    /// Takes all that waits in the inbox; one look then answers it.
    fn obey(&mut self, order: Order, more: &Receiver<Order>) -> Vec<AgentsObserved> {
        let mut asked = Vec::new();
        for order in [order].into_iter().chain(more.try_iter().take(INBOX_ORDERS_MAX)) {
            match order {
                Order::WatchAgents { panes } => {
                    self.looker.watch(panes);
                    self.watching = true;
                }
                Order::ObserveAgents { order } => {
                    self.looker.be_thorough();
                    asked.push(order);
                }
                Order::Reconfigure(config) => self.looker.reconfigure(config),
            }
        }
        self.look(&asked)
    }

    /// An answer for each order; without one, what differs from what was sent last.
    fn look(&mut self, asked: &[OrderId]) -> Vec<AgentsObserved> {
        if !self.watching && asked.is_empty() {
            return Vec::new();
        }
        self.looked_at = clock::instant();
        // Before the reading: what changes after it must leave a hint.
        self.hints.keep(look::homes(self.looker.config()));
        let observed = self.looker.look();
        let differs = self.sent.as_ref() != Some(&observed);
        let answers: Vec<AgentsObserved> = asked
            .iter()
            .map(|&order| AgentsObserved { order: Some(order), ..observed.clone() })
            .collect();
        if !differs {
            return answers;
        }
        self.sent = Some(observed.clone());
        if answers.is_empty() {
            return vec![observed];
        }
        answers
    }

    fn next_hinted_look(&self) -> Instant {
        (clock::instant() + HINT_DELAY).max(self.looked_at + HINTED_LOOKS_APART)
    }
}
