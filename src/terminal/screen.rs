//! Reading: all panes in one listing, the text of some.
//!
//! A capture goes through a buffer of ours: `capture-pane -p` leaks 6 kB a time in the server
//! (3.2a to 3.5a), and prints a pane's text raw, which could then imitate tmux's answers.

use crate::core::event::{PaneSeen, PaneStamp};
use crate::ids::{ConversationId, PaneId, SessionName};
use crate::moment::Wall;
use crate::terminal::client::OWN_SESSION;
use crate::terminal::command::{Command, Exchange};
use crate::terminal::connection::Connection;
use crate::terminal::encode::unvis;
use crate::terminal::error::TerminalError;
use crate::terminal::protocol::Block;

/// The text of one pane; of more, the end is kept, where the client paints its notices.
pub const CAPTURE_BYTES_MAX: usize = 1 << 20;
/// Rows of history that are searched for the id of an ended conversation.
const HISTORY_ROWS: &str = "-200";
const BUFFER: &str = "_claude-failover";

/// The session name comes last, so that its spaces divide nothing; tmux has encoded what else
/// could. Adding 0 makes a number of any fence, also of none.
const FIELDS: &str = "#{pane_id} #{pane_pid} #{pane_dead} #{pane_in_mode} #{window_active} \
    #{pane_active} #{session_attached} #{e|+|:0,#{@failover_fence}} #{window_activity} \
    #{history_size} #{cursor_x} #{cursor_y} #{session_created} #{session_name}:#{pane_title}";
const FIELD_COUNT: usize = 14;

/// A client's activity is the last second in which its terminal sent anything. Measured on 3.3a: a
/// key (the prefix and those of a read-only client, too), a click, the wheel and the motion of the
/// mouse, the focus that comes or goes, where the terminal reports these; its own answers to
/// queries; and that it attached. Not: output, a resize, a message, `send-keys` and `paste-buffer` of
/// others (so nothing that we type), nor the commands of a control client. It goes with a client
/// that is switched to another session.
const CLIENT_FIELDS: &str = "#{client_control_mode} #{client_activity} #{session_name}";
const CLIENT_FIELD_COUNT: usize = 3;

/// Every pane of the server but our own, once for each session that shows it.
pub fn list(connection: &mut Connection) -> Result<Vec<PaneSeen>, TerminalError> {
    let commands = [
        Command::new("list-panes").flag("-a").option("-F", FIELDS),
        Command::new("list-clients").option("-F", CLIENT_FIELDS),
    ];
    let reply = connection.read_one(Exchange::plain(&commands))?;
    let [panes, clients] = reply.as_slice() else {
        return Err(TerminalError::Refused { what: "list-panes", why: refusal(&reply, "it") });
    };
    let mut panes = rows_of(panes, "list-panes", parse_row)?;
    let clients = rows_of(clients, "list-clients", parse_client)?;
    panes.retain(|pane| pane.session != OWN_SESSION);
    for pane in &mut panes {
        let typed = clients.iter().filter(|client| client.is_in(&pane.session));
        pane.typed_at = typed.map(|client| client.typed_at).max();
    }
    Ok(panes)
}

/// The rows of a listing, all of which must be as they were asked for.
fn rows_of<T>(
    listing: &Block,
    what: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, TerminalError> {
    let text = listing.lossy();
    if !listing.ok {
        return Err(TerminalError::Refused { what, why: text });
    }
    let rows = text.lines().map(|row| {
        parse(row).ok_or_else(|| TerminalError::Refused {
            what: "a listing that can be read",
            why: format!("unexpected row {row:?} of {what}"),
        })
    });
    rows.collect()
}

#[derive(Debug, PartialEq, Eq)]
struct ClientSeen {
    is_control: bool,
    typed_at: Wall,
    session: String,
}

impl ClientSeen {
    /// Nobody types in a control client: it is ours, or a program's.
    fn is_in(&self, session: &str) -> bool {
        !self.is_control && self.session == session
    }
}

fn parse_client(row: &str) -> Option<ClientSeen> {
    let fields: Vec<&str> = row.splitn(CLIENT_FIELD_COUNT, ' ').collect();
    let [control, activity_s, session] = fields.try_into().ok()?;
    let activity_s: i64 = activity_s.parse().ok()?;
    Some(ClientSeen {
        is_control: control == "1",
        typed_at: Wall(activity_s.checked_mul(1000)?),
        session: session.to_owned(),
    })
}

fn parse_row(row: &str) -> Option<PaneSeen> {
    let fields: Vec<&str> = row.splitn(FIELD_COUNT, ' ').collect();
    let fields: [&str; FIELD_COUNT] = fields.try_into().ok()?;
    let [pane, pid, dead, modes, window, active, attached, fence, at, history, x, y, made, names] =
        fields;
    let made_s: i64 = made.parse().ok()?;
    // A session's name has no colon; a title may have anything.
    let (session, title) = names.split_once(':')?;
    Some(PaneSeen {
        session: session.to_owned(),
        session_made: Wall(made_s.checked_mul(1000)?),
        pane: pane.parse().ok()?,
        leader_pid: pid.parse().ok()?,
        dead: dead == "1",
        in_mode: modes != "0",
        active: window == "1" && active == "1",
        attached: attached.parse().ok()?,
        typed_at: None,
        title: title.to_owned(),
        fence: fence.parse().ok().filter(|fence| *fence > 0),
        stamp: PaneStamp {
            activity_s: at.parse().ok()?,
            history_size: history.parse().ok()?,
            // A dead pane has no cursor to speak of.
            cursor: (x.parse().unwrap_or(0), y.parse().unwrap_or(0)),
        },
    })
}

/// The visible screens of `panes`, wrapped rows joined. A pane that is gone is missing.
pub fn capture(
    connection: &mut Connection,
    panes: &[PaneId],
) -> Result<Vec<(PaneId, String)>, TerminalError> {
    if panes.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch: Vec<Exchange> = panes
        .iter()
        .map(|pane| {
            let capture = capture_to_buffer().option("-t", pane.to_string());
            Exchange::plain(&[capture, show_buffer()])
        })
        .collect();
    batch.push(Exchange::plain(&[delete_buffer()]));
    let replies = connection.read(&batch)?;
    let texts = panes.iter().zip(replies).filter_map(|(pane, reply)| match reply.as_slice() {
        [_, shown] if shown.ok => Some((*pane, decode(&shown.text))),
        _ => None,
    });
    Ok(texts.collect())
}

/// The ids in rows `claude … --resume <uuid>` of a pane and its recent history, top to bottom.
pub fn read_pane(
    connection: &mut Connection,
    session: &SessionName,
    pane: PaneId,
) -> Result<Vec<ConversationId>, String> {
    let capture = capture_to_buffer().option("-S", HISTORY_ROWS);
    text_in(connection, session, pane, capture).map(|text| resumable(&text))
}

/// The visible text of a pane that is in this session.
pub fn visible(
    connection: &mut Connection,
    session: &SessionName,
    pane: PaneId,
) -> Result<String, String> {
    text_in(connection, session, pane, capture_to_buffer())
}

fn text_in(
    connection: &mut Connection,
    session: &SessionName,
    pane: PaneId,
    capture: Command,
) -> Result<String, String> {
    let exchange = Exchange::plain(&[capture.pane(session, pane), show_buffer(), delete_buffer()]);
    let reply = connection.read_one(exchange);
    match reply.map_err(|error| error.to_string())?.as_slice() {
        [_, shown, _] => Ok(decode(&shown.text)),
        other => {
            let why = refusal(other, "capture-pane");
            Err(format!("pane {pane} of session {session} cannot be read: {why}"))
        }
    }
}

fn capture_to_buffer() -> Command {
    Command::new("capture-pane").option("-b", BUFFER).flag("-J")
}

fn show_buffer() -> Command {
    Command::new("show-buffer").option("-b", BUFFER)
}

fn delete_buffer() -> Command {
    Command::new("delete-buffer").option("-b", BUFFER)
}

fn decode(encoded: &[u8]) -> String {
    let plain = unvis(encoded);
    let start = plain.len().saturating_sub(CAPTURE_BYTES_MAX);
    String::from_utf8_lossy(&plain[start..]).into_owned()
}

/// What a client prints when it ends: `claude --dangerously-skip-permissions --resume <uuid>`.
fn resumable(text: &str) -> Vec<ConversationId> {
    text.lines().filter_map(resumed_in).collect()
}

fn resumed_in(row: &str) -> Option<ConversationId> {
    let mut words = row.split_whitespace();
    let program = words.next()?;
    if program.rsplit('/').next() != Some("claude") {
        return None;
    }
    words.find(|word| *word == "--resume")?;
    words.next()?.parse().ok()
}

fn refusal(reply: &[Block], what: &str) -> String {
    let error = reply.iter().find(|block| !block.ok);
    error.map_or_else(|| format!("{what} gave an unexpected answer"), Block::lossy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_the_left_and_its_name_is_the_rest() {
        let seen = parse_row("%7 4711 0 1 1 0 2 41 1795362343 92 3 40 1795362000 a b %1 c:✳ d: e")
            .expect("a row");
        assert_eq!((&*seen.session, &*seen.title), ("a b %1 c", "✳ d: e"));
        assert_eq!((seen.pane, seen.leader_pid), (PaneId(7), 4711));
        assert_eq!((seen.dead, seen.in_mode, seen.active), (false, true, false));
        assert_eq!((seen.attached, seen.fence), (2, Some(41)));
        assert_eq!(seen.session_made, Wall(1_795_362_000_000));
        assert_eq!(seen.stamp.cursor, (3, 40));
        assert_eq!((seen.stamp.activity_s, seen.stamp.history_size), (1_795_362_343, 92));
    }

    #[test]
    fn a_client_is_read_from_the_left_too() {
        let typed_at = Wall(1_795_362_343_000);
        for (row, is_control, session) in
            [("0 1795362343 a b %1 c", false, "a b %1 c"), ("1 1795362343 work", true, "work")]
        {
            let session = session.to_owned();
            assert_eq!(parse_client(row), Some(ClientSeen { is_control, typed_at, session }));
        }
        assert_eq!(parse_client("0 work"), None);
    }

    #[test]
    fn a_fence_that_is_none_is_none() {
        for fence in ["0", ""] {
            let row = format!("%7 4711 0 0 1 1 0 {fence} 1795362343 0 0 0 1795362000 work:");
            assert_eq!(parse_row(&row).expect("a row").fence, None, "{fence:?}");
        }
        assert_eq!(parse_row("%7 4711"), None);
    }

    #[test]
    fn ids_are_taken_from_rows_that_begin_with_the_client() {
        let id = "82840528-5c4e-4114-8dc2-50dc43ea65c9";
        let other = "00000000-0000-4000-8000-000000000000";
        let text = format!(
            "Resume this session with:\nclaude --dangerously-skip-permissions --resume {id}\n\
             $ echo claude --resume {other}\n  /usr/bin/claude --resume {other} --model opus\n\
             claude --resume {other}x\nclaude --resume\nclaude {id}\nclauded --resume {id}\n"
        );
        let expected: Vec<ConversationId> =
            [id, other].map(|id| id.parse().expect("an id")).to_vec();
        assert_eq!(resumable(&text), expected);
    }
}
