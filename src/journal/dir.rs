//! The state directory, opened once: every file in it is reached from there, never by path.
//!
//! Nothing here follows a symbolic link, and nothing is used that another user could write.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::journal::error::JournalError;

const LOCK: &str = "lock";
const DIR_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// A pid and a newline, with room to spare.
const HOLDER_BYTES_MAX: u64 = 64;

pub struct StateDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The right to be the only instance. By the kernel's word it ends with the process.
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: a child between fork and exec shares the open file, and with it
        // the lock. An error leaves it to the end of the process.
        let _ = self.0.unlock();
    }
}

/// One file, whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// A file opened to be read, as it was at that moment.
pub struct ReadFile {
    pub file: File,
    pub id: FileId,
    pub path: PathBuf,
}

impl StateDir {
    /// Makes it when it is missing.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let path = without_trailing_slash(path);
        match rustix::fs::mkdir(&path, DIR_MODE) {
            Ok(()) => sync_parent(&path)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(JournalError::io("make the directory", &path)(error)),
        }
        let fd = open_dir(&path).map_err(|error| not_opened(&path, error))?;
        let stat = rustix::fs::fstat(&fd).map_err(JournalError::io("look at", &path))?;
        check_owner(&stat, &path)?;
        if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            return Err(unusable(&path, "can be written by other users; run `chmod 700` on it"));
        }
        Ok(Self { fd, path })
    }

    /// For somebody who only reads: makes and changes nothing. `None`: there is none.
    pub fn open_to_read(path: &Path) -> Result<Option<Self>, JournalError> {
        let path = without_trailing_slash(path);
        let fd = match open_dir(&path) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(&path, error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(JournalError::io("look at", &path))?;
        check_reader(&stat, &path)?;
        Ok(Some(Self { fd, path }))
    }

    pub fn lock(&self) -> Result<Lock, JournalError> {
        let path = self.path_of(LOCK);
        let mut file = self.open_file(LOCK)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(JournalError::AnotherInstance { path, holder });
            }
            Err(TryLockError::Error(error)) => return Err(JournalError::io("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(JournalError::io("write", &path))?;
        Ok(Lock(file))
    }

    /// Opens a plain file of ours to read and append, and makes it (0600) when it is missing.
    pub fn open_file(&self, name: &str) -> Result<File, JournalError> {
        let path = self.path_of(name);
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&self.fd, name, flags, FILE_MODE).map_err(|error| match error {
                Errno::LOOP => unusable(&path, "is a symbolic link; put the file itself there"),
                error => JournalError::io("open", &path)(error),
            })?;
        let stat = rustix::fs::fstat(&fd).map_err(JournalError::io("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(unusable(&path, "is no plain file; move it away"));
        }
        check_owner(&stat, &path)?;
        if Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
            rustix::fs::fchmod(&fd, FILE_MODE).map_err(JournalError::io("chmod", &path))?;
        }
        Ok(File::from(fd))
    }

    /// Opens a plain file of ours to read, as it is. `None` when nothing has that name.
    pub fn read_file(&self, name: &str) -> Result<Option<ReadFile>, JournalError> {
        let path = self.path_of(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(unusable(&path, "is a symbolic link; put the file itself there"));
            }
            Err(error) => return Err(JournalError::io("open", &path)(error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(JournalError::io("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(unusable(&path, "is no plain file; move it away"));
        }
        check_reader(&stat, &path)?;
        Ok(Some(ReadFile { file: File::from(fd), id: FileId::of(&stat), path }))
    }

    /// The names in it that `wanted` makes something of, in no order.
    pub fn names<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, JournalError> {
        let failed = JournalError::io("list", &self.path);
        let list = || -> Result<Vec<T>, Errno> {
            let mut found = Vec::new();
            for entry in Dir::read_from(&self.fd)? {
                found.extend(entry?.file_name().to_str().ok().and_then(&wanted));
            }
            Ok(found)
        };
        list().map_err(failed)
    }

    /// What a name stands for, and its size in bytes. `None` when nothing has that name.
    pub fn look(&self, name: &str) -> Result<Option<(FileId, u64)>, JournalError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((FileId::of(&stat), u64::try_from(stat.st_size).unwrap_or(0)))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(JournalError::io("look at", &self.path_of(name))(error)),
        }
    }

    /// One more name for a file. Durable after [`StateDir::sync`].
    pub fn link(&self, source: &str, name: &str) -> Result<(), JournalError> {
        rustix::fs::linkat(&self.fd, source, &self.fd, name, AtFlags::empty())
            .map_err(JournalError::io("make the hard link", &self.path_of(name)))
    }

    /// Success when it is gone, also when it never was.
    pub fn remove(&self, name: &str) -> Result<(), JournalError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(JournalError::io("remove", &self.path_of(name))(error)),
        }
    }

    /// Atomic; durable after [`StateDir::sync`].
    pub fn replace(&self, source: &str, target: &str) -> Result<(), JournalError> {
        rustix::fs::renameat(&self.fd, source, &self.fd, target)
            .map_err(JournalError::io("replace", &self.path_of(target)))
    }

    pub fn sync(&self) -> Result<(), JournalError> {
        rustix::fs::fsync(&self.fd).map_err(JournalError::io("flush", &self.path))
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl FileId {
    pub fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// A trailing slash would make the kernel follow a link.
fn without_trailing_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

fn not_opened(path: &Path, error: Errno) -> JournalError {
    match error {
        Errno::NOTDIR | Errno::LOOP => {
            unusable(path, "is no directory (or a symbolic link); name a real one")
        }
        error => JournalError::io("open the directory", path)(error),
    }
}

/// A new directory is durable only with its parent.
fn sync_parent(path: &Path) -> Result<(), JournalError> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, parent, flags, Mode::empty())
        .and_then(rustix::fs::fsync)
        .map_err(JournalError::io("flush", parent))
}

fn check_owner(stat: &Stat, path: &Path) -> Result<(), JournalError> {
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid == own {
        return Ok(());
    }
    let why = format!(
        "belongs to user {}, this is user {own}; run `chown -R {own}` on it or run as that user",
        stat.st_uid
    );
    Err(unusable(path, &why))
}

fn check_reader(stat: &Stat, path: &Path) -> Result<(), JournalError> {
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid == own {
        return Ok(());
    }
    let owner = stat.st_uid;
    Err(unusable(
        path,
        &format!("belongs to user {owner}, this is user {own}; run this as user {owner}"),
    ))
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(HOLDER_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("pid {}", text.trim()),
        _ => "pid unknown".to_owned(),
    }
}

fn unusable(path: &Path, why: &str) -> JournalError {
    JournalError::Unsafe { path: path.to_owned(), why: why.to_owned() }
}
