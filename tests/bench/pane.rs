//! How long one pane of 50 × 200 takes to be read: `cargo bench --bench pane`.
//!
//! The panes are the labelled texts and the hard cases, each padded to 50 rows of 200 columns with
//! rows of a conversation above and with spaces at the right, as `capture-pane -J` pads them.

#![allow(clippy::disallowed_methods, reason = "measures how long a call takes")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use claude_failover::moment::Wall;
use claude_failover::quota::pane::read;
use claude_failover::quota::verdict::Context;
use serde::Deserialize;

const ROWS: usize = 50;
const COLUMNS: usize = 200;
const ROUNDS: usize = 50;
const TEXTS: [&str; 2] =
    [include_str!("../it/corpus/panes.jsonl"), include_str!("../it/corpus/hard.jsonl")];
/// What stands above a text that is shorter than the pane.
const ABOVE: [&str; 4] = [
    "● Bash(cargo test --workspace --all-features -- --nocapture)",
    "  ⎿     Compiling claude-failover v0.1.0 (/srv/projects/claude-failover)",
    "     test result: ok. 254 passed; 0 failed; 0 ignored – finished in 12.31s",
    "",
];

#[derive(Deserialize)]
struct Text {
    text: String,
}

fn padded(text: &str) -> String {
    let rows: Vec<&str> = text.lines().collect();
    let rows = &rows[rows.len().saturating_sub(ROWS)..];
    let above = ABOVE.iter().cycle().take(ROWS - rows.len()).copied();
    let cut = |row: &str| {
        let row: String = row.chars().take(COLUMNS).collect();
        format!("{row:COLUMNS$}\n")
    };
    above.chain(rows.iter().copied()).map(cut).collect()
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn main() {
    let lines = TEXTS.iter().flat_map(|file| file.lines());
    let texts = lines.map(|line| serde_json::from_str::<Text>(line).expect("a text a line"));
    let panes: Vec<String> = texts.map(|text| padded(&text.text)).collect();
    let context = Context { now: Wall(1_795_361_004_858), zone: None, patterns: &[] };
    let mut took = Vec::with_capacity(panes.len() * ROUNDS);
    for _ in 0..ROUNDS {
        for pane in &panes {
            let started = Instant::now();
            black_box(read(black_box(pane), &context));
            took.push(started.elapsed());
        }
    }
    took.sort_unstable();
    let at = |share: usize| micros(took[(took.len() - 1) * share / 1000]);
    println!("{} panes of {ROWS} × {COLUMNS}, read {ROUNDS} times", panes.len());
    println!("median {:.1} µs, p99 {:.1} µs, longest {:.1} µs", at(500), at(990), at(1000));

    for (name, text) in [
        ("10 MB of one line", "x".repeat(10_000_000)),
        ("1 000 000 empty lines", "\n".repeat(1_000_000)),
        ("250 000 banners", "  ⎿  You've hit your limit · resets 3pm\n".repeat(250_000)),
    ] {
        let started = Instant::now();
        black_box(read(black_box(&text), &context));
        println!("{name}: {:.0} µs", micros(started.elapsed()));
    }
}
