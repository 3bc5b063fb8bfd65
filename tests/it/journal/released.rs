//! Journals that released versions wrote: each is read for ever, to the state that it meant.
//!
//! `tests/it/fixtures/journals/<version>` holds some, every kind of record among them, each with the
//! state that it leaves; `tests/sim/journals.rs` makes those of a release. Once a version is out its
//! fixtures stay as they are. Records may gain fields with a default; a new kind, or a new meaning,
//! needs another `journal::line::VERSION`, or the version before would take it for a file of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_failover::core::durable::Durable;
use claude_failover::core::record::Record;
use claude_failover::journal::Journal;
use claude_failover::moment::Wall;
use serde_json::Value;

use super::State;
use crate::support::{binary, journal_records};

/// The version whose fixtures have every kind that is written today.
const LATEST: &str = "0.1.0";

struct Fixture {
    journal: PathBuf,
    state: Value,
}

fn fixtures_of(version: &Path) -> Vec<Fixture> {
    let paths = fs::read_dir(version).unwrap().map(|entry| entry.unwrap().path());
    let journals = paths.filter(|path| path.extension().is_some_and(|kind| kind == "journal"));
    journals
        .map(|journal| {
            let text = fs::read_to_string(journal.with_extension("state.json")).unwrap();
            Fixture { journal, state: serde_json::from_str(&text).unwrap() }
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/journals")
}

fn fixtures() -> Vec<Fixture> {
    let versions = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let fixtures: Vec<Fixture> = versions.flat_map(|version| fixtures_of(&version)).collect();
    assert!(!fixtures.is_empty());
    fixtures
}

/// What `meant` says and `found` does not. A later version may say more.
fn lost(meant: &Value, found: &Value, at: &str) -> Vec<String> {
    match (meant, found) {
        (Value::Object(meant), Value::Object(found)) => meant
            .iter()
            .flat_map(|(key, meant)| {
                let at = format!("{at}/{key}");
                match found.get(key) {
                    Some(found) => lost(meant, found, &at),
                    None => vec![format!("{at} is gone, it was {meant}")],
                }
            })
            .collect(),
        (Value::Array(meant), Value::Array(found)) if meant.len() == found.len() => meant
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(number, (meant, found))| lost(meant, found, &format!("{at}/{number}")))
            .collect(),
        _ if meant == found => Vec::new(),
        _ => vec![format!("{at} is {found}, it was {meant}")],
    }
}

impl State {
    fn of(fixture: &Fixture) -> Self {
        let state = Self::new();
        drop(state.open::<Record>().unwrap());
        fs::copy(&fixture.journal, state.journal()).unwrap();
        fs::set_permissions(state.journal(), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        state
    }

    fn folded(&self) -> (Journal<Record>, Durable) {
        let (journal, entries) = self.open::<Record>().unwrap();
        assert!(!entries.is_empty());
        let mut state = Durable::default();
        for entry in entries {
            state.apply(&entry.record).unwrap();
        }
        (journal, state)
    }
}

#[test]
fn the_journals_of_each_release_are_read_to_the_state_they_meant() {
    for fixture in fixtures() {
        let name = fixture.journal.display();
        let before = fs::read(&fixture.journal).unwrap();
        let state = State::of(&fixture);
        let (mut journal, folded) = state.folded();
        assert_eq!(fs::read(state.journal()).unwrap(), before, "{name}: to read changes nothing");
        let found = serde_json::to_value(&folded).unwrap();
        assert_eq!(lost(&fixture.state, &found, ""), Vec::<String>::new(), "{name}");
        // As it would stand in a journal that was compacted then.
        let meant: Durable = serde_json::from_value(fixture.state).unwrap();
        assert_eq!(meant, folded, "{name}");
        let compacted = Record::Compacted { state: Box::new(folded.clone()) };
        journal.compact(&compacted, Wall(1)).unwrap();
        drop(journal);
        assert_eq!(state.folded().1, folded, "{name}: compacted by this version");
    }
}

/// A kind that is missing here was added after them: it needs a format of its own, as above, and
/// fixtures that have it.
#[test]
fn the_latest_of_them_hold_every_kind_of_record() {
    let table = include_str!("../../../src/core/kind.rs");
    let names =
        table.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once("=> \""));
    let kinds: BTreeSet<String> = names.map(|(_, name)| name.to_owned()).collect();
    assert!(kinds.len() > 60, "the table was not understood: {kinds:?}");
    let mut seen = BTreeSet::new();
    for fixture in fixtures_of(&root().join(LATEST)) {
        let state = State::of(&fixture);
        let records = journal_records(state.path());
        seen.extend(records.iter().map(|(_, record)| record["type"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, kinds);
}

#[test]
fn the_verbs_that_tell_of_the_past_read_them_without_a_warning() {
    for fixture in fixtures() {
        let state = State::of(&fixture);
        for args in [&["history"][..], &["history", "--json"], &["why", "1"]] {
            let mut command = Command::new(binary());
            command.args(args).arg("--state-dir").arg(state.path()).env_clear();
            let output = command.env("HOME", state.path()).output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert!(!errors.contains("warning") && !errors.contains("line "), "{args:?}: {errors}");
            // One that ends before its first swap has none of that number.
            let well = output.status.code() == Some(0) || args[0] == "why" && !errors.is_empty();
            assert!(well, "{args:?}: {errors}");
        }
    }
}

#[test]
fn what_is_lost_is_found() {
    let meant = serde_json::json!({"a": [1, {"b": null}], "c": "x"});
    for (found, expected) in [
        (serde_json::json!({"a": [1, {"b": null, "new": 1}], "c": "x", "d": 1}), &[][..]),
        (serde_json::json!({"a": [1, {}], "c": "x"}), &["/a/1/b is gone, it was null"]),
        (
            serde_json::json!({"a": [], "c": "y"}),
            &["/a is [], it was [1,{\"b\":null}]", "/c is \"y\", it was \"x\""],
        ),
    ] {
        assert_eq!(lost(&meant, &found, ""), expected);
    }
}
