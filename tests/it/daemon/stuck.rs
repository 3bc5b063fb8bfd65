//! The link cannot be flipped, forward or back: stuck, and the three ways out.

use std::fs;
use std::os::unix::fs::symlink;

use crate::daemon::fleet::{Fleet, SOON, Talks};
use crate::daemon::layout::{Layout, pool};
use crate::support::eventually;

/// A fleet whose link became a directory in the middle of a swap from a to b.
fn stuck_fleet() -> (Fleet, Talks) {
    let (fleet, talks) = Fleet::up(Layout { stop_grace: "3s", ..Layout::default() });
    // Its end takes the whole grace: time enough for somebody to break the link.
    fleet.freeze(&pool(2));
    fleet.order_swap(&["--to", "b"]);
    fleet.await_log("phase=Saved");
    fs::remove_file(fleet.link()).unwrap();
    fs::create_dir(fleet.link()).unwrap();
    let status = fleet.await_state("stuck");
    assert!(!status["swap"]["open"]["trouble"].is_null(), "{status:#}");
    let (code, health) = fleet.get("/health");
    assert_eq!((code, &health["state"]), (503, &"stuck".into()));
    assert!(fleet.link().is_dir(), "a directory in the link's place is never touched");
    (fleet, talks)
}

fn mend(fleet: &Fleet, account: &str) {
    fs::remove_dir(fleet.link()).unwrap();
    symlink(fleet.home(account), fleet.link()).unwrap();
}

#[track_caller]
fn assert_well(fleet: &Fleet) {
    eventually("/health answers 200", SOON, || (fleet.get("/health").0 == 200).then_some(()));
}

#[test]
fn a_stuck_swap_goes_back_when_the_operator_says_so() {
    let (fleet, talks) = stuck_fleet();
    mend(&fleet, "a");
    fleet.order_swap(&["--rollback"]);
    let status = fleet.await_all_on("a", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "rolled_back");
    assert_well(&fleet);
}

#[test]
fn a_stuck_swap_goes_forward_when_the_operator_says_so() {
    let (fleet, talks) = stuck_fleet();
    mend(&fleet, "a");
    fleet.order_swap(&["--resume"]);
    let status = fleet.await_all_on("b", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "done");
    assert_well(&fleet);
}

#[test]
fn a_stuck_swap_that_was_put_right_by_hand_takes_the_link_as_it_is() {
    let (fleet, talks) = stuck_fleet();
    mend(&fleet, "b");
    fleet.order_swap(&["--clear"]);
    let status = fleet.await_all_on("b", &talks);
    assert_eq!(status["swap"]["last"]["outcome"], "cleared");
    assert_well(&fleet);
}

#[test]
fn a_stuck_swap_is_stuck_after_a_restart_too_and_nothing_is_tried() {
    let (mut fleet, talks) = stuck_fleet();
    fleet.kill_daemon();
    fleet.start_with(None);
    assert_eq!(fleet.await_end().code(), Some(78), "no daemon without a link");
    mend(&fleet, "a");
    fleet.start_with(None);
    fleet.await_state("stuck");
    assert_eq!(fleet.get("/health").0, 503);
    assert_eq!(fleet.refused(&["swap", "--to", "b"]), "swap 1 is stuck\n");
    fleet.await_log("swap refused: swap 1 is stuck");
    assert!(fleet.agents().is_empty(), "all were stopped before the flip");
    fleet.order_swap(&["--rollback"]);
    fleet.await_all_on("a", &talks);
}
