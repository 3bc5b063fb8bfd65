//! A tmux server whose socket file was removed under it, as by a cleaner of `/tmp`, or with the
//! runtime directory of its unit. It lives on with all its panes, and who asks for a server on that path
//! would start a second one beside it. `SIGUSR1` makes it listen there again (tmux's manual).

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
    let listeners = listeners(&sockets, socket);
    if listeners.is_empty() {
        return Ok(None);
    }
    for pid in table::all()? {
        let Some(server) = unless_hidden(table::identity(pid))? else { continue };
        let name = unless_hidden(table::name(pid))?.unwrap_or_default();
        if name != SERVER_NAME {
            continue;
        }
        let Some(bound) = bound_by(pid, &listeners)? else { continue };
        // Another mount namespace may have a file of that name, and its own server on it.
        if is_missing(&seen_by(pid, bound)) && is_missing(&seen_by(pid, socket)) {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

fn seen_by(pid: i32, path: &Path) -> PathBuf {
    let root = Path::new("/proc").join(format!("{pid}/root"));
    root.join(path.strip_prefix("/").unwrap_or(path))
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

struct Listener {
    inode: u64,
    /// As it was written when it was bound.
    path: PathBuf,
}

/// Those who listen on this path, however it was written.
fn listeners(sockets: &[u8], path: &Path) -> Vec<Listener> {
    let rows = sockets.split(|byte| *byte == b'\n');
    rows.filter_map(|row| listener(row, path)).collect()
}

/// Address, references, protocol, flags, type, state, inode, and the path: all that is left.
fn listener(row: &[u8], path: &Path) -> Option<Listener> {
    let mut fields = [&row[..0]; 7];
    let mut rest = row;
    for field in &mut fields {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| *byte == b' ')?;
        (*field, rest) = rest.split_at(end);
    }
    let [_, _, _, flags, _, _, inode] = fields;
    let bound = Path::new(OsStr::from_bytes(rest.strip_prefix(b" ")?));
    if flags != LISTENS || !is_same_place(bound, path) {
        return None;
    }
    Some(Listener { inode: std::str::from_utf8(inode).ok()?.parse().ok()?, path: bound.to_owned() })
}

/// Both mean one file, which need not be there, even if one of them goes through a link.
fn is_same_place(bound: &Path, path: &Path) -> bool {
    let leads_there = || {
        let place = nearest_directory(bound);
        place.is_some() && place == nearest_directory(path)
    };
    let may_be = bound.is_absolute() && bound.file_name() == path.file_name();
    bound == path || (may_be && leads_there())
}

/// The last directory on the path that is there, by device and inode, and the rest of the path.
fn nearest_directory(path: &Path) -> Option<(u64, u64, &Path)> {
    path.ancestors().skip(1).find_map(|dir| {
        let found = dir.metadata().ok()?;
        Some((found.dev(), found.ino(), path.strip_prefix(dir).ok()?))
    })
}

/// The path of the one that this process holds.
fn bound_by(pid: i32, listeners: &[Listener]) -> io::Result<Option<&Path>> {
    let Some(entries) = readable(std::fs::read_dir(format!("/proc/{pid}/fd")))? else {
        return Ok(None);
    };
    let mut held = entries.flatten().filter_map(|entry| fs_err::read_link(entry.path()).ok());
    Ok(held.find_map(|target| {
        let is_it = |one: &&Listener| target.as_os_str() == &*format!("socket:[{}]", one.inode);
        listeners.iter().find(is_it).map(|one| one.path.as_path())
    }))
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
        let found = listeners(table, Path::new("/run/a b/tmux.sock"));
        let found: Vec<u64> = found.iter().map(|listener| listener.inode).collect();
        assert_eq!(found, [7]);
        assert!(listeners(table, Path::new("/run/a")).is_empty());
    }

    #[test]
    fn a_path_through_a_link_leads_to_the_same_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for name in ["real", "other"] {
            fs_err::create_dir(at(name)).expect("a directory");
        }
        fs_err::os::unix::fs::symlink(at("real"), at("link")).expect("a link");
        for (bound, path, expected) in [
            ("real/tmux.sock", "link/tmux.sock", true),
            ("link/tmux.sock", "real/tmux.sock", true),
            ("real/gone/tmux.sock", "link/gone/tmux.sock", true),
            ("gone/tmux.sock", "gone/tmux.sock", true),
            ("real/tmux.sock", "link/tmux.sock2", false),
            ("real/tmux.sock", "other/tmux.sock", false),
            ("real/gone/tmux.sock", "link/tmux.sock", false),
        ] {
            assert_eq!(is_same_place(&at(bound), &at(path)), expected, "{bound} {path}");
        }
        assert!(!is_same_place(Path::new("tmux.sock"), &at("real/tmux.sock")));
    }
}
