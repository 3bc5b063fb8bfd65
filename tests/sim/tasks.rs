//! The model of the queue and of agents at work on tasks: who was given what, who finished it, and
//! what must never happen to it.

use std::collections::BTreeMap;

use claude_failover::core::action::{Action, OrderId};
use claude_failover::core::event::{
    AgentState, DialogEnd, Event, LastWords, QueueCounts, SignalSeen, TasksOffered, Verb,
};
use claude_failover::core::job::JobStage;
use claude_failover::ids::{ConversationId, PaneId, ProcessRef, SessionName, TaskRef};
use claude_failover::moment::Wall;
use claude_failover::task::{Offer, Priority, TaskResult};

use crate::executors::Fate as OrderFate;
use crate::run::{Sim, Step};
use crate::task_checks::rank;
use crate::world::Agent;

/// Offered beyond what a project may have at once: some may have to rest.
const SPARE: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Inbox,
    Done,
    Failed,
}

/// A marker of ours beside a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub conversation: ConversationId,
    pub attempt: u32,
}

#[derive(Debug, Clone)]
pub struct Receipt {
    pub conversation: ConversationId,
    pub attempt: u32,
}

/// One task and its true story.
#[derive(Debug, Clone)]
pub struct Task {
    pub offer: Offer,
    pub place: Place,
    pub marker: Option<Marker>,
    /// Somebody else's marker lies there.
    pub foreign: bool,
    pub arrived_at: u64,
    pub claims: u32,
    pub receipts: Vec<Receipt>,
    /// An agent carried it out to its end.
    pub completed: bool,
    /// A person had it tried again without knowing whether it was delivered.
    pub retried: bool,
}

/// How an agent deals with the task it was launched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Signals,
    EndsItsTurn,
    SaysItFailed,
    Deaf,
    DiesAtWork,
}

/// An agent's share in a task.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub task: TaskRef,
    pub manner: Manner,
    pub received: bool,
    pub finished: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Queue {
    pub tasks: BTreeMap<TaskRef, Task>,
    /// Signal files by session: done or failed, and when.
    pub signals: BTreeMap<String, (bool, i64)>,
    pub changed: bool,
    pub signals_changed: bool,
}

/// What the dispatcher and the watcher last said, in one life.
#[derive(Debug, Default)]
pub struct Said {
    pub held: bool,
    pub offered: Option<TasksOffered>,
    pub offers_at: Option<u64>,
    pub signals_at: Option<u64>,
    pub last_order_at: u64,
}

impl Sim {
    /// A person or a program leaves a task.
    pub fn task_arrives(&mut self) {
        let number = self.world.queue.tasks.len();
        let project = ["blue", "red"][self.rng.below(2)];
        let task: TaskRef = format!("{project}:t{number:03}").parse().expect("a valid name");
        let priorities = [Priority::Critical, Priority::High, Priority::Default, Priority::Low];
        let offer = Offer {
            task: task.clone(),
            title: format!("number {number}"),
            priority: priorities[self.rng.below(4)],
            since: Wall(self.wall()),
            model: None,
            timeout: None,
            attempts: 3,
            path: format!("/srv/projects/{project}/.agent-queue/inbox/t{number:03}.md").into(),
            dir: format!("/srv/projects/{project}").into(),
        };
        self.say(|| format!("## task {task} arrives"));
        self.count("tasks");
        let task_file = Task {
            offer,
            place: Place::Inbox,
            marker: None,
            foreign: self.rng.chance(40),
            arrived_at: self.now,
            claims: 0,
            receipts: Vec::new(),
            completed: false,
            retried: false,
        };
        self.world.queue.tasks.insert(task, task_file);
        self.world.queue.changed = true;
    }

    pub fn schedule_queue_sensors(&mut self) {
        let Some(life) = &mut self.life else { return };
        let said = &mut life.said;
        if self.world.queue.changed && said.held && said.offers_at.is_none() {
            self.world.queue.changed = false;
            let delay = self.rng.within(1..150);
            said.offers_at = Some(self.now + delay);
            self.at(delay, Step::SenseQueue);
        }
        let Some(life) = &mut self.life else { return };
        if self.world.queue.signals_changed && life.said.signals_at.is_none() {
            self.world.queue.signals_changed = false;
            let delay = self.rng.within(1..1_100);
            life.said.signals_at = Some(self.now + delay);
            self.at(delay, Step::SenseSignals);
        }
    }

    pub fn sense_queue(&mut self) {
        let mut ready: Vec<&Task> = self
            .world
            .queue
            .tasks
            .values()
            .filter(|task| task.place == Place::Inbox && task.marker.is_none() && !task.foreign)
            .collect();
        ready.sort_by_key(|task| rank(&task.offer));
        let mut of_project: BTreeMap<String, u32> = BTreeMap::new();
        let mut offers = Vec::new();
        for task in &ready {
            let count = of_project.entry(task.offer.task.project.to_string()).or_default();
            *count += 1;
            if *count <= self.config.dispatcher.per_project + SPARE {
                offers.push(task.offer.clone());
            }
        }
        let counts = QueueCounts { ready: ready.len(), ..QueueCounts::default() };
        let offered = TasksOffered { offers, counts, ..TasksOffered::default() };
        let Some(life) = &mut self.life else { return };
        life.said.offers_at = None;
        if life.said.offered.as_ref() != Some(&offered) {
            life.said.offered = Some(offered.clone());
            self.tell("dispatcher", Event::TasksOffered(offered));
        }
    }

    /// Whoever could not claim one is told of all.
    fn offer_again(&mut self) {
        if let Some(life) = &mut self.life {
            life.said.offered = None;
            self.world.queue.changed = true;
        }
    }

    pub fn sense_signals(&mut self) {
        let Some(life) = &mut self.life else { return };
        life.said.signals_at = None;
        let seen: Vec<SignalSeen> = self
            .world
            .queue
            .signals
            .iter()
            .filter_map(|(session, (done, at))| {
                let session: SessionName = session.parse().ok()?;
                Some(SignalSeen { session, done: *done, at: Wall(*at), text: String::new() })
            })
            .collect();
        if !seen.is_empty() {
            self.tell("watcher", Event::SignalsSeen(seen));
        }
    }

    /// The effect of an order about tasks; `None` when it is none of those.
    pub fn task_effect(&mut self, life: u32, action: &Action, fate: OrderFate) -> Option<Event> {
        let is_done = !matches!(fate, OrderFate::Failed | OrderFate::Ghost(_));
        let failed = || "a fault of the simulation".to_owned();
        Some(match action {
            Action::ClaimTask { order, task, attempt, .. } => {
                let result = if is_done { self.claim(task, *attempt) } else { Err(failed()) };
                if result.is_err() {
                    self.offer_again();
                }
                Event::TaskClaimed { order: *order, task: task.clone(), result }
            }
            Action::ReleaseTask { order, task } => {
                let result = if is_done { self.release(task) } else { Err(failed()) };
                Event::TaskReleased { order: *order, task: task.clone(), result }
            }
            Action::CloseTask { order, result } => {
                let task = result.task.clone();
                let result = if is_done { self.close(result) } else { Err(failed()) };
                Event::TaskClosed { order: *order, task, result }
            }
            Action::ClearSignals { order, session } => {
                if is_done {
                    self.world.queue.signals.remove(session.as_str());
                }
                let result = if is_done { Ok(()) } else { Err(failed()) };
                Event::SignalsCleared { order: *order, session: session.clone(), result }
            }
            Action::ReadConversation { order, session, conversation, .. } => {
                let result =
                    if is_done { Ok(self.last_words(conversation)) } else { Err(failed()) };
                Event::ConversationRead { order: *order, session: session.clone(), result }
            }
            Action::HandleDialog { order, session, pane, .. } => {
                self.dialog_effect(life, *order, session, *pane, is_done)
            }
            _ => return None,
        })
    }

    fn claim(&mut self, task: &TaskRef, attempt: u32) -> Result<ConversationId, String> {
        self.world.queue.changed = true;
        let conversation = self.world.new_conversation();
        let known = self.world.queue.tasks.get_mut(task).ok_or("no such task")?;
        if known.place != Place::Inbox || known.foreign {
            return Err("it is not in the inbox, or not ours".to_owned());
        }
        let marker = known.marker.get_or_insert(Marker { conversation, attempt });
        assert_eq!(marker.attempt, attempt, "{task}: an old marker serves a new attempt");
        Ok(marker.conversation.clone())
    }

    fn release(&mut self, task: &TaskRef) -> Result<(), String> {
        self.world.queue.changed = true;
        let worker = self.worker_on(task);
        let known = self.world.queue.tasks.get_mut(task).ok_or("no such task")?;
        assert!(
            known.marker.is_none() || worker.is_none(),
            "{task} is offered again while pid {worker:?} works on it"
        );
        known.marker = None;
        Ok(())
    }

    fn close(&mut self, result: &TaskResult) -> Result<(), String> {
        self.world.queue.changed = true;
        let task = &result.task;
        // Nobody is ended in a session that is not ours any more.
        let ours = |pid: &i32| {
            let session = self.world.agents.get(pid).and_then(|agent| agent.session.parse().ok());
            session.is_some_and(|name: SessionName| self.config_of_core().group(&name).is_some())
        };
        let worker = self.worker_on(task).filter(ours);
        let known = self.world.queue.tasks.get_mut(task).ok_or("no such task")?;
        let place = if result.done { Place::Done } else { Place::Failed };
        if known.place != Place::Inbox {
            // Whoever decides on one that was closed unheard leaves it where it is.
            let decided = known.retried;
            assert!(decided || known.place == place, "{task} ends twice, and not alike");
            known.marker = None;
            return Ok(());
        }
        assert!(known.marker.is_some(), "{task} is closed without a marker");
        // By its own word it is through, well or not, though it may not be possible to end it.
        let is_told = result.done || result.reason == "signal";
        assert!(worker.is_none() || is_told, "{task} is closed while pid {worker:?} works on it");
        assert!(!result.done || known.completed, "{task} is called done and nobody did it");
        known.place = place;
        known.marker = None;
        Ok(())
    }

    /// A living agent in a pane that works on the task.
    fn worker_on(&self, task: &TaskRef) -> Option<i32> {
        if self.world.queue.tasks.get(task).is_some_and(|task| task.retried) {
            return None; // a person has taken that upon himself
        }
        let mut agents = self.world.agents.values();
        let works = agents.find(|agent| {
            let assigned = agent.assignment.as_ref();
            let has_it = assigned.is_some_and(|a| a.task == *task && a.received && !a.finished);
            has_it && agent.pane.is_some() && !agent.ending && !agent.survived
        })?;
        Some(works.process.pid)
    }

    fn last_words(&self, conversation: &ConversationId) -> Option<Box<LastWords>> {
        let ending = self.world.talks.get(conversation)?.ending_of_all()?;
        Some(Box::new(LastWords { ending, text: Some("that is all".to_owned()) }))
    }

    fn dialog_effect(
        &mut self,
        _life: u32,
        order: OrderId,
        session: &SessionName,
        pane: PaneId,
        is_done: bool,
    ) -> Event {
        let waiting = self.world.agent_in_pane(pane).and_then(|agent| match &agent.state {
            AgentState::Waiting(dialog) => Some((agent.process.pid, dialog.clone())),
            _ => None,
        });
        let result = match waiting {
            _ if !is_done => Err("a fault of the simulation".to_owned()),
            None => Ok(DialogEnd::Gone),
            Some((pid, dialog)) if dialog == "trust" => {
                self.count("dialogs answered");
                self.plan_turn(pid, 300);
                Ok(DialogEnd::Answered(dialog))
            }
            Some((_, dialog)) => Ok(DialogEnd::Left { dialog, rows: vec!["what now?".to_owned()] }),
        };
        Event::DialogHandled { order, session: session.clone(), result }
    }

    /// Whether this agent is ended because its task is over, or to make room for one.
    pub fn is_over_for(&self, agent: &Agent) -> bool {
        if self.checks.ended_for_tasks.contains(&agent.process) {
            return true;
        }
        let Ok(session) = agent.session.parse::<SessionName>() else { return false };
        self.checks.shadow.jobs.get(&session).is_some_and(|job| match &job.stage {
            JobStage::Stopping { process } => *process == agent.process,
            JobStage::Ending { .. } => agent.launched_fence.is_some(),
            _ => false,
        })
    }

    /// By the time they end the job may be closed.
    pub fn note_ended_for_tasks(&mut self, agents: &[ProcessRef]) {
        for process in agents {
            let agent = self.world.agents.get(&process.pid);
            let agent = agent.filter(|agent| agent.process == *process);
            if agent.is_some_and(|agent| self.is_over_for(agent)) {
                self.checks.ended_for_tasks.insert(*process);
            }
        }
    }

    /// Whether this process was one of ours in a session whose task is over.
    pub fn is_ended_for_a_task(&self, process: &ProcessRef) -> bool {
        let session = self.world.agent_ever.get(process).and_then(|name| name.parse().ok());
        let agent = self.world.agents.get(&process.pid);
        agent.is_none_or(|agent| agent.launched_fence.is_some())
            && session.and_then(|name: SessionName| self.checks.shadow.jobs.get(&name)).is_some_and(
                |job| match &job.stage {
                    JobStage::Stopping { process: idle } => idle == process,
                    JobStage::Ending { .. } => true,
                    _ => false,
                },
            )
    }

    /// What an agent that is launched for a task, or resumed in its conversation, has to do with it.
    pub fn assignment(&mut self, conversation: &ConversationId, fresh: bool) -> Option<Assignment> {
        let holds = |task: &&Task| {
            let marked = task.marker.as_ref().is_some_and(|m| m.conversation == *conversation);
            marked || task.receipts.iter().any(|receipt| receipt.conversation == *conversation)
        };
        let task = self.world.queue.tasks.values().find(holds)?;
        let received = task.receipts.iter().any(|receipt| receipt.conversation == *conversation);
        let task = task.offer.task.clone();
        let calm = self.calm.is_some();
        let manner = match self.rng.below(if calm { 6 } else { 10 }) {
            0..=3 => Manner::Signals,
            4 | 5 => Manner::EndsItsTurn,
            6 => Manner::SaysItFailed,
            7 => Manner::Deaf,
            8 => Manner::DiesAtWork,
            _ => Manner::Signals,
        };
        assert!(!fresh || !received, "{task} is sent again in the same conversation");
        Some(Assignment { task, manner, received, finished: false })
    }

    /// The agent takes the prompt that names its task. False when it does not hear it.
    pub fn takes_task(&mut self, pid: i32) -> bool {
        let Some(agent) = self.world.agents.get_mut(&pid) else { return false };
        let conversation = agent.conversation.clone();
        let lives_on = agent.survived;
        let Some(assigned) = agent.assignment.as_mut() else { return true };
        if assigned.manner == Manner::Deaf {
            return false;
        }
        if assigned.received {
            return true;
        }
        assigned.received = true;
        let name = assigned.task.clone();
        let others: Vec<i32> = self
            .world
            .agents
            .values()
            .filter(|other| other.process.pid != pid && other.pane.is_some() && !other.ending)
            .filter(|other| {
                other
                    .assignment
                    .as_ref()
                    .is_some_and(|a| a.task == name && a.received && !a.finished)
            })
            .map(|other| other.process.pid)
            .collect();
        self.count("tasks received");
        self.say(|| format!("   pid {pid} receives {name}"));
        let Some(task) = self.world.queue.tasks.get_mut(&name) else { return true };
        if lives_on && task.place != Place::Inbox {
            return true; // it could not be ended with its task, and that has been told
        }
        assert!(others.is_empty() || task.retried, "{name}: pid {pid} beside {others:?}");
        assert_eq!(task.place, Place::Inbox, "{name} is delivered after its end");
        let marker = task.marker.clone();
        let ours = marker.as_ref().is_some_and(|marker| marker.conversation == conversation);
        assert!(ours, "{name} is delivered without a marker, or under another one");
        let attempt = marker.map_or(0, |marker| marker.attempt);
        let twice = task.receipts.iter().any(|receipt| receipt.attempt == attempt);
        assert!(!twice || task.retried, "{name}: attempt {attempt} is delivered twice");
        task.receipts.push(Receipt { conversation, attempt });
        true
    }

    /// The end of a turn that went well, for an agent with a task. True when it has one.
    pub fn finishes_task(&mut self, pid: i32) -> bool {
        let wall = self.wall();
        let Some(agent) = self.world.agents.get_mut(&pid) else { return false };
        let session = agent.session.clone();
        let Some(assigned) = agent.assignment.as_mut() else { return false };
        assigned.finished = true;
        let (name, manner) = (assigned.task.clone(), assigned.manner);
        let signal = match manner {
            Manner::Signals => Some(true),
            Manner::SaysItFailed => Some(false),
            Manner::EndsItsTurn | Manner::Deaf | Manner::DiesAtWork => None,
        };
        if let Some(task) = self.world.queue.tasks.get_mut(&name) {
            task.completed |= manner != Manner::SaysItFailed;
        }
        if let Some(done) = signal {
            self.world.queue.signals.insert(session, (done, wall));
            self.world.queue.signals_changed = true;
        }
        true
    }

    /// In the calm a person decides on what nobody can tell.
    pub fn person_decides(&mut self) {
        let Some(life) = &self.life else { return };
        let open: Vec<TaskRef> = life.core.durable.set_aside.keys().cloned().collect();
        let number = self.life_number;
        for task in open {
            self.count("tasks decided by a person");
            let event = if self.rng.chance(500) {
                Verb::TaskRetry { task }.into()
            } else {
                Verb::TaskCancel { task }.into()
            };
            self.at(1, Step::Deliver { life: number, event });
        }
    }
}
