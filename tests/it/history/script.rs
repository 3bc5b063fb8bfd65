//! Records with their moments, as the daemon would write them: each must be legal after those before it.

use std::path::PathBuf;

use claude_failover::cli::history::line;
use claude_failover::core::durable::Durable;
use claude_failover::core::event::{AgentHome, StuckVerb};
use claude_failover::core::history::entry::Entry;
use claude_failover::core::history::fold;
use claude_failover::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record, SavedAgent};
use claude_failover::core::standing::{Limit, PlanWindow};
use claude_failover::core::trigger::{EvidenceSource, Trigger};
use claude_failover::ids::{AccountName, OpId, ProcessRef, SessionName};
use claude_failover::moment::Wall;

/// 2026-11-26T03:00:00Z.
pub const START: i64 = 1_795_662_000_000;

pub const ROW: &str = "You've hit your 5-hour limit · resets 4am";

#[derive(Clone, Default)]
pub struct Script {
    pub records: Vec<(Wall, Record)>,
    pub state: Durable,
    now_ms: i64,
}

pub fn account(name: &str) -> AccountName {
    name.parse().unwrap()
}

pub fn session(name: &str) -> SessionName {
    name.parse().unwrap()
}

/// So many milliseconds after the start.
pub fn at(ms: i64) -> Wall {
    Wall(START + ms)
}

impl Script {
    pub fn new() -> Self {
        Self::default().then(0, Record::ActiveFound { account: account("primary"), at: at(0) })
    }

    /// `record`, so many milliseconds after the one before.
    pub fn then(mut self, after_ms: i64, record: Record) -> Self {
        self.now_ms += after_ms;
        self.state.apply(&record).unwrap();
        self.records.push((at(self.now_ms), record));
        self
    }

    /// The same, of a record that says its moment itself.
    pub fn now(self, after_ms: i64, record: impl FnOnce(Wall) -> Record) -> Self {
        let now = at(self.now_ms + after_ms);
        self.then(after_ms, record(now))
    }

    pub fn numbered(&self) -> impl Iterator<Item = (u64, Wall, &Record)> {
        (1..).zip(&self.records).map(|(seq, (at, record))| (seq, *at, record))
    }

    pub fn entries(&self) -> Vec<Entry> {
        fold(self.numbered())
    }

    /// Without what every script begins with.
    pub fn text(&self) -> String {
        self.entries().iter().skip(1).map(line::text).collect()
    }

    pub fn refused(self, after_ms: i64, name: &str, window: PlanWindow, until_ms: i64) -> Self {
        self.now(after_ms, |since| Record::AccountRefused {
            account: account(name),
            window,
            limit: Limit {
                row: ROW.to_owned(),
                evidence: EvidenceSource::Transcript,
                session: Some(session("ccl-auto-11")),
                since,
                until: at(until_ms),
                printed: true,
            },
        })
    }

    pub fn planned(self, op: u64, source: &str, target: &str, trigger: Trigger) -> Self {
        self.now(100, |at| Record::SwapPlanned {
            op: OpId(op),
            at,
            source: account(source),
            target: account(target),
            trigger,
            because: "priority 2".to_owned(),
            passed_over: vec![(account(source), "it is the account to leave".to_owned())],
        })
    }

    pub fn checked(self, op: u64) -> Self {
        self.then(100, Record::SwapChecked { op: OpId(op) })
    }

    /// Of some sessions; the last one is left to finish its turn.
    pub fn saved(self, op: u64, target: &str, sessions: &[&str], staying: bool) -> Self {
        let last = sessions.len() - 1;
        let stage = |place| match staying && place == last {
            true => MoveStage::Staying { until: at(600_000) },
            false => MoveStage::Stopping,
        };
        let moves = sessions.iter().enumerate();
        let moves = moves.map(|(place, name)| moved(op, name, target, stage(place))).collect();
        self.then(100, Record::SwapSaved { op: OpId(op), moves })
    }

    pub fn flipped(self, op: u64) -> Self {
        let op = OpId(op);
        self.then(500, Record::SwapStopped { op }).now(20, |at| Record::SwapFlipped {
            op,
            at,
            moved: false,
        })
    }

    pub fn proven_by(self, op: u64, name: &str) -> Self {
        let session = Some(session(name));
        self.ended(900, name, MoveOutcome::Verified)
            .then(0, Record::SwapCanaryProven { op: OpId(op), session })
    }

    pub fn ended(self, after_ms: i64, name: &str, outcome: MoveOutcome) -> Self {
        self.then(after_ms, Record::MoveEnded { session: session(name), outcome })
    }

    pub fn relaunched(self, op: u64) -> Self {
        self.now(200, |at| Record::SwapRelaunched { op: OpId(op), at })
    }

    pub fn done(self, op: u64) -> Self {
        self.then(300, Record::SwapVerified { op: OpId(op) })
            .now(0, |at| Record::SwapDone { op: OpId(op), at })
    }

    /// All of a swap of three, one of which is left to finish its turn.
    pub fn whole_swap(self, op: u64, source: &str, target: &str, trigger: Trigger) -> Self {
        self.planned(op, source, target, trigger)
            .checked(op)
            .saved(op, target, &["ccl-auto-11", "ccl-auto-12", "ccl-1"], true)
            .flipped(op)
            .proven_by(op, "ccl-auto-11")
            .relaunched(op)
            .ended(600, "ccl-auto-12", MoveOutcome::Verified)
            .done(op)
    }

    pub fn aborting(self, op: u64, why: &str) -> Self {
        self.then(100, Record::SwapAborting { op: OpId(op), reason: why.to_owned() })
    }

    pub fn stuck(self, op: u64, why: &str) -> Self {
        self.then(100, Record::SwapStuck { op: OpId(op), reason: why.to_owned() })
    }

    pub fn unstuck(self, after_ms: i64, op: u64, verb: StuckVerb) -> Self {
        self.then(after_ms, Record::StuckCleared { op: OpId(op), verb })
    }

    pub fn started(self, after_ms: i64) -> Self {
        self.then(after_ms, Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 4242 })
    }
}

pub fn by_refusal() -> Trigger {
    Trigger::Refusal {
        session: session("ccl-auto-11"),
        row: ROW.to_owned(),
        evidence: EvidenceSource::Transcript,
    }
}

pub fn agent() -> SavedAgent {
    SavedAgent {
        conversation: Some("82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap()),
        home: AgentHome::Linked,
        cwd: PathBuf::from("/srv"),
        args: None,
        process: ProcessRef { pid: 7, started_ticks: 8 },
        started_at: None,
    }
}

pub fn moved(op: u64, name: &str, target: &str, stage: MoveStage) -> Move {
    let cause = match stage {
        MoveStage::Staying { .. } => MoveCause::Straggler,
        _ => MoveCause::Swap,
    };
    Move {
        op: OpId(op),
        session: session(name),
        agent: agent(),
        pane: None,
        target: account(target),
        cause,
        refused: true,
        cut: true,
        left_row: None,
        beside: Vec::new(),
        stage,
    }
}
