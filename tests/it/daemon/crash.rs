//! `kill -9` of the daemon after every record: nothing is lost, nothing doubled, nothing half.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use claude_failover::core::moves::NUDGE;

use crate::daemon::fleet::{Fleet, SWAP, Talks, session_row};
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

/// Fleets at work at the same time.
const LANES: usize = 4;
/// Far above the records of any of these stories: a daemon that never comes to rest fails.
const RECORDS_MAX: usize = 200;

/// What happens to a fleet, and what must be true at the end however often the daemon died.
struct Story {
    layout: fn() -> Layout,
    /// Done while no daemon runs. tmux 3.3a crashes when a session ends in the moment in which a
    /// control client attaches, so nothing may end while ours comes up.
    prepare: fn(&Fleet),
    provoke: fn(&Fleet),
    /// Waits for the end of the story and checks it.
    verify: fn(&Fleet, &Talks),
    /// Whether the daemon that was to die has come to the end instead.
    is_over: fn(&Fleet) -> bool,
}

enum End {
    Died,
    Survived,
}

/// Plays the story with a death after record 1, 2, 3 … until the daemon outlives it; the number
/// of deaths.
fn sweep(story: &Story) -> usize {
    let next = AtomicUsize::new(1);
    let survived = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while !survived.load(Ordering::Relaxed) {
                    let records = next.fetch_add(1, Ordering::Relaxed);
                    assert!(records <= RECORDS_MAX, "still dying after {records} records");
                    if let End::Survived = play(story, records) {
                        survived.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    next.load(Ordering::Relaxed) - 1
}

fn play(story: &Story, records: usize) -> End {
    let (mut fleet, talks) = Fleet::up((story.layout)());
    fleet.stop_daemon();
    (story.prepare)(&fleet);
    fleet.start_with(Some(records));
    (story.provoke)(&fleet);
    let ended =
        eventually("the daemon dies or the story is over", SWAP, || match fleet.daemon_ended() {
            Some(status) => Some(Some(status)),
            None => (story.is_over)(&fleet).then_some(None),
        });
    let end = match ended {
        Some(status) => {
            assert_eq!(status.signal(), Some(9), "after record {records}");
            fleet.start_with(None);
            End::Died
        }
        None => End::Survived,
    };
    (story.verify)(&fleet, &talks);
    end
}

#[test]
fn a_swap_survives_a_kill_after_each_of_its_records() {
    let deaths = sweep(&Story {
        layout: Layout::default,
        prepare: |_| {},
        provoke: |fleet| {
            fleet.exhaust("a", 2 * 3600);
            fleet.prompt(&pool(1), "go on");
        },
        verify: |fleet, talks| {
            let status = fleet.await_all_on("b", talks);
            assert_eq!(status["swap"]["last"]["outcome"], "done");
            assert_eq!(status["last_swap_to"], "b");
            // Each was asked what it was asked, and told once that it was cut off.
            for (session, asked) in [
                (DEDICATED, &["first words"][..]),
                (&pool(1), &["first words", "go on", NUDGE]),
                (&pool(2), &["first words"]),
            ] {
                let (prompts, _) = outside::transcript(fleet.root(), &talks[session]);
                let told: Vec<&str> = prompts.iter().map(String::as_str).collect();
                let untold = asked.strip_suffix(&[NUDGE]).unwrap_or(asked);
                assert!(told == asked || told == untold, "{session}: {told:?}");
            }
        },
        is_over: |fleet| {
            let status = fleet.status();
            let sessions = status["sessions"].as_array();
            let still = sessions.is_none_or(|all| all.iter().any(|row| !row["move"].is_null()));
            status["state"] == "normal" && status["swap"]["last"]["outcome"] == "done" && !still
        },
    });
    println!("{deaths} records");
    assert!(deaths > 20, "{deaths} records make no swap of three agents");
}

#[test]
fn the_way_back_survives_a_kill_after_each_of_its_records() {
    let deaths = sweep(&Story {
        layout: || Layout { verify_timeout: "2s", ..Layout::default() },
        prepare: |_| {},
        provoke: |fleet| {
            fleet.script("b", "dialog trust");
            fleet.exhaust("a", 2 * 3600);
            fleet.prompt(DEDICATED, "go on");
        },
        verify: |fleet, talks| {
            let status = fleet.await_state("parked");
            assert_eq!(status["swap"]["last"]["outcome"], "rolled_back");
            assert_eq!(std::fs::read_link(fleet.link()).unwrap(), fleet.home("a"));
            for session in [pool(1), pool(2)] {
                let agent = fleet.agent(&session);
                assert_eq!(agent.homed, Some(fleet.home("a")), "{session}");
                assert_eq!(agent.conversation.as_ref(), Some(&talks[&session]));
            }
            for (session, agents) in fleet.agents() {
                assert_eq!(agents.len(), 1, "{session}: {agents:#?}");
                assert_ne!(agents[0].homed, Some(fleet.home("b")), "{session}");
            }
        },
        is_over: |fleet| fleet.status()["state"] == "parked",
    });
    println!("{deaths} records");
}

/// The only account runs out under a pool agent's turn, and comes back.
const BACK_IN_S: u64 = 6;

#[test]
fn parking_and_waking_survive_a_kill_after_each_of_their_records() {
    let deaths = sweep(&Story {
        layout: || Layout { accounts: 1, pool: 1, ..Layout::default() },
        prepare: |_| {},
        provoke: |fleet| {
            fleet.exhaust("a", BACK_IN_S);
            fleet.prompt(&pool(1), "go on");
        },
        verify: |fleet, talks| {
            fleet.await_status("it is awake", |status| {
                let sessions = status["sessions"].as_array();
                let still = sessions.is_none_or(|all| all.iter().any(|row| !row["move"].is_null()));
                let account = &status["accounts"][0];
                status["state"] == "normal" && account["state"] == "available" && !still
            });
            for (session, talk) in talks {
                assert_eq!(fleet.agent(session).conversation.as_ref(), Some(talk));
            }
            let (prompts, _) = outside::transcript(fleet.root(), &talks[DEDICATED]);
            assert_eq!(prompts, ["first words"], "nothing is said to its operator's agent");
            let (prompts, _) = outside::transcript(fleet.root(), &talks[&pool(1)]);
            let nudges = prompts.iter().filter(|prompt| prompt.starts_with("Your last turn"));
            assert!(nudges.count() <= 1, "{prompts:?}");
        },
        // Refused, and over it: before it is refused everything looks alike.
        is_over: |fleet| fleet.log().contains("op=1 phase=Done"),
    });
    println!("{deaths} records");
    assert!(deaths > 12, "{deaths} records neither park nor wake a fleet");
}

#[test]
fn a_restore_survives_a_kill_after_each_of_its_records() {
    let deaths = sweep(&Story {
        layout: Layout::default,
        prepare: |fleet| {
            for session in [DEDICATED, &pool(1)] {
                fleet.tmux(&["kill-session", "-t", &format!("={session}")]).unwrap();
            }
        },
        provoke: |_| {},
        verify: |fleet, talks| {
            fleet.await_status("all are back", |status| {
                talks.iter().all(|(session, talk)| {
                    let row = session_row(status, session);
                    row["agent"]["conversation"] == talk.as_str() && row["move"].is_null()
                })
            });
            for (session, talk) in talks {
                assert_eq!(fleet.agent(session).conversation.as_ref(), Some(talk));
            }
        },
        is_over: |fleet| fleet.log().matches(" resumed").count() == 2,
    });
    println!("{deaths} records");
}
