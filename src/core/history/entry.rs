//! What there is to tell. The names here are those of `history --json`: once released, they stay.

use serde::{Serialize, Serializer};

use crate::core::history::kind::Kind;
use crate::core::history::swap::{Canary, CanaryEnd, Restore, Swap};
use crate::core::standing::PlanWindow;
use crate::core::trigger::EvidenceSource;
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Of the record that began it; of a partial one, of the state that tells of it.
    pub seq: u64,
    /// When it began.
    #[serde(serialize_with = "rfc_3339")]
    pub at: Wall,
    /// Of the last record that said anything of it.
    #[serde(skip)]
    pub changed_seq: u64,
    #[serde(flatten)]
    pub what: Happening,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Happening {
    Swap(Box<Swap>),
    Canary(Canary),
    Restore(Restore),
    Refusal(Box<Refusal>),
    Reset(Reset),
    /// An answer on an account whose reset is older than the oldest record.
    Proof(Proof),
    Login(Login),
    Rejection(Rejection),
    Parking(Parking),
    Hold(Hold),
    Pin(Hold),
    Release(Release),
    Pause(Pause),
    /// By the operator: these get no more tasks.
    Drain(Sessions),
    /// By the operator: these take tasks again.
    Resume(Sessions),
    /// The link was found to name this account without a swap of ours.
    Link(Links),
    Start(Start),
    Stop,
}

/// An account and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub account: AccountName,
    pub reason: String,
}

/// A limit of its plan is used up. Said again for longer, it is the same refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub account: AccountName,
    pub window: PlanWindow,
    pub evidence: EvidenceSource,
    /// Whose agent was refused; null: a headless request.
    pub session: Option<SessionName>,
    /// As it was said last; so are `until` and `printed`.
    pub row: String,
    #[serde(serialize_with = "rfc_3339")]
    pub until: Wall,
    /// `until` is the client's word, not a guess of ours.
    pub printed: bool,
    /// How often it was said again, for longer.
    pub repeats: u32,
    #[serde(flatten)]
    pub end: End,
}

/// All null while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct End {
    pub ended_by: Option<EndedBy>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
    pub took_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    Reset,
    /// Its credential file has changed.
    NewLogin,
    /// Its time was over.
    Time,
    /// The operator's word.
    Release,
    /// Another account was pinned.
    Pin,
    /// The operator's word, of a pause.
    Resume,
    /// The records of its end are missing; it was before `ended_at`.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reset {
    pub account: AccountName,
    pub window: PlanWindow,
    #[serde(flatten)]
    pub proof: Doubt,
}

/// Whether an answer has shown that an account takes requests again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Doubt {
    pub proof: ProofEnd,
    #[serde(serialize_with = "rfc_3339_if")]
    pub proof_at: Option<Wall>,
    /// Null: by a headless request, or there is none.
    pub proof_session: Option<SessionName>,
    pub proof_after_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofEnd {
    #[default]
    Open,
    Proven,
    RefusedAgain,
    LoginFailed,
    /// It could not be asked, and was taken on trust.
    Trusted,
    /// Something else still stood against it.
    StillOut,
    /// Nothing had stood against it.
    NotNeeded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    pub account: AccountName,
    pub session: Option<SessionName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    pub account: AccountName,
    pub reason: String,
    #[serde(flatten)]
    pub end: End,
    #[serde(flatten)]
    pub proof: Doubt,
}

/// A check on its home failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    pub account: AccountName,
    pub reason: String,
    #[serde(serialize_with = "rfc_3339")]
    pub until: Wall,
    #[serde(flatten)]
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parking {
    /// When the first account was expected back; null: none comes back by itself.
    #[serde(serialize_with = "rfc_3339_if")]
    pub until: Option<Wall>,
    pub reasons: Vec<Reason>,
    /// The swap whose end ended it. Null: it goes on, or the records of its end, which was before
    /// `ended_at`, are missing.
    pub woken_by: Option<OpId>,
    #[serde(serialize_with = "rfc_3339_if")]
    pub ended_at: Option<Wall>,
    pub took_ms: Option<u64>,
    /// It began before the oldest record.
    pub partial: bool,
}

/// By the operator: nothing goes there, or of a pin, nothing goes elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    pub account: AccountName,
    #[serde(flatten)]
    pub end: End,
}

/// By the operator: what stood against the account is over, and so is its pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    pub account: AccountName,
    /// `hold`, `pin`, `refusal`, `login`, `rejection`.
    pub ended: Vec<Kind>,
    #[serde(flatten)]
    pub proof: Doubt,
}

/// By the operator: nothing new was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// When it was to end by itself, as was said last; null: never.
    #[serde(serialize_with = "rfc_3339_if")]
    pub until: Option<Wall>,
    #[serde(flatten)]
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sessions {
    pub sessions: Vec<SessionName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Links {
    pub account: AccountName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Start {
    pub version: String,
    pub pid: i32,
    /// The life before it did not stop cleanly.
    pub unclean: bool,
    /// How long nothing had been written before this start.
    pub since_last_record_ms: Option<u64>,
}

impl Entry {
    pub fn kind(&self) -> Kind {
        match &self.what {
            Happening::Swap(_) => Kind::Swap,
            Happening::Canary(_) => Kind::Canary,
            Happening::Restore(_) => Kind::Restore,
            Happening::Refusal(_) => Kind::Refusal,
            Happening::Reset(_) => Kind::Reset,
            Happening::Proof(_) => Kind::Proof,
            Happening::Login(_) => Kind::Login,
            Happening::Rejection(_) => Kind::Rejection,
            Happening::Parking(_) => Kind::Parking,
            Happening::Hold(_) => Kind::Hold,
            Happening::Pin(_) => Kind::Pin,
            Happening::Release(_) => Kind::Release,
            Happening::Pause(_) => Kind::Pause,
            Happening::Drain(_) => Kind::Drain,
            Happening::Resume(_) => Kind::Resume,
            Happening::Link(_) => Kind::Link,
            Happening::Start(_) => Kind::Start,
            Happening::Stop => Kind::Stop,
        }
    }

    /// When it was over; `None`: it goes on.
    pub fn ended_at(&self) -> Option<Wall> {
        match &self.what {
            Happening::Swap(swap) => swap.ended_at,
            Happening::Canary(canary) => match canary.outcome {
                CanaryEnd::Open => None,
                CanaryEnd::Proven
                | CanaryEnd::Refused
                | CanaryEnd::Failed
                | CanaryEnd::Unanswered => canary.ended_at.or(Some(self.at)),
            },
            Happening::Restore(restore) => restore.ended_at,
            Happening::Refusal(refusal) => refusal.end.ended_at,
            Happening::Login(login) => login.end.ended_at,
            Happening::Rejection(rejection) => rejection.end.ended_at,
            Happening::Parking(parking) => parking.ended_at,
            Happening::Hold(hold) | Happening::Pin(hold) => hold.end.ended_at,
            Happening::Reset(Reset { proof, .. }) | Happening::Release(Release { proof, .. }) => {
                proof.proof_at.or(Some(self.at))
            }
            Happening::Pause(pause) => pause.end.ended_at,
            Happening::Proof(_)
            | Happening::Drain(_)
            | Happening::Resume(_)
            | Happening::Link(_)
            | Happening::Start(_)
            | Happening::Stop => Some(self.at),
        }
    }

    /// Whether it says anything of this account, other than that another was preferred to it.
    pub fn is_about(&self, account: &AccountName) -> bool {
        match &self.what {
            Happening::Swap(swap) => {
                swap.from == *account
                    || swap.to == *account
                    || swap.failed_targets.iter().any(|failed| failed.account == *account)
            }
            Happening::Canary(canary) => canary.account == *account,
            Happening::Restore(restore) => restore.account == *account,
            Happening::Refusal(refusal) => refusal.account == *account,
            Happening::Reset(reset) => reset.account == *account,
            Happening::Proof(proof) => proof.account == *account,
            Happening::Login(login) => login.account == *account,
            Happening::Rejection(rejection) => rejection.account == *account,
            Happening::Parking(parking) => {
                parking.reasons.iter().any(|reason| reason.account == *account)
            }
            Happening::Hold(hold) | Happening::Pin(hold) => hold.account == *account,
            Happening::Release(release) => release.account == *account,
            Happening::Link(links) => links.account == *account,
            Happening::Pause(_)
            | Happening::Drain(_)
            | Happening::Resume(_)
            | Happening::Start(_)
            | Happening::Stop => false,
        }
    }
}

pub fn rfc_3339<S: Serializer>(at: &Wall, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

pub fn rfc_3339_if<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(to)
}
