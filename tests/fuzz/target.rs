//! The readers that are fed, their first inputs, and what each promises of its answers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use claude_failover::cli::classify::{Source, lines};
use claude_failover::moment::Wall;
use claude_failover::quota::transcript::Ending;
use claude_failover::quota::verdict::{Context, Reading};
use claude_failover::quota::{pane, report, reset_phrase, reset_time, transcript};
use serde_json::Value;

use crate::fuzz::mutate::Prng;

#[path = "config.rs"]
mod config;
#[path = "control.rs"]
mod control;
#[path = "guard.rs"]
mod guard;
#[path = "hook.rs"]
mod hook;
#[path = "http.rs"]
mod http;
#[path = "journal.rs"]
mod journal;
#[path = "task.rs"]
mod task;
#[path = "tmux.rs"]
mod tmux;

const PANES: &str = include_str!("../it/corpus/panes.jsonl");
const HARD: &str = include_str!("../it/corpus/hard.jsonl");
const TRANSCRIPT: &str = include_str!("corpus/transcript.jsonl");
const REPORTS: &str = include_str!("corpus/reports.jsonl");
const RESETS: &str = include_str!("corpus/resets.txt");

/// What the readers of the client look for, and the guard.
const CLIENT_WORDS: &[&str] = &[
    "You've hit your ",
    "You’ve hit your ",
    "5-hour limit",
    "weekly limit",
    "limit reached",
    "Opus ",
    "usage limit reached",
    " · ",
    " ∙ ",
    " • ",
    "resets ",
    "reset at ",
    "3pm",
    "4:24pm (UTC)",
    "in 5m",
    "Nov 25, 1:24pm",
    "Mon ",
    "(Asia/Tokyo)",
    "(GMT+2)",
    "|1795364667",
    "reached|",
    "⎿ ",
    "  ⎿  ",
    "● ",
    "⏺ ",
    "❯\u{a0}",
    "❯ ",
    "> ",
    "│ > ",
    "╭────╮",
    "────────────────────",
    "✻ Worked for 5s",
    "✢ Boogieing… (0s · ↓ 2 tokens)",
    "esc to interrupt",
    "⚠ ",
    "  ⏵⏵ bypass permissions on",
    "What do you want to do?",
    "Enter to confirm · Esc to cancel",
    "claude --resume ",
    "82840528-5c4e-4114-8dc2-50dc43ea65c9",
    "No conversation found with session ID: ",
    "API Error: 529",
    "API Error (",
    "Please run /login",
    "retrying in 9s · attempt 5/10",
    "Now using usage credits",
    "\u{a0}",
    "\u{202f}",
    "\u{fe0f}",
    "\u{200b}",
    "İ",
    "\u{0}",
    "\u{1b}[31m",
    "\r\n",
    "\t",
    "\"isApiErrorMessage\":true",
    "\"error\":\"rate_limit\"",
    "\"type\":\"assistant\"",
    "\"hook_event_name\":\"StopFailure\"",
    "\\udcff",
    "{\"id\":1,\"text\":\"",
    "99999999999999999999",
    "rm -rf ",
    " /",
    "$(",
    "${a:-",
    "}",
    ")",
    "\"",
    "'",
    "<<E\n",
    "\nE\n",
    "$((",
    "{a,b}",
    "{1..9}",
    " | sh",
    "; ",
    "f() { ",
    "for x in ",
    "; do ",
    "; done",
    "case x in ",
];

/// 2026-11-22 15:23:24 UTC.
pub const NOW: Wall = Wall(1_795_361_004_858);
pub const CONTEXT: Context<'_> = Context { now: NOW, zone: Some("Europe/Paris"), patterns: &[] };
const HORIZON_MS: u64 = 8 * 86_400_000;
const KEYS: [&str; 7] = ["id", "limit", "resets_at", "row", "rule", "swap", "verdict"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Pane,
    Transcript,
    Report,
    Reset,
    ClassifyJsonl,
    Guard,
    Config,
    GuardRules,
    Journal,
    Task,
    Tmux,
    Dialog,
    Http,
    Control,
    Hook,
}

pub const TARGETS: [(Target, &str); 15] = [
    (Target::Pane, "pane"),
    (Target::Transcript, "transcript"),
    (Target::Report, "report"),
    (Target::Reset, "reset"),
    (Target::ClassifyJsonl, "classify-jsonl"),
    (Target::Guard, "guard"),
    (Target::Config, "config"),
    (Target::GuardRules, "guard-rules"),
    (Target::Journal, "journal"),
    (Target::Task, "task"),
    (Target::Tmux, "tmux"),
    (Target::Dialog, "dialog"),
    (Target::Http, "http"),
    (Target::Control, "control"),
    (Target::Hook, "hook"),
];

impl Target {
    /// Inputs that a client gave, or could have given.
    pub fn corpus(self) -> Vec<Vec<u8>> {
        let rows = |text: &str| text.lines().map(|row| row.as_bytes().to_vec()).collect();
        match self {
            Self::Pane => PANES.lines().map(text_of).collect(),
            Self::Transcript => {
                let rows: Vec<&str> = TRANSCRIPT.lines().collect();
                // Every beginning of the conversation, and every record alone.
                let beginnings = (1..=rows.len()).map(|end| rows[..end].join("\n").into_bytes());
                beginnings.chain(rows.iter().map(|row| row.as_bytes().to_vec())).collect()
            }
            Self::Report => rows(REPORTS),
            Self::Reset => rows(RESETS),
            Self::ClassifyJsonl => {
                let panes: Vec<&str> = PANES.lines().collect();
                panes.chunks(4).map(|some| some.join("\n").into_bytes()).collect()
            }
            Self::Guard => guard::corpus(),
            Self::Config => config::corpus(),
            Self::GuardRules => config::rules_corpus(),
            Self::Journal => journal::corpus(),
            Self::Task => task::corpus(),
            Self::Tmux => tmux::corpus(),
            Self::Dialog => [PANES, HARD].iter().flat_map(|all| all.lines().map(text_of)).collect(),
            Self::Http => http::corpus(),
            Self::Control => control::corpus(),
            Self::Hook => [hook::corpus(), rows(REPORTS)].concat(),
        }
    }

    /// More is out of proportion: of processor time, for each 100 kB or part of them.
    pub fn slow(self) -> Duration {
        Duration::from_millis(match self {
            // What YAML may cost is bounded by the reader, and one input is read several times.
            Self::Config | Self::GuardRules | Self::Task => 150,
            // Of 75 000 lines that are none each has a complaint.
            Self::ClassifyJsonl => 150,
            // Read ten times, from files that each start flushes.
            Self::Journal => 100,
            _ => 50,
        })
    }

    /// What its reader looks for.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Pane | Self::Transcript | Self::Report | Self::Reset => CLIENT_WORDS,
            Self::ClassifyJsonl | Self::Guard | Self::Dialog => CLIENT_WORDS,
            Self::Config | Self::GuardRules => config::WORDS,
            Self::Journal => journal::WORDS,
            Self::Task => task::WORDS,
            Self::Tmux => tmux::WORDS,
            Self::Http => http::WORDS,
            Self::Control => control::WORDS,
            Self::Hook => hook::WORDS,
        }
    }

    /// Reads one input and holds the answer to its promises. Its kind: what is alike for inputs
    /// that took the same way.
    pub fn read(self, input: &[u8]) -> u64 {
        match self {
            Self::Pane => kind_of(&pane::read(&String::from_utf8_lossy(input), &CONTEXT)),
            Self::Transcript => {
                let reading = transcript::read(input, &CONTEXT);
                let mut ending = Ending::default();
                let rows = input.split(|byte| *byte == b'\n');
                for entry in rows.filter_map(|row| transcript::entry(row, &CONTEXT)) {
                    ending.take(entry);
                }
                let forwards = ending.error.map_or_else(Reading::clear, |error| error.reading);
                assert_eq!(reading, forwards, "read from its two ends");
                hash(&(
                    kind_of(&reading),
                    ending.prompted_at.is_some(),
                    ending.answered_at.is_some(),
                ))
            }
            Self::Report => {
                let Some(report) = report::parse(input, &CONTEXT) else { return 0 };
                assert!(report.at <= NOW, "it has happened");
                match report.news {
                    report::News::TurnFailed { reading, .. } => kind_of(&reading),
                    news => hash(&std::mem::discriminant(&news)),
                }
            }
            Self::Reset => read_reset(&String::from_utf8_lossy(input)),
            Self::ClassifyJsonl => read_lines(input),
            Self::Guard => guard::read(input),
            Self::Config => config::read(input),
            Self::GuardRules => config::read_rules(input),
            Self::Journal => journal::read(input),
            Self::Task => task::read(input),
            Self::Tmux => tmux::read(input),
            Self::Dialog => tmux::read_dialog(input),
            Self::Http => http::read(input),
            Self::Control => control::read(input),
            Self::Hook => hook::read(input),
        }
    }
}

/// The same bytes in pieces as a pipe or a socket may give them. Which pieces depends on the bytes alone.
pub fn cuts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    /// Of a long input most pieces are long, too.
    const PIECES: usize = 100;
    let mut prng = Prng::new(hash(&bytes));
    let usual = 8 + bytes.len() / PIECES;
    std::iter::from_fn(move || {
        let length = (1 + prng.below(usual)).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What a complaint ends with, without what it quotes: what is alike for all of one kind. Before that
/// it may name keys of the input.
pub fn words_of(complaint: &str) -> String {
    let end = complaint.rsplit(": ").next().unwrap_or_default();
    let unquoted = end.split('"').step_by(2).collect::<String>();
    unquoted.chars().filter(char::is_ascii_alphabetic).take(40).collect()
}

fn text_of(line: &str) -> Vec<u8> {
    let pane: Value = serde_json::from_str(line).unwrap();
    pane["text"].as_str().unwrap().as_bytes().to_vec()
}

fn kind_of(reading: &Reading) -> u64 {
    let verdict = serde_json::to_value(&reading.verdict).unwrap();
    hash(&(
        verdict["kind"].as_str(),
        verdict["limit"].as_str(),
        &reading.rule,
        format!("{:?}", reading.activity),
        reading.verdict.resets_at().is_some(),
        reading.reset_text.is_some(),
        reading.unrecognised.is_some(),
        (reading.last_user_row.is_some(), reading.resume_ids.len().min(2)),
    ))
}

fn read_reset(text: &str) -> u64 {
    let found = reset_phrase::find(text);
    let mut kind = vec![found.is_some()];
    for phrase in [Some(text), found].into_iter().flatten() {
        let shape = reset_phrase::shape(phrase);
        let at = reset_time::parse(phrase, NOW, CONTEXT.zone);
        if let Some(at) = at {
            assert!(at.0.abs_diff(NOW.0) <= HORIZON_MS, "{at} is beyond the horizon");
            assert!(shape.is_some(), "read from no shape");
        }
        let zone = shape.as_ref().is_some_and(|(_, zone)| zone.is_some());
        kind.extend([shape.is_some(), zone, at.is_some()]);
        if let Some((shape, _)) = shape {
            return hash(&(kind, std::mem::discriminant(&shape)));
        }
    }
    hash(&kind)
}

/// Each line is answered with its seven keys, or named.
fn read_lines(input: &[u8]) -> u64 {
    let (mut output, mut complaints) = (Vec::new(), Vec::new());
    let ended = lines(Source::Pane, input, &mut output, &mut complaints, &CONTEXT);
    let asked = input.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let rows = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(asked.count(), rows(&output) + rows(&complaints), "an answer or a complaint each");
    assert_eq!(ended.is_err(), !complaints.is_empty());
    let mut verdicts = Vec::new();
    for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let answer: Value = serde_json::from_slice(line).unwrap();
        let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, KEYS);
        verdicts.push(answer["verdict"].as_str().unwrap().to_owned());
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    hash(&(verdicts, rows(&complaints).min(3)))
}

pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
