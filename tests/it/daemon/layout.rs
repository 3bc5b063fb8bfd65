//! The operator's directories and configuration as a test finds them: homes, link, shared
//! directories, work directories, the scripted agent.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What a test wants to differ. The default: accounts a and b, one dedicated session, two of the
/// pool.
pub struct Layout {
    /// Named a, b, c …, in the order of their priority.
    pub accounts: usize,
    pub dedicated: Vec<Dedicated>,
    pub pool: u32,
    pub stop_grace: &'static str,
    pub busy_grace: &'static str,
    pub verify_timeout: &'static str,
    /// How long an account is left alone whose refusal names no reset.
    pub unknown_reset: &'static str,
    /// Tasks of one project at the same time.
    pub per_project: u32,
    pub cooldown: &'static str,
    pub swaps_per_hour: u32,
    /// Whether the agents run the hooks that they are told to.
    pub hooks: bool,
    /// Further lines of the configuration.
    pub more: String,
}

pub struct Dedicated {
    pub name: &'static str,
    pub resume_after_loss: bool,
}

pub const DEDICATED: &str = "ccl-1-alpha";

/// The sessions of the pool, from the first.
pub fn pool(number: u32) -> String {
    format!("ccl-auto-{}", 10 + number)
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            accounts: 2,
            dedicated: vec![Dedicated { name: DEDICATED, resume_after_loss: true }],
            pool: 2,
            stop_grace: "1s",
            busy_grace: "10m",
            verify_timeout: "15s",
            unknown_reset: "30m",
            per_project: 1,
            cooldown: "100ms",
            swaps_per_hour: 12,
            hooks: false,
            more: String::new(),
        }
    }
}

impl Layout {
    pub fn account_names(&self) -> Vec<String> {
        let letters = ('a'..='z').take(self.accounts);
        letters.map(String::from).collect()
    }

    pub fn sessions(&self) -> Vec<String> {
        let dedicated = self.dedicated.iter().map(|session| session.name.to_owned());
        dedicated.chain((1..=self.pool).map(pool)).collect()
    }

    /// Makes everything below `root`; the configuration is `root/config.yaml`.
    pub fn furnish(&self, root: &Path, port: u16) {
        for dir in ["user", "srv/pool", "bin", "tmux", "default-tmux"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for session in &self.dedicated {
            fs::create_dir_all(project(root, session.name)).unwrap();
        }
        for name in self.account_names() {
            furnish_home(root, &name);
        }
        symlink(home(root, "a"), root.join("user/.claude")).unwrap();
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/demo/agent");
        fs::copy(agent, root.join("bin/claude")).unwrap();
        fs::set_permissions(root.join("bin/claude"), Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("config.yaml"), self.config(root, port)).unwrap();
    }

    fn config(&self, root: &Path, port: u16) -> String {
        let root = root.display();
        let accounts: String = (1..)
            .zip(self.account_names())
            .map(|(priority, name)| {
                format!(
                    "  - {{name: {name}, home: {root}/user/.claude-{name}, priority: {priority}}}\n"
                )
            })
            .collect();
        let dedicated: String = self
            .dedicated
            .iter()
            .map(|Dedicated { name, resume_after_loss }| {
                format!(
                    "    - {{name: {name}, project: {root}/srv/{name}, \
                     resume_after_loss: {resume_after_loss}}}\n"
                )
            })
            .collect();
        let Self { pool, stop_grace, busy_grace, verify_timeout, unknown_reset, .. } = self;
        let Self { per_project, cooldown, swaps_per_hour, .. } = self;
        let more = &self.more;
        let hooks = if self.hooks { ", DEMO_AGENT_HOOKS: \"1\"" } else { "" };
        format!(
            r#"link: {root}/user/.claude
accounts:
{accounts}pool:
  shared_projects_dir: {root}/user/.claude-projects-shared
  dedicated:
{dedicated}  autonomous: {{prefix: ccl-auto-, start_index: 11, min: {pool}, max: {pool}, workdir: {root}/srv/pool}}
agent: {{command: [{root}/bin/claude, --dangerously-skip-permissions], env: {{IS_SANDBOX: "1", DEMO_AGENT_LOG: "{root}/agents.log"{hooks}}}}}
tmux: {{socket: {root}/tmux/tmux.sock, start_server: true}}
lifecycle: {{interval: 500ms}}
watcher: {{interval: 300ms}}
quota: {{poll_interval: 200ms, reactivate_cooldown: 0s, unknown_reset: {unknown_reset}}}
swap: {{stop_grace: {stop_grace}, busy_grace: {busy_grace}, verify_timeout: {verify_timeout}, max_per_hour: {swaps_per_hour}}}
dispatcher: {{projects_dir: {root}/srv, per_project: {per_project}, cooldown: {cooldown}}}
http: {{listen: "127.0.0.1:{port}"}}
state_dir: {root}/state
runtime_dir: {root}/run
{more}"#
        )
    }
}

pub fn home(root: &Path, account: &str) -> PathBuf {
    root.join(format!("user/.claude-{account}"))
}

pub fn project(root: &Path, session: &str) -> PathBuf {
    let name = if session.starts_with("ccl-auto-") { "pool" } else { session };
    root.join("srv").join(name)
}

/// A home as an operator leaves it: logged in, folders trusted, shared directories linked.
fn furnish_home(root: &Path, account: &str) {
    let home = home(root, account);
    fs::create_dir(&home).unwrap();
    for shared in ["projects", "session-env", "file-history"] {
        let target = root.join(format!("user/.claude-{shared}-shared"));
        fs::create_dir_all(&target).unwrap();
        symlink(&target, home.join(shared)).unwrap();
    }
    let state = serde_json::json!({
        "hasCompletedOnboarding": true,
        "bypassPermissionsModeAccepted": true,
        "projects": { root.join("srv").to_str().unwrap(): { "hasTrustDialogAccepted": true } },
    });
    fs::write(home.join(".claude.json"), state.to_string()).unwrap();
    fs::write(home.join(".credentials.json"), "{}").unwrap();
}
