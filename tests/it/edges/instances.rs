//! A second daemon for what a first one has: 75, and not a byte changed.

use std::process::Command;

use expect_test::{Expect, expect};
use fs_err as fs;

use crate::edges::site::{Daemon, PATIENCE, Site, within};

const ANOTHER_INSTANCE: i32 = 75;

/// Starts a first daemon and tries a second with other values for some keys.
#[track_caller]
fn second(edits: &[(&str, &str)], expected: &Expect) {
    let site = Site::new();
    std::os::unix::fs::symlink(site.at("b"), site.at("2")).unwrap();
    let daemon = site.start();
    at_rest(&daemon);
    let text = fs::read_to_string(site.config()).unwrap();
    for (from, to) in edits {
        site.edit(from, to);
    }
    fs::copy(site.config(), site.at("second.yaml")).unwrap();
    site.write_config(&text);
    let config = site.at("second.yaml");
    let command: Command = site.command(&["run", "--config", config.to_str().unwrap()]);
    let said = site.refused_as(command, ANOTHER_INSTANCE);
    let said = said.replace(&daemon.pid().to_string(), "PID");
    let ticks = said.split('@').nth(1).and_then(|rest| rest.split(':').next()).unwrap_or("none");
    expected.assert_eq(&said.replace(&format!("@{ticks}:"), "@TICKS:"));
    daemon.drained();
}

/// Nothing is on its way that would change a file while the second one is tried.
#[track_caller]
fn at_rest(daemon: &Daemon) {
    let is_up = |status: &serde_json::Value| status["sessions"][0]["exists"] == true;
    daemon.status_when("the session exists", is_up);
}

#[test]
fn with_the_same_configuration() {
    second(
        &[],
        &expect![[r#"
            another instance (pid PID) holds DIR/state/lock; stop it first, or give this one a state directory of its own
        "#]],
    );
}

#[test]
fn with_the_same_link_alone() {
    let own =
        [("DIR/state", "DIR/state2"), ("DIR/run", "DIR/run2"), ("DIR/tmux.sock", "DIR/2.sock")];
    second(
        &own,
        &expect![[r#"
        another instance (pid PID) holds DIR/link.failover-lock; stop it first: one link can have only one daemon
    "#]],
    );
}

#[test]
fn with_the_same_tmux_server_alone() {
    let own =
        [("DIR/state", "DIR/state2"), ("DIR/run", "DIR/run2"), ("link: DIR/link", "link: DIR/2")];
    second(
        &own,
        &expect![[r#"
        the tmux server on DIR/tmux.sock is driven by another claude-failover, PID@TICKS:DIR/link; stop that one first
    "#]],
    );
}

#[test]
fn with_the_same_runtime_directory_alone() {
    let own = [
        ("DIR/state", "DIR/state2"),
        ("DIR/tmux.sock", "DIR/2.sock"),
        ("link: DIR/link", "link: DIR/2"),
    ];
    second(
        &own,
        &expect![[r#"
        another instance answers on DIR/run/control.sock; stop it first, or give this one a runtime_dir of its own
    "#]],
    );
}

#[test]
fn a_lock_without_its_holder_is_no_instance() {
    let site = Site::new();
    let mut first = site.start();
    at_rest(&first);
    first.signal("-KILL");
    first.ended();
    let daemon = site.start();
    assert!(within(PATIENCE, || daemon.status()["state"] == "normal"), "{}", daemon.log());
    daemon.drained();
}
