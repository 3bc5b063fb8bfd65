//! Answering a dialog: what [`crate::quota::dialog_keys`] says may be pressed, at most once, and only
//! while tmux itself sees the row that was meant.
//!
//! Whether it helped is not looked at here; whoever ordered it looks again.

use crate::core::event::DialogEnd;
use crate::ids::PaneId;
use crate::quota::dialog_keys::{self, Answer, Keys, Spot, Step};
use crate::terminal::command::{Command, all_of, guarded, pane_target};
use crate::terminal::connection::Connection;
use crate::terminal::effect::{self, Fence, Outcome, has_pane, is_typed_alone, leave_modes};
use crate::terminal::screen;

/// Between the last step and Enter. A client reads both in one piece otherwise, and older ones take
/// only the first key of that; and its cursor must have moved where we look for it.
const REPAINT_S: &str = "0.2";

/// Looks at the pane and answers what stands there, if it may be answered.
pub fn handle(
    connection: &mut Connection,
    fence: Fence<'_>,
    pane: PaneId,
) -> Result<DialogEnd, String> {
    let text = screen::visible(connection, fence.session, pane)?;
    match dialog_keys::answer(&text) {
        Answer::Gone => Ok(DialogEnd::Gone),
        Answer::Left { dialog, rows } => {
            Ok(DialogEnd::Left { dialog: dialog.name().to_owned(), rows })
        }
        Answer::Press(keys) => press(connection, fence, pane, &keys),
    }
}

/// Past copy mode and others too. Never into a dead pane: that ends a whole tmux 3.3a server.
fn press(
    connection: &mut Connection,
    fence: Fence<'_>,
    pane: PaneId,
    keys: &Keys,
) -> Result<DialogEnd, String> {
    let session = fence.session;
    let target = pane_target(session, pane);
    let key = |name| Command::new("send-keys").pane(session, pane).flag(name);
    let alive = "#{==:#{pane_dead},0}".to_owned();
    let mut effect = vec![leave_modes(session, pane)];
    effect.extend(keys.steps.iter().map(|step| match step {
        Step::Up => key("Up"),
        Step::Down => key("Down"),
    }));
    if !keys.steps.is_empty() {
        effect.push(Command::new("run-shell").option("-d", REPAINT_S));
    }
    // Nobody else may have pressed a key meanwhile, nor begun to scroll or to type in all panes.
    let unmoded = "#{==:#{pane_in_mode},0}".to_owned();
    let still = [has_pane(pane), alive.clone(), unmoded, is_typed_alone(), shows(&keys.to)];
    effect.push(guarded(&target, &all_of(&still), &[key("Enter")]));
    let conditions = [alive, is_typed_alone(), shows(&keys.from)];
    match effect::in_pane(connection, fence, pane, &conditions, &effect) {
        Outcome::Ran(_) | Outcome::RanUnheard => {
            Ok(DialogEnd::Answered(keys.dialog.name().to_owned()))
        }
        Outcome::Unmet => Err(format!(
            "not done: pane {pane} is dead or not in session {session}, its dialog has changed, its \
             window has synchronize-panes on, or the session's fence is not below {}",
            fence.number
        )),
        Outcome::Failed(why) | Outcome::NotDone(why) | Outcome::Unknown(why) => Err(why),
    }
}

/// A condition that holds while the pane shows this row.
fn shows(spot: &Spot) -> String {
    let pattern = match spot {
        Spot::Cursor(text) => format!("❯*{}", literal(text)),
        Spot::Row(text) => literal(text),
    };
    format!("#{{!=:#{{C:{pattern}}},0}}")
}

/// The beginning of a text for tmux's search: what a format or a pattern would take for syntax is
/// any character.
fn literal(text: &str) -> String {
    let ascii = text.chars().take_while(char::is_ascii);
    ascii.map(|c| if c.is_ascii_alphanumeric() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_searched_for_without_syntax() {
        let at = |text: &str| Spot::Cursor(text.to_owned());
        for (spot, expected) in [
            (at("1. No, exit"), "#{!=:#{C:❯*1? No? exit},0}"),
            (at("#{pane_id}*[a] é b"), "#{!=:#{C:❯*??pane?id???a? },0}"),
            (Spot::Row("Press Enter".to_owned()), "#{!=:#{C:Press Enter},0}"),
        ] {
            assert_eq!(shows(&spot), expected);
        }
    }
}
