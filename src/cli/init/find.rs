//! Which Claude homes a user has. Looks at names and modes alone; opens no file.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What a client leaves in a home. `settings.json` alone may be anybody's.
const MARKS: [&str; 3] = [".credentials.json", ".claude.json", "history.jsonl"];
/// Of one user.
const HOMES_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub path: PathBuf,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `~/.claude` itself, a real directory.
    Usual,
    /// Where the link `~/.claude` leads.
    Linked,
    /// Beside it, or named by the operator.
    Beside,
}

/// The one that `~/.claude` is or names first, the others by name. `named`: what the operator and
/// `CLAUDE_CONFIG_DIR` name.
///
/// # Errors
/// The user's directory, or one that was named, cannot be looked at.
pub fn homes(user_home: &Path, named: &[PathBuf]) -> io::Result<Vec<Home>> {
    let usual = user_home.join(".claude");
    let mut found = Vec::new();
    if let Ok(at) = fs_err::symlink_metadata(&usual) {
        if at.is_dir() {
            found.push(Home { path: usual.clone(), kind: Kind::Usual });
        } else if at.is_symlink() && usual.is_dir() {
            let target = user_home.join(fs_err::read_link(&usual)?);
            found.push(Home { path: target, kind: Kind::Linked });
        }
    }
    let mut beside = Vec::new();
    for entry in fs_err::read_dir(user_home)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(".claude-") && is_home(&path) {
            beside.push(path);
        }
    }
    beside.sort();
    for path in named {
        if !fs_err::metadata(path)?.is_dir() {
            return Err(io::Error::other(format!("{} is not a directory", path.display())));
        }
        beside.push(std::path::absolute(path)?);
    }
    found.extend(beside.into_iter().map(|path| Home { path, kind: Kind::Beside }));
    let mut seen = BTreeSet::new();
    found
        .retain(|home| seen.insert(home.path.canonicalize().unwrap_or_else(|_| home.path.clone())));
    found.truncate(HOMES_MAX);
    Ok(found)
}

fn is_home(path: &Path) -> bool {
    path.is_dir() && MARKS.iter().any(|mark| path.join(mark).exists())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn homes_are_told_from_what_only_has_such_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [".claude", ".claude-b", ".claude-a", ".claude-projects-shared", "own"] {
            fs_err::create_dir(at(name)).unwrap();
        }
        fs_err::write(at(".claude-a/.claude.json"), "{}").unwrap();
        fs_err::write(at(".claude-b/.credentials.json"), "").unwrap();
        symlink(at(".claude-a"), at(".claude-c")).unwrap();
        let found = |named: &[PathBuf]| {
            let homes = homes(dir.path(), named).unwrap();
            let name = |home: &Home| home.path.strip_prefix(dir.path()).unwrap().to_owned();
            homes.iter().map(|home| (name(home), home.kind)).collect::<Vec<_>>()
        };
        let beside = |name: &str| (PathBuf::from(name), Kind::Beside);
        let usual = (PathBuf::from(".claude"), Kind::Usual);
        let expected = [usual.clone(), beside(".claude-a"), beside(".claude-b")];
        assert_eq!(found(&[]), expected);
        assert_eq!(found(&[at(".claude")]), expected, "each once");
        assert_eq!(found(&[at("own")])[3], beside("own"));

        fs_err::remove_dir(at(".claude")).unwrap();
        symlink(".claude-b", at(".claude")).unwrap();
        assert_eq!(found(&[]), [(PathBuf::from(".claude-b"), Kind::Linked), beside(".claude-a")]);
        assert!(homes(dir.path(), &[at("nowhere")]).is_err());
    }
}
