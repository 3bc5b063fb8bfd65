//! How soon a new task is offered, how long all queues take to be read, and what memory they need:
//! `cargo bench --bench queue`. Real files in a directory of its own, in this process alone.

#![allow(clippy::disallowed_methods, reason = "measures how long things take")]
#![allow(clippy::unwrap_used, reason = "a failed step ends the measurement")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::load::{Base, parse};
use claude_failover::core::event::{Event, TasksOffered};
use claude_failover::dispatcher::{self, Order};
use crossbeam_channel::{Receiver, unbounded};

const PROJECTS: usize = 1000;
const FILES: usize = 100_000;
const RENAMES: usize = 500;
const RESCANS: usize = 10;
const WAIT: Duration = Duration::from_secs(60);

/// The dispatcher tells the log how long it has read.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if record.target().starts_with("claude_failover") {
            LOGGED.lock().unwrap().push(text);
        }
    }

    fn flush(&self) {}
}

fn main() {
    log::set_logger(&Log).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("projects");
    for project in 0..PROJECTS {
        fs::create_dir_all(inbox(&root, project)).unwrap();
    }
    println!("{PROJECTS} projects, empty");
    let (dispatcher, events) = start(dir.path(), "1h");
    println!("{}", renames(&events, dir.path(), "empty"));
    drop(dispatcher);
    clear(&root);

    let before = memory("VmRSS");
    fill(&root);
    println!("{PROJECTS} projects with {FILES} tasks (before they were read: {before} kB)");
    let started = Instant::now();
    let (dispatcher, events) = start(dir.path(), "1h");
    println!("first offer, every file read: {:.0} ms", millis(started.elapsed()));
    println!("{}", renames(&events, dir.path(), "full"));
    println!("VmRSS {} kB, VmHWM {} kB", memory("VmRSS"), memory("VmHWM"));
    drop(dispatcher);

    LOGGED.lock().unwrap().clear();
    let (dispatcher, _events) = start(dir.path(), "2s");
    while read_times().len() <= RESCANS {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut times = read_times();
    println!("read for the first time: {}", times.remove(0));
    println!("read again: {}", times.join(", "));
    println!("VmRSS {} kB, VmHWM {} kB", memory("VmRSS"), memory("VmHWM"));
    drop(dispatcher);
}

fn inbox(root: &Path, project: usize) -> PathBuf {
    root.join(format!("project-{project:04}/.agent-queue/inbox"))
}

fn fill(root: &Path) {
    for number in 0..FILES {
        let head = "---\ntitle: \"Mend the thing that broke\"\npriority: high\ntags: [a, b]\n---\n";
        let path = inbox(root, number % PROJECTS).join(format!("task-{number:06}.md"));
        fs::write(path, format!("{head}\nDo it, please.\n")).unwrap();
    }
}

fn clear(root: &Path) {
    for project in 0..PROJECTS {
        for entry in fs::read_dir(inbox(root, project)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

/// A dispatcher that has told what it offers.
fn start(dir: &Path, interval: &str) -> (Component<Order>, Receiver<Event>) {
    let text = format!(
        "accounts: [{{name: a, home: {0}/a}}]\npool: {{shared_projects_dir: {0}/projects-shared}}\n\
         dispatcher: {{projects_dir: {0}/projects, rescan_interval: {interval}}}\n\
         state_dir: {0}/state\nruntime_dir: {0}/run\n",
        dir.display()
    );
    let config = match parse(&text, &Base::new(dir)) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(problems) => panic!("{problems:?}"),
    };
    let (sender, events) = unbounded();
    let dispatcher = dispatcher::spawn(config, Clock::start(), sender).unwrap();
    dispatcher.order(Order::Hold { held: Vec::new() }).unwrap();
    let _ = offered(&events);
    (dispatcher, events)
}

fn offered(events: &Receiver<Event>) -> TasksOffered {
    loop {
        match events.recv_timeout(WAIT).unwrap() {
            Event::TasksOffered(offered) => return offered,
            Event::ComponentExited { error, .. } => panic!("{error:?}"),
            _ => {}
        }
    }
}

/// From the rename of each of many tasks to the event that counts it.
fn renames(events: &Receiver<Event>, dir: &Path, round: &str) -> String {
    // What it wrote at its start is noticed, too.
    while events.recv_timeout(Duration::from_secs(1)).is_ok() {}
    let root = dir.join("projects");
    let mut took = Vec::with_capacity(RENAMES);
    for number in 0..RENAMES {
        let temp = dir.join("task");
        fs::write(&temp, format!("---\ntitle: {round} {number}\n---\nDo it.\n")).unwrap();
        let path = inbox(&root, number * 7 % PROJECTS).join(format!("new-{round}-{number}.md"));
        let started = Instant::now();
        fs::rename(&temp, path).unwrap();
        let _ = offered(events);
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| millis(took[(took.len() - 1) * share / 1000]);
    format!(
        "renamed → offered, {RENAMES} times: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        at(500),
        at(990),
        at(1000)
    )
}

fn read_times() -> Vec<String> {
    let logged = LOGGED.lock().unwrap();
    let times = logged.iter().filter_map(|line| line.split_once("projects read in "));
    times.map(|(_, took)| took.to_owned()).collect()
}

/// In kB, of this process.
fn memory(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
