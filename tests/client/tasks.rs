//! The pool at work with the real client: ten tasks in three projects, a limit in the middle, one
//! folder that nobody has trusted yet. Each is delivered once and done, by the second account in the end.
//!
//! The model is made up, but obedient: it runs what the line of a task tells it to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use claude_failover::task::{TaskResult, front_matter};
use serde_json::Value;

use crate::agent::now;
use crate::failover::{Daemon, STARTS, SWAPS};
use crate::rig::Rig;
use crate::support::{PrivateTmux, eventually, journal_records};

const ALL: Duration = Duration::from_secs(120);
const TRUSTED: &str = "trusted";
const STRANGE: &str = "strange";
/// It comes alone, while nobody has anything to do.
const FIRST: &str = "first";
/// What the limit meets in the middle of its work, one of each session. The second ends its turn and
/// gives no signal.
const CUT: [&str; 3] = ["long", "quiet", "moss"];
const QUIET: &str = CUT[1];
/// It waits for the first of these.
const AFTER: &str = "after";

struct Work {
    project: &'static str,
    id: &'static str,
    head: &'static str,
    /// The older goes first.
    age_s: u64,
}

const fn work(project: &'static str, id: &'static str, head: &'static str, age_s: u64) -> Work {
    Work { project, id, head, age_s }
}

/// In each project as they are to be claimed; neither by name nor by age alone.
const WORKS: [Work; 10] = [
    work("early", FIRST, "", 0),
    work(TRUSTED, "zeal", "priority: high\n", 10),
    work(TRUSTED, QUIET, "priority: low\n", 90),
    work(TRUSTED, "calm", "priority: low\n", 80),
    work(TRUSTED, AFTER, "priority: high\ndepends_on: [\"strange:long\"]\n", 99),
    work(STRANGE, "long", "priority: high\n", 20),
    work(STRANGE, "haste", "priority: high\n", 10),
    work(STRANGE, "moss", "priority: low\n", 90),
    work(STRANGE, "lichen", "priority: low\n", 80),
    work(STRANGE, "fern", "priority: low\n", 70),
];

impl Work {
    fn task(&self) -> String {
        format!("{}:{}", self.project, self.id)
    }

    fn text(&self) -> String {
        let Self { id, head, .. } = self;
        format!(
            "---\ntitle: Work on {id}\n{head}---\n# {id}\n\n\
             1. Look around.\n\t2. Take \"care\": $HOME, `id`, \\n, ❯ and 'quotes'.\n\n\
             The last line of {id}.\n"
        )
    }

    /// Written where nobody looks, then renamed or moved with its project.
    fn write(&self, path: &Path) {
        fs::write(path, self.text()).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(self.age_s)).unwrap();
    }
}

struct Fleet {
    rig: Rig,
    tmux: PrivateTmux,
    accounts: [String; 2],
    projects: PathBuf,
}

impl Fleet {
    fn furnish() -> Self {
        let rig = Rig::up();
        let pid = std::process::id();
        let projects = rig.strange(&format!("tasks-{pid}"));
        let accounts = ["A", "B"].map(|name| format!("tasks{name}{pid}"));
        let trusted = projects.join(TRUSTED);
        let early = projects.join(WORKS[0].project);
        let early = early.to_str().unwrap();
        rig.log_in_with(&accounts[0], &trusted, &["--trust", early]);
        rig.log_in_with(&accounts[1], &trusted, &["--trust", early, "--no-bypass-ok"]);
        for account in &accounts {
            rig.share_projects(account);
        }
        fs::create_dir_all(projects.join(WORKS[0].project).join(".agent-queue/inbox")).unwrap();
        Self { rig, tmux: PrivateTmux::new(), accounts, projects }
    }

    fn config(&self) -> PathBuf {
        let dir = self.tmux.path();
        let homes = self.accounts.each_ref().map(|name| self.rig.home(name));
        let link = dir.join("claude");
        std::os::unix::fs::symlink(&homes[0], &link).unwrap();
        let config = format!(
            "link: {link}\n\
             accounts:\n  - {{name: a, home: {a}}}\n  - {{name: b, home: {b}}}\n\
             pool:\n  shared_projects_dir: {shared}\n  \
               autonomous: {{prefix: auto-, min: 3, workdir: {dir}}}\n\
             agent:\n  command: [{client}, --dangerously-skip-permissions]\n  \
               env: {{IS_SANDBOX: \"1\"}}\n\
             tmux: {{socket: {socket}}}\n\
             dispatcher: {{projects_dir: {projects}, per_project: 2, cooldown: 0s}}\n\
             swap: {{stop_grace: 2s}}\n\
             http: {{listen: null}}\n\
             state_dir: {dir}/state\nruntime_dir: {dir}/run\n",
            link = link.display(),
            a = homes[0].display(),
            b = homes[1].display(),
            shared = self.rig.shared_projects().display(),
            client = self.rig.client().display(),
            socket = self.tmux.socket().display(),
            projects = self.projects.display(),
            dir = dir.display(),
        );
        let path = dir.join("config.yaml");
        fs::write(&path, config).unwrap();
        path
    }

    fn queue(&self, project: &str) -> PathBuf {
        self.projects.join(project).join(".agent-queue")
    }

    /// A project that comes with all its tasks at once.
    fn submit_all(&self, project: &str) {
        let made = self.tmux.path().join(project);
        let inbox = made.join(".agent-queue/inbox");
        fs::create_dir_all(&inbox).unwrap();
        for work in WORKS.iter().filter(|work| work.project == project) {
            work.write(&inbox.join(format!("{}.md", work.id)));
        }
        fs::rename(made, self.projects.join(project)).unwrap();
    }

    /// The result of each task that lies in `done/`.
    fn done(&self) -> BTreeMap<&'static str, TaskResult> {
        let read = |work: &Work| {
            let path = self.queue(work.project).join(format!("done/{}.md", work.id));
            let file = fs::read(path).ok()?;
            let task = work.task().parse().unwrap();
            let result = front_matter::result(&task, &file).expect("a readable result");
            let text = front_matter::without_result(&file);
            assert_eq!(String::from_utf8(text).unwrap(), work.text(), "else as it was");
            Some((work.id, result))
        };
        WORKS.iter().filter_map(read).collect()
    }

    /// The tasks in the order of their records of this type, with their moments.
    fn recorded(&self, kind: &str) -> Vec<(String, i64)> {
        let mut held = BTreeMap::new();
        let mut found = Vec::new();
        for (at, record) in journal_records(&self.tmux.path().join("state")) {
            let session = record["session"].to_string();
            if let Some(task) = record["offer"]["task"].as_str() {
                held.insert(session.clone(), task.to_owned());
            }
            if record["type"] == kind {
                found.push((held[&session].clone(), at));
            }
        }
        found
    }

    /// The records of all conversations that name this task's file, by conversation.
    fn conversations_of(&self, work: &Work) -> Vec<Vec<Value>> {
        let path = self.queue(work.project).join(format!("inbox/{}.md", work.id));
        let path = path.display().to_string();
        let folders = fs::read_dir(self.rig.shared_projects()).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        let read = |text: String| {
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        texts.filter(|text| text.contains(&path)).map(read).collect()
    }

    /// The conversations in which the API was asked to do this task, by account.
    fn asked(&self, id: &str) -> BTreeSet<(String, String)> {
        let line = format!("Do the task {id} (");
        let log = fs::read_to_string(self.rig.requests_log()).unwrap();
        let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_task = requests.filter(|request| {
            let prompts = request["prompts"].as_array().into_iter().flatten();
            let ours = self.accounts.iter().any(|name| request["acct"] == name.as_str());
            let is_line = |prompt: &Value| prompt.as_str().is_some_and(|p| p.starts_with(&line));
            ours && request["main"] == true && prompts.filter(|prompt| is_line(prompt)).count() > 0
        });
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        of_task.map(|request| (text(&request["acct"]), text(&request["sid"]))).collect()
    }
}

/// What a record of a conversation says as the user, be it typed or of a tool.
fn said(record: &Value) -> String {
    let content = &record["message"]["content"];
    if record["type"] != "user" {
        return String::new();
    }
    let parts = content.as_array().into_iter().flatten();
    let texts = parts.flat_map(|part| [&part["text"], &part["content"]]);
    [content].into_iter().chain(texts).filter_map(Value::as_str).collect()
}

#[test]
fn ten_tasks_are_done_once_each_over_a_limit_and_dialogs() {
    let fleet = Fleet::furnish();
    let gate = fleet.tmux.path().join("gate");
    fleet.teach(&gate);
    let daemon = Daemon::start(&fleet.config(), fleet.tmux.path().join("daemon.log"));
    let read = fleet.queue(WORKS[0].project).join("status.json");
    eventually("the pool, and the queues read", STARTS, || {
        let sessions = fleet.tmux.output(&["list-sessions", "-F", "#{session_name}"]).stdout;
        (String::from_utf8_lossy(&sessions).matches("auto-").count() == 3 && read.exists())
            .then_some(())
    });

    let began = now().0;
    let renamed = fleet.submit_first();
    eventually("the first task done", SWAPS, || fleet.done().remove(FIRST));
    for project in [STRANGE, TRUSTED] {
        fleet.submit_all(project);
    }
    eventually("a task in the middle of its work in each session", SWAPS, || {
        CUT.iter().all(|id| gate.with_extension(id).exists()).then_some(())
    });
    fleet.rig.answer(&fleet.accounts[0], &["quota5h", "reset_in=7200"]);
    let limited = now().0;
    fs::write(&gate, "").unwrap();
    eventually("all tasks done", ALL, || (fleet.done().len() == WORKS.len()).then_some(()));
    let ended = now().0;
    eventually("all tasks closed", SWAPS, || {
        (fleet.recorded("task_closed").len() == WORKS.len()).then_some(())
    });

    fleet.print_figures(renamed, began, limited, ended);
    fleet.check_results(limited);
    fleet.check_order();
    fleet.check_deliveries();
    fleet.check_queues();
    let log = daemon.log();
    for dialog in ["folder trust", "bypass warning"] {
        assert!(log.contains(&format!("dialog={dialog:?} answered")), "{dialog}:\n{log}");
    }
    assert_eq!(log.matches("phase=Planned").count(), 1, "one swap:\n{log}");
}

impl Fleet {
    /// Both accounts obey. Under the first, what is to be cut waits in its tool until there is a gate;
    /// then it would go on with its work.
    fn teach(&self, gate: &Path) {
        let gate = gate.display();
        let quiet = format!("case {{path}} in */{QUIET}.md) ;; *) touch {{done}};; esac");
        let cut = CUT.map(|id| {
            format!("*/{id}.md) touch {gate}.{id}; until test -e {gate}; do sleep 0.1; done;;")
        });
        let held = format!("case {{path}} in {} *) touch {{done}};; esac", cut.join(" "));
        for (account, how) in self.accounts.iter().zip([held, quiet]) {
            self.rig.answer(account, &["obey", &format!("command=cat {{path}}; {how}")]);
        }
    }

    /// When its file was renamed into the inbox.
    fn submit_first(&self) -> i64 {
        let inbox = self.queue(WORKS[0].project).join("inbox");
        let written = self.tmux.path().join("written");
        WORKS[0].write(&written);
        let renamed = now().0;
        fs::rename(written, inbox.join(format!("{FIRST}.md"))).unwrap();
        renamed
    }

    fn print_figures(&self, renamed: i64, began: i64, limited: i64, ended: i64) {
        let first = |kind| self.recorded(kind)[0].1 - renamed;
        println!(
            "first task: renamed to claimed {} ms, to received {} ms; limit to the end of all {} \
             ms; all {} ms",
            first("task_claimed"),
            first("task_received"),
            ended - limited,
            ended - began
        );
        let claims = self.recorded("task_claimed");
        let received: BTreeMap<String, i64> = self.recorded("task_received").into_iter().collect();
        let each = claims.iter().map(|(task, at)| format!("{task} {}", received[task] - at));
        println!("claimed to received last, ms: {}", each.collect::<Vec<_>>().join(", "));
    }

    /// What came after the limit was done by the second account, and what the limit met was gone on
    /// with there.
    fn check_results(&self, limited: i64) {
        for (id, result) in self.done() {
            let reason = if id == QUIET { "turn_ended" } else { "signal" };
            assert_eq!(result.reason, reason, "{result:?}");
            assert_eq!(result.attempts, 1, "{result:?}");
            let is_after = result.started.unwrap().0 > limited;
            if is_after {
                assert_eq!(result.account.as_ref().unwrap().as_str(), "b", "{result:?}");
            }
            let accounts: Vec<String> = self.asked(id).into_iter().map(|(acct, _)| acct).collect();
            let [a, b] = self.accounts.clone();
            let expected = if CUT.contains(&id) {
                vec![a, b]
            } else if is_after {
                vec![b]
            } else {
                vec![a]
            };
            assert_eq!(accounts, expected, "{id}");
        }
    }

    fn check_order(&self) {
        let claims = self.recorded("task_claimed");
        for project in [TRUSTED, STRANGE] {
            let claimed = claims.iter().filter_map(|(task, _)| {
                let (of, id) = task.split_once(':').unwrap();
                (of == project && id != AFTER).then_some(id)
            });
            let works = WORKS.iter().filter(|work| work.project == project && work.id != AFTER);
            assert!(claimed.eq(works.map(|work| work.id)), "{claims:?}");
        }
        let when = |kind: &str, task: &str| {
            self.recorded(kind).into_iter().find(|(of, _)| of == task).unwrap().1
        };
        let (cut, after) = (format!("{STRANGE}:{}", CUT[0]), format!("{TRUSTED}:{AFTER}"));
        let claimed = when("task_claimed", &after);
        assert!(claimed >= when("task_left", &cut), "nobody works on what it waits for");
        // It is the most urgent as soon as it waits no more.
        let closed = when("task_closed", &cut);
        let first = claims.iter().find(|(task, at)| task.starts_with(TRUSTED) && *at > closed);
        assert!(first.is_none_or(|(task, _)| claimed <= closed || *task == after), "{claims:?}");
    }

    fn check_deliveries(&self) {
        let done = self.done();
        for work in &WORKS {
            let id = work.id;
            let conversations = self.conversations_of(work);
            let [records] = conversations.as_slice() else {
                panic!("{id} is in {} conversations", conversations.len());
            };
            let conversation = done[id].conversation.as_ref().unwrap().as_str();
            let own =
                records.iter().all(|r| r["sessionId"].as_str().is_none_or(|i| i == conversation));
            assert!(own, "{id}: {conversation}");
            let line = format!("Do the task {id} (Work on {id})");
            let lines = records.iter().filter(|record| said(record).starts_with(&line)).count();
            assert_eq!(lines, 1, "{id} was told once");
            // Whoever gives a signal may be ended before the client has recorded what was read.
            let read = records.iter().any(|record| said(record).contains(work.text().trim_end()));
            assert!(read || !CUT.contains(&id), "{id} was read byte for byte");
            let refused = records.iter().any(|record| record["isApiErrorMessage"] == true);
            assert_eq!(refused, CUT.contains(&id), "{id}");
            let asked: BTreeSet<String> = self.asked(id).into_iter().map(|(_, sid)| sid).collect();
            assert_eq!(asked.len(), 1, "{id} in one conversation for the API: {asked:?}");
        }
    }

    fn check_queues(&self) {
        for project in [WORKS[0].project, TRUSTED, STRANGE] {
            let names = |part: &str| {
                let entries = fs::read_dir(self.queue(project).join(part)).into_iter().flatten();
                entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
            };
            assert!(names("inbox").is_empty(), "{project}: {:?}", names("inbox"));
            assert!(names("failed").is_empty(), "{project}: {:?}", names("failed"));
            let count = WORKS.iter().filter(|work| work.project == project).count();
            assert_eq!(names("done").len(), count, "{project}: {:?}", names("done"));
        }
    }
}
