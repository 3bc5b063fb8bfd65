//! Random changes of an input: bytes, pieces, rows, words of its reader, wraps.

/// Longer inputs are rare and made by repetition.
const USUAL_BYTES_MAX: usize = 16 << 10;
const LONG_BYTES: usize = 300_000;
/// One input in so many is long.
const LONG_RARITY: u64 = 500;
const CHANGES_MAX: u64 = 6;

/// xorshift64*: the same seed gives the same inputs on every machine.
pub struct Prng(u64);

impl Prng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// Below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

pub struct Mutator {
    prng: Prng,
    /// What the reader looks for.
    words: &'static [&'static str],
}

impl Mutator {
    pub fn new(prng: Prng, words: &'static [&'static str]) -> Self {
        Self { prng, words }
    }

    /// A changed copy of one of `pool`.
    pub fn next(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = pool[self.prng.below(pool.len())].clone();
        for _ in 0..=self.prng.next() % CHANGES_MAX {
            let other = &pool[self.prng.below(pool.len())];
            self.change(&mut input, other);
        }
        input.truncate(USUAL_BYTES_MAX);
        if self.prng.next().is_multiple_of(LONG_RARITY) {
            self.lengthen(&mut input);
        }
        input
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.prng.below(length + 1);
        // Mostly short ones.
        let most = if self.prng.next().is_multiple_of(4) { length } else { 32 };
        start..(start + self.prng.below(most + 1)).min(length)
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.prng.below(input.len() + 1);
        let word = self.words[self.prng.below(self.words.len())];
        let range = self.range(input.len());
        match self.prng.next() % 14 {
            0 => input.insert(at, self.prng.next().to_le_bytes()[0]),
            1 if at < input.len() => input[at] ^= 1 << (self.prng.next() % 8),
            2 => drop(input.drain(range)),
            3 => insert(input, at, word.as_bytes()),
            4 => drop(input.splice(range, word.bytes())),
            5 => {
                let piece = input[range].to_vec();
                insert(input, at, &piece.repeat(1 + self.prng.below(8)));
            }
            6 => {
                let piece = self.range(other.len());
                insert(input, at, &other[piece]);
            }
            7 => insert(input, at, b"\n"),
            8 => insert(input, at, &b"            "[..self.prng.below(12)]),
            9 => self.swap_rows(input),
            10 => self.wrap(input),
            11 => input.truncate(at),
            12 => drop(input.drain(..at)),
            _ if input[range.clone()].is_ascii() => input[range].make_ascii_uppercase(),
            _ => insert(input, at, &self.prng.next().to_le_bytes()),
        }
    }

    fn swap_rows(&mut self, input: &mut Vec<u8>) {
        let mut rows: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        let (one, two) = (self.prng.below(rows.len()), self.prng.below(rows.len()));
        rows.swap(one, two);
        *input = rows.join(&b'\n');
    }

    /// As a narrower terminal would cut it, with or without the client's indent.
    fn wrap(&mut self, input: &mut Vec<u8>) {
        let width = 20 + self.prng.below(100);
        let indent = [&b"\n"[..], b"\n  ", b"\n     "][self.prng.below(3)];
        let text = String::from_utf8_lossy(input).into_owned();
        let mut wrapped = Vec::with_capacity(input.len() * 2);
        let mut column = 0;
        for c in text.chars() {
            column = if c == '\n' { 0 } else { column + 1 };
            if column > width {
                wrapped.extend_from_slice(indent);
                column = indent.len();
            }
            wrapped.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        *input = wrapped;
    }

    /// A piece again and again, or all of it.
    fn lengthen(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        let piece = if range.is_empty() { b"x" } else { &input[range.clone()] };
        let times = LONG_BYTES / piece.len();
        let many = piece.repeat(times);
        insert(input, range.end, &many);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(input.splice(at..at, piece.iter().copied()));
}
