//! A task that is lost: what its launch, its signal and those in its session say of it afterwards.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, LastWords, Verb};
use claude_failover::core::record::Record;
use claude_failover::ids::PaneId;
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::Ending;
use claude_failover::task::{HeldState, Priority};

use crate::tables::desk::{Desk, account, id, session};
use crate::tables::rare::is_launch;
use crate::tables::tasks::{free_pool, offer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Its session goes before its launch is answered, which makes it anew. This one was seen there.
fn lost_before_its_launch_is_answered(args: Option<Vec<String>>) -> (Desk, Action) {
    let mut desk = free_pool();
    desk.inbox = vec![offer("p:a", Priority::Default)];
    desk.tell_offers();
    desk.work_until(is_launch);
    let launch = desk.orders.remove(0);
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), None);
    let agent = desk.agent("auto-11");
    agent.state = AgentState::Unknown;
    agent.args = args;
    desk.look();
    desk.lose_session("auto-11");
    (desk, launch)
}

fn carry_out_in_a_new_session(desk: &mut Desk, launch: Action) {
    let lost = desk.sessions.iter().position(|name| name.starts_with("lost-"));
    desk.sessions[lost.expect("it was lost")] = "auto-11".to_owned();
    desk.carry_out(launch);
    desk.list();
    desk.work();
}

fn losses(desk: &Desk) -> usize {
    let is_loss = |record: &&Record| matches!(record, Record::TaskLost { .. });
    desk.journal.iter().filter(is_loss).count()
}

/// It tells nothing.
#[test]
fn who_comes_up_by_a_launch_after_its_task_was_lost_is_that_tasks_agent() {
    let (mut desk, launch) = lost_before_its_launch_is_answered(None);
    assert_eq!(losses(&desk), 1);
    desk.comes_up = None;
    desk.add_agent("auto-12", AgentHome::Homed(account("one")), None);
    let agent = desk.agent("auto-12");
    (agent.session, agent.state) = (session("auto-11"), AgentState::Unknown);
    agent.pane = PaneId(1);
    carry_out_in_a_new_session(&mut desk, launch);
    desk.pass(2 * SECOND);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)]);
}

#[test]
fn a_signal_of_a_lost_task_leaves_nobody_there_who_comes_up_after_it() {
    let (mut desk, launch) = lost_before_its_launch_is_answered(None);
    desk.signal("auto-11", true, "");
    carry_out_in_a_new_session(&mut desk, launch);
    desk.pass(MINUTE);
    assert_eq!(desk.results(), "p:a=done(signal)");
    let its = desk.agents.iter().filter(|agent| agent.conversation == Some(id(101)));
    assert_eq!(its.count(), 0, "{}", desk.homes());
}

/// A person's.
#[test]
fn a_task_is_not_lost_with_an_agent_whose_arguments_name_another_conversation() {
    let args = vec!["--resume".to_owned(), id(9).to_string()];
    let (mut desk, launch) = lost_before_its_launch_is_answered(Some(args));
    assert_eq!(losses(&desk), 0);
    carry_out_in_a_new_session(&mut desk, launch);
    desk.pass(2 * SECOND);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)]);
}

/// A person has resumed it, and begun another conversation, while the daemon was away.
#[test]
fn nobody_is_ended_for_a_task_whose_process_is_known_and_gone() {
    let mut desk = Desk::at_work();
    desk.agents.retain(|agent| agent.session != session("auto-11"));
    let person = desk.add_agent("auto-11", AgentHome::Linked, Some(9));
    desk.agent("auto-11").args = Some(vec!["--resume".to_owned(), id(101).to_string()]);
    desk.restart();
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    desk.pass(5 * MINUTE);
    assert_ne!(desk.recorded("task goes back to the queue"), 0);
    assert!(!desk.stops.contains(&person), "{:?}", desk.stops);
}

#[test]
fn a_task_whose_agent_goes_with_its_session_while_it_finishes_its_turn_goes_on() {
    let mut desk = Desk::at_work();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(5 * SECOND);
    let stays = |desk: &Desk| desk.homes().contains("auto-11=one");
    assert!(stays(&desk), "{}", desk.homes());
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    desk.lose_session("auto-11");
    desk.pass(MINUTE);
    assert_eq!((desk.recorded("session=auto-11 restore"), desk.deliveries()), (1, 1));
    assert_eq!(desk.agent("auto-11").conversation, Some(id(101)));
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
}
