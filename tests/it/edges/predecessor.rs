//! The configuration of the system that this one succeeds, with its paths moved to a directory of
//! the test as an operator's script would: it loads, and its sessions are taken as they are.

use std::os::unix::fs::symlink;

use fs_err as fs;
use rustix::process::geteuid;

use crate::edges::site::Site;

const FIXTURE: &str = include_str!("../fixtures/predecessor.yaml");
const POOL: std::ops::Range<u32> = 11..21;

#[test]
fn sessions_on_the_default_server_are_adopted_and_none_is_made_anew() {
    let site = Site::new();
    let here = site.path().to_str().unwrap();
    let text = FIXTURE
        .replace("/home/ubuntu", here)
        .replace("/var/lib/claude-failover", &format!("{here}/state"))
        .replace("done_signal_dir: /tmp", &format!("done_signal_dir: {here}/tmp"))
        .replace("127.0.0.1:8765", "127.0.0.1:0");
    // What has no place in the old file: its defaults point into the system.
    let text = format!(
        "{text}\nlink: {here}/home/.claude\nstate_dir: {here}/state\nruntime_dir: {here}/run\n"
    );
    let sandbox = "agent: {env: {IS_SANDBOX: \"1\"}}\n";
    site.write_config(&match geteuid().is_root() {
        true => text + sandbox,
        false => text,
    });
    for dir in [".claude-compte1", ".claude-compte2", "projects/conformvault", "projects/scanyze"] {
        fs::create_dir_all(site.at(dir)).unwrap();
    }
    symlink(site.at(".claude-compte1"), site.at("home/.claude")).unwrap();
    for shared in ["projects", "session-env", "file-history"] {
        let target = site.at(&format!(".claude-{shared}-shared"));
        fs::create_dir(&target).unwrap();
        for home in [".claude-compte1", ".claude-compte2"] {
            symlink(&target, site.at(home).join(shared)).unwrap();
        }
    }
    let pool = POOL.map(|index| format!("ccl-auto-{index}"));
    let manual = (0..10).map(|index| format!("ccl-{index}"));
    let dedicated = ["ccl-1-conformvault", "ccl-2-scanyze"].map(str::to_owned);
    for name in pool.chain(manual).chain(dedicated) {
        let made = site.default_tmux(&["new-session", "-d", "-s", &name]);
        assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
    }
    let before = site.panes(Site::default_tmux);
    assert_eq!(before.len(), 22);

    let check = site.command(&["check", site.config().to_str().unwrap()]).output().unwrap();
    let warnings = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(0), "{warnings}");
    for key in ["limits", "checkpoint", "mcp_http", "poll_interval", "window_5h_threshold"] {
        assert_eq!(warnings.matches(&format!("{key}: ")).count(), 1, "{key} in:\n{warnings}");
    }

    let daemon = site.start();
    daemon.says("config loaded: accounts=2 dedicated=2 pool min=10 max=10");
    let status = daemon.status_when("all twelve are seen", |status| {
        let sessions = status["sessions"].as_array();
        let exist = sessions.is_some_and(|all| all.iter().all(|one| one["exists"] == true));
        status["state"] == "normal" && exist
    });
    assert_eq!(status["sessions"].as_array().map(Vec::len), Some(12), "{status:#}");
    assert_eq!(status["active_account"], "compte1");
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    assert_eq!(site.panes(Site::default_tmux), before, "a session was made anew or touched");
    daemon.drained();
    assert_eq!(site.panes(Site::default_tmux), before, "the end of the daemon touched tmux");
}

#[test]
fn signals_may_be_left_in_a_directory_that_everybody_writes_to() {
    let site = Site::new();
    site.edit("runtime_dir", "watcher: {done_signal_dir: /tmp}\nruntime_dir");
    let daemon = site.start();
    daemon.normal();
    daemon.drained();
}
