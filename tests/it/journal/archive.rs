//! What a compaction keeps: whole at every crash, bounded, and never replayed.

use std::fs;

use claude_failover::journal::Journal;
use claude_failover::journal::archive::{ARCHIVES_MAX, Range};
use claude_failover::moment::Wall;

use super::reader::seqs;
use super::{Fact, State, said};
use crate::logged;

fn names(state: &State) -> Vec<String> {
    let names = fs::read_dir(state.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("journal.")).collect();
    names.sort();
    names
}

fn compact(journal: &mut Journal<Fact>, count: u64) {
    journal.compact(&Fact::Sum { count }, Wall(9)).unwrap();
}

#[test]
fn what_a_compaction_replaces_is_kept_and_not_replayed() {
    let state = State::new();
    let before = state.write(&[said("a"), said("b")]);
    let (mut journal, _) = state.open().unwrap();
    compact(&mut journal, 2);
    assert_eq!(names(&state), ["journal.000000000001-000000000002"]);
    assert_eq!(fs::read(state.path().join(&names(&state)[0])).unwrap(), before);
    journal.append(&[said("c")], Wall(10)).unwrap();
    drop(journal);
    assert_eq!(state.records::<Fact>().unwrap(), [Fact::Sum { count: 2 }, said("c")]);
    assert_eq!(seqs(&state), [1, 2, 3, 4]);

    // Nothing that lies there is taken for a journal.
    fs::write(state.path().join("journal.000000000001-000000000002"), "nonsense").unwrap();
    fs::create_dir(state.path().join("journal.000000000007-000000000009")).unwrap();
    assert_eq!(state.records::<Fact>().unwrap(), [Fact::Sum { count: 2 }, said("c")]);
}

#[test]
fn a_compaction_that_crashed_after_any_step_loses_nothing_and_doubles_nothing() {
    let whole = State::new();
    let before = whole.write(&[said("a"), said("b")]);
    let (mut journal, _) = whole.open().unwrap();
    compact(&mut journal, 2);
    drop(journal);
    let after = fs::read(whole.journal()).unwrap();
    let name = Range { first: 1, last: 2 }.name();

    for step in ["written", "linked", "renamed"] {
        let state = State::new();
        fs::write(state.journal(), &before).unwrap();
        fs::write(state.path().join("journal.new"), &after).unwrap();
        if step != "written" {
            fs::hard_link(state.journal(), state.path().join(&name)).unwrap();
        }
        if step == "renamed" {
            fs::rename(state.path().join("journal.new"), state.journal()).unwrap();
        }
        let expected: &[u64] = if step == "renamed" { &[1, 2, 3] } else { &[1, 2] };
        assert_eq!(seqs(&state), expected, "{step}, with the daemon down");

        let (mut journal, entries) = state.open::<Fact>().unwrap();
        let kept = if step == "renamed" { vec![name.clone()] } else { vec![] };
        assert_eq!(names(&state), kept, "{step}");
        assert_eq!(entries.len(), if step == "renamed" { 1 } else { 2 }, "{step}");
        journal.append(&[said("more")], Wall(11)).unwrap();
        compact(&mut journal, 3);
        let last = expected.last().unwrap() + 2;
        assert_eq!(seqs(&state), (1..=last).collect::<Vec<_>>(), "{step}");
        assert!(names(&state).contains(
            &Range { first: if step == "renamed" { 3 } else { 1 }, last: last - 1 }.name()
        ));
    }
}

#[test]
fn a_link_of_a_compaction_that_failed_in_this_life_is_not_left_behind() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("a")], Wall(0)).unwrap();
    fs::hard_link(state.journal(), state.path().join(Range { first: 1, last: 1 }.name())).unwrap();
    journal.append(&[said("b")], Wall(0)).unwrap();
    compact(&mut journal, 2);
    assert_eq!(names(&state), [Range { first: 1, last: 2 }.name()]);
}

#[test]
fn only_the_latest_archives_are_kept() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    let rounds = ARCHIVES_MAX as u64 + 3;
    for count in 0..rounds {
        journal.append(&[said("x")], Wall(0)).unwrap();
        assert!(names(&state).len() <= ARCHIVES_MAX);
        compact(&mut journal, count);
    }
    let names = names(&state);
    assert_eq!(names.len(), ARCHIVES_MAX);
    let first = Range::of_name(&names[0]).unwrap().first;
    assert_eq!(seqs(&state), (first..=2 * rounds).collect::<Vec<_>>());

    // A start removes none, not even of too many.
    drop(journal);
    for number in 0..3 {
        fs::write(state.path().join(Range { first: number, last: 0 }.name()), "").unwrap();
    }
    let (mut journal, _) = state.open().unwrap();
    assert_eq!(super::archive::names(&state).len(), ARCHIVES_MAX + 3);
    compact(&mut journal, 1);
    assert_eq!(super::archive::names(&state).len(), ARCHIVES_MAX);
}

#[test]
fn an_archive_that_cannot_be_kept_stops_no_compaction_and_is_told_once() {
    logged::start();
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    for (count, first) in [(1, 1), (2, 2), (3, 4)] {
        journal.append(&[said("x")], Wall(0)).unwrap();
        // Something of that name is in the way, as on a file system that has no hard links.
        let last = if first == 1 { 1 } else { first + 1 };
        fs::create_dir(state.path().join(Range { first, last }.name())).unwrap();
        compact(&mut journal, count);
    }
    assert_eq!(journal.size_bytes(), fs::metadata(state.journal()).unwrap().len());
    let told = logged::lines_of(state.path());
    let told: Vec<_> = told.iter().filter(|line| line.contains("hard link")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    drop(journal);
    assert_eq!(state.records::<Fact>().unwrap(), [Fact::Sum { count: 3 }]);
}

#[test]
fn a_journal_that_was_moved_away_takes_no_numbers_back() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    journal.append(&[said("a"), said("b")], Wall(0)).unwrap();
    compact(&mut journal, 2);
    drop(journal);
    fs::remove_file(state.journal()).unwrap();
    state.write(&[said("new")]);
    assert_eq!(seqs(&state), [1, 2, 3]);
    let (_, entries) = state.open::<Fact>().unwrap();
    assert_eq!(entries[0].seq, 3);
}

#[test]
fn an_empty_journal_leaves_no_archive() {
    let state = State::new();
    let (mut journal, _) = state.open().unwrap();
    compact(&mut journal, 0);
    assert_eq!(names(&state), Vec::<String>::new());
    assert_eq!(seqs(&state), [1]);
}
