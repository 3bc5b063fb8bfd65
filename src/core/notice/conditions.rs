//! What no record stands for: it is seen in the core, and told when it begins.

use std::collections::BTreeMap;

use crate::config::notifications::Level;
use crate::core::event::HopelessTask;
use crate::core::notice::words::Words;
use crate::core::notice::{KEY_CHARS_MAX, Notice, Teller, zone};
use crate::core::{Core, TerminalState};
use crate::harmless;
use crate::ids::{SessionName, TaskRef};
use crate::moment::Wall;

/// Of the problems of a configuration, those that are told; the log has all.
const PROBLEMS_TOLD_MAX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    throttled_until: Option<Wall>,
    config_problems: Vec<String>,
    dead_components: Vec<String>,
    tmux_lost: Option<String>,
    stuck_launches: BTreeMap<SessionName, String>,
    stuck_tasks: BTreeMap<TaskRef, String>,
    hopeless: Vec<HopelessTask>,
}

impl Conditions {
    fn of(core: &Core) -> Self {
        let is_out = core.durable.active.as_ref().is_some_and(|active| !core.is_available(active));
        let waits = is_out && core.durable.swap.is_none() && !core.is_parked() && !core.is_paused();
        let tmux_lost = match &core.terminal {
            TerminalState::Lost { reason, .. } => Some(reason.clone()),
            TerminalState::Unseen | TerminalState::Seen => None,
        };
        Self {
            throttled_until: core.throttled_until().filter(|_| waits),
            config_problems: core.config_problems.clone(),
            dead_components: core.dead_components.clone(),
            tmux_lost,
            stuck_launches: core
                .stuck_launches()
                .map(|(session, why)| (session.clone(), why.to_owned()))
                .collect(),
            stuck_tasks: core
                .stuck_tasks()
                .map(|(task, why)| (task.clone(), why.to_owned()))
                .collect(),
            hopeless: core.queue.hopeless.clone(),
        }
    }
}

impl Teller {
    /// What has begun since the last look, and that tmux is back.
    pub fn look(&mut self, core: &Core, now: Wall) -> Vec<Notice> {
        let seen = Conditions::of(core);
        if seen == self.conditions {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.conditions, seen.clone());
        let words = Words { zone: zone(&core.config, self.zone.as_deref()), near: now };
        let mut notices = Vec::new();
        if let (None, Some(until)) = (before.throttled_until, seen.throttled_until) {
            notices.push(throttled(core.config.swap.max_per_hour, until, &words, now));
        }
        if !seen.config_problems.is_empty() && seen.config_problems != before.config_problems {
            notices.push(reload_refused(&seen.config_problems, now));
        }
        let died = seen.dead_components.iter();
        let died = died.filter(|name| !before.dead_components.contains(name));
        notices.extend(died.map(|name| component_ended(name, now)));
        let stuck = seen.stuck_launches.iter();
        let stuck = stuck.filter(|(session, _)| !before.stuck_launches.contains_key(session));
        notices.extend(stuck.map(|(session, why)| cannot_launch(session, why, now)));
        let freed = before.stuck_launches.keys();
        let freed = freed.filter(|session| !seen.stuck_launches.contains_key(session));
        notices.extend(freed.filter_map(|session| launched_at_last(core, session, now)));
        notices.extend(of_stuck_tasks(core, &before.stuck_tasks, &seen.stuck_tasks, now));
        let failed = seen.hopeless.iter().filter(|task| !before.hopeless.contains(task));
        notices.extend(failed.map(task_failed));
        match (&before.tmux_lost, &seen.tmux_lost) {
            (None, Some(reason)) => notices.push(tmux_lost(reason, now)),
            (Some(_), None) => notices.push(Notice::new(
                Level::Info,
                "tmux/back".to_owned(),
                now,
                "tmux can be reached again",
                vec!["Next: sessions are adopted, or made anew and resumed".to_owned()],
            )),
            (None, None) | (Some(_), Some(_)) => {}
        }
        notices
    }
}

impl Teller {
    /// The daemon ends because it cannot go on.
    pub fn ended(&self, why: &str, now: Wall) -> Notice {
        let lines = vec![
            format!("Why: {why}"),
            "Next: tmux and the agents go on; the service manager starts the daemon again, which \
             fails for as long as the cause is there"
                .to_owned(),
            "You: claude-failover logs; if the disk is full or broken, mend that first".to_owned(),
        ];
        let title = "The daemon has ended: it cannot go on";
        Notice::new(Level::Critical, "daemon/ended".to_owned(), now, title, lines)
    }
}

fn throttled(swaps_max: u32, until: Wall, words: &Words<'_>, now: Wall) -> Notice {
    let lines = vec![
        format!("Why: {swaps_max} swaps within an hour is swap.max_per_hour"),
        format!("Until: {}", words.until(until)),
        "Next: the account in use is out; work stands still until then, and goes on by itself"
            .to_owned(),
        "You: `claude-failover swap` moves now; see `claude-failover history` for why so many"
            .to_owned(),
    ];
    Notice::new(Level::Warning, "throttled/".to_owned(), now, "Too many swaps: throttled", lines)
}

fn reload_refused(problems: &[String], now: Wall) -> Notice {
    let mut lines: Vec<String> =
        problems.iter().take(PROBLEMS_TOLD_MAX).map(|problem| format!("Why: {problem}")).collect();
    if problems.len() > PROBLEMS_TOLD_MAX {
        lines.push(format!("and {} more problems", problems.len() - PROBLEMS_TOLD_MAX));
    }
    lines.push("Next: the daemon goes on with the configuration that it has".to_owned());
    lines.push("You: claude-failover check, mend the file, claude-failover reload".to_owned());
    let first = problems.first().map_or("", String::as_str);
    let key = format!("reload/{}", harmless::line(first, KEY_CHARS_MAX));
    let title = "The new configuration was refused; nothing has changed";
    Notice::new(Level::Warning, key, now, title, lines)
}

fn component_ended(name: &str, now: Wall) -> Notice {
    let lines = vec![
        "Why: its thread ended, or takes no orders; the log says more".to_owned(),
        "Next: the other parts go on; /health answers 503".to_owned(),
        "You: claude-failover logs, then systemctl restart claude-failover (--user, if it is \
         yours); no session ends"
            .to_owned(),
    ];
    let title = format!("A part of the daemon has ended: {name}");
    Notice::new(Level::Critical, format!("component:{name}/ended"), now, &title, lines)
}

fn cannot_launch(session: &SessionName, why: &str, now: Wall) -> Notice {
    let lines = vec![
        format!("Why: {why}"),
        "Next: it is tried again, at least once a minute; its conversation is on record and not lost"
            .to_owned(),
        "You: mend what stands in the way; the conversation is resumed by itself then".to_owned(),
    ];
    let title = format!("The agent of {session} cannot be resumed yet");
    Notice::new(Level::Warning, format!("session:{session}/cannot-launch"), now, &title, lines)
}

/// Nothing when it was given up for another reason, of which a record tells.
fn launched_at_last(core: &Core, session: &SessionName, now: Wall) -> Option<Notice> {
    let moving = core.durable.moves.get(session)?;
    let lines = vec![format!("Next: its conversation goes on on {}", moving.target)];
    let title = format!("The agent of {session} is launched at last");
    let key = format!("session:{session}/launched");
    Some(Notice::new(Level::Info, key, now, &title, lines))
}

/// Once for all of them: what stands in the way of one mostly stands in the way of the others.
fn of_stuck_tasks(
    core: &Core,
    before: &BTreeMap<TaskRef, String>,
    seen: &BTreeMap<TaskRef, String>,
    now: Wall,
) -> Option<Notice> {
    match (before.is_empty(), seen.iter().next()) {
        (true, Some((task, why))) => {
            let lines = vec![
                format!("Why: {why}"),
                "Next: it is tried again, at least once in a few minutes; it keeps its attempts"
                    .to_owned(),
                "You: mend what stands in the way; tasks are begun by themselves then".to_owned(),
            ];
            let title = format!("Task {task} cannot be begun yet");
            Some(Notice::new(Level::Warning, "tasks/cannot-begin".to_owned(), now, &title, lines))
        }
        (false, None) => {
            let mut at_work = core.durable.jobs.values().filter(|job| job.is_out());
            let begun = at_work.find(|job| before.contains_key(job.task()))?.task();
            let lines = vec!["Next: tasks are begun as before".to_owned()];
            let title = format!("Task {begun} is begun at last");
            Some(Notice::new(Level::Info, "tasks/begun".to_owned(), now, &title, lines))
        }
        (true, None) | (false, Some(_)) => None,
    }
}

fn task_failed(HopelessTask { task, reason, at }: &HopelessTask) -> Notice {
    let lines = vec![
        format!("Why: {reason}"),
        "Attempt: no agent has had it".to_owned(),
        "Next: its file lies in failed/ with the reason, and is not tried again".to_owned(),
        format!("You: mend the file, then claude-failover tasks retry {task}"),
    ];
    let key = format!("task:{task}/hopeless:{}", harmless::line(reason, KEY_CHARS_MAX));
    Notice::new(Level::Warning, key, *at, &format!("Task {task} can never run"), lines)
}

fn tmux_lost(reason: &str, now: Wall) -> Notice {
    let lines = vec![
        format!("Why: {reason}"),
        "Next: it is tried again every moment; when the server is back, sessions are made anew \
         and their conversations resumed"
            .to_owned(),
        "You: claude-failover doctor says what is the matter and what helps".to_owned(),
    ];
    let title = "tmux cannot be reached: no agent is seen";
    Notice::new(Level::Critical, "tmux/lost".to_owned(), now, title, lines)
}
