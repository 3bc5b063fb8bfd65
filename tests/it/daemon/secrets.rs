//! Secrets go where they are meant to and nowhere else: not on a command line, which everybody on the
//! host can read, not into an environment, a log, a document or a file of ours.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use claude_failover::process::table;
use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, SWAP};
use crate::daemon::inboxes::task_text;
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::notify::server::{Manner, Server};
use crate::support::eventually;

/// A bot's, for the daemon alone.
const TOKEN: &str = "123456:AAE-token_of_a_bot";
/// From `agent.env`, for agents alone.
const PASSWORD: &str = "pass-word-of-the-staging-database";
/// Stands in a task file, for its agent alone.
const WORDS: &str = "words-of-a-task-that-are-nobody-elses";

/// Every command line that anybody could have read meanwhile, of all processes on this host that have
/// one of these words in it.
fn watched(words: &[&str], done: &AtomicBool) -> (BTreeSet<String>, usize) {
    let (mut told, mut launches) = (BTreeSet::new(), BTreeSet::new());
    while !done.load(Ordering::Relaxed) {
        for pid in outside::pids() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(" launch --spec ") {
                launches.insert(pid);
            }
            if words.iter().any(|word| line.contains(word)) {
                told.insert(line);
            }
        }
    }
    (told, launches.len())
}

/// Files below a directory, with what they hold.
fn contents(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(contents(&path));
        } else if metadata.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

fn environment(pid: i32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap()).into_owned()
}

#[test]
fn a_secret_is_on_no_command_line_and_in_no_document_log_or_file() {
    let refusal = "no such bot: 123456:AAE-token_of_a_bot";
    let server = Server::new(Manner::Answer(401, "", refusal));
    let mut fleet = Fleet::new(Layout::default());
    // The log has each event and each action.
    fleet.through = ["env", "RUST_LOG=debug"].map(str::to_owned).to_vec();
    let file = fleet.root().join("token");
    fs::write(&file, TOKEN).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = fleet.root().join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let env = "IS_SANDBOX: \"1\"";
    assert!(text.contains(env));
    let text = text.replace(env, &format!("{env}, STAGING_DATABASE: {PASSWORD}"));
    let channel = format!(
        "notifications: {{telegram: {{chat_id: 5, api_url: \"{}\", token_file: {}}}}}\n",
        server.url(),
        file.display()
    );
    fs::write(&config, text + &channel).unwrap();

    let done = AtomicBool::new(false);
    let (told, launches) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watched(&[TOKEN, PASSWORD, WORDS], &done));
        let played = scope.spawn(|| play(&mut fleet));
        let result = played.join();
        done.store(true, Ordering::Relaxed);
        let told = watching.join().unwrap();
        result.unwrap();
        told
    });
    assert!(launches >= 3, "the watcher has seen {launches} launches");
    assert_eq!(told, BTreeSet::new(), "command lines");
    assert_kept(&fleet);
    assert!(server.requests().iter().any(|request| request.path.contains(TOKEN)), "it was used");
}

/// A swap and a task: every way in which agents are started.
fn play(fleet: &mut Fleet) {
    fleet.start();
    fleet.await_sessions();
    let talks = fleet.start_dedicated_agents();
    fleet.submit("shop:t1", &task_text(&format!("{WORDS}\nwork 500ms")));
    fleet.await_told("t1", "received");
    fleet.order_swap(&["--to", "b"]);
    assert!(fleet.await_result("shop:t1").done);
    fleet.submit("shop:t2", &task_text(&format!("{WORDS}\nwork 20s")));
    fleet.await_told("t2", "received");
    eventually("the dedicated agent is back", SWAP, || {
        let agent = fleet.agents().remove(DEDICATED)?.pop()?;
        (agent.conversation.as_ref() == talks.get(DEDICATED) && agent.homed.is_some()).then_some(())
    });
    fleet.await_status("the channel is refused", |status| {
        status["notifications"][0]["last_error"].is_string()
    });
    fleet.signal_daemon(Signal::HUP);
    fleet.await_log("config reloaded");
}

#[track_caller]
fn assert_kept(fleet: &Fleet) {
    let at_work = fleet.agents();
    let at_work = [DEDICATED, &pool(1), &pool(2)]
        .into_iter()
        .filter_map(|session| Some(at_work.get(session)?.first()?.pid))
        .collect::<Vec<_>>();
    assert!(at_work.len() >= 2, "{at_work:?}");
    for pid in &at_work {
        let own = table::env_value(*pid, "STAGING_DATABASE").unwrap().unwrap();
        assert_eq!(own.to_str(), Some(PASSWORD), "the agent has it");
        assert!(!environment(*pid).contains(TOKEN));
    }
    let server: i32 = fleet.server_pid().unwrap().parse().unwrap();
    let leaders = fleet.panes().into_iter().map(|pane| pane.leader);
    for pid in leaders.chain([server, fleet.daemon_pid()]) {
        let environment = environment(pid);
        assert!(!environment.contains(PASSWORD) && !environment.contains(TOKEN), "process {pid}");
    }
    for path in ["/status", "/metrics", "/events", "/health", "/"] {
        let (code, text) = fleet.get_text(path);
        assert_eq!(code, 200, "{path}");
        for secret in [TOKEN, PASSWORD, WORDS] {
            assert!(!text.contains(secret), "{path} has {secret}");
        }
    }
    let log = fleet.log();
    for logged in ["event ConfigReloaded(", "action ApplyConfig(", "action LaunchAgent("] {
        let line = log.lines().find(|line| line.contains(logged)).expect(logged);
        assert!(line.contains("STAGING_DATABASE"), "{line}");
    }
    let mut files = contents(&fleet.root().join("run"));
    files.extend(contents(&fleet.root().join("state")));
    assert!(files.iter().any(|(path, _)| path.ends_with("/state/journal")), "{files:?}");
    files.push(("the log".to_owned(), log));
    for (path, text) in &files {
        for secret in [TOKEN, PASSWORD, WORDS] {
            assert!(!text.contains(secret), "{path} has {secret}");
        }
    }
}
