//! Creating a session: its name makes it idempotent, so it needs no fence.

use std::path::Path;

use crate::ids::{PaneId, SessionName};
use crate::terminal::command::{Command, Exchange};
use crate::terminal::connection::{Connection, Sent};
use crate::terminal::effect::{is_duplicate, new_session, stays};
use crate::terminal::protocol::{Reply, first_text};

/// A session with a login shell in `cwd`; one that is there already is taken as it is.
pub fn create(
    connection: &mut Connection,
    session: &SessionName,
    cwd: &Path,
) -> Result<PaneId, String> {
    check_directory(session, cwd)?;
    let exchange = Exchange::plain(&[new_session(session, cwd), stays(session)]);
    let reply = match connection.send(&exchange) {
        Sent::Answered(reply) => reply,
        Sent::Unsent(error) => return Err(format!("not done: {error}")),
        // Whether it ran or not, a second one tells: it creates, or finds a duplicate.
        Sent::Unanswered(error) => match connection.connect().map(drop) {
            Ok(()) => again(connection, &exchange)?,
            Err(then) => return Err(format!("outcome unknown: {error}; then {then}")),
        },
    };
    match reply.as_slice() {
        [made, ..] if made.ok => pane_in(&made.lossy()),
        _ if is_duplicate(&reply) => active_pane(connection, session),
        other => {
            let why = first_text(other);
            Err(format!("tmux refused to create session {session}: {why}"))
        }
    }
}

fn again(connection: &mut Connection, exchange: &Exchange) -> Result<Reply, String> {
    match connection.send(exchange) {
        Sent::Answered(reply) => Ok(reply),
        Sent::Unsent(error) | Sent::Unanswered(error) => Err(format!("outcome unknown: {error}")),
    }
}

fn active_pane(connection: &mut Connection, session: &SessionName) -> Result<PaneId, String> {
    let command = Command::new("display-message").flag("-p").session(session).arg("#{pane_id}");
    let reply =
        connection.read_one(Exchange::plain(&[command])).map_err(|error| error.to_string())?;
    pane_in(&first_text(&reply))
}

fn pane_in(text: &str) -> Result<PaneId, String> {
    text.parse().map_err(|_| format!("the session exists, but tmux named its pane {text:?}"))
}

/// tmux silently takes another directory for one that is missing.
pub fn check_directory(session: &SessionName, cwd: &Path) -> Result<(), String> {
    if cwd.is_absolute() && cwd.is_dir() {
        return Ok(());
    }
    Err(format!(
        "the directory {} of session {session} does not exist; create it or change the \
         session's project in the configuration",
        cwd.display()
    ))
}
