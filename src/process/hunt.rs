//! The processes that belong to a set of agents, followed from one look to the next.
//!
//! Downwards only: a member is an agent, a descendant, or an orphan in a group or session that a
//! descendant opened.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Signal, getrlimit};

use crate::clock;
use crate::ids::ProcessRef;
use crate::process::member::{Kind, Member, open};
use crate::process::run::timespec;
use crate::process::stop::{MEMBERS_MAX, StopOutcome};
use crate::process::tree::{Row, scan};

/// pidfds held at a time: this part of the files that we may open, for others want some meanwhile.
const PIDFDS_SHARE: u64 = 8;
const PIDFDS_MIN: usize = 4;
const PIDFDS_MAX: usize = 256;
/// Looks for processes that started while their parents were being frozen, and the pause between.
const FREEZE_LOOKS_MAX: usize = 8;
const FREEZE_INTERVAL: Duration = Duration::from_millis(2);

/// Everything that belongs to the roots, living or not, as far as it was seen.
pub struct Hunt {
    roots: Vec<Root>,
    members: BTreeMap<i32, Member>,
    protected: BTreeSet<i32>,
    /// Everybody there was at the last look.
    seen: BTreeSet<ProcessRef>,
}

struct Root {
    process: ProcessRef,
    /// Known before anything was signalled.
    found: Result<(), StopOutcome>,
    group: Option<i32>,
    /// It has more descendants than are followed.
    overflowed: bool,
}

impl Hunt {
    pub fn new(roots: &[ProcessRef], rows: &BTreeMap<i32, Row>) -> Self {
        let protected = ourselves_and_ancestors(rows);
        let mut hunt = Self {
            roots: Vec::with_capacity(roots.len()),
            members: BTreeMap::new(),
            protected,
            seen: BTreeSet::new(),
        };
        for &process in roots {
            let row = rows.get(&process.pid).filter(|row| row.process == process);
            let found = match row {
                Some(row) if row.is_gone() => Err(StopOutcome::AlreadyGone),
                None => Err(StopOutcome::AlreadyGone),
                Some(_) if hunt.protected.contains(&process.pid) => Err(StopOutcome::Survived(
                    "it is this daemon or one of its ancestors".to_owned(),
                )),
                Some(_) => Ok(()),
            };
            if let (Some(row), Ok(())) = (row, &found) {
                hunt.add(row, hunt.roots.len(), Kind::Root);
            }
            hunt.roots.push(Root {
                process,
                found,
                group: row.map(|row| row.group),
                overflowed: false,
            });
        }
        hunt
    }

    fn add(&mut self, row: &Row, root: usize, kind: Kind) {
        let member = Member {
            process: row.process,
            root,
            kind,
            row: Some(row.clone()),
            terminated: false,
            refusal: None,
        };
        self.members.insert(row.process.pid, member);
    }

    /// Takes in who has ended and who has come.
    pub fn look(&mut self, rows: &BTreeMap<i32, Row>) {
        for member in self.members.values_mut() {
            member.row = rows
                .get(&member.process.pid)
                .filter(|row| row.process == member.process && !row.is_gone())
                .cloned();
        }
        self.seen = rows.values().map(|row| row.process).collect();
        // Parents may stand after their children, so until nobody comes any more.
        loop {
            let found: Vec<(&Row, usize)> = rows
                .values()
                .filter(|row| !row.is_gone() && !self.is_member(row))
                .filter(|row| !self.protected.contains(&row.process.pid))
                .filter_map(|row| Some((row, self.root_of(row, rows)?)))
                .collect();
            let mut added = 0;
            for (row, root) in found {
                if self.members.len() < MEMBERS_MAX {
                    self.add(row, root, Kind::Descendant);
                    added += 1;
                } else {
                    self.roots[root].overflowed = true;
                }
            }
            if added == 0 {
                return;
            }
        }
    }

    /// The look at once after SIGTERM: an agent that dies of it on the spot may have started
    /// processes since the look before. They are in its group, new, and without a parent there,
    /// which a sibling has: the shell. Only now, for later a shell may have taken over the group.
    pub fn look_after_term(&mut self, rows: &BTreeMap<i32, Row>) {
        for row in rows.values() {
            let is_orphan = rows.get(&row.parent).is_none_or(|parent| parent.group != row.group);
            let is_late = is_orphan && !row.is_gone() && !self.seen.contains(&row.process);
            let of_root = |root: &Root| root.found.is_ok() && root.group == Some(row.group);
            if is_late
                && !self.is_member(row)
                && !self.protected.contains(&row.process.pid)
                && self.members.len() < MEMBERS_MAX
                && let Some(root) = self.roots.iter().position(of_root)
            {
                self.add(row, root, Kind::Descendant);
            }
        }
        self.look(rows);
    }

    /// The root to whose tree a process belongs that is no member yet.
    fn root_of(&self, row: &Row, rows: &BTreeMap<i32, Row>) -> Option<usize> {
        let is_same = |member: &&Member| {
            rows.get(&member.process.pid).is_some_and(|found| found.process == member.process)
        };
        if let Some(parent) = self.members.get(&row.parent).filter(is_same) {
            return Some(parent.root);
        }
        // An orphan of the tree: its group or session was opened by a descendant. A root's own
        // group does not count, for the shell may have put siblings into it (`claude | tee log`).
        let not_reused =
            |member: &&Member| !rows.contains_key(&member.process.pid) || is_same(member);
        [row.group, row.session]
            .iter()
            .filter_map(|leader| self.members.get(leader))
            .filter(|member| member.kind == Kind::Descendant)
            .find(not_reused)
            .map(|member| member.root)
    }

    fn is_member(&self, row: &Row) -> bool {
        self.members.get(&row.process.pid).is_some_and(|member| member.process == row.process)
    }

    /// SIGTERM, once, to whoever has not had it, the agents first: a client that loses its tool
    /// before it hears of the end itself would go on with its turn.
    ///
    /// Whether an agent was among them; then `look_after_term` is next.
    pub fn terminate(&mut self) -> bool {
        let mut has_new_root = false;
        for kind in [Kind::Root, Kind::Descendant] {
            for member in self.living().filter(|member| member.kind == kind) {
                if !member.terminated {
                    // One that could not be sent is sent at the next look: SIGKILL must not be the
                    // first that an agent hears of its end.
                    member.terminated = member.send(Signal::TERM);
                    has_new_root |= member.terminated && kind == Kind::Root;
                }
                // A stopped process acts on SIGTERM only when it goes on.
                if member.row.as_ref().is_some_and(|row| row.state == 'T') {
                    member.send(Signal::CONT);
                }
            }
        }
        has_new_root
    }

    /// A process that is stopped starts no other, so that nobody slips away between the last look
    /// and the kill.
    pub fn freeze(&mut self) {
        for _ in 0..FREEZE_LOOKS_MAX {
            for member in self.living().filter(|member| !member.is_frozen()) {
                member.send(Signal::STOP);
            }
            let known = self.members.len();
            let Ok(rows) = scan() else { return };
            self.look(&rows);
            if self.members.len() == known && self.living().all(|member| member.is_frozen()) {
                return;
            }
            self.wait(clock::instant() + FREEZE_INTERVAL);
        }
    }

    pub fn kill(&mut self) {
        for member in self.living() {
            member.send(Signal::KILL);
        }
    }

    fn living(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut().filter(|member| member.row.is_some())
    }

    pub fn is_over(&self) -> bool {
        self.members.values().all(|member| member.row.is_none())
    }

    /// Waits until everybody has ended, or until `deadline`.
    pub fn wait(&mut self, deadline: Instant) {
        let opened: Result<Vec<OwnedFd>, Errno> = self
            .living()
            .take(pidfds_max())
            .map(|member| open(member.process))
            .filter(|opened| !matches!(opened, Err(Errno::SRCH)))
            .collect();
        // Out of descriptors none is held, for others want them, too; the next look tells who has
        // ended.
        let is_blind = opened.is_err();
        let mut pidfds = opened.unwrap_or_default();
        while is_blind || !pidfds.is_empty() {
            let left = deadline.saturating_duration_since(clock::instant());
            let mut fds: Vec<PollFd<'_>> = pidfds
                .iter()
                .map(|pidfd| PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN))
                .collect();
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return log::warn!("cannot wait for the ends of agents: {errno}"),
            }
            let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let mut ended = ended.into_iter();
            pidfds.retain(|_| !ended.next().unwrap_or(false));
        }
    }

    pub fn outcomes(self) -> Vec<(ProcessRef, StopOutcome)> {
        let Self { roots, members, .. } = self;
        let outcome = |(at, root): (usize, Root)| {
            if let Err(outcome) = root.found {
                return (root.process, outcome);
            }
            let left =
                || members.values().filter(|member| member.root == at && member.row.is_some());
            let others = left().count().saturating_sub(1);
            let why = match left().next() {
                Some(first) => first.why(others),
                None if root.overflowed => {
                    format!("it has more than {MEMBERS_MAX} descendants, and not all were followed")
                }
                None => return (root.process, StopOutcome::Stopped),
            };
            let lives = left().any(|member| member.process == root.process);
            let outcome =
                if lives { StopOutcome::Survived(why) } else { StopOutcome::LeftBehind(why) };
            (root.process, outcome)
        };
        roots.into_iter().enumerate().map(outcome).collect()
    }
}

fn pidfds_max() -> usize {
    let files_max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = usize::try_from(files_max / PIDFDS_SHARE).unwrap_or(usize::MAX);
    share.clamp(PIDFDS_MIN, PIDFDS_MAX)
}

fn ourselves_and_ancestors(rows: &BTreeMap<i32, Row>) -> BTreeSet<i32> {
    let mut pid = i32::try_from(std::process::id()).expect("the kernel's pids fit in 22 bits");
    let mut protected = BTreeSet::from([1]);
    while pid > 0 && protected.insert(pid) {
        pid = rows.get(&pid).map_or(0, |row| row.parent);
    }
    protected
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Rlimit, setrlimit};

    use super::*;

    /// (pid, start, parent, group, session)
    type Sketch = (i32, u64, i32, i32, i32);

    fn table(sketches: &[Sketch]) -> BTreeMap<i32, Row> {
        let row = |&(pid, started_ticks, parent, group, session): &Sketch| Row {
            process: ProcessRef { pid, started_ticks },
            name: format!("p{pid}"),
            state: 'S',
            parent,
            group,
            session,
            threads: 1,
        };
        sketches.iter().map(|sketch| (sketch.0, row(sketch))).collect()
    }

    fn hunt(root: i32, before: &[Sketch], after: &[Sketch]) -> Vec<i32> {
        let rows = table(before);
        let mut hunt = Hunt::new(&[rows[&root].process], &rows);
        hunt.look(&rows);
        hunt.look(&table(after));
        let living = hunt.living().map(|member| member.process.pid);
        living.collect()
    }

    const SHELL: Sketch = (1_000_100, 1, 1, 1_000_100, 1_000_100);
    const AGENT: Sketch = (1_000_200, 2, 1_000_100, 1_000_200, 1_000_100);
    /// A tool of the agent in a group of its own.
    const TOOL: Sketch = (1_000_300, 3, 1_000_200, 1_000_300, 1_000_100);

    #[test]
    fn the_tree_is_found_whatever_the_order_of_pids() {
        let low = (1_000_050, 9, 1_000_300, 1_000_050, 1_000_050);
        let rows = [SHELL, AGENT, TOOL, low];
        assert_eq!(hunt(1_000_200, &rows, &rows), [1_000_050, 1_000_200, 1_000_300]);
    }

    #[test]
    fn a_sibling_in_the_agents_own_group_is_none_of_it() {
        let tee = (1_000_201, 2, 1_000_100, 1_000_200, 1_000_100);
        let rows = [SHELL, AGENT, tee];
        assert_eq!(hunt(1_000_200, &rows, &rows), [1_000_200]);
    }

    #[test]
    fn an_orphan_of_a_tool_is_found_by_its_group_or_session() {
        let same_group = (1_000_400, 4, 1, 1_000_300, 1_000_100);
        assert_eq!(
            hunt(1_000_200, &[SHELL, AGENT, TOOL], &[SHELL, AGENT, same_group]),
            [1_000_200, 1_000_400]
        );
        let same_session = (1_000_400, 4, 1, 1_000_400, 1_000_300);
        assert_eq!(hunt(1_000_200, &[SHELL, AGENT, TOOL], &[SHELL, same_session]), [1_000_400]);
    }

    #[test]
    fn a_child_that_came_just_before_the_agent_died_is_found_once() {
        let sibling = (1_000_201, 2, 1_000_100, 1_000_200, 1_000_100);
        let late = (1_000_400, 4, 1, 1_000_200, 1_000_100);
        let of_sibling = (1_000_401, 4, 1_000_201, 1_000_200, 1_000_100);
        let old = (1_000_202, 1, 1, 1_000_200, 1_000_100);
        let before = table(&[SHELL, AGENT, sibling, old]);
        let after = table(&[SHELL, sibling, old, late, of_sibling]);
        let mut hunt = Hunt::new(&[before[&1_000_200].process], &before);
        hunt.look(&before);
        hunt.look(&after);
        assert!(hunt.is_over(), "a later look takes no strangers in");

        let mut hunt = Hunt::new(&[before[&1_000_200].process], &before);
        hunt.look(&before);
        hunt.look_after_term(&after);
        let living: Vec<i32> = hunt.living().map(|member| member.process.pid).collect();
        assert_eq!(living, [1_000_400]);
    }

    #[test]
    fn whoever_has_the_pid_of_a_dead_member_is_a_stranger_with_all_its_children() {
        let stranger = (1_000_300, 77, 1, 1_000_300, 1_000_300);
        let child = (1_000_500, 78, 1_000_300, 1_000_300, 1_000_300);
        assert_eq!(
            hunt(1_000_200, &[SHELL, AGENT, TOOL], &[SHELL, AGENT, stranger, child]),
            [1_000_200]
        );
    }

    #[test]
    fn we_and_our_ancestors_are_refused_before_anything_is_signalled() {
        let rows = scan().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let roots = [1, own, rows[&own].parent].map(|pid| rows[&pid].process);
        let hunt = Hunt::new(&roots, &rows);
        assert!(hunt.members.is_empty());
        for (process, outcome) in hunt.outcomes() {
            assert!(matches!(outcome, StopOutcome::Survived(_)), "{process}");
        }
    }

    #[test]
    fn who_has_ended_and_left_a_tool_behind_is_told_from_who_lives() {
        let rows = table(&[SHELL, AGENT, TOOL]);
        let root = rows[&1_000_200].process;
        for (left, lives) in [(&[SHELL, AGENT, TOOL][..], true), (&[SHELL, TOOL], false)] {
            let mut hunt = Hunt::new(&[root], &rows);
            hunt.look(&rows);
            hunt.look(&table(left));
            let outcome = &hunt.outcomes()[0].1;
            assert_eq!(matches!(outcome, StopOutcome::Survived(_)), lives, "{outcome:?}");
            assert_eq!(matches!(outcome, StopOutcome::LeftBehind(_)), !lives, "{outcome:?}");
        }
    }

    /// Runs `body` in a process of its own that may open 64 files: this test once more.
    #[expect(clippy::disallowed_methods, reason = "a test starts processes")]
    fn with_few_descriptors(test: &str, body: fn()) {
        const CHILD: &str = "CF_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
            return body();
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test]).env(CHILD, "1").stdin(Stdio::null());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    fn all_descriptors() -> Vec<File> {
        std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
    }

    /// A living child, and a hunt for it.
    #[expect(clippy::disallowed_methods, reason = "a test starts processes")]
    fn hunted() -> (Child, Hunt) {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let rows = scan().unwrap();
        let root = rows[&i32::try_from(child.id()).unwrap()].process;
        let mut hunt = Hunt::new(&[root], &rows);
        hunt.look(&rows);
        (child, hunt)
    }

    #[test]
    fn who_could_not_be_asked_to_end_is_asked_later() {
        let name = "process::hunt::tests::who_could_not_be_asked_to_end_is_asked_later";
        with_few_descriptors(name, || {
            let (mut child, mut hunt) = hunted();
            let held = all_descriptors();
            assert!(!hunt.terminate(), "there is no descriptor for a signal");
            drop(held);
            let asked = hunt.terminate();
            child.kill().unwrap();
            let ended_by = child.wait().unwrap().signal();
            assert!(asked);
            assert_eq!(ended_by, Some(Signal::TERM.as_raw()));
        });
    }

    #[test]
    fn without_a_descriptor_to_wait_with_time_passes_all_the_same() {
        const PAUSE: Duration = Duration::from_millis(100);
        let name =
            "process::hunt::tests::without_a_descriptor_to_wait_with_time_passes_all_the_same";
        with_few_descriptors(name, || {
            let (mut child, mut hunt) = hunted();
            let held = all_descriptors();
            let deadline = clock::instant() + PAUSE;
            hunt.wait(deadline);
            let has_passed = clock::instant() >= deadline;
            drop(held);
            child.kill().unwrap();
            hunt.wait(clock::instant() + 600 * PAUSE);
            let in_time = clock::instant() < deadline + 300 * PAUSE;
            child.wait().unwrap();
            assert!(has_passed, "it did not wait");
            assert!(in_time, "it waited for the dead");
        });
    }

    #[test]
    fn a_tree_that_is_too_large_says_so() {
        let mut rows = vec![AGENT];
        let count = i32::try_from(MEMBERS_MAX).unwrap();
        rows.extend((0..count).map(|n| (1_100_000 + n, 5, 1_000_200, 1_000_200, 1_000_100)));
        let rows = table(&rows);
        let mut hunt = Hunt::new(&[rows[&1_000_200].process], &rows);
        hunt.look(&rows);
        assert_eq!(hunt.members.len(), MEMBERS_MAX);
        hunt.look(&BTreeMap::new());
        let outcomes = hunt.outcomes();
        assert!(
            matches!(&outcomes[0].1, StopOutcome::LeftBehind(why) if why.contains("more than 4096")),
            "{outcomes:?}"
        );
    }
}
