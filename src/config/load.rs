//! From a file to a checked [`Config`], or to everything that is wrong with it.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::raw::{FILE_BYTES_MAX, KeyPath, RawConfig};
use crate::config::rules;
use crate::config::section::{Findings, read_section};
use crate::config::sections::read_draft;

/// Where the daemon looks when nobody names a file.
pub const DEFAULT_PATH: &str = "/etc/claude-failover/config.yaml";

/// What the file's text is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// What `~` stands for. Absolute.
    pub home: Option<PathBuf>,
}

impl Base {
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: Some(home.into()) }
    }

    /// `HOME`, or the home directory of the user in the password database.
    pub fn from_environment() -> Self {
        Self { home: std::env::home_dir().filter(|home| home.is_absolute()) }
    }
}

/// A good configuration and what its operator should still know.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// One line each: `line 3: quota.poll_interval: …`.
    pub warnings: Vec<String>,
    /// Every key that this version reads in the sections and items of this file, `accounts[].name`.
    pub keys: Vec<String>,
}

/// One thing that keeps a configuration from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, `pool.dedicated[1].name`; empty when the file as a whole is meant.
    pub path: String,
    /// From 1; `None` when no line holds the problem.
    pub line: Option<usize>,
    pub message: String,
}

impl Problem {
    /// `file:line: path: message`, as compilers and editors write it.
    pub fn in_file(&self, file: &Path) -> String {
        let line = self.line.map_or(String::new(), |line| format!("{line}:"));
        format!("{}:{line} {}", file.display(), self.without_line())
    }

    fn without_line(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.without_line())
    }
}

/// A file that gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("reading the configuration {}: {source}: {}", path.display(), remedy(source))]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// One line for each problem.
    #[error("{}", lines(path, problems))]
    Invalid { path: PathBuf, problems: Vec<Problem> },
}

/// Reads and checks a file; `~` is the home directory of the environment.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    load_with(path, &Base::from_environment())
}

pub fn load_with(path: &Path, base: &Base) -> Result<Loaded, ConfigError> {
    let text = read_text(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text, base).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

/// Pure: no file, no environment.
pub fn parse(text: &str, base: &Base) -> Result<Loaded, Vec<Problem>> {
    let raw = RawConfig::parse(text).map_err(|malformed| {
        vec![Problem { path: String::new(), line: malformed.line, message: malformed.message }]
    })?;
    let mut findings = Findings::new(&raw, base);
    for duplicate in raw.duplicates() {
        findings.problem(&duplicate, "this key is given twice here: remove one of them");
    }
    let root = KeyPath::default();
    let draft = read_section(&mut findings, root, &raw.root, read_draft);
    rules::check(&draft, &mut findings);
    findings.problems.sort_by_key(by_line);
    if !findings.problems.is_empty() {
        return Err(findings.problems);
    }
    findings.warnings.sort_by_key(by_line);
    let warnings = findings.warnings.iter().map(Problem::to_string);
    Ok(Loaded {
        config: draft.into_config(),
        warnings: warnings.collect(),
        keys: findings.keys.into_iter().collect(),
    })
}

fn by_line(problem: &Problem) -> usize {
    problem.line.unwrap_or(usize::MAX)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than is allowed, so that the parser sees a file that is too long as such.
    let limit = FILE_BYTES_MAX as u64 + 1;
    // Not blocking, so that a pipe in its place cannot hold up a reload.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_dir() {
        return Err(rustix::io::Errno::ISDIR.into());
    }
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no ordinary file"));
    }
    file.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "write it after etc/config.example.yaml, or name another file",
        ErrorKind::PermissionDenied => "make it readable for the daemon's user",
        ErrorKind::InvalidData => "it must be text in UTF-8",
        ErrorKind::IsADirectory => "name the file in it",
        _ => "name another file",
    }
}

fn lines(path: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| problem.in_file(path)).collect();
    lines.join("\n")
}
