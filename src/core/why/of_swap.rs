//! The words for a swap: what made it, where it goes and why not elsewhere, each phase with its time.

use crate::core::durable::OpenSwap;
use crate::core::event::StuckVerb;
use crate::core::record::{Move, MoveStage, Record};
use crate::core::trigger::Trigger;
use crate::core::why::{Said, Subject, Why, said};
use crate::ids::{AccountName, SessionName};
use crate::moment::Wall;

/// Sessions that a line names one by one.
const NAMED_MAX: usize = 8;

impl Why {
    /// What was said against the source, then the plan, then each other account.
    pub(in crate::core::why) fn evidence_and_plan(&self, record: &Record) -> Vec<Said> {
        let Record::SwapPlanned { op, source, target, trigger, because, passed_over, .. } = record
        else {
            return Vec::new();
        };
        let mut told = Vec::new();
        told.extend(self.evidence(source, trigger));
        let what = match source == target {
            true => format!("swap {op} is planned: {target} wakes"),
            false => format!("swap {op} is planned: {source} → {target}"),
        };
        told.push(said(what).because(cause(trigger, source, target)));
        told.push(said(format!("{target} is taken")).because(because.clone()));
        told.extend(passed_over.iter().map(|(account, reason)| {
            said(format!("{account} is passed over")).because(reason.clone())
        }));
        told
    }

    fn evidence(&self, source: &AccountName, trigger: &Trigger) -> Option<Said> {
        let standing = self.state.standing(source);
        match trigger {
            Trigger::Refusal { session, row, evidence } => {
                let known = standing.limits.iter().find(|(_, limit)| limit.row == *row);
                let (window, limit) = known?;
                let by = if limit.printed { "" } else { " (a guess)" };
                let what = format!(
                    "{session} was refused on {source}: {window} limit until {}{by}",
                    limit.until
                );
                Some(said(what).because(format!("{evidence}: \"{row}\"")).at(limit.since))
            }
            Trigger::LoginFailed { .. } => {
                let login = standing.login.as_ref()?;
                let what = format!("the login of {source} failed");
                Some(said(what).because(login.reason.clone()).at(login.since))
            }
            Trigger::SetAside => {
                let at = standing.held_since?;
                Some(said(format!("{source} was held")).because("the operator said so").at(at))
            }
            Trigger::AccountReturned
            | Trigger::Operator
            | Trigger::Preempt { .. }
            | Trigger::Preferred => None,
        }
    }

    pub(in crate::core::why) fn of_swap(&self, record: &Record, at: Wall) -> Vec<Said> {
        match record {
            Record::SwapPlanned { op, source, target, trigger, .. } => {
                let what = match self.is_session() {
                    true => format!("its refusal makes swap {op}: {source} → {target}"),
                    false => format!("swap {op} is planned: {source} → {target}"),
                };
                vec![said(what).because(cause(trigger, source, target))]
            }
            Record::SwapSaved { moves, .. } => self.saved(moves, at),
            other => self.step(other, at).into_iter().collect(),
        }
    }

    fn step(&self, record: &Record, at: Wall) -> Option<Said> {
        let swap = self.state.swap.as_ref();
        let target = || swap.map_or("the target".to_owned(), |swap| swap.target.to_string());
        let source = || swap.map_or("the source".to_owned(), |swap| swap.source.to_string());
        let told = match record {
            Record::SwapChecked { .. } => said(format!("checked: {} can be worked on", target())),
            Record::SwapProbing { canary, .. } => {
                said(format!("{} goes to {} first, alone", canary.session, canary.target))
                    .because("nobody has had an answer there since it was out")
            }
            Record::SwapProbed { .. } => said("who went first is through"),
            Record::SwapRetargeted { rejected, reason, target, .. } => {
                said(format!("goes on to {target} instead of {rejected}")).because(reason.clone())
            }
            Record::SwapStopped { .. } => said("stopped: all that must end have ended"),
            Record::SwapFlipped { .. } => match &self.subject {
                Subject::Account(wanted) => return Some(in_use(wanted, swap?, &swap?.target)),
                _ => said(format!("flipped: the link names {}", target())),
            },
            Record::SwapCanaryProven { session: Some(session), .. } => {
                said(format!("{session} is up on {}: all others follow", target()))
            }
            Record::SwapCanaryProven { session: None, .. } => said("there is nobody to send first"),
            Record::SwapRelaunched { .. } => said("relaunched: all are on their way"),
            Record::SwapVerified { .. } => said("verified: each runs or has its reason"),
            Record::SwapDone { .. } => said("done"),
            Record::SwapAborting { reason, .. } => said("turns back").because(reason.clone()),
            Record::SwapUnflipped { .. } => match &self.subject {
                Subject::Account(wanted) => return Some(in_use(wanted, swap?, &swap?.source)),
                _ => said(format!("the link names {} again", source())),
            },
            Record::SwapRestored { .. } => said("restored: who was ended is back"),
            Record::SwapRolledBack { .. } => said("rolled back"),
            Record::SwapStuck { reason, .. } => {
                said("stuck: nothing is done before an operator decides").because(reason.clone())
            }
            Record::StuckCleared { verb, .. } => said(match verb {
                StuckVerb::Resume => "goes forward again",
                StuckVerb::Rollback => "goes back again",
                StuckVerb::Clear => "is over: the link is taken as it is",
            })
            .because("the operator said so"),
            _ => return None,
        };
        Some(self.timed(told, at))
    }

    /// Of the swap itself with the time since it was planned.
    pub(in crate::core::why) fn timed(&self, told: Said, at: Wall) -> Said {
        let Some(swap) = self.state.swap.as_ref().filter(|_| self.is_swap()) else {
            return told;
        };
        let passed_ms = (at - swap.planned_at).as_millis();
        let (seconds, tenths) = (passed_ms / 1_000, passed_ms % 1_000 / 100);
        Said { what: format!("+{seconds}.{tenths} s  {}", told.what), ..told }
    }

    /// Of a swap everybody at once; of a session or a task its own agent.
    fn saved(&self, moves: &[Move], at: Wall) -> Vec<Said> {
        let Some(swap) = self.state.swap.as_ref() else { return Vec::new() };
        if self.is_swap() {
            let mut told = vec![self.timed(said(format!("saved: {}", counted(moves))), at)];
            told.extend(moves.iter().filter_map(stays).map(|told| self.timed(told, at)));
            return told;
        }
        let is_ours = |moving: &&Move| self.is_about(&moving.session);
        moves.iter().filter(is_ours).map(|moving| self.taken_along(moving, swap.op.0)).collect()
    }

    fn taken_along(&self, moving: &Move, op: u64) -> Said {
        let swap = self.state.swap.as_ref();
        let why =
            swap.map_or(String::new(), |swap| cause(&swap.trigger, &swap.source, &swap.target));
        let to = &moving.target;
        let what = match &moving.stage {
            MoveStage::Staying { until } => {
                format!("swap {op} takes it to {to} when its turn ends, or at {until}")
            }
            MoveStage::Stopping
            | MoveStage::Stopped
            | MoveStage::Launching { .. }
            | MoveStage::Launched { .. }
            | MoveStage::Held => format!("swap {op} takes it to {to}: it is ended and resumed"),
        };
        said(what).because(why)
    }

    pub(in crate::core::why) fn is_about(&self, session: &SessionName) -> bool {
        match &self.subject {
            Subject::Session(wanted) => wanted == session,
            Subject::Task(task) => {
                self.state.jobs.get(session).is_some_and(|job| job.task() == task)
            }
            Subject::Swap(_) | Subject::Account(_) => false,
        }
    }
}

/// Of an account: the link names `named` from now on.
fn in_use(wanted: &AccountName, swap: &OpenSwap, named: &AccountName) -> Said {
    let told = match wanted == named {
        true => said("in use from now on: the link names it"),
        false => said(format!("in use no more: the link names {named}")),
    };
    told.because(format!("swap {} has flipped it", swap.op))
}

/// Why a swap was planned, in words for people.
pub(in crate::core::why) fn cause(
    trigger: &Trigger,
    source: &AccountName,
    target: &AccountName,
) -> String {
    match trigger {
        Trigger::Refusal { session, row, .. } => {
            format!("{session} was refused on {source}: \"{row}\"")
        }
        Trigger::AccountReturned => format!("{target} takes requests again"),
        Trigger::Operator => "the operator said so".to_owned(),
        Trigger::LoginFailed { reason } => format!("the login of {source} fails: {reason}"),
        Trigger::SetAside => format!("{source} is held, or another account is pinned"),
        Trigger::Preempt { window, used_permille, .. } => format!(
            "{}.{} % of the {window} window of {source} are used (quota.preempt_at)",
            used_permille / 10,
            used_permille % 10
        ),
        Trigger::Preferred => {
            format!("{target} is preferred (selection.return_to_preferred)")
        }
    }
}

fn counted(moves: &[Move]) -> String {
    let names: Vec<&str> =
        moves.iter().take(NAMED_MAX).map(|moving| moving.session.as_str()).collect();
    let more = match moves.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match moves.len() {
        0 => "no agent has to move".to_owned(),
        1 => format!("the conversation of {}", names.join("")),
        _ => format!("the conversations of {}{more}", names.join(", ")),
    }
}

fn stays(moving: &Move) -> Option<Said> {
    let MoveStage::Staying { until } = moving.stage else { return None };
    let what = format!("{} stays until its turn ends, or until {until}", moving.session);
    Some(said(what).because("it is inside a turn (swap.busy_grace)"))
}
