//! `claude-failover launch`: an agent, then a login shell, in one pane that outlives both.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::clock::instant;
use crate::launch::LaunchSpec;
use crate::launch::agent::{self, Ended, Terminal};
use crate::launch::pane;
use crate::process::environment::is_credential;
use crate::process::shell::{FALLBACK_SHELL, login_shell};

/// A client that ends sooner has not painted a screen of its own (2.1.330 needs 0.5 s, and says
/// `No conversation found …` before).
const SCREEN_UP: Duration = Duration::from_secs(2);

/// Starts what the spec says, waits for its end, and becomes a login shell in its directory.
///
/// Returns only when the pane was closed (how the agent ended), or when no shell can be started.
/// An agent that cannot be started is told in the pane, and leaves the shell all the same.
pub fn run(spec_path: &Path) -> anyhow::Result<Ended> {
    let mut signals = agent::watch_signals().context("cannot watch signals")?;
    let saved = pane::save();
    let spec = match LaunchSpec::read(spec_path) {
        Ok(spec) => spec,
        Err(error) => {
            pane::say(&format!("claude-failover: cannot start an agent: {error}"));
            return Err(become_shell(None));
        }
    };
    for name in spec.env.keys().filter(|name| is_credential(name)) {
        pane::say(&format!(
            "claude-failover: {name} is not passed to agents: remove it from agent.env"
        ));
    }
    let started = instant();
    match agent::start(&spec) {
        Ok(child) => {
            let (ended, terminal) = agent::wait_for(child, &mut signals)
                .with_context(|| format!("cannot wait for process {child}"))?;
            if terminal == Terminal::HungUp {
                return Ok(ended);
            }
            pane::restore(&saved);
            let refused_to_start = matches!(ended, Ended::Exit(code) if code != 0);
            if !refused_to_start || started.elapsed() >= SCREEN_UP {
                pane::go_below();
            }
            pane::say(&format!("{} ended ({ended})", name_of(&spec)));
        }
        Err(error) => pane::say(&format!("claude-failover: {error:#}")),
    }
    Err(become_shell(Some(&spec.cwd)))
}

/// Becomes the user's login shell, in `cwd` where that exists. Returns only on failure.
///
/// It has our own environment, as the pane's first shell had it, and no agent's configuration.
#[expect(clippy::disallowed_methods, reason = "the owner of the shell after an agent")]
fn become_shell(cwd: Option<&Path>) -> anyhow::Error {
    let home = env::var_os("HOME").map(PathBuf::from);
    let dir =
        cwd.into_iter().chain(home.as_deref()).find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let shell = login_shell();
    let mut error = anyhow::anyhow!("cannot start a shell");
    for shell in [shell.as_path(), Path::new(FALLBACK_SHELL)] {
        let name = shell.file_name().unwrap_or_default().to_string_lossy();
        let failed = Command::new(shell)
            .arg0(format!("-{name}"))
            .env_remove("CLAUDE_CONFIG_DIR")
            .current_dir(dir)
            .exec();
        error = error.context(format!("{} in {}: {failed}", shell.display(), dir.display()));
    }
    error
}

fn name_of(spec: &LaunchSpec) -> String {
    let program = spec.argv.first().map(Path::new);
    let name = program.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}
