//! What the processes do that an agent has started: real ones, that really work.

use std::time::Duration;

use claude_failover::core::event::Event;
use claude_failover::process::table;

use crate::sensors::stage::{SOON, Stage, await_client};
use crate::support::eventually;

const TICK: Duration = Duration::from_millis(50);
/// Work without end, without a child.
const SPIN: &str = "while :; do :; done";

impl Stage {
    /// The next session whose tools worked.
    #[track_caller]
    fn worked(&self, what: &str) -> (String, i32) {
        self.next(what, |event| match event {
            Event::ToolsWorked { session, process } => {
                Some((session.as_str().to_owned(), process.pid))
            }
            _ => None,
        })
    }
}

/// An agent whose own process runs `body` in bash.
fn client(body: &str) -> String {
    format!("exec -a claude bash -c '{body}' claude")
}

#[test]
fn tools_at_work_are_told_of_and_an_agent_that_spins_is_not() {
    let stage = Stage::new(TICK);
    let mut builds = stage.pane("builds", &client(&format!("bash -c \"{SPIN}\" & wait")));
    let mut spins = stage.pane("spins", &client(&format!("sleep 300 & {SPIN}")));
    let mut idles = stage.pane("idles", &client("sleep 300 & wait"));
    let unwatched = stage.pane("unwatched", &client(&format!("bash -c \"{SPIN}\" & wait")));
    for pane in [&mut builds, &mut spins, &mut idles] {
        pane.at_work = true;
        await_client(pane.leader_pid);
    }
    stage.watch(&[&builds, &spins, &idles, &unwatched]);
    assert_eq!(stage.worked("the build"), ("builds".to_owned(), builds.leader_pid));
    let spun = || table::stat(spins.leader_pid).unwrap().unwrap().used;
    let begun = spun();
    eventually("it spins as long as the build", SOON, || {
        (spun() > begun + Duration::from_secs(2)).then_some(())
    });
    stage.look(1);
    let more = stage.events.try_iter().find(|event| matches!(event, Event::ToolsWorked { .. }));
    assert!(more.is_none(), "once in the window, and nobody else: {more:?}");
}

#[test]
fn tools_that_have_ended_have_worked_too() {
    let stage = Stage::new(TICK);
    // Each ends before the next measure may see it.
    let short =
        "for i in {1..300}; do bash -c \"for j in {1..20000}; do :; done\"; done; sleep 300";
    let mut pane = stage.pane("one", &client(short));
    pane.at_work = true;
    await_client(pane.leader_pid);
    stage.watch(&[&pane]);
    assert_eq!(stage.worked("many short tools").0, "one");
}
