//! Clients that write no session file, found by their arguments; and what is no agent at all.

use std::time::Duration;

use claude_failover::core::event::{AgentHome, AgentState};
use claude_failover::process::table;

use crate::sensors::stage::{NEVER, SOON, Stage, agent, await_client};
use crate::support::eventually;

const IDLE: &str = r#""status":"idle","#;
const TICK: Duration = Duration::from_millis(20);

#[test]
fn a_client_without_a_file_is_found_by_its_name() {
    let stage = Stage::new(TICK);
    let script = stage.script("bin/claude", "sleep 300 & wait");
    let module = "node_modules/@anthropic-ai/claude-code/cli.js";
    let module = stage.script(module, "sleep 300 & wait");
    let panes = [
        stage.pane("plain", "cd /usr; exec -a claude sleep 300"),
        stage.pane("path", "exec -a /x/bin/claude sleep 300"),
        stage.pane("own", "(exec -a /y/own-agent sleep 300) & wait"),
        stage.pane("script", &format!("{} -c 'two words'", script.display())),
        stage.pane("module", &format!("bash {}", module.display())),
        stage.pane("shell", "sleep 300 & wait"),
        stage.pane("similar", "exec -a claude-helper sleep 300"),
    ];
    stage.watch(&panes.each_ref());
    let seen = stage.until("five clients", |seen| seen.agents.len() == 5);
    for (session, args) in [
        ("plain", vec!["300"]),
        ("path", vec!["300"]),
        ("own", vec!["300"]),
        ("script", vec!["-c", "two words"]),
        ("module", vec![]),
    ] {
        let agent = agent(&seen, session);
        let args = args.into_iter().map(str::to_owned).collect();
        assert_eq!(agent.args, Some(args), "{session}");
        assert_eq!(agent.state, AgentState::Unknown);
        assert_eq!(agent.conversation, None);
        assert_eq!(agent.home, AgentHome::Linked);
    }
    assert_eq!(agent(&seen, "plain").cwd.to_str(), Some("/usr"));
    let again = stage.look(1);
    assert_eq!(again.agents, seen.agents, "first seen then, not now");
}

#[test]
fn what_a_client_started_is_its_tool() {
    let stage = Stage::new(NEVER);
    let below =
        stage.script("below", "(exec -a claude sleep 300) & (exec -a claude sleep 300) & wait");
    let body = format!("exec -a claude bash {}", below.display());
    let without = stage.pane("without", &body);
    let with = stage.pane("with", &body);
    for pane in [&without, &with] {
        let clients = eventually("its tools run", SOON, || {
            let tools = table::children(pane.leader_pid).unwrap();
            (tools.len() == 2).then_some(tools)
        });
        for client in clients {
            await_client(client);
            // An MCP server that is a client may write a file of its own.
            if *pane == with {
                stage.write_session("a", client, 2, IDLE);
            }
        }
    }
    stage.write_session("a", with.leader_pid, 1, IDLE);
    stage.watch(&[&without, &with]);
    let seen = stage.look(1);
    assert_eq!(agent(&seen, "without").process.pid, without.leader_pid);
    assert_eq!(agent(&seen, "with").process.pid, with.leader_pid);
    assert_eq!(seen.linked_foreign, 0);
}

#[test]
fn a_script_around_a_client_with_a_file_is_not_a_second_agent() {
    let stage = Stage::new(NEVER);
    let wrapper = stage.script("bin/claude", "(exec -a claude sleep 300) & wait");
    let pane = stage.pane("one", &format!("{} --flag; exit", wrapper.display()));
    stage.watch(&[&pane]);
    let (outer, inner) = eventually("wrapper and client", SOON, || {
        let outer = *table::children(pane.leader_pid).unwrap().first()?;
        let inner = *table::children(outer).unwrap().first()?;
        (table::args(inner).unwrap()?[0] == "claude").then_some((outer, inner))
    });
    assert_eq!(agent(&stage.look(1), "one").process.pid, outer);
    stage.write_session("a", inner, 1, IDLE);
    let seen = stage.look(2);
    assert_eq!(agent(&seen, "one").process.pid, inner);
    std::fs::remove_file(stage.session_path("a", inner)).unwrap();
    assert_eq!(agent(&stage.look(3), "one").process.pid, outer);
}

#[test]
fn two_agents_of_one_session_are_both_reported() {
    let stage = Stage::new(NEVER);
    let first = stage.pane("one", "exec -a claude sleep 300");
    let second = stage.split("one", "exec -a claude sleep 300");
    for pane in [&first, &second] {
        await_client(pane.leader_pid);
    }
    stage.write_session("a", second.leader_pid, 1, IDLE);
    stage.watch(&[&second, &first]);
    let panes = stage.look(1).agents.into_iter().map(|agent| agent.pane);
    assert_eq!(panes.collect::<Vec<_>>(), [first.pane, second.pane]);
}
