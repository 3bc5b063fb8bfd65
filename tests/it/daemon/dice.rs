//! Seeded chance, for tests that do at any moment what may happen at any moment.

use std::ops::Range;

/// splitmix64
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn in_range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// `None`: there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let count = from.len() as u64;
        (count > 0).then(|| &from[usize::try_from(self.next() % count).unwrap()])
    }
}

/// Cards of which each comes up as often as it is in there before any comes up once more.
pub struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// Each so many times.
    pub fn new(cards: &[(T, usize)]) -> Self {
        let all = cards.iter().flat_map(|(card, times)| vec![*card; *times]).collect();
        Self { all, left: Vec::new() }
    }

    pub fn draw(&mut self, dice: &mut Dice) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
        }
        let at = dice.in_range(0..self.left.len() as u64);
        self.left.swap_remove(usize::try_from(at).unwrap())
    }
}

/// Of the environment, else always the same one. The moments at which it strikes differ from run to
/// run all the same: processes are as quick as the machine lets them.
pub fn seed() -> u64 {
    number("SEED").unwrap_or(1)
}

pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}
