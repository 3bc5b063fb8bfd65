//! A captured screen → a [`Reading`]. Pure: the same text, moment and zone give the same reading.
//!
//! The screen is history, not an event: banners stay after a reset, a menu, a resume, and agents
//! print, grep, edit and discuss such texts all day. So only the live region counts: the notice
//! under the composer, or the last row of the conversation that has a form of the client
//! ([`crate::quota::form`]) with no prompt, answer or tool row after it.
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

use crate::ids::ConversationId;
use crate::moment::Wall;
use crate::quota::form::{Class, Form, judge, retry};
use crate::quota::reset_phrase;
use crate::quota::reset_time;
use crate::quota::screen::{Mark, Row, Screen};
use crate::quota::verdict::{LimitKind, Reading, Verdict};

/// Rows over which the client's `claude … --resume <uuid>` may be wrapped.
const RESUME_ROWS_MAX: usize = 4;
const CONVERSATION_ID_CHARS: usize = 36;
/// The client submits this one itself, to open its menu.
const OWN_PROMPT: &str = "/rate-limit-options";

/// What a reader must know besides the text.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The moment of the capture; reset times are anchored to it.
    pub now: Wall,
    /// IANA name of the zone in which a reset without a zone is meant; `None` = UTC.
    pub zone: Option<&'a str>,
}

/// Reads one screen, as `capture-pane -J` gives it. The work is linear in the text, and bounded
/// apart from finding its last rows; no text makes it fail.
pub fn read(text: &str, context: &Context<'_>) -> Reading {
    let screen = Screen::of(text);
    let reading = match decide(&screen) {
        Some(found) => found.reading(context),
        None => Reading::clear(),
    };
    Reading {
        last_user_row: last_user_row(&screen),
        resume_ids: resume_ids(&screen),
        missing_conversation: missing_conversation(&screen),
        ..reading
    }
}

/// A row that says something, and when that ends, if it says so.
struct Found {
    form: Form,
    row: String,
    reset: Option<String>,
}

impl Found {
    fn new(form: Form, row: String) -> Self {
        let reset = reset_phrase::find(&row).map(str::to_owned);
        Self { form, row, reset }
    }

    fn reading(self, context: &Context<'_>) -> Reading {
        let reset = self.reset.as_deref();
        let resets_at =
            reset.and_then(|phrase| reset_time::parse(phrase, context.now, context.zone));
        let verdict = match self.form.class {
            Class::Plan(limit) => Verdict::Exhausted { limit, resets_at },
            Class::Wait => Verdict::Exhausted { limit: LimitKind::Unnamed, resets_at },
            Class::Spend => Verdict::SpendLimit { resets_at },
            Class::Overage | Class::Warning => Verdict::Warning,
            Class::Throttled => Verdict::Throttled,
            Class::Server => Verdict::ServerError,
            Class::Auth => Verdict::AuthFailed,
            Class::Model => Verdict::ModelLimit,
            Class::Lifted | Class::Tail => return Reading::clear(),
        };
        Reading {
            verdict,
            rule: self.form.rule.to_owned(),
            row: self.row,
            reset_text: self.reset,
            ..Reading::clear()
        }
    }
}

/// The notice under the composer and the banner above it, as one.
fn decide(screen: &Screen) -> Option<Found> {
    let above = latest(screen).filter(|found| !(refuses(found) && is_busy(screen)));
    let below = notice(screen);
    match (above, below) {
        (_, Some(below)) if below.form.class == Class::Overage => Some(below),
        (Some(above), Some(below)) if below.form.class == Class::Wait => {
            Some(explained(above, Some(below)))
        }
        (Some(above), _) => Some(above),
        (None, below) => below,
    }
}

/// The client waits: the banner, where it still stands, says for which limit.
fn explained(banner: Found, wait: Option<Found>) -> Found {
    match wait {
        Some(wait) if refuses(&banner) || banner.form.class == Class::Model => {
            Found { reset: banner.reset.or(wait.reset), ..banner }
        }
        Some(wait) => wait,
        None => banner,
    }
}

fn refuses(found: &Found) -> bool {
    matches!(found.form.class, Class::Plan(_) | Class::Spend | Class::Wait)
}

/// The agent is inside a turn: whatever refused it before did not stop it.
fn is_busy(screen: &Screen) -> bool {
    screen.footer().iter().any(|row| row.text.contains("esc to interrupt"))
}

/// What the rows under the composer say.
fn notice(screen: &Screen) -> Option<Found> {
    let rows = screen.footer();
    rows.iter().enumerate().find_map(|(at, row)| {
        let (form, text) = segments(&row.text).find_map(|text| Some((judge(text)?, text)))?;
        if form.class == Class::Tail {
            return None;
        }
        let mut found = Found::new(form, text.to_owned());
        if found.reset.is_none() && row.mark == Mark::Alert {
            let next = rows.get(at + 1).map_or("", |next| next.text.as_str());
            found.reset = reset_phrase::find(&format!("{text} {next}")).map(str::to_owned);
        }
        Some(found)
    })
}

/// A status row, and its rests after each gap and each separator.
fn segments(row: &str) -> impl Iterator<Item = &str> {
    let starts = row.match_indices("   ").chain(row.match_indices(" · "));
    let mut starts: Vec<usize> = starts.map(|(at, gap)| at + gap.len()).collect();
    starts.sort_unstable();
    std::iter::once(0).chain(starts).map(|at| row[at..].trim_start())
}

/// The last row of the conversation that says something, if nothing newer stands after it.
fn latest(screen: &Screen) -> Option<Found> {
    let mut wait: Option<Found> = None;
    for (at, row) in screen.conversation().iter().enumerate().rev() {
        match row.mark {
            Mark::Blank | Mark::Rule | Mark::Inset | Mark::Done => {}
            Mark::Footer | Mark::Composer => {}
            Mark::Prompt if row.text == OWN_PROMPT => {}
            Mark::Prompt | Mark::Logo => break,
            Mark::Spinner => {
                return retry(&row.text).map(|form| Found::new(form, row.text.clone()));
            }
            Mark::Result if is_under_spinner(screen, at) => {}
            Mark::Bullet | Mark::Result | Mark::Alert | Mark::Plain => {
                let line = screen.joined(at);
                let Some(form) = judge(&line) else { break };
                if form.class == Class::Tail {
                    continue;
                }
                if form.class == Class::Lifted || !is_own(screen, at) {
                    break;
                }
                let found = Found::new(form, line);
                if form.class != Class::Wait {
                    return Some(explained(found, wait));
                }
                wait = wait.or(Some(found));
            }
        }
    }
    wait
}

/// Whether the client itself wrote this row, and not a tool, a listing or the model.
fn is_own(screen: &Screen, at: usize) -> bool {
    let row = &screen.rows[at];
    let parent = screen.parent(at);
    match row.mark {
        // The first result under a tool call is what the tool printed; a banner comes second.
        Mark::Result => !parent.is_some_and(|parent| match parent.mark {
            Mark::Bullet => is_tool_call(&parent.text),
            Mark::Prompt | Mark::Plain => parent.text.starts_with(['!', '$', '#']),
            _ => false,
        }),
        // Under the composer alone; on a cut screen without one, not inside an answer.
        Mark::Alert => {
            let in_answer = parent.is_some_and(|parent| parent.mark == Mark::Bullet);
            !screen.has_composer() && !in_answer
        }
        // Inside a listing, the rows before it are of no form either.
        Mark::Plain => match at.checked_sub(1).map(|prev| &screen.rows[prev]) {
            Some(prev) if prev.mark == Mark::Plain => judge(&prev.text).is_some(),
            Some(prev) => prev.mark != Mark::Inset,
            None => true,
        },
        _ => true,
    }
}

/// A tip or the task at hand.
fn is_under_spinner(screen: &Screen, at: usize) -> bool {
    screen.parent(at).is_some_and(|parent| parent.mark == Mark::Spinner)
}

/// `Bash(cargo test)`, `plugin:tool (MCP)(…)`; not `Read 2 files (ctrl+o to expand)`.
fn is_tool_call(text: &str) -> bool {
    let name = text.split('(').next().unwrap_or(text);
    let is_name = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
    text.contains("(MCP)(") || (name.len() < text.len() && name.chars().all(is_name))
}

fn last_user_row(screen: &Screen) -> Option<String> {
    let submitted = |row: &&Row| row.mark == Mark::Prompt && row.text != OWN_PROMPT;
    screen.conversation().iter().rfind(submitted).map(|row| row.text.clone())
}

fn resume_ids(screen: &Screen) -> Vec<ConversationId> {
    let rows = &screen.rows;
    let names_client = |row: &Row| row.mark == Mark::Plain && row.text.contains("claude");
    // A row that was cut before a space goes on with it.
    let goes_on = |row: &&Row| matches!(row.mark, Mark::Plain | Mark::Inset) && !names_client(row);
    let id_from = |(at, row)| {
        let wrapped = rows[at + 1..].iter().take_while(goes_on);
        id_after("--resume", row, wrapped)
    };
    let named = rows.iter().enumerate().filter(|(_, row)| names_client(row));
    named.filter_map(id_from).collect()
}

/// The last row `No conversation found with session ID: <uuid>`.
fn missing_conversation(screen: &Screen) -> Option<ConversationId> {
    const NOT_FOUND: &str = "No conversation found with session ID:";
    let rows = &screen.rows;
    let at = rows.iter().rposition(|row| row.text.starts_with(NOT_FOUND))?;
    id_after(NOT_FOUND, &rows[at], rows[at + 1..].iter())
}

/// The id behind `key`, also when the terminal cut the row anywhere.
fn id_after<'a>(
    key: &str,
    row: &'a Row,
    wrapped: impl Iterator<Item = &'a Row>,
) -> Option<ConversationId> {
    let mut line = row.text.clone();
    line.extend(wrapped.take(RESUME_ROWS_MAX - 1).map(|row| row.text.as_str()));
    let (_, rest) = line.split_once(key)?;
    rest.trim_start().get(..CONVERSATION_ID_CHARS)?.parse().ok()
}
