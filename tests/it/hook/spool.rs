//! The spool: what the daemon takes from it and what it leaves alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use claude_failover::spool::{FILES_MAX, REPORT_BYTES_MAX, TAKEN_MAX, clean, leave, take};

use super::{Place, STOP, assert_unnoticed, run};

#[test]
fn reports_come_out_once_and_oldest_first() {
    let place = Place::new();
    for (at, report) in [(30, "c"), (9, "a"), (1_795_372_535_903, "d"), (10, "b")] {
        leave(&place.spool(), at, 7, report.as_bytes()).unwrap();
    }
    leave(&place.spool(), 10, 8, b"b2").unwrap();
    assert_eq!(place.spooled(), ["a", "b", "b2", "c", "d"]);
    assert!(place.spooled().is_empty());
    assert!(take(&place.path().join("nowhere")).is_empty());
}

#[test]
fn a_look_takes_so_many_and_the_next_one_the_rest() {
    let place = Place::new();
    for at in 0..=TAKEN_MAX {
        leave(&place.spool(), i64::try_from(at).unwrap(), 7, at.to_string().as_bytes()).unwrap();
    }
    let first = place.spooled();
    assert_eq!(first.len(), TAKEN_MAX);
    assert_eq!((first[0].as_str(), first[255].as_str()), ("0", "255"));
    assert_eq!(place.spooled(), ["256"]);
}

#[test]
fn a_full_spool_takes_no_more() {
    let place = Place::new();
    for at in 0..FILES_MAX {
        leave(&place.spool(), i64::try_from(at).unwrap(), 7, b"x").unwrap();
    }
    assert!(leave(&place.spool(), 5_000, 7, b"x").is_err());
    place.spooled();
    leave(&place.spool(), 5_000, 7, b"x").unwrap();
}

#[test]
fn what_is_no_report_of_ours_stays_where_it_is() {
    let place = Place::new();
    let spool = place.spool();
    leave(&spool, 5, 7, b"ours").unwrap();
    let secret = place.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    symlink(&secret, spool.join("0000000000001-1.json")).unwrap();
    fs::hard_link(&secret, spool.join("0000000000002-1.json")).unwrap();
    fs::create_dir(spool.join("0000000000003-1.json")).unwrap();
    let fifo = Command::new("mkfifo").arg(spool.join("0000000000004-1.json")).status().unwrap();
    assert!(fifo.success());
    fs::write(spool.join("0000000000006-1.json"), vec![b'x'; REPORT_BYTES_MAX + 1]).unwrap();
    fs::write(spool.join("notes.txt"), "an operator's").unwrap();
    fs::write(spool.join("-.json"), "x").unwrap();
    fs::write(spool.join(".failover-1-0"), "half a rep").unwrap();
    let before = fs::read_dir(&spool).unwrap().count();
    assert_eq!(place.spooled(), ["ours"]);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), before - 1);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "a secret");
}

#[test]
fn what_a_killed_hook_left_half_written_is_removed() {
    let place = Place::new();
    let spool = place.spool();
    leave(&spool, 5, 7, b"ours").unwrap();
    fs::write(spool.join(".failover-2147483600-0"), "half a rep").unwrap();
    clean(&spool);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 1);
    clean(&place.path().join("nowhere"));
}

/// The daemon comes up, and reads what the hooks left while it was away.
#[test]
fn hooks_write_what_the_spool_reads() {
    let place = Place::new();
    assert_unnoticed(&run(&mut place.hook(), STOP.as_bytes()).0);
    let line: serde_json::Value = serde_json::from_str(&place.spooled()[0]).unwrap();
    assert_eq!(line["verb"], "report");
    assert_eq!(line["report"]["hook_event_name"], "Stop");
    assert_eq!(line["report"]["background_tasks"], 0);
    assert_eq!(line["report"]["pid"], serde_json::Value::Null);
}
