//! Which conversation a swap resumes an agent in, also where nobody tells of it but the row that a
//! client leaves in its pane.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Event, PaneReading, Verb};
use claude_failover::ids::ConversationId;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::verdict::Reading;

use crate::tables::desk::{Desk, account, config, id, session};
use crate::tables::swap::refuse_dedicated;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn no_two_sessions_resume_one_conversation() {
    let mut desk = Desk::at_rest();
    desk.agent("auto-12").conversation = Some(id(2));
    desk.look();
    refuse_dedicated(&mut desk);
    let twice = desk.launches.iter().filter(|launch| launch.conversation == id(2)).count();
    assert_eq!(twice, 1);
    assert_eq!(desk.noted("it is not resumed twice"), 1);
    assert_eq!(desk.recorded("session=auto-12 not resumed: no conversation id"), 1);
}

#[test]
fn an_agent_that_tells_nobody_its_id_is_resumed_by_the_row_it_leaves() {
    let mut desk = Desk::at_rest();
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agents.remove(0);
    desk.look();
    desk.set_state("ded", AgentState::Busy);
    desk.set_state("ded", AgentState::Idle);
    desk.resume_rows = vec![id(2), id(9)];
    refuse_dedicated(&mut desk);
    assert_eq!(desk.recorded("session=ded conversation=00000000-0000-4000-8000-000000000009"), 1);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
}

/// One of the others takes longer to end.
#[test]
fn also_when_that_row_is_seen_before_all_have_ended() {
    let mut desk = Desk::at_rest();
    desk.agents.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.look();
    desk.clear("ded");
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    let reading = Reading { resume_ids: vec![id(9)], ..Reading::clear() };
    let shown = PaneReading { session: session("ded"), pane: desk.pane("ded"), reading };
    desk.send(Event::PanesObserved(vec![shown]));
    desk.resume_rows = vec![id(9)];
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.agent("ded").conversation, Some(id(9)));
}

#[test]
fn also_when_it_has_finished_its_turn_first() {
    let mut desk = Desk::at_rest();
    desk.agents.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.look();
    desk.set_state("ded", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk.resume_rows = vec![id(9)];
    desk.set_state("ded", AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(9)));
}

/// A person has typed `/clear` in it, and what was begun then is the person's.
#[test]
fn and_who_begins_another_conversation_before_it_goes_is_resumed_in_that() {
    let mut desk = Desk::at_rest();
    desk.set_state("ded", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=one");
    desk.agent("ded").conversation = Some(id(9));
    desk.look();
    desk.set_state("ded", AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(9)));
}

/// Its hooks alone tell of it.
#[test]
fn also_where_it_writes_no_session_file() {
    let mut desk = Desk::at_rest();
    desk.set_state("ded", AgentState::Busy);
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    desk.agent("ded").conversation = None;
    desk.look();
    let news = News::SessionStarted { source: "clear".to_owned() };
    let (at, pid) = (Wall(desk.wall_ms), Some(desk.agent("ded").process.pid));
    let report = Report { at, pid, conversation: Some(id(9)), transcript: None, news };
    desk.send(Event::ReportsReceived(vec![report]));
    desk.set_state("ded", AgentState::Idle);
    desk.pass(30 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(9)));
}

/// A person has resumed it in a second client, whose hooks alone tell of it.
#[test]
fn what_another_session_has_is_not_learnt_from_a_hook() {
    let mut desk = Desk::at_rest();
    let agent = desk.agent("auto-12");
    agent.conversation = None;
    agent.state = AgentState::Unknown;
    agent.process.pid += 50;
    let pid = Some(agent.process.pid);
    desk.look();
    let (at, news) = (Wall(desk.wall_ms), News::PromptSubmitted);
    let report = Report { at, pid, conversation: Some(id(2)), transcript: None, news };
    desk.send(Event::ReportsReceived(vec![report]));
    for name in ["auto-11", "auto-12"] {
        desk.lose_session(name);
    }
    desk.pass(30 * SECOND);
    let launched = desk.launches.iter().filter(|launch| launch.conversation == id(2));
    assert_eq!(launched.count(), 1);
}

/// `auto-12`, which had conversation 3, has left the configuration. A client without a session file has
/// begun in `ded`.
fn with_a_session_that_is_ours_no_more() -> Desk {
    let mut desk = Desk::at_rest();
    let mut changed = config();
    if let Some(pool) = &mut changed.pool.autonomous {
        (pool.min, pool.max) = (1, 1);
    }
    desk.send(Event::ConfigReloaded(changed.into()));
    desk.agents.retain(|agent| agent.session != session("auto-12"));
    let agent = desk.agent("ded");
    agent.conversation = None;
    agent.process.pid += 50;
    desk
}

fn resumed_after_a_swap(mut desk: Desk) -> Option<ConversationId> {
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    desk.agent("ded").conversation.clone()
}

/// Its hooks tell of it.
#[test]
fn what_a_session_had_that_left_the_configuration_may_be_resumed_elsewhere() {
    let mut desk = with_a_session_that_is_ours_no_more();
    desk.look();
    let (at, pid) = (Wall(desk.wall_ms), Some(desk.agent("ded").process.pid));
    let (conversation, news) = (Some(id(3)), News::PromptSubmitted);
    let report = Report { at, pid, conversation, transcript: None, news };
    desk.send(Event::ReportsReceived(vec![report]));
    assert_eq!(resumed_after_a_swap(desk), Some(id(3)));
}

#[test]
fn also_when_its_arguments_tell_of_it() {
    let mut desk = with_a_session_that_is_ours_no_more();
    desk.agent("ded").args = Some(vec!["--resume".to_owned(), id(3).to_string()]);
    desk.look();
    assert_eq!(resumed_after_a_swap(desk), Some(id(3)));
}

/// The daemon was restarted while it was ended, and sees that row for the first time.
#[test]
fn a_row_from_before_is_not_its_own_where_it_leaves_none() {
    let mut desk = Desk::at_rest();
    desk.agents.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").args = Some(vec!["--resume".to_owned(), id(7).to_string()]);
    desk.look();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    desk.come_back();
    desk.list();
    desk.observe(None);
    desk.resume_rows = vec![id(8)];
    let reading = Reading { resume_ids: vec![id(8)], ..Reading::clear() };
    let shown = PaneReading { session: session("ded"), pane: desk.pane("ded"), reading };
    desk.send(Event::PanesObserved(vec![shown]));
    desk.work();
    desk.pass(30 * SECOND);
    assert_eq!(desk.agent("ded").conversation, Some(id(7)));
}

/// Its arguments name another conversation, and it tells nothing else.
#[test]
fn who_comes_up_in_its_place_is_not_the_one_that_was_launched() {
    let mut desk = Desk::at_rest();
    desk.agents.retain(|agent| agent.session == session("ded"));
    desk.look();
    desk.comes_up = None;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.add_agent("ded", AgentHome::Homed(account("two")), None);
    let agent = desk.agent("ded");
    agent.state = AgentState::Unknown;
    agent.args = Some(vec!["--resume".to_owned(), id(7).to_string()]);
    desk.look();
    desk.pass(20 * SECOND);
    assert_eq!(desk.recorded("session=ded resumed"), 0);
}

/// A screen that has room again shows what stands above it.
#[test]
fn what_stands_above_a_row_that_was_seen_before_is_older_than_its_agent() {
    let mut desk = Desk::at_rest();
    desk.agents.remove(0);
    desk.add_agent("ded", AgentHome::Homed(account("one")), None);
    desk.agent("ded").args = Some(vec!["--resume".to_owned(), id(7).to_string()]);
    desk.look();
    desk.show("ded", Reading { resume_ids: vec![id(8)], ..Reading::clear() });
    desk.resume_rows = vec![id(9), id(8)];
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.homes(), "auto-11=two auto-12=two ded=two");
    assert_eq!(desk.agent("ded").conversation, Some(id(7)));
}

/// That stands there from before, and the daemon has not seen it then. The next one may have the task.
#[test]
fn but_not_by_the_row_that_a_tasks_agent_has_left() {
    let mut desk = Desk::at_work();
    desk.signal("auto-11", true, "");
    desk.add_agent("auto-11", AgentHome::Linked, None);
    desk.look();
    desk.resume_rows = vec![id(101)];
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    desk.pass(10 * SECOND);
    assert_eq!(desk.active(), "two");
    let talks = desk.launches.iter().filter(|launch| launch.conversation == id(101));
    assert_eq!(talks.count(), 1, "that of the task");
    assert_eq!(desk.recorded("session=auto-11 not resumed: no conversation id"), 1);
}

/// A person has begun it a moment ago. `auto-11` has conversation 2.
#[test]
fn an_agent_that_is_ended_before_it_is_up_is_resumed_by_what_it_was_started_with() {
    for (named, expected) in
        [(5, "auto-11=two auto-12=two ded=two"), (2, "auto-11=two auto-12=two")]
    {
        let mut desk = Desk::at_rest();
        desk.agents.remove(0);
        desk.add_agent("ded", AgentHome::Linked, None);
        desk.agent("ded").args = Some(vec!["--resume".to_owned(), id(named).to_string()]);
        desk.look();
        desk.send(Verb::Swap { to: Some(account("two")) }.into());
        desk.work();
        desk.pass(10 * SECOND);
        assert_eq!(desk.homes(), expected, "{named}");
        let twice = desk.launches.iter().filter(|launch| launch.conversation == id(named)).count();
        assert_eq!(twice, 1, "{named}");
    }
}
