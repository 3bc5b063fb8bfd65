//! The owner of durable file effects: what it says is done is on the disk, and whole.
//!
//! A reader sees the old state or the new one, never a gap and never a half. Nothing here corrects
//! what it did not make: a file in the way is an error that names the remedy.

use std::ffi::OsStr;
use std::fs::{Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{Access, CWD, OFlags, RenameFlags};
use rustix::process::{Pid, geteuid, test_kill_process};

use crate::shell_word::shell_word;

/// Temporary names are `.failover-<pid>-<n>`, so that a crash leaves something one can attribute.
const TEMP_PREFIX: &str = ".failover-";
/// Fresh names tried before giving up; more than one only after a crash under the same pid.
const TEMP_ATTEMPTS_MAX: usize = 64;
/// Bytes read of a lock file that another process holds.
const LOCK_BYTES_MAX: u64 = 32;

static TEMPS_MADE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    Done,
    /// The link led there already.
    Already,
}

/// An exclusive lock for as long as this value, or the process, lives.
#[derive(Debug)]
pub struct Lock {
    _file: fs_err::File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is locked by {}; only one may run", path.display(), holder(*pid))]
    Held { path: PathBuf, pid: Option<i32> },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A plain file, to be read. Nothing waits here for the writer of a pipe, whoever put it there.
///
/// # Errors
/// It cannot be opened, or it is no plain file. The error names the path.
pub fn open_plain(path: &Path) -> io::Result<(std::fs::File, std::fs::Metadata)> {
    let refuse = || invalid(format!("{} is no plain file", path.display()));
    // Looked at first, since opening some devices does something; then what was opened.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(refuse());
    }
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(refuse());
    }
    Ok((file.into_parts().0, found))
}

/// The text of a plain file of at most `bytes_max` bytes.
///
/// # Errors
/// It cannot be read, is larger, or is not UTF-8. The error names the path.
pub fn read_at_most(path: &Path, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    let limit = bytes_max as u64 + 1;
    let (file, _) = open_plain(path)?;
    io::Read::take(file, limit)
        .read_to_string(&mut text)
        .map_err(|error| named("cannot read", path, &error))?;
    if text.len() > bytes_max {
        let message = format!("{} is larger than {bytes_max} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Replaces `path` by a file of these bytes and this mode, whatever the umask.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, fs_err::File::sync_all)?;
    sync_dir(parent(path))
}

/// The same for what a power cut may take: it does not wait for the disk.
pub fn write_quick(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(path, bytes, mode, |_| Ok(()))
}

fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    settle: fn(&fs_err::File) -> io::Result<()>,
) -> io::Result<()> {
    let (temp, mut file) = with_temp_name(parent(path), |temp| {
        fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp)
    })?;
    let replaced = file
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| settle(&file))
        .and_then(|()| rename(&temp, path));
    replaced.inspect_err(|_| remove_quietly(&temp))
}

/// Makes `link` lead to `target`, in one step for every reader. A missing link is made.
///
/// Refused as [`check_flip`] says, with nothing changed.
pub fn flip_link(link: &Path, target: &Path) -> io::Result<Flip> {
    check_flip(link, target)?;
    let dir = parent(link);
    remove_leftovers(dir)?;
    if leads_to(link, target) {
        // The process that flipped it may have died before this.
        sync_dir(dir)?;
        return Ok(Flip::Already);
    }
    let (temp, ()) = with_temp_name(dir, |temp| fs_err::os::unix::fs::symlink(target, temp))?;
    rename(&temp, link).inspect_err(|_| remove_quietly(&temp))?;
    sync_dir(dir)?;
    Ok(Flip::Done)
}

/// Everything that would make a flip fail, tried without flipping: the link is no symlink, the
/// target no directory, the place of the link not ours to write.
pub fn check_flip(link: &Path, target: &Path) -> io::Result<()> {
    if !target.is_absolute() || target == link {
        return Err(invalid(format!(
            "cannot point {} at {}: a target is absolute and not the link itself",
            link.display(),
            target.display()
        )));
    }
    if !fs_err::metadata(target)?.is_dir() {
        return Err(invalid(format!(
            "cannot point {} at {}: that is not a directory",
            link.display(),
            target.display()
        )));
    }
    match fs_err::symlink_metadata(link) {
        Ok(found) if found.is_symlink() => {}
        Ok(found) => {
            let what = if found.is_dir() { "directory" } else { "file" };
            let mut kept = link.as_os_str().to_owned();
            kept.push(".real");
            return Err(invalid(format!(
                "{} is a real {what}, not a link: move it away (mv {} {}) and make the link \
                 (ln -s {} {1})",
                link.display(),
                shell_word(link),
                shell_word(&kept),
                shell_word(target)
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let dir = parent(link);
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| named("cannot replace a link in", dir, &errno.into()))
}

/// Where the link itself points, not followed further.
pub fn read_link(link: &Path) -> io::Result<PathBuf> {
    fs_err::read_link(link)
}

/// Makes a link where nothing is. Something in the way is an error.
pub fn make_link(link: &Path, target: &Path) -> io::Result<()> {
    fs_err::os::unix::fs::symlink(target, link)?;
    sync_dir(parent(link))
}

/// Gives what is at `from` the name `to`, on the same file system; nothing is ever replaced.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|errno| {
        let doing = format!("cannot rename {} to", from.display());
        named(&doing, to, &errno.into())
    })?;
    // The name that is gained first: a power cut between the two may show both, never none.
    sync_dir(parent(to))?;
    sync_dir(parent(from))
}

/// Gives a file a second name. Something in the way is an error.
pub fn link_new(file: &Path, name: &Path) -> io::Result<()> {
    fs_err::hard_link(file, name)?;
    sync_dir(parent(name))
}

/// Takes away a name that was made by [`make_link`] or [`link_new`].
pub fn remove_name(name: &Path) -> io::Result<()> {
    fs_err::remove_file(name)?;
    sync_dir(parent(name))
}

/// Takes away an empty directory. One that holds something is an error.
pub fn remove_empty_dir(path: &Path) -> io::Result<()> {
    fs_err::remove_dir(path)?;
    sync_dir(parent(path))
}

/// Whether both paths end at the same existing file or directory.
pub fn leads_to(path: &Path, target: &Path) -> bool {
    match (path.canonicalize(), target.canonicalize()) {
        (Ok(path), Ok(target)) => path == target,
        _ => false,
    }
}

/// Makes the directory and its parents with mode 0700; one that exists stays as it is.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| named("cannot make directory", path, &error))?;
    sync_dir(parent(path))
}

/// A directory that nobody else can look into. A symlink, another owner or a wider mode is an
/// error: it was made by someone, and what they put there must not be trusted.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_dir(path)?,
        _ => {}
    }
    let found = fs_err::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(invalid(format!(
            "{} is not a directory (links are refused): remove it",
            path.display()
        )));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(invalid(format!(
            "{} belongs to user {}, not to user {}: chown it or name another directory",
            path.display(),
            found.uid(),
            geteuid().as_raw()
        )));
    }
    if found.mode() & 0o077 != 0 {
        return Err(invalid(format!(
            "{} is open to others (mode {:04o}): chmod 700 {}",
            path.display(),
            found.mode() & 0o7777,
            shell_word(path)
        )));
    }
    Ok(())
}

/// Takes the lock or says who has it; never waits. The file stays when the lock goes.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    let mut file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    match file.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = (&mut file)
                .take(LOCK_BYTES_MAX)
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            let path = path.to_owned();
            return Err(LockError::Held { path, pid });
        }
        Err(TryLockError::Error(error)) => return Err(named("cannot lock", path, &error).into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Lock { _file: file })
}

/// Removes the temporary files that crashed processes of ours left in `dir`; how many there were.
pub fn remove_leftovers(dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if is_leftover(&entry.file_name()) {
            remove_quietly(&entry.path());
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_leftover(name: &OsStr) -> bool {
    let Some((pid, number)) =
        name.to_str().and_then(|name| name.strip_prefix(TEMP_PREFIX)?.split_once('-'))
    else {
        return false;
    };
    let (Ok(pid), Ok(number)) = (pid.parse::<i32>(), number.parse::<u64>()) else {
        return false;
    };
    if u32::try_from(pid) == Ok(std::process::id()) {
        // A daemon in a container has the same pid in every life.
        return number >= TEMPS_MADE.load(Ordering::SeqCst);
    }
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

fn with_temp_name<T>(
    dir: &Path,
    make: impl Fn(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    for _ in 0..TEMP_ATTEMPTS_MAX {
        let number = TEMPS_MADE.fetch_add(1, Ordering::SeqCst);
        let temp = dir.join(format!("{TEMP_PREFIX}{}-{number}", std::process::id()));
        match make(&temp) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_quietly(&temp),
            made => return made.map(|made| (temp, made)),
        }
    }
    Err(invalid(format!(
        "no free temporary name in {}: remove {TEMP_PREFIX}* there",
        dir.display()
    )))
}

#[expect(clippy::disallowed_methods, reason = "the owner of renames")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::rename(from, to)
}

/// Makes sure that a power cut does not take back what was made at `path`.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    sync_dir(parent(path))
}

/// Without it a rename may be undone by a power cut.
fn sync_dir(dir: &Path) -> io::Result<()> {
    fs_err::File::open(dir)?.sync_all()
}

fn remove_quietly(path: &Path) {
    if let Err(error) = fs_err::remove_file(path) {
        log::debug!("a temporary file stays behind: {error}");
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

fn holder(pid: Option<i32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

fn named(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_writers_temporary_file_is_a_leftover() {
        let own = std::process::id();
        let used = TEMPS_MADE.fetch_add(1, Ordering::SeqCst);
        for (name, expected) in [
            (".failover-2147483600-0".to_owned(), true),
            (format!(".failover-{own}-{}", u64::MAX), true),
            (format!(".failover-{own}-{used}"), false),
            (".failover-1-7".to_owned(), false),
            (".failover-0-7".to_owned(), false),
            (".failover--5-7".to_owned(), false),
            (".failover-x".to_owned(), false),
            ("notes-2147483600-0".to_owned(), false),
        ] {
            assert_eq!(is_leftover(OsStr::new(&name)), expected, "{name}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(fs_err::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs_err::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"x", 0o600).unwrap_err().to_string();
        assert!(error.contains("taken"), "{error}");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }
}
