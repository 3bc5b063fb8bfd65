//! What is offered, in which order, and what is not.

use std::os::unix::fs::symlink;
use std::time::Duration;

use claude_failover::core::event::QueueCounts;
use claude_failover::task::HeldState;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::dispatcher::stage::{SOON, Stage, held, inboxes, names};
use crate::logged;
use crate::support::eventually;

fn text(head: &str) -> String {
    format!("---\n{head}\n---\nDo it.\n")
}

#[test]
fn nothing_is_offered_before_it_is_known_what_is_held() {
    let mut stage = Stage::silent(|root| inboxes(root, &["a"]), "");
    stage.submit("a:t", "Do it.");
    stage.submit("a:u", "Do it.");
    // A claim is answered after everything was read, so silence until then is no accident.
    let _ = stage.claim("a:nothing", 1);
    assert!(stage.nothing_was_said());
    stage.hold(vec![held("a:t", HeldState::Running)]);
    stage.until_offered(&["a:u"]);
    assert_eq!(stage.offered.counts, QueueCounts { ready: 1, ..QueueCounts::default() });
}

#[test]
fn the_most_urgent_goes_first_then_the_oldest_and_one_of_each_project() {
    let mut stage = Stage::silent(|root| inboxes(root, &["a", "b", "c"]), "");
    stage.submit("b:old", &text("priority: low"));
    for (task, head) in [
        ("a:late", "priority: low"),
        ("a:urgent", "priority: critical\ntitle: Mend it\nattempts: 5"),
        ("c:usual", "title: x"),
    ] {
        stage.submit(task, &text(head));
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(600);
    let file = std::fs::File::options().write(true).open(stage.inbox("b").join("old.md")).unwrap();
    file.set_modified(long_ago).unwrap();
    drop(file);
    stage.hold(Vec::new());
    stage.until_offered(&["a:urgent", "c:usual", "b:old"]);
    let offer = &stage.offered.offers[0];
    assert_eq!((offer.title.as_str(), offer.attempts), ("Mend it", 5));
    assert_eq!(offer.path, stage.inbox("a").join("urgent.md"));
    assert_eq!(offer.dir, stage.project("a"));
    assert_eq!(stage.offered.counts.ready, 4);
}

#[test]
fn a_project_is_offered_a_few_more_times_than_it_may_have_agents() {
    let mut stage = Stage::silent(|root| inboxes(root, &["a"]), ", per_project: 2");
    for id in ["a:1", "a:2", "a:3", "a:4", "a:5", "a:6"] {
        stage.submit(id, "Do it.");
    }
    stage.hold(Vec::new());
    stage.until("all are read", |offered| offered.counts.ready == 6);
    assert_eq!(stage.offered.offers.len(), 2 + 3, "three more, for the case that some must rest");
}

#[test]
fn what_is_no_task_of_ours_is_counted_said_once_and_left() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    let inbox = stage.inbox("a");
    std::fs::write(stage.dir().join("secret"), "secret").unwrap();
    symlink(stage.dir().join("secret"), inbox.join("link.md")).unwrap();
    std::fs::hard_link(stage.dir().join("secret"), inbox.join("hard.md")).unwrap();
    mknodat(CWD, inbox.join("pipe.md"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::create_dir(inbox.join("dir.md")).unwrap();
    std::fs::write(inbox.join("misnamed task.md"), "Do it.").unwrap();
    stage.submit("a:huge", &"x".repeat(2000));
    stage.submit("a:other", &text("needs_claude_code: false"));
    stage.submit("a:good", "Do it.");
    let expected = QueueCounts { ready: 1, refused: 6, not_for_us: 1, ..QueueCounts::default() };
    stage.until("all are counted", |offered| offered.counts == expected);
    assert_eq!(names(&stage.offered), ["a:good"]);
    stage.submit("a:more", "Do it.");
    stage.until("another", |offered| offered.counts.ready == 2);
    assert_eq!(std::fs::read_dir(&inbox).unwrap().count(), 9, "all are where they were");
    for id in ["link", "hard", "pipe", "dir", "huge"] {
        let why = stage.claim(&format!("a:{id}"), 1).unwrap_err();
        assert!(why.contains("refused"), "{id}: {why}");
    }
    let why = stage.claim("a:other", 1).unwrap_err();
    assert!(why.contains("needs_claude_code"), "{why}");
}

#[test]
fn a_task_of_another_user_is_taken_only_when_that_user_is_trusted() {
    if !rustix::process::geteuid().is_root() {
        return; // nobody else's files can be made
    }
    for (more, trusted) in [("", false), (", trusted_uids: [65534]", true)] {
        let mut stage = Stage::silent(|root| inboxes(root, &["a"]), more);
        stage.hold(Vec::new());
        for (id, uid) in [("theirs", 65_534), ("strange", 65_533)] {
            stage.submit(&format!("a:{id}"), "Do it.");
            let file = stage.inbox("a").join(format!("{id}.md"));
            std::os::unix::fs::chown(file, Some(uid), None).unwrap();
        }
        stage.submit("a:ours", "Do it.");
        let (ready, refused) = if trusted { (2, 1) } else { (1, 2) };
        let expected = QueueCounts { ready, refused, ..QueueCounts::default() };
        stage.until("all are counted", |offered| offered.counts == expected);
        let mut names = names(&stage.offered);
        names.sort();
        assert_eq!(names, if trusted { vec!["a:ours", "a:theirs"] } else { vec!["a:ours"] });
        assert_eq!(stage.claim("a:theirs", 1).is_ok(), trusted);
        let why = stage.claim("a:strange", 1).unwrap_err();
        assert!(why.contains("belongs to user 65533"), "{why}");
    }
}

#[test]
fn a_marker_of_somebody_else_keeps_its_task_back_until_it_goes() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    let marker = stage.inbox("a").join("t.md.dispatched");
    std::fs::write(&marker, "").unwrap();
    stage.submit("a:t", "Do it.");
    stage.until("it is seen", |offered| offered.counts.foreign == 1);
    assert!(names(&stage.offered).is_empty());
    assert!(stage.claim("a:t", 1).unwrap_err().contains("somebody else"));
    assert_eq!(std::fs::read(&marker).unwrap(), b"");
    std::fs::remove_file(&marker).unwrap();
    stage.until_offered(&["a:t"]);
}

#[test]
fn a_malformed_task_is_moved_to_the_failed_with_the_reason() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    stage.submit("a:bad", &text("priority: soon"));
    stage.submit("a:good", "Do it.");
    stage.until_offered(&["a:good"]);
    let failed = stage.project("a").join(".agent-queue/failed/bad.md");
    let written = eventually("it is moved", SOON, || std::fs::read_to_string(&failed).ok());
    assert!(written.contains("malformed: ") && written.ends_with("---\nDo it.\n"), "{written}");
    eventually("its marker goes", SOON, || {
        (std::fs::read_dir(stage.inbox("a")).unwrap().count() == 1).then_some(())
    });
    // Whoever tells people is told, and of the same file put there again.
    stage.submit("a:bad", &text("priority: soon"));
    stage.until("both are told", |offered| offered.hopeless.len() == 2);
    let [first, again] = &stage.offered.hopeless[..] else { panic!("{:?}", stage.offered) };
    assert_eq!((first.task.to_string(), &first.task), ("a:bad".to_owned(), &again.task));
    assert!(first.reason.starts_with("malformed: priority") && first.at < again.at, "{first:?}");
}

#[test]
fn a_move_that_fails_is_said_once_and_tried_again() {
    let mut stage = Stage::new(|root| {
        inboxes(root, &["in-the-way"]);
        std::fs::write(root.join("in-the-way/.agent-queue/failed"), "").unwrap();
    });
    stage.submit("in-the-way:bad", &text("priority: soon"));
    let said = || logged::lines_with("task=in-the-way:bad not moved");
    eventually("it is said", SOON, || (!said().is_empty()).then_some(()));
    stage.submit("in-the-way:good", "Do it.");
    stage.until_offered(&["in-the-way:good"]);
    assert!(stage.inbox("in-the-way").join("bad.md").exists());
    let failed = stage.project("in-the-way").join(".agent-queue/failed");
    std::fs::remove_file(&failed).unwrap();
    eventually("it is moved", SOON, || failed.join("bad.md").exists().then_some(()));
    assert_eq!(said().len(), 1, "{:?}", said());
}

#[test]
fn many_malformed_tasks_are_all_moved() {
    let stage = Stage::new(|root| {
        inboxes(root, &["a"]);
        for number in 0..40 {
            let path = root.join(format!("a/.agent-queue/inbox/{number}.md"));
            std::fs::write(path, text("priority: soon")).unwrap();
        }
    });
    eventually("the inbox is empty", SOON, || {
        std::fs::read_dir(stage.inbox("a")).unwrap().next().is_none().then_some(())
    });
    let failed = stage.project("a").join(".agent-queue/failed");
    assert_eq!(std::fs::read_dir(failed).unwrap().count(), 40);
}

#[test]
fn a_task_waits_for_one_of_another_project_and_says_so_beside_it() {
    let mut stage = Stage::new(|root| inboxes(root, &["a", "b"]));
    stage.submit("a:then", &text("depends_on: [\"b:first\"]"));
    stage.until("it waits", |offered| offered.counts.blocked == 1);
    let mark = stage.inbox("a").join("then.md.blocked");
    let modified = || std::fs::metadata(&mark).and_then(|found| found.modified()).ok();
    let since = eventually("it is marked", SOON, modified);
    stage.submit("b:first", "Do it.");
    stage.until_offered(&["b:first"]);
    assert_eq!(modified(), Some(since), "never refreshed");
    std::fs::create_dir(stage.project("b").join(".agent-queue/done")).unwrap();
    let first = stage.inbox("b").join("first.md");
    std::fs::rename(first, stage.project("b").join(".agent-queue/done/first.md")).unwrap();
    stage.until_offered(&["a:then"]);
    eventually("the mark goes", SOON, || (!mark.exists()).then_some(()));
}

#[test]
fn tasks_that_wait_for_each_other_fail_with_their_circle() {
    let mut stage = Stage::new(|root| inboxes(root, &["a", "b", "c"]));
    stage.submit("a:x", &text("depends_on: [\"b:y\"]"));
    stage.until("it waits", |offered| offered.counts.blocked == 1);
    stage.submit("b:y", &text("depends_on: [\"a:x\"]"));
    stage.submit("c:z", &text("depends_on: [\"a:x\"]"));
    stage.until("one still waits", |offered| {
        offered.counts == QueueCounts { blocked: 1, ..QueueCounts::default() }
    });
    for (project, id) in [("a", "x"), ("b", "y")] {
        let path = stage.project(project).join(format!(".agent-queue/failed/{id}.md"));
        let written = eventually("it is moved", SOON, || std::fs::read_to_string(&path).ok());
        assert!(written.contains("a:x") && written.contains("b:y"), "{written}");
    }
    assert!(stage.inbox("c").join("z.md").exists());
}

#[test]
fn a_task_is_offered_when_its_time_has_come() {
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    let wall = claude_failover::clock::Clock::start().wall();
    let soon = wall + Duration::from_secs(2);
    stage.submit("a:t", &text(&format!("not_before: \"{soon}\"")));
    stage.until("it is known", |offered| offered.counts.later == 1);
    assert!(names(&stage.offered).is_empty());
    stage.until_offered(&["a:t"]);
}

#[test]
fn a_file_that_is_still_written_is_not_judged_by_its_beginning() {
    use std::io::Write;
    let mut stage = Stage::new(|root| inboxes(root, &["a"]));
    let mut file = std::fs::File::create(stage.inbox("a").join("slow.md")).unwrap();
    file.write_all(b"---\npriority: ").unwrap();
    stage.submit("a:other", "Do it.");
    stage.until_offered(&["a:other"]);
    file.write_all(b"critical\n---\nDo it.").unwrap();
    drop(file);
    stage.until_offered(&["a:slow"]);
}

#[test]
fn a_key_that_means_nothing_is_said_once() {
    let mut stage = Stage::new(|root| inboxes(root, &["unknown-keys"]));
    stage.submit("unknown-keys:t", &text("colour: red"));
    stage.until_offered(&["unknown-keys:t"]);
    stage.submit("unknown-keys:u", "Do it.");
    stage.until("both", |offered| offered.counts.ready == 2);
    let said = logged::lines_with("task=unknown-keys:t keys");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("colour"), "{said:?}");
}
