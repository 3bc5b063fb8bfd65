//! The sensor and executor of task files: what lies in the inboxes, and claims, releases and results.
//!
//! Reading all queues is the truth (at start, every `dispatcher.rescan_interval`, after notices were
//! lost); a file notice is the reason to read one queue at once. Nothing is offered before the core
//! has said what it holds, and an offer is no promise: a claim looks again.
//!
//! Reading order: `desk` (orders and turns), `shelves` (what is read when), `project` and `entry`
//! (one queue, one file), `awaited` (dependencies), `offering` (what follows), `hands` (claims and
//! results), `statuses`, `hints`, `said`.

mod awaited;
mod desk;
mod entry;
mod hands;
mod hints;
mod offering;
mod project;
mod said;
mod shelves;
mod statuses;

use std::io;
use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, at, select};

use crate::clock::Clock;
use crate::component::Component;
use crate::config::Config;
use crate::core::action::OrderId;
use crate::core::event::Event;
use crate::dispatcher::desk::Desk;
use crate::ids::{SessionName, TaskRef};
use crate::task::{HeldTask, TaskResult};

/// Orders carried out before the queues are looked at again; each may wait for the disk.
const ORDERS_MAX: usize = 32;
/// Changes that one look serves.
const CHANGES_MAX: usize = 4096;

#[derive(Debug)]
pub enum Order {
    /// → `TaskClaimed`
    Claim {
        order: OrderId,
        task: TaskRef,
        session: SessionName,
        attempt: u32,
    },
    /// → `TaskReleased`
    Release {
        order: OrderId,
        task: TaskRef,
    },
    /// → `TaskClosed`
    Close {
        order: OrderId,
        result: Box<TaskResult>,
    },
    /// The tasks in our hands from now on. Until the first of these nothing is offered.
    Hold {
        held: Vec<HeldTask>,
    },
    Reconfigure(Arc<Config>),
}

/// # Errors
/// The thread cannot be started.
pub fn spawn(
    config: Arc<Config>,
    clock: Clock,
    events: Sender<Event>,
) -> io::Result<Component<Order>> {
    Component::spawn("dispatcher", events, move |orders, events| {
        let desk = Desk::new(config, clock).context("cannot start the dispatcher")?;
        run(&orders, events, desk);
        Ok(())
    })
}

/// Returns when nobody orders or nobody listens any more.
fn run(orders: &Receiver<Order>, events: &Sender<Event>, mut desk: Desk) {
    loop {
        let changes = desk.changes();
        let mut answers = Vec::new();
        select! {
            recv(orders) -> order => {
                let Ok(order) = order else { return };
                for order in [order].into_iter().chain(orders.try_iter().take(ORDERS_MAX)) {
                    answers.extend(desk.obey(order));
                }
            },
            recv(changes) -> change => {
                for change in change.into_iter().chain(changes.try_iter().take(CHANGES_MAX)) {
                    desk.note(change);
                }
            },
            recv(at(desk.wakeup())) -> _ => {}
        }
        // Whose task is closed is free at once: what has waited for that task must be known by then.
        let is_close = |answer: &Event| matches!(answer, Event::TaskClosed { .. });
        let (closed, answers): (Vec<Event>, Vec<Event>) = answers.into_iter().partition(is_close);
        if !send_all(events, answers) {
            return;
        }
        let offering = desk.turn();
        let offered = offering.as_ref().and_then(|offering| desk.news(offering));
        // Before the rest, which takes time: an agent may be waiting.
        if !send_all(events, offered.map(Event::TasksOffered).into_iter().chain(closed)) {
            return;
        }
        if let Some(offering) = offering {
            desk.write_marks(&offering);
        }
    }
}

/// False when nobody listens any more.
fn send_all(events: &Sender<Event>, news: impl IntoIterator<Item = Event>) -> bool {
    news.into_iter().all(|event| events.send(event).is_ok())
}
