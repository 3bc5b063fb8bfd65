//! Puts the house together: who gets which sender, and what sensors see of the terminal.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::Sender;

use crate::agent_settings::{self, AgentSettings};
use crate::api::answer::HostPolicy;
use crate::api::{control, http};
use crate::cli::run::RunError;
use crate::clock::Clock;
use crate::config::Config;
use crate::coordinator::House;
use crate::core::event::{Event, PaneSeen};
use crate::core::notice::Teller;
use crate::core::record::Record;
use crate::files;
use crate::harmless;
use crate::ids::{AccountName, PaneId};
use crate::journal::line::Entry;
use crate::journal::reader;
use crate::lifecycle::SessionSource;
use crate::monitor::{PaneSource, zone};
use crate::notifier::{REPLAYED_MAX, Told};
use crate::process::table;
use crate::snapshot::SnapshotCell;
use crate::switcher::check::resolve_agent;
use crate::terminal::error::TerminalError;
use crate::terminal::{DEADLINE, Handle, Settings, Terminal};
use crate::{dispatcher, janitor, lifecycle, monitor, notifier, prober, switcher, watcher};

const HOST_CHARS_MAX: usize = 64;

impl PaneSource for Handle {
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>> {
        Ok(Handle::list(self)?)
    }

    fn capture(&mut self, panes: &[PaneId]) -> anyhow::Result<Vec<(PaneId, String)>> {
        Ok(Handle::capture(self, panes)?)
    }
}

impl SessionSource for Handle {
    fn list(&mut self) -> anyhow::Result<Vec<PaneSeen>> {
        Ok(Handle::list(self)?)
    }
}

/// Starts every thread but the coordinator's own.
pub fn house(
    config: &Arc<Config>,
    events: &Sender<Event>,
    snapshots: &SnapshotCell,
    clock: Clock,
    past: Past,
) -> Result<House, RunError> {
    let agent_settings = agent_settings(config)?;
    let http = match config.http.listen {
        Some(listen) => Some(serve_http(config, listen, events, snapshots)?),
        None => None,
    };
    let zone = host_zone();
    let notifier = notifier::spawn(
        notifier::Settings {
            config: config.clone(),
            clock,
            zone: zone.clone(),
            host: host_name(),
            replayed: past.told,
            last_seq: past.last_seq,
            snapshots: snapshots.clone(),
            timeout: notifier::http::TIMEOUT,
        },
        events.clone(),
    )
    .context("starting notifier")?;
    let patterns = config.quota.patterns.clone();
    let reports = control::Reports { clock, zone: zone.clone(), patterns };
    let control = control::Server::spawn(&config.runtime_dir, snapshots.clone(), reports, events)?;
    let terminal = Terminal::spawn(terminal_settings(config)?, events.clone())?;
    claim(config, &terminal.handle())?;
    let source = terminal.handle();
    let switcher = switcher::spawn(config.clone(), agent_settings, events.clone())
        .context("starting switcher")?;
    let settings = prober::Settings {
        config: config.clone(),
        clock,
        zone: zone.clone(),
        timeout: prober::question::TIMEOUT,
    };
    let prober = prober::spawn(settings, events.clone()).context("starting prober")?;
    let lifecycle = lifecycle::spawn(config.clone(), source.clone(), events.clone())
        .context("starting lifecycle")?;
    let dispatcher =
        dispatcher::spawn(config.clone(), clock, events.clone()).context("starting dispatcher")?;
    let janitor =
        janitor::spawn(config.clone(), clock, events.clone()).context("starting janitor")?;
    let settings = watcher::Settings { config: config.clone(), clock, zone: zone.clone() };
    let watcher = watcher::spawn(settings, events.clone()).context("starting watcher")?;
    let monitor = monitor::spawn(
        monitor::Settings { config: config.clone(), clock, zone },
        source,
        events.clone(),
    )
    .context("starting monitor")?;
    Ok(House {
        http,
        control,
        monitor,
        watcher,
        lifecycle,
        dispatcher,
        janitor,
        prober,
        switcher,
        terminal,
        notifier,
    })
}

/// What earlier lives have left to tell.
#[derive(Debug, Default)]
pub struct Past {
    pub told: Vec<Told>,
    /// The number of the last record; zero when there is none.
    pub last_seq: u64,
}

/// The records of earlier lives, and whoever goes on telling after them.
///
/// The last one may have died between a compaction and the notifier's write of what it was told just
/// before. Then those records are in the latest archive; older ones are told by nobody.
pub fn tell_past(config: &Config, entries: &[Entry<Record>]) -> (Teller, Past) {
    let mut teller = Teller::new(host_zone());
    let mut told = VecDeque::new();
    let mut take = |Entry { seq, at, record }: &Entry<Record>| {
        let notice = teller.take(*at, record, config);
        told.extend(notice.map(|notice| Told { seq: Some(*seq), notice }));
        if told.len() > REPLAYED_MAX {
            told.pop_front();
        }
    };
    if let Some(Entry { seq, .. }) = entries.first()
        && notifier::is_behind(config, *seq)
    {
        let read = reader::read_compacted(&config.state_dir, *seq, &mut |found| match found {
            Ok(entry) => take(&entry),
            Err(left_out) => log::warn!("nobody is told of what is missing: {left_out}"),
        });
        if let Err(error) = read {
            log::warn!("what was compacted last is not told again: {error}");
        }
    }
    entries.iter().for_each(take);
    let last_seq = entries.last().map_or(0, |last| last.seq);
    (teller, Past { told: told.into(), last_seq })
}

pub fn host_zone() -> Option<String> {
    zone::of_host(std::env::var_os("TZ").as_deref(), Path::new("/etc"))
}

/// As messages name this host; they may come from several.
pub fn host_name() -> String {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match harmless::line(&name, HOST_CHARS_MAX) {
        name if name.is_empty() => "this host".to_owned(),
        name => name,
    }
}

/// Those of an earlier life serve until the switcher has looked at them, which is soon. Where none
/// are, no agent may be launched before the client has been asked.
fn agent_settings(config: &Config) -> anyhow::Result<AgentSettings> {
    let launcher = std::env::current_exe().context("finding our own binary")?;
    let mut settings = AgentSettings::new(launcher);
    if !agent_settings::are_there(config) {
        let program = resolve_agent(config, None).unwrap_or_default();
        settings
            .refresh(config, &program)
            .map_err(anyhow::Error::msg)
            .context("writing the agents' settings")?;
    }
    Ok(settings)
}

fn serve_http(
    config: &Config,
    listen: SocketAddr,
    events: &Sender<Event>,
    snapshots: &SnapshotCell,
) -> Result<http::Server, RunError> {
    let hosts = if config.http.allow_remote { HostPolicy::Any } else { HostPolicy::Local };
    http::Server::spawn(listen, hosts, &config.runtime_dir, snapshots.clone(), events).map_err(
        |error| match error {
            http::HttpError::Bind { .. } => RunError::Config(error.to_string()),
            http::HttpError::Start(error) => RunError::Software(error),
        },
    )
}

fn terminal_settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        socket: config.tmux.socket.clone(),
        command: config.tmux.command.clone(),
        extra_args: Vec::new(),
        start_server: config.tmux.start_server,
        deadline: DEADLINE,
        launcher: std::env::current_exe().context("finding our own binary")?,
        runtime_dir: config.runtime_dir.clone(),
    })
}

/// A server that is not up yet is claimed when it is; only a living other owner ends us.
fn claim(config: &Config, terminal: &Handle) -> Result<(), RunError> {
    match terminal.claim_owner(&identity(config)?) {
        Ok(()) => Ok(()),
        Err(owned @ TerminalError::Owned { .. }) => {
            Err(RunError::AnotherInstance(owned.to_string()))
        }
        Err(other) => {
            log::warn!("{other}");
            Ok(())
        }
    }
}

fn identity(config: &Config) -> anyhow::Result<String> {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let me = table::identity(pid)?.context("reading our own start time")?;
    Ok(format!("{me}:{}", config.link.display()))
}

/// The account whose home the link names.
pub fn account_of_link(config: &Config) -> Option<AccountName> {
    config
        .accounts
        .iter()
        .find(|account| files::leads_to(&config.link, &account.home))
        .map(|account| account.name.clone())
}
