//! Agents in the middle of a turn when another one is refused: each goes on where it is, and follows
//! when its turn ends, when it is refused itself, or when its time is over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::agent::{PATIENCE, now};
use crate::fleets::fleet::{Agents, Fleet, SWAPS};
use crate::fleets::plan::Plan;
use crate::rig::Asked;
use crate::support::eventually;

const FIRST: &str = "first";
const ENDS: &str = "ends";
const REFUSED: &str = "refused";
const LONG: &str = "long";
/// Writes its answer for so long.
const TURN_S: i64 = 20;
/// `swap.busy_grace`.
const GRACE_MS: i64 = 30_000;
/// From the reason to move until the agent is told to end.
const MOVED_WITHIN_MS: i64 = 10_000;

#[test]
fn an_agent_at_work_is_moved_at_the_end_of_its_turn_its_quota_or_its_time() {
    let fleet = Fleet::up(Plan {
        name: "busy",
        accounts: "AB",
        dedicated: &[(FIRST, None), (ENDS, None), (REFUSED, None), (LONG, None)],
        pool: 0,
        swap: "busy_grace: 30s, ramp_interval: 500ms",
    });
    for session in [FIRST, ENDS, REFUSED, LONG] {
        fleet.talk(session, 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    }
    let before = fleet.agents();
    let gate = fleet.gate("A");
    let held =
        |gate: &Path| format!("command=until test -e {}; do sleep 0.2; done", gate.display());
    begin_turn(&fleet, LONG, &["tool", &held(&fleet.gate("never"))]);
    begin_turn(&fleet, REFUSED, &["tool", &held(&gate)]);
    let writes_until =
        begin_turn(&fleet, ENDS, &["slow", &format!("secs={TURN_S}")]) + TURN_S * 1000;
    fleet.answer('A', &["quota5h", "reset_in=7200"]);
    fleet.say(FIRST, "next step please");
    fleet.await_status("the swap is over", SWAPS, |status| {
        status["state"] == "normal" && status["active_account"] == fleet.account('B').as_str()
    });
    assert!(now().0 < writes_until, "all three are still at work");
    let agents = fleet.agents();
    for session in [ENDS, REFUSED, LONG] {
        assert_eq!(agents[session], before[session], "left at its work");
    }
    let saved = fleet.recorded("swap_saved", |_| true)[0];

    let opened = now().0;
    fs::write(&gate, "").unwrap();
    let gone = watch_ends(&fleet, &before);
    let after = fleet.await_settled_on('B');
    for (session, agent) in &after {
        assert_eq!(agent.conversation, before[session].conversation, "{session}");
        assert_eq!(agent.home, fleet.account('B'), "{session}");
    }
    let own = |session: &str, letter: char| -> Vec<Asked> {
        let of = |asked: &Asked| asked.main && asked.conversation == before[session].conversation;
        fleet.asked(letter).into_iter().filter(of).collect()
    };
    let refusal = own(REFUSED, 'A').pop().unwrap();
    assert_eq!(refusal.reply, 429, "{refusal:?}");
    assert!(refusal.at >= opened);
    for (session, reason) in [(ENDS, writes_until), (REFUSED, refusal.at), (LONG, saved + GRACE_MS)]
    {
        let told = fleet.recorded("move_stopping", |record| record["session"] == session);
        let [told] = told.as_slice() else { panic!("{session} was told to end: {told:?}") };
        println!(
            "{session}: told to end {} ms after the reason, gone {} ms after that",
            told - reason,
            gone[session] - told
        );
        assert!((-500..MOVED_WITHIN_MS).contains(&(told - reason)), "{session}");
        assert!(gone[session] >= reason - 500, "{session} lived until then");
        assert!(own(session, 'B').is_empty(), "an operator's own agent is not told to go on");
    }
    let written = fleet.rig.conversation(&before[ENDS].conversation);
    assert!(written.contains(&format!("slow line {} of", TURN_S - 2)), "written to its end");
}

/// The agent in this session is at work; when the API was asked.
fn begin_turn(fleet: &Fleet, session: &str, scenario: &[&str]) -> i64 {
    fleet.answer('A', scenario);
    let asked = fleet.asked('A').len();
    fleet.say(session, &format!("do what takes long, {session}"));
    let conversation = fleet.agents()[session].conversation.clone();
    eventually("the API asked", PATIENCE, || {
        fleet
            .asked('A')
            .into_iter()
            .skip(asked)
            .find(|asked| asked.main && asked.conversation == conversation)
            .map(|asked| asked.at)
    })
}

/// When the process of each of them was gone.
fn watch_ends(fleet: &Fleet, agents: &Agents) -> BTreeMap<String, i64> {
    let mut gone = BTreeMap::new();
    eventually("all of them gone", SWAPS, || {
        for (session, agent) in agents {
            if !Path::new(&format!("/proc/{}", agent.pid)).exists() {
                gone.entry(session.clone()).or_insert_with(|| now().0);
            }
        }
        (gone.len() == agents.len()).then_some(())
    });
    assert!(fleet.recorded("swap_planned", |_| true).len() == 1, "one swap");
    gone
}
