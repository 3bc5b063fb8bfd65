//! What the outside may see of tasks: how many wait and why, and each one in our hands.

use serde_json::{Value, json};

use crate::core::Core;
use crate::task::{HeldState, HeldTask};

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

/// Tasks for which a person is needed.
pub fn troubles(core: &Core) -> Vec<String> {
    let in_trouble = |held: &HeldTask| {
        let reason = held.reason.as_deref()?;
        let state = match held.state {
            HeldState::Blocked => "is blocked",
            HeldState::Unknown => "waits for your decision",
            HeldState::Ending => "cannot be closed",
            HeldState::Claimed | HeldState::Sending | HeldState::Running => return None,
        };
        Some(format!("task {} in {} {state}: {reason}", held.task, held.session))
    };
    let mut troubles: Vec<String> = core.held_tasks().iter().filter_map(in_trouble).collect();
    let unbegun = core.stuck_tasks();
    troubles.extend(unbegun.map(|(task, why)| format!("task {task} cannot be begun yet: {why}")));
    troubles
}
