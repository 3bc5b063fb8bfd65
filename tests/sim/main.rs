//! A seeded simulator of the core: crashes at every record; late, lost, failed and doubled
//! effects; clocks that are set; people who work in the same sessions.
//!
//! `SEED=n cargo test --test sim` plays one history and prints it; `SIM_SEEDS=n` plays more, from
//! `SIM_FIRST` on. The long run before a release is a million, on all cores:
//! `SIM_SEEDS=1000000 cargo test --profile long --test sim histories`. What fails is made shorter before
//! it is printed, with the `SEED` that plays just that; `bugs/` has the bugs that show that it can fail.

mod calm;
mod checks;
mod choices;
mod clients;
mod disk;
mod every_event;
mod executors;
mod journals;
mod move_checks;
mod order_checks;
mod outside;
mod play;
mod prng;
mod run;
mod scenario;
mod seasons;
mod sensors;
mod shrink;
mod steering;
mod tables;
mod task_checks;
mod tasks;
mod testimony;
mod world;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::play::{Play, kind_of};

const SEEDS: u64 = 10_000;

/// After so many failures the rest would tell nothing new.
const FAILURES_MAX: usize = 50;

/// Steps of a failing history that are printed.
const TAIL_STEPS: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn histories_keep_every_promise() {
    std::panic::set_hook(Box::new(|_| {}));
    if let Ok(name) = std::env::var("SEED") {
        let played = name.parse::<Play>().expect("a seed").run(true);
        println!("{}\n{:#?}", played.lines().join("\n"), played.sim.counts);
        let _ = std::panic::take_hook();
        assert_eq!(played.result, Ok(()), "seed {name}");
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let failed = play_all(first..first + seeds);
    let Some((seed, why)) = failed.iter().next() else { return };
    let short = shrink::shrink(Play::from(*seed));
    let played = short.run(true);
    println!("{}", played.lines()[played.lines().len().saturating_sub(TAIL_STEPS)..].join("\n"));
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (seed, why) in &failed {
        kinds.entry(kind_of(why)).or_insert((*seed, 0)).1 += 1;
    }
    let _ = std::panic::take_hook();
    panic!(
        "seed {seed}: {why}\n(SEED={seed} plays it, SEED={short} the {} lines above; kinds: {kinds:#?})",
        played.lines().len()
    );
}

/// Those that failed, and why; on all cores.
fn play_all(seeds: std::ops::Range<u64>) -> BTreeMap<u64, String> {
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end
                        || failed.lock().expect("nobody panics with it").len() >= FAILURES_MAX
                    {
                        return;
                    }
                    let played = Play::from(seed).run(false);
                    let mut counts = counts.lock().expect("nobody panics with it");
                    for (what, count) in &played.sim.counts {
                        *counts.entry(what).or_default() += count;
                    }
                    let checks = &played.sim.checks;
                    *counts.entry("swaps done").or_default() += checks.swaps_done;
                    *counts.entry("swaps rolled back").or_default() += checks.swaps_rolled_back;
                    if let Err(why) = played.result {
                        failed.lock().expect("nobody panics with it").insert(seed, why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nobody panics with it");
    let counts = counts.into_inner().expect("nobody panics with it");
    println!("{} seeds, {} failed: {counts:#?}", seeds.end - seeds.start, failed.len());
    failed
}
