//! The live region of a screen: which row speaks for the client now. Pure.
//!
//! That is the notice under the composer, or the last row of the conversation that has a form of
//! the client ([`crate::quota::form`]) with no prompt, answer or tool row after it. Tool output,
//! diffs, quotes, listings, menus and the input line are nobody's word but their author's.

use crate::quota::banner::{is_whole, is_whole_spend, reset_in};
use crate::quota::form::{Class, Form, judge, retry};
use crate::quota::local_time::is_zone;
use crate::quota::pattern::by_pattern;
use crate::quota::phrases::{BEFORE_OUTPUT, SUFFIXES};
use crate::quota::quoted::{self, is_call, is_whole_of};
use crate::quota::reset_phrase::shape;
use crate::quota::row::{Mark, Row};
use crate::quota::screen::Screen;
use crate::quota::unknown;

/// The client submits this one itself, to open its menu.
pub const OWN_PROMPT: &str = "/rate-limit-options";
/// Rows of a terminal over which a banner may be cut.
const CUT_ROWS_MAX: usize = 5;

/// A row that says something, and when that ends, if it says so.
#[derive(Debug, Clone)]
pub struct Found {
    pub form: Form,
    pub row: String,
    pub reset: Option<String>,
}

impl Found {
    fn new(form: Form, row: String) -> Self {
        let reset = reset_in(&row);
        Self { form, row, reset }
    }
}

/// What the live region says.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub found: Option<Found>,
    /// A row that begins like a banner and has no known form.
    pub unrecognised: Option<String>,
}

impl Live {
    fn of(form: Form, row: String) -> Self {
        Self { found: Some(Found::new(form, row)), unrecognised: None }
    }
}

/// The notice under the composer and the banner above it, as one.
pub fn live(screen: &Screen<'_>, patterns: &[String]) -> Live {
    let above = latest(screen, patterns);
    let is_history = |found: &Found| found.form.class.refuses() && is_busy(screen);
    let found = above.found.filter(|found| !is_history(found));
    let below = notice(screen, patterns);
    let unrecognised = above.unrecognised.or(below.unrecognised);
    let found = match (found, below.found) {
        (_, Some(below)) if below.form.class == Class::Overage => Some(below),
        (Some(above), Some(below)) if below.form.class == Class::Wait => {
            Some(explained(above, Some(below)))
        }
        (Some(above), _) => Some(above),
        (None, below) => below,
    };
    Live { found, unrecognised }
}

/// The client waits: the banner, where it still stands, says for which limit.
fn explained(banner: Found, wait: Option<Found>) -> Found {
    match wait {
        Some(wait) if banner.form.class.refuses() || banner.form.class == Class::Model => {
            Found { reset: banner.reset.or(wait.reset), ..banner }
        }
        Some(wait) => wait,
        None => banner,
    }
}

/// The agent is inside a turn: whatever refused it before did not stop it. A narrow screen cuts the
/// words that say so.
pub fn is_busy(screen: &Screen<'_>) -> bool {
    let says_so = |row: &Row<'_>| {
        let text = row.text();
        text.contains("esc to interrupt")
            || text.contains("esctointerrupt")
            || (row.mark == Mark::Footer && is_cut_key(text))
    };
    let bottom = &screen.rows[screen.conversation_end..];
    bottom.iter().filter(|row| row.mark != Mark::Composer).any(says_so)
}

/// `… · esc to inte…`; other keys begin so, too: `· esc to cancel`.
fn is_cut_key(text: &str) -> bool {
    segments(text).any(|key| {
        let key = key.strip_suffix('…').filter(|key| key.starts_with("esc"));
        key.is_some_and(|key| "esc to interrupt".starts_with(key))
    })
}

/// What the rows under the composer say.
fn notice(screen: &Screen<'_>, patterns: &[String]) -> Live {
    let rows = screen.footer();
    let mut unrecognised = None;
    for (at, row) in rows.iter().enumerate() {
        let known = segments(row.text()).find_map(|text| Some((judge(text)?, text)));
        let known = known.or_else(|| {
            let form = by_pattern(row.text(), patterns).filter(|_| row.mark == Mark::Alert);
            Some((form?, row.text()))
        });
        let Some((form, text)) = known else {
            if row.mark == Mark::Alert && unknown::is_like_a_banner(row.text(), row.mark) {
                unrecognised = unrecognised.or_else(|| Some(row.text().to_owned()));
            }
            continue;
        };
        if matches!(form.class, Class::Tail | Class::Other) {
            continue;
        }
        let next = rows.get(at + 1).map_or("", Row::text);
        if form.class.refuses() && !is_notice(row, text, next, form) {
            continue;
        }
        let mut found = Found::new(form, text.to_owned());
        if found.reset.is_none() && row.mark == Mark::Alert {
            found.reset = reset_in(&format!("{text} {next}"));
        }
        return Live { found: Some(found), unrecognised };
    }
    Live { found: None, unrecognised }
}

/// The client's notice, and not a status line of the operator's that has a branch, a task or a title
/// in it: it begins the row, and ends as a banner does, if need be on the next row.
fn is_notice(row: &Row<'_>, text: &str, next: &str, form: Form) -> bool {
    // Under the composer the client's own row of keys may have it at its end.
    let in_keys = row.mark == Mark::Footer && reset_in(text).is_some();
    let in_place = row.mark == Mark::Alert || form.class == Class::Wait;
    let in_place = in_keys || (in_place && row.text().starts_with(text));
    let text = text.split("   ").next().unwrap_or(text);
    let is_over = |text: &str| match form.class {
        _ if text.ends_with('…') => true,
        Class::Wait if reset_in(text).is_none() => !text.ends_with(['.', '!', '?']),
        Class::Plan(_) if form.rule == "pattern" => is_whole_spend(text),
        class => is_whole_of(class, text),
    };
    in_place && (is_over(text) || is_over(&format!("{text} {next}")))
}

/// A status row, and its rests after each gap and each separator.
fn segments(row: &str) -> impl Iterator<Item = &str> {
    let starts = row.match_indices("   ").chain(row.match_indices(" · "));
    let mut starts: Vec<usize> = starts.map(|(at, gap)| at + gap.len()).collect();
    starts.sort_unstable();
    std::iter::once(0).chain(starts).map(|at| row[at..].trim_start())
}

/// The last row of the conversation that says something, if nothing newer stands after it.
fn latest(screen: &Screen<'_>, patterns: &[String]) -> Live {
    let mut wait: Option<Found> = None;
    let mut is_dismissed = false;
    for (at, row) in screen.conversation().iter().enumerate().rev() {
        match row.mark {
            Mark::Blank | Mark::Rule | Mark::Inset | Mark::Choice | Mark::Done => {}
            Mark::Footer | Mark::Composer => {}
            Mark::Prompt if row.text() == OWN_PROMPT => is_dismissed = false,
            Mark::Prompt if is_dismissed => is_dismissed = false,
            Mark::Prompt | Mark::Logo => break,
            // The moment before the client's own menu opens.
            Mark::Spinner if asked(screen, at).is_some_and(|row| row.text() == OWN_PROMPT) => {}
            Mark::Spinner => {
                let line = screen.joined(at, screen.continuation(at, is_hint).min(1));
                return retry(&line).map(|form| Live::of(form, line)).unwrap_or_default();
            }
            Mark::Result if is_under_spinner(screen, at) => {}
            Mark::Plain if matches!(row.text(), "}" | "]" | "})") => {}
            Mark::Result if is_under_idle_prompt(screen, at) => is_dismissed = true,
            Mark::Result | Mark::Plain if is_remark(row.text()) => {}
            Mark::Bullet | Mark::Result | Mark::Alert | Mark::Plain => {
                let Some((first, form, line)) = said(screen, at, patterns) else {
                    let line = screen.joined(at, screen.continuation(at, is_hint));
                    return Live {
                        found: wait,
                        unrecognised: unknown::candidate(screen, at, line),
                    };
                };
                if form.class == Class::Tail {
                    continue;
                }
                let found = Found::new(form, line);
                if form.class == Class::Lifted {
                    break;
                }
                if !is_own(screen, first, &found) {
                    // The client's place, but more words than a banner has.
                    let in_place = row.mark == Mark::Result && !is_shown(screen, at);
                    let more = (in_place && form.class.refuses())
                        .then(|| unknown::candidate(screen, at, found.row))
                        .flatten();
                    return Live { found: wait, unrecognised: more };
                }
                if form.class != Class::Wait {
                    return Live { found: Some(explained(found, wait)), unrecognised: None };
                }
                wait = wait.or(Some(found));
            }
        }
    }
    Live { found: wait, unrecognised: None }
}

/// A prompt that asked nobody: a dialog that was closed again, or one that still waits.
fn is_under_idle_prompt(screen: &Screen<'_>, at: usize) -> bool {
    let Some(prompt) = screen.parent(at, is_tool_call).filter(|row| row.mark == Mark::Prompt)
    else {
        return false;
    };
    let text = screen.rows[at].text();
    let is_closed = text == "Cancelled" || text.ends_with(" dialog dismissed");
    (prompt.text().starts_with('/') && is_closed) || text.starts_with("Queued · ")
}

/// What the client remarks under a banner.
fn is_remark(text: &str) -> bool {
    ["Stop hook error:", "✗ Auto-update failed"].iter().any(|start| text.starts_with(start))
}

/// What this row says, alone or with others: the first of them, and its text.
fn said(screen: &Screen<'_>, at: usize, patterns: &[String]) -> Option<(usize, Form, String)> {
    let line = screen.joined(at, screen.continuation(at, is_hint));
    if let Some(form) = judge(&line).or_else(|| by_pattern(&line, patterns)) {
        return Some((at, form, line));
    }
    quoted::said(screen, at)
        .map(|(form, line)| (at, form, line))
        .or_else(|| cut_by_terminal(screen, at))
}

/// The prompt that this row came after.
fn asked<'a>(screen: &'a Screen<'_>, at: usize) -> Option<&'a Row<'a>> {
    screen.rows[..at].iter().rfind(|row| row.mark == Mark::Prompt)
}

fn is_hint(text: &str) -> bool {
    judge(text).is_some_and(|form| form.class == Class::Tail)
}

/// A banner that the terminal, not the client, cut at its right edge: this row ends it.
fn cut_by_terminal(screen: &Screen<'_>, last: usize) -> Option<(usize, Form, String)> {
    let is_banner = |form: &Form| matches!(form.class, Class::Plan(_) | Class::Spend);
    if screen.rows[last].mark != Mark::Plain {
        return None;
    }
    for first in (last.saturating_sub(CUT_ROWS_MAX)..last).rev() {
        let row = &screen.rows[first];
        if begins_like_a_banner(row.text()) {
            let reset = reset_in(row.text());
            return screen.uncut(first, last).into_iter().find_map(|line| {
                let form = judge(&line).filter(is_banner)?;
                let is_ended = SUFFIXES.iter().any(|suffix| line.ends_with(suffix))
                    || reset_in(&line)
                        .is_some_and(|whole| names_no_odd_zone(&whole) && Some(whole) != reset);
                (is_ended && is_whole_of(form.class, &line)).then_some((first, form, line))
            });
        }
        if row.mark != Mark::Plain {
            break;
        }
    }
    None
}

/// A pager's `(END)` is no zone.
fn names_no_odd_zone(phrase: &str) -> bool {
    shape(phrase).and_then(|(_, zone)| zone).is_none_or(|zone| is_zone(&zone))
}

fn begins_like_a_banner(text: &str) -> bool {
    const STARTS: [&str; 9] = [
        "You've hit your",
        "You've reached your",
        "You're out of",
        "Claude usage limit",
        "Claude AI usage",
        "5-hour limit",
        "Session limit",
        "Weekly limit",
        "Limit reached",
    ];
    // A row that was cut in the middle of its first words is too short to tell.
    STARTS.iter().any(|start| text.starts_with(start))
}

/// Whether the client itself wrote this row, and not a tool, a listing or the model.
fn is_own(screen: &Screen<'_>, at: usize, found: &Found) -> bool {
    if found.form.rule == quoted::RULE {
        return true;
    }
    let row = &screen.rows[at];
    let parent = screen.parent(at, is_tool_call);
    match row.mark {
        Mark::Result => {
            !is_output(screen, at) && !is_shown(screen, at) && is_nothing_more(screen, at, found)
        }
        // Under the composer alone; on a cut screen without one, not inside an answer.
        Mark::Alert => {
            let in_answer = parent.is_some_and(|parent| parent.mark == Mark::Bullet);
            !screen.has_composer() && !in_answer
        }
        Mark::Bullet => is_nothing_more(screen, at, found),
        // Inside a listing, the rows before it are of no form either.
        Mark::Plain => {
            let follows_well = match at.checked_sub(1).map(|prev| &screen.rows[prev]) {
                Some(prev) if prev.mark == Mark::Plain => {
                    judge(prev.text()).is_some() || is_call(screen, at - 1)
                }
                Some(prev) => !prev.is_inset(),
                None => true,
            };
            follows_well && is_nothing_more(screen, at, found)
        }
        _ => true,
    }
}

/// The first result under a tool call is what the tool printed; a banner comes second. What hooks
/// and permissions say before it does not count.
pub fn is_output(screen: &Screen<'_>, at: usize) -> bool {
    let is_before = |text: &str| BEFORE_OUTPUT.iter().any(|start| text.starts_with(start));
    let mut parent = screen.parent_at(at, is_tool_call);
    while let Some(above) = parent {
        let row = &screen.rows[above];
        if row.mark != Mark::Result || !is_before(row.text()) {
            return is_tool(row);
        }
        parent = screen.parent_at(above, is_tool_call);
    }
    false
}

/// A picture of the client in an answer: under words that announce it, or under a picture of a prompt.
fn is_shown(screen: &Screen<'_>, at: usize) -> bool {
    let above = screen.rows[..at].iter().rfind(|row| row.mark != Mark::Blank);
    let in_answer =
        screen.parent(at, is_tool_call).is_some_and(|parent| parent.mark == Mark::Bullet);
    above.is_some_and(|row| match row.mark {
        Mark::Choice => row.indent > 0,
        Mark::Bullet | Mark::Inset => {
            in_answer && row.text().ends_with(':') && !row.text().ends_with("failed:")
        }
        _ => false,
    })
}

/// Rows that the model's own may look like: a limit's has no sentence behind it, nor under it.
fn is_nothing_more(screen: &Screen<'_>, at: usize, found: &Found) -> bool {
    let is_whole = match found.form.class {
        Class::Plan(_) if found.form.rule != "pattern" => is_whole(&found.row),
        // What the operator has seen may go on in ways that nobody here knows.
        Class::Plan(_) | Class::Spend => is_whole_spend(&found.row),
        Class::Wait => !found.row.ends_with(['.', '!', '?']),
        _ => return true,
    };
    if !is_whole {
        return false;
    }
    let from = at + 1 + screen.continuation(at, is_hint);
    // Two banners in one row are a list of them.
    let is_banner = |row: &Row<'_>| {
        let text = row.text();
        text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
            && judge(text).is_some_and(|form| form.class.refuses())
    };
    if screen.rows[at + 1..from].iter().any(is_banner) {
        return false;
    }
    if screen.rows[at].mark == Mark::Result {
        return true;
    }
    let under = &screen.rows[from..screen.conversation_end.max(from)];
    let mut in_hint = false;
    for row in under.iter().take_while(|row| matches!(row.mark, Mark::Blank | Mark::Inset)) {
        in_hint = row.mark != Mark::Blank && (in_hint || is_hint(row.text()));
        if row.mark == Mark::Inset && !in_hint && unknown::is_prose(row.text()) {
            return false;
        }
    }
    true
}

/// A tip or the task at hand.
fn is_under_spinner(screen: &Screen<'_>, at: usize) -> bool {
    screen.parent(at, is_tool_call).is_some_and(|parent| parent.mark == Mark::Spinner)
}

/// The row is a tool's, or a command that the user ran.
pub fn is_tool(row: &Row<'_>) -> bool {
    match row.mark {
        Mark::Bullet | Mark::Inset => is_tool_call(row.text()),
        Mark::Prompt | Mark::Plain => row.text().starts_with(['!', '$', '#']),
        _ => false,
    }
}

/// `Bash(cargo test)`, `Task Output(x)`, `plugin:tool (MCP)(…)`; not `Read 2 files (ctrl+o to …)`.
pub fn is_tool_call(text: &str) -> bool {
    let Some((name, _)) = text.split_once('(') else { return false };
    let is_word = |word: &str| {
        let is_name = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
        !word.is_empty() && word.chars().all(is_name)
    };
    let is_title = |word: &str| word.starts_with(char::is_uppercase);
    let words = || name.split(' ');
    text.contains("(MCP)(")
        || (words().all(is_word) && (words().count() == 1 || words().all(is_title)))
}
