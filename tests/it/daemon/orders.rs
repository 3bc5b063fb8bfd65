//! Swaps that an operator orders.

use crate::daemon::fleet::Fleet;
use crate::daemon::layout::{DEDICATED, Layout, pool};

#[test]
fn an_ordered_swap_moves_linked_and_homed_agents_with_their_own_arguments() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    fleet.await_sessions();
    let dir = fleet.root().join("srv");
    let own = format!("--add-dir {} --model opus 'first words'", dir.display());
    fleet.start_agent(DEDICATED, None, &own);
    fleet.start_agent(&pool(1), Some("a"), "--model sonnet 'first words'");
    let talks = fleet.await_idle_agents();
    fleet.await_adopted(&talks);
    fleet.order_swap(&["--to", "b"]);
    let status = fleet.await_all_on("b", &talks);
    assert_eq!(status["swap"]["last"]["trigger"]["kind"], "operator");
    for (session, own) in [
        (DEDICATED, &["--add-dir", dir.to_str().unwrap(), "--model", "opus"][..]),
        (&pool(1), &["--model", "sonnet"]),
    ] {
        let args = fleet.agent(session).args;
        let kept = [&["--dangerously-skip-permissions"], own].concat();
        assert_eq!(args[..kept.len()], kept, "{session}");
        let resume = ["--resume", &talks[session]];
        assert!(args.windows(2).any(|pair| pair == resume), "{session}: {args:?}");
        assert!(!args.iter().any(|arg| arg == "first words"), "{session}: {args:?}");
    }
    // And back: what we added ourselves is not added twice.
    fleet.order_swap(&["--to", "a"]);
    fleet.await_all_on("a", &talks);
    let args = fleet.agent(DEDICATED).args;
    for word in ["--settings", "--resume", "--add-dir", "--model"] {
        assert_eq!(args.iter().filter(|arg| *arg == word).count(), 1, "{word} in {args:?}");
    }
}

#[test]
fn an_order_that_cannot_be_carried_out_changes_nothing_and_says_why() {
    let (fleet, talks) = Fleet::up(Layout::default());
    let before = fleet.agent_pids();
    for (to, why) in [
        ("nosuch", "nosuch is no account of the configuration"),
        ("a", "a: it is the account to leave"),
    ] {
        assert_eq!(fleet.refused(&["swap", "--to", to]), format!("{why}\n"));
        fleet.await_log(&format!("swap refused: {why}"));
    }
    let (code, text) = fleet.swap(&["--to", "not a name"]);
    assert_eq!(code, Some(64), "{text}");
    for verb in ["--clear", "--rollback", "--resume"] {
        assert_eq!(fleet.refused(&["swap", verb]), "nothing is stuck\n");
        fleet.await_log(&format!("swap {verb} refused: nothing is stuck"));
    }
    assert_eq!(fleet.agent_pids(), before);
    assert_eq!(fleet.await_idle_or_waiting(), talks);
    assert!(fleet.status()["swap"]["last"].is_null());
}

#[test]
fn a_swap_without_a_name_takes_the_next_account() {
    let (fleet, talks) = Fleet::up(Layout { accounts: 3, ..Layout::default() });
    assert_eq!(fleet.done(&["swap"]), "swap 1 planned: a → b (priority 2)\n");
    fleet.await_all_on("b", &talks);
}
