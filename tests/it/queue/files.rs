//! Which files are tasks, where a queue may lie, and its `status.json`.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use claude_failover::ids::{ProjectName, TaskId};
use claude_failover::queue::inbox::{self, TaskFile};
use claude_failover::queue::rules::{Refusal, Rules};
use claude_failover::queue::submit::submit;
use claude_failover::queue::{self, Part, Queue, status};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::queue::{Yard, rules, shop, task};

#[test]
fn only_plain_files_of_ours_within_the_limit_are_tasks() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    yard.write("inbox/good.md", "x");
    yard.write("inbox/full.md", &"x".repeat(1000));
    yard.write("inbox/long.md", &"x".repeat(1001));
    yard.write("elsewhere", "secret");
    symlink(yard.path("elsewhere"), yard.path("inbox/link.md")).unwrap();
    std::fs::hard_link(yard.path("elsewhere"), yard.path("inbox/hard.md")).unwrap();
    std::fs::create_dir(yard.path("inbox/dir.md")).unwrap();
    mknodat(CWD, yard.path("inbox/pipe.md"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let _socket = UnixListener::bind(yard.path("inbox/sock.md")).unwrap();
    let read = |id: &str, rules: &Rules| {
        let id: TaskId = id.parse().unwrap();
        match inbox::read(&inbox, &id, rules).unwrap() {
            TaskFile::Read { bytes, .. } => Ok(bytes.len()),
            TaskFile::Refused(refusal) => Err(Some(refusal)),
            TaskFile::Gone => Err(None),
        }
    };
    for (id, expected) in [
        ("good", Ok(1)),
        ("full", Ok(1000)),
        ("long", Err(Some(Refusal::TooLarge { bytes: 1001, bytes_max: 1000 }))),
        ("link", Err(Some(Refusal::Link))),
        ("hard", Err(Some(Refusal::Linked(2)))),
        ("dir", Err(Some(Refusal::NotPlain))),
        ("pipe", Err(Some(Refusal::NotPlain))),
        ("sock", Err(Some(Refusal::NotPlain))),
        ("none", Err(None)),
    ] {
        assert_eq!(read(id, &rules()), expected, "{id}");
    }
    let uid = rustix::process::geteuid().as_raw();
    let strangers = Rules { uids: vec![uid + 1], ..rules() };
    assert_eq!(read("good", &strangers), Err(Some(Refusal::Owner(uid))));
}

#[test]
fn a_listing_parts_tasks_from_marks_and_from_names_that_are_none() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    for name in [
        "a.md",
        "b.2.md",
        "a.md.dispatched",
        "b.2.md.blocked",
        ".hidden.md",
        "notes.txt",
        "x y.md",
        "-rf.md",
        "$(id).md",
        "new\nline.md",
        "é.md",
        ".md",
    ] {
        yard.write(&format!("inbox/{name}"), "");
    }
    let listing = inbox::list(&inbox).unwrap();
    let mut tasks: Vec<&str> = listing.tasks.iter().map(TaskId::as_str).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["a", "b.2"]);
    assert_eq!(listing.marked.iter().map(TaskId::as_str).collect::<Vec<_>>(), ["a"]);
    assert_eq!(listing.blocked.iter().map(TaskId::as_str).collect::<Vec<_>>(), ["b.2"]);
    let mut misnamed = listing.misnamed;
    misnamed.sort_unstable();
    assert_eq!(misnamed, ["$(id).md", "-rf.md", "new\\nline.md", "x y.md", "é.md"]);
}

#[test]
fn a_queue_or_a_part_of_it_that_is_a_link_is_refused() {
    let yard = Yard::new();
    let outside = yard.outside().join("outside");
    std::fs::create_dir_all(outside.join("inbox")).unwrap();
    symlink(&outside, yard.projects().join("shop/.agent-queue")).unwrap();
    let error = Queue::open(&yard.projects(), &shop()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(error.to_string().contains(".agent-queue"), "{error}");
    assert!(submit(&yard.projects(), &task("t"), b"x").is_err());

    std::fs::remove_file(yard.projects().join("shop/.agent-queue")).unwrap();
    std::fs::create_dir(yard.projects().join("shop/.agent-queue")).unwrap();
    symlink(outside.join("inbox"), yard.path("inbox")).unwrap();
    assert!(submit(&yard.projects(), &task("t"), b"x").is_err());
    assert_eq!(std::fs::read_dir(outside.join("inbox")).unwrap().count(), 0);
}

#[test]
fn projects_are_directories_with_harmless_names() {
    let yard = Yard::new();
    let projects = yard.projects();
    for name in ["a.b", "_x", "with space", "-x", "no queue"] {
        std::fs::create_dir_all(projects.join(name)).unwrap();
    }
    for name in ["with space", "-x", ".hidden"] {
        std::fs::create_dir_all(projects.join(name).join(".agent-queue")).unwrap();
    }
    std::fs::create_dir_all(yard.outside().join("real/.agent-queue")).unwrap();
    symlink(yard.outside().join("real"), projects.join("link")).unwrap();
    symlink(yard.outside(), projects.join("dull")).unwrap();
    std::fs::write(projects.join("file"), "").unwrap();
    let found = queue::projects(&projects).unwrap();
    assert_eq!(
        found.names.iter().map(ProjectName::as_str).collect::<Vec<_>>(),
        ["_x", "a.b", "shop"]
    );
    let mut refused: Vec<_> =
        found.refused.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["-x", ".hidden", "link", "with space"]);
}

#[test]
fn a_submitted_task_appears_whole_and_replaces_nothing() {
    let yard = Yard::new();
    let bytes = b"\xff\x00 any bytes\r\n";
    let path = submit(&yard.projects(), &task("t"), bytes).unwrap();
    assert_eq!(path, yard.path("inbox/t.md"));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(submit(&yard.projects(), &task("t"), b"other").is_err());
    yard.write("inbox/u.md.dispatched", "");
    assert!(submit(&yard.projects(), &task("u"), b"other").is_err());
    assert_eq!(yard.files(), ["inbox/t.md", "inbox/u.md.dispatched"]);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let error = submit(&yard.projects(), &"none:t".parse().unwrap(), b"x").unwrap_err().to_string();
    assert!(error.contains("no project none"), "{error}");
}

#[test]
fn a_status_that_is_not_ours_is_kept_once() {
    let yard = Yard::new();
    let queue = yard.queue();
    yard.write("status.json", "{\"mine\": 1}");
    status::write(&queue, "{\"claude_failover\": 1}").unwrap();
    assert_eq!(yard.read("status.json.old").unwrap(), "{\"mine\": 1}");
    assert_eq!(yard.read("status.json").unwrap(), "{\"claude_failover\": 1}");
    status::write(&queue, "{\"claude_failover\": 1, \"x\": 2}").unwrap();
    yard.write("status.json", "another");
    status::write(&queue, "{\"claude_failover\": 1}").unwrap();
    assert_eq!(yard.read("status.json.old").unwrap(), "{\"mine\": 1}");
    assert_eq!(yard.read("status.json").unwrap(), "{\"claude_failover\": 1}");
}
