//! A task at the edges: its session, its agent or its daemon goes, and others come in their places.

use std::time::Duration;

use claude_failover::core::Core;
use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Event, LastWords, Verb};
use claude_failover::core::record::{MoveOutcome, Record};
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::Ending;
use claude_failover::task::{HeldState, Priority};

use crate::tables::desk::{Desk, account, config, id, session};
use crate::tables::rare::is_launch;
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::record_answer;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Of a task, for `auto-11`.
fn with_a_launch_on_its_way() -> Desk {
    let mut desk = free_pool();
    desk.inbox = vec![offer("p:a", Priority::Default)];
    desk.tell_offers();
    desk.work_until(is_launch);
    desk
}

/// Its agent told nothing, so that nobody can end it in a place that is not ours any more.
#[test]
fn a_task_whose_session_leaves_the_configuration_before_its_agent_is_ended_is_left_to_a_person() {
    let mut desk = free_pool();
    desk.comes_up = None;
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), None);
    desk.agent("auto-11").state = AgentState::Unknown;
    desk.look();
    desk.now_ms += 50_000;
    desk.set_clock_right();
    desk.send(Event::DeadlineReached);
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    desk.orders.clear();
    let mut changed = config();
    if let Some(pool) = &mut changed.pool.autonomous {
        (pool.start_index, pool.min, pool.max) = (12, 1, 1);
    }
    desk.send(Event::ConfigReloaded(changed.into()));
    desk.work();
    desk.pass(5 * MINUTE);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
}

/// Before the launch of its task had run somebody began an agent of his own there.
#[test]
fn a_task_waits_while_somebody_elses_agent_is_moved_in_its_session() {
    let mut desk = with_a_launch_on_its_way();
    desk.orders.clear();
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), Some(9));
    desk.agent("auto-11").args = Some(Vec::new());
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(20 * SECOND);
    let talks = |desk: &Desk, name: &str| {
        let name = session(name);
        let here = desk.agents.iter().filter(|agent| agent.session == name);
        here.map(|agent| agent.conversation.clone()).collect::<Vec<_>>()
    };
    assert_eq!(talks(&desk, "auto-11"), [Some(id(9))]);
    assert_eq!(desk.homes().matches("=one").count(), 0);
    assert_eq!((desk.refused_launches, desk.deliveries()), (0, 1), "it goes to another session");
    assert_eq!(talks(&desk, "auto-12").len(), 1);
}

/// The answer to its launch was lost, and who came up there tells nothing: perhaps it is at work.
#[test]
fn a_task_is_not_given_away_beside_somebody_who_tells_nothing() {
    let mut desk = with_a_launch_on_its_way();
    desk.orders.clear();
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), None);
    desk.agent("auto-11").state = AgentState::Unknown;
    desk.look();
    desk.last_words = Ok(Some(Box::new(LastWords { ending: Ending::default(), text: None })));
    desk.pass(3 * MINUTE);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
    assert_eq!((desk.stops.len(), desk.deliveries()), (0, 0));
}

/// A client takes its time to end when its terminal goes.
#[test]
fn who_came_up_by_a_launch_without_an_answer_is_ended_before_its_task_is_given_away() {
    let mut desk = with_a_launch_on_its_way();
    desk.orders.clear();
    let first = desk.add_agent("auto-11", AgentHome::Homed(account("one")), None);
    desk.agent("auto-11").state = AgentState::Unknown;
    desk.look();
    desk.lose_session("auto-11");
    desk.pass(MINUTE);
    assert!(desk.stops.contains(&first), "{:?}", desk.stops);
    assert!(desk.launches.iter().all(|launch| launch.conversation != id(101)));
}

/// Somebody who tells nothing may be there, and be at work on it.
#[test]
fn what_a_lost_task_has_come_to_is_not_asked_before_its_session_is_seen() {
    let mut desk = Desk::at_work();
    desk.agents.retain(|agent| agent.session != session("auto-11"));
    desk.look();
    desk.list();
    desk.work();
    desk.pass(10 * SECOND);
    let is_lost = |record: &Record| matches!(record, Record::TaskLost { .. });
    let lost = desk.journal.iter().position(is_lost).expect("its agent is gone");
    desk.journal.truncate(lost + 1);
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), None);
    desk.agent("auto-11").state = AgentState::Unknown;
    desk.come_back();
    desk.orders.clear();
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    desk.now_ms += 5_000;
    desk.set_clock_right();
    desk.send(Event::DeadlineReached);
    desk.work();
    desk.list();
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
}

/// Its task goes back to the queue while the daemon is away, and nothing tells who that person's is.
#[test]
fn nobody_is_ended_for_a_task_that_another_process_had() {
    let mut desk = with_a_launch_on_its_way();
    desk.work();
    desk.agent("auto-11").conversation = None;
    desk.look();
    desk.prompt("auto-11");
    desk.agent("auto-11").conversation = Some(id(101));
    desk.set_state("auto-11", AgentState::Busy);
    desk.agents.retain(|agent| agent.session != session("auto-11"));
    desk.look();
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    for _ in 0..3 {
        desk.list();
        desk.work();
    }
    desk.pass(MINUTE);
    let goes_back = |record: &Record| matches!(record, Record::TaskEnding { .. });
    let ending = desk.journal.iter().position(goes_back).expect("its agent is gone");
    desk.journal.truncate(ending + 1);
    let person = desk.add_agent("auto-11", AgentHome::Linked, None);
    desk.restart();
    desk.pass(MINUTE);
    assert!(!desk.stops.contains(&person), "{:?}", desk.stops);
}

/// Until that one tells its conversation it may be the task's own, with another process.
#[test]
fn a_task_is_not_the_work_of_who_came_to_its_place_and_tells_another_conversation() {
    let mut desk = Desk::at_work();
    desk.agents.retain(|agent| agent.session != session("auto-11"));
    let person = desk.add_agent("auto-11", AgentHome::Linked, None);
    desk.look();
    desk.agent("auto-11").conversation = Some(id(9));
    desk.set_state("auto-11", AgentState::Busy);
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    desk.pass(4 * SECOND);
    desk.pass(4 * SECOND);
    desk.work();
    assert_eq!(desk.recorded("the agent of its task is gone"), 1);
    desk.set_state("auto-11", AgentState::Idle);
    desk.pass(20 * SECOND);
    assert_eq!(desk.results(), "", "nobody did it");
    assert!(!desk.stops.contains(&person));
    assert_eq!(desk.deliveries(), 2, "it goes to another session");
}

/// A person has typed `/clear` in its client.
#[test]
fn a_task_is_not_done_by_an_answer_in_another_conversation() {
    let mut desk = Desk::at_work();
    desk.agent("auto-11").conversation = Some(id(9));
    desk.set_state("auto-11", AgentState::Busy);
    record_answer(&mut desk, "auto-11");
    desk.set_state("auto-11", AgentState::Idle);
    desk.pass(15 * MINUTE);
    assert_eq!(desk.results(), "");
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
}

#[test]
fn nor_is_it_given_to_the_next_while_that_client_lives() {
    let mut desk = Desk::at_work();
    desk.refuse("auto-11");
    desk.pass(10 * SECOND);
    desk.prompt("auto-11");
    desk.pass(MINUTE);
    ends_with_its_client(desk);
}

/// It told nothing but by its arguments until then.
#[test]
fn also_when_it_has_named_its_conversation_by_its_arguments_alone() {
    let mut desk = Desk::at_work();
    desk.comes_up = None;
    desk.refuse("auto-11");
    desk.add_agent("auto-11", AgentHome::Homed(account("two")), None);
    let agent = desk.agent("auto-11");
    agent.args = Some(vec!["--resume".to_owned(), id(101).to_string()]);
    agent.state = AgentState::Unknown;
    desk.comes_up = Some(AgentState::Idle);
    desk.look();
    desk.pass(10 * SECOND);
    desk.prompt("auto-11");
    desk.pass(MINUTE);
    ends_with_its_client(desk);
}

#[test]
fn also_when_nobody_was_here_to_see_it() {
    let mut desk = Desk::at_work();
    desk.refuse("auto-11");
    desk.pass(10 * SECOND);
    desk.prompt("auto-11");
    desk.pass(MINUTE);
    let agent = desk.agent("auto-11");
    agent.conversation = Some(id(9));
    agent.args = Some(vec!["--resume".to_owned(), id(101).to_string()]);
    desk.restart();
    ends_with_its_client(desk);
}

/// A person types `/clear` in it.
fn ends_with_its_client(mut desk: Desk) {
    let client = desk.agent("auto-11").process;
    desk.agent("auto-11").conversation = Some(id(9));
    desk.look();
    let talk = Ending { prompted_at: Some(Wall(desk.wall_ms)), ..Ending::default() };
    desk.last_words = Ok(Some(Box::new(LastWords { ending: talk, text: None })));
    while desk.recorded("task goes back to the queue") == 0 {
        desk.pass(MINUTE);
        assert!(desk.now_ms < 24 * 60 * 60_000, "it stalls one day");
    }
    assert!(desk.stops.contains(&client), "{:?}", desk.stops);
}

/// The disk is full, and the file of the task cannot be moved yet. Another agent has begun there.
fn with_a_file_on_its_way() -> (Desk, Action) {
    let mut desk = Desk::at_work();
    desk.signal("auto-11", true, "");
    let is_left = |record: &Record| matches!(record, Record::TaskLeft { .. });
    let left = desk.journal.iter().position(is_left).expect("its agent is ended");
    desk.journal.truncate(left + 1);
    desk.closed.clear();
    desk.come_back();
    desk.work_until(|order| matches!(order, Action::CloseTask { .. }));
    let close = desk.orders.remove(0);
    desk.work();
    desk.add_agent("auto-11", AgentHome::Homed(account("one")), Some(9));
    desk.look();
    (desk, close)
}

#[test]
fn who_begins_there_while_a_file_is_on_its_way_comes_back_after_a_loss() {
    let (mut desk, close) = with_a_file_on_its_way();
    desk.lose_session("auto-11");
    desk.carry_out(close);
    desk.pass(MINUTE);
    assert_eq!(desk.recorded("session=auto-11 restore"), 1);
    assert_eq!(desk.agent("auto-11").conversation, Some(id(9)));
}

#[test]
fn and_the_task_is_of_the_account_that_it_was_done_with() {
    let (mut desk, _lost) = with_a_file_on_its_way();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.agent("auto-11").conversation, Some(id(9)));
    desk.lose_session("auto-11");
    desk.pass(MINUTE);
    assert_eq!(desk.recorded("session=auto-11 restore"), 1);
    assert_eq!(desk.agent("auto-11").home, AgentHome::Homed(account("two")));
    desk.restart();
    desk.pass(MINUTE);
    let accounts: Vec<_> = desk.closed.iter().map(|closed| closed.account.clone()).collect();
    assert_eq!(accounts, [Some(account("one"))]);
}

impl Desk {
    /// Nothing is done and nothing happens for so long.
    fn host_sleeps(&mut self, length: Duration) {
        self.now_ms += u64::try_from(length.as_millis()).expect("small");
        self.set_clock_right();
        self.send(Event::DeadlineReached);
    }
}

#[test]
fn what_was_ordered_before_the_host_slept_is_answered_after_it() {
    let mut desk = with_a_launch_on_its_way();
    desk.host_sleeps(10 * MINUTE);
    let launches = desk.orders.iter().filter(|order| is_launch(order)).count();
    assert_eq!(launches, 1, "it is not asked for again");
    desk.work();
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)]);
    desk.host_sleeps(10 * MINUTE);
    desk.work();
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)], "it is not deaf");
}

#[test]
fn the_hosts_sleep_is_no_stall() {
    let mut desk = Desk::at_work();
    desk.host_sleeps(8 * 60 * MINUTE);
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
    desk.pass(8 * 60 * MINUTE);
    assert_eq!(desk.recorded("stalled"), 1, "silence in its own time is one");
}

/// Its answer comes when the session has left the configuration.
#[test]
fn nobody_looks_into_the_pane_of_a_launch_whose_session_is_not_ours_any_more() {
    let mut desk = with_a_launch_on_its_way();
    let launch = desk.orders.remove(0);
    let mut changed = config();
    changed.pool.autonomous = None;
    desk.send(Event::ConfigReloaded(changed.into()));
    desk.orders.clear();
    desk.carry_out(launch);
    let ours = |order: &Action| match order {
        Action::WatchPanes { panes } => panes.iter().all(|(name, _)| *name == session("ded")),
        _ => true,
    };
    assert!(desk.orders.iter().all(ours), "{:?}", desk.orders);
}

/// The daemon died after its move had ended well, and before it was known who had come up.
fn left_by_its_session_after_a_move(prepare: impl Fn(&mut Desk)) -> Desk {
    let mut desk = Desk::at_work();
    prepare(&mut desk);
    desk.refuse("auto-11");
    desk.pass(10 * SECOND);
    desk.prompt("auto-11");
    desk.pass(MINUTE);
    let came_up = |record: &Record| match record {
        Record::MoveLaunched { session: of, .. } => *of == session("auto-11"),
        _ => false,
    };
    let launched = desk.journal.iter().position(came_up).expect("it came back");
    desk.journal.truncate(launched + 1);
    let outcome = MoveOutcome::Verified;
    desk.journal.push(Record::MoveEnded { session: session("auto-11"), outcome });
    let mut changed = config();
    changed.pool.autonomous = None;
    desk.core = Core::recover(changed.into(), &desk.journal).expect("the journal is ours");
    desk.restart();
    desk.pass(MINUTE);
    desk
}

#[test]
fn a_task_is_not_given_to_the_next_for_the_end_of_an_agent_that_was_moved_since() {
    let desk = left_by_its_session_after_a_move(|_| ());
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
}

#[test]
fn nor_for_the_end_of_the_one_that_had_it_before_somebody_resumed_it_by_hand() {
    let desk = left_by_its_session_after_a_move(|desk| {
        desk.agents.retain(|agent| agent.session != session("auto-11"));
        desk.add_agent("auto-11", AgentHome::Homed(account("one")), Some(101));
        desk.look();
    });
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
}
