//! What must be true when all is calm, whatever has happened, seen from outside: files, processes,
//! panes, the records on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use claude_failover::core::durable::Durable;
use claude_failover::core::record::Record;
use claude_failover::ids::OpId;
use claude_failover::journal::reader;
use serde_json::Value;

use crate::daemon::fleet::{Fleet, SOON, Talks};
use crate::daemon::inboxes::{PARTS, Told, task_ref};
use crate::daemon::outside;
use crate::support::eventually;

pub struct Judge {
    /// The conversations of the dedicated sessions.
    pub talks: Talks,
    /// All tasks ever given, and whether their agents are to say that they failed.
    pub tasks: BTreeMap<String, bool>,
    /// Swaps that have ended.
    pub swaps: u64,
    pub rolled_back: u64,
    /// Lines of the agents' log that belong to tasks judged before.
    judged: BTreeSet<String>,
}

impl Judge {
    pub fn new(talks: Talks) -> Self {
        Self { talks, tasks: BTreeMap::new(), swaps: 0, rolled_back: 0, judged: BTreeSet::new() }
    }

    /// Tasks still in their inboxes.
    pub fn waiting(&self, fleet: &Fleet) -> usize {
        let projects = self.projects();
        let markdown = |name: &String| name.ends_with(".md");
        projects
            .iter()
            .map(|project| {
                fleet.names(project, "inbox").iter().filter(|name| markdown(name)).count()
            })
            .sum()
    }

    fn projects(&self) -> BTreeSet<String> {
        self.tasks.keys().map(|task| task_ref(task).project.as_str().to_owned()).collect()
    }

    /// Why it is not calm yet.
    pub fn unrest(&self, fleet: &Fleet, status: &Value) -> Option<String> {
        if status["state"] != "normal" || !status["swap"]["open"].is_null() {
            return Some(format!(
                "state {}, {}, {}",
                status["state"], status["reasons"], status["swap"]["open"]
            ));
        }
        let rows = status["sessions"].as_array()?;
        if let Some(row) = rows.iter().find(|row| !row["move"].is_null()) {
            return Some(format!("{row}"));
        }
        if status["tasks"]["in_hand"].as_array().is_none_or(|rows| !rows.is_empty())
            || self.waiting(fleet) > 0
        {
            return Some(format!("{} in inboxes, {:#}", self.waiting(fleet), status["tasks"]));
        }
        let active = fleet.home(status["active_account"].as_str()?);
        let agents = fleet.agents();
        if agents.keys().ne(self.talks.keys()) {
            return Some(format!("agents in {:?}: {agents:#?}", agents.keys()));
        }
        self.talks.iter().find_map(|(session, talk)| match &agents[session][..] {
            [agent]
                if agent.conversation.as_ref() == Some(talk)
                    && agent.status.as_deref() == Some("idle")
                    && agent.homed.as_ref().is_none_or(|home| *home == active) =>
            {
                None
            }
            other => Some(format!("{session} holds {other:#?} instead of {talk}")),
        })
    }

    #[track_caller]
    pub fn judge(&mut self, fleet: &Fleet) {
        let (code, health) = fleet.get("/health");
        assert_eq!(code, 200, "{health}");
        self.judge_journal(fleet);
        assert_no_strays(fleet);
        self.judge_tasks(fleet);
        self.judge_talks(fleet);
    }

    /// What the records say is what is there, and every swap that was begun has one end.
    #[track_caller]
    fn judge_journal(&mut self, fleet: &Fleet) {
        let mut durable = Durable::default();
        let (mut open, mut ended): (Option<OpId>, BTreeSet<OpId>) = (None, BTreeSet::new());
        self.rolled_back = 0;
        let mut missing = Vec::new();
        reader::read::<Record>(&fleet.root().join("state"), &mut |entry| {
            let record = match entry {
                Ok(entry) => entry.record,
                Err(left_out) => return missing.push(left_out),
            };
            durable.apply(&record).unwrap();
            match &record {
                Record::SwapPlanned { op, .. } => {
                    assert_eq!(open.replace(*op), None, "swap {op:?} begins within another one");
                }
                Record::SwapDone { op, .. } | Record::SwapRolledBack { op, .. } => {
                    assert_eq!(open.take(), Some(*op), "another swap ends");
                    assert!(ended.insert(*op), "swap {op:?} ends twice");
                    self.rolled_back += u64::from(matches!(record, Record::SwapRolledBack { .. }));
                }
                _ => {}
            }
        })
        .unwrap();
        assert_eq!(missing, []);
        assert_eq!(open, None, "a half swap");
        self.swaps = ended.len() as u64;
        assert!(durable.swap.is_none() && durable.moves.is_empty() && durable.jobs.is_empty());
        let active = durable.active.unwrap();
        assert_eq!(std::fs::read_link(fleet.link()).unwrap(), fleet.home(active.as_str()));
        for (session, talk) in &self.talks {
            let known = durable.agents.iter().find(|(name, _)| name.as_str() == session).unwrap().1;
            assert_eq!(known.conversation.as_ref().unwrap().as_str(), talk, "{session}");
        }
    }

    /// Each is in one place, has reached no agent twice as if it were new, and failed only if it was
    /// to. Those that an earlier calm has judged stay as they were.
    #[track_caller]
    fn judge_tasks(&mut self, fleet: &Fleet) {
        let mut reached: BTreeMap<String, BTreeMap<String, Vec<Told>>> = BTreeMap::new();
        for told in fleet.told() {
            if ["received", "resumed"].contains(&told.what.as_str()) {
                let of_task = reached.entry(told.task.clone()).or_default();
                of_task.entry(told.conversation.clone()).or_default().push(told);
            }
        }
        for (task, fails) in &self.tasks {
            let [part] = fleet.parts_of(task)[..] else {
                panic!("{task} lies in {:?} of {PARTS:?}", fleet.parts_of(task));
            };
            if self.judged.contains(task) {
                continue;
            }
            let result = fleet.await_result(task);
            assert_eq!(part, if *fails { "failed" } else { "done" }, "{task}: {result:?}");
            let id = task_ref(task).id.to_string();
            let attempts = &reached[&id];
            for told in attempts.values() {
                let new = told.iter().filter(|told| told.what == "received").count();
                assert!(new <= 1, "{task} was delivered twice: {told:#?}");
            }
            assert!(attempts.len() <= result.attempts as usize, "{task}: {result:?} {attempts:#?}");
            let last = result.conversation.unwrap();
            assert!(
                attempts.contains_key(last.as_str()),
                "{task} ended where it has reached nobody"
            );
            self.judged.insert(task.clone());
        }
    }

    /// Nobody has said anything to the operator's own agents but the operator.
    #[track_caller]
    fn judge_talks(&self, fleet: &Fleet) {
        for (session, talk) in &self.talks {
            let (prompts, _) = outside::transcript(fleet.root(), talk);
            let mut seen = BTreeSet::new();
            for prompt in &prompts {
                // A client that comes up may lose the beginning of what is typed; the last was typed for
                // a shell in the moment in which the daemon brought the agent back.
                let number = prompt.trim_start_matches(['g', 'o', 'n']);
                let ours = prompt == "first words"
                    || number.parse::<u32>().is_ok()
                    || prompt.ends_with(&format!("--resume {talk}"));
                assert!(ours && seen.insert(prompt), "{session} was told {prompt:?}: {prompts:?}");
            }
        }
    }
}

/// Everything that runs belongs to the daemon or to the tmux server.
#[track_caller]
pub fn assert_no_strays(fleet: &Fleet) {
    let server: i32 = fleet.server_pid().unwrap().parse().unwrap();
    let end = Instant::now() + SOON;
    eventually("no process is left over", SOON * 2, || {
        let mut strays = outside::processes_of(fleet.root());
        strays.retain(|pid| {
            let above = outside::ancestors(*pid);
            !above.contains(&server) && !above.contains(&fleet.daemon_pid())
        });
        let told = || strays.iter().map(|pid| outside::told_of(*pid)).collect::<Vec<_>>();
        assert!(Instant::now() < end, "left over: {:#?}", told());
        strays.is_empty().then_some(())
    });
}
