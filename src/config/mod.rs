//! The checked configuration. Every value here has passed every check that needs no disk.
//!
//! [`load`] turns a file into a [`Config`], or into all of its problems at once. [`raw`] is the
//! file as written and `locate` its lines; `section` reads keys; `sections` and `fleet`
//! know every key with its default; `rules` holds what must fit together.

mod fleet;
pub mod load;
mod locate;
pub mod near;
pub mod notifications;
mod path;
pub mod quiet_hours;
pub mod raw;
pub mod reload;
mod rules;
mod section;
mod sections;
pub mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::notifications::Notifications;
use crate::ids::{AccountName, SessionName};
use crate::task::prompt::Template;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The symlink that names the active account. Absolute.
    pub link: PathBuf,
    /// At least one, by rising priority number, then in file order.
    pub accounts: Vec<Account>,
    pub selection: Selection,
    pub pool: Pool,
    pub agent: Agent,
    pub tmux: Tmux,
    pub lifecycle: Lifecycle,
    pub quota: Quota,
    pub swap: Swap,
    pub watcher: Watcher,
    pub dispatcher: Dispatcher,
    pub janitor: Janitor,
    pub notifications: Notifications,
    pub http: Http,
    /// Journal and lock. Absolute.
    pub state_dir: PathBuf,
    /// Sockets, spool, launch specs, generated settings. Absolute.
    pub runtime_dir: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: AccountName,
    /// The account's Claude home. Absolute.
    pub home: PathBuf,
    /// Lower is preferred.
    pub priority: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub strategy: Strategy,
    pub return_to_preferred: bool,
    pub pin: Option<AccountName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Priority,
    SoonestReset,
    MostHeadroom,
}

impl Strategy {
    /// As the file names it.
    pub fn word(self) -> &'static str {
        match self {
            Strategy::Priority => "priority",
            Strategy::SoonestReset => "soonest_reset",
            Strategy::MostHeadroom => "most_headroom",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub shared: SharedDirs,
    pub dedicated: Vec<Dedicated>,
    /// `None` when the file has no autonomous pool.
    pub autonomous: Option<Autonomous>,
}

/// The three directories that every home links, so that `--resume` works under any account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDirs {
    pub projects: PathBuf,
    pub session_env: PathBuf,
    pub file_history: PathBuf,
}

impl SharedDirs {
    /// (name of the link inside each home, where it must lead).
    pub fn links(&self) -> [(&'static str, &PathBuf); 3] {
        [
            ("projects", &self.projects),
            ("session-env", &self.session_env),
            ("file-history", &self.file_history),
        ]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedicated {
    pub name: SessionName,
    /// Where its shell starts. Absolute.
    pub project: PathBuf,
    pub resume_after_loss: bool,
    /// One line typed for it after a resume; `None` = the operator goes on by hand.
    pub nudge: Option<String>,
}

/// Owns the names `prefix + i` for `i` in `[start_index, start_index + max)`, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autonomous {
    pub prefix: String,
    pub start_index: u32,
    pub min: u32,
    pub max: u32,
    pub workdir: PathBuf,
}

impl Autonomous {
    /// The one function that makes pool session names.
    pub fn session(&self, offset: u32) -> SessionName {
        format!("{}{}", self.prefix, self.start_index + offset)
            .parse()
            .expect("checked at load: prefix and range give valid names")
    }

    /// All names of the range, kept or not.
    pub fn names(&self) -> impl Iterator<Item = SessionName> + '_ {
        (0..self.max).map(|offset| self.session(offset))
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Agent {
    /// Program and fixed arguments; never empty.
    pub command: Vec<String>,
    /// Added to the allow-listed environment of each agent. The values may be secrets.
    pub env: BTreeMap<String, String>,
    /// Model by task priority: keys `critical` and `default`.
    pub models: BTreeMap<String, String>,
    /// Refuse destructive commands of the pool's agents.
    pub guard: bool,
    /// The operator's own rules for that. Absolute.
    pub guard_rules: Option<PathBuf>,
}

/// Events and actions that hold a configuration are logged.
impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, env, models, guard, guard_rules } = self;
        let names: Vec<&String> = env.keys().collect();
        f.debug_struct("Agent")
            .field("command", command)
            .field("env", &names)
            .field("models", models)
            .field("guard", guard)
            .field("guard_rules", guard_rules)
            .finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmux {
    /// `None` = the user's default server.
    pub socket: Option<PathBuf>,
    pub command: String,
    /// Start a server when none runs on the socket; false where a unit owns the server.
    pub start_server: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    pub interval: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    pub poll_interval: Duration,
    pub reactivate_cooldown: Duration,
    pub unknown_reset: Duration,
    /// Used share, 0 to 1.
    pub preempt_at: Option<f64>,
    pub statusline: bool,
    /// Extra phrases that mean exhaustion, folded to lower case.
    pub patterns: Vec<String>,
}

/// The most that [`Swap::max_per_hour`] may be, and so the number of swaps that must be remembered.
pub const SWAPS_PER_HOUR_MAX: u32 = 3_600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    pub stop_grace: Duration,
    pub busy_grace: Duration,
    pub verify_timeout: Duration,
    pub ramp_interval: Duration,
    pub max_per_hour: u32,
    pub attended_grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    pub interval: Duration,
    pub idle_timeout: Duration,
    pub done_signal_dir: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatcher {
    pub projects_dir: PathBuf,
    pub rescan_interval: Duration,
    pub cooldown: Duration,
    pub per_project: u32,
    pub max_bytes: u64,
    pub trusted_uids: Vec<u32>,
    /// The line that tells an agent of its task.
    pub prompt: Template,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Janitor {
    pub interval: Duration,
    pub keep_done: Duration,
    pub dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `None` switches it off.
    pub listen: Option<std::net::SocketAddr>,
    pub allow_remote: bool,
}

/// Below `runtime_dir`: what agents are launched with.
pub const AGENT_SETTINGS: &str = "agent-settings.json";
/// The same with the guard's hook.
pub const GUARDED_AGENT_SETTINGS: &str = "agent-settings-guarded.json";

/// Which group a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Dedicated,
    Pool,
}

impl Config {
    /// The group of `name`; `None` for a session that is not ours and must never be touched.
    pub fn group(&self, name: &SessionName) -> Option<Group> {
        if self.dedicated(name).is_some() {
            return Some(Group::Dedicated);
        }
        let pool = self.pool.autonomous.as_ref()?;
        let index: u32 = name.as_str().strip_prefix(&pool.prefix)?.parse().ok()?;
        let offset = index.checked_sub(pool.start_index)?;
        (offset < pool.max && pool.session(offset) == *name).then_some(Group::Pool)
    }

    /// The settings that an agent of this group is launched with.
    pub fn agent_settings(&self, group: Group) -> PathBuf {
        let is_guarded = group == Group::Pool && self.agent.guard;
        self.runtime_dir.join(if is_guarded { GUARDED_AGENT_SETTINGS } else { AGENT_SETTINGS })
    }

    /// Whether agents of ours are launched with this file, or were before a reload.
    pub fn is_agent_settings(&self, path: &Path) -> bool {
        let names = [AGENT_SETTINGS, GUARDED_AGENT_SETTINGS];
        names.iter().any(|name| self.runtime_dir.join(name) == path)
    }

    pub fn dedicated(&self, name: &SessionName) -> Option<&Dedicated> {
        self.pool.dedicated.iter().find(|dedicated| dedicated.name == *name)
    }

    pub fn account(&self, name: &AccountName) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == *name)
    }

    /// The sessions that must exist, with the directory each starts in.
    pub fn desired_sessions(&self) -> Vec<(SessionName, PathBuf)> {
        let dedicated = self
            .pool
            .dedicated
            .iter()
            .map(|session| (session.name.clone(), session.project.clone()));
        let pool = self.pool.autonomous.iter().flat_map(|pool| {
            (0..pool.min).map(|offset| (pool.session(offset), pool.workdir.clone()))
        });
        dedicated.chain(pool).collect()
    }

    /// The directory in which an owned session starts.
    pub fn workdir(&self, name: &SessionName) -> Option<PathBuf> {
        match self.group(name)? {
            Group::Dedicated => self.dedicated(name).map(|session| session.project.clone()),
            Group::Pool => self.pool.autonomous.as_ref().map(|pool| pool.workdir.clone()),
        }
    }
}
