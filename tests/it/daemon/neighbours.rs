//! What an operator runs beside the agents is his: a swap touches none of it.

use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::hands::Pane;
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

/// Types a line that prints a pid, and gives the pid.
#[track_caller]
fn started(fleet: &Fleet, pane: &str, line: &str, name: &str) -> i32 {
    let file = fleet.root().join(name);
    fleet.type_line(pane, &format!("{line} echo $! > {}", file.display()));
    eventually(&format!("{name} is started"), SOON, || {
        std::fs::read_to_string(&file).ok()?.trim().parse().ok()
    })
}

fn panes_of(fleet: &Fleet, session: &str) -> Vec<Pane> {
    fleet.panes().into_iter().filter(|pane| pane.session == session).collect()
}

#[test]
fn editors_windows_and_background_servers_of_the_operator_stay() {
    let mut fleet = Fleet::new(Layout::default());
    fleet.start();
    fleet.await_sessions();
    let target = format!("={DEDICATED}:");
    let first = fleet.pane(DEDICATED);
    // A server in the background of the shell under which the agent will run, and one that let go.
    let server = started(&fleet, &first.id, "sleep 1000 &", "server.pid");
    let daemon = started(&fleet, &first.id, "nohup sleep 1001 > /dev/null 2>&1 &", "nohup.pid");
    // An editor in the same window, a shell with a job in another one.
    let split = ["split-window", "-d", "-t", &target, "-P", "-F", "#{pane_id}", "exec cat"];
    let editor = fleet.tmux(&split).unwrap();
    let window = ["new-window", "-d", "-t", &target, "-P", "-F", "#{pane_id}"];
    let other = fleet.tmux(&window).unwrap();
    fleet.await_shell(&other);
    let job = started(&fleet, &other, "sleep 1002 &", "job.pid");
    for session in fleet.layout.sessions() {
        let homed = session.starts_with("ccl-auto-").then_some("a");
        fleet.start_agent(&session, homed, "'first words'");
    }
    let talks = fleet.await_idle_agents();
    fleet.await_adopted(&talks);
    let before = panes_of(&fleet, DEDICATED);
    assert_eq!(before.len(), 3);
    let pool_before = panes_of(&fleet, &pool(1));

    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);

    for (what, pid) in [("server", server), ("nohup", daemon), ("job", job)] {
        assert!(outside::is_alive(pid), "{what} was ended");
    }
    let after = panes_of(&fleet, DEDICATED);
    for pane in &before {
        assert!(after.contains(pane), "{pane:?} is gone or changed: {after:?}");
    }
    assert!(before.iter().any(|pane| pane.id == editor));
    assert_eq!(after.len(), 4, "the agent goes on in a window of its own: {after:?}");
    let pool_after = panes_of(&fleet, &pool(1));
    let ids = |panes: &[Pane]| panes.iter().map(|pane| pane.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&pool_after), ids(&pool_before), "a bare shell's pane is used again");
}

#[test]
fn an_agent_in_a_split_of_its_own_comes_back_in_that_pane() {
    let mut fleet = Fleet::new(Layout { pool: 0, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    let target = format!("={DEDICATED}:");
    fleet.type_line(&fleet.pane(DEDICATED).id, "cat > /dev/null");
    let split = ["split-window", "-t", &target, "-P", "-F", "#{pane_id}"];
    let pane = fleet.tmux(&split).unwrap();
    fleet.await_shell(&pane);
    let line = format!(
        "IS_SANDBOX=1 {}/bin/claude --dangerously-skip-permissions 'first words'",
        fleet.root().display()
    );
    fleet.type_line(&pane, &line);
    let talks = fleet.await_idle_agents();
    fleet.await_adopted(&talks);
    let before = panes_of(&fleet, DEDICATED);
    fleet.order_swap(&["--to", "b"]);
    fleet.await_all_on("b", &talks);
    let after = panes_of(&fleet, DEDICATED);
    assert_eq!(after.len(), 2, "{after:?}");
    assert_eq!(after[0], before[0], "the operator's pane");
    let above = outside::ancestors(fleet.agent(DEDICATED).pid);
    let holder = after.iter().find(|pane| above.contains(&pane.leader));
    assert_eq!(holder.map(|pane| &pane.id), Some(&pane));
}

/// Which one is its operator's own business stays where it is.
#[test]
fn of_two_agents_in_a_session_its_own_is_moved_and_comes_back() {
    let mut fleet = Fleet::new(Layout { pool: 0, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    fleet.start_agent(DEDICATED, None, "'first words'");
    let talks = fleet.await_idle_agents();
    fleet.await_adopted(&talks);
    let own = fleet.agent(DEDICATED);
    let split = ["split-window", "-t", &format!("={DEDICATED}:"), "-P", "-F", "#{pane_id}"];
    let pane = fleet.tmux(&split).unwrap();
    fleet.await_shell(&pane);
    let line = format!(
        "IS_SANDBOX=1 {}/bin/claude --dangerously-skip-permissions 'other words'",
        fleet.root().display()
    );
    fleet.type_line(&pane, &line);
    fleet.await_log("holds 2 agents");
    let others = |agents: Vec<outside::Agent>| {
        let others = agents.into_iter().filter(|agent| agent.conversation != own.conversation);
        others.map(|agent| agent.pid).collect::<Vec<_>>()
    };
    let other = others(fleet.agents().remove(DEDICATED).unwrap());
    assert_eq!(other.len(), 1);

    fleet.order_swap(&["--to", "b"]);
    fleet.await_status("moved", |status| {
        status["active_account"] == "b" && status["state"] == "normal"
    });
    fleet.await_adopted(&talks);
    let agents = fleet.agents().remove(DEDICATED).unwrap();
    let back = agents.iter().find(|agent| agent.conversation == own.conversation);
    assert_eq!(back.unwrap().homed, Some(fleet.home("b")));
    assert_eq!(others(agents), other, "it was left where it is");
}
