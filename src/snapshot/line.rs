//! The state in one line, for `systemctl status`: what a person looks for first, in that order.

use std::fmt::Write as _;

use serde_json::Value;

use crate::snapshot::{Health, Snapshot};

impl Snapshot {
    /// `normal on primary; sessions 12/12, agents 10; tasks 3 in hand, 5 ready`, and the first
    /// reason when it is not simply well.
    pub fn line(&self) -> String {
        line(&self.health, &self.status)
    }
}

fn line(health: &Health, status: &Value) -> String {
    let mut line = health.state.clone();
    if let Some(until) = &health.until {
        let _ = write!(line, " until {until}");
    }
    match (&status["swap"]["open"], status["active_account"].as_str()) {
        (Value::Null, Some(account)) => {
            let _ = write!(line, " on {account}");
        }
        (Value::Null, None) => line.push_str(", no account yet"),
        (swap, _) => {
            let word = |key: &str| swap[key].as_str().unwrap_or("?");
            let _ = write!(line, " {} → {} ({})", word("from"), word("to"), word("phase"));
        }
    }
    let sessions = rows(&status["sessions"]);
    let existing = sessions.iter().filter(|session| session["exists"] == true).count();
    let agents = sessions.iter().filter(|session| session["agent"].is_object()).count();
    let _ = write!(line, "; sessions {existing}/{}, agents {agents}", sessions.len());
    let in_hand = rows(&status["tasks"]["in_hand"]).len();
    let ready = status["tasks"]["waiting"]["ready"].as_u64().unwrap_or(0);
    let _ = write!(line, "; tasks {in_hand} in hand, {ready} ready");
    if let Some(reason) = health.reasons.first() {
        let _ = write!(line, "; {reason}");
    }
    line
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn health(state: &str, reasons: &[&str], until: Option<&str>) -> Health {
        Health {
            ok: true,
            state: state.to_owned(),
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            until: until.map(str::to_owned),
        }
    }

    fn status() -> Value {
        json!({
            "active_account": "primary",
            "sessions": [{"exists": true, "agent": {"pid": 1}}, {"exists": true, "agent": null},
                {"exists": false, "agent": null}],
            "swap": {"open": null},
            "tasks": {"in_hand": [{}, {}], "waiting": {"ready": 5}},
        })
    }

    #[test]
    fn a_line_says_state_account_sessions_and_tasks() {
        let rest = " on primary; sessions 2/3, agents 1; tasks 2 in hand, 5 ready";
        assert_eq!(line(&health("normal", &[], None), &status()), format!("normal{rest}"));
        let parked = health("parked", &[], Some("2026-11-26T04:00:00Z"));
        let said = line(&parked, &status());
        assert_eq!(said, format!("parked until 2026-11-26T04:00:00Z{rest}"));
    }

    #[test]
    fn an_open_swap_and_the_first_reason_are_named() {
        let mut status = status();
        status["swap"]["open"] = json!({"from": "a", "to": "b", "phase": "Stuck"});
        let stuck = health("stuck", &["swap 17 is stuck: no way", "another"], None);
        assert_eq!(
            line(&stuck, &status),
            "stuck a → b (Stuck); sessions 2/3, agents 1; tasks 2 in hand, 5 ready; \
             swap 17 is stuck: no way"
        );
    }

    #[test]
    fn before_the_link_was_read_there_is_no_account() {
        let mut status = status();
        status["active_account"] = json!(null);
        let said = line(&health("starting", &[], None), &status);
        assert!(said.starts_with("starting, no account yet; "), "{said}");
    }
}
