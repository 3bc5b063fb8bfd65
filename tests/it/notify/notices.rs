//! Every notice, as a person reads it.

use std::fmt::Write as _;

use claude_failover::config::Config;
use claude_failover::config::load::{Base, parse};
use claude_failover::core::event::StuckVerb;
use claude_failover::core::job::Fate;
use claude_failover::core::notice::{Notice, Teller};
use claude_failover::core::record::{MoveOutcome, MoveStage, Record};
use claude_failover::core::standing::PlanWindow;
use claude_failover::core::trigger::Trigger;
use claude_failover::ids::OpId;
use claude_failover::task::{Offer, Priority};
use expect_test::{Expect, expect};

use crate::history::script::{Script, account, agent, at, by_refusal, moved, session};

const HOUR_MS: i64 = 3_600_000;

pub fn config() -> Config {
    let text = "accounts: [{name: primary, home: /u/.claude-primary}, {name: backup, home: \
                /u/.claude-backup}]\ntmux: {socket: /run/t.sock}\nnotifications: {time_zone: \
                Europe/Paris}\n";
    parse(text, &Base::new("/u")).unwrap().config
}

fn notices(script: &Script) -> Vec<Notice> {
    let (config, mut teller) = (config(), Teller::new(None));
    script.numbered().filter_map(|(_, at, record)| teller.take(at, record, &config)).collect()
}

pub fn text(notices: &[Notice]) -> String {
    let mut text = String::new();
    for notice in notices {
        writeln!(text, "[{}] {} ({})", notice.level.word(), notice.title, notice.key).unwrap();
        for line in &notice.lines {
            writeln!(text, "    {line}").unwrap();
        }
    }
    text
}

#[track_caller]
fn told(script: &Script, expected: &Expect) {
    expected.assert_eq(&text(&notices(script)));
}

#[test]
fn a_swap_is_told_when_it_is_done_with_its_evidence() {
    let script = Script::new().refused(0, "primary", PlanWindow::FiveHour, HOUR_MS).whole_swap(
        7,
        "primary",
        "backup",
        by_refusal(),
    );
    told(
        &script,
        &expect![[r#"
        [info] Moved from primary to backup (swap:7/done)
            Why: primary refused ccl-auto-11: "You've hit your 5-hour limit · resets 4am" (by its transcript)
            Until: primary is out until 05:00 (Europe/Paris), in 59 min
            Agents: 2 resumed, 1 following later
            Next: work goes on on backup; the swap took 2 s
            You: nothing now; no other account is left if this one runs out, see claude-failover account list
    "#]],
    );
}

#[test]
fn each_reason_for_a_swap_has_its_words() {
    let triggers = [
        Trigger::Operator,
        Trigger::LoginFailed { reason: "Please run /login".to_owned() },
        Trigger::SetAside,
        Trigger::Preempt { window: PlanWindow::Weekly, used_permille: 957, until: at(HOUR_MS) },
        Trigger::Preferred,
        Trigger::AccountReturned,
    ];
    let mut lines = String::new();
    for trigger in triggers {
        let script = Script::new().whole_swap(1, "primary", "backup", trigger);
        let told = notices(&script).pop().unwrap();
        writeln!(lines, "{}", told.lines[0]).unwrap();
    }
    expect![[r#"
        Why: you asked for it (claude-failover swap)
        Why: the login of primary fails: Please run /login
        Why: primary is held, set aside, or another account is pinned
        Why: primary has used 95.7 % of its weekly limit, which is quota.preempt_at
        Why: backup is preferred and can be taken again
        Why: backup came back
    "#]]
    .assert_eq(&lines);
}

#[test]
fn who_was_not_resumed_is_told_with_the_way_to_do_it() {
    let script = Script::new()
        .planned(3, "primary", "backup", by_refusal())
        .checked(3)
        .saved(3, "backup", &["ccl-auto-11", "ccl-auto-12", "ccl-1"], false)
        .flipped(3)
        .proven_by(3, "ccl-auto-11")
        .ended(
            10,
            "ccl-auto-12",
            MoveOutcome::Failed { reason: "No conversation found".to_owned() },
        )
        .ended(10, "ccl-1", MoveOutcome::Blocked { reason: "trust dialog \u{1b}[31m".to_owned() })
        .relaunched(3)
        .done(3);
    told(
        &script,
        &expect![[r#"
        [warning] ccl-auto-12 was not resumed on backup (session:ccl-auto-12/not-resumed)
            Why: No conversation found
            Next: the session stays at its shell; nothing is lost, the conversation is still there
            You: tmux -S /run/t.sock attach -t =ccl-auto-12, then claude --resume 82840528-5c4e-4114-8dc2-50dc43ea65c9
        [warning] ccl-1 waits in a dialog for a person (session:ccl-1/blocked)
            Why: trust dialog  [31m
            Next: its agent runs on backup and waits for an answer
            You: tmux -S /run/t.sock attach -t =ccl-1 and answer it
        [info] Moved from primary to backup (swap:3/done)
            Why: primary refused ccl-auto-11: "You've hit your 5-hour limit · resets 4am" (by its transcript)
            Agents: 1 resumed, 1 waiting for a person, 1 not resumed
            Next: work goes on on backup; the swap took 2 s
            You: look at the agents that were not resumed
    "#]],
    );
}

#[test]
fn a_swap_that_fails_is_told_as_what_it_leaves() {
    let failing = |script: Script| {
        script
            .planned(4, "primary", "backup", by_refusal())
            .checked(4)
            .saved(4, "backup", &["ccl-auto-11"], false)
            .flipped(4)
            .aborting(4, "the canary did not come up")
    };
    let back = failing(Script::new())
        .saved(4, "primary", &["ccl-auto-11"], false)
        .now(100, |at| Record::SwapUnflipped { op: OpId(4), at, moved: false })
        .then(10, Record::SwapRestored { op: OpId(4) })
        .now(10, |at| Record::SwapRolledBack { op: OpId(4), at });
    told(
        &back,
        &expect![[r#"
        [critical] Swap 4 to backup failed and was turned back to primary (swap:4/rolled-back)
            Why it was tried: primary refused ccl-auto-11: "You've hit your 5-hour limit · resets 4am" (by its transcript)
            Why it failed: the canary did not come up
            Agents: 1 held until they can be resumed
            Next: the link names primary again, 1 s after the start; agents that primary refused wait until an account takes them
            You: mend what is named above, then `claude-failover swap`; `claude-failover account list` says why each account is passed over
    "#]],
    );
    let stuck = failing(Script::new())
        .stuck(4, "/u/.claude is a real directory, not a link")
        .unstuck(60_000, 4, StuckVerb::Clear);
    told(
        &stuck,
        &expect![[r#"
        [critical] Swap 4 from primary to backup is stuck: you must decide (swap:4/stuck)
            Why it is stuck: /u/.claude is a real directory, not a link
            Why it was tried: primary refused ccl-auto-11: "You've hit your 5-hour limit · resets 4am" (by its transcript)
            Next: nothing; no account is changed and no agent is started or ended for this swap, also after a restart, until you decide
            You: mend what is named above, then one of `claude-failover swap --resume` (forward again), `--rollback` (back again), `--clear` (you have put it right by hand)
        [info] Swap 4 is no longer stuck (swap:4/unstuck)
            Next: it is over; the link is taken as it is
    "#]],
    );
    let by_hand = Script::new()
        .planned(4, "primary", "backup", Trigger::Operator)
        .aborting(4, "the home is missing")
        .saved(4, "primary", &["ccl-auto-11"], false)
        .now(10, |at| Record::SwapUnflipped { op: OpId(4), at, moved: false })
        .then(10, Record::SwapRestored { op: OpId(4) })
        .now(10, |at| Record::SwapRolledBack { op: OpId(4), at });
    let levels: Vec<&str> = notices(&by_hand).iter().map(|notice| notice.level.word()).collect();
    assert_eq!(levels, ["warning"]);
}

fn parked(script: Script, until_ms: Option<i64>) -> Script {
    script.now(10, |now| Record::Parked {
        at: now,
        until: until_ms.map(at),
        reasons: vec![
            (account("primary"), "exhausted until 04:00".to_owned()),
            (account("backup"), "auth failed".to_owned()),
        ],
    })
}

#[test]
fn parked_and_awake_are_told_with_the_time() {
    let script = Script::new().refused(0, "primary", PlanWindow::FiveHour, HOUR_MS);
    let script = parked(script, Some(30 * HOUR_MS))
        .now(HOUR_MS, |at| Record::LimitReset {
            account: account("primary"),
            window: PlanWindow::FiveHour,
            at,
        })
        .planned(9, "primary", "primary", Trigger::AccountReturned)
        .checked(9)
        .saved(9, "primary", &["ccl-auto-11"], false)
        .flipped(9)
        .proven_by(9, "ccl-auto-11")
        .relaunched(9)
        .done(9);
    told(
        &script,
        &expect![[r#"
        [warning] Parked until Fri 27 Nov 10:00 (Europe/Paris) (parking/2026-11-27T09:00:00Z)
            Why: no account can be taken
            primary: exhausted until 04:00
            backup: auth failed
            Until: Fri 27 Nov 10:00 (Europe/Paris), in 29 h 59 min
            Next: sessions are left as they are, no task is started; it goes on by itself when the first account is back
            You: nothing to do
        [info] Awake again: work goes on on primary (parking/awake:9)
            Why: primary came back
            Parked for: 60 min
            Agents: 1 resumed
            Next: work goes on on primary; the swap took 2 s
            You: nothing to do
    "#]],
    );
    told(
        &parked(Script::new(), None),
        &expect![[r#"
        [critical] Parked until somebody mends an account (parking/until-mended)
            Why: no account can be taken
            primary: exhausted until 04:00
            backup: auth failed
            Next: sessions are left as they are, no task is started; it goes on when somebody mends an account
            You: none comes back by itself: log in to one, or `claude-failover account release NAME`
    "#]],
    );
}

#[test]
fn what_is_wrong_with_an_account_is_told_with_what_mends_it() {
    let script = Script::new()
        .now(0, |at| Record::LoginFailed {
            account: account("backup"),
            reason: "Please run /login · API Error: 401".to_owned(),
            at,
        })
        .now(60_000, |at| Record::LoginMended { account: account("backup"), at })
        .now(60_000, |now| Record::AccountRejected {
            account: account("backup"),
            reason: "/u/.claude-backup/projects leads elsewhere".to_owned(),
            until: at(HOUR_MS),
            at: now,
        })
        .now(1_000, |at| Record::ActiveFound { account: account("backup"), at });
    told(
        &script,
        &expect![[r#"
        [warning] The login of backup fails (login:backup/fails)
            Why: Please run /login · API Error: 401
            Next: it is not taken until its login is renewed
            You: CLAUDE_CONFIG_DIR=/u/.claude-backup claude, then /login
        [info] backup has a new login (login:backup/mended)
            Next: backup is asked once, and taken again when it answers
        [warning] backup cannot be used: a check of it failed (check:backup//u/.claude-backup/projects leads elsewhere)
            Why: /u/.claude-backup/projects leads elsewhere
            Until: it is tried again after 05:00 (Europe/Paris), in 58 min
            Next: other accounts are taken meanwhile
            You: mend it, then `claude-failover account release backup`
        [warning] Somebody moved the link to backup (link/backup)
            Why: it named primary, and no swap of ours moved it
            Next: backup is taken as the account in use
            You: nothing to do, if it was you
    "#]],
    );
}

#[test]
fn lost_sessions_are_told_and_that_they_are_back() {
    let lost = |name: &str, now| Record::SessionLost {
        session: session(name),
        at: now,
        agent: Some(agent()),
    };
    let planned = Record::RestorePlanned {
        op: OpId(2),
        session: session("ccl-1"),
        target: account("primary"),
        agent: agent(),
        cut: false,
    };
    let script = Script::new()
        .then(0, planned)
        .now(0, |now| lost("ccl-1", now))
        .ended(4_000, "ccl-1", MoveOutcome::Verified)
        .now(0, |now| lost("ccl-2", now));
    told(
        &script,
        &expect![[r#"
        [warning] The session ccl-1 is gone, and its agent with it (session:ccl-1/lost)
            Why: somebody ended it, or its tmux server ended
            Next: it is made anew and its conversation resumed; a message follows
            You: nothing to do
        [info] ccl-1 is back (session:ccl-1/back)
            Next: its conversation goes on on primary
        [warning] The session ccl-2 is gone, and its agent with it (session:ccl-2/lost)
            Why: somebody ended it, or its tmux server ended
            Next: it is made anew with a shell; its conversation is not resumed by itself
            You: tmux -S /run/t.sock attach -t =ccl-2, then claude --resume 82840528-5c4e-4114-8dc2-50dc43ea65c9
    "#]],
    );
}

pub fn offer() -> Offer {
    Offer {
        task: "shop:t1".parse().unwrap(),
        path: "/srv/shop/.agent-queue/inbox/t1.md".into(),
        title: "Mend the tests \u{202e}of\nthe parser".to_owned(),
        priority: Priority::High,
        since: at(0),
        dir: "/srv/shop".into(),
        attempts: 3,
        timeout: None,
        model: None,
    }
}

fn with_task(attempt: u32, fate: Fate) -> Script {
    Script::new()
        .now(0, |at| Record::TaskClaimed {
            session: session("ccl-auto-11"),
            offer: Box::new(offer()),
            attempt,
            at,
        })
        .now(1_000, |at| Record::TaskEnding { session: session("ccl-auto-11"), fate, at })
}

#[test]
fn a_task_is_told_when_it_does_not_end_well() {
    let reason = || "stalled: no progress for 60 min".to_owned();
    let mut all = String::new();
    for script in [
        with_task(1, Fate::Done { reason: reason() }),
        with_task(1, Fate::GivenBack { reason: reason() }),
        with_task(1, Fate::Failed { reason: "cancelled".to_owned() }),
        with_task(1, Fate::Requeued { reason: reason() }),
        with_task(3, Fate::Failed { reason: format!("{}; attempt 3 was the last", reason()) }),
        with_task(2, Fate::Unknown { reason: "the daemon died while it was sent".to_owned() }),
    ] {
        all.push_str(&text(&notices(&script)));
    }
    expect![[r#"
        [info] Task shop:t1 goes back to its queue (task:shop:t1/requeued:1)
            Title: Mend the tests  of the parser
            Why: stalled: no progress for 60 min
            Attempt: 1 of 3, no agent has had it
            Next: it is tried again by the next free session
            You: nothing to do
        [warning] Task shop:t1 failed (task:shop:t1/failed:3)
            Title: Mend the tests  of the parser
            Why: stalled: no progress for 60 min; attempt 3 was the last
            Attempt: 3 of 3, no agent has had it
            Next: it is not tried again; its file and its result lie in failed/
            You: claude-failover tasks show shop:t1, then tasks retry shop:t1
        [warning] Task shop:t1 waits for your decision (task:shop:t1/unknown:2)
            Title: Mend the tests  of the parser
            Why: the daemon died while it was sent
            Attempt: 2 of 3, no agent has had it
            Next: nobody can tell whether an agent had it, so it is not sent twice
            You: claude-failover tasks show shop:t1, then tasks retry or tasks cancel shop:t1
    "#]]
    .assert_eq(&all);
}

#[test]
fn a_start_says_what_was_before_it() {
    let mut first = Script::default().started(0);
    first.records.truncate(1);
    told(
        &first,
        &expect![[r#"
        [info] claude-failover 0.1.0 has started for the first time (daemon/started)
            Next: sessions are adopted as they are
    "#]],
    );
    let script = Script::new()
        .then(0, Record::CleanStop)
        .started(60_000)
        .planned(5, "primary", "backup", Trigger::Operator)
        .started(HOUR_MS);
    told(
        &script,
        &expect![[r#"
        [info] The daemon was stopped (daemon/stopped)
            Next: tmux and the agents go on; nobody watches their accounts, starts tasks or resumes them until the daemon is started
            You: systemctl start claude-failover (--user, if it is yours), when it is to go on
        [info] The daemon was started (0.1.0) (daemon/started)
            Next: sessions are adopted as they are
        [warning] The daemon is up again after an end that nobody asked for (0.1.0) (daemon/started-unclean)
            Why: it had not been stopped: it crashed, was killed, or the host went down; its last record is of 04:01 (Europe/Paris)
            Next: the swap 5 from primary to backup is gone on with, from facts
            You: claude-failover logs, around that time
    "#]],
    );
}

#[test]
fn steps_that_mean_nothing_to_a_person_are_not_told() {
    let script = Script::new()
        .planned(1, "primary", "backup", by_refusal())
        .checked(1)
        .then(
            0,
            Record::SwapProbing {
                op: OpId(1),
                canary: Box::new(moved(1, "ccl-auto-11", "backup", MoveStage::Stopping)),
            },
        )
        .ended(10, "ccl-auto-11", MoveOutcome::Held)
        .refused(0, "primary", PlanWindow::FiveHour, HOUR_MS)
        .now(0, |at| Record::AccountHeld { account: account("backup"), at });
    told(&script, &expect![[""]]);
}

/// The same records give the same notices, wherever a life of the daemon ended between them: what is
/// told after a crash is what would have been told before it.
#[test]
fn a_notice_depends_on_the_records_alone() {
    let script = parked(Script::new(), Some(HOUR_MS))
        .whole_swap(7, "primary", "backup", by_refusal())
        .started(60_000);
    let config = config();
    let whole = notices(&script);
    assert!(whole.len() >= 3, "{whole:#?}");
    for cut in 0..script.records.len() {
        let mut teller = Teller::new(None);
        let mut all = Vec::new();
        for (_, at, record) in script.numbered().take(cut) {
            all.extend(teller.take(at, record, &config));
        }
        let mut later = Teller::new(None);
        for (place, (_, at, record)) in script.numbered().enumerate() {
            let notice = later.take(at, record, &config);
            all.extend(notice.filter(|_| place >= cut));
        }
        assert_eq!(all, whole, "cut after {cut} records");
    }
}
