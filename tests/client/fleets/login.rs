//! The login of the account in use dies: its agents move on as at a limit. When it is mended, one
//! question proves it before anybody goes back.

use std::fs;

use crate::agent::{PATIENCE, now};
use crate::fleets::fleet::{Fleet, SWAPS};
use crate::fleets::plan::Plan;
use crate::support::eventually;

/// What a client writes of a login that has failed counts as no new one.
const SETTLES_MS: i64 = 6_000;

#[test]
fn a_dead_login_is_left_and_a_mended_one_is_proven_by_one_question() {
    let fleet = Fleet::up(Plan {
        name: "login",
        accounts: "AB",
        dedicated: &[("ops-1", None)],
        pool: 1,
        swap: "ramp_interval: 1s",
    });
    let gate = fleet.gate("A");
    fleet.obey_up_to('A', &gate);
    fleet.talk("ops-1", 'A', &fleet.rig.home(&fleet.account('A')), "ZEBRA");
    fleet.submit("one");
    fleet.await_at_gate(&gate, "one");
    let before = fleet.agents();
    fleet.answer('B', &["obey"]);
    fleet.answer('A', &["err401_oauth", "refresh=deny"]);
    fs::write(&gate, "").unwrap();
    fleet.say("ops-1", "next step please");
    let result = eventually("the task done", SWAPS, || fleet.done("one"));
    let after = fleet.await_settled_on('B');
    assert_eq!((result.attempts, result.reason.as_str()), (1, "signal"), "{result:?}");
    assert_eq!(result.account.unwrap().as_str(), fleet.account('B'));
    let conversation = result.conversation.unwrap();
    assert!(before.values().any(|agent| agent.conversation == conversation.as_str()));
    assert_eq!(after["ops-1"].conversation, before["ops-1"].conversation);
    assert_eq!(after["ops-1"].home, fleet.account('B'));

    let account = fleet.standing(&fleet.status(), 'A');
    assert_eq!(account["state"], "auth_failed", "{account:#}");
    let home = fleet.rig.home(&fleet.account('A'));
    let remedy = format!("CLAUDE_CONFIG_DIR={} claude", home.display());
    let why = account["passed_over"].as_str().unwrap();
    assert!(why.contains(&remedy) && why.contains("/login"), "{why}");

    let failed = fleet.recorded("login_failed", |_| true)[0];
    eventually("what its client wrote is old", PATIENCE, || {
        (now().0 - failed > SETTLES_MS).then_some(())
    });
    fleet.answer('A', &["ok"]);
    let mended = now().0;
    fleet.rig.log_in(&fleet.account('A'));
    fleet.await_status("to be proven", PATIENCE, |status| {
        fleet.standing(status, 'A')["state"] == "unproven"
    });
    fleet.order(&["swap", "--to", &fleet.account('A')]);
    let back = fleet.await_settled_on('A');
    assert_eq!(back["ops-1"].conversation, before["ops-1"].conversation);
    assert_eq!(back["ops-1"].home, fleet.account('A'));
    let mut asked = fleet.asked('A');
    asked.retain(|asked| asked.at > mended);
    let [question] = asked.as_slice() else { panic!("one question: {asked:#?}") };
    assert!(question.is_probe() && question.reply == 200, "{question:?}");
    assert_eq!(fleet.standing(&fleet.status(), 'A')["state"], "available");
}
