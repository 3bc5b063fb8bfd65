//! The scripted agent on real tmux, where a supervisor looks; and the whole `demo`.

mod scene;
mod tasks;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::demo::scene::{PATIENCE, Scene, agent, epoch_s, error_text, is_gone, signal, text};
use crate::support::{binary, eventually};

const IDLE_BOX: &str = "\n❯\u{a0}\n";
const BYPASS_FOOTER: &str = "  ⏵⏵ bypass permissions on (shift+tab to cycle) · ← for agents";
const RULE: &str = "──────────";

#[test]
fn an_idle_agent_looks_and_reports_like_the_client() {
    let scene = Scene::new();
    scene.start("");
    let screen = scene.shows(BYPASS_FOOTER);
    assert!(screen.contains(IDLE_BOX) && screen.contains(RULE), "{screen}");
    let (path, facts) = scene.status("idle");
    let pid = facts["pid"].as_i64().unwrap();
    assert_eq!(path.file_stem().unwrap().to_str().unwrap(), pid.to_string());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let started = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
    assert_eq!(facts["procStart"], started);
    assert_eq!(facts["version"], "2.1.330");
    assert_eq!(facts["cwd"], fs::canonicalize(scene.work()).unwrap().to_str().unwrap());
    assert_eq!(facts["sessionId"].as_str().unwrap().len(), 36);
    assert!(scene.transcript(&facts["sessionId"]).is_empty(), "before the first prompt");
    let title = scene.tmux.run(&["display-message", "-p", "-t", "=scene:", "#{pane_title}"]);
    assert_eq!(title, "✳ Claude Code");
}

#[test]
fn a_turn_is_busy_then_answered_then_idle() {
    let scene = Scene::new();
    scene.script("slow 1");
    scene.start("");
    scene.shows(IDLE_BOX);
    scene.prompt("count the \"words\" \\ here");
    let (_, facts) = scene.status("busy");
    let screen = scene.shows("esc to interrupt");
    assert!(screen.contains("Boogieing… ("), "{screen}");
    let screen = scene.shows("● OK acct=home-a turns=1 first='count the \"words\" \\ here'");
    assert!(screen.contains("❯ count the") && screen.contains("✻ Cogitated for"), "{screen}");
    scene.status("idle");
    let records = scene.transcript(&facts["sessionId"]);
    assert_eq!(records[0]["type"], "user");
    assert_eq!(records[0]["message"]["content"], "count the \"words\" \\ here");
    assert_eq!(records[1]["parentUuid"], records[0]["uuid"]);
    let log = fs::read_to_string(scene.home().join("requests.log")).unwrap();
    assert!(log.contains(facts["sessionId"].as_str().unwrap()), "{log}");
}

#[test]
fn a_limit_within_a_day_is_a_banner_and_an_armed_wait() {
    let scene = Scene::new();
    let reset = epoch_s() + 7200;
    scene.script(&format!("limit5h {reset}"));
    scene.start("'do it'");
    let screen = scene.shows("Esc to cancel");
    assert!(screen.contains("  ⎿ \u{a0}You've hit your 5-hour limit · resets "), "{screen}");
    assert!(screen.contains("m (UTC)\n"), "{screen}");
    assert!(screen.contains("● Usage limit reached · set to continue automatically at"));
    let (_, facts) = scene.status("idle");
    let records = scene.transcript(&facts["sessionId"]);
    let refusal = &records[1];
    assert_eq!(refusal["apiError"], "usage_limit_reached");
    assert_eq!(refusal["apiErrorParams"]["rate_limit_info"]["resetsAt"], reset);
    assert_eq!(refusal["apiErrorParams"]["rate_limit_info"]["rateLimitType"], "five_hour");
    assert_eq!(
        (&refusal["error"], &refusal["apiErrorStatus"]),
        (&"rate_limit".into(), &429.into())
    );
    assert_eq!(
        (&refusal["isApiErrorMessage"], &refusal["isSidechain"]),
        (&true.into(), &false.into())
    );
    assert_eq!(refusal["message"]["model"], "<synthetic>");
    scene.keys(&["Escape"]);
    scene.shows("● Automatic continue cancelled");
}

#[test]
fn a_limit_of_more_than_a_day_opens_the_menu_and_keys_choose() {
    let scene = Scene::new();
    scene.script(&format!("limit7d {}", epoch_s() + 200_000));
    scene.start("'do it'");
    let screen = scene.shows("❯ 1. Stop and wait for limit to reset");
    assert!(screen.contains("You've hit your weekly limit · resets "), "{screen}");
    assert!(screen.contains("❯ /rate-limit-options"), "{screen}");
    let (_, facts) = scene.status("waiting");
    assert_eq!(facts["waitingFor"], "dialog open");
    scene.keys(&["Escape"]);
    let screen = scene.shows(IDLE_BOX);
    assert!(!screen.contains("/rate-limit-options\n"), "{screen}");
    scene.status("idle");
    scene.prompt("again");
    scene.shows("4. Upgrade your plan");
    scene.keys(&["2"]);
    scene.shows("⎿ \u{a0}Claude Code will continue automatically at");
    scene.prompt("and again");
    scene.shows("4. Upgrade your plan");
    scene.keys(&["4"]);
    scene.shows("  Login");
    scene.status("waiting");
}

#[test]
fn settings_without_auto_continue_open_the_menu_for_a_near_reset_too() {
    let scene = Scene::new();
    scene.script(&format!("limit5h {}", epoch_s() + 7200));
    let settings = scene.tmux.path().join("settings.json");
    fs::write(&settings, r#"{"autoContinueAtUsageLimit": false}"#).unwrap();
    scene.start(&format!("--settings {} 'do it'", settings.display()));
    scene.shows("❯ 1. Stop and wait for limit to reset");
    scene.keys(&["Enter"]);
    let screen = scene.shows(IDLE_BOX);
    assert!(!screen.contains("continue automatically"), "{screen}");
}

#[test]
fn a_resumed_conversation_repaints_its_old_banner_and_goes_on() {
    let scene = Scene::new();
    scene.script(&format!("limit5h {}", epoch_s() + 7200));
    scene.start("'first words'");
    scene.shows("You've hit your 5-hour limit");
    let (path, facts) = scene.status("idle");
    signal(&facts, "-TERM");
    eventually("its session file goes", PATIENCE, || (!path.exists()).then_some(()));
    scene.script("ok");
    let id = facts["sessionId"].as_str().unwrap().to_owned();
    scene.start(&format!("--resume {id} 'second words'"));
    let screen = scene.shows("● OK acct=home-a turns=2 first='first words'");
    assert!(screen.contains("⎿ \u{a0}You've hit your 5-hour limit"), "{screen}");
    assert!(screen.contains("/upgrade or /usage-credits"), "{screen}");
    assert!(!screen.contains("⚠ Usage limit reached"), "{screen}");
    assert_eq!(scene.status("idle").1["sessionId"], id.as_str());
}

#[test]
fn another_home_with_shared_projects_knows_the_conversation() {
    let scene = Scene::new();
    let other = scene.tmux.path().join("home-b");
    let shared = scene.tmux.path().join("shared");
    fs::create_dir_all(&other).unwrap();
    fs::create_dir_all(&shared).unwrap();
    symlink(&shared, scene.home().join("projects")).unwrap();
    symlink(&shared, other.join("projects")).unwrap();
    scene.start("hello");
    scene.shows("● OK acct=home-a turns=1");
    let (_, facts) = scene.status("idle");
    let id = facts["sessionId"].as_str().unwrap().to_owned();
    let headless = Command::new(agent())
        .args(["-p", "more", "--resume", &id])
        .env("CLAUDE_CONFIG_DIR", &other)
        .output()
        .unwrap();
    assert_eq!(text(&headless), "OK acct=home-b turns=2 first='hello'\n");
}

#[test]
fn a_flip_of_the_link_moves_a_linked_agent_at_its_next_request() {
    let scene = Scene::new();
    let (user, other) = (scene.tmux.path().join("user"), scene.tmux.path().join("home-b"));
    fs::create_dir_all(&user).unwrap();
    fs::create_dir_all(&other).unwrap();
    let link = user.join(".claude");
    symlink(scene.home(), &link).unwrap();
    let line =
        format!("env -u CLAUDE_CONFIG_DIR HOME={} {}; cat", user.display(), agent().display());
    scene.tmux.run(&["new-session", "-d", "-s", "scene", "-x", "100", "-y", "50", &line]);
    scene.shows(IDLE_BOX);
    scene.prompt("one");
    scene.shows("● OK acct=home-a");
    let (path, _) = scene.status("idle");
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    scene.prompt("two");
    scene.shows("● OK acct=home-b");
    assert!(path.exists(), "its session file stays where it began");
}

#[test]
fn exits_print_the_way_back_and_remove_the_session_file() {
    let scene = Scene::new();
    for (keys, code) in
        [(vec!["/exit", "Enter"], 0), (vec!["C-c", "C-c"], 0), (vec!["C-d", "C-d"], 0)]
    {
        scene.start("hello");
        scene.shows("● OK acct=home-a");
        let (path, facts) = scene.status("idle");
        scene.keys(&keys);
        let screen = scene.shows(&format!("rc={code}"));
        let row = format!(
            "Resume this session with:\nclaude --dangerously-skip-permissions --resume {}\n",
            facts["sessionId"].as_str().unwrap()
        );
        assert!(screen.contains(&row), "{keys:?}: {screen}");
        assert!(!path.exists(), "{keys:?}");
    }
}

#[test]
fn term_ends_it_at_once_and_kill_leaves_its_file() {
    let scene = Scene::new();
    scene.start("");
    let (path, facts) = scene.status("idle");
    let sent = Instant::now();
    signal(&facts, "-TERM");
    let pid = facts["pid"].to_string();
    eventually("it has ended", PATIENCE, || is_gone(&pid).then_some(()));
    let took = sent.elapsed();
    scene.shows("rc=143");
    assert!(!path.exists());
    // The client needs 0.1 s; the rest is for a machine that does other things too.
    assert!(took < Duration::from_secs(2), "{took:?}");
    scene.start("");
    let (path, facts) = scene.status("idle");
    signal(&facts, "-KILL");
    let screen = scene.shows("rc=137");
    assert!(path.exists());
    assert!(screen.contains(RULE), "the box stays: {screen}");
}

#[test]
fn an_id_in_use_or_unknown_is_refused() {
    let scene = Scene::new();
    scene.start("hello");
    scene.shows("● OK acct=home-a");
    let id = scene.status("idle").1["sessionId"].as_str().unwrap().to_owned();
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(agent());
        command.args(arguments).env("CLAUDE_CONFIG_DIR", scene.home()).output().unwrap()
    };
    let used = run(&["--session-id", &id]);
    assert_eq!(used.status.code(), Some(1));
    assert_eq!(error_text(&used), format!("Error: Session ID {id} is already in use.\n"));
    let unknown = "11111111-2222-4333-8444-555555555555";
    let unknown_answer = run(&["--resume", unknown]);
    assert_eq!(unknown_answer.status.code(), Some(1));
    let expected = format!("No conversation found with session ID: {unknown}\n");
    assert_eq!(error_text(&unknown_answer), expected);
}

#[test]
fn a_deaf_agent_ignores_term_and_keys_but_not_kill() {
    let scene = Scene::new();
    scene.script("deaf");
    scene.start("hello");
    scene.shows("esc to interrupt");
    let (path, facts) = scene.status("busy");
    signal(&facts, "-TERM");
    scene.keys(&["Escape", "C-c", "C-c"]);
    scene.keys(&["x", "Enter"]);
    signal(&facts, "-TERM");
    assert!(!is_gone(&facts["pid"].to_string()));
    signal(&facts, "-KILL");
    scene.shows("rc=137");
    assert!(path.exists());
}

#[test]
fn floods_crashes_and_errors_happen_on_order() {
    let scene = Scene::new();
    scene.script("flood");
    scene.start("hello");
    scene.shows("flood row");
    signal(&scene.status("busy").1, "-TERM");
    scene.shows("rc=143");
    scene.script("crash 0");
    scene.start("hello");
    scene.shows("rc=9");
    let [left] = &scene.session_files()[..] else { panic!("a crash leaves its file") };
    fs::remove_file(left).unwrap();
    scene.script("err500 2");
    scene.start("hello");
    scene.shows("✻ API error · retrying in 1s · attempt 1/2");
    scene.shows("● API Error: 500 Internal server error.");
    scene.script("auth");
    scene.prompt("again");
    scene.shows("● Login expired · Please run /login");
    scene.script("say You've hit your session limit · resets 3pm (UTC)");
    scene.prompt("quote it");
    scene.shows("  ⎿ \u{a0}You've hit your session limit · resets 3pm (UTC)");
    let facts = scene.status("idle").1;
    let records = scene.transcript(&facts["sessionId"]);
    let quoted = records.iter().rfind(|record| record["type"] == "assistant").unwrap();
    assert_eq!(quoted["isApiErrorMessage"], Value::Null, "only the transcript tells them apart");
}

#[test]
fn dialogs_wait_before_the_first_prompt() {
    let scene = Scene::new();
    scene.script("dialog trust");
    scene.start("");
    scene.shows("❯ No, exit");
    assert!(scene.session_files().is_empty(), "the client has no session file yet");
    scene.keys(&["Enter"]);
    let screen = scene.shows("rc=1");
    assert!(screen.contains("because this folder isn't trusted"), "{screen}");
    scene.start("");
    scene.shows("❯ No, exit");
    scene.keys(&["Down", "Enter"]);
    scene.shows(IDLE_BOX);
    scene.script("dialog account");
    scene.start("");
    scene.shows("This session belongs to another account");
    scene.status("waiting");
}

#[test]
fn a_bracketed_paste_is_one_prompt_and_clear_empties_the_box() {
    let scene = Scene::new();
    scene.start("");
    scene.shows(IDLE_BOX);
    scene.keys(&["-l", "not this"]);
    scene.shows("❯\u{a0}not this");
    scene.keys(&["C-u"]);
    scene.shows(IDLE_BOX);
    scene.tmux.run(&["set-buffer", "first row\nsecond row"]);
    scene.tmux.run(&["paste-buffer", "-p", "-t", "=scene:"]);
    scene.keys(&["Enter"]);
    scene.shows("● OK acct=home-a turns=1 first='first row");
    let facts = scene.status("idle").1;
    assert_eq!(
        scene.transcript(&facts["sessionId"])[0]["message"]["content"],
        "first row\nsecond row"
    );
}

#[test]
fn root_must_say_that_it_is_in_a_sandbox() {
    let scene = Scene::new();
    let output = Command::new(agent())
        .args(["--dangerously-skip-permissions", "-p", "hello"])
        .env("CLAUDE_CONFIG_DIR", scene.home())
        .env_remove("IS_SANDBOX")
        .output()
        .unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert_eq!(output.status.code(), Some(if is_root { 1 } else { 0 }), "{output:?}");
    assert_eq!(error_text(&output).contains("root/sudo privileges"), is_root);
}

#[test]
fn the_demo_ends_well() {
    let place = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
    let begun = Instant::now();
    let output = Command::new(binary())
        .arg("demo")
        .env_remove("HOME")
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let took = begun.elapsed();
    let report = format!("{}{}", text(&output), error_text(&output));
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("verified from outside"), "{report}");
    assert!(report.contains("task quick is done on account a in demo-auto-4"), "{report}");
    assert!(report.contains("task long is done on account b in demo-auto-"), "{report}");
    assert!(report.contains("two tasks, each told to one agent once"), "{report}");
    assert!(took < Duration::from_secs(30), "{took:?}: {report}");
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let place = place.path().as_os_str().as_encoded_bytes();
    let process = fs::read_dir("/proc").unwrap().find(|entry| {
        let arguments =
            fs::read(entry.as_ref().unwrap().path().join("cmdline")).unwrap_or_default();
        arguments.windows(place.len()).any(|window| window == place)
    });
    assert!(process.is_none(), "a process of the demo is left: {process:?}");
}
