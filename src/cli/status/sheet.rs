//! The sheet: one headline, why it is not simply well, accounts, sessions, tasks, the last swap. Titles
//! and rows in it are other people's: nothing of them is an order to a terminal.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::account;
use crate::cli::status::next;
use crate::cli::text::{COLUMNS, beside, length};
use crate::harmless;
use crate::moment::Wall;

/// Of a session's name; a longer one is cut.
const NAME_CHARS_MAX: usize = 24;

#[derive(Debug, Deserialize)]
struct Status {
    state: String,
    reasons: Vec<String>,
    until: Option<String>,
    active_account: Option<String>,
    daemon: Daemon,
    at: String,
    sessions: Vec<Session>,
    swap: Swaps,
    tasks: Tasks,
    #[serde(default)]
    notifications: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    channel: String,
    last_error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Daemon {
    version: String,
    pid: u32,
    started_at: String,
}

#[derive(Debug, Deserialize)]
struct Session {
    name: String,
    exists: bool,
    agent: Option<Agent>,
    #[serde(rename = "move")]
    moving: Option<Moving>,
    drained_since: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    state: String,
    home: Value,
    armed: bool,
    since: String,
}

#[derive(Debug, Deserialize)]
struct Moving {
    stage: String,
    to: String,
}

#[derive(Debug, Deserialize)]
struct Swaps {
    open: Option<OpenSwap>,
    last: Option<LastSwap>,
}

#[derive(Debug, Deserialize)]
struct OpenSwap {
    op: u64,
    phase: String,
    from: String,
    to: String,
    trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LastSwap {
    op: u64,
    from: String,
    to: String,
    outcome: String,
    trigger: Value,
    done_at: String,
    took_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Tasks {
    waiting: Waiting,
    in_hand: Vec<InHand>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    ready: u64,
    blocked: u64,
    later: u64,
    foreign: u64,
    not_for_us: u64,
    refused: u64,
}

#[derive(Debug, Deserialize)]
struct InHand {
    task: String,
    title: String,
    state: String,
    session: String,
}

/// # Errors
/// It is not the document of a daemon of this version.
pub fn text(answer: &Value, now: Wall, coloured: bool) -> serde_json::Result<String> {
    let status: Status = serde_json::from_value(answer["status"].clone())?;
    let mut text = headline(&status, now, coloured);
    for reason in &status.reasons {
        text.push_str(&beside("  ! ", &plain(reason)));
    }
    for Channel { channel, last_error } in &status.notifications {
        if let Some(error) = last_error {
            let failing = format!("messages by {channel} do not go out: {error}");
            text.push_str(&beside("  ! ", &plain(&failing)));
        }
    }
    if let Some(swap) = &status.swap.open {
        text.push_str(&beside("  > ", &plain(&open_swap(swap))));
    }
    text.push('\n');
    text.push_str(&account::table::text(&answer["status"], now)?);
    text.push('\n');
    text.push_str(&sessions(&status, now));
    text.push_str(&beside("Tasks      ", &tasks(&status.tasks)));
    if let Some(swap) = &status.swap.last {
        text.push_str(&beside("Last swap  ", &plain(&last_swap(swap, now))));
    }
    let facts: next::Facts = serde_json::from_value(answer["status"].clone())?;
    text.push_str(&beside("Next       ", &plain(&next::text(&facts, now))));
    Ok(text)
}

fn headline(status: &Status, now: Wall, coloured: bool) -> String {
    let state = match (&status.until, status.state.as_str()) {
        (Some(until), state) => format!("{state} until {}", moment(until, now)),
        (None, state) => state.to_owned(),
    };
    let colour = match status.state.as_str() {
        "normal" | "swapping" => "32",
        "stuck" | "degraded" => "1;31",
        _ => "33",
    };
    let state = plain(&state);
    let state = if coloured { format!("\x1b[{colour}m{state}\x1b[0m") } else { state };
    let account = status.active_account.as_deref().unwrap_or("no account is known");
    let Daemon { version, pid, started_at } = &status.daemon;
    let up = ago(started_at, now);
    let stale = match status.at.parse::<Wall>() {
        Ok(at) if now - at > Duration::from_secs(120) => {
            format!(", last change {} ago", length(now - at))
        }
        _ => String::new(),
    };
    format!("{state} on {}\nclaude-failover {version}, pid {pid}, up {up}{stale}\n", plain(account))
}

/// `2026-11-26T15:00:00Z (in 2h13m)`
fn moment(at: &str, now: Wall) -> String {
    match at.parse::<Wall>() {
        Ok(then) => format!("{at} (in {})", length(then - now)),
        Err(_) => at.to_owned(),
    }
}

fn ago(at: &str, now: Wall) -> String {
    at.parse::<Wall>().map_or_else(|_| "?".to_owned(), |at| length(now - at))
}

fn open_swap(swap: &OpenSwap) -> String {
    let OpenSwap { op, phase, from, to, .. } = swap;
    let trouble = swap.trouble.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("swap {op} {from} → {to} is open, {phase}{trouble}")
}

fn sessions(status: &Status, now: Wall) -> String {
    let rows: Vec<[String; 4]> =
        status.sessions.iter().map(|session| cells(session, now)).collect();
    let heads = ["SESSION", "AGENT", "ON", "SINCE"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = row(&heads, widths, "DOING");
    for (session, cells) in status.sessions.iter().zip(&rows) {
        text.push_str(&row(cells, widths, &doing(status, session, now)));
    }
    text.push('\n');
    text
}

fn row(cells: &[String; 4], widths: [usize; 4], doing: &str) -> String {
    let ([name, state, home, since], [a, b, c, d]) = (cells, widths);
    let head = format!("   {name:a$}  {state:b$}  {home:c$}  {since:>d$}  ");
    let room = COLUMNS.saturating_sub(head.chars().count()).max(1);
    format!("{}\n", format!("{head}{}", harmless::line(doing, room)).trim_end())
}

fn cells(session: &Session, now: Wall) -> [String; 4] {
    let none = || "-".to_owned();
    let name = harmless::line(&session.name, NAME_CHARS_MAX);
    match &session.agent {
        Some(agent) => [name, state_word(agent), home_word(&agent.home), ago(&agent.since, now)],
        None if session.exists => [name, none(), none(), none()],
        None => [name, "missing".to_owned(), none(), none()],
    }
}

/// `waiting("dialog open")` → `waiting`
fn state_word(agent: &Agent) -> String {
    let word = agent.state.split('(').next().unwrap_or_default();
    let word = if agent.armed { "armed" } else { word };
    harmless::line(word, 9)
}

fn home_word(home: &Value) -> String {
    let word = home["homed"].as_str().or(home.as_str()).unwrap_or("?");
    harmless::line(word, 18)
}

fn doing(status: &Status, session: &Session, now: Wall) -> String {
    let task = status.tasks.in_hand.iter().find(|task| task.session == session.name);
    let doing = match (&session.moving, task) {
        (Some(moving), _) => Some(format!("{} to {}", moving.stage, moving.to)),
        (None, Some(task)) if task.state == "running" => {
            Some(format!("{} {}", task.task, task.title))
        }
        (None, Some(task)) => Some(format!("{} {}", task.state, task.task)),
        (None, None) => None,
    };
    let drained = next::drained(session.drained_since.as_deref(), now);
    [drained, doing].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn tasks(tasks: &Tasks) -> String {
    let Waiting { ready, blocked, later, foreign, not_for_us, refused } = &tasks.waiting;
    let counts = [
        (tasks.in_hand.len() as u64, "in hand"),
        (*ready, "ready"),
        (*blocked, "blocked"),
        (*later, "later"),
        (*foreign, "foreign"),
        (*not_for_us, "not for us"),
        (*refused, "refused"),
    ];
    let parts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn last_swap(swap: &LastSwap, now: Wall) -> String {
    let LastSwap { op, from, to, outcome, took_ms, .. } = swap;
    let why = match (swap.trigger["kind"].as_str(), swap.trigger["row"].as_str()) {
        (_, Some(row)) => format!("refused: {row:?}"),
        (Some(kind), None) => kind.replace('_', " "),
        (None, None) => String::new(),
    };
    let (seconds, tenths) = (took_ms / 1_000, took_ms % 1_000 / 100);
    let ago = ago(&swap.done_at, now);
    format!("{op} {from} → {to} {outcome} in {seconds}.{tenths} s, {ago} ago; {why}")
}

fn plain(text: &str) -> String {
    harmless::line(text, 1_000)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    const NOW: Wall = Wall(1_795_361_004_000);

    fn answer() -> Value {
        let agent = |state: &str, home: Value| json!({"state": state, "home": home, "armed": false, "since": "2026-11-22T15:13:24Z"});
        let session = |name: &str, agent: Value| json!({"name": name, "group": "pool", "exists": true, "agent": agent, "move": null, "drained_since": null});
        let mut third = session("ccl-auto-12", json!(null));
        third["drained_since"] = json!("2026-11-22T14:23:24Z");
        third["move"] = json!({"stage": "stopped", "to": "backup"});
        json!({"ok": true, "health": {"ok": true}, "status": {
            "state": "parked", "reasons": ["session \u{1b}[31mx could not be created"],
            "until": "2026-11-22T17:36:24Z", "active_account": "primary",
            "daemon": {"version": "0.1.0", "pid": 7, "started_at": "2026-11-20T15:23:24Z"},
            "at": "2026-11-22T15:23:24Z",
            "accounts": [{"name": "primary", "active": true, "pinned": false, "state": "exhausted",
                "until": "2026-11-22T17:36:24Z", "detail": "exhausted window=five_hour",
                "passed_over": null, "used": null}],
            "sessions": [
                session("ccl-1-conformvault", agent("waiting(\"dialog open\")", json!({"homed": "primary"}))),
                session("ccl-auto-11", agent("busy", json!("linked"))),
                third,
            ],
            "plan": {"target": null},
            "swap": {"open": null, "last": {"op": 17, "from": "backup", "to": "primary",
                "outcome": "done", "took_ms": 2_740, "done_at": "2026-11-22T12:23:24Z",
                "trigger": {"kind": "refusal", "row": "You've hit your limit · resets 3pm"}}},
            "tasks": {"waiting": {"ready": 12, "blocked": 1, "later": 0, "foreign": 0,
                    "not_for_us": 2, "refused": 3},
                "in_hand": [{"task": "shop:t1", "title": "Mend \u{1b}[2Jthe tests of the parser",
                    "state": "running", "session": "ccl-auto-11"}]},
        }})
    }

    #[test]
    fn the_sheet_fits_a_terminal_and_orders_it_nothing() {
        let text = text(&answer(), NOW, false).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        expect![[r#"
            parked until 2026-11-22T17:36:24Z (in 2h13m) on primary
            claude-failover 0.1.0, pid 7, up 2d00h
              ! session [31mx could not be created

               ACCOUNT  STATE        UNTIL                 IN    5H  WEEK   HEARD
            *  primary  exhausted    2026-11-22 17:36   2h13m     -     -       -
                 exhausted window=five_hour

            * in use  ! pinned  (times in UTC)

               SESSION             AGENT    ON       SINCE  DOING
               ccl-1-conformvault  waiting  primary    10m
               ccl-auto-11         busy     linked     10m  shop:t1 Mend  [2Jthe tests of t…
               ccl-auto-12         -        -            -  drained 1h00m: stopped to backup

            Tasks      1 in hand, 12 ready, 1 blocked, 2 not for us, 3 refused
            Last swap  17 backup → primary done in 2.7 s, 3h00m ago; refused: "You've hit
                       your limit · resets 3pm"
            Next       it wakes by itself in 2h13m
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn colour_is_for_the_headline_alone() {
        let text = text(&answer(), NOW, true).unwrap();
        assert!(text.starts_with("\u{1b}[33mparked until "), "{text:?}");
        assert_eq!(text.matches('\u{1b}').count(), 2);
    }
}
