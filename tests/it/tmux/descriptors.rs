//! A terminal that has no descriptor left to look who is there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use claude_failover::process::table;
use claude_failover::terminal::leader::is_free;
use claude_failover::terminal::lost_socket;
use rustix::process::{Pid, Signal, kill_process_group};

use super::SOON;
use crate::descriptors::{take_all_but, with_few};
use crate::support::{PrivateTmux, eventually};

/// A shell with a command of its operator in the background; both are ended when it is dropped.
struct Shell(Child);

impl Shell {
    fn at_work() -> Self {
        let mut shell = Command::new("sh");
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut shell = Self(shell.spawn().unwrap());
        let mut stdin = shell.0.stdin.as_ref().unwrap();
        stdin.write_all(b"sleep 1000 & echo .\n").unwrap();
        shell.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        shell
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

#[test]
fn a_shell_whose_children_cannot_be_listed_is_not_free() {
    let name = "tmux::descriptors::a_shell_whose_children_cannot_be_listed_is_not_free";
    with_few(name, || {
        let shell = Shell::at_work();
        // With one left the list of threads can be opened, and no list of children.
        for free in 0..3 {
            let taken = take_all_but(free);
            let listed = table::children(shell.pid());
            let free_shell = is_free(shell.pid(), Path::new("/nowhere"));
            drop(taken);
            assert_eq!(listed.is_ok(), free == 2, "{free}: {listed:?}");
            assert!(!free_shell, "with {free} descriptors left its work would be killed");
        }
    });
}

#[test]
fn a_server_that_may_have_lost_its_socket_is_not_passed_over() {
    let name = "tmux::descriptors::a_server_that_may_have_lost_its_socket_is_not_passed_over";
    with_few(name, || {
        let tmux = PrivateTmux::new();
        tmux.run(&["new-session", "-d"]);
        let server = tmux.run(&["display-message", "-p", "#{pid}"]).parse::<i32>().unwrap();
        fs::remove_file(tmux.socket()).unwrap();
        let taken = take_all_but(0);
        let found = lost_socket::orphan(&tmux.socket());
        drop(taken);
        let orphan = lost_socket::orphan(&tmux.socket()).unwrap().unwrap();
        lost_socket::recall(orphan, &tmux.socket()).unwrap();
        eventually("its socket is back", SOON, || tmux.socket().exists().then_some(()));
        assert_eq!(orphan.pid, server);
        assert!(found.is_err(), "{found:?}");
    });
}
