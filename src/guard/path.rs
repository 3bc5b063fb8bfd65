//! Paths as far as they are known: made absolute, `.` and `..` taken out, what they may become.

use crate::guard::text::{SOME, STAR, UNKNOWN, has_hole, is_glob, is_hole};

/// One reading of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Absolute and without `.`, `..` and `//`.
    pub path: String,
    /// It is so only if something unknown is empty or the home directory: a reason to refuse what
    /// nobody could want, and no other.
    pub is_guess: bool,
}

/// What `word` may name. Nothing, when all of it is unknown.
pub fn readings(word: &str, cwd: &str, home: &str) -> Vec<Reading> {
    let path = if word.starts_with('/') || word.starts_with(is_open) {
        word.to_owned()
    } else {
        format!("{cwd}/{word}")
    };
    if !path.contains(is_open) {
        return vec![Reading { path: normal(&path), is_guess: false }];
    }
    let mut readings = Vec::new();
    let mut guess = |path: String| {
        if path.starts_with('/') {
            readings.push(Reading { path: normal(&path), is_guess: true });
        }
    };
    guess(path.replace(is_open, ""));
    if path.starts_with(is_open) {
        let rest = path.trim_start_matches(is_open);
        if rest.starts_with('/') {
            guess(format!("{home}{rest}").replace(is_open, ""));
        }
    } else {
        let named = path.replace(is_open, &SOME.to_string());
        readings.push(Reading { path: normal(&named), is_guess: false });
    }
    readings
}

/// Unknown, and possibly empty or more than a name.
fn is_open(c: char) -> bool {
    is_hole(c) && c != SOME
}

/// Without `.`, `..`, `//` and a slash at the end; `/` for the root.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `dir` and all of its names: `*`, `.*`, `[!.]*`. The directory that is meant.
pub fn emptied(path: &str) -> Option<&str> {
    let (dir, last) = path.rsplit_once('/')?;
    let all = last.contains(STAR) && last.chars().all(|c| is_glob(c) || c == '.');
    all.then_some(if dir.is_empty() { "/" } else { dir })
}

/// Whether `path` lies in `dir`, and is not `dir` itself.
pub fn is_below(path: &str, dir: &str) -> bool {
    match dir {
        "/" => path.len() > 1 && path.starts_with('/'),
        dir => path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')),
    }
}

pub fn is_at_or_below(path: &str, dir: &str) -> bool {
    path == dir || is_below(path, dir)
}

/// Whether the disk can be asked about it.
pub fn is_exact(path: &str) -> bool {
    !has_hole(path) && !path.contains(is_glob)
}

pub fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// A directory that nobody knows.
pub fn nowhere() -> String {
    UNKNOWN.to_string()
}
