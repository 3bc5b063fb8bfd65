//! What may be pressed in a dialog: over every labelled screen, and over screens on which one thing
//! is not as it should be. A wrong key ends the client or logs somebody in.

use std::collections::BTreeSet;

use claude_failover::quota::dialog_keys::{Answer, Keys, Spot, Step, answer};
use claude_failover::quota::verdict::Dialog;
use serde::Deserialize;

const HARD: &str = include_str!("../corpus/hard.jsonl");

#[derive(Deserialize)]
struct Screen {
    id: String,
    label: String,
    text: String,
}

fn screens(corpus: &str) -> Vec<Screen> {
    corpus.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `down enter`, `left` or `gone`.
fn summary(text: &str) -> &'static str {
    match answer(text) {
        Answer::Gone => "gone",
        Answer::Left { .. } => "left",
        Answer::Press(Keys { steps, from, to, .. }) => match steps[..] {
            [] => {
                assert_eq!(from, to);
                "enter"
            }
            [Step::Down] => "down enter",
            [Step::Up] => "up enter",
            _ => panic!("more steps than a menu of two has: {steps:?}"),
        },
    }
}

#[test]
fn every_labelled_dialog_is_answered_as_the_facts_say_or_left() {
    let answered = [
        ("dialog-001", "down enter"), // trust, unnumbered
        ("dialog-002", "enter"),      // trust, 2025, boxed
        ("dialog-003", "down enter"), // bypass, numbered
        ("dialog-004", "enter"),      // theme
        ("dialog-005", "enter"),      // security notes
        ("dialog-007", "down enter"), // renderer
        ("dialog-008", "enter"),      // effort
    ];
    let mut met = BTreeSet::new();
    for screen in screens(HARD) {
        let known = answered.iter().find(|(id, _)| *id == screen.id);
        let expected = match known {
            Some((id, keys)) => {
                met.insert(*id);
                *keys
            }
            None if screen.label == "dialog" => "left",
            None => continue,
        };
        assert_eq!(summary(&screen.text), expected, "{}\n{}", screen.id, screen.text);
    }
    assert_eq!(met.len(), answered.len(), "{met:?}");
}

#[test]
fn no_other_labelled_screen_is_ever_answered() {
    let panes = screens(super::PANES);
    for screen in panes.iter().chain(&screens(HARD)).filter(|screen| screen.label != "dialog") {
        let got = summary(&screen.text);
        assert!(["left", "gone"].contains(&got), "{}: {got}\n{}", screen.id, screen.text);
    }
    for screen in panes.iter().filter(|screen| screen.label == "dialog") {
        let expected = if screen.id == "dialog-008" { "down enter" } else { "left" };
        // A fixture that is a menu above a composer: no dialog at all.
        let is_picture = screen.id == "dialog-003";
        let got = summary(&screen.text);
        assert!(got == expected || (is_picture && got == "gone"), "{}: {got}", screen.id);
    }
}

#[test]
fn a_survey_blocks_nobody() {
    for (corpus, id) in [(super::PANES, "other-032"), (HARD, "exhausted-015")] {
        let screen = screens(corpus).into_iter().find(|screen| screen.id == id).unwrap();
        assert!(screen.text.contains("How is Claude doing this session?"));
        assert_eq!(summary(&screen.text), "gone", "{id}");
    }
}

/// A dialog as the client paints it, with these rows for its menu.
fn dialog(title: &str, menu: &str) -> String {
    format!(
        "────────────────\n {title}\n\n Some words.\n\n{menu}\n\n Enter to confirm · Esc to cancel\n"
    )
}

const TRUST: &str = "Quick safety check: Is this a project you created or one you trust?";
const BYPASS: &str = "WARNING: Claude Code running in Bypass Permissions mode";
const RENDERER: &str = "Try the new fullscreen renderer?";

#[test]
fn keys_lead_from_the_cursor_to_the_wanted_entry() {
    for (title, menu, expected) in [
        (TRUST, " ❯ No, exit\n   Yes, I trust this folder", "down enter"),
        (TRUST, "   No, exit\n ❯ Yes, I trust this folder", "enter"),
        (TRUST, " ❯ Yes, I trust this folder\n   No, exit", "enter"),
        (TRUST, "   Yes, I trust this folder\n ❯ No, exit", "up enter"),
        (TRUST, " ❯ 1. Yes, I trust this folder\n   2. No, exit", "enter"),
        (TRUST, "   1. Yes, I trust this folder\n ❯ 2. No, exit", "up enter"),
        (TRUST, " ❯ 1. No, exit\n   2. Yes, I trust\n      this folder", "down enter"),
        (TRUST, " ❯ No, exit\n   Yes, I trust\n   this folder", "down enter"),
        (TRUST, "   No, exit\n ❯ Yes, I trust\n   this folder", "enter"),
        (BYPASS, " ❯ No, exit\n   Yes, I accept", "down enter"),
        (BYPASS, "   1. No, exit\n ❯ 2. Yes, I accept", "enter"),
        (RENDERER, " ❯ 1. Yes, try it\n   2. Not now", "down enter"),
        (RENDERER, "   1. Yes, try it\n ❯ 2. Not now", "enter"),
        (RENDERER, "   1. Not now ✔\n ❯ 2. Yes, try it", "up enter"),
    ] {
        let text = dialog(title, menu);
        assert_eq!(summary(&text), expected, "{text}");
    }
}

#[test]
fn what_is_not_exactly_known_is_left() {
    for (why, title, menu) in [
        ("another's menu", BYPASS, " ❯ No, exit\n   Yes, I trust this folder"),
        ("a third entry", TRUST, " ❯ No, exit\n   Yes, I trust this folder\n   Later"),
        ("a first entry", TRUST, "   Later\n ❯ No, exit\n   Yes, I trust this folder"),
        ("one entry", TRUST, " ❯ Yes, I trust this folder"),
        ("no cursor", TRUST, "   No, exit\n   Yes, I trust this folder"),
        ("two cursors", TRUST, " ❯ No, exit\n ❯ Yes, I trust this folder"),
        ("an entry goes on", TRUST, " ❯ No, exit\n   Yes, I trust this folder and its parents"),
        ("a cut entry", TRUST, " ❯ No, exit\n   Yes, I trust this fol…"),
        ("a word cut in two", TRUST, " ❯ No, exit\n   Yes, I trust this fol\n   der"),
        ("odd numbers", TRUST, " ❯ 1. No, exit\n   3. Yes, I trust this folder"),
        ("half numbered", TRUST, " ❯ 1. No, exit\n   Yes, I trust this folder"),
        ("out of line", TRUST, " ❯ No, exit\n     Yes, I trust this folder"),
        ("further out", TRUST, " ❯ No, exit\n Yes, I trust this folder"),
        ("apart", TRUST, " ❯ No, exit\n\n   Yes, I trust this folder"),
        ("more below", TRUST, " ❯ No, exit\n   Yes, I trust this folder\n\n Or log in first"),
        ("other words", BYPASS, " ❯ No, exit\n   Yes, I accept the charges"),
        ("an unknown question", "Buy more credits?", " ❯ No, exit\n   Yes, I accept"),
        (
            "two dialogs",
            "Select login method:",
            " Quick safety check: all fine\n\n ❯ No, exit\n   Yes, I trust this folder",
        ),
        ("a default with a key", "Do you want to use this API key?", " ❯ 1. Use medium effort"),
    ] {
        let text = dialog(title, menu);
        assert_eq!(summary(&text), "left", "{why}:\n{text}");
    }
    let theme = "Choose the text style that looks best with your terminal";
    let key = "Detected a custom API key in your environment";
    assert_eq!(summary(&dialog(theme, " ❯ 1. Dark mode")), "enter");
    assert_eq!(summary(&dialog(theme, &format!(" {key}\n\n ❯ 1. Yes"))), "left");
}

#[test]
fn a_dialog_is_found_at_40_columns() {
    let text = "\
────────────────────────────────────────
 Accessing workspace:

 /srv/projects/a-rather-long-name/of-it

 Quick safety check: Is this a project
 you created or one you trust?

 ❯ No, exit
   Yes, I trust this folder

 Enter to confirm · Esc to cancel
";
    let Answer::Press(keys) = answer(text) else { panic!("{:?}", answer(text)) };
    assert_eq!(keys.dialog, Dialog::Trust);
    assert_eq!(keys.from, Spot::Cursor("No, exit".to_owned()));
    assert_eq!(keys.steps, [Step::Down]);
    assert_eq!(keys.to, Spot::Cursor("Yes, I trust this folder".to_owned()));
    let narrow = text.replace(" · Esc to cancel", " ·\n Esc to cancel");
    assert_eq!(summary(&narrow), "down enter");
}

#[test]
fn the_end_of_a_client_is_the_end_of_its_dialog() {
    let text = dialog(TRUST, " ❯ No, exit\n   Yes, I trust this folder");
    for after in ["Pane is dead (signal 9, Sun Nov 22 18:46:04 2026)", "user@host:~$ "] {
        assert_eq!(summary(&format!("{text}{after}")), "gone", "{after}");
    }
    assert_eq!(summary(""), "gone");
}

#[test]
fn the_rows_of_a_dialog_that_is_left_are_printable_and_few() {
    let menu: String = (1..30).map(|n| format!("\n   {n}. \x1b[31mentry\x1b[0m\x07 {n}")).collect();
    let text = dialog("Select login method:", &format!(" ❯ 0. first{menu}"));
    let Answer::Left { dialog, rows } = answer(&text) else { panic!("{text}") };
    assert_eq!(dialog, Dialog::Login);
    assert_eq!(rows[..4], ["Select login method:", "Some words.", "❯ 0. first", "1. entry 1"]);
    assert_eq!(rows.len(), 12);
}
