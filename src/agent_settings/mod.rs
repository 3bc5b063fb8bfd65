//! `<runtime_dir>/agent-settings.json`: what every agent of ours is launched with (`--settings`).
//!
//! None may wake on an account that it left, and each tells us what it does: the client adds these
//! hooks to the operator's own, whose files are never written. A hook whose name the installed
//! client does not know would stop it at a dialog, so the client is asked for its version.

pub mod client_version;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agent_settings::client_version::{Asked, ClientVersion, Version};
use crate::config::Config;
use crate::files;

/// Every client from 1.0.128 on knows these.
const HOOKS: [&str; 5] = ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd", "Notification"];
/// Hooks that came later, each with its first client.
const LATER_HOOKS: [(&str, Version); 1] = [("StopFailure", Version(2, 1, 78))];
/// The latest client that all this was tried with.
pub const TRIED: Version = Version(2, 1, 330);
/// The client ends a hook that takes longer. Ours takes a hundredth of it.
const HOOK_TIMEOUT_S: u32 = 5;

/// The one writer of the file.
#[derive(Debug)]
pub struct AgentSettings {
    launcher: PathBuf,
    asked: Asked,
}

pub fn path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("agent-settings.json")
}

impl AgentSettings {
    /// `launcher` is our own binary, found when we were started: an upgrade puts another one there.
    pub fn new(launcher: PathBuf) -> Self {
        Self { launcher, asked: Asked::default() }
    }

    /// Writes the file if it is not what it should be now. `program` is the agent's; it is run if
    /// it is not the one of the last time, for [`client_version::TIMEOUT`] at most.
    pub fn refresh(&mut self, config: &Config, program: &Path) -> Result<(), String> {
        let client = self.asked.version(config, program);
        let text = text(&self.launcher, config, client);
        let path = path(&config.runtime_dir);
        if is_file_of(&path, text.as_bytes()) {
            return Ok(());
        }
        files::write_atomic(&path, text.as_bytes(), 0o600).map_err(|error| error.to_string())?;
        log::info!("settings of agents written for the client {client}: {}", path.display());
        Ok(())
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

/// The whole file.
pub fn text(launcher: &Path, config: &Config, client: ClientVersion) -> String {
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
    format!("{settings:#}\n")
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
