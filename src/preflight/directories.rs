//! The daemon's own directories, the tmux socket's, and those that sessions start in.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, StatVfsMountFlags};

use crate::config::Config;
use crate::config::load::Problem;
use crate::preflight::instances::lock_trouble;
use crate::preflight::problem;
use crate::shell_word::shell_word;

pub fn check(config: &Config, uid: u32, problems: &mut Vec<Problem>) {
    let launch = config.runtime_dir.join("launch");
    let spool = config.runtime_dir.join("spool");
    for (key, directory) in [
        ("state_dir", &config.state_dir),
        ("runtime_dir", &config.runtime_dir),
        ("runtime_dir", &launch),
        ("runtime_dir", &spool),
    ] {
        // What is said of the directory holds for what is in it, too.
        let said = problems.last().is_some_and(|last| last.path == key);
        let why = cannot_be_made(directory, uid)
            .or_else(|| not_ours(directory, uid))
            .or_else(|| not_private(directory));
        problems.extend(why.filter(|_| !said).map(|why| problem(key, why)));
    }
    let done = cannot_be_made(&config.watcher.done_signal_dir, uid);
    let said = config.watcher.done_signal_dir.starts_with(&config.runtime_dir);
    problems.extend(done.filter(|_| !said).map(|why| problem("watcher.done_signal_dir", why)));
    if let Some(directory) = config.link.parent().filter(|directory| directory.is_dir()) {
        let why = link_cannot_be_replaced(directory, uid).or_else(|| lock_trouble(config));
        problems.extend(why.map(|why| problem("link", why)));
    }
    if let Some(socket) = &config.tmux.socket {
        let why = socket_directory(socket, uid);
        problems.extend(why.map(|why| problem("tmux.socket", why)));
    }
    if let Some(pool) = &config.pool.autonomous
        && !pool.workdir.is_dir()
    {
        let workdir = &pool.workdir;
        let message = format!(
            "{} is not there: mkdir -p {}, or name another",
            workdir.display(),
            shell_word(workdir)
        );
        problems.push(problem("pool.autonomous.workdir", message));
    }
}

/// An operator's project may be mounted or cloned later; until then its session starts elsewhere.
pub fn missing_projects(config: &Config) -> Vec<String> {
    let dedicated = config.pool.dedicated.iter();
    dedicated
        .filter(|session| !session.project.is_dir())
        .map(|session| {
            format!(
                "pool.dedicated[{}].project: {} is not there: tmux will start the session in \
                 another directory",
                session.name,
                session.project.display()
            )
        })
        .collect()
}

/// Why `directory` is not there and cannot be made by `uid`, or is there and not writable.
/// Tries nothing out.
pub fn cannot_be_made(directory: &Path, uid: u32) -> Option<String> {
    let mut nearest = directory;
    let metadata = loop {
        match fs_err::metadata(nearest) {
            Ok(metadata) => break metadata,
            // A symlink to nothing would take the place of the directory.
            Err(_) if nearest.is_symlink() => {
                return Some(format!("{} is a link that leads nowhere", nearest.display()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => nearest = nearest.parent()?,
            Err(error) if error.kind() == ErrorKind::NotADirectory => nearest = nearest.parent()?,
            Err(error) => return Some(format!("looking at the directory: {error}")),
        }
    };
    if !metadata.is_dir() {
        return Some(format!(
            "{} is not a directory: move it away, or name another",
            nearest.display()
        ));
    }
    if may_write(nearest, &metadata, uid) {
        return None;
    }
    if is_read_only(nearest) {
        return Some(format!(
            "{} is on a read-only file system: mount it for writing (dmesg says why the kernel may \
             have stopped that), or name another directory",
            nearest.display()
        ));
    }
    let name = shell_word(directory);
    Some(format!(
        "uid {uid} may not write in {}: as root, install -d -m 700 -o {uid} {name}",
        nearest.display()
    ))
}

/// At a swap it gets a successor in its directory, where its lock lies, too.
fn link_cannot_be_replaced(directory: &Path, uid: u32) -> Option<String> {
    let metadata = fs_err::metadata(directory).ok()?;
    (!may_write(directory, &metadata, uid)).then(|| {
        format!(
            "uid {uid} may not write in {}, where the link is replaced at a swap: keep the link \
             in a directory of the daemon's user",
            directory.display()
        )
    })
}

/// Nobody else may own what the daemon trusts at its next start.
fn not_ours(directory: &Path, uid: u32) -> Option<String> {
    let owner = fs_err::metadata(directory).ok()?.uid();
    (owner != uid).then(|| {
        format!(
            "{} belongs to uid {owner} and the daemon is uid {uid}: chown -R {uid} {}",
            directory.display(),
            shell_word(directory)
        )
    })
}

/// What others could look into or put something in is not trusted, and neither is a link, which
/// others may have laid.
fn not_private(directory: &Path) -> Option<String> {
    let found = fs_err::symlink_metadata(directory).ok()?;
    if found.is_symlink() {
        return Some(format!("{} is a link: name the directory itself", directory.display()));
    }
    (found.mode() & 0o077 != 0).then(|| {
        format!(
            "{} is open to others (mode {:04o}): chmod 700 {}",
            directory.display(),
            found.mode() & 0o7777,
            shell_word(directory)
        )
    })
}

/// For our own process the kernel answers, which knows read-only mounts and access lists; for
/// another user only owner and mode can be read, and groups count as not his.
fn may_write(directory: &Path, metadata: &std::fs::Metadata, uid: u32) -> bool {
    if uid == rustix::process::geteuid().as_raw() {
        return rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    }
    let needed = if metadata.uid() == uid { 0o300 } else { 0o003 };
    uid == 0 || metadata.mode() & needed == needed
}

fn is_read_only(directory: &Path) -> bool {
    rustix::fs::statvfs(directory)
        .is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Who can write there can put a server of his own in the place of ours.
fn socket_directory(socket: &Path, uid: u32) -> Option<String> {
    let directory = socket.parent()?;
    let name = shell_word(directory);
    let metadata = match fs_err::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Some(format!(
                "looking at the socket's directory: {error}: start the tmux unit, or \
                 mkdir -m 700 {name}"
            ));
        }
    };
    let place = directory.display();
    if !metadata.is_dir() {
        Some(format!("{place} is not a directory: name a socket in one"))
    } else if metadata.uid() != uid {
        let owner = metadata.uid();
        Some(format!(
            "{place} belongs to uid {owner} and the daemon is uid {uid}: name a socket in a \
             directory of its own user"
        ))
    } else if metadata.mode() & 0o022 != 0 {
        Some(format!("others may write in {place}: chmod go-w {name}"))
    } else {
        None
    }
}
