//! The end of a task, cut off after each of its steps and done again.

use std::os::unix::fs::{PermissionsExt, symlink};

use claude_failover::moment::Wall;
use claude_failover::queue::close::{close, fail};
use claude_failover::queue::dir::{Dir, Stamp};
use claude_failover::queue::marker::{self, Marker};
use claude_failover::queue::{Part, retry};
use claude_failover::task::TaskResult;
use claude_failover::task::front_matter::{self, with_result};

use crate::queue::{FINISHED, ME, Yard, result, rules, task};

const TEXT: &str = "---\ntitle: Mend it\n---\nAll of it.\n";

/// A task in our hands.
fn claimed(yard: &Yard) {
    let inbox = inbox(yard);
    yard.write("inbox/t.md", TEXT);
    marker::put(&inbox, &mark_of_agent()).unwrap();
}

fn mark_of_agent() -> Marker {
    let session = "ccl-auto-11".parse().unwrap();
    let conversation = result("t").conversation.unwrap();
    Marker::of_agent(ME, task("t"), session, 1, conversation, FINISHED)
}

fn inbox(yard: &Yard) -> Dir {
    yard.queue().part(Part::Inbox).unwrap().unwrap()
}

fn stamp(yard: &Yard) -> Option<Stamp> {
    inbox(yard).look("t.md").unwrap().map(|found| found.stamp)
}

/// The task file leaves the inbox, and its result goes to `to`: cut off after so many of the steps
/// mark, result, removal, mark removed.
fn cut_off(yard: &Yard, mark: Marker, to: &str, text: &str, steps: u32) {
    if steps >= 1 {
        let mark = Marker { leaving: stamp(yard), result: Some(to.to_owned()), ..mark };
        marker::replace(&inbox(yard), &mark).unwrap();
    }
    if steps >= 2 {
        yard.write(to, text);
    }
    if steps >= 3 {
        std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
    }
    if steps >= 4 {
        std::fs::remove_file(yard.path("inbox/t.md.dispatched")).unwrap();
    }
}

/// In the place of whatever lies there; the name is the same, and the number may be.
fn submit_anew(yard: &Yard, text: &str) {
    yard.write("inbox/new", text);
    std::fs::rename(yard.path("inbox/new"), yard.path("inbox/t.md")).unwrap();
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
    for steps in 0..=4 {
        let yard = Yard::new();
        claimed(&yard);
        cut_off(&yard, mark_of_agent(), "done/t.md", &written(&result("t")), steps);
        for again in 0..2 {
            close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
            assert_eq!(yard.files(), ["done/t.md"], "cut after {steps}, time {again}");
            assert_eq!(yard.read("done/t.md").unwrap(), written(&result("t")));
        }
    }
}

/// An older version marked the task and noted nothing more.
#[test]
fn a_close_that_an_older_version_left_is_finished_and_leaves_a_new_task() {
    for (lies_there, stays) in [(Some(TEXT), false), (None, false), (Some("another"), true)] {
        let yard = Yard::new();
        claimed(&yard);
        yard.write("done/t.md", &written(&result("t")));
        std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
        lies_there.inspect(|text| yard.write("inbox/t.md", text));
        close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
        let left = if stays { &["done/t.md", "inbox/t.md"][..] } else { &["done/t.md"][..] };
        assert_eq!(yard.files(), left, "{lies_there:?}");
        assert_eq!(yard.read("done/t.md").unwrap(), written(&result("t")));
    }
}

/// Put there between the crash and the next start, or while an error keeps the mark there.
#[test]
fn a_close_that_was_cut_off_leaves_what_was_put_into_the_inbox_since() {
    for (text, steps) in [(TEXT, 2), ("another", 2), (TEXT, 3), ("another", 3), (TEXT, 4)] {
        let yard = Yard::new();
        claimed(&yard);
        cut_off(&yard, mark_of_agent(), "done/t.md", &written(&result("t")), steps);
        submit_anew(&yard, text);
        for again in 0..2 {
            close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
            let why = format!("cut after {steps}, time {again}");
            assert_eq!(yard.files(), ["done/t.md", "inbox/t.md"], "{why}");
            assert_eq!(yard.read("inbox/t.md").unwrap(), text, "{why}");
            assert_eq!(yard.read("done/t.md").unwrap(), written(&result("t")), "{why}");
        }
    }
}

/// A person mends the file that was to be moved away as malformed.
#[test]
fn a_move_that_was_cut_off_leaves_what_was_put_in_its_place_since() {
    for steps in 0..=3 {
        let yard = Yard::new();
        yard.queue();
        yard.write("inbox/t.md", TEXT);
        let mark = Marker::of_mover(ME, task("t"), "malformed", stamp(&yard), FINISHED);
        marker::put(&inbox(&yard), &mark).unwrap();
        let failed = moved_away("malformed");
        cut_off(&yard, mark, "failed/t.md", &written(&failed), steps);
        submit_anew(&yard, "mended");
        fail(&yard.queue(), &rules(), ME, &task("t"), "later", Wall(1)).unwrap();
        let moved = if steps >= 2 { &["failed/t.md", "inbox/t.md"][..] } else { &["inbox/t.md"] };
        assert_eq!(yard.files(), moved, "cut after {steps}");
        assert_eq!(yard.read("inbox/t.md").unwrap(), "mended", "cut after {steps}");
    }
}

fn moved_away(reason: &str) -> TaskResult {
    TaskResult {
        done: false,
        reason: reason.to_owned(),
        session: None,
        account: None,
        conversation: None,
        started: None,
        attempts: 0,
        last_text: None,
        ..result("t")
    }
}

#[test]
fn results_of_one_task_are_not_anothers() {
    let yard = Yard::new();
    for (id, text) in [("t", "first"), ("t", "second"), ("t.2", "of another")] {
        yard.queue();
        yard.write(&format!("inbox/{id}.md"), text);
        fail(&yard.queue(), &rules(), ME, &task(id), "cyclic", FINISHED).unwrap();
    }
    assert_eq!(yard.files(), ["failed/t.2.md", "failed/t.md", "failed/t~2.md"]);
    retry::requeue(&yard.queue(), &task("t").id).unwrap();
    assert_eq!(yard.files(), ["failed/t.2.md", "failed/t.md", "inbox/t.md"]);
    assert_eq!(yard.read("inbox/t.md").unwrap(), "second");
}

#[test]
fn an_id_that_comes_again_for_years_goes_on_having_results() {
    let yard = Yard::new();
    claimed(&yard);
    yard.write("done/t.md", "earlier");
    for number in 2..=1100 {
        yard.write(&format!("done/t~{number}.md"), "earlier");
    }
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.read("done/t~1101.md").unwrap(), written(&result("t")));
    assert_eq!(yard.read("inbox/t.md"), None);
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
    std::fs::create_dir(yard.path("done/t~2.md")).unwrap();
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    assert_eq!(yard.files(), ["done/t.md", "done/t~2.md", "done/t~3.md"]);
    assert_eq!(yard.read("done/t.md").unwrap(), "of somebody");
    assert_eq!(yard.read("done/t~3.md").unwrap(), written(&result("t")));
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
fn what_took_the_place_of_a_task_is_not_read_and_set_aside() {
    for steps in 0..=3 {
        let yard = Yard::new();
        claimed(&yard);
        let secret = yard.outside().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::remove_file(yard.path("inbox/t.md")).unwrap();
        symlink(&secret, yard.path("inbox/t.md")).unwrap();
        yard.write("done/t.md.refused", "earlier");
        let bare = String::from_utf8(with_result(b"", &result("t"))).unwrap();
        cut_off(&yard, mark_of_agent(), "done/t.md", &bare, steps.min(2));
        if steps == 3 {
            std::fs::rename(yard.path("inbox/t.md"), yard.path("done/t~2.md.refused")).unwrap();
        }
        close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
        let left = ["done/t.md", "done/t.md.refused", "done/t~2.md.refused"];
        assert_eq!(yard.files(), left, "cut after {steps}");
        assert_eq!(yard.read("done/t.md").unwrap(), bare);
        assert_eq!(std::fs::read_link(yard.path("done/t~2.md.refused")).unwrap(), secret);
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    }
}

/// A link beside it, which a backup made, would keep it from being read until the backup goes.
#[test]
fn a_task_that_could_not_be_read_at_its_end_is_not_offered_once_more() {
    let yard = Yard::new();
    claimed(&yard);
    std::fs::hard_link(yard.path("inbox/t.md"), yard.outside().join("backup")).unwrap();
    close(&yard.queue(), &rules(), ME, &result("t")).unwrap();
    std::fs::remove_file(yard.outside().join("backup")).unwrap();
    assert_eq!(yard.files(), ["done/t.md", "done/t.md.refused"]);
    assert_eq!(yard.read("done/t.md.refused").unwrap(), TEXT);
}

#[test]
fn a_move_that_was_cut_off_anywhere_is_finished_with_its_own_reason_and_time() {
    for steps in 0..=4 {
        let yard = Yard::new();
        yard.queue();
        yard.write("inbox/t.md", TEXT);
        let failed = moved_away("cyclic");
        if steps >= 1 {
            let mark = Marker::of_mover(ME, task("t"), "cyclic", stamp(&yard), FINISHED);
            marker::put(&inbox(&yard), &mark).unwrap();
            cut_off(&yard, mark, "failed/t.md", &written(&failed), steps - 1);
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
