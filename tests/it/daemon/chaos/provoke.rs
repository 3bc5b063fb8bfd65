//! What makes work move: refusals, orders, and tasks that are never all done.

use serde_json::Value;

use crate::daemon::chaos::storm::Storm;
use crate::daemon::fleet::SOON;
use crate::daemon::outside;
use crate::support::eventually;

/// Tasks that wait or are worked on.
const AT_WORK: usize = 5;
const PROJECTS: u64 = 4;
/// Until an account that refuses takes requests again; it is believed one to five seconds later.
const BACK_IN_S: std::ops::Range<u64> = 3..9;
/// Prompts of a conversation before its operator begins another: a client reads all of it at a resume.
const PROMPTS_MAX: usize = 30;

impl Storm {
    pub(in crate::daemon::chaos) fn keep_busy(&mut self) {
        while self.judge.waiting(&self.fleet) < AT_WORK {
            self.counted += 1;
            let task = format!("p{}:t{}", self.dice.in_range(0..PROJECTS), self.counted);
            let orders = match self.dice.in_range(0..10) {
                0 => "fail this one cannot be done".to_owned(),
                1 => "work 1200ms\ndie once".to_owned(),
                2 => "work 3s".to_owned(),
                _ => format!("work {}ms", self.dice.in_range(50..1_500)),
            };
            // Its agents are killed more often than any real one's.
            let text = format!("---\ntitle: {task}\nattempts: 100\n---\n{orders}\n");
            self.fleet.submit(&task, &text);
            self.judge.tasks.insert(task, orders.starts_with("fail"));
        }
    }

    /// The account in use refuses, or the operator wants another one, or one back.
    pub(in crate::daemon::chaos) fn provoke(&mut self) {
        if !self.dice.one_in(3) {
            self.order_swap();
            return;
        }
        let status = self.fleet.status();
        self.release_when_parked(&status);
        if let Some(active) = status["active_account"].as_str()
            && status["swap"]["open"].is_null()
        {
            self.fleet.exhaust(active, self.dice.in_range(BACK_IN_S));
            self.prompt_one();
        }
    }

    /// An account whose printed reset was wrong is left alone for minutes, which an operator cuts short.
    pub(in crate::daemon::chaos) fn release_when_parked(&mut self, status: &Value) {
        let accounts = self.fleet.layout.account_names();
        if status["state"] == "parked"
            && let Some(account) = self.dice.pick(&accounts)
        {
            self.fleet.say(&["account", "release", account]);
            *self.helps.entry("released when parked").or_default() += 1;
        }
    }

    /// To one that is not out, when nothing moves. Refused for many a good reason.
    pub(in crate::daemon::chaos) fn order_swap(&mut self) {
        let status = self.fleet.status();
        if status["state"] != "normal" || !status["swap"]["open"].is_null() {
            return;
        }
        let rows = status["accounts"].as_array().cloned().unwrap_or_default();
        let free = |row: &&Value| row["active"] == false && row["state"] == "available";
        let names: Vec<&str> =
            rows.iter().filter(free).filter_map(|row| row["name"].as_str()).collect();
        if let Some(name) = self.dice.pick(&names) {
            self.fleet.swap(&["--to", name]);
        }
    }

    /// A line typed into one of the operator's own agents. One that ends meanwhile leaves it to a
    /// shell that knows no such command.
    fn prompt_one(&mut self) {
        let sessions: Vec<String> = self.judge.talks.keys().cloned().collect();
        let session = self.dice.pick(&sessions).unwrap();
        let agents = self.fleet.agents();
        let panes = self.fleet.panes();
        let pane = panes.iter().find(|pane| pane.session == *session);
        if let (Some(pane), true) = (pane, agents.contains_key(session)) {
            self.counted += 1;
            let line = format!("goon{}", self.counted);
            let _ = self.fleet.tmux(&[
                "send-keys",
                "-t",
                &pane.id,
                "-l",
                "--",
                &line,
                ";",
                "send-keys",
                "-t",
                &pane.id,
                "Enter",
            ]);
        }
    }

    /// In a calm: the operator is through with a long conversation and begins another one.
    #[track_caller]
    pub(in crate::daemon::chaos) fn renew_talks(&mut self) {
        for (session, talk) in &mut self.judge.talks {
            if outside::transcript(self.fleet.root(), talk).0.len() < PROMPTS_MAX {
                continue;
            }
            self.fleet.prompt(session, "/clear");
            *talk = eventually("another conversation", SOON, || {
                let now = self.fleet.agent(session).conversation?;
                (now != *talk).then_some(now)
            });
            self.fleet.prompt(session, "first words");
            self.fleet.await_answer(talk, "OK");
        }
        self.fleet.await_adopted(&self.judge.talks);
    }
}
