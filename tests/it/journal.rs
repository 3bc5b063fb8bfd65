//! The journal on a real file system: torn, damaged, full, contested and half compacted.

mod archive;
mod damage;
mod reader;
mod released;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use claude_failover::core::durable::Durable;
use claude_failover::core::event::AgentHome;
use claude_failover::core::record::{Record, SavedAgent};
use claude_failover::core::standing::{Limit, PlanWindow};
use claude_failover::core::trigger::{EvidenceSource, Trigger};
use claude_failover::ids::{OpId, ProcessRef};
use claude_failover::journal::error::JournalError;
use claude_failover::journal::line::{Entry, LINE_BYTES_MAX};
use claude_failover::journal::{COMPACT_MIN_BYTES, Journal};
use claude_failover::moment::Wall;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::child::in_a_child;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Fact {
    Said { text: String },
    Sum { count: u64 },
}

fn said(text: &str) -> Fact {
    Fact::Said { text: text.to_owned() }
}

/// The state directory of a test, for its child.
const STATE: &str = "CF_TEST_STATE";

/// A state directory of its own for one test.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("cf-").tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn journal(&self) -> PathBuf {
        self.path().join("journal")
    }

    fn open<T: Serialize + DeserializeOwned>(
        &self,
    ) -> Result<(Journal<T>, Vec<Entry<T>>), JournalError> {
        Journal::open(self.path())
    }

    /// Opens, and gives the records alone.
    fn records<T: Serialize + DeserializeOwned>(&self) -> Result<Vec<T>, JournalError> {
        let (_, entries) = self.open()?;
        Ok(entries.into_iter().map(|entry| entry.record).collect())
    }

    /// Writes each record with an append of its own.
    fn write<T: Serialize + DeserializeOwned + Clone>(&self, records: &[T]) -> Vec<u8> {
        let (mut journal, _) = self.open().unwrap();
        for (at, record) in (0..).zip(records) {
            journal.append(std::slice::from_ref(record), Wall(at)).unwrap();
        }
        fs::read(self.journal()).unwrap()
    }
}

/// Records of the daemon with everything that makes text hard: newlines, NULs, long dashes.
fn real_records() -> Vec<Record> {
    let account = || "primary".parse().unwrap();
    vec![
        Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 1 },
        Record::AccountRefused {
            account: account(),
            window: PlanWindow::FiveHour,
            limit: Limit {
                row: "You've hit your limit · resets 3pm\n\0\u{2028}\"".to_owned(),
                evidence: EvidenceSource::Transcript,
                session: Some("ccl-auto-11".parse().unwrap()),
                since: Wall(1),
                until: Wall(2),
                printed: true,
            },
        },
        Record::AgentAdopted {
            session: "ccl-auto-11".parse().unwrap(),
            agent: SavedAgent {
                conversation: Some("82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap()),
                home: AgentHome::Homed(account()),
                cwd: PathBuf::from("/srv/a – b"),
                args: Some(vec!["--add-dir".to_owned(), "x\ny".to_owned()]),
                process: ProcessRef { pid: 7, started_ticks: u64::MAX },
                started_at: None,
            },
        },
        Record::SwapPlanned {
            op: OpId(1),
            at: Wall(3),
            source: account(),
            target: "backup".parse().unwrap(),
            trigger: Trigger::Operator,
            because: "priority 2".to_owned(),
            passed_over: vec![(account(), "it is the account to leave".to_owned())],
        },
        Record::Compacted { state: Box::new(Durable::default()) },
        Record::CleanStop,
    ]
}

#[test]
fn a_second_instance_is_refused_and_told_who_holds_it() {
    let state = State::new();
    let (first, _) = state.open::<Fact>().unwrap();
    let error = state.records::<Fact>().unwrap_err();
    assert!(matches!(error, JournalError::AnotherInstance { .. }));
    let own = format!("(pid {})", std::process::id());
    assert!(error.to_string().contains(&own), "{error}");
    drop(first);
    assert_eq!(state.records::<Fact>().unwrap(), []);
}

#[test]
fn files_are_for_us_alone_and_links_are_refused() {
    let base = State::new();
    let dir = base.path().join("state");
    Journal::<Fact>::open(&dir).unwrap();
    for (path, mode) in
        [(dir.clone(), 0o700), (dir.join("journal"), 0o600), (dir.join("lock"), 0o600)]
    {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "{path:?}");
    }

    let link = base.path().join("link");
    symlink(&dir, &link).unwrap();
    for path in [link.clone(), link.join("")] {
        let error = Journal::<Fact>::open(&path).err().unwrap().to_string();
        assert!(error.contains("symbolic link"), "{error}");
    }

    for name in ["journal", "lock"] {
        let state = State::new();
        symlink(dir.join(name), state.path().join(name)).unwrap();
        let error = state.records::<Fact>().unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
    }

    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    let error = Journal::<Fact>::open(&dir).err().unwrap().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let state = State::new();
    fs::DirBuilder::new().mode(0o700).create(state.journal()).unwrap();
    assert!(state.records::<Fact>().is_err());
    fs::remove_dir(state.journal()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, state.journal(), rustix::fs::Mode::RWXU).unwrap();
    let error = state.records::<Fact>().unwrap_err().to_string();
    assert!(error.contains("is no plain file"), "{error}");
}

#[test]
fn a_directory_that_takes_no_files_is_named_in_the_error() {
    // Also root cannot make a file there.
    let dir = PathBuf::from(format!("/proc/{}", std::process::id()));
    let error = Journal::<Fact>::open(&dir).err().unwrap().to_string();
    assert!(error.contains("could not open"), "{error}");
    assert!(error.contains(&dir.join("lock").display().to_string()), "{error}");

    let error = Journal::<Fact>::open(&dir.join("state")).err().unwrap().to_string();
    assert!(error.contains("could not make the directory"), "{error}");
}

#[test]
fn numbers_go_on_over_compactions_and_starts() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("a"), said("b"), said("c")], Wall(1)).unwrap();
    journal.compact(&Fact::Sum { count: 3 }, Wall(2)).unwrap();
    journal.append(&[said("d")], Wall(3)).unwrap();
    drop(journal);
    let (_, entries) = state.open::<Fact>().unwrap();
    let found: Vec<_> = entries.into_iter().map(|e| (e.seq, e.at, e.record)).collect();
    assert_eq!(found, [(4, Wall(2), Fact::Sum { count: 3 }), (5, Wall(3), said("d"))]);
}

#[test]
fn compaction_is_asked_for_by_size_and_growth() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    let half_mib = said(&"x".repeat(1 << 19));
    let mut appended = 0;
    while !journal.should_compact() {
        journal.append(std::slice::from_ref(&half_mib), Wall(0)).unwrap();
        appended += 1;
        assert!(appended <= 8, "above {COMPACT_MIN_BYTES} it must ask");
    }
    assert_eq!(appended, 8);

    // A snapshot of 1.5 MiB: the next time is at four times that, also after a start.
    journal.compact(&said(&"y".repeat(3 << 19)), Wall(0)).unwrap();
    drop(journal);
    let (mut journal, _) = state.open().unwrap();
    for _ in 0..8 {
        journal.append(std::slice::from_ref(&half_mib), Wall(0)).unwrap();
        assert!(!journal.should_compact(), "{}", journal.size_bytes());
    }
    journal.append(&[half_mib], Wall(0)).unwrap();
    assert!(journal.should_compact());
}

#[test]
fn a_compaction_that_crashed_leaves_the_old_or_the_new_journal() {
    let state = State::new();
    let before = state.write(&[said("a"), said("b")]);
    let (mut journal, _) = state.open().unwrap();
    journal.compact(&Fact::Sum { count: 2 }, Wall(9)).unwrap();
    drop(journal);
    let after = fs::read(state.journal()).unwrap();
    let leftover = state.path().join("journal.new");

    for written in 0..=after.len() {
        fs::write(state.journal(), &before).unwrap();
        fs::write(&leftover, &after[..written]).unwrap();
        assert_eq!(state.records::<Fact>().unwrap(), [said("a"), said("b")]);
        assert!(!leftover.exists());
    }
    fs::write(state.journal(), &after).unwrap();
    assert_eq!(state.records::<Fact>().unwrap(), [Fact::Sum { count: 2 }]);
}

#[test]
fn a_compaction_that_fails_leaves_the_journal_usable() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("a")], Wall(0)).unwrap();
    // A directory in the way cannot be removed as a file.
    fs::create_dir(state.path().join("journal.new")).unwrap();
    let error = journal.compact(&Fact::Sum { count: 1 }, Wall(0)).unwrap_err();
    assert!(error.to_string().contains("journal.new"), "{error}");
    assert!(!journal.should_compact());
    journal.append(&[said("b")], Wall(0)).unwrap();
    drop(journal);
    fs::remove_dir(state.path().join("journal.new")).unwrap();
    assert_eq!(state.records::<Fact>().unwrap(), [said("a"), said("b")]);
}

#[test]
fn a_record_that_is_too_long_poisons_the_journal() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("a")], Wall(0)).unwrap();
    let long = said(&"x".repeat(LINE_BYTES_MAX));
    assert!(matches!(journal.append(&[long], Wall(0)), Err(JournalError::Record { .. })));
    assert!(matches!(journal.append(&[said("b")], Wall(0)), Err(JournalError::Poisoned { .. })));
    drop(journal);
    assert_eq!(state.records::<Fact>().unwrap(), [said("a")]);
}

/// A file size limit acts like a disk that fills up in the middle of a write: the write is cut
/// short, and the rest fails. It binds a whole process, so the writer is a child.
#[test]
fn a_full_disk_poisons_the_journal_and_the_next_start_recovers() {
    const LIMIT_BYTES: u64 = 1000;
    if let Some(dir) = std::env::var_os(STATE) {
        // Without a handler the signal that comes with the error would end the process.
        let _ = signal_hook::iterator::Signals::new([signal_hook::consts::SIGXFSZ]).unwrap();
        rustix::process::setrlimit(
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit { current: Some(LIMIT_BYTES), maximum: Some(LIMIT_BYTES) },
        )
        .unwrap();
        let (mut journal, _) = Journal::open(Path::new(&dir)).unwrap();
        let mut acknowledged = 0;
        let error = loop {
            match journal.append(&[said("some text"), said("and more")], Wall(0)) {
                Ok(()) => acknowledged += 2,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
        let again = journal.append(&[said("small")], Wall(0)).unwrap_err();
        assert!(matches!(again, JournalError::Poisoned { .. }), "{again}");
        println!("acknowledged={acknowledged}");
        return;
    }
    let state = State::new();
    let output = in_a_child("journal::a_full_disk_poisons_the_journal_and_the_next_start_recovers")
        .env(STATE, state.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let acknowledged: usize =
        text.lines().find_map(|line| line.split("acknowledged=").nth(1)).unwrap().parse().unwrap();
    assert!(acknowledged >= 2);
    assert_eq!(
        fs::metadata(state.journal()).unwrap().len(),
        LIMIT_BYTES,
        "the last write was cut short by the limit"
    );
    let found = state.records::<Fact>().unwrap().len();
    assert!(found == acknowledged || found == acknowledged + 1, "{found}");
}

/// Each number a child prints was acknowledged before, so it must be found after its death.
#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    if let Some(dir) = std::env::var_os(STATE) {
        let (mut journal, entries) = Journal::open(Path::new(&dir)).unwrap();
        let next = entries.last().map_or(1, |last| last.seq + 1);
        for count in next..next + 10_000 {
            journal.append(&[Fact::Sum { count }], Wall(0)).unwrap();
            println!("written={count}");
        }
        return;
    }
    let state = State::new();
    for round in 0..5 {
        let mut child = in_a_child("journal::a_killed_writer_loses_nothing_that_was_acknowledged")
            .env(STATE, state.path())
            .spawn()
            .unwrap();
        let mut written = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("written=")?.parse::<u64>().ok());
        let last = written.by_ref().take(1 + 10 * round).last();
        child.kill().unwrap();
        let last = written.last().or(last).unwrap();
        child.wait().unwrap();
        let (_, entries) = state.open::<Fact>().unwrap();
        assert!(entries.last().unwrap().seq >= last);
    }
}

#[test]
fn a_log_from_the_first_release_can_always_be_read() {
    let state = State::new();
    let mut file = fs::File::create(state.journal()).unwrap();
    for (seq, record) in (1..).zip([
        r#"{"type":"daemon_started","version":"0.1.0","pid":4242}"#,
        r#"{"type":"active_found","account":"primary"}"#,
        r#"{"type":"swap_planned","op":1,"at":5,"source":"primary","target":"backup","trigger":{"kind":"operator"}}"#,
        r#"{"type":"swap_done","op":1,"at":9}"#,
        r#"{"type":"clean_stop"}"#,
    ]) {
        let json = format!(r#"{{"v":1,"seq":{seq},"at":1795361004858,"record":{record}}}"#);
        writeln!(file, "{:08x} {json}", crc32fast::hash(json.as_bytes())).unwrap();
    }
    let records = state.records::<Record>().unwrap();
    assert_eq!(records.len(), 5);
    assert_eq!(records[4], Record::CleanStop);
}
