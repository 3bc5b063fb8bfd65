//! Tasks that wait for themselves.
//!
//! A task lies in a cycle when it can be reached from itself along dependencies: when its strongly
//! connected component has more than one task, or it names itself.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::ids::TaskRef;
use crate::task::plan::{Blocked, Cyclic};

/// Of a cycle that is longer, the middle is not shown.
const SHOWN_MAX: usize = 8;

/// Dependencies looked at in search of cycles to show, over all tasks. Only queues that are one
/// large tangle need more; their tasks are told so without a cycle.
const STEPS_MAX: usize = 500_000;

/// Every task that waits for itself, with a cycle that it lies in.
pub fn find<'a>(blocked: &[Blocked<'a>]) -> Vec<Cyclic<'a>> {
    let graph = Graph::of(blocked);
    let component = components(&graph);
    let mut sizes = vec![0_usize; blocked.len()];
    for at in &component {
        sizes[*at] += 1;
    }
    let mut steps = STEPS_MAX;
    let mut reasons: Vec<Option<String>> = vec![None; blocked.len()];
    for start in 0..blocked.len() {
        let size = sizes[component[start]];
        let is_cyclic = size > 1 || graph.next[start].contains(&start);
        if !is_cyclic || reasons[start].is_some() {
            continue;
        }
        match shortest(&graph, &component, start, &mut steps) {
            Some(cycle) => {
                for at in 0..cycle.len() {
                    reasons[cycle[at]].get_or_insert_with(|| shown(blocked, &cycle, at));
                }
            }
            None => {
                reasons[start] =
                    Some(format!("it waits for itself, in a tangle of {size} tasks that do"));
            }
        }
    }
    let found = blocked.iter().zip(reasons);
    found
        .filter_map(|(blocked, reason)| Some(Cyclic { task: blocked.task, reason: reason? }))
        .collect()
}

/// Takes the cyclic ones out of the blocked.
pub fn part<'a>(blocked: &mut Vec<Blocked<'a>>, cyclic: &[Cyclic<'a>]) {
    let cyclic: HashSet<&TaskRef> = cyclic.iter().map(|cyclic| cyclic.task).collect();
    if !cyclic.is_empty() {
        blocked.retain(|blocked| !cyclic.contains(blocked.task));
    }
}

/// Blocked tasks by number, each with the blocked tasks that it waits for.
struct Graph {
    next: Vec<Vec<usize>>,
}

impl Graph {
    fn of(blocked: &[Blocked<'_>]) -> Self {
        let numbers: HashMap<&TaskRef, usize> =
            blocked.iter().enumerate().map(|(number, blocked)| (blocked.task, number)).collect();
        let next = blocked.iter().map(|blocked| {
            blocked.waits_for.iter().filter_map(|task| numbers.get(task).copied()).collect()
        });
        Self { next: next.collect() }
    }
}

/// The component of each node (Tarjan's algorithm, with a stack of its own: chains are long).
fn components(graph: &Graph) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let count = graph.next.len();
    let (mut order, mut low) = (vec![UNSEEN; count], vec![0; count]);
    let mut component = vec![UNSEEN; count];
    let (mut open, mut path) = (Vec::new(), Vec::new());
    let (mut seen, mut closed) = (0, 0);
    for root in 0..count {
        if order[root] == UNSEEN {
            path.push((root, 0));
        }
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                (order[node], low[node]) = (seen, seen);
                seen += 1;
                open.push(node);
            } else {
                let child = graph.next[node][edge - 1];
                low[node] = low[node].min(low[child]);
            }
            // Goes on behind the edge from which it has come back.
            let mut edges = graph.next[node].iter().enumerate().skip(edge);
            let into = edges.find(|(_, to)| {
                if order[**to] != UNSEEN && component[**to] == UNSEEN {
                    low[node] = low[node].min(order[**to]);
                }
                order[**to] == UNSEEN
            });
            if let Some((edge, to)) = into {
                path.push((node, edge + 1));
                path.push((*to, 0));
                continue;
            }
            if low[node] == order[node] {
                while let Some(member) = open.pop() {
                    component[member] = closed;
                    if member == node {
                        break;
                    }
                }
                closed += 1;
            }
        }
    }
    component
}

/// The nodes of a shortest cycle through `start`, which comes first. `None`: `steps` are used up.
fn shortest(
    graph: &Graph,
    component: &[usize],
    start: usize,
    steps: &mut usize,
) -> Option<Vec<usize>> {
    let mut came_from = HashMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        for to in &graph.next[node] {
            *steps = steps.checked_sub(1)?;
            if *to == start {
                let mut cycle = vec![node];
                while let Some(before) = came_from.get(cycle.last()?) {
                    cycle.push(*before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if component[*to] == component[start] && !came_from.contains_key(to) {
                came_from.insert(*to, node);
                waiting.push_back(*to);
            }
        }
    }
    None
}

/// The cycle as seen from its node at `first`.
fn shown(blocked: &[Blocked<'_>], cycle: &[usize], first: usize) -> String {
    let name = |at: usize| blocked[cycle[(first + at) % cycle.len()]].task.to_string();
    let mut names: Vec<String> = (0..cycle.len().min(SHOWN_MAX)).map(name).collect();
    if cycle.len() > SHOWN_MAX {
        names.push(format!("{} more", cycle.len() - SHOWN_MAX));
    }
    names.push(name(0));
    format!("it waits for itself: {}", names.join(" → "))
}
