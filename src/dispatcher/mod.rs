//! The sensor and executor of task files: what lies in the inboxes, and claims, releases and results.

use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::clock::Clock;
use crate::component::Component;
use crate::config::Config;
use crate::core::action::OrderId;
use crate::core::event::Event;
use crate::ids::{SessionName, TaskRef};
use crate::task::{HeldTask, TaskResult};

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
    let _ = (config, clock);
    Component::spawn("dispatcher", events, move |orders, _events| {
        orders.iter().for_each(drop);
        Ok(())
    })
}
