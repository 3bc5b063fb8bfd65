//! The decisions. Pure: no clock, file, thread, process or channel; replayable from a seed.
//!
//! [`Core::handle`] takes one event and gives all its actions. What must survive a crash is in
//! [`durable`] and changes only by records; everything else is seen again after a restart.
//!
//! Reading order: [`event`], [`action`], [`record`], [`durable`]; then [`screen`] and [`testimony`] (what
//! panes show, what clients say), [`evidence`] (who is refused), [`agent_state`], [`standing`] and
//! [`account`] (what is known of an account), [`choice`] (which one next), [`park`] (when to move, wait
//! and wake), [`proof`] (whether a target answers), [`swap`] (the phases), [`moves`] (one agent on its
//! way: [`saving`], [`stopping`], [`launching`], [`verify`]), [`job`] (tasks), [`session`] (what must
//! exist: [`looks`], [`losses`]), [`setback`] (what is tried again),
//! [`verbs`] (what an operator wants, and is told: [`steer`]), [`service`] and [`link`] (the daemon and the
//! account in use), [`orders`] and [`timer`] (waiting); and, used by
//! nobody here, [`history`] (what records tell people) and [`why`] (about one thing).

pub mod account;
pub mod action;
pub mod agent_state;
pub mod args;
pub mod choice;
pub mod durable;
pub mod event;
pub mod evidence;
pub mod history;
pub mod job;
pub mod kind;
pub mod launching;
pub mod line;
pub mod link;
pub mod looks;
pub mod losses;
pub mod making;
pub mod moves;
pub mod notice;
pub mod orders;
pub mod park;
pub mod proof;
pub mod record;
pub mod saving;
pub mod screen;
pub mod service;
pub mod session;
pub mod setback;
pub mod standing;
pub mod steer;
pub mod stopping;
pub mod swap;
pub mod testimony;
pub mod timer;
pub mod trigger;
pub mod verbs;
pub mod verify;
pub mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Group};
use crate::core::action::{Action, AskId, NoteLevel, OrderId};
use crate::core::durable::{Durable, IllegalRecord};
use crate::core::event::{Event, TasksOffered};
use crate::core::evidence::Hit;
use crate::core::job::watch::JobWatch;
use crate::core::orders::{Orders, Pending, Silence, Slot};
use crate::core::proof::Proof;
use crate::core::record::Record;
use crate::core::session::Session;
use crate::core::setback::Setback;
use crate::core::verify::Watch;
use crate::ids::{AccountName, OpId, SessionName, TaskRef};
use crate::moment::{Mono, Now, Wall};
use crate::task::HeldTask;

/// Steps one event may set off; far above any real chain, so a loop is a bug that shows.
const STEPS_MAX: u32 = 10_000;

pub struct Core {
    pub config: Arc<Config>,
    pub durable: Durable,
    /// Owned sessions that were seen on the tmux server.
    pub sessions: BTreeMap<SessionName, Session>,
    pub hits: BTreeMap<SessionName, Hit>,
    /// Launched agents that have yet to prove themselves.
    pub watches: BTreeMap<SessionName, Watch>,
    pub orders: Orders,
    pub terminal: TerminalState,
    pub draining_since: Option<Mono>,
    pub config_problems: Vec<String>,
    pub dead_components: Vec<String>,
    pub linked_foreign: usize,
    /// When each account's credential file last changed.
    pub credentials: BTreeMap<AccountName, Wall>,
    /// The account that the link was last seen to name.
    pub link_seen: Option<AccountName>,
    /// When the link was last seen to have moved, by whomever, also while a swap was stuck.
    pub link_moved_at: Option<Wall>,
    /// When the active account last changed in this life of the daemon.
    pub flipped_at: Option<Mono>,
    /// Sessions whose creation failed, and why; tried again at the next observation.
    pub creation_failures: BTreeMap<SessionName, String>,
    /// Sessions that ended as soon as we had made them.
    pub short_lived: BTreeMap<SessionName, Setback>,
    /// Agents that could not be launched. Nothing ran, and nothing will of what was ordered; after an
    /// answer that never came the next try finds whoever came up all the same.
    pub launch_troubles: BTreeMap<SessionName, Setback>,
    /// Tasks that no agent could be launched for.
    pub task_troubles: BTreeMap<TaskRef, Setback>,
    /// The head of the queue, as last offered.
    pub queue: TasksOffered,
    pub job_watches: BTreeMap<SessionName, JobWatch>,
    proof: Proof,
    /// Who follows a swap alone at present, and since when.
    ramp: Option<((OpId, SessionName), Mono)>,
    listed_at: Option<Mono>,
    /// A listing was asked for to see who is attended.
    listing_asked: bool,
    /// Who waits to hear how the file reads. Few: the door bounds those who wait.
    reloads_asked: Vec<AskId>,
    /// Until when a session, or a task that came back, is left alone.
    session_rests: BTreeMap<SessionName, Mono>,
    task_rests: BTreeMap<TaskRef, Mono>,
    notes_said: BTreeSet<String>,
    watched: Watched,
    now: Now,
    out: Vec<Action>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalState {
    /// Nothing has been seen yet since the start or since the connection came back.
    Unseen,
    Seen,
    Lost {
        reason: String,
        since: Mono,
    },
}

/// What the sensors were last told to watch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Watched {
    agents: Option<Vec<crate::core::action::WatchedPane>>,
    panes: Option<Vec<(SessionName, crate::ids::PaneId)>>,
    held: Option<Vec<HeldTask>>,
}

/// While anybody's time is measured we are woken within `WALL_CHECK`: a longer pause is not ours.
const OVERSLEPT: Duration = Duration::from_secs(60);

/// Notes are said once; past this many different ones the memory starts anew.
const NOTES_SAID_MAX: usize = 1_000;

impl Core {
    /// The state that `records` give.
    ///
    /// # Errors
    /// A record that cannot follow the ones before it: the journal is not one of ours.
    pub fn recover<'a>(
        config: Arc<Config>,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<Self, IllegalRecord> {
        let mut durable = Durable::default();
        for record in records {
            durable.apply(record)?;
        }
        Ok(Self {
            config,
            durable,
            sessions: BTreeMap::new(),
            hits: BTreeMap::new(),
            watches: BTreeMap::new(),
            orders: Orders::default(),
            terminal: TerminalState::Unseen,
            draining_since: None,
            config_problems: Vec::new(),
            dead_components: Vec::new(),
            linked_foreign: 0,
            credentials: BTreeMap::new(),
            link_seen: None,
            link_moved_at: None,
            flipped_at: None,
            creation_failures: BTreeMap::new(),
            short_lived: BTreeMap::new(),
            launch_troubles: BTreeMap::new(),
            task_troubles: BTreeMap::new(),
            queue: TasksOffered::default(),
            job_watches: BTreeMap::new(),
            proof: Proof::default(),
            ramp: None,
            listed_at: None,
            listing_asked: false,
            reloads_asked: Vec::new(),
            session_rests: BTreeMap::new(),
            task_rests: BTreeMap::new(),
            notes_said: BTreeSet::new(),
            watched: Watched::default(),
            now: Now::default(),
            out: Vec::new(),
        })
    }

    /// The first step of a life. `link` is the account the link names, if it names one.
    pub fn start(&mut self, now: Now, link: Option<AccountName>, started: Record) -> Vec<Action> {
        self.now = now;
        self.persist(started);
        self.take_link(link);
        if let Some(swap) = &self.durable.swap {
            let text =
                format!("op={} found open in phase {:?}: going on from facts", swap.op, swap.phase);
            // People move the link meanwhile, and a flip of ours may not be on record: nobody knows what
            // it named before.
            self.link_moved_at = Some(now.wall);
            self.note(NoteLevel::Warn, text);
        }
        self.out.push(Action::ObserveSessions);
        self.advance();
        std::mem::take(&mut self.out)
    }

    /// One event → all its actions, in the order in which they must happen.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        self.wake_from_sleep(now);
        self.now = now;
        let mut owed = None;
        match event {
            Event::SessionsObserved { panes } => self.sessions_observed(panes),
            Event::AgentsObserved(seen) => self.agents_observed(seen),
            Event::PanesObserved(readings) => self.panes_observed(readings),
            Event::TerminalLost { reason } => self.terminal_lost(reason),
            Event::TerminalConnected => self.terminal_connected(),
            Event::TranscriptsObserved(seen) => self.transcripts_observed(seen),
            Event::ReportsReceived(reports) => self.reports_received(reports),
            Event::TargetChecked { order, result } => self.target_checked(order, result),
            Event::AgentsStopped { order, survivors, left_behind } => {
                self.agents_stopped(order, &survivors, &left_behind);
            }
            Event::AccountProbed { order, account, result } => {
                self.account_probed(order, &account, result);
            }
            Event::LinkFlipped { order, result } => self.link_flipped(order, result),
            Event::SessionCreated { order, session, result } => {
                self.session_created(order, &session, result);
            }
            Event::AgentLaunched { order, session, result } => {
                self.agent_launched(order, &session, result);
            }
            Event::PaneRead { order, session, result } => self.pane_read(order, &session, result),
            Event::TasksOffered(offered) => self.tasks_offered(offered),
            Event::TaskClaimed { order, task, result } => self.task_claimed(order, &task, result),
            Event::TaskReleased { order, task, result }
            | Event::TaskClosed { order, task, result } => self.task_closed(order, &task, result),
            Event::SignalsCleared { order, session, result } => {
                self.signals_cleared(order, &session, result);
            }
            Event::SignalsSeen(signals) => self.signals_seen(signals),
            Event::ConversationRead { order, session, result } => {
                self.conversation_read(order, &session, result);
            }
            Event::DialogHandled { order, session, result } => {
                self.dialog_handled(order, &session, result);
            }
            Event::ToolsWorked { session, process } => self.tools_worked(&session, process),
            Event::VerbRequested { verb, ask } => owed = self.verb_requested(&verb, ask),
            Event::ConfigReloaded(config) => self.config_reloaded(&config),
            Event::ConfigRejected { problems } => self.config_rejected(problems),
            Event::StopRequested => self.stop_requested(),
            Event::ComponentExited { name, error } => self.component_exited(name, error),
            Event::DeadlineReached => {}
        }
        self.advance();
        self.pay(owed);
        std::mem::take(&mut self.out)
    }

    /// While the host sleeps our clock goes on and nothing else does: orders, who was just launched and
    /// who is at work get their time all the same.
    fn wake_from_sleep(&mut self, now: Now) {
        let gap = now.monotonic - self.now.monotonic;
        if gap < OVERSLEPT || !self.waits_for_somebody() {
            return;
        }
        self.note(NoteLevel::Info, format!("nothing was done for {} s", gap.as_secs()));
        self.orders.sleep(gap);
        for watch in self.watches.values_mut() {
            watch.sleep(gap);
        }
        for watch in self.job_watches.values_mut() {
            watch.sleep(gap);
        }
    }

    /// Whether somebody's time is measured.
    fn waits_for_somebody(&self) -> bool {
        !(self.orders.is_empty() && self.watches.is_empty() && self.job_watches.is_empty())
    }

    /// Everything that follows from the state as it is now.
    fn advance(&mut self) {
        self.expire_orders();
        if self.draining_since.is_some() {
            self.advance_drain();
            return;
        }
        self.end_pause_when_due();
        self.return_accounts();
        self.weigh_evidence();
        self.create_missing_sessions();
        self.survey_new_sessions();
        for _ in 0..STEPS_MAX {
            let moved = self.consider_swap()
                || self.advance_swap()
                || self.rescue_refused()
                || self.advance_moves()
                || self.advance_jobs();
            if !moved {
                self.tell_sensors();
                return;
            }
        }
        panic!("the core did not come to rest: {:?}", self.durable.swap);
    }

    fn expire_orders(&mut self) {
        for (slot, pending, silence) in self.orders.overdue(self.now.monotonic) {
            let text = format!("no answer to order {slot:?}: {silence:?}");
            self.note(NoteLevel::Warn, text);
            if silence == Silence::GiveUp {
                self.give_up(slot, &pending);
            }
        }
    }

    /// Silence for too long counts as the failure that the executor could not report.
    fn give_up(&mut self, slot: Slot, pending: &Pending) {
        let why = "no answer from the executor".to_owned();
        match slot {
            Slot::Check => self.target_failed(why),
            Slot::Probe => self.probe_failed(&why),
            Slot::Look => self.look_failed(),
            Slot::Survey => {} // ordered again for as long as a session has not been looked at
            Slot::Stop => self.stop_failed(&pending.ends, &why),
            Slot::StopForTasks => self.stop_for_tasks_failed(&pending.ends, &why),
            Slot::Flip => self.flip_failed(&why),
            Slot::Create(session) => {
                self.creation_failures.insert(session, why);
            }
            Slot::Launch(session) => self.launch_failed(&session, why),
            Slot::Read(session) => self.resume_row_missing(&session),
            Slot::Claim(_) | Slot::Dialog(_) | Slot::Clear(_) => {} // ordered again
            Slot::Close(task) => self.task_told_closed(&task, Err(why)),
            Slot::Talk(session) => self.conversation_told(&session, Err(why)),
        }
    }

    /// INVARIANT: a record changes the state exactly as its replay will.
    fn persist(&mut self, record: Record) {
        if let Err(illegal) = self.durable.apply(&record) {
            panic!("the core made a record that its own state refuses: {illegal}");
        }
        self.out.push(Action::Persist(record));
    }

    fn note(&mut self, level: NoteLevel, text: String) {
        self.out.push(Action::Note { level, text });
    }

    /// Says a thing once, however often it is found true.
    fn note_once(&mut self, level: NoteLevel, text: String) {
        self.note_once_about(&text.clone(), level, text);
    }

    /// Says something once about each `subject`.
    fn note_once_about(&mut self, subject: &str, level: NoteLevel, text: String) {
        if self.notes_said.len() >= NOTES_SAID_MAX {
            self.notes_said.clear();
        }
        if self.notes_said.insert(subject.to_owned()) {
            self.note(level, text);
        }
    }

    fn open_order(&mut self, slot: Slot, covers: Vec<SessionName>) -> Option<OrderId> {
        self.orders.open(slot, covers, self.now.monotonic, self.config.swap.stop_grace)
    }

    /// The settings that an agent in this session is launched with.
    fn agent_settings(&self, session: &SessionName) -> PathBuf {
        self.config.agent_settings(self.config.group(session).unwrap_or(Group::Dedicated))
    }
}
