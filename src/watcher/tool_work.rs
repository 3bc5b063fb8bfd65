//! Whether the tools of agents at work do anything: the processor time of all that an agent has
//! started. A long build writes no record and paints no screen, yet it is progress.
//!
//! The agent's own time says nothing: a client that waits for ever paints its spinner, too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use crate::core::action::WatchedPane;
use crate::core::event::{AgentSeen, Event};
use crate::ids::{PaneId, ProcessRef};
use crate::process::table::{self, unless_hidden};

/// So much within [`WINDOW`] is work; a server that idles beside an agent uses less.
const WORK_MIN: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(30);
/// However often agents are looked at.
const MEASURES_APART: Duration = Duration::from_secs(1);
/// Processes below one agent that are counted.
const PROCESSES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub struct ToolWork {
    measured_at: Option<Instant>,
    agents: HashMap<ProcessRef, Work>,
}

/// The work of one agent's tools.
#[derive(Debug)]
struct Work {
    /// Processor time at the last measure; what somebody else collects leaves it.
    total: Duration,
    /// The last measure was lower, which one that ended between two of our reads would explain.
    is_lower: bool,
    /// When it grew, and by how much; within [`WINDOW`].
    growth: VecDeque<(Instant, Duration)>,
    told_at: Option<Instant>,
}

impl ToolWork {
    /// `ToolsWorked` for each agent in a pane at work whose tools have done enough.
    pub fn look(
        &mut self,
        agents: &[AgentSeen],
        panes: &[WatchedPane],
        now: Instant,
    ) -> Vec<Event> {
        if self.measured_at.is_some_and(|at| now.duration_since(at) < MEASURES_APART) {
            return Vec::new();
        }
        self.measured_at = Some(now);
        let at_work: HashSet<PaneId> =
            panes.iter().filter(|pane| pane.at_work).map(|pane| pane.pane).collect();
        let agents: Vec<&AgentSeen> =
            agents.iter().filter(|agent| at_work.contains(&agent.pane)).collect();
        self.agents.retain(|process, _| agents.iter().any(|agent| agent.process == *process));
        let mut news = Vec::new();
        for agent in agents {
            // Half a measure would be work when the rest comes back.
            let Ok(Some(total)) = used_below(agent.process) else { continue };
            let work = self.agents.entry(agent.process).or_insert_with(|| Work::begin(total));
            if work.goes_on(total, now) {
                let (session, process) = (agent.session.clone(), agent.process);
                news.push(Event::ToolsWorked { session, process });
            }
        }
        news
    }
}

impl Work {
    fn begin(total: Duration) -> Self {
        Self { total, is_lower: false, growth: VecDeque::new(), told_at: None }
    }

    /// Takes one measure; true when it is time to tell.
    fn goes_on(&mut self, total: Duration, now: Instant) -> bool {
        if total < self.total && !self.is_lower {
            // Not believed at once: it would count as work when it comes back.
            self.is_lower = true;
            return false;
        }
        self.is_lower = false;
        let grown = total.saturating_sub(self.total);
        self.total = total;
        self.growth.push_back((now, grown));
        while self.growth.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.growth.pop_front();
        }
        let is_due = self.told_at.is_none_or(|at| now.duration_since(at) >= WINDOW);
        let worked: Duration = self.growth.iter().map(|(_, grown)| *grown).sum();
        if !is_due || worked < WORK_MIN {
            return false;
        }
        self.growth.clear();
        self.told_at = Some(now);
        true
    }
}

/// `None` when the agent is gone.
fn used_below(agent: ProcessRef) -> io::Result<Option<Duration>> {
    // Before those it may collect meanwhile: one that is missed is found again at the next measure.
    let own = table::stat(agent.pid)?.filter(|stat| stat.started_ticks == agent.started_ticks);
    let Some(own) = own else { return Ok(None) };
    let mut used = own.used_by_collected;
    for pid in table::descendants(agent.pid, PROCESSES_MAX)? {
        if let Some(stat) = unless_hidden(table::stat(pid))? {
            used += stat.used + stat.used_by_collected;
        }
    }
    Ok(Some(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which each measure (seconds, total in tenths) led to a word.
    fn told(measures: &[(u64, u64)]) -> Vec<u64> {
        let start = crate::clock::instant();
        let mut work = Work::begin(Duration::ZERO);
        let tells = measures.iter().filter(|(at_s, tenths)| {
            let now = start + Duration::from_secs(*at_s);
            work.goes_on(Duration::from_millis(tenths * 100), now)
        });
        tells.map(|(at_s, _)| *at_s).collect()
    }

    #[test]
    fn a_second_of_work_within_the_window_is_told_once_a_window() {
        for (what, measures, expected) in [
            ("nothing", &[(1, 0), (40, 0)][..], &[][..]),
            ("too little", &[(1, 4), (2, 9)], &[]),
            ("enough", &[(1, 4), (2, 10)], &[2]),
            ("too slowly", &[(1, 5), (32, 10), (63, 15)], &[]),
            ("without end", &[(1, 10), (2, 20), (30, 300), (31, 301), (32, 400)], &[1, 31]),
            ("one that was missed", &[(1, 10), (32, 0), (33, 11), (34, 12)], &[1]),
            ("one that was collected by init", &[(1, 10), (32, 0), (33, 1), (34, 12)], &[1, 34]),
        ] {
            assert_eq!(told(measures), expected, "{what}");
        }
    }
}
