//! The built binary on a state directory, with the daemon's lock held or not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use claude_failover::core::durable::Durable;
use claude_failover::core::history::History;
use claude_failover::core::record::Record;
use claude_failover::journal::Journal;
use claude_failover::journal::reader::read;
use claude_failover::moment::Wall;

use super::missing::night;
use super::script::Script;
use crate::support::binary;

struct Place(tempfile::TempDir);

struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("cf-").tempdir().unwrap())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    /// With a compaction after each `every` records.
    fn write(&self, script: &Script, every: usize) -> Journal<Record> {
        let (mut journal, _) = Journal::open(&self.state()).unwrap();
        let mut state = Durable::default();
        for (count, (at, record)) in (1..).zip(&script.records) {
            journal.append(std::slice::from_ref(record), *at).unwrap();
            state.apply(record).unwrap();
            if count % every == 0 {
                let compacted = Record::Compacted { state: Box::new(state.clone()) };
                journal.compact(&compacted, *at).unwrap();
            }
        }
        journal
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.arg("history").args(args).env_clear().current_dir(self.0.path());
        let output = command.env("HOME", self.0.path()).output().unwrap();
        let here = self.0.path().to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(here, "DIR");
        Said { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
    }

    fn history(&self, args: &[&str]) -> Said {
        self.run(&[&["--state-dir", self.state().to_str().unwrap()], args].concat())
    }
}

#[test]
fn archives_and_journal_tell_one_history_while_the_daemon_holds_its_lock() {
    let place = Place::new();
    let script = night();
    let journal = place.write(&script, 10);
    let expected: String =
        script.entries().iter().map(claude_failover::cli::history::line::text).collect();
    let said = place.history(&[]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    assert_eq!(said.out, expected);
    assert!(fs::read_dir(place.state()).unwrap().count() > 4, "there are archives");
    drop(journal);
    assert_eq!(place.history(&[]).out, expected);

    // By the configuration, too.
    let config = place.0.path().join("config.yaml");
    let text =
        format!("accounts: [{{name: a, home: /a}}]\nstate_dir: {}\n", place.state().display());
    fs::write(&config, text).unwrap();
    let said = place.run(&["--config", config.to_str().unwrap()]);
    assert_eq!((said.code, said.out), (Some(0), expected), "{}", said.errors);
}

#[test]
fn some_of_it_can_be_asked_for() {
    let place = Place::new();
    let script = night();
    drop(place.write(&script, 1_000));
    let lines = |args: &[&str]| -> Vec<serde_json::Value> {
        let said = place.history(&[&["--json"], args].concat());
        assert_eq!(said.code, Some(0), "{}", said.errors);
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&[]);
    assert_eq!(all.len(), script.entries().len());
    assert_eq!(lines(&["--limit", "3"]), all[all.len() - 3..]);
    assert_eq!(lines(&["--limit", "0"]), all[..0]);
    let kinds = lines(&["--kind", "swap,parking"]);
    assert_eq!(kinds.len(), 4);
    assert!(kinds.iter().all(|entry| entry["kind"] == "swap" || entry["kind"] == "parking"));
    let backup = lines(&["--account", "backup"]);
    let told: Vec<_> = backup.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(told, ["hold", "release", "swap", "swap"]);
    // The night was years ago or is to come; what goes on is told whenever it began.
    let (last, _) = script.records.last().unwrap();
    let later = lines(&["--since", &Wall(last.0 + 1_000).to_string()]);
    assert!(!later.is_empty() && later.len() < all.len());
    assert!(later.iter().any(|entry| entry["outcome"] == "stuck"));
    assert!(later.iter().all(|entry| entry["kind"] != "start"));
}

#[test]
fn a_journal_cut_at_any_byte_tells_the_beginning_of_the_same_history() {
    let place = Place::new();
    drop(place.write(&night(), 20));
    let path = place.state().join("journal");
    let log = fs::read(&path).unwrap();
    let told = || {
        let mut history = History::default();
        read::<Record>(&place.state(), &mut |found| {
            let entry = found.expect("nothing is left out");
            history.take(entry.seq, entry.at, &entry.record);
        })
        .unwrap();
        let entries = history.into_entries();
        entries.iter().map(|entry| (entry.seq, entry.kind().word())).collect::<Vec<_>>()
    };
    let whole = told();
    for length in 0..log.len() {
        fs::write(&path, &log[..length]).unwrap();
        let part = told();
        assert!(whole.starts_with(&part) && !part.is_empty(), "cut at byte {length}");
    }
}

#[test]
fn nothing_is_said_to_be_nothing() {
    let place = Place::new();
    let said = place.history(&[]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(
        said.errors.contains("no history: nothing is in a journal in DIR/state"),
        "{}",
        said.errors
    );
    assert!(!place.state().exists());
    drop(place.write(&Script::new(), 1_000));
    let said = place.history(&["--kind", "swap"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(said.errors.contains("nothing of what was asked for"), "{}", said.errors);
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    let place = Place::new();
    drop(place.write(&night(), 10));
    for args in [
        &["--since", "yesterday"][..],
        &["--kind", "swop"],
        &["--account", "a b"],
        &["--limit", "-1"],
        &["more"],
    ] {
        let said = place.history(args);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{args:?}");
    }
    let said = place.run(&["--config", "missing.yaml"]);
    assert_eq!(said.code, Some(78), "{}", said.errors);
    let said = place.run(&["--state-dir", "state/lock"]);
    assert_eq!(said.code, Some(74), "{}", said.errors);
    assert!(said.errors.contains("is no directory"), "{}", said.errors);

    let journal = place.state().join("journal");
    let json = r#"{"v":2}"#;
    let newer = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    let log = fs::read(&journal).unwrap();
    fs::write(&journal, [log.as_slice(), newer.as_bytes()].concat()).unwrap();
    let said = place.history(&[]);
    assert_eq!((said.code, said.out.as_str()), (Some(78), ""));
    assert!(said.errors.contains("newer version"), "{}", said.errors);

    // Damage is told, and the rest is history all the same.
    let mut damaged = log.clone();
    damaged[12] ^= 1;
    fs::write(&journal, damaged).unwrap();
    let said = place.history(&[]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("swap 1 "), "{}", said.out);
    let warning = "warning: DIR/state/journal line 1 is left out: its checksum is wrong";
    assert!(said.errors.starts_with(warning), "{}", said.errors);
}
