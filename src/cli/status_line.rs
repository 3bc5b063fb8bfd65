//! The operator's own status line, which ours must not hide.
//!
//! It is found where the client would find it, run as the client would run it, and what it prints
//! is what the client shows. Nothing of theirs is written.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files;
use crate::process::exec;

/// Set for the operator's own command: it may be, or run, this verb.
const INSIDE: &str = "CLAUDE_FAILOVER_STATUS_LINE";
const SETTINGS_BYTES_MAX: u64 = 4 << 20;

#[derive(Deserialize)]
struct Input {
    workspace: Option<Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    project_dir: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    status_line: Option<StatusLine>,
}

#[derive(Deserialize)]
struct StatusLine {
    r#type: Option<String>,
    command: Option<String>,
}

/// Runs it in our place, with the client's JSON on its input. Comes back when there is none.
pub fn become_the_operators_own(input: &[u8]) {
    if env::var_os(INSIDE).is_some() {
        return;
    }
    let Some(command) = places(input).iter().find_map(|settings| command_in(settings)) else {
        return;
    };
    // There is nobody to say it to if this fails.
    let _ = exec::shell(&command, input, (INSIDE, "1"));
}

/// The settings that may name one, in the client's order; those of `--settings`, which are ours,
/// go before them all.
fn places(input: &[u8]) -> Vec<PathBuf> {
    let workspace = serde_json::from_slice::<Input>(input).ok().and_then(|input| input.workspace);
    let project = workspace.and_then(|workspace| workspace.project_dir);
    let home = env::var_os("CLAUDE_CONFIG_DIR")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".claude")));
    let of_project = project.iter().flat_map(|project| {
        ["settings.local.json", "settings.json"].map(|name| project.join(".claude").join(name))
    });
    of_project.chain(home.map(|home| home.join("settings.json"))).collect()
}

fn command_in(settings: &Path) -> Option<String> {
    let mut text = Vec::new();
    let (file, _) = files::open_plain(settings).ok()?;
    file.take(SETTINGS_BYTES_MAX).read_to_end(&mut text).ok()?;
    let status_line = serde_json::from_slice::<Settings>(&text).ok()?.status_line?;
    status_line.command.filter(|_| status_line.r#type.as_deref() == Some("command"))
}
