//! What nobody could see while it happened: tmux was out of reach, a pane had just come up, an agent was
//! on its way out.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Event, LastWords, Verb};
use claude_failover::core::record::Record;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::Reading;
use claude_failover::task::{Offer, Priority};

use crate::tables::account_edges::run_out;
use crate::tables::desk::{Desk, account, id, session};
use crate::tables::tasks::{free_pool, offer};
use crate::tables::testimony::{limit, write_end};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn nobody_who_was_launched_is_missed_while_tmux_is_out_of_reach() {
    let mut desk = Desk::at_rest();
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work_until(|order| matches!(order, Action::LaunchAgent(_)));
    desk.send(Event::TerminalLost { reason: "it does not answer".to_owned() });
    desk.comes_up = None;
    let launch = desk.orders.remove(0);
    desk.carry_out(launch);
    desk.work();
    desk.pass(MINUTE);
    let name = desk.launches[0].session.to_string();
    desk.add_agent(&name, AgentHome::Homed(account("two")), None);
    desk.agent(&name).conversation = Some(desk.launches[0].conversation.clone());
    desk.comes_up = Some(AgentState::Idle);
    desk.send(Event::TerminalConnected);
    desk.work();
    desk.pass(15 * SECOND);
    assert_eq!(desk.recorded("no proof of life"), 0);
    assert_eq!((desk.phase(), desk.homes().as_str()), (None, "auto-11=two auto-12=two ded=two"));
}

#[test]
fn but_panes_that_come_and_go_give_it_no_time_of_their_own() {
    let mut desk = Desk::at_rest();
    desk.comes_up = None;
    desk.send(Verb::Swap { to: Some(account("two")) }.into());
    desk.work();
    for _ in 0..3 {
        assert_eq!(desk.recorded("no proof of life"), 0);
        desk.leader_pid += 1;
        desk.list();
        desk.work();
        desk.pass(10 * SECOND);
    }
    assert!(desk.recorded("no proof of life") > 0, "its 30 s are over");
}

/// It was painted from the conversation before anybody could read it.
#[test]
fn the_first_screen_after_tmux_is_back_is_no_turn_of_a_client_that_tells_nothing() {
    for (lost, exhausted) in [(true, 0), (false, 1)] {
        let mut desk = Desk::at_rest();
        desk.agents.retain(|agent| agent.session != session("ded"));
        desk.look();
        desk.add_agent("ded", AgentHome::Homed(account("one")), None);
        desk.set_state("ded", AgentState::Unknown);
        if lost {
            desk.send(Event::TerminalLost { reason: "it does not answer".to_owned() });
        }
        desk.pass(30 * SECOND);
        if lost {
            desk.send(Event::TerminalConnected);
        }
        let (verdict, row) = (limit(&desk, 60), "You've hit your session limit".to_owned());
        let last_user_row = Some("go on".to_owned());
        desk.show("ded", Reading { verdict, row, last_user_row, ..Reading::clear() });
        assert_eq!(desk.recorded("account=one exhausted"), exhausted, "lost: {lost}");
    }
}

/// Whoever is there is seen first, by a look that knew of the pane.
#[test]
fn no_task_goes_to_a_session_with_a_pane_that_nobody_has_looked_into() {
    let mut desk = free_pool();
    let look_ordered = |desk: &mut Desk| {
        desk.leader_pid += 1;
        desk.list();
        let is_look = |order: &Action| matches!(order, Action::ObserveAgents { .. });
        let looks: Vec<Action> = desk.orders.extract_if(.., |order| is_look(order)).collect();
        looks.into_iter().next()
    };
    let Some(Action::ObserveAgents { order: early }) = look_ordered(&mut desk) else {
        panic!("no look was ordered");
    };
    assert!(look_ordered(&mut desk).is_none(), "one is on its way");
    desk.inbox = vec![offer("p:a", Priority::Default)];
    desk.tell_offers();
    desk.observe(Some(early));
    desk.add_agent("auto-11", AgentHome::Linked, Some(7));
    desk.work();
    let claims = |record: &Record| match record {
        Record::TaskClaimed { session, .. } => Some(session.clone()),
        _ => None,
    };
    let claimed: Vec<_> = desk.journal.iter().filter_map(claims).collect();
    assert_eq!(claimed, [session("auto-12")]);
}

#[test]
fn nor_is_an_agent_launched_for_it_beside_somebody_who_has_just_come() {
    let mut desk = free_pool();
    desk.inbox = vec![offer("p:a", Priority::Default)];
    desk.tell_offers();
    desk.work_until(|order| matches!(order, Action::ClearSignals { .. }));
    let clear = desk.orders.remove(0);
    desk.leader_pid += 1;
    desk.list();
    desk.add_agent("auto-11", AgentHome::Linked, Some(7));
    desk.carry_out(clear);
    desk.work();
    assert_eq!(desk.recorded("session=auto-11 task launching"), 0);
    desk.pass(10 * SECOND);
    assert_eq!(desk.recorded("session=auto-12 task launching"), 1);
}

/// What a listing says of a pane that nobody has looked into is no word on who is there.
#[test]
fn nobody_has_ended_by_himself_before_his_new_pane_was_looked_into() {
    let mut desk = Desk::at_rest();
    let agent = desk.agents.pop().expect("it is in auto-12");
    desk.observe(None);
    desk.orders.clear();
    desk.leader_pid += 1;
    desk.list();
    desk.list();
    desk.agents.push(agent);
    desk.work();
    desk.pass(MINUTE);
    assert_eq!(desk.recorded("session=auto-12 agent ended"), 0);
}

/// Its session went, its task had not arrived, and its agent is being ended.
fn about_to_be_ended(attempts: u32) -> Desk {
    let mut desk = free_pool();
    desk.offer(&[Offer { attempts, ..offer("p:a", Priority::Default) }]);
    desk.look();
    desk.lose_session("auto-11");
    desk.now_ms += 5_000;
    desk.wall_ms += 5_000;
    desk.send(Event::DeadlineReached);
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    assert_eq!(desk.recorded("given back uncounted"), 1);
    desk
}

/// By a hook, of an agent that nobody sees any more.
fn tell_of_the_prompt(desk: &mut Desk) {
    let conversation = Some(desk.launches[0].conversation.clone());
    let (at, pid, transcript) = (Wall(desk.wall_ms), Some(999), None);
    let report = Report { at, pid, conversation, transcript, news: News::PromptSubmitted };
    desk.send(Event::ReportsReceived(vec![report]));
    desk.work();
}

#[test]
fn a_prompt_that_is_taken_by_an_agent_on_its_way_out_counts() {
    let mut desk = about_to_be_ended(3);
    tell_of_the_prompt(&mut desk);
    desk.pass(MINUTE);
    assert_eq!((desk.recorded("took it before it was ended"), desk.recorded("attempt=2")), (1, 1));
}

/// A release that is answered has not put the file among those that failed.
#[test]
fn one_that_is_heard_of_while_the_task_is_released_counts_too() {
    for (attempts, result, again) in [(3, "", 1), (1, "p:a=failed", 0)] {
        let mut desk = about_to_be_ended(attempts);
        desk.work_until(|order| matches!(order, Action::ReleaseTask { .. }));
        let release = desk.orders.remove(0);
        tell_of_the_prompt(&mut desk);
        desk.carry_out(release);
        desk.pass(20 * SECOND);
        assert!(desk.results().starts_with(result), "{}", desk.results());
        assert_eq!((desk.closed.len(), desk.recorded("attempt=2")), (1 - again, again));
    }
}

#[test]
fn so_does_one_that_nobody_tells_of() {
    let mut desk = about_to_be_ended(3);
    desk.last_words = Ok(Some(Box::new(LastWords { ending: Ending::default(), text: None })));
    desk.pass(MINUTE);
    assert_eq!((desk.recorded("took it before it was ended"), desk.recorded("attempt=2")), (1, 1));
}

#[test]
fn one_that_nobody_has_had_is_given_back_after_all() {
    let mut desk = about_to_be_ended(3);
    desk.pass(20 * SECOND);
    assert_eq!((desk.recorded("took it before it was ended"), desk.recorded("attempt=2")), (0, 0));
    assert!(desk.deliveries() > 1, "it goes to another session");
}

/// The daemon died between a flip and its record, and somebody had moved the link before.
#[test]
fn a_flip_that_is_not_on_record_may_have_brought_the_link_back() {
    let mut desk = Desk::at_rest();
    run_out(&mut desk, &[100, 100, 10]);
    desk.pass(9 * MINUTE);
    desk.now_ms += 120_000;
    desk.wall_ms += 120_000;
    desk.send(Event::DeadlineReached);
    desk.work_until(|order| matches!(order, Action::FlipLink { .. }));
    desk.now_ms += 10_000;
    desk.wall_ms += 10_000;
    let back = std::mem::replace(&mut desk.link, account("one"));
    desk.agents.retain(|agent| agent.session != session("auto-12"));
    desk.add_agent("auto-12", AgentHome::Linked, None);
    desk.agent("auto-12").conversation = Some(id(7));
    let (refusal, at) = (limit(&desk, 60), Wall(desk.wall_ms));
    write_end(&mut desk, "auto-12", refusal, at);
    desk.orders.clear();
    desk.link = back;
    let known = desk.recorded("exhausted");
    for _ in 0..2 {
        desk.now_ms += 1_000;
        desk.wall_ms += 1_000;
        desk.restart();
        desk.pass(MINUTE);
    }
    assert_eq!((desk.active(), desk.phase()), ("three", None));
    assert_eq!(desk.recorded("exhausted"), known, "one has refused");
}
