//! What the built daemon tells people of a night: accounts that run out one after the other, a crash,
//! an end. The server is on the loopback.

use std::fs;
use std::process::{Command, Stdio};

use claude_failover::notifier::LEAVE_PATIENCE;
use claude_failover::notifier::http::TIMEOUT;
use expect_test::{Expect, expect};
use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, SWAP, kill};
use crate::daemon::layout::{DEDICATED, Layout};
use crate::notify::server::{Manner, OK, Server};
use crate::support::{binary, eventually};

const HOUR_S: u64 = 3600;
const CALENDAR: [&str; 19] = [
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn telling(server: &Server) -> Layout {
    let more =
        format!("notifications: {{time_zone: UTC, webhook: {{url: \"{}/\"}}}}\n", server.url());
    Layout { more, ..Layout::default() }
}

/// The notices that came so far, without moments and lengths of time, which differ.
fn notices(server: &Server) -> Vec<String> {
    let bodies = server.requests().into_iter().map(|request| request.json());
    bodies
        .flat_map(|body| body["notices"].as_array().unwrap().clone())
        .map(|notice| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let lines = notice["lines"].as_array().unwrap().iter().map(text);
            let lines = lines.map(|line| format!("    {line}\n")).collect::<String>();
            let whole = format!("[{}] {}\n{lines}", text(&notice["level"]), text(&notice["title"]));
            whole.lines().map(|line| without_times(line) + "\n").collect()
        })
        .collect()
}

/// Counts of agents stay, numbers in words about time go.
fn without_times(line: &str) -> String {
    let is_timeless = line.trim_start().starts_with("Agents:") || line.contains("You:");
    let mut plain = String::new();
    for word in line.split(' ') {
        let timed = word.contains(|c: char| c.is_ascii_digit()) && !word.starts_with("ccl-");
        let month = CALENDAR.contains(&word);
        match (timed || month) && !is_timeless {
            true if plain.ends_with("# ") => {}
            true => plain.push_str("# "),
            false => plain.push_str(&format!("{word} ")),
        }
    }
    plain.trim_end().to_owned()
}

#[track_caller]
fn await_notice(server: &Server, title: &str) {
    eventually(&format!("{title:?} is told"), SWAP, || {
        notices(server).iter().any(|notice| notice.contains(title)).then_some(())
    });
}

fn count(server: &Server, title: &str) -> usize {
    notices(server).iter().filter(|notice| notice.contains(title)).count()
}

#[track_caller]
fn pinned(fleet: &Fleet, server: &Server, expected: &Expect) {
    expected.assert_eq(&notices(server).concat().replace(fleet.root().to_str().unwrap(), "ROOT"));
}

fn await_all_sent(fleet: &Fleet) {
    fleet.await_status("nothing waits any more", |status| {
        let row = &status["notifications"][0];
        row["channel"] == "webhook" && row["waiting"] == 0 && !row["last_sent_at"].is_null()
    });
}

#[test]
fn a_night_is_told_from_the_first_refusal_to_the_end() {
    let server = Server::new(OK);
    let (mut fleet, talks) = Fleet::up(telling(&server));
    fleet.exhaust("a", 2 * HOUR_S);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    await_notice(&server, "Moved from a to b");
    fleet.exhaust("b", 3 * HOUR_S);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_state("parked");
    await_notice(&server, "Parked until");
    await_all_sent(&fleet);
    fleet.kill_daemon();
    fleet.start_with(None);
    await_notice(&server, "up again after an end");
    // The end waits for one answer at most, and not for long.
    await_all_sent(&fleet);
    fleet.stop_daemon();
    await_notice(&server, "The daemon was stopped");
    pinned(
        &fleet,
        &server,
        &expect![[r#"
        [info] claude-failover # has started for the first time
            Next: sessions are adopted as they are
        [info] Moved from a to b
            Why: a refused ccl-1-alpha: "You've hit your # limit · resets # (UTC)" (by its transcript)
            Until: a is out until # (UTC), in # min
            Agents: 3 resumed
            Next: work goes on on b; the swap took # s
            You: nothing now; no other account is left if this one runs out, see claude-failover account list
        [warning] Parked until # (UTC)
            Why: no account can be taken
            a: exhausted until # You've hit your # limit · resets # (UTC)
            b: exhausted until # You've hit your # limit · resets # (UTC)
            Until: # (UTC), in # min
            Next: sessions are left as they are, no task is started; it goes on by itself when the first account is back
            You: nothing to do
        [warning] The daemon is up again after an end that nobody asked for #
            Why: it had not been stopped: it crashed, was killed, or the host went down; its last record is of # (UTC)
            Next: sessions are adopted as they are
            You: claude-failover logs, around that time
        [info] The daemon was stopped
            Next: tmux and the agents go on; nobody watches their accounts, starts tasks or resumes them until the daemon is started
            You: systemctl start claude-failover (--user, if it is yours), when it is to go on
    "#]],
    );
}

#[test]
fn what_a_crash_kept_from_being_told_is_told_by_the_next_life() {
    let server = Server::new(Manner::Answer(503, "", ""));
    let mut fleet = Fleet::new(telling(&server));
    fleet.start();
    eventually("the first try fails", SWAP, || (!server.requests().is_empty()).then_some(()));
    fleet.kill_daemon();
    // It ends when its start is on the disk and nobody has been told of it.
    fleet.start_with(Some(1));
    fleet.await_end();
    server.set(OK);
    let failed = server.requests().len();
    fs::write(fleet.log_path(), "").unwrap();
    fleet.start();
    await_notice(&server, "up again after an end");
    let all: Vec<String> = notices(&server).split_off(0);
    let sent = server.requests().split_off(failed);
    let titles: Vec<String> = sent
        .iter()
        .flat_map(|request| request.json()["notices"].as_array().unwrap().clone())
        .map(|notice| notice["title"].as_str().unwrap().to_owned())
        .collect();
    let first = titles.iter().filter(|title| title.contains("for the first time")).count();
    assert_eq!(first, 1, "{titles:?} {all:?}");
    let again = titles.iter().filter(|title| title.contains("up again")).count();
    assert_eq!(again, 1, "two lives ended so, which is one thing said twice: {titles:?}");
    fleet.stop_daemon();
    fleet.start();
    await_notice(&server, "The daemon was started");
    assert_eq!(count(&server, "The daemon was stopped"), 1);
}

#[test]
fn a_server_that_hangs_holds_up_no_swap_and_no_end() {
    let server = Server::new(Manner::Hang);
    let (mut fleet, talks) = Fleet::up(telling(&server));
    server.await_requests(1);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    let start = std::time::Instant::now();
    fleet.stop_daemon();
    assert!(start.elapsed() < TIMEOUT - LEAVE_PATIENCE, "no timeout is waited for");
    let waiting = fs::read_to_string(fleet.root().join("state/notices/webhook.json")).unwrap();
    assert!(waiting.contains("Moved from a to b"), "{waiting}");
}

#[test]
fn a_reload_adds_a_channel_and_a_refused_one_is_told_through_it() {
    let server = Server::new(OK);
    let mut fleet = Fleet::new(Layout::default());
    fleet.start();
    let config = fleet.root().join("config.yaml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{before}{}", telling(&server).more)).unwrap();
    fleet.signal_daemon(Signal::HUP);
    fleet.await_log("config reloaded");
    fleet.await_status("the channel is there", |status| {
        status["notifications"][0]["channel"] == "webhook"
    });
    fs::write(&config, format!("{before}lnik: x\n")).unwrap();
    fleet.signal_daemon(Signal::HUP);
    await_notice(&server, "The new configuration was refused");
    pinned(
        &fleet,
        &server,
        &expect![[r#"
        [warning] The new configuration was refused; nothing has changed
            Why: # lnik: unknown key: the keys here are link, accounts, state_dir, runtime_dir, selection, pool, agent, tmux, lifecycle, quota, swap, watcher, dispatcher, janitor, notifications, http
            Next: the daemon goes on with the configuration that it has
            You: claude-failover check, mend the file, claude-failover reload
    "#]],
    );
    fleet.stop_daemon();
}

#[test]
fn a_task_that_can_never_run_is_told_without_an_agent() {
    let server = Server::new(OK);
    let mut fleet = Fleet::new(telling(&server));
    fleet.start();
    fleet.submit("shop:t1", "---\npriority: soon\n---\nDo it.\n");
    await_notice(&server, "can never run");
    pinned(
        &fleet,
        &server,
        &expect![[r#"
        [info] claude-failover # has started for the first time
            Next: sessions are adopted as they are
        [warning] Task # can never run
            Why: malformed: priority: the text "soon" is no priority: write critical, high, default or low
            Attempt: no agent has had it
            Next: its file lies in failed/ with the reason, and is not tried again
            You: mend the file, then claude-failover tasks retry shop:t1
    "#]],
    );
    fleet.stop_daemon();
}

#[test]
fn no_secret_gets_into_the_log_whatever_is_logged() {
    const TOKEN: &str = "123456:AAE-token_of_a_bot";
    let server = Server::new(Manner::Answer(401, "", "no such bot: 123456:AAE-token_of_a_bot"));
    let url = server.url();
    let more = format!("notifications: {{telegram: {{chat_id: 5, api_url: \"{url}\"}}}}\n");
    let fleet = Fleet::new(Layout { more, ..Layout::default() });
    let log = fs::File::create(fleet.log_path()).unwrap();
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(fleet.root().join("config.yaml"));
    let command = fleet.at_home(&mut command).stdin(Stdio::null()).stderr(log);
    // A fleet takes along at its end whoever works below its directory.
    let command = command.env("RUST_LOG", "trace").env("CLAUDE_FAILOVER_TELEGRAM_TOKEN", TOKEN);
    let mut daemon = command.spawn().unwrap();
    let status = fleet.await_status("it is refused", |status| {
        status["notifications"][0]["last_error"].is_string()
    });
    kill(i32::try_from(daemon.id()).unwrap(), Signal::TERM);
    eventually("the daemon ends", SWAP, || daemon.try_wait().unwrap());
    let error = status["notifications"][0]["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("no such bot: [secret]"), "{error}");
    let log = fleet.log();
    assert!(log.contains(" TRACE "), "all is logged");
    assert!(!log.contains(TOKEN) && !status.to_string().contains(TOKEN));
    assert!(server.requests()[0].path.contains(TOKEN), "it was sent, though");
}
