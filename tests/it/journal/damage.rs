//! Logs that a crash cut short, and logs that were damaged later.

use std::fs;

use claude_failover::journal::error::JournalError;
use claude_failover::journal::line::LINE_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Fact, State, real_records, said};

/// Cuts the log at every byte; what is left must be the records whose newline is still there.
fn cut_at_every_byte<T>(records: &[T])
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug,
{
    let log = State::new().write(records);
    let state = State::new();
    for length in 0..=log.len() {
        fs::write(state.journal(), &log[..length]).unwrap();
        let whole = log[..length].iter().filter(|byte| **byte == b'\n').count();
        let found = state.records::<T>().unwrap();
        assert_eq!(found, records[..whole], "cut at byte {length}");
        let left = fs::read(state.journal()).unwrap();
        assert!(left.is_empty() || left.ends_with(b"\n"), "cut at byte {length}");
        assert!(log.starts_with(&left), "cut at byte {length}");
    }
}

#[test]
fn a_log_cut_at_any_byte_recovers_to_its_whole_records() {
    cut_at_every_byte(&[said("one"), said("two\n\0 lines"), Fact::Sum { count: 3 }]);
    cut_at_every_byte(&real_records());
}

#[test]
fn after_a_cut_the_next_record_takes_the_place_of_the_torn_one() {
    let state = State::new();
    let log = state.write(&[said("one"), said("two")]);
    fs::write(state.journal(), &log[..log.len() - 1]).unwrap();
    state.write(&[said("new two")]);
    let (_, entries) = state.open::<Fact>().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(entries[1].record, said("new two"));
}

#[test]
fn a_hole_in_the_last_line_is_a_torn_write_even_with_a_newline_after_it() {
    let state = State::new();
    let log = state.write(&[said("one"), said("two, whose middle never reached the disk")]);
    let mut holed = log.clone();
    let middle = log.len() - 30;
    holed[middle..middle + 20].fill(0);
    fs::write(state.journal(), &holed).unwrap();
    assert_eq!(state.records::<Fact>().unwrap(), [said("one")]);

    let mut longer = log.clone();
    longer.extend([0; 600]);
    fs::write(state.journal(), &longer).unwrap();
    assert_eq!(state.records::<Fact>().unwrap().len(), 2);
    assert_eq!(fs::read(state.journal()).unwrap(), log);
}

/// Opens a damaged log: it must be refused with this line, and nothing may change on disk.
#[track_caller]
fn refused(state: &State, log: &[u8], line: usize) -> String {
    fs::write(state.journal(), log).unwrap();
    let error = state.records::<Fact>().expect_err("damage was accepted");
    assert_eq!(fs::read(state.journal()).unwrap(), log, "changed on disk");
    match &error {
        JournalError::BadLine { line: given, .. }
        | JournalError::NewerVersion { line: given, .. } => assert_eq!(*given, line, "{error}"),
        other => panic!("{other}"),
    }
    error.to_string()
}

#[test]
fn every_flipped_bit_before_the_last_line_is_refused_with_its_line() {
    let state = State::new();
    let log = state.write(&[said("one"), Fact::Sum { count: 2 }, said("last")]);
    let mut line = 1;
    let checked =
        log.len() - 1 - log[..log.len() - 1].iter().rev().position(|b| *b == b'\n').unwrap();
    for at in 0..checked {
        for bit in 0..8 {
            let mut bad = log.clone();
            bad[at] ^= 1 << bit;
            refused(&state, &bad, line);
        }
        if log[at] == b'\n' {
            line += 1;
        }
    }
    assert_eq!(line, 3, "both lines were visited");
}

#[test]
fn damage_in_an_acknowledged_last_line_is_refused_and_not_cut() {
    let state = State::new();
    let log = state.write(&[said("one"), said("two")]);
    let mut bad = log.clone();
    *bad.iter_mut().rev().nth(10).unwrap() ^= 1;
    let error = refused(&state, &bad, 2);
    assert!(error.contains("its checksum is wrong"), "{error}");
    assert!(error.contains("journal line 2"), "{error}");
    assert!(error.contains("head -n 1"), "{error}");
}

#[test]
fn lines_that_are_sound_but_out_of_order_are_refused() {
    let state = State::new();
    let log = state.write(&[said("one"), said("two"), said("three")]);
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    for (order, line) in
        [(&[0, 2][..], 2), (&[0, 1, 1][..], 3), (&[1, 0][..], 2), (&[0, 0, 1][..], 2)]
    {
        let bad: Vec<u8> = order.iter().flat_map(|at| lines[*at]).copied().collect();
        let error = refused(&state, &bad, line);
        assert!(error.contains("its number is"), "{error}");
    }
    let blank = [lines[0], b"\n", lines[1]].concat();
    refused(&state, &blank, 2);
    let endless = [lines[0], &vec![b'x'; LINE_BYTES_MAX + 1], b"\n"].concat();
    refused(&state, &endless, 2);
}

#[test]
fn a_newer_format_is_refused_with_a_remedy() {
    let state = State::new();
    let log = state.write(&[said("one")]);
    let json = r#"{"v":2,"seq":2,"shape":"unknown"}"#;
    let newer = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    let error = refused(&state, &[&log, newer.as_bytes()].concat(), 2);
    assert!(error.contains("format 2, known up to 1"), "{error}");
    assert!(error.contains("start that version"), "{error}");
}
