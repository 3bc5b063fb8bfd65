//! Single agents and sessions: lost, back, not resumed.

use crate::config::notifications::Level;
use crate::core::notice::words::attach;
use crate::core::notice::{Notice, Scene};
use crate::core::record::{Move, MoveCause, MoveOutcome, Record, SavedAgent};
use crate::ids::SessionName;

impl Scene<'_> {
    pub(in crate::core::notice) fn of_move(&self, record: &Record) -> Option<Notice> {
        let Record::MoveEnded { session, outcome } = record else { return None };
        let moving = self.state.moves.get(session)?;
        match outcome {
            MoveOutcome::Failed { reason } => self.not_resumed(session, moving, reason),
            MoveOutcome::Blocked { reason } => self.blocked(session, moving, reason),
            MoveOutcome::Verified => match moving.cause {
                MoveCause::Restore if !moving.cut => self.back(session, moving),
                MoveCause::Restore | MoveCause::Swap | MoveCause::Straggler => None,
            },
            MoveOutcome::Held | MoveOutcome::Dropped { .. } => None,
        }
    }

    fn not_resumed(&self, session: &SessionName, moving: &Move, reason: &str) -> Option<Notice> {
        let lines = vec![
            format!("Why: {reason}"),
            "Next: the session stays at its shell; nothing is lost, the conversation is still there"
                .to_owned(),
            format!("You: {}, then {}", attach(self.config, session), resume(&moving.agent)),
        ];
        let title = format!("{session} was not resumed on {}", moving.target);
        self.tell(Level::Warning, format!("session:{session}/not-resumed"), &title, lines)
    }

    fn blocked(&self, session: &SessionName, moving: &Move, reason: &str) -> Option<Notice> {
        let lines = vec![
            format!("Why: {reason}"),
            format!("Next: its agent runs on {} and waits for an answer", moving.target),
            format!("You: {} and answer it", attach(self.config, session)),
        ];
        let title = format!("{session} waits in a dialog for a person");
        self.tell(Level::Warning, format!("session:{session}/blocked"), &title, lines)
    }

    fn back(&self, session: &SessionName, moving: &Move) -> Option<Notice> {
        let lines = vec![format!("Next: its conversation goes on on {}", moving.target)];
        let key = format!("session:{session}/back");
        self.tell(Level::Info, key, &format!("{session} is back"), lines)
    }

    pub(in crate::core::notice) fn of_session(&self, record: &Record) -> Option<Notice> {
        let Record::SessionLost { session, agent: Some(agent), .. } = record else {
            return None;
        };
        let job = self.state.jobs.get(session);
        // Its restore is recorded before the loss.
        let restored = self.state.moves.contains_key(session);
        let (next, you) = match (restored, job) {
            (_, Some(job)) => (
                format!("it is made anew; its task {} is taken up again or requeued", job.task()),
                "nothing to do".to_owned(),
            ),
            (true, None) => (
                "it is made anew and its conversation resumed; a message follows".to_owned(),
                "nothing to do".to_owned(),
            ),
            (false, None) => (
                "it is made anew with a shell; its conversation is not resumed by itself"
                    .to_owned(),
                format!("{}, then {}", attach(self.config, session), resume(agent)),
            ),
        };
        let lines = vec![
            "Why: somebody ended it, or its tmux server ended".to_owned(),
            format!("Next: {next}"),
            format!("You: {you}"),
        ];
        let title = format!("The session {session} is gone, and its agent with it");
        self.tell(Level::Warning, format!("session:{session}/lost"), &title, lines)
    }
}

fn resume(agent: &SavedAgent) -> String {
    match &agent.conversation {
        Some(id) => format!("claude --resume {id}"),
        None => "claude --resume and choose its conversation".to_owned(),
    }
}
