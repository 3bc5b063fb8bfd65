//! Housekeeping of the queues: stale markers of ours, old results, what is left in spools.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::clock::Clock;
use crate::component::Component;
use crate::config::Config;
use crate::core::event::Event;
use crate::ids::TaskRef;

#[derive(Debug)]
pub enum Order {
    /// The tasks in our hands from now on; their markers stay. Until the first of these nothing is
    /// swept; with the first of them everything is.
    Hold {
        held: BTreeSet<TaskRef>,
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
    Component::spawn("janitor", events, move |orders, _events| {
        orders.iter().for_each(drop);
        Ok(())
    })
}
