//! `tasks list` and `tasks show`, from the files alone.

use std::fs;
use std::os::unix::fs::MetadataExt;

use expect_test::expect;
use serde_json::Value;

use crate::tasks::{Place, task};

/// Puts `name` at a moment after that of `earlier`: rows of one state are listed by their age, to the
/// millisecond, and the clock of a file system moves in steps of several.
fn put_after(place: &Place, earlier: &str, name: &str, text: &str) {
    let changed = |name: &str| {
        let meta = fs::metadata(place.file(name)).unwrap();
        (meta.ctime(), meta.ctime_nsec() / 1_000_000)
    };
    place.put(name, text);
    while changed(name) <= changed(earlier) {
        place.put(name, text);
    }
}

/// One task of each state.
fn place() -> Place {
    let place = Place::new();
    place.put("shop/inbox/ready.md", "---\ntitle: Mend \"it\"\n---\nx");
    place.put("shop/inbox/waits.md", "---\ndepends_on: [shop:ready, shop:was-done]\n---\nx");
    let ring = ["shop/inbox/ring.md", "web/inbox/ring.md"];
    put_after(&place, "shop/inbox/waits.md", ring[0], "---\ndepends_on: web:ring\n---\nx");
    put_after(&place, ring[0], ring[1], "---\ndepends_on: shop:ring\n---\nx");
    place.put("web/inbox/later.md", "---\nnot_before: 2100-01-01T00:00:00Z\n---\nx");
    place.put("web/inbox/other.md", "---\nneeds_claude_code: false\n---\nx");
    place.put("web/inbox/bad.md", "---\npriority: urgent\n---\nx");
    place.put("web/inbox/large.md", "x".repeat(3000));
    place.put("web/inbox/no id.md", "x");
    place.put("web/inbox/.hidden.md", "x");
    place.put("web/inbox/theirs.md", "---\ntitle: Theirs\n---\n");
    place.put("web/inbox/theirs.md.dispatched", "");
    for name in ["runs", "lost", "claimed"] {
        place.put(&format!("web/inbox/{name}.md"), format!("---\ntitle: It {name}\n---\n"));
        place.claim(&task(&format!("web:{name}")));
    }
    place.put(
        "web/status.json",
        r#"{"claude_failover": 1, "project": "web", "queued": {}, "tasks": [
            {"id": "runs", "title": "old", "state": "running", "session": "s", "account": "a",
             "conversation": null, "attempt": 2, "since": "2026-11-22T15:23:24Z", "reason": null},
            {"id": "lost", "title": "old", "state": "unknown", "session": "s", "account": null,
             "conversation": null, "attempt": 2, "since": "2026-11-22T15:23:24Z", "reason": "why"}]}"#,
    );
    for (name, done) in [("was-done", true), ("was-bad", false)] {
        place.put(&format!("shop/inbox/{name}.md"), "---\ntitle: Was\nresult: mine\n---\n");
        place.claim(&task(&format!("shop:{name}")));
        place.close(&task(&format!("shop:{name}")), done);
    }
    place
}

/// Without the ages, which pass.
fn table(place: &Place, args: &[&str]) -> String {
    let said = place.run(&[&["tasks"], args].concat(), b"");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    let mut text = String::new();
    for line in said.out.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        text.push_str(&format!("{} {} {}\n", words[0], words[1], words[3..].join(" ")));
    }
    text
}

#[test]
fn every_task_is_listed_with_its_state() {
    let place = place();
    expect![[r#"
        TASK STATE SESSION TRY TITLE
        web:lost unknown ccl-auto-1 2 It lost [why]
        shop:waits blocked - - waits [waits for shop:ready]
        shop:ring blocked - - ring [it waits for itself: shop:ring → web:ring → shop:ring]
        web:ring blocked - - ring [it waits for itself: web:ring → shop:ring → web:ring]
        web:runs running ccl-auto-1 2 It runs
        web:claimed claimed ccl-auto-1 2 It claimed
        shop:ready ready - - Mend "it"
        web:later later - - later [not before 2100-01-01T00:00:00Z]
        web:theirs foreign - - Theirs [its marker is not ours]
        web:other not_for_us - - other [needs_claude_code is false]
        web:bad malformed - - bad [priority: the text "urgent" is no priority: write critical, high, default or low]
        web:large refused - - large [3000 bytes, more than dispatcher.max_bytes (2048)]
        web:no id.md - - - [its name is no task id]
        shop:was-bad failed ccl-auto-1 2 Was [stalled]
        shop:was-done done ccl-auto-1 2 Was [signal]
    "#]].assert_eq(&table(&place, &[]));
    assert_eq!(table(&place, &["list"]), table(&place, &[]));
    assert_eq!(
        table(&place, &["list", "--state", "not_for_us"]),
        "TASK STATE SESSION TRY TITLE\nweb:other not_for_us - - other [needs_claude_code is false]\n"
    );
    let shop = table(&place, &["--project", "shop"]);
    assert!(shop.contains("shop:ready ready") && !shop.contains("web:later"), "{shop}");
    // Nothing was made, moved or marked on the way.
    assert!(!place.file("shop/status.json").exists());
    assert_eq!(place.names("shop/inbox"), ["ready.md", "ring.md", "waits.md"]);
}

#[test]
fn the_list_is_json_for_scripts() {
    let place = place();
    let said = place.run(&["tasks", "list", "--json", "--project", "shop"], b"");
    let rows: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let row = rows.iter().find(|row| row["task"] == "shop:was-bad").unwrap();
    assert_eq!(row["state"], "failed");
    assert_eq!(row["attempts"], 2);
    assert_eq!(row["since"], "2026-11-22T15:24:24Z");
    assert_eq!(row["path"], "DIR/projects/shop/.agent-queue/failed/was-bad.md");
    let none = Place::new();
    let said = none.run(&["tasks", "--json"], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "[]\n"));
    assert!(!none.at("state").exists(), "a list makes nothing");
}

#[test]
fn one_task_is_shown_with_all_that_is_known() {
    let place = place();
    let said = place.run(&["tasks", "show", "shop:was-done"], b"");
    assert_eq!(said.code, Some(0));
    expect![[r#"
        [
          {
            "task": "shop:was-done",
            "state": "done",
            "since": "2026-11-22T15:24:24Z",
            "session": "ccl-auto-1",
            "account": "a",
            "conversation": null,
            "attempts": 2,
            "title": "Was",
            "reason": "signal",
            "last_text": "What I did:\n\u001b[2Jall of it",
            "path": "DIR/projects/shop/.agent-queue/done/was-done.md"
          }
        ]
    "#]]
    .assert_eq(&said.out);
    let said = place.run(&["tasks", "show", "shop:nobody"], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert_eq!(said.errors, "there is no task shop:nobody in DIR/projects; tasks list names all\n");
}
