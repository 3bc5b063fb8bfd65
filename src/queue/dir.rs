//! A directory held open: what is done through it happens in it, wherever its path leads by then.
//!
//! Names are single components, links are never followed, and nothing is replaced unless the
//! function says so. What is said to be done is on the disk.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::moment::Wall;

/// Temporary names are `.claude-failover-<pid>-<n>`, so that a crash leaves something one can
/// attribute.
pub const TEMP_PREFIX: &str = ".claude-failover-";
/// Fresh names tried before giving up; more than one only after a crash under the same pid.
const TEMP_ATTEMPTS_MAX: usize = 64;

static TEMPS_MADE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a name in a directory stands for; of a link, the link itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: FileType,
    pub stamp: Stamp,
    pub modified: Wall,
    pub uid: u32,
    /// Permissions alone.
    pub mode: u32,
    pub links: u64,
}

/// Differs whenever the content may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub inode: u64,
    pub size_bytes: u64,
    /// Of the file or its attributes; nobody can set it back.
    pub changed_ns: i64,
}

impl Stamp {
    pub fn changed(&self) -> Wall {
        Wall(self.changed_ns / 1_000_000)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Made,
    /// Something has that name; it stays as it is.
    Taken,
}

impl Dir {
    /// The path itself may hold links: the operator wrote it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| named("cannot open directory", path, errno))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// `None` when nothing has that name. A link, and what is no directory, is
    /// [`ErrorKind::NotADirectory`].
    pub fn inside(&self, name: &str) -> io::Result<Option<Self>> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(io::Error::new(
                ErrorKind::NotADirectory,
                format!("{} is no directory (links are refused): remove it", path.display()),
            )),
            Err(errno) => Err(named("cannot open directory", &path, errno)),
        }
    }

    /// The same, made when nothing has that name.
    pub fn make_inside(&self, name: &str) -> io::Result<Self> {
        if let Some(dir) = self.inside(name)? {
            return Ok(dir);
        }
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(named("cannot make directory", &self.path.join(name), errno));
            }
        }
        self.inside(name)?.ok_or_else(|| {
            let path = self.path.join(name);
            io::Error::new(ErrorKind::NotFound, format!("{} went away at once", path.display()))
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of the directory itself: differs when another one has come in its place.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = fs::fstat(&self.fd).map_err(|errno| named("cannot stat", &self.path, errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Each name with its kind as the directory tells it, which may be [`FileType::Unknown`].
    pub fn for_each(&self, mut each: impl FnMut(&OsStr, FileType)) -> io::Result<()> {
        let failed = |errno| named("cannot list", &self.path, errno);
        for entry in fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                each(OsStr::from_bytes(name), entry.file_type());
            }
        }
        Ok(())
    }

    /// `None` when nothing has that name.
    pub fn look(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Found>> {
        let name = name.as_ref();
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(named("cannot stat", &self.path.join(name), errno)),
        }
    }

    /// At most `bytes_max + 1` bytes of a plain file, and what it was when it was opened. `None` when
    /// nothing has that name. Never waits for a pipe and never opens a device.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<(Found, Vec<u8>)>> {
        let path = self.path.join(name);
        let plain = |found: &Found| {
            (found.kind == FileType::RegularFile).then_some(()).ok_or_else(|| {
                let text = format!("{} is no plain file (links are refused)", path.display());
                io::Error::new(ErrorKind::InvalidInput, text)
            })
        };
        let Some(before) = self.look(name)? else { return Ok(None) };
        plain(&before)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(named("cannot open", &path, errno)),
        };
        let stat = fs::fstat(&file).map_err(|errno| named("cannot stat", &path, errno))?;
        let opened = found(&stat);
        plain(&opened)?;
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| with_path("cannot read", &path, &error))?;
        Ok(Some((opened, bytes)))
    }

    /// A new file with all of these bytes, or none. Durable.
    pub fn put_new(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<Put> {
        let temp = self.write_temp(bytes, mode, File::sync_all)?;
        let put = self.rename_new(&temp, self, name);
        if !matches!(put, Ok(Put::Made)) {
            self.remove_quietly(&temp);
        }
        put
    }

    /// The same in the place of whatever file has that name.
    pub fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let temp = self.write_temp(bytes, mode, File::sync_all)?;
        self.rename_over(&temp, name)?;
        self.sync()
    }

    /// The same for what a power cut may take: it does not wait for the disk.
    pub fn replace_quick(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let temp = self.write_temp(bytes, mode, |_| Ok(()))?;
        self.rename_over(&temp, name)
    }

    /// An empty file that a power cut may take.
    pub fn put_empty(&self, name: &str, mode: u32) -> io::Result<Put> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)) {
            Ok(_) => Ok(Put::Made),
            Err(Errno::EXIST) => Ok(Put::Taken),
            Err(errno) => Err(named("cannot make", &self.path.join(name), errno)),
        }
    }

    /// Moves a file without replacing anything. Durable in both directories.
    pub fn rename_new(&self, name: &str, to: &Self, to_name: &str) -> io::Result<Put> {
        match fs::renameat_with(&self.fd, name, &to.fd, to_name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Put::Taken),
            Err(errno) => {
                return Err(named("cannot move a file to", &to.path.join(to_name), errno));
            }
        }
        to.sync()?;
        if self.path != to.path {
            self.sync()?;
        }
        Ok(Put::Made)
    }

    /// Whether there was something to remove. Durable only after [`Dir::sync`].
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(named("cannot remove", &self.path.join(name), errno)),
        }
    }

    /// Without it a rename or a removal may be undone by a power cut.
    pub fn sync(&self) -> io::Result<()> {
        fs::fsync(&self.fd).map_err(|errno| named("cannot sync", &self.path, errno))
    }

    fn rename_over(&self, temp: &str, name: &str) -> io::Result<()> {
        fs::renameat(&self.fd, temp, &self.fd, name).map_err(|errno| {
            self.remove_quietly(temp);
            named("cannot replace", &self.path.join(name), errno)
        })
    }

    fn write_temp(
        &self,
        bytes: &[u8],
        mode: u32,
        settle: fn(&File) -> io::Result<()>,
    ) -> io::Result<String> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TEMP_ATTEMPTS_MAX {
            let number = TEMPS_MADE.fetch_add(1, Ordering::SeqCst);
            let temp = format!("{TEMP_PREFIX}{}-{number}", std::process::id());
            match fs::openat(&self.fd, &temp, flags, Mode::from_raw_mode(mode)) {
                Ok(fd) => {
                    let mut file = File::from(fd);
                    return file
                        .write_all(bytes)
                        .and_then(|()| settle(&file))
                        .map(|()| temp.clone())
                        .map_err(|error| {
                            self.remove_quietly(&temp);
                            with_path("cannot write in", &self.path, &error)
                        });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(named("cannot make a file in", &self.path, errno)),
            }
        }
        let text = format!(
            "no free temporary name in {0}: remove {TEMP_PREFIX}* there",
            self.path.display()
        );
        Err(io::Error::new(ErrorKind::AlreadyExists, text))
    }

    fn remove_quietly(&self, temp: &str) {
        if let Err(error) = self.remove(temp) {
            log::debug!("a temporary file stays behind: {error}");
        }
    }
}

#[expect(
    clippy::unnecessary_cast,
    clippy::cast_possible_wrap,
    reason = "the fields' types differ between architectures"
)]
fn found(stat: &fs::Stat) -> Found {
    let modified_ms = (stat.st_mtime as i64)
        .saturating_mul(1000)
        .saturating_add(stat.st_mtime_nsec as i64 / 1_000_000);
    Found {
        kind: FileType::from_raw_mode(stat.st_mode),
        stamp: Stamp {
            inode: stat.st_ino,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            changed_ns: (stat.st_ctime as i64)
                .saturating_mul(1_000_000_000)
                .saturating_add(stat.st_ctime_nsec as i64),
        },
        modified: Wall(modified_ms),
        uid: stat.st_uid,
        mode: stat.st_mode & 0o777,
        links: stat.st_nlink as u64,
    }
}

fn named(doing: &str, path: &Path, errno: Errno) -> io::Error {
    with_path(doing, path, &errno.into())
}

fn with_path(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}
