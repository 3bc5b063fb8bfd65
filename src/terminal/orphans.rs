//! Control clients that outlived their daemon.
//!
//! The server of tmux 3.3a waits for ever to be rid of what it has to say to a control client whose
//! daemon was killed in that moment: the client stays, in the server and as a process, one for each
//! such death. A server that is told to end meanwhile waits for it too: its panes are gone, and whoever
//! connects is sent away ("server exited unexpectedly"). Such a client ends when it is asked to by a
//! signal.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::geteuid;

use crate::ids::ProcessRef;
use crate::process::{stop, table};
use crate::terminal::Settings;
use crate::terminal::client::{Broken, Client, OWN_SESSION};
use crate::terminal::command::{Command, Exchange};
use crate::terminal::protocol::first_text;

/// Those in the server that this client is connected to.
pub fn end_attached(client: &mut Client, limit: Duration) -> Result<(), Broken> {
    let rows = Command::new("list-clients")
        .option("-t", format!("={OWN_SESSION}"))
        .option("-F", "#{client_control_mode} #{client_pid}");
    let replies = client.run(&[Exchange::plain(&[rows])], limit)?;
    let rows = replies.first().map(|reply| first_text(reply)).unwrap_or_default();
    let pids = rows.lines().filter_map(|row| row.strip_prefix("1 ")?.parse().ok());
    pids.filter(|pid| client.pid() != Some(*pid)).for_each(|pid| end(pid, |_| true));
    Ok(())
}

/// Those of a server that lets nobody in, which may be for them: it cannot be asked who they are.
pub fn end_all_of(settings: &Settings) {
    let pids = table::all().unwrap_or_default();
    pids.into_iter().for_each(|pid| end(pid, |args| is_of(args, settings)));
}

fn is_of(args: &[String], settings: &Settings) -> bool {
    let mut pairs = args.windows(2);
    let socket = pairs.find(|pair| pair[0] == "-S").map(|pair| pair[1].as_ref());
    socket == settings.socket.as_deref()
}

fn end(pid: i32, is_wanted: impl Fn(&[String]) -> bool) {
    // Who cannot be looked at may have a living daemon.
    let Ok(Some(orphan)) = orphan(pid, is_wanted) else { return };
    log::info!("ending the tmux client {pid} of a daemon that was killed");
    if let Err(error) = stop::terminate(orphan) {
        log::warn!("tmux client {pid} could not be ended: {error}");
    }
}

/// A client of ours whose parent is no daemon (any more).
fn orphan(pid: i32, is_wanted: impl Fn(&[String]) -> bool) -> io::Result<Option<ProcessRef>> {
    let args = table::args(pid)?.unwrap_or_default();
    let is_ours = args.iter().any(|arg| arg == "-C") && args.iter().any(|arg| arg == OWN_SESSION);
    if !is_ours || !is_wanted(&args) {
        return Ok(None);
    }
    let uid = std::fs::metadata(format!("/proc/{pid}"))?.uid();
    let own = std::process::id().cast_signed();
    let has_daemon = table::parent(pid)?.and_then(program) == program(own);
    let is_orphan = uid == geteuid().as_raw() && !has_daemon;
    Ok(table::identity(pid)?.filter(|_| is_orphan))
}

/// Its name: the daemon of another installation is one, too.
fn program(pid: i32) -> Option<OsString> {
    Some(table::exe(pid)?.file_name()?.to_owned())
}
