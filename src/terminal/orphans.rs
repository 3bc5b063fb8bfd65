//! Control clients that outlived their daemon, and servers that cannot end.
//!
//! The server of tmux 3.3a waits for ever to be rid of what it has to say to a control client whose
//! daemon was killed in that moment: the client stays, in the server and as a process, one for each
//! such death. It ends when it is asked to by a signal.
//!
//! A server that is told to end waits for such a client, and as well for one of somebody else that is
//! stopped, and for a command of its own (`run-shell`). Its panes are gone then, and it sends away whoever
//! connects. We end what is ours; for the rest a person is told which process it is.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use crate::ids::ProcessRef;
use crate::process::{stop, table};
use crate::terminal::Settings;
use crate::terminal::client::{Broken, Client, OWN_SESSION};
use crate::terminal::command::{Command, Exchange};
use crate::terminal::protocol::first_text;

/// The name that a client gives itself, once it runs.
const CLIENT_NAME: &[u8] = b"tmux: client";
/// What a client says when the connection ends before it is let in.
const SENT_AWAY: &str = "server exited unexpectedly";
/// Where the socket is that nobody has named.
const TMUX_TMPDIR: &str = "TMUX_TMPDIR";

/// Those in the server that this client is connected to.
pub fn end_attached(client: &mut Client, limit: Duration) -> Result<(), Broken> {
    let rows = Command::new("list-clients")
        .option("-t", format!("={OWN_SESSION}"))
        .option("-F", "#{client_control_mode} #{client_pid}");
    let replies = client.run(&[Exchange::plain(&[rows])], limit)?;
    let rows = replies.first().map(|reply| first_text(reply)).unwrap_or_default();
    let pids = rows.lines().filter_map(|row| row.strip_prefix("1 ")?.parse().ok());
    for pid in pids.filter(|pid| client.pid() != Some(*pid)) {
        end(pid, |_| true);
    }
    Ok(())
}

/// What is done about a server that says `why` to whoever connects, and what a person may do.
pub fn sent_away(why: String, settings: &Settings) -> String {
    if why != SENT_AWAY {
        return why;
    }
    if end_all_of(settings) > 0 {
        return format!("{why}: it was ending, and held up by the client of a killed daemon");
    }
    match server_of(settings) {
        Some(pid) => format!(
            "{why}: it is ending; if that lasts, it waits for a client that is stopped, or for a \
             command of its own, and kill -9 {pid} ends it"
        ),
        None => why,
    }
}

fn server_of(settings: &Settings) -> Option<i32> {
    let server = UnixStream::connect(settings.socket_path()).ok()?;
    Some(socket_peercred(server).ok()?.pid.as_raw_nonzero().get())
}

/// How many they are. The server cannot be asked.
fn end_all_of(settings: &Settings) -> usize {
    let pids = table::all().unwrap_or_default();
    pids.into_iter().filter(|pid| end(*pid, |args| is_of(*pid, args, settings))).count()
}

/// Where no socket is named the environment decides.
fn is_of(pid: i32, args: &[String], settings: &Settings) -> bool {
    let mut pairs = args.windows(2);
    let socket = pairs.find(|pair| pair[0] == "-S").map(|pair| pair[1].as_ref());
    let is_same = || {
        let place = table::env_value(pid, TMUX_TMPDIR);
        place.is_ok_and(|place| place == std::env::var_os(TMUX_TMPDIR))
    };
    socket == settings.socket.as_deref() && (socket.is_some() || is_same())
}

/// Whether it is one, and is asked to end.
fn end(pid: i32, is_wanted: impl Fn(&[String]) -> bool) -> bool {
    // Who cannot be looked at may have a living daemon.
    let Ok(Some(orphan)) = orphan(pid, is_wanted) else { return false };
    log::info!("ending the tmux client {pid} of a daemon that was killed");
    let ended = stop::terminate(orphan);
    if let Err(error) = &ended {
        log::warn!("tmux client {pid} could not be ended: {error}");
    }
    ended.is_ok()
}

/// A client of ours whose parent is no daemon (any more). A server that a client of ours has started
/// has its arguments, and no daemon above it either: the name that tmux gives itself tells them apart.
fn orphan(pid: i32, is_wanted: impl Fn(&[String]) -> bool) -> io::Result<Option<ProcessRef>> {
    let name = table::name(pid)?.unwrap_or_default();
    let args = table::args(pid)?.unwrap_or_default();
    let is_ours = args.iter().any(|arg| arg == "-C") && args.iter().any(|arg| arg == OWN_SESSION);
    if name != CLIENT_NAME || !is_ours || !is_wanted(&args) {
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
