//! Who drives this tmux server: one daemon at a time, named in the server option
//! `@failover_owner` as `pid@started_ticks:link`.

use std::io;
use std::time::Duration;

use crate::ids::ProcessRef;
use crate::process::table;
use crate::terminal::client::{Broken, Client, OWN_SESSION};
use crate::terminal::command::{Command, Exchange, guarded, marker_value};
use crate::terminal::error::TerminalError;
use crate::terminal::orphans;
use crate::terminal::protocol::first_text;

pub const VALUE: &str = "#{@failover_owner}";

pub enum ClaimError {
    Broken(Broken),
    Terminal(TerminalError),
}

impl From<Broken> for ClaimError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Sets the option to `identity`. A former owner that no longer lives is replaced; tmux itself
/// checks that it is still the one that was read, so that of two claims only one holds.
pub fn claim(
    client: &mut Client,
    limit: Duration,
    identity: &str,
    server: &str,
) -> Result<(), ClaimError> {
    let read = Command::new("display-message").option("-p", VALUE);
    let replies = client.run(&[Exchange::plain(&[read])], limit)?;
    let found = replies.first().map(|reply| first_text(reply));
    let found = found.unwrap_or_default();
    if found == identity {
        return Ok(());
    }
    let process = process_of(&found);
    match lives(&found) {
        Ok(true) => return Err(owned(server, found)),
        Ok(false) => {}
        // Nothing is taken from somebody who may be at work with it.
        Err(error) => return Err(owned(server, format!("{found} (cannot be looked at: {error})"))),
    }
    let unchanged = match process {
        Some((pid, ticks)) => format!("#{{m:{pid}@{ticks}:*,{VALUE}}}"),
        None if found.is_empty() => format!("#{{==:{VALUE},}}"),
        // Nothing of ours; whoever wrote it is not waited for.
        None => "1".to_owned(),
    };
    let set = Command::new("set-option").option("-s", "@failover_owner").arg(identity);
    let target = format!("={OWN_SESSION}:");
    let guarded = guarded(&target, &unchanged, &[set]);
    let replies = client.run(&[Exchange::marked(&[guarded], &target, VALUE)], limit)?;
    let holds = replies.first().map(marker_value).unwrap_or_default();
    if holds != identity {
        return Err(owned(server, holds));
    }
    if process.is_some() {
        orphans::end_attached(client, limit)?;
    }
    Ok(())
}

fn owned(server: &str, owner: String) -> ClaimError {
    ClaimError::Terminal(TerminalError::Owned { server: server.to_owned(), owner })
}

/// Whether the process that this identity names is there.
pub fn lives(identity: &str) -> io::Result<bool> {
    match process_of(identity) {
        Some((pid, started_ticks)) => table::is_alive(ProcessRef { pid, started_ticks }),
        None => Ok(false),
    }
}

fn process_of(identity: &str) -> Option<(i32, u64)> {
    let (process, _link) = identity.split_once(':')?;
    let (pid, ticks) = process.split_once('@')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}
