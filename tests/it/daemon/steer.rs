//! A pause, drained sessions, a reload and a stop: what an operator is told, what `/health` and `/status`
//! say then, and that a `kill -9` takes none of it back.

use serde_json::{Value, json};

use crate::daemon::fleet::{Fleet, SOON, SWAP, epoch_s, session_row};
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

/// Escapes that reach a terminal: none when `NO_COLOR` is set, and none into a pipe.
#[test]
fn colour_is_for_terminals_of_those_who_like_it() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    let pane = fleet.pane(&pool(1)).id;
    let config = fleet.root().join("config.yaml");
    let status = format!("{} status --config {}", binary().display(), config.display());
    let shown = |line: &str, mark: &str| {
        fleet.type_line(&pane, &format!("clear; {line}; echo {mark}$((1+1))"));
        eventually("the status is on the screen", SOON, || {
            let screen = fleet.tmux(&["capture-pane", "-e", "-p", "-t", &pane]).unwrap();
            (screen.contains(&format!("{mark}2")) && screen.contains("normal")).then_some(screen)
        })
    };
    let green = "\u{1b}[32mnormal";
    assert!(shown(&status, "plain").contains(green));
    assert!(!shown(&format!("NO_COLOR=1 {status}"), "without").contains(green));
    assert!(!shown(&format!("{status} | cat"), "piped").contains(green));
}

/// The journal is where the log is when standard error is its stream.
#[test]
fn logs_becomes_journalctl_or_says_where_the_log_is() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    let said = fleet.refused(&["logs"]);
    let path = fleet.log_path();
    assert!(said.contains(&format!("its log is {}", path.display())), "{said}");
    fleet.stop_daemon();
    // By a PATH without a journalctl nothing of this machine's journal comes in.
    let output = std::process::Command::new(binary())
        .args(["logs", "--config"])
        .arg(fleet.root().join("config.yaml"))
        .env("PATH", fleet.root())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("journal"));
}

/// Every verb, with a daemon and without one: its code, and a message whenever it is not 0.
#[test]
fn every_verb_gives_its_code_with_a_daemon_and_without() {
    let mut fleet = Fleet::new(Layout { accounts: 2, pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    // The daemon is needed | not needed.
    let asking: [(&[&str], i32); 21] = [
        (&["status"], 0),
        (&["status", "--json"], 0),
        (&["swap", "--dry-run"], 0),
        (&["swap", "--to", "nosuch"], 1),
        (&["swap", "--rollback"], 1),
        (&["pause", "--for", "1h"], 0),
        (&["swap"], 1),
        (&["resume"], 0),
        (&["drain"], 0),
        (&["resume", "ccl-auto-11"], 0),
        (&["drain", "nosuch"], 1),
        (&["resume", "nosuch"], 1),
        (&["reload"], 0),
        (&["account", "list"], 0),
        (&["account", "hold", "b"], 0),
        (&["account", "release", "b"], 0),
        (&["account", "hold", "nosuch"], 1),
        (&["account", "pin", "a"], 0),
        (&["pin", "nosuch"], 1),
        (&["logs"], 1),
        (&["stop"], 0),
    ];
    let by_files: [(&[&str], i32); 8] = [
        (&["tasks"], 0),
        (&["tasks", "list", "--json"], 0),
        (&["tasks", "show", "shop:none"], 1),
        (&["tasks", "cancel", "shop:none"], 1),
        (&["submit", "--project", "shop"], 64),
        (&["history"], 0),
        (&["why", "a"], 0),
        (&["why", "99"], 1),
    ];
    let check = |fleet: &Fleet, args: &[&str], code: i32| {
        let said = fleet.say(args);
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.out, said.errors);
        assert!(code == 0 || !said.errors.is_empty(), "{args:?} says nothing");
        said.errors
    };
    for (args, code) in by_files.into_iter().chain(asking) {
        check(&fleet, args, code);
    }
    assert_eq!(fleet.await_end().code(), Some(0));
    for (args, code) in by_files {
        check(&fleet, args, code);
    }
    for (args, _) in asking.into_iter().filter(|(args, _)| *args != ["logs"]) {
        let errors = check(&fleet, args, 1);
        assert!(errors.contains("no daemon answers on "), "{args:?}: {errors}");
    }
    // What cannot be understood, and a configuration that is none.
    assert_eq!(fleet.say(&["pause", "--for", "soon"]).code, Some(64));
    std::fs::write(fleet.root().join("config.yaml"), "nosuch: 1\n").unwrap();
    for (args, _) in asking.into_iter().chain(by_files) {
        let errors = check(&fleet, args, 78);
        assert!(errors.contains("nosuch"), "{args:?}: {errors}");
    }
}

/// Nobody reads what is said: the verb does what it does all the same.
#[test]
fn a_closed_pipe_is_no_failure() {
    let mut fleet = Fleet::new(Layout { accounts: 2, pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--watch"],
        &["account", "list"],
        &["pause"],
        &["resume"],
        &["reload"],
        &["swap", "--dry-run"],
        &["tasks"],
        &["history"],
        &["why", "a"],
        &["--help"],
        &["generate", "man"],
        &["generate", "completions", "zsh"],
        &["nosuch"],
    ] {
        for closes_errors in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = std::process::Command::new(binary());
            command.args(args).stdin(std::process::Stdio::null());
            if !matches!(args[0], "--help" | "generate" | "nosuch") {
                command.arg("--config").arg(fleet.root().join("config.yaml"));
            }
            let writes = writer.try_clone().unwrap();
            match closes_errors {
                true => command.stdout(writes).stderr(writer),
                false => command.stdout(writes).stderr(std::process::Stdio::piped()),
            };
            let output = fleet.at_home(&mut command).spawn().unwrap().wait_with_output().unwrap();
            let expected = if args[0] == "nosuch" { 64 } else { 0 };
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{args:?}: {errors}");
            assert!(!errors.contains("panicked"), "{args:?}: {errors}");
        }
    }
}

/// A swap that is open when a pause comes is finished, with all who belong to it.
#[test]
fn an_open_swap_is_finished_in_a_pause() {
    let (fleet, talks) = Fleet::up(Layout::default());
    assert!(epoch_s() > 0);
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
