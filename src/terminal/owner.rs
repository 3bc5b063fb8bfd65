//! Who drives this tmux server: one daemon at a time, named in the server option
//! `@failover_owner` as `pid@started_ticks:link`.

use std::io;
use std::time::Duration;

use crate::ids::ProcessRef;
use crate::process::{stop, table};
use crate::terminal::client::{Broken, Client, OWN_SESSION};
use crate::terminal::command::{Command, Exchange, guarded, marker_value};
use crate::terminal::error::TerminalError;
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
        end_orphans(client, limit)?;
    }
    Ok(())
}

/// The server of tmux 3.3a waits for ever to be rid of what it has to say to a control client whose
/// daemon was killed in that moment: the client stays, in the server and as a process, one for each
/// such death. It ends when it is asked to by a signal.
fn end_orphans(client: &mut Client, limit: Duration) -> Result<(), Broken> {
    let rows = Command::new("list-clients")
        .option("-t", format!("={OWN_SESSION}"))
        .option("-F", "#{client_control_mode} #{client_pid}");
    let replies = client.run(&[Exchange::plain(&[rows])], limit)?;
    let rows = replies.first().map(|reply| first_text(reply)).unwrap_or_default();
    let pids = rows.lines().filter_map(|row| row.strip_prefix("1 ")?.parse().ok());
    for pid in pids.filter(|pid| client.pid() != Some(*pid)) {
        // Who cannot be looked at may have a living daemon.
        let Ok(Some(orphan)) = orphan(pid) else { continue };
        log::info!("ending the tmux client {pid} of a daemon that was killed");
        if let Err(error) = stop::terminate(orphan) {
            log::warn!("tmux client {pid} could not be ended: {error}");
        }
    }
    Ok(())
}

/// A client of ours whose parent is no daemon (any more).
fn orphan(pid: i32) -> io::Result<Option<ProcessRef>> {
    let args = table::args(pid)?.unwrap_or_default();
    let is_ours = args.iter().any(|arg| arg == OWN_SESSION);
    let parent = table::parent(pid)?.and_then(table::exe);
    let is_orphan = is_ours && parent != table::exe(std::process::id().cast_signed());
    Ok(table::identity(pid)?.filter(|_| is_orphan))
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
