//! What a client does: from its screen, and from the title it gives its pane. Pure.
//!
//! Both can be wrong alone. A draft in the composer hides that a turn runs, and a dead client leaves
//! its composer standing; the title of older clients never changes, and that of newer ones was
//! measured to rest during a turn. So whoever says busy is believed, and the title says no more.

use crate::quota::dialog;
use crate::quota::live::is_busy;
use crate::quota::row::Mark;
use crate::quota::screen::Screen;
use crate::quota::verdict::Activity;

/// Rows above the composer in which a turn shows: a long list of tasks may stand under its spinner.
const STATUS_ROWS_MAX: usize = 32;

pub fn of_screen(screen: &Screen<'_>) -> Activity {
    if let Some(dialog) = dialog::of_screen(screen) {
        return Activity::Dialog(dialog);
    }
    if is_busy(screen) || shows_turn(screen) {
        return Activity::Busy;
    }
    let has_status = screen.rows.iter().any(|row| row.mark == Mark::Footer)
        && screen.rows.last().is_some_and(|row| row.mark != Mark::Plain);
    if screen.has_composer() || (has_status && screen.footer_start == screen.conversation_end) {
        return Activity::Idle;
    }
    Activity::Unknown
}

/// The state in a pane's title: `✳ …` rests, a turning glyph works. `None` for any other.
pub fn of_title(title: &str) -> Option<Activity> {
    match title.trim_start().chars().next()? {
        '✳' => Some(Activity::Idle),
        '◐' | '◓' | '◑' | '◒' | '\u{2801}'..='\u{28ff}' => Some(Activity::Busy),
        _ => None,
    }
}

/// What the screen and the title say together.
pub fn combined(screen: Activity, title: Option<Activity>) -> Activity {
    match (title, screen) {
        (Some(Activity::Busy), _) => Activity::Busy,
        (Some(Activity::Idle), Activity::Unknown) => Activity::Idle,
        (Some(Activity::Idle | Activity::Unknown | Activity::Dialog(_)) | None, screen) => screen,
    }
}

/// A spinner, or the words by which a turn can be stopped, with nothing newer under them.
fn shows_turn(screen: &Screen<'_>) -> bool {
    for row in screen.conversation().iter().rev().take(STATUS_ROWS_MAX) {
        match row.mark {
            Mark::Spinner => return true,
            Mark::Plain if row.text().contains("to interrupt") => return true,
            Mark::Blank | Mark::Rule | Mark::Inset | Mark::Choice | Mark::Footer => {}
            // Its tip, and what an older client prints under it.
            Mark::Result | Mark::Plain | Mark::Composer => {}
            Mark::Prompt | Mark::Bullet | Mark::Alert | Mark::Done | Mark::Logo => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::verdict::Dialog;

    #[test]
    fn a_title_tells_by_its_first_glyph() {
        for (title, expected) in [
            ("✳ Claude Code", Some(Activity::Idle)),
            ("✳ Fix the ◐ glyph", Some(Activity::Idle)),
            ("◐ Claude Code", Some(Activity::Busy)),
            ("◑ Claude Code", Some(Activity::Busy)),
            ("⠐ Claude Code", Some(Activity::Busy)),
            ("⠂ Claude Code", Some(Activity::Busy)),
            ("Gi=31,s=1,v=1", None),
            ("host: ~/project", None),
            ("", None),
        ] {
            assert_eq!(of_title(title), expected, "{title}");
        }
    }

    #[test]
    fn whoever_says_busy_is_believed() {
        use Activity::{Busy, Idle, Unknown};
        let dialog = Activity::Dialog(Dialog::Trust);
        for (title, screen, expected) in [
            (Some(Busy), Idle, Busy),
            (Some(Busy), Unknown, Busy),
            (Some(Busy), dialog, Busy),
            (Some(Idle), Busy, Busy),
            (Some(Idle), Idle, Idle),
            (Some(Idle), Unknown, Idle),
            (Some(Idle), dialog, dialog),
            (None, Busy, Busy),
            (None, Unknown, Unknown),
            (None, dialog, dialog),
        ] {
            assert_eq!(combined(screen, title), expected, "{title:?} {screen:?}");
        }
    }
}
