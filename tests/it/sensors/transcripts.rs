//! What agents' conversation files say at their ends: real files beside real processes.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use claude_failover::core::action::WatchedPane;
use claude_failover::core::event::{Event, TranscriptSeen};
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::{LimitKind, Verdict};
use claude_failover::watcher::Order;

use crate::sensors::stage::{NEVER, Stage, agent, await_client, id, is_settled};

const CLIENT: &str = "exec -a claude sleep 300";
const IDLE: &str = r#""status":"idle","statusUpdatedAt":1795361006034,"#;
/// By the client's rule, of the directory in the stage's session files.
const SLUG: &str = "-srv-work";
const TICK: Duration = Duration::from_millis(100);

fn now() -> Wall {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Wall(i64::try_from(since_1970.as_millis()).unwrap())
}

/// RFC 3339 with milliseconds, as the client writes it.
fn stamp(at: Wall) -> String {
    at.to_string().replace('Z', &format!(".{:03}Z", at.0 % 1000))
}

fn prompt(at: Wall) -> String {
    let at = stamp(at);
    format!(
        r#"{{"isSidechain":false,"type":"user","timestamp":"{at}","message":{{"role":"user","content":"go on"}}}}"#
    ) + "\n"
}

fn answer(at: Wall) -> String {
    let at = stamp(at);
    format!(
        r#"{{"isSidechain":false,"type":"assistant","timestamp":"{at}","message":{{"model":"m","content":[]}}}}"#
    ) + "\n"
}

fn refusal(at: Wall, number: u32) -> String {
    let at = stamp(at);
    format!(
        r#"{{"isSidechain":false,"type":"assistant","uuid":"{number}","timestamp":"{at}","message":{{"model":"<synthetic>","content":[{{"type":"text","text":"You've hit your weekly limit"}}]}},"error":"rate_limit","isApiErrorMessage":true,"apiErrorStatus":429}}"#
    ) + "\n"
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// The record of the error that a conversation ends in, as [`refusal`] numbers it.
fn refused(seen: &TranscriptSeen) -> Option<u32> {
    let error = seen.ending.as_ref()?.error.as_ref()?;
    assert_eq!(
        error.reading.verdict,
        Verdict::Exhausted { limit: LimitKind::Weekly, resets_at: None }
    );
    error.record.parse().ok()
}

impl Stage {
    /// Both homes share their `projects`, as the daemon sees to it.
    fn sharing(interval: Duration) -> Self {
        let stage = Stage::new(interval);
        fs::create_dir(stage.path("projects")).unwrap();
        for home in ["a", "b"] {
            let projects = stage.path(home).join("projects");
            std::os::unix::fs::symlink(stage.path("projects"), projects).unwrap();
        }
        stage
    }

    fn conversation(&self, number: u32) -> PathBuf {
        self.path("projects").join(SLUG).join(format!("{}.jsonl", id(number)))
    }

    /// An agent on the home `a`, in a conversation.
    fn homed(&self, session: &str, number: u32) -> WatchedPane {
        let home = self.path("a");
        let body = format!("export CLAUDE_CONFIG_DIR={}; {CLIENT}", home.display());
        let pane = self.pane(session, &body);
        await_client(pane.leader_pid);
        self.write_session("a", pane.leader_pid, number, IDLE);
        pane
    }

    fn read(&self, session: &str) {
        let session = session.parse().unwrap();
        self.watcher.order(Order::ReadTranscript { session }).unwrap();
    }
}

#[test]
fn the_end_of_a_conversation_is_reported_and_then_what_is_appended() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    let old = Wall(now().0 - 60_000);
    append(&file, prompt(old) + &refusal(old, 1));
    stage.watch(&[&pane]);
    let first = stage.until_transcript("the file", "one", |_| true);
    assert_eq!(first.conversation.to_string(), id(1));
    assert_eq!(first.process.pid, pane.leader_pid);
    assert_eq!(first.ending, Some(Ending::default()), "all of it is older than the agent");

    append(&file, prompt(now()));
    let seen = stage.until_transcript("the prompt", "one", |_| true);
    assert!(seen.ending.as_ref().unwrap().prompted_at.is_some());
    append(&file, refusal(now(), 2));
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(2));
    append(&file, answer(now()));
    let seen = stage.until_transcript("the answer", "one", |_| true);
    assert_eq!(seen.ending.unwrap().error, None);
}

#[test]
fn a_refusal_since_the_agent_started_is_found_at_first_sight() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    append(&file, refusal(Wall(now().0 - 60_000), 1));
    let at = now();
    append(&file, prompt(at) + &refusal(at, 2) + refusal(at, 3).trim_end());
    stage.watch(&[&pane]);
    stage.until_transcript("the last whole line", "one", |seen| refused(seen) == Some(2));
}

#[test]
fn what_was_refused_before_the_agent_came_back_is_not_its_own() {
    let stage = Stage::sharing(NEVER);
    let file = stage.conversation(1);
    // A swap ends and starts agents within half a second.
    append(&file, prompt(now()) + &refusal(Wall(now().0 - 200), 1));
    let pane = stage.homed("one", 1);
    stage.watch(&[&pane]);
    let seen = stage.until_transcript("the file", "one", |_| true);
    assert_eq!(seen.ending.unwrap().error, None);
}

#[test]
fn a_line_written_under_a_clock_that_was_set_back_counts_when_it_is_appended() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    append(&file, prompt(now()));
    stage.watch(&[&pane]);
    stage.until_transcript("the file", "one", |seen| seen.ending.is_some());
    append(&file, refusal(Wall(now().0 - 3_600_000), 1));
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
}

#[test]
fn a_linked_agent_is_followed_through_the_link_and_two_agents_do_not_mix() {
    let stage = Stage::sharing(NEVER);
    let homed = stage.homed("homed", 1);
    let linked = stage.pane("linked", CLIENT);
    await_client(linked.leader_pid);
    stage.write_session("a", linked.leader_pid, 2, IDLE);
    stage.watch(&[&homed, &linked]);
    stage.look(1);
    append(&stage.conversation(2), refusal(now(), 2));
    let linked = |seen: &TranscriptSeen| refused(seen) == Some(2);
    stage.until_transcript("the linked one", "linked", linked);
    append(&stage.conversation(1), prompt(now()));
    let seen = stage.until_transcript("the homed one", "homed", |seen| seen.ending.is_some());
    assert_eq!(refused(&seen), None);
    append(&stage.conversation(1), refusal(now(), 1));
    stage.until_transcript("the homed one", "homed", |seen| refused(seen) == Some(1));
}

#[test]
fn a_file_that_appears_late_is_noticed_without_the_tick() {
    let stage = Stage::new(NEVER);
    let pane = stage.homed("one", 1);
    stage.watch(&[&pane]);
    let seen = stage.until_transcript("no file", "one", |_| true);
    assert_eq!(seen.ending, None);
    // No `projects` yet, as in a home that was never used; then the slug, then the file.
    let file = stage.path("a/projects").join(SLUG).join(format!("{}.jsonl", id(1)));
    append(&file, prompt(now()) + &refusal(now(), 1));
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
}

/// `projects`, the slug and the file come one after another; whatever the sensor does in between, the
/// last of them is noticed.
#[test]
fn a_slug_that_appears_while_its_parent_is_not_watched_yet_is_noticed() {
    let stage = Stage::new(NEVER);
    let pane = stage.homed("one", 1);
    stage.watch(&[&pane]);
    let projects = stage.path("a/projects");
    let file = projects.join(SLUG).join(format!("{}.jsonl", id(1)));
    for round in 0..100 {
        let what = format!("no file, round {round}");
        stage.until_transcript(&what, "one", |seen| seen.ending.is_none());
        fs::create_dir(&projects).unwrap();
        spin(Duration::from_micros(5 * round));
        fs::create_dir(file.parent().unwrap()).unwrap();
        spin(Duration::from_millis(3));
        append(&file, refusal(now(), 1));
        let what = format!("the refusal, round {round}");
        stage.until_transcript(&what, "one", |seen| refused(seen) == Some(1));
        fs::remove_dir_all(&projects).unwrap();
    }
}

/// The distance between two steps of somebody else is what is tried here, so it is no condition.
fn spin(length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn a_conversation_begun_elsewhere_is_found_where_it_lies() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let name = format!("{}.jsonl", id(1));
    let file = stage.path("projects").join("-somewhere-else").join(name);
    append(&file, refusal(now(), 1));
    stage.watch(&[&pane]);
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
    append(&file, refusal(now(), 2));
    stage.until_transcript("the next, by a notice", "one", |seen| refused(seen) == Some(2));
}

/// Nothing tells of a file in a slug that is not the expected one, and the first search was too early.
#[test]
fn a_slug_elsewhere_is_searched_again_while_it_is_new() {
    let stage = Stage::sharing(TICK);
    let pane = stage.homed("one", 1);
    stage.watch(&[&pane]);
    stage.until_transcript("no file", "one", |_| true);
    let slug = stage.path("projects").join("-somewhere-else");
    fs::create_dir(&slug).unwrap();
    spin(TICK * 3);
    let begun = Instant::now();
    append(&slug.join(format!("{}.jsonl", id(1))), refusal(now(), 1));
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_client_without_a_session_file_is_followed_by_its_arguments() {
    let stage = Stage::sharing(NEVER);
    let home = stage.path("a");
    let client = stage.script("claude", "sleep 300");
    let body = format!(
        "cd {}; export CLAUDE_CONFIG_DIR={}; exec {} --resume {}",
        stage.path("user").display(),
        home.display(),
        client.display(),
        id(7)
    );
    let pane = stage.pane("one", &body);
    crate::support::eventually("the client runs", NEVER, || {
        let args = claude_failover::process::table::args(pane.leader_pid).unwrap()?;
        let resumed = args.iter().any(|arg| arg == "--resume");
        (resumed && is_settled(pane.leader_pid)).then_some(())
    });
    let slug = stage.path("user").display().to_string().replace(['/', '.', '_'], "-");
    let file = stage.path("projects").join(slug).join(format!("{}.jsonl", id(7)));
    append(&file, refusal(now(), 1));
    stage.watch(&[&pane]);
    let seen = stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
    assert_eq!(seen.conversation.to_string(), id(7));
}

#[test]
fn a_file_that_is_cut_replaced_or_removed_is_followed_on() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    append(&file, prompt(now()) + &refusal(now(), 1));
    stage.watch(&[&pane]);
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));

    fs::write(&file, prompt(now())).unwrap();
    stage.until_transcript("cut", "one", |seen| refused(seen).is_none());
    append(&file, refusal(now(), 2));
    stage.until_transcript("appended", "one", |seen| refused(seen) == Some(2));

    let other = stage.path("other.jsonl");
    append(&other, prompt(now()) + &refusal(now(), 3));
    fs::rename(&other, &file).unwrap();
    stage.until_transcript("replaced", "one", |seen| refused(seen) == Some(3));

    fs::remove_file(&file).unwrap();
    stage.until_transcript("removed", "one", |seen| seen.ending.is_none());
    append(&file, refusal(now(), 4));
    stage.until_transcript("made anew", "one", |seen| refused(seen) == Some(4));

    fs::remove_dir_all(file.parent().unwrap()).unwrap();
    stage.until_transcript("its directory removed", "one", |seen| seen.ending.is_none());
    append(&file, refusal(now(), 5));
    stage.until_transcript("its directory made anew", "one", |seen| refused(seen) == Some(5));
}

#[test]
fn a_directory_that_comes_and_goes_quickly_is_caught_by_the_tick() {
    let stage = Stage::sharing(TICK);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    stage.watch(&[&pane]);
    for number in 1..6 {
        append(&file, refusal(now(), number));
        stage.until_transcript("the file", "one", |seen| refused(seen) == Some(number));
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_new_conversation_of_an_agent_is_followed_and_old_words_in_it_are_not_its_own() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    append(&stage.conversation(1), refusal(now(), 1));
    stage.watch(&[&pane]);
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
    // `/clear`: a new id, whose file comes with the first prompt.
    stage.write_session("a", pane.leader_pid, 2, IDLE);
    let seen = stage.until_transcript("the new one", "one", |_| true);
    assert_eq!((seen.conversation.to_string(), seen.ending), (id(2), None));
    append(&stage.conversation(2), prompt(now()) + &refusal(now(), 2));
    stage.until_transcript("its refusal", "one", |seen| refused(seen) == Some(2));
    append(&stage.conversation(1), refusal(now(), 3));
    append(&stage.conversation(2), refusal(now(), 4));
    let seen = stage.until_transcript("the next", "one", |_| true);
    assert_eq!(refused(&seen), Some(4), "the old conversation is nobody's");
}

#[test]
fn an_order_to_read_finds_what_no_notice_told() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    stage.watch(&[&pane]);
    stage.until_transcript("no file", "one", |seen| seen.ending.is_none());
    // A slug that is not the agent's directory: nothing is watched there.
    let name = format!("{}.jsonl", id(1));
    let slug = stage.path("projects").join("-elsewhere");
    fs::create_dir(&slug).unwrap();
    let file = slug.join(name);
    stage.look(1);
    // The order comes first, the record after it.
    stage.read("one");
    crate::support::eventually("a moment", NEVER, {
        let begun = Instant::now();
        move || (begun.elapsed() > Duration::from_millis(200)).then_some(())
    });
    append(&file, refusal(now(), 1));
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
}

#[test]
fn an_order_for_an_agent_not_seen_yet_looks_for_it() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.pane("one", CLIENT);
    await_client(pane.leader_pid);
    stage.watch(&[&pane]);
    let seen = stage.look(1);
    assert_eq!(agent(&seen, "one").conversation, None);
    stage.write_session("b", pane.leader_pid, 3, IDLE);
    append(&stage.conversation(3), refusal(now(), 3));
    stage.read("one");
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(3));
    stage.read("nobody");
    assert_eq!(agent(&stage.look(2), "one").process.pid, pane.leader_pid, "it still answers");
}

#[test]
fn progress_is_reported_at_the_tick_and_nothing_is_said_twice() {
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    let first = now();
    append(&file, prompt(first) + &answer(first));
    stage.watch(&[&pane]);
    stage.until_transcript("the answer", "one", |seen| seen.ending.is_some());
    for later in 1..50 {
        append(&file, answer(Wall(first.0 + later)));
    }
    append(&file, refusal(now(), 1));
    let seen = stage.until_transcript("the next word", "one", |_| true);
    assert_eq!(refused(&seen), Some(1), "not the answers before it");
    append(&file, "{\"type\":\"system\"}\n");
    append(&file, answer(now()));
    let seen = stage.until_transcript("an answer after a refusal", "one", |_| true);
    assert_eq!(refused(&seen), None);
    let last = Wall(now().0 + 1);
    append(&file, answer(last));
    stage.look(1);
    let all: Vec<Event> = stage.events.try_iter().collect();
    let seen = match &all[..] {
        [] => stage.until_transcript("progress, by the look", "one", |_| true),
        [Event::TranscriptsObserved(seen)] => seen[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen.ending.unwrap().answered_at, Some(last));
    stage.look(2);
    assert!(stage.events.try_iter().next().is_none(), "nothing is new");
}

#[test]
fn from_a_record_to_its_event_takes_milliseconds() {
    const RECORDS: u32 = 300;
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let other = stage.homed("two", 2);
    let file = stage.conversation(1);
    append(&file, prompt(now()));
    append(&stage.conversation(2), prompt(now()));
    stage.watch(&[&pane, &other]);
    stage.until_transcript("the file", "one", |seen| seen.ending.is_some());
    let mut lengths = Vec::new();
    for number in 1..=RECORDS {
        // Another agent writes meanwhile.
        append(&stage.conversation(2), answer(now()));
        append(
            &file,
            "{\"type\":\"attachment\",\"x\":\"".to_owned() + &"y".repeat(40_000) + "\"}\n",
        );
        let written = Instant::now();
        append(&file, refusal(now(), number));
        stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(number));
        lengths.push(written.elapsed());
    }
    lengths.sort();
    let share = |percent: usize| lengths[lengths.len() * percent / 100];
    let (half, most, longest) = (share(50), share(99), lengths[lengths.len() - 1]);
    println!("record → event, {RECORDS} records: p50 {half:?} p99 {most:?} max {longest:?}");
    assert!(half < Duration::from_millis(20), "{half:?}");
    assert!(most < Duration::from_millis(500), "{most:?}");
}

#[test]
fn a_flood_of_lines_does_not_hide_the_refusal_behind_it() {
    const LINES: usize = 20_000;
    let stage = Stage::sharing(NEVER);
    let pane = stage.homed("one", 1);
    let file = stage.conversation(1);
    append(&file, prompt(now()));
    stage.watch(&[&pane]);
    stage.until_transcript("the file", "one", |seen| seen.ending.is_some());
    let line = format!("{{\"type\":\"progress\",\"x\":\"{}\"}}\n", "y".repeat(500));
    let mut open = OpenOptions::new().append(true).open(&file).unwrap();
    let begun = Instant::now();
    for _ in 0..LINES {
        open.write_all(line.as_bytes()).unwrap();
    }
    let written = Instant::now();
    open.write_all(refusal(now(), 1).as_bytes()).unwrap();
    stage.until_transcript("the refusal", "one", |seen| refused(seen) == Some(1));
    let (flood, lag) = (written - begun, written.elapsed());
    println!("{LINES} lines in {flood:?}, then record → event {lag:?}");
    assert!(lag < Duration::from_secs(2), "{lag:?}");
}
