//! The client's record of an error of the API → a [`Reading`]. Pure.
//!
//! A 429 alone is no limit, for a throttle is one too: the limit is what the record names as such
//! (`apiError`, newer clients), else what its own text says by how it begins.

use crate::moment::Wall;
use crate::quota::fold::rows;
use crate::quota::form::{judge, names_model};
use crate::quota::pattern::by_pattern;
use crate::quota::reset_phrase;
use crate::quota::reset_time;
use crate::quota::verdict::{Context, LimitKind, Reading, Verdict};

const ROW_CHARS_MAX: usize = 600;
/// Clients write seconds; anything this large is milliseconds.
const MILLIS_FROM: i64 = 100_000_000_000;
/// The limits of one model, by the names of the newest client.
const MODEL_LIMITS: [&str; 3] =
    ["seven_day_opus", "seven_day_sonnet", "seven_day_overage_included"];

/// What the record says, each part as it stands there.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    pub text: &'a str,
    pub at: Wall,
    /// `rate_limit`, `billing_error` …; absent in 1.0.x.
    pub error: Option<&'a str>,
    /// Since some 2.1.3xx.
    pub api_error: Option<&'a str>,
    pub limit_type: Option<&'a str>,
    /// Seconds since 1970.
    pub resets_at: Option<i64>,
}

/// Resets are anchored at the record's own moment, never at the reader's.
pub fn read(refusal: &Refusal<'_>, context: &Context<'_>) -> Reading {
    let row = one_row(refusal.text);
    let first_row = rows(refusal.text).find(|row| !row.is_empty()).unwrap_or_default();
    let phrase = reset_phrase::find(&first_row).or_else(|| reset_phrase::find(&row));
    let place = |phrase: &str| reset_time::parse(phrase, refusal.at, context.zone);
    let resets_at = refusal
        .resets_at
        .and_then(|at| place(&if at >= MILLIS_FROM { at / 1000 } else { at }.to_string()))
        .or_else(|| phrase.and_then(place));
    let said = said(&first_row, resets_at, context);
    let by = |verdict: Verdict, rule: &str| (verdict, rule.to_owned());
    let by_text = || said.clone().map(|verdict| by(verdict, "record_text"));

    let (verdict, rule) = match (refusal.api_error, refusal.error) {
        (Some("usage_limit_reached"), _) => {
            by(limit(refusal.limit_type, said.clone(), resets_at), "usage_limit_reached")
        }
        (_, Some(error @ "rate_limit")) => by_text().unwrap_or(by(Verdict::Throttled, error)),
        (_, Some(error @ "billing_error")) => by_text().unwrap_or(by(Verdict::Clear, error)),
        (_, Some(error @ ("authentication_failed" | "oauth_org_not_allowed"))) => {
            by(Verdict::AuthFailed, error)
        }
        (_, Some(error @ ("server_error" | "overloaded"))) => by(Verdict::ServerError, error),
        // `invalid_request`, `unknown` and whatever comes: a refusal of this request alone, unless
        // its text says more.
        (_, error) => by_text().unwrap_or(by(Verdict::Clear, error.unwrap_or("record_text"))),
    };
    let is_about_quota = refusal.error == Some("billing_error") && !row.is_empty()
        || row.to_ascii_lowercase().contains("limit");
    let unknown = said.is_none() && is_about_quota;
    Reading {
        verdict,
        rule,
        reset_text: phrase.map(str::to_owned),
        unrecognised: unknown.then(|| row.clone()),
        row,
        ..Reading::clear()
    }
}

/// What kind of limit it is that the client records as reached.
fn limit(name: Option<&str>, said: Option<Verdict>, resets_at: Option<Wall>) -> Verdict {
    let exhausted = |limit| Verdict::Exhausted { limit, resets_at };
    // The record names the window of the plan that is used up; that paid usage beyond it is at its
    // own limit, or goes on, or that one model alone is refused, stands in the text, and the screen
    // shows nothing else.
    if let (
        Some("five_hour" | "seven_day"),
        Some(verdict @ (Verdict::SpendLimit { .. } | Verdict::ModelLimit | Verdict::Warning)),
    ) = (name, &said)
    {
        return verdict.clone();
    }
    match name {
        Some("five_hour") => return exhausted(LimitKind::FiveHour),
        Some("seven_day") => return exhausted(LimitKind::Weekly),
        Some(name) if MODEL_LIMITS.contains(&name) || names_model(name) => {
            return Verdict::ModelLimit;
        }
        Some(_) | None => {}
    }
    match (said, name) {
        (
            Some(
                verdict @ (Verdict::Exhausted { .. }
                | Verdict::SpendLimit { .. }
                | Verdict::ModelLimit
                | Verdict::Warning),
            ),
            _,
        ) => verdict,
        // Paid overage begins where the plan ends.
        (_, Some("overage")) => Verdict::SpendLimit { resets_at },
        (_, Some(name)) if name.starts_with("seven_day_") => Verdict::ModelLimit,
        (_, Some(_) | None) => exhausted(LimitKind::Unnamed),
    }
}

/// What the text alone says; `None` when it is no known text of the client.
fn said(row: &str, resets_at: Option<Wall>, context: &Context<'_>) -> Option<Verdict> {
    let form = judge(row).or_else(|| by_pattern(row, context.patterns))?;
    form.class.verdict(resets_at)
}

/// In one row, as the client's texts are compared.
fn one_row(text: &str) -> String {
    let joined = rows(text).collect::<Vec<_>>().join(" ");
    let row: String = joined.trim().chars().take(ROW_CHARS_MAX).collect();
    row.trim_end().to_owned()
}
