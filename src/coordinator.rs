//! The driver loop: one event → the core → the journal → the executors → a new snapshot.
//!
//! It owns the core and the journal and decides nothing. No effect is ordered before the records
//! that come before it in its batch are on disk, and nobody is told of what is not.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Receiver, at, never, select_biased, tick};

use crate::api::{control, http};
use crate::clock::{self, Clock};
use crate::component::{Component, Refused};
use crate::config::Config;
use crate::core::Core;
use crate::core::action::{Action, AskId, LaunchAgent, NoteLevel};
use crate::core::durable::Durable;
use crate::core::event::Event;
use crate::core::notice::Teller;
use crate::core::record::Record;
use crate::core::timer::DRAIN_TIMEOUT;
use crate::crash_point::CrashPoint;
use crate::ids::AccountName;
use crate::journal::Journal;
use crate::journal::error::JournalError;
use crate::moment::{Mono, Wall};
use crate::notifier::Told;
use crate::snapshot::chronicle::Chronicle;
use crate::snapshot::figures::Driver;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::systemd::{self, Manager};
use crate::task::HeldTask;
use crate::terminal::Terminal;
use crate::{
    dispatcher, janitor, lifecycle, monitor, notifier, prober, switcher, terminal, watcher,
};

/// Events that may wait. Far above any burst of ours; beyond it we no longer keep up and end.
pub const EVENTS_WAITING_MAX: usize = 100_000;

/// For all that comes after the longest wait of the end.
const END_MARGIN: Duration = Duration::from_secs(15);

/// Why the loop ended other than by a clean stop.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{waiting} events wait: the coordinator does not keep up")]
    Overrun { waiting: usize },
    #[error("all event senders are gone")]
    Deserted,
}

/// INVARIANT: field order is shutdown order: doors, sensors, executors.
pub struct House {
    pub http: Option<http::Server>,
    pub control: control::Server,
    pub monitor: Component<monitor::Order>,
    pub watcher: Component<watcher::Order>,
    pub lifecycle: Component<lifecycle::Order>,
    pub dispatcher: Component<dispatcher::Order>,
    pub janitor: Component<janitor::Order>,
    pub prober: Component<prober::Order>,
    pub switcher: Component<switcher::Order>,
    pub terminal: Terminal,
    /// The last: it tells of the end, too.
    pub notifier: Component<notifier::Order>,
}

/// Reads the configuration file again; all problems at once.
pub type Reload = Box<dyn FnMut() -> Result<Config, Vec<String>>>;

/// INVARIANT: field order is shutdown order: the house is empty before the journal's lock goes.
pub struct Coordinator {
    pub core: Core,
    pub events: Receiver<Event>,
    pub house: House,
    pub journal: Journal<Record>,
    pub snapshots: SnapshotCell,
    pub chronicle: Chronicle,
    pub counted: Driver,
    pub clock: Clock,
    pub started_at: Wall,
    pub manager: Manager,
    pub reload: Reload,
    pub teller: Teller,
    pub crash_point: CrashPoint,
}

enum Flow {
    GoOn,
    Stop,
}

/// What one event has set off in the driver.
#[derive(Default)]
struct Turn {
    events: VecDeque<Event>,
    /// Not sent before the turn is over.
    answers: Vec<(AskId, Result<String, String>)>,
    /// Likewise: the manager is told that it is over.
    reloaded: bool,
    /// What people are to be told, in the order in which it happened.
    told: Vec<Told>,
}

impl Coordinator {
    /// Runs until the core says stop.
    ///
    /// # Errors
    /// The journal cannot be written (the disk no longer tells the truth), or events pile up.
    pub fn run(mut self, link: Option<AccountName>) -> Result<(), Failure> {
        let ended = self.live(link);
        if let Err(failure) = &ended {
            // The watchdog is fed no more, and threads are joined.
            self.manager.stopping(self.end_within());
            let notice = self.teller.ended(&failure.to_string(), self.clock.wall());
            let order = notifier::Order::Tell(vec![Told { seq: None, notice }]);
            if let Err(refused) = self.house.notifier.order(order) {
                log::error!("nobody is told of this: {refused}");
            }
        }
        ended
    }

    fn live(&mut self, link: Option<AccountName>) -> Result<(), Failure> {
        let watchdog = systemd::watchdog_interval().map_or_else(never, tick);
        // A journal that is full takes no record, not even that of a start.
        self.compact_if_due();
        let started = Record::DaemonStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
        };
        let actions = self.core.start(self.clock.now(), link, started);
        self.carry_out_all(actions)?;
        self.publish();
        self.manager.ready();
        loop {
            let deadline = self.core.next_wakeup().map_or_else(never, |wake| self.alarm(wake.0));
            let event = select_biased! {
                recv(watchdog) -> _ => {
                    self.manager.watchdog();
                    continue;
                }
                recv(deadline) -> _ => Event::DeadlineReached,
                recv(self.events) -> event => event.map_err(|_| Failure::Deserted)?,
            };
            if let Flow::Stop = self.step(event)? {
                return self.stop();
            }
            let waiting = self.events.len();
            if waiting > EVENTS_WAITING_MAX {
                return Err(Failure::Overrun { waiting });
            }
        }
    }

    fn alarm(&self, moment: Mono) -> Receiver<std::time::Instant> {
        at(self.clock.instant_of(moment))
    }

    /// One event and whatever the driver itself answers to its actions.
    ///
    /// INVARIANT: who is answered finds it in the journal and in the snapshot.
    fn step(&mut self, event: Event) -> Result<Flow, Failure> {
        let mut turn = Turn { events: VecDeque::from([event]), ..Turn::default() };
        let mut flow = Flow::GoOn;
        while let Some(event) = turn.events.pop_front() {
            log::debug!("event {event:?}");
            let now = self.clock.now();
            self.counted.saw(&event, now.wall);
            let actions = self.core.handle(now, event);
            if let Flow::Stop = self.carry_out(actions, &mut turn)? {
                flow = Flow::Stop;
            }
        }
        self.publish();
        if turn.reloaded {
            self.manager.ready();
        }
        if self.core.draining_since.is_some() {
            self.manager.stopping(self.end_within());
        }
        for (ask, result) in turn.answers {
            self.house.control.answer(ask, result);
        }
        self.compact_if_due();
        Ok(flow)
    }

    /// A compaction that fails leaves the journal as it was, or poisoned; then the next append says
    /// so and ends the daemon.
    fn compact_if_due(&mut self) {
        if !self.journal.should_compact() {
            return;
        }
        let state: Box<Durable> = Box::new(self.core.durable.clone());
        match self.journal.compact(&Record::Compacted { state }, self.clock.wall()) {
            Ok(()) => {
                self.counted.compactions += 1;
                log::info!("journal compacted to {} bytes", self.journal.size_bytes());
            }
            Err(error) => log::error!("the journal could not be compacted: {error}"),
        }
    }

    fn carry_out_all(&mut self, actions: Vec<Action>) -> Result<(), Failure> {
        let mut turn = Turn::default();
        self.carry_out(actions, &mut turn)?;
        for event in turn.events {
            self.step(event)?;
        }
        Ok(())
    }

    /// INVARIANT: records are on disk before any action that comes after them in the batch.
    fn carry_out(&mut self, actions: Vec<Action>, turn: &mut Turn) -> Result<Flow, Failure> {
        let mut records = Vec::new();
        let mut flow = Flow::GoOn;
        for action in actions {
            log::debug!("action {}", Shown(&action));
            match action {
                Action::Persist(record) => records.push(record),
                Action::Note { level, text } => note(level, &text),
                Action::Answer { ask, result } => turn.answers.push((ask, result)),
                other => {
                    self.persist(&mut records, turn)?;
                    match other {
                        Action::ReloadConfig => {
                            turn.events.push_back(self.reload_config());
                            turn.reloaded = true;
                        }
                        Action::Stop => flow = Flow::Stop,
                        order => turn.events.extend(self.order(order)),
                    }
                }
            }
        }
        self.persist(&mut records, turn)?;
        self.tell(turn);
        Ok(flow)
    }

    fn persist(&mut self, records: &mut Vec<Record>, turn: &mut Turn) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        self.crash_point.cut(records);
        let (first_seq, at, begun) = (self.journal.next_seq(), self.clock.wall(), clock::instant());
        self.journal.append(records, at)?;
        self.counted.appended(records.len(), begun.elapsed());
        self.crash_point.passed(records.len());
        for (seq, record) in (first_seq..).zip(records.drain(..)) {
            log::info!("{record}");
            self.chronicle.take(seq, at, &record, &self.core.durable);
            let notice = self.teller.take(at, &record, &self.core.config);
            turn.told.extend(notice.map(|notice| Told { seq: Some(seq), notice }));
        }
        Ok(())
    }

    /// What matters to people goes to them; the notifier keeps it, and holds up nobody.
    fn tell(&mut self, turn: &mut Turn) {
        let seen = self.teller.look(&self.core, self.clock.wall());
        turn.told.extend(seen.into_iter().map(|notice| Told { seq: None, notice }));
        if turn.told.is_empty() {
            return;
        }
        let order = notifier::Order::Tell(std::mem::take(&mut turn.told));
        let refused = self.house.notifier.order(order).err();
        turn.events.extend(refused.and_then(|refused| self.news_of(refused)));
    }

    /// A component whose inbox is full does nothing any more, which `/health` must show. What had
    /// an answer to come is asked for again by the core.
    fn order(&self, action: Action) -> Option<Event> {
        let house = &self.house;
        let sent = match action {
            Action::ObserveSessions => house.lifecycle.order(lifecycle::Order::ObserveSessions),
            Action::ObserveAgents { order } => {
                house.watcher.order(watcher::Order::ObserveAgents { order })
            }
            Action::WatchAgents { panes } => {
                house.watcher.order(watcher::Order::WatchAgents { panes })
            }
            Action::WatchPanes { panes } => {
                house.monitor.order(monitor::Order::WatchPanes { panes })
            }
            Action::RereadPane { pane } => house.monitor.order(monitor::Order::Reread { pane }),
            Action::ReadTranscript { session } => {
                house.watcher.order(watcher::Order::ReadTranscript { session })
            }
            Action::CheckTarget { order, account } => {
                house.switcher.order(switcher::Order::CheckTarget { order, account })
            }
            Action::StopAgents { order, agents } => {
                house.switcher.order(switcher::Order::StopAgents { order, agents })
            }
            Action::FlipLink { order, to } => {
                house.switcher.order(switcher::Order::FlipLink { order, to })
            }
            Action::ProbeAccount { order, account } => {
                house.prober.order(prober::Order::Probe { order, account })
            }
            Action::CreateSession { order, session, cwd } => {
                house.terminal.order(terminal::Order::Create { order, session, cwd })
            }
            Action::LaunchAgent(launch) => house.terminal.order(terminal::Order::Launch(launch)),
            Action::ReadPane { order, session, pane } => {
                house.terminal.order(terminal::Order::ReadPane { order, session, pane })
            }
            Action::HandleDialog { order, session, pane, fence } => {
                house.terminal.order(terminal::Order::HandleDialog { order, session, pane, fence })
            }
            Action::ClearSignals { order, session } => {
                house.watcher.order(watcher::Order::ClearSignals { order, session })
            }
            Action::ReadConversation { order, session, conversation, account, cwd } => {
                let read =
                    watcher::Order::ReadConversation { order, session, conversation, account, cwd };
                house.watcher.order(read)
            }
            Action::ClaimTask { order, task, session, attempt } => {
                house.dispatcher.order(dispatcher::Order::Claim { order, task, session, attempt })
            }
            Action::ReleaseTask { order, task } => {
                house.dispatcher.order(dispatcher::Order::Release { order, task })
            }
            Action::CloseTask { order, result } => {
                house.dispatcher.order(dispatcher::Order::Close { order, result })
            }
            Action::HoldTasks { held } => self.hold(held),
            Action::TellSession { session, text } => {
                house.terminal.order(terminal::Order::Tell { session, text })
            }
            Action::ApplyConfig(config) => self.apply(&config),
            Action::Persist(_)
            | Action::Note { .. }
            | Action::Answer { .. }
            | Action::ReloadConfig
            | Action::Stop => unreachable!("carried out by the driver itself"),
        };
        sent.err().and_then(|refused| self.news_of(refused))
    }

    fn news_of(&self, refused: Refused) -> Option<Event> {
        let known = self.core.dead_components.contains(&refused.name);
        (!known).then(|| Event::ComponentExited {
            name: refused.name,
            error: Some(refused.why.to_owned()),
        })
    }

    fn hold(&self, held: Vec<HeldTask>) -> Result<(), Refused> {
        let tasks = held.iter().map(|held| held.task.clone()).collect();
        // Each of them must know, whatever the other says.
        let told = self.house.dispatcher.order(dispatcher::Order::Hold { held });
        self.house.janitor.order(janitor::Order::Hold { held: tasks }).and(told)
    }

    fn apply(&self, config: &std::sync::Arc<Config>) -> Result<(), Refused> {
        self.house.control.reconfigure(&config.quota.patterns);
        let (house, new) = (&self.house, || config.clone());
        // Each of them must know, whether or not another one has died.
        let told = [
            house.lifecycle.order(lifecycle::Order::Reconfigure(new())),
            house.watcher.order(watcher::Order::Reconfigure(new())),
            house.dispatcher.order(dispatcher::Order::Reconfigure(new())),
            house.janitor.order(janitor::Order::Reconfigure(new())),
            house.monitor.order(monitor::Order::Reconfigure(new())),
            house.prober.order(prober::Order::Reconfigure(new())),
            house.notifier.order(notifier::Order::Reconfigure(new())),
            house.switcher.order(switcher::Order::Reconfigure(new())),
        ];
        told.into_iter().collect()
    }

    fn reload_config(&mut self) -> Event {
        self.manager.reloading();
        match (self.reload)() {
            Ok(config) => Event::ConfigReloaded(std::sync::Arc::new(config)),
            Err(problems) => Event::ConfigRejected { problems },
        }
    }

    fn publish(&mut self) {
        let now = self.clock.now();
        let mut snapshot = Snapshot::of(&self.core, self.started_at, now);
        snapshot.events = self.chronicle.events();
        snapshot.figures.tally = self.chronicle.tally();
        self.counted.events_waiting = self.events.len();
        self.counted.journal_bytes = self.journal.size_bytes();
        snapshot.figures.driver = self.counted;
        self.manager.status(&snapshot.line(), now.monotonic);
        self.snapshots.publish(snapshot);
    }

    /// Threads are joined: one may be ending an agent, another waiting for an account's answer.
    fn end_within(&self) -> Duration {
        let longest = self.core.config.swap.stop_grace.max(prober::question::TIMEOUT);
        DRAIN_TIMEOUT + longest + END_MARGIN
    }

    /// tmux and the agents are left as they are; the next start adopts them.
    fn stop(&mut self) -> Result<(), Failure> {
        self.manager.stopping(self.end_within());
        let mut turn = Turn::default();
        self.persist(&mut vec![Record::CleanStop], &mut turn)?;
        self.tell(&mut turn);
        Ok(())
    }
}

/// An action as the log has it: of what is added to an agent's environment only the names, since the
/// values may be secrets.
struct Shown<'a>(&'a Action);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Action::LaunchAgent(launch) => {
                let names = launch.env.keys().map(|name| (name.clone(), "…".to_owned()));
                let shown = LaunchAgent { env: names.collect(), ..launch.clone() };
                write!(f, "LaunchAgent({shown:?})")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

fn note(level: NoteLevel, text: &str) {
    match level {
        NoteLevel::Error => log::error!("{text}"),
        NoteLevel::Warn => log::warn!("{text}"),
        NoteLevel::Info => log::info!("{text}"),
    }
}
