//! The question: which program with which arguments, environment and directory, and its bounds.
//!
//! Measured with 2.1.330, 2.1.250 and 2.0.70 (2.0.50 does not know `--no-session-persistence`, and an
//! unknown option ends the client with status 1 before it asks anybody):
//!
//! * 0.4 s beside the model (2.0.70: 1.1 s). No dialog: neither folder trust nor onboarding is asked.
//! * Without more, hooks of the settings run (SessionStart, UserPromptSubmit, Stop, SessionEnd), the
//!   account's connectors are fetched, CLAUDE.md is sent, and a conversation file and a directory
//!   `memory` appear in the shared projects. With what is below nothing of it. Safe mode still takes
//!   `env` from the settings, where a proxy may stand, and the account's own login.
//! * A refusal, a dead login or an error ends it with status 1 and a result on standard output. 5xx
//!   and throttles are retried for 180 s, dropped connections too; with two retries it ends after
//!   2 to 3 s. A login that has to be refreshed takes one of them and is written anew; one that the
//!   server takes back is wiped by the client, as an agent's would be.
//! * An API that never answers holds it for longer than 220 s. SIGTERM ends it within 0.1 s and it
//!   takes `sessions/<pid>.json` and its socket away; SIGKILL leaves them.
//!
//! What stays are the client's own notes in the home, as any start of it leaves them: counters in
//! `.claude.json` (no entry for our directory), `backups/`, `plugins/store/` (2.0.70: `todos/`, `debug/`).

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::agent_settings::client_version::{Asked, ClientVersion, Version};
use crate::config::{Account, Config};
use crate::files;
use crate::process::environment::{Variables, of_agent};
use crate::process::run::{Call, Environment, Output, RunError, run_while};
use crate::process::shell::resolve_program;

/// Far above what an answer of the small model takes, and two retries with it. An API that takes
/// longer is of no use to agents now.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The client needs 0.1 s to tidy up.
pub const STOP_GRACE: Duration = Duration::from_secs(2);
/// The first client that was seen to know all the arguments. Older ones would leave a conversation.
pub const CLIENT_MIN: Version = Version(2, 0, 70);

/// The small model costs least: 226 tokens for a question with 2.1.250, 483 with 2.1.330.
const ARGUMENTS: [&str; 16] = [
    "--print",
    "--output-format",
    "json",
    // All messages: only the record of an error names it.
    "--verbose",
    "--model",
    "haiku",
    "--max-turns",
    "1",
    "--tools",
    "",
    "--strict-mcp-config",
    "--no-session-persistence",
    // For clients without safe mode.
    "--settings",
    r#"{"disableAllHooks":true}"#,
    "--system-prompt=Answer with one word.",
    "Ready?",
];

/// Variables, not options: a client that does not know one passes it over.
const VARIABLES: [(&str, &str); 3] = [
    ("CLAUDE_CODE_SAFE_MODE", "1"),
    ("CLAUDE_CODE_MAX_RETRIES", "2"),
    // Whether the client changes is no matter of a question.
    ("DISABLE_AUTOUPDATER", "1"),
];

/// It is in no pane, and must not wait until an overload has passed, as agents may be told to.
const UNFIT: [&str; 3] = ["TMUX", "TMUX_PANE", "CLAUDE_CODE_RETRY_WATCHDOG"];

/// One question to one account, ready to be asked.
#[derive(Debug)]
pub struct Question {
    program: PathBuf,
    environment: Variables,
    /// Empty and ours: no project's settings or instructions are found in it.
    cwd: PathBuf,
}

impl Question {
    /// The error says what stands in the way and what would help.
    pub fn new(config: &Config, account: &Account, asked: &mut Asked) -> Result<Self, String> {
        let home = &account.home;
        if !home.is_dir() {
            let (name, home) = (&account.name, home.display());
            return Err(format!(
                "account {name} has no home: {home} is no directory; log in once with \
                 CLAUDE_CONFIG_DIR={home}"
            ));
        }
        let environment = environment(config, account);
        // The first word alone, as when an agent is resumed: the options after it say how agents
        // work, and some would start servers or open a worktree.
        let name = config.agent.command.first().ok_or("agent.command is empty")?;
        let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let program = resolve_program(name, path.unwrap_or_default())
            .map_err(|error| format!("agent.command: {error}"))?;
        match asked.version(config, &program) {
            ClientVersion::Known(version) if version >= CLIENT_MIN => {}
            version => {
                return Err(format!(
                    "the client {} ({version}) is not asked, for it may leave a conversation \
                     behind: {} or later is needed",
                    program.display(),
                    ClientVersion::Known(CLIENT_MIN)
                ));
            }
        }
        let cwd = config.runtime_dir.join("probe");
        files::make_private_dir(&cwd).map_err(|error| error.to_string())?;
        Ok(Self { program, environment, cwd })
    }

    pub fn ask(
        &self,
        timeout: Duration,
        is_wanted: &mut dyn FnMut() -> bool,
    ) -> Result<Output, RunError> {
        let call = Call {
            program: self.program.as_os_str(),
            args: &ARGUMENTS.map(OsStr::new),
            environment: Environment::Exactly(&self.environment),
            cwd: Some(&self.cwd),
            timeout,
            stop_grace: STOP_GRACE,
        };
        run_while(&call, is_wanted)
    }
}

fn environment(config: &Config, account: &Account) -> Variables {
    let mut variables = of_agent(&config.agent.env);
    variables.retain(|name, _| !UNFIT.iter().any(|unfit| name == unfit));
    for (name, value) in VARIABLES {
        variables.insert(name.into(), value.into());
    }
    variables.insert("CLAUDE_CONFIG_DIR".into(), account.home.clone().into());
    variables
}
