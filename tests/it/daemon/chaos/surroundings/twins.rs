//! Two daemons that are started in the same moment.

use std::process::{Child, Command, Stdio};

use crate::daemon::chaos::judge::assert_no_strays;
use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::layout::Layout;
use crate::support::{binary, eventually};

const ROUNDS: usize = 8;

fn second(fleet: &Fleet) -> Child {
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(fleet.root().join("config.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    fleet.at_home(&mut command).spawn().unwrap()
}

#[test]
fn of_two_daemons_started_at_once_one_lives() {
    let (mut fleet, talks) = Fleet::up(Layout { swaps_per_hour: 100, ..Layout::default() });
    let pids = fleet.agent_pids();
    for round in 0..ROUNDS {
        fleet.kill_daemon();
        let mut other = second(&fleet);
        fleet.start_with(None);
        let mut ends = (None, None);
        let code = eventually("one of them ends", SOON, || {
            ends.0 = ends.0.or_else(|| fleet.daemon_ended());
            ends.1 = ends.1.or_else(|| other.try_wait().unwrap());
            ends.0.or(ends.1)
        });
        assert_eq!(code.code(), Some(75), "in round {round}");
        if ends.0.is_some() {
            // The other one has it all; it is this fleet's only as long as it lives.
            fleet.await_state("normal");
            other.kill().unwrap();
            other.wait().unwrap();
            fleet.start_with(None);
        }
        fleet.await_state("normal");
        fleet.await_adopted(&talks);
        assert!(fleet.daemon_ended().is_none(), "in round {round}");
        assert_eq!(fleet.agent_pids(), pids, "nobody was touched");
    }
    assert_no_strays(&fleet);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
}
