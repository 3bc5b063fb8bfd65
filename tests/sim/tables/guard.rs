//! Who is launched with the guard.

use std::sync::Arc;
use std::time::Duration;

use claude_failover::core::event::{AgentHome, Event};
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, session};
use crate::tables::tasks::offer;

const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";

/// The file with which each session's agent was launched last.
fn settings_of(desk: &Desk, name: &str) -> String {
    let launches = desk.launches.iter().rev();
    let launch = launches.clone().find(|launch| launch.session == session(name)).expect("launched");
    let at = launch.argv.iter().position(|arg| arg == "--settings").expect("it has settings");
    launch.argv[at + 1].clone()
}

#[test]
fn the_guard_is_for_agents_of_the_pool_and_a_reload_reaches_those_that_move() {
    const PLAIN: &str = "/run/failover/agent-settings.json";
    const GUARDED: &str = "/run/failover/agent-settings-guarded.json";
    for (guard, expected) in [(false, PLAIN), (true, GUARDED)] {
        let mut begun = config();
        begun.agent.guard = guard;
        let mut desk = Desk::new(begun);
        desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
        desk.start();
        desk.offer(&[offer("p:a", Priority::Default)]);
        assert_eq!(settings_of(&desk, "auto-11"), expected);
        desk.prompt("auto-11");

        // Switched over while it works, and then everybody moves.
        let mut switched = config();
        switched.agent.guard = !guard;
        desk.send(Event::ConfigReloaded(Arc::new(switched)));
        desk.banner("ded", LIMIT, Some(60));
        desk.banner("auto-11", LIMIT, Some(60));
        desk.pass(MINUTE);
        assert_eq!(settings_of(&desk, "ded"), PLAIN);
        let other = if guard { PLAIN } else { GUARDED };
        assert_eq!(settings_of(&desk, "auto-11"), other);
        let fresh = desk.launches.iter().filter(|launch| {
            launch.session == session("auto-11")
                && launch.argv.iter().any(|arg| arg == "--session-id")
        });
        assert_eq!(fresh.count(), 1, "its task went on");
    }
}
