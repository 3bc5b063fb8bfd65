//! Tasks as their authors see them: files that are put into an inbox and found again with a result,
//! and what the agents themselves wrote down about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use claude_failover::ids::TaskRef;
use claude_failover::queue::dir::TEMP_PREFIX;
use claude_failover::task::{TaskResult, front_matter};
use serde_json::Value;

use crate::daemon::fleet::Fleet;
use crate::support::eventually;

/// For a whole task of an agent that works for a moment.
pub const TASK: Duration = Duration::from_secs(40);

/// Where the file of a task may lie.
pub const PARTS: [&str; 3] = ["inbox", "done", "failed"];

/// One line of the agents' own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub task: String,
    pub conversation: String,
    pub session: String,
    pub home: PathBuf,
    pub what: String,
}

/// A task with a title and some text before and behind its orders.
pub fn task_text(orders: &str) -> String {
    format!(
        "---\ntitle: A day's \"work\"  # of one\n---\nPlease:\n\n{orders}\n\nas well as you can…\n"
    )
}

pub fn task_ref(task: &str) -> TaskRef {
    task.parse().unwrap()
}

impl Fleet {
    fn queue(&self, project: &str) -> PathBuf {
        self.root().join("srv").join(project).join(".agent-queue")
    }

    pub fn queue_file(&self, task: &str, part: &str) -> PathBuf {
        let task = task_ref(task);
        self.queue(task.project.as_str()).join(part).join(format!("{}.md", task.id))
    }

    pub fn make_inbox(&self, project: &str) {
        fs::create_dir_all(self.queue(project).join("inbox")).unwrap();
    }

    /// Written elsewhere and moved into the inbox, as a careful author does.
    pub fn submit(&self, task: &str, text: &str) {
        let target = self.queue_file(task, "inbox");
        self.make_inbox(task_ref(task).project.as_str());
        let draft = target.with_file_name(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, target).unwrap();
    }

    /// The parts of the queue in which a file of this task lies.
    pub fn parts_of(&self, task: &str) -> Vec<&'static str> {
        let has_it = |part: &&str| self.queue_file(task, part).exists();
        PARTS.into_iter().filter(has_it).collect()
    }

    #[track_caller]
    pub fn await_result(&self, task: &str) -> TaskResult {
        self.await_result_within(task, TASK)
    }

    /// Once the task has left the inbox: its result, with its file otherwise as `text` was.
    #[track_caller]
    pub fn await_result_within(&self, task: &str, timeout: Duration) -> TaskResult {
        let part = eventually(&format!("{task} has left the inbox"), timeout, || {
            match self.parts_of(task)[..] {
                [part] if part != "inbox" && !self.is_marked(task) => Some(part),
                _ => None,
            }
        });
        let bytes = fs::read(self.queue_file(task, part)).unwrap();
        let result = front_matter::result(&task_ref(task), &bytes).unwrap();
        assert_eq!(part, if result.done { "done" } else { "failed" });
        result
    }

    /// The file of a task that is over, without what the daemon added.
    pub fn file_without_result(&self, task: &str) -> String {
        let [part] = self.parts_of(task)[..] else { panic!("{task} lies in several places") };
        let bytes = fs::read(self.queue_file(task, part)).unwrap();
        String::from_utf8(front_matter::without_result(&bytes)).unwrap()
    }

    fn is_marked(&self, task: &str) -> bool {
        self.queue_file(task, "inbox").with_extension("md.dispatched").exists()
    }

    /// The names in one part of a project's queue, without what a killed daemon had begun to write:
    /// the janitor takes that away a day later.
    pub fn names(&self, project: &str, part: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.queue(project).join(part)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with(TEMP_PREFIX)).collect()
    }

    pub fn told(&self) -> Vec<Told> {
        let text = fs::read_to_string(self.root().join("agents.log")).unwrap_or_default();
        let told = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [task, conversation, session, home, what] = words[..] else { panic!("{line:?}") };
            Told {
                task: task.to_owned(),
                conversation: conversation.to_owned(),
                session: session.to_owned(),
                home: PathBuf::from(home),
                what: what.to_owned(),
            }
        };
        text.lines().map(told).collect()
    }

    /// What happened to a task, by the agents.
    pub fn told_of(&self, id: &str) -> Vec<String> {
        self.told().into_iter().filter(|told| told.task == id).map(|told| told.what).collect()
    }

    #[track_caller]
    pub fn await_told(&self, id: &str, what: &str) {
        eventually(&format!("an agent tells that {id} is {what}"), TASK, || {
            self.told_of(id).iter().any(|told| told == what).then_some(())
        });
    }

    /// The row of `/status` about a task in our hands; null when it is in nobody's.
    pub fn in_hand(status: &Value, task: &str) -> Value {
        let rows = status["tasks"]["in_hand"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["task"] == task).unwrap_or_default()
    }

    #[track_caller]
    pub fn await_in_hand(&self, task: &str, state: &str) -> Value {
        let status = self.await_status(&format!("/status says {task} is {state}"), |status| {
            Self::in_hand(status, task)["state"] == state
        });
        Self::in_hand(&status, task)
    }

    /// `status.json` of a project.
    pub fn project_status(&self, project: &str) -> Value {
        let text = fs::read_to_string(self.queue(project).join("status.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}
