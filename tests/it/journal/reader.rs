//! The journal and its archives, read by somebody else than the daemon.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use claude_failover::journal::Journal;
use claude_failover::journal::archive::Range;
use claude_failover::journal::error::JournalError;
use claude_failover::journal::line::{Entry, LINE_BYTES_MAX};
use claude_failover::journal::reader::{BAD_LINES_TOLD_MAX, LeftOut, read, read_compacted};
use claude_failover::moment::Wall;

use super::{Fact, State, said};

type Found = (Vec<Entry<Fact>>, Vec<LeftOut>);

fn found(dir: &Path) -> Result<Found, JournalError> {
    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    read(dir, &mut |found| match found {
        Ok(entry) => entries.push(entry),
        Err(what) => left_out.push(what),
    })?;
    Ok((entries, left_out))
}

/// The numbers that are read; nothing is left out.
pub fn seqs(state: &State) -> Vec<u64> {
    let (entries, left_out) = found(state.path()).unwrap();
    assert_eq!(left_out, []);
    entries.iter().map(|entry| entry.seq).collect()
}

/// Two archives and a journal: 1 to 2, 3 to 4, 5 to 6.
fn compacted_twice() -> State {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("1"), said("2")], Wall(1)).unwrap();
    journal.compact(&Fact::Sum { count: 2 }, Wall(3)).unwrap();
    journal.append(&[said("4")], Wall(4)).unwrap();
    journal.compact(&Fact::Sum { count: 4 }, Wall(5)).unwrap();
    journal.append(&[said("6")], Wall(6)).unwrap();
    state
}

fn archive(first: u64, last: u64) -> String {
    Range { first, last }.name()
}

fn numbers(found: &Found) -> Vec<u64> {
    found.0.iter().map(|entry| entry.seq).collect()
}

#[test]
fn what_one_compaction_took_away_is_read_alone() {
    let state = compacted_twice();
    fs::write(state.path().join(archive(7, 8)), "nonsense\n").unwrap();
    for (seq, expected) in [(3, &[1, 2][..]), (5, &[3, 4]), (6, &[]), (9, &[])] {
        let (mut seqs, mut left_out) = (Vec::new(), 0);
        read_compacted::<Fact>(state.path(), seq, &mut |found| match found {
            Ok(entry) => seqs.push(entry.seq),
            Err(_) => left_out += 1,
        })
        .unwrap();
        assert_eq!((seqs.as_slice(), left_out), (expected, usize::from(seq == 9)), "{seq}");
    }
}

#[test]
fn everything_is_read_in_order_while_the_daemon_holds_its_lock() {
    let state = compacted_twice();
    let (_journal, _) = state.open::<Fact>().unwrap();
    let (entries, left_out) = found(state.path()).unwrap();
    let entries: Vec<_> = entries.into_iter().map(|e| (e.seq, e.at, e.record)).collect();
    assert_eq!(
        entries,
        [
            (1, Wall(1), said("1")),
            (2, Wall(1), said("2")),
            (3, Wall(3), Fact::Sum { count: 2 }),
            (4, Wall(4), said("4")),
            (5, Wall(5), Fact::Sum { count: 4 }),
            (6, Wall(6), said("6")),
        ]
    );
    assert_eq!(left_out, []);
}

#[test]
fn nothing_there_has_no_records_and_nothing_is_made() {
    let state = State::new();
    let missing = state.path().join("missing");
    assert_eq!(found(&missing).unwrap(), (vec![], vec![]));
    assert!(!missing.exists());
    assert_eq!(found(state.path()).unwrap(), (vec![], vec![]));
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_journal_cut_at_any_byte_gives_a_prefix() {
    let state = compacted_twice();
    let whole = seqs(&state);
    let log = fs::read(state.journal()).unwrap();
    for length in 0..=log.len() {
        fs::write(state.journal(), &log[..length]).unwrap();
        let lines = log[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(seqs(&state), whole[..4 + lines], "cut at byte {length}");
        assert_eq!(fs::read(state.journal()).unwrap(), &log[..length], "it is only read");
    }
    // A file system may show zeros where the data of the last write is missing.
    let mut holed = log.clone();
    let end = log.len() - 1;
    holed[end - 9..end].fill(0);
    fs::write(state.journal(), &holed).unwrap();
    assert_eq!(seqs(&state), [1, 2, 3, 4, 5]);
}

#[test]
fn damage_is_named_and_what_lies_behind_it_is_read() {
    let state = compacted_twice();
    let path = state.path().join(archive(1, 2));
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).unwrap();
        let found = found(state.path()).unwrap();
        let numbers = numbers(&found);
        assert!(numbers.ends_with(&[3, 4, 5, 6]), "byte {at}: {numbers:?}");
        assert!(numbers.len() < 6 && numbers.is_sorted(), "byte {at}: {numbers:?}");
        let first_line = good.iter().position(|byte| *byte == b'\n').unwrap();
        let line = if at <= first_line { 1 } else { 2 };
        let LeftOut::Line { path: named, line: told, .. } = &found.1[0] else {
            panic!("byte {at}: {:?}", found.1)
        };
        assert_eq!((named, *told), (&path, line), "byte {at}");
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    let text = found(state.path()).unwrap().1[0].to_string();
    assert!(text.contains("line 2 is left out: it has no end"), "{text}");

    // In the journal itself the same: the daemon will say so at its start.
    fs::write(&path, &good).unwrap();
    let mut log = fs::read(state.journal()).unwrap();
    log[20] ^= 1;
    fs::write(state.journal(), &log).unwrap();
    let found = found(state.path()).unwrap();
    assert_eq!(numbers(&found), [1, 2, 3, 4, 6]);
    assert_eq!(found.1.len(), 1);
}

#[test]
fn much_damage_is_counted_and_a_line_without_an_end_is_passed_over() {
    let state = compacted_twice();
    let path = state.path().join(archive(1, 2));
    let good = fs::read(&path).unwrap();
    let nonsense = "nonsense\n".repeat(BAD_LINES_TOLD_MAX + 7);
    fs::write(&path, [nonsense.as_bytes(), &good].concat()).unwrap();
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found_here.1.len(), BAD_LINES_TOLD_MAX + 1);
    assert_eq!(found_here.1.last().unwrap(), &LeftOut::MoreLines { path: path.clone(), count: 7 });

    let endless = [&vec![b'x'; 2 * LINE_BYTES_MAX + 7][..], b"\n", &good].concat();
    fs::write(&path, endless).unwrap();
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found_here.1.len(), 1);
}

fn newer(seq: u64) -> String {
    let json = format!(r#"{{"v":2,"seq":{seq},"shape":"unknown"}}"#);
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

#[test]
fn a_newer_version_is_an_error_in_the_journal_and_left_out_in_an_archive() {
    let state = compacted_twice();
    let path = state.path().join(archive(3, 4));
    let good = fs::read(&path).unwrap();
    fs::write(&path, [good.as_slice(), newer(9).as_bytes(), b"nonsense\n"].concat()).unwrap();
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found_here.1.len(), 1);
    let text = found_here.1[0].to_string();
    assert!(text.contains("from line 3 on: it was written by a newer version"), "{text}");

    let mut log = fs::read(state.journal()).unwrap();
    log.extend(newer(7).bytes());
    fs::write(state.journal(), &log).unwrap();
    let error = found(state.path()).unwrap_err();
    assert!(matches!(error, JournalError::NewerVersion { line: 3, found: 2, .. }), "{error}");
}

#[test]
fn an_archive_that_is_gone_or_no_plain_file_is_told() {
    let state = compacted_twice();
    let path = state.path().join(archive(3, 4));
    fs::rename(&path, state.path().join("elsewhere")).unwrap();
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 5, 6]);
    assert_eq!(found_here.1, [LeftOut::Gap { first: 3, last: 4 }]);

    symlink(state.path().join("elsewhere"), &path).unwrap();
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 5, 6]);
    let [LeftOut::File { why }, LeftOut::Gap { .. }] = &found_here.1[..] else {
        panic!("{:?}", found_here.1)
    };
    assert!(why.contains("is a symbolic link"), "{why}");
}

/// The remedy for damage is a backup, which may be older than the latest archives.
#[test]
fn of_two_files_with_the_same_numbers_the_later_one_counts() {
    let state = compacted_twice();
    fs::copy(state.path().join(archive(3, 4)), state.journal()).unwrap();
    state.write(&[said("5 once more"), said("6 once more")]);
    let found_here = found(state.path()).unwrap();
    assert_eq!(numbers(&found_here), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found_here.0[4].record, said("5 once more"));
    let text = found_here.1[0].to_string();
    assert!(text.contains("from line 1 on: a later file begins with number 3"), "{text}");
}

#[test]
fn what_may_not_be_read_is_an_error_with_its_path() {
    let state = compacted_twice();
    let file = state.path().join("lock");
    let error = found(&file).unwrap_err().to_string();
    assert!(error.contains("is no directory"), "{error}");

    fs::remove_file(state.journal()).unwrap();
    symlink("elsewhere", state.journal()).unwrap();
    let error = found(state.path()).unwrap_err().to_string();
    assert!(error.contains("journal is a symbolic link"), "{error}");

    // Only root can make a file of somebody else.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(state.path(), Some(12_345), None).unwrap();
        let error = found(state.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to user 12345"), "{error}");
        assert!(error.contains("run this as user 12345"), "{error}");
    } else {
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o000)).unwrap();
        let error = found(state.path()).unwrap_err().to_string();
        assert!(error.contains("could not open"), "{error}");
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Also when an assertion fails, which would otherwise wait for the writer for ever.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_beside_a_writer_that_compacts_finds_each_number_once() {
    let state = State::new();
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut journal, _) = Journal::open(state.path()).unwrap();
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let many: Vec<Fact> = (0..7).map(|n| said(&"x".repeat(100 * n))).collect();
                journal.append(&many, Wall(0)).unwrap();
                journal.compact(&Fact::Sum { count }, Wall(0)).unwrap();
                count += 8;
                acknowledged.store(count, Ordering::Release);
            }
            count
        });
        let _ends_the_writer = SetWhenDropped(&done);
        let (mut rounds, mut last_end) = (0, 0);
        while rounds < 100 || last_end < 400 {
            let known = acknowledged.load(Ordering::Acquire);
            let numbers = seqs(&state);
            if let (Some(first), Some(end)) = (numbers.first(), numbers.last()) {
                assert!(numbers.iter().copied().eq(*first..=*end), "{first} to {end} has a gap");
                assert!(*end >= known, "{known} was on disk before, {end} was found");
                assert!(*end >= last_end);
                last_end = *end;
            } else {
                assert_eq!(known, 0);
            }
            rounds += 1;
        }
        done.store(true, Ordering::Relaxed);
        let count = writer.join().unwrap();
        assert_eq!(seqs(&state).last(), Some(&count));
    });
}
