//! The command line: 64 for what it does not know, help that fits a terminal of 80 columns.

use std::process::Command;

use crate::support::binary;

const VERBS: [&str; 20] = [
    "run", "check", "init", "doctor", "demo", "status", "swap", "pause", "resume", "drain",
    "reload", "stop", "account", "pin", "submit", "tasks", "history", "logs", "why", "classify",
];
const COLUMNS: usize = 80;

fn said(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary()).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_are_answers() {
    let version = format!("claude-failover {}\n", claude_failover::version::LONG);
    assert_eq!(said(&["--version"]), (Some(0), version, String::new()));
    for args in [vec!["--help"], vec!["-h"], vec!["help"]] {
        let (code, help, errors) = said(&args);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{args:?}");
        for verb in VERBS {
            assert!(help.contains(&format!("\n  {verb}")), "{verb} is missing in {help}");
        }
    }
}

#[test]
fn the_help_of_every_verb_fits_a_terminal() {
    let of_tasks = ["list", "show", "retry", "cancel"].map(|verb| vec!["tasks", verb]);
    let of_account = ["list", "add", "hold", "release", "pin"].map(|verb| vec!["account", verb]);
    let verbs = VERBS.map(|verb| vec![verb]).into_iter().chain([vec![]]);
    let verbs = verbs.chain(of_tasks).chain(of_account);
    for mut args in verbs {
        args.push("--help");
        let (code, help, _) = said(&args);
        assert_eq!(code, Some(0), "{args:?}");
        let long: Vec<&str> = help.lines().filter(|l| l.chars().count() > COLUMNS).collect();
        assert!(long.is_empty(), "{args:?}: {long:#?}");
    }
}

#[test]
fn what_is_not_known_is_a_usage_error() {
    for args in [
        vec![],
        vec!["fly"],
        vec!["run", "extra"],
        vec!["run", "--config"],
        vec!["run", "--log-level", "loud"],
        vec!["check", "a", "b"],
        vec!["demo", "--kept"],
        vec!["swap", "--to", "a", "--clear"],
        vec!["swap", "--to", "two words"],
        vec!["swap", "--dry-run", "--clear"],
        vec!["swap", "--json"],
        vec!["account"],
        vec!["account", "hold"],
        vec!["account", "sell", "a"],
        vec!["account", "release", "two words"],
        vec!["pin"],
        vec!["pause", "--for", "soon"],
        vec!["pause", "--for", "0s"],
        vec!["resume", "two words"],
        vec!["drain", "a", "b"],
        vec!["reload", "now"],
        vec!["stop", "now"],
        vec!["logs", "--since", "yesterday"],
        vec!["logs", "-n", "-1"],
        vec!["why"],
        vec!["generate"],
        vec!["generate", "completions", "tcsh"],
        vec!["launch"],
        vec!["submit"],
        vec!["submit", "--project", "../x"],
        vec!["submit", "--project", "p", "--depends-on", "x"],
        vec!["tasks", "show"],
        vec!["tasks", "retry", "no-colon"],
        vec!["tasks", "list", "--state", "asleep"],
    ] {
        let (code, out, errors) = said(&args);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}");
        assert!(!errors.is_empty(), "{args:?}");
    }
}

#[test]
fn a_verb_without_a_daemon_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let config = dir.path().join("none.yaml");
    for verb in [
        &["swap"][..],
        &["swap", "--dry-run"],
        &["account", "list"],
        &["account", "hold", "a"],
        &["pin", "a"],
        &["status"],
        &["pause", "--for", "1h"],
        &["resume"],
        &["drain", "a"],
        &["reload"],
        &["stop"],
    ] {
        let of = |option, path: &str| said(&[verb, &[option, path]].concat());
        let (code, out, errors) = of("--runtime-dir", dir.path().to_str().unwrap());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains(socket.to_str().unwrap()), "{errors}");
        assert_eq!(errors.matches("running").count(), 1, "{errors}");
        let (code, out, errors) = of("--config", config.to_str().unwrap());
        assert_eq!((code, out.as_str()), (Some(78), ""), "{errors}");
        assert!(errors.contains(config.to_str().unwrap()), "{errors}");
    }
}
