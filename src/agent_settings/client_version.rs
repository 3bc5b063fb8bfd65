//! Which version of the client is installed. It updates itself, so its program is looked at
//! before it is trusted to be the same.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::files;
use crate::process::environment::{Variables, of_agent};
use crate::process::run::{Environment, run};

/// It answers within 0.2 s; the first time after a boot it is read from the disk.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// A program that gives no answer is asked so often before it has to change or be asked for by a
/// reload: the machine may only have been busy.
const ASKED_MAX: u32 = 3;
/// Ends the client's answer: `2.1.330 (Claude Code)`.
const NAME: &str = "(Claude Code)";

/// Below the runtime directory: the last answer, so that a daemon that is started again need not ask.
const REMEMBERED: &str = "client-version.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32, pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientVersion {
    Known(Version),
    /// Not Claude Code, or it did not answer: the oldest one.
    Unknown,
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Version(major, minor, patch)) => write!(f, "{major}.{minor}.{patch}"),
            Self::Unknown => f.write_str("of unknown version"),
        }
    }
}

/// The answer of the last time, and of which program it is.
#[derive(Debug, Default)]
pub struct Asked {
    last: Option<Answer>,
    /// Whether what an earlier life has left was looked at.
    recalled: bool,
}

#[derive(Debug)]
struct Answer {
    program: Identity,
    version: ClientVersion,
    times: u32,
}

/// What is left for the next life; only a known version is.
#[derive(Serialize, Deserialize)]
struct Remembered {
    program: Identity,
    version: Version,
}

/// Differs when another program is there, under the same name or behind the same links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    file: (u64, u64),
    changed: (i64, i64),
}

impl Asked {
    pub fn version(&mut self, config: &Config, program: &Path) -> ClientVersion {
        let identity = match Identity::of(program) {
            Ok(identity) => identity,
            Err(error) => {
                log::warn!("the client's version is not known: {error}");
                return ClientVersion::Unknown;
            }
        };
        if !std::mem::replace(&mut self.recalled, true) {
            self.last = recall(config);
        }
        let last = self.last.take().filter(|last| last.program == identity);
        let times = last.as_ref().map_or(0, |last| last.times);
        let version = match last {
            Some(last) if last.is_settled() => last.version,
            _ => {
                let asked = ask(config, program);
                asked.inspect(|version| remember(config, &identity, *version)).map_or_else(
                    |why| {
                        warn_once(times, &why);
                        ClientVersion::Unknown
                    },
                    ClientVersion::Known,
                )
            }
        };
        self.last = Some(Answer { program: identity, version, times: times.saturating_add(1) });
        version
    }

    /// The next time it is asked, whatever its program looks like.
    pub fn forget(&mut self) {
        *self = Self { last: None, recalled: true };
    }
}

/// The same again would tell nobody anything.
fn warn_once(times: u32, why: &str) {
    let level = if times == 0 { log::Level::Warn } else { log::Level::Debug };
    log::log!(level, "the client's version is not known, so it gets no later hooks: {why}");
}

fn recall(config: &Config) -> Option<Answer> {
    let text = fs_err::read(config.runtime_dir.join(REMEMBERED)).ok()?;
    let Remembered { program, version } = serde_json::from_slice(&text).ok()?;
    Some(Answer { program, version: ClientVersion::Known(version), times: 1 })
}

fn remember(config: &Config, program: &Identity, version: Version) {
    let remembered = Remembered { program: program.clone(), version };
    let path = config.runtime_dir.join(REMEMBERED);
    let written = serde_json::to_vec(&remembered)
        .map_err(io::Error::from)
        .and_then(|text| files::write_quick(&path, &text, 0o600));
    if let Err(error) = written {
        log::debug!("the client is asked again after a restart: {error}");
    }
}

impl Answer {
    fn is_settled(&self) -> bool {
        self.version != ClientVersion::Unknown || self.times >= ASKED_MAX
    }
}

impl Identity {
    fn of(program: &Path) -> io::Result<Self> {
        let path = fs_err::canonicalize(program)?;
        let found = fs_err::metadata(&path)?;
        Ok(Self {
            path,
            file: (found.dev(), found.ino()),
            changed: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// Asks the program itself, whatever is known of it; [`TIMEOUT`] at most.
///
/// # Errors
/// It does not run, or is no Claude Code.
pub fn ask(config: &Config, program: &Path) -> Result<Version, String> {
    let variables = environment(config);
    let args = [OsStr::new("--version")];
    let output = run(program.as_os_str(), &args, Environment::Exactly(&variables), TIMEOUT)
        .map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&output.stdout);
    let version = output.status.success().then(|| version_in(&answer)).flatten();
    version.ok_or_else(|| {
        let said: String = answer.trim().chars().take(80).collect();
        format!("{} --version: {}, {said:?}", program.display(), output.status)
    })
}

/// The environment that agents get, with a home of no account: there is nothing for it to find,
/// and nothing that it could change.
fn environment(config: &Config) -> Variables {
    let mut variables = of_agent(&config.agent.env);
    variables.retain(|name, _| name != "TMUX" && name != "TMUX_PANE");
    variables.insert("CLAUDE_CONFIG_DIR".into(), config.runtime_dir.join("no-home").into());
    variables
}

/// `2.1.330 (Claude Code)`
fn version_in(answer: &str) -> Option<Version> {
    let line = answer.lines().find(|line| line.trim_end().ends_with(NAME))?;
    let mut numbers = line.trim().strip_suffix(NAME)?.trim().split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let version = Version(next()?, next()?, next()?);
    numbers.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_own_answer_is_a_version() {
        for (answer, expected) in [
            ("2.1.330 (Claude Code)\n", Some(Version(2, 1, 330))),
            ("1.0.128 (Claude Code)", Some(Version(1, 0, 128))),
            ("a new version is there\n2.1.78 (Claude Code)\n", Some(Version(2, 1, 78))),
            ("2.1.330", None),
            ("GNU bash, version 5.2.15(1)-release", None),
            ("2.1 (Claude Code)", None),
            ("2.1.330.4 (Claude Code)", None),
            ("2.1.330-beta (Claude Code)", None),
            ("99999999999.1.1 (Claude Code)", None),
            ("(Claude Code)", None),
            ("", None),
        ] {
            assert_eq!(version_in(answer), expected, "{answer:?}");
        }
        assert!(Version(2, 1, 78) > Version(2, 1, 9) && Version(10, 0, 0) > Version(2, 9, 9));
    }
}
