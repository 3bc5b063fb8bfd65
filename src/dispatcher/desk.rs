//! What the dispatcher holds and has offered; one order, or one turn, at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::core::event::{Event, HopelessTask, QueueCounts, TasksOffered};
use crate::dispatcher::Order;
use crate::dispatcher::entry::Look;
use crate::dispatcher::hands::{Claim, Hands};
use crate::dispatcher::hints::Change;
use crate::dispatcher::offering::{Held, Offering, Queues};
use crate::dispatcher::project::TROUBLE;
use crate::dispatcher::said::Said;
use crate::dispatcher::shelves::Shelves;
use crate::dispatcher::statuses::Statuses;
use crate::ids::{TaskId, TaskRef};
use crate::queue::dir::Dir;
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue, inbox, instance};

/// Tasks moved to `failed/` in one turn: each waits for the disk, and claims wait meanwhile.
const MOVES_MAX: usize = 16;
/// Of those, so many are remembered for whoever is told of them.
const HOPELESS_MAX: usize = 64;
/// Between such turns.
const NEXT_MOVES: Duration = Duration::from_millis(50);
/// Marks of tasks that wait for others, made or removed in one turn.
const MARKS_MAX: usize = 1000;
/// Offered of each project beyond what it may have at once.
const OFFERS_SPARE: usize = 3;
/// A clock that is set is noticed this late at worst.
const SLEEP_MAX: Duration = Duration::from_secs(60);

pub struct Desk {
    config: Arc<Config>,
    clock: Clock,
    instance: String,
    rules: Rules,
    shelves: Shelves,
    statuses: Statuses,
    said: Said,
    /// `None` until the core has said what it holds.
    held: Option<Held>,
    sent: Option<TasksOffered>,
    /// They could not be moved to `failed/`; when that is tried again.
    unmoved: BTreeMap<TaskRef, Instant>,
    /// The last that were moved there.
    hopeless: VecDeque<HopelessTask>,
    /// Something was read, or is held, that was not when it was last planned.
    plan_due: bool,
    /// The next plan for another reason.
    plan_at: Option<Instant>,
}

impl Desk {
    /// # Errors
    /// Our instance id can be neither read nor made.
    pub fn new(config: Arc<Config>, clock: Clock) -> io::Result<Self> {
        Ok(Self {
            instance: instance::instance(&config.state_dir)?,
            rules: Rules::of(&config.dispatcher),
            shelves: shelves(&config),
            config,
            clock,
            statuses: Statuses::default(),
            said: Said::default(),
            held: None,
            sent: None,
            unmoved: BTreeMap::new(),
            hopeless: VecDeque::new(),
            plan_due: false,
            plan_at: None,
        })
    }

    pub fn changes(&self) -> Receiver<Change> {
        self.shelves.changes.clone()
    }

    /// When there is something to do although nothing has happened.
    pub fn wakeup(&self) -> Instant {
        let read_at = self.shelves.wakeup();
        self.plan_at.map_or(read_at, |at| at.min(read_at))
    }

    pub fn note(&mut self, change: Change) {
        self.shelves.note(change);
    }

    pub fn obey(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::Claim { order, task, session, attempt } => {
                let claim = Claim { task: task.clone(), session: session.clone(), attempt };
                let result = self.hands().claim(claim, self.clock.wall());
                let result = result.map_err(|error| format!("{error:#}"));
                match &result {
                    Ok(id) => log::info!(
                        "task={task} state=claimed session={session} attempt={attempt} \
                         conversation={id}"
                    ),
                    Err(why) => {
                        log::warn!("task={task} not claimed: {why}");
                        // The core takes it for gone until it is offered again.
                        self.sent = None;
                        self.plan_due = true;
                    }
                }
                self.note(Change::Project(task.project.clone()));
                Some(Event::TaskClaimed { order, task, result })
            }
            Order::Release { order, task } => {
                let result = self.hands().release(&task).map_err(|error| error.to_string());
                match &result {
                    Ok(()) => log::info!("task={task} state=released"),
                    Err(why) => log::warn!("task={task} not released: {why}"),
                }
                self.note(Change::Project(task.project.clone()));
                Some(Event::TaskReleased { order, task, result })
            }
            Order::Close { order, result } => {
                let task = result.task.clone();
                let closed = self.hands().close(&result).map_err(|error| error.to_string());
                let state = if result.done { "done" } else { "failed" };
                match &closed {
                    Ok(()) => log::info!("task={task} state={state} reason={:?}", result.reason),
                    Err(why) => log::warn!("task={task} {state}, but it could not be moved: {why}"),
                }
                self.note(Change::Project(task.project.clone()));
                Some(Event::TaskClosed { order, task, result: closed })
            }
            Order::Hold { held } => {
                let mut by_project = Held::new();
                for task in held {
                    by_project.entry(task.task.project.clone()).or_default().push(task);
                }
                self.held = Some(by_project);
                self.plan_due = true;
                None
            }
            Order::Reconfigure(config) => {
                self.reconfigure(config);
                None
            }
        }
    }

    /// What was read by other rules is read again.
    fn reconfigure(&mut self, config: Arc<Config>) {
        if config.dispatcher != self.config.dispatcher {
            self.rules = Rules::of(&config.dispatcher);
            self.shelves = shelves(&config);
            self.statuses = Statuses::default();
        }
        self.config = config;
    }

    /// Reads what has changed and moves away what can never run; `None` when there was nothing, or
    /// nobody has said yet what is held.
    pub fn turn(&mut self) -> Option<Offering> {
        self.plan_due |= self.read();
        self.plan_due |= self.plan_at.is_some_and(|at| at <= clock::instant());
        if !self.plan_due || self.held.is_none() {
            return None;
        }
        self.plan_due = false;
        self.plan_at = None;
        let mut offering = self.plan();
        if !offering.hopeless.is_empty() || !self.unmoved.is_empty() {
            self.fail(&offering.hopeless);
            self.read();
            offering = self.plan();
        }
        if let Some(at) = offering.next_at {
            let now = self.clock.wall();
            self.plan_again(if at > now { (at - now).min(SLEEP_MAX) } else { Duration::ZERO });
        }
        Some(offering)
    }

    /// What the core has to be told; `None` when that is what was sent last.
    pub fn news(&mut self, offering: &Offering) -> Option<TasksOffered> {
        let offered = TasksOffered {
            offers: offering.offers.clone(),
            counts: total(offering),
            poll_only: self.shelves.poll_only().map(str::to_owned),
            hopeless: self.hopeless.iter().cloned().collect(),
        };
        if self.sent.as_ref() == Some(&offered) {
            return None;
        }
        self.sent = Some(offered.clone());
        Some(offered)
    }

    /// What the queues say of themselves: beside tasks that wait, and in `status.json`.
    pub fn write_marks(&mut self, offering: &Offering) {
        self.mark_waiting(offering);
        let Some(held) = &self.held else { return };
        let projects_dir = &self.config.dispatcher.projects_dir;
        if !self.statuses.write(projects_dir, &offering.counts, held, &mut self.said) {
            self.plan_again(TROUBLE);
        }
    }

    fn read(&mut self) -> bool {
        let look = Look { rules: &self.rules, now: self.clock.wall() };
        self.shelves.read(look, &self.instance)
    }

    fn plan(&self) -> Offering {
        let none = Held::new();
        let queues = Queues {
            projects_dir: &self.config.dispatcher.projects_dir,
            projects: &self.shelves.projects,
            held: self.held.as_ref().unwrap_or(&none),
            awaited: &self.shelves.awaited,
            unmoved: &self.unmoved,
            per_project: offered_of_one_project(&self.config),
        };
        queues.plan(self.clock.wall())
    }

    /// Moves tasks that can never run out of the way, some at a time.
    fn fail(&mut self, hopeless: &[(TaskRef, String)]) {
        let still: BTreeSet<&TaskRef> = hopeless.iter().map(|(task, _)| task).collect();
        self.unmoved.retain(|task, _| still.contains(task));
        let now = clock::instant();
        let rests = |task: &TaskRef| self.unmoved.get(task).is_some_and(|again_at| *again_at > now);
        let due: Vec<_> = hopeless.iter().filter(|(task, _)| !rests(task)).collect();
        for (task, reason) in due.iter().take(MOVES_MAX) {
            let about = format!("task={task} not moved to failed/:");
            let at = self.clock.wall();
            match self.hands().fail(task, reason, at) {
                Ok(()) => {
                    self.unmoved.remove(task);
                    self.said.forget(&about);
                    log::warn!("task={task} state=failed reason={reason:?}");
                    if self.hopeless.len() == HOPELESS_MAX {
                        self.hopeless.pop_front();
                    }
                    let (task, reason) = (task.clone(), reason.clone());
                    self.hopeless.push_back(HopelessTask { task, reason, at });
                }
                Err(error) => {
                    self.unmoved.insert(task.clone(), now + TROUBLE);
                    self.said.trouble(&about, &error);
                }
            }
            self.note(Change::Project(task.project.clone()));
        }
        if due.len() > MOVES_MAX {
            self.plan_again(NEXT_MOVES);
        }
        if let Some(again_at) = self.unmoved.values().min() {
            self.plan_again(again_at.saturating_duration_since(now).max(NEXT_MOVES));
        }
    }

    fn hands(&self) -> Hands<'_> {
        Hands {
            projects_dir: &self.config.dispatcher.projects_dir,
            instance: &self.instance,
            rules: &self.rules,
        }
    }

    fn plan_again(&mut self, after: Duration) {
        let at = clock::instant() + after;
        self.plan_at = Some(self.plan_at.map_or(at, |planned| planned.min(at)));
    }

    /// Says beside each task that waits that it does, and takes away what says so of others.
    fn mark_waiting(&mut self, offering: &Offering) {
        let mut marked = false;
        for (task, waits_for) in offering.newly_blocked.iter().take(MARKS_MAX) {
            if self.mark(task, inbox::mark_blocked) {
                marked = true;
                log::info!("task={task} state=blocked waits_for={waits_for}");
                self.marks_of(task).extend([task.id.clone()]);
            }
        }
        for task in offering.unblocked.iter().take(MARKS_MAX) {
            if self.mark(task, inbox::clear_blocked) {
                marked = true;
                log::info!("task={task} waits no more");
                self.marks_of(task).remove(&task.id);
            }
        }
        let more = offering.newly_blocked.len().max(offering.unblocked.len()) > MARKS_MAX;
        // Where none could be marked, the next try waits.
        if more && marked {
            self.plan_again(Duration::ZERO);
        }
    }

    /// Whether it could be done.
    fn mark(&mut self, task: &TaskRef, change: fn(&Dir, &TaskId) -> io::Result<()>) -> bool {
        let about = format!("project={} marks of waiting tasks", task.project);
        let changed = Queue::open(&self.config.dispatcher.projects_dir, &task.project)
            .and_then(|queue| queue.map_or(Ok(None), |queue| queue.part(Part::Inbox)))
            .and_then(|inbox| inbox.map_or(Ok(()), |inbox| change(&inbox, &task.id)));
        match changed {
            Ok(()) => {
                self.said.over(&about);
                true
            }
            Err(error) => {
                self.said.trouble(&about, &error);
                self.plan_again(TROUBLE);
                false
            }
        }
    }

    fn marks_of(&mut self, task: &TaskRef) -> &mut BTreeSet<TaskId> {
        &mut self.shelves.projects.entry(task.project.clone()).or_default().blocked_marks
    }
}

fn shelves(config: &Config) -> Shelves {
    Shelves::new(&config.dispatcher.projects_dir, config.dispatcher.rescan_interval)
}

fn total(offering: &Offering) -> QueueCounts {
    let mut total = QueueCounts::default();
    for counts in offering.counts.values() {
        total.ready += counts.ready;
        total.blocked += counts.blocked;
        total.later += counts.later;
        total.foreign += counts.foreign;
        total.not_for_us += counts.not_for_us;
        total.refused += counts.refused;
    }
    total
}

/// The core gives a project no more than it may have; it has others to choose from while some rest.
fn offered_of_one_project(config: &Config) -> usize {
    usize::try_from(config.dispatcher.per_project).map_or(usize::MAX, |most| most + OFFERS_SPARE)
}
