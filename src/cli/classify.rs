//! `claude-failover classify`: pane texts on stdin → what the daemon would make of them.
//!
//! The operator's "why", and how accuracy is measured. Reads nothing but its input.

use std::io::{BufRead, Read, Write};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::exit;
use crate::clock::Clock;
use crate::moment::Wall;
use crate::quota::local_time::is_zone;
use crate::quota::pane::{Context, read};
use crate::quota::verdict::{LimitKind, Reading, Verdict};

/// The longest text that is taken; a whole tmux history is a few MiB.
const TEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Read one {"text": …, "id": …} a line; an id is given back
    #[arg(long)]
    pub jsonl: bool,
    /// The moment of the capture, RFC 3339 [default: now]
    #[arg(long)]
    pub now: Option<String>,
    /// The IANA zone of reset times that name none [default: UTC]
    #[arg(long)]
    pub zone: Option<String>,
}

#[derive(Deserialize)]
struct Input {
    id: Option<serde_json::Value>,
    text: String,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<serde_json::Value>,
    /// The verdict's name, as in the `kind` of a journaled one.
    verdict: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitKind>,
    /// Whether it may start a swap.
    exhaustion: bool,
    rule: &'a str,
    row: &'a str,
    reset_text: Option<&'a str>,
    /// RFC 3339, UTC.
    resets_at: Option<String>,
}

/// Reads stdin, writes stdout; the exit code.
pub fn run(args: &Args) -> u8 {
    let now = match args.now.as_deref().map(moment).transpose() {
        Ok(now) => now.unwrap_or_else(|| Clock::start().wall()),
        Err(error) => return failed(&error, exit::USAGE),
    };
    let context = Context { now, zone: args.zone.as_deref() };
    if context.zone.is_some_and(|zone| !is_zone(zone)) {
        let error = anyhow::anyhow!("--zone is no IANA zone; give one like Europe/Paris");
        return failed(&error, exit::USAGE);
    }
    let (stdin, stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    let done = if args.jsonl {
        classify_lines(stdin, stdout, &context)
    } else {
        classify_text(stdin, stdout, &context)
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => failed(&error, exit::FAILED),
    }
}

/// The whole input is one text.
pub fn classify_text(
    input: impl BufRead,
    mut output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    input.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).context("reading a text from stdin")?;
    check_length(bytes.len())?;
    write_line(&mut output, None, &read(&String::from_utf8_lossy(&bytes), context))
}

/// Each line of the input is an object with a text.
pub fn classify_lines(
    mut input: impl BufRead,
    mut output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    for number in 1_u64.. {
        let mut line = Vec::new();
        let mut bounded = input.by_ref().take(TEXT_BYTES_MAX + 1);
        bounded.read_until(b'\n', &mut line).context("reading a line from stdin")?;
        check_length(line.len())?;
        if line.is_empty() {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let input: Input = serde_json::from_slice(&line)
            .with_context(|| format!("reading line {number}: want an object with a \"text\""))?;
        write_line(&mut output, input.id, &read(&input.text, context))?;
    }
    Ok(())
}

fn check_length(bytes: usize) -> anyhow::Result<()> {
    if bytes as u64 > TEXT_BYTES_MAX {
        bail!("reading a text from stdin: over {TEXT_BYTES_MAX} bytes; cut it to its last screens");
    }
    Ok(())
}

fn write_line(
    output: &mut impl Write,
    id: Option<serde_json::Value>,
    reading: &Reading,
) -> anyhow::Result<()> {
    let verdict = serde_json::to_value(&reading.verdict).context("naming a verdict")?;
    let line = Output {
        id,
        verdict: verdict["kind"].clone(),
        limit: match reading.verdict {
            Verdict::Exhausted { limit, .. } => Some(limit),
            _ => None,
        },
        exhaustion: reading.verdict.is_exhaustion(),
        rule: &reading.rule,
        row: &reading.row,
        reset_text: reading.reset_text.as_deref(),
        resets_at: reading.verdict.resets_at().map(|at| at.to_string()),
    };
    let json = serde_json::to_string(&line).context("writing a verdict as JSON")?;
    writeln!(output, "{json}").context("writing to stdout")
}

fn moment(text: &str) -> anyhow::Result<Wall> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .with_context(|| format!("reading --now {text:?}: want 2026-11-22T15:23:24Z"))?;
    Ok(Wall(at.unix_timestamp().saturating_mul(1000)))
}

fn failed(error: &anyhow::Error, code: u8) -> u8 {
    eprintln!("claude-failover: {error:#}");
    code
}
