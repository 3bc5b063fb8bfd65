//! The disk as it will be after the steps that are planned so far. Reads, never writes.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a step has made of a path.
#[derive(Debug, Clone)]
enum Fate {
    /// What is there now lies at this path of the disk as it is.
    At(PathBuf),
    Gone,
    EmptyDir,
    Link(PathBuf),
}

#[derive(Debug, Default)]
pub struct View {
    fates: BTreeMap<PathBuf, Fate>,
}

/// What is at a path; a link is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// Where it lies now; `None` for one that is yet to be made.
    Dir(Option<Place>),
    Link(PathBuf),
    File(Place),
    /// A socket, a pipe, a device.
    Other(Place),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// On the disk as it is.
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub size_bytes: u64,
}

impl View {
    /// # Errors
    /// The path cannot be looked at.
    pub fn look(&self, path: &Path) -> io::Result<Found> {
        let Some(real) = self.real(path) else { return Ok(self.made(path)) };
        let metadata = match fs_err::symlink_metadata(&real) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        if metadata.is_symlink() {
            return Ok(Found::Link(fs_err::read_link(&real)?));
        }
        let place = Place {
            path: real,
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
        };
        Ok(match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => Found::Dir(Some(place)),
            (_, true) => Found::File(place),
            _ => Found::Other(place),
        })
    }

    /// Where what is at `path` lies on the disk as it is; `None` when only steps know of it.
    fn real(&self, path: &Path) -> Option<PathBuf> {
        let nearest = path.ancestors().find_map(|at| Some((at, self.fates.get(at)?)));
        match nearest {
            None => Some(path.to_owned()),
            Some((at, Fate::At(real))) => match path.strip_prefix(at) {
                Ok(rest) if rest == Path::new("") => Some(real.clone()),
                Ok(rest) => Some(real.join(rest)),
                Err(_) => None,
            },
            Some((_, Fate::Gone | Fate::EmptyDir | Fate::Link(_))) => None,
        }
    }

    fn made(&self, path: &Path) -> Found {
        match self.fates.get(path) {
            Some(Fate::EmptyDir) => Found::Dir(None),
            Some(Fate::Link(target)) => Found::Link(target.clone()),
            Some(Fate::Gone | Fate::At(_)) | None => Found::Nothing,
        }
    }

    pub fn moved(&mut self, from: &Path, to: &Path) {
        let real = self.real(from).unwrap_or_else(|| from.to_owned());
        self.fates.insert(from.to_owned(), Fate::Gone);
        self.fates.insert(to.to_owned(), Fate::At(real));
    }

    pub fn made_dir(&mut self, path: &Path) {
        self.fates.insert(path.to_owned(), Fate::EmptyDir);
    }

    pub fn made_link(&mut self, path: &Path, target: &Path) {
        self.fates.insert(path.to_owned(), Fate::Link(target.to_owned()));
    }

    /// The file system of the nearest directory on the way that exists already.
    pub fn device(&self, path: &Path) -> io::Result<u64> {
        for at in path.ancestors() {
            let Some(real) = self.real(at) else { continue };
            match fs_err::metadata(&real) {
                Ok(metadata) => return Ok(metadata.dev()),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("{} has no root", path.display())))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_seen_at_its_target_and_no_longer_at_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs_err::create_dir_all(at("a/projects/x")).unwrap();
        fs_err::write(at("a/projects/x/f"), "1").unwrap();
        let mut view = View::default();
        view.moved(&at("a"), &at("b"));
        assert_eq!(view.look(&at("a")).unwrap(), Found::Nothing);
        view.moved(&at("b/projects"), &at("shared"));
        assert_eq!(view.look(&at("b/projects")).unwrap(), Found::Nothing);
        view.made_link(&at("b/projects"), &at("shared"));
        assert_eq!(view.look(&at("b/projects")).unwrap(), Found::Link(at("shared")));
        let Found::File(place) = view.look(&at("shared/x/f")).unwrap() else { panic!() };
        assert_eq!(place.path, at("a/projects/x/f"));
        view.made_dir(&at("new"));
        assert_eq!(view.look(&at("new")).unwrap(), Found::Dir(None));
        assert_eq!(view.look(&at("new/x")).unwrap(), Found::Nothing);
    }
}
