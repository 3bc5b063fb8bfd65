//! The temporary directory: homes, link, shared directories, scripted agent, configuration.
//! Owns the layout; starts nothing.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use tempfile::TempDir;

use crate::moment::Wall;

const AGENT: &str = include_str!("../../../etc/demo/agent");

pub const DEDICATED: &str = "demo-dedicated";
pub const POOL_PREFIX: &str = "demo-auto-";
/// Agents that are started by hand.
const POOL_BY_HAND: u32 = 3;
/// The last of them are left to tasks.
const POOL_SIZE: u32 = 5;
/// Whose queue the tasks are put into.
pub const PROJECT: &str = "shop";

/// A Unix socket's path has 108 bytes; what we append to the root stays under 40.
const ROOT_BYTES_MAX: usize = 64;

/// Names of homes, in the order of their priority.
const HOMES: [&str; 2] = ["home-a", "home-b"];

pub struct Stage {
    dir: TempDir,
    /// On 127.0.0.1; was free when the stage was built.
    pub port: u16,
}

impl Stage {
    pub fn build() -> anyhow::Result<Self> {
        let dir = temporary_directory()?;
        let port = free_port().context("looking for a free port on 127.0.0.1")?;
        let stage = Self { dir, port };
        stage.furnish()?;
        Ok(stage)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// `HOME` of the daemon and of every shell.
    pub fn user_home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub fn link(&self) -> PathBuf {
        self.user_home().join(".claude")
    }

    pub fn home_a(&self) -> PathBuf {
        self.root().join(HOMES[0])
    }

    pub fn home_b(&self) -> PathBuf {
        self.root().join(HOMES[1])
    }

    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    pub fn queue(&self) -> PathBuf {
        self.work().join(PROJECT).join(".agent-queue")
    }

    pub fn projects(&self) -> PathBuf {
        self.root().join("shared/projects")
    }

    pub fn agent(&self) -> PathBuf {
        self.root().join("bin/claude")
    }

    pub fn socket(&self) -> PathBuf {
        self.root().join("tmux.sock")
    }

    pub fn config(&self) -> PathBuf {
        self.root().join("config.yaml")
    }

    /// What the daemon writes to its standard error.
    pub fn log(&self) -> PathBuf {
        self.root().join("daemon.log")
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Those in which an agent is started by hand.
    pub fn sessions() -> Vec<String> {
        let pool = (1..=POOL_BY_HAND).map(|index| format!("{POOL_PREFIX}{index}"));
        std::iter::once(DEDICATED.to_owned()).chain(pool).collect()
    }

    /// From the next prompt on, account A answers with a five-hour limit.
    pub fn exhaust_a(&self, resets_at: Wall) -> anyhow::Result<()> {
        let order = format!("limit5h {}\n", resets_at.0.div_euclid(1000));
        Ok(fs::write(self.home_a().join(".demo-script"), order)?)
    }

    /// Leaves the directory where it is when the stage goes.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }

    fn furnish(&self) -> anyhow::Result<()> {
        for dir in ["home", "work", "bin", "shared"] {
            fs::create_dir(self.root().join(dir))?;
        }
        fs::create_dir_all(self.queue().join("inbox"))?;
        for name in HOMES {
            self.furnish_home(name)?;
        }
        symlink(self.home_a(), self.link()).context("making the link to account A")?;
        fs::write(self.agent(), AGENT)?;
        fs::set_permissions(self.agent(), std::fs::Permissions::from_mode(0o755))?;
        fs::write(self.config(), self.config_text())?;
        Ok(())
    }

    /// A home as an operator leaves it: logged in, folder trusted, shared directories linked.
    fn furnish_home(&self, name: &str) -> anyhow::Result<()> {
        let home = self.root().join(name);
        fs::create_dir(&home)?;
        for shared in ["projects", "session-env", "file-history"] {
            let target = self.root().join("shared").join(shared);
            fs::create_dir_all(&target)?;
            symlink(&target, home.join(shared)).context("linking a shared directory")?;
        }
        let state = serde_json::json!({
            "hasCompletedOnboarding": true,
            "bypassPermissionsModeAccepted": true,
            "projects": { self.work().to_string_lossy(): { "hasTrustDialogAccepted": true } },
        });
        fs::write(home.join(".claude.json"), state.to_string())?;
        let settings = r#"{"skipDangerousModePermissionPrompt": true, "tui": "default"}"#;
        fs::write(home.join("settings.json"), settings)?;
        fs::write(home.join(".credentials.json"), "{}")?;
        Ok(())
    }

    fn config_text(&self) -> String {
        let path = |name: &str| quoted(&self.root().join(name));
        // Root must say that it knows what it does; nobody else has to.
        let env = if rustix::process::geteuid().is_root() { r#"{IS_SANDBOX: "1"}"# } else { "{}" };
        format!(
            r#"# Written by `claude-failover demo`. What is not here has its default.
link: {link}
accounts:
  - {{name: a, home: {home_a}, priority: 1}}
  - {{name: b, home: {home_b}, priority: 2}}
pool:
  shared_projects_dir: {projects}
  dedicated:
    - {{name: {DEDICATED}, project: {work}}}
  autonomous: {{prefix: {POOL_PREFIX}, start_index: 1, min: {POOL_SIZE}, max: {POOL_SIZE}, workdir: {work}}}
agent:
  command: [{agent}, --dangerously-skip-permissions]
  env: {env}
tmux: {{socket: {socket}, start_server: true}}
lifecycle: {{interval: 1s}}
dispatcher: {{projects_dir: {work}, cooldown: 0s}}
http: {{listen: "127.0.0.1:{port}"}}
state_dir: {state}
runtime_dir: {run}
"#,
            link = path("home/.claude"),
            home_a = path(HOMES[0]),
            home_b = path(HOMES[1]),
            projects = path("shared/projects"),
            work = path("work"),
            agent = path("bin/claude"),
            socket = path("tmux.sock"),
            port = self.port,
            state = path("state"),
            run = path("run"),
        )
    }
}

/// In the system's place for such, or in `/tmp` when that would make socket paths too long.
fn temporary_directory() -> anyhow::Result<TempDir> {
    let mut place = std::env::temp_dir();
    if place.as_os_str().len() > ROOT_BYTES_MAX {
        place = PathBuf::from("/tmp");
    }
    tempfile::Builder::new()
        .prefix("claude-failover-demo-")
        .tempdir_in(&place)
        .with_context(|| format!("making a temporary directory in {}", place.display()))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A path as a YAML string; JSON's quoting is a part of YAML's.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_whole_and_goes_without_a_trace() {
        let stage = Stage::build().unwrap();
        let root = stage.root().to_path_buf();
        assert_eq!(fs::read_link(stage.link()).unwrap(), stage.home_a());
        assert_eq!(
            fs::canonicalize(stage.home_b().join("projects")).unwrap(),
            fs::canonicalize(stage.projects()).unwrap()
        );
        let config: serde_yaml::Value =
            serde_yaml::from_str(&fs::read_to_string(stage.config()).unwrap()).unwrap();
        assert_eq!(config["accounts"][1]["home"].as_str(), stage.home_b().to_str());
        assert!(stage.socket().as_os_str().len() < 108);
        drop(stage);
        assert!(!root.exists());
    }

    #[test]
    fn a_path_with_quotes_stays_one_yaml_string() {
        let path = Path::new("/tmp/a \"b\": #c");
        let value: String = serde_yaml::from_str(&quoted(path)).unwrap();
        assert_eq!(Path::new(&value), path);
    }
}
