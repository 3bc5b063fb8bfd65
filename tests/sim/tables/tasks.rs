//! Tasks on a desk: from the offer to the result, one table a rule.

use std::time::Duration;

use claude_failover::config::Group;
use claude_failover::core::action::{Action, LaunchAgent};
use claude_failover::core::event::{
    AgentHome, AgentState, DialogEnd, Event, LastWords, SignalSeen, TasksOffered, Verb,
};
use claude_failover::moment::Wall;
use claude_failover::quota::report::{News, Report};
use claude_failover::quota::transcript::{ApiError, Ending};
use claude_failover::quota::verdict::{LimitKind, Reading, Verdict};
use claude_failover::task::{HeldState, Offer, Priority, TaskResult};

use crate::tables::desk::{Desk, account, config, id, session};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: &str = "You've hit your session limit · resets 4pm (UTC)";

pub fn offer(name: &str, priority: Priority) -> Offer {
    let (project, task) = name.split_once(':').expect("project:id");
    Offer {
        task: name.parse().expect("a valid name"),
        title: format!("title of {task}"),
        priority,
        since: Wall(0),
        model: None,
        timeout: None,
        attempts: 3,
        path: format!("/srv/projects/{project}/.agent-queue/inbox/{task}.md").into(),
        dir: format!("/srv/projects/{project}").into(),
    }
}

/// The operator's agent in `ded`, nobody in the pool.
pub fn free_pool() -> Desk {
    let mut desk = Desk::new(config());
    desk.add_agent("ded", AgentHome::Homed(account("one")), Some(1));
    desk.start();
    desk
}

impl Desk {
    /// The files and the watcher, for the orders that are theirs.
    pub fn carry_out_task(&mut self, order: Action) {
        match order {
            Action::ClaimTask { order, task, .. } => {
                self.claims += 1;
                let conversation = *self.marker.get_or_insert(100 + self.claims);
                self.taken.push(task.clone());
                self.tell_offers();
                self.send(Event::TaskClaimed { order, task, result: Ok(id(conversation)) });
            }
            Action::ReleaseTask { order, task } => {
                self.marker = None;
                self.taken.retain(|taken| *taken != task);
                self.send(Event::TaskReleased { order, task, result: Ok(()) });
                self.tell_offers();
            }
            Action::CloseTask { order, result } => {
                let task = result.task.clone();
                self.marker = None;
                if !self.closed.iter().any(|closed| closed.task == task) {
                    self.closed.push(*result);
                }
                self.send(Event::TaskClosed { order, task, result: Ok(()) });
            }
            Action::ClearSignals { order, session } => {
                self.send(Event::SignalsCleared { order, session, result: Ok(()) });
            }
            Action::ReadConversation { order, session, .. } => {
                let result = self.last_words.clone();
                self.send(Event::ConversationRead { order, session, result });
            }
            Action::HandleDialog { order, session, .. } => {
                let result = self.dialog.clone();
                self.send(Event::DialogHandled { order, session, result });
            }
            _ => {}
        }
    }

    pub fn offer(&mut self, offers: &[Offer]) {
        self.inbox = offers.to_vec();
        self.tell_offers();
        self.work();
    }

    /// What nobody has taken.
    pub fn tell_offers(&mut self) {
        let free = |offer: &&Offer| !self.taken.contains(&offer.task);
        let offers = self.inbox.iter().filter(free).cloned().collect();
        self.send(Event::TasksOffered(TasksOffered { offers, ..TasksOffered::default() }));
    }

    /// One task of the project `p` in the hands of `auto-11`, received.
    pub fn at_work() -> Self {
        let mut desk = free_pool();
        desk.offer(&[offer("p:a", Priority::Default)]);
        desk.prompt("auto-11");
        desk.set_state("auto-11", AgentState::Busy);
        desk.pass(SECOND);
        desk
    }

    /// The record of a limit, at the end of its conversation.
    pub fn refuse(&mut self, name: &str) {
        let (process, at) = (self.agent(name).process, Wall(self.wall_ms));
        let resets_at = Some(at + 60 * MINUTE);
        let verdict = Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at };
        let reading = Reading { verdict, row: LIMIT.to_owned(), ..Reading::clear() };
        let error = Some(ApiError { record: "r".to_owned(), at, reading });
        self.endings.insert(process, Ending { error, ..Ending::default() });
        self.set_state(name, AgentState::Idle);
    }

    fn report(&mut self, name: &str, news: News) {
        let (at, pid) = (Wall(self.wall_ms), Some(self.agent(name).process.pid));
        let (conversation, transcript) = (self.agent(name).conversation.clone(), None);
        let report = Report { at, pid, conversation, transcript, news };
        self.send(Event::ReportsReceived(vec![report]));
        self.work();
    }

    pub fn prompt(&mut self, name: &str) {
        self.report(name, News::PromptSubmitted);
    }

    fn end_turn(&mut self, name: &str, background: Option<u32>) {
        self.set_state(name, AgentState::Idle);
        self.report(name, News::TurnEnded { last_text: String::new(), background });
    }

    fn signal_now(&mut self, name: &str, done: bool, text: &str) {
        let (at, text) = (Wall(self.wall_ms), text.to_owned());
        let seen = SignalSeen { session: session(name), done, at, text };
        self.send(Event::SignalsSeen(vec![seen]));
        self.work();
    }

    /// And then it has said its last words.
    pub fn signal(&mut self, name: &str, done: bool, text: &str) {
        self.signal_now(name, done, text);
        self.pass(10 * SECOND);
    }

    fn kill_agent(&mut self, name: &str) {
        let name = session(name);
        self.agents.retain(|agent| agent.session != name);
        self.look();
    }

    pub fn lose_session(&mut self, name: &str) {
        let gone = session(name);
        self.agents.retain(|agent| agent.session != gone);
        // A name that is listed elsewhere keeps the numbers of the panes.
        let at = self.sessions.iter().position(|known| known == name).expect("it is there");
        self.sessions[at] = format!("lost-{at}");
        self.list();
        self.work();
    }

    /// `done` and `failed` by now, as `task=outcome(reason)`.
    pub fn results(&self) -> String {
        let word = |done| if done { "done" } else { "failed" };
        let line = |closed: &TaskResult| {
            format!("{}={}({})", closed.task, word(closed.done), closed.reason)
        };
        self.closed.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    /// Conversations that agents were launched with for the first time.
    pub fn deliveries(&self) -> usize {
        let fresh = |launch: &&LaunchAgent| launch.argv.iter().any(|arg| arg == "--session-id");
        self.launches.iter().filter(fresh).count()
    }

    pub fn held(&self) -> Vec<(String, HeldState)> {
        self.core.held_tasks().iter().map(|held| (held.task.to_string(), held.state)).collect()
    }
}

#[test]
fn a_task_is_claimed_launched_received_and_closed_with_what_was_said_last() {
    let mut desk = free_pool();
    desk.last_words = Ok(Some(Box::new(LastWords {
        ending: Ending::default(),
        text: Some("all is well".to_owned()),
    })));
    desk.offer(&[offer("p:a", Priority::Critical)]);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)]);
    let launch = desk.launches[0].clone();
    assert_eq!((launch.session, launch.cwd), (session("auto-11"), "/srv/projects/p".into()));
    let line = launch.argv.last().expect("the line comes last");
    assert!(line.contains("/srv/projects/p/.agent-queue/inbox/a.md"), "{line}");
    assert!(line.contains("/run/done/agent-done-auto-11"), "{line}");
    desk.prompt("auto-11");
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
    desk.signal("auto-11", true, "");
    assert_eq!(desk.results(), "p:a=done(signal)");
    assert_eq!(desk.closed[0].last_text.as_deref(), Some("all is well"));
    assert_eq!(desk.closed[0].attempts, 1);
    assert_eq!(desk.homes(), "ded=one", "its agent has ended");
    assert!(desk.held().is_empty());
}

#[test]
fn an_operators_own_session_never_gets_a_task() {
    let mut desk = Desk::at_rest();
    for name in ["auto-11", "auto-12"] {
        desk.set_state(name, AgentState::Busy);
    }
    desk.creations_fail = true;
    desk.offer(&[offer("p:a", Priority::Critical), offer("q:b", Priority::Critical)]);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.deliveries(), 0);
    assert_eq!(desk.core.config.group(&session("ded")), Some(Group::Dedicated));
    assert!(desk.stops.is_empty());
}

#[test]
fn an_idle_agent_of_ours_makes_room_and_anybody_elses_does_not() {
    let mut desk = Desk::at_rest();
    desk.creations_fail = true;
    // Its conversation was begun for a task.
    desk.core.durable.task_talks.push(id(3));
    let ours = desk.agent("auto-12").process;
    desk.offer(&[offer("p:a", Priority::Default), offer("q:b", Priority::Default)]);
    assert_eq!(desk.stops, [ours]);
    assert_eq!(desk.deliveries(), 1);
    assert_eq!(desk.launches[0].session, session("auto-12"));
}

#[test]
fn a_session_above_the_minimum_is_made_when_a_task_waits_and_none_is_free() {
    let mut desk = free_pool();
    let offers = ["p:a", "q:b", "r:c", "s:d"].map(|name| offer(name, Priority::Default));
    desk.offer(&offers);
    desk.list();
    desk.work();
    assert_eq!(desk.created, [session("auto-13")], "and none beyond the maximum");
    assert_eq!(desk.deliveries(), 3);
}

#[test]
fn a_project_takes_no_more_agents_than_it_may() {
    let mut desk = free_pool();
    desk.offer(&[offer("p:a", Priority::High), offer("p:b", Priority::High)]);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Sending)]);
    desk.prompt("auto-11");
    desk.signal("auto-11", true, "");
    assert_eq!(desk.held(), [("p:b".to_owned(), HeldState::Sending)]);
}

#[test]
fn nothing_is_dispatched_in_an_open_swap_or_while_all_accounts_are_out() {
    let mut desk = free_pool();
    desk.broken = vec![account("two"), account("three")];
    desk.banner("ded", LIMIT, Some(60));
    desk.pass(SECOND);
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(MINUTE);
    assert_eq!(desk.deliveries(), 0, "{:?}", desk.core.durable.swap);
    assert_eq!(desk.recorded("task=p:a claimed"), 0);
    desk.pass(60 * MINUTE);
    assert!(desk.deliveries() > 0, "its account has come back");
}

#[test]
fn the_receipt_is_proven_by_a_hook_a_record_or_busy_after_idle() {
    let proofs: [fn(&mut Desk); 3] = [
        |desk| desk.prompt("auto-11"),
        |desk| {
            let process = desk.agent("auto-11").process;
            let prompted_at = Some(Wall(desk.wall_ms));
            desk.endings.insert(process, Ending { prompted_at, ..Ending::default() });
            desk.tell_transcripts();
        },
        |desk| desk.set_state("auto-11", AgentState::Busy),
    ];
    for proof in proofs {
        let mut desk = free_pool();
        desk.offer(&[offer("p:a", Priority::Default)]);
        assert_eq!(desk.recorded("task received"), 0);
        proof(&mut desk);
        assert_eq!(desk.recorded("task received"), 1);
    }
}

#[test]
fn a_deaf_agent_is_ended_and_its_task_tried_again_as_often_as_it_says() {
    let mut desk = free_pool();
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(5 * MINUTE);
    assert_eq!(desk.deliveries(), 3);
    assert_eq!(
        desk.results(),
        "p:a=failed(no sign of its receipt within 30 s; attempt 3 was the last)"
    );
    assert_eq!(desk.stops.len(), 3, "each was ended before the next was launched");
}

#[test]
fn a_dialog_is_answered_or_a_person_is_told_its_first_rows() {
    let mut desk = free_pool();
    desk.comes_up = Some(AgentState::Waiting("dialog open".to_owned()));
    desk.dialog = Ok(DialogEnd::Answered("trust".to_owned()));
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(2 * SECOND);
    assert_eq!(desk.noted("dialog=\"trust\" answered"), 1);
    desk.prompt("auto-11");
    desk.set_state("auto-11", AgentState::Busy);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);

    let mut desk = free_pool();
    desk.comes_up = Some(AgentState::Waiting("dialog open".to_owned()));
    let rows = vec!["Select login method:".to_owned(), "1. Claude account".to_owned()];
    desk.dialog = Ok(DialogEnd::Left { dialog: "login".to_owned(), rows });
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.pass(30 * MINUTE);
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Blocked)]);
    assert_eq!(desk.noted("blocked: login: Select login method: | 1. Claude account"), 1);
    desk.pass(31 * MINUTE);
    assert_eq!(desk.recorded("goes back to the queue reason=\"stalled: login"), 1);
}

#[test]
fn the_end_of_a_turn_is_the_end_of_the_task_unless_something_goes_on_behind_it() {
    let mut desk = Desk::at_work();
    desk.end_turn("auto-11", Some(0));
    desk.pass(4 * SECOND);
    assert_eq!(desk.results(), "");
    desk.pass(2 * SECOND);
    assert_eq!(desk.results(), "p:a=done(turn_ended)");

    let mut desk = Desk::at_work();
    desk.end_turn("auto-11", Some(1));
    desk.pass(10 * MINUTE);
    assert_eq!(desk.results(), "", "a task in the background brings it back");

    let mut desk = Desk::at_work();
    desk.end_turn("auto-11", None);
    desk.pass(2 * SECOND);
    desk.prompt("auto-11");
    desk.set_state("auto-11", AgentState::Busy);
    desk.pass(MINUTE);
    assert_eq!(desk.results(), "", "the next turn has begun");
}

#[test]
fn the_agents_own_word_goes_before_the_end_of_its_turn() {
    let mut desk = Desk::at_work();
    desk.end_turn("auto-11", Some(0));
    desk.signal("auto-11", false, "no such branch");
    assert_eq!(desk.results(), "p:a=failed(signal: no such branch)");
}

#[test]
fn an_agent_that_has_signalled_may_say_its_last_words_but_not_for_ever() {
    let mut desk = Desk::at_work();
    desk.signal_now("auto-11", true, "");
    desk.pass(5 * SECOND);
    assert_eq!(desk.results(), "", "its turn goes on");
    desk.set_state("auto-11", AgentState::Idle);
    desk.work();
    assert_eq!(desk.results(), "p:a=done(signal)");

    let mut desk = Desk::at_work();
    desk.signal_now("auto-11", true, "");
    desk.pass(20 * SECOND);
    assert_eq!(desk.results(), "p:a=done(signal)");
}

#[test]
fn silence_is_a_stall_and_records_and_busy_tools_are_progress() {
    let mut desk = Desk::at_work();
    let process = desk.agent("auto-11").process;
    desk.pass(50 * MINUTE);
    desk.send(Event::ToolsWorked { session: session("auto-11"), process });
    desk.pass(50 * MINUTE);
    let answered_at = Some(Wall(desk.wall_ms));
    desk.endings.insert(process, Ending { answered_at, ..Ending::default() });
    desk.tell_transcripts();
    desk.pass(50 * MINUTE);
    assert_eq!(desk.results(), "");
    desk.clear("auto-11"); // a redraw
    desk.pass(11 * MINUTE);
    assert_eq!(desk.recorded("goes back to the queue reason=\"stalled"), 1);
    assert!(desk.deliveries() > 1);
}

#[test]
fn a_task_over_its_time_has_failed() {
    let mut desk = free_pool();
    let timeout = Some(10 * MINUTE);
    desk.offer(&[Offer { timeout, ..offer("p:a", Priority::Default) }]);
    desk.prompt("auto-11");
    desk.set_state("auto-11", AgentState::Busy);
    desk.pass(9 * MINUTE);
    assert_eq!(desk.results(), "");
    desk.pass(2 * MINUTE);
    assert_eq!(desk.results(), "p:a=failed(timeout)");
}

#[test]
fn a_dead_agent_costs_an_attempt() {
    let mut desk = Desk::at_work();
    for _ in 0..3 {
        desk.kill_agent("auto-11");
        desk.pass(MINUTE);
        if desk.agents.iter().any(|agent| agent.session == session("auto-11")) {
            desk.prompt("auto-11");
        }
    }
    assert_eq!(desk.deliveries(), 3);
    assert!(desk.results().starts_with("p:a=failed(its agent ended"), "{}", desk.results());
}

#[test]
fn a_task_that_had_arrived_when_its_session_went_is_gone_on_with() {
    let mut desk = Desk::at_work();
    desk.last_words = Ok(Some(Box::new(LastWords { ending: Ending::default(), text: None })));
    let talk = desk.agent("auto-11").conversation.clone();
    desk.lose_session("auto-11");
    desk.pass(MINUTE);
    assert_eq!(desk.deliveries(), 1, "nobody gets it as if it were new");
    let resumed = desk.launches.last().expect("it came back");
    assert_eq!(Some(resumed.conversation.clone()), talk);
    assert!(resumed.argv.last().is_some_and(|nudge| nudge.contains("Go on with the task")));
    assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Running)]);
    desk.prompt("auto-11");
    desk.signal("auto-11", true, "");
    assert_eq!((desk.results().as_str(), desk.closed[0].attempts), ("p:a=done(signal)", 1));
}

#[test]
fn a_task_that_had_not_arrived_is_given_back_uncounted() {
    let mut desk = free_pool();
    desk.last_words = Ok(None);
    desk.offer(&[offer("p:a", Priority::Default)]);
    desk.lose_session("auto-11");
    desk.pass(20 * SECOND);
    assert_eq!(desk.deliveries(), 2);
    assert_eq!(desk.core.held_tasks()[0].attempt, 1);
}

#[test]
fn what_nobody_can_tell_is_left_to_a_person() {
    for cancelled in [true, false] {
        let mut desk = free_pool();
        desk.last_words = Err("the directory cannot be read".to_owned());
        desk.offer(&[offer("p:a", Priority::Default)]);
        desk.lose_session("auto-11");
        desk.pass(2 * MINUTE);
        assert_eq!(desk.held(), [("p:a".to_owned(), HeldState::Unknown)]);
        assert_eq!(desk.deliveries(), 1, "never sent twice unasked");
        let task = "p:a".parse().expect("a valid name");
        if cancelled {
            desk.send(Verb::TaskCancel { task }.into());
            desk.work();
            assert_eq!(desk.results(), "p:a=failed(cancelled)");
        } else {
            desk.send(Verb::TaskRetry { task }.into());
            desk.work();
            desk.pass(SECOND);
            assert_eq!(desk.deliveries(), 2);
        }
    }
}

#[test]
fn a_task_that_is_cut_by_the_limit_finishes_under_the_next_account() {
    let mut desk = Desk::at_work();
    desk.refuse("auto-11");
    desk.pass(10 * SECOND);
    desk.prompt("auto-11");
    desk.pass(MINUTE);
    assert_eq!(desk.active(), "two");
    assert_eq!(desk.deliveries(), 1);
    let resumed = desk.launches.iter().rfind(|launch| launch.session == session("auto-11"));
    let nudge = resumed.and_then(|launch| launch.argv.last()).expect("it came back");
    assert!(nudge.contains("Go on with the task"), "{nudge}");
    desk.signal("auto-11", true, "");
    assert_eq!((desk.results().as_str(), desk.closed[0].attempts), ("p:a=done(signal)", 1));
    assert_eq!(desk.closed[0].account, Some(account("two")), "who finished it");
}

/// What a person, an agent and the files do about the one task, as far as they are asked.
fn play(desk: &mut Desk) {
    for _ in 0..3 {
        if desk.closed.is_empty() {
            desk.offer(&[offer("p:a", Priority::Default)]);
        }
        desk.pass(10 * SECOND);
        if desk.agents.iter().any(|agent| agent.session == session("auto-11")) {
            desk.prompt("auto-11");
            desk.signal("auto-11", true, "");
        }
    }
}

#[test]
fn wherever_the_daemon_dies_the_task_is_delivered_once_and_closed_once() {
    let mut whole = free_pool();
    let before = whole.journal.len();
    play(&mut whole);
    assert_eq!(whole.results(), "p:a=done(signal)");
    for cut in before..=whole.journal.len() {
        let mut desk = free_pool();
        desk.dies_at = Some(cut);
        play(&mut desk);
        desk.dies_at = None;
        desk.restart();
        play(&mut desk);
        let fences: std::collections::BTreeSet<u64> =
            desk.launches.iter().map(|launch| launch.fence).collect();
        assert_eq!((cut, fences.len(), desk.results()), (cut, 1, whole.results()));
    }
}

#[test]
fn a_running_task_can_be_cancelled() {
    let mut desk = Desk::at_work();
    desk.send(Verb::TaskCancel { task: "p:a".parse().expect("a valid name") }.into());
    desk.work();
    assert_eq!(desk.results(), "p:a=failed(cancelled)");
    assert_eq!(desk.homes(), "ded=one");
}
