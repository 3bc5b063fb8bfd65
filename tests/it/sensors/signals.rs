//! Signal files: real ones, also of kinds that do not count.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, SignalSeen};
use claude_failover::watcher::Order;

use crate::sensors::stage::{NEVER, Stage};

const TICK: Duration = Duration::from_millis(50);

impl Stage {
    /// With a directory for signals, watching one pane without an agent.
    fn signalled(interval: Duration) -> Self {
        let stage = Self::new(interval);
        fs::create_dir(stage.path("done")).unwrap();
        stage.watch(&[&stage.pane("one", "exec sleep 300")]);
        // Its answer comes after the first look.
        stage.look(1);
        stage
    }

    fn signal_file(&self, name: &str) -> PathBuf {
        self.path("done").join(name)
    }

    #[track_caller]
    fn seen(&self, what: &str) -> Vec<SignalSeen> {
        self.next(what, |event| match event {
            Event::SignalsSeen(seen) => Some(seen),
            _ => None,
        })
    }

    /// Whether it is done and its text, of the one signal that is reported next.
    #[track_caller]
    fn signal(&self, what: &str) -> (bool, String) {
        let mut seen = self.seen(what);
        let one = seen.pop().unwrap();
        assert!(seen.is_empty(), "{what}: more than one: {seen:?}");
        assert_eq!(one.session.as_str(), "one");
        (one.done, one.text)
    }

    /// What was reported of signals before the answer to a look that begins now.
    #[track_caller]
    fn unasked(&self, order: u64) -> Vec<SignalSeen> {
        let mut all = Vec::new();
        for order in [OrderId(order), OrderId(order + 1)] {
            self.watcher.order(Order::ObserveAgents { order }).unwrap();
            self.next("an answer", |event| match event {
                Event::SignalsSeen(seen) => {
                    all.extend(seen);
                    None
                }
                Event::AgentsObserved(seen) => (seen.order == Some(order)).then_some(()),
                _ => None,
            });
        }
        all
    }

    #[track_caller]
    fn clear(&self, order: u64) -> Result<(), String> {
        let (order, session) = (OrderId(order), "one".parse().unwrap());
        self.watcher.order(Order::ClearSignals { order, session }).unwrap();
        self.next("an answer", |event| match event {
            Event::SignalsCleared { order: answered, session, result } => {
                assert_eq!((answered, session.as_str()), (order, "one"));
                Some(result)
            }
            _ => None,
        })
    }
}

#[test]
fn a_signal_file_is_noticed_at_once_with_its_time_and_its_first_line() {
    let stage = Stage::signalled(NEVER);
    let done = stage.signal_file("agent-done-one");
    assert!(Command::new("touch").arg(&done).status().unwrap().success());
    let seen = stage.seen("the file");
    let written = fs::metadata(&done).unwrap().modified().unwrap();
    let written = written.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].done, &*seen[0].text), (true, ""));
    assert_eq!(u128::try_from(seen[0].at.0).unwrap(), written);

    let line =
        format!("echo 'no \x1b[31mtests' > {}", stage.signal_file("agent-failed-one").display());
    assert!(Command::new("bash").args(["-c", &line]).status().unwrap().success());
    assert_eq!(stage.signal("the other"), (false, "no  [31mtests".to_owned()));

    let whole = stage.signal_file("half");
    fs::write(&whole, "in one step\nand more").unwrap();
    fs::rename(&whole, stage.signal_file("agent-failed-one")).unwrap();
    assert_eq!(stage.signal("it was replaced"), (false, "in one step".to_owned()));
}

#[test]
fn a_signal_is_told_once_and_again_when_it_is_written_anew_or_everything_is_told_anew() {
    let stage = Stage::signalled(TICK);
    // In one step: who looks in between sees an empty file first.
    let write = |text: &str| {
        fs::write(stage.path("new"), text).unwrap();
        fs::rename(stage.path("new"), stage.signal_file("agent-done-one")).unwrap();
    };
    write("first");
    assert_eq!(stage.signal("the file").1, "first");
    assert_eq!(stage.unasked(10), []);
    write("second time");
    assert_eq!(stage.signal("written over").1, "second time");
    stage.watch(&[&stage.pane("two", "exec sleep 300"), &stage.pane("one2", "exec sleep 300")]);
    assert_eq!(stage.unasked(20), [], "of a session that is not watched");
    let mut pane = stage.pane("other", "exec sleep 300");
    pane.session = "one".parse().unwrap();
    stage.watch(&[&pane]);
    assert_eq!(stage.signal("watched again").1, "second time");
    assert_eq!(stage.unasked(30), []);
    stage.watch(&[&pane]);
    assert_eq!(stage.signal("told anew").1, "second time");
}

#[test]
fn a_cleared_signal_is_reported_when_it_is_made_anew_and_never_late() {
    let stage = Stage::signalled(NEVER);
    let done = stage.signal_file("agent-done-one");
    let failed = stage.signal_file("agent-failed-one");
    for round in 0..20 {
        fs::write(&done, "old").unwrap();
        fs::write(&failed, "old").unwrap();
        assert_eq!(stage.clear(round), Ok(()));
        assert!(!done.exists() && !failed.exists());
        let late = stage.unasked(100 + 2 * round);
        assert_eq!(late, [], "round {round}");
    }
    assert_eq!(stage.clear(50), Ok(()), "there was none");
    fs::write(&done, "new").unwrap();
    assert_eq!(stage.signal("made anew"), (true, "new".to_owned()));
    // To the letter the same file as the one before.
    let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    for round in [51, 52] {
        assert_eq!(stage.clear(round), Ok(()));
        let file = fs::File::create(&done).unwrap();
        file.set_times(times).unwrap();
        drop(file);
        let seen = stage.seen("the same again");
        assert_eq!(seen[0].at.0, 0, "{seen:?}");
    }
}

#[test]
fn only_a_regular_file_of_ours_is_a_signal() {
    let stage = Stage::signalled(TICK);
    let real = stage.path("real");
    fs::write(&real, "secret").unwrap();
    let done = stage.signal_file("agent-done-one");
    symlink(&real, &done).unwrap();
    fs::create_dir(stage.signal_file("agent-failed-one")).unwrap();
    assert_eq!(stage.unasked(10), []);
    let refused = stage.clear(1).unwrap_err();
    assert!(refused.contains("agent-done-one is no regular file"), "{refused}");
    fs::remove_file(&done).unwrap();
    let refused = stage.clear(2).unwrap_err();
    assert!(refused.contains("agent-failed-one is no regular file"), "{refused}");
    assert!(real.exists());

    fs::remove_dir(stage.signal_file("agent-failed-one")).unwrap();
    fs::hard_link(&real, &done).unwrap();
    assert_eq!(stage.unasked(20), [], "a second name of another file");
    assert_eq!(stage.clear(3), Ok(()));
    assert!(real.exists() && !done.exists());

    assert!(Command::new("mkfifo").arg(&done).status().unwrap().success());
    assert_eq!(stage.unasked(30), [], "a pipe, which nobody waits for");
    assert!(stage.clear(4).is_err());
    fs::remove_file(&done).unwrap();

    if fs::metadata(&real).unwrap().uid() == 0 {
        fs::write(&done, "").unwrap();
        stage.signal("ours");
        assert_eq!(stage.clear(5), Ok(()));
        fs::rename(&real, stage.path("done").join("theirs")).unwrap();
        std::os::unix::fs::chown(stage.path("done").join("theirs"), Some(65_534), None).unwrap();
        fs::rename(stage.path("done").join("theirs"), &done).unwrap();
        assert_eq!(stage.unasked(40), [], "another user's");
        assert!(stage.clear(6).unwrap_err().contains("no regular file of our user"));
    }
}

#[test]
fn a_directory_that_comes_later_or_comes_back_is_found() {
    let stage = Stage::new(TICK);
    stage.watch(&[&stage.pane("one", "exec sleep 300")]);
    stage.look(1);
    for round in 0..2 {
        fs::create_dir(stage.path("done")).unwrap();
        fs::write(stage.signal_file("agent-done-one"), "").unwrap();
        assert!(stage.signal(&format!("round {round}")).0);
        fs::remove_dir_all(stage.path("done")).unwrap();
        stage.look(2 + round);
    }
    assert_eq!(stage.clear(9), Ok(()), "where there is no directory, there is no signal");
}
