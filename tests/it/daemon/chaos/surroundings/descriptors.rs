//! A daemon that may open 64 files, and too many who ask it something.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use claude_failover::api::control;

use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::inboxes::task_text;
use crate::daemon::layout::Layout;
use crate::support::eventually;

const FEW_FILES: &str = "ulimit -n 64 && exec \"$0\" \"$@\"";
/// Of each kind; together four times as many as there are descriptors.
const CALLERS: usize = 128;

#[test]
fn used_up_descriptors_are_no_end_and_lose_nothing() {
    let layout = Layout { pool: 3, per_project: 3, swaps_per_hour: 100, ..Layout::default() };
    let (mut fleet, talks) = Fleet::with_free_pool(layout);
    // The tmux server is its own: it has what it had.
    fleet.stop_daemon();
    fleet.through = ["sh", "-c", FEW_FILES].map(str::to_owned).into();
    fleet.start();
    fleet.await_adopted(&talks);
    let tasks: Vec<String> = (0..6).map(|n| format!("shop:t{n}")).collect();
    tasks.iter().for_each(|task| fleet.submit(task, &task_text("work 800ms")));
    fleet.order_swap(&["--to", "b"]);
    let control = control::socket_path(&fleet.root().join("run"));
    let by_net: Vec<_> =
        (0..CALLERS).map_while(|_| TcpStream::connect(("127.0.0.1", fleet.port)).ok()).collect();
    let by_socket: Vec<_> =
        (0..CALLERS).map_while(|_| UnixStream::connect(&control).ok()).collect();
    println!("{} and {} callers wait", by_net.len(), by_socket.len());
    assert!(by_net.len() > 64, "{} callers use up nothing", by_net.len());
    for task in &tasks {
        let result = fleet.await_result(task);
        assert!(result.done, "{task}: {result:?}");
    }
    assert!(fleet.daemon_ended().is_none(), "it lives");
    drop((by_net, by_socket));
    eventually("/health answers 200", SOON, || (fleet.get("/health").0 == 200).then_some(()));
    fleet.await_all_on("b", &talks);
    fleet.order_swap(&["--to", "a"]);
    fleet.await_all_on("a", &talks);
    for task in &tasks {
        let id = task.split_once(':').unwrap().1;
        let received = fleet.told_of(id).iter().filter(|what| *what == "received").count();
        assert_eq!(received, 1, "{task}");
    }
}
