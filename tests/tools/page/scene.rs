//! What a daemon would publish: a fleet at night, in each of its states, with texts of anybody in it.

use std::time::Duration;

use claude_failover::core::event::AgentHome;
use claude_failover::core::history::History;
use claude_failover::core::record::{Move, MoveCause, MoveOutcome, MoveStage, Record, SavedAgent};
use claude_failover::core::standing::{Limit, PlanWindow};
use claude_failover::core::trigger::{EvidenceSource, Trigger};
use claude_failover::ids::{OpId, ProcessRef};
use claude_failover::moment::Wall;
use claude_failover::snapshot::events::Events;
use claude_failover::snapshot::{Health, Snapshot};
use serde_json::{Value, json};

pub const ROW: &str = "You've hit your 5-hour limit · resets 4am";

/// Now and then, as the documents write it.
pub struct Scene {
    pub now: Wall,
}

impl Scene {
    /// So many minutes from now; before it when negative.
    pub fn at(&self, minutes: i64) -> String {
        self.wall(minutes).to_string()
    }

    fn wall(&self, minutes: i64) -> Wall {
        Wall(self.now.0 + minutes * 60_000)
    }

    pub fn normal(&self) -> Value {
        json!({
            "version": 1, "ok": true, "state": "normal", "reasons": [], "until": null,
            "daemon": {"version": "0.1.0", "pid": 4711, "started_at": self.at(-3 * 1440)},
            "at": self.now.to_string(), "active_account": "backup", "link": "/home/op/.claude",
            "last_swap_at": self.at(-42), "last_swap_from": "primary", "last_swap_to": "backup",
            "accounts": self.accounts(), "parked": null, "pinned": null,
            "plan": {"source": "backup", "target": null, "strategy": "priority",
                "throttled": false, "candidates": []},
            "sessions": self.sessions(),
            "swap": {"open": null, "last": {"op": 17, "from": "primary", "to": "backup",
                "outcome": "done", "trigger": {"kind": "operator"}, "planned_at": self.at(-42),
                "done_at": self.at(-42), "relaunch_ms": 1100, "took_ms": 2700}},
            "tasks": self.tasks(), "hits": [], "linked_foreign": 1, "config_problems": [],
            "dead_components": [],
            "notifications": [
                {"channel": "telegram", "level": "info", "waiting": 0, "last_sent_at": self.at(-42),
                    "last_error": null},
                {"channel": "resend", "level": "warning", "waiting": 2, "last_sent_at": null,
                    "last_error": "401: the key is not valid"},
            ],
        })
    }

    fn accounts(&self) -> Value {
        json!([
            {"name": "primary", "home": "/home/op/.claude-primary", "priority": 1, "active": false,
                "state": "exhausted", "until": self.at(72), "pinned": false,
                "limits": [{"window": "five_hour", "since": self.at(-43), "until": self.at(72),
                    "printed": true, "evidence": "transcript", "session": "ccl-auto-11", "row": ROW}],
                "passed_over": "exhausted", "used": {"age_s": 2600,
                    "five_hour": {"used_percent": 100.0, "resets_at": self.at(72)},
                    "weekly": {"used_percent": 61.5, "resets_at": self.at(4000)}}},
            {"name": "backup", "home": "/home/op/.claude-backup", "priority": 2, "active": true,
                "state": "available", "until": null, "pinned": false, "limits": [],
                "passed_over": "it is the one in use", "used": {"age_s": 12,
                    "five_hour": {"used_percent": 78.2, "resets_at": self.at(140)},
                    "weekly": {"used_percent": 34.0, "resets_at": self.at(7000)}}},
            {"name": "third", "home": "/home/op/.claude-third", "priority": 3, "active": false,
                "state": "auth_failed", "until": null, "pinned": false, "limits": [],
                "passed_over": "its login fails: run CLAUDE_CONFIG_DIR=/home/op/.claude-third claude, \
                    then /login", "used": null},
        ])
    }

    fn sessions(&self) -> Value {
        let agent = |state: &str, minutes: i64| {
            json!({"pid": 100, "pane": "%1", "conversation": "5e0c1fd4-0d7d-4c5c-9a1b-0a1b2c3d4e5f",
                "home": {"homed": "backup"}, "state": state, "state_from": "session_file",
                "dialog": null, "armed": false, "last_error": null, "since": self.at(minutes)})
        };
        let session = |name: &str, group: &str, agent: Value| {
            json!({"name": name, "group": group, "exists": true, "panes": 1, "attached": 0,
                "typed_at": null, "agent": agent, "move": null, "lost_at": null})
        };
        let mut dedicated = session("ccl-1-conformvault", "dedicated", agent("idle", -9));
        dedicated["attached"] = json!(1);
        dedicated["agent"]["home"] = json!("linked");
        dedicated["agent"]["last_error"] = json!({"at": self.at(-30), "verdict": {"kind": "server_error"},
            "rule": "api", "row": "API Error: 529 Overloaded"});
        let mut waiting =
            session("ccl-auto-13", "pool", agent("waiting(\"permission prompt\")", -4));
        waiting["agent"]["dialog"] = json!("trust");
        let mut lost = session("ccl-auto-14", "pool", Value::Null);
        lost["exists"] = json!(false);
        lost["lost_at"] = json!(self.at(-1));
        json!([
            dedicated,
            session("ccl-auto-11", "pool", agent("busy", -18)),
            session("ccl-auto-12", "pool", agent("idle", -2)),
            waiting,
            lost
        ])
    }

    fn tasks(&self) -> Value {
        json!({
            "dispatching": true,
            "waiting": {"ready": 12, "blocked": 3, "later": 1, "foreign": 1, "not_for_us": 0, "refused": 0},
            "next": "shop:t9", "polled_because": null,
            "in_hand": [
                {"task": "shop:20261126-031244-mend-the-tests-1a2b3c", "title": "Mend the tests of the parser",
                    "state": "running", "session": "ccl-auto-11", "account": "backup", "conversation": null,
                    "attempt": 1, "since": self.at(-18), "reason": null},
                {"task": "vault:t2", "title": "Rotate the signing keys of the staging vault", "state": "blocked",
                    "session": "ccl-auto-13", "account": "backup", "conversation": null, "attempt": 2,
                    "since": self.at(-4), "reason": "Do you trust the files in this folder?"},
            ],
        })
    }

    pub fn swapping(&self) -> Value {
        let mut status = self.normal();
        status["state"] = json!("swapping");
        status["swap"]["open"] = json!({"op": 18, "phase": "stopped", "from": "primary", "to": "backup",
            "trigger": {"kind": "refusal", "session": "ccl-auto-11", "row": ROW, "evidence": "transcript"},
            "planned_at": self.at(0), "rejected": [], "trouble": null});
        status["sessions"][1]["move"] =
            json!({"op": 18, "cause": "swap", "stage": "launching", "to": "backup"});
        status
    }

    pub fn parked(&self) -> Value {
        let mut status = self.normal();
        status["state"] = json!("parked");
        status["until"] = json!(self.at(72));
        status["parked"] = json!({"since": self.at(-20), "until": self.at(72)});
        status["tasks"]["dispatching"] = json!(false);
        status
    }

    pub fn stuck(&self) -> Value {
        let mut status = self.normal();
        status["state"] = json!("stuck");
        status["ok"] = json!(false);
        status["reasons"] =
            json!(["swap 18 is stuck: /home/op/.claude is a directory, not a link; \
            move it away: mv -T /home/op/.claude /home/op/.claude.old"]);
        status
    }

    /// A night: a refusal and a swap, a parking, a restart, and what the operator did.
    pub fn night(&self) -> Events {
        let mut history = History::keeping(500);
        for (number, (minutes, record)) in (1..).zip(self.records()) {
            history.take(number, self.wall(minutes), &record);
        }
        Events { entries: history.latest(), last_seq: history.last_seq() }
    }

    fn records(&self) -> Vec<(i64, Record)> {
        let name = |name: &str| name.parse().unwrap();
        let limit = |minutes, until| Limit {
            row: ROW.to_owned(),
            evidence: EvidenceSource::Transcript,
            session: Some("ccl-auto-11".parse().unwrap()),
            since: self.wall(minutes),
            until: self.wall(until),
            printed: true,
        };
        let refused = |account: &str, minutes, until| Record::AccountRefused {
            account: name(account),
            window: PlanWindow::FiveHour,
            limit: limit(minutes, until),
        };
        let (op, at) = (OpId(17), self.wall(-42));
        let trigger = Trigger::Refusal {
            session: "ccl-auto-11".parse().unwrap(),
            row: ROW.to_owned(),
            evidence: EvidenceSource::Transcript,
        };
        let (source, target) = (name("primary"), name("backup"));
        let planned = Record::SwapPlanned {
            op,
            at,
            source,
            target,
            trigger,
            because: "priority 2".to_owned(),
            passed_over: Vec::new(),
        };
        let ended = |session: &str, outcome| Record::MoveEnded {
            session: session.parse().unwrap(),
            outcome,
        };
        let failed =
            MoveOutcome::Failed { reason: "No conversation found with that id".to_owned() };
        vec![
            (-600, Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 17 }),
            (
                -310,
                Record::Parked {
                    at: self.wall(-310),
                    until: Some(self.wall(-200)),
                    reasons: vec![
                        (name("primary"), "exhausted until 01:00Z".to_owned()),
                        (name("backup"), "its login fails".to_owned()),
                    ],
                },
            ),
            (-300, Record::DaemonStarted { version: "0.1.0".to_owned(), pid: 4711 }),
            (-90, Record::AccountHeld { account: name("third"), at: self.wall(-90) }),
            (-80, Record::AccountReleased { account: name("third"), at: self.wall(-80) }),
            (
                -60,
                Record::LoginFailed {
                    account: name("third"),
                    reason: "OAuth token revoked".to_owned(),
                    at: self.wall(-60),
                },
            ),
            (-43, refused("primary", -43, 72)),
            (-42, planned),
            (
                -42,
                Record::SwapSaved {
                    op,
                    moves: ["ccl-auto-11", "ccl-auto-12", "ccl-1-conformvault"]
                        .into_iter()
                        .map(|session| moved(op, session))
                        .collect(),
                },
            ),
            (-42, Record::SwapFlipped { op, at, moved: false }),
            (-42, ended("ccl-auto-11", MoveOutcome::Verified)),
            (-42, ended("ccl-auto-12", failed)),
            (-42, Record::SwapDone { op, at: at + Duration::from_millis(2_700) }),
        ]
    }
}

fn moved(op: OpId, session: &str) -> Move {
    let agent = SavedAgent {
        conversation: None,
        home: AgentHome::Linked,
        cwd: "/srv".into(),
        args: None,
        process: ProcessRef { pid: 1, started_ticks: 1 },
        started_at: None,
    };
    Move {
        op,
        session: session.parse().unwrap(),
        agent,
        pane: None,
        target: "backup".parse().unwrap(),
        cause: MoveCause::Swap,
        refused: false,
        cut: false,
        left_row: None,
        beside: Vec::new(),
        stage: MoveStage::Stopping,
    }
}

pub fn snapshot(status: Value, events: Events) -> Snapshot {
    let health = Health {
        ok: status["ok"] == true,
        state: status["state"].as_str().unwrap_or_default().to_owned(),
        reasons: Vec::new(),
        until: None,
    };
    let mut snapshot = Snapshot::new(health, status);
    snapshot.events = events.into();
    snapshot
}

/// Every text of a document that is anybody's, made hostile; names of ours, moments and words stay.
pub fn poison(value: &mut Value, key: &str, poison: &str) {
    const OURS: [&str; 14] = [
        "state",
        "group",
        "kind",
        "phase",
        "stage",
        "window",
        "evidence",
        "at",
        "since",
        "until",
        "started_at",
        "resets_at",
        "done_at",
        "planned_at",
    ];
    match value {
        Value::String(text) if !OURS.contains(&key) && !key.ends_with("_at") => {
            *text = format!("{poison}{text}");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| self::poison(item, key, poison)),
        Value::Object(fields) => {
            for (key, field) in fields {
                self::poison(field, key, poison);
            }
        }
        _ => {}
    }
}
