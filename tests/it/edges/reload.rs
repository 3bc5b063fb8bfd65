//! HUP: a good file applies, a bad one changes nothing and shows, a restart-only key is named.

use std::path::Path;

use serde_json::Value;

use crate::edges::site::{Daemon, PATIENCE, Site, signal, within};

const POOL: &str = "autonomous: {prefix: p-, start_index: 1, min: 1, max: 2, workdir: DIR/work}";

fn site_with_pool() -> Site {
    let site = Site::new();
    site.edit("pool:\n", &format!("pool:\n  {POOL}\n"));
    site
}

fn names(status: &Value) -> Vec<&str> {
    let sessions = status["sessions"].as_array().into_iter().flatten();
    sessions.filter(|one| one["exists"] == true).filter_map(|one| one["name"].as_str()).collect()
}

fn wait_for_sessions(daemon: &Daemon, expected: &[&str]) {
    daemon.status_when(&format!("sessions {expected:?}"), |status| names(status) == expected);
}

fn reloads(daemon: &Daemon) -> usize {
    daemon.log().matches("config reloaded").count()
}

#[test]
fn a_good_file_makes_new_sessions_and_sets_new_intervals() {
    let site = site_with_pool();
    let daemon = site.start();
    wait_for_sessions(&daemon, &["p-1", "site"]);
    let before = site.panes(Site::tmux);
    site.edit("min: 1, max: 2", "min: 3, max: 3");
    site.edit("{interval: 500ms}", "{interval: 1h}\nquota: {poll_interval: 5m}");
    daemon.signal("-HUP");
    wait_for_sessions(&daemon, &["p-1", "p-2", "p-3", "site"]);
    let after = site.panes(Site::tmux);
    assert!(before.iter().all(|(name, pid)| after.get(name) == Some(pid)), "{before:?} {after:?}");
    // Both ways: with an hour between looks, only a reload makes the next one come soon.
    site.edit("{interval: 1h}\nquota: {poll_interval: 5m}", "{interval: 100ms}");
    daemon.signal("-HUP");
    assert!(within(PATIENCE, || reloads(&daemon) == 2), "{}", daemon.log());
    assert!(site.tmux(&["kill-session", "-t", "=p-2"]).status.success());
    daemon.status_when("p-2 is made anew", |status| {
        names(status).len() == 4 && !site.panes(Site::tmux).is_empty()
    });
    assert!(within(PATIENCE, || site.panes(Site::tmux).contains_key("p-2")));
    daemon.drained();
}

#[test]
fn a_bad_file_changes_nothing_and_shows_until_a_good_one_comes() {
    let site = site_with_pool();
    let daemon = site.start();
    wait_for_sessions(&daemon, &["p-1", "site"]);
    let text = fs_err::read_to_string(site.config()).unwrap();
    for (bad, problem) in [
        (text.replace("min: 1, max: 2", "min: 3, max: 2"), "3 is more than max, which is 2"),
        (text.replace("link:", "lnik:"), "lnik"),
        ("accounts: [".to_owned(), "config.yaml:"),
        (String::new(), "accounts"),
    ] {
        site.write_config(&bad);
        daemon.signal("-HUP");
        let status = daemon
            .status_when(problem, |status| status["config_problems"].to_string().contains(problem));
        assert_eq!(names(&status), ["p-1", "site"]);
        daemon.says("reload refused, nothing changed: ");
    }
    fs_err::remove_file(site.config()).unwrap();
    daemon.signal("-HUP");
    daemon.status_when("the missing file shows", |status| {
        status["config_problems"].to_string().contains("No such file")
    });
    assert_eq!(reloads(&daemon), 0);
    site.write_config(&text);
    daemon.signal("-HUP");
    daemon.status_when("no problem is left", |status| {
        status["config_problems"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(reloads(&daemon), 1);
    daemon.drained();
}

/// Whoever asks over the socket hears it; the log and `/status` say it to the others.
#[test]
fn who_asks_for_a_reload_is_told_what_the_file_holds() {
    let site = site_with_pool();
    let daemon = site.start();
    daemon.normal();
    let reload = || daemon.ask(r#"{"verb":"reload"}"#).unwrap();
    let read = "the configuration has been read again";
    assert_eq!(reload(), serde_json::json!({"ok": true, "said": read}));
    let good = fs_err::read_to_string(site.config()).unwrap();
    site.write_config(&good.replace("link:", "lnik:").replace("min: 1, max: 2", "min: 3, max: 2"));
    let answer = reload();
    let error = answer["error"].as_str().unwrap();
    assert_eq!(answer["ok"], false);
    assert!(error.starts_with("nothing changed: "), "{error}");
    assert!(error.contains("lnik") && error.contains("3 is more than max, which is 2"), "{error}");
    assert_eq!(error.lines().count(), daemon.status()["config_problems"].as_array().unwrap().len());
    site.write_config(&good.replace("DIR/state", "DIR/state2"));
    site.edit("listen: null", "listen: \"127.0.0.1:1\"");
    assert_eq!(reload()["said"], format!("{read}; a restart is needed for http"));
    daemon.drained();
}

#[test]
fn keys_that_need_a_restart_are_named_and_keep_their_values() {
    let site = site_with_pool();
    let daemon = site.start();
    wait_for_sessions(&daemon, &["p-1", "site"]);
    site.edit("link: DIR/link", "link: DIR/other");
    site.edit("name: b, home: DIR/b", "name: c, home: DIR/c");
    site.edit("listen: null", "listen: \"127.0.0.1:1\"");
    site.edit("state_dir: DIR/state", "state_dir: DIR/state2");
    daemon.signal("-HUP");
    daemon.says("WARN  reload: a restart is needed for link, accounts, state_dir, http");
    let status = daemon.status();
    assert_eq!(status["link"].as_str(), site.at("link").to_str());
    assert_eq!(status["accounts"][1]["name"], "b");
    daemon.drained();
    assert!(!site.at("state2").exists());
}

#[test]
fn a_reload_in_the_middle_of_a_swap_leaves_the_swap_alone() {
    let site = site_with_agent();
    let daemon = site.start();
    daemon.status_when("the session exists", |status| status["sessions"][0]["exists"] == true);
    let (home, agent) = (site.at("a"), site.at("bin/claude"));
    type_line(&site, &format!("CLAUDE_CONFIG_DIR={} {}", home.display(), agent.display()));
    let agent_of = |status: &Value, key: &str| status["sessions"][0]["agent"][key].clone();
    // Without a turn there is nothing to resume. It is over when the client says so, not before.
    type_line(&site, "a first prompt");
    let answered = || {
        let screen = site.tmux(&["capture-pane", "-p", "-t", "=site:"]).stdout;
        let said = String::from_utf8_lossy(&screen).contains("OK acct=");
        said && session_file(&home).is_some_and(|text| text.contains("\"status\":\"idle\""))
    };
    assert!(within(PATIENCE, answered), "{:?}", session_file(&home));
    let status = daemon.status_when("the agent is idle", |s| agent_of(s, "state") == "idle");
    let conversation = agent_of(&status, "conversation");
    // What is stopped takes no TERM, so the swap waits for the whole of `stop_grace`.
    signal(i32::try_from(agent_of(&status, "pid").as_i64().unwrap()).unwrap(), "-STOP");
    assert_eq!(daemon.ask(r#"{"verb":"swap","to":"b"}"#).unwrap()["ok"], true);
    daemon.says("phase=Saved");
    site.edit("stop_grace: 2s", "stop_grace: 3s");
    daemon.signal("-HUP");
    let log = daemon.says("config reloaded");
    assert!(!log.contains("phase=Stopped"), "the reload came too late:\n{log}");
    site.write_config("nothing: good");
    daemon.signal("-HUP");
    daemon.says("reload refused, nothing changed");
    let status = daemon
        .status_when("the swap is done", |status| status["swap"]["last"]["outcome"] == "done");
    assert_eq!(status["active_account"], "b");
    assert_eq!(fs_err::read_link(site.at("link")).unwrap(), site.at("b"));
    daemon.status_when("the conversation goes on", |status| {
        agent_of(status, "conversation") == conversation && agent_of(status, "state") == "idle"
    });
    assert_eq!(daemon.log().matches("config reloaded").count(), 1);
    daemon.drained();
}

fn site_with_agent() -> Site {
    let site = Site::new();
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/demo/agent");
    fs_err::create_dir(site.at("bin")).unwrap();
    fs_err::copy(agent, site.at("bin/claude")).unwrap();
    site.edit("[/bin/sleep, \"1000\"]", "[DIR/bin/claude]");
    site.edit("http:", "swap: {stop_grace: 2s}\nhttp:");
    let state = serde_json::json!({
        "hasCompletedOnboarding": true,
        "projects": { site.at("work").to_string_lossy(): { "hasTrustDialogAccepted": true } },
    });
    for home in ["a", "b"] {
        fs_err::write(site.at(home).join(".claude.json"), state.to_string()).unwrap();
    }
    site
}

fn session_file(home: &Path) -> Option<String> {
    let mut files = fs_err::read_dir(home.join("sessions")).ok()?;
    fs_err::read_to_string(files.next()?.ok()?.path()).ok()
}

fn type_line(site: &Site, line: &str) {
    for keys in [&["-l", line][..], &["Enter"]] {
        let args = [&["send-keys", "-t", "=site:"], keys].concat();
        assert!(site.tmux(&args).status.success(), "{args:?}");
    }
}

/// Also the overrides of the command line, which are no change of the file.
#[test]
fn options_of_the_command_line_outlive_a_reload() {
    let site = Site::new();
    let mut command = site.run_command();
    command.args(["--state-dir", "here/state", "--runtime-dir", "run"]);
    fs_err::create_dir(site.at("here")).unwrap();
    let daemon = site.start_as(command);
    daemon.normal();
    daemon.signal("-HUP");
    daemon.says("config reloaded");
    assert!(!daemon.log().contains("a restart is needed"), "{}", daemon.log());
    assert!(site.at("here/state/journal").exists() && !site.at("state").exists());
    daemon.drained();
}

#[test]
fn many_in_a_row_are_taken_and_the_last_file_holds() {
    let site = site_with_pool();
    // A login shell that takes its time, as real ones do.
    fs_err::write(site.at("home/.profile"), "sleep 0.5\n").unwrap();
    let daemon = site.start();
    wait_for_sessions(&daemon, &["p-1", "site"]);
    let started = std::time::Instant::now();
    for max in 2..=30 {
        let text = fs_err::read_to_string(site.config()).unwrap();
        let next = text.replace(&format!("max: {max}"), &format!("max: {}", max + 1));
        site.write_config(&next);
        daemon.signal("-HUP");
        // Signals that come together arrive as one; these are to arrive one by one.
        let seen = || reloads(&daemon) >= max - 1;
        assert!(within(PATIENCE, seen), "{}", daemon.log());
    }
    let took = started.elapsed();
    assert!(took.as_secs() < 10, "29 reloads took {took:?}: each one stops all decisions");
    site.edit("min: 1", "min: 2");
    daemon.signal("-HUP");
    daemon.signal("-HUP");
    daemon.signal("-HUP");
    wait_for_sessions(&daemon, &["p-1", "p-2", "site"]);
    daemon.drained();
}
