//! A daemon that starts while the tmux server hangs.

use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, kill};
use crate::daemon::layout::Layout;
use crate::support::eventually;

/// Some looks at a server that does not answer, at five seconds each.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_hung_server_keeps_no_daemon_from_starting() {
    let (mut fleet, talks) = Fleet::up(Layout::default());
    let pids = fleet.agent_pids();
    let server = fleet.server_pid().unwrap().parse().unwrap();
    fleet.kill_daemon();
    kill(server, Signal::STOP);
    fleet.start_with(None);
    let health = eventually("/health tells why", STARTS_WITHIN, || {
        assert_eq!(fleet.daemon_ended().map(|status| status.code()), None, "{}", fleet.log());
        let status = fleet.status();
        (status["ok"] == false).then(|| status["reasons"].to_string())
    });
    assert!(health.contains("tmux unreachable"), "{health}");
    assert_eq!(fleet.get("/health").0, 503);
    kill(server, Signal::CONT);
    fleet.await_state("normal");
    fleet.await_adopted(&talks);
    assert_eq!(fleet.agent_pids(), pids, "nobody was touched");
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
}
