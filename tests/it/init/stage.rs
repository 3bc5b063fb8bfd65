//! A user with Claude homes, and a `claude` of a few lines that says which home it was asked about.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;

use crate::support::binary;

/// Logged in is a home with a file `logged-in`, which holds the address; with a file `denied` its
/// refresh is refused, of which it speaks only when it is asked again.
const CLAUDE: &str = r#"#!/bin/sh
home="${CLAUDE_CONFIG_DIR:-$HOME/.claude}"
case "$1 $2" in
"--version ") echo "VERSION (Claude Code)" ;;
"auth status")
    echo "$home" >> "$HOME/../asked"
    if test -f "$home/denied"; then
        mv "$home/denied" "$home/.credentials.json"
        echo '{"loggedIn": true, "email": "of-before@x.example"}'
        rm "$home/logged-in"
        exit
    fi
    test -f "$home/logged-in" || { echo '{"loggedIn": false, "authMethod": "none"}'; exit 1; }
    echo "{\"loggedIn\": true, \"email\": \"$(cat "$home/logged-in")\"}" ;;
*) exec sleep 1000 ;;
esac
"#;

pub struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// No home at all.
    pub fn new() -> Self {
        let host = Self { dir: tempfile::Builder::new().prefix("cf-").tempdir().unwrap() };
        fs::create_dir_all(host.home("bin")).unwrap();
        fs::write(host.home(".profile"), "PATH=\"$HOME/bin:$PATH\"\n").unwrap();
        host.client("2.1.330");
        host
    }

    /// `~/.claude`, as somebody who has one account has it.
    pub fn with_usual_home() -> Self {
        let host = Self::new();
        host.write(".claude.json", r#"{"hasCompletedOnboarding": true}"#);
        host.write(".claude/.credentials.json", "not to be read");
        host.mode(".claude/.credentials.json", 0o600);
        host.write(".claude/logged-in", "me@one.example");
        host.write(".claude/settings.json", "{}");
        host.write(".claude/projects/-srv-a/1.jsonl", "one\n");
        host.write(".claude/projects/-srv-a/same.jsonl", "same\n");
        host.write(".claude/projects/-srv-a/1/subagents/x.jsonl", "x\n");
        host.write(".claude/file-history/h1/a@v1", "old\n");
        host.mode(".claude", 0o755);
        host
    }

    /// A second account beside it, with conversations of its own and some of the first one's.
    pub fn with_two_homes() -> Self {
        let host = Self::with_usual_home();
        host.write(".claude-backup/.credentials.json", "nor this");
        host.write(".claude-backup/.claude.json", "{}");
        host.write(".claude-backup/projects/-srv-a/1.jsonl", "two\n");
        host.write(".claude-backup/projects/-srv-a/same.jsonl", "same\n");
        host.write(".claude-backup/projects/-srv-a/new.jsonl", "new\n");
        host.write(".claude-backup/projects/-srv-a/1/subagents/x.jsonl", "x\n");
        host.write(".claude-backup/projects/-srv-b/2.jsonl", "b\n");
        host.write(".claude-backup/session-env/e/hook.sh", "env\n");
        host.mode(".claude-backup/projects/-srv-b", 0o750);
        symlink("1.jsonl", host.home(".claude-backup/projects/-srv-a/latest")).unwrap();
        fs::create_dir(host.home(".claude-backup/projects/-srv-a/empty")).unwrap();
        host
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn home(&self, name: &str) -> PathBuf {
        self.at("h").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.home(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.home(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Installs a client of this version.
    pub fn client(&self, version: &str) {
        self.write("bin/claude", &CLAUDE.replace("VERSION", version));
        self.mode("bin/claude", 0o755);
    }

    /// The homes that the client was asked about.
    pub fn asked(&self) -> String {
        self.plain(&fs::read_to_string(self.at("asked")).unwrap_or_default())
    }

    pub fn config(&self) -> PathBuf {
        self.at("c.yaml")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env_clear().current_dir(self.dir.path());
        command.args(["--config", self.config().to_str().unwrap()]);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.at("h")).env("SHELL", "/bin/sh").env("LANG", "C.UTF-8");
        command.stdin(Stdio::null());
        command
    }

    /// What it printed on both, which must have ended with `code`.
    #[track_caller]
    pub fn says(&self, args: &[&str], code: i32) -> String {
        self.said(&self.command(args).output().unwrap(), code)
    }

    #[track_caller]
    pub fn said(&self, output: &Output, code: i32) -> String {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = self.plain(&String::from_utf8(said).unwrap());
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    fn plain(&self, text: &str) -> String {
        text.replace(self.at("h").to_str().unwrap(), "HOME")
            .replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// Every path in the user's directory with its mode, and what it holds or where it leads. The
    /// adoption's own log and the link's lock are not the user's.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let root = self.home("");
        let mut found = BTreeMap::new();
        let mut open = vec![root.clone()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if name.starts_with(".claude.failover-") {
                    continue;
                }
                found.insert(name, self.plain(&facts(&path)));
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    open.push(path);
                }
            }
        }
        found
    }

    /// The Claude part of it, a line a path.
    pub fn listing(&self) -> String {
        let tree = self.tree();
        let lines = tree.iter().filter(|(name, _)| name.starts_with(".claude"));
        lines.map(|(name, facts)| format!("{name} {facts}\n")).collect()
    }
}

fn facts(path: &Path) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    if found.is_symlink() {
        return format!("-> {}", fs::read_link(path).unwrap().display());
    }
    let mode = found.mode() & 0o7777;
    match found.is_dir() {
        true => format!("{mode:o}/"),
        false => format!("{mode:o} {:?}", fs::read_to_string(path).unwrap()),
    }
}
