//! The rig as a test sees it: accounts, scripted answers of the API, the client's files.
//!
//! Tests run at the same time against one rig: each uses accounts and folders of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const UUID_CHARS: usize = 36;

pub struct Rig {
    state: PathBuf,
}

/// One request for a message.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Milliseconds since 1970; the answer began within a few more.
    pub at: i64,
    /// Of a conversation's turn; not one of the client's own, nor a headless one without tools.
    pub main: bool,
    pub conversation: String,
    /// The beginnings of the prompts in it, oldest first.
    pub prompts: Vec<String>,
    /// The status of the answer; 0: none was given.
    pub reply: u64,
}

impl Asked {
    #[expect(clippy::cast_possible_truncation, reason = "a moment of this century")]
    fn of(request: &Value) -> Self {
        let prompts = request["prompts"].as_array().into_iter().flatten();
        let sid = request["sid"].as_str().unwrap_or_default();
        let conversation = sid.get(sid.len().saturating_sub(UUID_CHARS)..);
        Self {
            at: (request["t"].as_f64().unwrap() * 1000.0) as i64,
            main: request["main"] == true,
            conversation: conversation.unwrap_or_default().to_owned(),
            prompts: prompts.filter_map(Value::as_str).map(str::to_owned).collect(),
            reply: request["reply"].as_u64().unwrap_or(0),
        }
    }

    /// The question of the daemon's own, that `claude -p` asks.
    pub fn is_probe(&self) -> bool {
        self.prompts == ["Ready?"]
    }
}

impl Rig {
    /// The rig that `CLAUDE_FAILOVER_RIG` names; it must be up.
    pub fn up() -> Self {
        let state = std::env::var_os("CLAUDE_FAILOVER_RIG").map(PathBuf::from).expect(
            "CLAUDE_FAILOVER_RIG names no rig: run tests/rig/setup.sh and tests/rig/up.sh first",
        );
        Self { state }
    }

    pub fn client(&self) -> PathBuf {
        self.state.join("bin/claude")
    }

    /// The client's version, as `setup.sh` was told.
    pub fn version(&self) -> String {
        let config = std::fs::read_to_string(self.state.join("config.env")).unwrap();
        let line = config.lines().find_map(|line| line.strip_prefix("VERSION="));
        line.expect("setup.sh writes the version").to_owned()
    }

    /// Whether its client records what it was refused by, and the second of the reset.
    pub fn is_exact(&self) -> bool {
        let version = self.version();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        [(); 3].map(|()| numbers.next().unwrap_or(0)) >= [2, 1, 330]
    }

    pub fn home(&self, account: &str) -> PathBuf {
        self.state.join(format!("acct{account}"))
    }

    /// A new login for an account with this name, letters and digits, made if there was none.
    pub fn log_in(&self, account: &str) {
        self.log_in_with(account, &self.state.join("work"), &[]);
    }

    /// A login that trusts this folder, whatever it trusted before; more as `mkacct.py` takes it.
    pub fn log_in_with(&self, account: &str, trusted: &Path, more: &[&str]) {
        let output = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/mkacct.py"))
            .arg(self.home(account))
            .arg(account)
            .args(["--version-seen", &self.version(), "--trust"])
            .arg(trusted)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The conversations of this account lie with those of the others.
    pub fn share_projects(&self, account: &str) {
        let projects = self.home(account).join("projects");
        if !projects.is_symlink() {
            std::os::unix::fs::symlink(self.shared_projects(), projects).unwrap();
        }
    }

    pub fn shared_projects(&self) -> PathBuf {
        self.state.join("shared/projects")
    }

    /// A folder that every account trusts.
    pub fn work(&self, name: &str) -> PathBuf {
        let dir = self.state.join("work").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A folder that no account trusts.
    pub fn strange(&self, name: &str) -> PathBuf {
        let dir = self.state.join("strange").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// What the API answers to one account from now on.
    pub fn answer(&self, account: &str, scenario: &[&str]) {
        let mut args = vec!["set", account];
        args.extend(scenario);
        let output = Command::new(self.state.join("bin/ctl")).args(&args).output().unwrap();
        assert!(
            output.status.success(),
            "ctl {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// How often a client of this account has asked for a message, since the rig was set up.
    pub fn requests(&self, account: &str) -> usize {
        let log = std::fs::read_to_string(self.requests_log()).unwrap_or_default();
        let account = format!("\"acct\": \"{account}\"");
        log.lines()
            .filter(|line| line.contains(&account) && line.contains("\"main\": true"))
            .count()
    }

    /// All requests for a message on this account, in order.
    pub fn asked(&self, account: &str) -> Vec<Asked> {
        let log = std::fs::read_to_string(self.requests_log()).unwrap_or_default();
        let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        requests
            .filter(|request| request["acct"] == account && request["path"].is_string())
            .filter(|request| request["path"].as_str().unwrap().starts_with("/v1/messages?"))
            .map(|request| Asked::of(&request))
            .collect()
    }

    /// A conversation file, whichever folder it is of; empty before its first prompt.
    pub fn conversation(&self, id: &str) -> String {
        let folders = std::fs::read_dir(self.shared_projects()).unwrap();
        let name = format!("{id}.jsonl");
        let mut files = folders.map(|folder| folder.unwrap().path().join(&name));
        files.find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
    }

    /// A JSON object for each request, in a line of its own.
    pub fn requests_log(&self) -> PathBuf {
        self.state.join("run/requests.jsonl")
    }

    /// The client's session file of the agent in this home whose directory is `cwd`.
    pub fn session(&self, account: &str, cwd: &Path) -> Option<Value> {
        let files = std::fs::read_dir(self.home(account).join("sessions")).ok()?;
        files
            .filter_map(Result::ok)
            .filter(|file| file.path().extension().is_some_and(|kind| kind == "json"))
            .filter_map(|file| std::fs::read_to_string(file.path()).ok())
            .filter_map(|text| serde_json::from_str::<Value>(&text).ok())
            .find(|session| {
                let pid = session["pid"].as_i64().unwrap_or(0);
                session["cwd"].as_str() == cwd.to_str()
                    && Path::new(&format!("/proc/{pid}")).exists()
            })
    }
}
