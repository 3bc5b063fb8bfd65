//! What changes something: only where it is meant to, and at most once.

use std::fs;
use std::path::PathBuf;

use claude_failover::core::event::PaneSeen;
use claude_failover::terminal::client::OWN_SESSION;

use crate::support::eventually;
use crate::tmux::{Rig, SOON};

#[test]
fn a_session_whose_name_begins_alike_is_never_touched() {
    let rig = Rig::connected();
    let near = rig.shell("ccl-10");
    let pane = rig.launch(rig.order("ccl-1", Some(near.pane), 5)).unwrap();
    assert_ne!(pane, near.pane);
    assert_eq!(rig.pane("ccl-1").pane, pane);
    assert_eq!(rig.pane("ccl-1").fence, Some(5));
    let untouched = rig.pane("ccl-10");
    assert_eq!((untouched.leader_pid, untouched.fence), (near.leader_pid, None));
    assert!(rig.paste("ccl-1", near.pane, 6, "echo hit").is_err());
    assert!(rig.paste("ccl-2", near.pane, 6, "echo hit").is_err());
    assert!(!rig.capture(near.pane).contains("hit"));
}

#[test]
fn a_session_is_created_once_in_the_directory_it_was_given() {
    let rig = Rig::connected();
    for (session, dir) in
        [("plain", "work"), ("formats", "a#{pid}%H"), ("styles", "b #[x]#(id),}#")]
    {
        let cwd = rig.tmux.path().join(dir);
        fs::create_dir(&cwd).unwrap();
        let pane = rig.create(session, &cwd).unwrap();
        let seen = rig.pane(session);
        assert_eq!(seen.pane, pane);
        let link = PathBuf::from(format!("/proc/{}/cwd", seen.leader_pid));
        eventually(&format!("{session} is in {dir:?}"), SOON, || {
            (fs::read_link(&link).unwrap() == cwd).then_some(())
        });
        assert_eq!(rig.create(session, &cwd), Ok(pane));
    }
    let missing = rig.tmux.path().join("missing");
    let error = rig.create("other", &missing).unwrap_err();
    assert!(error.contains("missing") && error.contains("create it"), "{error}");
    let mut order = rig.order("plain", None, 1);
    order.cwd = missing;
    assert!(rig.launch(order).unwrap_err().contains("missing"));
    assert_eq!(rig.list().len(), 3);
}

#[test]
fn a_launch_runs_once_for_its_fence_and_never_behind_a_later_one() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    let order = rig.order("work", Some(shell.pane), 7);
    assert_eq!(rig.launch(order.clone()), Ok(shell.pane));
    eventually("the launcher ran", SOON, || (rig.starts().len() == 1).then_some(()));
    let seen = rig.pane("work");
    assert_ne!(seen.leader_pid, shell.leader_pid);
    assert_eq!(seen.fence, Some(7));
    for (option, value) in [
        ("@failover_session", "work"),
        ("@failover_account", "backup"),
        ("@failover_uuid", order.conversation.as_str()),
    ] {
        assert_eq!(rig.tmux.run(&["show-options", "-v", "-t", "=work:", option]), value);
    }
    let spec = fs::read_to_string(&rig.starts()[0]).unwrap();
    assert!(spec.contains("\"argv\":[\"claude\"]"), "{spec}");

    assert_eq!(rig.launch(order), Ok(shell.pane), "the same order finds its pane");
    let older = rig.launch(rig.order("work", Some(shell.pane), 6)).unwrap_err();
    assert!(older.contains("not done") && older.contains("at 7"), "{older}");
    assert_eq!(rig.pane("work").leader_pid, seen.leader_pid);
    assert_eq!(rig.starts().len(), 1);

    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 9)), Ok(shell.pane));
    eventually("our own launch was replaced", SOON, || (rig.starts().len() == 2).then_some(()));
}

/// With `destroy-unattached` on, each end of a client is the end of all that nobody is attached to.
#[test]
fn sessions_stay_where_others_end_with_nobody_attached() {
    let rig = Rig::connected();
    let adopted = rig.shell("adopted");
    assert_eq!(rig.launch(rig.order("adopted", Some(adopted.pane), 1)), Ok(adopted.pane));
    rig.shell("other");
    rig.tmux.run(&["set-option", "-g", "destroy-unattached", "on"]);
    let made = rig.create("made", rig.tmux.path()).unwrap();
    let launched = rig.launch(rig.order("launched", None, 1)).unwrap();
    let sessions = || rig.tmux.run(&["list-sessions", "-F", "#{session_name}"]);
    eventually("a session of nobody's is gone", SOON, || {
        (!sessions().contains("other")).then_some(())
    });
    assert_eq!(
        sessions().lines().collect::<Vec<_>>(),
        [OWN_SESSION, "adopted", "launched", "made"]
    );
    let panes = ["adopted", "launched", "made"].map(|session| rig.pane(session).pane);
    assert_eq!(panes, [adopted.pane, launched, made], "none was made anew");
}

#[test]
fn what_an_operator_runs_is_never_replaced() {
    let rig = Rig::connected();
    let busy = rig.shell("busy");
    rig.tmux.run(&["send-keys", "-t", &busy.pane.to_string(), "sleep 1000 &", "Enter"]);
    let children = format!("/proc/{0}/task/{0}/children", busy.leader_pid);
    eventually("a child in the background", SOON, || {
        (!fs::read_to_string(&children).unwrap().is_empty()).then_some(())
    });
    let editor = rig.runs("editor", "exec cat");
    let script = rig.runs("script", "exec sh -c 'read line'");
    for seen in [busy, editor, script] {
        let session = seen.session.as_str();
        let pane = rig.launch(rig.order(session, Some(seen.pane), 3)).unwrap();
        assert_ne!(pane, seen.pane, "{session}");
        let panes: Vec<PaneSeen> =
            rig.list().into_iter().filter(|pane| pane.session == session).collect();
        assert_eq!(panes.len(), 2, "{session}");
        assert_eq!(panes[0].leader_pid, seen.leader_pid, "{session}");
        let order = rig.order(session, Some(seen.pane), 3);
        assert_eq!(rig.launch(order), Ok(pane), "{session}: the same order finds its window");
    }
    eventually("three starts", SOON, || (rig.starts().len() == 3).then_some(()));
}

#[test]
fn a_split_beside_the_agent_stays() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    rig.tmux.run(&["split-window", "-t", "=work:", "exec cat"]);
    let beside = |rig: &Rig| {
        let panes = rig.list();
        panes.into_iter().find(|pane| pane.pane != shell.pane).unwrap()
    };
    let before = beside(&rig);
    assert_eq!(rig.launch(rig.order("work", Some(shell.pane), 1)), Ok(shell.pane));
    assert_eq!(beside(&rig).leader_pid, before.leader_pid);
    assert!(beside(&rig).active, "the operator looks at what he looked at");
}

/// An operator's second view of the same windows: a bare `%N` would mean either session.
#[test]
fn a_session_that_shares_its_windows_keeps_its_own_fence() {
    let rig = Rig::connected();
    let shell = rig.shell("work");
    let other = rig.shell("other");
    let group = ["new-session", "-d", "-t", "=work:", "-s", "view"];
    rig.tmux.run(&group);
    let order = rig.order("work", Some(shell.pane), 3);
    assert_eq!(rig.launch(order), Ok(shell.pane));
    assert_eq!((rig.pane("work").fence, rig.pane("view").fence), (Some(3), None));
    assert_eq!(rig.paste("work", shell.pane, 4, "typed"), Ok(()));
    rig.shows(shell.pane, "typed");

    let error = rig.paste("work", other.pane, 5, "echo hit").unwrap_err();
    assert!(error.contains("not done"), "{error}");
    assert_eq!((rig.pane("work").fence, rig.pane("other").fence), (Some(4), None));
    assert!(!rig.capture(other.pane).contains("hit"));
}
