//! Why a swap is planned, and where the evidence for it comes from.

use serde::{Deserialize, Serialize};

use crate::core::standing::PlanWindow;
use crate::ids::SessionName;
use crate::moment::Wall;

/// Why a swap was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Trigger {
    /// Evidence in this session; `row` is what the client printed.
    Refusal {
        session: SessionName,
        row: String,
        #[serde(default)]
        evidence: EvidenceSource,
    },
    /// Nobody could work, and this account has come back.
    AccountReturned,
    Operator,
    /// The login of the account in use fails.
    LoginFailed {
        reason: String,
    },
    /// The account in use is held, or another one is pinned.
    SetAside,
    /// By choice: so much of this window is used.
    Preempt {
        window: PlanWindow,
        used_permille: u16,
        /// When that window is reset: none of ours comes back by choice before.
        until: Wall,
    },
    /// By choice: a preferred account can be taken again.
    Preferred,
}

impl Trigger {
    /// By choice: nobody's work depends on it, so it disturbs nobody.
    pub fn is_voluntary(&self) -> bool {
        match self {
            Trigger::Preempt { .. } | Trigger::Preferred => true,
            Trigger::Refusal { .. }
            | Trigger::AccountReturned
            | Trigger::Operator
            | Trigger::LoginFailed { .. }
            | Trigger::SetAside => false,
        }
    }
}

/// Where a piece of evidence comes from, the weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceSource {
    #[default]
    Pane,
    Hook,
    /// A headless request of ours.
    Probe,
    Transcript,
}
