//! Queues that do not drain, and tasks that nobody will take.

use serde_json::Value;

use crate::cli::daemon::Daemon;
use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::cli::tasks::open_tasks;
use crate::cli::tasks::survey::{Row, State};
use crate::cli::text::length;
use crate::moment::Wall;

const CHECK: &str = "tasks";
/// A ready task that waits longer while a session has nothing to do is stuck.
const WAITED_MAX_MS: i64 = 3_600_000;
/// Foreign markers that are named one by one.
const NAMED_MAX: usize = 5;

pub fn check(daemon: &Daemon, answer: &Answer, now: Wall) -> Vec<Finding> {
    if daemon.config.pool.autonomous.is_none() {
        return vec![skip(CHECK, "there is no pool: pool.autonomous is not set")];
    }
    let dir = &daemon.config.dispatcher.projects_dir;
    if !dir.is_dir() {
        let what = format!("{} is not there", dir.display());
        return vec![fail(CHECK, what, "make it, or name another in dispatcher.projects_dir")];
    }
    match open_tasks(Daemon { config: daemon.config.clone() }, now) {
        Ok(rows) => of_rows(&rows, answer.status(), now),
        Err(error) => vec![fail(CHECK, format!("{error:#}"), "may this user read it?")],
    }
}

/// `status`: the daemon's document; `None` when it is down, and nothing can be expected to drain.
pub fn of_rows(rows: &[Row], status: Option<&Value>, now: Wall) -> Vec<Finding> {
    let mut findings = foreign(rows);
    let ready: Vec<&Row> = rows.iter().filter(|row| row.state == State::Ready).collect();
    let oldest = ready.iter().filter_map(|row| Some((row.since?, row))).min_by_key(|(at, _)| *at);
    let Some((since, row)) = oldest else {
        findings.push(ok(CHECK, "no task waits"));
        return findings;
    };
    let waited = length(now - since);
    let what = format!("{} ready; {} has waited for {waited}", ready.len(), row.task);
    let Some(status) = status else {
        findings.push(skip(CHECK, format!("{what}; the daemon is down")));
        return findings;
    };
    let idle = idle_pool(status);
    let is_late = now.0.saturating_sub(since.0) > WAITED_MAX_MS;
    findings.push(match (is_late, status["tasks"]["dispatching"].as_bool(), idle) {
        (false, _, _) => ok(CHECK, what),
        (true, Some(false), _) => warn(
            CHECK,
            format!("{what}, and nothing is dispatched"),
            "claude-failover status says why: a swap, parked, paused or draining",
        ),
        (true, _, 0) => warn(
            CHECK,
            format!("{what}, and every session is at work or drained"),
            "raise pool.autonomous.max, wait, or claude-failover resume",
        ),
        (true, _, idle) => fail(
            CHECK,
            format!("{what}; sessions of the pool with nothing to do: {idle}"),
            "claude-failover tasks names what keeps it; dispatcher.per_project may",
        ),
    });
    findings
}

/// Pool sessions that take tasks, at their shell or with an idle agent, and without one.
fn idle_pool(status: &Value) -> usize {
    let held = status["tasks"]["in_hand"].as_array();
    let is_held =
        |name: &Value| held.is_some_and(|held| held.iter().any(|t| t["session"] == *name));
    let sessions = status["sessions"].as_array().into_iter().flatten();
    sessions
        .filter(|session| session["group"] == "pool" && session["exists"] == true)
        .filter(|session| session["drained_since"].is_null())
        .filter(|session| session["agent"].is_null() || session["agent"]["state"] == "idle")
        .filter(|session| !is_held(&session["name"]))
        .count()
}

fn foreign(rows: &[Row]) -> Vec<Finding> {
    let foreign: Vec<&Row> = rows.iter().filter(|row| row.state == State::Foreign).collect();
    if foreign.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = foreign.iter().take(NAMED_MAX).map(|row| row.task.as_str()).collect();
    let more = if foreign.len() > NAMED_MAX { ", …" } else { "" };
    vec![warn(
        CHECK,
        format!(
            "tasks with a marker that is not ours, so that nobody takes them: {}; {}{more}",
            foreign.len(),
            names.join(", ")
        ),
        format!("if nothing else works on them: claude-failover tasks retry {}", foreign[0].task),
    )]
}
