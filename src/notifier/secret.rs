//! Secrets: where they come from, and that they go nowhere else.
//!
//! Read anew for each message, so that one that was replaced is used at once.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::shell_word::shell_word;

/// Longer ones are a mistake.
const SECRET_BYTES_MAX: u64 = 8 * 1024;
/// Shorter texts are replaced nowhere: they are in every other word.
const REDACTED_CHARS_MIN: usize = 4;
const REDACTED: &str = "[secret]";

/// Its text reaches a request and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The places where one secret may be, the first that is there counts.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What it is, for messages: "bot token".
    pub what: &'static str,
    /// The key of the configuration that names its file, and the file if it does.
    pub key: &'static str,
    pub file: Option<&'a Path>,
    /// Its name in `$CREDENTIALS_DIRECTORY`.
    pub credential: &'static str,
    /// Its environment variable.
    pub variable: &'static str,
}

impl Source<'_> {
    /// `None`: it is nowhere.
    ///
    /// # Errors
    /// It is there and cannot be used, with the remedy.
    pub fn find(&self) -> Result<Option<Secret>, String> {
        if let Some(file) = self.file {
            return read_file(file).map(Some);
        }
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        if let Some(file) = directory.map(|dir| dir.join(self.credential)).filter(|f| f.exists()) {
            // The service manager guards it.
            return read_guarded(&file).map(Some);
        }
        match std::env::var(self.variable) {
            Ok(text) if !text.trim().is_empty() => plain(&text)
                .map(Some)
                .map_err(|why| format!("the variable {} {why}", self.variable)),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(format!("the variable {} is no text", self.variable))
            }
        }
    }

    /// # Errors
    /// It is nowhere, or cannot be used; with the remedy.
    pub fn need(&self) -> Result<Secret, String> {
        self.find()?.ok_or_else(|| {
            format!(
                "there is no {}: name a file of mode 0600 by {}, or give the unit \
                 LoadCredential={} or the variable {}",
                self.what, self.key, self.credential, self.variable
            )
        })
    }
}

/// A file that others cannot read.
pub fn read_file(path: &Path) -> Result<Secret, String> {
    read(path, true)
}

fn read_guarded(path: &Path) -> Result<Secret, String> {
    read(path, false)
}

fn read(path: &Path, check_mode: bool) -> Result<Secret, String> {
    plain(&read_text(path, check_mode)?)
        .map_err(|why| format!("the secret in {} {why}", path.display()))
}

/// The text of a file that others cannot read.
pub fn read_lines(path: &Path) -> Result<String, String> {
    read_text(path, true)
}

fn read_text(path: &Path, check_mode: bool) -> Result<String, String> {
    let failed =
        |error: std::io::Error| format!("reading the secret in {}: {error}", path.display());
    // Not blocking, so that a pipe in its place cannot hold anything up.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(format!("{} is no ordinary file", path.display()));
    }
    if check_mode && found.mode() & 0o007 != 0 {
        return Err(format!(
            "{} holds a secret and others may read or write it: chmod 600 {}",
            path.display(),
            shell_word(path)
        ));
    }
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("{} has more than {SECRET_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

/// What can stand in a header or an address: one line of it, without the spaces around.
fn plain(text: &str) -> Result<Secret, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err("is not one line of plain characters");
    }
    Ok(Secret(text.to_owned()))
}

/// `text` without any of these, also where it is cut short or the server sent it back.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let mut secrets: Vec<&str> =
        secrets.iter().copied().filter(|secret| secret.len() >= REDACTED_CHARS_MIN).collect();
    // Whole ones before those that are parts of them.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let replace = |text: String, secret: &&str| text.replace(*secret, REDACTED);
    secrets.iter().fold(text.to_owned(), replace)
}
