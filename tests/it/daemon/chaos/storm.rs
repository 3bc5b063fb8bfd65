//! A fleet at work, the blows that it takes, and the calm after them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::daemon::chaos::judge::Judge;
use crate::daemon::dice::{Deck, Dice};
use crate::daemon::fleet::{Fleet, SOON, kill};
use crate::daemon::layout::{DEDICATED, Dedicated, Layout};
use crate::daemon::outside::{self, Agent};
use crate::support::{binary, eventually};

pub const SECOND_DEDICATED: &str = "ccl-2-beta";
/// A client of tmux gives up on it long before.
const HANGS_FOR: Duration = Duration::from_secs(10);
/// For whatever a health check needs on a busy machine, but no thread that waits for tmux.
const HEALTH: Duration = Duration::from_secs(2);
const BETWEEN_BLOWS_MS: std::ops::Range<u64> = 100..3_500;
const BETWEEN_SWAPS_MS: std::ops::Range<u64> = 0..800;
/// For all that is under way to come to its end.
const CALMS_WITHIN: Duration = Duration::from_secs(150);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    KillDaemon,
    KillAgent,
    KillServer,
    /// A server that answers nobody for ten seconds, and then all that it was asked.
    HangServer,
    /// Beside the one that lives.
    SecondDaemon,
}

pub struct Storm {
    pub fleet: Fleet,
    pub dice: Dice,
    pub judge: Judge,
    pub blows: BTreeMap<Blow, u32>,
    pub calms: u32,
    /// What the operator had to do, beside resuming agents that were killed.
    pub helps: BTreeMap<&'static str, u32>,
    deck: Deck<Blow>,
    /// Dedicated sessions whose agent was killed since the last calm: nobody brings those back but
    /// their operator.
    pub bereft: BTreeSet<String>,
    first_pids: (i32, Option<String>),
    /// Prompts and tasks have numbers.
    pub(in crate::daemon::chaos) counted: u32,
}

impl Storm {
    pub fn new(seed: u64, blows: &[(Blow, usize)]) -> Self {
        println!("SEED={seed}");
        let dedicated = [DEDICATED, SECOND_DEDICATED];
        let (mut fleet, talks) = Fleet::with_free_pool(Layout {
            accounts: 3,
            dedicated: dedicated.map(|name| Dedicated { name, resume_after_loss: true }).into(),
            pool: 3,
            per_project: 2,
            swaps_per_hour: 3_600,
            // Of a killed canary nothing is heard for so long.
            verify_timeout: "5s",
            ..Layout::default()
        });
        // It may die.
        let server = fleet.server.take();
        Self {
            first_pids: (fleet.daemon_pid(), server),
            fleet,
            dice: Dice::new(seed),
            judge: Judge::new(talks),
            blows: BTreeMap::new(),
            calms: 0,
            helps: BTreeMap::new(),
            deck: Deck::new(blows),
            bereft: BTreeSet::new(),
            counted: 0,
        }
    }

    /// Swaps that have come to an end, as of the last calm.
    pub fn swaps(&self) -> u64 {
        self.judge.swaps
    }

    pub fn is_one_life(&self) -> bool {
        self.first_pids == (self.fleet.daemon_pid(), self.fleet.server_pid())
    }

    pub fn story(&self) -> String {
        let Self { judge, blows, helps, calms, .. } = self;
        format!(
            "{} swaps ({} rolled back), {} tasks, {calms} calms, {blows:?}, by the operator {helps:?}",
            judge.swaps,
            judge.rolled_back,
            judge.tasks.len()
        )
    }

    /// Swaps and blows at random moments.
    #[track_caller]
    pub fn rage(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let [mut swap_at, mut blow_at] = [Instant::now(); 2];
        eventually("the storm is over", length * 10, || {
            self.keep_busy();
            if Instant::now() >= swap_at {
                self.provoke();
                swap_at = Instant::now() + self.wait(BETWEEN_SWAPS_MS);
            }
            if Instant::now() >= blow_at {
                let blow = self.deck.draw(&mut self.dice);
                self.strike(blow);
                blow_at = Instant::now() + self.wait(BETWEEN_BLOWS_MS);
            }
            self.look();
            (Instant::now() >= end).then_some(())
        });
    }

    /// One swap after the other, with an agent's death now and then.
    #[track_caller]
    pub fn swap_on(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let mut blow_at = Instant::now();
        eventually("the swaps are over", length * 10, || {
            self.keep_busy();
            self.order_swap();
            if Instant::now() >= blow_at {
                let blow = self.deck.draw(&mut self.dice);
                self.strike(blow);
                blow_at = Instant::now() + self.wait(1_000..10_000);
            }
            self.look();
            (Instant::now() >= end).then_some(())
        });
    }

    fn wait(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice.in_range(range))
    }

    /// The daemon ends by nothing but our hand, and no conversation is in two agents at once.
    #[track_caller]
    fn look(&mut self) {
        if let Some(status) = self.fleet.daemon_ended() {
            panic!("the daemon has ended by itself: {status}");
        }
        let mut seen: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for agent in outside::agents(self.fleet.root()) {
            seen.entry(agent.conversation.unwrap_or_default()).or_default().push(agent.pid);
        }
        seen.remove("");
        for (talk, pids) in seen.iter().filter(|(_, pids)| pids.len() > 1) {
            // The first may have died before the second was begun and looked at.
            let alive = pids.iter().filter(|pid| outside::is_alive(**pid)).count();
            assert!(alive < 2, "conversation {talk} is in {pids:?}");
        }
    }

    #[track_caller]
    pub fn strike(&mut self, blow: Blow) {
        let has_struck = match blow {
            Blow::KillDaemon => {
                self.fleet.kill_daemon();
                self.fleet.start_with(None);
                true
            }
            Blow::KillAgent => self.kill_agent(),
            Blow::KillServer => self.fleet.kill_server(),
            Blow::HangServer => self.hang_server(),
            Blow::SecondDaemon => self.start_second(),
        };
        if has_struck {
            *self.blows.entry(blow).or_default() += 1;
        }
    }

    fn kill_agent(&mut self) -> bool {
        let by_session = self.fleet.agents();
        let all: Vec<(&String, i32)> = by_session
            .iter()
            .flat_map(|(session, agents)| agents.iter().map(move |agent| (session, agent.pid)))
            .collect();
        let Some(&(session, pid)) = self.dice.pick(&all) else { return false };
        if kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).is_err() {
            return false;
        }
        match session.as_str() {
            // Its pane is gone already; it may have been anybody's.
            "" => self.bereft.extend([DEDICATED, SECOND_DEDICATED].map(str::to_owned)),
            _ => drop(self.bereft.insert(session.clone())),
        }
        true
    }

    /// Others go on meanwhile: the daemon answers, takes an order, and may die.
    fn hang_server(&mut self) -> bool {
        let Some(pid) = self.fleet.server_pid().and_then(|pid| pid.parse().ok()) else {
            return false;
        };
        kill(pid, Signal::STOP);
        let end = Instant::now() + HANGS_FOR;
        let dies_at = self.dice.one_in(2).then(|| Instant::now() + HANGS_FOR / 3);
        // One that was started just now takes longer for it than the server hangs.
        let mut has_died = self.fleet.status().is_null();
        self.order_swap();
        eventually("the server hangs no more", HANGS_FOR * 2, || {
            if !has_died && dies_at.is_some_and(|at| Instant::now() >= at) {
                self.fleet.kill_daemon();
                self.fleet.start_with(None);
                has_died = true;
            }
            if !has_died {
                let asked = Instant::now();
                self.fleet.get("/health");
                assert!(asked.elapsed() < HEALTH, "/health took {:?}", asked.elapsed());
            }
            (Instant::now() >= end).then_some(())
        });
        kill(pid, Signal::CONT);
        true
    }

    /// It must see that it is the second, and touch nothing. While the first one starts, either may be.
    fn start_second(&mut self) -> bool {
        if self.fleet.status().is_null() {
            return false;
        }
        assert_eq!(run_second(&self.fleet).code(), Some(75), "of a second daemon");
        true
    }

    /// No more blows; what is under way comes to its end, and everything is judged.
    #[track_caller]
    pub fn calm(&mut self) {
        for account in self.fleet.layout.account_names() {
            self.fleet.script(&account, "ok");
        }
        let mut last = String::new();
        let end = Instant::now() + CALMS_WITHIN;
        eventually("calm", CALMS_WITHIN * 2, || {
            self.look();
            let status = self.fleet.status();
            self.help(&status);
            match self.judge.unrest(&self.fleet, &status) {
                None => return Some(()),
                Some(why) => last = why,
            }
            assert!(Instant::now() < end, "no calm within {CALMS_WITHIN:?}: {last}");
            None
        });
        self.bereft.clear();
        self.calms += 1;
        self.judge.judge(&self.fleet);
        self.renew_talks();
    }

    /// What an operator does who sees this.
    fn help(&mut self, status: &Value) {
        let rows = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        for account in rows("accounts").iter().filter(|account| account["state"] == "rejected") {
            self.fleet.say(&["account", "release", account["name"].as_str().unwrap()]);
            *self.helps.entry("released").or_default() += 1;
        }
        self.release_when_parked(status);
        if status["state"] == "stuck" {
            self.fleet.say(&["swap", "--resume"]);
            *self.helps.entry("unstuck").or_default() += 1;
        }
        if status["state"] != "normal" || !status["swap"]["open"].is_null() {
            return;
        }
        let agents = self.fleet.agents();
        // Refused where work goes on later, an operator's agent is left with its question open.
        for session in self.judge.talks.keys() {
            let waits = |agent: &Agent| agent.status.as_deref() == Some("waiting");
            if agents.get(session).is_some_and(|agents| agents.iter().any(waits)) {
                let pane = self.fleet.pane(session).id;
                // It may be gone by now.
                let _ = self.fleet.tmux(&["send-keys", "-t", &pane, "Escape"]);
                *self.helps.entry("closed a menu").or_default() += 1;
            }
        }
        for session in rows("sessions") {
            let name = session["name"].as_str().unwrap();
            let is_empty = session["exists"] == true
                && session["agent"].is_null()
                && session["move"].is_null()
                && !agents.contains_key(name);
            if is_empty
                && self.bereft.remove(name)
                && let Some(talk) = self.judge.talks.get(name)
            {
                self.fleet.start_agent(name, None, &format!("--resume {talk}"));
            }
        }
    }
}

/// Runs another daemon of the same fleet to its end.
pub fn run_second(fleet: &Fleet) -> ExitStatus {
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(fleet.root().join("config.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut second = fleet.at_home(&mut command).spawn().unwrap();
    eventually("the second daemon ends", SOON, || second.try_wait().unwrap())
}
