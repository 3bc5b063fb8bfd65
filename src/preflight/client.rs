//! Dialogs of Claude Code that would stand in front of an agent: first start, folder trust,
//! bypass mode. Read from the client's own files, which are never written here.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::{Account, Config};
use crate::shell_word::shell_word;

/// Clients of long standing keep some MiB of history in theirs.
const STATE_BYTES_MAX: u64 = 32 << 20;
const BYPASS_ARGUMENT: &str = "--dangerously-skip-permissions";

/// `<home>/.claude.json`, as far as dialogs depend on it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientState {
    has_completed_onboarding: bool,
    bypass_permissions_mode_accepted: bool,
    projects: BTreeMap<PathBuf, Folder>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Folder {
    has_trust_dialog_accepted: bool,
}

/// `<home>/settings.json`: where newer clients keep the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientSettings {
    skip_dangerous_mode_permission_prompt: bool,
}

/// One warning for each home and directory that would meet a dialog, with the command to run.
pub fn open_dialogs(config: &Config) -> Vec<String> {
    let mut directories: Vec<&Path> = Vec::new();
    let projects = config.pool.dedicated.iter().map(|session| &session.project);
    let workdir = config.pool.autonomous.iter().map(|pool| &pool.workdir);
    for directory in workdir.chain(projects) {
        if directory.is_dir() && !directories.contains(&directory.as_path()) {
            directories.push(directory);
        }
    }
    let homes = config.accounts.iter().filter(|account| account.home.is_dir());
    homes.flat_map(|account| open_dialogs_of(config, account, &directories)).collect()
}

fn open_dialogs_of(config: &Config, account: &Account, directories: &[&Path]) -> Vec<String> {
    let state: ClientState = match read_json(&account.home.join(".claude.json")) {
        Ok(state) => state,
        Err(why) => {
            return vec![format!("account {}: {why}: its dialogs are unknown", account.name)];
        }
    };
    let settings: ClientSettings =
        read_json(&account.home.join("settings.json")).unwrap_or_default();
    let mut open = Vec::new();
    if !state.has_completed_onboarding {
        open.push("the first start is not done".to_owned());
    }
    let bypass_is_accepted =
        state.bypass_permissions_mode_accepted || settings.skip_dangerous_mode_permission_prompt;
    let is_bypassing = config.agent.command.iter().any(|word| word == BYPASS_ARGUMENT);
    if is_bypassing && !bypass_is_accepted {
        open.push("bypass mode is not accepted".to_owned());
    }
    let mut warnings = Vec::new();
    for directory in directories {
        if !is_trusted(&state, directory) {
            open.push(format!("{} is not trusted", directory.display()));
        }
        // What holds for the whole home is answered by the first command.
        if !open.is_empty() {
            warnings.push(format!(
                "account {}: {}: run once: {}",
                account.name,
                open.join(", "),
                first_run(config, account, directory)
            ));
            open.clear();
        }
    }
    warnings
}

fn first_run(config: &Config, account: &Account, directory: &Path) -> String {
    let agent: Vec<String> = config.agent.command.iter().map(shell_word).collect();
    format!(
        "cd {} && CLAUDE_CONFIG_DIR={} {}",
        shell_word(directory),
        shell_word(&account.home),
        agent.join(" ")
    )
}

/// Trust in a directory covers all below it. The client looks at real paths.
fn is_trusted(state: &ClientState, directory: &Path) -> bool {
    let real = directory.canonicalize().unwrap_or_default();
    let written = directory.ancestors();
    written.chain(real.ancestors()).any(|folder| {
        let folder = state.projects.get(folder);
        folder.is_some_and(|folder| folder.has_trust_dialog_accepted)
    })
}

/// A file that is not there is a client that was never started: the default.
fn read_json<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, String> {
    // Opening a pipe would wait for its writer.
    match fs_err::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) if !metadata.is_file() => {
            return Err(format!("{} is not a file", path.display()));
        }
        Ok(metadata) if metadata.len() > STATE_BYTES_MAX => {
            return Err(format!("{} has more than {STATE_BYTES_MAX} bytes", path.display()));
        }
        Ok(_) => {}
    }
    let mut text = Vec::new();
    fs_err::File::open(path)
        .and_then(|file| file.take(STATE_BYTES_MAX).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}
