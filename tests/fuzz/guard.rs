//! A command that an agent wants to run, and what the guard makes of it.

use claude_failover::guard::rules::Rules;
use claude_failover::guard::text::is_reserved;
use claude_failover::guard::tool::Call;
use claude_failover::guard::{Place, Refusal, World, judge};

use crate::fuzz::target::hash;

const REFUSED: &str = include_str!("../it/guard/refused.txt");
const HARMLESS: &str = include_str!("../it/guard/harmless.txt");

pub fn corpus() -> Vec<Vec<u8>> {
    let rows = [REFUSED, HARMLESS].into_iter().flat_map(str::lines);
    let rows = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| row.as_bytes().to_vec()).collect()
}

/// A disk on which nothing is a link, and a branch that is everybody's.
struct Disk;

impl World for Disk {
    fn real(&self, path: &str) -> String {
        path.to_owned()
    }

    fn branch(&self, _: &str) -> Option<String> {
        Some("main".to_owned())
    }
}

thread_local! {
    static RULES: Rules = Rules::load(None).unwrap();
}

fn place() -> Place {
    Place {
        cwd: "/srv/p".to_owned(),
        work: Some("/srv/p".to_owned()),
        home: "/home/u".to_owned(),
        user: "u".to_owned(),
        ..Place::default()
    }
}

/// Longer ones have a test of their own: a guard is slow only where it is asked much.
pub fn read(input: &[u8]) -> u64 {
    const COMMAND_BYTES: usize = 8 << 10;
    let command = String::from_utf8_lossy(&input[..input.len().min(COMMAND_BYTES)]);
    kind_of_refusal(RULES.with(|rules| judge(&command, rules, &place(), &Disk)))
}

/// What the guard says to a tool call.
pub fn refused(call: &Call) -> u64 {
    kind_of_refusal(RULES.with(|rules| call.judge(rules, &place(), &Disk)))
}

fn kind_of_refusal(judged: Result<(), Box<Refusal>>) -> u64 {
    let Err(refusal) = judged else { return 0 };
    let said = refusal.to_string();
    assert!(!said.contains(|c: char| c.is_control() || is_reserved(c)), "{said:?}");
    assert!(!refusal.why.is_empty() && !refusal.instead.is_empty(), "{said:?}");
    hash(&(
        refusal.rule,
        refusal.why.chars().filter(char::is_ascii_alphabetic).take(60).collect::<String>(),
    ))
}
