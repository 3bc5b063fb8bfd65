//! `account add`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use claude_failover::config::load::{Base, load_with};
use expect_test::expect;
use fs_err as fs;

use crate::init::stage::Host;

#[test]
fn one_more_account_has_a_home_its_links_and_its_place_in_the_file() {
    let host = Host::with_usual_home();
    host.says(&["init", "--adopt"], 0);
    let before = fs::read_to_string(host.config()).unwrap();
    fs::set_permissions(host.config(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = host.says(&["account", "add", "backup"], 0);
    expect![[r#"
        account backup: HOME/.claude-backup is made and in DIR/c.yaml
        (the file of before is kept beside it, with .old behind its name)
        1. log in, once:
             CLAUDE_CONFIG_DIR=HOME/.claude-backup claude
           choose the theme, /login, and in every work directory answer once that you trust
           the folder and accept the bypass mode; claude-failover doctor says what is missing
        2. restart the daemon, which takes new accounts only then; sessions stay as they are:
             systemctl restart claude-failover
    "#]]
    .assert_eq(&said);
    let after = fs::read_to_string(host.config()).unwrap();
    let added = "  - name: backup\n    home: ~/.claude-backup\n    priority: 2\n";
    assert_eq!(after.replacen(added, "", 1), before, "all else stays, comments above all");
    assert_ne!(after, before);
    assert_eq!(fs::read_to_string(host.at("c.yaml.old")).unwrap(), before);
    assert_eq!(fs::metadata(host.config()).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(host.home(".claude-backup")).unwrap().mode() & 0o7777, 0o700);
    let shared = fs::read_link(host.home(".claude-backup/projects")).unwrap();
    assert_eq!(shared, host.home(".claude-projects-shared"));

    host.says(&["account", "add", "third", "--home", "h/own", "--priority", "1"], 0);
    let config = load_with(&host.config(), &Base::new(host.home(""))).unwrap().config;
    let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["primary", "third", "backup"]);
    assert_eq!(config.accounts[1].home, host.home("own"));
}

#[test]
fn what_cannot_be_added_changes_nothing() {
    let host = Host::with_two_homes();
    host.says(&["init"], 0);
    let (before, text) = (host.tree(), fs::read_to_string(host.config()).unwrap());
    let backup = host.home(".claude-backup");
    for (args, expected) in [
        (&["backup"][..], "backup is there already: HOME/.claude-backup"),
        (&["x", "--home", backup.to_str().unwrap()], "is the home of backup"),
        (&["x", "--home", "/a/../b"], "is no good home"),
        (&["1x"], "invalid value '1x'"),
    ] {
        let code = if expected.starts_with("invalid") { 64 } else { 1 };
        let said = host.says(&[&["account", "add"], args].concat(), code);
        assert!(said.contains(expected), "{said}");
        assert_eq!(host.tree(), before);
        assert_eq!(fs::read_to_string(host.config()).unwrap(), text);
    }
    // One that holds conversations is for `init --adopt`.
    host.write("full/projects/-a/1.jsonl", "1");
    let said = host.says(&["account", "add", "full", "--home", "h/full"], 1);
    assert!(said.contains("claude-failover init --adopt"), "{said}");
    assert_eq!(fs::read_to_string(host.config()).unwrap(), text);
    fs::write(host.config(), text.replace("accounts:", "\"accounts\":")).unwrap();
    let said = host.says(&["account", "add", "y"], 1);
    assert!(said.contains("add to it yourself: {name: y, home: ~/.claude-y}"), "{said}");
    assert!(!host.home(".claude-y").exists());
}
