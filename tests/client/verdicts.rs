//! The matrix: what the API refuses, what the client makes of it, and what each reader makes of the
//! client. Exactly the plan's limits may move work to another account.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use claude_failover::quota::verdict::Reading;

use crate::agent::{Agent, PATIENCE, now, read_screen, word};
use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually};

/// Clients at one time. They wait more than they work.
const CLIENTS: usize = 5;
const PROMPT: &str = "go on with the next step";
const HOURS_2: &str = "reset_in=7200";
const DAYS_2: &str = "reset_in=200000";
/// A printed reset has no seconds; the answer and our look at it are seconds apart.
const RESET_TOLERANCE_MS: i64 = 90_000;

/// An expectation for 2.1.330 and later, and one for 2.1.2xx.
type ByClient = [&'static str; 2];

const fn both(word: &'static str) -> ByClient {
    [word, word]
}

/// How the client comes to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The turn has ended.
    Idle,
    /// The turn has ended and the client's menu for limits is open.
    Menu,
    /// It asks the API again and again, for three minutes.
    Retrying,
}

struct Case {
    name: &'static str,
    api: &'static [&'static str],
    rest: [Rest; 2],
    /// What must stand on the screen by then; a scenario that did not happen proves nothing.
    shows: ByClient,
    pane: ByClient,
    transcript: ByClient,
    report: ByClient,
    /// Plan exhaustion, by the readers whose word is enough.
    swaps: Swaps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swaps {
    Yes,
    No,
}

/// Refused for the plan's limit: a menu, and all readers agree.
const fn refused(
    name: &'static str,
    api: &'static [&'static str],
    shows: ByClient,
    verdict: ByClient,
    swaps: Swaps,
) -> Case {
    Case {
        name,
        api,
        rest: [Rest::Menu; 2],
        shows,
        pane: verdict,
        transcript: verdict,
        report: verdict,
        swaps,
    }
}

/// The turn goes on or ended well: nothing is recorded, whatever the screen shows.
const fn unrecorded(
    name: &'static str,
    api: &'static [&'static str],
    rest: Rest,
    shows: ByClient,
    pane: &'static str,
) -> Case {
    let clear = both("clear");
    Case {
        name,
        api,
        rest: [rest; 2],
        shows,
        pane: both(pane),
        transcript: clear,
        report: clear,
        swaps: Swaps::No,
    }
}

const CASES: &[Case] = &[
    refused(
        "5-hour",
        &["quota5h", HOURS_2],
        ["hit your 5-hour limit · resets", "hit your session limit · resets"],
        both("exhausted five_hour"),
        Swaps::Yes,
    ),
    refused(
        "weekly",
        &["quota7d", DAYS_2],
        both("hit your weekly limit · resets"),
        both("exhausted weekly"),
        Swaps::Yes,
    ),
    // The newest client records the window that is used up; its words say what would help.
    refused(
        "spend",
        &["quota_spend", HOURS_2],
        both("hit your monthly spend limit"),
        both("spend_limit"),
        Swaps::Yes,
    ),
    refused(
        "out of credits",
        &["quota_credits", HOURS_2],
        ["out of usage credits", "hit your session limit · resets"],
        both("exhausted five_hour"),
        Swaps::Yes,
    ),
    refused(
        "no claim",
        &["quota_noclaim", HOURS_2],
        both("hit your limit · resets"),
        both("exhausted unnamed"),
        Swaps::Yes,
    ),
    refused(
        "no word about overage",
        &["quota_nohdr_reason", HOURS_2],
        ["hit your 5-hour limit · resets", "hit your session limit · resets"],
        both("exhausted five_hour"),
        Swaps::Yes,
    ),
    refused(
        "opus",
        &["quota_opus", DAYS_2],
        both("hit your Opus limit"),
        both("model_limit"),
        Swaps::No,
    ),
    refused(
        "sonnet",
        &["quota_sonnet", DAYS_2],
        both("hit your Sonnet limit"),
        both("model_limit"),
        Swaps::No,
    ),
    Case {
        rest: [Rest::Menu, Rest::Idle],
        ..refused(
            "overage included",
            &["quota_oi", DAYS_2],
            ["hit your Fable limit", "hit your Fable 5 limit"],
            both("model_limit"),
            Swaps::No,
        )
    },
    unrecorded("throttle", &["err429"], Rest::Retrying, both("429 This request"), "throttled"),
    unrecorded("500", &["err500"], Rest::Retrying, both("500 Internal"), "server_error"),
    unrecorded("529", &["err529"], Rest::Retrying, both("529 Overloaded"), "server_error"),
    Case {
        rest: [Rest::Idle; 2],
        ..refused(
            "login refused",
            &["err401_oauth", "refresh=deny"],
            both("Login expired · Please run /login"),
            both("auth_failed"),
            Swaps::No,
        )
    },
    unrecorded("warning", &["warn5h"], Rest::Idle, both("You've used 91% of your"), "warning"),
    unrecorded(
        "weekly warning",
        &["warn7d"],
        Rest::Idle,
        both("You've used 80% of your"),
        "warning",
    ),
    unrecorded("overage", &["overage"], Rest::Idle, both("Now using usage credits"), "warning"),
    // No screen tells an answer that begins like a banner from a banner.
    unrecorded(
        LOOK_ALIKE,
        &["say", "text=You've hit your session limit · resets 3pm (UTC)"],
        Rest::Idle,
        both("You've hit your session limit"),
        "exhausted five_hour",
    ),
];

const LOOK_ALIKE: &str = "look-alike";

/// What the readers said in one case.
struct Seen {
    name: &'static str,
    pane: Reading,
    transcript: Reading,
    report: Reading,
}

/// Which column of the table the rig's client is.
fn column(rig: &Rig) -> usize {
    usize::from(!rig.is_exact())
}

fn play(case: &Case, rig: &Rig, tmux: &PrivateTmux) -> Seen {
    let agent = Agent::start(rig, tmux, &format!("v {}", case.name));
    let requests = rig.requests(&agent.account);
    rig.answer(&agent.account, case.api);
    let asked_at = now();
    agent.prompt(PROMPT);
    let (shows, rest) = (case.shows[column(rig)], case.rest[column(rig)]);
    match rest {
        Rest::Idle | Rest::Menu => {
            let status = if rest == Rest::Menu { "waiting" } else { "idle" };
            agent.wait_for_turns(1);
            agent.await_status(status);
        }
        // Only from the third attempt on the client says why.
        Rest::Retrying => eventually("the fourth request", PATIENCE, || {
            (rig.requests(&agent.account) >= requests + 4).then_some(())
        }),
    }
    let screen = eventually(shows, PATIENCE, || {
        let screen = agent.screen();
        let rows: Vec<&str> = screen.split_whitespace().collect();
        rows.join(" ").contains(shows).then_some(screen)
    });
    assert_eq!(agent.is("busy"), rest == Rest::Retrying, "{screen}");
    let seen = Seen {
        name: case.name,
        // This very screen: a retry row is gone again while the next one is being drawn.
        pane: read_screen(&screen),
        transcript: agent.read_transcript(),
        report: agent.read_reports(),
    };
    check_words(case, &seen, column(rig), &screen);
    check_resets(case, &seen, asked_at.0);
    if rest == Rest::Menu {
        close_menu(&agent, &seen.pane);
    }
    seen
}

fn check_words(case: &Case, seen: &Seen, column: usize, screen: &str) {
    let expected = [case.pane, case.transcript, case.report].map(|word| word[column]);
    let readings = [&seen.pane, &seen.transcript, &seen.report];
    let said = readings.map(|reading| word(&reading.verdict));
    assert_eq!(
        said.each_ref().map(String::as_str),
        expected,
        "pane, transcript and report of {}:\n{readings:#?}\n{screen}",
        case.name
    );
}

/// Every reader that says exhausted also says until when.
fn check_resets(case: &Case, seen: &Seen, asked_at_ms: i64) {
    let reset = case.api.iter().find_map(|word| word.strip_prefix("reset_in="));
    let Some(in_s) = reset.and_then(|seconds| seconds.parse::<i64>().ok()) else {
        return;
    };
    for reading in [&seen.pane, &seen.transcript, &seen.report] {
        if !reading.verdict.is_exhaustion() {
            continue;
        }
        let at = reading.verdict.resets_at().expect("the client printed a reset");
        let off_ms = at.0 - (asked_at_ms + in_s * 1000);
        assert!(
            off_ms.abs() < RESET_TOLERANCE_MS,
            "{}: off by {off_ms} ms: {reading:?}",
            case.name
        );
    }
}

/// The limit stands as before when its menu has gone.
fn close_menu(agent: &Agent<'_>, before: &Reading) {
    agent.key("Escape");
    eventually("the menu closed", PATIENCE, || {
        (agent.is("idle") && !agent.screen().contains("What do you want to do?")).then_some(())
    });
    let after = agent.read_pane();
    assert_eq!(after.verdict, before.verdict, "with the menu closed:\n{}", agent.screen());
}

#[test]
fn exactly_the_plan_limits_swap() {
    let rig = Rig::up();
    let tmux = PrivateTmux::new();
    // The server must be there before many clients want one.
    tmux.run(&["new-session", "-d", "-s", "keep", "cat"]);
    let next = AtomicUsize::new(0);
    let (seen, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(AssertUnwindSafe(|| play(case, &rig, &tmux))) {
                        Ok(readings) => seen.lock().unwrap().push(readings),
                        Err(_) => failed.lock().unwrap().push(case.name),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "said above why: {failed:?}");
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), CASES.len());

    let names = |is_meant: &dyn Fn(&Seen) -> bool| {
        let mut names: Vec<&str> =
            seen.iter().filter(|seen| is_meant(seen)).map(|seen| seen.name).collect();
        names.sort_unstable();
        names
    };
    let swap =
        |seen: &Seen| CASES.iter().any(|case| case.name == seen.name && case.swaps == Swaps::Yes);
    assert_eq!(names(&|seen| seen.transcript.verdict.is_exhaustion()), names(&swap));
    assert_eq!(names(&|seen| seen.report.verdict.is_exhaustion()), names(&swap));
    assert_eq!(
        names(&|seen| seen.pane.verdict.is_exhaustion()),
        names(&|seen| swap(seen) || seen.name == LOOK_ALIKE),
        "a screen alone also falls for the answer"
    );
}
