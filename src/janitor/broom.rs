//! Old files of ours in one directory.

use std::io;
use std::time::Duration;

use rustix::fs::FileType;
use rustix::process::geteuid;

use crate::moment::Wall;
use crate::queue::dir::{Dir, Found};

/// What a crashed process has left is not in use any more after this.
pub const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Names looked at in one directory in one round.
const NAMES_MAX: usize = 100_000;

/// Plain files with a name that `wanted` accepts, last written at least `age` ago. Sorted.
pub fn old_files(
    dir: &Dir,
    now: Wall,
    age: Duration,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<(String, Found)>> {
    let mut names = Vec::new();
    let mut looked_at = 0;
    dir.for_each(|name, _| {
        looked_at += 1;
        if looked_at <= NAMES_MAX {
            names.extend(name.to_str().filter(|name| wanted(name)).map(str::to_owned));
        }
    })?;
    names.sort_unstable();
    let mut old = Vec::new();
    for name in names {
        let Some(found) = dir.look(&name)? else { continue };
        let is_old = found.modified <= now && now - found.modified >= age;
        if found.kind == FileType::RegularFile && is_old {
            old.push((name, found));
        }
    }
    Ok(old)
}

/// Those of them that our own user made.
pub fn old_files_of_ours(
    dir: &Dir,
    now: Wall,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<String>> {
    let old = old_files(dir, now, LEFTOVER_AGE, wanted)?;
    let ours = old.into_iter().filter(|(_, found)| found.uid == geteuid().as_raw());
    Ok(ours.map(|(name, _)| name).collect())
}
