//! What the daemon last wrote of the tasks in its hands: `status.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::queue::Queue;
use crate::task::HeldState;

/// Some hundreds of tasks fit.
const BYTES_MAX: u64 = 1 << 20;

/// One task, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
pub struct Held {
    pub id: String,
    pub state: HeldState,
    pub account: Option<String>,
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    tasks: Vec<Held>,
}

/// By id; empty when there is no such file, or none of the daemon's. Markers say who holds a task,
/// so nothing is lost but the details.
pub fn of(queue: &Queue) -> BTreeMap<String, Held> {
    let Ok(Some((_, bytes))) = queue.dir.read("status.json", BYTES_MAX) else {
        return BTreeMap::new();
    };
    let status = serde_json::from_slice::<Status>(&bytes);
    let tasks = status.map(|status| status.tasks).unwrap_or_default();
    tasks.into_iter().map(|held| (held.id.clone(), held)).collect()
}
