//! Words to people and lines to programs: a message on the status row, a line typed into a pane.

use crate::ids::{PaneId, SessionName};
use crate::terminal::command::{Command, Exchange};
use crate::terminal::connection::{Connection, Sent};
use crate::terminal::effect::{self, Fence, Outcome, is_typed_alone, leave_modes};
use crate::terminal::encode::{PasteLine, message};
use crate::terminal::protocol::first_text;

const MESSAGE_MILLIS: &str = "10000";
const BUFFER: &str = "_claude-failover-paste";

/// Shows `text` to every client attached to the session. Nobody there is nobody told.
pub fn tell(connection: &mut Connection, session: &SessionName, text: &str) {
    let clients = Command::new("list-clients").session(session).option("-F", "#{client_name}");
    let clients = match connection.read_one(Exchange::plain(&[clients])) {
        Ok(reply) => first_text(&reply),
        Err(error) => return log::debug!("session={session} not told: {error}"),
    };
    for client in clients.lines() {
        let show = Command::new("display-message")
            .option("-d", MESSAGE_MILLIS)
            .option("-c", client)
            .flag("--")
            .arg(message(text));
        // A client may leave in between, and a lost message is no reason to stop.
        if let Sent::Unsent(error) | Sent::Unanswered(error) =
            connection.send(&Exchange::plain(&[show]))
        {
            return log::debug!("session={session} not told: {error}");
        }
    }
}

/// Types one line and Enter, at most once for this fence, also past copy mode and others. Never
/// into a dead pane: that ends a whole tmux 3.3a server.
pub fn paste(
    connection: &mut Connection,
    fence: Fence<'_>,
    pane: PaneId,
    line: &PasteLine,
) -> Result<(), String> {
    let session = fence.session;
    let paste =
        Command::new("paste-buffer").flag("-d -p -r").option("-b", BUFFER).pane(session, pane);
    let effect = [
        Command::new("set-buffer").option("-b", BUFFER).flag("--").arg(line.as_str()),
        leave_modes(session, pane),
        paste,
        Command::new("send-keys").pane(session, pane).flag("Enter"),
    ];
    let alive = "#{==:#{pane_dead},0}".to_owned();
    match effect::in_pane(connection, fence, pane, &[alive, is_typed_alone()], &effect) {
        Outcome::Ran(_) | Outcome::RanUnheard => Ok(()),
        Outcome::Unmet => Err(format!(
            "not done: pane {pane} is dead or not in session {session}, its window has \
             synchronize-panes on, or the session's fence is not below {}",
            fence.number
        )),
        Outcome::Failed(why) | Outcome::NotDone(why) | Outcome::Unknown(why) => Err(why),
    }
}
