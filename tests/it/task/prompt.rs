//! The one line that tells an agent of its task.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use claude_failover::task::prompt::{DEFAULT, Facts, Template};
use expect_test::expect;

fn line(template: &str, title: &str, path: impl AsRef<OsStr>) -> String {
    Template::parse(template).unwrap().line(&Facts {
        id: &"t-1".parse().unwrap(),
        title,
        path: Path::new(path.as_ref()),
        done: Path::new("/run/d/agent-done-s1"),
        failed: Path::new("/run/d/agent-failed-s1"),
    })
}

#[test]
fn the_default_tells_all_that_an_agent_needs() {
    expect!["Do the task t-1 (Mend it): read the file /srv/p/.agent-queue/inbox/t-1.md and carry out all that it asks for. When everything is done, run: touch /run/d/agent-done-s1 - or, if it cannot be done, write why, in one line, to /run/d/agent-failed-s1"].assert_eq(&line(DEFAULT, "Mend it", "/srv/p/.agent-queue/inbox/t-1.md"));
}

#[test]
fn what_stands_in_a_place_is_no_template() {
    let text = line("do {title} {path} {done} {failed} }", "{path} {nothing} {", "/a/{done}");
    assert_eq!(
        text,
        "do {path} {nothing} { '/a/{done}' /run/d/agent-done-s1 /run/d/agent-failed-s1 }"
    );
}

#[test]
fn whatever_the_facts_hold_it_is_one_line() {
    let long = "x".repeat(300);
    let titles = ["a\nb\r\u{1b}[2J\u{2028}c", "", &long];
    let paths: [&[u8]; 3] = [b"/a\nb", b"/\xff\x1b'\\$(x)", "/\u{2028}\u{85}é".as_bytes()];
    for title in titles {
        for path in paths {
            let text = line(DEFAULT, title, OsStr::from_bytes(path));
            let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            assert!(!text.chars().any(is_odd), "{text:?}");
            assert!(text.len() < 800, "{text}");
        }
    }
}

/// A shell reads the word as the path that it stands for.
#[test]
fn paths_are_words_of_a_shell() {
    let paths: [&[u8]; 9] = [
        b"/srv/a-b_c.d/x",
        b"/with space",
        b"/it's",
        b"/$HOME/`id`/\"x\"/a;b&c|d<e>f(g)*?[h]{i}~!#\\",
        b"/a\nb\tc\x7f",
        b"/\xff\xfe'",
        "/grüße 世界".as_bytes(),
        "/a\u{2028}b".as_bytes(),
        b"/back\\slash",
    ];
    for path in paths {
        let text = line("x {path} {done} {failed}", "", OsStr::from_bytes(path));
        let word =
            &text["x ".len()..text.len() - " /run/d/agent-done-s1 /run/d/agent-failed-s1".len()];
        let output = std::process::Command::new("bash")
            .args(["-c", &format!("printf %s {word}")])
            .output()
            .unwrap();
        assert_eq!(output.stdout, path, "{word}");
    }
    assert!(line(DEFAULT, "t", "/srv/p/x.md").contains("the file /srv/p/x.md and"));
}

#[test]
fn a_line_that_would_not_serve_is_refused() {
    let mut told = String::new();
    let rest = "{path} {done} {failed}";
    for text in [
        "".to_owned(),
        "do it".to_owned(),
        "do {path} {done}".to_owned(),
        "do {path} {failed}".to_owned(),
        "do {done} {failed}".to_owned(),
        format!("do {{name}} {rest}"),
        format!("do {{ {rest}"),
        format!("do {{PATH}} {rest}"),
        format!("do\n{rest}"),
        format!("do {rest} "),
        format!(" do {rest}"),
        format!("do \u{1b} {rest}"),
        format!("-p {rest}"),
        format!("/clear {rest}"),
        format!("!ls {rest}"),
        format!("#note {rest}"),
        format!("@file {rest}"),
        format!("& {rest}"),
        format!("{{title}} {rest}"),
        format!("do {rest} {}", "x".repeat(2_000)),
    ] {
        let why = Template::parse(&text).expect_err(&text);
        let shown: String = text.chars().take(40).collect();
        told.push_str(&format!("{shown:?}\n  {why}\n"));
    }
    expect![[r##"
        ""
          the line has no {path}, which an agent must be told: add it
        "do it"
          the line has no {path}, which an agent must be told: add it
        "do {path} {done}"
          the line has no {failed}, which an agent must be told: add it
        "do {path} {failed}"
          the line has no {done}, which an agent must be told: add it
        "do {done} {failed}"
          the line has no {path}, which an agent must be told: add it
        "do {name} {path} {done} {failed}"
          "{name}" is no place: the places are {id}, {title}, {path}, {done}, {failed}
        "do { {path} {done} {failed}"
          "{ {path}" is no place: the places are {id}, {title}, {path}, {done}, {failed}
        "do {PATH} {path} {done} {failed}"
          "{PATH}" is no place: the places are {id}, {title}, {path}, {done}, {failed}
        "do\n{path} {done} {failed}"
          the line holds a line break or another control character, or begins or ends with a space: write one plain line
        "do {path} {done} {failed} "
          the line holds a line break or another control character, or begins or ends with a space: write one plain line
        " do {path} {done} {failed}"
          the line holds a line break or another control character, or begins or ends with a space: write one plain line
        "do \u{1b} {path} {done} {failed}"
          the line holds a line break or another control character, or begins or ends with a space: write one plain line
        "-p {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "/clear {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "!ls {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "#note {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "@file {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "& {path} {done} {failed}"
          the client reads a line that begins with - / ! # @ or & as something else than a prompt: begin with a word
        "{title} {path} {done} {failed}"
          what stands in a place could begin with anything: begin with a word
        "do {path} {done} {failed} xxxxxxxxxxxxxx"
          the line has more than 2000 characters: write less
    "##]].assert_eq(&told);
    assert!(Template::parse(&format!("do {rest} {}", "x".repeat(1_900))).is_ok());
}
