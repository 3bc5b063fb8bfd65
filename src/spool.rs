//! `<runtime_dir>/spool/`: one file a report that a hook could not hand to the daemon.
//!
//! Written by the verb `hook`, taken by the daemon, oldest first. What is not plainly such a file
//! of our own user is left where it is. Nothing here says what a report means.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::files;

/// Files that may wait; past that a report is given up. A daemon that is away so long reads the
/// transcripts anyway.
pub const FILES_MAX: usize = 1_000;
/// Files taken at one time; the rest comes at the next.
pub const TAKEN_MAX: usize = 256;
/// Bytes of one report.
pub const REPORT_BYTES_MAX: usize = 64 << 10;
/// Names looked at: the files that may wait and as many temporary ones.
const NAMES_MAX: usize = 2 * FILES_MAX;

pub fn dir(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("spool")
}

/// Leaves a report for the daemon. `at_ms` and `pid` (the writer's) make its name and its place in
/// the order.
///
/// # Errors
/// The directory is full ([`FILES_MAX`]) or cannot be written in.
pub fn leave(dir: &Path, at_ms: i64, pid: u32, report: &[u8]) -> io::Result<()> {
    match waiting(dir) {
        Ok(files) if files >= FILES_MAX => return Err(io::ErrorKind::StorageFull.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new().mode(0o700).create(dir)?;
        }
        Ok(_) | Err(_) => {}
    }
    files::write_quick(&dir.join(format!("{at_ms:013}-{pid}.json")), report, 0o600)
}

/// Takes the oldest reports out of the spool, [`TAKEN_MAX`] at most. A directory that is not there
/// holds none.
pub fn take(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(mut names) = names(dir) else {
        return Vec::new();
    };
    names.sort_unstable();
    let mut taken = Vec::new();
    for name in names {
        if taken.len() >= TAKEN_MAX {
            break;
        }
        let path = dir.join(name);
        // Out of the spool first: what cannot be removed would come again at every look.
        if let Some(report) = read(&path)
            && fs_err::remove_file(&path).is_ok()
        {
            taken.push(report);
        }
    }
    taken
}

/// Removes what hooks that were killed while writing have left.
pub fn clean(dir: &Path) {
    if let Err(error) = files::remove_leftovers(dir) {
        log::debug!("the spool could not be cleaned: {error}");
    }
}

fn waiting(dir: &Path) -> io::Result<usize> {
    names(dir).map(|names| names.len())
}

fn names(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(dir)?.take(NAMES_MAX) {
        let name = entry?.file_name();
        if is_report(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// `<ms since 1970>-<pid>.json`
fn is_report(name: &OsStr) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.to_str()
        .and_then(|name| name.strip_suffix(".json")?.split_once('-'))
        .is_some_and(|(at, pid)| digits(at) && digits(pid))
}

/// `None` for a link, a foreign file, one that is no plain file, and one that is too long.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()?;
    let found = file.metadata().ok()?;
    let ours = found.is_file() && found.uid() == geteuid().as_raw() && found.nlink() == 1;
    if !ours || found.len() > REPORT_BYTES_MAX as u64 {
        return None;
    }
    let mut report = Vec::new();
    file.take(REPORT_BYTES_MAX as u64).read_to_end(&mut report).ok()?;
    Some(report)
}
