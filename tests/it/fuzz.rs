//! A short run of the harness in `tests/fuzz` over each reader. The long runs are by hand:
//! `cargo run --release --example fuzz`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::fuzz::engine::{last_input, run};
use crate::fuzz::target::{TARGETS, Target};

#[path = "../fuzz/engine.rs"]
mod engine;
#[path = "../fuzz/mutate.rs"]
mod mutate;
#[path = "../fuzz/target.rs"]
mod target;

const BUDGET: Duration = Duration::from_millis(1_500);
/// A machine with nothing else to do manages a hundred times as many; the slowest writes files for each.
const INPUTS_MIN: u64 = 20;
/// A failing input is printed in full up to here.
const SHOWN_BYTES_MAX: usize = 4_000;

#[track_caller]
fn hold(target: Target) {
    let (_, name) = TARGETS[TARGETS.iter().position(|(known, _)| *known == target).unwrap()];
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let done = catch_unwind(AssertUnwindSafe(|| run(target, seed, BUDGET, |_| ())));
    let Ok(Ok(tally)) = done else {
        let input = last_input();
        let shown = String::from_utf8_lossy(&input[..input.len().min(SHOWN_BYTES_MAX)]);
        panic!("{name}, seed {seed}, {} bytes: {done:?}\n{shown:?}", input.len());
    };
    println!("{name}: {tally:?}");
    assert!(tally.inputs >= INPUTS_MIN && tally.kinds > 2, "{name}: {tally:?}");
    assert!(tally.slowest <= target.slow());
}

#[test]
fn panes() {
    hold(Target::Pane);
}

#[test]
fn transcripts() {
    hold(Target::Transcript);
}

#[test]
fn reports() {
    hold(Target::Report);
}

#[test]
fn resets() {
    hold(Target::Reset);
}

#[test]
fn batches() {
    hold(Target::ClassifyJsonl);
}

#[test]
fn commands() {
    hold(Target::Guard);
}

#[test]
fn configurations() {
    hold(Target::Config);
}

#[test]
fn rules_of_the_guard() {
    hold(Target::GuardRules);
}

#[test]
fn journals() {
    hold(Target::Journal);
}

#[test]
fn tasks() {
    hold(Target::Task);
}

#[test]
fn answers_of_tmux() {
    hold(Target::Tmux);
}

#[test]
fn dialogs() {
    hold(Target::Dialog);
}

#[test]
fn requests() {
    hold(Target::Http);
}

#[test]
fn verbs() {
    hold(Target::Control);
}

#[test]
fn hooks() {
    hold(Target::Hook);
}

/// A target that has no test here would be a part of the long runs alone.
#[test]
fn every_target_has_its_share() {
    let own = include_str!("fuzz.rs");
    for (target, _) in TARGETS {
        let call = format!("hold(Target::{target:?});");
        assert_eq!(own.matches(&call).count(), 1, "{call}");
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let make = |seed| {
        let mut mutator = mutate::Mutator::new(mutate::Prng::new(seed), Target::Pane.words());
        let pool = Target::Pane.corpus();
        (0..200).map(|_| mutator.next(&pool)).collect::<Vec<_>>()
    };
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}
