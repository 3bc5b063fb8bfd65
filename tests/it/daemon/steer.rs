//! A pause, drained sessions, a reload and a stop: what an operator is told, what `/health` and `/status`
//! say then, and that a `kill -9` takes none of it back.

use serde_json::{Value, json};

use crate::daemon::fleet::{Fleet, SWAP, session_row};
use crate::daemon::inboxes::task_text;
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::support::{binary, eventually};

const PAUSED: &str =
    "paused until `claude-failover resume`: no task goes out and nobody is moved\n";

#[track_caller]
fn kill_and_start_paused(fleet: &mut Fleet) {
    fleet.kill_daemon();
    fleet.start_with(None);
    fleet.await_state("paused");
}

fn account_state(status: &Value, name: &str) -> Value {
    let accounts = status["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    accounts.iter().find(|row| row["name"] == name).map_or(Value::Null, |row| row["state"].clone())
}

#[test]
fn a_refusal_in_a_pause_is_kept_over_a_crash_and_acted_on_by_resume() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let pids = fleet.agent_pids();
    assert_eq!(fleet.done(&["pause"]), PAUSED);
    let (code, health) = fleet.get("/health");
    assert_eq!((code, &health["state"], &health["ok"]), (200, &"paused".into(), &true.into()));
    assert!(health["reasons"][0].as_str().unwrap().starts_with("paused by the operator since "));
    let sheet = fleet.done(&["status"]);
    assert!(sheet.starts_with("paused on a\n"), "{sheet}");
    assert!(sheet.contains("Next       nothing new before `claude-failover resume`"), "{sheet}");

    fleet.exhaust("a", 2 * 3600);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_status("the refusal is on record", |status| {
        account_state(status, "a") == "exhausted"
    });
    fleet.submit("shop:t1", &task_text("work 200ms"));
    kill_and_start_paused(&mut fleet);
    let status = fleet.await_status("the agents are seen again", |status| {
        let rows = status["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.len() == 3 && rows.iter().all(|row| !row["agent"].is_null())
    });
    assert_eq!((&status["active_account"], &status["swap"]["open"]), (&"a".into(), &Value::Null));
    assert_eq!(status["tasks"]["in_hand"], json!([]));
    assert_eq!(fleet.agent_pids(), pids, "nobody was ended");
    let refused = fleet.refused(&["swap"]);
    assert!(refused.starts_with("paused by the operator since "), "{refused}");

    let said = fleet.done(&["resume"]);
    assert_eq!(said, "the pause is over; swap 1 planned: a → b (priority 2)\n");
    fleet.await_all_on("b", &talks);
    fleet.await_state("normal");
    let why = fleet.done(&["why", "1"]);
    assert!(why.starts_with("swap 1\n  now  done in "), "{why}");
    assert!(why.contains(&format!("{DEDICATED} was refused on a: five_hour limit")), "{why}");
    let history = fleet.done(&["history", "--kind", "pause"]);
    assert!(history.contains("paused by the operator for "), "{history}");
    assert!(history.contains(", then resumed"), "{history}");
}

#[test]
fn a_pause_with_a_length_ends_by_itself() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    let said = fleet.done(&["pause", "--for", "2s"]);
    assert!(said.starts_with("paused until 20"), "{said}");
    let status = fleet.status();
    assert_eq!(status["until"], status["paused"]["until"]);
    fleet.await_state("normal");
    assert!(fleet.log().contains("pause ended: its time is over"));
    assert!(fleet.status()["paused"].is_null());
    assert_eq!(fleet.done(&["resume"]), "nothing was paused or drained\n");
}

#[test]
fn a_drained_session_finishes_its_task_and_gets_no_other() {
    let (mut fleet, _) =
        Fleet::with_free_pool(Layout { pool: 1, per_project: 2, ..Layout::default() });
    let name = pool(1);
    fleet.submit("shop:t1", &task_text("work 1500ms"));
    fleet.await_told("t1", "received");
    let until = format!("until `claude-failover resume {name}`\n");
    let said = fleet.done(&["drain", &name]);
    assert_eq!(said, format!("{name} finishes shop:t1 and then gets no other task, {until}"));
    assert!(!session_row(&fleet.status(), &name)["drained_since"].is_null());
    fleet.submit("shop:t2", &task_text("work 200ms"));
    assert!(fleet.await_result("shop:t1").done);
    fleet.kill_daemon();
    fleet.start();
    let status = fleet
        .await_status("the other task waits", |status| status["tasks"]["waiting"]["ready"] == 1);
    assert!(!session_row(&status, &name)["drained_since"].is_null());
    assert_eq!(fleet.told_of("t2"), Vec::<String>::new());
    let sheet = fleet.done(&["status"]);
    assert!(sheet.contains("drained "), "{sheet}");
    assert!(sheet.contains("all of the pool is drained"), "{sheet}");
    assert_eq!(fleet.done(&["resume", &name]), format!("{name} takes tasks again\n"));
    assert!(fleet.await_result("shop:t2").done);
    for (args, why) in [
        (&["drain", DEDICATED][..], "is a dedicated session: it gets no tasks anyway"),
        (&["drain", "nosuch"], "nosuch is no session of the configuration"),
        (&["resume", "nosuch"], "nosuch is no session of the configuration"),
    ] {
        assert!(fleet.refused(args).contains(why), "{args:?}");
    }
    let task = fleet.done(&["why", "shop:t1"]);
    assert!(task.contains(&format!("claimed for {name}, attempt 1")), "{task}");
    let session = fleet.done(&["why", &name]);
    assert!(session.contains("drained: it gets no more tasks"), "{session}");
}

#[test]
fn a_reload_says_what_it_thinks_of_the_file() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    assert_eq!(fleet.done(&["reload"]), "the configuration has been read again\n");
    let path = fleet.root().join("config.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    // The client must still read where the socket is: only the daemon may find this wrong.
    let socket = fleet.root().join("run");
    std::fs::write(&path, format!("{good}\nnosuch: 1\n")).unwrap();
    let said = std::process::Command::new(binary())
        .args(["reload", "--runtime-dir"])
        .arg(&socket)
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    let errors = String::from_utf8(said.stderr).unwrap();
    assert!(errors.starts_with("nothing changed: "), "{errors}");
    assert!(errors.contains("nosuch"), "{errors}");
    assert_eq!(fleet.status()["config_problems"].as_array().map(Vec::len), Some(1));
    std::fs::write(&path, good).unwrap();
    assert_eq!(fleet.done(&["reload"]), "the configuration has been read again\n");
    assert_eq!(fleet.status()["config_problems"], json!([]));
}

#[test]
fn a_stop_returns_when_the_daemon_is_gone_and_leaves_the_agents() {
    let (mut fleet, _) = Fleet::with_free_pool(Layout { pool: 1, ..Layout::default() });
    let pid = fleet.agent(DEDICATED).pid;
    // Whoever started it must take its end: a zombie is no living process.
    let said = fleet.done(&["stop"]);
    assert_eq!(said, "the daemon has stopped; tmux and the agents go on without it\n");
    assert_eq!(fleet.await_end().code(), Some(0));
    assert!(fleet.log().contains("daemon stopped cleanly"));
    assert_eq!(fleet.agent(DEDICATED).pid, pid);
    fleet.assert_same_server();
    assert!(fleet.refused(&["stop"]).contains("no daemon answers on "));
    fleet.start();
    assert_eq!(fleet.done(&["pause"]), PAUSED);
}

/// A swap that is open when a pause comes is finished, with all who belong to it.
#[test]
fn an_open_swap_is_finished_in_a_pause() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.order_swap(&[]);
    let said = fleet.done(&["pause"]);
    assert!(said.starts_with("paused until `claude-failover resume`"), "{said}");
    eventually("all are on b", SWAP, || {
        let status = fleet.status();
        (status["active_account"] == "b" && status["state"] == "paused").then_some(())
    });
    let status = fleet.status();
    for session in talks.keys() {
        assert!(session_row(&status, session)["move"].is_null(), "{session}");
    }
    assert_eq!(status["swap"]["last"]["outcome"], "done");
}
