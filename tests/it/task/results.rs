//! Results in front matter: read again as written, and taken away without a trace.

use std::cell::Cell;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use claude_failover::ids::{TaskId, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::task::TaskResult;
use claude_failover::task::front_matter::{self, read, with_result, without_result};
use expect_test::expect;

fn task() -> TaskRef {
    "website:t-1".parse().unwrap()
}

fn id() -> TaskId {
    task().id
}

fn done() -> TaskResult {
    TaskResult {
        task: task(),
        done: true,
        reason: "signal".to_owned(),
        session: Some("ccl-auto-1".parse().unwrap()),
        account: Some("primary".parse().unwrap()),
        conversation: Some("0198c0de-0000-4000-8000-000000000001".parse().unwrap()),
        started: Some(Wall(1_795_361_004_000)),
        finished: Wall(1_795_361_064_000),
        attempts: 1,
        last_text: Some("All done.\n\"Quoted\" # ---".to_owned()),
    }
}

#[test]
fn a_result_is_added_below_what_the_author_wrote() {
    let file = "---\ntitle: T # mine\n---\nbody\n";
    let text = String::from_utf8(with_result(file.as_bytes(), &done())).unwrap();
    expect![[r#"
        ---
        title: T # mine
        # claude-failover: from here to the line of its end, added by it
        result:
          outcome: done
          reason: "signal"
          session: "ccl-auto-1"
          account: "primary"
          conversation: "0198c0de-0000-4000-8000-000000000001"
          started: "2026-11-22T15:23:24Z"
          finished: "2026-11-22T15:24:24Z"
          attempts: 1
          last_text: "All done.\n\"Quoted\" # ---"
        # claude-failover: end
        ---
        body
    "#]]
    .assert_eq(&text);
    assert_eq!(read(&id(), text.as_bytes()), read(&id(), file.as_bytes()));
}

#[test]
fn a_file_that_cannot_take_it_gets_it_above() {
    let failed = TaskResult {
        done: false,
        reason: "malformed: x".to_owned(),
        session: None,
        account: None,
        conversation: None,
        started: None,
        attempts: 0,
        last_text: None,
        ..done()
    };
    for file in ["body", "", "---\nresult: mine\n---\n", "---\n{title: x}\n---\n", "---\nno end"] {
        let text = String::from_utf8(with_result(file.as_bytes(), &failed)).unwrap();
        let expected = format!(
            "---\n# claude-failover: added above the file as it was\nresult:\n  outcome: failed\n  \
             reason: \"malformed: x\"\n  finished: \"2026-11-22T15:24:24Z\"\n  attempts: 0\n\
             # claude-failover: end\n---\n{file}"
        );
        assert_eq!(text, expected);
    }
}

#[test]
fn a_result_reads_back_and_its_texts_are_bounded() {
    let strange =
        "\u{0}\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\t\r\n\\\" 😀 ---\n# claude-failover: end";
    for reason in ["signal", strange, "", "yes", "5"] {
        let result =
            TaskResult { reason: reason.to_owned(), last_text: Some(strange.to_owned()), ..done() };
        for file in ["body", "---\npriority: low\n---\nbody"] {
            let file = with_result(file.as_bytes(), &result);
            assert_eq!(front_matter::result(&task(), &file).as_ref(), Some(&result));
        }
    }
    let long = TaskResult { last_text: Some("\u{1}".repeat(9_000)), ..done() };
    let file = with_result(b"---\npriority: low\n---\nbody", &long);
    let text = front_matter::result(&task(), &file).unwrap().last_text.unwrap();
    assert_eq!(text.chars().count(), 2_000);
    for file in ["body", "---\nresult: 5\n---\n", "---\nresult: {outcome: done}\n---\n", "---\n"] {
        assert_eq!(front_matter::result(&task(), file.as_bytes()), None, "{file:?}");
    }
}

/// Heads that are near to what we write ourselves, and everything that YAML could trip over.
const PIECES: [&str; 30] = [
    "---\n",
    "---\n",
    "---\n",
    "---\r\n",
    "---",
    "\u{feff}",
    "title: x\n",
    "title: |\n",
    "  more\n",
    "title: \"open\n",
    "{a: b}\n",
    "[a]\n",
    "priority: low",
    "\n",
    "\r\n",
    "...\n",
    "result: mine\n",
    "result:\n",
    "  outcome: done\n",
    "\"result\": 5\n",
    "# claude-failover: from here to the line of its end, added by it\n",
    "# claude-failover: added above the file as it was\n",
    "# claude-failover: end\n",
    " # claude-failover: end\n",
    "&a ",
    "*a",
    "!tag ",
    "? ",
    "\u{0}",
    "body",
];

fn file(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    if u.ratio(3, 4)? {
        file.extend(b"---\n");
    }
    for _ in 0..u.int_in_range(0..=14)? {
        if u.ratio(1, 12)? {
            file.push(u.arbitrary()?);
        } else {
            file.extend(u.choose(&PIECES)?.as_bytes());
        }
    }
    Ok(file)
}

#[test]
fn without_its_result_a_file_is_what_it_was() {
    let (cases, added) = (Cell::new(0_u64), Cell::new(0_u64));
    arbtest(|u| {
        let original = file(u)?;
        let mut file = original.clone();
        let times = u.int_in_range(1..=3)?;
        for _ in 0..times {
            let before = read(&id(), &file);
            file = with_result(&file, &done());
            let found = front_matter::result(&task(), &file);
            assert_eq!(found.as_ref(), Some(&done()), "{}", String::from_utf8_lossy(&file));
            if !file.starts_with(b"---\n# claude-failover: added above the file as it was\n") {
                assert_eq!(read(&id(), &file), before);
                added.set(added.get() + 1);
            }
        }
        for _ in 0..times {
            file = without_result(&file);
        }
        assert_eq!(file, original, "{}", String::from_utf8_lossy(&original));
        cases.set(cases.get() + 1);
        Ok(())
    })
    .size_min(8)
    .size_max(512)
    .budget_ms(1_500)
    .run();
    let (cases, added) = (cases.get(), added.get());
    assert!(cases >= 100 && added * 20 > cases, "{cases} files, {added} added to");
}

#[test]
fn a_head_at_its_limit_takes_no_more_and_is_left_whole() {
    for filler in [65_000, 65_520, 65_536, 70_000] {
        let file = format!("---\n#{}\n---\nbody", "x".repeat(filler));
        let with = with_result(file.as_bytes(), &done());
        assert_eq!(front_matter::result(&task(), &with), Some(done()));
        assert_eq!(without_result(&with), file.as_bytes());
    }
}
