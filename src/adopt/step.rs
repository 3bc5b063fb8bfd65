//! One step on the disk: doing it, telling whether it was done, and taking it back.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use crate::adopt::{Role, Step};
use crate::files;

/// Homes and what they share are for their user alone.
const DIR_MODE: u32 = 0o700;

/// What taking a step back came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Undone {
    Yes,
    /// It stays, and why; the steps before it are not in the way of that.
    Kept(String),
}

impl Step {
    /// # Errors
    /// It could not be done; nothing was changed.
    pub fn carry_out(&self) -> io::Result<()> {
        match self {
            Step::MakeDir { path } => make_dir(path),
            Step::Move { from, to, id } => {
                if id_of(from)? != Some(*id) {
                    return Err(io::Error::other(format!(
                        "{} is another one than when the plan was made",
                        from.display()
                    )));
                }
                files::rename_new(from, to)
            }
            Step::Link { path, target, .. } => files::make_link(path, target),
            Step::SecondName { file, name } => files::link_new(file, name),
        }
    }

    /// Whether a step that was begun was done before the end came.
    ///
    /// # Errors
    /// It cannot be told: somebody else changed something.
    pub fn was_done(&self) -> io::Result<bool> {
        match self {
            Step::MakeDir { path } => {
                Ok(fs_err::symlink_metadata(path).is_ok_and(|at| at.is_dir()))
            }
            Step::Link { path, target, .. } => Ok(is_link_to(path, target)),
            Step::SecondName { file, name } => {
                Ok(id_of(name)?.is_some() && id_of(file)? == id_of(name)?)
            }
            Step::Move { from, to, id } => match (id_of(from)?, id_of(to)?) {
                (Some(source), _) if source == *id => Ok(false),
                (_, Some(target)) if target == *id => Ok(true),
                _ => Err(io::Error::other(format!(
                    "what was on its way from {} to {} is at neither: put it back to one of them",
                    from.display(),
                    to.display()
                ))),
            },
        }
    }

    /// Takes it back; success when that was done before.
    ///
    /// # Errors
    /// Something is in the way, and what was done before this step cannot be taken back either.
    pub fn take_back(&self) -> io::Result<Undone> {
        match self {
            Step::MakeDir { path } => match files::remove_empty_dir(path) {
                Ok(()) => Ok(Undone::Yes),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Undone::Yes),
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    Ok(Undone::Kept(format!("{} holds something by now", path.display())))
                }
                Err(error) => Err(error),
            },
            Step::Move { from, to, .. } => take_move_back(from, to),
            Step::Link { path, target, role } => take_link_back(path, target, *role),
            Step::SecondName { file, name } => {
                let (first, second) = (id_of(file)?, id_of(name)?);
                match second {
                    None => Ok(Undone::Yes),
                    Some(_) if first == second => {
                        files::remove_name(name)?;
                        Ok(Undone::Yes)
                    }
                    Some(_) => Ok(Undone::Kept(format!(
                        "{} has changed since, and so stays beside {}",
                        name.display(),
                        file.display()
                    ))),
                }
            }
        }
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(DIR_MODE).create(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make directory {}: {error}", path.display()))
    })?;
    // It is new and empty; its parent must remember it.
    files::sync_parent(path)
}

fn take_move_back(from: &Path, to: &Path) -> io::Result<Undone> {
    match (id_of(from)?, id_of(to)?) {
        (None, Some(_)) => {
            files::rename_new(to, from)?;
            Ok(Undone::Yes)
        }
        (Some(_), None) => Ok(Undone::Yes),
        (Some(_), Some(_)) => Err(io::Error::other(format!(
            "something new is at {}, where {} belongs: move it away, then try again",
            from.display(),
            to.display()
        ))),
        (None, None) => Ok(Undone::Kept(format!(
            "{} is gone, so that nothing goes back to {}",
            to.display(),
            from.display()
        ))),
    }
}

/// The active link is ours wherever a swap has turned it since.
fn take_link_back(path: &Path, target: &Path, role: Role) -> io::Result<Undone> {
    let found = match fs_err::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if is_absent(&error) => return Ok(Undone::Yes),
        Err(error) => return Err(error),
    };
    let is_ours = found.is_symlink() && (role == Role::Active || is_link_to(path, target));
    if !is_ours {
        return Err(io::Error::other(format!(
            "{} is not the link to {} any more: move it away, then try again",
            path.display(),
            target.display()
        )));
    }
    files::remove_name(path)?;
    Ok(Undone::Yes)
}

fn is_link_to(path: &Path, target: &Path) -> bool {
    fs_err::read_link(path).is_ok_and(|found| found == target)
}

/// Device and inode; `None` when nothing is there.
fn id_of(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs_err::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::MakeDir { path } => write!(f, "make   {}/", path.display()),
            Step::Move { from, to, .. } => {
                write!(f, "move   {}\n    to {}", from.display(), to.display())
            }
            Step::Link { path, target, .. } => {
                write!(f, "link   {}\n    to {}", path.display(), target.display())
            }
            Step::SecondName { file, name } => {
                write!(f, "share  {}\n    as {}", file.display(), name.display())
            }
        }
    }
}
