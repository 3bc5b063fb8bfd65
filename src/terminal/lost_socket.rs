//! A tmux server whose socket file was removed under it, as by a cleaner of `/tmp`, or with the
//! runtime directory of its unit. It lives on with all its panes, and who asks for a server on that path
//! would start a second one beside it. `SIGUSR1` makes it listen there again (tmux's manual).

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::ids::ProcessRef;
use crate::process::stop;
use crate::process::table::{self, readable, unless_hidden};

/// Every socket of the host that is bound to a path; the paths of removed files stay there.
const SOCKETS: &str = "/proc/net/unix";
/// `__SO_ACCEPTCON`: somebody listens.
const LISTENS: &[u8] = b"00010000";
/// The name that a server gives itself.
const SERVER_NAME: &[u8] = b"tmux: server";

/// The server of ours that listens where the file `socket` was; `None` when the file is there, or
/// nobody listens.
///
/// # Errors
/// Processes cannot be looked at: there may be one.
pub fn orphan(socket: &Path) -> io::Result<Option<ProcessRef>> {
    if !is_missing(socket) {
        return Ok(None);
    }
    let Some(sockets) = readable(std::fs::read(SOCKETS))? else { return Ok(None) };
    let inodes = listeners(&sockets, socket);
    if inodes.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for pid in table::all()? {
        let Some(server) = unless_hidden(table::identity(pid))? else { continue };
        let name = unless_hidden(table::name(pid))?.unwrap_or_default();
        // Another mount namespace may have a file of that name, and its own server on it.
        let its_own = Path::new("/proc").join(format!("{pid}/root"));
        let its_own = its_own.join(socket.strip_prefix("/").unwrap_or(socket));
        if name == SERVER_NAME && holds(pid, &wanted)? && is_missing(&its_own) {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

/// What cannot be looked at is not missing.
fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Asks that server to make the file anew, and does not wait for it.
///
/// # Errors
/// The directory cannot be made, or the server cannot be signalled.
pub fn recall(server: ProcessRef, socket: &Path) -> io::Result<()> {
    if let Some(dir) = socket.parent()
        && !dir.exists()
    {
        fs_err::create_dir(dir)?;
        fs_err::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    stop::listen_again(server)
}

/// The inodes of those who listen on this path.
fn listeners(sockets: &[u8], path: &Path) -> Vec<u64> {
    let rows = sockets.split(|byte| *byte == b'\n');
    rows.filter_map(|row| listener(row, path)).collect()
}

/// Address, references, protocol, flags, type, state, inode, and the path: all that is left.
fn listener(row: &[u8], path: &Path) -> Option<u64> {
    let mut fields = [&row[..0]; 7];
    let mut rest = row;
    for field in &mut fields {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| *byte == b' ')?;
        (*field, rest) = rest.split_at(end);
    }
    let [_, _, _, flags, _, _, inode] = fields;
    let bound = Path::new(OsStr::from_bytes(rest.strip_prefix(b" ")?));
    let wanted = flags == LISTENS && bound == path;
    wanted.then(|| std::str::from_utf8(inode).ok()?.parse().ok())?
}

fn holds(pid: i32, wanted: &[String]) -> io::Result<bool> {
    let Some(entries) = readable(std::fs::read_dir(format!("/proc/{pid}/fd")))? else {
        return Ok(false);
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| fs_err::read_link(entry.path()).ok())
        .any(|target| wanted.iter().any(|one| target == Path::new(one))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_listens_on_the_very_path_is_found() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000e612e08d: 00000003 00000000 00000000 0001 03 34449599\n\
            0000000000effb0a: 00000002 00000000 00010000 0001 01     7 /run/a b/tmux.sock\n\
            0000000000effb0b: 00000003 00000000 00000000 0001 03 34449593 /run/a b/tmux.sock\n\
            0000000000effb0c: 00000002 00000000 00010000 0001 01 34449595 /run/a b/tmux.sock2\n\
            0000000000effb0d: 00000002 00000000 00010000 0001 01 34449596 @/run/a b/tmux.sock\n";
        assert_eq!(listeners(table, Path::new("/run/a b/tmux.sock")), [7]);
        assert!(listeners(table, Path::new("/run/a")).is_empty());
    }
}
