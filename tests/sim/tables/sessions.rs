//! Which sessions exist, who comes back after a loss, and what is never touched.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Event, Verb};
use claude_failover::ids::ProcessRef;
use claude_failover::moment::Wall;
use claude_failover::quota::verdict::Reading;
use claude_failover::task::Priority;

use crate::tables::desk::{Desk, account, config, id, session};
use crate::tables::tasks::offer;

const SECOND: Duration = Duration::from_secs(1);

pub fn lose(desk: &mut Desk, name: &str) {
    desk.sessions.retain(|known| known != name);
    desk.agents.retain(|agent| agent.session.as_str() != name);
    desk.look();
    desk.list();
    desk.work();
}

/// A person has begun it a moment ago.
#[test]
fn an_agent_that_is_lost_before_it_is_up_is_resumed_by_what_it_was_started_with() {
    let mut desk = Desk::at_rest();
    desk.agents.remove(0);
    desk.add_agent("ded", AgentHome::Linked, None);
    desk.agent("ded").args = Some(vec!["--resume".to_owned(), id(5).to_string()]);
    desk.look();
    lose(&mut desk, "ded");
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
    assert_eq!(desk.launches[0].conversation, id(5));
}

#[test]
fn a_lost_session_is_made_again_and_its_agent_resumed() {
    let mut desk = Desk::at_rest();
    lose(&mut desk, "ded");
    desk.pass(10 * SECOND);
    assert_eq!(desk.created, [session("ded")]);
    assert_eq!(desk.launches[0].conversation, id(1));
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
    assert_eq!(desk.core.durable.moves.len(), 0);
}

/// `link-window`: the watcher names the session that is listed last.
#[test]
fn an_agent_whose_window_another_session_shows_stays_with_its_own() {
    for dies in [false, true] {
        let mut desk = Desk::at_rest();
        desk.linked.push(("ded".to_owned(), "auto-11".to_owned()));
        desk.list();
        desk.agent("auto-11").session = session("ded");
        if dies {
            desk.restart();
        }
        desk.look();
        desk.list();
        desk.work();
        desk.send(Verb::Swap { to: Some(account("two")) }.into());
        desk.work();
        desk.pass(10 * SECOND);
        let mut resumed: Vec<String> =
            desk.launches.iter().map(|launch| launch.session.to_string()).collect();
        resumed.sort();
        assert_eq!(resumed, ["auto-11", "auto-12", "ded"], "{dies}");
        assert_eq!(desk.recorded("ended"), 0, "{dies}");
    }
}

/// As a script does it when the host has started, before anybody saw the session missing.
fn remake(desk: &mut Desk, name: &str) {
    desk.agents.retain(|agent| agent.session.as_str() != name);
    desk.made.insert(name.to_owned(), Wall(desk.wall_ms));
    desk.leader_pid += 1_000;
}

#[test]
fn the_agent_of_a_session_that_somebody_else_has_made_anew_is_resumed_there() {
    for dies in [false, true] {
        let mut desk = Desk::at_rest();
        remake(&mut desk, "ded");
        if dies {
            desk.restart();
        }
        desk.look();
        desk.list();
        desk.work();
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one", "{dies}");
        assert_eq!(desk.launches[0].conversation, id(1), "{dies}");
        assert_eq!(desk.created.len(), 0, "{dies}");
    }
}

/// Its agent works on the target already, so that the swap has nothing to do with it.
#[test]
fn nor_is_it_forgotten_over_a_swap() {
    let mut desk = Desk::new(config());
    desk.sessions.truncate(1);
    desk.add_agent("ded", AgentHome::Homed(account("two")), Some(1));
    desk.start();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    let flip = desk.orders.remove(0);
    remake(&mut desk, "ded");
    desk.look();
    for _ in 0..3 {
        desk.list();
        desk.work();
    }
    desk.carry_out(flip);
    desk.orders.retain(|order| !matches!(order, Action::ObserveAgents { .. }));
    for _ in 0..3 {
        desk.list();
        desk.work();
    }
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    assert!(desk.homes().contains("ded=two"), "{}", desk.homes());
    assert_eq!(desk.launches[0].conversation, id(1));
}

/// A task would take its place.
#[test]
fn no_task_is_given_to_a_session_whose_agent_may_be_lost() {
    let mut desk = Desk::at_rest();
    remake(&mut desk, "auto-11");
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.observe(None);
    assert_eq!(desk.recorded("session=auto-11 task"), 0);
    desk.work();
    desk.list();
    desk.work();
    desk.pass(10 * SECOND);
    assert!(desk.launches.iter().any(|launch| launch.conversation == id(2)));
}

#[test]
fn not_so_where_the_session_may_be_the_agents_own() {
    for started_ms in [0, -4_000] {
        let mut desk = Desk::at_rest();
        remake(&mut desk, "ded");
        desk.add_agent("ded", AgentHome::Homed(account("one")), Some(5));
        let made = desk.made["ded"];
        desk.agent("ded").started_at = Wall(made.0 + started_ms);
        desk.look();
        desk.list();
        desk.work();
        desk.agents.retain(|agent| agent.session != session("ded"));
        desk.look();
        desk.list();
        desk.work();
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), "auto-11=one auto-12=one", "{started_ms}");
    }
}

/// Its client has not said yet who it is; the launch knows.
#[test]
fn a_swap_that_meets_an_agent_just_brought_back_keeps_its_conversation() {
    let mut desk = Desk::at_rest();
    desk.comes_up = None;
    lose(&mut desk, "ded");
    desk.pass(5 * SECOND);
    assert_eq!(desk.launches.len(), 1);
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").state = AgentState::Unknown;
    desk.comes_up = Some(AgentState::Idle);
    desk.send(Verb::Swap { to: None }.into());
    desk.pass(30 * SECOND);
    assert_eq!(desk.recorded("no conversation id"), 0);
    assert_eq!(desk.agent("ded").conversation, Some(id(1)));
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

#[test]
fn with_resume_after_loss_off_the_session_comes_back_without_its_agent() {
    let mut desk = Desk::at_rest();
    let mut changed = config();
    changed.pool.dedicated[0].resume_after_loss = false;
    desk.send(Event::ConfigReloaded(changed.into()));
    desk.work();
    lose(&mut desk, "ded");
    desk.pass(10 * SECOND);
    assert_eq!(desk.created, [session("ded")]);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one");
    assert_eq!(desk.recorded("session=ded lost with its agent"), 1);
}

#[test]
fn an_agent_that_its_operator_ended_stays_ended() {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session.as_str() != "ded");
    desk.look();
    desk.pass(60 * SECOND);
    assert_eq!(desk.recorded("session=ded agent ended, session lives"), 1);
    lose(&mut desk, "ded");
    desk.pass(60 * SECOND);
    assert_eq!(desk.launches.len(), 0);
}

#[test]
fn sessions_outside_the_configuration_are_never_touched() {
    let mut desk = Desk::at_rest();
    for name in ["auto-10", "auto-14", "auto-1", "dedicated", "ded2", "$(x)"] {
        desk.sessions.push(name.to_owned());
    }
    desk.list();
    for order in desk.orders.clone() {
        match order {
            Action::WatchAgents { panes } => {
                assert!(panes.iter().all(|pane| desk.core.config.group(&pane.session).is_some()));
            }
            Action::ObserveAgents { .. } | Action::WatchPanes { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    desk.work();
    assert_eq!(desk.core.sessions.len(), 3);
    assert_eq!(desk.stops, Vec::<ProcessRef>::new());
}

#[test]
fn a_reload_takes_what_it_can_and_drops_moves_of_sessions_that_left() {
    let mut desk = Desk::at_rest();
    desk.set_state("auto-12", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert!(desk.core.durable.moves.contains_key(&session("auto-12")));
    let mut changed = config();
    changed.link = "/elsewhere".into();
    changed.accounts.pop();
    if let Some(pool) = &mut changed.pool.autonomous {
        (pool.min, pool.max) = (1, 1);
    }
    desk.send(Event::ConfigReloaded(changed.into()));
    desk.work();
    assert_eq!(desk.core.config.link, config().link, "only a restart changes the link");
    assert_eq!(desk.core.config.accounts.len(), 3, "only a restart takes an account");
    assert_eq!(desk.recorded("session=auto-12 left as it is: its session left"), 1);
    assert_eq!(desk.stops.len(), 2, "auto-12 is not ours any more");
}

#[test]
fn a_refused_reload_changes_nothing_and_is_shown() {
    let mut desk = Desk::at_rest();
    desk.send(Event::ConfigRejected { problems: vec!["swap.ramp: unknown key".to_owned()] });
    assert_eq!(desk.core.config_problems.len(), 1);
    assert_eq!(*desk.core.config, config());
}

#[test]
fn nothing_is_decided_while_the_tmux_server_is_unreachable() {
    let mut desk = Desk::at_rest();
    desk.send(Event::TerminalLost { reason: "no server".to_owned() });
    desk.agents.clear();
    desk.look();
    desk.pass(600 * SECOND);
    assert_eq!(desk.created.len() + desk.launches.len() + desk.recorded("lost"), 0);
    desk.sessions.clear();
    desk.send(Event::TerminalConnected);
    desk.work();
    desk.pass(30 * SECOND);
    assert_eq!(desk.created.len(), 3);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
}

/// All ended with the server; a listing that was made before that comes in after the look.
#[test]
fn a_listing_that_was_on_its_way_proves_no_session_alive() {
    let mut desk = Desk::at_rest();
    desk.agents.clear();
    desk.observe(None);
    desk.list();
    desk.send(Event::TerminalLost { reason: "no server".to_owned() });
    desk.orders.clear();
    desk.sessions.clear();
    desk.send(Event::TerminalConnected);
    desk.work();
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=one auto-12=one ded=one");
}

#[test]
fn an_agent_that_ended_by_itself_is_let_go_by_two_listings() {
    let mut desk = Desk::at_rest();
    desk.agents.clear();
    desk.look();
    desk.work();
    assert_eq!(desk.recorded("agent ended, session lives"), 3);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "");
}

#[test]
fn whom_a_swap_has_ended_when_his_session_leaves_is_named_with_the_way_to_go_on() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    let mut changed = config();
    changed.pool.dedicated.clear();
    desk.send(Event::ConfigReloaded(changed.into()));
    let how = format!("while its agent was ended: claude --resume {} goes on", id(1));
    assert_eq!(desk.recorded(&how), 1);
}

#[test]
fn a_drain_orders_nothing_new_and_stops_when_all_is_answered() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    let check = desk.orders.remove(0);
    desk.send(Event::StopRequested);
    assert!(!desk.orders.contains(&Action::Stop), "one answer is still to come");
    desk.orders = vec![check];
    desk.work();
    desk.send(Event::DeadlineReached);
    assert!(desk.orders.contains(&Action::Stop));
    assert_eq!(desk.stops.len() + desk.launches.len(), 0);
}

#[test]
fn a_wait_is_of_the_agent_whose_screen_showed_it() {
    let mut desk = Desk::at_rest();
    let waits = |desk: &Desk| desk.core.sessions[&session("ded")].armed;
    let show = |desk: &mut Desk, armed| {
        desk.show("ded", Reading { armed, ..Reading::clear() });
        assert_eq!(waits(desk), armed);
    };
    show(&mut desk, true);
    desk.look();
    assert!(waits(&desk), "the same agent");
    show(&mut desk, false);

    show(&mut desk, true);
    desk.agent("ded").process = ProcessRef { pid: 7, started_ticks: 2 };
    desk.look();
    assert!(!waits(&desk), "another agent took its place");

    show(&mut desk, true);
    let agent = desk.agent("ded").clone();
    desk.agents.retain(|agent| agent.session != session("ded"));
    desk.look();
    assert!(!waits(&desk), "its agent is gone");

    // The screen of a new agent may be read before its process is seen.
    show(&mut desk, true);
    desk.agents.push(agent);
    desk.look();
    assert!(waits(&desk), "its own screen says so");

    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    assert!(!waits(&desk), "the swap has ended it");
}
