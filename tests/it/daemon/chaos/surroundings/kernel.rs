//! What the kernel gives and takes: notices of files, and its clocks.

use std::process::Command;

use crate::daemon::chaos::surroundings::room::in_a_room;
use crate::daemon::fleet::{Fleet, Talks};
use crate::daemon::inboxes::task_text;
use crate::daemon::layout::Layout;

const MODULE: &str = "daemon::chaos::surroundings::kernel";
const NO_NOTICES: &str = "echo 0 > /proc/sys/user/max_inotify_instances";
const TEN_DAYS_S: u64 = 10 * 24 * 3600;

#[test]
fn without_notices_of_the_kernel_tasks_and_swaps_go_on() {
    in_a_room(
        &format!("{MODULE}::without_notices_of_the_kernel_tasks_and_swaps_go_on"),
        NO_NOTICES,
        || {
            let layout = Layout { pool: 1, ..Layout::default() };
            let (fleet, talks) = Fleet::with_free_pool(layout);
            fleet.await_log("max_user_instances");
            fleet.submit("shop:t1", &task_text("work 3s"));
            fleet.await_told("t1", "received");
            fleet.exhaust("a", 2 * 3600);
            let result = fleet.await_result("shop:t1");
            assert!(result.done && result.attempts == 1, "{result:?}");
            assert_eq!(result.account.unwrap().as_str(), "b");
            fleet.await_all_on("b", &talks);
            assert_eq!(fleet.get("/health").0, 200);
        },
    );
}

/// Account a is out for two hours, by the wall clock.
#[track_caller]
fn assert_unmoved(fleet: &Fleet, talks: &Talks) {
    fleet.await_adopted(talks);
    let status = fleet.await_all_on("b", talks);
    let a = &status["accounts"][0];
    assert_eq!((&a["name"], &a["state"]), (&"a".into(), &"exhausted".into()), "{a}");
}

/// As after a start of the host, and as nothing on it should ever do: the clock that never moves moved.
#[test]
fn a_monotonic_clock_that_has_moved_between_two_lives_changes_nothing() {
    let through = ["unshare", "-Ur", "--time", "--monotonic"].map(str::to_owned);
    let through = through.into_iter().chain([TEN_DAYS_S.to_string()]);
    let through: Vec<String> =
        through.chain(["--fork", "--kill-child"].map(str::to_owned)).collect();
    let tried = Command::new(&through[0]).args(&through[1..]).arg("true").output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        use std::io::Write;
        let name = "a_monotonic_clock_that_has_moved_between_two_lives_changes_nothing";
        writeln!(std::io::stderr(), "NOT TRIED: {MODULE}::{name}: {tried:?}").unwrap();
        return;
    }
    let (mut fleet, talks) = Fleet::up(Layout { accounts: 3, ..Layout::default() });
    fleet.exhaust("a", 2 * 3600);
    fleet.prompt(crate::daemon::layout::DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    for moved in [true, false] {
        // A killed parent of it is no end of it at once.
        fleet.done(&["stop"]);
        assert_eq!(fleet.await_end().code(), Some(0));
        fleet.through = if moved { through.clone() } else { Vec::new() };
        fleet.start();
        assert_unmoved(&fleet, &talks);
    }
    fleet.order_swap(&["--to", "c"]);
    fleet.await_all_on("c", &talks);
}
