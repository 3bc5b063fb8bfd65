//! Checks of files that others write: the journal, the agents' settings, the spool.

use std::path::Path;

use claude_failover::cli::doctor::daemon::Answer;
use claude_failover::cli::doctor::finding::{Finding, Wrap};
use claude_failover::cli::doctor::{disk, homes, hooks};
use claude_failover::cli::units::{Kind, Unit, Units};
use claude_failover::config::load::{Base, parse};
use expect_test::{Expect, expect};
use fs_err as fs;
use serde_json::json;

#[track_caller]
fn check(dir: &Path, findings: impl IntoIterator<Item = Finding>, expected: &Expect) {
    let lines = findings.into_iter().map(|finding| finding.text(Wrap::Never));
    expected.assert_eq(&lines.collect::<String>().replace(dir.to_str().unwrap(), "DIR"));
}

fn answer(agents: &[&str]) -> Answer {
    let session = |from: &&str| json!({"agent": {"state_from": from}});
    let sessions: Vec<_> = agents.iter().map(session).chain([json!({"agent": null})]).collect();
    Answer::Said { health: json!({"ok": true}), status: json!({"sessions": sessions}) }
}

#[test]
fn the_settings_of_agents_name_a_binary_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let down = Answer::NotRunning;
    let path = dir.path().join("agent-settings.json");
    let named = |launcher: &str| {
        let command = format!("'{launcher}' hook --runtime-dir '/run/x'");
        let hook = json!([{"hooks": [{"type": "command", "command": command}]}]);
        fs::write(&path, json!({"hooks": {"Stop": hook}}).to_string()).unwrap();
    };
    let settings = |answer: &Answer, kind| hooks::settings(&path, answer, kind);
    let mut findings = vec![settings(&down, Kind::System)];
    findings.push(settings(&answer(&[]), Kind::User));
    named("/bin/sh");
    findings.push(settings(&down, Kind::System));
    findings.push(settings(&answer(&["session_file", "hook"]), Kind::System));
    findings.push(settings(&answer(&["session_file"]), Kind::System));
    named("/nowhere/it'\\''s");
    findings.push(settings(&down, Kind::System));
    fs::write(&path, "{}").unwrap();
    findings.push(settings(&down, Kind::System));
    check(
        dir.path(),
        findings,
        &expect![[r#"
            skip  hooks       their settings are written at the daemon's start
            fail  hooks       failed to open file `DIR/agent-settings.json`: No such file or directory (os error 2) -> systemctl --user restart claude-failover
            ok    hooks       agents are given /bin/sh
            ok    hooks       agents are given /bin/sh; 1 of 2 agents are known by them now
            ok    hooks       agents are given /bin/sh
            fail  hooks       DIR/agent-settings.json names /nowhere/it's, which cannot be run -> put the binary back there, then systemctl restart claude-failover
            fail  hooks       DIR/agent-settings.json names no hook of ours -> systemctl restart claude-failover writes it anew
        "#]],
    );
}

#[test]
fn what_keeps_hooks_from_arriving_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.json");
    assert_eq!(hooks::disabled("a", dir.path()), None);
    fs::write(&settings, r#"{"disableAllHooks": false}"#).unwrap();
    assert_eq!(hooks::disabled("a", dir.path()), None);
    fs::write(&settings, r#"{"disableAllHooks": true}"#).unwrap();
    let mut findings: Vec<_> = hooks::disabled("a", dir.path()).into_iter().collect();
    assert_eq!(hooks::left_in_spool(100, &answer(&[])), None);
    assert_eq!(hooks::left_in_spool(101, &Answer::NotRunning), None);
    findings.extend(hooks::left_in_spool(101, &answer(&[])));
    check(
        dir.path(),
        findings,
        &expect![[r#"
            warn  hooks       account a: DIR/settings.json switches all hooks off -> take "disableAllHooks" out, or live with slower reports from transcripts and screens
            fail  hooks       101 reports lie in the spool, and the daemon runs -> are hooks run by another user, or with another runtime_dir? see the log
        "#]],
    );
}

#[test]
fn the_journal_is_read_to_its_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut findings = vec![disk::journal(dir.path())];
    let journal = dir.path().join("journal");
    fs::write(&journal, "").unwrap();
    fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o600)).unwrap();
    findings.push(disk::journal(dir.path()));
    fs::write(&journal, "nonsense\nmore of it\n").unwrap();
    findings.push(disk::journal(dir.path()));
    check(
        dir.path(),
        findings,
        &expect![[r#"
            skip  journal     DIR has none yet
            ok    journal     0 records, all can be read
            fail  journal     0 records can be read; DIR/journal line 1 is left out: it is too short -> the next start refuses it (exit 74) and says more: keep a copy of DIR first, and let the daemon run if it does
        "#]],
    );
}

#[test]
fn directories_that_systemd_makes_may_be_missing() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let text = "accounts: [{name: a, home: ~/a}]\nlink: ~/link\nstate_dir: /var/lib/nowhere\n\
                runtime_dir: ~/run\nagent: {env: {IS_SANDBOX: \"1\"}}\n";
    let config = parse(text, &Base::new(dir.path())).unwrap().config;
    for made in ["a", "run"] {
        fs::create_dir(dir.path().join(made)).unwrap();
    }
    std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
    let stranger = fs::metadata(dir.path()).unwrap().uid() + 4_242;
    let directories = |units: &Units| {
        let found = homes::check(&config, stranger, units).into_iter();
        let text: String = found
            .filter(|finding| finding.what.contains("/var/lib/nowhere"))
            .map(|finding| finding.text(Wrap::Never))
            .collect();
        text.replace(&stranger.to_string(), "UID")
    };
    expect![[r#"
        fail  directories state_dir: uid UID may not write in /var/lib: as root, install -d -m 700 -o UID /var/lib/nowhere
    "#]]
    .assert_eq(&directories(&Units::default()));
    let unit = |kind| Unit {
        path: "/etc/systemd/system/claude-failover.service".into(),
        kind,
        user: None,
        is_enabled: true,
        is_running: false,
    };
    let mut units = Units::default();
    units.daemon = Some(unit(Kind::System));
    assert_eq!(directories(&units), "");
    // A user's manager makes neither.
    units.daemon = Some(unit(Kind::User));
    assert_eq!(directories(&units), directories(&Units::default()));
}
