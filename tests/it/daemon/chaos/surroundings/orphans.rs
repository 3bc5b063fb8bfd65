//! What a daemon that was killed leaves in the tmux server.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use claude_failover::process::table;

use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::layout::Layout;
use crate::daemon::outside;
use crate::daemon::persons::await_each_once;
use crate::support::eventually;

const TRIES: usize = 50;

/// How the daemon has started its own client.
fn control_client(fleet: &Fleet) -> Vec<String> {
    let daemon = fleet.daemon_pid();
    let children =
        outside::pids().into_iter().filter(|pid| table::parent(*pid).unwrap() == Some(daemon));
    let args = children
        .filter_map(|pid| table::args(pid).unwrap())
        .find(|args| args.iter().any(|arg| arg == "-C"));
    args.expect("it has a control client")
}

/// As if the daemon had died with an answer on its way: nobody reads what the client gets.
#[test]
fn a_client_of_a_killed_daemon_is_ended_by_the_next_one() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let args = control_client(&fleet);
    fleet.kill_daemon();
    let mut orphan = (0..TRIES).find_map(|_| orphaned(&fleet, &args)).expect("one that stays");
    fleet.start();
    eventually("it is ended", SOON, || orphan.try_wait().unwrap());
    assert!(!is_attached(&fleet, &orphan));
    fleet.await_adopted(&talks);
}

/// A server that is told to end waits for such a client, and lets nobody in.
#[test]
fn a_server_that_cannot_end_for_the_client_of_a_killed_daemon_holds_the_next_one_up_no_longer() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let args = control_client(&fleet);
    fleet.kill_daemon();
    let mut orphan = (0..TRIES).find_map(|_| orphaned(&fleet, &args)).expect("one that stays");
    let old: i32 = fleet.server_pid().unwrap().parse().unwrap();
    fleet.tmux(&["kill-server"]).unwrap();
    let refused = fleet.tmux(&["list-sessions"]).unwrap_err();
    assert!(refused.contains("server exited"), "{refused}");
    assert!(outside::is_alive(old), "it has ended by itself");
    fleet.server = None;
    fleet.start();
    eventually("the client is ended", SOON, || orphan.try_wait().unwrap());
    eventually("the server is gone", SOON, || (!outside::is_alive(old)).then_some(()));
    await_each_once(&fleet, &talks);
}

/// A client whose other ends are gone. Most end by themselves before they are attached, or soon after.
fn orphaned(fleet: &Fleet, args: &[String]) -> Option<Child> {
    let mut command = Command::new(&args[0]);
    command.args(&args[1..]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut orphan = fleet.at_home(&mut command).spawn().unwrap();
    drop((orphan.stdin.take(), orphan.stdout.take()));
    let stays = eventually("it is attached or has ended", SOON, || {
        let ended = orphan.try_wait().unwrap().is_some();
        (ended || is_attached(fleet, &orphan)).then_some(!ended)
    });
    stays.then_some(orphan)
}

fn is_attached(fleet: &Fleet, client: &Child) -> bool {
    let clients = fleet.tmux(&["list-clients", "-F", "#{client_pid}"]).unwrap();
    clients.lines().any(|pid| pid == client.id().to_string())
}
