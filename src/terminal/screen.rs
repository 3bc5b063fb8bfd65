//! Reading: all panes in one listing, the text of some.
//!
//! A capture goes through a buffer of ours: `capture-pane -p` leaks 6 kB a time in the server
//! (3.2a to 3.5a), and prints a pane's text raw, which could then imitate tmux's answers.

use crate::core::event::{PaneSeen, PaneStamp};
use crate::ids::{ConversationId, PaneId, SessionName};
use crate::terminal::client::OWN_SESSION;
use crate::terminal::command::{Command, Exchange};
use crate::terminal::connection::Connection;
use crate::terminal::encode::unvis;
use crate::terminal::error::TerminalError;
use crate::terminal::protocol::{Block, Reply};

/// The text of one pane; of more, the end is kept, where the client paints its notices.
pub const CAPTURE_BYTES_MAX: usize = 1 << 20;
/// Rows of history that are searched for the id of an ended conversation.
const HISTORY_ROWS: &str = "-200";
const BUFFER: &str = "_claude-failover";

/// The session name comes last, so that its spaces divide nothing; tmux has encoded what else
/// could. Adding 0 makes a number of any fence, also of none.
const FIELDS: &str = "#{pane_id} #{pane_pid} #{pane_dead} #{pane_in_mode} #{window_active} \
    #{pane_active} #{session_attached} #{e|+|:0,#{@failover_fence}} #{window_activity} \
    #{history_size} #{cursor_x} #{cursor_y} #{session_name}:#{pane_title}";
const FIELD_COUNT: usize = 13;

/// Every pane of the server but our own, once for each session that shows it.
pub fn list(connection: &mut Connection) -> Result<Vec<PaneSeen>, TerminalError> {
    let command = Command::new("list-panes").flag("-a").option("-F", FIELDS);
    let reply = connection.read_one(Exchange::plain(&[command]))?;
    let text = text_of(&reply, "list-panes")?;
    let rows = text.lines().map(|row| {
        parse_row(row).ok_or_else(|| TerminalError::Refused {
            what: "a listing that can be read",
            why: format!("unexpected row {row:?}"),
        })
    });
    let panes: Result<Vec<PaneSeen>, _> = rows.collect();
    Ok(panes?.into_iter().filter(|pane| pane.session != OWN_SESSION).collect())
}

fn parse_row(row: &str) -> Option<PaneSeen> {
    let fields: Vec<&str> = row.splitn(FIELD_COUNT, ' ').collect();
    let fields: [&str; FIELD_COUNT] = fields.try_into().ok()?;
    let [pane, pid, dead, modes, window, active, attached, fence, at, history, x, y, names] =
        fields;
    // A session's name has no colon; a title may have anything.
    let (session, title) = names.split_once(':')?;
    Some(PaneSeen {
        session: session.to_owned(),
        pane: pane.parse().ok()?,
        leader_pid: pid.parse().ok()?,
        dead: dead == "1",
        in_mode: modes != "0",
        active: window == "1" && active == "1",
        typed_at: None,
        attached: attached.parse().ok()?,
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

/// The only block of a reply that must have succeeded.
pub fn text_of(reply: &Reply, what: &'static str) -> Result<String, TerminalError> {
    match reply.as_slice() {
        [block] if block.ok => Ok(block.lossy()),
        other => Err(TerminalError::Refused { what, why: refusal(other, "it") }),
    }
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
        let seen =
            parse_row("%7 4711 0 1 1 0 2 41 1795362343 92 3 40 a b %1 c:✳ d: e").expect("a row");
        assert_eq!((&*seen.session, &*seen.title), ("a b %1 c", "✳ d: e"));
        assert_eq!((seen.pane, seen.leader_pid), (PaneId(7), 4711));
        assert_eq!((seen.dead, seen.in_mode, seen.active), (false, true, false));
        assert_eq!((seen.attached, seen.fence), (2, Some(41)));
        assert_eq!(seen.stamp.cursor, (3, 40));
        assert_eq!((seen.stamp.activity_s, seen.stamp.history_size), (1_795_362_343, 92));
    }

    #[test]
    fn a_fence_that_is_none_is_none() {
        for fence in ["0", ""] {
            let row = format!("%7 4711 0 0 1 1 0 {fence} 1795362343 0 0 0 work:");
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
