//! Three accounts run out one after the other under operators' conversations and a pool at work:
//! the fleet ends on the third, parks when that is out too, and wakes on the first at its reset.

use std::fs;

use crate::agent::now;
use crate::fleets::fleet::{Agent, Agents, Fleet, SWAPS, moment_ms};
use crate::fleets::plan::Plan;
use crate::rig::Asked;
use crate::support::eventually;

const OPERATORS: [&str; 2] = ["ops-1", "ops-2"];
const TASKS: [&str; 2] = ["one", "two"];
/// It comes while nobody can work.
const LATE: &str = "late";
/// Of the first account, from its refusal: the others have to run out before.
const RESETS_IN_S: i64 = 70;
const PARKED_MS_MIN: i64 = 20_000;
const WOKEN_WITHIN_MS: i64 = 60_000;
/// `swap.ramp_interval`.
const RAMP_MS: i64 = 1_000;
const STAMPED_LATE_MS: i64 = 100;
const CUT_OFF: &str = "Your last turn was cut off by a usage limit";

#[test]
fn the_fleet_ends_on_the_third_account_and_wakes_on_the_first() {
    let fleet = Fleet::up(Plan {
        name: "three",
        accounts: "ABC",
        dedicated: &[(OPERATORS[0], None), (OPERATORS[1], None)],
        pool: 2,
        swap: "ramp_interval: 1s",
    });
    let before = put_to_work(&fleet);
    let resets_at = fleet.reset_after(RESETS_IN_S);
    run_out_up_to_the_third(&fleet, resets_at);
    let on_third = fleet.await_settled_on('C');
    check_moved(&fleet, 'C', &before, &on_third);

    run_out_of_the_third(&fleet, &on_third);
    fleet.submit(LATE);
    let parked = fleet.recorded("parked", |_| true)[0];
    let until = moment_ms(&fleet.await_parked()["until"]);
    assert!(until - now().0 > PARKED_MS_MIN, "parked for {} ms", until - now().0);
    assert!((until - resets_at).abs() < 60_000, "{} ms off", until - resets_at);
    fleet.watch_parked(until, &on_third);

    for id in [TASKS[0], TASKS[1], LATE] {
        eventually("the task done", SWAPS, || fleet.done(id));
    }
    let woken = fleet.await_settled_on('A');
    for session in OPERATORS {
        assert_ne!(woken[session].pid, on_third[session].pid, "resumed there");
    }
    print_figures(&fleet, resets_at);
    check_moved(&fleet, 'A', &operators_of(&before), &operators_of(&woken));
    check_tasks(&fleet, &before, until);
    check_ramp(&fleet, until);
    check_requests(&fleet, &before, parked, resets_at);
}

/// Two operators talk, and two tasks are in the middle of their work, all on the first account.
fn put_to_work(fleet: &Fleet) -> Agents {
    fleet.obey_up_to('A', &fleet.gate("A"));
    fleet.talk(OPERATORS[0], 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    fleet.talk(OPERATORS[1], 'A', &fleet.link(), "OKAPI");
    for id in TASKS {
        fleet.submit(id);
        fleet.await_at_gate(&fleet.gate("A"), id);
    }
    let agents = fleet.agents();
    assert_eq!(agents.len(), OPERATORS.len() + TASKS.len(), "{agents:?}");
    agents
}

/// The first is out of its five hours, and, as its agents find out, the second of its week.
fn run_out_up_to_the_third(fleet: &Fleet, resets_at: i64) {
    let resets_at = resets_at / 1000;
    let (at, until) = (format!("reset_at={resets_at}"), format!("until={resets_at}"));
    fleet.obey_up_to('C', &fleet.gate("C"));
    fleet.answer('B', &["quota7d", "reset_in=200000"]);
    fleet.answer('A', &["quota5h", &at, &until, "then=obey"]);
    fleet.say(OPERATORS[0], "next step please");
    fs::write(fleet.gate("A"), "").unwrap();
    for id in TASKS {
        fleet.await_at_gate(&fleet.gate("C"), id);
    }
}

fn run_out_of_the_third(fleet: &Fleet, agents: &Agents) {
    fleet.answer('C', &["quota5h", "reset_in=7200"]);
    fleet.say(OPERATORS[0], "and the next one");
    fs::write(fleet.gate("C"), "").unwrap();
    fleet.await_parked();
    let cut = agents.iter().filter(|(session, _)| *session != OPERATORS[1]);
    for (session, agent) in cut {
        eventually(&format!("{session} refused"), SWAPS, || {
            fleet.refused('C', &agent.conversation).then_some(())
        });
    }
    fleet.await_at_rest(agents);
}

fn operators_of(agents: &Agents) -> Agents {
    let operators = agents.iter().filter(|(session, _)| OPERATORS.contains(&session.as_str()));
    operators.map(|(session, agent)| (session.clone(), agent.clone())).collect()
}

fn check_moved(fleet: &Fleet, letter: char, before: &Agents, after: &Agents) {
    assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
    for (session, agent) in after {
        assert_eq!(agent.conversation, before[session].conversation, "{session}");
        assert_eq!(agent.home, fleet.account(letter), "{session}");
    }
}

fn check_tasks(fleet: &Fleet, before: &Agents, parked_until: i64) {
    for id in TASKS {
        let result = fleet.done(id).unwrap();
        assert_eq!((result.attempts, result.reason.as_str()), (1, "signal"), "{result:?}");
        let conversation = result.conversation.as_ref().unwrap().as_str();
        let of = |agent: &Agent| agent.conversation == conversation;
        assert!(before.values().any(of), "{result:?}");
        assert_eq!(result.account.unwrap().as_str(), fleet.account('A'));
    }
    let late = fleet.recorded("task_claimed", |record| record["offer"]["task"] == "late:late");
    assert!(late.len() == 1 && late[0] >= parked_until, "{late:?} before {parked_until}");
    assert_eq!(fleet.done(LATE).unwrap().attempts, 1);
}

/// Nobody is ended before the canary has had its answer, and then one after the other.
fn check_ramp(fleet: &Fleet, parked_until: i64) {
    let proven = fleet.recorded("account_proven", |_| true);
    let mut stops = fleet.recorded("move_stopping", |_| true);
    stops.retain(|at| *at > parked_until);
    // Who goes first is ended for that, which is no step of the row.
    let sent_ahead = fleet.recorded("swap_probing", |_| true).len();
    let in_the_row = OPERATORS.len() + TASKS.len() - 1;
    assert_eq!((sent_ahead, proven.len(), stops.len()), (1, 1, in_the_row));
    let moments: Vec<i64> = proven.into_iter().chain(stops).collect();
    println!(
        "proven, then ended: {:?} ms after the reset",
        moments.iter().map(|at| at - parked_until).collect::<Vec<_>>()
    );
    assert!(moments[0] <= moments[1], "{moments:?}");
    // Records are stamped when they are written, some milliseconds after they were decided.
    let apart = |pair: &[i64]| pair[1] - pair[0] >= RAMP_MS - STAMPED_LATE_MS;
    assert!(moments[1..].windows(2).all(apart), "{moments:?}");
}

/// Nobody asked an account that was out, but who had to find out; and who woke the fleet was one of
/// the tasks, told to go on.
fn check_requests(fleet: &Fleet, before: &Agents, parked_at: i64, resets_at: i64) {
    let after = |asked: Vec<Asked>, at: i64| -> Vec<Asked> {
        asked.into_iter().filter(|asked| asked.at > at).collect()
    };
    let second = fleet.asked('B');
    assert!(second.iter().all(|asked| asked.reply == 429), "{second:#?}");
    let mut swaps = fleet.recorded("swap_done", |_| true);
    swaps.retain(|at| *at < parked_at);
    let settled = swaps.pop().unwrap();
    assert!(after(second, settled).is_empty());
    assert!(after(fleet.asked('C'), parked_at + 2_000).is_empty());

    let first = after(fleet.asked('A'), settled);
    let early = first.iter().filter(|asked| asked.at < resets_at).count();
    println!("{early} requests to the first account before its true reset");
    assert!(early <= 1, "{first:#?}");
    let [canary, ..] = first.as_slice() else { panic!("nobody asked") };
    let told = canary.prompts.last().is_some_and(|prompt| prompt.contains(CUT_OFF));
    assert!(told && canary.main, "{canary:?}");
    for session in OPERATORS {
        let id = &before[session].conversation;
        let nudged = first.iter().find(|asked| asked.conversation == *id);
        assert!(nudged.is_none(), "{session}: {nudged:?}");
    }
}

fn print_figures(fleet: &Fleet, resets_at: i64) {
    let first = fleet.asked('A');
    let refused = first.iter().find(|asked| asked.reply == 429).unwrap().at;
    let planned = fleet.recorded("swap_planned", |_| true);
    let answered = first.iter().find(|asked| asked.at >= resets_at && asked.reply == 200).unwrap();
    let moved = fleet.recorded("move_ended", |_| true).pop().unwrap();
    println!(
        "refusal to plan {} ms; reset to the first answer {} ms, to the last agent {} ms",
        planned[0] - refused,
        answered.at - resets_at,
        moved - resets_at
    );
    assert!(answered.at - resets_at < WOKEN_WITHIN_MS);
}
