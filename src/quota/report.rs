//! What a hook of the client, or its status line, reported → a [`Report`]. Pure.
//!
//! [`Wire`] is the one shape of a report between the client, the verb `hook` and us. Its names are
//! the client's own, so the client's JSON reads as a report, too. A field that is missing or of
//! another type costs that field and never the report.

use std::fmt;
use std::path::PathBuf;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::ConversationId;
use crate::moment::Wall;
use crate::quota::fold::rows;
use crate::quota::form::judge;
use crate::quota::json;
use crate::quota::pattern::by_pattern;
use crate::quota::reset_phrase;
use crate::quota::reset_time;
use crate::quota::verdict::{Context, Reading, Verdict};

/// Of a text of the client, so many characters are kept on the wire.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Characters of a word of the client: a source, a reason, the name of an error.
const WORD_CHARS_MAX: usize = 64;
/// Characters of the row that decided.
const ROW_CHARS_MAX: usize = 400;

/// One report of an agent's client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When the hook ran; never later than when we read it.
    pub at: Wall,
    /// The client that ran it.
    pub pid: Option<i32>,
    pub conversation: Option<ConversationId>,
    pub transcript: Option<PathBuf>,
    pub news: News,
}

#[derive(Clone, PartialEq, Eq)]
pub enum News {
    /// `SessionStart`; `source` is `startup`, `resume`, `clear`, `compact` or `fork`.
    SessionStarted { source: String },
    /// `UserPromptSubmit`
    PromptSubmitted,
    /// `Stop`: the turn ended well. `last_text` is the model's last text, cut to its bound.
    /// `background` counts tasks still running and wake-ups still due in that session; an older
    /// client does not say.
    TurnEnded { last_text: String, background: Option<u32> },
    /// `StopFailure`: the turn ended in an error of the API; the reading is of its rendered text.
    TurnFailed { error: String, reading: Reading },
    /// `SessionEnd`
    SessionEnded { reason: String },
    /// `Notification`, by its type.
    Notified { kind: String },
    /// The figures of the status line.
    Figures(Figures),
}

impl News {
    /// Whether its agent has had a prompt.
    pub fn tells_of_a_prompt(&self) -> bool {
        matches!(self, News::PromptSubmitted | News::TurnEnded { .. } | News::TurnFailed { .. })
    }
}

/// As the log has it: what a model said is nobody's there.
impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::SessionStarted { source } => write!(f, "SessionStarted({source:?})"),
            News::PromptSubmitted => f.write_str("PromptSubmitted"),
            News::TurnEnded { last_text, background } => {
                write!(f, "TurnEnded({} bytes, background: {background:?})", last_text.len())
            }
            News::TurnFailed { error, reading } => write!(f, "TurnFailed({error:?}, {reading:?})"),
            News::SessionEnded { reason } => write!(f, "SessionEnded({reason:?})"),
            News::Notified { kind } => write!(f, "Notified({kind:?})"),
            News::Figures(figures) => write!(f, "{figures:?}"),
        }
    }
}

/// Used shares of the plan's windows; each may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    pub five_hour: Option<Window>,
    pub weekly: Option<Window>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// 0 to 1000.
    pub used_permille: u16,
    pub resets_at: Option<Wall>,
}

/// A report as it travels: the fields of the client's JSON that we know, and two of ours.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wire {
    /// Milliseconds since 1970; ours.
    #[serde(deserialize_with = "lenient")]
    pub at: Option<i64>,
    /// The client's process; ours.
    #[serde(deserialize_with = "lenient")]
    pub pid: Option<i32>,
    /// Absent in what a status line gets.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub hook_event_name: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub transcript_path: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub prompt_id: Option<String>,
    /// The hook ran inside a subagent: what it says is not of the conversation's own turn.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub last_assistant_message: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub notification_type: Option<String>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The client lists them; on the wire they are only counted.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub background_tasks: Option<u32>,
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub session_crons: Option<u32>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<WireLimits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WireLimits {
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub five_hour: Option<WireWindow>,
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub seven_day: Option<WireWindow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WireWindow {
    /// 0 to 100, with or without a fraction.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub used_percentage: Option<f64>,
    /// Seconds since 1970.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<f64>,
}

/// What goes to the daemon, around a [`Wire`].
#[derive(Deserialize)]
struct Envelope {
    report: Wire,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field<T> {
    Known(T),
    Other(IgnoredAny),
}

fn lenient<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(match Field::deserialize(from)? {
        Field::Known(value) => Some(value),
        Field::Other(IgnoredAny) => None,
    })
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amount {
        Number(u32),
        List(Vec<IgnoredAny>),
        Other(IgnoredAny),
    }
    Ok(match Amount::deserialize(from)? {
        Amount::Number(number) => Some(number),
        Amount::List(list) => Some(u32::try_from(list.len()).unwrap_or(u32::MAX)),
        Amount::Other(IgnoredAny) => None,
    })
}

impl Wire {
    /// Whether anybody would make something of it.
    pub fn is_news(&self) -> bool {
        self.agent_id.is_none() && self.kind().is_some()
    }

    /// Every text cut to `chars_max` characters.
    pub fn cut(&mut self, chars_max: usize) {
        for text in [
            &mut self.hook_event_name,
            &mut self.session_id,
            &mut self.transcript_path,
            &mut self.cwd,
            &mut self.prompt_id,
            &mut self.agent_id,
            &mut self.source,
            &mut self.reason,
            &mut self.error,
            &mut self.error_details,
            &mut self.last_assistant_message,
            &mut self.notification_type,
            &mut self.message,
        ]
        .into_iter()
        .flatten()
        {
            if let Some((end, _)) = text.char_indices().nth(chars_max) {
                text.truncate(end);
            }
        }
    }

    fn kind(&self) -> Option<Kind> {
        match self.hook_event_name.as_deref() {
            Some("SessionStart") => Some(Kind::SessionStart),
            Some("UserPromptSubmit") => Some(Kind::UserPromptSubmit),
            Some("Stop") => Some(Kind::Stop),
            Some("StopFailure") => Some(Kind::StopFailure),
            Some("SessionEnd") => Some(Kind::SessionEnd),
            Some("Notification") => Some(Kind::Notification),
            Some(_) => None,
            None => self.rate_limits.is_some().then_some(Kind::StatusLine),
        }
    }

    /// The report it is; `None` when it is of no kind that we know, or a subagent's.
    pub fn report(self, context: &Context<'_>) -> Option<Report> {
        let kind = self.kind().filter(|_| self.agent_id.is_none())?;
        // The host's clock may have been set back since; what we have read has happened.
        let at = self.at.map_or(context.now, |at| Wall(at).min(context.now));
        Some(Report {
            at,
            pid: self.pid.filter(|pid| *pid > 0),
            conversation: self.session_id.as_deref().and_then(|id| id.parse().ok()),
            transcript: self.transcript_path.as_deref().map(PathBuf::from),
            news: self.news(kind, &Context { now: at, ..*context }),
        })
    }

    fn news(self, kind: Kind, context: &Context<'_>) -> News {
        match kind {
            Kind::SessionStart => News::SessionStarted { source: word(self.source) },
            Kind::UserPromptSubmit => News::PromptSubmitted,
            Kind::Stop => News::TurnEnded {
                background: match (self.background_tasks, self.session_crons) {
                    (None, None) => None,
                    (tasks, wake_ups) => {
                        Some(tasks.unwrap_or(0).saturating_add(wake_ups.unwrap_or(0)))
                    }
                },
                last_text: cut(self.last_assistant_message.unwrap_or_default(), TEXT_CHARS_MAX),
            },
            Kind::StopFailure => {
                let error = word(self.error);
                let text = self.last_assistant_message.unwrap_or_default();
                News::TurnFailed { reading: failure(&error, &text, context), error }
            }
            Kind::SessionEnd => News::SessionEnded { reason: word(self.reason) },
            Kind::Notification => News::Notified { kind: word(self.notification_type) },
            Kind::StatusLine => News::Figures(figures(self.rate_limits.unwrap_or_default())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SessionStart,
    UserPromptSubmit,
    Stop,
    StopFailure,
    SessionEnd,
    Notification,
    StatusLine,
}

/// A report as `claude-failover hook` sends it, as it lies in the spool, or as the client gave it:
/// one JSON object. `None` when it is of no kind that we know.
pub fn parse(line: &[u8], context: &Context<'_>) -> Option<Report> {
    let envelope = json::whole::<Envelope>(line).map(|envelope| envelope.report);
    envelope.or_else(|| json::whole(line))?.report(context)
}

/// What an error of the API means. Its name alone tells no limit from a throttle: there the text
/// decides, by the same forms as on the screen.
fn failure(error: &str, text: &str, context: &Context<'_>) -> Reading {
    let text = folded(text);
    let row = text.lines().map(str::trim).find(|row| !row.is_empty()).unwrap_or_default();
    let judged = match error {
        "rate_limit" => by_text(row, &text, context).unwrap_or((Verdict::Throttled, "hook_error")),
        "billing_error" => by_text(row, &text, context).unwrap_or((Verdict::Clear, "hook_error")),
        "server_error" | "overloaded" => (Verdict::ServerError, "hook_error"),
        "authentication_failed" | "oauth_org_not_allowed" => (Verdict::AuthFailed, "hook_error"),
        // A refusal of this request alone, unless its text says more.
        "unknown" | "invalid_request" | "" => match by_text(row, &text, context) {
            Some(judged) => judged,
            None => return Reading::clear(),
        },
        _ => return Reading::clear(),
    };
    let (verdict, rule) = judged;
    let is_about_quota = match error {
        "rate_limit" => row.contains("limit"),
        "billing_error" => !row.is_empty(),
        _ => false,
    };
    let reset_text = verdict.is_exhaustion().then(|| reset_phrase::find(&text)).flatten();
    let row = cut(row.to_owned(), ROW_CHARS_MAX);
    Reading {
        reset_text: reset_text.map(str::to_owned),
        // A refusal in words that are new to us.
        unrecognised: (is_about_quota && rule == "hook_error").then(|| row.clone()),
        verdict,
        rule: rule.to_owned(),
        row,
        ..Reading::clear()
    }
}

fn by_text(row: &str, text: &str, context: &Context<'_>) -> Option<(Verdict, &'static str)> {
    let resets_at = || {
        let phrase = reset_phrase::find(text)?;
        reset_time::parse(phrase, context.now, context.zone)
    };
    let form = judge(row).or_else(|| by_pattern(row, context.patterns))?;
    let rule = if form.rule == "pattern" { "hook_pattern" } else { "hook_text" };
    Some((form.class.verdict(resets_at())?, rule))
}

fn figures(limits: WireLimits) -> Figures {
    Figures { five_hour: window(limits.five_hour), weekly: window(limits.seven_day) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the target; NaN becomes 0"
)]
fn window(window: Option<WireWindow>) -> Option<Window> {
    const MS_PER_S: f64 = 1000.0;
    let window = window?;
    let used = window.used_percentage?;
    let resets_at = window.resets_at.filter(|at| *at > 0.0);
    Some(Window {
        used_permille: (used * 10.0).round().clamp(0.0, 1000.0) as u16,
        resets_at: resets_at.map(|at| Wall((at * MS_PER_S) as i64)),
    })
}

fn word(text: Option<String>) -> String {
    cut(text.unwrap_or_default(), WORD_CHARS_MAX)
}

fn cut(mut text: String, chars_max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(chars_max) {
        text.truncate(end);
    }
    text
}

/// The client's typography as plain characters.
fn folded(text: &str) -> String {
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    rows(&text).collect::<Vec<_>>().join("\n")
}
