//! One history: a queue of steps in virtual time, the core of the present life, its journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use claude_failover::config::Config;
use claude_failover::core::Core;
use claude_failover::core::action::{Action, WatchedPane};
use claude_failover::core::durable::Durable;
use claude_failover::core::event::Event;
use claude_failover::core::record::Record;
use claude_failover::ids::{PaneId, SessionName};
use claude_failover::moment::{Mono, Now, Wall};

use crate::checks::{Checks, TOLD_MS};
use crate::disk::Disk;
use crate::executors::Fate;
use crate::play::Play;
use crate::prng::Prng;
use crate::scenario::{self, Trouble};
use crate::sensors::Sent;
use crate::tasks::Said;
use crate::world::World;

/// The world's clock starts here: 2026-03-01T08:00:00Z.
const EPOCH_MS: i64 = 1_772_352_000_000;

/// Deadlines at one and the same virtual instant before it counts as a busy loop.
const DEADLINES_AT_ONCE_MAX: u32 = 5;

/// A history that needs more steps than this does not come to rest.
const STEPS_MAX: u64 = 50_000;

/// From the end of the troubles until everything must be at rest.
const CALM_MS: u64 = 12 * 60_000;
const CALM_MS_MAX: u64 = 28 * 60_000;

/// Journal lines after which a restart finds it compacted.
const COMPACT_AFTER: usize = 150;

/// Of a thousand crashes before a record: those in the middle of its write.
const HALF_WRITTEN: u64 = 500;

/// Of a thousand starts: those for which a damaged copy of the journal is replayed, too.
const FLIPPED_BITS: u64 = 200;

/// A crash comes at each record as often as the seed wants it, and between orders more rarely: there
/// are more of them.
const ONE: u64 = 1;
const BETWEEN_ORDERS: u64 = 8;

#[derive(Debug)]
pub enum Step {
    Deliver { life: u32, event: Event },
    Effect { life: u32, action: Action, fate: Fate },
    Ghost { life: u32, action: Action, removals: u32 },
    Turn { pid: i32, turn: u64 },
    Filed { pid: i32 },
    Exit { pid: i32, prints_its_id: bool },
    SenseAgents,
    SensePanes,
    SenseTalks,
    SenseQueue,
    SenseSignals,
    Arrival,
    SenseSessions,
    Outside,
    Calm,
    Verb,
    Start,
    ServerUp,
    Reconnected { life: u32 },
    Look,
}

/// What only lives as long as the daemon's process.
pub struct Life {
    pub core: Core,
    pub started_at: u64,
    pub watched: Vec<WatchedPane>,
    pub screens: Vec<(SessionName, PaneId)>,
    pub sent: Sent,
    pub said: Said,
    pub connected: bool,
}

pub struct Sim {
    pub rng: Prng,
    pub trouble: Trouble,
    pub answers_get_lost: bool,
    pub now: u64,
    /// What the wall clock shows beyond the truth.
    pub wall_offset: i64,
    queue: BTreeMap<(u64, u64), Step>,
    queued: u64,
    pub world: World,
    pub config: Arc<Config>,
    pub life: Option<Life>,
    pub life_number: u32,
    pub disk: Disk,
    pub checks: Checks,
    wakeup: Option<u64>,
    deadlines: (u64, u32),
    pub calm: Option<u64>,
    pub lateness_ms: u64,
    pub sense_agents_at: Option<u64>,
    pub sense_panes_at: Option<u64>,
    pub sense_talks_at: Option<u64>,
    pub done: bool,
    pub history: Option<Vec<String>>,
    pub last_banner: BTreeMap<String, crate::world::Banner>,
    pub counts: BTreeMap<&'static str, u64>,
}

impl Sim {
    pub fn new(play: &Play, verbose: bool) -> Self {
        let mut rng = play.chance();
        let trouble = Trouble::from_seed(&mut rng);
        let config = Arc::new(scenario::config(&mut rng));
        let lateness_ms = if rng.chance(500) { 0 } else { 6 };
        let mut sim = Self {
            rng,
            answers_get_lost: trouble.answer > 0 || trouble.flip > 0,
            trouble,
            now: 0,
            wall_offset: 0,
            queue: BTreeMap::new(),
            queued: 0,
            world: World::default(),
            config,
            life: None,
            life_number: 0,
            disk: Disk::default(),
            checks: Checks::default(),
            wakeup: None,
            deadlines: (0, 0),
            calm: None,
            lateness_ms,
            sense_agents_at: None,
            sense_panes_at: None,
            sense_talks_at: None,
            done: false,
            history: verbose.then(Vec::new),
            last_banner: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        sim.first_world();
        sim.at(1_000, Step::Start);
        sim.at(2_000, Step::Outside);
        sim.at(16_000, Step::SenseSessions);
        for _ in 0..sim.rng.below(4) {
            sim.at(1_500, Step::Arrival);
        }
        sim.at(sim.trouble.chaos_ms, Step::Calm);
        sim
    }

    /// # Panics
    /// When the history violates what must always hold.
    pub fn run(&mut self) {
        let mut steps = 0;
        while !self.done {
            steps += 1;
            assert!(steps < STEPS_MAX, "the history takes more than {STEPS_MAX} steps");
            let next = self.queue.keys().next().expect("sensors never stop").0;
            match self.wakeup {
                Some(at) if at <= next => {
                    self.now = self.now.max(at);
                    self.wake();
                }
                _ => {
                    let ((at, _), step) = self.queue.pop_first().expect("just seen");
                    self.now = self.now.max(at);
                    self.step(step);
                }
            }
            self.schedule_sensors();
            self.schedule_queue_sensors();
            self.check_step();
        }
        self.check_end();
    }

    pub fn at(&mut self, delay: u64, step: Step) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), step);
    }

    /// Everything that was to come comes later; only the clocks went on.
    pub fn sleep(&mut self, length: u64) {
        let later = std::mem::take(&mut self.queue);
        self.queue =
            later.into_iter().map(|((at, number), step)| ((at + length, number), step)).collect();
        // The sensors were frozen too, and tell of what came a moment before only after it.
        for task in self.world.queue.tasks.values_mut() {
            if self.now.saturating_sub(task.arrived_at) <= TOLD_MS {
                task.arrived_at += length;
            }
        }
        self.now += length;
        self.sense_agents_at = self.sense_agents_at.map(|at| at + length);
        self.sense_panes_at = self.sense_panes_at.map(|at| at + length);
        self.sense_talks_at = self.sense_talks_at.map(|at| at + length);
        if let Some(life) = &mut self.life {
            life.said.last_order_at += length;
        }
    }

    pub fn wall(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now).expect("small") + self.wall_offset
    }

    /// What the wall clock would have shown at a moment of the past, as it is set now.
    pub fn wall_of_past(&self, at: u64) -> i64 {
        self.wall() - i64::try_from(self.now - at).expect("small")
    }

    pub fn say(&mut self, text: impl FnOnce() -> String) {
        let at = self.now;
        if let Some(history) = &mut self.history {
            history.push(format!("{:>9.3} {}", at as f64 / 1000.0, text()));
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Deliver { life, event } => {
                if life == self.life_number && self.life.is_some() {
                    self.handle(event);
                }
            }
            Step::Effect { life, action, fate } => self.effect(life, &action, fate),
            Step::Ghost { life, action, removals } => self.ghost(life, &action, removals),
            Step::Turn { pid, turn } => self.agent_turn(pid, turn),
            Step::Filed { pid } => self.agent_filed(pid),
            Step::Exit { pid, prints_its_id } => self.agent_exits(pid, prints_its_id),
            Step::SenseAgents => {
                self.sense_agents_at = None;
                self.sense_agents(None);
            }
            Step::SensePanes => {
                self.sense_panes_at = None;
                self.sense_panes();
            }
            Step::SenseTalks => {
                self.sense_talks_at = None;
                self.sense_talks();
            }
            Step::SenseQueue => self.sense_queue(),
            Step::SenseSignals => self.sense_signals(),
            Step::Arrival => {
                self.task_arrives();
                if self.calm.is_none() {
                    let pause = self.rng.within(10_000..400_000);
                    self.at(pause, Step::Arrival);
                }
            }
            Step::SenseSessions => {
                self.sense_sessions();
                self.check_left_behind();
                self.at(15_000, Step::SenseSessions);
            }
            Step::Outside => self.outside(),
            Step::Calm => self.calm_down(),
            Step::Verb => self.operator_verb(),
            Step::Start => self.start(),
            Step::ServerUp => self.server_up(),
            Step::Reconnected { life } => self.reconnected(life),
            Step::Look => self.look_for_rest(),
        }
    }

    fn wake(&mut self) {
        if self.deadlines.0 == self.now {
            self.deadlines.1 += 1;
        } else {
            self.deadlines = (self.now, 1);
        }
        if self.deadlines.1 > DEADLINES_AT_ONCE_MAX {
            let why = self.life.as_ref().and_then(|life| life.core.next_wakeup());
            panic!("busy loop: the core wants to be woken again and again for {why:?}");
        }
        self.handle(Event::DeadlineReached);
    }

    fn clock(&self, started_at: u64) -> Now {
        Now { monotonic: Mono(self.now - started_at), wall: Wall(self.wall()) }
    }

    fn handle(&mut self, event: Event) {
        self.say(|| format!("-> {}", brief(&event)));
        self.checks.event(&event, &mut self.world, self.now);
        let Some(started_at) = self.life.as_ref().map(|life| life.started_at) else { return };
        let now = self.clock(started_at);
        let Some(life) = &mut self.life else { return };
        let actions = life.core.handle(now, event);
        self.carry_out(actions);
    }

    /// Starts the daemon: what is on disk, and the link as it is.
    fn start(&mut self) {
        if self.life.is_some() {
            return;
        }
        self.life_number += 1;
        self.count("starts");
        if self.rng.chance(FLIPPED_BITS) {
            self.disk.survives_a_flipped_bit(&mut self.rng);
        }
        self.disk.replay();
        if self.disk.records().len() > COMPACT_AFTER {
            self.compact();
        }
        let core = Core::recover(self.config.clone(), self.disk.records());
        let core = core.expect("the journal is ours");
        let number = self.life_number;
        self.say(|| format!("== life {number} starts"));
        self.world.queue.changed = true;
        self.world.queue.signals_changed = true;
        self.life = Some(Life {
            core,
            started_at: self.now,
            watched: Vec::new(),
            screens: Vec::new(),
            sent: Sent::default(),
            said: Said::default(),
            connected: self.world.server_up,
        });
        let now = self.clock(self.now);
        let link = self.world.link.clone();
        let pid = i32::try_from(self.life_number).expect("few lives");
        let started = Record::DaemonStarted { version: "sim".to_owned(), pid };
        let Some(life) = &mut self.life else { return };
        let actions = life.core.start(now, link, started);
        self.carry_out(actions);
        if !self.world.server_up {
            self.terminal_event(Event::TerminalLost { reason: "no server".to_owned() });
        }
    }

    /// The whole journal as one line, through its text.
    fn compact(&mut self) {
        let state = Box::new(self.checks.shadow.clone());
        let text = serde_json::to_string(&Record::Compacted { state }).expect("it has a text");
        let record: Record = serde_json::from_str(&text).expect("its text reads back");
        let mut replayed = Durable::default();
        replayed.apply(&record).expect("a compaction may come first");
        assert_eq!(replayed, self.checks.shadow, "a compaction changes the state");
        self.disk.replace(record, Wall(self.wall()));
    }

    pub fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let Action::Persist(record) = action {
                if self.crashes(ONE) {
                    if self.rng.chance(HALF_WRITTEN) {
                        let at = Wall(self.wall());
                        self.disk.tear(&record, at, &mut self.rng);
                    }
                    self.crash("before");
                    return;
                }
                self.say(|| format!("   * {record}"));
                self.persisted(record);
                if self.crashes(ONE) {
                    self.crash("after");
                    return;
                }
            } else {
                self.check_action(&action);
                self.order(action);
                if self.crashes(BETWEEN_ORDERS) {
                    self.crash("between orders, not");
                    return;
                }
            }
            if self.life.is_none() {
                return;
            }
        }
        self.plan_wakeup();
    }

    fn plan_wakeup(&mut self) {
        let Some(life) = &self.life else { return };
        let lateness = if self.lateness_ms > 0 { self.rng.within(0..self.lateness_ms) } else { 0 };
        self.wakeup =
            life.core.next_wakeup().map(|(at, _)| self.now.max(life.started_at + at.0) + lateness);
    }

    /// `once_in`: how much rarer than at a record.
    fn crashes(&mut self, once_in: u64) -> bool {
        self.calm.is_none() && self.rng.chance(self.trouble.crash / once_in)
    }

    fn crash(&mut self, when: &str) {
        self.count("crashes");
        self.say(|| format!("!! crash {when} a record"));
        self.end_life();
    }

    pub fn end_life(&mut self) {
        self.life = None;
        self.wakeup = None;
        let pause = self.rng.within(500..20_000);
        self.at(pause, Step::Start);
    }

    pub fn persisted(&mut self, record: Record) {
        self.check_record(&record);
        let at = Wall(self.wall());
        self.disk.append(record, at);
    }

    fn calm_down(&mut self) {
        self.say(|| "== the troubles end".to_owned());
        self.calm = Some(self.now);
        self.trouble = Trouble { pause_ms: self.trouble.pause_ms, ..Trouble::NONE };
        self.heal();
        self.at(30_000, Step::Verb);
        self.at(CALM_MS, Step::Look);
    }

    fn look_for_rest(&mut self) {
        let since = self.calm.expect("only looked for in the calm");
        match self.unrest() {
            None => self.done = true,
            Some(why) if self.now - since > CALM_MS_MAX => {
                panic!("no rest {} min after the troubles: {why}", (self.now - since) / 60_000)
            }
            Some(_) => self.at(10_000, Step::Look),
        }
    }
}

/// One line for the history.
fn brief(event: &Event) -> String {
    match event {
        Event::SessionsObserved { panes } => {
            let names: Vec<String> =
                panes.iter().map(|pane| format!("{}{}", pane.session, pane.pane)).collect();
            format!("SessionsObserved {}", names.join(" "))
        }
        Event::AgentsObserved(seen) => {
            let agents: Vec<String> = seen
                .agents
                .iter()
                .map(|agent| {
                    let id = agent.conversation.as_ref().map_or("?", |id| &id.as_str()[30..]);
                    format!(
                        "{}{} {}:{:?} id={id} {:?}",
                        agent.session, agent.pane, agent.process.pid, agent.home, agent.state
                    )
                })
                .collect();
            format!("AgentsObserved order={:?} link={:?} {agents:?}", seen.order, seen.link)
        }
        Event::PanesObserved(readings) => {
            let rows: Vec<String> = readings
                .iter()
                .map(|seen| format!("{}{} {:?}", seen.session, seen.pane, seen.reading.verdict))
                .collect();
            format!("PanesObserved {rows:?}")
        }
        Event::TranscriptsObserved(seen) => {
            let endings: Vec<String> = seen
                .iter()
                .map(|said| match &said.ending {
                    None => format!("{} {}: no file", said.session, said.process),
                    Some(ending) => {
                        let error = ending.error.as_ref().map(|error| &error.reading.verdict);
                        format!("{} {}: {error:?}", said.session, said.process)
                    }
                })
                .collect();
            format!("TranscriptsObserved {endings:?}")
        }
        Event::ConfigReloaded(_) => "ConfigReloaded".to_owned(),
        other => format!("{other:?}"),
    }
}
