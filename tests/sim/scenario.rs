//! What one seed plays: a configuration, a first world, and how unkind the outside is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use claude_failover::config::notifications::Notifications;
use claude_failover::config::{
    self, Agent, Autonomous, Config, Dedicated, Dispatcher, Http, Janitor, Lifecycle, Pool, Quota,
    Selection, SharedDirs, Strategy, Swap, Tmux, Watcher,
};
use claude_failover::task::prompt::Template;

use crate::prng::Prng;

/// How often each kind of trouble comes, in thousandths.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub crash: u64,
    pub answer: u64,
    pub launch: u64,
    pub limit: u64,
    pub home: u64,
    pub flip: u64,
    pub operator: u64,
    pub terminal: u64,
    pub clock: u64,
    pub reload: u64,
    pub verb: u64,
    pub hold: u64,
    pub steer: u64,
    /// Mean milliseconds between two happenings outside.
    pub pause_ms: u64,
    pub chaos_ms: u64,
}

impl Trouble {
    pub const NONE: Self = Self {
        crash: 0,
        answer: 0,
        launch: 0,
        limit: 0,
        home: 0,
        flip: 0,
        operator: 0,
        terminal: 0,
        clock: 0,
        reload: 0,
        verb: 0,
        hold: 0,
        steer: 0,
        pause_ms: 30_000,
        chaos_ms: 0,
    };

    /// Each kind is switched off in some seeds, so that its absence is played, too.
    pub fn from_seed(rng: &mut Prng) -> Self {
        let mut some = |most: u64| if rng.chance(400) { 0 } else { rng.within(1..most + 1) };
        Self {
            crash: some(60),
            answer: some(250),
            launch: some(200),
            limit: 100 + some(400),
            home: some(150),
            flip: some(250),
            operator: some(400),
            terminal: some(120),
            clock: some(100),
            reload: some(60),
            verb: some(100),
            hold: some(60),
            steer: some(60),
            pause_ms: rng.within(4_000..60_000),
            chaos_ms: rng.within(5 * 60_000..40 * 60_000),
        }
    }
}

pub fn home(name: &str) -> PathBuf {
    PathBuf::from(format!("/homes/{name}"))
}

pub fn config(rng: &mut Prng) -> Config {
    let accounts = ["one", "two", "three", "four"];
    let count = 2 + rng.below(3);
    let dedicated = (0..rng.below(3))
        .map(|index| Dedicated {
            name: format!("ded-{index}").parse().expect("a valid name"),
            project: PathBuf::from(format!("/srv/{index}")),
            resume_after_loss: rng.chance(700),
            nudge: rng.chance(200).then(|| "go on".to_owned()),
        })
        .collect::<Vec<_>>();
    let min = u32::try_from(rng.below(4)).expect("small");
    let min = if dedicated.is_empty() { min.max(1) } else { min };
    let max = min + u32::from(rng.chance(300));
    let autonomous = (max > 0).then(|| Autonomous {
        prefix: "auto-".to_owned(),
        start_index: 11,
        min,
        max,
        workdir: PathBuf::from("/work"),
    });
    let mut config = fixed(autonomous, dedicated);
    config.accounts = accounts[..count]
        .iter()
        .zip(1..)
        .map(|(name, priority)| config::Account {
            name: name.parse().expect("a valid name"),
            home: home(name),
            priority,
        })
        .collect();
    config.swap.busy_grace = Duration::from_secs(rng.within(30..300));
    config.swap.max_per_hour = if rng.chance(200) { 3 } else { 12 };
    config.selection.strategy = match rng.below(4) {
        0 => Strategy::SoonestReset,
        1 => Strategy::MostHeadroom,
        _ => Strategy::Priority,
    };
    config.selection.return_to_preferred = rng.chance(250);
    config.quota.preempt_at = rng.chance(300).then_some(0.9);
    config.watcher.idle_timeout = Duration::from_secs(rng.within(180..400));
    config.dispatcher.per_project = 1 + u32::from(rng.chance(300));
    config.quota.reactivate_cooldown = Duration::from_secs(rng.within(60..300));
    config
}

/// What no seed changes.
pub fn fixed(autonomous: Option<Autonomous>, dedicated: Vec<Dedicated>) -> Config {
    let seconds = Duration::from_secs;
    Config {
        link: PathBuf::from("/home/op/.claude"),
        accounts: Vec::new(),
        selection: Selection {
            strategy: Strategy::Priority,
            return_to_preferred: false,
            pin: None,
        },
        pool: Pool {
            shared: SharedDirs {
                projects: PathBuf::from("/shared/projects"),
                session_env: PathBuf::from("/shared/session-env"),
                file_history: PathBuf::from("/shared/file-history"),
            },
            dedicated,
            autonomous,
        },
        agent: Agent {
            command: vec!["claude".to_owned()],
            env: BTreeMap::new(),
            models: BTreeMap::new(),
            guard: false,
            guard_rules: None,
        },
        tmux: Tmux { socket: None, command: "tmux".to_owned(), start_server: true },
        lifecycle: Lifecycle { interval: seconds(15) },
        quota: Quota {
            poll_interval: Duration::from_millis(500),
            reactivate_cooldown: seconds(300),
            unknown_reset: seconds(1800),
            preempt_at: None,
            statusline: false,
            patterns: Vec::new(),
        },
        swap: Swap {
            stop_grace: seconds(3),
            busy_grace: seconds(600),
            verify_timeout: seconds(30),
            ramp_interval: seconds(2),
            max_per_hour: 12,
            attended_grace: seconds(30),
        },
        watcher: Watcher {
            interval: seconds(1),
            idle_timeout: seconds(3600),
            done_signal_dir: PathBuf::from("/run/done"),
        },
        dispatcher: Dispatcher {
            projects_dir: PathBuf::from("/srv/projects"),
            rescan_interval: seconds(60),
            cooldown: seconds(5),
            per_project: 1,
            max_bytes: 1 << 20,
            trusted_uids: Vec::new(),
            prompt: Template::parse(claude_failover::task::prompt::DEFAULT)
                .expect("the default is good"),
        },
        janitor: Janitor {
            interval: seconds(3600),
            keep_done: seconds(30 * 86_400),
            dry_run: false,
        },
        notifications: Notifications::default(),
        http: Http { listen: None, allow_remote: false },
        state_dir: PathBuf::from("/state"),
        runtime_dir: PathBuf::from("/run/failover"),
    }
}
