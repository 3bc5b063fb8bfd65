//! What the records of accounts tell: refusals and resets, logins, rejections, the operator's word,
//! parkings.

use crate::core::history::entry::{
    Doubt, End, EndedBy, Happening, Hold, Login, Parking, Proof, ProofEnd, Reason, Refusal,
    Rejection, Release, Reset,
};
use crate::core::history::kind::Kind;
use crate::core::history::swap::CanaryEnd;
use crate::core::history::{EntryId, History, Open, ms};
use crate::core::record::Record;
use crate::core::standing::{Limit, PlanWindow};
use crate::ids::{AccountName, OpId, SessionName};
use crate::moment::Wall;

impl History {
    pub(in crate::core::history) fn take_account(&mut self, record: &Record) {
        match record {
            Record::AccountRefused { account, window, limit } => {
                self.refused(account, *window, limit);
            }
            Record::LimitReset { account, window, at } => self.reset(account, *window, *at),
            Record::AccountProven { account, session, at } => {
                self.proven(account, session.as_ref(), *at);
            }
            Record::AccountTrusted { account, at, .. } => {
                self.end_doubts(account, ProofEnd::Trusted, None, *at);
            }
            Record::LoginFailed { account, reason, at } => self.login_failed(account, reason, *at),
            Record::LoginMended { account, at } => {
                if let Some(open) = self.logins.remove(account) {
                    self.end(open, EndedBy::NewLogin, *at);
                    self.doubt(account, open.entry);
                }
            }
            Record::AccountRejected { account, reason, until, at } => {
                let (end, reason) = (End::default(), reason.clone());
                let rejection = Rejection { account: account.clone(), reason, until: *until, end };
                let open = self.open(*at, Happening::Rejection(rejection));
                if let Some(before) = self.rejections.insert(account.clone(), open) {
                    self.end(before, EndedBy::Unknown, *at);
                }
            }
            Record::RejectionOver { account, at } => {
                if let Some(open) = self.rejections.remove(account) {
                    self.end(open, EndedBy::Time, *at);
                }
            }
            Record::AccountHeld { account, at } => {
                let hold = Hold { account: account.clone(), end: End::default() };
                let open = self.open(*at, Happening::Hold(hold));
                self.holds.insert(account.clone(), open);
            }
            Record::AccountPinned { account, at } => {
                self.end_pin(EndedBy::Pin, *at);
                let pin = Hold { account: account.clone(), end: End::default() };
                let open = self.open(*at, Happening::Pin(pin));
                self.pin = Some((account.clone(), open));
            }
            Record::AccountReleased { account, at } => self.released(account, *at),
            Record::Parked { at, until, reasons } => self.parked(*at, *until, reasons),
            _ => unreachable!("only records of accounts come here"),
        }
    }

    fn refused(&mut self, account: &AccountName, window: PlanWindow, limit: &Limit) {
        let at = self.at;
        self.end_doubts(account, ProofEnd::RefusedAgain, None, at);
        self.end_canary_of(account, CanaryEnd::Refused, Some(&limit.row));
        let key = (account.clone(), window);
        let known = self.refusals.get(&key).copied();
        if let Some(id) = known.and_then(|open| open.entry)
            && let Some(Happening::Refusal(refusal)) = self.what(id)
        {
            limit.row.clone_into(&mut refusal.row);
            (refusal.until, refusal.printed) = (limit.until, limit.printed);
            refusal.repeats = refusal.repeats.saturating_add(1);
            return;
        }
        let refusal = Refusal {
            account: account.clone(),
            window,
            evidence: limit.evidence,
            session: limit.session.clone(),
            row: limit.row.clone(),
            until: limit.until,
            printed: limit.printed,
            repeats: 0,
            end: End::default(),
        };
        let open = self.open(limit.since, Happening::Refusal(Box::new(refusal)));
        self.refusals.insert(key, open);
    }

    fn reset(&mut self, account: &AccountName, window: PlanWindow, at: Wall) {
        if let Some(open) = self.refusals.remove(&(account.clone(), window)) {
            self.end(open, EndedBy::Reset, at);
        }
        let reset = Reset { account: account.clone(), window, proof: Doubt::default() };
        let id = self.push(at, Happening::Reset(reset));
        self.doubt(account, Some(id));
    }

    fn proven(&mut self, account: &AccountName, session: Option<&SessionName>, at: Wall) {
        self.end_canary_of(account, CanaryEnd::Proven, None);
        if !self.end_doubts(account, ProofEnd::Proven, session, at) {
            let proof = Proof { account: account.clone(), session: session.cloned() };
            self.push(at, Happening::Proof(proof));
        }
    }

    fn login_failed(&mut self, account: &AccountName, reason: &str, at: Wall) {
        self.end_doubts(account, ProofEnd::LoginFailed, None, at);
        self.end_canary_of(account, CanaryEnd::Refused, Some(reason));
        if let Some(open) = self.logins.get(account).copied()
            && let Some(Happening::Login(login)) = open.entry.and_then(|id| self.what(id))
        {
            reason.clone_into(&mut login.reason);
            return;
        }
        let login = Login {
            account: account.clone(),
            reason: reason.to_owned(),
            end: End::default(),
            proof: Doubt::default(),
        };
        let open = self.open(at, Happening::Login(login));
        self.logins.insert(account.clone(), open);
    }

    fn released(&mut self, account: &AccountName, at: Wall) {
        let mut ended = Vec::new();
        let mut stood = Vec::new();
        stood.extend(self.holds.remove(account).map(|open| (Kind::Hold, open)));
        stood.extend(self.logins.remove(account).map(|open| (Kind::Login, open)));
        stood.extend(self.rejections.remove(account).map(|open| (Kind::Rejection, open)));
        self.refusals.retain(|(name, _), open| {
            if name == account {
                stood.push((Kind::Refusal, *open));
            }
            name != account
        });
        if self.pin.as_ref().is_some_and(|(pinned, _)| pinned == account) {
            stood.extend(self.pin.take().map(|(_, open)| (Kind::Pin, open)));
        }
        for (kind, open) in stood {
            self.end(open, EndedBy::Release, at);
            if !ended.contains(&kind) {
                ended.push(kind);
            }
        }
        let doubtful = ended.contains(&Kind::Login) || ended.contains(&Kind::Refusal);
        let proof = if doubtful { ProofEnd::Open } else { ProofEnd::NotNeeded };
        let proof = Doubt { proof, ..Doubt::default() };
        let id =
            self.push(at, Happening::Release(Release { account: account.clone(), ended, proof }));
        if doubtful {
            self.doubt(account, Some(id));
        }
    }

    fn parked(&mut self, at: Wall, until: Option<Wall>, reasons: &[(AccountName, String)]) {
        self.end_parking(None, at); // only when records are missing
        let parking = Parking {
            until,
            reasons: reasons.iter().map(Reason::of).collect(),
            woken_by: None,
            ended_at: None,
            took_ms: None,
            partial: false,
        };
        self.parking = Some(self.push(self.moment(at), Happening::Parking(parking)));
    }

    pub(in crate::core::history) fn end_parking(&mut self, by: Option<OpId>, at: Wall) {
        let Some(id) = self.parking.take() else { return };
        let Some(began) = self.began(id) else { return };
        if let Some(Happening::Parking(parking)) = self.what(id) {
            parking.woken_by = by;
            parking.ended_at = Some(at);
            parking.took_ms = Some(ms(at, began));
        }
    }

    pub(in crate::core::history) fn end_pin(&mut self, by: EndedBy, at: Wall) {
        if let Some((_, open)) = self.pin.take() {
            self.end(open, by, at);
        }
    }

    pub(in crate::core::history) fn open(&mut self, since: Wall, what: Happening) -> Open {
        let since = self.moment(since);
        Open { since, entry: Some(self.push(since, what)) }
    }

    pub(in crate::core::history) fn end(&mut self, open: Open, by: EndedBy, at: Wall) {
        let at = self.moment(at);
        let Some(what) = open.entry.and_then(|id| self.what(id)) else { return };
        let end = match what {
            Happening::Refusal(refusal) => &mut refusal.end,
            Happening::Login(login) => &mut login.end,
            Happening::Rejection(rejection) => &mut rejection.end,
            Happening::Hold(hold) | Happening::Pin(hold) => &mut hold.end,
            Happening::Pause(pause) => &mut pause.end,
            Happening::Drain(_)
            | Happening::Resume(_)
            | Happening::Swap(_)
            | Happening::Canary(_)
            | Happening::Restore(_)
            | Happening::Reset(_)
            | Happening::Proof(_)
            | Happening::Parking(_)
            | Happening::Release(_)
            | Happening::Link(_)
            | Happening::Start(_)
            | Happening::Stop => return,
        };
        let took_ms = (by != EndedBy::Unknown).then(|| ms(at, open.since));
        *end = End { ended_by: Some(by), ended_at: Some(at), took_ms };
    }

    /// An answer must prove it, as soon as nothing else stands against the account.
    fn doubt(&mut self, account: &AccountName, entry: Option<EntryId>) {
        let Some(id) = entry else { return };
        let is_out = self.logins.contains_key(account)
            || self.refusals.keys().any(|(name, _)| name == account);
        if !is_out {
            self.doubts.entry(account.clone()).or_default().push(id);
        } else if let Some(doubt) = self.what(id).and_then(Happening::doubt_mut) {
            doubt.proof = ProofEnd::StillOut;
        }
    }

    /// True when something was in doubt.
    fn end_doubts(
        &mut self,
        account: &AccountName,
        how: ProofEnd,
        session: Option<&SessionName>,
        at: Wall,
    ) -> bool {
        let ids = self.doubts.remove(account).unwrap_or_default();
        for id in &ids {
            let Some(began) = self.began(*id) else { continue };
            let Some(what) = self.what(*id) else { continue };
            let since = match what {
                Happening::Login(login) => login.end.ended_at.unwrap_or(began),
                _ => began,
            };
            let Some(doubt) = what.doubt_mut() else { continue };
            let (proof_at, proof_after_ms) = (Some(at), Some(ms(at, since)));
            *doubt =
                Doubt { proof: how, proof_at, proof_session: session.cloned(), proof_after_ms };
        }
        !ids.is_empty()
    }
}

impl Happening {
    fn doubt_mut(&mut self) -> Option<&mut Doubt> {
        match self {
            Happening::Reset(reset) => Some(&mut reset.proof),
            Happening::Release(release) => Some(&mut release.proof),
            Happening::Login(login) => Some(&mut login.proof),
            _ => None,
        }
    }
}

impl Reason {
    pub(in crate::core::history) fn of((account, reason): &(AccountName, String)) -> Self {
        Self { account: account.clone(), reason: reason.clone() }
    }
}
