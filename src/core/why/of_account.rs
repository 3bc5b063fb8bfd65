//! The words for an account: limits, logins, proofs, and what an operator said of it.

use crate::core::record::Record;
use crate::core::why::{Said, Subject, Why, said};
use crate::ids::AccountName;
use crate::moment::Wall;

impl Why {
    pub(in crate::core::why) fn of_account(&self, record: &Record) -> Option<Said> {
        Some(match record {
            Record::AccountRefused { account, window, limit } => {
                let by = if limit.printed { "" } else { " (a guess)" };
                let of = limit.session.as_ref().map_or("a request".to_owned(), ToString::to_string);
                let what = match &self.subject {
                    Subject::Session(_) => format!("refused on {account}"),
                    _ => format!("{account} refuses {of}"),
                };
                said(format!("{what}: {window} limit until {}{by}", limit.until))
                    .because(format!("{}: \"{}\"", limit.evidence, limit.row))
            }
            Record::LimitReset { window, .. } => said(format!("its {window} limit is over"))
                .because("the reset has passed, or an answer came"),
            Record::AccountProven { account, session, .. } => {
                let by =
                    session.as_ref().map_or("a request of ours".to_owned(), ToString::to_string);
                said(format!("{account} answers again")).because(format!("{by} had an answer"))
            }
            Record::AccountTrusted { account, reason, .. } => {
                said(format!("{account} is taken on trust")).because(reason.clone())
            }
            Record::LoginFailed { account, reason, .. } => {
                said(format!("the login of {account} fails")).because(reason.clone())
            }
            Record::LoginMended { .. } => said("its login is mended; an answer must prove it")
                .because("its credential file changed"),
            Record::AccountRejected { account, reason, until, .. } => {
                said(format!("{account} is no target until {until}")).because(reason.clone())
            }
            Record::RejectionOver { .. } => said("may be tried again"),
            Record::AccountHeld { .. } => {
                said("held: nothing goes there").because("the operator said so")
            }
            Record::AccountReleased { .. } => {
                said("released: what stood against it is over").because("the operator said so")
            }
            Record::AccountPinned { account, .. } => self.pinned(account),
            Record::Parked { reasons, until, .. } => self.parked(reasons, *until),
            _ => return None,
        })
    }

    fn pinned(&self, account: &AccountName) -> Said {
        let ours = matches!(&self.subject, Subject::Account(wanted) if wanted == account);
        let what = match ours {
            true => "pinned: no other account is used".to_owned(),
            false => format!("passed over from now on: {account} is pinned"),
        };
        said(what).because("the operator said so")
    }

    fn parked(&self, reasons: &[(AccountName, String)], until: Option<Wall>) -> Said {
        let ours = reasons.iter().find(
            |(account, _)| matches!(&self.subject, Subject::Account(wanted) if wanted == account),
        );
        let until = until.map_or("somebody mends an account".to_owned(), |at| at.to_string());
        said(format!("all is parked until {until}"))
            .because(ours.map_or(String::new(), |(_, reason)| format!("of this one: {reason}")))
    }
}
