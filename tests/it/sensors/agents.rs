//! Agents that write session files.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::core::action::OrderId;
use claude_failover::core::event::{AgentHome, AgentState};
use claude_failover::ids::{ConversationId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::process::table;
use claude_failover::watcher::Order;

use crate::sensors::stage::{
    NEVER, Outsider, Stage, agent, await_client, config, id, session_text,
};

const CLIENT: &str = "exec -a claude sleep 300";
const IDLE: &str = r#""status":"idle","statusUpdatedAt":1795361006034,"#;
const BUSY: &str = r#""status":"busy","statusUpdatedAt":1795361007000,"#;

fn conversation(number: u32) -> Option<ConversationId> {
    Some(id(number).parse().unwrap())
}

fn homed(name: &str) -> AgentHome {
    AgentHome::Homed(name.parse().unwrap())
}

#[test]
fn an_agent_is_reported_as_its_session_file_and_its_process_tell() {
    let stage = Stage::new(NEVER);
    let body = format!(
        "cd /; export CLAUDE_CONFIG_DIR={}; (exec -a claude sleep 300) & wait",
        stage.path("b").display()
    );
    let pane = stage.pane("one", &body);
    let pid = crate::support::eventually("a child", NEVER, || {
        table::children(pane.leader_pid).unwrap().first().copied()
    });
    await_client(pid);
    let waiting = r#""status":"waiting","waitingFor":"dialog open","statusUpdatedAt":77,"#;
    stage.write_session("b", pid, 1, waiting);
    let key = stage.path("b").join(format!("sessions/{pid}.abc.key"));
    fs::write(key, "{}").unwrap();
    stage.watch(&[&pane]);

    let seen = stage.look(1);
    assert_eq!(seen.agents.len(), 1);
    let agent = agent(&seen, "one");
    assert_eq!(agent.pane, pane.pane);
    assert_eq!(Some(agent.process), table::identity(pid).unwrap());
    assert_eq!(agent.home, homed("b"));
    assert_eq!(agent.conversation, conversation(1));
    assert_eq!(agent.state, AgentState::Waiting("dialog open".to_owned()));
    assert_eq!(agent.state_since, Wall(77));
    assert_eq!(agent.args, Some(vec!["300".to_owned()]));
    assert_eq!(agent.cwd.to_str(), Some("/srv/work"));
}

#[test]
fn linked_homed_and_foreign_configurations_are_told_apart() {
    let stage = Stage::new(NEVER);
    let with = |name: &str, dir: &str| {
        let dir = stage.path(dir);
        let body = format!("export CLAUDE_CONFIG_DIR={}; {CLIENT}", dir.display());
        stage.pane(name, &body)
    };
    std::os::unix::fs::symlink("user/.claude", stage.path("alias")).unwrap();
    let panes = [
        stage.pane("unset", CLIENT),
        with("through", "alias"),
        with("homed", "a"),
        with("elsewhere", "user"),
        stage.pane("homeless", &format!("unset HOME; {CLIENT}")),
    ];
    // A linked client keeps writing to the home it began with.
    for (number, pane) in (1..).zip(&panes) {
        await_client(pane.leader_pid);
        stage.write_session("a", pane.leader_pid, number, IDLE);
    }
    stage.watch(&panes.each_ref());
    let seen = stage.look(1);
    for (session, expected) in [
        ("unset", AgentHome::Linked),
        ("through", AgentHome::Linked),
        ("homed", homed("a")),
        ("elsewhere", AgentHome::Elsewhere),
        ("homeless", AgentHome::Elsewhere),
    ] {
        assert_eq!(agent(&seen, session).home, expected, "{session}");
    }
    assert_eq!(seen.linked_foreign, 0);

    stage.watch(&[&panes[2]]);
    let seen = stage.look(2);
    assert_eq!(seen.agents.len(), 1);
    assert_eq!(seen.linked_foreign, 2, "two linked clients are in no watched pane");
}

#[test]
fn a_linked_client_outside_of_tmux_is_counted_while_it_lives() {
    let stage = Stage::new(NEVER);
    let linked = Outsider::start(&stage.path("user/.claude"));
    let homed = Outsider::start(&stage.path("b"));
    for outsider in [&linked, &homed] {
        await_client(outsider.pid());
        stage.write_session("b", outsider.pid(), 1, IDLE);
    }
    stage.watch(&[]);
    assert_eq!(stage.look(1).linked_foreign, 1);
    drop(linked);
    assert_eq!(stage.look(2).linked_foreign, 0, "its file is still there");
}

#[test]
fn a_file_that_another_process_wrote_is_not_believed() {
    let stage = Stage::new(NEVER);
    let pane = stage.pane("one", CLIENT);
    let pid = pane.leader_pid;
    await_client(pid);
    let ticks = table::started_ticks(pid).unwrap().unwrap();
    stage.watch(&[&pane]);
    for (order, text) in (1..).zip([
        session_text(pid, &(ticks - 1).to_string(), 1, IDLE),
        session_text(pid + 1, &ticks.to_string(), 1, IDLE),
        session_text(pid, "later", 1, IDLE),
        "[]".to_owned(),
        " ".repeat(65 * 1024) + &session_text(pid, &ticks.to_string(), 1, IDLE),
    ]) {
        fs::write(stage.session_path("a", pid), &text).unwrap();
        let seen = stage.look(order);
        let agent = agent(&seen, "one");
        assert_eq!(agent.conversation, None, "{text}");
        assert_eq!(agent.state, AgentState::Unknown);
    }
    stage.write_session("a", pid, 1, IDLE);
    assert_eq!(agent(&stage.look(9), "one").conversation, conversation(1));
}

/// Agents and their tools run as our user: what lies in a home may be anything.
#[test]
fn a_pipe_or_a_directory_in_the_place_of_a_file_holds_nobody_up() {
    let stage = Stage::new(NEVER);
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    let path = stage.session_path("a", pane.leader_pid);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    stage.watch(&[&pane]);
    assert_eq!(agent(&stage.look(1), "one").conversation, None, "nobody writes into the pipe");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(agent(&stage.look(2), "one").conversation, None);
    fs::remove_dir(&path).unwrap();
    stage.write_session("a", pane.leader_pid, 1, IDLE);
    assert_eq!(agent(&stage.look(3), "one").conversation, conversation(1));
}

#[test]
fn half_a_file_changes_nothing_until_it_is_whole() {
    let stage = Stage::new(NEVER);
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.watch(&[&pane]);
    let path = stage.session_path("a", pane.leader_pid);
    let ticks = table::started_ticks(pane.leader_pid).unwrap().unwrap().to_string();
    let first = session_text(pane.leader_pid, &ticks, 1, IDLE);
    let second = session_text(pane.leader_pid, &ticks, 2, BUSY);

    fs::write(&path, &first[..90]).unwrap();
    assert_eq!(agent(&stage.look(1), "one").conversation, None);
    fs::write(&path, &first).unwrap();
    assert_eq!(agent(&stage.look(2), "one").conversation, conversation(1));
    for half in ["", &second[..90]] {
        fs::write(&path, half).unwrap();
        let seen = stage.look(3);
        let agent = agent(&seen, "one");
        assert_eq!(agent.conversation, conversation(1), "{half:?}");
        assert_eq!(agent.state, AgentState::Idle);
    }
    fs::write(&path, &second).unwrap();
    let seen = stage.look(4);
    assert_eq!(agent(&seen, "one").conversation, conversation(2));
    assert_eq!(agent(&seen, "one").state, AgentState::Busy);
}

#[test]
fn a_change_of_conversation_is_noticed_without_waiting_for_the_tick() {
    let stage = Stage::new(NEVER);
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.write_session("a", pane.leader_pid, 1, IDLE);
    stage.watch(&[&pane]);
    stage.until("the agent", |seen| seen.agents.len() == 1);

    let mut quickest = NEVER;
    for number in 2..12 {
        let written = Instant::now();
        stage.write_session("a", pane.leader_pid, number, IDLE);
        let seen = stage.until("the new conversation", |seen| {
            agent(seen, "one").conversation == conversation(number)
        });
        assert_eq!(seen.order, None);
        quickest = quickest.min(written.elapsed());
    }
    assert!(quickest < Duration::from_millis(200), "{quickest:?}");
}

#[test]
fn homes_that_come_go_and_come_again_are_noticed() {
    let stage = Stage::new(Duration::from_millis(50));
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    fs::remove_dir_all(stage.path("b")).unwrap();
    stage.watch(&[&pane]);
    stage.until("a client without a file", |seen| agent(seen, "one").conversation.is_none());
    for number in 1..4 {
        fs::create_dir_all(stage.path("b/sessions")).unwrap();
        stage.write_session("b", pane.leader_pid, number, IDLE);
        stage.until("the file", |seen| agent(seen, "one").conversation == conversation(number));
        fs::remove_dir_all(stage.path("b")).unwrap();
        stage.until("the file has gone", |seen| agent(seen, "one").conversation.is_none());
    }
}

#[test]
fn a_sessions_directory_made_anew_is_noticed_without_the_tick() {
    let stage = Stage::new(NEVER);
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.watch(&[&pane]);
    for number in 1..4 {
        fs::remove_dir_all(stage.path("a/sessions")).unwrap();
        fs::create_dir(stage.path("a/sessions")).unwrap();
        stage.write_session("a", pane.leader_pid, number, IDLE);
        stage.until("the file", |seen| agent(seen, "one").conversation == conversation(number));
    }
}

#[test]
fn an_agent_that_ends_is_gone_at_the_next_tick() {
    let stage = Stage::new(Duration::from_millis(20));
    let pane = stage.pane("one", "(exec -a claude sleep 300) & wait; sleep 300");
    let other = stage.pane("two", CLIENT);
    stage.watch(&[&pane, &other]);
    let seen = stage.until("both", |seen| seen.agents.len() == 2);
    let process = agent(&seen, "one").process;
    stage.write_session("a", process.pid, 1, IDLE);
    stage.until("its file", |seen| agent(seen, "one").conversation == conversation(1));
    kill(process);
    let seen = stage.until("it ended", |seen| seen.agents.len() == 1);
    agent(&seen, "two");
}

fn kill(process: ProcessRef) {
    let pid = rustix::process::Pid::from_raw(process.pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn nothing_is_said_twice_and_every_question_is_answered() {
    let stage = Stage::new(Duration::from_millis(5));
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.write_session("a", pane.leader_pid, 1, r#""status":"idle","#);
    stage.watch(&[&pane]);
    let first = stage.until("the agent", |seen| agent(seen, "one").conversation == conversation(1));
    stage.watch(&[&pane]);
    for order in 1..40 {
        let order = OrderId(order);
        let order = Order::ObserveAgents { order };
        stage.watcher.order(order).unwrap();
    }
    for order in 1..40 {
        let seen = stage.until("the next event", |_| true);
        assert_eq!(seen.order, Some(OrderId(order)));
        assert_eq!(seen.agents, first.agents, "since then, too, stays the same");
    }
}

#[test]
fn before_it_knows_the_panes_it_says_nothing_unasked() {
    let stage = Stage::new(Duration::from_millis(5));
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.write_session("a", pane.leader_pid, 1, IDLE);
    let seen = stage.look(1);
    assert!(seen.agents.is_empty());
    assert_eq!(seen.linked_foreign, 1);
}

#[test]
fn a_credential_file_is_dated_but_not_read() {
    let stage = Stage::new(NEVER);
    stage.watch(&[]);
    assert!(stage.look(1).credentials_changed.is_empty());
    let path = stage.path("b/.credentials.json");
    fs::write(&path, "not json").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    let modified = Wall(i64::try_from(modified.as_millis()).unwrap());
    let expected = vec![("b".parse().unwrap(), modified)];
    stage.until("the date", |seen| seen.credentials_changed == expected);
}

#[test]
fn a_new_configuration_counts_at_once() {
    let stage = Stage::new(NEVER);
    let dir = stage.path("b");
    let body = format!("export CLAUDE_CONFIG_DIR={}; {CLIENT}", dir.display());
    let pane = stage.pane("one", &body);
    await_client(pane.leader_pid);
    stage.watch(&[&pane]);
    assert_eq!(agent(&stage.look(1), "one").home, homed("b"));
    let mut other = config(&stage.path(""), Duration::from_millis(20));
    other.accounts.pop();
    let order = Order::Reconfigure(Arc::new(other));
    stage.watcher.order(order).unwrap();
    stage.until("the account has gone", |seen| agent(seen, "one").home == AgentHome::Elsewhere);
}
