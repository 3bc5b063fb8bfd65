//! Room on the disks, and the journal as it lies there.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::cli::doctor::finding::{Finding, Verdict, fail, ok, skip, told, warn};
use crate::config::Config;
use crate::core::record::Record;
use crate::journal::reader::{self, LeftOut};
use crate::shell_word::shell_word;
use crate::units::print_size;

/// Below this the journal's next compaction may not fit, and the daemon ends (exit 74).
const FREE_BYTES_MIN: u64 = 100 << 20;
/// Agents fill that in a night.
const FREE_BYTES_GOOD: u64 = 1 << 30;
/// A file system without inodes takes no new file, however much room it has.
const FREE_INODES_MIN: u64 = 1_000;

pub fn check(config: &Config) -> Vec<Finding> {
    let places = [
        &config.state_dir,
        &config.runtime_dir,
        &config.pool.shared.projects,
        &config.dispatcher.projects_dir,
    ];
    // One line a file system.
    let mut seen: BTreeMap<u64, &Path> = BTreeMap::new();
    for place in places {
        let nearest = place.ancestors().find_map(|at| Some((fs_err::metadata(at).ok()?.dev(), at)));
        if let Some((device, at)) = nearest {
            seen.entry(device).or_insert(at);
        }
    }
    let mut findings: Vec<Finding> = seen.into_values().map(room).collect();
    findings.push(journal(&config.state_dir));
    findings
}

fn room(at: &Path) -> Finding {
    match rustix::fs::statvfs(at) {
        Ok(found) => {
            let inodes = (found.f_files > 0).then_some(found.f_favail);
            room_left(at, found.f_bavail.saturating_mul(found.f_frsize), inodes)
        }
        Err(errno) => fail("disk", format!("{}: {errno}", at.display()), "is it mounted?"),
    }
}

/// `inodes`: `None` where the file system does not count them.
pub fn room_left(at: &Path, bytes: u64, inodes: Option<u64>) -> Finding {
    let what = format!("{}: {} free", at.display(), rounded(bytes));
    let remedy = format!("make room: du -xh --max-depth=2 {} | sort -h | tail", shell_word(at));
    if let Some(inodes) = inodes.filter(|inodes| *inodes < FREE_INODES_MIN) {
        return fail("disk", format!("{what}, but room for {inodes} files only"), remedy);
    }
    match bytes {
        0..FREE_BYTES_MIN => fail("disk", what, remedy),
        FREE_BYTES_MIN..FREE_BYTES_GOOD => warn("disk", what, remedy),
        _ => ok("disk", what),
    }
}

/// To whole GiB, or MiB where that says little.
fn rounded(bytes: u64) -> String {
    let shift = if bytes >= 10 << 30 { 30 } else { 20 };
    print_size(bytes >> shift << shift)
}

/// Every record is read, as a start would; nothing is locked or changed.
pub fn journal(state_dir: &Path) -> Finding {
    if !state_dir.join("journal").exists() {
        return skip("journal", format!("{} has none yet", state_dir.display()));
    }
    let (mut records, mut left_out) = (0_usize, None);
    let read = reader::read::<Record>(state_dir, &mut |entry| match entry {
        Ok(_) => records += 1,
        Err(why) => left_out = left_out.take().or(Some(why)),
    });
    match (read, left_out) {
        (Err(error), _) => told("journal", Verdict::Fail, error.to_string()),
        (Ok(()), Some(why)) if is_of_journal(&why) => fail(
            "journal",
            format!("{records} records can be read; {why}"),
            format!(
                "the next start refuses it (exit 74) and says more: keep a copy of {} first, and \
                 let the daemon run if it does",
                state_dir.display()
            ),
        ),
        (Ok(()), Some(why)) => warn(
            "journal",
            format!("{records} records can be read; {why}"),
            "only history lacks it: a start does not read archives",
        ),
        (Ok(()), None) => ok("journal", format!("{records} records, all can be read")),
    }
}

/// Not of an archive.
fn is_of_journal(why: &LeftOut) -> bool {
    match why {
        LeftOut::Line { path, .. }
        | LeftOut::MoreLines { path, .. }
        | LeftOut::Rest { path, .. } => path.file_name().is_some_and(|name| name == "journal"),
        LeftOut::File { .. } | LeftOut::Gap { .. } => false,
    }
}
