//! The shortest history that still fails in the same way, as far as a limited number of tries goes:
//! first the end of the troubles comes sooner, then troubles are taken out in ever smaller groups.

use std::time::Duration;

use claude_failover::clock::Clock;
use claude_failover::moment::Mono;

use crate::play::{Play, kind_of};

/// A person who waits for it has not gone for coffee yet.
const TIME: Duration = Duration::from_secs(30);

struct Shrinking {
    kind: String,
    best: Play,
    /// The chances of the best that came.
    came: Vec<u64>,
    lines: usize,
    clock: Clock,
    until: Mono,
}

/// `play` fails.
pub fn shrink(play: Play) -> Play {
    let first = play.run(true);
    let Err(why) = &first.result else { return play };
    let clock = Clock::start();
    let mut shrinking = Shrinking {
        kind: kind_of(why),
        came: first.sim.rng.came().to_vec(),
        lines: first.lines().len(),
        best: play,
        until: clock.now().monotonic + TIME,
        clock,
    };
    shrinking.end_sooner();
    while shrinking.take_out() {}
    shrinking.best
}

impl Shrinking {
    /// Halves the way between what is too early and what is early enough. Earlier need not be worse,
    /// so this finds a good moment rather than the best.
    fn end_sooner(&mut self) {
        let (mut fails_not, mut fails) = (0, self.came.len());
        let troubles = self.came.clone();
        while fails - fails_not > 1 && !self.is_over() {
            let middle = fails_not + (fails - fails_not) / 2;
            let mut play = self.best.clone();
            play.without.from = Some(troubles[middle]);
            match self.takes(play) {
                true => fails = middle,
                false => fails_not = middle,
            }
        }
    }

    /// Whether it has become shorter.
    fn take_out(&mut self) -> bool {
        let before = self.lines;
        let mut group = self.came.len().div_ceil(2);
        while group > 0 && !self.is_over() {
            let mut at = 0;
            while at < self.came.len() && !self.is_over() {
                let end = (at + group).min(self.came.len());
                let mut play = self.best.clone();
                play.without.these.extend(&self.came[at..end]);
                // When it is taken, others stand in this place now.
                if !self.takes(play) {
                    at = end;
                }
            }
            group /= 2;
        }
        self.lines < before && !self.is_over()
    }

    fn takes(&mut self, play: Play) -> bool {
        let played = play.run(true);
        let is_better = played.failed_like(&self.kind) && played.lines().len() < self.lines;
        if is_better {
            self.lines = played.lines().len();
            self.came = played.sim.rng.came().to_vec();
            self.best = play;
        }
        is_better
    }

    fn is_over(&self) -> bool {
        self.clock.now().monotonic >= self.until
    }
}
