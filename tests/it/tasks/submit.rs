//! `submit`: a file in the inbox, whole, by the rules, or a reason and no file.

use claude_failover::task::{Priority, front_matter};
use expect_test::expect;

use crate::tasks::{Place, task};

#[test]
fn its_name_is_all_that_it_prints_and_the_text_is_what_was_given() {
    let place = Place::new();
    let body: Vec<u8> = (0..=255).collect();
    let said = place.run(&["submit", "--project", "shop", "--id", "t-1"], &body);
    assert_eq!((said.code, said.out.as_str(), said.errors.as_str()), (Some(0), "shop:t-1\n", ""));
    assert_eq!(place.read("shop/inbox/t-1.md"), body);
    assert_eq!(place.names("shop/inbox"), ["t-1.md"]);

    std::fs::write(place.at("task.md"), "---\npriority: low\nowner: me\n---\nDo it.\n").unwrap();
    let said = place.run(&["submit", "--project", "web", "--id", "t-2", "task.md"], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "web:t-2\n"));
    assert_eq!(said.errors, "kept, but without a meaning here: owner\n");
    assert_eq!(place.read("web/inbox/t-2.md"), std::fs::read(place.at("task.md")).unwrap());
}

#[test]
fn options_become_front_matter_that_reads_back() {
    let place = Place::new();
    let args = [
        "submit",
        "--project",
        "shop",
        "--title",
        "Mend \"the\" roof\n---\n# now",
        "--priority",
        "critical",
        "--model",
        "opus",
        "--depends-on",
        "web:a",
        "--depends-on",
        "shop:b",
        "--tag",
        "roof",
        "--tag",
        "a, b",
        "--timeout",
        "90m",
        "--not-before",
        "2027-01-31T18:00:00Z",
        "-",
    ];
    let said = place.run(&args, b"Do it.\n");
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    let name = said.out.strip_prefix("shop:").unwrap().trim_end();
    assert!(name.contains("-mend-the-roof-now-"), "{name}");
    let bytes = place.read(&format!("shop/inbox/{name}.md"));
    expect![[r#"
        ---
        title: "Mend \"the\" roof\n---\n# now"
        priority: "critical"
        model: "opus"
        timeout: "90m"
        not_before: "2027-01-31T18:00:00Z"
        depends_on: ["web:a", "shop:b"]
        tags: ["roof", "a, b"]
        ---
        Do it.
    "#]]
    .assert_eq(std::str::from_utf8(&bytes).unwrap());
    let spec = front_matter::read(&name.parse().unwrap(), &bytes).unwrap();
    assert_eq!(
        (spec.title.as_str(), spec.priority),
        ("Mend \"the\" roof --- # now", Priority::Critical)
    );
    assert_eq!(spec.depends_on, [task("web:a"), task("shop:b")]);
}

#[test]
fn what_would_only_fail_later_is_refused_now() {
    let place = Place::new();
    place.put("web/inbox/taken.md", "x");
    place.put("web/inbox/marked.md.dispatched", "");
    std::fs::write(place.at("projects/file"), "").unwrap();
    let mut told = String::new();
    let cases: [(&[&str], &str); 14] = [
        (&["--project", "none"], "x"),
        (&["--project", "file"], "x"),
        (&["--project", "shop"], " \n"),
        (&["--project", "shop", "absent.md"], ""),
        (&["--project", "shop", "--title", "t"], "---\npriority: low\n---\nx"),
        (&["--project", "shop", "--title", "t"], "---\nno end"),
        (&["--project", "shop"], "---\npriority: urgent\n---\nx"),
        (&["--project", "shop", "--priority", "urgent"], "x"),
        (&["--project", "shop", "--timeout", "5"], "x"),
        (&["--project", "shop", "--not-before", "monday"], "x"),
        (&["--project", "shop", "--model", "opus 5"], "x"),
        (&["--project", "web", "--id", "taken"], "x"),
        (&["--project", "web", "--id", "marked"], "x"),
        (&["--project", "shop"], &"x".repeat(2049)),
    ];
    for (args, body) in cases {
        let said = place.run(&[&["submit"], args].concat(), body.as_bytes());
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{args:?} {}", said.errors);
        told.push_str(&format!("{}\n  {}", args.join(" "), said.errors));
    }
    expect![[r#"
        --project none
          not submitted: there is no project none in DIR/projects: make its directory first
        --project file
          not submitted: DIR/projects/file is no directory (links are refused): remove it
        --project shop
          not submitted: the text is empty: say what is to be done
        --project shop absent.md
          not submitted: failed to open file `absent.md`: No such file or directory (os error 2)
        --project shop --title t
          not submitted: the text has a front matter of its own: write there what the options say, or take it out
        --project shop --title t
          not submitted: the text has a front matter of its own: write there what the options say, or take it out
        --project shop
          not submitted: priority: the text "urgent" is no priority: write critical, high, default or low
        --project shop --priority urgent
          not submitted: priority: the text "urgent" is no priority: write critical, high, default or low
        --project shop --timeout 5
          not submitted: timeout: the text "5" is not understood: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
        --project shop --not-before monday
          not submitted: not_before: the text "monday" is no moment: write it as 2027-01-31T18:00:00Z or with +01:00 for Z
        --project shop --model opus 5
          not submitted: model: the text "opus 5" is no model: write one word, for example opus
        --project web --id taken
          not submitted: a task web:taken is in the inbox already: choose another id
        --project web --id marked
          not submitted: a task web:marked is in the inbox already: choose another id
        --project shop
          not submitted: it has more than dispatcher.max_bytes (2048)
    "#]].assert_eq(&told);
    assert_eq!(place.names("shop/inbox"), Vec::<String>::new());
    assert_eq!(place.names("web/inbox"), ["marked.md.dispatched", "taken.md"]);
}

#[test]
fn a_link_in_the_place_of_a_queue_is_not_followed() {
    let place = Place::new();
    std::fs::create_dir(place.at("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.at("elsewhere"), place.projects().join("shop/.agent-queue"))
        .unwrap();
    let said = place.run(&["submit", "--project", "shop"], b"x");
    assert_eq!(said.code, Some(64));
    assert!(said.errors.contains("links are refused"), "{}", said.errors);
    assert_eq!(std::fs::read_dir(place.at("elsewhere")).unwrap().count(), 0);
}

/// Only root can make what belongs to somebody else; elsewhere there is nothing to try.
#[test]
fn a_user_whose_tasks_would_not_be_taken_is_told_so() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.at("state")).unwrap();
    std::os::unix::fs::chown(place.at("state"), Some(12_345), None).unwrap();
    let said = place.run(&["submit", "--project", "shop"], b"x");
    assert_eq!(said.code, Some(64));
    assert!(said.errors.contains("run this as user 12345, or add 0 to"), "{}", said.errors);
    place.put("shop/inbox/t.md", "x");
    let said = place.run(&["tasks", "cancel", "shop:t"], b"");
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("belongs to user 12345"), "{}", said.errors);
    assert_eq!(place.names("shop/inbox"), ["t.md"]);
}
