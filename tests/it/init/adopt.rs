//! From what a host has to homes, link and shared directories, and back.

use std::os::unix::fs::MetadataExt as _;

use claude_failover::config::load::{Base, load_with};
use claude_failover::preflight;
use expect_test::expect;
use fs_err as fs;

use crate::init::stage::Host;

/// What a start would still refuse, the user and the daemon's own directories apart.
fn refused_at_start(host: &Host) -> Vec<String> {
    let config = load_with(&host.config(), &Base::new(host.home(""))).unwrap().config;
    let uid = fs::metadata(host.home("")).unwrap().uid();
    let problems = preflight::disk(&config, uid).into_iter();
    let ours = ["link", "accounts", "pool"];
    problems
        .filter(|problem| ours.iter().any(|key| problem.path.starts_with(key)))
        .map(|problem| problem.to_string())
        .collect()
}

#[test]
fn on_a_new_machine_everything_is_made() {
    let host = Host::new();
    let before = host.tree();
    let said = host.says(&["init"], 0);
    expect![[r#"
        configuration: written to DIR/c.yaml
        account primary: HOME/.claude-primary: no home yet
        plan: 8 steps; nothing is overwritten, nothing removed
          make   HOME/.claude-primary/
          link   HOME/.claude
              to HOME/.claude-primary
          make   HOME/.claude-projects-shared/
          link   HOME/.claude-primary/projects
              to HOME/.claude-projects-shared
          make   HOME/.claude-session-env-shared/
          link   HOME/.claude-primary/session-env
              to HOME/.claude-session-env-shared
          make   HOME/.claude-file-history-shared/
          link   HOME/.claude-primary/file-history
              to HOME/.claude-file-history-shared
        Nothing is changed there yet. End every Claude Code of these homes, then
          claude-failover init --adopt --config DIR/c.yaml
        and, should you want all as it was: init --undo
    "#]]
    .assert_eq(&said);
    assert_eq!(host.tree(), before, "init shows only");
    assert!(!refused_at_start(&host).is_empty());

    let said = host.says(&["init", "--adopt"], 0);
    expect![[r#"
        configuration: DIR/c.yaml is there and stays as it is
        adopted: 8 steps, written to HOME/.claude.failover-adopt
        account primary: HOME/.claude-primary: not logged in: CLAUDE_CONFIG_DIR=HOME/.claude-primary claude, then /login
        next: claude-failover doctor --config DIR/c.yaml
    "#]]
    .assert_eq(&said);
    assert_eq!(refused_at_start(&host), [""; 0]);
    assert_eq!(fs::metadata(host.home(".claude-primary")).unwrap().mode() & 0o7777, 0o700);

    host.says(&["init", "--undo"], 0);
    assert_eq!(host.tree(), before);
}

#[test]
fn the_usual_home_becomes_the_first_account_with_all_it_holds() {
    let host = Host::with_usual_home();
    let before = host.tree();
    let inode = |name: &str| fs::metadata(host.home(name)).unwrap().ino();
    let login = inode(".claude/.credentials.json");
    let said = host.says(&["init", "--adopt"], 0);
    expect![[r#"
        configuration: written to DIR/c.yaml
        adopted: 9 steps, written to HOME/.claude.failover-adopt
        account primary: HOME/.claude-primary: logged in as me@one.example
        next: claude-failover doctor --config DIR/c.yaml
    "#]]
    .assert_eq(&said);
    expect![[r#"
        .claude -> HOME/.claude-primary
        .claude-file-history-shared 755/
        .claude-file-history-shared/h1 755/
        .claude-file-history-shared/h1/a@v1 644 "old\n"
        .claude-primary 755/
        .claude-primary/.claude.json 644 "{\"hasCompletedOnboarding\": true}"
        .claude-primary/.credentials.json 600 "not to be read"
        .claude-primary/file-history -> HOME/.claude-file-history-shared
        .claude-primary/logged-in 644 "me@one.example"
        .claude-primary/projects -> HOME/.claude-projects-shared
        .claude-primary/session-env -> HOME/.claude-session-env-shared
        .claude-primary/settings.json 644 "{}"
        .claude-projects-shared 755/
        .claude-projects-shared/-srv-a 755/
        .claude-projects-shared/-srv-a/1 755/
        .claude-projects-shared/-srv-a/1.jsonl 644 "one\n"
        .claude-projects-shared/-srv-a/1/subagents 755/
        .claude-projects-shared/-srv-a/1/subagents/x.jsonl 644 "x\n"
        .claude-projects-shared/-srv-a/same.jsonl 644 "same\n"
        .claude-session-env-shared 700/
        .claude.json 644 "{\"hasCompletedOnboarding\": true}"
    "#]]
    .assert_eq(&host.listing());
    assert_eq!(inode(".claude-primary/.credentials.json"), login, "moved, never copied");
    assert_eq!(refused_at_start(&host), [""; 0]);

    host.says(&["init", "--undo"], 0);
    assert_eq!(host.tree(), before);
    assert_eq!(inode(".claude/.credentials.json"), login);
}

#[test]
fn two_homes_come_together_file_by_file_and_nothing_is_lost() {
    let host = Host::with_two_homes();
    let before = host.tree();
    let said = host.says(&["init", "--adopt"], 0);
    expect![[r#"
        configuration: written to DIR/c.yaml
        adopted: 19 steps, written to HOME/.claude.failover-adopt
        note: differs from HOME/.claude-projects-shared/-srv-a/1.jsonl, kept beside: HOME/.claude-projects-shared/-srv-a/1.jsonl.from-backup
        note: 2 files of HOME/.claude-backup/projects HOME/.claude-projects-shared has already, equal: kept in HOME/.claude-backup/adopted-duplicates/projects
        account primary: HOME/.claude-primary: logged in as me@one.example
        account backup: HOME/.claude-backup: not logged in: CLAUDE_CONFIG_DIR=HOME/.claude-backup claude, then /login
        next: claude-failover doctor --config DIR/c.yaml
    "#]]
    .assert_eq(&said);
    expect![[r#"
        .claude-projects-shared 755/
        .claude-projects-shared/-srv-a 755/
        .claude-projects-shared/-srv-a/1 755/
        .claude-projects-shared/-srv-a/1.jsonl 644 "one\n"
        .claude-projects-shared/-srv-a/1.jsonl.from-backup 644 "two\n"
        .claude-projects-shared/-srv-a/1/subagents 755/
        .claude-projects-shared/-srv-a/1/subagents/x.jsonl 644 "x\n"
        .claude-projects-shared/-srv-a/empty 755/
        .claude-projects-shared/-srv-a/latest -> 1.jsonl
        .claude-projects-shared/-srv-a/new.jsonl 644 "new\n"
        .claude-projects-shared/-srv-a/same.jsonl 644 "same\n"
        .claude-projects-shared/-srv-b 750/
        .claude-projects-shared/-srv-b/2.jsonl 644 "b\n"
    "#]]
    .assert_eq(&lines_with(&host.listing(), ".claude-projects-shared"));
    expect![[r#"
        .claude-backup 755/
        .claude-backup/.claude.json 644 "{}"
        .claude-backup/.credentials.json 644 "nor this"
        .claude-backup/adopted-duplicates 700/
        .claude-backup/adopted-duplicates/projects 755/
        .claude-backup/adopted-duplicates/projects/-srv-a 755/
        .claude-backup/adopted-duplicates/projects/-srv-a/1 755/
        .claude-backup/adopted-duplicates/projects/-srv-a/1/subagents 755/
        .claude-backup/adopted-duplicates/projects/-srv-a/1/subagents/x.jsonl 644 "x\n"
        .claude-backup/adopted-duplicates/projects/-srv-a/same.jsonl 644 "same\n"
        .claude-backup/file-history -> HOME/.claude-file-history-shared
        .claude-backup/projects -> HOME/.claude-projects-shared
        .claude-backup/session-env -> HOME/.claude-session-env-shared
    "#]]
    .assert_eq(&lines_with(&host.listing(), ".claude-backup"));
    assert_eq!(refused_at_start(&host), [""; 0]);

    let said = host.says(&["init", "--adopt"], 0);
    assert!(said.contains("all is where it belongs"), "{said}");
    host.says(&["init", "--undo"], 0);
    assert_eq!(host.tree(), before);
    let said = host.says(&["init", "--undo"], 0);
    assert!(said.contains("nothing was adopted here"), "{said}");
}

fn lines_with(listing: &str, start: &str) -> String {
    let lines = listing.lines().filter(|line| line.starts_with(start));
    lines.map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn what_came_after_the_adoption_stays_when_it_is_taken_back() {
    let host = Host::with_two_homes();
    host.says(&["init", "--adopt"], 0);
    host.write(".claude/projects/-srv-a/later.jsonl", "later\n");
    host.write(".claude-session-env-shared/e2/hook.sh", "later\n");
    host.write(".claude-backup/adopted-duplicates/mine", "kept\n");
    // As a swap leaves it.
    fs::remove_file(host.home(".claude")).unwrap();
    std::os::unix::fs::symlink(host.home(".claude-backup"), host.home(".claude")).unwrap();
    // As a client writes its state.
    host.write(".claude-primary/next", "{\"numStartups\": 2}");
    fs::rename(host.home(".claude-primary/next"), host.home(".claude-primary/.claude.json"))
        .unwrap();

    let said = host.says(&["init", "--undo"], 0);
    expect![[r#"
        configuration: DIR/c.yaml is there and stays as it is
        taken back: 19 steps; the log stays: HOME/.claude.failover-adopt
        note: HOME/.claude-backup/adopted-duplicates holds something by now
        note: HOME/.claude-primary/.claude.json has changed since, and so stays beside HOME/.claude.json
    "#]]
    .assert_eq(&said);
    let tree = host.tree();
    for (name, facts) in [
        (".claude/projects/-srv-a/later.jsonl", "644 \"later\\n\""),
        (".claude-backup/session-env/e2/hook.sh", "644 \"later\\n\""),
        (".claude-backup/projects/-srv-a/1.jsonl", "644 \"two\\n\""),
        (".claude/.credentials.json", "600 \"not to be read\""),
        (".claude/.claude.json", "644 \"{\\\"numStartups\\\": 2}\""),
    ] {
        assert_eq!(tree.get(name).map(String::as_str), Some(facts), "{name}");
    }
}

#[test]
fn what_stands_in_the_way_of_the_way_back_is_named_and_once_it_is_gone_the_rest_follows() {
    let host = Host::with_usual_home();
    let before = host.tree();
    host.says(&["init", "--adopt"], 0);
    fs::remove_file(host.home(".claude-primary/projects")).unwrap();
    host.write(".claude-primary/projects", "a file");
    let said = host.says(&["init", "--undo"], 1);
    assert!(said.contains("HOME/.claude-primary/projects is not the link"), "{said}");
    let said = host.says(&["init", "--adopt"], 1);
    assert!(said.contains("claude-failover init --undo"), "{said}");
    fs::remove_file(host.home(".claude-primary/projects")).unwrap();
    host.says(&["init", "--undo"], 0);
    assert_eq!(host.tree(), before);
}

#[test]
fn a_usual_home_that_keeps_its_conversations_elsewhere_shares_that_place() {
    for target in ["../talk/projects", "/talk/projects"] {
        let host = Host::with_usual_home();
        fs::create_dir(host.home("talk")).unwrap();
        fs::rename(host.home(".claude/projects"), host.home("talk/projects")).unwrap();
        let target = match target.strip_prefix('/') {
            Some(below) => host.home(below),
            None => target.into(),
        };
        std::os::unix::fs::symlink(&target, host.home(".claude/projects")).unwrap();
        host.write(".claude-b/.claude.json", "{}");
        host.write(".claude-b/projects/-srv-b/2.jsonl", "b\n");
        let before = host.tree();
        host.says(&["init", "--adopt"], 0);
        assert_eq!(refused_at_start(&host), [""; 0]);
        let tree = host.tree();
        assert_eq!(tree["talk/projects/-srv-b/2.jsonl"], "644 \"b\\n\"");
        assert_eq!(tree["talk/file-history/h1/a@v1"], "644 \"old\\n\"");
        host.says(&["init", "--undo"], 0);
        assert_eq!(host.tree(), before);
    }
}
