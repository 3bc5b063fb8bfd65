//! The built binary on a state directory.

use std::path::Path;
use std::process::Command;

use claude_failover::core::record::Record;
use claude_failover::journal::Journal;

use super::night;
use crate::support::binary;

fn why(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(binary());
    command.arg("why").args(args).env_clear().current_dir(dir).env("HOME", dir);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_verb_reads_the_journal_while_the_daemon_holds_it() {
    let place = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
    let (mut journal, _): (Journal<Record>, _) =
        Journal::open(&place.path().join("state")).unwrap();
    for (at, record) in &night().records {
        journal.append(std::slice::from_ref(record), *at).unwrap();
    }
    let state = ["--state-dir", "state"];
    let of = |about: &[&str]| why(place.path(), &[about, &state[..]].concat());
    for (about, head) in [
        ("17", "swap 17\n  now  done in "),
        ("#17", "swap 17\n"),
        ("ccl-1", "session ccl-1\n  now  no agent is known there: it is at its shell\n"),
        ("backup", "account backup\n  now  available\n  now  in use\n"),
    ] {
        let (code, out, errors) = of(&[about]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{about}");
        assert!(out.starts_with(head), "{about}: {out}");
    }
    let (code, out, _) = of(&["17", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["about"]), (Some(0), &"swap 17".into()));
    assert_eq!(json["lines"][0]["record"], "swap_planned");
    let (_, out, _) = of(&["17", "--limit", "2"]);
    assert_eq!(out.lines().filter(|line| line.contains("Z  ")).count(), 2, "{out}");

    let (code, out, errors) = of(&["99"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(errors.starts_with("nothing is known of 99 in the journal in state"), "{errors}");
    let (code, _, errors) = of(&["two words"]);
    assert_eq!(code, Some(64), "{errors}");
    assert_eq!(of(&[]).0, Some(64));
    let (code, _, errors) = why(place.path(), &["17", "--config", "missing.yaml"]);
    assert_eq!(code, Some(78), "{errors}");
    let (code, _, errors) = why(place.path(), &["17", "--state-dir", "state/lock"]);
    assert_eq!(code, Some(74), "{errors}");
}
