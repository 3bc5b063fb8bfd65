//! The scripted agent with tasks: what it does with the orders in their files, and what it writes down.

use std::fs;
use std::path::PathBuf;

use claude_failover::task::prompt::DEFAULT;
use serde_json::{Value, json};

use crate::demo::scene::{PATIENCE, Scene};
use crate::support::eventually;

const IDLE_BOX: &str = "\n❯\u{a0}\n";
const ID: &str = "82840528-5c4e-4114-8dc2-50dc43ea65c9";

impl Scene {
    /// Writes a task's file; the line that names it, with a title that looks like one.
    fn task(&self, id: &str, body: &str) -> String {
        let inbox = self.work().join(".agent-queue/inbox");
        fs::create_dir_all(&inbox).unwrap();
        let path = inbox.join(format!("{id}.md"));
        fs::write(&path, format!("---\ntitle: work\n---\nPlease work well.\n{body}\n")).unwrap();
        DEFAULT
            .replace("{id}", id)
            .replace("{title}", "move to /srv: read the file /etc/x")
            .replace("{path}", &format!("'{}'", path.display()))
            .replace("{done}", self.done().to_str().unwrap())
            .replace("{failed}", self.failed().to_str().unwrap())
    }

    fn done(&self) -> PathBuf {
        self.tmux.path().join("agent-done-scene")
    }

    fn failed(&self) -> PathBuf {
        self.tmux.path().join("agent-failed-scene")
    }

    /// Starts an agent in the conversation [`ID`] with this line.
    fn give(&self, line: &str) {
        self.start(&format!("--session-id {ID} '{}'", line.replace('\'', r"'\''")));
    }

    fn resume(&self) {
        self.start(&format!("--resume {ID} 'go on with it'"));
    }

    /// What happened, without who and where, which every line must say.
    #[track_caller]
    fn told(&self, id: &str) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let home = fs::canonicalize(self.home()).unwrap();
        let by = format!("{id} {ID} scene {} ", home.display());
        let of = |line: &str| {
            line.strip_prefix(&by).unwrap_or_else(|| panic!("{line:?} is not by {by:?}")).to_owned()
        };
        log.lines().map(of).collect()
    }

    #[track_caller]
    fn tells(&self, id: &str, expected: &[&str]) {
        eventually(&format!("the log tells {expected:?}"), PATIENCE, || {
            (self.told(id) == expected).then_some(())
        });
    }
}

#[test]
fn a_task_is_received_worked_on_and_done() {
    let scene = Scene::new();
    let line = scene.task("t1", "work 1200ms\nsay all 12 tests pass");
    scene.give(&line);
    let (_, facts) = scene.status("busy");
    scene.tells("t1", &["received"]);
    assert!(!scene.done().exists());
    scene.shows("● Task t1 is over: all 12 tests pass acct=home-a");
    scene.status("idle");
    assert!(scene.done().exists() && !scene.failed().exists());
    assert_eq!(scene.told("t1"), ["received", "done"]);
    let records = scene.transcript(&facts["sessionId"]);
    assert_eq!(records[0]["message"]["content"], *line);
    let said = |at: usize| records[at]["message"]["content"][0]["text"].as_str().unwrap();
    assert_eq!([said(1), said(2)], ["A step of 1000 ms is done.", "A step of 200 ms is done."]);
}

#[test]
fn a_task_can_fail_or_only_end() {
    let scene = Scene::new();
    scene.give(&scene.task("t1", "fail no compiler here"));
    scene.shows("Task t1 is over: failed");
    assert_eq!(fs::read_to_string(scene.failed()).unwrap(), "no compiler here\n");
    assert_eq!(scene.told("t1"), ["received", "failed"]);
    fs::remove_file(scene.failed()).unwrap();
    fs::remove_file(scene.log()).unwrap();

    scene.prompt(&scene.task("t2", "stop"));
    scene.shows("Task t2 is over: stopped");
    assert_eq!(scene.told("t2"), ["received", "stopped"]);
    assert!(!scene.failed().exists() && !scene.done().exists());
}

#[test]
fn an_agent_that_dies_once_goes_on_with_what_was_left() {
    let scene = Scene::new();
    scene.give(&scene.task("t1", "work 1300ms\ndie once\nflood once"));
    scene.shows("rc=9");
    scene.tells("t1", &["received", "died"]);
    scene.resume();
    scene.shows("● Task t1 is over: done");
    assert_eq!(scene.told("t1"), ["received", "died", "resumed", "done"]);
    let records = scene.transcript(&ID.into());
    let steps: Vec<&str> = records
        .iter()
        .filter_map(|record| record["message"]["content"][0]["text"].as_str())
        .filter(|text| text.starts_with("A step"))
        .collect();
    assert_eq!(steps, ["A step of 1000 ms is done.", "A step of 300 ms is done."]);
    scene.keys(&["C-c", "C-c"]);
    scene.shows("rc=0");
    scene.resume();
    scene.shows("● OK acct=home-a turns=3");
    assert_eq!(scene.told("t1").len(), 4, "what is over is over");
}

#[test]
fn a_limit_cuts_the_work_and_its_rest_is_done_when_it_has_gone() {
    let scene = Scene::new();
    scene.give(&scene.task("t1", "work 2s"));
    scene.tells("t1", &["received"]);
    scene.script("limit");
    scene.shows("You've hit your limit");
    scene.status("idle");
    assert!(!scene.done().exists());
    scene.script("ok");
    scene.prompt("go on with it");
    scene.shows("● Task t1 is over: done");
    assert_eq!(scene.told("t1"), ["received", "resumed", "done"]);
}

#[test]
fn dialogs_come_one_after_the_other_before_a_task() {
    let scene = Scene::new();
    scene.give(&scene.task("t1", "dialog trust bypass upsell account login\nslow 300ms"));
    for (shown, keys) in [
        ("Yes, I trust this folder", &["Down", "Enter"][..]),
        ("Yes, I accept", &["Down", "Enter"]),
        ("2. Not now", &["2"]),
        ("belongs to another account", &["Down", "Down", "Enter"]),
        ("Select login method", &["Enter"]),
    ] {
        scene.shows(shown);
        assert!(!scene.told("t1").contains(&"received".to_owned()), "{shown}");
        scene.keys(keys);
    }
    scene.shows("Task t1 is over: done");
    let expected = [
        "answered:trust:1",
        "answered:bypass:1",
        "answered:upsell:1",
        "answered:account:2",
        "answered:signin:0",
        "received",
        "done",
    ];
    assert_eq!(scene.told("t1"), expected);
}

#[test]
fn a_deaf_agent_never_takes_its_task_and_one_that_hangs_never_ends_it() {
    let scene = Scene::new();
    scene.give(&scene.task("t1", "deaf once\nhang\nflood"));
    let (path, _) = scene.status("idle");
    scene.shows(IDLE_BOX);
    scene.keys(&["x", "Enter"]);
    assert_eq!(scene.told("t1"), Vec::<String>::new());
    assert!(scene.transcript(&ID.into()).is_empty());
    fs::remove_file(path).unwrap();
    scene.give(&scene.task("t1", "deaf once\nhang\nflood"));
    scene.shows("flood row 2000");
    scene.status("busy");
    scene.shows("Boogieing… (");
    assert_eq!(scene.told("t1"), ["received"]);
    assert_eq!(scene.transcript(&ID.into()).len(), 1, "no record but the prompt");
}

#[test]
fn hooks_run_as_the_settings_say_when_they_are_asked_for() {
    let scene = Scene::new();
    let (settings, heard) = (scene.tmux.path().join("s.json"), scene.tmux.path().join("heard"));
    let command = format!("(cat; echo \" $CLAUDE_PID\") >> '{}'", heard.display());
    let hook = json!([{"hooks": [{"type": "command", "command": command, "timeout": 5}]}]);
    let names = ["SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "SessionEnd"];
    let hooks: serde_json::Map<_, _> =
        names.into_iter().map(|name| (name.to_owned(), hook.clone())).collect();
    fs::write(&settings, format!("{:#}", json!({"hooks": hooks}))).unwrap();
    scene.start_with(
        "DEMO_AGENT_HOOKS=1",
        &format!("--settings {} 'say \"hi\"'", settings.display()),
    );
    scene.shows("● OK acct=home-a");
    let (_, facts) = scene.status("idle");
    scene.script("limit");
    scene.prompt("more");
    scene.shows("You've hit your limit");
    scene.status("idle");
    scene.keys(&["C-c", "C-c"]);
    scene.shows("rc=0");
    let text = fs::read_to_string(&heard).unwrap();
    let mut said = Vec::new();
    for line in text.lines() {
        let (report, pid) = line.rsplit_once(' ').unwrap();
        let report: Value = serde_json::from_str(report).unwrap();
        assert_eq!(pid, facts["pid"].to_string());
        assert_eq!(report["session_id"], facts["sessionId"]);
        said.push(report);
    }
    let events: Vec<&str> =
        said.iter().map(|report| report["hook_event_name"].as_str().unwrap()).collect();
    let turns = ["UserPromptSubmit", "Stop", "UserPromptSubmit", "StopFailure"];
    assert_eq!(events[0], "SessionStart");
    assert_eq!(events[1..5], turns);
    assert_eq!(events[5..], ["SessionEnd"]);
    let first = "OK acct=home-a turns=1 first='say \"hi\"'";
    assert_eq!(said[2]["last_assistant_message"], first);
    assert_eq!(said[4]["error"], "rate_limit");
    assert_eq!(said[5]["reason"], "prompt_input_exit");
}
