//! Given these records, this is told.

use claude_failover::core::event::StuckVerb;
use claude_failover::core::record::{MoveOutcome, MoveStage, Record};
use claude_failover::core::standing::PlanWindow;
use claude_failover::core::trigger::Trigger;
use claude_failover::ids::OpId;
use claude_failover::moment::Wall;
use expect_test::{Expect, expect};

use super::script::{Script, account, agent, at, by_refusal, moved, session};

fn check(script: &Script, expected: &Expect) {
    expected.assert_eq(&script.text());
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_swap_from_its_refusal_to_the_last_session_that_follows() {
    let script = Script::new().refused(1_000, "primary", PlanWindow::FiveHour, HOUR_MS).whole_swap(
        17,
        "primary",
        "backup",
        by_refusal(),
    );
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:00:01Z swap 17 primary → backup done 2.7 s (2 resumed, 1 left)
                refused: "You've hit your 5-hour limit · resets 4am"
        "#]],
    );
    // One that was left follows alone.
    let stopping = Record::MoveStopping {
        session: session("ccl-1"),
        process: agent().process,
        finished: true,
        until: None,
    };
    let script = script.then(30_000, stopping);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:00:01Z swap 17 primary → backup done 2.7 s (2 resumed, 1 open)
                refused: "You've hit your 5-hour limit · resets 4am"
        "#]],
    );
    let script = script.ended(2_000, "ccl-1", MoveOutcome::Verified);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:00:01Z swap 17 primary → backup done 2.7 s (3 resumed)
                refused: "You've hit your 5-hour limit · resets 4am"
        "#]],
    );
}

#[test]
fn the_whole_of_a_swap_as_json() {
    let script = Script::new().whole_swap(17, "primary", "backup", by_refusal());
    let json = serde_json::to_string_pretty(&script.entries()[1]).unwrap();
    expect![[r#"
        {
          "seq": 2,
          "at": "2026-11-26T03:00:00Z",
          "kind": "swap",
          "op": 17,
          "from": "primary",
          "to": "backup",
          "outcome": "done",
          "trigger": {
            "kind": "refusal",
            "session": "ccl-auto-11",
            "evidence": "transcript",
            "row": "You've hit your 5-hour limit · resets 4am"
          },
          "because": "priority 2",
          "passed_over": [
            {
              "account": "primary",
              "reason": "it is the account to leave"
            }
          ],
          "failed_targets": [],
          "trouble": null,
          "stuck": [],
          "sessions": {
            "moved": 3,
            "resumed": 2,
            "blocked": 0,
            "failed": 0,
            "held": 0,
            "dropped": 0,
            "staying": 1,
            "open": 0,
            "unknown": 0
          },
          "moves": [
            {
              "session": "ccl-auto-11",
              "outcome": "resumed",
              "reason": null,
              "ended_at": "2026-11-26T03:00:01Z"
            },
            {
              "session": "ccl-auto-12",
              "outcome": "resumed",
              "reason": null,
              "ended_at": "2026-11-26T03:00:02Z"
            },
            {
              "session": "ccl-1",
              "outcome": "staying",
              "reason": null,
              "ended_at": null
            }
          ],
          "canary": "ccl-auto-11",
          "planned_at": "2026-11-26T03:00:00Z",
          "flipped_after_ms": 720,
          "relaunched_after_ms": 1820,
          "ended_at": "2026-11-26T03:00:02Z",
          "took_ms": 2720,
          "restarts": 0,
          "partial": false
        }"#]]
    .assert_eq(&json);
}

#[test]
fn a_target_that_fails_gives_way_to_the_next() {
    let script = Script::new()
        .planned(3, "primary", "backup", Trigger::Operator)
        .then(
            50,
            Record::SwapRetargeted {
                op: OpId(3),
                rejected: account("backup"),
                reason: "its home is not there".to_owned(),
                target: account("spare"),
            },
        )
        .checked(3)
        .saved(3, "spare", &["ccl-auto-11"], false)
        .flipped(3)
        .proven_by(3, "ccl-auto-11")
        .relaunched(3)
        .done(3);
    check(
        &script,
        &expect![[r#"
        2026-11-26 03:00:00Z swap 3 primary → spare done 2.1 s (1 resumed)
            backup failed: its home is not there · by the operator
    "#]],
    );
}

fn turned_back() -> Script {
    Script::new()
        .planned(4, "primary", "backup", by_refusal())
        .checked(4)
        .saved(4, "backup", &["ccl-auto-11", "ccl-1"], false)
        .flipped(4)
        .ended(5_000, "ccl-auto-11", MoveOutcome::Failed { reason: "it does not start".to_owned() })
        .aborting(4, "no account is left: backup: it does not start")
}

#[test]
fn a_swap_that_turns_back() {
    let op = OpId(4);
    let script = turned_back()
        .saved(4, "primary", &["ccl-1"], false)
        .now(100, |at| Record::SwapUnflipped { op, at, moved: false })
        .ended(800, "ccl-1", MoveOutcome::Verified)
        .then(10, Record::SwapRestored { op })
        .now(10, |at| Record::SwapRolledBack { op, at });
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z swap 4 primary → backup rolled back 6.8 s
                (1 resumed, 1 failed)
        "#]],
    );
}

#[test]
fn a_swap_that_is_stuck_until_somebody_says_how() {
    let script = turned_back().stuck(4, "the link could not be flipped back: it is a directory");
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z swap 4 primary → backup stuck (1 failed, 1 open)
                stuck: the link could not be flipped back: it is a directory
        "#]],
    );
    check(
        &script.clone().unstuck(2 * HOUR_MS, 4, StuckVerb::Clear),
        &expect![[r#"
            2026-11-26 03:00:00Z swap 4 primary → backup cleared 2 h 0 min
                (1 failed, 1 held)
        "#]],
    );
    let forward = script
        .unstuck(60_000, 4, StuckVerb::Resume)
        .checked(4)
        .saved(4, "backup", &["ccl-1"], false)
        .flipped(4)
        .proven_by(4, "ccl-1")
        .relaunched(4)
        .done(4);
    check(
        &forward,
        &expect![[r#"
            2026-11-26 03:00:00Z swap 4 primary → backup done 68 s (1 resumed, 1 failed)
                stuck, resumed: the link could not be flipped back: it is a directory
        "#]],
    );
}

fn parked() -> Script {
    Script::new().refused(1_000, "primary", PlanWindow::FiveHour, HOUR_MS).now(10, |now| {
        Record::Parked {
            at: now,
            until: Some(at(HOUR_MS)),
            reasons: vec![
                (account("primary"), "exhausted until 2026-11-26T04:00:00Z: its row".to_owned()),
                (account("backup"), "held by the operator".to_owned()),
            ],
        }
    })
}

#[test]
fn parked_and_woken_by_a_swap_to_the_same_account() {
    check(
        &parked(),
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:00:01Z parked until 04:00Z
                primary: exhausted until 2026-11-26T04:00:00Z…; backup: held by the operator
        "#]],
    );
    let op = OpId(9);
    let canary = || Box::new(moved(9, "ccl-auto-11", "primary", MoveStage::Stopping));
    let reset =
        |at| Record::LimitReset { account: account("primary"), window: PlanWindow::FiveHour, at };
    let proven = |at| Record::AccountProven {
        account: account("primary"),
        session: Some(session("ccl-auto-11")),
        at,
    };
    let script = parked()
        .now(HOUR_MS, reset)
        .planned(9, "primary", "primary", Trigger::AccountReturned)
        .checked(9)
        .then(10, Record::SwapProbing { op, canary: canary() })
        .ended(4_000, "ccl-auto-11", MoveOutcome::Verified)
        .now(0, proven)
        .then(0, Record::SwapProbed { op })
        .saved(9, "primary", &["ccl-1"], false)
        .flipped(9)
        .then(0, Record::SwapCanaryProven { op, session: None })
        .ended(700, "ccl-1", MoveOutcome::Verified)
        .relaunched(9)
        .done(9);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour for 60 min, then reset
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:00:01Z parked 60 min, woken by swap 9
                primary: exhausted until 2026-11-26T04:00:00Z…; backup: held by the operator
            2026-11-26 04:00:01Z reset primary five_hour proven after 4.2 s by ccl-auto-11
            2026-11-26 04:00:01Z swap 9 on primary done 5.9 s (2 resumed)
                primary came back
            2026-11-26 04:00:01Z canary ccl-auto-11 → primary proven 4.0 s (swap 9)
        "#]],
    );
}

#[test]
fn two_windows_each_for_itself_and_one_said_again_for_longer() {
    let reset = |window, name: &str| {
        let account = account(name);
        move |at| Record::LimitReset { account, window, at }
    };
    let script = Script::new()
        .refused(1_000, "primary", PlanWindow::FiveHour, HOUR_MS)
        .refused(60_000, "primary", PlanWindow::Weekly, 80 * HOUR_MS)
        .refused(60_000, "primary", PlanWindow::FiveHour, 2 * HOUR_MS);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour until 05:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:01:01Z refused primary weekly until 2026-11-29 11:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
        "#]],
    );
    let script = script
        .now(2 * HOUR_MS, reset(PlanWindow::FiveHour, "primary"))
        .now(78 * HOUR_MS, reset(PlanWindow::Weekly, "primary"))
        .refused(61_000, "primary", PlanWindow::Weekly, 81 * HOUR_MS);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:01Z refused primary five_hour for 2 h 2 min, then reset
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 03:01:01Z refused primary weekly for 3 d 8 h, then reset
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 05:02:01Z reset primary five_hour still out otherwise
            2026-11-29 11:02:01Z reset primary weekly refused again after 61 s
            2026-11-29 11:03:02Z refused primary weekly until 12:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
        "#]],
    );
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_a_swap() {
    let script = Script::new()
        .started(0)
        .planned(5, "primary", "backup", by_refusal())
        .checked(5)
        .saved(5, "backup", &["ccl-auto-11"], false)
        .started(12_000)
        .flipped(5)
        .proven_by(5, "ccl-auto-11")
        .relaunched(5)
        .done(5)
        .then(1_000, Record::CleanStop)
        .started(3_000);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z daemon started 0.1.0 pid 4242
                not stopped cleanly before · 0.0 s after the last record
            2026-11-26 03:00:00Z swap 5 primary → backup done 14 s (1 resumed)
                daemon started 1 × meanwhile
            2026-11-26 03:00:12Z daemon started 0.1.0 pid 4242
                not stopped cleanly before · 12 s after the last record
            2026-11-26 03:00:15Z daemon stopped
            2026-11-26 03:00:18Z daemon started 0.1.0 pid 4242
        "#]],
    );
}

#[test]
fn a_canary_that_is_refused_costs_nobody_else_anything() {
    let op = OpId(6);
    let canary = Box::new(moved(6, "ccl-auto-11", "backup", MoveStage::Stopping));
    let script = Script::new()
        .planned(6, "primary", "backup", by_refusal())
        .checked(6)
        .then(10, Record::SwapProbing { op, canary })
        .refused(3_000, "backup", PlanWindow::FiveHour, HOUR_MS)
        .ended(0, "ccl-auto-11", MoveOutcome::Held)
        .aborting(6, "no account is left: backup: exhausted");
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z swap 6 primary → backup open (1 held)
                turned back: no account is left: backup: exhausted
            2026-11-26 03:00:00Z canary ccl-auto-11 → backup refused 3.0 s (swap 6)
                You've hit your 5-hour limit · resets 4am
            2026-11-26 03:00:03Z refused backup five_hour until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
        "#]],
    );
}

#[test]
fn a_login_that_fails_and_is_mended() {
    let failed = |at| Record::LoginFailed {
        account: account("primary"),
        reason: "OAuth token has expired".to_owned(),
        at,
    };
    let mended = |at| Record::LoginMended { account: account("primary"), at };
    let proven = |at| Record::AccountProven { account: account("primary"), session: None, at };
    let script = Script::new().now(10, failed);
    check(
        &script,
        &expect![[r#"
        2026-11-26 03:00:00Z login of primary fails · OAuth token has expired
    "#]],
    );
    let script = script.now(HOUR_MS, mended);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z login of primary failed for 60 min, then mended
                OAuth token has expired · not proven yet
        "#]],
    );
    check(
        &script.now(6_000, proven),
        &expect![[r#"
            2026-11-26 03:00:00Z login of primary failed for 60 min, then mended
                OAuth token has expired · proven after 6.0 s by a request
        "#]],
    );
}

#[test]
fn the_operators_word() {
    let name = |name: &str| account(name);
    let script = Script::new()
        .now(0, |at| Record::AccountHeld { account: name("backup"), at })
        .now(1_000, |at| Record::AccountPinned { account: name("primary"), at })
        .now(1_000, |at| Record::AccountPinned { account: name("spare"), at })
        .refused(1_000, "backup", PlanWindow::Spend, HOUR_MS);
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z held backup by the operator
            2026-11-26 03:00:01Z pinned primary by the operator for 1.0 s, then another
            2026-11-26 03:00:02Z pinned spare by the operator
            2026-11-26 03:00:03Z refused backup spend until 04:00Z
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
        "#]],
    );
    let script = script
        .now(HOUR_MS, |at| Record::AccountReleased { account: name("backup"), at })
        .now(1_000, |at| Record::AccountReleased { account: name("spare"), at })
        .now(1_000, |at| Record::AccountReleased { account: name("primary"), at });
    check(
        &script,
        &expect![[r#"
            2026-11-26 03:00:00Z held backup by the operator for 60 min, then released
            2026-11-26 03:00:01Z pinned primary by the operator for 1.0 s, then another
            2026-11-26 03:00:02Z pinned spare by the operator for 60 min, then released
            2026-11-26 03:00:03Z refused backup spend for 60 min, then released
                "You've hit your 5-hour limit · resets 4am" · transcript of ccl-auto-11
            2026-11-26 04:00:03Z released backup by the operator (hold, refusal)
                not proven yet
            2026-11-26 04:00:04Z released spare by the operator (pin)
            2026-11-26 04:00:05Z released primary by the operator
        "#]],
    );
}

#[test]
fn a_target_rejected_for_a_while() {
    let rejected = |at: Wall| Record::AccountRejected {
        account: account("backup"),
        reason: "its home belongs to another user".to_owned(),
        until: Wall(at.0 + 600_000),
        at,
    };
    let over = |at| Record::RejectionOver { account: account("backup"), at };
    let script = Script::new().now(0, rejected);
    check(
        &script,
        &expect![[r#"
        2026-11-26 03:00:00Z rejected backup until 03:10Z
            its home belongs to another user
    "#]],
    );
    check(
        &script.now(600_500, over),
        &expect![[r#"
            2026-11-26 03:00:00Z rejected backup for 10 min
                its home belongs to another user
        "#]],
    );
}

#[test]
fn agents_that_come_back_or_move_alone() {
    let planned = |op, name: &str, cut| Record::RestorePlanned {
        op: OpId(op),
        session: session(name),
        target: account("primary"),
        agent: agent(),
        cut,
    };
    let reason = || "no conversation found".to_owned();
    let script = Script::new()
        .then(0, planned(1, "ccl-1", false))
        .then(0, planned(2, "ccl-auto-11", true))
        .then(0, planned(3, "ccl-auto-12", false))
        .ended(4_000, "ccl-auto-11", MoveOutcome::Verified)
        .ended(1_000, "ccl-1", MoveOutcome::Failed { reason: reason() })
        .planned(4, "primary", "backup", Trigger::Preferred)
        .checked(4)
        .saved(4, "backup", &["ccl-auto-12"], false);
    check(
        &script,
        &expect![[r#"
        2026-11-26 03:00:00Z restore 1 ccl-1 → primary failed 5.0 s
            no conversation found
        2026-11-26 03:00:00Z move 2 ccl-auto-11 → primary resumed 4.0 s
        2026-11-26 03:00:00Z restore 3 ccl-auto-12 → primary held 5.3 s
            taken along by 4
        2026-11-26 03:00:05Z swap 4 primary → backup open (1 open) · backup is preferred
    "#]],
    );
}
