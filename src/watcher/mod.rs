//! The sensor of agents: which run in our panes, on whose account, in which conversation and state,
//! what their conversation files say at their ends, what their tools do, and how they say that a task
//! is over.
//!
//! Reads `<home>/sessions/*.json`, `<home>/projects`, the signal files and `/proc`; never a credential,
//! never a screen. A tick is the truth, file notices make it quick, and an event goes out only when
//! something differs. It writes nothing, and removes signal files when it is told to.
//!
//! Reading order: `look` (one look), `search` (who is an agent), `session_file`, `client`,
//! `home`; `conversations` (their files), `place`, `tail`, `lookback`, `lines`; `last_words` (one file
//! on request); `signal_files`; `tool_work`; `hints` and `watches` (when to look sooner).

pub mod client;
mod conversations;
mod hints;
pub mod home;
mod last_words;
mod lines;
mod look;
mod lookback;
mod place;
mod search;
pub mod session_file;
mod signal_files;
mod tail;
mod tool_work;
mod watches;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select, tick};

use crate::clock::{self, Clock};
use crate::component::{Component, INBOX_ORDERS_MAX};
use crate::config::Config;
use crate::core::action::{OrderId, WatchedPane};
use crate::core::event::{AgentsObserved, Event};
use crate::ids::{AccountName, ConversationId, SessionName};
use crate::quota::report::{self, Report};
use crate::quota::verdict::Context;
use crate::spool;
use crate::watcher::conversations::{Conversations, Which};
use crate::watcher::hints::{Changed, Hinted, Hints};
use crate::watcher::last_words::Sought;
use crate::watcher::look::Looker;
use crate::watcher::signal_files::SignalFiles;
use crate::watcher::tool_work::ToolWork;

/// A client writes a file in several steps; one look serves all of them.
const HINT_DELAY: Duration = Duration::from_millis(5);
/// However often conversations are written, they are read at least this far apart.
const READS_APART: Duration = Duration::from_millis(2);
/// However often a file is written, looks are at least this far apart.
const HINTED_LOOKS_APART: Duration = Duration::from_millis(25);

pub struct Settings {
    pub config: Arc<Config>,
    pub clock: Clock,
    /// The zone in which the clients print resets; `None` = UTC.
    pub zone: Option<String>,
}

#[derive(Debug)]
pub enum Order {
    /// The panes in which agents are looked for from now on. Until the first of these nothing is
    /// reported unasked: "no agents" would be a guess.
    WatchAgents {
        panes: Vec<WatchedPane>,
    },
    /// Look at once, and answer with this order even when nothing differs.
    ObserveAgents {
        order: OrderId,
    },
    /// Look at this agent's conversation file now, and again for a moment.
    ReadTranscript {
        session: SessionName,
    },
    /// Remove the files `agent-done-<session>` and `agent-failed-<session>` → `SignalsCleared`.
    ClearSignals {
        order: OrderId,
        session: SessionName,
    },
    /// Read one conversation's file to its end, whoever writes it → `ConversationRead`.
    ReadConversation {
        order: OrderId,
        session: SessionName,
        conversation: ConversationId,
        account: AccountName,
        cwd: PathBuf,
    },
    Reconfigure(Arc<Config>),
}

struct Sensor {
    looker: Looker,
    conversations: Conversations,
    signals: SignalFiles,
    tools: ToolWork,
    hints: Hints,
    /// The directories of conversations that `hints` watches.
    directories: BTreeSet<PathBuf>,
    clock: Clock,
    zone: Option<String>,
    watching: bool,
    /// What was sent last, without its order.
    sent: Option<AgentsObserved>,
    /// Orders of looks that failed; the next one that does not answers them.
    owed: Vec<OrderId>,
    /// The last look failed.
    blind: bool,
    looked_at: Instant,
    read_at: Instant,
}

/// # Errors
/// The thread cannot be started.
pub fn spawn(settings: Settings, events: Sender<Event>) -> io::Result<Component<Order>> {
    Component::spawn("watcher", events, move |orders, events| {
        run(&orders, events, settings);
        Ok(())
    })
}

/// Returns when nobody orders or nobody listens any more.
fn run(orders: &Receiver<Order>, events: &Sender<Event>, settings: Settings) {
    let (hints, Hinted { agents: hinted, files: changes }) = Hints::start();
    let mut interval = settings.config.watcher.interval;
    let mut truth = tick(interval);
    let mut look_due: Option<Instant> = None;
    let mut read_due: Option<Instant> = None;
    let mut changed: Vec<Changed> = Vec::new();
    let mut sensor = Sensor::new(settings, hints);
    loop {
        let insisted = sensor.conversations.wakeup();
        let looked_at = sensor.looked_at;
        let news = select! {
            recv(orders) -> order => {
                let Ok(order) = order else { return };
                let news = sensor.obey(order, orders);
                let config = &sensor.looker.config().watcher;
                if config.interval != interval {
                    interval = config.interval;
                    truth = tick(interval);
                }
                news
            },
            recv(hinted) -> _ => {
                // INVARIANT: a hint never postpones a look that is due.
                look_due = look_due.or_else(|| Some(sensor.next_hinted_look()));
                continue;
            },
            recv(changes) -> change => {
                changed.extend(change.ok().into_iter().chain(changes.try_iter()));
                read_due = read_due.or_else(|| Some(sensor.read_at + READS_APART));
                continue;
            },
            recv(read_due.map_or_else(never, at)) -> _ => {
                read_due = None;
                sensor.read_changed(&std::mem::take(&mut changed))
            },
            recv(insisted.map_or_else(never, at)) -> _ => sensor.read(&Which::Insisted),
            recv(look_due.map_or_else(never, at)) -> _ => sensor.look(&[]),
            recv(truth) -> _ => {
                let mut news = sensor.look(&[]);
                news.extend(sensor.take_spooled());
                news
            }
        };
        if sensor.looked_at != looked_at {
            look_due = None;
        }
        for event in news {
            if events.send(event).is_err() {
                return;
            }
        }
    }
}

impl Sensor {
    fn new(settings: Settings, hints: Hints) -> Self {
        Self {
            looker: Looker::new(settings.config, settings.clock),
            conversations: Conversations::default(),
            signals: SignalFiles::default(),
            tools: ToolWork::default(),
            hints,
            directories: BTreeSet::new(),
            clock: settings.clock,
            zone: settings.zone,
            watching: false,
            sent: None,
            owed: Vec::new(),
            blind: false,
            looked_at: clock::instant(),
            read_at: clock::instant(),
        }
    }

    /// Takes all that waits in the inbox; one look then answers it.
    fn obey(&mut self, order: Order, more: &Receiver<Order>) -> Vec<Event> {
        let mut news = Vec::new();
        let mut asked = Vec::new();
        let mut look_needed = false;
        for order in [order].into_iter().chain(more.try_iter().take(INBOX_ORDERS_MAX)) {
            match order {
                Order::WatchAgents { panes } => {
                    self.looker.watch(panes);
                    // The core drops what it knew of a session that it lost sight of.
                    self.conversations.tell_anew();
                    self.signals.tell_anew();
                    self.watching = true;
                    look_needed = true;
                }
                Order::ObserveAgents { order } => {
                    self.looker.be_thorough();
                    asked.push(order);
                    look_needed = true;
                }
                Order::ReadTranscript { session } => {
                    look_needed |= !self.conversations.knows(&session);
                    self.conversations.insist(session, self.clock.wall(), clock::instant());
                }
                Order::ClearSignals { order, session } => {
                    // INVARIANT: every look at them that came before has been sent.
                    let dir = &self.looker.config().watcher.done_signal_dir;
                    let result = self.signals.clear(dir, &session);
                    news.push(Event::SignalsCleared { order, session, result });
                }
                Order::ReadConversation { order, session, conversation, account, cwd } => {
                    let sought =
                        Sought { conversation: &conversation, account: &account, cwd: &cwd };
                    let result = last_words::read(sought, self.looker.config(), &self.context());
                    news.push(Event::ConversationRead { order, session, result });
                }
                Order::Reconfigure(config) => {
                    self.looker.reconfigure(config);
                    look_needed = true;
                }
            }
        }
        if look_needed {
            news.extend(self.look(&asked));
        }
        news.extend(self.read(&Which::Insisted));
        news
    }

    /// An answer for each order; without one, what differs from what was sent last. Then what the
    /// conversations of those agents say, their tools do, and their signal files.
    fn look(&mut self, asked: &[OrderId]) -> Vec<Event> {
        self.looked_at = clock::instant();
        self.owed.extend(asked);
        let forgotten = self.owed.len().saturating_sub(INBOX_ORDERS_MAX);
        self.owed.drain(..forgotten);
        if !self.watching && self.owed.is_empty() {
            return Vec::new();
        }
        // Before the reading: what changes after it must leave a hint.
        self.keep_hints();
        let looked = self.looker.look();
        self.tell_whether_blind(looked.as_ref().err());
        let (mut news, worked) = looked.map(|observed| self.take(observed)).unwrap_or_default();
        if self.conversations.directories() != self.directories {
            self.watch();
        }
        news.extend(self.read(&Which::All));
        news.extend(worked);
        news.extend(self.look_for_signals());
        news
    }

    /// Once, however many looks fail one after the other.
    fn tell_whether_blind(&mut self, error: Option<&io::Error>) {
        let was_blind = std::mem::replace(&mut self.blind, error.is_some());
        match error {
            Some(error) if !was_blind => log::warn!(
                "agents cannot be looked at, and what was last seen of them stands: {error}"
            ),
            None if was_blind => log::info!("agents can be looked at again"),
            Some(_) | None => {}
        }
    }

    /// What was seen of agents, and of the work of their tools.
    fn take(&mut self, observed: AgentsObserved) -> (Vec<Event>, Vec<Event>) {
        let (panes, config) = (self.looker.panes(), self.looker.config());
        self.conversations.follow(&observed.agents, panes, config, self.clock.wall());
        let worked = self.tools.look(&observed.agents, panes, self.looked_at);
        let differs = self.sent.as_ref() != Some(&observed);
        let mut news: Vec<Event> = self
            .owed
            .drain(..)
            .map(|order| AgentsObserved { order: Some(order), ..observed.clone() })
            .map(Event::AgentsObserved)
            .collect();
        if differs {
            self.sent = Some(observed.clone());
            if news.is_empty() {
                news.push(Event::AgentsObserved(observed));
            }
        }
        (news, worked)
    }

    fn look_for_signals(&mut self) -> Option<Event> {
        let dir = &self.looker.config().watcher.done_signal_dir;
        let sessions = self.looker.panes().iter().map(|pane| &pane.session);
        let seen = self.signals.look(dir, sessions);
        (!seen.is_empty()).then_some(Event::SignalsSeen(seen))
    }

    /// Before their files are read: what changes after it must leave a hint.
    fn watch(&mut self) {
        self.directories = self.conversations.directories();
        self.keep_hints();
        // A slug may have come up before its `projects` was watched. Whatever comes up from now on
        // leaves a hint: the home was watched before.
        let directories = self.conversations.directories();
        if directories != self.directories {
            self.directories = directories;
            self.keep_hints();
        }
    }

    fn keep_hints(&mut self) {
        let config = self.looker.config();
        let signals = &config.watcher.done_signal_dir;
        self.hints.keep(look::homes(config), &self.directories, signals);
    }

    fn read_changed(&mut self, changed: &[Changed]) -> Vec<Event> {
        let mut news = Vec::new();
        if changed.contains(&Changed::Signals) {
            news.extend(self.look_for_signals());
        }
        if changed.contains(&Changed::Somewhere) {
            // Also when they are the same: one may have come back under its name.
            self.watch();
            news.extend(self.read(&Which::All));
            return news;
        }
        let ids: BTreeSet<ConversationId> = changed
            .iter()
            .filter_map(|changed| match changed {
                Changed::Conversation(id) => Some(id.clone()),
                Changed::Somewhere | Changed::Signals => None,
            })
            .collect();
        news.extend(self.read(&Which::Of(&ids)));
        news
    }

    /// A file that was found is read again once its directory is watched.
    fn read(&mut self, which: &Which<'_>) -> Vec<Event> {
        let mut news = self.read_once(which);
        if self.conversations.have_moved() {
            self.watch();
            news.extend(self.read_once(&Which::All));
        }
        news
    }

    fn read_once(&mut self, which: &Which<'_>) -> Vec<Event> {
        self.read_at = clock::instant();
        let context = Context {
            now: self.clock.wall(),
            zone: self.zone.as_deref(),
            patterns: &self.looker.config().quota.patterns,
        };
        let seen = self.conversations.read(which, self.read_at, &context);
        if seen.is_empty() { Vec::new() } else { vec![Event::TranscriptsObserved(seen)] }
    }

    /// What hooks left while nobody listened. After the look that knows their agents.
    fn take_spooled(&mut self) -> Option<Event> {
        self.sent.as_ref()?;
        let lines = spool::take(&spool::dir(&self.looker.config().runtime_dir));
        let context = self.context();
        let reports: Vec<Report> =
            lines.iter().filter_map(|line| report::parse(line, &context)).collect();
        (!reports.is_empty()).then_some(Event::ReportsReceived(reports))
    }

    fn context(&self) -> Context<'_> {
        Context {
            now: self.clock.wall(),
            zone: self.zone.as_deref(),
            patterns: &self.looker.config().quota.patterns,
        }
    }

    fn next_hinted_look(&self) -> Instant {
        (clock::instant() + HINT_DELAY).max(self.looked_at + HINTED_LOOKS_APART)
    }
}
