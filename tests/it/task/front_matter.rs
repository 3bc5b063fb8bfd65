//! What the head of a task file may say, and the words with which the rest is refused.

use std::time::Duration;

use arbtest::arbtest;
use claude_failover::ids::TaskId;
use claude_failover::moment::Wall;
use claude_failover::task::{Priority, TaskSpec, front_matter};
use expect_test::expect;

fn read(bytes: impl AsRef<[u8]>) -> Result<TaskSpec, String> {
    let id: TaskId = "t-1".parse().unwrap();
    front_matter::read(&id, bytes.as_ref())
}

/// The task whose front matter is this one line.
fn with(line: &str) -> Result<TaskSpec, String> {
    read(format!("---\n{line}\n---\nbody\n"))
}

fn defaults() -> TaskSpec {
    read("no front matter").unwrap()
}

#[test]
fn every_key_is_read() {
    let spec = read(
        "---
title: Mend the roof
priority: critical
tags: [roof, \"2\"]
needs_claude_code: false
model: opus[1m]
depends_on: [website:a-1, shop:b.2]
timeout: 1h30m
attempts: 5
not_before: 2027-01-31T19:00:00+01:00
owner: me
---
body",
    )
    .unwrap();
    assert_eq!(
        spec,
        TaskSpec {
            title: "Mend the roof".to_owned(),
            priority: Priority::Critical,
            tags: vec!["roof".to_owned(), "2".to_owned()],
            needs_claude_code: false,
            model: Some("opus[1m]".to_owned()),
            depends_on: vec!["website:a-1".parse().unwrap(), "shop:b.2".parse().unwrap()],
            timeout: Some(Duration::from_secs(5400)),
            attempts: 5,
            not_before: Some(Wall(1_801_418_400_000)),
            unknown_keys: vec!["owner".to_owned()],
        }
    );
}

#[test]
fn a_file_that_says_nothing_is_a_task() {
    let expected = defaults();
    assert_eq!(expected.title, "t-1");
    assert_eq!((expected.priority, expected.attempts), (Priority::Default, 3));
    assert!(expected.needs_claude_code);
    for text in [
        "",
        "\n---\npriority: low\n---\n",
        " ---\npriority: low\n---\n",
        "--- x\n",
        "----\n",
        "---\n---",
        "---\n---\n",
        "---\r\n---\r\nbody",
        "\u{feff}---\n# nothing\n---\nbody",
        "---\ntitle:\npriority: null\ntags: ~\n---\n",
        "---\ntitle: \" \\t \"\n---\n",
        "---\nresult: {outcome: failed}\n---\n",
    ] {
        assert_eq!(read(text), Ok(expected.clone()), "{text:?}");
    }
}

#[test]
fn line_breaks_of_dos_a_byte_order_mark_and_any_body_are_taken() {
    let mut file = b"\xef\xbb\xbf---\r\ntitle: T\r\npriority: high\r\n--- \t\r\n".to_vec();
    file.extend(0..=255);
    let spec = read(file).unwrap();
    assert_eq!((spec.title.as_str(), spec.priority), ("T", Priority::High));
}

#[test]
fn titles_and_tags_are_made_harmless() {
    let title = |line: &str| with(line).unwrap().title;
    assert_eq!(title(r#"title: "a\nb\e[31m""#), "a b [31m");
    assert_eq!(title("title: |\n  two\n  lines"), "two lines");
    let long = title(&format!("title: {}", "ä".repeat(300)));
    assert_eq!((long.chars().count(), long.ends_with('…')), (200, true));
    let tags = with(&format!("tags: [\"a\\nb\", \"\", {}]", "x".repeat(90))).unwrap().tags;
    assert_eq!((tags[0].as_str(), tags[1].chars().count(), tags.len()), ("a b", 64, 2));
    assert_eq!(with("tags: one").unwrap().tags, ["one"]);
    assert_eq!(with("depends_on: a:b").unwrap().depends_on.len(), 1);
}

#[test]
fn what_is_malformed_is_told_with_its_key_and_a_remedy() {
    let mut told = String::new();
    for line in [
        "title: 2027",
        "title: [a]",
        "priority: urgent",
        "priority: 1",
        "tags: {a: b}",
        "tags: [1]",
        "needs_claude_code: no",
        "model: opus 5",
        "model: -x",
        r#"model: "a\u202eb""#,
        "depends_on: [b]",
        "depends_on: [\"a:../b\"]",
        "depends_on: [5]",
        "timeout: 90",
        "timeout: 0s",
        "timeout: 31d",
        "attempts: 0",
        "attempts: three",
        "not_before: tomorrow",
        "not_before: 2027-01-31",
        "priority: low\npriority: low",
        "priority: [low",
        "title: a\n\tb: c",
        "- a",
        "just text",
        "x: !run y",
        "a: 1\n...\nb: 2",
    ] {
        let why = with(line).expect_err(line);
        assert!(!why.contains('\n'), "{why}");
        told.push_str(&format!("{line:?}\n  {why}\n"));
    }
    expect![[r#"
        "title: 2027"
          title: expected text, got the number 2027: put it in quotes
        "title: [a]"
          title: expected text, got a list
        "priority: urgent"
          priority: the text "urgent" is no priority: write critical, high, default or low
        "priority: 1"
          priority: the number 1 is no priority: write critical, high, default or low
        "tags: {a: b}"
          tags: expected text, got a mapping
        "tags: [1]"
          tags: expected text, got the number 1: put it in quotes
        "needs_claude_code: no"
          needs_claude_code: expected true or false, got the text "no"
        "model: opus 5"
          model: the text "opus 5" is no model: write one word, for example opus
        "model: -x"
          model: "-x" is no model: it must not begin with -
        "model: \"a\\u202eb\""
          model: control characters are not allowed: the text "a\u{202e}b"
        "depends_on: [b]"
          depends_on: "b" is not a valid task reference: a project, ':' and a task id
        "depends_on: [\"a:../b\"]"
          depends_on: "../b" is not a valid task id: at most 128 of letters, digits, '.', '_' and '-', not beginning with '.' or '-'
        "depends_on: [5]"
          depends_on: expected text, got the number 5: put it in quotes
        "timeout: 90"
          timeout: the number 90 has no unit: write a whole number with its unit (ms, s, m, h, d), for example 500ms, 30s or 1h30m
        "timeout: 0s"
          timeout: 0s is out of range: 1s to 30d
        "timeout: 31d"
          timeout: 31d is out of range: 1s to 30d
        "attempts: 0"
          attempts: 0 is out of range: 1 to 100
        "attempts: three"
          attempts: expected a whole number, got the text "three"
        "not_before: tomorrow"
          not_before: the text "tomorrow" is no moment: write it as 2027-01-31T18:00:00Z or with +01:00 for Z
        "not_before: 2027-01-31"
          not_before: the text "2027-01-31" is no moment: write it as 2027-01-31T18:00:00Z or with +01:00 for Z
        "priority: low\npriority: low"
          priority: this key is given twice: remove one of them
        "priority: [low"
          the front matter cannot be read as YAML: did not find expected ',' or ']' at line 3 column 1, while parsing a flow sequence at line 2 column 11
        "title: a\n\tb: c"
          the front matter cannot be read as YAML: found a tab character that violates indentation at line 3 column 1, while scanning a plain scalar at line 2 column 8
        "- a"
          the front matter is no mapping (key: value) but a list
        "just text"
          the front matter is no mapping (key: value) but the text "just text"
        "x: !run y"
          the front matter cannot be read as YAML: x: a tag (!name) has no meaning here: remove it at line 2 column 4
        "a: 1\n...\nb: 2"
          the front matter cannot be read as YAML: deserializing from YAML containing more than one document is not supported
    "#]].assert_eq(&told);
}

#[test]
fn too_much_is_refused() {
    let many = vec!["a:b"; 65].join(",");
    assert_eq!(
        with(&format!("depends_on: [{many}]")),
        Err("depends_on: 65 items: at most 64".to_owned())
    );
    assert!(with(&format!("model: {}", "m".repeat(129))).is_err());
    let long = with(&format!("depends_on: [{}]", "x".repeat(20_000))).unwrap_err();
    assert!(long.chars().count() <= 500, "{long}");

    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let item = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{item}]\n"));
    }
    for head in [
        bomb,
        format!("a: {}", "[".repeat(10_000)),
        "- ".repeat(10_000),
        "a:\n".repeat(20_000),
        (0..12_000).map(|at| format!("{at}:\n")).collect(),
    ] {
        assert!(with(&head).is_err());
    }
    let no_end = "the front matter has more than 65536 bytes, or no end: close it with a line --- \
                  and write what is long below it";
    assert_eq!(with(&format!("# {}", "x".repeat(65_536))), Err(no_end.to_owned()));
    // The line that ends it must be seen whole.
    let cut = format!("---\n#{}\n---more\n---\n", "x".repeat(65_536 - 9));
    assert_eq!(read(&cut[..]), Err(no_end.to_owned()));
    assert!(read("---\ntitle: x\n").unwrap_err().contains("has no end"));
    assert!(read(b"---\ntitle: x\nb: \xff\n---\n").unwrap_err().starts_with("line 3 "));
}

#[test]
fn unknown_keys_are_listed_within_bounds() {
    let spec = with("\"a\\nb\": 1\n7: x").unwrap();
    assert_eq!(spec.unknown_keys, ["a b", "7"]);
    let many: String = (0..100).map(|at| format!("key{at}: 1\n")).collect();
    assert_eq!(with(&many).unwrap().unknown_keys.len(), 32);
}

/// No bytes make it panic, and each refusal is one line.
#[test]
fn any_bytes_are_a_task_or_have_a_reason() {
    let pieces: [&[u8]; 24] = [
        b"---\n",
        b"---\r\n",
        b"\xef\xbb\xbf",
        b"title: ",
        b"a",
        b"\n",
        b"priority: low\n",
        b"&a ",
        b"*a",
        b"[",
        b"]",
        b"{",
        b"}",
        b"- ",
        b": ",
        b"\"",
        b"'",
        b"|\n",
        b"\xff",
        b"\0",
        b"...\n",
        b"tags: [x]\n",
        b"? ",
        b"!x ",
    ];
    let refusals = std::cell::Cell::new(0);
    arbtest(|u| {
        let mut file = b"---\n".to_vec();
        for _ in 0..u.int_in_range(0..=20)? {
            file.extend(*u.choose(&pieces)?);
        }
        if let Err(why) = read(&file) {
            assert!(!why.is_empty() && !why.chars().any(char::is_control), "{why:?}");
            refusals.set(refusals.get() + 1);
        }
        Ok(())
    })
    .budget_ms(500)
    .run();
    assert!(refusals.get() > 20, "{}", refusals.get());
}
