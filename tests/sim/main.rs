//! A seeded simulator of the core: crashes at every record; late, lost, failed and doubled
//! effects; clocks that are set; people who work in the same sessions.
//!
//! `SEED=n cargo test --test sim` plays one history and prints it; `SIM_SEEDS=n` plays more.

mod checks;
mod choices;
mod clients;
mod every_event;
mod executors;
mod journals;
mod outside;
mod prng;
mod run;
mod scenario;
mod seasons;
mod sensors;
mod steering;
mod tables;
mod tasks;
mod testimony;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::run::Sim;

const SEEDS: u64 = 10_000;

/// After so many failures the rest would tell nothing new.
const FAILURES_MAX: usize = 50;

/// Steps of a failing history that are printed.
const TAIL_STEPS: usize = 200;

/// What a history did, or why it failed.
fn play(seed: u64, verbose: bool) -> (Sim, Result<(), String>) {
    let mut sim = Sim::new(seed, verbose);
    let result = catch_unwind(AssertUnwindSafe(|| sim.run())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    });
    (sim, result)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn histories_keep_every_promise() {
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = number("SEED") {
        let (sim, result) = play(seed, true);
        println!("{}", sim.history.unwrap_or_default().join("\n"));
        println!("{:#?}", sim.counts);
        let _ = std::panic::take_hook();
        assert_eq!(result, Ok(()), "seed {seed}");
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let failed: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = failed.lock().unwrap().len() >= FAILURES_MAX;
                    if seed >= first + seeds || enough {
                        return;
                    }
                    let (sim, result) = play(seed, false);
                    let mut counts = counts.lock().unwrap();
                    for (what, count) in &sim.counts {
                        *counts.entry(what).or_default() += count;
                    }
                    *counts.entry("swaps done").or_default() += sim.checks.swaps_done;
                    *counts.entry("swaps rolled back").or_default() += sim.checks.swaps_rolled_back;
                    if let Err(why) = result {
                        failed.lock().unwrap().insert(seed, why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{seeds} seeds, {} failed: {:#?}", failed.len(), counts.into_inner().unwrap());
    let Some((seed, why)) = failed.iter().next() else { return };
    let (sim, _) = play(*seed, true);
    let history = sim.history.unwrap_or_default();
    println!("{}", history[history.len().saturating_sub(TAIL_STEPS)..].join("\n"));
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (seed, why) in &failed {
        // Failures that differ in names and numbers alone are one kind.
        let kind: String = why.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
        kinds.entry(kind).or_insert((*seed, 0)).1 += 1;
    }
    let _ = std::panic::take_hook();
    panic!("seed {seed}: {why}\n(SEED={seed} plays it; kinds: {kinds:#?})");
}
