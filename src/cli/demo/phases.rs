//! The daemon's own words about a swap, taken from its log and from `GET /status`. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// What has been told already.
#[derive(Debug, Default)]
pub struct Phases {
    told: BTreeSet<String>,
    limit_seen: bool,
}

impl Phases {
    /// What `log` and `status` say that was not said before, in the order of the log.
    pub fn news(&mut self, log: &str, status: &Value) -> Vec<String> {
        let mut news = Vec::new();
        for row in log.lines() {
            if !self.limit_seen && row.contains("trigger_session=") {
                self.limit_seen = true;
                let session = word_after(row, "trigger_session=").unwrap_or_default();
                news.push(format!("the daemon sees the limit in {session}"));
            }
            if let (Some(op), Some(phase)) = (word_after(row, "op="), word_after(row, "phase=")) {
                self.phase(op, phase, &mut news);
            }
        }
        let open = &status["swap"]["open"];
        if let (Some(op), Some(phase)) = (open["op"].as_u64(), open["phase"].as_str()) {
            self.phase(&op.to_string(), phase, &mut news);
        }
        news
    }

    fn phase(&mut self, op: &str, phase: &str, news: &mut Vec<String>) {
        if self.told.insert(format!("{op} {}", phase.to_ascii_lowercase())) {
            news.push(format!("swap {op}: {}", phase.to_ascii_lowercase()));
        }
    }
}

fn word_after<'a>(row: &'a str, key: &str) -> Option<&'a str> {
    let mut words = row.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix(key)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_phase_is_told_once_whoever_says_it_first() {
        let mut phases = Phases::default();
        let log = "INFO [quota] trigger_session=demo-auto-1 evidence=pane\nINFO op=1 phase=Planned source=a\n";
        let status = json!({"swap": {"open": {"op": 1, "phase": "planned"}}});
        assert_eq!(
            phases.news(log, &status),
            ["the daemon sees the limit in demo-auto-1", "swap 1: planned"]
        );
        let status = json!({"swap": {"open": {"op": 1, "phase": "checked"}}});
        assert_eq!(phases.news(log, &status), ["swap 1: checked"]);
        let log = format!("{log}INFO op=1 phase=Checked\nINFO op=1 phase=Saved\n");
        assert_eq!(phases.news(&log, &Value::Null), ["swap 1: saved"]);
    }
}
