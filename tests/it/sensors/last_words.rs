//! What a conversation's file holds, asked for by its id.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use claude_failover::core::action::OrderId;
use claude_failover::core::event::{Event, LastWords};
use claude_failover::moment::Wall;
use claude_failover::watcher::Order;

use crate::sensors::stage::{NEVER, Stage, id};

const PROMPT: &str = r#"{"type":"user","timestamp":"2026-11-22T18:00:01Z","isSidechain":false,"message":{"content":"go"}}"#;
const SUBAGENT: &str = r#"{"type":"user","timestamp":"2026-11-22T18:00:09Z","isSidechain":true,"message":{"content":"go"}}"#;
const CALL: &str = r#"{"type":"assistant","timestamp":"2026-11-22T18:00:03Z","message":{"model":"m","content":[{"type":"tool_use"}]}}"#;
const REFUSAL: &str = r#"{"type":"assistant","timestamp":"2026-11-22T18:00:04Z","message":{"model":"<synthetic>","content":[{"type":"text","text":"You've hit your weekly limit"}]},"error":"rate_limit","isApiErrorMessage":true,"apiErrorStatus":429}"#;

fn said(text: &str) -> String {
    format!(
        r#"{{"type":"assistant","timestamp":"2026-11-22T18:00:02Z","message":{{"model":"m","content":[{{"type":"text","text":"{text}"}}]}}}}"#
    )
}

/// A line that says nothing, of so many bytes.
fn noise(bytes: usize) -> String {
    format!(r#"{{"type":"attachment","text":"{}"}}"#, "n".repeat(bytes))
}

fn file(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl Stage {
    /// Both homes share their `projects`, in which there is a directory of `/srv/work`.
    fn library() -> Self {
        let stage = Stage::new(NEVER);
        fs::create_dir_all(stage.path("projects/-srv-work")).unwrap();
        for home in ["a", "b"] {
            symlink(stage.path("projects"), stage.path(home).join("projects")).unwrap();
        }
        stage
    }

    fn shelf(&self, slug: &str) -> PathBuf {
        self.path("projects").join(slug).join(format!("{}.jsonl", id(1)))
    }

    #[track_caller]
    fn last_words(&self, account: &str) -> Result<Option<Box<LastWords>>, String> {
        let order = OrderId(7);
        let ask = Order::ReadConversation {
            order,
            session: "one".parse().unwrap(),
            conversation: id(1).parse().unwrap(),
            account: account.parse().unwrap(),
            cwd: "/srv/work".into(),
        };
        self.watcher.order(ask).unwrap();
        self.next("an answer", |event| match event {
            Event::ConversationRead { order: answered, session, result } => {
                assert_eq!((answered, session.as_str()), (order, "one"));
                Some(result)
            }
            _ => None,
        })
    }
}

#[test]
fn a_conversation_is_read_to_its_end_from_any_account() {
    let stage = Stage::library();
    let words = said("All is done.");
    let lines = [PROMPT, &words, CALL, REFUSAL, SUBAGENT];
    fs::write(stage.shelf("-srv-work"), file(&lines)).unwrap();
    for account in ["a", "b"] {
        let words = stage.last_words(account).unwrap().expect("a conversation");
        assert_eq!(words.text.as_deref(), Some("All is done."));
        assert_eq!(words.ending.prompted_at, Some(Wall(1_795_370_401_000)));
        assert_eq!(words.ending.answered_at, Some(Wall(1_795_370_403_000)));
        assert!(words.ending.error.expect("a refusal").reading.verdict.is_exhaustion());
    }
    fs::write(stage.shelf("-srv-work"), file(&[PROMPT])).unwrap();
    let words = stage.last_words("a").unwrap().expect("a conversation");
    assert_eq!((words.text, words.ending.answered_at), (None, None));
}

#[test]
fn a_conversation_begun_elsewhere_is_found() {
    let stage = Stage::library();
    let elsewhere = stage.shelf("-srv-other");
    fs::create_dir(elsewhere.parent().unwrap()).unwrap();
    fs::write(&elsewhere, file(&[PROMPT, &said("there")])).unwrap();
    fs::write(stage.path("projects/stray file"), "").unwrap();
    let words = stage.last_words("a").unwrap().expect("a conversation");
    assert_eq!(words.text.as_deref(), Some("there"));
}

#[test]
fn nothing_has_arrived_where_no_prompt_of_the_main_chain_stands() {
    let stage = Stage::library();
    assert_eq!(stage.last_words("a"), Ok(None), "no file");
    for lines in [&[][..], &[r#"{"type":"mode","mode":"normal"}"#, SUBAGENT, CALL]] {
        fs::write(stage.shelf("-srv-work"), file(lines)).unwrap();
        assert_eq!(stage.last_words("a"), Ok(None), "{lines:?}");
    }
}

#[test]
fn what_nobody_can_know_is_an_error_that_names_the_path() {
    let stage = Stage::library();
    let error = stage.last_words("nobody").unwrap_err();
    assert!(error.contains("account nobody is not configured"), "{error}");

    let shelf = stage.shelf("-srv-work");
    fs::write(&shelf, &PROMPT[..PROMPT.len() - 9]).unwrap();
    let error = stage.last_words("a").unwrap_err();
    assert!(error.contains("unfinished line"), "{error}");
    assert!(error.contains(&*id(1)), "{error}");

    let mut large = fs::File::create(&shelf).unwrap();
    large.write_all(file(&[PROMPT]).as_bytes()).unwrap();
    for _ in 0..65 {
        large.write_all(file(&[&noise(1 << 20)]).as_bytes()).unwrap();
    }
    drop(large);
    let error = stage.last_words("a").unwrap_err();
    assert!(error.contains("no prompt in its last 64 MiB"), "{error}");

    fs::remove_file(&shelf).unwrap();
    if fs::metadata(stage.path("projects")).unwrap().uid() != 0 {
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(stage.path("projects/-srv-work"), closed).unwrap();
        assert!(stage.last_words("a").unwrap_err().contains("-srv-work"));
        let open = fs::Permissions::from_mode(0o700);
        fs::set_permissions(stage.path("projects/-srv-work"), open).unwrap();
    }
    symlink(&shelf, &shelf).unwrap();
    let error = stage.last_words("a").unwrap_err();
    assert!(error.contains(&*id(1)), "a circle is no absence: {error}");
    fs::remove_dir_all(stage.path("projects")).unwrap();
    let error = stage.last_words("a").unwrap_err();
    assert!(error.contains("projects"), "{error}");
}

#[test]
fn long_files_and_lines_and_texts_are_read() {
    let stage = Stage::library();
    let long = format!("{} the very end", "é".repeat(9_000));
    let lines = [&noise(17 << 20), PROMPT, &noise(3 << 20), &said(&long), &noise(9 << 20)];
    fs::write(stage.shelf("-srv-work"), file(&lines)).unwrap();
    let words = stage.last_words("a").unwrap().expect("a conversation");
    let text = words.text.expect("a text");
    assert_eq!(text.chars().count(), 2_000);
    assert!(text.ends_with("é the very end"));
    assert!(words.ending.prompted_at.is_some());
}
