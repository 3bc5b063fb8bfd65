//! What could not be done for a reason that is the host's (a full disk, a directory that is gone): it is
//! tried again ever more slowly, without end, and people are told when it keeps failing.

use std::time::Duration;

use crate::moment::Mono;

/// From this failure on people are told, and nobody waits for the next try.
pub(in crate::core) const TOLD_FROM: u32 = 3;

/// The pause after the first; each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setback {
    pub failures: u32,
    /// Why the last try failed.
    pub why: String,
    /// Not tried again before this.
    pub again_at: Mono,
}

impl Setback {
    /// One failure more than `before`.
    pub fn after(before: Option<&Setback>, why: String, now: Mono) -> Self {
        let failures = before.map_or(0, |known| known.failures) + 1;
        let mut setback = Self { failures, why, again_at: now };
        setback.again_at = now + setback.pause();
        setback
    }

    pub fn is_lasting(&self) -> bool {
        self.failures >= TOLD_FROM
    }

    pub fn pause(&self) -> Duration {
        let doubled = self.failures.saturating_sub(1).min(u32::BITS - 1);
        FIRST_PAUSE.saturating_mul(1 << doubled).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_minute() {
        let mut known: Option<Setback> = None;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let next = Setback::after(known.as_ref(), "full".to_owned(), Mono(0));
            pauses.push(next.pause().as_secs());
            known = Some(next);
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.last(), Some(&60));
    }
}
