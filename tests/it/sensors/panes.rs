//! The monitor and the lifecycle sensor over a scripted source.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::core::event::{Event, PaneReading, PaneSeen, PaneStamp};
use claude_failover::ids::{PaneId, SessionName};
use claude_failover::lifecycle::{self, SessionSource};
use claude_failover::moment::{Mono, Wall};
use claude_failover::monitor::{self, PaneSource};
use claude_failover::quota::verdict::Activity;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::sensors::stage::{NEVER, SOON, config};
use crate::support::eventually;

const TICK: Duration = Duration::from_millis(10);

/// What the source answers, and what it was asked.
#[derive(Default)]
struct Script {
    panes: Vec<PaneSeen>,
    failing: bool,
    lists: usize,
    captured: Vec<Vec<PaneId>>,
}

/// A source whose every list first takes a permit, when it has to.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<Script>>,
    permits: Option<Receiver<()>>,
}

impl Scripted {
    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap())
    }

    fn answer(&self) -> anyhow::Result<Vec<PaneSeen>> {
        if let Some(permits) = &self.permits {
            permits.recv().context("the test is over")?;
        }
        self.change(|script| {
            script.lists += 1;
            if script.failing {
                bail!("no server");
            }
            Ok(script.panes.clone())
        })
    }

    /// Waits for `count` more lists, so that what came before has been seen.
    fn await_lists(&self, count: usize) {
        let from = self.change(|script| script.lists);
        eventually("more lists", SOON, || {
            self.change(|script| (script.lists >= from + count).then_some(()))
        });
    }
}

impl PaneSource for Scripted {
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>> {
        self.answer()
    }

    fn capture(&mut self, panes: &[PaneId]) -> anyhow::Result<Vec<(PaneId, String)>> {
        self.change(|script| script.captured.push(panes.to_vec()));
        Ok(panes.iter().map(|&pane| (pane, String::new())).collect())
    }
}

impl SessionSource for Scripted {
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>> {
        self.answer()
    }
}

/// A pane that was last active long ago.
fn quiet(session: &str, pane: u32) -> PaneSeen {
    PaneSeen {
        session: session.to_owned(),
        session_made: Wall(0),
        pane: PaneId(pane),
        leader_pid: 1,
        dead: false,
        in_mode: false,
        active: true,
        attached: 0,
        typed_at: None,
        title: String::new(),
        fence: None,
        stamp: PaneStamp { activity_s: 1000, history_size: 0, cursor: (0, 0) },
    }
}

fn start(source: &Scripted) -> (Component<monitor::Order>, Receiver<Event>) {
    let settings = monitor::Settings {
        config: Arc::new(config(Path::new("/nowhere"), TICK)),
        zone: None,
        clock: Clock::start(),
    };
    let (sender, events) = unbounded();
    let monitor = monitor::spawn(settings, source.clone(), sender).unwrap();
    (monitor, events)
}

fn watch(monitor: &Component<monitor::Order>, panes: &[(&str, u32)]) {
    let panes = panes
        .iter()
        .map(|&(name, pane)| (name.parse::<SessionName>().unwrap(), PaneId(pane)))
        .collect();
    let order = monitor::Order::WatchPanes { panes };
    monitor.order(order).unwrap();
}

#[track_caller]
fn readings(events: &Receiver<Event>) -> Vec<PaneReading> {
    match events.recv_timeout(SOON).unwrap() {
        Event::PanesObserved(readings) => readings,
        event => panic!("an event of another kind: {event:?}"),
    }
}

#[track_caller]
fn sessions(events: &Receiver<Event>) -> Vec<PaneSeen> {
    match events.recv_timeout(SOON).unwrap() {
        Event::SessionsObserved { panes } => panes,
        event => panic!("an event of another kind: {event:?}"),
    }
}

#[test]
fn a_pane_is_captured_once_until_it_changes() {
    let source = Scripted::default();
    source.change(|script| script.panes = vec![quiet("a", 1), quiet("b", 2), quiet("x", 3)]);
    let (monitor, events) = start(&source);
    // Pane 4 is gone, and pane 3 belongs to another session than it is watched for.
    watch(&monitor, &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    let first = readings(&events);
    assert_eq!(first.len(), 2);
    assert_eq!(first[0].session.as_str(), "a");
    source.await_lists(5);
    let once = vec![vec![PaneId(1), PaneId(2)]];
    assert_eq!(source.change(|script| script.captured.clone()), once);

    source.change(|script| script.panes[1].stamp.history_size += 1);
    source.await_lists(5);
    let twice = vec![vec![PaneId(1), PaneId(2)], vec![PaneId(2)]];
    assert_eq!(source.change(|script| script.captured.clone()), twice);
    assert!(events.is_empty(), "the reading is the same");
}

#[test]
fn a_title_that_turns_is_news_without_a_new_text() {
    let source = Scripted::default();
    source.change(|script| script.panes = vec![quiet("a", 1)]);
    let (monitor, events) = start(&source);
    watch(&monitor, &[("a", 1)]);
    assert_eq!(readings(&events)[0].reading.activity, Activity::Unknown);
    for (title, activity) in [("✳ Task", Activity::Idle), ("◐ Task", Activity::Busy)] {
        source.change(|script| script.panes[0].title = title.to_owned());
        assert_eq!(readings(&events)[0].reading.activity, activity, "{title}");
    }
    source.change(|script| script.panes[0].title = "◑ Task".to_owned());
    source.await_lists(3);
    assert!(events.is_empty(), "the glyph turns, the state is the same");
}

#[test]
fn output_in_the_second_of_the_look_is_captured_again() {
    let source = Scripted::default();
    let clock = Clock::start();
    let mut pane = quiet("a", 1);
    pane.stamp.activity_s = clock.wall().0 / 1000;
    source.change(|script| script.panes = vec![pane]);
    let (monitor, _events) = start(&source);
    watch(&monitor, &[("a", 1)]);
    let after = |script: &mut Script| script.captured.len();
    eventually("a look after that second", SOON, || {
        let count = source.change(after);
        source.await_lists(3);
        (source.change(after) == count).then_some(())
    });
    let second = source.change(|script| script.panes[0].stamp.activity_s);
    assert!(clock.wall().0 / 1000 > second, "it rested too early");
    assert!(source.change(after) > 1);
}

#[test]
fn a_monitor_that_watches_nothing_asks_nothing() {
    let source = Scripted::default();
    source.change(|script| script.panes = vec![quiet("a", 1)]);
    let (monitor, events) = start(&source);
    watch(&monitor, &[]);
    watch(&monitor, &[("a", 1)]);
    readings(&events);
    watch(&monitor, &[]);
    eventually("the order is taken", SOON, || monitor.inbox().is_empty().then_some(()));
    let lists = source.change(|script| script.lists);
    let clock = Clock::start();
    eventually("ten intervals", SOON, || {
        (clock.now().monotonic > Mono::default() + 10 * TICK).then_some(())
    });
    let later = source.change(|script| script.lists);
    assert!(later <= lists + 1, "one may have been under way");
    watch(&monitor, &[("a", 1)]);
    assert_eq!(readings(&events).len(), 1, "watched anew, told anew");
}

#[test]
fn a_source_that_fails_is_asked_again() {
    let source = Scripted::default();
    source.change(|script| {
        script.panes = vec![quiet("a", 1)];
        script.failing = true;
    });
    let (monitor, events) = start(&source);
    watch(&monitor, &[("a", 1)]);
    source.await_lists(3);
    assert!(events.is_empty());
    source.change(|script| script.failing = false);
    assert_eq!(readings(&events).len(), 1);
}

/// A source that answers only when the test lets it.
fn gated() -> (Scripted, Sender<()>) {
    let (permit, permits) = bounded(100);
    let source = Scripted { permits: Some(permits), ..Scripted::default() };
    (source, permit)
}

#[test]
fn sessions_are_listed_at_the_start_and_on_demand() {
    let (source, permit) = gated();
    source.change(|script| script.panes = vec![quiet("a", 1)]);
    let (sender, events) = unbounded();
    let config = Arc::new(config(Path::new("/nowhere"), NEVER));
    let lifecycle = lifecycle::spawn(config, source.clone(), sender).unwrap();
    permit.send(()).unwrap();
    assert_eq!(sessions(&events), [quiet("a", 1)]);

    // One of these may be taken while the others still come; a second look serves all of them.
    for _ in 0..50 {
        lifecycle.order(lifecycle::Order::ObserveSessions).unwrap();
    }
    for _ in 0..100 {
        permit.send(()).unwrap();
    }
    sessions(&events);
    eventually("the inbox is empty", SOON, || lifecycle.inbox().is_empty().then_some(()));
    drop(permit);
    drop(lifecycle);
    let lists = source.change(|script| script.lists);
    assert!((2..=3).contains(&lists), "{lists} lists for 50 demands");
}

#[test]
fn sessions_are_listed_at_every_interval_also_after_a_failure() {
    let source = Scripted::default();
    source.change(|script| script.failing = true);
    let (sender, events) = unbounded();
    let slow = Arc::new(config(Path::new("/nowhere"), NEVER));
    let quick = Arc::new(config(Path::new("/nowhere"), TICK));
    let lifecycle = lifecycle::spawn(slow, source.clone(), sender).unwrap();
    let order = lifecycle::Order::Reconfigure(quick);
    lifecycle.order(order).unwrap();
    source.await_lists(3);
    assert!(events.is_empty(), "a failure says nothing about sessions");
    source.change(|script| script.failing = false);
    for _ in 0..3 {
        assert!(sessions(&events).is_empty());
    }
}
