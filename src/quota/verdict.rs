//! What a piece of evidence about quota means, and why we think so. Pure data.

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;
use crate::moment::Wall;

/// Which limit of the plan was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// The rolling window of five hours; older clients say "session".
    FiveHour,
    Weekly,
    /// The client says "limit" without saying which.
    Unnamed,
}

/// Only `Exhausted` and `SpendLimit` are plan exhaustion and may start a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Verdict {
    Exhausted {
        limit: LimitKind,
        resets_at: Option<Wall>,
    },
    /// Spend limit or out of credits; has a reset only when the client prints one.
    SpendLimit {
        resets_at: Option<Wall>,
    },
    /// Close to a limit, or already on paid overage: work goes on.
    Warning,
    /// A 429 that is not the plan's limit.
    Throttled,
    /// 5xx, overload, connection trouble.
    ServerError,
    AuthFailed,
    /// One model's limit; another model keeps working.
    ModelLimit,
    /// Nothing of the kind.
    Clear,
}

/// What every reader must know besides its text.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The moment of the observation; reset times are anchored to it.
    pub now: Wall,
    /// IANA name of the zone in which a reset without a zone is meant; `None` = UTC.
    pub zone: Option<&'a str>,
    /// Beginnings of rows, in lower case, that mean exhaustion beside the known ones
    /// (`quota.patterns`).
    pub patterns: &'a [String],
}

impl Verdict {
    /// Plan exhaustion, the only thing that moves work to another account.
    pub fn is_exhaustion(&self) -> bool {
        match self {
            Verdict::Exhausted { .. } | Verdict::SpendLimit { .. } => true,
            Verdict::Warning
            | Verdict::Throttled
            | Verdict::ServerError
            | Verdict::AuthFailed
            | Verdict::ModelLimit
            | Verdict::Clear => false,
        }
    }

    /// The account takes no request: it is out, or its login fails.
    pub fn is_refusal(&self) -> bool {
        self.is_exhaustion() || *self == Verdict::AuthFailed
    }

    pub fn resets_at(&self) -> Option<Wall> {
        match self {
            Verdict::Exhausted { resets_at, .. } | Verdict::SpendLimit { resets_at } => *resets_at,
            Verdict::Warning
            | Verdict::Throttled
            | Verdict::ServerError
            | Verdict::AuthFailed
            | Verdict::ModelLimit
            | Verdict::Clear => None,
        }
    }
}

/// What a screen shows its client to be doing; the client's own word goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Nothing on the screen tells: cut off, scrolled, or another program.
    #[default]
    Unknown,
    /// An empty composer that waits for a prompt.
    Idle,
    Busy,
    Dialog(Dialog),
}

/// What stands between an agent and its work until somebody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialog {
    /// `Do you trust this folder?`
    Trust,
    /// The warning of bypass mode.
    Bypass,
    /// The first start: theme, security notes, an API key found in the environment.
    Onboarding,
    /// A question about the renderer, the effort, a new feature.
    Upsell,
    /// `Settings Error`
    SettingsError,
    Login,
    /// `This session belongs to another account`
    AnotherAccount,
    /// `Resume from summary`
    ResumeFromSummary,
    /// The list of conversations to resume.
    ResumePicker,
    /// `/rate-limit-options`
    LimitMenu,
    /// A tool asks for permission.
    Permission,
    /// The model asks.
    Question,
    /// A menu that is none of the above.
    Other,
}

impl Dialog {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Dialog::Trust => "folder trust",
            Dialog::Bypass => "bypass warning",
            Dialog::Onboarding => "first start",
            Dialog::Upsell => "a question of the client",
            Dialog::SettingsError => "settings error",
            Dialog::Login => "login",
            Dialog::AnotherAccount => "session of another account",
            Dialog::ResumeFromSummary => "resume from summary",
            Dialog::ResumePicker => "resume picker",
            Dialog::LimitMenu => "limit menu",
            Dialog::Permission => "permission",
            Dialog::Question => "question",
            Dialog::Other => "a menu",
        }
    }
}

/// One look at one pane, one record of a transcript, or one report of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub verdict: Verdict,
    /// The name of the rule that decided; `"none"` when nothing did.
    pub rule: String,
    /// The row that decided, folded (no NBSP, no typographic apostrophe); empty when none did.
    pub row: String,
    /// The reset as the client printed it, for example `resets 4:24pm (UTC)`.
    pub reset_text: Option<String>,
    /// The last prompt the user submitted that is still on the screen, folded.
    pub last_user_row: Option<String>,
    /// Ids in rows `claude … --resume <uuid>`, top to bottom.
    pub resume_ids: Vec<ConversationId>,
    /// The id in `No conversation found with session ID: <uuid>`: that resume has failed.
    #[serde(default)]
    pub missing_conversation: Option<ConversationId>,
    #[serde(default)]
    pub activity: Activity,
    /// The client waits for the reset and will go on by itself: its notice under the composer says so.
    #[serde(default)]
    pub armed: bool,
    /// A row of the live region that begins like a banner and speaks of a limit in no known words.
    #[serde(default)]
    pub unrecognised: Option<String>,
}

impl Reading {
    pub fn clear() -> Self {
        Self {
            verdict: Verdict::Clear,
            rule: "none".to_owned(),
            row: String::new(),
            reset_text: None,
            last_user_row: None,
            resume_ids: Vec::new(),
            missing_conversation: None,
            activity: Activity::Unknown,
            armed: false,
            unrecognised: None,
        }
    }
}
