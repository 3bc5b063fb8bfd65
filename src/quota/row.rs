//! One captured row: folded, and marked by what begins it. Never judges what it says.

use std::borrow::Cow;

use crate::quota::fold::fold;

/// The frames of the spinner; the done row keeps the one it stopped at.
const STARS: [char; 7] = ['✻', '✽', '✶', '✳', '✢', '*', '·'];
/// Beginnings of the rows under the composer that have no glyph of their own.
const FOOTERS: [&str; 9] = [
    "⏵",
    "⏸",
    "? for shortcuts",
    "← for agents",
    "bypass permissions on",
    "Context left until auto-compact",
    "Context low (",
    "tmux focus-events",
    "tmuxfocus-events",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Blank,
    /// A horizontal line or the edge of a box.
    Rule,
    /// The input line, whatever is typed in it.
    Composer,
    /// A prompt that was submitted.
    Prompt,
    /// What the model or a tool call says, and notices that the client words like it.
    Bullet,
    /// `⎿`: what came of the row above.
    Result,
    /// `⚠`
    Alert,
    /// A spinner at work.
    Spinner,
    /// `✻ Worked for 5s`, and what the client remarks on its own.
    Done,
    /// Status and hints that belong under the composer.
    Footer,
    /// The client's logo: what stands above was painted by an earlier process.
    Logo,
    /// The entry of a menu at which its cursor stands.
    Choice,
    /// Indented under the row above, or beginning with a separator.
    Inset,
    /// At the left edge, without a glyph.
    Plain,
}

#[derive(Debug, Clone)]
pub struct Row<'a> {
    pub mark: Mark,
    /// Columns before the first character.
    pub indent: usize,
    folded: Cow<'a, str>,
    start: usize,
    end: usize,
}

impl<'a> Row<'a> {
    pub fn of(raw: &'a str) -> Self {
        let line = fold(raw.trim_end_matches(' '));
        let (inner, before, is_boxed) = unboxed(line.text.trim_end());
        let trimmed = inner.trim();
        let indent = inner.len() - inner.trim_start().len();
        let (mark, glyph) = match marked(trimmed, indent) {
            // By its no-break space, whatever is typed after it; by its box, unless it is a menu's.
            (Mark::Prompt | Mark::Choice | Mark::Plain, _)
                if trimmed.starts_with('❯') && line.no_break_at == Some('❯'.len_utf8()) =>
            {
                (Mark::Composer, '❯'.len_utf8())
            }
            (Mark::Prompt, glyph) if is_boxed => (Mark::Composer, glyph),
            marked => marked,
        };
        let rest = &trimmed[glyph..];
        let start = before + indent + glyph + (rest.len() - rest.trim_start().len());
        let end = start + rest.trim_start().len();
        Self { mark, indent, start, end, folded: line.text }
    }

    /// Folded, without its glyph and without space at its ends.
    pub fn text(&self) -> &str {
        &self.folded[self.start..self.end]
    }

    /// Part of what stands above it: no row of the conversation on its own.
    pub fn is_inset(&self) -> bool {
        matches!(self.mark, Mark::Inset | Mark::Choice)
    }
}

/// The mark of a row, and the bytes of its glyph.
fn marked(trimmed: &str, indent: usize) -> (Mark, usize) {
    let Some(first) = trimmed.chars().next() else { return (Mark::Blank, 0) };
    let glyph = first.len_utf8();
    let rest = &trimmed[glyph..];
    match first {
        _ if is_rule(trimmed) => (Mark::Rule, trimmed.len()),
        '❯' | '>' if indent == 0 => match rest {
            _ if is_entry(rest) => (Mark::Choice, glyph),
            "" => (Mark::Composer, glyph),
            _ if rest.starts_with(' ') => (Mark::Prompt, glyph),
            _ => (Mark::Plain, 0),
        },
        '❯' if rest.starts_with(' ') => (Mark::Choice, glyph),
        '⏺' | '●' if indent == 0 => (Mark::Bullet, glyph),
        // A picture of a screen inside an answer or a tool's output is indented deeper.
        '⎿' if indent <= 2 => (Mark::Result, glyph),
        '⚠' if indent <= 4 => (Mark::Alert, glyph),
        '※' if indent == 0 => (Mark::Done, glyph),
        _ if is_logo(trimmed) => (Mark::Logo, 0),
        _ if FOOTERS.iter().any(|start| trimmed.starts_with(start)) => (Mark::Footer, 0),
        _ => match star_mark(trimmed).filter(|_| indent == 0) {
            Some(mark) => (mark, trimmed.len() - trimmed.trim_start_matches(STARS).len()),
            None if indent > 0 || "·∙•".contains(first) => (Mark::Inset, 0),
            None => (Mark::Plain, 0),
        },
    }
}

/// What stands between the sides of a box of the client, and where; its answers are indented deeper.
fn unboxed(text: &str) -> (&str, usize, bool) {
    let Some(inner) = text.strip_prefix('│').and_then(|rest| rest.strip_suffix('│')) else {
        return (text, 0, false);
    };
    let shifted = inner.strip_prefix(' ').unwrap_or(inner);
    (shifted, '│'.len_utf8() + inner.len() - shifted.len(), true)
}

fn is_rule(text: &str) -> bool {
    let is_edge = |c: char| {
        matches!(
            c,
            '─' | '━'
                | '═'
                | '╌'
                | '-'
                | '╭'
                | '╮'
                | '╰'
                | '╯'
                | '┌'
                | '┐'
                | '└'
                | '┘'
                | '▔'
        )
    };
    text.starts_with(is_edge) && text.chars().all(is_edge) && text.chars().nth(3).is_some()
}

fn is_logo(text: &str) -> bool {
    text.starts_with(['▐', '▝', '▛', '▜', '▗', '✻']) && {
        text.contains(['▛', '▜']) || text.starts_with("✻ Welcome to Claude Code")
    }
}

/// ` 1. Yes`: an entry of a menu, not a prompt.
fn is_entry(rest: &str) -> bool {
    let entry = rest.trim_start();
    entry.starts_with(|c: char| c.is_ascii_digit()) && entry[1..].starts_with(". ")
}

fn star_mark(text: &str) -> Option<Mark> {
    let rest = text.strip_prefix(STARS)?;
    let works = rest.contains('…')
        || rest.contains("to interrupt")
        || rest.to_ascii_lowercase().contains("retrying in");
    match (works, text.starts_with(['*', '·'])) {
        (true, _) => Some(Mark::Spinner),
        (false, true) => None,
        (false, false) => Some(Mark::Done),
    }
}

/// Whether a row shows the client, and not only text that anybody may have printed.
pub fn is_of_client(mark: Mark) -> bool {
    match mark {
        Mark::Blank | Mark::Rule | Mark::Inset | Mark::Choice | Mark::Plain | Mark::Alert => false,
        Mark::Composer
        | Mark::Prompt
        | Mark::Bullet
        | Mark::Result
        | Mark::Spinner
        | Mark::Done
        | Mark::Footer
        | Mark::Logo => true,
    }
}
