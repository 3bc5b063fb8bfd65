//! A state directory of a newer version: every verb that reads its journal says so, and none of them
//! touches it.

use std::path::PathBuf;

use claude_failover::core::record::Record;
use claude_failover::journal::Journal;
use claude_failover::moment::Wall;
use fs_err as fs;

use crate::edges::site::Site;

const OK: i32 = 0;
const FAILED: i32 = 1;
const CONFIG: i32 = 78;

/// A site with one line of this version, and one more.
fn with_line(json: &str) -> Site {
    let site = Site::new();
    let (mut journal, _): (Journal<Record>, _) = Journal::open(&site.at("state")).unwrap();
    let started = Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 7 };
    journal.append(&[started], Wall(1_795_361_004_858)).unwrap();
    drop(journal);
    let mut text = fs::read_to_string(journal_of(&site)).unwrap();
    text.push_str(&format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())));
    fs::write(journal_of(&site), text).unwrap();
    site
}

fn journal_of(site: &Site) -> PathBuf {
    site.at("state/journal")
}

/// What a verb says, with its code; it must leave everything as it is.
#[track_caller]
fn said(site: &Site, args: &[&str], code: i32) -> String {
    // Whoever may write the journal holds the lock, and says so in it.
    let tree = || {
        let mut tree = site.tree();
        tree.remove(&site.at("state/lock"));
        tree
    };
    let before = tree();
    let mut command = site.command(args);
    let output = command.arg("--config").arg(site.config()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = text(output.stdout) + &text(output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(tree(), before, "{args:?} changed something; it said:\n{said}");
    said.replace(site.path().to_str().unwrap(), "DIR")
}

#[test]
fn a_newer_format_is_refused_by_each_verb_that_reads_it() {
    let site = with_line(r#"{"v":2,"seq":2,"shape":"unknown"}"#);
    let words = "DIR/state/journal line 2 was written by a newer version (format 2, known up to 1); \
                 nothing was changed: start that version";
    for args in [
        &["run"][..],
        &["history"],
        &["history", "--json", "--since", "2h"],
        &["why", "17"],
        &["why", "site", "--json"],
        &["why", "shop:t1"],
    ] {
        let said = said(&site, args, CONFIG);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let doctor = said(&site, &["doctor"], FAILED);
    let row = doctor.lines().find(|line| line.starts_with("fail  journal")).unwrap_or(&doctor);
    assert!(row.contains("newer version"), "{row}");
}

#[test]
fn a_record_that_only_a_newer_version_knows_is_no_damage() {
    let record = r#"{"type":"fleet_cloned","at":5}"#;
    let site = with_line(&format!(r#"{{"v":1,"seq":2,"at":1795361004859,"record":{record}}}"#));
    let words = "DIR/state/journal line 2 is whole, but says what this version does not know (unknown \
                 variant `fleet_cloned`";
    let run = said(&site, &["run"], CONFIG);
    assert!(run.contains(words), "{run}");
    assert!(run.contains("start the version that wrote it") && !run.contains("head -n"), "{run}");
    // Who only looks is told the rest, and what was left out.
    let history = said(&site, &["history"], OK);
    assert!(history.contains("warning: ") && history.contains("fleet_cloned"), "{history}");
}
