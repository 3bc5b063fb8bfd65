//! The built binary on a host of its own, with the daemon down and up. What depends on the machine
//! that the tests run on is left out here; `checks` has it.

use std::time::Duration;

use expect_test::expect;
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::edges::site::Site;
use crate::support::eventually;

/// Looked at on the machine, not in the site.
const OF_THE_MACHINE: [&str; 8] =
    ["clock", "zone", "units", "linger", "user", "inotify", "files", "disk"];

/// The lines of the site, `DIR` for its path and `N` for numbers of this run; and the exit code.
fn doctor(site: &Site) -> (String, i32) {
    let config = site.config();
    let mut command = site.command(&["doctor", "--config", config.to_str().unwrap()]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = crate::support::binary();
    let lines = text.lines().filter(|line| {
        let check = line.split_whitespace().nth(1).unwrap();
        let is_limit = line.contains("may open");
        !OF_THE_MACHINE.contains(&check) && !is_limit && !line.ends_with(" failed")
    });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let text = text.replace(site.path().to_str().unwrap(), "DIR");
    let text = text.replace(own.to_str().unwrap(), "BINARY");
    let text = without_number(&text, "is process ", "");
    let text = without_number(&text, "tmux        tmux ", ".");
    (without_number(&text, "journal     ", ""), output.status.code().unwrap())
}

fn without_number(text: &str, before: &str, more: &str) -> String {
    let Some((start, rest)) = text.split_once(before) else { return text.to_owned() };
    let end = rest.trim_start_matches(|c: char| c.is_ascii_digit() || more.contains(c));
    let number = if end.len() < rest.len() { "N" } else { "" };
    format!("{start}{before}{number}{end}")
}

/// A site whose agents run a client that can be asked.
fn site() -> Site {
    let site = Site::new();
    let script = "#!/bin/sh\n\
        case \"$1 $2\" in\n\
        \"--version \") echo '2.1.330 (Claude Code)' ;;\n\
        \"auth status\") echo '{\"loggedIn\": true}' ;;\n\
        *) exec sleep 1000 ;;\n\
        esac\n";
    fs::write(site.at("claude"), script).unwrap();
    crate::edges::site::chmod(&site.at("claude"), 0o755);
    site.edit("[/bin/sleep, \"1000\"]", "[DIR/claude]");
    for home in ["a", "b"] {
        let trusted = format!(
            r#"{{"hasCompletedOnboarding": true, "projects": {{"{}": {{"hasTrustDialogAccepted": true}}}}}}"#,
            site.at("work").display()
        );
        fs::write(site.at(home).join(".claude.json"), trusted).unwrap();
    }
    site
}

#[test]
fn before_the_first_start_nothing_is_made_and_nothing_is_wrong() {
    let site = site();
    let before = site.tree();
    let (text, _) = doctor(&site);
    assert_eq!(site.tree(), before, "doctor changes nothing");
    expect![[r#"
        ok    config      DIR/config.yaml: config loaded: accounts=2 dedicated=1 pool min=0 max=0
        ok    client      DIR/claude: 2.1.330
        ok    homes       2 homes, the link DIR/link, and what they share in DIR/shared/projects
        ok    directories DIR/state and DIR/run
        ok    login       account a: logged in
        ok    login       account b: logged in
        ok    dialogs     no first-start, trust or bypass dialog is open
        ok    tmux        tmux N
        ok    tmux        no server runs on DIR/tmux.sock: the daemon starts one
        ok    sessions    0 of the 1 that shall always exist
        skip  daemon      it has not run yet
        skip  hooks       their settings are written at the daemon's start
        skip  notify      no channel is configured: nobody is told anything
        skip  journal     DIR/state has none yet
        skip  tasks       there is no pool: pool.autonomous is not set
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_daemon_at_work_is_asked_too() {
    let site = site();
    let daemon = site.start();
    daemon.normal();
    daemon.status_when("the session is there", |status| status["sessions"][0]["exists"] == true);
    let (text, _) = doctor(&site);
    expect![[r#"
        ok    config      DIR/config.yaml: config loaded: accounts=2 dedicated=1 pool min=0 max=0
        ok    client      DIR/claude: 2.1.330
        ok    homes       2 homes, the link DIR/link, and what they share in DIR/shared/projects
        ok    directories DIR/state and DIR/run
        ok    login       account a: logged in
        ok    login       account b: logged in
        ok    dialogs     no first-start, trust or bypass dialog is open
        ok    tmux        tmux N
        ok    tmux        the server on DIR/tmux.sock is process N; sessions: 1
        ok    sessions    1 of the 1 that shall always exist
        ok    daemon      it answers: normal
        ok    hooks       agents are given BINARY
        skip  notify      no channel is configured: nobody is told anything
        ok    journal     N records, all can be read
        skip  tasks       there is no pool: pool.autonomous is not set
    "#]]
    .assert_eq(&text);
    daemon.drained();
    let (text, code) = doctor(&site);
    assert!(text.contains("fail  daemon      it does not run, and has run before"), "{text}");
    assert_eq!(code, 1);
    fs::remove_file(site.at("tmux.sock")).unwrap();
    let (text, code) = doctor(&site);
    let told =
        "fail  tmux        the server on DIR/tmux.sock is process N, but its file was removed";
    assert!(text.contains(told) && text.contains(" -> kill -USR1 "), "{text}");
    assert_eq!(code, 1);
    // So that the site can end it.
    let pid = text.split_once("kill -USR1 ").unwrap().1.split(';').next().unwrap();
    let server = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(server, Signal::USR1).unwrap();
    eventually("its file is back", Duration::from_secs(10), || {
        site.at("tmux.sock").exists().then_some(())
    });
}

#[test]
fn what_is_wrong_is_told_with_the_remedy_and_the_exit_code_says_so() {
    let site = site();
    site.remove("b");
    site.remove("a/.claude.json");
    fs::remove_file(site.at("link")).unwrap();
    fs::create_dir(site.at("link")).unwrap();
    let script = fs::read_to_string(site.at("claude")).unwrap();
    fs::write(site.at("claude"), script.replace("true", "false")).unwrap();
    let (text, code) = doctor(&site);
    expect![[r#"
        ok    config      DIR/config.yaml: config loaded: accounts=2 dedicated=1 pool min=0 max=0
        ok    client      DIR/claude: 2.1.330
        fail  homes       accounts[b].home: DIR/b does not exist: make it and log in once: mkdir -m 700 DIR/b && CLAUDE_CONFIG_DIR=DIR/b claude
        fail  homes       link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/link.before && ln -s DIR/a DIR/link (and copy from it what you miss); or let it be done: claude-failover init --adopt
        ok    directories DIR/state and DIR/run
        fail  login       account a: not logged in -> CLAUDE_CONFIG_DIR=DIR/a claude, then /login
        skip  login       account b: it has no home yet
        warn  dialogs     account a: the first start is not done, DIR/work is not trusted: run once: cd DIR/work && CLAUDE_CONFIG_DIR=DIR/a DIR/claude
        ok    tmux        tmux N
        ok    tmux        no server runs on DIR/tmux.sock: the daemon starts one
        ok    sessions    0 of the 1 that shall always exist
        skip  daemon      it has not run yet
        skip  hooks       their settings are written at the daemon's start
        skip  notify      no channel is configured: nobody is told anything
        skip  journal     DIR/state has none yet
        skip  tasks       there is no pool: pool.autonomous is not set
    "#]]
    .assert_eq(&text);
    assert_eq!(code, 1);
}

#[test]
fn a_configuration_that_is_wrong_is_told_and_the_host_is_looked_at_all_the_same() {
    let site = site();
    site.edit("accounts:", "acounts:");
    let config = site.config();
    let args = ["doctor", "--json", "--config", config.to_str().unwrap()];
    let output = site.command(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["ok"], false);
    let checks = said["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().filter(|check| check["check"] == name).count();
    assert!(of("config") >= 2 && of("clock") == 1 && of("zone") == 1, "{said:#}");
    assert_eq!(checks[0]["verdict"], "fail");
    assert!(checks[0]["what"].as_str().unwrap().contains("config.yaml:"), "{said:#}");
}

#[test]
fn the_queues_are_looked_at_with_the_daemon_down() {
    let site = site();
    site.edit(
        "dedicated: [{name: site, project: DIR/work}]",
        "autonomous: {prefix: p-, max: 1, workdir: DIR/work}",
    );
    site.edit("http:", "dispatcher: {projects_dir: DIR/projects}\nhttp:");
    let (text, code) = doctor(&site);
    assert!(text.contains("fail  tasks       DIR/projects is not there -> make it"), "{text}");
    assert_eq!(code, 1);
    let inbox = site.at("projects/shop/.agent-queue/inbox");
    fs::create_dir_all(&inbox).unwrap();
    for task in ["one", "two"] {
        fs::write(inbox.join(format!("{task}.md")), "Do it.\n").unwrap();
    }
    fs::write(inbox.join("two.md.dispatched"), "by hand").unwrap();
    let (text, _) = doctor(&site);
    let tasks: Vec<&str> = text.lines().filter(|line| line.contains(" tasks ")).collect();
    let [foreign, ready] = tasks[..] else { panic!("{text}") };
    assert!(foreign.starts_with("warn  tasks ") && foreign.contains("shop:two"), "{foreign}");
    let ready_now = "skip  tasks       1 ready; shop:one has waited for ";
    assert!(ready.starts_with(ready_now) && ready.ends_with("; the daemon is down"), "{ready}");
}

#[test]
fn sessions_on_another_server_and_a_tmux_that_does_not_run_are_told() {
    let site = site();
    let made = site.default_tmux(&["new-session", "-d", "-s", "site"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (text, code) = doctor(&site);
    let told = "fail  sessions    tmux.socket: DIR/tmux.sock has no session site, but the user's \
                default server DIR/tmp/";
    assert!(text.contains(told), "{text}");
    assert_eq!(code, 1);
    site.edit("tmux: {socket: DIR/tmux.sock}", "tmux: {command: /nowhere/tmux}");
    let (text, code) = doctor(&site);
    assert!(text.contains("fail  tmux        \"/nowhere/tmux\" does not run"), "{text}");
    assert_eq!(code, 1);
}
