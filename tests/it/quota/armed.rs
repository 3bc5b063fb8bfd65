//! Whether the client waits for a reset and goes on by itself: captures of two versions, every
//! wording that was ever published, and the same words wherever they are not the client's notice.

use claude_failover::quota::pane::read;
use serde::Deserialize;

use crate::quota::{BANNER, BUSY, CONTEXT, IDLE, panes};

const CAPTURES: &str = include_str!("../corpus/armed.jsonl");

#[derive(Deserialize)]
struct Capture {
    id: String,
    armed: bool,
    note: String,
    text: String,
}

/// The wait in the words of all versions, as it stands under the composer.
const WAITS: [&str; 14] = [
    "⚠ Usage limit reached · continuing automatically at 3:45pm · esc to cancel",
    "⚠ Usage limit reached · continuing automatically at 3:45pm · esc or type to cancel",
    "⚠ Usage limit reached · continuing automatically when it resets · esc to cancel",
    "⚠ Usage limit reached · continuing shortly · esc to cancel",
    "⚠ Usage limit reached again after you continued · continuing automatically at 7pm · the automatic-continue setting no longer ends this wait (esc or /rate-limit-options still can)",
    "⚠ Usage limit reached · limit resets 6:20pm\n    Continuing automatically at 6:20pm · esc to cancel",
    "⚠ Usage limit reached · limit resets 6:20pm\n    Continuing automatically at 6:20pm · esc to cancel · /usage-credits to continue now",
    "⚠ Usage limit reached · limit resets Nov 25, 1:24pm (UTC)\n    Continuing automatically at Nov 25, 1:24pm (UTC) · Esc to cancel",
    "⚠ Usage limit reached · limit resets 6:20pm\n    Continuing shortly · Esc to cancel",
    "⚠ Usage limit reached\n    Continuing automatically when it resets · Esc to cancel",
    // Words that a server has sent in place of the client's own.
    "⚠ Usage limit reached · limit resets 6:20pm\n    Claude goes on at 6:20pm · Esc to cancel",
    "⚠ Usage limit reached again after you continued · continuing\n  automatically at 7pm · the automatic-continue setting no longer\n  ends this wait (esc or /rate-limit-options still can)",
    "⚠ Usage limit reached · continuing autom…",
    "⚠ Usage limit reached · limit\n  resets Nov 25, 1:24pm\n  (UTC)\n    Continuing\n    automatically at Nov 25…",
];

/// What the client says when it does not wait, or no longer, and an operator's own words.
const OTHERS: [&str; 16] = [
    "⚠ Usage limit reached · limit resets 6:20pm",
    "⚠ Usage limit reached · limit resets 6:20pm\n  main | ctx 37% | 6:20pm",
    "⚠ Usage limit reached",
    "⚠ Your usage limit has reset\n    Press enter to continue",
    "⚠ Your usage limit has reset · press enter to continue",
    "⚠ Usage limit reset · continuing automatically",
    "⚠ Usage limit available again · continuing now",
    "⚠ Automatic continue cancelled · /rate-limit-options to re-arm",
    "⚠ Automatic continue stopped · the usage limit now resets more than 24 hours out, so this task will not resume on its own (/rate-limit-options to wait anyway)",
    "⚠ Automatic continue was turned off · this task will not resume on its own",
    "⚠ Automatic continue did not run · send a prompt to continue",
    "⚠ Automatic continue stopped after repeated usage-limit hits · /rate-limit-options to try again",
    "Fable 5 limit reached · continuing on Fable 5 uses usage credits",
    "/low-priority to continue now at lower priority · uses your weekly limit",
    "task: Usage limit reached · continuing automatically at 3:45pm",
    "Usage limit reached · continuing automatically is the wording to match",
];

fn armed(screen: &str) -> bool {
    read(screen, &CONTEXT).armed
}

/// The client's screen with this under its composer, before its keys and behind them.
fn under_composer(notice: &str) -> [String; 3] {
    let (composer, keys) = IDLE.rsplit_once('\n').unwrap();
    let status = "  main | ctx 37%                       ◐ medium · /effort";
    [
        format!("{BANNER}{composer}\n  {notice}\n{keys}"),
        format!("{BANNER}{composer}\n  {notice}\n{status}\n{keys}"),
        format!("● Done.\n{composer}\n{keys}\n  {notice}"),
    ]
}

#[test]
fn each_capture_is_told_right() {
    let captures: Vec<Capture> =
        CAPTURES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(captures.iter().filter(|capture| capture.armed).count() >= 20);
    assert!(captures.iter().filter(|capture| !capture.armed).count() >= 10);
    for Capture { id, armed: wanted, note, text } in captures {
        let text = text.trim_end();
        assert_eq!(armed(text), wanted, "{id} ({note}):\n{text}");
        let old = format!("{text}\n❯ go on\n\n● Back at it.\n{IDLE}");
        assert!(!armed(&old), "{id}, above the composer");
    }
}

#[test]
fn the_wait_is_known_in_every_wording() {
    for notice in WAITS {
        for screen in under_composer(notice) {
            assert!(armed(&screen), "{screen}");
        }
        let bare = notice.trim_start_matches("⚠ ");
        for screen in under_composer(bare) {
            assert!(armed(&screen), "{screen}");
        }
    }
    let keys = format!("{IDLE}      Usage limit reached · continuing automatically at 5pm");
    assert!(armed(&keys), "at the right of the keys");
}

#[test]
fn nothing_else_is_a_wait() {
    for notice in OTHERS {
        for screen in under_composer(notice) {
            assert!(!armed(&screen), "{screen}");
        }
    }
    assert!(!armed(IDLE) && !armed(BUSY) && !armed(""));
    assert!(!armed(&format!("{BANNER}{IDLE}")));
}

#[test]
fn the_words_of_the_wait_elsewhere_are_none() {
    for notice in WAITS {
        let indented = notice.replace('\n', "\n     ");
        let diff: String = notice.lines().map(|row| format!("      12 +  {row}\n")).collect();
        for screen in [
            format!("● {notice}\n{IDLE}"),
            format!("{BANNER}\n● {notice}\n{IDLE}"),
            format!("● It says:\n\n  {notice}\n{IDLE}"),
            format!("● Bash(cat pane.txt)\n  ⎿  {indented}\n{IDLE}"),
            format!("● Update(a.rs)\n  ⎿  Added 2 lines\n{diff}{IDLE}"),
            format!("❯ {notice}\n{IDLE}"),
            // In a draft, of one row and of several.
            IDLE.replace('\u{a0}', &format!("\u{a0}{notice}")),
            IDLE.replace('\u{a0}', &format!("\u{a0}look:\n  {notice}")),
            // Of a client that has ended, and of none.
            format!("{IDLE}\n  {notice}\nuser@host:~$ "),
            notice.to_owned(),
            format!("$ cat notes\n  {notice}"),
        ] {
            assert!(!armed(&screen), "{screen}");
        }
    }
}

/// Sources quote the wait without the screen it stood on: none of those texts has a composer.
#[test]
fn a_text_without_a_composer_is_no_wait() {
    let mut waits = Vec::new();
    for pane in panes() {
        assert!(!armed(&pane.text), "{}", pane.id);
        let under = format!("{IDLE}\n  {}", pane.text.replace('\n', "\n  "));
        if armed(&under) {
            waits.push(pane.id);
        }
    }
    let quoted = ["exhausted-074", "exhausted-076", "exhausted-077", "exhausted-100"];
    assert_eq!(waits, [&quoted[..], &["exhausted-137", "other-013"]].concat());
}
