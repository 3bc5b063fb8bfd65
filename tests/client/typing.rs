//! How the tests type into the pane of a client.

use std::time::{Duration, Instant};

use crate::agent::PATIENCE;
use crate::support::{PrivateTmux, eventually_or};

/// An Enter that comes before the client listens is lost.
const PRESS_AGAIN_AFTER: Duration = Duration::from_secs(3);

pub fn screen(tmux: &PrivateTmux, pane: &str) -> String {
    tmux.run(&["capture-pane", "-p", "-J", "-t", pane])
}

pub fn press(tmux: &PrivateTmux, pane: &str, key: &str) {
    tmux.run(&["send-keys", "-t", pane, key]);
}

/// Pastes the line, then Enter.
pub fn type_line(tmux: &PrivateTmux, pane: &str, line: &str) {
    let buffer = format!("line-{pane}");
    tmux.run(&["set-buffer", "-b", &buffer, line]);
    tmux.run(&["paste-buffer", "-p", "-d", "-b", &buffer, "-t", pane]);
    press(tmux, pane, "Enter");
}

/// Types a prompt of one line that this conversation has not had yet, and sees to it that it is
/// taken: `conversation` is the text of its file.
#[track_caller]
pub fn prompt(tmux: &PrivateTmux, pane: &str, text: &str, conversation: impl Fn() -> String) {
    type_line(tmux, pane, text);
    let quoted = serde_json::to_string(text).unwrap();
    let mut pressed_at = Instant::now();
    let is_taken = || {
        if conversation().contains(&quoted) {
            return Some(());
        }
        if pressed_at.elapsed() > PRESS_AGAIN_AFTER {
            // A client may be slow to write the prompt down; the menu that it opens meanwhile would
            // take this Enter for a choice.
            if is_in_composer(&screen(tmux, pane), text) {
                press(tmux, pane, "Enter");
            }
            pressed_at = Instant::now();
        }
        None
    };
    eventually_or(PATIENCE, is_taken, || {
        format!("the prompt {text:?} is not in the conversation file:\n{}", screen(tmux, pane))
    });
}

/// The last of the rows that begin so is the composer, or the choice in a menu; above it stand the
/// prompts that were taken.
fn is_in_composer(screen: &str, text: &str) -> bool {
    let last = screen.lines().rev().find_map(|row| row.trim_start().strip_prefix('❯'));
    // A narrow pane breaks the text.
    let start: String = text.chars().take(10).collect();
    last.is_some_and(|row| row.contains(&start))
}
