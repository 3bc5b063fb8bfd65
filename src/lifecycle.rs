//! The sensor of sessions: all panes of the server, at the start, at every interval and on demand.
//!
//! Only looks. Which sessions should exist, and making them, is decided elsewhere.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Sender, select, tick};

use crate::component::{Component, INBOX_ORDERS_MAX};
use crate::config::Config;
use crate::core::event::{Event, PaneSeen};

/// Where sessions come from. The call is bounded in time by its implementation.
pub trait SessionSource {
    /// All panes of the server.
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>>;
}

#[derive(Debug)]
pub enum Order {
    /// Look at once; several that wait are answered by one look.
    ObserveSessions,
    Reconfigure(Arc<Config>),
}

/// A look that fails says nothing about sessions, so it makes no event.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn(
    config: Arc<Config>,
    mut source: impl SessionSource + Send + 'static,
    events: Sender<Event>,
) -> io::Result<Component<Order>> {
    Component::spawn("lifecycle", events, move |orders, events| {
        let mut interval = config.lifecycle.interval;
        let mut looks = tick(interval);
        let mut failing = false;
        loop {
            if let Some(panes) = look(&mut source, &mut failing)
                && events.send(Event::SessionsObserved { panes }).is_err()
            {
                return Ok(());
            }
            select! {
                recv(orders) -> order => {
                    let Ok(order) = order else { return Ok(()) };
                    let waiting = orders.try_iter().take(INBOX_ORDERS_MAX);
                    for order in [order].into_iter().chain(waiting) {
                        match order {
                            Order::Reconfigure(config) if config.lifecycle.interval != interval => {
                                interval = config.lifecycle.interval;
                                looks = tick(interval);
                            }
                            Order::Reconfigure(_) | Order::ObserveSessions => {}
                        }
                    }
                }
                recv(looks) -> _ => {}
            }
        }
    })
}

/// `None` when the source fails, which is logged once until it works again.
fn look(source: &mut impl SessionSource, failing: &mut bool) -> Option<Vec<PaneSeen>> {
    match source.list() {
        Ok(panes) => {
            if std::mem::take(failing) {
                log::info!("sessions can be listed again");
            }
            Some(panes)
        }
        Err(error) => {
            if !std::mem::replace(failing, true) {
                log::warn!("sessions cannot be listed, trying again at every interval: {error:#}");
            }
            None
        }
    }
}
