//! Checks of the configuration against what there is: sessions, queues, units.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use claude_failover::cli::doctor::finding::{Finding, Wrap};
use claude_failover::cli::doctor::{queues, tmux, units};
use claude_failover::cli::tasks::survey::{Row, State};
use claude_failover::cli::units::{Kind, Units};
use claude_failover::config::Config;
use claude_failover::config::load::{Base, parse};
use claude_failover::moment::Wall;
use expect_test::{Expect, expect};
use fs_err as fs;
use serde_json::json;

#[track_caller]
fn check(findings: impl IntoIterator<Item = Finding>, expected: &Expect) {
    let lines = findings.into_iter().map(|finding| finding.text(Wrap::Never));
    expected.assert_eq(&lines.collect::<String>());
}

fn config(more: &str) -> Config {
    let text = format!(
        "accounts: [{{name: a, home: ~/a}}]\n\
         pool: {{autonomous: {{prefix: \"ccl-auto-\", min: 2, max: 4}}}}\n{more}"
    );
    parse(&text, &Base::new("/nowhere/u")).unwrap().config
}

#[test]
fn sessions_are_those_of_the_configuration_or_only_look_like_them() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let config = config("");
    check(
        tmux::sessions(&config, &names(&["ccl-auto-0", "mine"])),
        &expect![[r#"
            ok    sessions    1 of the 2 that shall always exist
        "#]],
    );
    check(
        tmux::sessions(&config, &names(&["ccl-auto0", "ccl-auto1"])),
        &expect![[r#"
            warn  sessions    pool.autonomous: no session of its range (4 sessions, such as ccl-auto-0) exists, but ccl-auto0, ccl-auto1 do: are prefix and start_index what they should be?
        "#]],
    );
}

#[test]
fn a_server_is_there_or_will_be() {
    let ours = config("");
    let units = config("tmux: {socket: /nowhere/tmux.sock, start_server: false}\n");
    let socket = Path::new("/nowhere/tmux.sock");
    check(
        [
            tmux::server(&ours, Kind::System, socket, 3, Some(7)),
            tmux::server(&ours, Kind::System, socket, 0, None),
            tmux::server(&units, Kind::System, socket, 0, None),
            tmux::server(&units, Kind::User, socket, 0, None),
        ],
        &expect![[r#"
            ok    tmux        the server on /nowhere/tmux.sock is process 7; sessions: 3
            ok    tmux        no server runs on /nowhere/tmux.sock: the daemon starts one
            fail  tmux        no server runs on /nowhere/tmux.sock, and tmux.start_server is false -> systemctl start claude-failover-tmux
            fail  tmux        no server runs on /nowhere/tmux.sock, and tmux.start_server is false -> systemctl --user start claude-failover-tmux
        "#]],
    );
}

#[test]
fn a_socket_in_a_directory_of_others_is_told() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let dir = tempfile::tempdir().unwrap();
    let uid = fs::metadata(dir.path()).unwrap().uid();
    let mode = |mode| {
        fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let socket = dir.path().join("default");
    mode(0o700);
    assert_eq!(tmux::open_to_others(&socket, uid), None);
    assert!(tmux::open_to_others(&socket, uid + 1).is_some());
    mode(0o770);
    let text = tmux::open_to_others(&socket, uid).unwrap().text(Wrap::Never);
    assert!(text.starts_with("fail  tmux") && text.contains("has mode 0770 -> chown"), "{text}");
}

fn row(task: &str, state: State, since: i64) -> Row {
    Row {
        task: task.to_owned(),
        state,
        since: Some(Wall(since)),
        session: None,
        account: None,
        conversation: None,
        attempts: None,
        title: String::new(),
        reason: None,
        last_text: None,
        path: "/nowhere".into(),
    }
}

#[test]
fn a_queue_drains_or_it_is_told_why_not() {
    const HOUR: i64 = 3_600_000;
    let now = Wall(100 * HOUR);
    let late = [row("shop:b", State::Ready, 99 * HOUR), row("shop:a", State::Ready, 97 * HOUR)];
    let pool = |state: &str, in_hand: serde_json::Value| {
        let agent = if state.is_empty() { json!(null) } else { json!({"state": state}) };
        json!({
            "tasks": {"dispatching": true, "in_hand": in_hand},
            "sessions": [
                {"name": "ccl-auto-0", "group": "pool", "exists": true, "agent": agent},
                {"name": "mine", "group": "dedicated", "exists": true, "agent": null},
            ],
        })
    };
    let held = json!([{"session": "ccl-auto-0"}]);
    let mut paused = pool("", json!([]));
    paused["tasks"]["dispatching"] = json!(false);
    let mut findings = Vec::new();
    findings.extend(queues::of_rows(&[], Some(&pool("", json!([]))), now));
    findings.extend(queues::of_rows(&late[..1], Some(&pool("", json!([]))), now));
    findings.extend(queues::of_rows(&late, Some(&pool("", json!([]))), now));
    findings.extend(queues::of_rows(&late, Some(&pool("idle", json!([]))), now));
    findings.extend(queues::of_rows(&late, Some(&pool("busy", json!([]))), now));
    findings.extend(queues::of_rows(&late, Some(&pool("", held)), now));
    findings.extend(queues::of_rows(&late, Some(&paused), now));
    findings.extend(queues::of_rows(&late, None, now));
    check(
        findings,
        &expect![[r#"
            ok    tasks       no task waits
            ok    tasks       1 ready; shop:b has waited for 1h00m
            fail  tasks       2 ready; shop:a has waited for 3h00m; sessions of the pool with nothing to do: 1 -> claude-failover tasks names what keeps it; dispatcher.per_project may
            fail  tasks       2 ready; shop:a has waited for 3h00m; sessions of the pool with nothing to do: 1 -> claude-failover tasks names what keeps it; dispatcher.per_project may
            warn  tasks       2 ready; shop:a has waited for 3h00m, and every session is at work or drained -> raise pool.autonomous.max, wait, or claude-failover resume
            warn  tasks       2 ready; shop:a has waited for 3h00m, and every session is at work or drained -> raise pool.autonomous.max, wait, or claude-failover resume
            warn  tasks       2 ready; shop:a has waited for 3h00m, and nothing is dispatched -> claude-failover status says why: a swap, parked, paused or draining
            skip  tasks       2 ready; shop:a has waited for 3h00m; the daemon is down
        "#]],
    );
    check(
        queues::of_rows(&[row("shop:x", State::Foreign, 0)], None, now),
        &expect![[r#"
            warn  tasks       tasks with a marker that is not ours, so that nobody takes them: 1; shop:x -> if nothing else works on them: claude-failover tasks retry shop:x
            ok    tasks       no task waits
        "#]],
    );
}

#[test]
fn an_inbox_that_is_open_to_others_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (project, mode) in [("group", 0o775), ("ours", 0o755), ("sticky", 0o1777), ("world", 0o777)]
    {
        let inbox = dir.path().join(project).join(".agent-queue/inbox");
        fs::create_dir_all(&inbox).unwrap();
        fs::set_permissions(&inbox, PermissionsExt::from_mode(mode)).unwrap();
    }
    let named = |shared| {
        let findings = queues::open_to_others(dir.path(), shared);
        let lines = findings.into_iter().map(|finding| finding.text(Wrap::Never));
        lines.collect::<String>().replace(dir.path().to_str().unwrap(), "DIR")
    };
    expect![[r#"
        warn  tasks       DIR/world/.agent-queue/inbox lets others put a file in the place of a task that was accepted -> chmod +t DIR/world/.agent-queue/inbox
    "#]]
    .assert_eq(&named(false));
    expect![[r#"
        warn  tasks       DIR/group/.agent-queue/inbox lets others put a file in the place of a task that was accepted -> chmod +t DIR/group/.agent-queue/inbox
        warn  tasks       DIR/world/.agent-queue/inbox lets others put a file in the place of a task that was accepted -> chmod +t DIR/world/.agent-queue/inbox
    "#]]
    .assert_eq(&named(true));
}

/// A root directory with units in it.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        root.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n");
        root
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, target: &str, name: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    fn enable(&self, unit: &str) {
        let wants = "etc/systemd/system/multi-user.target.wants";
        self.link(&format!("../{unit}"), &format!("{wants}/{unit}"));
    }

    #[track_caller]
    fn says(&self, config: &Config, uid: u32, expected: &Expect) {
        let units = Units::look(self.0.path(), &self.0.path().join("home/me"), 1000);
        let lines = units::check(&units, config, uid).into_iter();
        let text: String = lines.map(|finding| finding.text(Wrap::Never)).collect();
        expected.assert_eq(&text.replace(self.0.path().to_str().unwrap(), ""));
    }
}

#[test]
fn units_are_installed_for_this_user_and_a_boot_starts_them() {
    let root = Root::new();
    let own = config("tmux: {socket: /run/t/tmux.sock, start_server: false}\n");
    root.says(
        &own,
        1000,
        &expect![[r#"
            warn  units       claude-failover.service is not installed, or masked: nothing starts the daemon at a boot -> install systemd/*.service, see README "Install"
            fail  units       claude-failover-tmux.service is not installed, or masked, and tmux.start_server is false: nobody starts tmux -> install systemd/claude-failover-tmux.service, or set tmux.start_server: true
        "#]],
    );
    for unit in ["claude-failover.service", "claude-failover-tmux.service"] {
        root.write(&format!("etc/systemd/system/{unit}"), "[Service]\nUser=claude\n");
    }
    root.says(
        &own,
        1000,
        &expect![[r#"
            fail  units       /etc/systemd/system/claude-failover.service: there is no user claude -> set User=me: systemctl edit claude-failover.service
            warn  units       no boot starts /etc/systemd/system/claude-failover.service -> systemctl enable claude-failover.service
            skip  linger      the system's units need none
            fail  units       /etc/systemd/system/claude-failover-tmux.service: there is no user claude -> set User=me: systemctl edit claude-failover-tmux.service
            warn  units       no boot starts /etc/systemd/system/claude-failover-tmux.service -> systemctl enable claude-failover-tmux.service
        "#]],
    );
    for unit in ["claude-failover.service", "claude-failover-tmux.service"] {
        let text = "[Service]\nUser=\nUser=me\n";
        root.write(&format!("etc/systemd/system/{unit}.d/override.conf"), text);
        root.enable(unit);
    }
    root.says(
        &own,
        1000,
        &expect![[r#"
            ok    units       /etc/systemd/system/claude-failover.service: User=me
            skip  linger      the system's units need none
            ok    units       /etc/systemd/system/claude-failover-tmux.service: User=me
        "#]],
    );
    root.says(
        &config(""),
        0,
        &expect![[r#"
            fail  units       /etc/systemd/system/claude-failover.service: User=me is uid 1000, and you are uid 0 -> run this as me (sudo -u me claude-failover doctor), or set User=root: systemctl edit claude-failover.service
            skip  linger      the system's units need none
            fail  units       /etc/systemd/system/claude-failover-tmux.service: User=me is uid 1000, and you are uid 0 -> run this as me (sudo -u me claude-failover doctor), or set User=root: systemctl edit claude-failover-tmux.service
            warn  units       claude-failover-tmux.service is installed, and tmux.start_server is true -> tmux: {socket: /run/claude-failover-tmux/tmux.sock, start_server: false}, or systemctl mask claude-failover-tmux
        "#]],
    );
}

#[test]
fn a_users_own_units_need_him_to_linger() {
    let root = Root::new();
    root.write("home/me/.config/systemd/user/claude-failover.service", "[Service]\n");
    let wants = "home/me/.config/systemd/user/default.target.wants";
    root.link("../x", &format!("{wants}/claude-failover.service"));
    root.says(
        &config(""),
        1000,
        &expect![[r#"
            ok    units       /home/me/.config/systemd/user/claude-failover.service: your own manager's
            fail  linger      me does not linger: the daemon and all agents end with the last logout -> loginctl enable-linger me
        "#]],
    );
    root.write("var/lib/systemd/linger/me", "");
    root.says(
        &config(""),
        1000,
        &expect![[r#"
            ok    units       /home/me/.config/systemd/user/claude-failover.service: your own manager's
            ok    linger      me lingers
        "#]],
    );
}

#[test]
fn of_two_units_with_one_name_the_one_in_use_counts() {
    let root = Root::new();
    let units = ["claude-failover.service", "claude-failover-tmux.service"];
    for unit in units {
        root.write(&format!("usr/lib/systemd/system/{unit}"), "[Service]\nUser=claude\n");
        root.write(&format!("usr/lib/systemd/user/{unit}"), "[Service]\n");
    }
    root.write("var/lib/systemd/linger/me", "");
    let own = config("tmux: {socket: /run/user/1000/t.sock, start_server: false}\n");
    // As a package leaves it: the system's are the ones that its text is about.
    root.says(&own, 1000, &expect![[r#"
        fail  units       /usr/lib/systemd/system/claude-failover.service: there is no user claude -> set User=me: systemctl edit claude-failover.service
        warn  units       no boot starts /usr/lib/systemd/system/claude-failover.service -> systemctl enable claude-failover.service
        skip  linger      the system's units need none
        fail  units       /usr/lib/systemd/system/claude-failover-tmux.service: there is no user claude -> set User=me: systemctl edit claude-failover-tmux.service
        warn  units       no boot starts /usr/lib/systemd/system/claude-failover-tmux.service -> systemctl enable claude-failover-tmux.service
    "#]]);
    let wants = "home/me/.config/systemd/user/default.target.wants";
    root.link("../x", &format!("{wants}/claude-failover.service"));
    // Nothing enables the other: it is looked for where the daemon's is.
    root.says(&own, 1000, &expect![[r#"
        ok    units       /usr/lib/systemd/user/claude-failover.service: your own manager's
        ok    linger      me lingers
        ok    units       /usr/lib/systemd/user/claude-failover-tmux.service: your own manager's
        warn  units       no boot starts /usr/lib/systemd/user/claude-failover-tmux.service -> systemctl --user enable claude-failover-tmux.service
    "#]]);
    root.link("../x", &format!("{wants}/claude-failover-tmux.service"));
    root.says(
        &own,
        1000,
        &expect![[r#"
        ok    units       /usr/lib/systemd/user/claude-failover.service: your own manager's
        ok    linger      me lingers
        ok    units       /usr/lib/systemd/user/claude-failover-tmux.service: your own manager's
    "#]],
    );
    root.says(&config(""), 1000, &expect![[r#"
        ok    units       /usr/lib/systemd/user/claude-failover.service: your own manager's
        ok    linger      me lingers
        ok    units       /usr/lib/systemd/user/claude-failover-tmux.service: your own manager's
        warn  units       claude-failover-tmux.service is installed, and tmux.start_server is true -> tmux: {socket: /run/user/1000/claude-failover-tmux/tmux.sock, start_server: false}, or systemctl --user mask claude-failover-tmux
    "#]]);
    // Enabled or not, what runs is in use.
    root.write("sys/fs/cgroup/system.slice/claude-failover.service/cgroup.procs", "7\n");
    root.says(&own, 1000, &expect![[r#"
        fail  units       /usr/lib/systemd/system/claude-failover.service: there is no user claude -> set User=me: systemctl edit claude-failover.service
        warn  units       no boot starts /usr/lib/systemd/system/claude-failover.service -> systemctl enable claude-failover.service
        skip  linger      the system's units need none
        ok    units       /usr/lib/systemd/user/claude-failover-tmux.service: your own manager's
    "#]]);
    for unit in units {
        root.link("/dev/null", &format!("etc/systemd/system/{unit}"));
    }
    // A mask leaves the user's alone.
    root.says(
        &own,
        1000,
        &expect![[r#"
        ok    units       /usr/lib/systemd/user/claude-failover.service: your own manager's
        ok    linger      me lingers
        ok    units       /usr/lib/systemd/user/claude-failover-tmux.service: your own manager's
    "#]],
    );
}
