//! Input that the daemon does not start with: 78, the path and the remedy in the message, and
//! nothing changed on the disk (`Site::refused` compares).

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use fs_err as fs;
use rustix::process::geteuid;

use crate::edges::site::{Site, chmod};

const CONFIG: i32 = 78;

/// A program that says it is a tmux of this version, and does nothing else.
fn fake_tmux(site: &Site, version: &str) -> String {
    let path = site.at("fake-tmux");
    fs::write(&path, format!("#!/bin/sh\necho 'tmux {version}'\n")).unwrap();
    chmod(&path, 0o755);
    path.to_str().unwrap().to_owned()
}

/// The same run by a user who owns nothing here. Only root can become somebody else.
fn as_nobody(site: &Site) -> Command {
    let mut command = site.clean(Path::new("setpriv"), &["--reuid=65534", "--clear-groups"]);
    let run = site.run_command();
    command.arg(run.get_program()).args(run.get_args());
    command
}

#[test]
fn a_configuration_that_is_missing_or_cannot_be_read() {
    let site = Site::new();
    let missing = site.command(&["run", "--config", site.at("none.yaml").to_str().unwrap()]);
    expect![[r#"
        reading the configuration DIR/none.yaml: No such file or directory (os error 2): write it after etc/config.example.yaml, or name another file
    "#]]
    .assert_eq(&site.refused_as(missing, CONFIG));
    let directory = site.command(&["run", "--config", site.at("home").to_str().unwrap()]);
    expect![[r#"
        reading the configuration DIR/home: Is a directory (os error 21): name the file in it
    "#]]
    .assert_eq(&site.refused_as(directory, CONFIG));
    fs::write(site.config(), b"link: \xff\n").unwrap();
    expect![[r#"
        reading the configuration DIR/config.yaml: stream did not contain valid UTF-8: it must be text in UTF-8
    "#]]
    .assert_eq(&site.refused(CONFIG));
}

#[test]
fn a_configuration_of_another_user_cannot_be_read() {
    if !geteuid().is_root() {
        return;
    }
    let site = Site::new();
    chmod(site.path(), 0o755);
    chmod(&site.config(), 0o600);
    expect![[r#"
        reading the configuration DIR/config.yaml: Permission denied (os error 13): make it readable for the daemon's user
    "#]]
    .assert_eq(&site.refused_as(as_nobody(&site), CONFIG));
}

#[test]
fn wrong_types_and_unknown_keys_are_told_at_once_with_their_lines() {
    let site = Site::new();
    site.edit("link: DIR/link\n", "link: [DIR/link]\nlinks: x\n");
    site.edit("{interval: 500ms}", "{interval: 5, intervall: 5s}");
    site.edit("name: b, home: DIR/b", "name: b, home: DIR/a");
    expect![[r#"
        DIR/config.yaml:1: link: expected text, got a list
        DIR/config.yaml:2: links: unknown key: did you mean link?
        DIR/config.yaml:5: accounts[1].home: DIR/a is accounts[0].home, too
        DIR/config.yaml:11: lifecycle.interval: the number 5 has no unit: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
        DIR/config.yaml:11: lifecycle.intervall: unknown key: did you mean interval?
    "#]].assert_eq(&site.refused(CONFIG));
}

#[test]
fn accounts_link_and_shared_directories_that_are_not_what_they_must_be() {
    let site = Site::new();
    site.remove("link");
    fs::create_dir(site.at("link")).unwrap();
    site.remove("b");
    symlink("a", site.at("b")).unwrap();
    symlink(site.at("work"), site.at("a/projects")).unwrap();
    fs::write(site.at("a/session-env"), "").unwrap();
    expect![[r#"
        accounts[b].home: DIR/b is the same directory as the home of a (DIR/a): each account needs its own
        link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/link.before && ln -s DIR/a DIR/link (and copy from it what you miss)
        accounts[a].home: DIR/a/projects leads to DIR/work, not to DIR/shared/projects: move what is there to the shared directory, then ln -sfn DIR/shared/projects DIR/a/projects
        accounts[b].home: DIR/b/projects leads to DIR/work, not to DIR/shared/projects: move what is there to the shared directory, then ln -sfn DIR/shared/projects DIR/b/projects
        accounts[a].home: DIR/a/session-env is a file in the way of the link to DIR/shared/session-env: mv -T DIR/a/session-env DIR/a/session-env.before && ln -s DIR/shared/session-env DIR/a/session-env
        accounts[b].home: DIR/b/session-env is a file in the way of the link to DIR/shared/session-env: mv -T DIR/b/session-env DIR/b/session-env.before && ln -s DIR/shared/session-env DIR/b/session-env
    "#]].assert_eq(&site.refused(CONFIG));
    site.remove("b");
    expect![[r#"
        accounts[b].home: DIR/b does not exist: make it and log in once: mkdir -m 700 DIR/b && CLAUDE_CONFIG_DIR=DIR/b claude
        link: DIR/link is a real directory, not a link to an account's home: end every Claude Code, then mv -T DIR/link DIR/link.before && ln -s DIR/a DIR/link (and copy from it what you miss); or let it be done: claude-failover init --adopt
        accounts[a].home: DIR/a/projects leads to DIR/work, not to DIR/shared/projects: move what is there to the shared directory, then ln -sfn DIR/shared/projects DIR/a/projects
        accounts[a].home: DIR/a/session-env is a file in the way of the link to DIR/shared/session-env: mv -T DIR/a/session-env DIR/a/session-env.before && ln -s DIR/shared/session-env DIR/a/session-env
    "#]].assert_eq(&site.refused(CONFIG));
}

#[test]
fn a_link_in_a_directory_that_cannot_be_written() {
    let site = Site::new();
    site.edit("link: DIR/link", "link: /proc/self/cwd");
    let said = site.refused(CONFIG);
    assert!(said.contains("/proc/self/cwd"), "{said}");
    if geteuid().is_root() {
        let site = Site::new();
        for dir in ["a", "b", "shared", "shared/projects", "work", "home", "tmp"] {
            std::os::unix::fs::chown(site.at(dir), Some(65534), None).unwrap();
        }
        for dir in ["state", "run", "sock"] {
            fs::create_dir(site.at(dir)).unwrap();
            chmod(&site.at(dir), 0o700);
            std::os::unix::fs::chown(site.at(dir), Some(65534), None).unwrap();
        }
        site.edit("DIR/tmux.sock", "DIR/sock/tmux.sock");
        chmod(site.path(), 0o755);
        expect![[r#"
            link: uid 65534 may not write in DIR, where the link is replaced at a swap: keep the link in a directory of the daemon's user
        "#]]
        .assert_eq(&site.refused_as(as_nobody(&site), CONFIG));
    }
}

#[test]
fn tmux_that_is_missing_or_too_old() {
    let site = Site::new();
    site.edit("tmux.sock", "tmux.sock, command: DIR/no-tmux");
    expect![[r#"
        "DIR/no-tmux" does not run: No such file or directory (os error 2); install tmux (apt-get install tmux) or set tmux.command
    "#]]
    .assert_eq(&site.refused(CONFIG));
    fake_tmux(&site, "3.1c");
    site.edit("DIR/no-tmux", "DIR/fake-tmux");
    expect![[r#"
        "DIR/fake-tmux" is tmux 3.1c, but 3.2 or newer is needed; upgrade tmux
    "#]]
    .assert_eq(&site.refused(CONFIG));
    site.edit(", command: DIR/fake-tmux", "");
    let mut command = site.run_command();
    command.env("PATH", site.at("home"));
    expect![[r#"
        "tmux" does not run: No such file or directory (os error 2); install tmux (apt-get install tmux) or set tmux.command
    "#]]
    .assert_eq(&site.refused_as(command, CONFIG));
}

#[test]
fn a_socket_directory_that_is_missing_or_not_ours() {
    let site = Site::new();
    site.edit("DIR/tmux.sock", "DIR/none/tmux.sock");
    expect![[r#"
        tmux.socket: looking at the socket's directory: failed to query resolved metadata `DIR/none`: No such file or directory (os error 2): start the tmux unit, or mkdir -m 700 DIR/none
    "#]].assert_eq(&site.refused(CONFIG));
    fs::create_dir(site.at("none")).unwrap();
    chmod(&site.at("none"), 0o777);
    expect![[r#"
        tmux.socket: others may write in DIR/none: chmod go-w DIR/none
    "#]]
    .assert_eq(&site.refused(CONFIG));
    let long = "x".repeat(100);
    site.edit("DIR/none/tmux.sock", &format!("DIR/none/{long}"));
    chmod(&site.at("none"), 0o700);
    let said = site.refused(CONFIG);
    assert!(said.contains("tmux.socket") && said.contains("107 bytes"), "{said}");
    if geteuid().is_root() {
        site.edit(&long, "tmux.sock");
        std::os::unix::fs::chown(site.at("none"), Some(65534), None).unwrap();
        expect![[r#"
            tmux.socket: DIR/none belongs to uid 65534 and the daemon is uid 0: name a socket in a directory of its own user
        "#]].assert_eq(&site.refused(CONFIG));
    }
}

#[test]
fn configured_sessions_that_live_on_the_users_default_server() {
    let site = Site::new();
    let made = site.default_tmux(&["new-session", "-d", "-s", "site"]);
    assert!(made.status.success());
    let said = site.refused(CONFIG).replace(&format!("tmux-{}", geteuid().as_raw()), "tmux-UID");
    expect![[r#"
        tmux.socket: DIR/tmux.sock has no session site, but the user's default server DIR/tmp/tmux-UID/default has: move the sessions, or leave tmux.socket unset
    "#]]
    .assert_eq(&said);
}

#[test]
fn root_without_the_word_that_this_is_a_sandbox() {
    if !geteuid().is_root() {
        return;
    }
    let site = Site::new();
    site.edit("IS_SANDBOX: \"1\"", "");
    expect![[r#"
        agent.env: this is root (uid 0): run the daemon, the tmux server and the agents as one ordinary user (User= in both units), or, where root is confined to a container, set agent.env: {IS_SANDBOX: "1"}
    "#]].assert_eq(&site.refused(CONFIG));
}

#[test]
fn a_port_that_is_taken() {
    let site = Site::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    site.edit("listen: null", &format!("listen: \"{address}\""));
    let said = site.refused(CONFIG).replace(&address.to_string(), "ADDRESS");
    expect![[r#"
        http.listen: could not listen on ADDRESS: Address already in use (os error 98); stop what uses it, choose another address, or set `listen: null`
    "#]]
    .assert_eq(&said);
}

#[test]
fn directories_of_the_daemon_that_cannot_be_made_or_used() {
    let site = Site::new();
    fs::write(site.at("file"), "").unwrap();
    site.edit("state_dir: DIR/state", "state_dir: DIR/file/state");
    site.edit(
        "runtime_dir: DIR/run",
        "runtime_dir: DIR/home\nwatcher: {done_signal_dir: DIR/file}",
    );
    chmod(&site.at("home"), 0o755);
    expect![[r#"
        state_dir: DIR/file is not a directory: move it away, or name another
        runtime_dir: DIR/home is open to others (mode 0755): chmod 700 DIR/home
        watcher.done_signal_dir: DIR/file is not a directory: move it away, or name another
    "#]]
    .assert_eq(&site.refused(CONFIG));
    symlink(site.at("work"), site.at("state")).unwrap();
    site.edit("DIR/file/state", "DIR/state");
    site.edit("watcher: {done_signal_dir: DIR/file}", "");
    chmod(&site.at("home"), 0o700);
    fs::write(site.at("home/launch"), "").unwrap();
    fs::create_dir(site.at("link.failover-lock")).unwrap();
    expect![[r#"
        state_dir: DIR/state is a link: name the directory itself
        runtime_dir: DIR/home/launch is not a directory: move it away, or name another
        link: DIR/link.failover-lock is in the way of its lock and no plain file: move it away
    "#]]
    .assert_eq(&site.refused(CONFIG));
    site.remove("link.failover-lock");
    site.edit("runtime_dir: DIR/home", &format!("runtime_dir: DIR/{}", "r".repeat(100)));
    let said = site.refused(CONFIG).replace(&"r".repeat(100), "LONG");
    expect![[r#"
        DIR/config.yaml:13: runtime_dir: DIR/LONG/control.sock has more than 107 bytes, which no socket can have: choose a shorter path
    "#]].assert_eq(&said);
    // The kernel says no only when asked to make it; it is the first thing that is made.
    site.edit("state_dir: DIR/state", "state_dir: /proc/state");
    site.edit(&"r".repeat(100), "run");
    let said = site.refused(CONFIG);
    assert!(said.contains("/proc/state"), "{said}");
}

#[test]
fn a_state_directory_of_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let site = Site::new();
    chmod(site.path(), 0o777);
    fs::create_dir(site.at("state")).unwrap();
    chmod(&site.at("state"), 0o755);
    site.edit("DIR/tmux.sock", "DIR/tmp/tmux.sock");
    std::os::unix::fs::chown(site.at("tmp"), Some(65534), None).unwrap();
    let said = site.refused_as(as_nobody(&site), CONFIG);
    expect![[r#"
        pool.shared_projects_dir: the shared directory for projects: uid 65534 may not write in DIR/shared/projects: as root, install -d -m 700 -o 65534 DIR/shared/projects
        pool.shared_projects_dir: the shared directory for session-env: uid 65534 may not write in DIR/shared: as root, install -d -m 700 -o 65534 DIR/shared/session-env
        pool.shared_projects_dir: the shared directory for file-history: uid 65534 may not write in DIR/shared: as root, install -d -m 700 -o 65534 DIR/shared/file-history
        state_dir: uid 65534 may not write in DIR/state: as root, install -d -m 700 -o 65534 DIR/state
    "#]].assert_eq(&said);
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let site = Site::new();
    fs::create_dir(site.at("state")).unwrap();
    chmod(&site.at("state"), 0o700);
    let json = r#"{"v":2,"shape":"unknown"}"#;
    let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    fs::write(site.at("state/journal"), line).unwrap();
    chmod(&site.at("state/journal"), 0o600);
    fs::write(site.at("state/lock"), "").unwrap();
    chmod(&site.at("state/lock"), 0o600);
    fs::create_dir(site.at("run")).unwrap();
    chmod(&site.at("run"), 0o700);
    let mut command = site.run_command();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(CONFIG), "{said}");
    assert!(said.contains("state/journal line 1"), "{said}");
    let after = fs::read_to_string(site.at("state/journal")).unwrap();
    assert!(after.contains(json), "untouched");
}
