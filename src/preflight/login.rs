//! Is an account logged in? Asked of the client (`claude auth status`), never of its files.
//!
//! The client writes its own state file into the home meanwhile, and may refresh a login, so nobody
//! else may live there: the caller sees to that. A client before 2.1.41 would take the words for a
//! prompt, as 2.0.70 does, and is not asked. It tells what it has stored: a login that the API
//! refuses without having expired is "logged in" until an agent has tried it.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::agent_settings::client_version::Version;
use crate::config::Config;
use crate::process::environment::{Variables, of_agent};
use crate::process::run::{Environment, run};

/// The first client that has the command.
pub const SINCE: Version = Version(2, 1, 41);
/// It answers within a second, also without a network; on a busy machine it was seen to take two.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of an answer that was not understood; the path of a home is a part of some.
const SHOWN_CHARS_MAX: usize = 160;
/// The client's own file of a login, which is looked at from outside alone.
const CREDENTIALS: &str = ".credentials.json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With the address, where the client tells one.
    In(Option<String>),
    Out,
    /// Why nobody knows.
    Unknown(String),
}

/// Which home the client is asked about.
#[derive(Debug, Clone, Copy)]
pub enum Home<'p> {
    Named(&'p Path),
    /// `~/.claude`, with the state file beside it.
    Usual,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    logged_in: bool,
    #[serde(default)]
    email: Option<String>,
}

/// Takes twice [`TIMEOUT`] at most. `version` is that of `program`.
pub fn login(config: &Config, program: &Path, version: Version, home: Home<'_>) -> Login {
    if version < SINCE {
        let (Version(a, b, c), Version(x, y, z)) = (version, SINCE);
        return Login::Unknown(format!(
            "the client {a}.{b}.{c} cannot say; {x}.{y}.{z} and later ones can"
        ));
    }
    let variables = environment(config, home);
    let ask = || {
        let args = [OsStr::new("auth"), OsStr::new("status")];
        match run(program.as_os_str(), &args, Environment::Exactly(&variables), TIMEOUT) {
            Ok(output) => read(&output.stdout, &output.stderr),
            Err(error) => Login::Unknown(error.to_string()),
        }
    };
    let before = stored(home);
    match ask() {
        // It has refreshed an expired login meanwhile. 2.1.330 then tells what was stored before,
        // also where the refresh was refused and nothing is left.
        Login::In(_) if stored(home) != before => ask(),
        said => said,
    }
}

/// Differs when another login is stored.
fn stored(home: Home<'_>) -> Option<(u64, u64, i64, i64)> {
    let found = match home {
        Home::Named(path) => fs_err::metadata(path.join(CREDENTIALS)),
        Home::Usual => fs_err::metadata(std::env::home_dir()?.join(".claude").join(CREDENTIALS)),
    };
    let found = found.ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

fn environment(config: &Config, home: Home<'_>) -> Variables {
    let mut variables = of_agent(&config.agent.env);
    variables.retain(|name, _| name != "TMUX" && name != "TMUX_PANE");
    match home {
        Home::Named(path) => variables.insert("CLAUDE_CONFIG_DIR".into(), path.into()),
        Home::Usual => variables.remove(OsStr::new("CLAUDE_CONFIG_DIR")),
    };
    variables
}

/// 2.1.50 prints `{"loggedIn": false, "authMethod": "none", "apiProvider": "firstParty"}` and exits
/// with 1; logged in, the same with `email` and others, which may be null, and 0. So does 2.1.330,
/// with more beside; with a key in place of a login it tells no `email`.
fn read(stdout: &[u8], stderr: &[u8]) -> Login {
    match serde_json::from_slice::<Answer>(stdout) {
        Ok(Answer { logged_in: true, email }) => Login::In(email),
        Ok(Answer { logged_in: false, .. }) => Login::Out,
        Err(_) => {
            let said = if stdout.trim_ascii().is_empty() { stderr } else { stdout };
            let said = String::from_utf8_lossy(said);
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            let line: String = line.trim().chars().take(SHOWN_CHARS_MAX).collect();
            Login::Unknown(format!("the answer to auth status was not understood: {line:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_answer_is_believed() {
        for (stdout, expected) in [
            (r#"{"loggedIn": true, "authMethod": "claude.ai", "email": "a@b.c"}"#, Some(true)),
            (r#"{"loggedIn": true, "email": null, "subscriptionType": "max"}"#, Some(true)),
            (r#"{"loggedIn": false, "authMethod": "none"}"#, Some(false)),
            ("error: unknown command 'auth'", None),
            ("{}", None),
            ("", None),
        ] {
            let told = match read(stdout.as_bytes(), b"") {
                Login::In(_) => Some(true),
                Login::Out => Some(false),
                Login::Unknown(_) => None,
            };
            assert_eq!(told, expected, "{stdout}");
        }
    }
}
