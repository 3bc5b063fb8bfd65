//! What one row of the client says, told by how it begins. Never looks at a screen.
//!
//! The client's own texts have a fixed form: a known beginning, then the end of the row or one of
//! its separators. A sentence that goes on in any other way only talks about limits.

use crate::moment::Wall;
use crate::quota::banner::{begins_with_reset, is_end, reset_in};
use crate::quota::phrases::{
    self, MODELS, PLAN_WORDS, PREDECESSOR_VETOES, SEPARATORS, SPEND_WORDS,
};
use crate::quota::verdict::{LimitKind, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A limit of the plan is reached.
    Plan(LimitKind),
    /// A spend limit is reached, or the credits are spent.
    Spend,
    /// The client waits for a reset. Which limit it was stands in the banner, if anywhere.
    Wait,
    /// The limit has gone: what stands above is history.
    Lifted,
    /// Requests go on, paid from credits or at low priority.
    Overage,
    Warning,
    Throttled,
    Server,
    Auth,
    Model,
    /// Another limit than the plan's: the context's, a budget's.
    Other,
    /// What the client prints under a banner without saying anything new.
    Tail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub class: Class,
    pub rule: &'static str,
}

/// Beginnings that decide alone.
pub const BEGINNINGS: [(&[&str], Class, &str); 14] = [
    (&phrases::WAITS, Class::Wait, "wait_notice"),
    (&phrases::LIFTED, Class::Lifted, "limit_lifted"),
    (&phrases::CREDITS_SPENT, Class::Spend, "credits_spent"),
    (&phrases::NO_ALLOWANCE, Class::Spend, "no_allowance"),
    (&phrases::OTHER_LIMITS, Class::Other, "other_limit"),
    (&phrases::OVERAGE, Class::Overage, "overage"),
    (&phrases::WARNINGS, Class::Warning, "warning"),
    (&phrases::FAST_LIMITS, Class::Warning, "fast_limit"),
    (&phrases::MODEL_CREDITS, Class::Model, "model_limit"),
    (&phrases::THROTTLES, Class::Throttled, "throttle"),
    (&phrases::LOGIN, Class::Auth, "login"),
    (&phrases::ORGANIZATION, Class::Auth, "organization"),
    (&phrases::CONNECTION, Class::Server, "connection"),
    (&phrases::TAIL, Class::Tail, "tail"),
];

/// Words before "limit"; more are a sentence.
const LIMIT_WORDS_MAX: usize = 5;
const ROW_BYTES_MAX: usize = 800;

/// What a row says; `None` when it is not one of the client's own texts about quota and errors.
/// `row` is folded, without its glyph, with its wrapped rest.
pub fn judge(row: &str) -> Option<Form> {
    let row = head(row);
    let lower = row.to_ascii_lowercase();
    let form = beginning(&lower)
        .or_else(|| api_error(&lower))
        .or_else(|| busy_model(&lower))
        .or_else(|| hit_your(row, &lower))
        .or_else(|| limit_reached(row, &lower))?;
    if form.class.refuses() && PREDECESSOR_VETOES.iter().any(|veto| lower.contains(veto)) {
        return Some(Form { class: Class::Server, rule: "veto" });
    }
    if form.class.refuses() && lower.contains("now using") {
        return Some(Form { class: Class::Overage, rule: "overage" });
    }
    Some(form)
}

impl Class {
    /// What it means for the account; `None` when it means nothing for it.
    pub fn verdict(self, resets_at: Option<Wall>) -> Option<Verdict> {
        Some(match self {
            Class::Plan(limit) => Verdict::Exhausted { limit, resets_at },
            Class::Wait => Verdict::Exhausted { limit: LimitKind::Unnamed, resets_at },
            Class::Spend => Verdict::SpendLimit { resets_at },
            Class::Overage | Class::Warning => Verdict::Warning,
            Class::Throttled => Verdict::Throttled,
            Class::Server => Verdict::ServerError,
            Class::Auth => Verdict::AuthFailed,
            Class::Model => Verdict::ModelLimit,
            Class::Lifted | Class::Other | Class::Tail => return None,
        })
    }

    /// The work has stopped, and another account may go on with it.
    pub fn refuses(self) -> bool {
        match self {
            Class::Plan(_) | Class::Spend | Class::Wait => true,
            Class::Lifted
            | Class::Overage
            | Class::Warning
            | Class::Throttled
            | Class::Server
            | Class::Auth
            | Class::Model
            | Class::Other
            | Class::Tail => false,
        }
    }
}

/// As much of a row as is looked at.
pub fn head(row: &str) -> &str {
    let end = (0..=row.len().min(ROW_BYTES_MAX)).rev().find(|&at| row.is_char_boundary(at));
    &row[..end.unwrap_or(0)]
}

/// `✻ 529 Overloaded · retrying in 9s · attempt 5/10`: the text of a spinner. While the request is
/// under way it says `· retrying… · attempt 5/10`.
pub fn retry(row: &str) -> Option<Form> {
    let lower = row.to_ascii_lowercase();
    let class = if lower.starts_with("429") { Class::Throttled } else { Class::Server };
    let is_retry = lower.contains("retrying in") || lower.contains("· retrying… · attempt");
    is_retry.then_some(Form { class, rule: "retry" })
}

fn beginning(lower: &str) -> Option<Form> {
    let begun = |(starts, class, rule): &(&[&str], Class, &'static str)| {
        let start = starts.iter().find(|start| lower.starts_with(**start))?;
        // A sentence may go on; a refusal does not.
        let goes_on = *class == Class::Spend && !is_end(&lower[start.len()..]);
        (!goes_on).then_some(Form { class: *class, rule })
    };
    BEGINNINGS.iter().find_map(begun)
}

/// `API Error: 529 …`, `API Error (Connection error.) · Retrying …`.
fn api_error(lower: &str) -> Option<Form> {
    const THROTTLES: [&str; 4] =
        ["server is temporarily limiting", "request rejected (429)", "rate limit reached", "429"];
    const UNRELATED: [&str; 4] = ["400", "404", "413", "request was aborted"];
    let rest = lower.strip_prefix("api error")?;
    let cause = rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" ("))?;
    let begins = |starts: &[&str]| starts.iter().any(|start| cause.starts_with(start));
    let (class, rule) = if begins(&THROTTLES) {
        (Class::Throttled, "throttle")
    } else if cause.starts_with("usage credits required") {
        (Class::Model, "model_limit")
    } else if cause.contains("organization has been disabled") {
        (Class::Auth, "organization")
    } else if cause.starts_with("401") || cause.contains("/login") {
        (Class::Auth, "login")
    } else if begins(&UNRELATED) {
        return None;
    } else {
        (Class::Server, "api_error")
    };
    Some(Form { class, rule })
}

/// `Opus is experiencing high load, …`; `<model> is temporarily unavailable (rate-limited), …`.
fn busy_model(lower: &str) -> Option<Form> {
    let (name, rest) = lower.split_once(" is ")?;
    let busy = ["experiencing high load", "temporarily unavailable (rate-limited)"];
    (!name.contains(' ') && busy.iter().any(|start| rest.starts_with(start)))
        .then_some(Form { class: Class::Server, rule: "busy_model" })
}

/// `You've hit your weekly limit · resets …`.
fn hit_your(row: &str, lower: &str) -> Option<Form> {
    const STARTS: [&str; 2] = ["you've hit your ", "you've reached your "];
    let start = STARTS.iter().find(|start| lower.starts_with(**start))?;
    // In the middle of a sentence it has no capital.
    let text = row.get(start.len()..).filter(|_| row.starts_with('Y'))?;
    let (clause, rest) = clause(text);
    let clause = without_plan(clause);
    let words = clause.strip_suffix("limit").or_else(|| {
        // "shared budget": the word belongs to what is limited.
        clause.ends_with("budget").then_some(clause)
    })?;
    limit(words, rest, "hit_your_limit").or_else(|| new_limit(words, rest))
}

/// `usage limit for Claude Max`: the plan is named behind the limit, too.
fn without_plan(clause: &str) -> &str {
    let is_known = |word: &str| has_word(&PLAN_WORDS, &word.to_lowercase());
    match clause.split_once(" for Claude") {
        Some((limit, plan)) if plan.split_whitespace().all(is_known) => limit,
        _ => clause,
    }
}

/// `5-hour limit reached ∙ resets 3am`; `Claude AI usage limit reached|1749924000`.
fn limit_reached(row: &str, lower: &str) -> Option<Form> {
    if lower.starts_with("quota exceeded") {
        reset_in(row)?;
        return Some(Form { class: Class::Plan(LimitKind::Unnamed), rule: "quota_exceeded" });
    }
    let cap = || lower.starts_with("spending cap reached").then_some("spending ".len());
    let words_end = lower.find("limit reached").or_else(cap)?;
    let reached = words_end + lower.get(words_end..)?.find("reached")? + "reached".len();
    let (words, rest) = (row.get(..words_end)?, row.get(reached..)?);
    // Without a word of the plan, only a reset tells it from any other limit.
    if words.trim().is_empty() {
        reset_in(row)?;
    }
    limit(words, rest, "limit_reached")
}

/// A limit by the words before it, when what follows is what the client lets follow.
fn limit(words: &str, rest: &str, rule: &'static str) -> Option<Form> {
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.len() > LIMIT_WORDS_MAX {
        return None;
    }
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let has = |known: &[&str]| lower.iter().any(|word| has_word(known, word));
    if lower.iter().any(|word| names_model(word)) {
        return Some(Form { class: Class::Model, rule: "model_limit" });
    }
    let rest = rest.trim_start();
    let closed = rest.starts_with("reset")
        || rest
            .strip_prefix('|')
            .is_some_and(|epoch| epoch.starts_with(|c: char| c.is_ascii_digit()))
        // Other signs follow in prose too, but not with a reset phrase right behind them.
        || rest.trim_end_matches('.').is_empty()
        || (!rest.starts_with('.') && is_end(rest))
        || (rest.starts_with('.') && begins_with_reset(rest.trim_start_matches('.')));
    if !closed {
        return None;
    }
    let known = |word: &String| has_word(&PLAN_WORDS, word) || has_word(&SPEND_WORDS, word);
    if !lower.iter().all(known) {
        return None;
    }
    let class = if has(&SPEND_WORDS) { Class::Spend } else { Class::Plan(kind(&words)) };
    Some(Form { class, rule })
}

/// Which limit the words name.
pub fn kind(words: &[&str]) -> LimitKind {
    let has = |known: &[&str]| words.iter().any(|word| has_word(known, &word.to_lowercase()));
    if has(&["5-hour", "five-hour", "session"]) {
        LimitKind::FiveHour
    } else if has(&["weekly", "7-day", "seven-day"]) {
        LimitKind::Weekly
    } else {
        LimitKind::Unnamed
    }
}

/// A limit in words that are new to us: a model's, if one is a name, the plan's, if one speaks of it;
/// and only when the client says when it ends. An upload's limit is neither.
fn new_limit(words: &str, rest: &str) -> Option<Form> {
    reset_in(rest)?;
    let is_name = |word: &str| word.starts_with(char::is_uppercase);
    let of_plan = |word: &str| has_word(&PLAN_WORDS, &word.to_lowercase());
    let class = if words.split_whitespace().any(is_name) {
        Class::Model
    } else if words.trim().is_empty() || words.split_whitespace().any(of_plan) {
        Class::Plan(LimitKind::Unnamed)
    } else {
        return None;
    };
    let few = words.split_whitespace().count() <= LIMIT_WORDS_MAX;
    (few && rest.starts_with(SEPARATORS)).then_some(Form { class, rule: "new_limit" })
}

/// `opus`, `opusplan`; in lower case.
pub fn names_model(word: &str) -> bool {
    MODELS.iter().any(|model| word.contains(model))
}

fn has_word(known: &[&str], word: &str) -> bool {
    known.contains(&word)
}

/// The words up to the first separator, bracket or full stop, and what follows them.
fn clause(text: &str) -> (&str, &str) {
    let ends = |at: usize, c: char| {
        let is_word_over =
            || text[at + c.len_utf8()..].chars().next().is_none_or(|next| next == ' ');
        let is_spaced = || text[..at].ends_with(' ');
        match c {
            _ if SEPARATORS.contains(&c) => true,
            '|' | '(' | ',' | ';' => true,
            '.' => is_word_over(),
            '-' | '–' | '—' => is_spaced() && is_word_over(),
            _ => false,
        }
    };
    let end = text.char_indices().find(|&(at, c)| ends(at, c)).map_or(text.len(), |(at, _)| at);
    (text[..end].trim_end(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::phrases::PREDECESSOR_PHRASES;

    fn class(row: &str) -> Option<Class> {
        judge(row).map(|form| form.class)
    }

    #[test]
    fn each_phrase_of_the_predecessor_ends_where_it_belongs() {
        use Class::{Plan, Throttled};
        use LimitKind::{FiveHour, Unnamed};
        let fates = [
            ("You've hit your limit", Some(Plan(Unnamed))),
            ("rate_limit_error", Some(Throttled)),
            ("Quota exceeded · resets 8pm", Some(Plan(Unnamed))),
            ("Usage limit reached", Some(Plan(Unnamed))),
            ("Too many requests", Some(Throttled)),
            ("Claude Pro usage limit reached · resets 8pm", Some(Plan(Unnamed))),
            ("5-hour limit reached", Some(Plan(FiveHour))),
        ];
        for (phrase, (row, fate)) in PREDECESSOR_PHRASES.into_iter().zip(fates) {
            assert!(row.to_lowercase().starts_with(phrase), "{row}");
            assert_eq!(class(row), fate, "{row}");
            assert_eq!(class(&format!("we saw {row}")), None, "{row}");
        }
        assert_eq!(class("Quota exceeded"), None, "a disk's quota as well");
    }

    #[test]
    fn a_veto_holds_for_its_own_row() {
        for veto in PREDECESSOR_VETOES {
            let row = format!("You've hit your limit · {veto}");
            assert_eq!(class(&row), Some(Class::Server), "{row}");
        }
    }

    #[test]
    fn a_limit_is_named_by_the_words_before_it() {
        let rows = "
            five_hour  You've hit your 5-hour limit · resets 4:24pm (UTC)
            five_hour  Session limit reached ∙ resets 8pm
            five_hour  You've hit your 5-hour limit · resets 4:25pm (UTC) · out of usage credits
            weekly     You've hit your weekly limit · resets Mon 12:00am
            weekly     Weekly limit reached ∙ resets Oct 9, 3pm
            unnamed    Claude AI usage limit reached|1749924000
            unnamed    Claude usage limit reached. Your limit will reset at 1pm (Etc/GMT+5).
            unnamed    You've hit your crew session limit · resets 4pm
            unnamed    You've hit your usage limit for Claude Max. Your limit will reset at 5pm (UTC).
            model      You've hit your opusplan limit · resets 4pm
            spend      Spending cap reached resets 5:10pm
            spend      You've hit your monthly spend limit · raise it at claude.ai
            spend      You're out of extra usage · resets 5pm (UTC)
            spend      Your seat type doesn't include usage credits
            wait       Usage limit reached · limit resets 4:24pm
            lifted     Usage limit reset · continuing automatically
            model      You've hit your Opus limit · resets 3:45pm
            model      You've reached your Fable limit. Run /usage-credits to continue
            model      Opus 4.1 limit reached, now using Sonnet 4.5
            model      Opus weekly limit reached ∙ resets Nov 10, 5pm
            model      You've hit your Saga limit · resets 3:45pm
            overage    5-hour limit reached · resets 3pm · now using extra usage
            warning    You've hit your fast limit · resets in 2h
            warning    You've used 91% of your 5-hour limit · resets 2:25pm (UTC)
            throttled  API Error: Server is temporarily limiting requests (not your usage limit)
            throttled  API Error: Request rejected (429) · Rate limited.
            server     API Error: 500 {\"message\":\"Internal server error\"} rate limit
            server     API Error (Connection error.) · Retrying in 19 seconds… (attempt 6/10)
            auth       API Error: 401 {\"x\":1} · Please run /login
            other      Context limit reached · /compact or /clear to continue
            other      Budget limit reached ($5.01 spent of the $5.00 maximum).
            other      Concurrent subagent limit reached. You can run 5 subagents at once.
            none       API Error: 400 messages: text content blocks must be non-empty";
        for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (expected, row) = row.split_once("  ").expect("two columns");
            assert_eq!(name(class(row.trim())), expected, "{row}");
        }
    }

    fn name(class: Option<Class>) -> &'static str {
        match class {
            Some(Class::Plan(LimitKind::FiveHour)) => "five_hour",
            Some(Class::Plan(LimitKind::Weekly)) => "weekly",
            Some(Class::Plan(LimitKind::Unnamed)) => "unnamed",
            Some(Class::Spend) => "spend",
            Some(Class::Wait) => "wait",
            Some(Class::Lifted) => "lifted",
            Some(Class::Overage) => "overage",
            Some(Class::Warning) => "warning",
            Some(Class::Throttled) => "throttled",
            Some(Class::Server) => "server",
            Some(Class::Auth) => "auth",
            Some(Class::Model) => "model",
            Some(Class::Other) => "other",
            Some(Class::Tail) => "tail",
            None => "none",
        }
    }

    #[test]
    fn a_row_that_only_talks_about_limits_has_no_form() {
        for row in [
            "You've hit your limit, so I switched to the other account.",
            "You've hit your weekly limit handling wrong in the parser",
            "You've hit your memory limit (512 MiB)",
            "You've hit your GitHub API rate limit",
            "You've hit your 1M context limit · resets 4pm",
            "You've hit your upload limit · resets 4pm",
            "You've hit your image generation limit · resets 4pm",
            "You've reached your web search limit · resets 4pm",
            "Usage limit reached is what the banner says",
            "Limit reached",
            "connection limit reached; refusing new host connection",
            "\"You've hit your session limit · resets 4:40pm (America/Sao_Paulo)\",",
            "Once you've hit your limit the client waits",
            "",
        ] {
            assert_eq!(class(row), None, "{row}");
        }
    }
}
