//! Queues that do not drain, and tasks that nobody will take.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use crate::cli::daemon::Daemon;
use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::cli::tasks::open_tasks;
use crate::cli::tasks::survey::{Row, State};
use crate::cli::text::length;
use crate::moment::Wall;
use crate::queue::{self, Part, QUEUE_DIR};

const CHECK: &str = "tasks";
/// A ready task that waits longer while a session has nothing to do is stuck.
const WAITED_MAX_MS: i64 = 3_600_000;
/// In such a directory only a file's owner may rename or remove it.
const STICKY: u32 = 0o1000;
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
    let mut findings = open_to_others(dir, !daemon.config.dispatcher.trusted_uids.is_empty());
    match open_tasks(Daemon { config: daemon.config.clone() }, now) {
        Ok(rows) => findings.extend(of_rows(&rows, answer.status(), now)),
        Err(error) => {
            findings.push(fail(CHECK, format!("{error:#}"), "may this user read it?"));
        }
    }
    findings
}

/// Directories of queues in which others may exchange a file of somebody else for one of theirs, after
/// its owner was looked at. `shared`: other users submit, so that a group is more than one user.
pub fn open_to_others(projects_dir: &Path, shared: bool) -> Vec<Finding> {
    let bits = if shared { 0o022 } else { 0o002 };
    let projects = queue::projects(projects_dir).map(|found| found.names).unwrap_or_default();
    let queues = projects.iter().map(|name| projects_dir.join(name.as_str()).join(QUEUE_DIR));
    queues
        .flat_map(|dir| [dir.join(Part::Inbox.name()), dir])
        .filter(|dir| {
            let mode = dir.symlink_metadata().map_or(0, |found| found.mode());
            mode & STICKY == 0 && mode & bits != 0
        })
        .map(|dir| {
            let what = format!(
                "{} lets others put a file in the place of a task that was accepted",
                dir.display()
            );
            warn(CHECK, what, format!("chmod +t {}", dir.display()))
        })
        .collect()
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
