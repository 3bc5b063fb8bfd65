//! Carries a plan out, and walks back what was carried out. Whoever is killed in between is taken
//! up by the next call: what was begun is looked at on the disk, never assumed.

use std::io;

use crate::adopt::log::{Log, Phase, Record};
use crate::adopt::plan::{Plan, plan};
use crate::adopt::step::Undone;
use crate::adopt::{Layout, Step};

#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("{}", .0.join("\n"))]
    Obstacles(Vec<String>),
    #[error("an undo of the adoption was cut short: finish it first: claude-failover init --undo")]
    Undoing,
    #[error("{0}; what was done until here stays: mend it and try again")]
    Step(io::Error),
    #[error("the adoption's log: {0}")]
    Log(#[from] io::Error),
}

/// What is left to do, with what a person should know of it. Changes nothing.
///
/// # Errors
/// Something cannot be looked at.
pub fn preview(layout: &Layout) -> io::Result<Plan> {
    let state = Log::peek(&layout.log_path())?;
    let mut earlier: Vec<Step> = match state.phase {
        Phase::Adopting => state.done.into_values().collect(),
        Phase::Free | Phase::Adopted | Phase::Undoing => Vec::new(),
    };
    earlier.extend(state.open.map(|(_, step)| step));
    plan(layout, &earlier)
}

/// Does what is left to do; the plan as it was carried out by this call.
///
/// INVARIANT: the caller holds the link's lock, and nobody works in one of the homes.
pub fn adopt(layout: &Layout) -> Result<Plan, AdoptError> {
    let phase = Log::peek(&layout.log_path())?.phase;
    if phase == Phase::Undoing {
        return Err(AdoptError::Undoing);
    }
    let looked = preview(layout)?;
    if !looked.obstacles.is_empty() {
        return Err(AdoptError::Obstacles(looked.obstacles));
    }
    if looked.steps.is_empty() && phase != Phase::Adopting {
        return Ok(looked);
    }
    let mut log = Log::open(&layout.log_path())?;
    match phase {
        Phase::Adopting => settle(&mut log)?,
        Phase::Free | Phase::Adopted | Phase::Undoing => log.append(&Record::Begun)?,
    }
    let plan = preview(layout)?;
    if !plan.obstacles.is_empty() {
        return Err(AdoptError::Obstacles(plan.obstacles));
    }
    for step in &plan.steps {
        let number = log.state.next_number;
        log.append(&Record::Intent { number, step: step.clone() })?;
        if let Err(source) = step.carry_out() {
            log.append(&Record::Dropped { number })?;
            return Err(AdoptError::Step(source));
        }
        log.passed();
        log.append(&Record::Done { number })?;
    }
    log.append(&Record::Finished)?;
    Ok(plan)
}

/// Takes everything back that was adopted, the latest first. How many steps there were, and what
/// had to stay.
///
/// # Errors
/// A step cannot be taken back; those after it have been.
pub fn undo(layout: &Layout) -> Result<(usize, Vec<String>), AdoptError> {
    if Log::peek(&layout.log_path())?.is_blank() {
        return Ok((0, Vec::new()));
    }
    let mut log = Log::open(&layout.log_path())?;
    settle(&mut log)?;
    if log.state.phase != Phase::Undoing {
        log.append(&Record::UndoBegun)?;
    }
    let steps: Vec<(u64, Step)> = log.state.done.clone().into_iter().collect();
    let mut kept = Vec::new();
    for (number, step) in steps.iter().rev() {
        let (number, undone) = (*number, step.take_back());
        log.passed();
        match undone {
            Ok(Undone::Yes) => log.append(&Record::Undone { number })?,
            Ok(Undone::Kept(why)) => {
                log.append(&Record::Kept { number, why: why.clone() })?;
                kept.push(why);
            }
            Err(source) => return Err(AdoptError::Step(source)),
        }
    }
    log.append(&Record::UndoFinished)?;
    Ok((steps.len(), kept))
}

/// The step in which the end came was done, or it was not.
fn settle(log: &mut Log) -> Result<(), AdoptError> {
    let Some((number, step)) = log.state.open.clone() else { return Ok(()) };
    let done = step.was_done().map_err(AdoptError::Step)?;
    let record = if done { Record::Done { number } } else { Record::Dropped { number } };
    Ok(log.append(&record)?)
}
