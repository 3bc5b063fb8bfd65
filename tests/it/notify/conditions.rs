//! What no record stands for is seen in the core, and told when it begins.

use std::sync::Arc;
use std::time::Duration;

use claude_failover::config::Autonomous;
use claude_failover::core::event::HopelessTask;
use claude_failover::core::notice::Teller;
use claude_failover::core::record::Record;
use claude_failover::core::setback::Setback;
use claude_failover::core::standing::PlanWindow;
use claude_failover::core::{Core, TerminalState};
use claude_failover::ids::PaneId;
use claude_failover::moment::{Mono, Now};
use expect_test::expect;

use crate::history::script::{Script, account, at, by_refusal, session};
use crate::notify::notices::{config, offer, text};

const HOUR_MS: i64 = 3_600_000;

/// A core that has these records behind it and starts at this moment.
fn started(script: &Script, swaps_max: u32, at_ms: i64) -> Core {
    let mut config = config();
    config.swap.max_per_hour = swaps_max;
    config.pool.autonomous = Some(Autonomous {
        prefix: "ccl-auto-".to_owned(),
        start_index: 11,
        min: 1,
        max: 1,
        workdir: "/srv".into(),
    });
    let records = script.records.iter().map(|(_, record)| record);
    let mut core = Core::recover(Arc::new(config), records).unwrap();
    let now = Now { monotonic: Mono::default(), wall: at(at_ms) };
    let record = Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 1 };
    core.start(now, Some(account("backup")), record);
    core
}

fn hopeless(task: &str, at_ms: i64) -> HopelessTask {
    let reason = "malformed: priority: \"urgent\u{202e}\" is none".to_owned();
    HopelessTask { task: task.parse().unwrap(), reason, at: at(at_ms) }
}

#[test]
fn what_is_wrong_with_the_daemon_is_told_once_and_that_tmux_is_back() {
    let script = Script::new().whole_swap(1, "primary", "backup", by_refusal());
    let mut core = started(&script, 12, HOUR_MS);
    let mut teller = Teller::new(None);
    let now = at(HOUR_MS);
    assert_eq!(teller.look(&core, now), []);
    let reason = "no server on /run/t.sock".to_owned();
    core.terminal = TerminalState::Lost { reason, since: Mono(0) };
    core.dead_components.push("watcher".to_owned());
    core.queue.hopeless.push(hopeless("shop:t1", HOUR_MS));
    core.config_problems = (1..=7).map(|line| format!("line {line}: x{line}: unknown")).collect();
    let mut told = teller.look(&core, now);
    assert_eq!(teller.look(&core, now), [], "it has been said");
    core.terminal = TerminalState::Unseen;
    core.config_problems.clear();
    // Wrong as before, or not: somebody has put it there again.
    core.queue.hopeless.push(hopeless("shop:t1", HOUR_MS + 50_000));
    told.extend(teller.look(&core, now + Duration::from_secs(60)));
    told.push(teller.ended("append to /state/journal: No space left on device", now));
    expect![[r#"
        [warning] The new configuration was refused; nothing has changed (reload/line 1: x1: unknown)
            Why: line 1: x1: unknown
            Why: line 2: x2: unknown
            Why: line 3: x3: unknown
            Why: line 4: x4: unknown
            Why: line 5: x5: unknown
            and 2 more problems
            Next: the daemon goes on with the configuration that it has
            You: claude-failover check, mend the file, claude-failover reload
        [critical] A part of the daemon has ended: watcher (component:watcher/ended)
            Why: its thread ended, or takes no orders; the log says more
            Next: the other parts go on; /health answers 503
            You: claude-failover logs, then systemctl restart claude-failover (--user, if it is yours); no session ends
        [warning] Task shop:t1 can never run (task:shop:t1/hopeless:malformed: priority: "urgent " is none)
            Why: malformed: priority: "urgent " is none
            Attempt: no agent has had it
            Next: its file lies in failed/ with the reason, and is not tried again
            You: mend the file, then claude-failover tasks retry shop:t1
        [critical] tmux cannot be reached: no agent is seen (tmux/lost)
            Why: no server on /run/t.sock
            Next: it is tried again every moment; when the server is back, sessions are made anew and their conversations resumed
            You: claude-failover doctor says what is the matter and what helps
        [warning] Task shop:t1 can never run (task:shop:t1/hopeless:malformed: priority: "urgent " is none)
            Why: malformed: priority: "urgent " is none
            Attempt: no agent has had it
            Next: its file lies in failed/ with the reason, and is not tried again
            You: mend the file, then claude-failover tasks retry shop:t1
        [info] tmux can be reached again (tmux/back)
            Next: sessions are adopted, or made anew and resumed
        [critical] The daemon has ended: it cannot go on (daemon/ended)
            Why: append to /state/journal: No space left on device
            Next: tmux and the agents go on; the service manager starts the daemon again, which fails for as long as the cause is there
            You: claude-failover logs; if the disk is full or broken, mend that first
    "#]].assert_eq(&text(&told));
}

#[test]
fn who_cannot_be_launched_for_a_while_is_told_and_that_he_is_back() {
    let script = Script::new()
        .planned(3, "primary", "backup", by_refusal())
        .checked(3)
        .saved(3, "backup", &["ccl-auto-11"], false)
        .flipped(3);
    let mut core = started(&script, 12, HOUR_MS);
    let mut teller = Teller::new(None);
    let now = at(HOUR_MS);
    let session = "ccl-auto-11".parse().unwrap();
    let mut trouble = Setback {
        failures: 1,
        why: "not done: writing the launch file: No space left on device".to_owned(),
        again_at: Mono::default(),
    };
    core.launch_troubles.insert(session, trouble.clone());
    assert_eq!(teller.look(&core, now), [], "perhaps it is a matter of a moment");
    trouble.failures = 3;
    core.launch_troubles.values_mut().for_each(|known| *known = trouble.clone());
    let mut told = teller.look(&core, now);
    assert_eq!(teller.look(&core, now), [], "it has been said");
    core.launch_troubles.clear();
    told.extend(teller.look(&core, now + Duration::from_secs(60)));
    expect![[r#"
        [warning] The agent of ccl-auto-11 cannot be resumed yet (session:ccl-auto-11/cannot-launch)
            Why: not done: writing the launch file: No space left on device
            Next: it is tried again, at least once a minute; its conversation is on record and not lost
            You: mend what stands in the way; the conversation is resumed by itself then
        [info] The agent of ccl-auto-11 is launched at last (session:ccl-auto-11/launched)
            Next: its conversation goes on on backup
    "#]]
    .assert_eq(&text(&told));
}

fn with_a_launched_task() -> Script {
    let session = || session("ccl-auto-11");
    let conversation = "82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap();
    Script::new()
        .now(0, |at| Record::TaskClaimed {
            session: session(),
            offer: Box::new(offer()),
            attempt: 1,
            at,
        })
        .then(0, Record::TaskMarked { session: session(), conversation })
        .then(0, Record::TaskLaunching { session: session(), fence: 1, account: account("backup") })
        .now(0, |at| Record::TaskLaunched { session: session(), pane: PaneId(1), at })
}

#[test]
fn tasks_that_cannot_be_begun_are_told_once_for_all_and_that_one_is_at_last() {
    let mut core = started(&Script::new(), 12, HOUR_MS);
    let mut teller = Teller::new(None);
    let now = at(HOUR_MS);
    let trouble = Setback {
        failures: 3,
        why: "it was not launched: writing the launch file: No space left on device".to_owned(),
        again_at: Mono::default(),
    };
    core.task_troubles.insert("shop:t1".parse().unwrap(), trouble.clone());
    let mut told = teller.look(&core, now);
    core.task_troubles.insert("shop:t2".parse().unwrap(), trouble);
    assert_eq!(teller.look(&core, now), [], "it has been said");
    core.durable.jobs = with_a_launched_task().state.jobs;
    core.task_troubles.clear();
    told.extend(teller.look(&core, now + Duration::from_secs(60)));
    expect![[r#"
        [warning] Task shop:t1 cannot be begun yet (tasks/cannot-begin)
            Why: it was not launched: writing the launch file: No space left on device
            Next: it is tried again, at least once in a few minutes; it keeps its attempts
            You: mend what stands in the way; tasks are begun by themselves then
        [info] Task shop:t1 is begun at last (tasks/begun)
            Next: tasks are begun as before
    "#]]
    .assert_eq(&text(&told));
}

#[test]
fn throttled_is_told_while_work_stands_still_for_it() {
    let script = Script::new().whole_swap(1, "primary", "backup", by_refusal());
    let mut teller = Teller::new(None);
    assert_eq!(teller.look(&started(&script, 1, 60_000), at(60_000)), [], "nobody needs a swap");
    let out = script.refused(1_000, "backup", PlanWindow::FiveHour, 4 * HOUR_MS);
    let told = teller.look(&started(&out, 1, 60_000), at(60_000));
    expect![[r#"
        [warning] Too many swaps: throttled (throttled/)
            Why: 1 swaps within an hour is swap.max_per_hour
            Until: 05:00 (Europe/Paris), in 59 min
            Next: the account in use is out; work stands still until then, and goes on by itself
            You: `claude-failover swap` moves now; see `claude-failover history` for why so many
    "#]]
    .assert_eq(&text(&told));
}
