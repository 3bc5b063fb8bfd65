//! The end of a task, cut off after each of its steps and done again.

use std::os::unix::fs::{PermissionsExt, symlink};

use claude_failover::moment::Wall;
use claude_failover::queue::close::{close, fail};
use claude_failover::queue::marker::{self, Marker};
use claude_failover::queue::{Part, retry};
use claude_failover::task::TaskResult;
use claude_failover::task::front_matter::{self, with_result};

use crate::queue::{FINISHED, ME, Yard, result, rules, task};

const TEXT: &str = "---\ntitle: Mend it\n---\nAll of it.\n";

/// A task in our hands.
fn claimed(yard: &Yard) {
    let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
    yard.write("inbox/t.md", TEXT);
    let session = "ccl-auto-11".parse().unwrap();
    let conversation = result("t").conversation.unwrap();
    let mark = Marker::of_agent(ME, task("t"), session, 1, conversation, FINISHED);
    marker::put(&inbox, &mark).unwrap();
}

fn written(result: &TaskResult) -> String {
    String::from_utf8(with_result(TEXT.as_bytes(), result)).unwrap()
}

#[test]
fn a_task_that_ended_is_in_one_place_with_its_result_and_its_mode() {
    for (done, place) in [(true, "done/t.md"), (false, "failed/t.md")] {
        let yard = Yard::new();
        claimed(&yard);
        yard.write("inbox/t.md.blocked", "");
        std::fs::set_permissions(yard.path("inbox/t.md"), PermissionsExt::from_mode(0o600))
            .unwrap();
        let result = TaskResult { done, ..result("t") };
        close(&yard.queue(), &rules(), ME, &result).unwrap();
        assert_eq!(yard.files(), [place]);
        assert_eq!(yard.read(place).unwrap(), written(&result));
        let mode = std::fs::metadata(yard.path(place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_close_that_was_cut_off_anywhere_is_finished_by_the_next() {
    for steps in 0..=3 {
        let yard = Yard::new();
        claimed(&yard);
        if steps >= 1 {
            yard.write("done/t.md", &written(&result("t")));
        }
        if steps >= 2 {
            std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
        }
        if steps >= 3 {
            std::fs::remove_file(yard.path("inbox/t.md.dispatched")).unwrap();
        }
        for again in 0..2 {
            close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
            assert_eq!(yard.files(), ["done/t.md"], "cut after {steps}, time {again}");
            assert_eq!(yard.read("done/t.md").unwrap(), written(&result("t")));
        }
    }
}

#[test]
fn a_close_that_is_repeated_leaves_a_new_task_of_the_same_name() {
    let yard = Yard::new();
    claimed(&yard);
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    yard.write("inbox/t.md", "another");
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.files(), ["done/t.md", "inbox/t.md"]);
    assert_eq!(yard.read("inbox/t.md").unwrap(), "another");
}

#[test]
fn a_task_file_that_is_gone_still_has_a_result() {
    let yard = Yard::new();
    claimed(&yard);
    std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.files(), ["done/t.md"]);
    let bytes = std::fs::read(yard.path("done/t.md")).unwrap();
    assert_eq!(front_matter::result(&task("t"), &bytes), Some(result("t")));
}

#[test]
fn nothing_is_replaced_by_a_result() {
    let yard = Yard::new();
    claimed(&yard);
    yard.write("done/t.md", "of somebody");
    std::fs::create_dir(yard.path("done/t.2.md")).unwrap();
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.files(), ["done/t.2.md", "done/t.3.md", "done/t.md"]);
    assert_eq!(yard.read("done/t.md").unwrap(), "of somebody");
    assert_eq!(yard.read("done/t.3.md").unwrap(), written(&result("t")));
}

#[test]
fn a_task_in_somebody_elses_hands_is_not_closed() {
    let yard = Yard::new();
    yard.queue();
    yard.write("inbox/t.md", TEXT);
    yard.write("inbox/t.md.dispatched", "");
    assert!(close(&yard.queue(), &rules(), ME, &result("t")).is_err());
    assert!(fail(&yard.queue(), &rules(), ME, &task("t"), "malformed", FINISHED).is_err());
    assert_eq!(yard.files(), ["inbox/t.md", "inbox/t.md.dispatched"]);
}

#[test]
fn what_took_the_place_of_a_task_is_neither_read_nor_removed() {
    let yard = Yard::new();
    claimed(&yard);
    let secret = yard.outside().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
    symlink(&secret, yard.path("inbox/t.md")).unwrap();
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.files(), ["done/t.md", "inbox/t.md"]);
    assert!(!yard.read("done/t.md").unwrap().contains("secret"));
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
}

#[test]
fn a_move_that_was_cut_off_anywhere_is_finished_with_its_own_reason_and_time() {
    for steps in 0..=3 {
        let yard = Yard::new();
        let inbox = yard.queue().part(Part::Inbox).unwrap().unwrap();
        yard.write("inbox/t.md", TEXT);
        let failed = TaskResult {
            done: false,
            reason: "cyclic".to_owned(),
            session: None,
            account: None,
            conversation: None,
            started: None,
            attempts: 0,
            last_text: None,
            ..result("t")
        };
        if steps >= 1 {
            marker::put(&inbox, &Marker::of_mover(ME, task("t"), "cyclic", FINISHED)).unwrap();
        }
        if steps >= 2 {
            yard.write("failed/t.md", &written(&failed));
        }
        if steps >= 3 {
            std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
        }
        let (why, now) = if steps == 0 { ("cyclic", FINISHED) } else { ("later", Wall(1)) };
        fail(&yard.queue(), &rules(), ME, &task("t"), why, now).unwrap();
        assert_eq!(yard.files(), ["failed/t.md"], "cut after {steps}");
        assert_eq!(yard.read("failed/t.md").unwrap(), written(&failed), "cut after {steps}");
    }
}

#[test]
fn a_task_in_an_agents_hands_is_not_moved_away_under_it() {
    let yard = Yard::new();
    claimed(&yard);
    let error = fail(&yard.queue(), &rules(), ME, &task("t"), "cyclic", FINISHED).unwrap_err();
    assert!(error.to_string().contains("agent"), "{error}");
    assert_eq!(yard.files(), ["inbox/t.md", "inbox/t.md.dispatched"]);
}

#[test]
fn a_retry_brings_the_last_failure_back_as_it_was() {
    let yard = Yard::new();
    claimed(&yard);
    yard.write("failed/t.md", "an older one");
    let failed = TaskResult { done: false, ..result("t") };
    close(&yard.queue(), &rules(), ME, &failed).unwrap();
    retry::requeue(&yard.queue(), &task("t").id).unwrap();
    assert_eq!(yard.files(), ["failed/t.md", "inbox/t.md"]);
    assert_eq!(yard.read("inbox/t.md").unwrap(), TEXT);
    let error = retry::requeue(&yard.queue(), &task("t").id).unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
    assert_eq!(yard.read("failed/t.md").unwrap(), "an older one");
    let error = retry::requeue(&yard.queue(), &task("u").id).unwrap_err().to_string();
    assert!(error.contains("shop:u"), "{error}");
}
