//! Accounts: nobody left to take, logins, checks that failed.

use crate::config::notifications::Level;
use crate::core::notice::words::login_remedy;
use crate::core::notice::{KEY_CHARS_MAX, Notice, Scene};
use crate::core::record::Record;
use crate::harmless;
use crate::ids::AccountName;
use crate::moment::Wall;

impl Scene<'_> {
    pub(in crate::core::notice) fn of_account(&self, record: &Record) -> Option<Notice> {
        match record {
            Record::Parked { until, reasons, .. } => self.parked(*until, reasons),
            Record::LoginFailed { account, reason, .. } => self.login_failed(account, reason),
            Record::LoginMended { account, .. } => {
                let lines =
                    vec![format!("Next: {account} is asked once, and taken again when it answers")];
                let title = format!("{account} has a new login");
                self.tell(Level::Info, format!("login:{account}/mended"), &title, lines)
            }
            Record::AccountRejected { account, reason, until, .. } => {
                let lines = vec![
                    format!("Why: {reason}"),
                    format!("Until: it is tried again after {}", self.words.until(*until)),
                    "Next: other accounts are taken meanwhile".to_owned(),
                    format!("You: mend it, then `claude-failover account release {account}`"),
                ];
                let title = format!("{account} cannot be used: a check of it failed");
                self.tell(
                    Level::Warning,
                    format!("check:{account}/{}", harmless::line(reason, KEY_CHARS_MAX)),
                    &title,
                    lines,
                )
            }
            _ => None,
        }
    }

    fn parked(&self, until: Option<Wall>, reasons: &[(AccountName, String)]) -> Option<Notice> {
        let mut lines = vec!["Why: no account can be taken".to_owned()];
        lines.extend(reasons.iter().map(|(account, reason)| format!("{account}: {reason}")));
        lines.extend(until.map(|until| format!("Until: {}", self.words.until(until))));
        let wakes = match until {
            Some(_) => "it goes on by itself when the first account is back",
            None => "it goes on when somebody mends an account",
        };
        lines.push(format!("Next: sessions are left as they are, no task is started; {wakes}"));
        let (level, key, you) = match until {
            Some(until) => (Level::Warning, format!("parking/{until}"), "nothing to do"),
            None => (
                Level::Critical,
                "parking/until-mended".to_owned(),
                "none comes back by itself: log in to one, or `claude-failover account release \
                 NAME`",
            ),
        };
        lines.push(format!("You: {you}"));
        let title = match until {
            Some(until) => format!("Parked until {}", self.words.moment(until)),
            None => "Parked until somebody mends an account".to_owned(),
        };
        self.tell(level, key, &title, lines)
    }

    fn login_failed(&self, account: &AccountName, reason: &str) -> Option<Notice> {
        let in_use = self.state.active.as_ref() == Some(account);
        let next = match in_use {
            true => "work moves to another account, if one can be taken",
            false => "it is not taken until its login is renewed",
        };
        let lines = vec![
            format!("Why: {reason}"),
            format!("Next: {next}"),
            format!("You: {}", login_remedy(self.config, account)),
        ];
        let title = format!("The login of {account} fails");
        self.tell(Level::Warning, format!("login:{account}/fails"), &title, lines)
    }
}
