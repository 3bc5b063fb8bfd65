//! The one idiom every thread uses: a name, an inbox, a report when it ends, a join on drop.
//!
//! Dropping a [`Component`] closes its inbox, which ends its loop, and then waits for its thread.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::core::event::Event;

/// Orders a component may have waiting. Past that the sender is told, and decides.
pub const INBOX_ORDERS_MAX: usize = 1024;

/// INVARIANT: field order is shutdown order; the inbox closes before the thread is joined.
pub struct Component<Order> {
    inbox: Sender<Order>,
    thread: JoinOnDrop,
}

/// The inbox of a component is full or its thread has ended.
#[derive(Debug, thiserror::Error)]
#[error("component {name} takes no orders: {why}")]
pub struct Refused {
    pub name: String,
    pub why: &'static str,
}

impl<Order: Send + 'static> Component<Order> {
    /// Starts `run` on its own named thread. Its end, good or bad, becomes an event.
    pub fn spawn(
        name: &str,
        events: Sender<Event>,
        run: impl FnOnce(Receiver<Order>, &Sender<Event>) -> anyhow::Result<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (inbox, orders) = bounded(INBOX_ORDERS_MAX);
        let thread = JoinOnDrop::spawn(name, {
            let name = name.to_owned();
            move || {
                let error = run(orders, &events).err().map(|error| format!("{error:#}"));
                // INVARIANT: the coordinator may be gone already at shutdown; then nobody asks.
                let _ = events.send(Event::ComponentExited { name, error });
            }
        })?;
        Ok(Self { inbox, thread })
    }

    /// Never blocks: two bounded inboxes that wait for each other would stop the house.
    pub fn order(&self, order: Order) -> Result<(), Refused> {
        self.inbox.try_send(order).map_err(|error| Refused {
            name: self.thread.name.clone(),
            why: match error {
                TrySendError::Full(_) => "its inbox is full",
                TrySendError::Disconnected(_) => "its thread has ended",
            },
        })
    }

    /// A second sender to the same inbox; the component ends when the last one is dropped.
    pub fn inbox(&self) -> Sender<Order> {
        self.inbox.clone()
    }
}

/// A named thread that is waited for when its handle goes.
pub struct JoinOnDrop {
    name: String,
    thread: Option<JoinHandle<()>>,
}

impl JoinOnDrop {
    #[expect(clippy::disallowed_methods, reason = "the owner of threads")]
    pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { name: name.to_owned(), thread: Some(thread) })
    }
}

/// A named thread that may hang in a call that nobody can end. It is waited for when its handle goes,
/// but not for long; the end of the process then ends it.
pub struct LeaveOnDrop {
    name: String,
    /// Closed by the end of the thread.
    ended: Receiver<()>,
    patience: Duration,
}

impl LeaveOnDrop {
    #[expect(clippy::disallowed_methods, reason = "the owner of threads")]
    pub fn spawn(
        name: &str,
        patience: Duration,
        body: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (alive, ended) = bounded(0);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _alive: Sender<()> = alive;
            body();
        })?;
        Ok(Self { name: name.to_owned(), ended, patience })
    }
}

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(self.patience) {
            log::debug!("thread={} is left in a call that has no end yet", self.name);
        }
    }
}

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("component={} its thread panicked", self.name);
        }
    }
}
