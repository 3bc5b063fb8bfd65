//! The accounts as the outside sees them, and what would happen if work had to move now.

use serde_json::{Value, json};

use crate::core::Core;
use crate::core::choice::{Candidate, Purpose};
use crate::core::standing::{PlanWindow, Standing, Used};
use crate::ids::AccountName;
use crate::moment::Wall;
use crate::quota::report::Window;

pub fn accounts(core: &Core, now: Wall) -> Value {
    let Some(active) = core.durable.active.as_ref() else { return json!([]) };
    let candidates = core.candidates(active, purpose(core));
    let accounts = core.config.accounts.iter().map(|account| {
        let name = &account.name;
        let standing = core.standing(name);
        let passed_over = candidates
            .iter()
            .find(|candidate| candidate.account == *name)
            .and_then(|candidate| candidate.passed_over.as_ref());
        json!({
            "used": standing.used.map(|used| used_shares(used, now)),
            "name": name,
            "home": account.home,
            "priority": account.priority,
            "active": name == active,
            "state": standing.state(),
            "until": standing.until().map(|at| at.to_string()),
            "detail": standing.to_string(),
            "limits": limits(standing),
            "pinned": core.pin() == Some(name),
            "passed_over": passed_over,
        })
    });
    accounts.collect()
}

/// What a swap planned now would do: `target` is null when no account can be taken.
pub fn plan(core: &Core) -> Value {
    let Some(source) = core.durable.active.as_ref() else { return Value::Null };
    let candidates = core.candidates(source, purpose(core));
    let target: Option<&AccountName> = candidates
        .iter()
        .find(|candidate| candidate.passed_over.is_none())
        .map(|candidate| &candidate.account);
    json!({
        "source": source,
        "target": target,
        "strategy": core.config.selection.strategy.word(),
        "throttled": core.throttled(),
        "candidates": candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}

/// Since when nobody can work, and until when; null when somebody can.
pub fn parked(core: &Core) -> Value {
    let Some(parked) = core.durable.parked.as_ref() else { return Value::Null };
    json!({
        "since": parked.since.to_string(),
        "until": core.next_return().map(|at| at.to_string()),
    })
}

fn purpose(core: &Core) -> Purpose {
    match core.durable.parked {
        Some(_) => Purpose::Wake,
        None => Purpose::Leave,
    }
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "account": candidate.account,
        "merit": candidate.merit,
        "passed_over": candidate.passed_over,
    })
}

fn limits(standing: &Standing) -> Value {
    let limit = |(window, limit): (&PlanWindow, &crate::core::standing::Limit)| {
        json!({
            "window": window,
            "since": limit.since.to_string(),
            "until": limit.until.to_string(),
            "printed": limit.printed,
            "evidence": limit.evidence,
            "session": limit.session,
            "row": limit.row,
        })
    };
    standing.limits.iter().map(limit).collect()
}

/// What a status line said, with its age: a figure of yesterday is none.
fn used_shares(used: Used, now: Wall) -> Value {
    let window = |window: Option<Window>| {
        window.map(|window| {
            json!({
                "used_percent": f64::from(window.used_permille) / 10.0,
                "resets_at": window.resets_at.map(|at| at.to_string()),
            })
        })
    };
    json!({
        "five_hour": window(used.figures.five_hour),
        "weekly": window(used.figures.weekly),
        "age_s": (now - used.at).as_secs(),
    })
}
