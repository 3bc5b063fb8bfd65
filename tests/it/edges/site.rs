//! A host for one daemon in a directory of its own: homes, link, configuration, tmux. What would
//! be the user's default tmux server lives in it, too.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;

use crate::support::{binary, eventually};

/// For whatever a loaded machine must get done.
pub const PATIENCE: Duration = Duration::from_secs(40);

const DIRS: [&str; 6] = ["home", "a", "b", "shared", "work", "tmp"];

pub struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// Everything is right. No pool, one dedicated session, a private tmux socket, no HTTP.
    pub fn new() -> Self {
        let site = Self { dir: tempfile::Builder::new().prefix("cf-").tempdir().unwrap() };
        for dir in DIRS {
            fs::create_dir(site.at(dir)).unwrap();
        }
        fs::create_dir(site.at("shared/projects")).unwrap();
        symlink(site.at("a"), site.at("link")).unwrap();
        site.write_config(&site.config_text());
        site
    }

    fn config_text(&self) -> String {
        // Root must say that it knows what it does; nobody else has to.
        let env = if rustix::process::geteuid().is_root() { "{IS_SANDBOX: \"1\"}" } else { "{}" };
        format!(
            "link: DIR/link\n\
             accounts:\n  - {{name: a, home: DIR/a}}\n  - {{name: b, home: DIR/b}}\n\
             pool:\n  shared_projects_dir: DIR/shared/projects\n  \
             dedicated: [{{name: site, project: DIR/work}}]\n\
             agent: {{command: [/bin/sleep, \"1000\"], env: {env}}}\n\
             tmux: {{socket: DIR/tmux.sock}}\n\
             lifecycle: {{interval: 500ms}}\n\
             http: {{listen: null}}\n\
             state_dir: DIR/state\n\
             runtime_dir: DIR/run\n"
        )
        .replace("DIR", self.path().to_str().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.at("config.yaml")
    }

    /// In one step, as a reload must find it.
    pub fn write_config(&self, text: &str) {
        let next = self.at("config.yaml.new");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.config()).unwrap();
    }

    /// Replaces `from`, which must be there; `DIR` in `to` is the site's directory.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        let here = self.path().to_str().unwrap();
        let from = from.replace("DIR", here);
        assert!(text.contains(&from), "{from:?} is not in the configuration");
        self.write_config(&text.replace(&from, &to.replace("DIR", here)));
    }

    pub fn remove(&self, name: &str) {
        match fs::symlink_metadata(self.at(name)).unwrap().is_dir() {
            true => fs::remove_dir_all(self.at(name)).unwrap(),
            false => fs::remove_file(self.at(name)).unwrap(),
        }
    }

    /// The binary with an environment of this site alone.
    pub fn command(&self, args: &[&str]) -> Command {
        self.clean(&binary(), args)
    }

    pub fn clean(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir(self.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.at("home")).env("SHELL", "/bin/sh").env("LANG", "C.UTF-8");
        command.env("TMUX_TMPDIR", self.at("tmp"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run_command(&self) -> Command {
        self.command(&["run", "--config", self.config().to_str().unwrap()])
    }

    /// Starts and must end by itself with this code, with nothing changed on the disk; what it
    /// said, without times and levels, `DIR` for the site.
    #[track_caller]
    pub fn refused(&self, code: i32) -> String {
        self.refused_as(self.run_command(), code)
    }

    #[track_caller]
    pub fn refused_as(&self, mut command: Command, code: i32) -> String {
        let before = self.tree();
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(self.tree(), before, "something changed on the disk; it said:\n{said}");
        self.errors(&said)
    }

    /// The error lines of a log.
    pub fn errors(&self, log: &str) -> String {
        let lines = log.lines().filter_map(|line| Some(line.split_once(" ERROR ")?.1));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        text.replace(self.path().to_str().unwrap(), "DIR")
    }

    pub fn start(&self) -> Daemon {
        self.start_as(self.run_command())
    }

    /// The log goes to `daemon.log`.
    pub fn start_as(&self, mut command: Command) -> Daemon {
        let log = self.at("daemon.log");
        let file = fs::File::create(&log).unwrap().into_file();
        let child = command.stdout(Stdio::null()).stderr(file).process_group(0).spawn().unwrap();
        Daemon { child, log, runtime_dir: self.at("run") }
    }

    /// Every path with its mode, owner, size, time and, of a link, what it says; but for the log, in
    /// which a daemon may tell of a moment ago.
    pub fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.path().to_owned()];
        while let Some(dir) = open.pop() {
            found.insert(dir.clone(), facts(&dir));
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path == self.at("daemon.log") {
                    continue;
                }
                let is_dir = fs::symlink_metadata(&path).unwrap().is_dir();
                match is_dir {
                    true => open.push(path),
                    false => drop(found.insert(path.clone(), facts(&path))),
                }
            }
        }
        found
    }

    /// tmux on the configured socket.
    pub fn tmux(&self, args: &[&str]) -> Output {
        let socket = self.at("tmux.sock");
        self.clean(Path::new("tmux"), &["-S", socket.to_str().unwrap(), "-f", "/dev/null"])
            .args(args)
            .output()
            .unwrap()
    }

    /// tmux on what is the user's default server here.
    pub fn default_tmux(&self, args: &[&str]) -> Output {
        self.clean(Path::new("tmux"), &["-f", "/dev/null"]).args(args).output().unwrap()
    }

    /// Session and leader of every pane on a server, ours and others', without the daemon's own.
    pub fn panes(&self, server: fn(&Site, &[&str]) -> Output) -> BTreeMap<String, i32> {
        let output = server(self, &["list-panes", "-a", "-F", "#{session_name} #{pane_pid}"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.lines().filter(|row| !row.starts_with('_'));
        rows.map(|row| row.split_once(' ').unwrap())
            .map(|(name, pid)| (name.to_owned(), pid.parse().unwrap()))
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
        let _ = self.default_tmux(&["kill-server"]);
    }
}

fn facts(path: &Path) -> String {
    let found = fs::symlink_metadata(path).unwrap();
    // tmux tells by the mode of its socket whether somebody is attached.
    let mode = if found.file_type().is_socket() { 0 } else { found.mode() };
    format!(
        "{mode:o} uid={} inode={} size={} modified={}.{:09} {:?}",
        found.uid(),
        found.ino(),
        if found.is_dir() { 0 } else { found.len() },
        found.mtime(),
        found.mtime_nsec(),
        fs::read_link(path).ok()
    )
}

pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    runtime_dir: PathBuf,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> String {
        let mut last = String::new();
        let said = || {
            last = self.log();
            last.contains(text)
        };
        let found = within(PATIENCE, said);
        assert!(found, "the log never said {text:?}:\n{last}");
        last
    }

    /// One line over the control socket.
    pub fn ask(&self, request: &str) -> Option<Value> {
        let socket = self.runtime_dir.join("control.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub fn status(&self) -> Value {
        let answer = self.ask(r#"{"verb":"status"}"#);
        answer.map_or(Value::Null, |answer| answer["status"].clone())
    }

    /// The status once `wanted` holds for it.
    #[track_caller]
    pub fn status_when(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = within(PATIENCE, || {
            last = self.status();
            wanted(&last)
        });
        assert!(found, "not in time: {what}\n{last:#}\n{}", self.log());
        last
    }

    /// Is up and sees tmux.
    #[track_caller]
    pub fn normal(&self) -> Value {
        self.status_when("state normal", |status| status["state"] == "normal")
    }

    pub fn signal(&self, name: &str) {
        signal(i32::try_from(self.pid()).unwrap(), name);
    }

    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the daemon's end", PATIENCE, || child.try_wait().unwrap())
    }

    /// After TERM; exit code 0.
    #[track_caller]
    pub fn drained(mut self) {
        self.signal("-TERM");
        let status = self.ended();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: i32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill {name} {pid}");
}

/// Whether `condition` came true in time.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    eventually("an answer", limit * 2, || match condition() {
        true => Some(true),
        false => (Instant::now() >= end).then_some(false),
    })
}
