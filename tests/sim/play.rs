//! One history by its name: a seed, and what was taken out of it to make it shorter.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use crate::prng::{Prng, Without};
use crate::run::Sim;

/// `17`, or `17:950:3,41`: seed 17 whose chances 3 and 41, and all from 950 on, come to nothing. `-` is
/// for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Play {
    pub seed: u64,
    pub without: Without,
}

pub struct Played {
    pub sim: Sim,
    pub result: Result<(), String>,
}

impl Play {
    pub fn chance(&self) -> Prng {
        Prng::with(self.seed, self.without.clone())
    }

    /// What the history did, or why it failed.
    pub fn run(&self, verbose: bool) -> Played {
        let mut sim = Sim::new(self, verbose);
        let result = catch_unwind(AssertUnwindSafe(|| sim.run())).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default()
        });
        Played { sim, result }
    }
}

impl Played {
    pub fn lines(&self) -> &[String] {
        self.sim.history.as_deref().unwrap_or_default()
    }

    pub fn failed_like(&self, kind: &str) -> bool {
        self.result.as_ref().is_err_and(|why| kind_of(why) == kind)
    }
}

/// Failures that differ in names and numbers alone are of one kind.
pub fn kind_of(why: &str) -> String {
    why.chars().filter(|c| !c.is_ascii_digit()).take(90).collect()
}

impl From<u64> for Play {
    fn from(seed: u64) -> Self {
        Self { seed, without: Without::default() }
    }
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Without { from, these } = &self.without;
        write!(f, "{}", self.seed)?;
        if from.is_none() && these.is_empty() {
            return Ok(());
        }
        match from {
            Some(from) => write!(f, ":{from}:")?,
            None => write!(f, ":-:")?,
        }
        let these: Vec<String> = these.iter().map(u64::to_string).collect();
        write!(f, "{}", these.join(","))
    }
}

impl FromStr for Play {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let seed = parts.next().unwrap_or_default().parse()?;
        let from = match parts.next() {
            None | Some("-") => None,
            Some(number) => Some(number.parse()?),
        };
        let these = parts.next().unwrap_or_default().split(',').filter(|part| !part.is_empty());
        let these = these.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { seed, without: Without { from, these } })
    }
}

#[test]
fn a_play_is_named_and_found_again() {
    for name in ["17", "17:950:", "17:-:3,41", "17:950:3,41"] {
        assert_eq!(name.parse::<Play>().unwrap().to_string(), name);
    }
    assert!("17:x".parse::<Play>().is_err());
}
