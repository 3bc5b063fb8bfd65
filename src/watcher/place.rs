//! Where the file of a conversation lies: `<home>/projects/<slug>/<id>.jsonl`.
//!
//! The slug is the client's own name for its working directory. A resumed conversation stays where it
//! was begun, and a client may change its directory, so every other slug is looked at too; but not
//! at every look.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::config::Config;
use crate::core::event::AgentHome;
use crate::ids::ConversationId;

/// Without a reason, all slugs are looked through at most this often.
const SEARCHES_APART: Duration = Duration::from_secs(10);
/// A client that has made a slug has made its file by then.
const SLUG_SETTLES: Duration = Duration::from_secs(2);
/// The client cuts a longer slug and adds a hash that we do not know.
const SLUG_CHARS_MAX: usize = 200;
/// More slugs than this in one `projects`, and some are not looked at.
const SLUGS_MAX: usize = 10_000;

/// What it takes to find one file, and when that was tried last.
#[derive(Debug)]
pub struct Place {
    pub projects: PathBuf,
    /// The directory by the rule; it need not exist.
    pub expected: PathBuf,
    name: String,
    searched: Option<Searched>,
}

#[derive(Debug)]
struct Searched {
    at: Instant,
    /// When a slug came or went.
    projects_changed: Option<SystemTime>,
}

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Everywhere.
    Everywhere,
    /// Where it should be, and elsewhere only when there is a reason.
    Usual,
}

/// `projects` as an agent of this home reaches it; `None` when its home is none of ours.
pub fn projects(home: &AgentHome, config: &Config) -> Option<PathBuf> {
    let home = match home {
        AgentHome::Homed(name) => {
            &config.accounts.iter().find(|account| account.name == *name)?.home
        }
        AgentHome::Linked => &config.link,
        AgentHome::Elsewhere => return None,
    };
    Some(home.join("projects"))
}

impl Place {
    pub fn new(projects: PathBuf, cwd: &Path, conversation: &ConversationId) -> Self {
        let real = fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_owned());
        let expected = projects.join(slug(&real));
        Self { projects, expected, name: format!("{conversation}.jsonl"), searched: None }
    }

    /// The file as it lies now.
    pub fn find(&mut self, effort: Effort, now: Instant) -> Option<PathBuf> {
        let path = self.expected.join(&self.name);
        if path.is_file() {
            return Some(path);
        }
        let changed = fs::metadata(&self.projects).and_then(|metadata| metadata.modified()).ok();
        let tried = self.searched.as_ref().is_some_and(|searched| {
            searched.projects_changed == changed
                && now.saturating_duration_since(searched.at) < SEARCHES_APART
        });
        if tried && effort == Effort::Usual {
            return None;
        }
        let found = self.search();
        // A slug is made before the file in it, and that makes no notice: it is looked for again.
        let projects_changed = changed.filter(|at| found.is_some() || is_settled(*at));
        self.searched = Some(Searched { at: now, projects_changed });
        found
    }

    /// The file as it lies now, looked for everywhere; `None` only when there is none.
    ///
    /// # Errors
    /// A directory or file cannot be looked at, so that nobody knows.
    pub fn locate(&self) -> io::Result<Option<PathBuf>> {
        let path = self.expected.join(&self.name);
        if written_at(&path)?.is_some() {
            return Ok(Some(path));
        }
        let mut found = None;
        for (count, slug) in fs_err::read_dir(&self.projects)?.enumerate() {
            if count == SLUGS_MAX {
                let path = self.projects.display();
                let why =
                    format!("{path} holds more than {SLUGS_MAX} directories; remove old ones");
                return Err(io::Error::other(why));
            }
            let path = slug?.path().join(&self.name);
            if let Some(at) = written_at(&path)? {
                found = found.max(Some((at, path)));
            }
        }
        Ok(found.map(|(_, path)| path))
    }

    /// In all slugs; of several files the one written last.
    fn search(&self) -> Option<PathBuf> {
        let slugs = fs::read_dir(&self.projects).ok()?.flatten().take(SLUGS_MAX);
        slugs
            .filter_map(|slug| {
                let path = slug.path().join(&self.name);
                let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
                Some((metadata.modified().ok(), path))
            })
            .max()
            .map(|(_, path)| path)
    }
}

/// Nobody is about to make a file in what was changed then, nor does the clock date two changes alike.
fn is_settled(changed: SystemTime) -> bool {
    changed.elapsed().is_ok_and(|age| age > SLUG_SETTLES)
}

/// `None` when there is no such file.
fn written_at(path: &Path) -> io::Result<Option<SystemTime>> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.modified().map(Some),
        Ok(_) => Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

/// The client's rule, which counts UTF-16 units.
fn slug(cwd: &Path) -> String {
    let mut slug = String::new();
    for c in cwd.to_string_lossy().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else {
            slug.extend(std::iter::repeat_n('-', c.len_utf16()));
        }
    }
    slug.truncate(SLUG_CHARS_MAX);
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_the_directory_with_everything_else_replaced() {
        for (cwd, expected) in [
            ("/srv/work", "-srv-work"),
            ("/srv/a.b_c d", "-srv-a-b-c-d"),
            ("/é/😀", "-----"),
            ("/", "-"),
        ] {
            assert_eq!(slug(Path::new(cwd)), expected);
        }
        assert_eq!(slug(Path::new(&"/long".repeat(100))).len(), 200);
    }
}
