//! Who may be at a task.

use std::os::unix::fs::symlink;

use claude_failover::moment::Wall;
use claude_failover::queue::Part;
use claude_failover::queue::dir::Put;
use claude_failover::queue::marker::{self, Marker, Owner};

use crate::queue::{ME, Yard, task};

fn mine(id: &str) -> Marker {
    let session = "ccl-auto-11".parse().unwrap();
    let conversation = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap();
    Marker::of_agent(ME, task(id), session, 2, conversation, Wall(5_000))
}

#[test]
fn a_marker_is_made_once_and_read_back() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    assert_eq!(marker::read(&inbox, ME, &task("t")).unwrap(), None);
    assert_eq!(marker::put(&inbox, &mine("t")).unwrap(), Put::Made);
    let other = Marker { attempt: 3, ..mine("t") };
    assert_eq!(marker::put(&inbox, &other).unwrap(), Put::Taken);
    let read = marker::read(&inbox, ME, &task("t")).unwrap();
    assert_eq!(read, Some(Owner::Ours(Box::new(mine("t")))));
    assert_eq!(yard.files(), ["inbox/t.md.dispatched"], "nothing is left beside it");
    let text = yard.read("inbox/t.md.dispatched").unwrap();
    for word in ["version", "instance", "task", "session", "attempt", "conversation", "claimed_at"]
    {
        assert!(text.contains(&format!("\"{word}\"")), "{word} in {text}");
    }
}

#[test]
fn what_is_not_plainly_ours_is_somebody_elses_and_stays() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    let json = |marker: &Marker| serde_json::to_string(marker).unwrap();
    let ours = json(&mine("t"));
    for (what, text) in [
        ("empty", String::new()),
        ("not JSON", "2026-11-22 ccl-auto-11\n".to_owned()),
        ("half", ours[..ours.len() / 2].to_owned()),
        ("another instance", json(&Marker { instance: "x".to_owned(), ..mine("t") })),
        ("another task", json(&mine("u"))),
        ("another version", json(&Marker { version: 9, ..mine("t") })),
        ("too long", format!("{ours}{}", " ".repeat(5000))),
    ] {
        yard.write("inbox/t.md.dispatched", &text);
        let owner = marker::read(&inbox, ME, &task("t")).unwrap();
        assert_eq!(owner, Some(Owner::Foreign), "{what}");
        let error = marker::release(&inbox, ME, &task("t")).unwrap_err().to_string();
        assert!(error.contains("tasks retry shop:t"), "{what}: {error}");
        assert_eq!(yard.read("inbox/t.md.dispatched").as_ref(), Some(&text), "{what}");
    }
}

#[test]
fn a_marker_that_is_a_link_or_a_directory_is_somebody_elses() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    let real = yard.outside().join("marker");
    std::fs::write(&real, serde_json::to_string(&mine("t")).unwrap()).unwrap();
    symlink(&real, yard.path("inbox/t.md.dispatched")).unwrap();
    assert_eq!(marker::read(&inbox, ME, &task("t")).unwrap(), Some(Owner::Foreign));
    std::fs::create_dir(yard.path("inbox/u.md.dispatched")).unwrap();
    assert_eq!(marker::read(&inbox, ME, &task("u")).unwrap(), Some(Owner::Foreign));
    assert_eq!(marker::put(&inbox, &mine("t")).unwrap(), Put::Taken);
    assert_eq!(marker::put(&inbox, &mine("u")).unwrap(), Put::Taken);
}

#[test]
fn a_release_takes_ours_away_and_finds_none_good() {
    let yard = Yard::new();
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    marker::put(&inbox, &mine("t")).unwrap();
    marker::release(&inbox, ME, &task("t")).unwrap();
    assert!(yard.files().is_empty());
    marker::release(&inbox, ME, &task("t")).unwrap();
}
