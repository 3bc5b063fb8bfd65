//! Who lives in a home: every process that has it as its configuration, by name or by the link.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::clock::Clock;
use crate::config::Config;
use crate::core::event::AgentHome;
use crate::ids::AccountName;
use crate::process::table::{self, readable, unless_hidden};
use crate::watcher::client::{configured_name, is_client};
use crate::watcher::home::{Homes, active_account};
use crate::watcher::session_file::SessionFiles;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    pub pid: i32,
    pub name: String,
    /// `None`: in no home of an account, but in the directory that is in the place of the link.
    pub account: Option<AccountName>,
}

/// Whoever was started with `CLAUDE_CONFIG_DIR` in one of the homes, every client whose home is the
/// link without it, and whoever keeps a session file in one of them. We and those who started us do
/// not count: a shell with that variable starts no client while it waits for us.
///
/// Processes of other users cannot be looked at and are passed over.
///
/// # Errors
/// Our own cannot be looked at either: there may be others.
pub fn occupants(config: &Config) -> io::Result<Vec<Occupant>> {
    let homes = Homes::look(config);
    let active = active_account(config);
    let configured = configured_name(&config.agent.command);
    let with_file = with_session_file(config)?;
    let ours = ourselves_and_ancestors()?;
    let mut found = Vec::new();
    for pid in table::all()?.into_iter().filter(|pid| !ours.contains(pid)) {
        let args = unless_hidden(table::args(pid))?.unwrap_or_default();
        let account = match readable(homes.of_process(pid))? {
            Some(AgentHome::Homed(account)) => Some(account),
            Some(AgentHome::Linked) => active.clone(),
            // Its file says more than an environment that cannot be read, or is of no home of ours.
            Some(AgentHome::Elsewhere) | None => match with_file.get(&pid) {
                Some(account) => account.clone(),
                None => continue,
            },
        };
        let named = readable(table::env_value(pid, "CLAUDE_CONFIG_DIR"))?.flatten();
        if named.is_some() || is_client(&args, configured) || with_file.contains_key(&pid) {
            found.push(Occupant { pid, name: shown(&args), account });
        }
    }
    Ok(found)
}

/// A client that has painted its title over is known by the file it keeps. Without an account: in
/// the directory that is in the place of the link.
fn with_session_file(config: &Config) -> io::Result<BTreeMap<i32, Option<AccountName>>> {
    let now = Clock::start().wall();
    let accounts = config.accounts.iter().map(|account| (Some(&account.name), &account.home));
    let link = fs_err::symlink_metadata(&config.link).is_ok_and(|found| found.is_dir());
    let homes = accounts.chain(link.then_some((None, &config.link)));
    let mut found = BTreeMap::new();
    for (name, home) in homes.filter(|(_, home)| home.is_dir()) {
        let live = SessionFiles::default().live(std::iter::once(home.as_path()), now)?;
        found.extend(live.into_iter().map(|client| (client.process.pid, name.cloned())));
    }
    Ok(found)
}

fn ourselves_and_ancestors() -> io::Result<BTreeSet<i32>> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut found = BTreeSet::new();
    let mut next = Some(own);
    while let Some(pid) = next {
        if !found.insert(pid) {
            break;
        }
        next = unless_hidden(table::parent(pid))?;
    }
    Ok(found)
}

/// Arguments may hold anything; the program's name is enough to find it.
fn shown(args: &[String]) -> String {
    const NAME_CHARS_MAX: usize = 40;
    let program = args.first().map_or("?", |first| first.rsplit('/').next().unwrap_or("?"));
    program.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}
