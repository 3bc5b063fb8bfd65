//! The daemon itself: started, stopped, and a link that somebody else moved.

use crate::config::notifications::Level;
use crate::core::notice::{Notice, Scene};
use crate::core::record::Record;
use crate::moment::Wall;

impl Scene<'_> {
    pub(in crate::core::notice) fn of_daemon(
        &self,
        record: &Record,
        last_at: Option<Wall>,
    ) -> Option<Notice> {
        match record {
            Record::DaemonStarted { version, .. } => self.started(version, last_at),
            Record::CleanStop => {
                let lines = vec![
                    "Next: tmux and the agents go on; nobody watches their accounts, starts tasks \
                     or resumes them until the daemon is started"
                        .to_owned(),
                    "You: systemctl start claude-failover (--user, if it is yours), when it is to go on".to_owned(),
                ];
                self.tell(Level::Info, "daemon/stopped".to_owned(), "The daemon was stopped", lines)
            }
            Record::ActiveFound { account, .. } => {
                let known = self.state.active.as_ref()?;
                let lines = vec![
                    format!("Why: it named {known}, and no swap of ours moved it"),
                    format!("Next: {account} is taken as the account in use"),
                    "You: nothing to do, if it was you".to_owned(),
                ];
                let title = format!("Somebody moved the link to {account}");
                self.tell(Level::Warning, format!("link/{account}"), &title, lines)
            }
            _ => None,
        }
    }

    fn started(&self, version: &str, last_at: Option<Wall>) -> Option<Notice> {
        let goes_on = match &self.state.swap {
            Some(swap) => format!(
                "the swap {} from {} to {} is gone on with, from facts",
                swap.op, swap.source, swap.target
            ),
            None => "sessions are adopted as they are".to_owned(),
        };
        let next = format!("Next: {goes_on}");
        let Some(last_at) = last_at else {
            let title = format!("claude-failover {version} has started for the first time");
            return self.tell(Level::Info, "daemon/started".to_owned(), &title, vec![next]);
        };
        if self.state.stopped_cleanly {
            let title = format!("The daemon was started ({version})");
            return self.tell(Level::Info, "daemon/started".to_owned(), &title, vec![next]);
        }
        let lines = vec![
            format!(
                "Why: it had not been stopped: it crashed, was killed, or the host went down; \
                 its last record is of {}",
                self.words.moment(last_at)
            ),
            next,
            "You: claude-failover logs, around that time".to_owned(),
        ];
        let title =
            format!("The daemon is up again after an end that nobody asked for ({version})");
        self.tell(Level::Warning, "daemon/started-unclean".to_owned(), &title, lines)
    }
}
