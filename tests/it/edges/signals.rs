//! TERM and INT: a drain, exit 0, and tmux as it was; a second one ends a daemon that hangs.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use crate::edges::site::{Site, signal};

#[test]
fn either_signal_ends_the_daemon_cleanly_and_leaves_tmux_alone() {
    for name in ["-TERM", "-INT"] {
        let site = Site::new();
        let mut daemon = site.start();
        daemon.status_when("the session exists", |status| status["sessions"][0]["exists"] == true);
        let before = site.panes(Site::tmux);
        assert_eq!(before.len(), 1);
        daemon.signal(name);
        assert_eq!(daemon.ended().code(), Some(0), "{name}: {}", daemon.log());
        assert!(daemon.log().contains("daemon stopped cleanly"), "{}", daemon.log());
        assert_eq!(site.panes(Site::tmux), before);
        for left in ["run/control.sock", "run/http.sock"] {
            assert!(!site.at(left).exists(), "{left} stays");
        }
        let again = site.start();
        again.status_when("the session is adopted", |status| {
            status["sessions"][0]["exists"] == true
        });
        assert_eq!(site.panes(Site::tmux), before);
        again.drained();
    }
}

#[test]
fn a_second_signal_ends_a_daemon_that_waits_for_a_hung_server() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.status_when("the session exists", |status| status["sessions"][0]["exists"] == true);
    let server = site.tmux(&["display-message", "-p", "#{pid}"]).stdout;
    let server: i32 = String::from_utf8(server).unwrap().trim().parse().unwrap();
    signal(server, "-STOP");
    let woken = WakeOnDrop(server);
    daemon.status_when("the loss is noticed", |status| status["state"] == "degraded");
    daemon.signal("-TERM");
    daemon.says("draining");
    let asked = Instant::now();
    daemon.signal("-INT");
    let status = daemon.ended();
    assert_eq!((status.code(), status.signal()), (Some(130), None), "{}", daemon.log());
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
    drop(woken);
    let again = site.start();
    again.normal();
    again.drained();
}

/// The unit allows 30 s before it kills.
#[test]
fn a_hung_server_holds_up_the_end_for_a_bounded_time() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.status_when("the session exists", |status| status["sessions"][0]["exists"] == true);
    let server = site.tmux(&["display-message", "-p", "#{pid}"]).stdout;
    let server: i32 = String::from_utf8(server).unwrap().trim().parse().unwrap();
    signal(server, "-STOP");
    let _woken = WakeOnDrop(server);
    daemon.status_when("questions hang", |status| status["state"] == "degraded");
    let asked = Instant::now();
    daemon.signal("-TERM");
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.log());
    assert!(asked.elapsed() < Duration::from_secs(25), "it took {:?}", asked.elapsed());
}

/// A stopped tmux server ends neither with its socket nor with its directory.
struct WakeOnDrop(i32);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        signal(self.0, "-CONT");
    }
}
