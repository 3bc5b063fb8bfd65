//! Every verb as scripts and pipes use it: its exit code with a daemon and without one, who reads what it
//! says or does not, and colour for those who like it.

use std::fs;
use std::process::{Command, Stdio};

use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::layout::{Layout, pool};
use crate::support::{binary, eventually};

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
    fs::write(fleet.root().join("config.yaml"), "nosuch: 1\n").unwrap();
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
            let mut command = Command::new(binary());
            command.args(args).stdin(Stdio::null());
            if !matches!(args[0], "--help" | "generate" | "nosuch") {
                command.arg("--config").arg(fleet.root().join("config.yaml"));
            }
            let writes = writer.try_clone().unwrap();
            match closes_errors {
                true => command.stdout(writes).stderr(writer),
                false => command.stdout(writes).stderr(Stdio::piped()),
            };
            let output = fleet.at_home(&mut command).spawn().unwrap().wait_with_output().unwrap();
            let expected = if args[0] == "nosuch" { 64 } else { 0 };
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{args:?}: {errors}");
            assert!(!errors.contains("panicked"), "{args:?}: {errors}");
        }
    }
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
