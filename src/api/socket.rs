//! Unix sockets of ours: made for us alone, replaced when stale, removed at the end.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 128;

/// The name of a listening socket in the file system; removed when dropped.
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: a successor may have put its own there by then.
    made: (u64, u64),
}

/// Listens at `path` with mode 0600. A socket there that nobody answers on is replaced.
///
/// The directory must exist, and nobody else may be able to write in it.
pub fn listen(path: &Path) -> anyhow::Result<(OwnedFd, SocketFile)> {
    remove_stale(path)?;
    let address = SocketAddrUnix::new(path).with_context(|| {
        format!("the socket path {} is too long; choose a shorter runtime_dir", path.display())
    })?;
    let doing = || format!("could not listen on {}", path.display());
    let socket = stream_socket().with_context(doing)?;
    // Linux gives the new file the mode of the socket: no moment in which it is open to others.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).with_context(doing)?;
    rustix::net::bind(&socket, &address).with_context(doing)?;
    rustix::net::listen(&socket, BACKLOG).with_context(doing)?;
    let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).with_context(doing)?;
    let file = SocketFile { path: path.to_owned(), made: (stat.st_dev, stat.st_ino) };
    Ok((socket, file))
}

pub fn stream_socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

impl SocketFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.made) {
            // Left behind, it is replaced at the next start.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let stat = match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not look at {}", path.display()));
        }
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        bail!("{} is in the way and no socket; move it away", path.display());
    }
    let address = SocketAddrUnix::new(path)?;
    let answered = rustix::net::connect(&stream_socket()?, &address);
    match answered {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path)
            .with_context(|| format!("could not remove the stale {}", path.display())),
        Ok(()) => bail!(
            "another process answers on {}; stop it, or choose another runtime_dir",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("could not try {}", path.display())),
    }
}
