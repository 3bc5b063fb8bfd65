//! The verbs `submit` and `tasks`, by the built binary, on real queues, with no daemon or with only
//! its control socket.

mod hands;
mod list;
mod submit;
mod wait;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use claude_failover::ids::{SessionName, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::queue::dir::{Dir, Put};
use claude_failover::queue::instance::{instance, new_conversation};
use claude_failover::queue::marker::{self, Marker};
use claude_failover::queue::rules::Rules;
use claude_failover::queue::{Part, Queue, close};
use claude_failover::task::TaskResult;

use crate::support::binary;

/// A configuration whose projects `shop` and `web` have no queue yet.
struct Place {
    dir: tempfile::TempDir,
}

struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

fn task(name: &str) -> TaskRef {
    name.parse().unwrap()
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("cf-").tempdir().unwrap();
        let place = Self { dir };
        for project in ["shop", "web"] {
            fs::create_dir_all(place.at(&format!("projects/{project}"))).unwrap();
        }
        let text = "accounts: [{name: a, home: DIR/a}]\n\
                    dispatcher: {projects_dir: DIR/projects, max_bytes: 2KiB}\n\
                    state_dir: DIR/state\nruntime_dir: DIR/run\n";
        let text = text.replace("DIR", place.path().to_str().unwrap());
        fs::write(place.at("config.yaml"), text).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn projects(&self) -> PathBuf {
        self.at("projects")
    }

    /// Where a file of a queue lies: `shop/inbox/t.md`.
    fn file(&self, name: &str) -> PathBuf {
        let (project, rest) = name.split_once('/').unwrap();
        self.projects().join(project).join(".agent-queue").join(rest)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The names in one directory of a queue, sorted.
    fn names(&self, name: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.file(name)) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(binary());
        command.args(args).arg("--config").arg(self.at("config.yaml"));
        command.env_clear().env("HOME", self.at("home")).current_dir(self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Said {
        let mut child = self.start(args);
        // One that refuses at once does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        self.said(child)
    }

    fn said(&self, child: Child) -> Said {
        let output = child.wait_with_output().unwrap();
        let here = self.path().to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(here, "DIR");
        Said { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
    }

    fn queue(&self, task: &TaskRef) -> Queue {
        Queue::make(&self.projects(), &task.project).unwrap()
    }

    fn inbox(&self, task: &TaskRef) -> Dir {
        self.queue(task).make_part(Part::Inbox).unwrap()
    }

    fn rules(&self) -> Rules {
        Rules { bytes_max: 2048, uids: vec![rustix::process::geteuid().as_raw()] }
    }

    fn instance(&self) -> String {
        instance(&self.at("state")).unwrap()
    }

    /// As the daemon claims it.
    fn claim(&self, task: &TaskRef) -> Put {
        let session: SessionName = "ccl-auto-1".parse().unwrap();
        let conversation = new_conversation().unwrap();
        let now = Wall(1_795_361_004_000);
        let mark = Marker::of_agent(&self.instance(), task.clone(), session, 2, conversation, now);
        marker::put(&self.inbox(task), &mark).unwrap()
    }

    /// As the daemon closes what it has claimed.
    fn close(&self, task: &TaskRef, done: bool) {
        let result = TaskResult {
            task: task.clone(),
            done,
            reason: if done { "signal".to_owned() } else { "stalled".to_owned() },
            session: Some("ccl-auto-1".parse().unwrap()),
            account: Some("a".parse().unwrap()),
            conversation: None,
            started: Some(Wall(1_795_361_004_000)),
            finished: Wall(1_795_361_064_000),
            attempts: 2,
            last_text: Some("What I did:\n\u{1b}[2Jall of it".to_owned()),
        };
        close::close(&self.queue(task), &self.rules(), &self.instance(), &result).unwrap();
    }
}
