//! The log: one line a message on standard error, and one line for a panic.
//!
//! On a terminal or in a file a line has its time and level; under journald it has the priority
//! that journald reads, and journald adds the time.

use std::io::Write;
use std::panic::PanicHookInfo;

use log::{Level, LevelFilter};

use crate::clock::Clock;
use crate::moment::Wall;

/// Other crates speak only when something is wrong.
const OTHERS: LevelFilter = LevelFilter::Warn;
const DEFAULT: LevelFilter = LevelFilter::Info;
const OURS: &str = "claude_failover";
const SENDERS: [&str; 3] = ["ureq", "ureq_proto", "rustls"];
const SERVER: &str = "tiny_http";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Plain,
    Journald,
}

/// Starts the log of this process. `level` (`--log-level`) wins over `RUST_LOG`.
///
/// A second call changes nothing.
pub fn init(level: Option<LevelFilter>) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(OTHERS);
    match (level, std::env::var("RUST_LOG")) {
        (Some(level), _) => builder.filter_module(OURS, level),
        (None, Ok(filters)) if !filters.is_empty() => builder.parse_filters(&filters),
        (None, _) => builder.filter_module(OURS, DEFAULT),
    };
    // They would write down what is sent, and with it what is secret.
    for module in SENDERS {
        builder.filter_module(module, OTHERS);
    }
    // Its accept loop is ended by us, which it takes for an error.
    builder.filter_module(SERVER, LevelFilter::Off);
    let sink = sink();
    let clock = Clock::start();
    builder.format(move |out, record| {
        let text = record.args().to_string();
        out.write_all(line(sink, record.level(), &text, clock.wall()).as_bytes())
    });
    // In a test binary somebody else may have been first.
    if builder.try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| log::error!("{}", panic_text(panic))));
    }
}

/// `JOURNAL_STREAM` names the device and inode of the stream; a child whose standard error was
/// redirected still inherits the variable.
fn sink() -> Sink {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    match rustix::fs::fstat(std::io::stderr()) {
        Ok(own) if stream == format!("{}:{}", own.st_dev, own.st_ino) => Sink::Journald,
        _ => Sink::Plain,
    }
}

fn line(sink: Sink, level: Level, text: &str, at: Wall) -> String {
    let text = one_line(text);
    match sink {
        Sink::Plain => format!("{at} {level:<5} {text}\n"),
        Sink::Journald => format!("<{}>{text}\n", priority(level)),
    }
}

/// Control characters would break the line, or reach the terminal of who reads it.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// syslog(3)
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn panic_text(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string);
    format!(
        "panic in thread {} at {}: {}",
        thread.name().unwrap_or("unnamed"),
        place.as_deref().unwrap_or("an unknown place"),
        payload_text(panic.payload())
    )
}

/// `panic!` gives one of these two.
fn payload_text(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Wall = Wall(1_795_361_004_858);

    #[test]
    fn a_plain_line_has_time_and_level_and_journald_gets_its_priority() {
        for (level, plain, journald) in [
            (Level::Error, "2026-11-22T15:23:24Z ERROR x\n", "<3>x\n"),
            (Level::Warn, "2026-11-22T15:23:24Z WARN  x\n", "<4>x\n"),
            (Level::Info, "2026-11-22T15:23:24Z INFO  x\n", "<6>x\n"),
            (Level::Debug, "2026-11-22T15:23:24Z DEBUG x\n", "<7>x\n"),
            (Level::Trace, "2026-11-22T15:23:24Z TRACE x\n", "<7>x\n"),
        ] {
            assert_eq!(line(Sink::Plain, level, "x", AT), plain);
            assert_eq!(line(Sink::Journald, level, "x", AT), journald);
        }
    }

    #[test]
    fn a_message_never_takes_more_than_its_line() {
        let text = "a\nb\u{1b}[2J\tä";
        assert_eq!(line(Sink::Journald, Level::Info, text, AT), "<6>a\\nb\\u{1b}[2J\\tä\n");
    }
}
