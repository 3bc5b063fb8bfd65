//! What the daemon does next, and what it waits for, in one sentence or two.

use std::time::Duration;

use serde::Deserialize;

use crate::cli::text::length;
use crate::moment::Wall;

/// What is looked at of the document of `/status`.
#[derive(Debug, Deserialize)]
pub struct Facts {
    state: String,
    until: Option<String>,
    active_account: Option<String>,
    plan: Option<Plan>,
    tasks: Tasks,
    sessions: Vec<Session>,
}

#[derive(Debug, Deserialize)]
struct Plan {
    target: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tasks {
    waiting: Waiting,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    ready: u64,
}

#[derive(Debug, Deserialize)]
struct Session {
    group: String,
    drained_since: Option<String>,
}

pub fn text(facts: &Facts, now: Wall) -> String {
    let until = facts.until.as_deref().and_then(|at| at.parse::<Wall>().ok());
    let then = until.map(|at| format!("in {}", length(at - now)));
    match (facts.state.as_str(), then) {
        ("stuck", _) => "nothing before you decide: `claude-failover swap --resume` (forward), \
                         `--rollback` (back) or `--clear` (put right by hand)"
            .to_owned(),
        ("draining", _) => "it ends when what is in flight is done".to_owned(),
        ("swapping", _) => "the swap goes on; then work does".to_owned(),
        ("starting", _) => "it looks at tmux, then goes on with what it finds".to_owned(),
        ("paused", then) => {
            let ends = then.map_or(String::new(), |then| format!(", or by itself {then}"));
            format!("nothing new before `claude-failover resume`{ends}; tasks at work are finished")
        }
        ("parked", Some(then)) => format!("it wakes by itself {then}"),
        ("parked", None) => "nothing before an account is released or logged in again: \
                             `claude-failover account list` says why"
            .to_owned(),
        ("throttled", then) => format!(
            "swap.max_per_hour is reached: the next swap {}",
            then.unwrap_or_else(|| "as soon as it allows".to_owned())
        ),
        _ => [at_a_refusal(facts), why_tasks_wait(facts)].concat(),
    }
}

fn at_a_refusal(facts: &Facts) -> String {
    let Some(active) = &facts.active_account else {
        return "no account is known to be in use: make the link name one".to_owned();
    };
    match facts.plan.as_ref().and_then(|plan| plan.target.as_ref()) {
        Some(target) => format!("when {active} is refused, work goes on on {target}"),
        None => format!("when {active} is refused, all is parked: no other account can be taken"),
    }
}

fn why_tasks_wait(facts: &Facts) -> String {
    let mut pool = facts.sessions.iter().filter(|session| session.group == "pool").peekable();
    let drained = pool.peek().is_some() && pool.all(|session| session.drained_since.is_some());
    match drained && facts.tasks.waiting.ready > 0 {
        true => "; tasks wait for `claude-failover resume`: all of the pool is drained".to_owned(),
        false => String::new(),
    }
}

/// `drained 2h13m`, beside what a session does.
pub fn drained(since: Option<&str>, now: Wall) -> Option<String> {
    let at = since?.parse::<Wall>().ok();
    let length = at.map_or(Duration::ZERO, |at| now - at);
    Some(format!("drained {}", crate::cli::text::length(length)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn next(state: &str, until: Option<&str>, target: Option<&str>, drained: bool) -> String {
        let since = drained.then_some("2026-11-22T15:00:00Z");
        let facts = json!({
            "state": state, "until": until, "active_account": "primary",
            "plan": {"target": target}, "tasks": {"waiting": {"ready": 2}},
            "sessions": [
                {"group": "dedicated", "drained_since": null},
                {"group": "pool", "drained_since": since},
            ],
        });
        // 2026-11-22T15:23:24Z
        text(&serde_json::from_value(facts).unwrap(), Wall(1_795_361_004_000))
    }

    #[test]
    fn each_state_says_what_it_waits_for() {
        let at = Some("2026-11-22T17:36:24Z");
        for (said, expected) in [
            (
                next("normal", None, Some("backup"), false),
                "when primary is refused, work goes on on backup",
            ),
            (
                next("degraded", None, None, true),
                "when primary is refused, all is parked: no other account can be taken; tasks \
                 wait for `claude-failover resume`: all of the pool is drained",
            ),
            (
                next("paused", at, None, false),
                "nothing new before `claude-failover resume`, or by itself in 2h13m; tasks at \
                 work are finished",
            ),
            (
                next("paused", None, None, false),
                "nothing new before `claude-failover resume`; tasks at work are finished",
            ),
            (next("parked", at, None, false), "it wakes by itself in 2h13m"),
            (
                next("throttled", at, None, false),
                "swap.max_per_hour is reached: the next swap in 2h13m",
            ),
            (
                next("parked", None, None, false),
                "nothing before an account is released or logged in again: `claude-failover \
                 account list` says why",
            ),
        ] {
            assert_eq!(said, expected);
        }
        assert!(next("stuck", None, None, false).contains("swap --resume"));
    }
}
