//! `submit --wait`: the exit code is the task's end.

use std::fs;
use std::io::Write;
use std::process::Child;
use std::time::Duration;

use claude_failover::queue::dir::Put;

use crate::support::eventually;
use crate::tasks::hands::daemon;
use crate::tasks::{Place, task};

const DEADLINE: Duration = Duration::from_secs(20);
const NAME: &str = "shop:t";

/// Submitted, and in the inbox by now.
fn waiting(place: &Place) -> Child {
    let mut child = place.start(&["submit", "--project", "shop", "--id", "t", "--wait"]);
    child.stdin.take().unwrap().write_all(b"Do it.").unwrap();
    eventually("the task is in the inbox", DEADLINE, || {
        place.file("shop/inbox/t.md").exists().then_some(())
    });
    child
}

#[test]
fn a_task_that_is_done_ends_it_with_0_and_one_that_failed_with_1() {
    for (done, code, word) in [(true, 0, "done: signal"), (false, 1, "failed: stalled")] {
        let place = Place::new();
        let child = waiting(&place);
        assert_eq!(place.claim(&task(NAME)), Put::Made);
        place.close(&task(NAME), done);
        let said = place.said(child);
        assert_eq!((said.code, said.out.as_str()), (Some(code), "shop:t\n"));
        assert_eq!(
            said.errors,
            format!(
                "no daemon seems to run: shop:t waits in its inbox until one does\n\
                 shop:t {word}\nWhat I did:\n[2Jall of it\n"
            )
        );
    }
}

#[test]
fn of_a_daemon_that_answers_nothing_is_said() {
    let place = Place::new();
    let _daemon = daemon(&place);
    let child = waiting(&place);
    assert_eq!(place.claim(&task(NAME)), Put::Made);
    place.close(&task(NAME), true);
    let said = place.said(child);
    assert_eq!(said.code, Some(0));
    assert!(said.errors.starts_with("shop:t done: signal\n"), "{}", said.errors);
}

#[test]
fn the_result_of_an_earlier_task_of_that_name_is_not_its_own() {
    let place = Place::new();
    place.put("shop/done/t.md", "---\nresult: {outcome: done}\n---\n");
    place.put("shop/failed/t.md", "earlier");
    let mut child = waiting(&place);
    assert_eq!(place.claim(&task(NAME)), Put::Made);
    assert_eq!(child.try_wait().unwrap(), None);
    place.close(&task(NAME), false);
    let said = place.said(child);
    assert_eq!(said.code, Some(1));
    assert!(said.errors.contains("shop:t failed: stalled"), "{}", said.errors);
    assert_eq!(place.names("shop/failed"), ["t.md", "t~2.md"]);
}

#[test]
fn a_task_that_is_taken_away_ends_it_with_1() {
    let place = Place::new();
    let child = waiting(&place);
    fs::remove_file(place.file("shop/inbox/t.md")).unwrap();
    let said = place.said(child);
    assert_eq!(said.code, Some(1));
    assert!(said.errors.ends_with("shop:t is gone from its inbox, and there is no result\n"));
}
