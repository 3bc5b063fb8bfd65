//! How a parked fleet wakes: by one question of the daemon's own, after a reset that was printed
//! wrong, and beside clients that wait for the reset themselves.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::agent::now;
use crate::fleets::fleet::{Agents, Fleet, SWAPS, moment_ms};
use crate::fleets::plan::Plan;
use crate::rig::Asked;
use crate::support::eventually;

/// The fleet has to run out, and its park to be looked at, before.
const RESETS_IN_S: i64 = 25;
const WOKEN_WITHIN_MS: i64 = 60_000;

fn limit(resets_at: i64, until: i64) -> [String; 4] {
    let (printed, until) = (resets_at / 1000, until / 1000);
    ["quota5h".into(), format!("reset_at={printed}"), format!("until={until}"), "then=obey".into()]
}

fn words(scenario: &[String; 4]) -> [&str; 4] {
    scenario.each_ref().map(String::as_str)
}

/// Until the daemon's own moment of waking; each agent refused once.
fn sit_out(fleet: &Fleet, letter: char, agents: &Agents) -> i64 {
    for (session, agent) in agents {
        eventually(&format!("{session} refused"), SWAPS, || {
            fleet.refused(letter, &agent.conversation).then_some(())
        });
    }
    fleet.await_at_rest(agents);
    let until = moment_ms(&fleet.await_parked()["until"]);
    fleet.watch_parked(until, agents);
    until
}

fn after(asked: Vec<Asked>, at: i64) -> Vec<Asked> {
    asked.into_iter().filter(|asked| asked.at >= at).collect()
}

#[test]
fn one_question_wakes_operators_where_they_are() {
    let fleet = Fleet::up(Plan {
        name: "asked",
        accounts: "AB",
        dedicated: &[("ops-1", None), ("ops-2", None)],
        pool: 0,
        swap: "ramp_interval: 1s",
    });
    fleet.talk("ops-1", 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    fleet.talk("ops-2", 'A', &fleet.link(), "OKAPI");
    fleet.answer('A', &["quota7d", "reset_in=200000"]);
    fleet.say("ops-1", "next step please");
    let agents = fleet.await_settled_on('B');

    let resets_at = fleet.reset_after(RESETS_IN_S);
    fleet.answer('B', &words(&limit(resets_at, resets_at)));
    fleet.say("ops-1", "and the next one");
    fleet.say("ops-2", "you too");
    let until = sit_out(&fleet, 'B', &agents);
    assert_eq!(fleet.await_settled_on('B'), agents, "woken where they are");

    let asked = after(fleet.asked('B'), until);
    let [question] = asked.as_slice() else { panic!("one question: {asked:#?}") };
    assert!(question.is_probe() && question.reply == 200, "{question:?}");
    assert!(after(fleet.asked('A'), until).is_empty());
    let woken = fleet.recorded("account_proven", |_| true)[0];
    println!(
        "reset to the question {} ms, to its answer {} ms",
        question.at - resets_at,
        woken - resets_at
    );
    assert!(woken - resets_at < WOKEN_WITHIN_MS);

    // The menu of the refusal stands as it stood; the operator closes it and goes on.
    fleet.tmux.run(&["send-keys", "-t", &fleet.pane("ops-1"), "Escape"]);
    fleet.await_status("the menu closed", SWAPS, |status| {
        let mut sessions = status["sessions"].as_array().into_iter().flatten();
        sessions.any(|s| s["name"] == "ops-1" && s["agent"]["state"] == "idle")
    });
    fleet.say("ops-1", "please go on");
    let conversation = &agents["ops-1"].conversation;
    eventually("an answer", SWAPS, || fleet.answered('B', conversation).then_some(()));
    assert_eq!(fleet.recorded("swap_planned", |_| true).len(), 2, "one to B, one to wake there");
}

#[test]
fn a_reset_that_was_printed_wrong_costs_one_agent_a_minute() {
    let fleet = Fleet::up(Plan {
        name: "wrong",
        accounts: "A",
        dedicated: &[("ops-1", None)],
        pool: 2,
        swap: "ramp_interval: 1s",
    });
    // Its client does not ask on its own.
    let settings = r#"{"autoContinueAtUsageLimit": false}"#;
    fleet.rig.log_in_with(&fleet.account('A'), &fleet.work(""), &["--settings", settings]);
    let (gate, tasks) = (fleet.gate("A"), ["one", "two"]);
    fleet.obey_up_to('A', &gate);
    fleet.talk("ops-1", 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    for id in tasks {
        fleet.submit(id);
        fleet.await_at_gate(&gate, id);
    }
    let printed = fleet.reset_after(RESETS_IN_S);
    let agents = fleet.agents();
    fleet.answer('A', &words(&limit(printed, printed + 45_000)));
    fs::write(&gate, "").unwrap();
    fleet.say("ops-1", "next step please");
    let until = sit_out(&fleet, 'A', &agents);

    let status = fleet.await_status("parked for longer", SWAPS, |status| {
        status["state"] == "parked" && moment_ms(&status["until"]) > until + 30_000
    });
    let asked = after(fleet.asked('A'), until);
    let [canary] = asked.as_slice() else { panic!("one canary: {asked:#?}") };
    assert!(canary.main && canary.reply == 429, "{canary:?}");
    let later = moment_ms(&status["until"]);
    println!(
        "refused again {} ms after the reset, parked for {} ms more",
        canary.at - until,
        later - canary.at
    );
    assert!((55_000..70_000).contains(&(later - canary.at)));
    let (touched, still): (Agents, Agents) =
        agents.into_iter().partition(|(_, agent)| agent.conversation == canary.conversation);
    let mut now_here = fleet.agents();
    let sent = now_here.get(touched.keys().next().unwrap()).cloned();
    assert_eq!(sent.map(|agent| agent.conversation), Some(canary.conversation.clone()));
    now_here.retain(|session, _| !touched.contains_key(session));
    assert_eq!(now_here, still, "nobody but the canary was touched");

    let waiting = fleet.agents();
    fleet.await_at_rest(&waiting);
    fleet.watch_parked(later, &waiting);
    for id in tasks {
        let result = eventually("the task done", SWAPS, || fleet.done(id));
        assert_eq!((result.attempts, result.reason.as_str()), (1, "signal"), "{result:?}");
    }
    let woken = fleet.await_settled_on('A');
    assert_eq!(woken["ops-1"], still["ops-1"]);
    let first = after(fleet.asked('A'), later);
    println!("asked again {} ms after that", first[0].at - later);
    assert!(first[0].main && first[0].reply == 200, "{first:#?}");
}

/// The client's own words to the model.
const CONTINUES: &str = "usage limit has reset";

#[test]
fn clients_that_go_on_by_themselves_are_left_to_it() {
    let fleet = Fleet::up(Plan {
        name: "armed",
        accounts: "A",
        dedicated: &[("ops-1", None), ("ops-2", Some("Go on."))],
        pool: 0,
        swap: "ramp_interval: 1s",
    });
    fleet.talk("ops-1", 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    fleet.talk("ops-2", 'A', &fleet.link(), "OKAPI");
    let agents = fleet.agents();
    let resets_at = fleet.reset_after(RESETS_IN_S);
    fleet.answer('A', &words(&limit(resets_at, resets_at)));
    fleet.say("ops-1", "next step please");
    fleet.say("ops-2", "you too");
    fleet.await_status("both wait for the reset", SWAPS, |status| {
        let sessions = status["sessions"].as_array().into_iter().flatten();
        sessions.filter(|session| session["agent"]["armed"] == true).count() == agents.len()
    });
    let until = sit_out(&fleet, 'A', &agents);
    assert_eq!(fleet.await_settled_on('A'), agents);
    for agent in agents.values() {
        eventually("it goes on", Duration::from_secs(100), || {
            fleet.answered('A', &agent.conversation).then_some(())
        });
    }
    fleet.await_at_rest(&agents);
    let asked = after(fleet.asked('A'), until);
    let (questions, turns): (Vec<Asked>, Vec<Asked>) = asked.into_iter().partition(Asked::is_probe);
    assert_eq!(questions.len(), 1, "{questions:#?}");
    for (session, agent) in &agents {
        let own: Vec<&Asked> =
            turns.iter().filter(|asked| asked.conversation == agent.conversation).collect();
        let [goes_on] = own.as_slice() else { panic!("one turn in {session}: {own:#?}") };
        assert!(goes_on.prompts.last().unwrap().contains(CONTINUES), "{goes_on:?}");
        println!("{session}: went on by itself {} ms after the reset", goes_on.at - resets_at);
        let homes = fs::read_dir(fleet.rig.home(&fleet.account('A')).join("sessions")).unwrap();
        let pids = homes
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "json") && lives(path));
        assert_eq!(pids.count(), agents.len(), "no second client");
    }
    assert_eq!(turns.len(), agents.len(), "{turns:#?}");
    assert_eq!(fleet.agents(), agents);
    println!("now {} ms after the reset", now().0 - resets_at);
}

fn lives(session_file: &Path) -> bool {
    let pid = session_file.file_stem().unwrap().to_string_lossy().into_owned();
    Path::new(&format!("/proc/{pid}")).exists()
}
