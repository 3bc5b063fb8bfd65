//! The rows of a captured text, cut into the conversation and what stands under the composer, and
//! put together where the client or the terminal has wrapped them. Never judges what a row says.

use crate::quota::row::{Mark, Row, is_of_client};

/// Rows from the bottom that are looked at; a screen is smaller.
const ROWS_MAX: usize = 200;
/// Rows that the client wraps its longest banner over at 30 columns, after the first.
const CONTINUATION_ROWS_MAX: usize = 8;
/// Rows under the composer: more means that it belongs to a client that has ended.
const FOOTER_ROWS_MAX: usize = 16;
/// Beginnings of indented rows that are no continuation of the row above.
const OWN_BEGINNINGS: [char; 15] =
    ['•', '◻', '◼', '◯', '☐', '☒', '☑', '✔', '✓', '□', '■', '☰', '│', '⎿', '…'];

#[derive(Debug, Clone)]
pub struct Screen<'a> {
    pub rows: Vec<Row<'a>>,
    /// The first row that is not conversation any more.
    pub conversation_end: usize,
    /// The first row under the composer.
    pub footer_start: usize,
}

impl<'a> Screen<'a> {
    pub fn of(text: &'a str) -> Self {
        let text = text.trim_end();
        let mut rows: Vec<Row<'a>> = text.rsplit('\n').take(ROWS_MAX).map(Row::of).collect();
        rows.reverse();
        mark_composer_between_rules(&mut rows);
        mark_spinner_cut_from_its_star(&mut rows);
        let (conversation_end, footer_start) = cut(&rows);
        Self { rows, conversation_end, footer_start }
    }

    pub fn conversation(&self) -> &[Row<'a>] {
        &self.rows[..self.conversation_end]
    }

    pub fn has_composer(&self) -> bool {
        self.footer_start > self.conversation_end
    }

    pub fn footer(&self) -> &[Row<'a>] {
        &self.rows[self.footer_start..]
    }

    /// The client is on the screen, and not only what others print.
    pub fn shows_client(&self) -> bool {
        self.rows.iter().any(|row| is_of_client(row.mark))
    }

    /// How many rows after this one the client wrapped it over. `is_hint` tells a row that stands
    /// under it on its own.
    pub fn continuation(&self, at: usize, is_hint: impl Fn(&str) -> bool) -> usize {
        self.rows[at + 1..]
            .iter()
            .take(CONTINUATION_ROWS_MAX)
            .take_while(|row| {
                let text = row.text();
                let is_own = text.starts_with(OWN_BEGINNINGS) || is_command(text) || is_hint(text);
                row.mark == Mark::Inset && !is_own
            })
            .count()
    }

    /// The row with as many rows under it as are its continuation.
    pub fn joined(&self, at: usize, rows: usize) -> String {
        let mut line = self.rows[at].text().to_owned();
        for row in &self.rows[at + 1..=at + rows] {
            line.push(' ');
            line.push_str(row.text());
        }
        line
    }

    /// The rows from `first` to `last` as one, had the terminal cut them at its right edge: with
    /// no space where a row is full, and with one where it may have stood.
    pub fn uncut(&self, first: usize, last: usize) -> [String; 2] {
        let columns =
            |row: &Row<'_>| row.indent + row.text().chars().count() + glyph_columns(row.mark);
        let widest = self.rows[first..last].iter().map(columns).max().unwrap_or(0);
        [true, false].map(|cuts_words| {
            let mut line = self.rows[first].text().to_owned();
            for at in first + 1..=last {
                if !(cuts_words && columns(&self.rows[at - 1]) == widest) {
                    line.push(' ');
                }
                line.push_str(self.rows[at].text());
            }
            line
        })
    }

    /// The row that an indented or `⎿` row stands under; `None` when it has scrolled away.
    /// `is_call` tells an indented row that is a parent of its own: a tool call whose bullet blinks.
    pub fn parent(&self, at: usize, is_call: impl Fn(&str) -> bool) -> Option<&Row<'a>> {
        self.parent_at(at, is_call).map(|parent| &self.rows[parent])
    }

    pub fn parent_at(&self, at: usize, is_call: impl Fn(&str) -> bool) -> Option<usize> {
        self.rows[..at].iter().rposition(|row| match row.mark {
            Mark::Blank | Mark::Rule | Mark::Choice => false,
            Mark::Inset => row.indent <= 2 && is_call(row.text()),
            _ => true,
        })
    }
}

/// `/upgrade to …`, and not the rest of an address.
fn is_command(text: &str) -> bool {
    let name = text.strip_prefix('/').and_then(|rest| rest.split(' ').next());
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

fn glyph_columns(mark: Mark) -> usize {
    match mark {
        Mark::Result => 3,
        Mark::Bullet | Mark::Alert => 2,
        _ => 0,
    }
}

/// Without its no-break space, an input line with a draft is told by the rules around it.
fn mark_composer_between_rules(rows: &mut [Row<'_>]) {
    for at in 1..rows.len().saturating_sub(1) {
        let marks = [rows[at - 1].mark, rows[at].mark, rows[at + 1].mark];
        if marks == [Mark::Rule, Mark::Prompt, Mark::Rule] {
            rows[at].mark = Mark::Composer;
        }
    }
}

/// At 40 columns the star of a retry stands on a row of its own.
fn mark_spinner_cut_from_its_star(rows: &mut [Row<'_>]) {
    for at in 1..rows.len() {
        let is_lone_star = rows[at - 1].mark == Mark::Done && rows[at - 1].text().is_empty();
        if is_lone_star && rows[at].text().to_ascii_lowercase().contains("· retrying in") {
            rows[at].mark = Mark::Spinner;
        }
    }
}

/// Where the conversation ends and where the footer starts.
fn cut(rows: &[Row<'_>]) -> (usize, usize) {
    if let Some(composer) = rows.iter().rposition(|row| row.mark == Mark::Composer) {
        // A draft may go on for rows: it ends at the rule.
        let draft = rows[composer + 1..].iter().position(|row| row.mark == Mark::Rule);
        let start = composer + 1 + draft.map_or(0, |rule| rule + 1);
        if is_footer(&rows[start..]) {
            return (composer, start);
        }
    }
    let of_footer = |row: &&Row<'_>| matches!(row.mark, Mark::Footer | Mark::Blank | Mark::Rule);
    let end = rows.len() - rows.iter().rev().take_while(of_footer).count();
    (end, end)
}

/// Not so when somebody else writes there: the composer was left by a client that has ended. A
/// status line of the operator's own may begin at the edge, but the client's rows follow it.
fn is_footer(rows: &[Row<'_>]) -> bool {
    let status_end = rows.iter().rposition(|row| row.mark == Mark::Footer).unwrap_or(0);
    let keys_start = rows.iter().position(|row| row.mark == Mark::Footer).unwrap_or(0);
    let foreign = |(at, row): (usize, &Row<'_>)| match row.mark {
        Mark::Prompt | Mark::Logo => true,
        Mark::Plain => at >= status_end || (at > keys_start && is_shell_prompt(row.text())),
        _ => false,
    };
    rows.iter().filter(|row| row.mark != Mark::Blank).count() <= FOOTER_ROWS_MAX
        && !rows.iter().enumerate().any(foreign)
}

fn is_shell_prompt(text: &str) -> bool {
    // Not the share of something: `37%`.
    let ends = text.ends_with(['$', '#', '%', '>'])
        && !text.trim_end_matches('%').ends_with(|c: char| c.is_ascii_digit());
    ends || text.contains("$ ") || text.starts_with('➜')
}
