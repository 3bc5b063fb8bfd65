//! Feeds the readers with changed texts until one of them fails, on stable Rust. An hour each, one
//! after the other, and one alone:
//!
//! ```text
//! cargo run --release --example fuzz -- --seconds 3600
//! cargo run --release --example fuzz -- --seconds 3600 --seed 7 --target pane
//! ```
//!
//! An input that a reader panics on, breaks a promise on or is slow on is written to a file, and the
//! exit code is 1; `--replay FILE --target T` reads it again. Targets and what each promises are in
//! `target.rs` and the files beside it, first inputs in `corpus/` and with the tests. Some run the
//! real thing: `journal` on files in `/dev/shm`, `http` and `control` behind sockets of their own.
//!
//! The engine is ours since one that sees coverage needs a nightly compiler and C++, which the gate
//! does without; what a reader answers steers it in place of that. `Target::read` takes bytes and
//! panics, as such a one wants it.

#![allow(clippy::disallowed_methods, reason = "looks at the clock, writes its finding")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the run")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::fuzz::engine::{Tally, feed, last_input, run};
use crate::fuzz::target::{TARGETS, Target};

#[path = "."]
mod fuzz {
    pub mod engine;
    pub mod mutate;
    pub mod target;
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Time for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One of those in target.rs [default: each in turn]
    #[arg(long, value_parser = target)]
    target: Option<Target>,
    /// Read this input, and no other
    #[arg(long, requires = "target")]
    replay: Option<PathBuf>,
    /// Where an input that fails is written
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

fn target(name: &str) -> Result<Target, String> {
    let known = TARGETS.into_iter().find(|(_, known)| *known == name);
    known.map(|(target, _)| target).ok_or_else(|| format!("unknown target {name:?}"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    for (target, name) in TARGETS {
        if args.target.is_some_and(|only| only != target) {
            continue;
        }
        let file = args.out.join(format!("fuzz-{name}-{}.bin", args.seed));
        // In release a panic aborts, so the input is saved before that.
        let hook_file = file.clone();
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            save(&hook_file);
            std::process::exit(1);
        }));
        let done = match &args.replay {
            Some(input) => {
                let mut tally = Tally::default();
                feed(target, std::fs::read(input).unwrap(), &mut tally).map(|_| tally)
            }
            None => run(target, args.seed, Duration::from_secs(args.seconds), progress(name)),
        };
        match done {
            Ok(tally) => say(name, &tally),
            Err(slow) => {
                eprintln!("{name}: too slow: {slow}");
                save(&file);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn progress(name: &'static str) -> impl FnMut(&Tally) {
    let mut last = Instant::now();
    move |tally| {
        if last.elapsed() >= PROGRESS {
            last = Instant::now();
            say(name, tally);
        }
    }
}

fn say(name: &str, tally: &Tally) {
    let rate = u128::from(tally.inputs) * 1000 / tally.took.as_millis().max(1);
    println!(
        "{name}: {} inputs, {} MB in {} s, {rate} inputs/s, {} kinds of answers, at most {:?} of processor time for 100 kB",
        tally.inputs,
        tally.bytes >> 20,
        tally.took.as_secs(),
        tally.kinds,
        tally.slowest,
    );
    // Nobody reads on: the run is still worth its exit code.
    let _ = std::io::stdout().flush();
}

fn save(file: &Path) {
    std::fs::write(file, &*last_input()).unwrap();
    eprintln!("the input is in {}", file.display());
}
