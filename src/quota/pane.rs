//! A captured screen → a [`Reading`]. Pure: the same text, moment and zone give the same reading.
//!
//! The screen is history, not an event: banners stay after a reset, a menu, a resume, and agents
//! print, grep, edit and discuss such texts all day. So only the live region counts
//! ([`crate::quota::live`]), and of that only rows in the client's own forms ([`crate::quota::form`]).
//!
//! By the rules of the system this one succeeds (`PREDECESSOR_*` in [`crate::quota::phrases`]), with
//! three changes. Its phrases counted anywhere in the last three rows; here a row must begin like
//! the client's own, so that a `grep` of this file is no limit, and the whole live region counts,
//! for a task list pushes a banner up by a dozen rows. Its vetoes held for the screen; here an error
//! vetoes its own row and not a newer banner. Its one verdict is now eight.
//!
//! That a reading without a reset must be seen twice, and that a banner repainted by a resume is
//! history, is for the reader of readings: it has `last_user_row` and the rows of accounts already
//! left. An answer that merely begins like a banner is painted like one; no screen tells them apart.
//!
//! Colour earns no place: in 150 captures of 2.1.250 and 2.1.330 with `-e` every refusal has the error
//! colour, but so have old ones, an answer that begins like one and what a failing tool prints.

use crate::ids::ConversationId;
use crate::quota::live::{Found, OWN_PROMPT, live};
use crate::quota::reset_time;
use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;
use crate::quota::verdict::{Context, Reading};
use crate::quota::{activity, armed};

/// Rows over which the client's `claude … --resume <uuid>` may be wrapped.
const RESUME_ROWS_MAX: usize = 4;
const CONVERSATION_ID_CHARS: usize = 36;

/// Reads one screen, as `capture-pane -J` gives it. The work is linear in the text, and bounded
/// apart from finding its last rows; no text makes it fail.
pub fn read(text: &str, context: &Context<'_>) -> Reading {
    let screen = Screen::of(text);
    let live = live(&screen, context.patterns);
    let reading = live.found.map_or_else(Reading::clear, |found| reading(found, context));
    Reading {
        last_user_row: last_user_row(&screen),
        resume_ids: resume_ids(&screen),
        missing_conversation: missing_conversation(&screen),
        activity: activity::of_screen(&screen),
        armed: armed::of_screen(&screen),
        unrecognised: live.unrecognised,
        ..reading
    }
}

fn reading(found: Found, context: &Context<'_>) -> Reading {
    let reset = found.reset.as_deref();
    let resets_at = reset.and_then(|phrase| reset_time::parse(phrase, context.now, context.zone));
    let Some(verdict) = found.form.class.verdict(resets_at) else { return Reading::clear() };
    Reading {
        verdict,
        rule: found.form.rule.to_owned(),
        row: found.row,
        reset_text: found.reset,
        ..Reading::clear()
    }
}

fn last_user_row(screen: &Screen<'_>) -> Option<String> {
    let submitted = |row: &&Row<'_>| row.mark == Mark::Prompt && row.text() != OWN_PROMPT;
    screen.conversation().iter().rfind(submitted).map(|row| row.text().to_owned())
}

fn resume_ids(screen: &Screen<'_>) -> Vec<ConversationId> {
    let rows = &screen.rows;
    let names_client = |row: &Row<'_>| row.mark == Mark::Plain && row.text().contains("claude");
    // A row that was cut before a space goes on with it.
    let goes_on =
        |row: &&Row<'_>| matches!(row.mark, Mark::Plain | Mark::Inset) && !names_client(row);
    let id_from = |(at, row)| {
        let wrapped = rows[at + 1..].iter().take_while(goes_on);
        id_after("--resume", row, wrapped.clone()).or_else(|| id_after(" -r ", row, wrapped))
    };
    let named = rows.iter().enumerate().filter(|(_, row)| names_client(row));
    named.filter_map(id_from).collect()
}

/// The last row `No conversation found with session ID: <uuid>`.
fn missing_conversation(screen: &Screen<'_>) -> Option<ConversationId> {
    const NOT_FOUND: &str = "No conversation found with session ID:";
    let rows = &screen.rows;
    let at = rows.iter().rposition(|row| row.text().starts_with(NOT_FOUND))?;
    id_after(NOT_FOUND, &rows[at], rows[at + 1..].iter())
}

/// The id behind `key`, also when the terminal cut the row anywhere.
fn id_after<'a>(
    key: &str,
    row: &'a Row<'a>,
    wrapped: impl Iterator<Item = &'a Row<'a>>,
) -> Option<ConversationId> {
    let mut line = row.text().to_owned();
    line.extend(wrapped.take(RESUME_ROWS_MAX - 1).map(Row::text));
    let (_, rest) = line.split_once(key)?;
    rest.trim_start().get(..CONVERSATION_ID_CHARS)?.parse().ok()
}
