//! The component itself, with real outboxes on the disk and real servers: nothing is lost over its
//! end, nothing is sent twice, and no server holds up another channel or the end of the daemon.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_failover::cli::assemble::tell_past;
use claude_failover::clock::Clock;
use claude_failover::component::Component;
use claude_failover::config::Config;
use claude_failover::config::load::{Base, parse};
use claude_failover::config::notifications::Level;
use claude_failover::core::durable::Durable;
use claude_failover::core::notice::Notice;
use claude_failover::core::record::Record;
use claude_failover::journal::Journal;
use claude_failover::notifier::{self, LEAVE_PATIENCE, Order, Settings, Told};
use claude_failover::snapshot::{Health, Snapshot, SnapshotCell};
use crossbeam_channel::unbounded;
use serde_json::Value;

use crate::notify::server::{Manner, OK, SOON, Server};
use crate::support::eventually;

/// Of one request; well above what the loopback takes, well below our patience.
const TIMEOUT: Duration = Duration::from_secs(3);

struct Stage {
    dir: tempfile::TempDir,
    clock: Clock,
    snapshots: SnapshotCell,
}

fn told(seq: u64, level: Level, key: &str, clock: Clock) -> Told {
    let notice = Notice {
        key: key.to_owned(),
        level,
        at: clock.wall(),
        title: format!("It is {key}"),
        lines: Vec::new(),
    };
    Told { seq: Some(seq), notice }
}

impl Stage {
    fn new() -> Self {
        let health =
            Health { ok: true, state: "normal".to_owned(), reasons: Vec::new(), until: None };
        let status = serde_json::json!({ "state": "normal" });
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Clock::start(),
            snapshots: SnapshotCell::new(Snapshot::new(health, status)),
        }
    }

    fn config(&self, notifications: &str) -> Arc<Config> {
        let state_dir = self.dir.path().display();
        let text = format!(
            "accounts: [{{name: a, home: /a}}]\nstate_dir: {state_dir}\nnotifications: \
             {{{notifications}}}\n"
        );
        Arc::new(parse(&text, &Base::new("/u")).unwrap().config)
    }

    fn start(&self, config: &Arc<Config>, replayed: Vec<Told>, last_seq: u64) -> Component<Order> {
        let (events, _unheard) = unbounded();
        let settings = Settings {
            config: config.clone(),
            clock: self.clock,
            zone: None,
            host: "alpha".to_owned(),
            replayed,
            last_seq,
            snapshots: self.snapshots.clone(),
            timeout: TIMEOUT,
        };
        notifier::spawn(settings, events).unwrap()
    }

    fn tell(&self, notifier: &Component<Order>, seq: u64, level: Level, key: &str) {
        notifier.order(Order::Tell(vec![told(seq, level, key, self.clock)])).unwrap();
    }

    fn status(&self, channel: &str) -> Value {
        let status = self.snapshots.read().status["notifications"].clone();
        let rows = status.as_array().unwrap().clone();
        rows.into_iter().find(|row| row["channel"] == channel).unwrap_or_default()
    }

    #[track_caller]
    fn await_status(&self, channel: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(what, SOON, || {
            let row = self.status(channel);
            is(&row).then_some(row)
        })
    }

    fn outbox(&self, channel: &str) -> std::path::PathBuf {
        self.dir.path().join("notices").join(format!("{channel}.json"))
    }
}

fn webhook(server: &Server) -> String {
    format!("webhook: {{url: \"{}/\"}}", server.url())
}

fn waiting(row: &Value, count: u64) -> bool {
    row["waiting"] == count
}

fn titles(server: &Server) -> Vec<String> {
    let notices = server
        .requests()
        .into_iter()
        .flat_map(|request| request.json()["notices"].as_array().unwrap().clone());
    notices.map(|notice| notice["title"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_notice_is_sent_and_its_outbox_is_empty_then() {
    let (stage, server) = (Stage::new(), Server::new(OK));
    let notifier = stage.start(&stage.config(&webhook(&server)), Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    let body = server.await_requests(1)[0].json();
    assert_eq!((&body["host"], &body["subject"]), (&"alpha".into(), &"It is a/1".into()));
    let row = stage.await_status("webhook", "it is sent", |row| !row["last_sent_at"].is_null());
    assert!(waiting(&row, 0) && row["last_error"].is_null(), "{row}");
    let text = fs::read_to_string(stage.outbox("webhook")).unwrap();
    assert!(text.contains("\"cursor\":1") && text.contains("\"waiting\":[]"), "{text}");
}

#[test]
fn a_server_that_hangs_costs_only_its_own_channel_and_no_end_waits_for_it() {
    let (stage, slow, good) = (Stage::new(), Server::new(Manner::Hang), Server::new(OK));
    let token = stage.dir.path().join("token");
    fs::write(&token, "1:a").unwrap();
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = stage.config(&format!(
        "telegram: {{chat_id: 5, api_url: \"{}\", token_file: {}}}, {}",
        slow.url(),
        token.display(),
        webhook(&good)
    ));
    let notifier = stage.start(&config, Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    slow.await_requests(1);
    good.await_requests(1);
    stage.tell(&notifier, 2, Level::Info, "b/1");
    good.await_requests(2);
    let row = stage.await_status("telegram", "it gives up", |row| !row["last_error"].is_null());
    let error = row["last_error"].as_str().unwrap();
    assert!(error.ends_with("did not answer in time"), "{error}");
    assert!(waiting(&row, 2) && !row["retry_at"].is_null(), "{row}");
    // A request hangs again when the daemon ends.
    notifier.order(Order::Reconfigure(config)).unwrap();
    slow.await_requests(2);
    let start = Instant::now();
    drop(notifier);
    let took = start.elapsed();
    assert!(took < LEAVE_PATIENCE + Duration::from_millis(1_500), "{took:?}");
    assert!(took < TIMEOUT, "the request itself was still out");
}

#[test]
fn what_was_not_taken_waits_over_the_end_and_is_sent_once_then() {
    let (stage, server) = (Stage::new(), Server::new(Manner::Answer(500, "", "")));
    let config = stage.config(&webhook(&server));
    let notifier = stage.start(&config, Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    stage.await_status("webhook", "it failed", |row| !row["last_error"].is_null());
    drop(notifier);
    server.set(OK);
    let sent_before = server.requests().len();
    // The journal tells of all of it again.
    let replayed = ["a/1", "b/1"];
    let replayed = (1..).zip(replayed).map(|(seq, key)| told(seq, Level::Info, key, stage.clock));
    let notifier = stage.start(&config, replayed.collect(), 2);
    stage.await_status("webhook", "all is sent", |row| waiting(row, 0));
    let later = titles(&server).split_off(sent_before);
    assert_eq!(later, ["It is a/1", "It is b/1"]);
    drop(notifier);
    let replayed = vec![told(2, Level::Info, "b/1", stage.clock)];
    let notifier = stage.start(&config, replayed, 2);
    stage.tell(&notifier, 3, Level::Info, "c/1");
    stage.await_status("webhook", "the next one is sent", |_| titles(&server).len() >= 4);
    assert_eq!(titles(&server).split_off(sent_before), ["It is a/1", "It is b/1", "It is c/1"]);
}

#[test]
fn a_server_that_says_when_is_not_asked_before_also_over_a_restart() {
    let busy = Manner::Answer(429, "Retry-After: 3600\r\n", "busy");
    let (stage, server) = (Stage::new(), Server::new(busy));
    let config = stage.config(&webhook(&server));
    let notifier = stage.start(&config, Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Critical, "a/1");
    let row = stage.await_status("webhook", "it is told when", |row| !row["retry_at"].is_null());
    let at: claude_failover::moment::Wall = row["retry_at"].as_str().unwrap().parse().unwrap();
    let wait = at - stage.clock.wall();
    assert!((3_500..=3_600).contains(&wait.as_secs()), "{wait:?}");
    drop(notifier);
    server.set(OK);
    let notifier = stage.start(&config, Vec::new(), 1);
    let again = stage.await_status("webhook", "it is up", |row| !row.is_null());
    assert_eq!((&again["retry_at"], &again["waiting"]), (&row["retry_at"], &1.into()));
    assert_eq!(server.requests().len(), 1);
    // An operator who reloads wants it now.
    notifier.order(Order::Reconfigure(config)).unwrap();
    stage.await_status("webhook", "it is sent", |row| waiting(row, 0));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_a_server_refuses_is_not_sent_again_and_the_next_one_is() {
    let (stage, server) = (Stage::new(), Server::new(Manner::Answer(401, "", "who are you")));
    let notifier = stage.start(&stage.config(&webhook(&server)), Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    let row = stage.await_status("webhook", "it is refused", |row| !row["last_error"].is_null());
    assert!(waiting(&row, 0) && row["retry_at"].is_null(), "{row}");
    server.set(OK);
    stage.tell(&notifier, 2, Level::Info, "b/1");
    stage.await_status("webhook", "the next is sent", |row| row["last_error"].is_null());
    assert_eq!(titles(&server), ["It is a/1", "It is b/1"]);
}

#[test]
fn connections_that_break_are_tried_again() {
    let (stage, server) = (Stage::new(), Server::new(Manner::CloseEarly));
    let notifier = stage.start(&stage.config(&webhook(&server)), Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    stage.await_status("webhook", "it broke", |row| !row["last_error"].is_null());
    server.set(OK);
    let row = stage.await_status("webhook", "it is sent", |row| waiting(row, 0));
    assert!(row["last_error"].is_null(), "{row}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_channel_begins_with_what_happens_next_and_ends_with_its_outbox() {
    let (stage, server) = (Stage::new(), Server::new(OK));
    let past = vec![told(1, Level::Critical, "old/x", stage.clock)];
    let notifier = stage.start(&stage.config(""), past, 1);
    stage.tell(&notifier, 2, Level::Critical, "unheard/x");
    notifier.order(Order::Reconfigure(stage.config(&webhook(&server)))).unwrap();
    stage.tell(&notifier, 3, Level::Info, "heard/x");
    stage.await_status("webhook", "it is sent", |row| !row["last_sent_at"].is_null());
    assert_eq!(titles(&server), ["It is heard/x"]);
    assert!(stage.outbox("webhook").exists());
    notifier.order(Order::Reconfigure(stage.config(""))).unwrap();
    eventually("its outbox is gone", SOON, || (!stage.outbox("webhook").exists()).then_some(()));
    eventually("it is no longer named", SOON, || {
        let named = stage.snapshots.read().status["notifications"].clone();
        (named == serde_json::json!([])).then_some(())
    });
}

#[test]
fn what_came_of_a_channel_that_is_gone_says_nothing_of_the_one_that_came_back() {
    let (stage, slow, good) = (Stage::new(), Server::new(Manner::Hang), Server::new(OK));
    let notifier = stage.start(&stage.config(&webhook(&slow)), Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    slow.await_requests(1);
    // Both before its answer. Its next notice has the number of the one that is on its way.
    notifier.order(Order::Reconfigure(stage.config(""))).unwrap();
    notifier.order(Order::Reconfigure(stage.config(&webhook(&good)))).unwrap();
    stage.tell(&notifier, 2, Level::Info, "b/1");
    stage.await_status("webhook", "it waits", |row| waiting(row, 1));
    assert!(good.requests().is_empty(), "one message at a time");
    slow.answer_hung("HTTP/1.1 401 Word\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let row = stage.await_status("webhook", "it is sent", |row| waiting(row, 0));
    assert!(row["last_error"].is_null() && !row["last_sent_at"].is_null(), "{row}");
    assert_eq!(titles(&good), ["It is b/1"]);
}

#[test]
fn an_outbox_that_is_damaged_is_kept_beside_and_messages_go_on() {
    let (stage, server) = (Stage::new(), Server::new(OK));
    fs::create_dir(stage.dir.path().join("notices")).unwrap();
    let private: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(stage.dir.path().join("notices"), private).unwrap();
    fs::write(stage.outbox("webhook"), "{\"waiting\": [").unwrap();
    let notifier = stage.start(&stage.config(&webhook(&server)), Vec::new(), 4);
    stage.tell(&notifier, 5, Level::Info, "a/1");
    server.await_requests(1);
    let kept = stage.outbox("webhook").with_extension("json.damaged");
    assert_eq!(fs::read_to_string(kept).unwrap(), "{\"waiting\": [");
}

/// One way fails to open it, as too many open files would; one to read it, as a disk that stumbles.
#[test]
fn an_outbox_that_cannot_be_read_is_left_as_it_is_and_read_later() {
    for (way, unreadable) in [("open", "webhook.json"), ("read", "/proc/self/mem")] {
        let (stage, server) = (Stage::new(), Server::new(Manner::Answer(500, "", "")));
        let config = stage.config(&webhook(&server));
        let notifier = stage.start(&config, Vec::new(), 0);
        stage.tell(&notifier, 1, Level::Info, "a/1");
        stage.await_status("webhook", "it failed", |row| !row["last_error"].is_null());
        drop(notifier);
        let (outbox, whole) = (stage.outbox("webhook"), stage.dir.path().join("whole"));
        fs::rename(&outbox, &whole).unwrap();
        std::os::unix::fs::symlink(unreadable, &outbox).unwrap();

        server.set(OK);
        let sent_before = server.requests().len();
        let replayed = vec![
            told(1, Level::Info, "a/1", stage.clock),
            told(2, Level::Info, "b/1", stage.clock),
        ];
        let notifier = stage.start(&config, replayed, 2);
        stage.tell(&notifier, 3, Level::Info, "c/1");
        let row = stage.await_status("webhook", "it cannot be read", |row| waiting(row, 3));
        let error = row["last_error"].as_str().unwrap();
        assert!(error.contains("cannot be read, and is left as it is"), "{way}: {error}");
        assert!(!row["retry_at"].is_null(), "{way}: {row}");
        assert_eq!(fs::read_link(&outbox).unwrap(), Path::new(unreadable), "{way}: not replaced");
        assert!(!outbox.with_extension("json.damaged").exists(), "{way}");

        fs::rename(&whole, &outbox).unwrap();
        // Once because an operator reloads, once by itself.
        if way == "open" {
            notifier.order(Order::Reconfigure(config.clone())).unwrap();
        }
        stage.await_status("webhook", "all is sent", |row| {
            waiting(row, 0) && !row["last_sent_at"].is_null() && row["last_error"].is_null()
        });
        let later = titles(&server).split_off(sent_before);
        assert_eq!(later, ["It is a/1", "It is b/1", "It is c/1"], "{way}");
        drop(notifier);
        assert_eq!(cursor(&outbox), Some(3), "{way}");
    }
}

/// `cursor`, of what is on the disk.
fn cursor(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["cursor"].as_u64()
}

#[test]
fn who_is_told_nothing_below_a_level_forgets_nothing_above_it() {
    let (stage, server) = (Stage::new(), Server::new(OK));
    let config = stage.config(&format!("webhook: {{url: \"{}/\", level: warning}}", server.url()));
    let notifier = stage.start(&config, Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "a/1");
    stage.tell(&notifier, 2, Level::Warning, "b/1");
    stage.tell(&notifier, 3, Level::Info, "c/1");
    stage.await_status("webhook", "it is sent", |row| !row["last_sent_at"].is_null());
    assert_eq!(titles(&server), ["It is b/1"]);
    stage.tell(&notifier, 4, Level::Info, "d/1");
    drop(notifier);
    assert_eq!(cursor(&stage.outbox("webhook")), Some(4), "or a lower level tells the past");
}

/// The daemon was killed between the rename of a compaction and the write of the outbox.
#[test]
fn what_a_compaction_took_away_untold_is_told_by_the_next_life() {
    let (stage, server) = (Stage::new(), Server::new(OK));
    let config = stage.config(&webhook(&server));
    let started = |pid| Record::DaemonStarted { version: "0.1.0".to_owned(), pid };
    let records = [started(1), Record::CleanStop, started(2)];
    let mut state = Box::new(Durable::default());
    let (mut journal, _) = Journal::<Record>::open(stage.dir.path()).unwrap();
    for record in &records {
        journal.append(std::slice::from_ref(record), stage.clock.wall()).unwrap();
        state.apply(record).unwrap();
    }
    let notifier = stage.start(&config, Vec::new(), 0);
    stage.tell(&notifier, 1, Level::Info, "first/x");
    stage.await_status("webhook", "it is sent", |row| !row["last_sent_at"].is_null());
    drop(notifier);
    journal.compact(&Record::Compacted { state }, stage.clock.wall()).unwrap();
    drop(journal);

    let (_journal, entries) = Journal::<Record>::open(stage.dir.path()).unwrap();
    assert_eq!(entries.len(), 1, "the journal itself tells of nothing");
    let (_, past) = tell_past(&config, &entries);
    let notifier = stage.start(&config, past.told, past.last_seq);
    eventually("the rest is sent", SOON, || (titles(&server).len() >= 3).then_some(()));
    let expected = ["It is first/x", "The daemon was stopped", "The daemon was started (0.1.0)"];
    assert_eq!(titles(&server), expected);
    drop(notifier);
    let (_, past) = tell_past(&config, &entries);
    assert!(past.told.is_empty(), "what is known to be told is not read again: {past:?}");
}
