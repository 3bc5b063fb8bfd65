//! Servers that are missing, hang, die or are replaced.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use claude_failover::ids::PaneId;
use claude_failover::terminal::client::OWN_SESSION;
use claude_failover::terminal::error::TerminalError;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Frozen, Rig, SOON, server, settings};

#[test]
fn a_missing_server_is_reported_once_and_found_when_it_comes() {
    let rig = Rig::with(|settings| settings.start_server = false);
    let reason = rig.loses();
    let socket = rig.tmux.socket();
    assert!(reason.contains(&*socket.to_string_lossy()), "{reason}");
    let error = rig.terminal.handle().list().unwrap_err();
    assert!(matches!(error, TerminalError::Unreachable { .. }), "{error}");
    assert!(!socket.exists(), "no server was started");

    rig.tmux.run(&["new-session", "-d", "-s", "work", "cat"]);
    rig.connects();
    assert_eq!(rig.list().len(), 1);
    assert!(rig.events.try_recv().is_err(), "nothing was reported twice");
}

#[test]
fn a_server_that_we_start_is_clean_and_stays_with_our_session() {
    let rig = Rig::connected();
    assert_eq!(rig.list(), []);
    let environment = rig.tmux.run(&["show-environment", "-g"]);
    assert!(environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("CARGO"), "{environment}");
    let server = format!("/proc/{}", rig.server().as_raw_nonzero());
    assert_eq!(fs::read_link(format!("{server}/cwd")).unwrap(), Path::new("/"));
    let status = fs::read_to_string(format!("{server}/stat")).unwrap();
    let group = status.rsplit_once(')').unwrap().1.split(' ').nth(3).unwrap();
    assert_ne!(group, std::process::id().to_string());

    rig.shell("work");
    let Rig { terminal, tmux, .. } = rig;
    drop(terminal);
    let left = tmux.run(&["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(left.lines().collect::<Vec<_>>(), [OWN_SESSION, "work"]);
}

#[test]
fn a_server_that_ends_with_its_last_client_outlives_ours() {
    let rig = Rig::with(|settings| {
        let config = fs::OpenOptions::new().append(true).open(&settings.extra_args[1]);
        config.unwrap().write_all(b"set -s exit-unattached on\n").unwrap();
    });
    rig.connects();
    rig.shell("work");
    let server = rig.server();
    let Rig { terminal, tmux, .. } = rig;
    drop(terminal);
    eventually("our client is gone", SOON, || tmux.run(&["list-clients"]).is_empty().then_some(()));
    let left = tmux.run(&["list-sessions", "-F", "#{pid} #{session_name}"]);
    let pid = server.as_raw_nonzero();
    assert_eq!(left, format!("{pid} {OWN_SESSION}\n{pid} work"));
}

#[test]
fn a_server_that_lost_its_socket_is_found_through_a_link_to_its_directory() {
    let tmux = PrivateTmux::new();
    tmux.run(&["new-session", "-d", "-s", "work", "exec cat"]);
    let first = server(&tmux);
    let mut settings = settings(&tmux);
    let link = tmux.path().join("link");
    symlink(tmux.path(), &link).unwrap();
    settings.socket = Some(link.join("tmux.sock"));
    fs::remove_file(tmux.socket()).unwrap();
    let rig = Rig::start(tmux, settings);
    let reason = rig.loses();
    assert!(reason.contains("its socket file was removed"), "{reason}");
    rig.connects();
    assert_eq!(rig.server(), first);
    assert_eq!(rig.pane("work").session, "work");
}

#[test]
fn a_hung_server_costs_one_deadline_and_is_used_again_when_it_wakes() {
    let deadline = Duration::from_millis(300);
    let rig = Rig::with(|settings| settings.deadline = deadline);
    rig.connects();
    rig.shell("work");
    let frozen = Frozen::new(rig.server());
    let begun = Instant::now();
    let error = rig.terminal.handle().list().unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(error, TerminalError::TimedOut { .. }), "{error}");
    assert!(took >= deadline && took < deadline * 4, "{took:?}");
    rig.loses();
    assert!(rig.create("other", rig.tmux.path()).unwrap_err().contains("not done"));
    drop(frozen);
    rig.connects();
    assert_eq!(rig.pane("work").session, "work");
    let own = |sessions: String| sessions.lines().filter(|name| *name == OWN_SESSION).count();
    assert_eq!(own(rig.tmux.run(&["list-sessions", "-F", "#{session_name}"])), 1);
    let Rig { terminal, tmux, .. } = rig;
    drop(terminal);
    let left = own(tmux.run(&["list-sessions", "-F", "#{session_name}"]));
    assert_eq!(left, 1, "it waits for the next client: its end could take the server along");
}

#[test]
fn a_killed_server_is_reported_and_its_successor_used() {
    let rig = Rig::connected();
    rig.shell("work");
    kill_process(rig.server(), Signal::KILL).unwrap();
    let reason = rig.loses();
    assert!(reason.contains("took its place"), "{reason}");
    rig.connects();
    assert_eq!(rig.list(), []);
    let pane = rig.launch(rig.order("work", Some(PaneId(0)), 4)).unwrap();
    assert_eq!(rig.pane("work").pane, pane);
}

#[test]
fn a_killed_server_that_is_not_ours_to_start_is_waited_for() {
    let tmux = PrivateTmux::new();
    tmux.run(&["new-session", "-d", "-s", "work", "exec cat"]);
    let mut settings = settings(&tmux);
    settings.start_server = false;
    let rig = Rig::start(tmux, settings);
    rig.connects();
    kill_process(rig.server(), Signal::KILL).unwrap();
    rig.loses();
    assert!(rig.launch(rig.order("work", None, 1)).unwrap_err().contains("not done"));
    rig.tmux.run(&["new-session", "-d", "-s", "next", "cat"]);
    rig.connects();
    assert_eq!(rig.pane("next").session, "next");
}

#[test]
fn our_session_comes_back_when_an_operator_kills_it() {
    let rig = Rig::connected();
    rig.shell("work");
    for detach in ["on", "on", "off"] {
        rig.tmux.run(&["set-option", "-g", "detach-on-destroy", detach]);
        let own = format!("={OWN_SESSION}:");
        rig.tmux.run(&["kill-session", "-t", &own]);
        eventually("it is back unasked", SOON, || {
            let sessions = rig.tmux.run(&["list-sessions", "-F", "#{session_name}"]);
            sessions.contains(OWN_SESSION).then_some(())
        });
        let seen = rig.pane("work");
        assert_eq!((seen.session.as_str(), seen.attached), ("work", 0), "detach {detach}");
    }
    assert!(rig.events.try_recv().is_err(), "nobody needs to know");
}

/// It has been told to, and runs a command still.
#[test]
fn a_server_that_cannot_end_is_named_and_its_successor_used() {
    let rig = Rig::connected();
    let server = rig.server();
    let held = rig.tmux.path().join("held");
    mknodat(CWD, &held, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let command = format!("cat {}", held.display());
    let mut waits = Command::new("tmux")
        .arg("-S")
        .arg(rig.tmux.socket())
        .args(["run-shell", &command])
        .spawn()
        .unwrap();
    // Opened as soon as the command reads.
    let hold = fs::File::options().write(true).open(&held).unwrap();
    rig.tmux.run(&["kill-server"]);
    let reason = rig.loses();
    assert!(reason.contains(&format!("kill -9 {}", server.as_raw_nonzero())), "{reason}");
    drop(hold);
    rig.connects();
    assert_ne!(rig.server(), server);
    waits.wait().unwrap();
}

/// It has the arguments of the client of ours that started it, and no daemon above it.
#[test]
fn a_server_that_we_have_started_is_not_taken_for_a_client_of_a_killed_daemon() {
    let tmux = PrivateTmux::new();
    let away = tmux.path().join("away");
    let command = tmux.path().join("tmux");
    let text = format!(
        "#!/bin/sh\n[ ! -e {} ] || {{ echo server exited unexpectedly >&2; exit 1; }}\n\
         exec tmux \"$@\"\n",
        away.display()
    );
    fs::write(&command, text).unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o700)).unwrap();
    let mut settings = settings(&tmux);
    settings.command = command.to_string_lossy().into_owned();
    let rig = Rig::start(tmux, settings);
    rig.connects();
    rig.shell("work");
    let server = rig.server();
    fs::write(&away, "").unwrap();
    let client = rig.tmux.run(&["list-clients", "-F", "#{client_pid}"]);
    kill_process(Pid::from_raw(client.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    let reason = rig.loses();
    assert!(reason.contains("server exited unexpectedly"), "{reason}");
    fs::remove_file(&away).unwrap();
    rig.connects();
    assert_eq!(rig.server(), server);
    assert_eq!(rig.pane("work").session, "work");
}
