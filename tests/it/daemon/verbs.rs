//! The operator's word on accounts: what he is told, what `/status` shows then, and that a `kill -9`
//! takes none of it back.

use serde_json::Value;

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::Layout;

/// Accounts a, b and c, on a; nobody is at work.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(Layout { accounts: 3, pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    fleet
}

fn account<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["accounts"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

/// No waiting: who is answered finds it in `/status`.
#[track_caller]
fn assert_state(fleet: &Fleet, name: &str, state: &str) {
    let status = fleet.status();
    assert_eq!(account(&status, name)["state"], state, "{:#}", status["accounts"]);
}

fn kill_and_start(fleet: &mut Fleet) {
    fleet.kill_daemon();
    fleet.start();
}

fn await_active(fleet: &Fleet, name: &str) -> Value {
    fleet.await_status(&format!("work is on {name}"), |status| {
        status["active_account"] == name && status["state"] == "normal"
    })
}

const HELD: &str = "held by the operator; `claude-failover account release b` ends that";

#[test]
fn a_held_account_is_passed_over_until_it_is_released() {
    let mut fleet = fleet();
    let said = fleet.done(&["account", "hold", "b"]);
    assert_eq!(said, "b is held: nothing goes there until it is released\n");
    assert_state(&fleet, "b", "held");
    kill_and_start(&mut fleet);
    assert_state(&fleet, "b", "held");
    assert_eq!(fleet.refused(&["swap", "--to", "b"]), format!("b: {HELD}\n"));
    assert_eq!(fleet.refused(&["pin", "b"]), "b is held: release it first\n");
    assert_eq!(fleet.done(&["account", "release", "b"]), "b is released\n");
    assert_state(&fleet, "b", "available");
    kill_and_start(&mut fleet);
    assert_state(&fleet, "b", "available");
    let no_account = "nosuch is no account of the configuration\n";
    for verb in ["hold", "release", "pin"] {
        assert_eq!(fleet.refused(&["account", verb, "nosuch"]), no_account);
    }
    assert!(fleet.status()["swap"]["last"].is_null());
}

#[test]
fn work_moves_off_an_account_that_is_held_and_is_parked_when_all_are() {
    let mut fleet = fleet();
    let said = fleet.done(&["account", "hold", "a"]);
    let held = "a is held: nothing goes there until it is released";
    assert_eq!(said, format!("{held}; swap 1 planned: a → b (priority 2)\n"));
    await_active(&fleet, "b");
    fleet.done(&["account", "hold", "c"]);
    let said = fleet.done(&["account", "hold", "b"]);
    let parked = "no account can be taken: parked until one is released";
    assert!(said.ends_with(&format!("; {parked}\n")), "{said}");
    assert_eq!(fleet.status()["state"], "parked");
    kill_and_start_parked(&mut fleet);
    let dry = fleet.say(&["swap", "--dry-run"]);
    assert_eq!(dry.code, Some(1), "{}", dry.errors);
    let expected = "no swap: no account can be taken\n\
                    parked until an account is released or logged in again\n";
    assert!(dry.out.starts_with(expected), "{}", dry.out);
    let said = fleet.done(&["account", "release", "c"]);
    assert_eq!(said, "c is released; swap 2 planned: b → c (priority 3)\n");
    await_active(&fleet, "c");
}

fn kill_and_start_parked(fleet: &mut Fleet) {
    fleet.kill_daemon();
    fleet.start_with(None);
    fleet.await_state("parked");
}

#[test]
fn a_pinned_account_is_the_only_one_until_it_is_released() {
    let mut fleet = fleet();
    let said = fleet.done(&["pin", "c"]);
    let pinned = "c is pinned: no other account is used until it is released";
    assert_eq!(said, format!("{pinned}; swap 1 planned: a → c (priority 3)\n"));
    assert_eq!(fleet.status()["pinned"], "c");
    await_active(&fleet, "c");
    kill_and_start(&mut fleet);
    assert_eq!(fleet.status()["pinned"], "c");
    assert_eq!(fleet.refused(&["swap", "--to", "b"]), "b: c is pinned\n");
    assert_eq!(fleet.refused(&["account", "hold", "c"]), "c is pinned: release it first\n");
    assert_eq!(fleet.done(&["account", "release", "c"]), "c is released\n");
    assert!(fleet.status()["pinned"].is_null());
    kill_and_start(&mut fleet);
    assert!(fleet.status()["pinned"].is_null());
    assert_eq!(fleet.done(&["account", "pin", "c"]), format!("{pinned}\n"));
}

#[test]
fn a_dry_run_says_where_a_swap_would_go_and_changes_nothing() {
    let fleet = fleet();
    fleet.done(&["account", "hold", "b"]);
    let table = format!(
        "strategy: priority\n\n\
         ACCOUNT  WHY\n\
         c        taken: priority 3\n\
         a        it is the account to leave\n\
         b        {HELD}\n"
    );
    let expected = format!("a swap now would go a → c\n{table}");
    assert_eq!(fleet.done(&["swap", "--dry-run"]), expected);
    assert_eq!(fleet.done(&["swap", "--dry-run", "--to", "c"]), expected);
    for (to, line) in [
        ("b", format!("no swap: b: {HELD}")),
        ("a", "no swap: a: it is the account to leave".to_owned()),
        ("nosuch", "no swap: nosuch is no account of the configuration".to_owned()),
    ] {
        let said = fleet.say(&["swap", "--dry-run", "--to", to]);
        assert_eq!((said.code, said.errors.as_str()), (Some(1), ""));
        assert!(said.out.replace("\n", " ").starts_with(&line), "{}", said.out);
        assert!(said.out.contains("c        could be taken: priority 3"), "{}", said.out);
    }
    let json = fleet.done(&["swap", "--dry-run", "--json", "--to", "c"]);
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&plan["source"], &plan["target"]), (&"a".into(), &"c".into()));
    assert_eq!(plan["to"], serde_json::json!({"account": "c", "refused": null}));
    assert_eq!(plan["open"], Value::Null);
    let status = fleet.status();
    assert_eq!((&status["active_account"], &status["swap"]["last"]), (&"a".into(), &Value::Null));
}

#[test]
fn the_accounts_are_listed_as_they_stand() {
    let fleet = fleet();
    fleet.done(&["account", "hold", "b"]);
    fleet.done(&["pin", "a"]);
    assert_eq!(
        fleet.done(&["account", "list"]),
        "   ACCOUNT  STATE        UNTIL                 IN    5H  WEEK   HEARD\n\
         *! a        available    -                      -     -     -       -\n   \
            b        held         -                      -     -     -       -\n     \
              a is pinned\n   \
            c        available    -                      -     -     -       -\n     \
              a is pinned\n\
         \n\
         * in use  ! pinned  (times in UTC)\n"
    );
    let json: Value = serde_json::from_str(&fleet.done(&["account", "list", "--json"])).unwrap();
    assert_eq!(json, fleet.status()["accounts"]);
}

/// In its second life the daemon has one record, that it has started, before the verb's.
#[test]
fn nobody_is_told_that_something_is_done_before_it_is_on_record() {
    let mut fleet = fleet();
    for records in [1, 2] {
        fleet.stop_daemon();
        fleet.start_with(Some(records + 1));
        fleet.await_state("normal");
        for _ in 1..records {
            fleet.done(&["account", "release", "c"]);
        }
        let said = fleet.refused(&["account", "hold", "b"]);
        assert!(said.contains("ended without an answer; what was asked may be done"), "{said}");
        fleet.await_end();
        fleet.start();
        assert_state(&fleet, "b", "held");
        fleet.done(&["account", "release", "b"]);
    }
}

#[test]
fn the_status_is_one_sheet_and_says_when_nobody_answers() {
    let mut fleet = fleet();
    let sheet = fleet.done(&["status"]);
    assert!(sheet.starts_with("normal on a\nclaude-failover "), "{sheet}");
    assert!(
        sheet.lines().all(|line| line.chars().count() <= 80 && !line.contains('\x1b')),
        "{sheet}"
    );
    for part in ["*  a ", "ccl-1-alpha", "ccl-auto-11", "Tasks      none"] {
        assert!(sheet.contains(part), "{part}: {sheet}");
    }
    let document: Value = serde_json::from_str(&fleet.done(&["status", "--json"])).unwrap();
    assert_eq!(document["active_account"], "a");
    fleet.done(&["account", "hold", "b"]);
    fleet.done(&["pin", "c"]);
    await_active(&fleet, "c");
    let sheet = fleet.done(&["status"]);
    assert!(sheet.contains("1 a → c done in "), "{sheet}");
    fleet.stop_daemon();
    assert!(fleet.refused(&["status"]).contains("no daemon answers on "));
}
