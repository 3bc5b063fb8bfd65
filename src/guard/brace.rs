//! `{a,b}` and `{1..3}`: one word becomes several.

use crate::guard::shell::{Part, Word};

/// Words that one word may become.
pub const WORDS_MAX: usize = 2_000;

/// Parts of all words on the way to them.
const PARTS_MAX: usize = 200_000;

/// `None` when there are more than [`WORDS_MAX`], or they are too long.
pub fn braces(word: &[Part]) -> Option<Vec<Word>> {
    let mut done = Vec::new();
    let mut open: Vec<Word> = vec![word.to_vec()];
    let mut parts_left = PARTS_MAX;
    while let Some(word) = open.pop() {
        if done.len() + open.len() > WORDS_MAX {
            return None;
        }
        match first_brace(&word) {
            None => done.push(word),
            Some((start, end, items)) => {
                for item in items.into_iter().rev() {
                    parts_left = parts_left.checked_sub(word.len() + item.len())?;
                    let mut next = word[..start].to_vec();
                    next.extend(item);
                    next.extend_from_slice(&word[end + 1..]);
                    open.push(next);
                }
            }
        }
    }
    Some(done)
}

/// The first brace expression: where it begins and ends, and what stands for it.
fn first_brace(word: &[Part]) -> Option<(usize, usize, Vec<Word>)> {
    const OPEN_MAX: usize = 100;
    let opens = word.iter().enumerate().filter(|(_, part)| **part == Part::Plain('{'));
    opens.map(|(at, _)| at).take(OPEN_MAX).find_map(|start| {
        let (mut depth, mut commas) = (0_usize, vec![start]);
        for (at, part) in word.iter().enumerate().skip(start) {
            match part {
                Part::Plain('{') => depth += 1,
                Part::Plain(',') if depth == 1 => commas.push(at),
                Part::Plain('}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                commas.push(at);
                let items = match commas.len() {
                    2 => range(&word[start + 1..at])?,
                    _ => commas.windows(2).map(|w| word[w[0] + 1..w[1]].to_vec()).collect(),
                };
                return Some((start, at, items));
            }
        }
        None
    })
}

/// `a..c`, `1..10..2`
fn range(parts: &[Part]) -> Option<Vec<Word>> {
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Plain(c) => Some(*c),
            _ => None,
        })
        .collect::<Option<String>>()?;
    let mut ends = text.split("..");
    let (first, last, step) = (ends.next()?, ends.next()?, ends.next());
    let step: i64 = step.map_or(Some(1), |step| step.parse().ok())?;
    let step = usize::try_from(step.unsigned_abs().max(1)).ok()?;
    let word = |text: String| text.chars().map(Part::Plain).collect::<Word>();
    if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
        let (low, high) = (first.min(last), first.max(last));
        let numbers = (low..=high).step_by(step).take(WORDS_MAX + 1);
        return Some(numbers.map(|number| word(number.to_string())).collect());
    }
    let one = |text: &str| text.parse::<char>().ok().filter(char::is_ascii_alphabetic);
    let (first, last) = (one(first)?, one(last)?);
    let (low, high) = (first.min(last), first.max(last));
    Some((low..=high).step_by(step).map(|c| word(c.to_string())).collect())
}
