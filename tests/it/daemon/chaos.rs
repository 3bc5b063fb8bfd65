//! Chaos with real processes: the built daemon, a tmux server, scripted agents with tasks and conversations;
//! refusals and orders to swap; and `kill -9` of any of them at any moment.
//!
//! Everything is judged from outside, when it has calmed down: [`judge`] says what must be true. What
//! cannot be had by chance – full disks, read-only ones, used up descriptors and inotify instances, a
//! moved clock, old journals, two daemons – is in [`surroundings`].
//!
//! In the gate the storm has a fixed time. `CHAOS_SWAPS=1000 cargo test --test it -- daemon::chaos::long
//! --nocapture --test-threads=2` goes on for as many swaps in three storms side by side, and as many in one
//! life of daemon and tmux server, whose sizes must not grow; `SEED=n` throws other dice. Both print what they
//! have seen. Some half an hour on two cores.

mod figures;
mod judge;
mod provoke;
mod storm;
mod surroundings;

use std::time::{Duration, Instant};

use crate::daemon::chaos::figures::Sizes;
use crate::daemon::chaos::storm::{Blow, Storm};
use crate::daemon::dice::{number, seed};

/// Of the storm in the gate; its last calm comes on top.
const GATE: Duration = Duration::from_secs(40);
/// Between two calms in the gate, and of the long storm.
const SQUALL: Duration = Duration::from_secs(10);
const LONG_SQUALL: Duration = Duration::from_secs(45);
/// Storms of the long form.
const LANES: u64 = 3;
/// Fewer are no storm; on an idle machine it is some ten.
const GATE_SWAPS_MIN: u64 = 3;
/// Swaps of the gate in one life.
const GATE_SWAPS: u64 = 8;
/// A line of figures after so many swaps.
const TOLD_EVERY: u64 = 100;

/// Any of them at any moment. A hung server costs ten seconds, so that it comes once after a calm.
const ALL: &[(Blow, usize)] =
    &[(Blow::KillDaemon, 3), (Blow::KillAgent, 3), (Blow::KillServer, 1), (Blow::SecondDaemon, 1)];
/// A second daemon needs a first one that is up.
const SURE: [Blow; 4] = [Blow::KillDaemon, Blow::KillAgent, Blow::KillServer, Blow::HangServer];
/// After the first calm, and then after one in so many.
const HANGS_EVERY: u32 = 3;
/// What daemon and tmux server live through.
const AGENTS_ONLY: &[(Blow, usize)] = &[(Blow::KillAgent, 1)];

fn swaps_asked() -> Option<u64> {
    number("CHAOS_SWAPS")
}

/// Squalls and calms until `is_over`, and every kind of blow has been struck.
fn weather(seed: u64, squall: Duration, is_over: impl Fn(&Storm) -> bool) {
    let mut storm = Storm::new(seed, ALL);
    let begun = Instant::now();
    let mut told = 0;
    loop {
        storm.rage(squall);
        if storm.calms % HANGS_EVERY == 1 {
            storm.strike(Blow::HangServer);
        }
        storm.calm();
        let is_over = is_over(&storm) && SURE.iter().all(|blow| storm.blows.contains_key(blow));
        if is_over || storm.swaps() / TOLD_EVERY > told {
            told = storm.swaps() / TOLD_EVERY;
            println!("SEED={seed}: {} in {:?}", storm.story(), begun.elapsed());
        }
        if is_over {
            break;
        }
    }
}

#[test]
fn long_storm_loses_nothing() {
    let Some(swaps) = swaps_asked() else {
        let end = Instant::now() + GATE;
        let is_over = |storm: &Storm| Instant::now() >= end && storm.swaps() >= GATE_SWAPS_MIN;
        return weather(seed(), SQUALL, is_over);
    };
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let is_over = move |storm: &Storm| storm.swaps() >= swaps.div_ceil(LANES);
            scope.spawn(move || weather(seed() + lane, LONG_SQUALL, is_over));
        }
    });
}

#[test]
fn long_life_does_not_grow() {
    let mut storm = Storm::new(seed(), AGENTS_ONLY);
    let swaps = swaps_asked().unwrap_or(GATE_SWAPS);
    let warm = (swaps / 10).max(2);
    let begun = Instant::now();
    let first = Sizes::of(&storm.fleet);
    println!("at the start: {first}");
    let mut settled = None;
    let mut told = 0;
    while storm.swaps() < swaps {
        storm.swap_on(SQUALL);
        storm.calm();
        let now = Sizes::of(&storm.fleet);
        if settled.is_none() && storm.swaps() >= warm {
            settled = Some((now, storm.swaps()));
        }
        if storm.swaps() / TOLD_EVERY > told || storm.swaps() >= swaps {
            told = storm.swaps() / TOLD_EVERY;
            println!("{} in {:?}: {now}", storm.story(), begun.elapsed());
        }
    }
    assert!(storm.is_one_life(), "daemon and tmux server were to live on");
    let (settled, since) = settled.unwrap();
    settled.assert_no_growth(Sizes::of(&storm.fleet), storm.swaps() - since);
}
