//! What a daemon that was killed leaves in the tmux server.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use claude_failover::process::table;

use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::layout::Layout;
use crate::daemon::outside;
use crate::support::eventually;

/// How the daemon has started its own client.
fn control_client(fleet: &Fleet) -> Vec<String> {
    let daemon = fleet.daemon_pid();
    let children = outside::pids().into_iter().filter(|pid| table::parent(*pid) == Some(daemon));
    let args = children.filter_map(table::args).find(|args| args.iter().any(|arg| arg == "-C"));
    args.expect("it has a control client")
}

/// As if the daemon had died with an answer on its way: nobody reads what the client gets.
#[test]
fn a_client_of_a_killed_daemon_is_ended_by_the_next_one() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let args = control_client(&fleet);
    fleet.kill_daemon();
    let mut command = Command::new(&args[0]);
    command.args(&args[1..]).process_group(0);
    let piped = || Stdio::piped();
    let mut orphan = fleet
        .at_home(command.stdin(piped()).stdout(piped()).stderr(Stdio::null()))
        .spawn()
        .unwrap();
    drop((orphan.stdin.take(), orphan.stdout.take()));
    let pid = orphan.id().to_string();
    let is_attached = |fleet: &Fleet| {
        let clients = fleet.tmux(&["list-clients", "-F", "#{client_pid}"]).unwrap();
        clients.lines().any(|client| client == pid)
    };
    eventually("the orphan is attached", SOON, || is_attached(&fleet).then_some(()));
    fleet.start();
    eventually("it is ended", SOON, || orphan.try_wait().unwrap());
    assert!(!is_attached(&fleet));
    fleet.await_adopted(&talks);
}
