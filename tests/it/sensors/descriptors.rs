//! A watcher that has no descriptor left for a look.

use std::time::Duration;

use claude_failover::adopt::occupants::occupants;
use claude_failover::core::action::OrderId;
use claude_failover::moment::Wall;
use claude_failover::watcher::Order;
use claude_failover::watcher::session_file::SessionFiles;

use crate::descriptors::{take_all_but, with_few};
use crate::logged;
use crate::sensors::stage::{NEVER, SOON, Stage, await_client, config};
use crate::support::eventually;

const TICK: Duration = Duration::from_millis(20);
/// Many ticks; whatever there is to say is said by then.
const QUIET: Duration = Duration::from_millis(500);

#[test]
fn agents_that_cannot_be_looked_at_are_not_gone() {
    with_few("sensors::descriptors::agents_that_cannot_be_looked_at_are_not_gone", || {
        logged::start();
        let complaints = || logged::lines_with("cannot be looked at").len() as u64;
        let stage = Stage::new(TICK);
        let told = stage.pane("told", "exec -a claude sleep 300");
        let silent = stage.pane("silent", "(exec -a claude sleep 300) & wait");
        await_client(told.leader_pid);
        stage.write_session("a", told.leader_pid, 1, r#""status":"idle","#);
        stage.watch(&[&told, &silent]);
        stage.until("both", |seen| seen.agents.len() == 2);
        while stage.events.recv_timeout(QUIET).is_ok() {}
        let before = stage.look(0);

        for order in [1, 2].map(OrderId) {
            let taken = take_all_but(0);
            stage.watcher.order(Order::ObserveAgents { order }).unwrap();
            eventually("it complains", SOON, || (complaints() >= order.0).then_some(()));
            let news = stage.events.recv_timeout(QUIET);
            let said = complaints();
            drop(taken);
            assert!(news.is_err(), "{news:#?}");
            assert_eq!(said, order.0, "once, not at every look");
            let seen = stage.until("the answer that was owed", |seen| seen.order == Some(order));
            assert_eq!(seen.agents, before.agents);
            let relieved = logged::lines_with("can be looked at again").len() as u64;
            assert_eq!(relieved, order.0);
        }
    });
}

#[test]
fn clients_whose_files_cannot_be_listed_are_not_gone() {
    with_few("sensors::descriptors::clients_whose_files_cannot_be_listed_are_not_gone", || {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("sessions")).unwrap();
        let mut files = SessionFiles::default();
        let mut live = || files.live(std::iter::once(home.path()), Wall(0));
        let taken = take_all_but(0);
        let found = live();
        drop(taken);
        assert!(found.is_err(), "{found:?}");
        assert_eq!(live().unwrap(), []);
        std::fs::remove_dir(home.path().join("sessions")).unwrap();
        assert_eq!(live().unwrap(), [], "a home without them");
    });
}

#[test]
fn whether_somebody_lives_in_a_home_is_not_guessed() {
    with_few("sensors::descriptors::whether_somebody_lives_in_a_home_is_not_guessed", || {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), NEVER);
        let taken = take_all_but(0);
        let found = occupants(&config);
        drop(taken);
        assert!(found.is_err(), "{found:?}");
        assert!(occupants(&config).is_ok());
    });
}
