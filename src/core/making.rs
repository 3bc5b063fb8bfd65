//! Sessions that are wanted and not there are made. One that ends as soon as it is made (its shell is
//! `nologin`, a hook of tmux renames it) is made again ever more slowly.

use std::time::Duration;

use crate::core::action::{Action, NoteLevel, OrderId};
use crate::core::orders::Slot;
use crate::core::record::Record;
use crate::core::session::Session;
use crate::core::setback::{Setback, TOLD_FROM};
use crate::core::{Core, TerminalState};
use crate::ids::{PaneId, SessionName};
use crate::moment::Mono;

/// One that was there for less has not come to stay.
const SHORT_LIFE: Duration = Duration::from_secs(10);
const SHORT_LIVED: &str = "ends as soon as it is made";
const SHORT_LIVED_REMEDY: &str =
    "look at tmux's default-shell, default-command and hooks, and at the shell's start-up files";

impl Session {
    /// Nobody has ended it in the moment after we made it.
    pub(in crate::core) fn stays(&self, now: Mono) -> bool {
        self.ours_since.is_none_or(|since| now - since >= SHORT_LIFE)
    }
}

impl Core {
    /// Only after a listing: what has not been looked for is not missing.
    pub(in crate::core) fn create_missing_sessions(&mut self) {
        if self.terminal != TerminalState::Seen {
            return;
        }
        let mut wanted = self.config.desired_sessions();
        // Above the minimum only where an agent is to come back.
        for session in self.durable.moves.keys() {
            if !wanted.iter().any(|(name, _)| name == session)
                && let Some(cwd) = self.config.workdir(session)
            {
                wanted.push((session.clone(), cwd));
            }
        }
        if let Some(session) = self.session_to_add()
            && let Some(cwd) = self.config.workdir(&session)
        {
            wanted.push((session, cwd));
        }
        for (session, cwd) in wanted {
            if self.sessions.contains_key(&session) || self.is_not_made_now(&session) {
                continue;
            }
            if let Some(order) = self.open_order(Slot::Create(session.clone()), Vec::new()) {
                self.out.push(Action::CreateSession { order, session, cwd });
            }
        }
    }

    pub(in crate::core) fn session_created(
        &mut self,
        order: OrderId,
        session: &SessionName,
        result: Result<PaneId, String>,
    ) {
        if self.orders.answer(&Slot::Create(session.clone()), order).is_none() {
            return;
        }
        match result {
            Ok(_) => {
                self.persist(Record::SessionCreated { session: session.clone() });
                // It is there; its panes and processes are seen by the listing that follows.
                self.session_made(session);
                self.out.push(Action::ObserveSessions);
            }
            Err(why) => {
                self.note_once(
                    NoteLevel::Error,
                    format!("session={session} could not be created: {why}"),
                );
                self.creation_failures.insert(session.clone(), why);
            }
        }
    }

    pub(in crate::core) fn session_made(&mut self, session: &SessionName) {
        let now = Some(self.now.monotonic);
        // One that has left the configuration meanwhile is nobody's of ours.
        if self.config.group(session).is_some() {
            let new = || Session { ours_since: now, ..Session::default() };
            self.sessions.entry(session.clone()).or_insert_with(new).made_at = now;
        }
    }

    /// No listing names it any more.
    pub(in crate::core) fn session_gone(&mut self, session: &SessionName) {
        let Some(gone) = self.sessions.remove(session) else { return };
        if gone.stays(self.now.monotonic) {
            return;
        }
        let before = self.short_lived.get(session);
        let trouble = Setback::after(before, SHORT_LIVED.to_owned(), self.now.monotonic);
        if trouble.failures == TOLD_FROM {
            let text = format!(
                "session={session} {SHORT_LIVED}, {} times: {SHORT_LIVED_REMEDY}",
                trouble.failures
            );
            self.note(NoteLevel::Warn, text);
        }
        self.short_lived.insert(session.clone(), trouble);
    }

    /// It could not be made, or did not stay, a moment ago.
    pub(in crate::core) fn is_not_made_now(&self, session: &SessionName) -> bool {
        let trouble = self.short_lived.get(session);
        self.creation_failures.contains_key(session)
            || trouble.is_some_and(|trouble| self.now.monotonic < trouble.again_at)
    }

    /// Sessions that are not there although we make them, and why.
    pub fn missing_sessions(&self) -> impl Iterator<Item = (&SessionName, String)> {
        let failed = self.creation_failures.iter();
        let failed = failed.map(|(session, why)| (session, format!("could not be created: {why}")));
        let ended = self.short_lived.iter().filter(|(_, trouble)| trouble.is_lasting());
        let ended = ended.filter(|(session, _)| self.config.group(session).is_some());
        let ended =
            ended.map(|(session, _)| (session, format!("{SHORT_LIVED}: {SHORT_LIVED_REMEDY}")));
        failed.chain(ended)
    }

    pub(in crate::core) fn cannot_be_made(&self, session: &SessionName) -> bool {
        self.creation_failures.contains_key(session)
            || self.short_lived.get(session).is_some_and(Setback::is_lasting)
    }
}
