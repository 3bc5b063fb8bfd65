//! A captured text as rows of the client: folded, marked by what begins them, cut into the
//! conversation and what stands under the composer. Never judges what a row says.

/// Rows from the bottom that are looked at; a screen is smaller.
const ROWS_MAX: usize = 200;
/// Characters of a row that are looked at; the client's own rows are shorter.
const ROW_CHARS_MAX: usize = 600;
/// Rows that the client wraps one banner over at 30 columns, after the first.
const CONTINUATION_ROWS_MAX: usize = 5;
/// Rows under the composer: more means that it belongs to a client that has ended.
const FOOTER_ROWS_MAX: usize = 16;

const BULLETS: [char; 2] = ['⏺', '●'];
/// The frames of the spinner; the done row keeps the one it stopped at.
const STARS: [char; 7] = ['✻', '✽', '✶', '✳', '✢', '*', '·'];
/// Beginnings of the rows under the composer that have no glyph of their own.
const FOOTERS: [&str; 5] =
    ["⏵", "? for shortcuts", "← for agents", "Context left until auto-compact", "Context low ("];

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
    /// `✻ Worked for 5s`
    Done,
    /// Status and hints that belong under the composer.
    Footer,
    /// The client's logo: what stands above was painted by an earlier process.
    Logo,
    /// Indented under the row above, beginning with a separator, or an entry of a menu.
    Inset,
    /// At the left edge, without a glyph.
    Plain,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub mark: Mark,
    /// Folded, without its glyph and without space at its ends.
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Screen {
    pub rows: Vec<Row>,
    /// The first row that is not conversation any more.
    pub conversation_end: usize,
    /// The first row under the composer.
    pub footer_start: usize,
}

impl Screen {
    pub fn of(text: &str) -> Self {
        let text = text.trim_end();
        let mut rows: Vec<Row> = text.rsplit('\n').take(ROWS_MAX).map(Row::of).collect();
        rows.reverse();
        mark_composer_between_rules(&mut rows);
        let (conversation_end, footer_start) = cut(&rows);
        Self { rows, conversation_end, footer_start }
    }

    pub fn conversation(&self) -> &[Row] {
        &self.rows[..self.conversation_end]
    }

    pub fn has_composer(&self) -> bool {
        self.footer_start > self.conversation_end
    }

    pub fn footer(&self) -> &[Row] {
        &self.rows[self.footer_start..]
    }

    /// The row with what the client wrapped under it.
    pub fn joined(&self, at: usize) -> String {
        let mut line = self.rows[at].text.clone();
        let wrapped = self.rows[at + 1..]
            .iter()
            .take(CONTINUATION_ROWS_MAX)
            .take_while(|row| row.mark == Mark::Inset && !row.text.starts_with(['/', '•', '❯']));
        for row in wrapped {
            line.push(' ');
            line.push_str(&row.text);
        }
        line
    }

    /// The row that an indented or `⎿` row stands under; `None` when it has scrolled away.
    pub fn parent(&self, at: usize) -> Option<&Row> {
        self.rows[..at]
            .iter()
            .rev()
            .find(|row| !matches!(row.mark, Mark::Inset | Mark::Blank | Mark::Rule))
    }
}

impl Row {
    fn of(raw: &str) -> Self {
        let folded = fold(raw);
        let text = unboxed(folded.trim_end());
        let trimmed = text.trim();
        let indent = text.chars().take_while(|c| *c == ' ').count();
        let row = |mark, rest: &str| Self { mark, text: rest.trim().to_owned() };
        if trimmed.is_empty() {
            return row(Mark::Blank, "");
        }
        if is_rule(trimmed) {
            return row(Mark::Rule, "");
        }
        if trimmed.contains(['▛', '▜']) || trimmed.starts_with("✻ Welcome to Claude Code") {
            return row(Mark::Logo, trimmed);
        }
        if let Some(rest) = trimmed.strip_prefix(['❯', '>']).filter(|_| indent == 0) {
            let is_boxed = raw.trim_start().starts_with('│');
            let mark = if is_choice(rest) {
                Mark::Inset
            } else if rest.is_empty() || is_boxed || raw.starts_with("❯\u{a0}") {
                Mark::Composer
            } else if rest.starts_with(' ') {
                Mark::Prompt
            } else {
                Mark::Plain
            };
            return row(mark, rest);
        }
        if let Some(rest) = trimmed.strip_prefix(BULLETS).filter(|_| indent == 0) {
            return row(Mark::Bullet, rest);
        }
        // A picture of a screen inside an answer or a tool's output is indented deeper.
        if let Some(rest) = trimmed.strip_prefix('⎿').filter(|_| indent <= 2) {
            return row(Mark::Result, rest);
        }
        if let Some(rest) = trimmed.strip_prefix('⚠').filter(|_| indent <= 4) {
            return row(Mark::Alert, rest);
        }
        if FOOTERS.iter().any(|start| trimmed.starts_with(start)) {
            return row(Mark::Footer, trimmed);
        }
        if let Some(mark) = star_mark(trimmed).filter(|_| indent == 0) {
            return row(mark, trimmed.trim_start_matches(STARS));
        }
        if indent > 0 || trimmed.starts_with(['·', '∙', '•']) {
            return row(Mark::Inset, trimmed);
        }
        row(Mark::Plain, trimmed)
    }
}

/// No-break and other odd spaces become spaces, the typographic apostrophe becomes the plain one;
/// control characters and variation selectors go.
fn fold(raw: &str) -> String {
    raw.chars()
        .take(ROW_CHARS_MAX)
        .filter_map(|c| match c {
            '\u{a0}' | '\u{202f}' | '\t' => Some(' '),
            '’' => Some('\''),
            '\u{fe0e}' | '\u{fe0f}' | '\u{200b}' => None,
            _ if c.is_control() => None,
            _ => Some(c),
        })
        .collect()
}

/// What stands between the sides of a box of the client; its answers are indented deeper.
fn unboxed(text: &str) -> &str {
    let inner = text.strip_prefix('│').and_then(|rest| rest.strip_suffix('│'));
    inner.map_or(text, |inner| inner.strip_prefix(' ').unwrap_or(inner))
}

fn is_rule(text: &str) -> bool {
    let is_edge = |c: char| "─━═╌-╭╮╰╯┌┐└┘".contains(c);
    text.chars().all(is_edge) && text.chars().count() >= 4
}

/// ` 1. Yes`: an entry of a menu, not a prompt.
fn is_choice(rest: &str) -> bool {
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

/// Without its no-break space, an input line with a draft is told by the rules around it.
fn mark_composer_between_rules(rows: &mut [Row]) {
    for at in 1..rows.len().saturating_sub(1) {
        let marks = [rows[at - 1].mark, rows[at].mark, rows[at + 1].mark];
        if marks == [Mark::Rule, Mark::Prompt, Mark::Rule] {
            rows[at].mark = Mark::Composer;
        }
    }
}

/// Where the conversation ends and where the footer starts.
fn cut(rows: &[Row]) -> (usize, usize) {
    if let Some(composer) = rows.iter().rposition(|row| row.mark == Mark::Composer) {
        // A draft may go on for rows: it ends at the rule.
        let draft = rows[composer + 1..].iter().position(|row| row.mark == Mark::Rule);
        let start = composer + 1 + draft.map_or(0, |rule| rule + 1);
        if is_footer(&rows[start..]) {
            return (composer, start);
        }
    }
    let of_footer = |row: &&Row| matches!(row.mark, Mark::Footer | Mark::Blank | Mark::Rule);
    let end = rows.len() - rows.iter().rev().take_while(of_footer).count();
    (end, end)
}

/// Not so when somebody else writes there: the composer was left by a client that has ended.
fn is_footer(rows: &[Row]) -> bool {
    let foreign = |row: &Row| matches!(row.mark, Mark::Plain | Mark::Prompt | Mark::Logo);
    rows.iter().filter(|row| row.mark != Mark::Blank).count() <= FOOTER_ROWS_MAX
        && !rows.iter().any(foreign)
}
