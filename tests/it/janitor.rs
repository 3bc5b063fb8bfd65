//! What the janitor removes, what it moves, and what it never touches.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::ids::TaskRef;
use claude_failover::janitor::{self, Order};
use claude_failover::moment::Wall;
use claude_failover::queue::dir::Dir;
use claude_failover::queue::instance::instance;
use claude_failover::queue::marker::{self, Marker};
use crossbeam_channel::unbounded;

use crate::dispatcher::stage::{config, inboxes, task};
use crate::logged;
use crate::support::eventually;

const SOON: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The last thing that a round looks at.
const LAST: &str = "run/launch/zzz";

struct House {
    dir: tempfile::TempDir,
    now: Wall,
}

impl House {
    fn new() -> Self {
        logged::start();
        let dir = tempfile::tempdir().unwrap();
        for name in ["projects", "run/spool", "run/launch"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        inboxes(&dir.path().join("projects"), &["a"]);
        let house = Self { dir, now: Clock::start().wall() };
        for part in ["done", "failed", "archive"] {
            std::fs::create_dir(house.path(&format!("projects/a/.agent-queue/{part}"))).unwrap();
        }
        house.old(LAST, 2 * DAY);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn queue(&self, name: &str) -> PathBuf {
        self.path("projects/a/.agent-queue").join(name)
    }

    /// A file that was last written so long ago.
    fn old(&self, name: &str, age: Duration) {
        let file = std::fs::File::create(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn old_in_queue(&self, name: &str, age: Duration) {
        self.old(&format!("projects/a/.agent-queue/{name}"), age);
    }

    fn mark(&self, id: &str, age: Duration, of_agent: bool) {
        let inbox = Dir::open(&self.queue("inbox")).unwrap();
        let me = instance(&self.path("state")).unwrap();
        let since = Wall(self.now.0 - i64::try_from(age.as_millis()).unwrap());
        let task = task(&format!("a:{id}"));
        let mark = if of_agent {
            let conversation = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap();
            Marker::of_agent(&me, task, "ccl-auto-11".parse().unwrap(), 1, conversation, since)
        } else {
            Marker::of_mover(&me, task, "malformed", None, since)
        };
        marker::put(&inbox, &mark).unwrap();
    }

    fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if !path.ends_with("state/instance") {
                    let name = path.strip_prefix(self.dir.path()).unwrap();
                    files.insert(name.to_str().unwrap().to_owned());
                }
            }
        }
        files
    }

    fn start(&self, dry_run: bool, held: &[&str]) -> Component<Order> {
        let mut config = config(self.dir.path(), "");
        config.janitor.dry_run = dry_run;
        config.runtime_dir = self.path("run");
        let (events, _) = unbounded();
        let janitor = janitor::spawn(Arc::new(config), Clock::start(), events).unwrap();
        let held: BTreeSet<TaskRef> = held.iter().map(|name| task(name)).collect();
        janitor.order(Order::Hold { held }).unwrap();
        janitor
    }

    /// One round to its end; what has gone and what has come.
    fn sweep(&self, held: &[&str]) -> (Vec<String>, Vec<String>) {
        let before = self.files();
        let _janitor = self.start(false, held);
        eventually("the round ends", SOON, || (!self.path(LAST).exists()).then_some(()));
        let after = self.files();
        let gone = before.difference(&after).filter(|name| *name != LAST).cloned().collect();
        (gone, after.difference(&before).cloned().collect())
    }
}

fn said(dir: &Path, name: &str) -> usize {
    logged::lines_of(dir).iter().filter(|line| line.contains(name)).count()
}

#[test]
fn stale_markers_of_ours_go_and_no_others() {
    let house = House::new();
    let hour = Duration::from_secs(3600);
    house.mark("stale", hour, true);
    house.mark("held", hour, true);
    house.mark("young", Duration::from_secs(5), true);
    house.mark("half-moved", hour, false);
    house.mark("moved", hour, false);
    for id in ["stale", "held", "young", "half-moved", "foreign"] {
        house.old_in_queue(&format!("inbox/{id}.md"), 400 * DAY);
    }
    house.old_in_queue("inbox/foreign.md.dispatched", 400 * DAY);
    house.old_in_queue("inbox/stale.md.blocked", 400 * DAY);
    let (gone, come) = house.sweep(&["a:held"]);
    let inbox = "projects/a/.agent-queue/inbox";
    assert_eq!(
        gone,
        [format!("{inbox}/moved.md.dispatched"), format!("{inbox}/stale.md.dispatched")]
    );
    assert!(come.is_empty(), "{come:?}");
    assert_eq!(said(house.dir.path(), "inbox/stale.md.dispatched"), 1);
}

#[test]
fn old_results_are_archived_and_replace_nothing() {
    let house = House::new();
    house.old_in_queue("done/old.md", 31 * DAY);
    house.old_in_queue("done/young.md", 29 * DAY);
    house.old_in_queue("done/notes.txt", 31 * DAY);
    house.old_in_queue("failed/old.md", 31 * DAY);
    house.old_in_queue("archive/old.md", 90 * DAY);
    let (gone, come) = house.sweep(&[]);
    assert_eq!(gone, ["projects/a/.agent-queue/done/old.md"]);
    assert_eq!(come, ["projects/a/.agent-queue/archive/old~2.md"]);
}

#[test]
fn what_crashes_have_left_goes_after_a_day() {
    let house = House::new();
    for place in ["", "inbox/", "done/", "failed/", "archive/"] {
        house.old_in_queue(&format!("{place}.claude-failover-1-1"), 2 * DAY);
        house.old_in_queue(&format!("{place}.claude-failover-1-2"), DAY / 2);
        house.old_in_queue(&format!("{place}.else"), 2 * DAY);
    }
    for place in ["run/spool", "run/launch"] {
        house.old(&format!("{place}/old"), 2 * DAY);
        house.old(&format!("{place}/young"), DAY / 2);
    }
    let (gone, come) = house.sweep(&[]);
    assert_eq!(gone.len(), 7, "{gone:?}");
    assert!(gone.iter().all(|name| name.ends_with("-1-1") || name.ends_with("/old")), "{gone:?}");
    assert!(come.is_empty(), "{come:?}");
}

#[test]
fn a_dry_run_says_everything_and_does_nothing() {
    let house = House::new();
    house.mark("stale", Duration::from_secs(3600), true);
    house.old_in_queue("done/dry-old.md", 31 * DAY);
    house.old_in_queue("inbox/.claude-failover-1-1", 2 * DAY);
    let before = house.files();
    let _janitor = house.start(true, &[]);
    eventually("the round ends", SOON, || (said(house.dir.path(), LAST) > 0).then_some(()));
    assert_eq!(house.files(), before);
    let said = logged::lines_of(house.dir.path());
    assert!(said.iter().all(|line| line.starts_with("would remove")), "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(logged::lines_with("would archive done/dry-old.md").len(), 1);
}

#[test]
fn nothing_is_swept_before_it_is_known_what_is_held() {
    let house = House::new();
    house.mark("stale", Duration::from_secs(3600), true);
    let mut config = config(house.dir.path(), "");
    config.runtime_dir = house.path("run");
    config.janitor.interval = Duration::from_millis(10);
    let (events, _) = unbounded();
    let janitor = janitor::spawn(Arc::new(config), Clock::start(), events).unwrap();
    janitor.order(Order::Hold { held: [task("a:stale")].into() }).unwrap();
    eventually("a round ends", SOON, || (!house.path(LAST).exists()).then_some(()));
    assert!(house.queue("inbox/stale.md.dispatched").exists());
}
