//! `<runtime_dir>/agent-settings.json`: what every agent of ours is launched with (`--settings`).
//!
//! None may wake on an account that it left, and each tells us what it does: the client adds these
//! hooks to the operator's own, whose files are never written. A hook whose name the installed
//! client does not know would stop it at a dialog, so the client is asked for its version.
//! Agents of the pool get `agent-settings-guarded.json` when `agent.guard` is on: the same, and a
//! hook that may refuse what a tool is about to do. The file is there with the guard off, too: a
//! reload that turns it on may launch an agent before anybody has had the time to write it.

pub mod client_version;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agent_settings::client_version::{Asked, ClientVersion, Version};
use crate::config::{AGENT_SETTINGS, Config, GUARDED_AGENT_SETTINGS};
use crate::files;

/// Every client from 1.0.128 on knows these.
const HOOKS: [&str; 5] = ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd", "Notification"];
/// Hooks that came later, each with its first client.
const LATER_HOOKS: [(&str, Version); 1] = [("StopFailure", Version(2, 1, 78))];
/// The latest client that all this was tried with.
pub const TRIED: Version = Version(2, 1, 330);
/// The client ends a hook that takes longer. Ours takes a hundredth of it.
const HOOK_TIMEOUT_S: u32 = 5;
/// A hook that is ended refuses nothing, so the guard gets far more than it takes (some
/// milliseconds): a machine may be busy.
const GUARD_TIMEOUT_S: u32 = 60;

/// The one writer of the files.
#[derive(Debug)]
pub struct AgentSettings {
    launcher: PathBuf,
    asked: Asked,
}

pub fn path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(AGENT_SETTINGS)
}

pub fn guarded_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(GUARDED_AGENT_SETTINGS)
}

/// Whether every file that agents are launched with is there.
pub fn are_there(config: &Config) -> bool {
    let runtime_dir = &config.runtime_dir;
    path(runtime_dir).exists() && guarded_path(runtime_dir).exists()
}

impl AgentSettings {
    /// `launcher` is our own binary, found when we were started: an upgrade puts another one there.
    pub fn new(launcher: PathBuf) -> Self {
        Self { launcher, asked: Asked::default() }
    }

    /// Writes the files that are not what they should be now. `program` is the agent's; it is run
    /// if it is not the one of the last time, for [`client_version::TIMEOUT`] at most.
    pub fn refresh(&mut self, config: &Config, program: &Path) -> Result<(), String> {
        let client = self.asked.version(config, program);
        let settings = settings(&self.launcher, config, client);
        write(&path(&config.runtime_dir), &settings, client)?;
        match guarded(settings, &self.launcher, config) {
            Ok(guarded) => write(&guarded_path(&config.runtime_dir), &guarded, client),
            // Nobody is given it.
            Err(_) if !config.agent.guard => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next time the client is asked again, whatever its program looks like.
    pub fn forget_client(&mut self) {
        self.asked.forget();
    }
}

/// The hooks that a client of this version does not know, and so is not given.
pub fn missing_hooks(version: Version) -> Vec<&'static str> {
    let later = LATER_HOOKS.into_iter().filter(|(_, since)| version < *since);
    later.map(|(name, _)| name).collect()
}

fn write(path: &Path, settings: &Value, client: ClientVersion) -> Result<(), String> {
    let text = printed(settings);
    if is_file_of(path, text.as_bytes()) {
        return Ok(());
    }
    files::write_atomic(path, text.as_bytes(), 0o600).map_err(|error| error.to_string())?;
    log::info!("settings of agents written for the client {client}: {}", path.display());
    Ok(())
}

/// The whole file of agents without the guard.
pub fn text(launcher: &Path, config: &Config, client: ClientVersion) -> String {
    printed(&settings(launcher, config, client))
}

/// The whole file of agents with the guard.
///
/// # Errors
/// A path that the guard needs is not UTF-8, which JSON cannot hold: no agent may start unguarded.
pub fn guarded_text(
    launcher: &Path,
    config: &Config,
    client: ClientVersion,
) -> Result<String, String> {
    Ok(printed(&guarded(settings(launcher, config, client), launcher, config)?))
}

fn printed(settings: &Value) -> String {
    format!("{settings:#}\n")
}

fn settings(launcher: &Path, config: &Config, client: ClientVersion) -> Value {
    let mut settings = json!({"autoContinueAtUsageLimit": false});
    match (launcher.to_str(), config.runtime_dir.to_str()) {
        (Some(launcher), Some(runtime_dir)) => {
            let hook = format!("{} hook --runtime-dir {}", quoted(launcher), quoted(runtime_dir));
            settings["hooks"] = hooks(&hook, client);
            if config.quota.statusline {
                let command = format!("{hook} --status-line");
                settings["statusLine"] = json!({"type": "command", "command": command});
            }
        }
        // JSON has no bytes. Transcripts and screens still tell.
        _ => log::warn!("the agents get no hooks: our path or runtime_dir is not UTF-8"),
    }
    settings
}

/// Adds the guard. Every client since 1.0.38 asks it before each tool, in every permission mode.
fn guarded(mut settings: Value, launcher: &Path, config: &Config) -> Result<Value, String> {
    let word = |path: &Path| match path.to_str() {
        Some(path) => Ok(quoted(path)),
        None => Err(format!("agent.guard: {} is not UTF-8: choose another path", path.display())),
    };
    let mut command = format!("{} guard", word(launcher)?);
    let shared = &config.pool.shared.projects;
    let homes = config.accounts.iter().map(|account| &account.home);
    for dir in homes.chain([&config.link, shared, &config.runtime_dir, &config.state_dir]) {
        command.push_str(&format!(" --closed {}", word(dir)?));
    }
    // Where an agent says that its task is done, and what it keeps in mind.
    for dir in [&config.watcher.done_signal_dir, &shared.join("*/memory")] {
        command.push_str(&format!(" --open {}", word(dir)?));
    }
    if let Some(rules) = &config.agent.guard_rules {
        command.push_str(&format!(" --rules {}", word(rules)?));
    }
    // Whatever else ends it, a crash or a binary that is gone, refuses like itself.
    command.push_str(" || exit 2");
    settings["hooks"]["PreToolUse"] = json!([{"matcher": "*", "hooks": [
        {"type": "command", "command": command, "timeout": GUARD_TIMEOUT_S}
    ]}]);
    Ok(settings)
}

fn hooks(command: &str, client: ClientVersion) -> Value {
    let later = LATER_HOOKS.into_iter().filter(|(_, since)| match client {
        ClientVersion::Known(version) => version >= *since,
        ClientVersion::Unknown => false,
    });
    let hook = json!([{"hooks": [
        {"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S}
    ]}]);
    let names = HOOKS.into_iter().chain(later.map(|(name, _)| name));
    names.map(|name| (name.to_owned(), hook.clone())).collect()
}

/// `text` as one word of a shell's command line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether the file is there with these bytes, and for us alone.
fn is_file_of(path: &Path, bytes: &[u8]) -> bool {
    use std::os::unix::fs::MetadataExt;
    let look = || -> io::Result<bool> {
        let found = fs_err::symlink_metadata(path)?;
        let plain = found.is_file() && found.mode() & 0o7777 == 0o600;
        Ok(plain && found.len() == bytes.len() as u64 && fs_err::read(path)? == bytes)
    };
    look().unwrap_or(false)
}
