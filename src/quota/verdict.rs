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

/// One look at one pane.
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
        }
    }
}
