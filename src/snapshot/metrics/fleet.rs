//! Accounts, sessions and tasks as numbers.

use serde_json::Value;

use crate::core::standing::PlanWindow;
use crate::ids::AccountName;
use crate::snapshot::metrics::text::{Kind, Text, count, truth};
use crate::snapshot::metrics::{moment, number};
use crate::snapshot::tally::{FATES, Tally};

const ACCOUNT_STATES: [&str; 6] =
    ["available", "unproven", "rejected", "exhausted", "auth_failed", "held"];
const GROUPS: [&str; 3] = ["dedicated", "pool", "leaving"];
/// Those of an agent; `shell`: a session without one, `missing`: one that is not there.
const SESSION_STATES: [&str; 6] = ["idle", "busy", "waiting", "unknown", "shell", "missing"];
const WAITING: [&str; 6] = ["ready", "blocked", "later", "foreign", "not_for_us", "refused"];
const IN_HAND: [&str; 6] = ["claimed", "sending", "running", "blocked", "ending", "unknown"];
const WINDOWS: [PlanWindow; 4] =
    [PlanWindow::FiveHour, PlanWindow::Weekly, PlanWindow::Unnamed, PlanWindow::Spend];

pub fn accounts(text: &mut Text, status: &Value, tally: &Tally) {
    let accounts = list(&status["accounts"]);
    let help = "1 for the account that the link names, 0 for the others.";
    let mut family = text.family("claude_failover_account_active", Kind::Gauge, help);
    for account in accounts {
        family.sample(&[("account", name(account))], truth(account["active"] == true));
    }
    let help =
        "1 for the state that the account is in, 0 for the others; see the README, Accounts.";
    let mut family = text.family("claude_failover_account_state", Kind::Gauge, help);
    for account in accounts {
        for state in ACCOUNT_STATES {
            let labels = [("account", name(account)), ("state", state)];
            family.sample(&labels, truth(account["state"] == state));
        }
    }
    let help = "When the account comes back by itself; nothing while it is not away.";
    let mut family =
        text.family("claude_failover_account_until_timestamp_seconds", Kind::Gauge, help);
    for account in accounts {
        if let Some(until) = moment(&account["until"]) {
            family.sample(&[("account", name(account))], until);
        }
    }
    used(text, accounts, moment(&status["at"]).unwrap_or(0.0));
    refusals(text, accounts, tally);
}

/// A window that has been reset since is not used any more, and nobody has said how much by now.
fn used(text: &mut Text, accounts: &[Value], at: f64) {
    let help = "Used share of the account's window, 0 to 1, as an agent's status line last said.";
    let mut family = text.family("claude_failover_account_used_ratio", Kind::Gauge, help);
    for account in accounts {
        let name = name(account);
        for window in ["five_hour", "weekly"] {
            let told = &account["used"][window];
            let over = moment(&told["resets_at"]).is_some_and(|reset| reset <= at);
            if let Some(percent) = told["used_percent"].as_f64().filter(|_| !over) {
                family.sample(&[("account", name), ("window", window)], percent / 100.0);
            }
        }
    }
    let help = "When an agent's status line last said how much of the account is used.";
    let mut family =
        text.family("claude_failover_account_used_timestamp_seconds", Kind::Gauge, help);
    for account in accounts {
        let name = name(account);
        if let Some(age_s) = account["used"]["age_s"].as_f64() {
            family.sample(&[("account", name)], at - age_s);
        }
    }
}

fn refusals(text: &mut Text, accounts: &[Value], tally: &Tally) {
    let names: Vec<AccountName> =
        accounts.iter().filter_map(|account| account["name"].as_str()?.parse().ok()).collect();
    let help = "Refusals by a limit of the account's plan, and extensions of one, since the \
        daemon's start.";
    let mut family = text.family("claude_failover_refusals_total", Kind::Counter, help);
    for name in &names {
        for window in WINDOWS {
            let refused = tally.refusals.get(&(name.clone(), window)).copied().unwrap_or(0);
            let labels = [("account", name.as_str()), ("window", &window.to_string())];
            family.sample(&labels, count(refused));
        }
    }
    let help = "Logins of the account that were found to fail, since the daemon's start.";
    let mut family = text.family("claude_failover_login_failures_total", Kind::Counter, help);
    for name in &names {
        let failed = tally.login_failures.get(name).copied().unwrap_or(0);
        family.sample(&[("account", name.as_str())], count(failed));
    }
}

pub fn sessions(text: &mut Text, status: &Value) {
    let sessions = list(&status["sessions"]);
    let help = "Configured sessions by what is in them: an agent that is idle, busy, waiting (for a \
        person) or unknown, a shell without an agent, or missing.";
    let mut family = text.family("claude_failover_sessions", Kind::Gauge, help);
    for group in GROUPS {
        for state in SESSION_STATES {
            let is =
                |session: &&Value| session["group"] == group && session_state(session) == state;
            let number = sessions.iter().filter(is).count() as u64;
            family.sample(&[("group", group), ("state", state)], count(number));
        }
    }
}

fn session_state(session: &Value) -> &'static str {
    if session["exists"] != true {
        return "missing";
    }
    let Some(state) = session["agent"]["state"].as_str() else { return "shell" };
    // Behind `waiting` stands for what.
    let word = state.split('(').next().unwrap_or_default();
    SESSION_STATES.into_iter().find(|known| *known == word).unwrap_or("unknown")
}

pub fn tasks(text: &mut Text, status: &Value, tally: &Tally) {
    let tasks = &status["tasks"];
    let help = "Whether waiting tasks are given to sessions.";
    let dispatching = truth(tasks["dispatching"] == true);
    text.gauge("claude_failover_tasks_dispatching", dispatching, help);
    let help = "Tasks in the inboxes that no session has, by why they wait.";
    let mut family = text.family("claude_failover_tasks_waiting", Kind::Gauge, help);
    for state in WAITING {
        family.sample(&[("state", state)], number(&tasks["waiting"][state]));
    }
    let help = "Tasks in the hands of sessions; blocked and unknown ones need a person.";
    let mut family = text.family("claude_failover_tasks_in_hand", Kind::Gauge, help);
    let in_hand = list(&tasks["in_hand"]);
    for state in IN_HAND {
        let number = in_hand.iter().filter(|task| task["state"] == state).count() as u64;
        family.sample(&[("state", state)], count(number));
    }
    let help = "Tasks that were given to a session, since the daemon's start.";
    text.counter("claude_failover_tasks_claimed_total", tally.tasks_claimed, help);
    let help = "Tasks that left their session, by what became of them, since the daemon's start.";
    let mut family = text.family("claude_failover_tasks_ended_total", Kind::Counter, help);
    for outcome in FATES {
        let ended = tally.task_ends.get(outcome).copied().unwrap_or(0);
        family.sample(&[("outcome", outcome)], count(ended));
    }
}

/// Of notifications.
pub fn channels(text: &mut Text, status: &Value) {
    let channels = list(&status["notifications"]);
    let channel = |told: &Value| told["channel"].as_str().unwrap_or_default().to_owned();
    let help = "Messages that wait for the channel.";
    let mut family = text.family("claude_failover_notifications_waiting", Kind::Gauge, help);
    for told in channels {
        family.sample(&[("channel", &channel(told))], number(&told["waiting"]));
    }
    let help = "Whether the last message that was sent by the channel failed.";
    let mut family = text.family("claude_failover_notifications_failing", Kind::Gauge, help);
    for told in channels {
        let failing = truth(!told["last_error"].is_null());
        family.sample(&[("channel", &channel(told))], failing);
    }
    let help = "When the channel last took a message; nothing before the first one.";
    let last = "claude_failover_notifications_last_sent_timestamp_seconds";
    let mut family = text.family(last, Kind::Gauge, help);
    for told in channels {
        if let Some(at) = moment(&told["last_sent_at"]) {
            family.sample(&[("channel", &channel(told))], at);
        }
    }
}

fn name(account: &Value) -> &str {
    account["name"].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
