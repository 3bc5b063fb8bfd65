//! The configuration that `init` writes, and what it says of logins.

use std::process::{Command, Stdio};

use fs_err as fs;

use crate::init::stage::Host;

#[test]
fn a_configuration_that_is_there_stays_and_what_it_lacks_is_told() {
    let host = Host::with_two_homes();
    let text = "accounts: [{name: only, home: ~/.claude-only}]\n";
    fs::write(host.config(), text).unwrap();
    let said = host.says(&["init"], 0);
    assert!(said.contains("DIR/c.yaml is there and stays as it is"), "{said}");
    assert!(
        said.contains(
            "not in it: HOME/.claude-backup looks like a Claude home: claude-failover account add \
             NAME --home HOME/.claude-backup --config DIR/c.yaml"
        ),
        "{said}"
    );
    assert_eq!(fs::read_to_string(host.config()).unwrap(), text);
    fs::write(host.config(), "accounts: []\n").unwrap();
    assert!(host.says(&["init"], 78).contains("DIR/c.yaml:1: accounts"));
}

#[test]
fn a_login_that_is_lost_while_it_is_asked_for_is_no_login() {
    let host = Host::with_two_homes();
    host.write(".claude-backup/logged-in", "two@x.example");
    host.write(".claude-backup/denied", "{}");
    let said = host.says(&["init"], 0);
    assert!(said.contains("HOME/.claude-primary: logged in as me@one.example\n"), "{said}");
    assert!(said.contains("HOME/.claude-backup: not logged in: "), "{said}");
    // Once more only where something has changed meanwhile.
    assert_eq!(host.asked(), "HOME/.claude\nHOME/.claude-backup\nHOME/.claude-backup\n");
}

#[test]
fn a_dry_run_writes_nothing_and_shows_all() {
    let host = Host::with_two_homes();
    let before = host.tree();
    let said = host.says(&["init", "--dry-run"], 0);
    assert!(said.contains("would be written to DIR/c.yaml"), "{said}");
    assert!(said.contains("  - name: backup\n    home: ~/.claude-backup\n"), "{said}");
    assert!(said.contains("plan: 19 steps"), "{said}");
    assert!(!host.config().exists());
    assert_eq!(host.tree(), before);
    assert_eq!(host.asked(), "", "a client that is asked may write");
    assert!(host.says(&["init", "--dry-run", "--adopt"], 64).contains("cannot be used with"));
}

#[test]
fn homes_that_share_already_are_taken_as_they_are() {
    let host = Host::new();
    for name in ["projects", "session-env", "file-history"] {
        fs::create_dir_all(host.at(&format!("big/{name}"))).unwrap();
    }
    for home in [".claude-a", ".claude-b"] {
        host.write(&format!("{home}/.claude.json"), "{}");
        for name in ["projects", "session-env", "file-history"] {
            let link = host.home(&format!("{home}/{name}"));
            std::os::unix::fs::symlink(host.at(&format!("big/{name}")), link).unwrap();
        }
    }
    std::os::unix::fs::symlink(".claude-b", host.home(".claude")).unwrap();
    let before = host.tree();
    let said = host.says(&["init", "--adopt"], 0);
    assert!(said.contains("all is where it belongs"), "{said}");
    assert_eq!(host.tree(), before);
    let text = fs::read_to_string(host.config()).unwrap();
    assert!(text.contains("- name: b\n    home: ~/.claude-b\n    priority: 1\n"), "{text}");
}

#[test]
fn each_login_is_asked_of_the_client_and_of_the_home_it_is_in() {
    let host = Host::with_two_homes();
    let said = host.says(&["init"], 0);
    assert!(said.contains("account primary: HOME/.claude-primary: logged in as me@one"), "{said}");
    assert!(said.contains("account backup: HOME/.claude-backup: not logged in: CLAUDE_"), "{said}");
    assert_eq!(host.asked(), "HOME/.claude\nHOME/.claude-backup\n");
}

#[test]
fn nobody_is_asked_in_whose_home_somebody_lives() {
    let host = Host::with_two_homes();
    let mut child = Command::new("cat")
        .env("CLAUDE_CONFIG_DIR", host.home(".claude-backup"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let said = host.says(&["init"], 0);
    let lived = format!("backup: HOME/.claude-backup: login not asked for: process {}", child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains(&lived), "{said}");
    assert_eq!(host.asked(), "HOME/.claude\n");
}

#[test]
fn a_client_that_would_take_the_question_for_a_prompt_is_not_asked() {
    let host = Host::with_usual_home();
    host.client("2.1.40");
    let said = host.says(&["init"], 0);
    assert!(
        said.contains("login unknown: the client 2.1.40 cannot say; 2.1.41 and later"),
        "{said}"
    );
    assert_eq!(host.asked(), "");
    host.client("2.1.41");
    host.says(&["init"], 0);
    assert_eq!(host.asked(), "HOME/.claude\n");
}

#[test]
fn a_place_that_cannot_be_written_to_comes_with_a_way_out() {
    let host = Host::new();
    let mut command = host.command(&["init"]);
    command.env("HOME", host.at("nowhere"));
    let said = host.said(&command.output().unwrap(), 1);
    assert!(said.contains("looking for Claude homes"), "{said}");
    fs::write(host.at("file"), "").unwrap();
    let mut command = Command::new(crate::support::binary());
    command.args(["init", "--config"]).arg(host.at("file/c.yaml")).env("HOME", host.home(""));
    let said = host.said(&command.output().unwrap(), 1);
    assert!(said.contains("name a file of your own with --config"), "{said}");
}

#[test]
fn nobody_has_to_hear_it_out() {
    let host = Host::with_two_homes();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = host.command(&["init", "--adopt"]).stdout(writer).output().unwrap();
    host.said(&output, 0);
    assert!(host.home(".claude").is_symlink());
}
