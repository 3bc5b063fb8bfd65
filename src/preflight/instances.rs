//! Does another daemon hold what this one would take? Asked without making or writing a file, so
//! that a start that is refused leaves no trace; the locks themselves are taken later.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

use crate::config::Config;

/// The journal's, in the state directory.
const STATE_LOCK: &str = "lock";
/// A pid and a newline, with room to spare.
const HOLDER_BYTES_MAX: u64 = 32;

/// Why this daemon would be a second one; `None` when it would not.
pub fn other(config: &Config) -> Option<String> {
    let state = config.state_dir.join(STATE_LOCK);
    if let Some(holder) = holder(&state) {
        return Some(format!(
            "another instance ({holder}) holds {}; stop it first, or give this one a state \
             directory of its own",
            state.display()
        ));
    }
    let link = link_lock(config);
    let holder = holder(&link)?;
    Some(format!(
        "another instance ({holder}) holds {}; stop it first: one link can have only one daemon",
        link.display()
    ))
}

/// Beside the link, because it is the link that must have one daemon only.
pub fn link_lock(config: &Config) -> PathBuf {
    let mut name = config.link.file_name().unwrap_or_default().to_owned();
    name.push(".failover-lock");
    config.link.with_file_name(name)
}

/// Who holds the lock; `None` when nobody does. A lock that cannot be looked at cannot be taken
/// either, which is told when it is.
fn holder(path: &Path) -> Option<String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()?
        .into_file();
    // Shared, and only for a moment: it stands in the way of no other look.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(named(file)),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn named(file: File) -> String {
    let mut text = String::new();
    match file.take(HOLDER_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("pid {}", text.trim()),
        _ => "pid unknown".to_owned(),
    }
}

/// Why the lock beside the link cannot be made. Tries nothing out.
pub fn lock_trouble(config: &Config) -> Option<String> {
    let path = link_lock(config);
    match fs_err::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("looking at its lock: {error}")),
        Ok(found) if found.is_file() => None,
        Ok(_) => Some(format!(
            "{} is in the way of its lock and no plain file: move it away",
            path.display()
        )),
    }
}
