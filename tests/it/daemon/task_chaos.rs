//! Many tasks on few sessions while daemon and tmux server are killed at any moment: each task ends in
//! one place, and no attempt reaches an agent twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::daemon::dice::{Dice, seed};
use crate::daemon::fleet::{Fleet, SOON};
use crate::daemon::inboxes::{PARTS, Told, task_text};
use crate::daemon::layout::Layout;
use crate::support::eventually;

const PROJECTS: usize = 20;
const TASKS_OF_EACH: usize = 25;
/// For all tasks, with all deaths: 45 to 60 seconds alone on two cores, and more beside other tests.
const ALL: Duration = Duration::from_secs(180);
/// Between two deaths.
const CALM_MS: std::ops::Range<u64> = 500..4_000;
/// An agent that is gone is only believed to be after nine seconds of one daemon's life.
const LONG_CALM: Duration = Duration::from_secs(12);
const LONG_CALM_EVERY: u64 = 5;
/// Of all deaths, one in so many is that of the tmux server.
const SERVER_DIES_EVERY: u64 = 4;
/// Ten deliveries side by side may take so many times as long as one.
const SIDE_BY_SIDE_MAX: f64 = 1.5;

fn ten_free_sessions() -> Layout {
    Layout { dedicated: Vec::new(), pool: 10, per_project: 3, cooldown: "0s", ..Layout::default() }
}

/// Project and id of each task; the id is told by the agents without its project.
fn tasks() -> Vec<(String, String)> {
    let of = |project| {
        (0..TASKS_OF_EACH).map(move |n| (format!("p{project}"), format!("p{project}-{n}")))
    };
    (0..PROJECTS).flat_map(of).collect()
}

fn orders(n: usize) -> &'static str {
    match n {
        n if n % 50 == 7 => "work 20ms\ndie once",
        n if n % 10 == 3 => "fail this one cannot be done",
        _ => "work 20ms",
    }
}

#[derive(Debug, Default)]
struct Deaths {
    daemon: u32,
    server: u32,
}

/// Kills until nothing is left in an inbox.
#[track_caller]
fn kill_until_all_are_through(fleet: &mut Fleet, dice: &mut Dice) -> Deaths {
    let mut deaths = Deaths::default();
    let mut next_at = Instant::now();
    eventually("all tasks have left their inboxes", ALL, || {
        if Instant::now() >= next_at {
            kill_one(fleet, dice, &mut deaths);
            next_at = Instant::now() + calm(dice);
        }
        let is_empty = |project| fleet.names(&format!("p{project}"), "inbox").is_empty();
        (0..PROJECTS).all(is_empty).then_some(())
    });
    deaths
}

fn kill_one(fleet: &mut Fleet, dice: &mut Dice, deaths: &mut Deaths) {
    if dice.one_in(SERVER_DIES_EVERY) {
        deaths.server += u32::from(fleet.kill_server());
        return;
    }
    fleet.kill_daemon();
    fleet.start_with(None);
    deaths.daemon += 1;
}

fn calm(dice: &mut Dice) -> Duration {
    match dice.one_in(LONG_CALM_EVERY) {
        true => LONG_CALM,
        false => Duration::from_millis(dice.in_range(CALM_MS)),
    }
}

/// No attempt has reached two agents as if it were new, and the one that gave the result has reached
/// one. The number of attempts that reached anybody.
fn assert_delivered_once(fleet: &Fleet) -> usize {
    let mut reached: BTreeMap<(String, String), Vec<Told>> = BTreeMap::new();
    for told in fleet.told() {
        // One that was killed before it could write down its receipt was resumed in its conversation.
        if ["received", "resumed"].contains(&told.what.as_str()) {
            let attempt = (told.task.clone(), told.conversation.clone());
            reached.entry(attempt).or_default().push(told);
        }
    }
    let is_new = |told: &&Told| told.what == "received";
    let twice = reached.values().find(|all| all.iter().filter(is_new).count() > 1);
    assert!(twice.is_none(), "delivered twice: {twice:#?}");
    for (project, id) in tasks() {
        let result = fleet.await_result_within(&format!("{project}:{id}"), Duration::ZERO);
        let attempts = reached.keys().filter(|(task, _)| *task == id).count();
        assert!(attempts <= result.attempts as usize, "{id}: {attempts} deliveries, {result:?}");
        let conversation = result.conversation.unwrap().as_str().to_owned();
        assert!(reached.contains_key(&(id.clone(), conversation)), "{id} has reached nobody");
    }
    reached.len()
}

#[test]
fn five_hundred_tasks_survive_the_deaths_of_daemon_and_server() {
    let seed = seed();
    println!("SEED={seed}");
    let mut fleet = Fleet::new(ten_free_sessions());
    for (n, (project, id)) in tasks().iter().enumerate() {
        fleet.submit(&format!("{project}:{id}"), &task_text(orders(n)));
    }
    fleet.start_with(None);
    let begun = Instant::now();
    let deaths = kill_until_all_are_through(&mut fleet, &mut Dice::new(seed));
    let took = begun.elapsed();
    eventually("nothing is in hand", SOON, || {
        fleet.status()["tasks"]["in_hand"].as_array()?.is_empty().then_some(())
    });
    let deliveries = assert_delivered_once(&fleet);
    let died = fleet.told().iter().filter(|told| told.what == "died").count();
    let mut counts = BTreeMap::new();
    for project in 0..PROJECTS {
        let project = format!("p{project}");
        let [inbox, done, failed] = PARTS.map(|part| fleet.names(&project, part));
        assert_eq!(inbox, BTreeSet::new(), "left in the inbox of {project}");
        assert!(done.is_disjoint(&failed), "{project}: {done:?} {failed:?}");
        assert_eq!(done.len() + failed.len(), TASKS_OF_EACH, "{project}: {done:?} {failed:?}");
        *counts.entry("done").or_insert(0) += done.len();
        *counts.entry("failed").or_insert(0) += failed.len();
    }
    println!("{counts:?} in {took:?}, {deliveries} deliveries, {died} agents died, {deaths:?}");
    assert!(deaths.daemon > 3 && deaths.server > 0, "{deaths:?}");
    assert_eq!(counts["failed"], 50, "those that say so themselves");
}

/// From the tasks' files to the last of their agents that has one.
fn deliver(fleet: &Fleet, round: &str, count: usize) -> Duration {
    let begun = Instant::now();
    let ids: Vec<String> = (0..count).map(|n| format!("{round}-{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        // The time a client takes to start, in which others can be delivered.
        fleet.submit(&format!("p{n}:{id}"), &task_text("slow 2s\nwork 20ms"));
    }
    ids.iter().for_each(|id| fleet.await_told(id, "received"));
    let took = begun.elapsed();
    for (n, id) in ids.iter().enumerate() {
        assert!(fleet.await_result(&format!("p{n}:{id}")).done);
    }
    took
}

#[test]
fn ten_deliveries_go_side_by_side() {
    let mut fleet = Fleet::new(ten_free_sessions());
    (0..10).for_each(|n| fleet.make_inbox(&format!("p{n}")));
    fleet.start();
    fleet.await_sessions();
    let one = deliver(&fleet, "one", 1);
    let ten = deliver(&fleet, "ten", 10);
    println!("one delivery: {one:?}, ten: {ten:?}");
    assert!(ten.as_secs_f64() <= one.as_secs_f64() * SIDE_BY_SIDE_MAX, "one {one:?}, ten {ten:?}");
}
