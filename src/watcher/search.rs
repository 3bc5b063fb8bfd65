//! Who is an agent, and in which pane: from the clients that say so and from the process table.
//!
//! An agent is the topmost client of its branch: what a client started itself is its tool, also when
//! it is a client. It belongs to the pane whose leader it is or descends from.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;

use crate::core::action::WatchedPane;
use crate::ids::ProcessRef;
use crate::process::table::{self, Offspring, unless_hidden};
use crate::watcher::client;
use crate::watcher::session_file::LiveClient;

/// Processes of one pane among which an agent without a session file is looked for.
const PANE_PROCESSES_MAX: usize = 512;
/// Steps from a process up to the leader of its pane.
const ANCESTORS_MAX: usize = 64;

/// What a search starts from.
pub struct Search<'a> {
    pub panes: &'a [WatchedPane],
    /// Living clients with a session file.
    pub clients: &'a [LiveClient],
    /// Agents of the last look. Without a session file they are found again by this, as not every
    /// search goes down and the kernel's lists of children may have gaps.
    pub earlier: &'a [ProcessRef],
    pub depth: Depth,
    /// As [`client::configured_name`] gives it.
    pub configured_name: Option<&'a str>,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Through all processes below the panes.
    Descend,
    /// To the processes already known, which costs a third.
    Known,
}

/// Where everyone is.
pub struct Findings<'a> {
    pub agents: Vec<Found<'a>>,
    /// Clients with a session file that are in none of the panes.
    pub foreign: Vec<&'a LiveClient>,
}

pub struct Found<'a> {
    pub pane: &'a WatchedPane,
    pub process: ProcessRef,
    pub client: Option<&'a LiveClient>,
}

/// The panes by leader, and which processes stand above one; each process is asked once.
struct Ancestry<'a> {
    leaders: HashMap<i32, &'a WatchedPane>,
    parents: HashMap<i32, Option<i32>>,
}

/// A process, then its ancestors up to the leader of its pane; up to the first process without one.
struct Branch<'a> {
    pids: Vec<i32>,
    pane: Option<&'a WatchedPane>,
}

impl<'a> Search<'a> {
    /// # Errors
    /// A process cannot be looked at: an agent that is there would be missing.
    pub fn run(&self) -> io::Result<Findings<'a>> {
        let mut ancestry = Ancestry {
            leaders: self.panes.iter().map(|pane| (pane.leader_pid, pane)).collect(),
            parents: self
                .clients
                .iter()
                .map(|client| (client.process.pid, client.parent))
                .collect(),
        };
        let mut agents = Vec::new();
        let mut foreign = Vec::new();
        // A script around a client that has a session file is no agent beside it.
        let mut around: HashSet<i32> = HashSet::new();
        let known: HashSet<i32> = pids(self.clients.iter().map(|client| client.process));
        for client in self.clients {
            let branch = ancestry.of(client.process.pid)?;
            if branch.is_below(&known) {
                continue;
            }
            let Some(pane) = branch.pane else {
                foreign.push(client);
                continue;
            };
            around.extend(branch.pids);
            agents.push(Found { pane, process: client.process, client: Some(client) });
        }
        let guesses = self.guess(&known)?;
        let known = &known | &pids(guesses.iter().copied());
        for process in guesses {
            let branch = ancestry.of(process.pid)?;
            if let Some(pane) = branch.pane
                && !branch.is_below(&known)
                && around.insert(process.pid)
            {
                agents.push(Found { pane, process, client: None });
            }
        }
        Ok(Findings { agents, foreign })
    }

    /// Processes in our panes that look like a client, none of them below a known one.
    fn guess(&self, known: &HashSet<i32>) -> io::Result<Vec<ProcessRef>> {
        let is_client = |pid| -> io::Result<bool> {
            let args = unless_hidden(table::args(pid))?;
            Ok(args.is_some_and(|args| client::is_client(&args, self.configured_name)))
        };
        let mut guesses = Vec::new();
        let mut offspring = Offspring::default();
        let panes = match self.depth {
            Depth::Descend => self.panes,
            Depth::Known => &[],
        };
        for pane in panes {
            let mut ahead = VecDeque::from([pane.leader_pid]);
            for _ in 0..PANE_PROCESSES_MAX {
                let Some(pid) = ahead.pop_front() else { break };
                if known.contains(&pid) {
                    continue;
                }
                if is_client(pid)? {
                    guesses.extend(unless_hidden(table::identity(pid))?);
                } else {
                    ahead.extend(unless_hidden(offspring.of(pid).map(Some))?.into_iter().flatten());
                }
            }
        }
        for process in self.earlier.iter().filter(|process| !known.contains(&process.pid)) {
            let living = unless_hidden(table::identity(process.pid))?;
            if living == Some(*process) && is_client(process.pid)? {
                guesses.push(*process);
            }
        }
        Ok(guesses)
    }
}

impl<'a> Ancestry<'a> {
    fn of(&mut self, pid: i32) -> io::Result<Branch<'a>> {
        let mut pids = Vec::new();
        let mut next = Some(pid);
        while let Some(pid) = next
            && pids.len() < ANCESTORS_MAX
        {
            pids.push(pid);
            if let Some(pane) = self.leaders.get(&pid) {
                let pane = Some(*pane);
                return Ok(Branch { pids, pane });
            }
            next = match self.parents.get(&pid) {
                Some(parent) => *parent,
                None => unless_hidden(table::parent(pid))?,
            };
            self.parents.insert(pid, next);
        }
        Ok(Branch { pids, pane: None })
    }
}

impl Branch<'_> {
    fn is_below(&self, known: &HashSet<i32>) -> bool {
        self.pids.iter().skip(1).any(|pid| known.contains(pid))
    }
}

fn pids(processes: impl Iterator<Item = ProcessRef>) -> HashSet<i32> {
    processes.map(|process| process.pid).collect()
}
