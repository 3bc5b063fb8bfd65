//! Housekeeping of the queues: stale markers of ours, old results, what is left in spools.
//!
//! Sweeps at the first `Hold` and every `janitor.interval`, says each thing it removes, and never
//! touches a task that waits in an inbox. With `janitor.dry_run` it only says what it would do.
//! Reading order: `sweep` (one round), `broom` (one directory).

mod broom;
mod sweep;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, at, never, select};

use crate::clock::{self, Clock};
use crate::component::Component;
use crate::config::Config;
use crate::core::event::Event;
use crate::ids::TaskRef;
use crate::janitor::sweep::{Sweep, Swept};
use crate::queue::instance;

/// When one round was not enough, the next comes after this.
const NEXT_ROUND: Duration = Duration::from_secs(5);

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
    Component::spawn("janitor", events, move |orders, _events| {
        let instance = instance::instance(&config.state_dir).context("cannot start the janitor")?;
        run(&orders, config, clock, &instance);
        Ok(())
    })
}

/// Returns when nobody orders any more.
fn run(orders: &Receiver<Order>, mut config: Arc<Config>, clock: Clock, instance: &str) {
    let mut held: Option<BTreeSet<TaskRef>> = None;
    let mut sweep_at: Option<Instant> = None;
    loop {
        select! {
            recv(orders) -> order => match order {
                Ok(Order::Hold { held: tasks }) => {
                    if held.replace(tasks).is_none() {
                        sweep_at = Some(clock::instant());
                    }
                }
                Ok(Order::Reconfigure(new)) => {
                    let sooner = clock::instant() + new.janitor.interval;
                    sweep_at = sweep_at.map(|at| at.min(sooner));
                    config = new;
                }
                Err(_) => return,
            },
            recv(sweep_at.map_or_else(never, at)) -> _ => {
                let Some(held) = &held else { continue };
                let sweep = Sweep { config: &config, instance, held, now: clock.wall() };
                let after = match sweep.run() {
                    Swept::All => config.janitor.interval,
                    Swept::Part => config.janitor.interval.min(NEXT_ROUND),
                };
                sweep_at = Some(clock::instant() + after);
            }
        }
    }
}
