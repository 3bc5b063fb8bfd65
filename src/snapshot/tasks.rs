//! What the outside may see of tasks: how many wait and why, and each one in our hands.

use serde_json::{Value, json};

use crate::core::Core;
use crate::task::HeldTask;

pub fn tasks(core: &Core) -> Value {
    json!({
        "dispatching": core.may_dispatch() && core.draining_since.is_none(),
        "waiting": core.queue.counts,
        "polled_because": core.queue.poll_only,
        "next": core.queue.offers.first().map(|offer| &offer.task),
        "in_hand": core.held_tasks().iter().map(in_hand).collect::<Vec<_>>(),
    })
}

fn in_hand(held: &HeldTask) -> Value {
    json!({
        "task": held.task,
        "title": held.title,
        "state": held.state,
        "session": held.session,
        "account": held.account,
        "conversation": held.conversation,
        "attempt": held.attempt,
        "since": held.since.to_string(),
        "reason": held.reason,
    })
}
