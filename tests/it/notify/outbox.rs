//! When a message goes out, and which notices are in it, with a clock that the test turns.

use std::time::Duration;

use claude_failover::config::notifications::{Level, Rules};
use claude_failover::core::notice::Notice;
use claude_failover::moment::Wall;
use claude_failover::notifier::failure::Failure;
use claude_failover::notifier::message::Reader;
use claude_failover::notifier::outbox::{
    BACKOFF_MAX, BACKOFF_MIN, GATHER, GIVE_UP_AFTER, MESSAGES_CRITICAL_MAX, MESSAGES_MAX, Next,
    Outbox, RATE_WINDOW, REPEAT_WINDOW, Terms, WAITING_MAX,
};
use expect_test::expect;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// 2026-11-26T20:00:00Z, which is 21:00 in Paris.
const EVENING: Wall = Wall(1_795_723_200_000);

/// One channel and its clock.
struct Bench {
    outbox: Outbox,
    rules: Rules,
    now: Wall,
}

fn notice(level: Level, key: &str) -> Notice {
    Notice {
        key: key.to_owned(),
        level,
        at: EVENING,
        title: format!("It is {key}"),
        lines: vec![format!("Why: {key}")],
    }
}

impl Bench {
    fn new() -> Self {
        Self { outbox: Outbox::default(), rules: Rules::default(), now: EVENING }
    }

    fn with(level: Level, quiet_hours: &str) -> Self {
        let quiet_hours = Some(quiet_hours).filter(|hours| !hours.is_empty());
        let quiet_hours = quiet_hours.map(|hours| hours.parse().unwrap());
        Self { rules: Rules { level, quiet_hours }, ..Self::new() }
    }

    fn terms(&self) -> Terms<'static> {
        Terms { rules: self.rules, zone: Some("Europe/Paris"), now: self.now }
    }

    fn say(&mut self, level: Level, key: &str) -> bool {
        let terms = self.terms();
        self.outbox.take(None, notice(level, key), &terms)
    }

    fn wait(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    fn next(&mut self) -> Next {
        self.outbox.tell_repeats(self.now);
        self.outbox.next(&self.terms())
    }

    /// The keys of the message that is due now.
    #[track_caller]
    fn due(&mut self) -> Vec<String> {
        match self.next() {
            Next::Send(ids) => self.keys(&ids),
            other => panic!("nothing is due: {other:?}"),
        }
    }

    fn keys(&self, ids: &[u64]) -> Vec<String> {
        self.outbox.parts(ids).iter().map(|part| part.notice.key.clone()).collect()
    }

    #[track_caller]
    fn settle(&mut self, result: &Result<(), Failure>) {
        let Next::Send(ids) = self.next() else { panic!("nothing is due") };
        self.outbox.settle(&ids, result.as_ref().copied(), self.now, 0.5);
    }

    #[track_caller]
    fn text(&mut self) -> String {
        let Next::Send(ids) = self.next() else { panic!("nothing is due") };
        let reader = Reader { host: "alpha", zone: Some("Europe/Paris") };
        let parts = self.outbox.parts(&ids);
        reader.compose("id".to_owned(), &parts, self.outbox.left_out()).text + "\n"
    }
}

fn later(after: Option<Duration>) -> Failure {
    Failure::Later { why: "no".to_owned(), after }
}

fn refused() -> Failure {
    Failure::Refused { why: "no".to_owned(), remedy: "mend it".to_owned() }
}

#[test]
fn what_comes_together_goes_as_one_message() {
    let mut bench = Bench::new();
    assert_eq!(bench.next(), Next::Nothing);
    bench.say(Level::Info, "a/1");
    bench.wait(SECOND);
    bench.say(Level::Critical, "b/1");
    assert_eq!(bench.next(), Next::At(EVENING + GATHER), "the first decides");
    bench.wait(SECOND);
    assert_eq!(bench.due(), ["a/1", "b/1"]);
    bench.settle(&Ok(()));
    assert_eq!((bench.next(), bench.outbox.waiting_count()), (Next::Nothing, 0));
    assert_eq!(bench.outbox.last_sent_at, Some(bench.now));
}

#[test]
fn what_is_below_the_level_is_not_told() {
    let mut bench = Bench::with(Level::Warning, "");
    assert!(!bench.say(Level::Info, "a/1"));
    assert!(bench.say(Level::Warning, "b/1"));
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["b/1"]);
}

#[test]
fn the_same_said_again_is_counted_and_told_once_at_the_end() {
    let mut bench = Bench::new();
    bench.say(Level::Warning, "tmux/lost");
    bench.say(Level::Warning, "tmux/lost");
    bench.wait(GATHER);
    assert!(bench.text().contains("Said again: 1 ×"), "{}", bench.text());
    bench.settle(&Ok(()));
    for _ in 0..5 {
        bench.wait(SECOND);
        bench.say(Level::Warning, "tmux/lost");
    }
    assert_eq!(bench.next(), Next::At(EVENING + REPEAT_WINDOW));
    bench.now = EVENING + REPEAT_WINDOW;
    assert_eq!(bench.next(), Next::At(bench.now + GATHER));
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["tmux/lost"]);
    assert!(bench.text().contains("Said again: 5 ×"), "{}", bench.text());
    bench.settle(&Ok(()));
    assert_eq!(bench.next(), Next::Nothing);
    bench.wait(REPEAT_WINDOW);
    bench.say(Level::Warning, "tmux/lost");
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["tmux/lost"], "after the window it is news again");
}

#[test]
fn what_was_said_to_be_over_is_news_when_it_comes_again() {
    let mut bench = Bench::new();
    for key in ["tmux/lost", "tmux/back", "tmux/lost", "other/x", "tmux/lost"] {
        bench.say(Level::Warning, key);
    }
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["tmux/lost", "tmux/back", "tmux/lost", "other/x"]);
}

#[test]
fn worse_than_before_is_news() {
    let mut bench = Bench::new();
    bench.say(Level::Warning, "a/1");
    bench.say(Level::Critical, "a/1");
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["a/1", "a/1"]);
}

#[test]
fn in_quiet_hours_only_what_is_critical_is_told_and_the_rest_at_their_end() {
    let mut bench = Bench::with(Level::Info, "21:00-07:30");
    bench.wait(Duration::from_secs(5 * 60));
    bench.say(Level::Info, "a/1");
    bench.say(Level::Warning, "b/1");
    let morning = EVENING + Duration::from_secs(10 * 3600 + 1800);
    assert_eq!(bench.next(), Next::At(morning));
    bench.wait(HOUR);
    bench.say(Level::Critical, "c/1");
    bench.wait(GATHER);
    assert_eq!(bench.due(), ["c/1"]);
    bench.settle(&Ok(()));
    bench.now = Wall(morning.0 - 1);
    assert_eq!(bench.next(), Next::At(morning));
    bench.now = morning;
    assert_eq!(bench.due(), ["a/1", "b/1"], "in one message");
    // The whole of the minute in which they end, whose seconds are more than what is left.
    bench.wait(Duration::from_secs(59));
    assert_eq!(bench.terms().quiet_until(), None);
    assert_eq!(bench.due(), ["a/1", "b/1"]);
}

#[test]
fn quiet_hours_follow_the_clocks_of_their_zone() {
    // In Paris clocks go from 03:00 back to 02:00 on the morning of 2026-10-25.
    let mut bench = Bench::with(Level::Info, "23:00-07:00");
    bench.now = "2026-10-24T22:00:00Z".parse().unwrap(); // midnight in Paris
    bench.say(Level::Info, "a/1");
    let Next::At(first) = bench.next() else { panic!("it waits") };
    assert_eq!(first.to_string(), "2026-10-25T05:00:00Z", "by the clock of the evening");
    bench.now = first;
    let Next::At(second) = bench.next() else { panic!("it waits") };
    assert_eq!(second.to_string(), "2026-10-25T06:00:00Z", "by that of the morning");
    bench.now = second;
    assert_eq!(bench.due(), ["a/1"]);
}

#[test]
fn many_messages_become_few() {
    let mut bench = Bench::new();
    for number in 0..MESSAGES_MAX {
        bench.say(Level::Info, &format!("a{number}/x"));
        bench.wait(GATHER);
        bench.settle(&Ok(()));
    }
    for number in 0..8 {
        bench.say(Level::Info, &format!("b{number}/x"));
    }
    let allowed = EVENING + GATHER + RATE_WINDOW;
    assert_eq!(bench.next(), Next::At(allowed));
    bench.say(Level::Critical, "c/x");
    bench.wait(GATHER);
    assert_eq!(bench.due().len(), 9, "what is critical is not held up, and takes the rest along");
    expect![[r#"
        CRITICAL: It is c/x (and 8 more)

        2026-11-26 21:00 (Europe/Paris) on alpha
        Why: c/x

        2026-11-26 21:00 (Europe/Paris) It is b0/x
        Why: b0/x

        2026-11-26 21:00 (Europe/Paris) It is b1/x
        Why: b1/x

        Besides:
        2026-11-26 21:00 (Europe/Paris) It is b2/x
        2026-11-26 21:00 (Europe/Paris) It is b3/x
        2026-11-26 21:00 (Europe/Paris) It is b4/x
        2026-11-26 21:00 (Europe/Paris) It is b5/x
        2026-11-26 21:00 (Europe/Paris) It is b6/x
        2026-11-26 21:00 (Europe/Paris) It is b7/x
    "#]]
    .assert_eq(&bench.text());
    for number in MESSAGES_MAX..MESSAGES_CRITICAL_MAX {
        bench.settle(&Ok(()));
        bench.say(Level::Critical, &format!("d{number}/x"));
        bench.wait(GATHER);
    }
    assert_eq!(bench.next(), Next::At(allowed), "nor is it without any bound");
}

#[test]
fn a_long_message_says_what_it_leaves_out() {
    let mut bench = Bench::new();
    for number in 0..30 {
        bench.say(Level::Info, &format!("a{number}/x"));
    }
    bench.wait(GATHER);
    let text = bench.text();
    assert!(text.contains("and 12 more: see `claude-failover history`"), "{text}");
    let mut long = notice(Level::Critical, "long/x");
    long.lines = (0..20).map(|_| "word ".repeat(60)).collect();
    let terms = bench.terms();
    bench.outbox.take(None, long, &terms);
    bench.wait(GATHER);
    let text = bench.text();
    assert!(text.contains("the rest does not fit"), "{text}");
    assert!(text.chars().count() < 4_096, "Telegram takes no more");
}

#[test]
fn a_failure_is_tried_again_ever_later_and_as_the_server_says() {
    let mut bench = Bench::new();
    bench.say(Level::Info, "a/1");
    bench.wait(GATHER);
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.settle(&Err(later(None)));
        let Next::At(at) = bench.next() else { panic!("it waits") };
        waits.push((at - bench.now).as_secs());
        bench.now = at;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]);
    assert_eq!((BACKOFF_MIN.as_secs(), BACKOFF_MAX.as_secs()), (5, 900));
    bench.settle(&Err(later(Some(HOUR))));
    assert_eq!(bench.next(), Next::At(bench.now + HOUR), "it said when");
    bench.say(Level::Critical, "b/1");
    bench.wait(GATHER);
    assert!(matches!(bench.next(), Next::At(_)), "the server is not asked before that");
    bench.outbox.retry_soon();
    assert_eq!(bench.due(), ["a/1", "b/1"], "an operator's reload tries at once");
    bench.settle(&Ok(()));
    assert_eq!((bench.next(), bench.outbox.last_error.clone()), (Next::Nothing, None));
}

#[test]
fn jitter_spreads_retries() {
    for (jitter, wait_ms) in [(0.0, 3_750), (0.5, 5_000), (1.0, 6_250)] {
        let mut bench = Bench::new();
        bench.say(Level::Info, "a/1");
        bench.wait(GATHER);
        let Next::Send(ids) = bench.next() else { panic!("due") };
        bench.outbox.settle(&ids, Err(&later(None)), bench.now, jitter);
        assert_eq!(bench.next(), Next::At(bench.now + Duration::from_millis(wait_ms)));
    }
}

#[test]
fn what_is_refused_is_given_up_and_said() {
    let mut bench = Bench::new();
    bench.say(Level::Info, "a/1");
    bench.wait(GATHER);
    bench.settle(&Err(refused()));
    assert_eq!(bench.next(), Next::Nothing);
    assert_eq!(bench.outbox.last_error.as_deref(), Some("no: mend it"));
}

#[test]
fn after_a_day_without_success_old_messages_are_given_up_and_counted() {
    let mut bench = Bench::new();
    bench.say(Level::Warning, "a/1");
    bench.wait(GATHER);
    while bench.now - EVENING < GIVE_UP_AFTER {
        bench.settle(&Err(later(None)));
        let Next::At(at) = bench.next() else { panic!("it waits") };
        bench.now = at;
    }
    bench.say(Level::Warning, "b/1");
    bench.wait(GATHER);
    bench.settle(&Err(later(None)));
    assert_eq!(bench.outbox.waiting_count(), 1);
    let Next::At(at) = bench.next() else { panic!("it waits") };
    bench.now = at;
    assert_eq!(bench.due(), ["b/1"]);
    let text = bench.text();
    assert!(text.contains("1 earlier messages were given up"), "{text}");
    bench.settle(&Ok(()));
    assert_eq!(bench.outbox.left_out(), 0);
}

#[test]
fn no_more_wait_than_there_is_room_for_and_the_least_serious_go_first() {
    let mut bench = Bench::with(Level::Info, "20:00-08:00");
    bench.say(Level::Warning, "first/x");
    for number in 0..2 * WAITING_MAX {
        bench.say(Level::Info, &format!("a{number}/x"));
    }
    assert_eq!(bench.outbox.waiting_count(), WAITING_MAX);
    assert_eq!(bench.outbox.left_out() as usize, WAITING_MAX + 1);
    bench.wait(12 * HOUR);
    assert_eq!(bench.due()[0], "first/x");
}

#[test]
fn a_record_is_taken_once_and_an_outbox_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.outbox.begin_after(40);
    let terms = bench.terms();
    for (seq, key, taken) in [
        (40, "old/x", false),
        (41, "a/1", true),
        (41, "a/1", false),
        (42, "b/1", true),
        (41, "a/1", false),
    ] {
        assert_eq!(bench.outbox.take(Some(seq), notice(Level::Info, key), &terms), taken, "{seq}");
    }
    bench.wait(GATHER);
    bench.settle(&Err(later(Some(HOUR))));
    let text = serde_json::to_string(&bench.outbox).unwrap();
    bench.outbox = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&bench.outbox).unwrap(), text);
    bench.outbox.begin_after(99);
    assert_eq!(bench.outbox.cursor, Some(42), "it has begun");
    assert_eq!(bench.next(), Next::At(bench.now + HOUR), "a restart asks no sooner");
    let terms = bench.terms();
    assert!(!bench.outbox.take(Some(42), notice(Level::Info, "b/1"), &terms));
    assert!(bench.outbox.take(Some(43), notice(Level::Info, "b/1"), &terms), "said again: counted");
    bench.wait(HOUR);
    assert_eq!(bench.due(), ["a/1", "b/1"]);
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut bench = Bench::new();
    bench.say(Level::Info, "a/1");
    bench.now = Wall(EVENING.0 - 7 * 86_400_000);
    let Next::At(at) = bench.next() else { panic!("it gathers") };
    assert!(at - bench.now <= GATHER, "{at}");
}

#[test]
fn at_the_end_of_the_daemon_nothing_is_gathered() {
    let mut bench = Bench::new();
    bench.say(Level::Info, "daemon/stopped");
    assert!(matches!(bench.next(), Next::At(_)));
    assert!(matches!(bench.outbox.rest(&bench.terms()), Next::Send(_)));
}
