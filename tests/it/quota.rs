//! The reader of screens: against labelled texts, against whole screens as the client paints them,
//! and against texts that are meant to hurt.

mod armed;
mod corpus;
mod dialog_keys;
mod hard;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use claude_failover::ids::ConversationId;
use claude_failover::moment::Wall;
use claude_failover::quota::pane::read;
use claude_failover::quota::verdict::{Context, Reading};
use serde::Deserialize;

const PANES: &str = include_str!("corpus/panes.jsonl");

/// 2026-11-22 15:23:24 UTC.
const CONTEXT: Context<'_> = Context { now: Wall(1_795_361_004_858), zone: None, patterns: &[] };

#[derive(Deserialize)]
struct Pane {
    id: String,
    label: String,
    reset: Option<String>,
    text: String,
}

fn panes() -> Vec<Pane> {
    let panes = PANES.lines().map(|line| serde_json::from_str(line).unwrap());
    panes.collect()
}

fn kind(reading: &Reading) -> String {
    let verdict = serde_json::to_value(&reading.verdict).unwrap();
    verdict["kind"].as_str().unwrap().to_owned()
}

/// `exhausted five_hour @2026-11-22T16:24:00Z`
fn summary(reading: &Reading) -> String {
    let verdict = serde_json::to_value(&reading.verdict).unwrap();
    let mut text = kind(reading);
    if let Some(limit) = verdict["limit"].as_str() {
        write!(text, " {limit}").unwrap();
    }
    if let Some(at) = reading.verdict.resets_at() {
        write!(text, " @{at}").unwrap();
    }
    text
}

/// Rule, composer, rule, status: what stands under the conversation of an idle client.
const IDLE: &str = "
────────────────────────────────────────────────────────────────────────────────
❯\u{a0}
────────────────────────────────────────────────────────────────────────────────
  ⏵⏵ bypass permissions on (shift+tab to cycle) · ← for agents";

const BUSY: &str = "
────────────────────────────────────────────────────────────────────────────────
❯\u{a0}
────────────────────────────────────────────────────────────────────────────────
  ⏵⏵ bypass permissions on (shift+tab to cycle) · esc to interrupt";

const BANNER: &str = "❯ build it\n  ⎿ \u{a0}You’ve hit your 5-hour limit · resets 4:24pm (UTC)\n";
const REACHED: &str = "exhausted five_hour @2026-11-22T16:24:00Z";

/// What a screen is, its text, and what is read from it.
#[track_caller]
fn check(rows: &[(&str, String, &str)]) {
    for (name, screen, expected) in rows {
        let reading = read(screen, &CONTEXT);
        assert_eq!(summary(&reading), *expected, "{name}:\n{screen}\n{reading:?}");
    }
}

#[test]
fn a_refusal_is_read_wherever_the_client_paints_it() {
    check(&[
        ("a banner", format!("{BANNER}{IDLE}"), REACHED),
        ("blank rows under the screen", format!("{BANNER}{IDLE}{}", "\n".repeat(40)), REACHED),
        ("its hint and done row", format!("{BANNER}     /upgrade to increase your usage limit.\n\n✻ Worked for 0s\n{IDLE}"), REACHED),
        ("a task list under it", format!("{BANNER}\n✻ Worked for 0s\n{}{IDLE}", "  ◻ a task\n".repeat(12)), REACHED),
        ("the client's own menu", format!("{BANNER}\n❯ /rate-limit-options\n────────\n  What do you want to do?\n  ❯ 1. Stop and wait for limit to reset\n    2. Upgrade your plan\n  Enter to confirm · Esc to cancel"), REACHED),
        ("wrapped at 40 columns", format!("❯ build it\n  ⎿  You've hit your weekly limit · resets\n     Nov 25, 1:24pm (UTC)\n{IDLE}"), "exhausted weekly @2026-11-25T13:24:00Z"),
        ("under a tool's own result", format!("● Bash(git add a.rs)\n  ⎿  (No content)\n  ⎿  You've hit your 5-hour limit · resets 4:24pm (UTC)\n{IDLE}"), REACHED),
        ("a draft in the composer", format!("{BANNER}{}", IDLE.replace("❯\u{a0}", "❯\u{a0}go on")), REACHED),
        ("the client's wait", format!("{BANNER}\n● Usage limit reached · set to continue automatically at 4:24pm\n{IDLE}\n  ⚠ Usage limit reached · limit resets 4:24pm\n    Continuing automatically at 4:24pm · Esc to cancel"), REACHED),
        ("a wait whose banner scrolled away", format!("✻ Worked for 0s\n{IDLE}\n  ⚠ Usage limit reached · limit resets 4:24pm"), "exhausted unnamed @2026-11-22T16:24:00Z"),
        ("an error above a newer banner", format!("❯ one\n  ⎿  API Error: 500 Internal server error\n\n{BANNER}{IDLE}"), REACHED),
        ("a spend limit over three rows", format!("❯ go\n  ⎿  You've hit your monthly spend limit · raise it at\n     https://claude.ai/settings/usage?from=cc_cli_limit_message · your 5-hour\n     limit resets 4:25pm (UTC)\n{IDLE}"), "spend_limit @2026-11-22T16:25:00Z"),
        ("a screen of 2025", "> build it\n  ⎿  5-hour limit reached ∙ resets 5pm\n     /upgrade to increase your usage limit.\n\n╭──────────╮\n│ >        │\n╰──────────╯\n  ? for shortcuts".to_owned(), "exhausted five_hour @2026-11-22T17:00:00Z"),
    ]);
}

#[test]
fn what_something_newer_stands_under_is_history() {
    check(&[
        ("an answer after it", format!("{BANNER}\n❯ go on\n\n● Back at it.\n{IDLE}"), "clear"),
        ("a prompt after it", format!("{BANNER}\n❯ go on\n{BUSY}"), "clear"),
        ("a turn that runs", format!("{BANNER}{BUSY}"), "clear"),
        (
            "a spinner after it",
            format!("{BANNER}\n✢ Boogieing… (0s · ↓ 2 tokens)\n{IDLE}"),
            "clear",
        ),
        (
            "the limit has gone",
            format!("{BANNER}\n● Usage limit reset · Continuing automatically\n{IDLE}"),
            "clear",
        ),
        (
            "a client started anew under it",
            format!(
                "{BANNER}{IDLE}\n$ claude\n ▐▛███▜▌   Claude Code v2.1.330\n▝▜█████▛▘  Opus 5\n{IDLE}"
            ),
            "clear",
        ),
        ("a shell under a client that ended", format!("{BANNER}{IDLE}\nuser@host:~$"), "clear"),
    ]);
}

#[test]
fn talk_about_limits_is_clear() {
    check(&[
        ("the prompt", format!("❯ You've hit your limit · resets 3pm\n{IDLE}"), "clear"),
        ("the draft", format!("● Done.\n{}", IDLE.replace("❯\u{a0}", "❯\u{a0}You've hit your limit · resets 3pm\n  You've hit your limit · resets 3pm")), "clear"),
        ("a tool's output", format!("● Bash(cat pane.txt)\n  ⎿  You've hit your limit · resets 3pm\n     5-hour limit reached ∙ resets 3am\n{IDLE}"), "clear"),
        ("a long command's output", format!("● Bash(cat a && \\\n      cat b > c &&\n      > d)\n  ⎿  You've hit your limit · resets 3pm\n{IDLE}"), "clear"),
        ("a screen in a tool's output", format!("● Bash(tmux capture-pane -p)\n  ⎿  ❯ go\n       ⎿  You've hit your limit · resets 3pm\n{IDLE}"), "clear"),
        ("a shell command's output", format!("! cat pane.txt\n  ⎿  You've hit your limit · resets 3pm\n{IDLE}"), "clear"),
        ("a diff", format!("● Update(a.rs)\n  ⎿  Added 1 line\n      12 +  You've hit your limit · resets 3pm\n{IDLE}"), "clear"),
        ("a quote in an answer", format!("● The screen said:\n\n  You've hit your limit · resets 3pm\n\n  ⚠ Usage limit reached · limit resets 3pm\n{IDLE}"), "clear"),
    ]);
}

#[test]
fn what_is_no_exhaustion_has_its_own_verdict() {
    check(&[
        (
            "a model's limit that is waited for",
            format!(
                "❯ go\n  ⎿  You've hit your Opus limit · resets 4:24pm (UTC)\n{IDLE}\n  ⚠ Usage limit reached · limit resets 4:24pm"
            ),
            "model_limit",
        ),
        (
            "paid overage under an old banner",
            format!("{BANNER}{IDLE}\n  Now using usage credits"),
            "warning",
        ),
        (
            "a warning in the status",
            format!(
                "● Done.\n{IDLE}     You've used 91% of your 5-hour limit · resets 4:25pm (UTC)"
            ),
            "warning",
        ),
        (
            "a retry",
            format!(
                "❯ go\n\n✻ 529 Overloaded · retrying in 9s · attempt 5/10\n  ⎿  If it persists, check your inference gateway (127.0.0.1)\n{BUSY}"
            ),
            "server_error",
        ),
        (
            "a throttled retry",
            format!(
                "❯ go\n\n✻ 429 This request would exceed the rate limi… · retrying in 1s · attempt 1/10\n{BUSY}"
            ),
            "throttled",
        ),
        (
            "a wrapped error",
            format!(
                "❯ go\n\n● API Error: 500 Internal server error. This is a server-side issue, usually\n  temporary — try again in a moment.\n{IDLE}"
            ),
            "server_error",
        ),
        (
            "an error after a banner",
            format!("{BANNER}\n❯ again\n\n● API Error: 529 Overloaded.\n{IDLE}"),
            "server_error",
        ),
        (
            "a wrapped throttle",
            format!(
                "❯ go\n\n● API Error: Server is temporarily limiting requests (not your\n  usage limit) · Rate limited\n{IDLE}"
            ),
            "throttled",
        ),
        (
            "a login that is gone",
            format!("❯ go\n\n● Login expired · Please run /login\n{IDLE}"),
            "auth_failed",
        ),
        (
            "never logged in",
            format!("● Hello.\n{IDLE}\n  Not logged in · run /login"),
            "auth_failed",
        ),
    ]);
}

/// Their sources lost the two columns before `⎿`; an answer that quotes such a row is painted
/// exactly like the client's own. Only the transcript can tell.
const PAINTED_ALIKE: [&str; 3] = ["conversation-001", "exhausted-087", "exhausted-134"];

/// Each row after the first, indented as the client indents what belongs to the first.
fn indented(text: &str, columns: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(columns)))
}

#[test]
fn whatever_is_quoted_is_no_refusal() {
    let distinct = |pane: &Pane| !PAINTED_ALIKE.contains(&pane.id.as_str());
    for pane in panes().into_iter().filter(distinct) {
        let text = &pane.text;
        let quotes = [
            format!("● Bash(cat pane.txt)\n  ⎿  {}\n{IDLE}", indented(text, 5)),
            format!("● Done.\n\n❯ {}\n{IDLE}", indented(text, 2)),
            format!("● The pane says:\n\n  {}\n{IDLE}", indented(text, 2)),
            format!("● Done.\n{}", IDLE.replace('\u{a0}', &format!("\u{a0}{}", indented(text, 2)))),
            format!("{text}\n\n❯ go on\n\n● Back at it.\n{IDLE}"),
            format!("● Done.\n{IDLE}\n{text}\nuser@host:~$ "),
        ];
        for quote in quotes {
            let reading = read(&quote, &CONTEXT);
            assert!(!reading.verdict.is_exhaustion(), "{}:\n{quote}\n{reading:?}", pane.id);
        }
        if pane.label != "exhausted" && pane.label != "menu" && pane.label != "other" {
            // The same screen with its upper rows scrolled away.
            for (at, _) in text.match_indices('\n') {
                let reading = read(&text[at + 1..], &CONTEXT);
                assert!(!reading.verdict.is_exhaustion(), "{} from {at}: {reading:?}", pane.id);
            }
        }
    }
}

#[test]
fn a_repainted_banner_can_be_told_from_a_new_one() {
    let first = read(&format!("{BANNER}{IDLE}"), &CONTEXT);
    assert_eq!(first.row, "You've hit your 5-hour limit · resets 4:24pm (UTC)");
    assert_eq!(first.last_user_row.as_deref(), Some("build it"));
    assert_eq!(first.reset_text.as_deref(), Some("resets 4:24pm (UTC)"));

    let hint = "     /upgrade or /usage-credits to finish what you’re working on.\n";
    let repainted = read(&format!("{BANNER}{hint}{IDLE}"), &CONTEXT);
    assert_eq!((&repainted.row, &repainted.last_user_row), (&first.row, &first.last_user_row));

    let again = format!(
        "{BANNER}{hint}\n❯ go on\n  ⎿  You've hit your weekly limit · resets 5pm (UTC)\n{IDLE}"
    );
    let again = read(&again, &CONTEXT);
    assert_eq!(again.last_user_row.as_deref(), Some("go on"));
    assert_eq!(summary(&again), "exhausted weekly @2026-11-22T17:00:00Z");
}

#[test]
fn the_last_prompt_is_no_menu_and_no_draft() {
    let rows = [
        (format!("❯ one\n● Yes.\n❯ two\n{}", IDLE.replace("❯\u{a0}", "❯\u{a0}draft")), Some("two")),
        (
            "❯ one\n❯ /rate-limit-options\n  What do you want to do?\n  ❯ 1. Stop".to_owned(),
            Some("one"),
        ),
        ("❯ one\n❯ 1. Yes\n  2. No".to_owned(), Some("one")),
        ("❯ one\n ❯ No, exit\n   Yes, I accept".to_owned(), Some("one")),
        ("> vamos analisar\n╭─────╮\n│ > x │\n╰─────╯".to_owned(), Some("vamos analisar")),
        ("────────\n❯ draft without its no-break space\n────────".to_owned(), None),
        (IDLE.to_owned(), None),
        (String::new(), None),
    ];
    for (screen, expected) in rows {
        let reading = read(&screen, &CONTEXT);
        assert_eq!(reading.last_user_row.as_deref(), expected, "{screen}");
    }
}

#[test]
fn conversation_ids_are_found_however_the_row_is_cut() {
    let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9";
    let line = format!("claude --dangerously-skip-permissions --resume {id}");
    for width in 8..=line.len() {
        let cut: Vec<String> = line
            .as_bytes()
            .chunks(width)
            .map(|piece| String::from_utf8_lossy(piece).trim_end().to_owned())
            .collect();
        let screen = format!("Resume this session with:\n{}\nuser@host:~$ ", cut.join("\n"));
        let found = read(&screen, &CONTEXT).resume_ids;
        let in_reach = cut.len() <= 4;
        assert_eq!(found.len(), usize::from(in_reach), "{screen}");
        assert!(found.iter().all(|found| found.as_str() == id), "{screen}");
    }
    let other = id.replace('8', "a");
    for option in ["--resume", "-r"] {
        let typed = format!("$ CLAUDE_CONFIG_DIR=/a claude {option} {other}");
        let found = read(&format!("claude --resume {id}\n{typed}\n"), &CONTEXT).resume_ids;
        assert_eq!(found.iter().map(ConversationId::as_str).collect::<Vec<_>>(), [id, &other]);
    }

    for talk in [
        format!("● Run claude --resume {id}"),
        format!("  claude --resume {id}"),
        "claude --resume <uuid>".to_owned(),
        format!("claude --resume {}", &id[..35]),
        format!("claude --resume {}", id.to_uppercase()),
    ] {
        assert_eq!(read(&talk, &CONTEXT).resume_ids, [], "{talk}");
    }
}

#[test]
fn a_resume_that_failed_names_its_conversation() {
    let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9";
    let screen = format!("No conversation found with session ID: {id}\nuser@host:~$ ");
    let missing = read(&screen, &CONTEXT).missing_conversation;
    assert_eq!(missing.unwrap().as_str(), id);
    let talk = format!("● It said No conversation found with session ID: {id}");
    assert_eq!(read(&talk, &CONTEXT).missing_conversation, None);
}

/// Generous: a reader that is not linear takes minutes.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn no_text_makes_it_slow_or_fail() {
    let mut texts = vec![
        "x".repeat(10_000_000),
        "You've hit your ".repeat(600_000),
        "\n".repeat(1_000_000),
        "❯ \n".repeat(300_000),
        "  ⎿  You've hit your limit · resets 3pm\n".repeat(100_000),
        format!("⏺ {}", "limit reached · resets ".repeat(400_000)),
        "claude --resume \n".repeat(300_000),
        "│".repeat(3_000_000),
        "(".repeat(1_000_000),
    ];
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let noise: Vec<u8> = (0..2_000_000).map(|_| byte()).collect();
    texts.push(String::from_utf8_lossy(&noise).into_owned());
    // Every end and every beginning of real texts, cut anywhere.
    for pane in panes() {
        let cuts = pane.text.char_indices().map(|(at, _)| at);
        texts.extend(cuts.clone().step_by(7).map(|at| pane.text[at..].to_owned()));
        texts.extend(cuts.step_by(7).map(|at| pane.text[..at].to_owned()));
    }
    let started = Instant::now();
    for text in &texts {
        read(text, &CONTEXT);
    }
    let took = started.elapsed();
    println!("{} hostile texts in {took:?}", texts.len());
    assert!(took < PATIENCE, "{took:?}");
}

#[test]
fn fifty_panes_are_read_in_a_moment() {
    let row = "     Compiling a-crate v1.2.3 (/srv/projects/a-crate) with a rather long path\n";
    let answer = format!("● Bash(cargo build)\n  ⎿  {}\n● Done.\n", row.repeat(195));
    let screens = [format!("{answer}{IDLE}"), format!("{}{BANNER}{IDLE}", row.repeat(195))];
    let started = Instant::now();
    for number in 0..50 {
        read(&screens[number % 2], &CONTEXT);
    }
    let took = started.elapsed();
    println!("50 panes of 200 rows: {} µs", took.as_micros());
    assert!(took < PATIENCE, "{took:?}");
}
