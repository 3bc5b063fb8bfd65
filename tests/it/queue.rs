//! The files of a queue: markers, results and submissions, cut off at each step and done again.

mod close;
mod files;
mod markers;

use std::path::{Path, PathBuf};

use claude_failover::ids::{ProjectName, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::queue::rules::Rules;
use claude_failover::queue::{Part, Queue};
use claude_failover::task::TaskResult;

pub const ME: &str = "0d3ad3a4-7b0f-4d7b-9c3a-0c9a6c1f0001";
pub const FINISHED: Wall = Wall(1_795_361_004_000);

/// A directory of projects with one, `shop`.
pub struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("projects/shop")).unwrap();
        Self { dir }
    }

    pub fn projects(&self) -> PathBuf {
        self.dir.path().join("projects")
    }

    pub fn outside(&self) -> &Path {
        self.dir.path()
    }

    pub fn queue(&self) -> Queue {
        let queue = Queue::make(&self.projects(), &shop()).unwrap();
        for part in Part::ALL {
            queue.make_part(part).unwrap();
        }
        queue
    }

    /// A path in the queue of `shop`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.projects().join("shop/.agent-queue").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// Every file of the queue, relative, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for part in Part::ALL {
            let Ok(entries) = std::fs::read_dir(self.path(part.name())) else { continue };
            for entry in entries {
                let name = entry.unwrap().file_name().into_string().unwrap();
                files.push(format!("{}/{name}", part.name()));
            }
        }
        files.sort();
        files
    }
}

pub fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

pub fn task(id: &str) -> TaskRef {
    format!("shop:{id}").parse().unwrap()
}

pub fn rules() -> Rules {
    Rules { bytes_max: 1000, uids: vec![rustix::process::geteuid().as_raw()] }
}

pub fn result(id: &str) -> TaskResult {
    TaskResult {
        task: task(id),
        done: true,
        reason: "signal".to_owned(),
        session: Some("ccl-auto-11".parse().unwrap()),
        account: Some("primary".parse().unwrap()),
        conversation: Some("82840528-5c4e-4114-8dc2-50dc43ea65c9".parse().unwrap()),
        started: Some(Wall(FINISHED.0 - 60_000)),
        finished: FINISHED,
        attempts: 1,
        last_text: Some("It is mended.\nAll of it.".to_owned()),
    }
}
