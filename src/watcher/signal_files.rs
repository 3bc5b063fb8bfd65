//! How an agent says that its task is over: the files `agent-done-<session>` and
//! `agent-failed-<session>` in `watcher.done_signal_dir`.
//!
//! That directory may be shared with others (`/tmp`), so only names of our sessions are looked for, and
//! only a regular file of our own user counts, never one behind a link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::core::event::SignalSeen;
use crate::ids::SessionName;
use crate::moment::Wall;

const DONE: &str = "agent-done-";
const FAILED: &str = "agent-failed-";
/// Characters of the first line that are passed on.
const TEXT_CHARS_MAX: usize = 200;
/// As many characters of any length, and what is left out between them.
const TEXT_BYTES_MAX: u64 = 4096;

/// What was told of the files that are there.
#[derive(Debug, Default)]
pub struct SignalFiles {
    told: BTreeMap<PathBuf, Version>,
}

/// One writing of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size_bytes: u64,
    written: (i64, i64),
}

/// Whether a file of this name may be a signal.
pub fn is_one(name: &str) -> bool {
    let session = name.strip_prefix(DONE).or_else(|| name.strip_prefix(FAILED));
    session.is_some_and(|session| session.parse::<SessionName>().is_ok())
}

impl SignalFiles {
    /// The files of these sessions that are new or written anew since they were told of.
    pub fn look<'a>(
        &mut self,
        dir: &Path,
        sessions: impl Iterator<Item = &'a SessionName>,
    ) -> Vec<SignalSeen> {
        let sessions: BTreeSet<&SessionName> = sessions.collect();
        let mut told = BTreeMap::new();
        let mut seen = Vec::new();
        for session in sessions {
            for (path, done) in paths(dir, session) {
                let Some(metadata) = fs::symlink_metadata(&path).ok().filter(counts) else {
                    continue;
                };
                let version = Version::of(&metadata);
                if self.told.get(&path) == Some(&version) {
                    told.insert(path, version);
                } else if let Some((version, signal)) = read(&path, session, done) {
                    told.insert(path, version);
                    seen.push(signal);
                }
            }
        }
        self.told = told;
        seen
    }

    /// Whoever listens has forgotten what was told.
    pub fn tell_anew(&mut self) {
        self.told.clear();
    }

    /// Removes both files of a session; what is made afterwards is told of, however much alike.
    ///
    /// # Errors
    /// There is something of that name that is no regular file of ours, or it cannot be removed.
    pub fn clear(&mut self, dir: &Path, session: &SessionName) -> Result<(), String> {
        let mut result = Ok(());
        for (path, _) in paths(dir, session) {
            self.told.remove(&path);
            result = result.and(remove(&path));
        }
        result
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn paths(dir: &Path, session: &SessionName) -> [(PathBuf, bool); 2] {
    [(DONE, true), (FAILED, false)].map(|(name, done)| (dir.join(format!("{name}{session}")), done))
}

fn is_ours(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.uid() == geteuid().as_raw()
}

/// With a second name it may be any file of ours that somebody else has put there.
fn counts(metadata: &Metadata) -> bool {
    is_ours(metadata) && metadata.nlink() == 1
}

/// `None` when it has gone, or has become something else, since it was looked at. That a file is
/// there is the signal; one that cannot be read only says no more than that.
fn read(path: &Path, session: &SessionName, done: bool) -> Option<(Version, SignalSeen)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened =
        fs_err::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let (metadata, bytes) = match opened {
        Ok(file) => {
            let metadata = file.metadata().ok()?;
            let mut bytes = Vec::new();
            if let Err(error) = file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes) {
                log::warn!("session={session} the reason it gives is not known: {error}");
            }
            (metadata, bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            log::warn!("session={session} the reason it gives is not known: {error}");
            (fs::symlink_metadata(path).ok()?, Vec::new())
        }
        Err(_) => return None,
    };
    let version = Version::of(&metadata);
    let millis = metadata.mtime_nsec() / 1_000_000;
    let at = Wall(metadata.mtime().saturating_mul(1000).saturating_add(millis));
    let signal = SignalSeen { session: session.clone(), done, at, text: first_line(&bytes) };
    counts(&metadata).then_some((version, signal))
}

/// Without control characters, and shortened.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(TEXT_CHARS_MAX).collect::<String>().trim().to_owned()
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot look at {}: {error}", path.display())),
        Ok(metadata) if !is_ours(&metadata) => Err(format!(
            "{} is no regular file of our user; remove it, or name another directory as \
             watcher.done_signal_dir",
            path.display()
        )),
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", path.display()))
            }
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions_are_signals_and_others_are_not() {
        for (name, expected) in [
            ("agent-done-ccl-auto-11", true),
            ("agent-failed-ccl-auto-11", true),
            ("agent-done-", false),
            ("agent-done-1", false),
            ("agent-done-a.b", false),
            ("agent-gone-a", false),
        ] {
            assert_eq!(is_one(name), expected, "{name}");
        }
    }

    #[test]
    fn a_first_line_is_printable_and_short() {
        let long = "é".repeat(300);
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"\nmore", ""),
            (b"  tests fail\r\nmore", "tests fail"),
            (b"a\x1b[31mb\tc\0\xff", "a [31mb c \u{fffd}"),
            (long.as_bytes(), &"é".repeat(TEXT_CHARS_MAX)),
        ] {
            assert_eq!(first_line(bytes), expected, "{bytes:?}");
        }
    }
}
