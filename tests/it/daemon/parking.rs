//! Accounts that run out one after the other, by the built daemon on real tmux: parked, woken, and
//! every conversation where it was.

use std::fs;
use std::time::Duration;

use crate::daemon::fleet::{Fleet, SOON, SWAP};
use crate::daemon::inboxes::task_text;
use crate::daemon::layout::{DEDICATED, Layout, pool};
use crate::daemon::outside;
use crate::support::eventually;

const HOURS: u64 = 3600;
/// Long enough to run the last account out and look around; short enough to wait for.
const RESETS_IN_S: u64 = 25;
/// "Within a minute after the reset", and the wait for the reset itself.
const AWAKE: Duration = Duration::from_secs(RESETS_IN_S + 60);

fn account_row<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    status["accounts"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

fn three_accounts() -> Layout {
    Layout { accounts: 3, ..Layout::default() }
}

/// How often this account was asked by a request without a screen.
fn probes(fleet: &Fleet, account: &str) -> usize {
    let log = fs::read_to_string(fleet.home(account).join("requests.log")).unwrap_or_default();
    log.lines().filter(|line| line.ends_with("Ready?")).count()
}

#[track_caller]
fn await_awake(fleet: &Fleet, account: &str) -> serde_json::Value {
    eventually("the fleet is awake", AWAKE, || {
        let status = fleet.status();
        let awake = status["state"] == "normal" && status["active_account"] == account;
        awake.then_some(status)
    })
}

#[test]
fn three_accounts_run_out_one_after_the_other_and_the_fleet_parks_and_wakes() {
    let (mut fleet, talks) = Fleet::with_free_pool(three_accounts());
    fleet.exhaust("a", 2 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    fleet.script("b", &format!("limit7d {}", crate::daemon::fleet::epoch_s() + 72 * HOURS));
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("c", &talks);
    fleet.exhaust("c", RESETS_IN_S);
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_state("parked");
    assert_eq!(account_row(&status, "b")["limits"][0]["window"], "weekly");
    assert_eq!(status["parked"]["until"], account_row(&status, "c")["until"]);
    let before = fleet.agent(DEDICATED).pid;

    // What waits stays where it is, also over a daemon that dies and comes back.
    fleet.submit("shop:t1", &task_text("work 300ms"));
    fleet.kill_daemon();
    fleet.start_with(None);
    let status = fleet.await_state("parked");
    assert_eq!(status["tasks"]["in_hand"], serde_json::json!([]));
    assert_eq!((fleet.agent(DEDICATED).pid, probes(&fleet, "c")), (before, 0));

    let status = await_awake(&fleet, "c");
    assert_eq!(probes(&fleet, "c"), 1, "one request has proven it");
    assert_eq!(probes(&fleet, "a") + probes(&fleet, "b"), 0, "nobody was asked before its reset");
    assert_eq!(account_row(&status, "c")["state"], "available");
    assert_eq!(account_row(&status, "a")["state"], "exhausted");
    assert_eq!(fleet.agent(DEDICATED).pid, before, "it wakes where it is");
    let result = fleet.await_result("shop:t1");
    assert!(result.done, "{result:?}");
    let history = fleet.done(&["history"]);
    for part in ["parked", "refused a five_hour", "refused b weekly", "woken"] {
        assert!(history.contains(part), "{part}: {history}");
    }
    let (prompts, _) = outside::transcript(fleet.root(), &talks[DEDICATED]);
    assert_eq!(prompts, ["first words", "go on", "go on", "go on"], "nothing was typed");
}

#[test]
fn it_wakes_on_the_account_that_comes_back_first_and_everybody_follows() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.exhaust("a", RESETS_IN_S);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_all_on("b", &talks);
    fleet.exhaust("b", 2 * HOURS);
    fleet.prompt(DEDICATED, "go on");
    fleet.await_state("parked");
    await_awake(&fleet, "a");
    let status = fleet.await_all_on("a", &talks);
    assert_eq!(status["swap"]["last"]["trigger"]["kind"], "account_returned");
    assert_eq!(probes(&fleet, "a"), 1);
    for session in [DEDICATED, &pool(1), &pool(2)] {
        let (prompts, _) = outside::transcript(fleet.root(), &talks[session]);
        assert!(!prompts.iter().any(|prompt| prompt.contains("Go on with")), "{session}: nudged");
    }
}

#[test]
fn a_cut_task_is_the_canary_and_goes_on_in_its_conversation() {
    let (fleet, _) = Fleet::with_free_pool(Layout { pool: 1, ..Layout::default() });
    fleet.submit("shop:t1", &task_text("work 20s"));
    let row = fleet.await_in_hand("shop:t1", "running");
    let talk = row["conversation"].as_str().unwrap().to_owned();
    fleet.exhaust("b", 2 * HOURS);
    fleet.exhaust("a", RESETS_IN_S);
    fleet.await_state("parked");
    assert_eq!(
        Fleet::in_hand(&fleet.status(), "shop:t1")["state"],
        "running",
        "it is not given up"
    );
    await_awake(&fleet, "a");
    let result = fleet.await_result("shop:t1");
    assert!(result.done, "{result:?}");
    assert_eq!((result.attempts, result.conversation.unwrap().as_str()), (1, talk.as_str()));
    assert_eq!(probes(&fleet, "a"), 0, "the task itself was the proof");
    assert!(fleet.log().contains("phase=Probing canary=ccl-auto-11"));
}

#[test]
fn a_login_that_fails_is_left_and_comes_back_through_one_request() {
    let (fleet, talks) = Fleet::up(Layout::default());
    fleet.script("a", "auth");
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_all_on("b", &talks);
    let row = account_row(&status, "a");
    assert_eq!(row["state"], "auth_failed");
    let remedy = format!("CLAUDE_CONFIG_DIR={} claude", fleet.home("a").display());
    assert!(row["passed_over"].as_str().unwrap().contains(&remedy), "{row}");
    fleet.script("a", "ok");
    // A client that fails writes the file, too: only what comes later is a new login.
    eventually("a later login is taken for one", SWAP, || {
        fs::write(fleet.home("a").join(".credentials.json"), "{ }").unwrap();
        (account_row(&fleet.status(), "a")["state"] == "unproven").then_some(())
    });
    fleet.order_swap(&["--to", "a"]);
    fleet.await_all_on("a", &talks);
    assert_eq!(probes(&fleet, "a"), 1);
}

#[test]
fn a_client_that_goes_on_by_itself_is_not_doubled() {
    // Its operator's own settings: the agents of the dedicated session wait for the reset themselves.
    let (fleet, talks) = Fleet::up(Layout { accounts: 1, pool: 0, ..Layout::default() });
    let before = fleet.agent(DEDICATED);
    fleet.exhaust("a", 5);
    fleet.prompt(DEDICATED, "go on");
    let status = fleet.await_state("parked");
    let armed = |status: &serde_json::Value| status["sessions"][0]["agent"]["armed"] == true;
    assert!(armed(&status) || armed(&fleet.await_status("it is armed", armed)));
    await_awake(&fleet, "a");
    let after = fleet.agent(DEDICATED);
    assert_eq!((after.pid, after.conversation.as_ref()), (before.pid, Some(&talks[DEDICATED])));
    eventually("it goes on by itself, once", Duration::from_secs(90), || {
        let (prompts, _) = outside::transcript(fleet.root(), &talks[DEDICATED]);
        let own = prompts.iter().filter(|prompt| prompt.contains("limit has reset")).count();
        assert!(own <= 1, "{prompts:?}");
        (own == 1).then_some(())
    });
    assert_eq!(fleet.agents()[DEDICATED].len(), 1);
    eventually("it is at rest", SOON, || {
        (fleet.agent(DEDICATED).status.as_deref() == Some("idle")).then_some(())
    });
}
