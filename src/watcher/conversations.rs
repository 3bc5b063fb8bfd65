//! The conversation files of the agents we know: where they lie, what is new at their ends, and what
//! of that is worth an event.
//!
//! Reads the files of [`Place`] through [`Tail`]; never writes. A notice or an order makes it quick,
//! a look at all of them is the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::core::action::WatchedPane;
use crate::core::args;
use crate::core::event::{AgentSeen, TranscriptSeen};
use crate::ids::{ConversationId, ProcessRef, SessionName};
use crate::moment::Wall;
use crate::quota::transcript::Ending;
use crate::quota::verdict::Context;
use crate::watcher::place::{self, Effort, Place};
use crate::watcher::tail::Tail;

/// The kernel dates a process in ticks of 10 ms, so `started_at` lies up to that much too early. A
/// refused agent may come back within 30 ms, and its successor must not inherit the refusal; no
/// client writes a record in its first 100 ms.
const STARTED_TOLERANCE: Duration = Duration::from_millis(10);
/// An agent may go over to a conversation that others wrote to a moment ago. What is older than the
/// look that could have seen the change, with this to spare, is not its own.
const CHANGE_TOLERANCE: Duration = Duration::from_secs(2);
/// After an order to read, a file is read this often and for this long: the client's record lags
/// its hook and its screen by up to 0.3 s.
const INSISTING_READS_APART: Duration = Duration::from_millis(50);
const INSISTING_LENGTH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Conversations {
    followed: BTreeMap<(SessionName, ProcessRef), Followed>,
    insisted: BTreeMap<SessionName, Insisted>,
    /// Some file was found or lost, so that other directories are worth watching.
    moved: bool,
}

/// Which files to read.
#[derive(Debug)]
pub enum Which<'a> {
    All,
    Of(&'a BTreeSet<ConversationId>),
    /// Those whose time has come after an order.
    Insisted,
}

/// One agent in one conversation.
#[derive(Debug)]
struct Followed {
    conversation: ConversationId,
    /// What is older is not this agent's.
    since: Wall,
    cwd: PathBuf,
    place: Option<Place>,
    path: Option<PathBuf>,
    tail: Option<Tail>,
    /// What was sent last; `None` = nothing yet.
    sent: Option<Option<Ending>>,
    readable: bool,
}

#[derive(Debug)]
struct Insisted {
    asked_at: Wall,
    next: Instant,
    until: Instant,
}

impl Conversations {
    /// From now on these agents, and no others.
    pub fn follow(
        &mut self,
        agents: &[AgentSeen],
        panes: &[WatchedPane],
        config: &Config,
        now: Wall,
    ) {
        let mut earlier = std::mem::take(&mut self.followed);
        for agent in agents {
            let key = (agent.session.clone(), agent.process);
            let known = earlier.remove(&key);
            let told = panes.iter().find(|pane| pane.pane == agent.pane);
            let named = agent
                .conversation
                .clone()
                .or_else(|| told?.conversation.clone())
                .or_else(|| agent.args.as_deref().and_then(args::named_conversation))
                .or_else(|| Some(known.as_ref()?.conversation.clone()));
            let Some(conversation) = named else { continue };
            let projects = place::projects(&agent.home, config);
            let started = agent.started_at + STARTED_TOLERANCE;
            let followed = match known {
                Some(known) if known.conversation == conversation => {
                    known.moved_to(projects, &agent.cwd)
                }
                Some(_) => {
                    let changed = before(now, config.watcher.interval + CHANGE_TOLERANCE);
                    Followed::new(conversation, started.max(changed), projects, &agent.cwd)
                }
                None => Followed::new(conversation, started, projects, &agent.cwd),
            };
            self.followed.insert(key, followed);
        }
    }

    /// Reads this session's file now, and again for a moment.
    pub fn insist(&mut self, session: SessionName, asked_at: Wall, now: Instant) {
        // Asked for, it is said once more: what was said before may have come at the wrong moment.
        for ((known, _), followed) in &mut self.followed {
            if *known == session {
                followed.sent = None;
            }
        }
        let until = now + INSISTING_LENGTH;
        self.insisted.insert(session, Insisted { asked_at, next: now, until });
    }

    pub fn knows(&self, session: &SessionName) -> bool {
        self.followed.keys().any(|(known, _)| known == session)
    }

    /// Whether [`Conversations::directories`] may differ since this was asked last.
    pub fn have_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Whoever listens has forgotten what was sent.
    pub fn tell_anew(&mut self) {
        for followed in self.followed.values_mut() {
            followed.sent = None;
        }
    }

    /// When [`Which::Insisted`] has something to read.
    pub fn wakeup(&self) -> Option<Instant> {
        self.insisted.values().map(|insisted| insisted.next).min()
    }

    /// The directories in which a change may be one of a file that we follow, or its beginning.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let mut real: HashMap<&Path, Option<PathBuf>> = HashMap::new();
        for followed in self.followed.values() {
            for directory in followed.directories() {
                // By its one real name: notices of a directory known by two names go to one.
                real.entry(directory).or_insert_with(|| fs::canonicalize(directory).ok());
            }
        }
        real.into_values().flatten().collect()
    }

    /// What the files say that they did not say before.
    pub fn read(
        &mut self,
        which: &Which<'_>,
        now: Instant,
        context: &Context<'_>,
    ) -> Vec<TranscriptSeen> {
        let mut seen = Vec::new();
        for ((session, process), followed) in &mut self.followed {
            let effort = match which {
                Which::All => Effort::Usual,
                Which::Of(ids) if ids.contains(&followed.conversation) => Effort::Usual,
                Which::Insisted
                    if self.insisted.get(session).is_some_and(|asked| asked.next <= now) =>
                {
                    Effort::Everywhere
                }
                Which::Of(_) | Which::Insisted => continue,
            };
            let before = followed.path.clone();
            let settled = followed.read(session, effort, now, context);
            self.moved |= before != followed.path;
            if !settled {
                continue;
            }
            let ending = followed.tail.as_ref().map(Tail::ending);
            let waits = !matches!(which, Which::All) && followed.is_mere_progress(ending);
            if followed.sent.as_ref().map(Option::as_ref) == Some(ending) || waits {
                continue;
            }
            let ending = ending.cloned();
            followed.sent = Some(ending.clone());
            seen.push(TranscriptSeen {
                session: session.clone(),
                process: *process,
                conversation: followed.conversation.clone(),
                ending,
            });
        }
        self.insisted.retain(|session, insisted| {
            if insisted.next <= now {
                insisted.next = now + INSISTING_READS_APART;
            }
            let own = self.followed.iter().filter(|((known, _), _)| known == session);
            let refused = own.filter_map(|(_, followed)| followed.refused_at()).max();
            now < insisted.until && refused.is_none_or(|at| at < insisted.asked_at)
        });
        seen
    }
}

impl Followed {
    fn new(
        conversation: ConversationId,
        since: Wall,
        projects: Option<PathBuf>,
        cwd: &Path,
    ) -> Self {
        Self {
            since,
            cwd: cwd.to_owned(),
            place: projects.map(|projects| Place::new(projects, cwd, &conversation)),
            conversation,
            path: None,
            tail: None,
            sent: None,
            readable: true,
        }
    }

    /// The same conversation; its file may lie elsewhere, if it was not found yet.
    fn moved_to(mut self, projects: Option<PathBuf>, cwd: &Path) -> Self {
        let same_home = self.place.as_ref().map(|place| &place.projects) == projects.as_ref();
        if same_home && self.cwd == cwd {
            return self;
        }
        if !same_home {
            self.path = None;
        }
        self.cwd = cwd.to_owned();
        self.place = projects.map(|projects| Place::new(projects, cwd, &self.conversation));
        self
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        let found = self.path.as_deref().and_then(Path::parent);
        let place = self.place.as_ref().filter(|_| found.is_none());
        let awaited = place.into_iter().flat_map(|place| [&*place.expected, &*place.projects]);
        found.into_iter().chain(awaited)
    }

    /// False when the file was caught in the middle of a change: the next look tells.
    fn read(
        &mut self,
        session: &SessionName,
        effort: Effort,
        now: Instant,
        context: &Context<'_>,
    ) -> bool {
        // A second time for a file that has moved.
        for _ in 0..2 {
            if self.path.is_none() {
                self.path = self.place.as_mut().and_then(|place| place.find(effort, now));
            }
            let Some(path) = &self.path else { break };
            let result = match &mut self.tail {
                Some(tail) => tail.follow(path, self.since, context),
                none => Tail::meet(path, self.since, context).map(|tail| *none = Some(tail)),
            };
            let Err(error) = result else {
                self.readable = true;
                return true;
            };
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.path = None,
                // Cut between two looks at it.
                io::ErrorKind::UnexpectedEof => {
                    self.tail = None;
                    return false;
                }
                _ => {
                    if std::mem::replace(&mut self.readable, false) {
                        log::warn!(
                            "session={session} its conversation cannot be read, so that its screen \
                             decides: {}: {error}",
                            path.display()
                        );
                    }
                    break;
                }
            }
        }
        self.tail = None;
        true
    }

    /// An agent at work writes several lines a second. Those that only say so wait for the next
    /// look at all files.
    fn is_mere_progress(&self, ending: Option<&Ending>) -> bool {
        let (Some(Some(sent)), Some(ending)) = (&self.sent, ending) else {
            return false;
        };
        let was_answered = sent.answered_at.is_some() && sent.answered_at >= sent.prompted_at;
        was_answered && (&sent.error, sent.prompted_at) == (&ending.error, ending.prompted_at)
    }

    fn refused_at(&self) -> Option<Wall> {
        self.tail.as_ref()?.ending().error.as_ref().map(|error| error.at)
    }
}

fn before(at: Wall, length: Duration) -> Wall {
    Wall(at.0.saturating_sub_unsigned(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}
