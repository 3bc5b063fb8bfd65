//! Killed at every step, an adoption goes on or goes back, and so does the way back.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;

use fs_err as fs;

use crate::init::stage::Host;

/// Three for each step, and some; a run past the last one ends by itself.
const POINTS_MAX: usize = 200;
const SIGKILL: i32 = 9;

/// Whether the run was killed after `point` records and steps; else it must have ended well.
#[track_caller]
fn is_killed(host: &Host, verb: &str, point: usize) -> bool {
    let mut command = host.command(&["init", verb]);
    command.env("CLAUDE_FAILOVER_DIE_AFTER_RECORDS", point.to_string());
    let output = command.output().unwrap();
    match output.status.signal() {
        Some(signal) => {
            assert_eq!(signal, SIGKILL);
            true
        }
        None => {
            host.said(&output, 0);
            false
        }
    }
}

/// Both homes and a link to be made; one file of each kind, so that every kind of step is there.
fn host() -> Host {
    let host = Host::new();
    host.write(".claude.json", "{}");
    host.write(".claude/projects/-a/1.jsonl", "one");
    host.write(".claude/projects/-a/same.jsonl", "same");
    host.write(".claude-b/.claude.json", "{}");
    host.write(".claude-b/projects/-a/1.jsonl", "two");
    host.write(".claude-b/projects/-a/same.jsonl", "same");
    host.write(".claude-b/projects/-b/2.jsonl", "b");
    let accounts = "[{name: primary, home: ~/.claude-primary}, {name: b, home: ~/.claude-b}]";
    fs::write(host.config(), format!("accounts: {accounts}\n")).unwrap();
    // Nobody has to be asked for a login.
    fs::remove_file(host.home("bin/claude")).unwrap();
    host
}

fn adopted() -> BTreeMap<String, String> {
    let host = host();
    host.says(&["init", "--adopt"], 0);
    host.tree()
}

#[test]
fn an_adoption_that_is_killed_anywhere_goes_on_to_the_same_end() {
    let expected = adopted();
    let killed = (1..POINTS_MAX).take_while(|point| {
        let host = host();
        let killed = is_killed(&host, "--adopt", *point);
        host.says(&["init", "--adopt"], 0);
        assert_eq!(host.tree(), expected, "killed after {point}");
        killed
    });
    let killed = killed.count();
    assert!((30..POINTS_MAX - 1).contains(&killed), "{killed} points");
}

#[test]
fn an_adoption_that_is_killed_anywhere_goes_back_to_the_start() {
    let killed = (1..POINTS_MAX).take_while(|point| {
        let host = host();
        let before = host.tree();
        let killed = is_killed(&host, "--adopt", *point);
        host.says(&["init", "--undo"], 0);
        assert_eq!(host.tree(), before, "killed after {point}");
        killed
    });
    let killed = killed.count();
    assert!((30..POINTS_MAX - 1).contains(&killed), "{killed} points");
}

#[test]
fn a_way_back_that_is_killed_anywhere_goes_on_and_an_adoption_may_follow() {
    let expected = adopted();
    let killed = (1..POINTS_MAX).take_while(|point| {
        let host = host();
        let before = host.tree();
        host.says(&["init", "--adopt"], 0);
        let killed = is_killed(&host, "--undo", *point);
        if killed {
            host.says(&["init", "--undo"], 0);
        }
        assert_eq!(host.tree(), before, "killed after {point}");
        host.says(&["init", "--adopt"], 0);
        assert_eq!(host.tree(), expected, "killed after {point}");
        killed
    });
    let killed = killed.count();
    assert!((20..POINTS_MAX - 1).contains(&killed), "{killed} points");
}

#[test]
fn a_record_that_was_cut_in_the_middle_was_never_acted_upon() {
    let host = host();
    let before = host.tree();
    assert!(is_killed(&host, "--adopt", 5));
    let log = host.home(".claude.failover-adopt");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{text}{{\"record\":\"intent\",\"num")).unwrap();
    host.says(&["init", "--undo"], 0);
    assert_eq!(host.tree(), before);
}

#[test]
fn a_log_that_is_damaged_is_named_and_nothing_is_touched() {
    let host = host();
    assert!(is_killed(&host, "--adopt", 5));
    let log = host.home(".claude.failover-adopt");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"begun\"", "\"undo_begun\"", 1) + "nonsense\n").unwrap();
    let before = host.tree();
    for verb in ["--adopt", "--undo"] {
        let said = host.says(&["init", verb], 1);
        assert!(said.contains("HOME/.claude.failover-adopt:"), "{said}");
        assert_eq!(host.tree(), before);
    }
}
