//! What the clients themselves say, in their conversation files and through their hooks, and how soon
//! a swap follows it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use claude_failover::moment::Wall;
use claude_failover::quota::pane as quota_pane;
use claude_failover::quota::verdict::Context;
use claude_failover::spool;
use serde_json::{Value, json};

use crate::daemon::fleet::{Fleet, SOON, epoch_s, session_row};
use crate::daemon::layout::{Layout, pool};
use crate::support::{binary, eventually};

const HOURS_S: u64 = 3600;
const BANNER: &str = "You've hit your session limit";
const DONE_ROW: &str = "✻ Cogitated";
/// Several looks at every screen and every conversation go by meanwhile.
const SECONDS_OF_WORK: &str = "slow 1";

const READER: Context<'_> = Context { now: Wall(1_795_361_004_858), zone: None, patterns: &[] };

/// From the client's record to the plan, on a machine that runs other tests too.
const PLANNED_WITHIN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 8;
/// Long enough for the refusal to come before it; the account is the target of the next round.
const RESETS_IN_S: u64 = 3;

/// Of a limit that ends within five hours, whenever the test runs: no screen could call it over.
fn banner() -> String {
    let hour = (epoch_s() / HOURS_S + 3) % 24;
    let (on_the_clock, half) = ((hour + 11) % 12 + 1, if hour < 12 { "am" } else { "pm" });
    format!("{BANNER} · resets {on_the_clock}{half} (UTC)")
}

fn one_pool_agent() -> Layout {
    Layout { dedicated: Vec::new(), pool: 1, ..Layout::default() }
}

impl Fleet {
    /// The conversation's file, in whichever folder.
    fn conversation_file(&self, talk: &str) -> PathBuf {
        let folders = fs::read_dir(self.root().join("user/.claude-projects-shared")).unwrap();
        let name = format!("{talk}.jsonl");
        let mut paths = folders.map(|folder| folder.unwrap().path().join(&name));
        paths.find(|path| path.exists()).expect("a conversation file")
    }

    /// When the client recorded each refusal of this conversation, by its own clock.
    fn refusals_ms(&self, talk: &str) -> Vec<i64> {
        let text = fs::read_to_string(self.conversation_file(talk)).unwrap();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records
            .filter(|record| record["apiError"] == "usage_limit_reached")
            .map(|record| rfc3339_ms(record["timestamp"].as_str().unwrap()))
            .collect()
    }

    /// When each swap was planned, as the journal has it.
    fn plans_ms(&self) -> Vec<i64> {
        let files = fs::read_dir(self.root().join("state")).unwrap();
        let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        let mut plans: Vec<i64> = texts
            .flat_map(|text| {
                let rows = text.lines().filter_map(|line| line.get(CHECKSUM_BYTES..));
                rows.filter_map(|row| serde_json::from_str::<Value>(row).ok())
                    .filter(|entry| entry["record"]["type"] == "swap_planned")
                    .map(|entry| entry["record"]["at"].as_i64().unwrap())
                    .collect::<Vec<i64>>()
            })
            .collect();
        plans.sort_unstable();
        plans
    }

    /// What the client of this agent does at an event: it runs the hook it was launched with.
    fn run_hook(&self, pid: i32, args: &[&str], input: &Value) {
        let mut command = Command::new(binary());
        command.args(["hook", "--runtime-dir"]).arg(self.root().join("run")).args(args);
        command.env("CLAUDE_PID", pid.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = self.at_home(&mut command).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b""[..]));
    }

    /// From here on the screen is that of a refusal, whatever the conversation says.
    #[track_caller]
    fn hide_the_end_of_the_turn(&self, session: &str) {
        let pane = self.pane(session).id;
        self.shows(&pane, DONE_ROW);
        let screen = self.screen(&pane);
        let rows: Vec<&str> = screen.lines().filter(|row| !row.starts_with(DONE_ROW)).collect();
        let tty = self.tmux(&["display-message", "-p", "-t", &pane, "#{pane_tty}"]).unwrap();
        let painted = format!("\x1b[H\x1b[2J{}", rows.join("\r\n"));
        fs::OpenOptions::new()
            .write(true)
            .open(tty)
            .unwrap()
            .write_all(painted.as_bytes())
            .unwrap();
        eventually("the row is gone", SOON, || {
            let screen = self.screen(&pane);
            (screen.contains(BANNER) && !screen.contains(DONE_ROW)).then_some(())
        });
        let reading = quota_pane::read(&self.screen(&pane), &READER);
        assert!(reading.verdict.is_exhaustion(), "{reading:?}\n{}", self.screen(&pane));
    }

    fn spooled(&self) -> usize {
        fs::read_dir(spool::dir(&self.root().join("run"))).unwrap().count()
    }

    #[track_caller]
    fn await_said_by(&self, session: &str, source: &str, state: &str) {
        self.await_status(&format!("{session} is {state}, says the {source}"), |status| {
            let agent = &session_row(status, session)["agent"];
            agent["state_from"] == source && agent["state"] == state
        });
    }
}

/// Of a line of the journal.
const CHECKSUM_BYTES: usize = 9;

fn rfc3339_ms(text: &str) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let nanos = time::OffsetDateTime::parse(text, format).unwrap().unix_timestamp_nanos();
    i64::try_from(nanos / 1_000_000).unwrap()
}

#[test]
fn an_answer_that_reads_like_a_banner_swaps_nobody() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.script("a", &format!("say {}", banner()));
    for (session, talk) in &talks {
        fleet.prompt(session, "what did it print?");
        fleet.await_answer(talk, BANNER);
        fleet.shows(&fleet.pane(session).id, BANNER);
        fleet.hide_the_end_of_the_turn(session);
    }
    fleet.script("a", SECONDS_OF_WORK);
    fleet.prompt(&pool(2), "and now?");
    fleet.await_answer(&talks[&pool(2)], "OK acct=.claude-a");
    let status = fleet.status();
    assert_eq!((&status["state"], &status["active_account"]), (&"normal".into(), &"a".into()));
    assert_eq!(status["hits"], json!([]), "{:#}", status["hits"]);

    fleet.exhaust("a", 2 * HOURS_S);
    fleet.prompt(&pool(1), "go on");
    let status = fleet.await_all_on("b", &talks);
    let trigger = &status["swap"]["last"]["trigger"];
    assert_eq!(trigger["session"], pool(1).as_str(), "{trigger:#}");
    assert_eq!(fleet.log().matches("phase=Planned").count(), 1, "the true refusal alone");
}

/// On a screen alone two of the pool would have to agree.
#[test]
fn one_refused_pool_agent_swaps_all_by_its_own_record() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.exhaust("a", 2 * HOURS_S);
    fleet.prompt(&pool(1), "go on");
    let status = fleet.await_all_on("b", &talks);
    let trigger = &status["swap"]["last"]["trigger"];
    let said = (&trigger["kind"], &trigger["session"], &trigger["evidence"]);
    assert_eq!(said, (&"refusal".into(), &pool(1).into(), &"transcript".into()));
    let log = fleet.log();
    let planned = log.lines().find(|row| row.contains("phase=Planned")).unwrap();
    assert!(planned.contains("evidence=transcript"), "{planned}");
}

#[test]
fn what_a_hook_says_is_heard_also_when_the_daemon_was_away() {
    let (mut fleet, talks) = Fleet::up(one_pool_agent());
    let session = pool(1);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    let agent = fleet.agent(&session);
    assert!(agent.args.iter().any(|arg| arg.ends_with("agent-settings.json")), "{agent:?}");
    // From here on it is a client that leaves neither a session file nor a conversation.
    fs::remove_file(fleet.home("b").join(format!("sessions/{}.json", agent.pid))).unwrap();
    fs::remove_file(fleet.conversation_file(&talks[&session])).unwrap();
    fleet.await_said_by(&session, "screen", "idle");

    let said = |event: &str| json!({"hook_event_name": event, "session_id": talks[&session]});
    fleet.run_hook(agent.pid, &[], &said("UserPromptSubmit"));
    fleet.await_said_by(&session, "hook", "busy");

    fleet.stop_daemon();
    let shares = json!({"five_hour": {"used_percentage": 91.5}});
    fleet.run_hook(agent.pid, &["--status-line"], &json!({"rate_limits": shares}));
    fleet.run_hook(agent.pid, &[], &said("Stop"));
    assert_eq!(fleet.spooled(), 2);
    fleet.start();
    fleet.await_said_by(&session, "hook", "idle");
    fleet.await_status("the figures of b", |status| {
        let rows = status["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = rows.iter().find(|row| row["name"] == "b");
        row.is_some_and(|row| row["used"]["five_hour"]["used_percent"] == 91.5)
    });
    assert_eq!(fleet.spooled(), 0);

    let mut failed = said("StopFailure");
    failed["error"] = "rate_limit".into();
    failed["last_assistant_message"] = banner().into();
    fleet.run_hook(agent.pid, &[], &failed);
    fleet.await_log(&format!("trigger_session={session} evidence=hook"));
}

#[test]
fn a_swap_is_planned_right_after_the_clients_record() {
    let (fleet, talks) = Fleet::up(one_pool_agent());
    let (session, talk) = talks.first_key_value().unwrap();
    let mut took_ms = Vec::new();
    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        eventually("the target can be taken", SOON, || {
            let status = fleet.status();
            let rows = status["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
            rows.iter().all(|row| row["state"] != "exhausted").then_some(())
        });
        fleet.script(to, "ok");
        fleet.exhaust(from, RESETS_IN_S);
        fleet.prompt(session, "go on");
        fleet.await_all_on(to, &talks);
        let (refusals, plans) = (fleet.refusals_ms(talk), fleet.plans_ms());
        assert_eq!((refusals.len(), plans.len()), (round + 1, round + 1), "one swap a refusal");
        took_ms.push(plans[round] - refusals[round]);
    }
    took_ms.sort_unstable();
    println!("from the record to the plan, in ms: {took_ms:?}, median {}", took_ms[ROUNDS / 2]);
    let slowest = Duration::from_millis(u64::try_from(took_ms[ROUNDS - 1]).unwrap());
    assert!(took_ms[0] >= 0 && slowest <= PLANNED_WITHIN, "{took_ms:?}");
}
