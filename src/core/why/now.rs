//! What the last record leaves: the answer before its history.

use crate::core::durable::{Phase, SwapOutcome};
use crate::core::job::JobStage;
use crate::core::record::MoveStage;
use crate::core::standing::AccountState;
use crate::core::why::of_session::of;
use crate::core::why::of_swap::cause;
use crate::core::why::of_task::words;
use crate::core::why::{Subject, Why};
use crate::ids::{AccountName, OpId, SessionName, TaskRef};

impl Why {
    /// By the records, one sentence each; empty when they know nothing of it.
    pub fn now(&self) -> Vec<String> {
        match &self.subject {
            Subject::Swap(op) => self.swap_now(*op),
            Subject::Task(task) => self.task_now(task),
            Subject::Session(session) => self.session_now(session),
            Subject::Account(account) => self.account_now(account),
        }
    }

    fn swap_now(&self, wanted: OpId) -> Vec<String> {
        let mut now = Vec::new();
        if let Some(swap) = self.state.swap.as_ref().filter(|swap| swap.op == wanted) {
            now.push(match swap.phase {
                Phase::Stuck => {
                    let why = swap.trouble.as_deref().unwrap_or("the way back failed");
                    format!(
                        "stuck: {why}; `claude-failover swap --resume`, `--rollback` or `--clear` \
                         ends that"
                    )
                }
                phase => format!("open, in phase {phase:?}"),
            });
        }
        if let Some(last) = &self.ended {
            let how = match last.outcome {
                SwapOutcome::Done => "done",
                SwapOutcome::RolledBack => "rolled back",
                SwapOutcome::Cleared => "cleared by the operator",
            };
            let took_ms = (last.ended_at - last.planned_at).as_millis();
            let (seconds, tenths) = (took_ms / 1_000, took_ms % 1_000 / 100);
            let why = cause(&last.trigger, &last.from, &last.to);
            now.push(format!(
                "{how} in {seconds}.{tenths} s: {} → {}, because {why}",
                last.from, last.to
            ));
        }
        let follow: Vec<&str> = self
            .state
            .moves
            .values()
            .filter(|moving| moving.op == wanted)
            .map(|moving| moving.session.as_str())
            .collect();
        if !follow.is_empty() {
            now.push(format!("not there yet: {}", follow.join(", ")));
        }
        now
    }

    fn task_now(&self, wanted: &TaskRef) -> Vec<String> {
        let mut now = Vec::new();
        if let Some((session, job)) = self.state.jobs.iter().find(|(_, job)| job.task() == wanted) {
            now.push(format!(
                "{} in {session}, attempt {}, since {}",
                stage(&job.stage),
                job.attempt,
                job.received_at.unwrap_or(job.claimed_at)
            ));
        }
        if let Some(aside) = self.state.set_aside.get(wanted) {
            now.push(format!(
                "waits for a person since {}: {}; `claude-failover tasks retry {wanted}` or \
                 `cancel` decides",
                aside.since, aside.reason
            ));
        }
        if let (true, Some((fate, at))) = (now.is_empty(), &self.fate) {
            let (what, reason) = words(fate);
            now.push(format!("{what} since {at}: {reason}"));
        }
        if let Some(attempts) = self.state.attempts.get(wanted) {
            now.push(format!("{attempts} attempts are used up"));
        }
        now
    }

    fn session_now(&self, wanted: &SessionName) -> Vec<String> {
        let state = &self.state;
        let mut now = Vec::new();
        if let Some(job) = state.jobs.get(wanted) {
            let since = job.received_at.unwrap_or(job.claimed_at);
            now.push(format!("task {}: {} since {since}", job.task(), stage(&job.stage)));
        }
        if let Some(moving) = state.moves.get(wanted) {
            let to = &moving.target;
            now.push(match moving.stage {
                MoveStage::Staying { until } => {
                    format!("its agent goes to {to} when its turn ends, or at {until}")
                }
                MoveStage::Held => {
                    "its agent is ended, and is resumed as soon as it can be".to_owned()
                }
                MoveStage::Stopping
                | MoveStage::Stopped
                | MoveStage::Launching { .. }
                | MoveStage::Launched { .. } => format!("its agent is on its way to {to}"),
            });
        } else if let Some(agent) = state.agents.get(wanted) {
            now.push(format!("an agent is there: {}", of(agent)));
        } else if let Some(loss) = state.losses.get(wanted) {
            now.push(format!("its tmux session went at {}", loss.at));
        } else if !self.lines.is_empty() {
            now.push("no agent is known there: it is at its shell".to_owned());
        }
        if let Some(since) = state.drained.get(wanted) {
            now.push(format!(
                "drained since {since}: it gets no task before `claude-failover resume {wanted}`"
            ));
        }
        if let Some(paused) = state.paused.as_ref().filter(|_| !now.is_empty()) {
            now.push(format!("the daemon is paused since {}", paused.since));
        }
        now
    }

    fn account_now(&self, wanted: &AccountName) -> Vec<String> {
        let state = &self.state;
        let known = state.standings.contains_key(wanted)
            || state.active.as_ref() == Some(wanted)
            || !self.lines.is_empty();
        if !known {
            return Vec::new();
        }
        let standing = state.standing(wanted);
        let mut now = vec![match standing.state() {
            AccountState::Unproven => "probably available: no answer has proven it yet".to_owned(),
            state => state.word().replace('_', " "),
        }];
        if state.active.as_ref() == Some(wanted) {
            now.push("in use".to_owned());
        }
        if let Some(since) = standing.held_since {
            now.push(format!(
                "held since {since}: `claude-failover account release {wanted}` ends that"
            ));
        }
        for (window, limit) in &standing.limits {
            now.push(format!("{window} limit until {}: \"{}\"", limit.until, limit.row));
        }
        if let Some(login) = &standing.login {
            now.push(format!("its login fails since {}: {}", login.since, login.reason));
        }
        if let Some(rejected) = &standing.rejected {
            now.push(format!("no target until {}: {}", rejected.until, rejected.reason));
        }
        match &state.pinned {
            Some(pinned) if pinned == wanted => now.push("pinned".to_owned()),
            Some(pinned) => now.push(format!("passed over: {pinned} is pinned")),
            None => {}
        }
        now
    }
}

fn stage(stage: &JobStage) -> &'static str {
    match stage {
        JobStage::Claiming => "is being claimed",
        JobStage::Claimed => "is claimed",
        JobStage::Stopping { .. } => "waits for an idle agent to end",
        JobStage::Launching { .. } => "is being launched",
        JobStage::Sending { .. } => "is launched; no proof yet that the agent has it",
        JobStage::Running => "is at work",
        JobStage::Lost { .. } => "has lost its agent",
        JobStage::Ending { .. } => "is over; its agent is ended",
        JobStage::Closing { .. } => "is over; its file is moved",
    }
}
