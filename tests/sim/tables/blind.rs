//! What nobody could see while it happened: tmux was out of reach, a pane had just come up, an agent was
//! on its way out.

use std::time::Duration;

use claude_failover::core::action::Action;
use claude_failover::core::event::{AgentHome, AgentState, Event, LastWords, Verb};
use claude_failover::core::record::Record;
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::transcript::Ending;
use claude_failover::task::Priority;

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

/// Its session went, its task had not arrived, and its agent is being ended.
fn about_to_be_ended() -> Desk {
    let mut desk = free_pool();
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.look();
    desk.lose_session("auto-11");
    desk.now_ms += 5_000;
    desk.wall_ms += 5_000;
    desk.send(Event::DeadlineReached);
    desk.work_until(|order| matches!(order, Action::StopAgents { .. }));
    assert_eq!(desk.recorded("given back uncounted"), 1);
    desk
}

#[test]
fn a_prompt_that_is_taken_by_an_agent_on_its_way_out_counts() {
    let mut desk = about_to_be_ended();
    let conversation = Some(desk.launches[0].conversation.clone());
    let (at, pid, transcript) = (Wall(desk.wall_ms), Some(999), None);
    let report = Report { at, pid, conversation, transcript, news: News::PromptSubmitted };
    desk.send(Event::ReportsReceived(vec![report]));
    desk.pass(MINUTE);
    assert_eq!((desk.recorded("took it before it was ended"), desk.recorded("attempt=2")), (1, 1));
}

#[test]
fn so_does_one_that_nobody_tells_of() {
    let mut desk = about_to_be_ended();
    desk.last_words = Ok(Some(Box::new(LastWords { ending: Ending::default(), text: None })));
    desk.pass(MINUTE);
    assert_eq!((desk.recorded("took it before it was ended"), desk.recorded("attempt=2")), (1, 1));
}

#[test]
fn one_that_nobody_has_had_is_given_back_after_all() {
    let mut desk = about_to_be_ended();
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
