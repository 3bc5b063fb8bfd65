//! The plan of the queue, by example and against one that is plain and slow.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use claude_failover::ids::TaskRef;
use claude_failover::moment::Wall;
use claude_failover::task::plan::{Limits, Plan, Queued, plan};
use claude_failover::task::{TaskSpec, front_matter};
use rustix::time::{ClockId, clock_gettime};

const NOW: Wall = Wall(1_000_000);

#[derive(Debug, Clone)]
struct Task {
    task: TaskRef,
    spec: TaskSpec,
    since: Wall,
}

/// `p:id`, with a front matter of one line.
fn task(name: &str, since: i64, head: &str) -> Task {
    let task: TaskRef = name.parse().unwrap();
    let spec = front_matter::read(&task.id, format!("---\n{head}\n---\n").as_bytes()).unwrap();
    Task { task, spec, since: Wall(since) }
}

fn queued(tasks: &[Task]) -> Vec<Queued<'_>> {
    let (path, dir) = (Path::new("/p/.agent-queue/inbox/x.md"), Path::new("/p"));
    tasks
        .iter()
        .map(|it| Queued { task: &it.task, spec: &it.spec, since: it.since, path, dir })
        .collect()
}

const WIDE: Limits = Limits { per_project: 100, offers: 100 };

fn names(plan: &Plan<'_>) -> Vec<String> {
    plan.offers.iter().map(|offer| offer.task.to_string()).collect()
}

#[test]
fn the_most_urgent_and_oldest_go_first_and_no_project_takes_all() {
    let tasks = [
        task("a:1", 5, "priority: low"),
        task("a:2", 9, ""),
        task("a:3", 3, ""),
        task("b:1", 3, ""),
        task("b:2", 9, "priority: critical"),
        task("c:1", 1, "priority: high"),
        task("c:2", 1, "needs_claude_code: false"),
    ];
    let all = plan(NOW, &queued(&tasks), WIDE, |_| false);
    assert_eq!(names(&all), ["b:2", "c:1", "a:3", "b:1", "a:2", "a:1"]);
    assert_eq!((all.ready, all.not_for_us), (6, 1));
    let one_each = Limits { per_project: 1, offers: 100 };
    assert_eq!(names(&plan(NOW, &queued(&tasks), one_each, |_| false)), ["b:2", "c:1", "a:3"]);
    let two = Limits { per_project: 1, offers: 2 };
    let two = plan(NOW, &queued(&tasks), two, |_| false);
    assert_eq!((names(&two), two.ready), (vec!["b:2".to_owned(), "c:1".to_owned()], 6));
}

#[test]
fn a_task_waits_for_its_moment_and_for_other_tasks() {
    let tasks = [
        task("a:1", 1, "not_before: 1970-01-01T00:16:40Z"),
        task("a:2", 1, "not_before: 1970-01-01T00:16:41Z"),
        task("a:3", 1, "not_before: 1970-01-01T00:16:42Z"),
        task("a:4", 1, "{depends_on: [b:done, a:1, b:gone], not_before: 1970-01-01T00:16:40.5Z}"),
        task("a:5", 1, "depends_on: [b:done]"),
    ];
    let plan = plan(NOW, &queued(&tasks), WIDE, |task| task.id.as_str() == "done");
    assert_eq!(names(&plan), ["a:1", "a:5"]);
    assert_eq!((plan.later, plan.next_at), (2, Some(Wall(1_001_000))));
    assert_eq!(plan.blocked.len(), 1);
    let waits_for: Vec<String> =
        plan.blocked[0].waits_for.iter().map(ToString::to_string).collect();
    assert_eq!(waits_for, ["a:1", "b:gone"]);
}

#[test]
fn a_cycle_is_told_to_each_task_in_it_and_to_no_other() {
    let mut tasks = vec![
        task("a:x", 1, "depends_on: b:y"),
        task("b:y", 1, "depends_on: [a:x, c:free]"),
        task("c:free", 1, ""),
        task("c:self", 1, "depends_on: c:self"),
        task("c:waits", 1, "depends_on: [a:x, c:self]"),
    ];
    for at in 0..10 {
        tasks.push(task(&format!("r:{at}"), 1, &format!("depends_on: r:{}", (at + 1) % 10)));
    }
    let plan = plan(NOW, &queued(&tasks), WIDE, |_| false);
    let told: BTreeMap<String, &str> =
        plan.cyclic.iter().map(|it| (it.task.to_string(), it.reason.as_str())).collect();
    assert_eq!(told["a:x"], "it waits for itself: a:x → b:y → a:x");
    assert_eq!(told["b:y"], "it waits for itself: b:y → a:x → b:y");
    assert_eq!(told["c:self"], "it waits for itself: c:self → c:self");
    assert_eq!(
        told["r:3"],
        "it waits for itself: r:3 → r:4 → r:5 → r:6 → r:7 → r:8 → r:9 → r:0 → 2 more → r:3"
    );
    assert_eq!(told.len(), 13);
    assert_eq!(plan.blocked.len(), 1);
    assert_eq!(plan.blocked[0].task.to_string(), "c:waits");
    assert_eq!(names(&plan), ["c:free"]);
}

fn some_tasks(u: &mut Unstructured<'_>) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    let count = u.int_in_range(0..=10)?;
    for at in 0..count {
        let mut depends_on = Vec::new();
        for _ in 0..u.int_in_range(0..=4)?.max(2) - 2 {
            depends_on.push(format!("p{}:t{}", u.int_in_range(0..=1)?, u.int_in_range(0..=11)?));
        }
        let head = format!(
            "depends_on: [{}]\npriority: {}\nneeds_claude_code: {}\nnot_before: 1970-01-01T00:16:4{}Z",
            depends_on.join(","),
            u.choose(&["critical", "low"])?,
            u.ratio(9, 10)?,
            u.int_in_range(0..=2)?,
        );
        let name = format!("p{}:t{at}", u.int_in_range(0..=1)?);
        tasks.push(task(&name, u.int_in_range(0..=2)?, &head));
    }
    Ok(tasks)
}

/// Whether dependencies that are not done lead from `from` to `to`.
fn leads(tasks: &[&Task], done: &BTreeSet<TaskRef>, from: &Task, to: &TaskRef) -> bool {
    let mut reached: BTreeSet<&TaskRef> = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(task) = waiting.pop() {
        for next in task.spec.depends_on.iter().filter(|next| !done.contains(next)) {
            if reached.insert(next) {
                waiting.extend(tasks.iter().find(|task| task.task == *next));
            }
        }
    }
    reached.contains(to)
}

#[test]
fn it_says_the_same_as_a_plain_one() {
    let (cases, cyclic) = (Cell::new(0_u64), Cell::new(0_u64));
    arbtest(|u| {
        let tasks = some_tasks(u)?;
        let mut done = BTreeSet::new();
        for _ in 0..u.int_in_range(0..=3)? {
            done.insert(format!("p0:t{}", u.int_in_range(0..=11)?).parse().unwrap());
        }
        let limits = Limits { per_project: u.int_in_range(1..=3)?, offers: u.int_in_range(0..=5)? };
        let found = plan(NOW, &queued(&tasks), limits, |task| done.contains(task));

        let ours: Vec<&Task> = tasks.iter().filter(|it| it.spec.needs_claude_code).collect();
        let unmet = |it: &Task| it.spec.depends_on.iter().any(|task| !done.contains(task));
        let in_cycle: BTreeSet<&TaskRef> =
            ours.iter().filter(|it| leads(&ours, &done, it, &it.task)).map(|it| &it.task).collect();
        let is_later = |it: &Task| it.spec.not_before.is_some_and(|at| at > NOW);
        let blocked: BTreeSet<&TaskRef> = ours
            .iter()
            .filter(|it| unmet(it) && !in_cycle.contains(&it.task))
            .map(|it| &it.task)
            .collect();
        assert_eq!(found.cyclic.iter().map(|it| it.task).collect::<BTreeSet<_>>(), in_cycle);
        assert_eq!(found.blocked.iter().map(|it| it.task).collect::<BTreeSet<_>>(), blocked);
        assert_eq!(found.not_for_us, tasks.len() - ours.len());
        let later: Vec<&&Task> = ours.iter().filter(|it| !unmet(it) && is_later(it)).collect();
        assert_eq!(found.later, later.len());
        assert_eq!(found.next_at, later.iter().filter_map(|it| it.spec.not_before).min());

        let mut ready: Vec<&&Task> = ours.iter().filter(|it| !unmet(it) && !is_later(it)).collect();
        assert_eq!(found.ready, ready.len());
        let mut expected: Vec<&TaskRef> = Vec::new();
        while expected.len() < limits.offers {
            let of = |project| expected.iter().filter(|task| task.project == project).count();
            ready.retain(|it| of(it.task.project.clone()) < limits.per_project);
            let key = |it: &&&&Task| (it.spec.priority, it.since, it.task.clone());
            let Some(first) = ready.iter().min_by_key(key).copied() else { break };
            ready.retain(|it| it.task != first.task);
            expected.push(&first.task);
        }
        assert_eq!(found.offers.iter().map(|it| &it.task).collect::<Vec<_>>(), expected);
        cases.set(cases.get() + 1);
        cyclic.set(cyclic.get() + u64::from(!in_cycle.is_empty()));
        Ok(())
    })
    .size_min(64)
    .size_max(1024)
    .budget_ms(1_000)
    .run();
    assert!(cases.get() > 50 && cyclic.get() > 3, "{} {}", cases.get(), cyclic.get());
}

const MANY: usize = 100_000;

fn numbered(at: usize) -> String {
    format!("p{}:t{}", at % 1000, at)
}

/// Processor time of this thread: other tests run beside it.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// Ready ones, one long chain, one long ring, and a tangle in which all wait for many.
#[test]
fn a_hundred_thousand_tasks_are_planned_at_once() {
    type Head = fn(usize) -> String;
    let scenes: [(&str, Head); 4] = [
        ("ready", |at| ["", "priority: high"][at % 2].to_owned()),
        ("chain", |at| format!("depends_on: {}", numbered(at + 1))),
        ("ring", |at| format!("depends_on: {}", numbered((at + 1) % MANY))),
        ("tangle", |at| {
            let next = |step: usize| numbered((at * 7 + step * 31 + 1) % MANY);
            let names: Vec<String> = (0..8).map(next).collect();
            format!("depends_on: [{}]", names.join(","))
        }),
    ];
    for (scene, head) in scenes {
        let tasks: Vec<Task> = (0..MANY).map(|at| task(&numbered(at), 7, &head(at))).collect();
        let queued = queued(&tasks);
        let limits = Limits { per_project: 1, offers: 1_000 };
        let before = spent();
        let plan = plan(NOW, &queued, limits, |_| false);
        let took = spent() - before;
        println!(
            "{scene}: {took:?} ready={} offers={} blocked={} cyclic={}",
            plan.ready,
            plan.offers.len(),
            plan.blocked.len(),
            plan.cyclic.len()
        );
        assert_eq!(plan.ready + plan.blocked.len() + plan.cyclic.len(), MANY);
        assert!(took.as_millis() < 2_000, "{scene}: {took:?}");
    }
}
