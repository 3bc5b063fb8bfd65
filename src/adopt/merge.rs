//! Brings what several homes hold under one name together in one shared directory, file by file.
//!
//! The first directory becomes the shared one, whole. Of the others, what is missing there moves
//! over; what is there already, equal, stays and is set aside with its directory; what differs is
//! kept beside, under a name that tells whose it was.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use crate::adopt::plan::Draft;
use crate::adopt::view::{Found, Place};
use crate::adopt::{ASIDE_DIR, Layout, Role};
use crate::files::leads_to;

/// Directories inside each other; the client makes three.
const DEPTH_MAX: usize = 64;
/// Names tried for a file that is kept beside another, or for a directory that is set aside.
const NAMES_MAX: usize = 1_000;
/// Read at a time of two files that are compared.
const COMPARED_BYTES: usize = 64 << 10;

/// One home's directory on its way into the shared one.
struct Merge<'d> {
    draft: &'d mut Draft,
    account: &'d str,
    duplicates: usize,
}

/// Plans the way of `<home>/<name>` into `shared`, if it is a real directory.
pub fn into_shared(
    draft: &mut Draft,
    account: &str,
    home: &Path,
    name: &str,
    shared: &Path,
) -> io::Result<()> {
    let source = home.join(name);
    match draft.view.look(&source)? {
        Found::Nothing => return Ok(()),
        Found::Link(target) => {
            check_shared_link(draft, &source, &home.join(target), shared);
            return Ok(());
        }
        Found::File(_) | Found::Other(_) => {
            draft.obstacle(format!(
                "{0} is a file in the way of the link to {1}: mv -T '{0}' '{0}.before'",
                source.display(),
                shared.display()
            ));
            return Ok(());
        }
        Found::Dir(_) => {}
    }
    let root = match draft.view.look(shared)? {
        Found::Nothing => {
            draft.parents(shared)?;
            return draft.rename(&source, shared);
        }
        Found::Dir(_) => shared.to_owned(),
        // A shared directory on a larger disk, for example.
        Found::Link(_) if shared.is_dir() => fs_err::canonicalize(shared)?,
        Found::Link(_) | Found::File(_) | Found::Other(_) => {
            draft.obstacle(format!(
                "{} shall be the shared directory for {name} and is none: move it away",
                shared.display()
            ));
            return Ok(());
        }
    };
    let mut merge = Merge { draft, account, duplicates: 0 };
    merge.directory(&source, &root, 0)?;
    let duplicates = merge.duplicates;
    let Some(aside) = free_name(draft, &home.join(ASIDE_DIR), OsStr::new(name), "")? else {
        return Ok(());
    };
    draft.parents(&aside)?;
    if duplicates > 0 {
        let (count, source) = (files_of(duplicates), source.display());
        let (shared, aside) = (shared.display(), aside.display());
        draft
            .plan
            .notes
            .push(format!("{count} of {source} {shared} has already, equal: kept in {aside}"));
    }
    draft.rename(&source, &aside)
}

/// Plans the shared directory, where no home had one, and the links to it.
pub fn links(draft: &mut Draft, layout: &Layout, name: &str, shared: &Path) -> io::Result<()> {
    draft.dirs(shared)?;
    for (_, home) in &layout.accounts {
        let place = home.join(name);
        if draft.view.look(&place)? == Found::Nothing {
            draft.link(&place, shared, Role::Shared);
        }
    }
    Ok(())
}

fn check_shared_link(draft: &mut Draft, link: &Path, target: &Path, shared: &Path) {
    // By its words: the home in which the link will lie may not be there yet.
    let target = &lexical(target);
    if target == shared || leads_to(target, shared) {
        return;
    }
    draft.obstacle(format!(
        "{} leads to {}, not to {}: bring their contents together yourself, then \
         ln -sfn '{2}' '{0}'",
        link.display(),
        target.display(),
        shared.display()
    ));
}

/// Without `.` and `..`.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::RootDir | Component::Normal(_) | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

impl Merge<'_> {
    fn directory(&mut self, source: &Path, target: &Path, depth: usize) -> io::Result<()> {
        if depth == DEPTH_MAX {
            let source = source.display();
            self.draft.obstacle(format!("{source} is deeper than {DEPTH_MAX} directories"));
            return Ok(());
        }
        let Found::Dir(Some(place)) = self.draft.view.look(source)? else { return Ok(()) };
        for name in sorted_names(&place.path)? {
            if name.to_str().is_none() {
                let path = place.path.join(&name);
                self.draft.obstacle(format!("{path:?} is not UTF-8: rename it first"));
                continue;
            }
            self.entry(&source.join(&name), target, &name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, dir: &Path, name: &OsStr, depth: usize) -> io::Result<()> {
        let to = dir.join(name);
        let source = self.draft.view.look(from)?;
        let target = self.draft.view.look(&to)?;
        match (&source, &target) {
            (_, Found::Nothing) => return self.draft.rename(from, &to),
            (Found::Dir(_), Found::Dir(_)) => return self.directory(from, &to, depth + 1),
            (Found::File(a), Found::File(b)) if is_equal(a, b)? => {
                self.duplicates += 1;
                return Ok(());
            }
            (Found::Link(a), Found::Link(b)) if a == b => {
                self.duplicates += 1;
                return Ok(());
            }
            _ => {}
        }
        let mark = format!(".from-{}", self.account);
        let Some(beside) = free_name(self.draft, dir, name, &mark)? else { return Ok(()) };
        let (kept, first) = (beside.display(), to.display());
        self.draft.plan.notes.push(format!("differs from {first}, kept beside: {kept}"));
        self.draft.rename(from, &beside)
    }
}

/// `name` with `mark` behind it, and a number where that is taken.
fn free_name(
    draft: &mut Draft,
    dir: &Path,
    name: &OsStr,
    mark: &str,
) -> io::Result<Option<PathBuf>> {
    for number in 1..=NAMES_MAX {
        let mut free = name.to_owned();
        free.push(mark);
        if number > 1 {
            free.push(format!("-{number}"));
        }
        let path = dir.join(free);
        if draft.view.look(&path)? == Found::Nothing {
            return Ok(Some(path));
        }
    }
    let path = dir.join(name);
    draft.obstacle(format!("{}: {NAMES_MAX} names beside it are taken", path.display()));
    Ok(None)
}

/// In one order whatever the file system's, so that a plan that is made again goes on the same way.
fn sorted_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let names: io::Result<Vec<OsString>> =
        fs_err::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names?;
    names.sort();
    Ok(names)
}

fn is_equal(a: &Place, b: &Place) -> io::Result<bool> {
    if (a.device, a.inode) == (b.device, b.inode) {
        return Ok(true);
    }
    if a.size_bytes != b.size_bytes {
        return Ok(false);
    }
    let open = |place: &Place| {
        let file = fs_err::File::open(&place.path)?.into_parts().0;
        Ok::<BufReader<File>, io::Error>(BufReader::with_capacity(COMPARED_BYTES, file))
    };
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut left, mut right) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    loop {
        let count = read_full(&mut a, &mut left)?;
        if count != read_full(&mut b, &mut right)? || left[..count] != right[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn files_of(count: usize) -> String {
    match count {
        1 => "one file".to_owned(),
        _ => format!("{count} files"),
    }
}
