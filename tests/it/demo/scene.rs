//! One account's home and one pane of real tmux, with a scripted agent in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{PrivateTmux, eventually};

pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/demo/agent")
}

pub fn epoch_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One account's home, one pane, and in it one agent at a time.
pub struct Scene {
    pub tmux: PrivateTmux,
}

impl Scene {
    pub fn new() -> Self {
        let scene = Self { tmux: PrivateTmux::new() };
        fs::create_dir_all(scene.work()).unwrap();
        fs::create_dir_all(scene.home()).unwrap();
        scene
    }

    pub fn home(&self) -> PathBuf {
        self.tmux.path().join("home-a")
    }

    pub fn work(&self) -> PathBuf {
        self.tmux.path().join("my work")
    }

    /// What the agents write down of their tasks.
    pub fn log(&self) -> PathBuf {
        self.tmux.path().join("agents.log")
    }

    pub fn script(&self, order: &str) {
        fs::write(self.home().join(".demo-script"), format!("{order}\n")).unwrap();
    }

    pub fn command(&self, arguments: &str) -> String {
        format!(
            "IS_SANDBOX=1 TZ=UTC DEMO_AGENT_LOG={} CLAUDE_CONFIG_DIR={} {} \
             --dangerously-skip-permissions {arguments}",
            self.log().display(),
            self.home().display(),
            agent().display()
        )
    }

    /// Starts an agent; its pane stays after it, with `rc=<exit code>` below.
    pub fn start(&self, arguments: &str) {
        self.start_with("", arguments);
    }

    /// The same with a further variable in its environment.
    pub fn start_with(&self, setting: &str, arguments: &str) {
        let line = format!("{setting} {}; echo rc=$?; cat", self.command(arguments));
        let work = self.work();
        let mut args = vec!["new-session", "-d", "-s", "scene", "-x", "100", "-y", "50"];
        args.extend(["-c", work.to_str().unwrap(), &line]);
        if self.tmux.output(&["has-session", "-t", "=scene:"]).status.success() {
            args = vec!["respawn-pane", "-k", "-t", "=scene:", &line];
        }
        self.tmux.run(&args);
    }

    pub fn keys(&self, keys: &[&str]) {
        self.tmux.run(&[&["send-keys", "-t", "=scene:"], keys].concat());
    }

    pub fn prompt(&self, text: &str) {
        self.keys(&[text, "Enter"]);
    }

    pub fn screen(&self) -> String {
        self.tmux.run(&["capture-pane", "-p", "-t", "=scene:"])
    }

    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        let mut last = String::new();
        eventually(&format!("the screen shows {text:?}"), PATIENCE, || {
            last = self.screen();
            last.contains(text).then(|| last.clone())
        })
    }

    /// The session file's path and content, as soon as there is one with this status.
    #[track_caller]
    pub fn status(&self, status: &str) -> (PathBuf, Value) {
        eventually(&format!("a session file says {status}"), PATIENCE, || {
            let path = self.session_files().into_iter().next()?;
            let facts: Value = serde_json::from_str(&fs::read_to_string(&path).ok()?).unwrap();
            (facts["status"] == status).then_some((path, facts))
        })
    }

    pub fn session_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.home().join("sessions")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect()
    }

    pub fn transcript(&self, conversation: &Value) -> Vec<Value> {
        let slug: String = fs::canonicalize(self.work())
            .unwrap()
            .to_str()
            .unwrap()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let name = format!("projects/{slug}/{}.jsonl", conversation.as_str().unwrap());
        let text = fs::read_to_string(self.home().join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn signal(facts: &Value, name: &str) {
    let pid = facts["pid"].to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Gone, or a zombie that its parent has not read yet.
pub fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit_once(") ").unwrap().1.starts_with('Z')
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
