//! The rig as a test sees it: accounts, scripted answers of the API, the client's files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub struct Rig {
    state: PathBuf,
}

impl Rig {
    /// The rig that `CLAUDE_FAILOVER_RIG` names; it must be up.
    pub fn up() -> Self {
        let state = std::env::var_os("CLAUDE_FAILOVER_RIG").map(PathBuf::from).expect(
            "CLAUDE_FAILOVER_RIG names no rig: run tests/rig/setup.sh and tests/rig/up.sh first",
        );
        let rig = Self { state };
        rig.ctl(&["reset"]);
        rig
    }

    pub fn client(&self) -> PathBuf {
        self.state.join("bin/claude")
    }

    pub fn home(&self, account: &str) -> PathBuf {
        self.state.join(format!("acct{account}"))
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

    /// What the API answers to one account from now on.
    pub fn answer(&self, account: &str, scenario: &[&str]) {
        let mut args = vec!["set", account];
        args.extend(scenario);
        self.ctl(&args);
    }

    fn ctl(&self, args: &[&str]) -> String {
        let output = Command::new(self.state.join("bin/ctl")).args(args).output().unwrap();
        assert!(
            output.status.success(),
            "ctl {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
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
