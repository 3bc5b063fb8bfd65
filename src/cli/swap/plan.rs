//! `swap --dry-run`: where a swap would go now, from the daemon's `/status`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::control::Request;
use crate::cli::exit;
use crate::cli::history::line::plain;
use crate::cli::say;
use crate::cli::swap::Args;
use crate::cli::text::{beside, length};
use crate::clock::Clock;
use crate::harmless;
use crate::ids::AccountName;
use crate::moment::Wall;

/// The key `plan` of `/status`.
#[derive(Debug, Clone, Deserialize)]
struct Plan {
    source: String,
    target: Option<String>,
    strategy: String,
    throttled: bool,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Deserialize)]
struct Candidate {
    account: String,
    merit: String,
    passed_over: Option<String>,
}

/// Where it would go, or why not.
type Goal = Result<String, String>;

pub fn run(args: &Args) -> u8 {
    let answer = match args.daemon.ask(&Request::Status) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let status = &answer["status"];
    let Ok(plan) = serde_json::from_value::<Plan>(status["plan"].clone()) else {
        say::error("no swap can be planned: the daemon knows of no active account");
        return exit::FAILED;
    };
    let to = args.to.as_ref().map(AccountName::as_str);
    let goal = goal(&plan, to);
    let text = match args.json {
        true => plain(&json(status, to, &goal)),
        false => text(&plan, status, to, &goal, Clock::start().wall()),
    };
    say::text(&text);
    if goal.is_ok() { exit::OK } else { exit::FAILED }
}

fn goal(plan: &Plan, to: Option<&str>) -> Goal {
    let Some(to) = to else {
        return plan.target.clone().ok_or_else(|| "no account can be taken".to_owned());
    };
    // By hand nobody goes where he is, also when all wait for it to come back.
    if to == plan.source {
        return Err(format!("{to}: it is the account to leave"));
    }
    let wanted = plan.candidates.iter().find(|candidate| candidate.account == to);
    match wanted.map(|candidate| &candidate.passed_over) {
        Some(None) => Ok(to.to_owned()),
        Some(Some(reason)) => Err(format!("{to}: {reason}")),
        None => Err(format!("{to} is no account of the configuration")),
    }
}

fn json(status: &Value, to: Option<&str>, goal: &Goal) -> String {
    let mut plan = status["plan"].clone();
    plan["state"] = status["state"].clone();
    plan["parked"] = status["parked"].clone();
    plan["open"] = status["swap"]["open"].clone();
    if let Some(to) = to {
        plan["to"] = json!({"account": to, "refused": goal.as_ref().err()});
    }
    format!("{plan:#}\n")
}

fn text(plan: &Plan, status: &Value, to: Option<&str>, goal: &Goal, now: Wall) -> String {
    let mut text = match goal {
        Ok(target) if *target == plan.source => {
            beside("", &format!("a swap now would wake everybody on {target}"))
        }
        Ok(target) => beside("", &format!("a swap now would go {} → {target}", plan.source)),
        Err(why) => beside("", &format!("no swap: {why}")),
    };
    for note in notes(plan, status, now) {
        text.push_str(&beside("", &note));
    }
    text.push_str(&beside("", &format!("strategy: {}", plan.strategy)));
    text.push('\n');
    let names = plan.candidates.iter().map(|candidate| candidate.account.chars().count());
    let width = names.max().unwrap_or(0).max("ACCOUNT".len());
    text.push_str(&format!("{:width$}  WHY\n", "ACCOUNT"));
    for candidate in &plan.candidates {
        let head = format!("{:width$}  ", candidate.account);
        text.push_str(&beside(&head, &why(candidate, to, goal)));
    }
    // A reason holds rows of screens and words of programs.
    harmless::lines(&text)
}

fn why(candidate: &Candidate, to: Option<&str>, goal: &Goal) -> String {
    let Candidate { account, merit, passed_over } = candidate;
    match (passed_over, goal) {
        _ if goal.as_ref() == Ok(account) => format!("taken: {merit}"),
        (Some(reason), _) => reason.clone(),
        (None, Ok(target)) if to.is_none() => format!("behind {target}: {merit}"),
        (None, _) => format!("could be taken: {merit}"),
    }
}

/// What else stands in the way of a swap, by the daemon's choice or by hand.
fn notes(plan: &Plan, status: &Value, now: Wall) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut notes = Vec::new();
    let open = &status["swap"]["open"];
    if status["state"] == "stuck" {
        let how = "swap --resume, --rollback or --clear ends that";
        notes.push(format!("swap {} is stuck, which refuses any other: {how}", open["op"]));
    } else if !open.is_null() {
        let (from, to, phase) = (word(&open["from"]), word(&open["to"]), word(&open["phase"]));
        notes.push(format!(
            "swap {} is open ({from} → {to}, {phase}), which refuses any other until it is over",
            open["op"]
        ));
    }
    if !status["paused"].is_null() {
        notes.push("paused, which refuses any swap: claude-failover resume ends that".to_owned());
    }
    if !status["parked"].is_null() {
        let until = status["parked"]["until"].as_str();
        notes.push(match until.map(|until| (until, until.parse::<Wall>())) {
            Some((until, Ok(at))) => format!("parked until {until}, in {}", length(at - now)),
            Some((until, Err(_))) => format!("parked until {until}"),
            None => "parked until an account is released or logged in again".to_owned(),
        });
    }
    if plan.throttled {
        notes.push("throttled by swap.max_per_hour: only a swap by hand is planned now".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const NOW: Wall = Wall(1_795_361_004_000);

    fn status() -> Value {
        let limit = "You've hit your session limit\u{2066}· resets 6pm (UTC)";
        json!({
            "state": "normal",
            "parked": null,
            "swap": {"open": null},
            "plan": {
                "source": "primary",
                "target": "backup",
                "strategy": "priority",
                "throttled": false,
                "candidates": [
                    {"account": "backup", "merit": "priority 2", "passed_over": null},
                    {"account": "spare", "merit": "priority 3", "passed_over": null},
                    {"account": "primary", "merit": "priority 1",
                     "passed_over": "it is the account to leave"},
                    {"account": "team_account", "merit": "priority 4",
                     "passed_over": format!("exhausted until 2026-11-22T18:00:00Z: {limit}")},
                ],
            },
        })
    }

    fn said(status: &Value, to: Option<&str>) -> String {
        let plan: Plan = serde_json::from_value(status["plan"].clone()).unwrap();
        let goal = goal(&plan, to);
        let text = text(&plan, status, to, &goal, NOW);
        let long = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None);
        format!("{text}{}\n", if goal.is_ok() { "exit 0" } else { "exit 1" })
    }

    #[test]
    fn the_target_and_why_not_the_others() {
        expect![[r#"
            a swap now would go primary → backup
            strategy: priority

            ACCOUNT       WHY
            backup        taken: priority 2
            spare         behind backup: priority 3
            primary       it is the account to leave
            team_account  exhausted until 2026-11-22T18:00:00Z: You've hit your session
                          limit · resets 6pm (UTC)
            exit 0
        "#]]
        .assert_eq(&said(&status(), None));
    }

    #[test]
    fn an_account_that_was_asked_for() {
        expect![[r#"
            a swap now would go primary → spare
            strategy: priority

            ACCOUNT       WHY
            backup        could be taken: priority 2
            spare         taken: priority 3
            primary       it is the account to leave
            team_account  exhausted until 2026-11-22T18:00:00Z: You've hit your session
                          limit · resets 6pm (UTC)
            exit 0
        "#]]
        .assert_eq(&said(&status(), Some("spare")));
        for (to, line) in [
            ("nosuch", "no swap: nosuch is no account of the configuration"),
            ("primary", "no swap: primary: it is the account to leave"),
            ("team_account", "no swap: team_account: exhausted until 2026-11-22T18:00:00Z: You've"),
        ] {
            let text = said(&status(), Some(to));
            assert!(text.starts_with(line) && text.ends_with("exit 1\n"), "{text}");
            assert!(text.contains("could be taken: priority 2"), "{text}");
        }
    }

    #[test]
    fn what_else_stands_in_the_way() {
        let mut status = status();
        status["plan"]["target"] = Value::Null;
        status["plan"]["throttled"] = json!(true);
        status["plan"]["candidates"] = json!([]);
        status["parked"] = json!({"since": NOW.to_string(), "until": "2026-11-22T18:00:00Z"});
        status["swap"]["open"] = json!({"op": 3, "from": "a", "to": "b", "phase": "Flipped"});
        expect![[r#"
            no swap: no account can be taken
            swap 3 is open (a → b, Flipped), which refuses any other until it is over
            parked until 2026-11-22T18:00:00Z, in 2h36m
            throttled by swap.max_per_hour: only a swap by hand is planned now
            strategy: priority

            ACCOUNT  WHY
            exit 1
        "#]]
        .assert_eq(&said(&status, None));
        status["state"] = json!("stuck");
        status["parked"]["until"] = Value::Null;
        let text = said(&status, None);
        assert!(text.contains("swap 3 is stuck, which refuses any other"), "{text}");
        assert!(text.contains("parked until an account is released"), "{text}");
    }

    #[test]
    fn as_json_it_holds_the_plan_and_what_stands_in_its_way() {
        let status = status();
        let plan: Plan = serde_json::from_value(status["plan"].clone()).unwrap();
        let text = json(&status, Some("primary"), &goal(&plan, Some("primary")));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["target"], "backup");
        assert_eq!(value["to"]["refused"], "primary: it is the account to leave");
        assert_eq!((&value["open"], &value["state"]), (&Value::Null, &json!("normal")));
    }
}
