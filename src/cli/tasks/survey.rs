//! Every task of some projects, out of inboxes, markers, `status.json`, `done/` and `failed/`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::cli::say;
use crate::cli::tasks::Desk;
use crate::cli::tasks::held::{self, Held};
use crate::cli::tasks::place;
use crate::ids::{ProjectName, TaskId, TaskRef};
use crate::moment::Wall;
use crate::queue::dir::Dir;
use crate::queue::inbox::{self, TaskFile};
use crate::queue::marker::{self, Marker, Owner};
use crate::queue::rules::Rules;
use crate::queue::{Part, Queue, file_name, results};
use crate::task::plan::{Limits, Queued, plan};
use crate::task::{HeldState, TaskResult, TaskSpec, front_matter};

/// Front matter is no longer.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// In the order in which they are listed: what wants a person first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum State {
    /// Nobody can tell whether it was delivered.
    Unknown,
    /// It waits for other tasks, or its agent for a person; the reason says which.
    Blocked,
    Running,
    Sending,
    Claimed,
    Ending,
    Ready,
    /// Its `not_before` lies ahead.
    Later,
    Foreign,
    NotForUs,
    Malformed,
    Refused,
    Failed,
    Done,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub task: String,
    pub state: State,
    #[serde(serialize_with = "rfc_3339")]
    pub since: Option<Wall>,
    pub session: Option<String>,
    pub account: Option<String>,
    pub conversation: Option<String>,
    pub attempts: Option<u32>,
    pub title: String,
    pub reason: Option<String>,
    pub last_text: Option<String>,
    pub path: PathBuf,
}

/// A task that waits in nobody's hands.
struct Waiting {
    task: TaskRef,
    spec: TaskSpec,
    since: Wall,
    path: PathBuf,
}

/// What has ended before `ended_since` is left out.
///
/// # Errors
/// A queue cannot be read.
pub fn rows(desk: &Desk, projects: &[ProjectName], ended_since: Wall) -> io::Result<Vec<Row>> {
    let mut survey = Survey {
        desk,
        instance: instance(desk),
        rules: Rules::of(&desk.daemon.config.dispatcher),
        rows: Vec::new(),
        waiting: Vec::new(),
    };
    for project in projects {
        let projects_dir = &desk.daemon.config.dispatcher.projects_dir;
        let Some(queue) = Queue::open(projects_dir, project)? else { continue };
        survey.inbox(&queue)?;
        for (part, state) in [(Part::Failed, State::Failed), (Part::Done, State::Done)] {
            if let Some(dir) = queue.part(part)? {
                survey.ended(&queue, &dir, state, ended_since)?;
            }
        }
    }
    survey.plan();
    let mut rows = survey.rows;
    rows.sort_by(|a, b| (a.state, a.since, &a.task).cmp(&(b.state, b.since, &b.task)));
    Ok(rows)
}

/// A user who may not read it sees the tasks all the same. No instance is called "".
fn instance(desk: &Desk) -> String {
    match desk.daemon.instance() {
        Ok(instance) => instance.unwrap_or_default(),
        Err(error) => {
            say::error(format_args!(
                "{error}: which markers are the daemon's cannot be told, all show as foreign"
            ));
            String::new()
        }
    }
}

struct Survey<'d> {
    desk: &'d Desk,
    instance: String,
    rules: Rules,
    rows: Vec<Row>,
    waiting: Vec<Waiting>,
}

impl Survey<'_> {
    fn inbox(&mut self, queue: &Queue) -> io::Result<()> {
        let Some(inbox) = queue.part(Part::Inbox)? else { return Ok(()) };
        let listing = inbox::list(&inbox)?;
        let held = held::of(queue);
        for id in &listing.marked {
            let task = TaskRef { project: queue.project.clone(), id: id.clone() };
            match marker::read(&inbox, &self.instance, &task)? {
                Some(Owner::Ours(mark)) => {
                    let row = Row::of(&task, State::Claimed, inbox.path());
                    self.rows.push(row.held(&mark, held.get(id.as_str())));
                }
                Some(Owner::Foreign) => {
                    let mut row = Row::of(&task, State::Foreign, inbox.path());
                    row.reason = Some("its marker is not ours".to_owned());
                    let mark = inbox.look(marker::name(id))?;
                    row.since = mark.map(|mark| mark.stamp.changed());
                    self.rows.push(row);
                }
                None => continue,
            }
            if let (Some(row), Some(title)) = (self.rows.last_mut(), title(&inbox, id)) {
                row.title = title;
            }
        }
        for id in listing.tasks.into_iter().filter(|id| !listing.marked.contains(id)) {
            self.unmarked(queue, &inbox, id)?;
        }
        for name in listing.misnamed {
            let mut row = Row::named(format!("{}:{name}", queue.project), State::Refused);
            row.reason = Some("its name is no task id".to_owned());
            row.path = inbox.path().join(&name);
            self.rows.push(row);
        }
        Ok(())
    }

    fn unmarked(&mut self, queue: &Queue, inbox: &Dir, id: TaskId) -> io::Result<()> {
        let task = TaskRef { project: queue.project.clone(), id };
        let path = inbox.path().join(file_name(&task.id));
        let (state, reason) = match inbox::read(inbox, &task.id, &self.rules)? {
            TaskFile::Gone => return Ok(()),
            TaskFile::Refused(refusal) => (State::Refused, refusal.to_string()),
            TaskFile::Read { found, bytes } => match front_matter::read(&task.id, &bytes) {
                Err(why) => (State::Malformed, why),
                Ok(spec) => {
                    let since = found.stamp.changed();
                    self.waiting.push(Waiting { task, spec, since, path });
                    return Ok(());
                }
            },
        };
        let mut row = Row::of(&task, state, inbox.path());
        row.reason = Some(reason);
        self.rows.push(row);
        Ok(())
    }

    fn ended(&mut self, queue: &Queue, dir: &Dir, state: State, since: Wall) -> io::Result<()> {
        let mut ended: Vec<(TaskId, u32)> = Vec::new();
        dir.for_each(|name, _| ended.extend(name.to_str().and_then(results::parse)))?;
        for (id, number) in ended {
            let name = results::name(&id, number);
            let Some(found) = dir.look(&name)?.filter(|found| found.stamp.changed() >= since)
            else {
                continue;
            };
            let task = TaskRef { project: queue.project.clone(), id };
            let mut row = Row::of(&task, state, dir.path());
            row.path = dir.path().join(&name);
            row.since = Some(found.stamp.changed());
            let read = dir.read(&name, HEAD_BYTES_MAX).ok().flatten();
            let bytes = read.map_or(Vec::new(), |(_, bytes)| bytes);
            row.title = title_in(&bytes, &task.id).unwrap_or(row.title);
            self.rows.push(row.ended(front_matter::result(&task, &bytes)));
        }
        Ok(())
    }

    /// What the daemon would make of those that wait.
    fn plan(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let queued: Vec<Queued<'_>> = waiting
            .iter()
            .map(|it| Queued {
                task: &it.task,
                spec: &it.spec,
                since: it.since,
                path: &it.path,
                dir: &it.path,
            })
            .collect();
        let none = Limits { per_project: 0, offers: 0 };
        let plan = plan(self.desk.now, &queued, none, |task| self.is_done(task));
        let mut blocked: BTreeMap<&TaskRef, String> = BTreeMap::new();
        for it in plan.blocked {
            let names: Vec<String> = it.waits_for.iter().map(ToString::to_string).collect();
            blocked.insert(it.task, format!("waits for {}", names.join(", ")));
        }
        blocked.extend(plan.cyclic.into_iter().map(|it| (it.task, it.reason)));
        for it in &waiting {
            let mut row = Row::named(it.task.to_string(), State::Ready);
            row.title.clone_from(&it.spec.title);
            row.since = Some(it.since);
            row.path.clone_from(&it.path);
            if !it.spec.needs_claude_code {
                row.state = State::NotForUs;
                row.reason = Some("needs_claude_code is false".to_owned());
            } else if let Some(why) = blocked.remove(&it.task) {
                row.state = State::Blocked;
                row.reason = Some(why);
            } else if let Some(at) = it.spec.not_before.filter(|at| *at > self.desk.now) {
                row.state = State::Later;
                row.reason = Some(format!("not before {at}"));
            }
            self.rows.push(row);
        }
    }

    /// A queue that cannot be read is told by its own rows; here its tasks are not done.
    fn is_done(&self, task: &TaskRef) -> bool {
        let projects_dir = &self.desk.daemon.config.dispatcher.projects_dir;
        let queue = Queue::open(projects_dir, &task.project).ok().flatten();
        queue.is_some_and(|queue| place::is_done(&queue, &task.id).unwrap_or(false))
    }
}

/// As the file says it; `None` when it cannot be read, or says nothing that can.
fn title(dir: &Dir, id: &TaskId) -> Option<String> {
    let (_, bytes) = dir.read(&file_name(id), HEAD_BYTES_MAX).ok()??;
    title_in(&bytes, id)
}

fn title_in(bytes: &[u8], id: &TaskId) -> Option<String> {
    let original = front_matter::without_result(bytes);
    front_matter::read(id, &original).ok().map(|spec| spec.title)
}

impl Row {
    fn named(task: String, state: State) -> Self {
        Self {
            task,
            state,
            since: None,
            session: None,
            account: None,
            conversation: None,
            attempts: None,
            title: String::new(),
            reason: None,
            last_text: None,
            path: PathBuf::new(),
        }
    }

    fn of(task: &TaskRef, state: State, dir: &std::path::Path) -> Self {
        Self {
            title: task.id.to_string(),
            path: dir.join(file_name(&task.id)),
            ..Self::named(task.to_string(), state)
        }
    }

    /// `None`: somebody put the file there, or changed it.
    fn ended(self, result: Option<TaskResult>) -> Self {
        let Some(result) = result else { return self };
        Self {
            since: Some(result.finished),
            session: result.session.map(Into::into),
            account: result.account.map(Into::into),
            conversation: result.conversation.map(Into::into),
            attempts: Some(result.attempts),
            reason: Some(result.reason),
            last_text: result.last_text,
            ..self
        }
    }

    /// The marker says that it is held; the daemon's last word adds how.
    fn held(self, mark: &Marker, held: Option<&Held>) -> Self {
        let state = match held.map(|held| held.state) {
            None if mark.session.is_none() => State::Ending,
            None | Some(HeldState::Claimed) => State::Claimed,
            Some(HeldState::Sending) => State::Sending,
            Some(HeldState::Running) => State::Running,
            Some(HeldState::Blocked) => State::Blocked,
            Some(HeldState::Ending) => State::Ending,
            Some(HeldState::Unknown) => State::Unknown,
        };
        Self {
            state,
            since: Some(mark.claimed_at),
            session: mark.session.clone().map(Into::into),
            account: held.and_then(|held| held.account.clone()),
            conversation: mark.conversation.clone().map(Into::into),
            attempts: Some(mark.attempt),
            reason: held.and_then(|held| held.reason.clone()),
            ..self
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = clap::ValueEnum::to_possible_value(self).expect("no state is hidden");
        f.write_str(name.get_name())
    }
}

fn rfc_3339<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(to)
}
