//! One line of a conversation file → what it says about quota and turns. Pure; reads no file.
//!
//! The client's own record of an error decides, for nobody but the client writes it: what an agent
//! quotes, prints or edits stands in records of other kinds.

mod line;
pub mod refusal;
mod speech;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::moment::Wall;
use crate::quota::transcript::line::{Line, Scalar};
use crate::quota::transcript::refusal::Refusal;
use crate::quota::verdict::{Context, Reading};

/// The model of lines that the client makes itself.
const SYNTHETIC: &str = "<synthetic>";
/// The origin of the prompt by which the client goes on after a reset.
const AUTO_CONTINUATION: &str = "auto-continuation";
/// How lines of a user begin that no user has typed as a prompt.
const NOT_PROMPTS: [&str; 7] = [
    "<command-",
    "<local-command-",
    "<bash-",
    "<task-notification",
    "<teammate-message",
    "<user-memory-input",
    "[Request interrupted by user",
];

/// An error of the API as the client recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The record's `uuid`; empty when it has none.
    pub record: String,
    pub at: Wall,
    /// Its verdict, with `row` the text of the record.
    pub reading: Reading,
}

/// What one line says, as far as it bears on quota and turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The user's prompt on the main chain, or the client's own with which it goes on after a reset;
    /// not what a tool gave back.
    Prompt { at: Wall },
    /// The model spoke on the main chain, or called a tool: the account works.
    Answer { at: Wall },
    /// The turn ended in an error of the API. One that says nothing about quota (a request too long,
    /// an unknown model) has the verdict `Clear` and its name as the rule: the turn is over all the
    /// same, and an older refusal is history.
    Error(Box<ApiError>),
}

/// What all lines so far say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// The error that ended the last turn; none once the model has spoken after it.
    pub error: Option<ApiError>,
    pub prompted_at: Option<Wall>,
    pub answered_at: Option<Wall>,
}

impl Ending {
    /// Takes the next line of the file.
    pub fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Prompt { at } => self.prompted_at = Some(at),
            Entry::Answer { at } => {
                self.answered_at = Some(at);
                self.error = None;
            }
            Entry::Error(error) => self.error = Some(*error),
        }
    }
}

/// What a line says; `None` when it says nothing of the kind, or is no JSON object.
///
/// A record is dated by its own timestamp, and its reset is anchored there: `context.now` is not
/// used. One without a timestamp says nothing, for it cannot be told from history.
pub fn entry(line: &[u8], context: &Context<'_>) -> Option<Entry> {
    let line = Line::parse(line).filter(is_on_main_chain)?;
    let at = moment(line.timestamp.text()?)?;
    match line.kind.text()? {
        "user" => is_prompt(&line).then_some(Entry::Prompt { at }),
        "assistant" if line.is_api_error_message.is_true() => {
            let record = line.uuid.text().unwrap_or("").to_owned();
            let reading = refusal::read(&refusal(&line, at), context);
            Some(Entry::Error(Box::new(ApiError { record, at, reading })))
        }
        "assistant" if is_of_model(&line) => Some(Entry::Answer { at }),
        _ => None,
    }
}

/// The end of what the model says in this line, on the main chain, at most `chars_max` characters;
/// `None` when it says nothing: it thinks, calls a tool, or is not the model.
pub fn speech(line: &[u8], chars_max: usize) -> Option<String> {
    let parsed = Line::parse(line).filter(is_on_main_chain)?;
    let speaks = parsed.kind.text() == Some("assistant")
        && !parsed.is_api_error_message.is_true()
        && is_of_model(&parsed)
        && parsed.message.0.content.has_speech;
    if speaks { speech::end_of_last_text(line, chars_max) } else { None }
}

/// What the end of a whole file says: `Clear` when it is an answer, or when no line says anything.
pub fn read(lines: &[u8], context: &Context<'_>) -> Reading {
    let newest_first = lines.rsplit(|&byte| byte == b'\n');
    for entry in newest_first.filter_map(|line| entry(line, context)) {
        match entry {
            Entry::Prompt { .. } => {}
            Entry::Answer { .. } => break,
            Entry::Error(error) => return error.reading,
        }
    }
    Reading::clear()
}

fn refusal(line: &Line, at: Wall) -> Refusal<'_> {
    let info = &line.api_error_params.0.rate_limit_info.0;
    Refusal {
        text: &line.message.0.content.text,
        at,
        error: line.error.text(),
        api_error: line.api_error.text(),
        limit_type: info.rate_limit_type.text(),
        resets_at: info.resets_at.number(),
    }
}

/// Whatever is not known to be on the main chain belongs to a subagent.
fn is_on_main_chain(line: &Line) -> bool {
    matches!(line.is_sidechain, Scalar::Absent | Scalar::Flag(false))
}

/// The client fills a gap in the conversation itself: then no model has spoken.
fn is_of_model(line: &Line) -> bool {
    line.message.0.model.text() != Some(SYNTHETIC)
}

/// Not what a tool gave back, what the client tells the model, nor what it ran for the user.
fn is_prompt(line: &Line) -> bool {
    let content = &line.message.0.content;
    let text = content.text.trim_start();
    // It is meta, too, but it begins a turn: a refusal before it is history.
    let goes_on = line.origin.0.kind.text() == Some(AUTO_CONTINUATION);
    let is_own = (line.is_meta.is_true() && !goes_on)
        || line.is_compact_summary.is_true()
        || NOT_PROMPTS.iter().any(|start| text.starts_with(start));
    content.has_speech && !content.has_tool_result && !is_own
}

/// `2026-11-22T18:35:35.882Z`
fn moment(timestamp: &str) -> Option<Wall> {
    let at = OffsetDateTime::parse(timestamp, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Wall)
}
