//! Which records belong to the chain of a subject.

use crate::core::durable::Durable;
use crate::core::record::{Move, Record};
use crate::core::trigger::Trigger;
use crate::core::why::{Subject, Why};
use crate::ids::{AccountName, OpId, SessionName, TaskRef};

impl Why {
    pub(in crate::core::why) fn concerns(&self, record: &Record) -> bool {
        match &self.subject {
            Subject::Swap(op) => of_op(&self.state, record, *op),
            Subject::Task(task) => of_task(&self.state, record, task),
            Subject::Session(session) => of_session(&self.state, record, session),
            Subject::Account(account) => of_account(&self.state, record, account),
        }
    }
}

fn of_op(state: &Durable, record: &Record, wanted: OpId) -> bool {
    let is_open = || {
        let swap = state.swap.as_ref().is_some_and(|swap| swap.op == wanted);
        swap || state.moves.values().any(|moving| moving.op == wanted)
    };
    match record {
        Record::DaemonStarted { .. } | Record::CleanStop => is_open(),
        Record::RestorePlanned { op, .. } => *op == wanted,
        // What its canary has found out, or its probe.
        Record::AccountProven { account, .. }
        | Record::AccountTrusted { account, .. }
        | Record::AccountRefused { account, .. }
        | Record::LoginFailed { account, .. }
        | Record::AccountRejected { account, .. } => {
            let swap = state.swap.as_ref().filter(|swap| swap.op == wanted);
            swap.is_some_and(|swap| swap.target == *account)
        }
        other => match (op_of(other), session_of_move(other)) {
            (Some(op), _) => op == wanted,
            (None, Some(session)) => {
                state.moves.get(session).is_some_and(|moving| moving.op == wanted)
            }
            (None, None) => false,
        },
    }
}

fn of_session(state: &Durable, record: &Record, wanted: &SessionName) -> bool {
    let is_open = || state.moves.contains_key(wanted) || state.jobs.contains_key(wanted);
    match record {
        Record::DaemonStarted { .. } | Record::CleanStop => is_open(),
        Record::AgentAdopted { session, agent } => {
            // Seen again with other arguments it is no news.
            let known = state.agents.get(session);
            let same = known.is_some_and(|known| {
                known.process == agent.process && known.conversation == agent.conversation
            });
            session == wanted && !same
        }
        Record::AgentEnded { session }
        | Record::SessionLost { session, .. }
        | Record::SessionCreated { session }
        | Record::RestorePlanned { session, .. } => session == wanted,
        Record::SessionsDrained { sessions, .. } | Record::SessionsResumed { sessions, .. } => {
            sessions.contains(wanted)
        }
        Record::SwapPlanned { trigger: Trigger::Refusal { session, .. }, .. } => session == wanted,
        Record::SwapSaved { moves, .. } => saves(moves, wanted),
        Record::SwapProbing { canary, .. } => canary.session == *wanted,
        Record::SwapCanaryProven { session, .. } => session.as_ref() == Some(wanted),
        Record::AccountRefused { limit, .. } => limit.session.as_ref() == Some(wanted),
        Record::AccountProven { session, .. } => session.as_ref() == Some(wanted),
        other => session_of_move(other) == Some(wanted) || session_of_task(other) == Some(wanted),
    }
}

fn of_task(state: &Durable, record: &Record, wanted: &TaskRef) -> bool {
    let holds =
        |session: &SessionName| state.jobs.get(session).is_some_and(|job| job.task() == wanted);
    match record {
        Record::DaemonStarted { .. } | Record::CleanStop => state.jobs.keys().any(holds),
        Record::TaskClaimed { offer, .. } => offer.task == *wanted,
        Record::TaskDecided { task, .. }
        | Record::TaskUndecided { task }
        | Record::TaskSettled { task } => task == wanted,
        Record::SwapSaved { moves, .. } => moves.iter().any(|moving| holds(&moving.session)),
        Record::SwapProbing { canary, .. } => holds(&canary.session),
        Record::SessionLost { session, .. } | Record::RestorePlanned { session, .. } => {
            holds(session)
        }
        other => {
            let session = session_of_task(other).or_else(|| session_of_move(other));
            session.is_some_and(holds)
        }
    }
}

fn of_account(state: &Durable, record: &Record, wanted: &AccountName) -> bool {
    let in_use = || state.active.as_ref() == Some(wanted);
    let of_swap = || {
        let swap = state.swap.as_ref();
        swap.is_some_and(|swap| swap.target == *wanted || swap.source == *wanted)
    };
    match record {
        Record::FiguresHeard { .. } => false,
        Record::Parked { reasons, .. } => reasons.iter().any(|(account, _)| account == wanted),
        Record::ActiveFound { account, .. } => account == wanted && !in_use(),
        Record::SwapPlanned { source, target, .. } => source == wanted || target == wanted,
        Record::SwapRetargeted { rejected, target, .. } => rejected == wanted || target == wanted,
        Record::SwapFlipped { .. } | Record::SwapUnflipped { .. } => of_swap(),
        Record::SwapProbing { canary, .. } => canary.target == *wanted,
        Record::AccountRefused { account, .. }
        | Record::LimitReset { account, .. }
        | Record::AccountProven { account, .. }
        | Record::AccountTrusted { account, .. }
        | Record::LoginFailed { account, .. }
        | Record::LoginMended { account, .. }
        | Record::AccountRejected { account, .. }
        | Record::RejectionOver { account, .. }
        | Record::AccountHeld { account, .. }
        | Record::AccountReleased { account, .. } => account == wanted,
        // Whom a pin bars is told, too.
        Record::AccountPinned { .. } => true,
        _ => false,
    }
}

fn saves(moves: &[Move], session: &SessionName) -> bool {
    moves.iter().any(|moving| moving.session == *session)
}

/// The swap that a record is a step of.
fn op_of(record: &Record) -> Option<OpId> {
    match record {
        Record::SwapPlanned { op, .. }
        | Record::SwapChecked { op }
        | Record::SwapProbing { op, .. }
        | Record::SwapProbed { op }
        | Record::SwapRetargeted { op, .. }
        | Record::SwapSaved { op, .. }
        | Record::SwapStopped { op }
        | Record::SwapFlipped { op, .. }
        | Record::SwapCanaryProven { op, .. }
        | Record::SwapRelaunched { op, .. }
        | Record::SwapVerified { op }
        | Record::SwapDone { op, .. }
        | Record::SwapAborting { op, .. }
        | Record::SwapUnflipped { op, .. }
        | Record::SwapRestored { op }
        | Record::SwapRolledBack { op, .. }
        | Record::SwapStuck { op, .. }
        | Record::StuckCleared { op, .. } => Some(*op),
        _ => None,
    }
}

fn session_of_move(record: &Record) -> Option<&SessionName> {
    match record {
        Record::MoveStopping { session, .. }
        | Record::MoveStopped { session }
        | Record::MoveIdentified { session, .. }
        | Record::MoveLaunching { session, .. }
        | Record::MoveLaunched { session, .. }
        | Record::MoveEnded { session, .. } => Some(session),
        _ => None,
    }
}

/// Of the records that name their task by the session alone.
fn session_of_task(record: &Record) -> Option<&SessionName> {
    match record {
        Record::TaskClaimed { session, .. }
        | Record::TaskMarked { session, .. }
        | Record::TaskMakingRoom { session, .. }
        | Record::TaskReady { session }
        | Record::TaskLaunching { session, .. }
        | Record::TaskLaunched { session, .. }
        | Record::TaskNotLaunched { session }
        | Record::TaskReceived { session, .. }
        | Record::TaskTakenUp { session, .. }
        | Record::TaskBackground { session, .. }
        | Record::TaskLost { session, .. }
        | Record::TaskEnding { session, .. }
        | Record::TaskLeft { session }
        | Record::TaskClosed { session, .. }
        | Record::DialogHandling { session, .. } => Some(session),
        _ => None,
    }
}
