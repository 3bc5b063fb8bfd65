//! Changes known inputs at random, again and again, and feeds them to a reader. An input whose
//! answer is of a new kind is kept and changed further, so that the search goes where code is.
//!
//! What is wrong with an input: a panic, an answer that breaks a promise of its reader, or time
//! that is out of proportion. Time is that of the thread, so a busy machine is no finding.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::fuzz::mutate::{Mutator, Prng};
use crate::fuzz::target::Target;

/// [`Target::slow`] is for each of these, or part of them.
const SLOW_BYTES: usize = 100_000;
/// An input that is slow is tried again: the first time, memory may have had to be fetched.
const SLOW_TRIES: usize = 3;
/// Inputs of a new kind that are kept.
const POOL_MAX: usize = 4_096;
/// Inputs between two looks at the clock.
const ROUND: u64 = 64;

thread_local! {
    static LAST: RefCell<Rc<Vec<u8>>> = RefCell::default();
}

/// The input that was read last on this thread: after a panic, the one that caused it.
pub fn last_input() -> Rc<Vec<u8>> {
    LAST.with(|last| last.borrow().clone())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub inputs: u64,
    pub bytes: u64,
    /// Answers of different kinds.
    pub kinds: usize,
    /// The longest an input took for each [`SLOW_BYTES`] or part of them.
    pub slowest: Duration,
    pub took: Duration,
}

/// Feeds `target` for this long. The error says what the last input took too long for.
pub fn run(
    target: Target,
    seed: u64,
    budget: Duration,
    mut progress: impl FnMut(&Tally),
) -> Result<Tally, String> {
    let started = Instant::now();
    let mut pool = target.corpus();
    let mut mutator = Mutator::new(Prng::new(seed), target.words());
    let mut kinds = BTreeSet::new();
    let mut tally = Tally::default();
    for input in pool.clone() {
        kinds.insert(feed(target, input, &mut tally)?);
    }
    while tally.took < budget {
        for _ in 0..ROUND {
            let input = mutator.next(&pool);
            if kinds.insert(feed(target, input, &mut tally)?) && pool.len() < POOL_MAX {
                pool.push(last_input().to_vec());
            }
        }
        tally.kinds = kinds.len();
        tally.took = started.elapsed();
        progress(&tally);
    }
    Ok(tally)
}

/// Reads one input. Its answer, as a kind.
pub fn feed(target: Target, input: Vec<u8>, tally: &mut Tally) -> Result<u64, String> {
    let input = Rc::new(input);
    LAST.with(|last| last.replace(input.clone()));
    let units = u32::try_from(input.len() / SLOW_BYTES + 1).unwrap();
    let mut took = Duration::MAX;
    let mut kind = 0;
    for _ in 0..SLOW_TRIES {
        let begun = thread_time();
        kind = target.read(&input);
        took = took.min(thread_time().saturating_sub(begun));
        if took / units <= target.slow() {
            tally.inputs += 1;
            tally.bytes += input.len() as u64;
            tally.slowest = tally.slowest.max(took / units);
            return Ok(kind);
        }
    }
    Err(format!("{} bytes took {took:?} ({kind:x})", input.len()))
}

fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}
