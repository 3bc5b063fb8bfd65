//! The chain behind one thing: told from records, and by the verb from real files.

use claude_failover::cli::why::sheet;
use claude_failover::core::job::{Decision, Fate};
use claude_failover::core::record::{MoveOutcome, MoveStage, Record};
use claude_failover::core::standing::PlanWindow;
use claude_failover::core::steer::PauseEnd;
use claude_failover::core::trigger::Trigger;
use claude_failover::core::why::{LINES_MAX, Subject, Why};
use claude_failover::ids::{ConversationId, OpId, PaneId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::task::{Offer, Priority};
use expect_test::{Expect, expect};

use crate::history::script::{Script, account, agent, at, by_refusal, moved, session};

mod verb;

const HOUR_MS: i64 = 3_600_000;

fn chain(script: &Script, subject: Subject) -> Why {
    let mut why = Why::new(subject);
    for (seq, at, record) in script.numbered() {
        why.take(seq, at, record);
    }
    why
}

#[track_caller]
fn check(script: &Script, subject: Subject, expected: &Expect) {
    let text = sheet::text(&[chain(script, subject)], 100);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    expected.assert_eq(&text);
}

fn swap(op: u64) -> Subject {
    Subject::Swap(OpId(op))
}

fn of_session(name: &str) -> Subject {
    Subject::Session(session(name))
}

fn offer(name: &str) -> Box<Offer> {
    Box::new(Offer {
        task: name.parse().unwrap(),
        title: "Mend the tests".to_owned(),
        priority: Priority::High,
        since: Wall(0),
        model: None,
        timeout: None,
        attempts: 3,
        path: "/srv/shop/.agent-queue/inbox/t.md".into(),
        dir: "/srv/shop".into(),
    })
}

fn talk() -> ConversationId {
    "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap()
}

/// A refusal, then a whole swap of three; one of them follows when its turn ends.
pub fn night() -> Script {
    let stopping = Record::MoveStopping {
        session: session("ccl-1"),
        process: agent().process,
        finished: true,
        until: None,
    };
    Script::new()
        .started(500)
        .refused(1_000, "primary", PlanWindow::FiveHour, HOUR_MS)
        .whole_swap(17, "primary", "backup", by_refusal())
        .then(30_000, stopping)
        .ended(
            2_000,
            "ccl-1",
            MoveOutcome::Failed { reason: "no conversation is known".to_owned() },
        )
}

#[test]
fn a_swap_is_told_from_its_evidence_to_the_last_session() {
    check(
        &night(),
        swap(17),
        &expect![[r#"
        swap 17
          now  done in 2.7 s: primary → backup, because ccl-auto-11 was refused on
               primary: "You've hit your 5-hour limit · resets 4am"

        2026-11-26
        03:00:01Z  ccl-auto-11 was refused on primary: five_hour limit until
                   2026-11-26T04:00:00Z because transcript: "You've hit your 5-hour
                   limit · resets 4am"
        03:00:01Z  swap 17 is planned: primary → backup because ccl-auto-11 was refused
                   on primary: "You've hit your 5-hour limit · resets 4am"
        03:00:01Z  backup is taken because priority 2
        03:00:01Z  primary is passed over because it is the account to leave
        03:00:01Z  +0.1 s checked: backup can be worked on
        03:00:01Z  +0.2 s saved: the conversations of ccl-auto-11, ccl-auto-12, ccl-1
        03:00:01Z  +0.2 s ccl-1 stays until its turn ends, or until 2026-11-26T03:10:00Z
                   because it is inside a turn (swap.busy_grace)
        03:00:02Z  +0.7 s stopped: all that must end have ended
        03:00:02Z  +0.7 s flipped: the link names backup
        03:00:03Z  +1.6 s the agent of ccl-auto-11 goes on where it was
        03:00:03Z  +1.6 s ccl-auto-11 is up on backup: all others follow
        03:00:03Z  +1.8 s relaunched: all are on their way
        03:00:04Z  +2.4 s the agent of ccl-auto-12 goes on where it was
        03:00:04Z  +2.7 s verified: each runs or has its reason
        03:00:04Z  +2.7 s done
        03:00:34Z  the agent of ccl-1 is ended now because its turn is over
        03:00:36Z  the agent of ccl-1 was not resumed: the session is at its shell
                   because no conversation is known
    "#]],
    );
}

#[test]
fn a_session_is_told_by_what_was_done_with_its_agent() {
    let script = night();
    check(
        &script,
        of_session("ccl-auto-11"),
        &expect![[r#"
            session ccl-auto-11
              now  no agent is known there: it is at its shell

            2026-11-26
            03:00:01Z  refused on primary: five_hour limit until 2026-11-26T04:00:00Z
                       because transcript: "You've hit your 5-hour limit · resets 4am"
            03:00:01Z  its refusal makes swap 17: primary → backup because ccl-auto-11 was
                       refused on primary: "You've hit your 5-hour limit · resets 4am"
            03:00:01Z  swap 17 takes it to backup: it is ended and resumed because
                       ccl-auto-11 was refused on primary: "You've hit your 5-hour limit ·
                       resets 4am"
            03:00:03Z  its agent goes on where it was
            03:00:03Z  ccl-auto-11 is up on backup: all others follow
        "#]],
    );
    check(
        &script,
        of_session("ccl-1"),
        &expect![[r#"
            session ccl-1
              now  no agent is known there: it is at its shell

            2026-11-26
            03:00:01Z  swap 17 takes it to backup when its turn ends, or at
                       2026-11-26T03:10:00Z because ccl-auto-11 was refused on primary:
                       "You've hit your 5-hour limit · resets 4am"
            03:00:34Z  its agent is ended now because its turn is over
            03:00:36Z  its agent was not resumed: the session is at its shell because no
                       conversation is known
        "#]],
    );
}

#[test]
fn an_account_is_told_by_what_stood_against_it() {
    let script = night()
        .now(1_000, |at| Record::AccountHeld { account: account("backup"), at })
        .planned(18, "backup", "third", Trigger::SetAside)
        .then(100, Record::SwapAborting { op: OpId(18), reason: "no home".to_owned() })
        .then(100, Record::SwapSaved { op: OpId(18), moves: Vec::new() })
        .now(100, |at| Record::SwapUnflipped { op: OpId(18), at, moved: false })
        .then(100, Record::SwapRestored { op: OpId(18) })
        .now(100, |at| Record::SwapRolledBack { op: OpId(18), at })
        .now(86_400_000, |at| Record::AccountReleased { account: account("backup"), at })
        .now(1_000, |at| Record::AccountPinned { account: account("primary"), at });
    check(
        &script,
        Subject::Account(account("backup")),
        &expect![[r#"
            account backup
              now  available
              now  in use
              now  passed over: primary is pinned

            2026-11-26
            03:00:01Z  swap 17 is planned: primary → backup because ccl-auto-11 was refused
                       on primary: "You've hit your 5-hour limit · resets 4am"
            03:00:02Z  in use from now on: the link names it because swap 17 has flipped it
            03:00:37Z  held: nothing goes there because the operator said so
            03:00:37Z  swap 18 is planned: backup → third because backup is held, or another
                       account is pinned
            03:00:37Z  in use from now on: the link names it because swap 18 has flipped it

            2026-11-27
            03:00:37Z  released: what stood against it is over because the operator said so
            03:00:38Z  passed over from now on: primary is pinned because the operator said
                       so
        "#]],
    );
    check(
        &script,
        Subject::Account(account("primary")),
        &expect![[r#"
            account primary
              now  exhausted
              now  five_hour limit until 2026-11-26T04:00:00Z: "You've hit your 5-hour limit
                   · resets 4am"
              now  pinned

            2026-11-26
            03:00:00Z  in use from now on because the link names it, without a swap of ours
            03:00:01Z  primary refuses ccl-auto-11: five_hour limit until
                       2026-11-26T04:00:00Z because transcript: "You've hit your 5-hour
                       limit · resets 4am"
            03:00:01Z  swap 17 is planned: primary → backup because ccl-auto-11 was refused
                       on primary: "You've hit your 5-hour limit · resets 4am"
            03:00:02Z  in use no more: the link names backup because swap 17 has flipped it

            2026-11-27
            03:00:38Z  pinned: no other account is used because the operator said so
        "#]],
    );
}

/// Two attempts: the first agent dies, the second has it done.
fn task_script() -> Script {
    let name = "ccl-auto-11";
    let attempt = |script: Script, fence: u64, attempt: u32| {
        script
            .now(1_000, |at| Record::TaskClaimed {
                session: session(name),
                offer: offer("shop:t-1"),
                attempt,
                at,
            })
            .then(50, Record::TaskMarked { session: session(name), conversation: talk() })
            .then(
                50,
                Record::TaskLaunching {
                    session: session(name),
                    fence,
                    account: account("primary"),
                },
            )
            .now(400, |at| Record::TaskLaunched { session: session(name), pane: PaneId(3), at })
            .now(900, |at| Record::TaskReceived {
                session: session(name),
                process: Some(ProcessRef { pid: 4711, started_ticks: 9 }),
                at,
            })
    };
    let over = |script: Script, fate: Fate| {
        script
            .now(2_000, |at| Record::TaskEnding { session: session(name), fate, at })
            .then(100, Record::TaskLeft { session: session(name) })
            .now(100, |at| Record::TaskClosed { session: session(name), at })
    };
    let script = attempt(Script::new(), 1, 1).now(60_000, |at| Record::TaskLost {
        session: session(name),
        session_gone: false,
        process: None,
        at,
    });
    let requeued = Fate::Requeued { reason: "its agent ended at work".to_owned() };
    let script = attempt(over(script, requeued), 2, 2);
    over(script, Fate::Done { reason: "signal".to_owned() })
}

#[test]
fn a_task_is_told_by_its_attempts_and_what_it_came_to() {
    check(
        &task_script(),
        Subject::Task("shop:t-1".parse().unwrap()),
        &expect![[r#"
        task shop:t-1
          now  is done since 2026-11-26T03:01:09Z: signal

        2026-11-26
        03:00:01Z  claimed for ccl-auto-11, attempt 1 because it was the head of the
                   queue (priority high) and the session was free
        03:00:01Z  marked as ours; it will run in conversation
                   82840528-5c4e-4114-8dc2-50dc43ea65c9
        03:00:01Z  an agent is launched for it on primary
        03:00:01Z  the agent is up in pane %3
        03:00:02Z  the agent has the task and works on it
        03:01:02Z  its agent is gone
        03:01:04Z  goes back to the queue; the attempt counts because its agent ended at
                   work
        03:01:04Z  nobody works on it any more
        03:01:04Z  its file stays in the inbox, and the session is free
        03:01:05Z  claimed for ccl-auto-11, attempt 2 because it was the head of the
                   queue (priority high) and the session was free
        03:01:05Z  marked as ours; it will run in conversation
                   82840528-5c4e-4114-8dc2-50dc43ea65c9
        03:01:05Z  an agent is launched for it on primary
        03:01:06Z  the agent is up in pane %3
        03:01:07Z  the agent has the task and works on it
        03:01:09Z  is done because signal
        03:01:09Z  nobody works on it any more
        03:01:09Z  its file is in done/, and the session is free
    "#]],
    );
}

#[test]
fn a_task_that_nobody_can_tell_of_names_who_decides() {
    let name = "ccl-auto-11";
    let script = Script::new()
        .now(1_000, |at| Record::TaskClaimed {
            session: session(name),
            offer: offer("shop:t-1"),
            attempt: 1,
            at,
        })
        .now(100, |at| Record::TaskEnding {
            session: session(name),
            fate: Fate::Unknown { reason: "its session went while it was sent".to_owned() },
            at,
        })
        .now(100, |at| Record::TaskClosed { session: session(name), at });
    let task = || Subject::Task("shop:t-1".parse().unwrap());
    check(
        &script,
        task(),
        &expect![[r#"
        task shop:t-1
          now  waits for a person since 2026-11-26T03:00:01Z: its session went while it
               was sent; `claude-failover tasks retry shop:t-1` or `cancel` decides

        2026-11-26
        03:00:01Z  claimed for ccl-auto-11, attempt 1 because it was the head of the
                   queue (priority high) and the session was free
        03:00:01Z  waits for a person: nobody can tell because its session went while it
                   was sent
        03:00:01Z  its file and marker stay in the inbox, and the session is free
    "#]],
    );
    let decided = script.now(5_000, |at| Record::TaskDecided {
        task: "shop:t-1".parse().unwrap(),
        decision: Decision::Retry,
        at,
    });
    let text = sheet::text(&[chain(&decided, task())], 1);
    assert!(text.contains("to be tried again because a person decided so"), "{text}");
    assert!(text.contains("earlier lines: --limit shows more"), "{text}");
}

#[test]
fn a_swap_that_turns_back_and_sticks_says_why() {
    let script = Script::new()
        .planned(3, "primary", "backup", Trigger::Operator)
        .checked(3)
        .saved(3, "backup", &["ccl-1"], false)
        .aborting(3, "no account is left: backup: its home cannot be read")
        .stuck(3, "the link could not be flipped back: it is a directory");
    check(
        &script,
        swap(3),
        &expect![[r#"
        swap 3
          now  stuck: the link could not be flipped back: it is a directory;
               `claude-failover swap --resume`, `--rollback` or `--clear` ends that
          now  not there yet: ccl-1

        2026-11-26
        03:00:00Z  swap 3 is planned: primary → backup because the operator said so
        03:00:00Z  backup is taken because priority 2
        03:00:00Z  primary is passed over because it is the account to leave
        03:00:00Z  +0.1 s checked: backup can be worked on
        03:00:00Z  +0.2 s saved: the conversation of ccl-1
        03:00:00Z  +0.3 s turns back because no account is left: backup: its home cannot
                   be read
        03:00:00Z  +0.4 s stuck: nothing is done before an operator decides because the
                   link could not be flipped back: it is a directory
    "#]],
    );
}

#[test]
fn who_is_paused_or_drained_is_told() {
    let drained = vec![session("ccl-auto-11"), session("ccl-auto-12")];
    let script = Script::new()
        .then(0, Record::AgentAdopted { session: session("ccl-auto-11"), agent: agent() })
        .now(1_000, |at| Record::SessionsDrained { sessions: drained, at })
        .now(1_000, |at| Record::Paused { at, until: None });
    check(
        &script,
        of_session("ccl-auto-11"),
        &expect![[r#"
        session ccl-auto-11
          now  an agent is there: pid 7, conversation
               82840528-5c4e-4114-8dc2-50dc43ea65c9, on the link
          now  drained since 2026-11-26T03:00:01Z: it gets no task before
               `claude-failover resume ccl-auto-11`
          now  the daemon is paused since 2026-11-26T03:00:02Z

        2026-11-26
        03:00:00Z  an agent is there: pid 7, conversation
                   82840528-5c4e-4114-8dc2-50dc43ea65c9, on the link
        03:00:01Z  drained: it gets no more tasks because the operator said so
    "#]],
    );
    let script = script
        .now(1_000, |at| Record::PauseEnded { at, by: PauseEnd::Operator })
        .now(0, |at| Record::SessionsResumed { sessions: vec![session("ccl-auto-11")], at })
        .then(9_000, Record::AgentEnded { session: session("ccl-auto-11") });
    check(
        &script,
        of_session("ccl-auto-11"),
        &expect![[r#"
            session ccl-auto-11
              now  no agent is known there: it is at its shell

            2026-11-26
            03:00:00Z  an agent is there: pid 7, conversation
                       82840528-5c4e-4114-8dc2-50dc43ea65c9, on the link
            03:00:01Z  drained: it gets no more tasks because the operator said so
            03:00:03Z  takes tasks again because the operator said so
            03:00:12Z  its agent ended: it is at its shell because it ended by itself, or a
                       person ended it
        "#]],
    );
}

#[test]
fn nothing_known_is_nothing_told() {
    let script = night();
    for subject in [swap(99), of_session("nosuch"), Subject::Account(account("nosuch"))] {
        assert!(!chain(&script, subject.clone()).is_known(), "{subject}");
    }
}

#[test]
fn rows_of_screens_order_a_terminal_nothing() {
    let evil = "\u{1b}[2J\u{1b}]0;gotcha\u{7} hit";
    let trigger = Trigger::Refusal {
        session: session("ccl-auto-11"),
        row: evil.to_owned(),
        evidence: claude_failover::core::trigger::EvidenceSource::Pane,
    };
    let script = Script::new().planned(1, "primary", "backup", trigger);
    let chains = [chain(&script, swap(1))];
    for text in [sheet::text(&chains, 9), sheet::json(&chains, 9)] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
    let json: serde_json::Value = serde_json::from_str(&sheet::json(&chains, 9)).unwrap();
    assert_eq!(json["about"], "swap 1");
    assert!(json["lines"][0]["because"].as_str().unwrap().contains(evil), "{json:#}");
}

/// Months of one session must not fill the memory.
#[test]
fn what_is_kept_has_an_end() {
    let mut why = Why::new(of_session("ccl-1"));
    let ended = Record::AgentEnded { session: session("ccl-1") };
    for seq in 0..LINES_MAX as u64 + 7 {
        why.take(seq, at(0), &ended);
    }
    assert_eq!((why.lines().len(), why.dropped()), (LINES_MAX, 7));
}

/// Records of their beginning are missing: the rest is told all the same.
#[test]
fn a_chain_without_its_beginning_is_told_from_where_it_is_known() {
    let whole = night();
    let cut = whole.records.len() / 2;
    let mut why = Why::new(swap(17));
    for (seq, (at, record)) in (1..).zip(&whole.records).skip(cut) {
        why.take(seq, *at, record);
    }
    assert!(why.is_known());
    let state = whole.records[..cut]
        .iter()
        .fold(Script::default(), |script, (_, record)| script.then(0, record.clone()));
    let mut why = Why::new(swap(17));
    why.take(1, at(0), &Record::Compacted { state: Box::new(state.state) });
    for (seq, (at, record)) in (2..).zip(&whole.records).skip(cut) {
        why.take(seq, *at, record);
    }
    let staying = moved(17, "ccl-1", "backup", MoveStage::Staying { until: at(600_000) });
    assert_eq!(staying.op, OpId(17));
    assert!(why.now()[0].starts_with("done in "), "{:?}", why.now());
}
