//! What the outside may see of the coordinator's state: published whole, read without waiting.
//!
//! The documents are described in etc/reference.md ("Status"); a field, once released, stays.

mod accounts;
pub mod chronicle;
pub mod events;
pub mod figures;
mod line;
pub mod metrics;
pub mod tally;
mod tasks;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Group;
use crate::core::agent_state::StateSource;
use crate::core::durable::{LastSwap, Paused, Phase, SwapOutcome};
use crate::core::event::AgentState;
use crate::core::record::{Move, MoveStage};
use crate::core::session::Session;
use crate::core::{Core, TerminalState};
use crate::ids::SessionName;
use crate::moment::{Now, Wall};
use crate::quota::transcript::ApiError;
use crate::snapshot::events::Events;
use crate::snapshot::figures::Figures;
use crate::version::{COMMIT, VERSION};

/// The version of the `/status` document.
pub const STATUS_VERSION: u32 = 1;

/// What [`Health::state`] may be.
pub const STATES: [&str; 9] = [
    "starting",
    "normal",
    "swapping",
    "paused",
    "parked",
    "throttled",
    "stuck",
    "degraded",
    "draining",
];

/// One published state. Readers hold it as long as they like; the coordinator never waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    pub health: Health,
    /// The document of `GET /status`; see etc/reference.md.
    pub status: Value,
    /// For `GET /events`.
    #[serde(skip)]
    pub events: Arc<Events>,
    /// For `GET /metrics`, beside the document.
    #[serde(skip)]
    pub figures: Figures,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// False gives 503: stuck, a component dead, tmux unreachable.
    pub ok: bool,
    /// One of [`STATES`].
    pub state: String,
    /// Why it is not simply well; empty when it is.
    pub reasons: Vec<String>,
    /// When a parked daemon expects to wake, or a pause ends by itself, RFC 3339.
    pub until: Option<String>,
}

/// The one place where the snapshot changes hands.
#[derive(Debug, Clone)]
pub struct SnapshotCell(Arc<Mutex<Published>>);

#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    /// What the notifier said of its channels last; the core knows nothing of them.
    notifications: Value,
}

impl SnapshotCell {
    pub fn new(snapshot: Snapshot) -> Self {
        let notifications = Value::Array(Vec::new());
        let cell = Self(Arc::new(Mutex::new(Published {
            snapshot: Arc::new(snapshot.clone()),
            notifications,
        })));
        cell.publish(snapshot);
        cell
    }

    pub fn publish(&self, mut snapshot: Snapshot) {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.name_channels(&published.notifications);
        published.snapshot = Arc::new(snapshot);
    }

    /// The channels, each with what waits for it and how it went last.
    pub fn publish_notifications(&self, notifications: Value) {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        published.notifications = notifications;
        let mut snapshot = (*published.snapshot).clone();
        snapshot.name_channels(&published.notifications);
        published.snapshot = Arc::new(snapshot);
    }

    pub fn read(&self) -> Arc<Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).snapshot.clone()
    }
}

impl Snapshot {
    fn name_channels(&mut self, notifications: &Value) {
        if let Value::Object(status) = &mut self.status {
            status.insert("notifications".to_owned(), notifications.clone());
        }
    }

    /// Without a past.
    pub fn new(health: Health, status: Value) -> Self {
        Self { health, status, events: Arc::default(), figures: Figures::default() }
    }

    /// Without a past: the coordinator adds its chronicle and what it has counted.
    pub fn of(core: &Core, started_at: Wall, now: Now) -> Self {
        let health = Health::of(core);
        let last = core.durable.last_swap.as_ref();
        let status = json!({
            "version": STATUS_VERSION,
            "daemon": {
                "version": VERSION,
                "commit": COMMIT,
                "pid": std::process::id(),
                "started_at": started_at.to_string(),
            },
            "at": now.wall.to_string(),
            "ok": health.ok,
            "state": health.state,
            "reasons": health.reasons,
            "until": health.until,
            "active_account": core.durable.active,
            "link": core.config.link,
            "last_swap_at": last.map(|swap| swap.ended_at.to_string()),
            "last_swap_from": last.map(|swap| &swap.from),
            "last_swap_to": last.map(|swap| &swap.to),
            "accounts": accounts::accounts(core, now.wall),
            "parked": accounts::parked(core),
            "paused": core.durable.paused.as_ref().map(paused),
            "pinned": core.pin(),
            "plan": accounts::plan(core),
            "sessions": sessions(core),
            "swap": { "open": open_swap(core), "last": last.map(last_swap) },
            "tasks": tasks::tasks(core),
            "hits": hits(core),
            "linked_foreign": core.linked_foreign,
            "config_problems": core.config_problems,
            "dead_components": core.dead_components,
        });
        let mut snapshot = Self::new(health, status);
        snapshot.figures.terminal_up = !matches!(core.terminal, TerminalState::Lost { .. });
        snapshot
    }
}

impl Health {
    fn of(core: &Core) -> Self {
        let mut reasons = Vec::new();
        let mut ok = true;
        let phase = core.durable.swap.as_ref().map(|swap| swap.phase);
        if let Some(swap) = core.durable.swap.as_ref().filter(|swap| swap.phase == Phase::Stuck) {
            ok = false;
            let why = swap.trouble.as_deref().unwrap_or("the way back failed");
            reasons.push(format!("swap {} is stuck: {why}", swap.op));
        }
        for name in &core.dead_components {
            ok = false;
            reasons.push(format!("component {name} has ended"));
        }
        if let TerminalState::Lost { reason, .. } = &core.terminal {
            ok = false;
            reasons.push(format!("tmux unreachable: {reason}"));
        }
        reasons.extend(core.durable.paused.as_ref().map(why_paused));
        for (session, why) in core.missing_sessions() {
            reasons.push(format!("session {session} {why}"));
        }
        for (session, why) in core.stuck_launches() {
            reasons.push(format!("the agent of {session} cannot be resumed yet: {why}"));
        }
        reasons.extend(tasks::troubles(core));
        for problem in &core.config_problems {
            reasons.push(format!("reload refused: {problem}"));
        }
        let parked = core.is_parked();
        let state = match phase {
            Some(Phase::Stuck) => "stuck",
            _ if core.draining_since.is_some() => "draining",
            _ if !ok => "degraded",
            Some(_) => "swapping",
            None if core.is_paused() => "paused",
            None if parked => "parked",
            None if active_is_out(core) && core.throttled() => "throttled",
            None if core.terminal == TerminalState::Unseen => "starting",
            None if !reasons.is_empty() => "degraded",
            None => "normal",
        };
        let until = match state {
            "paused" => core.durable.paused.as_ref().and_then(|paused| paused.until),
            "parked" => core.next_return(),
            "throttled" => core.throttled_until(),
            _ => None,
        };
        let until = until.map(|at| at.to_string());
        Self { ok, state: state.to_owned(), reasons, until }
    }
}

fn paused(paused: &Paused) -> Value {
    json!({
        "since": paused.since.to_string(),
        "until": paused.until.map(|at| at.to_string()),
    })
}

fn why_paused(paused: &Paused) -> String {
    let Paused { since, until } = paused;
    let until = until.map_or(String::new(), |until| format!("until {until}, or "));
    format!("paused by the operator since {since}, {until}until `claude-failover resume`")
}

fn active_is_out(core: &Core) -> bool {
    core.durable.active.as_ref().is_some_and(|active| !core.is_available(active))
}

fn sessions(core: &Core) -> Value {
    let desired = core.config.desired_sessions();
    let mut names: Vec<&SessionName> =
        desired.iter().map(|(name, _)| name).chain(core.sessions.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| session(core, name, core.sessions.get(name))).collect()
}

fn session(core: &Core, name: &SessionName, seen: Option<&Session>) -> Value {
    let group = match core.config.group(name) {
        Some(Group::Dedicated) => "dedicated",
        Some(Group::Pool) => "pool",
        None => "leaving",
    };
    let agent = seen.and_then(|seen| seen.agent.as_ref()).map(|agent| {
        let (state, source) =
            core.state_of(name).unwrap_or((AgentState::Unknown, StateSource::None));
        // Its session file may come after its hook, or never.
        let conversation =
            agent.conversation.clone().or_else(|| core.earlier_id(name, agent.process));
        json!({
            "pid": agent.process.pid,
            "pane": agent.pane.to_string(),
            "conversation": conversation,
            "home": agent.home,
            "state": format!("{state:?}").to_lowercase(),
            "state_from": source.word(),
            "dialog": core.dialog_in(name),
            "armed": seen.is_some_and(|seen| seen.armed),
            "last_error": core.last_error_in(name).map(last_error),
            "since": agent.state_since.to_string(),
        })
    });
    let typed_at = seen.and_then(|seen| seen.panes.iter().filter_map(|pane| pane.typed_at).max());
    json!({
        "name": name,
        "group": group,
        "exists": seen.is_some(),
        "panes": seen.map_or(0, |seen| seen.panes.len()),
        "attached": seen.map_or(0, |seen| seen.panes.iter().map(|p| p.attached).max().unwrap_or(0)),
        "typed_at": typed_at.map(|at| at.to_string()),
        "agent": agent,
        "move": core.durable.moves.get(name).map(move_line),
        "drained_since": core.durable.drained.get(name).map(ToString::to_string),
        "lost_at": core.durable.losses.get(name).map(|loss| loss.at.to_string()),
    })
}

fn last_error(error: &ApiError) -> Value {
    json!({
        "at": error.at.to_string(),
        "verdict": error.reading.verdict,
        "rule": error.reading.rule,
        "row": error.reading.row,
    })
}

fn move_line(moving: &Move) -> Value {
    let stage = match moving.stage {
        MoveStage::Staying { .. } => "staying",
        MoveStage::Stopping => "stopping",
        MoveStage::Stopped => "stopped",
        MoveStage::Launching { .. } => "launching",
        MoveStage::Launched { .. } => "launched",
        MoveStage::Held => "held",
    };
    json!({
        "op": moving.op,
        "cause": moving.cause,
        "stage": stage,
        "to": moving.target,
        "conversation": moving.agent.conversation,
    })
}

fn open_swap(core: &Core) -> Value {
    let Some(swap) = &core.durable.swap else { return Value::Null };
    json!({
        "op": swap.op,
        "phase": swap.phase,
        "from": swap.source,
        "to": swap.target,
        "trigger": swap.trigger,
        "planned_at": swap.planned_at.to_string(),
        "rejected": swap.rejected.iter().map(|(account, why)| json!({"account": account, "reason": why}))
            .collect::<Vec<_>>(),
        "trouble": swap.trouble,
    })
}

fn last_swap(swap: &LastSwap) -> Value {
    let relaunch = swap.relaunched_at.map(|at| at - swap.planned_at);
    let outcome = match swap.outcome {
        SwapOutcome::Done => "done",
        SwapOutcome::RolledBack => "rolled_back",
        SwapOutcome::Cleared => "cleared",
    };
    json!({
        "op": swap.op,
        "from": swap.from,
        "to": swap.to,
        "outcome": outcome,
        "trigger": swap.trigger,
        "planned_at": swap.planned_at.to_string(),
        "relaunched_at": swap.relaunched_at.map(|at| at.to_string()),
        "done_at": swap.ended_at.to_string(),
        "relaunch_ms": relaunch.map(|length| length.as_millis()),
        "took_ms": (swap.ended_at - swap.planned_at).as_millis(),
    })
}

fn hits(core: &Core) -> Value {
    core.hits
        .iter()
        .map(|(session, hit)| {
            json!({
                "session": session,
                "account": hit.account,
                "row": hit.row,
                "rule": hit.rule,
                "evidence": hit.source,
                "suspected_hit_at": hit.at.to_string(),
                "confirmed": hit.confirmed,
            })
        })
        .collect()
}
