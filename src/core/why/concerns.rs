//! Which records belong to the chain of a subject.

use crate::core::durable::Durable;
use crate::core::kind::Step;
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
        other => match other.step() {
            Some(Step::Swap(op)) => *op == wanted,
            Some(Step::Move(session)) => {
                state.moves.get(session).is_some_and(|moving| moving.op == wanted)
            }
            Some(Step::Job(_) | Step::SetAside(_)) | None => false,
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
        other => match other.step() {
            Some(Step::Move(session) | Step::Job(session)) => session == wanted,
            Some(Step::Swap(_) | Step::SetAside(_)) | None => false,
        },
    }
}

fn of_task(state: &Durable, record: &Record, wanted: &TaskRef) -> bool {
    let holds =
        |session: &SessionName| state.jobs.get(session).is_some_and(|job| job.task() == wanted);
    match record {
        Record::DaemonStarted { .. } | Record::CleanStop => state.jobs.keys().any(holds),
        Record::TaskClaimed { offer, .. } => offer.task == *wanted,
        Record::SwapSaved { moves, .. } => moves.iter().any(|moving| holds(&moving.session)),
        Record::SwapProbing { canary, .. } => holds(&canary.session),
        Record::SessionLost { session, .. } | Record::RestorePlanned { session, .. } => {
            holds(session)
        }
        other => match other.step() {
            Some(Step::Move(session) | Step::Job(session)) => holds(session),
            Some(Step::SetAside(task)) => task == wanted,
            Some(Step::Swap(_)) | None => false,
        },
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
