//! `claude-failover classify`: texts on stdin → what the daemon would make of them.
//!
//! The operator's "why", and how accuracy is measured. Reads nothing but its input. A batch goes on
//! behind a line that it cannot read, and ends with an error that counts them.

mod explain;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use anyhow::{Context as _, bail};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::exit;
use crate::cli::say;
use crate::clock::Clock;
use crate::moment::Wall;
use crate::quota::local_time::is_zone;
use crate::quota::report::News;
use crate::quota::verdict::{Activity, Context, LimitKind, Reading, Verdict};
use crate::quota::{pane, report, transcript};

/// The longest text, and the longest line of a batch: conversation files grow that long.
const TEXT_BYTES_MAX: usize = 256 << 20;
/// What is kept of the memory of a long line for the next one.
const LINE_BYTES_KEPT: usize = 1 << 20;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// stdin is a captured screen (default)
    #[arg(long, group = "source")]
    pub pane: bool,
    /// stdin is a conversation file; the verdict is of its end
    #[arg(long, group = "source")]
    pub transcript: bool,
    /// stdin is what a hook got, or `hook` sent
    #[arg(long, group = "source")]
    pub report: bool,
    /// One {"id", "text"} a line in, one verdict a line out
    #[arg(long)]
    pub jsonl: bool,
    /// The moment of the capture, RFC 3339 [default: now]
    #[arg(long)]
    pub now: Option<String>,
    /// The IANA zone of reset times that name none [default: UTC]
    #[arg(long)]
    pub zone: Option<String>,
    /// Say in words what decided, and what was left out
    #[arg(long, conflicts_with = "jsonl")]
    pub explain: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Pane,
    Transcript,
    Report,
}

impl Args {
    fn source(&self) -> Source {
        if self.transcript {
            Source::Transcript
        } else if self.report {
            Source::Report
        } else {
            Source::Pane
        }
    }
}

/// One line of a batch.
#[derive(Deserialize)]
struct Input {
    id: Option<serde_json::Value>,
    #[serde(deserialize_with = "bytes")]
    text: Vec<u8>,
}

/// What is written for each text. These keys, always.
#[derive(Serialize)]
struct Output<'a> {
    id: Option<serde_json::Value>,
    verdict: &'static str,
    /// Whether it would, as deciding evidence, end in a failover.
    swap: bool,
    limit: Option<LimitKind>,
    /// RFC 3339, UTC.
    resets_at: Option<String>,
    rule: &'a str,
    row: &'a str,
}

/// What is written for a single text: the same keys, and more.
#[derive(Serialize)]
struct LongOutput<'a> {
    #[serde(flatten)]
    output: Output<'a>,
    /// The reset as the client printed it.
    reset_text: Option<&'a str>,
    /// What a screen shows its client to be doing.
    activity: Activity,
    /// Whether the client waits for a reset and will go on by itself.
    armed: bool,
    /// A row that speaks of a limit in no known words.
    unrecognised: Option<&'a str>,
}

/// Reads stdin, writes stdout; the exit code.
pub fn run(args: &Args) -> u8 {
    let now = match args.now.as_deref().map(moment).transpose() {
        Ok(now) => now.unwrap_or_else(|| Clock::start().wall()),
        Err(error) => return failed(&error, exit::USAGE),
    };
    let context = Context { now, zone: args.zone.as_deref(), patterns: &[] };
    if context.zone.is_some_and(|zone| !is_zone(zone)) {
        let error = anyhow::anyhow!("--zone is no IANA zone; give one like Europe/Paris");
        return failed(&error, exit::USAGE);
    }
    let (stdin, stdout, source) = (io::stdin().lock(), io::stdout().lock(), args.source());
    let done = if args.jsonl {
        lines(source, stdin, stdout, io::stderr().lock(), &context)
    } else if args.explain {
        explained(source, stdin, stdout, &context)
    } else {
        text(source, stdin, stdout, &context)
    };
    match done {
        Ok(()) => exit::OK,
        Err(error) => failed(&error, exit::FAILED),
    }
}

/// The whole input is one screen.
pub fn classify_text(
    input: impl BufRead,
    output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    text(Source::Pane, input, output, context)
}

/// Each line of the input is an object with a screen.
pub fn classify_lines(
    input: impl BufRead,
    output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    lines(Source::Pane, input, output, io::sink(), context)
}

/// The whole input is one text: one line of JSON.
pub fn text(
    source: Source,
    input: impl BufRead,
    mut output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    let reading = reading(source, &whole(input)?, context)?;
    let line = LongOutput {
        output: Output::new(None, &reading),
        reset_text: reading.reset_text.as_deref(),
        activity: reading.activity,
        armed: reading.armed,
        unrecognised: reading.unrecognised.as_deref(),
    };
    write_line(&mut output, &line)
}

/// The whole input is one text: several lines for a person.
pub fn explained(
    source: Source,
    input: impl BufRead,
    mut output: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    let bytes = whole(input)?;
    let reading = reading(source, &bytes, context)?;
    let words = explain::words(source, &bytes, &reading, context);
    output.write_all(words.as_bytes()).context("writing to stdout")
}

/// Each line of the input is an object with a text: one line of JSON each, in their order, while
/// the next ones are still to come. One that cannot be read is named in `complaints`, and the
/// others go on; an error at the end counts them.
pub fn lines(
    source: Source,
    mut input: impl BufRead,
    mut output: impl Write,
    mut complaints: impl Write,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let (mut good, mut bad, mut first_bad) = (0_u64, 0_u64, None);
    for number in 1_u64.. {
        let read = match next_line(&mut input, &mut line)? {
            None => break,
            Some(Length::Within) if line.trim_ascii().is_empty() => continue,
            Some(Length::Within) => one(source, &line, context),
            Some(Length::Beyond) => Err(format!("over {TEXT_BYTES_MAX} bytes")),
        };
        match read {
            Ok((id, reading)) => {
                write_line(&mut output, &Output::new(id, &reading))?;
                good += 1;
            }
            Err(error) => {
                let complaint = format!("line {number}: {error}");
                // Nobody reads them: the count at the end remains.
                let _ = writeln!(complaints, "claude-failover: {complaint}");
                bad += 1;
                first_bad = first_bad.or(Some(complaint));
            }
        }
    }
    match first_bad {
        Some(first_bad) => {
            bail!("could not read {bad} of {} lines, first {first_bad}", good + bad)
        }
        None => Ok(()),
    }
}

/// What one line of a batch asks, and the answer; or what is wrong with it. In words: an error of its
/// own for each bad line may be one with a backtrace, at many times the cost.
fn one(
    source: Source,
    line: &[u8],
    context: &Context<'_>,
) -> Result<(Option<serde_json::Value>, Reading), String> {
    let input: Input = serde_json::from_slice(line.trim_ascii()).map_err(|error| {
        format!("want an object with a string \"text\": {}", in_one_line(&error))
    })?;
    let reading = reading(source, &input.text, context).map_err(|error| format!("{error:#}"))?;
    Ok((input.id, reading))
}

fn reading(source: Source, bytes: &[u8], context: &Context<'_>) -> anyhow::Result<Reading> {
    Ok(match source {
        Source::Pane => pane::read(&String::from_utf8_lossy(bytes), context),
        Source::Transcript => transcript::read(bytes, context),
        Source::Report => match report::parse(bytes, context).map(|report| report.news) {
            Some(News::TurnFailed { reading, .. }) => reading,
            Some(_) => Reading::clear(),
            None => {
                serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(bytes)
                    .context("want the report of a hook, one JSON object")?;
                // Of a kind that the daemon does not ask for.
                Reading::clear()
            }
        },
    })
}

impl<'a> Output<'a> {
    fn new(id: Option<serde_json::Value>, reading: &'a Reading) -> Self {
        Self {
            id,
            verdict: name(&reading.verdict),
            swap: reading.verdict.is_exhaustion(),
            limit: match reading.verdict {
                Verdict::Exhausted { limit, .. } => Some(limit),
                _ => None,
            },
            resets_at: reading.verdict.resets_at().map(|at| at.to_string()),
            rule: &reading.rule,
            row: &reading.row,
        }
    }
}

/// As in the journal.
fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Exhausted { .. } => "exhausted",
        Verdict::SpendLimit { .. } => "spend_limit",
        Verdict::Warning => "warning",
        Verdict::Throttled => "throttled",
        Verdict::ServerError => "server_error",
        Verdict::AuthFailed => "auth_failed",
        Verdict::ModelLimit => "model_limit",
        Verdict::Clear => "clear",
    }
}

/// Its number within the line would be taken for that of the line.
fn in_one_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} at column {}", error.column())
}

fn write_line(output: &mut impl Write, line: &impl Serialize) -> anyhow::Result<()> {
    let mut json = serde_json::to_vec(line).context("writing a verdict as JSON")?;
    json.push(b'\n');
    output.write_all(&json).context("writing to stdout")
}

fn whole(input: impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = TEXT_BYTES_MAX as u64 + 1;
    input.take(bound).read_to_end(&mut bytes).context("reading a text from stdin")?;
    if bytes.len() > TEXT_BYTES_MAX {
        bail!(
            "reading a text from stdin: over {TEXT_BYTES_MAX} bytes; only its end decides, give that"
        );
    }
    Ok(bytes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Within,
    Beyond,
}

/// The next line into `line`; of one that is too long nothing is kept. `None` at the end.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> anyhow::Result<Option<Length>> {
    line.clear();
    line.shrink_to(LINE_BYTES_KEPT);
    let mut bounded = input.by_ref().take(TEXT_BYTES_MAX as u64 + 1);
    let length = bounded.read_until(b'\n', line).context("reading a line from stdin")?;
    if length <= TEXT_BYTES_MAX || line.ends_with(b"\n") {
        return Ok((length > 0).then_some(Length::Within));
    }
    *line = Vec::new();
    input.skip_until(b'\n').context("reading a line from stdin")?;
    Ok(Some(Length::Beyond))
}

/// The bytes of a JSON string. Screens hold bytes that are no UTF-8, and half of a surrogate pair
/// stands for one in the JSON of other languages; both are read as any unknown character.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;
    impl serde::de::Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            Ok(text.as_bytes().to_vec())
        }
    }
    from.deserialize_bytes(Bytes)
}

fn moment(text: &str) -> anyhow::Result<Wall> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .with_context(|| format!("reading --now {text:?}: want 2026-11-22T15:23:24Z"))?;
    Ok(Wall(at.unix_timestamp().saturating_mul(1000)))
}

fn failed(error: &anyhow::Error, code: u8) -> u8 {
    say::error(format_args!("claude-failover: {error:#}"));
    code
}
