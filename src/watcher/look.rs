//! One look at all agents: search, then ask each process about itself.
//!
//! Keeps between looks only what a look cannot see: what the session files said before they were cut
//! in half, since when a silent client is in its state, and who was an agent.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::core::action::WatchedPane;
use crate::core::event::{AgentHome, AgentSeen, AgentState, AgentsObserved};
use crate::ids::{AccountName, ProcessRef};
use crate::moment::{Mono, Wall};
use crate::process::table::{self, readable, unless_hidden};
use crate::watcher::client;
use crate::watcher::home::{self, Homes};
use crate::watcher::search::{Depth, Found, Search};
use crate::watcher::session_file::SessionFiles;

/// Unasked, processes are asked about themselves and clients without a session file are looked for
/// at most this often; what a session file says is seen at every look.
const DESCENTS_APART: Duration = Duration::from_secs(3);

pub struct Looker {
    config: Arc<Config>,
    panes: Vec<WatchedPane>,
    /// `None` = the next look goes down, whenever it comes.
    descended_at: Option<Mono>,
    clock: Clock,
    files: SessionFiles,
    known: HashMap<ProcessRef, Known>,
}

/// An agent as the last look had it.
struct Known {
    started_at: Wall,
    state: AgentState,
    /// When it was first seen in `state`.
    since: Wall,
    answers: Answers,
}

/// What a process says of itself.
#[derive(Clone)]
struct Answers {
    /// As [`client::passed`] gives them.
    args: Option<Vec<String>>,
    home: AgentHome,
    cwd: Option<PathBuf>,
}

impl Looker {
    pub fn new(config: Arc<Config>, clock: Clock) -> Self {
        Self {
            config,
            panes: Vec::new(),
            descended_at: None,
            clock,
            files: SessionFiles::default(),
            known: HashMap::new(),
        }
    }

    pub fn watch(&mut self, panes: Vec<WatchedPane>) {
        self.panes = panes;
        self.descended_at = None;
    }

    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
        self.descended_at = None;
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn panes(&self) -> &[WatchedPane] {
        &self.panes
    }

    /// The next look leaves nothing out.
    pub fn be_thorough(&mut self) {
        self.descended_at = None;
    }

    fn depth(&mut self, now: Mono) -> Depth {
        match self.descended_at {
            Some(at) if now - at < DESCENTS_APART => Depth::Known,
            _ => {
                self.descended_at = Some(now);
                Depth::Descend
            }
        }
    }

    /// Everything in it is in a fixed order, so that two looks compare.
    ///
    /// # Errors
    /// A process cannot be looked at, and nobody is reported: who would be missing in a report counts
    /// as gone.
    pub fn look(&mut self) -> io::Result<AgentsObserved> {
        let looked = self.try_look();
        if looked.is_err() {
            // What this one was to find is still to be found.
            self.be_thorough();
        }
        looked
    }

    fn try_look(&mut self) -> io::Result<AgentsObserved> {
        let now = self.clock.now();
        let depth = self.depth(now.monotonic);
        let clients = self.files.live(homes(&self.config), now.wall)?;
        let earlier: Vec<ProcessRef> = self.known.keys().copied().collect();
        let search = Search {
            panes: &self.panes,
            clients: &clients,
            earlier: &earlier,
            depth,
            configured_name: client::configured_name(&self.config.agent.command),
        };
        let findings = search.run()?;
        let homes = LazyCell::new(|| Homes::look(&self.config));

        let mut known = HashMap::new();
        let mut agents = Vec::new();
        for found in &findings.agents {
            let earlier = self.known.get(&found.process);
            let answers = match (depth, found.client, earlier) {
                // Who has a session file has made its last exec.
                (Depth::Known, Some(_), Some(earlier)) => Some(earlier.answers.clone()),
                _ => ask(found.process, &homes)?,
            };
            if let Some(answers) = answers {
                let (agent, now_known) = describe(found, answers, earlier, now.wall);
                known.insert(agent.process, now_known);
                agents.push(agent);
            }
        }
        agents
            .sort_by(|a, b| (&a.session, a.pane, a.process).cmp(&(&b.session, b.pane, b.process)));
        let mut linked_foreign = 0;
        for client in &findings.foreign {
            let home = readable(homes.of_process(client.process.pid))?;
            linked_foreign += usize::from(home == Some(AgentHome::Linked));
        }

        self.known = known;
        Ok(AgentsObserved {
            order: None,
            agents,
            link: home::active_account(&self.config),
            linked_foreign,
            credentials_changed: credentials_changed(&self.config),
        })
    }
}

pub fn homes(config: &Config) -> impl Iterator<Item = &Path> {
    config.accounts.iter().map(|account| account.home.as_path())
}

/// `None` when the process ended under the questions.
fn ask(process: ProcessRef, homes: &Homes) -> io::Result<Option<Answers>> {
    let args = unless_hidden(table::args(process.pid))?;
    let home = readable(homes.of_process(process.pid))?;
    if (args.is_none() || home.is_none())
        && unless_hidden(table::identity(process.pid))? != Some(process)
    {
        return Ok(None);
    }
    Ok(Some(Answers {
        args: args.and_then(|args| client::passed(&args)),
        home: home.unwrap_or(AgentHome::Elsewhere),
        cwd: table::cwd(process.pid),
    }))
}

/// The session file's word goes before the process's own.
fn describe(
    found: &Found<'_>,
    answers: Answers,
    earlier: Option<&Known>,
    now: Wall,
) -> (AgentSeen, Known) {
    let file = found.client.map(|client| &client.file);
    let state = file.map_or(AgentState::Unknown, |file| file.state.clone());
    let known = Known {
        // Asked once: the two clocks drift, and an agent must not seem to change.
        started_at: earlier.map_or_else(|| started_at(found.process), |known| known.started_at),
        since: match earlier {
            Some(earlier) if earlier.state == state => earlier.since,
            _ => now,
        },
        state: state.clone(),
        answers: answers.clone(),
    };
    let agent = AgentSeen {
        session: found.pane.session.clone(),
        pane: found.pane.pane,
        process: found.process,
        started_at: known.started_at,
        home: answers.home,
        conversation: file.and_then(|file| file.conversation.clone()),
        state,
        state_since: file.and_then(|file| file.state_since).unwrap_or(known.since),
        args: answers.args,
        cwd: file
            .and_then(|file| file.cwd.clone())
            .or(answers.cwd)
            .unwrap_or_else(|| PathBuf::from("/")),
    };
    (agent, known)
}

/// A refusal a little older than the agent is not its own.
fn started_at(process: ProcessRef) -> Wall {
    let after_boot = table::after_boot(process.started_ticks).as_millis();
    let at_boot = clock::wall_at_boot();
    Wall(at_boot.0.saturating_add_unsigned(u64::try_from(after_boot).unwrap_or(u64::MAX)))
}

/// By stat alone; a home without the file is left out.
fn credentials_changed(config: &Config) -> Vec<(AccountName, Wall)> {
    let changed = |home: &Path| {
        let modified = fs::metadata(home.join(".credentials.json")).ok()?.modified();
        let since_1970 = modified.ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Wall(i64::try_from(since_1970.as_millis()).ok()?))
    };
    config
        .accounts
        .iter()
        .filter_map(|account| Some((account.name.clone(), changed(&account.home)?)))
        .collect()
}
