//! Effects whose answer does not come: each is accounted for, and none runs twice.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use claude_failover::core::event::Event;
use claude_failover::ids::{PaneId, SessionName};
use claude_failover::terminal::command::Command as Tmux;
use claude_failover::terminal::connection::Connection;
use claude_failover::terminal::effect::{self, Fence, Outcome};
use crossbeam_channel::{Receiver, unbounded};

use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Frozen, SOON, name, server, settings};

/// One connection without its thread, and a session to work on.
struct Bench {
    connection: Connection,
    events: Receiver<Event>,
    session: SessionName,
    pane: PaneId,
    tmux: PrivateTmux,
}

impl Bench {
    fn new() -> Self {
        let tmux = PrivateTmux::new();
        let mut settings = settings(&tmux);
        settings.deadline = Duration::from_millis(500);
        let (sender, events) = unbounded();
        let mut connection = Connection::new(settings, sender);
        connection.check();
        assert!(matches!(events.recv().unwrap(), Event::TerminalConnected));
        let create = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-s", "work", "exec cat"];
        let pane = tmux.run(&create).parse().unwrap();
        Self { connection, events, session: name("work"), pane, tmux }
    }

    fn log(&self) -> PathBuf {
        self.tmux.path().join("ghost")
    }

    /// Leaves one line each time it runs.
    fn mark(&self, number: u64) -> Tmux {
        Tmux::new("run-shell").arg(format!("echo {number} >> {}", self.log().display()))
    }

    fn marks(&self, number: u64) -> usize {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().filter(|row| **row == number.to_string()).count()
    }

    fn fenced(&mut self, number: u64, effect: &[Tmux]) -> Outcome {
        let fence = Fence { session: &self.session, number };
        effect::in_pane(&mut self.connection, fence, self.pane, &[], effect)
    }

    fn fence_of(&self, session: &str) -> String {
        let target = format!("={session}:");
        self.tmux.run(&["show-options", "-v", "-t", &target, "@failover_fence"])
    }

    /// The server hangs while `act` waits, and wakes as soon as that has been noticed.
    fn through_a_hang(&mut self, act: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let frozen = Frozen::new(server(&self.tmux));
        let events = self.events.clone();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || {
                let lost = events.recv_timeout(SOON).unwrap();
                assert!(matches!(lost, Event::TerminalLost { .. }));
                drop(frozen);
            });
            act(self)
        });
        let event = self.events.try_recv();
        assert!(matches!(event, Ok(Event::TerminalConnected)), "{event:?} {outcome:?}");
        outcome
    }
}

#[test]
fn an_effect_that_a_hang_swallowed_is_done_once_or_never() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        let mark = bench.mark(number);
        let outcome = bench.through_a_hang(|bench| bench.fenced(number, &[mark]));
        let ran = match &outcome {
            Outcome::RanUnheard => true,
            Outcome::NotDone(why) if why.contains("not done") => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(bench.fence_of("work"), number.to_string());
        if ran {
            eventually("the effect", SOON, || (bench.marks(number) > 0).then_some(()));
        }
        let mark = bench.mark(number);
        let again = bench.fenced(number, &[mark]);
        assert!(matches!(again, Outcome::RanUnheard), "{again:?}");
        assert_eq!(bench.marks(number), usize::from(ran), "{outcome:?}");
    }
}

#[test]
fn an_effect_that_outlasts_its_deadline_has_run() {
    let mut bench = Bench::new();
    let mark = bench.mark(1);
    let slow = Tmux::new("run-shell").arg("exec sleep 30");
    let outcome = bench.fenced(1, &[mark, slow]);
    assert!(matches!(outcome, Outcome::RanUnheard), "{outcome:?}");
    let mark = bench.mark(1);
    let again = bench.fenced(1, &[mark]);
    assert!(matches!(again, Outcome::RanUnheard), "{again:?}");
    assert_eq!(bench.marks(1), 1);
    let mark = bench.mark(2);
    let next = bench.fenced(2, &[mark]);
    assert!(matches!(next, Outcome::Ran(_)), "{next:?}");
}

#[test]
fn a_session_that_a_hang_swallowed_is_there_with_its_fence() {
    let mut bench = Bench::new();
    let cwd = bench.tmux.path().to_owned();
    let session = name("fresh");
    let mark = bench.mark(3);
    let create = |connection: &mut Connection, number, mark: &Tmux| {
        let fence = Fence { session: &session, number };
        let create = effect::new_session(&session, &cwd);
        effect::with_new_session(connection, fence, &cwd, create, std::slice::from_ref(mark))
    };
    let outcome = bench.through_a_hang(|bench| create(&mut bench.connection, 3, &mark));
    assert!(matches!(outcome, Outcome::NotDone(_) | Outcome::RanUnheard), "{outcome:?}");
    assert_eq!(bench.fence_of("fresh"), "3");
    let again = create(&mut bench.connection, 4, &mark);
    assert!(matches!(again, Outcome::Unmet), "{again:?}");
    assert_eq!(bench.fence_of("fresh"), "3");
    let ran = usize::from(matches!(outcome, Outcome::RanUnheard));
    assert_eq!(bench.marks(3), ran);
}

#[test]
fn while_the_server_hangs_the_outcome_is_unknown_and_a_repeat_runs_at_most_once() {
    let mut bench = Bench::new();
    let frozen = Frozen::new(server(&bench.tmux));
    let mark = bench.mark(1);
    let outcome = bench.fenced(1, &[mark]);
    let Outcome::Unknown(why) = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(why.contains("outcome unknown"), "{why}");
    drop(frozen);
    eventually("connected again", SOON, || {
        bench.connection.check();
        let mut events = bench.events.try_iter();
        events.any(|event| matches!(event, Event::TerminalConnected)).then_some(())
    });
    let mark = bench.mark(1);
    let outcome = bench.fenced(1, &[mark]);
    assert!(matches!(outcome, Outcome::Ran(_) | Outcome::RanUnheard), "{outcome:?}");
    eventually("the effect", SOON, || (bench.marks(1) > 0).then_some(()));
    assert_eq!(bench.marks(1), 1);
}
