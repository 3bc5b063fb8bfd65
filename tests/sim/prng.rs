//! Chance from a seed: splitmix64. The same seed gives the same history on every machine.

use std::collections::BTreeSet;
use std::ops::Range;

#[derive(Debug, Clone)]
pub struct Prng {
    state: u64,
    /// How often a chance was asked for, and with what luck.
    asked: u64,
    came: Vec<u64>,
    without: Without,
}

/// What is taken out of the history of a seed to make it shorter: chances, by their number, that come
/// to nothing. The draws stay, so that what lies before the first of them stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without {
    pub from: Option<u64>,
    pub these: BTreeSet<u64>,
}

impl Without {
    fn has(&self, number: u64) -> bool {
        self.from.is_some_and(|from| number >= from) || self.these.contains(&number)
    }
}

impl Prng {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Without::default())
    }

    pub fn with(seed: u64, without: Without) -> Self {
        let state = seed ^ 0x5DEE_CE66_D1CE_4E5B;
        let mut prng = Self { state, asked: 0, came: Vec::new(), without };
        prng.next();
        prng
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// True in `permille` of a thousand cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        let number = self.asked;
        self.asked += 1;
        let comes = self.next() % 1000 < permille && !self.without.has(number);
        if comes {
            self.came.push(number);
        }
        comes
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }

    /// The numbers of the chances that came.
    pub fn came(&self) -> &[u64] {
        &self.came
    }
}
