//! What is noticed without an interval, and what happens without notices.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::dispatcher::stage::{SOON, Stage, inboxes, names};
use crate::logged;
use crate::support::eventually;

#[test]
fn projects_and_queues_and_inboxes_that_come_late_are_noticed() {
    let mut stage = Stage::new(|root| std::fs::create_dir(root.join("early")).unwrap());
    inboxes(&stage.project(""), &["late"]);
    stage.submit("late:t", "Do it.");
    stage.until_offered(&["late:t"]);
    std::fs::create_dir(stage.project("early").join(".agent-queue")).unwrap();
    std::fs::create_dir(stage.inbox("early")).unwrap();
    stage.submit("early:t", "---\npriority: high\n---\n");
    stage.until_offered(&["early:t", "late:t"]);
    std::fs::create_dir(stage.project("slow")).unwrap();
    for (id, step) in [("1", ".agent-queue"), ("2", ".agent-queue/inbox")] {
        // Between the steps there is time to look, and to find nothing.
        stage.submit(&format!("late:{id}"), "Do it.");
        let ready = stage.offered.counts.ready + 1;
        stage.until("another", |offered| offered.counts.ready == ready);
        std::fs::create_dir(stage.project("slow").join(step)).unwrap();
    }
    stage.submit("slow:t", "---\npriority: critical\n---\n");
    stage.until_offered(&["slow:t", "early:t", "late:t"]);
}

#[test]
fn behind_a_link_to_the_directory_of_projects_it_is_the_same() {
    let mut stage = Stage::new(|root| {
        let real = root.with_file_name("real");
        std::fs::rename(root, &real).unwrap();
        std::os::unix::fs::symlink(&real, root).unwrap();
    });
    inboxes(&stage.project(""), &["late"]);
    stage.submit("late:t", "Do it.");
    stage.until_offered(&["late:t"]);
}

#[test]
fn directories_that_go_and_come_back_are_watched_again() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    for round in 0..3 {
        for gone in ["a/.agent-queue/inbox", "a/.agent-queue", "a"] {
            stage.submit("a:t", "Do it.");
            stage.until_offered(&["a:t"]);
            // The dispatcher writes its status there meanwhile.
            eventually("it goes", SOON, || std::fs::remove_dir_all(stage.project(gone)).ok());
            // Sometimes it is seen to be gone, sometimes another is there already.
            if round > 0 {
                stage.until_offered(&[]);
            }
            inboxes(&stage.project(""), &["a"]);
            stage.submit("a:u", "---\ntitle: other\n---\n");
            stage.until(gone, |offered| names(offered) == ["a:u"]);
            std::fs::remove_file(stage.inbox("a").join("u.md")).unwrap();
            stage.until_offered(&[]);
        }
    }
}

#[test]
fn a_directory_that_was_moved_away_is_another_one() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    std::fs::rename(stage.project("a"), stage.dir().join("away")).unwrap();
    stage.until_offered(&[]);
    std::fs::rename(stage.dir().join("away"), stage.project("b")).unwrap();
    stage.until_offered(&["b:t"]);
    stage.submit("b:u", "---\npriority: high\n---\n");
    stage.until_offered(&["b:u"]);
}

#[test]
fn a_projects_directory_that_is_away_for_a_while_is_found_again() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:t", "Do it.");
    stage.until_offered(&["a:t"]);
    let (here, away) = (stage.dir().join("projects"), stage.dir().join("away"));
    std::fs::rename(&here, &away).unwrap();
    stage.until_offered(&[]);
    std::fs::rename(&away, &here).unwrap();
    stage.until_offered(&["a:t"]);
    // Other lines name the directory, too: the queue's status was perhaps about to be written.
    let said: Vec<String> = logged::lines_of(&here)
        .into_iter()
        .filter(|line| line.starts_with("dispatcher.projects_dir "))
        .collect();
    assert_eq!(said.len(), 1, "said once: {said:?}");
}

#[test]
fn a_queue_that_is_a_link_is_refused_once_and_taken_when_it_is_none() {
    let mut stage = Stage::new(|root| inboxes(root, &["linked-queue"]));
    let queue = stage.project("linked-queue").join(".agent-queue");
    std::fs::rename(&queue, stage.dir().join("outside")).unwrap();
    std::os::unix::fs::symlink(stage.dir().join("outside"), &queue).unwrap();
    std::fs::write(stage.dir().join("outside/inbox/t.md"), "Do it.").unwrap();
    inboxes(&stage.project(""), &["other"]);
    stage.submit("other:t", "Do it.");
    stage.until_offered(&["other:t"]);
    std::fs::remove_file(&queue).unwrap();
    std::fs::rename(stage.dir().join("outside"), &queue).unwrap();
    stage.until("both", |offered| offered.counts.ready == 2);
    let said = logged::lines_with("project=linked-queue");
    assert_eq!(
        said.iter()
            .filter(|line| line.contains("links are refused") && !line.contains("status.json"))
            .count(),
        1,
        "{said:?}"
    );
}

#[test]
fn a_task_is_offered_within_a_tenth_of_a_second() {
    const PROJECTS: usize = 100;
    const RENAMES: usize = 50;
    let projects: Vec<String> = (0..PROJECTS).map(|number| format!("p{number}")).collect();
    let mut stage = Stage::new(|root| {
        let names: Vec<&str> = projects.iter().map(String::as_str).collect();
        inboxes(root, &names);
    });
    let mut took = Vec::new();
    for number in 0..RENAMES {
        let started = Instant::now();
        stage.submit(&format!("p{}:t{number}", number * 7 % PROJECTS), "Do it.");
        stage.until("one more", |offered| offered.counts.ready == number + 1);
        took.push(started.elapsed());
    }
    took.sort_unstable();
    // The median: other tests run beside this one. `cargo bench --bench queue` measures the rest.
    let median = took[RENAMES / 2];
    assert!(median < Duration::from_millis(100), "{median:?}");
}

/// Set in the process that this test starts, where the kernel gives no file notices.
const INSIDE: &str = "CLAUDE_FAILOVER_TEST_WITHOUT_NOTICES";

/// The limit is that of a user namespace made for this, so that nobody else meets it.
#[test]
fn without_notices_queues_are_polled_which_is_said_once() {
    if std::env::var_os(INSIDE).is_some() {
        return without_notices();
    }
    let limit = "echo 0 > /proc/sys/user/max_inotify_instances";
    let may = Command::new("unshare").args(["-Ur", "sh", "-c", limit]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: this host gives no user namespaces");
        return;
    }
    let name = "dispatcher::notices::without_notices_queues_are_polled_which_is_said_once";
    let output = Command::new("unshare")
        .args(["-Ur", "sh", "-c", &format!("{limit} && exec \"$0\" --exact {name} --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn without_notices() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.until("it is said", |offered| offered.poll_only.is_some());
    let why = stage.offered.poll_only.clone().unwrap();
    assert!(why.contains("max_user_instances"), "{why}");
    for id in ["a:1", "a:2"] {
        stage.submit(id, "Do it.");
        let ready = stage.offered.counts.ready + 1;
        stage.until(id, |offered| offered.counts.ready == ready);
    }
    assert_eq!(logged::lines_with("queues are polled").len(), 1);
}
