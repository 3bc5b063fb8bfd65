//! The switcher with real homes, links and processes; the link under readers and after crashes.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claude_failover::agent_settings::{self, AgentSettings};
use claude_failover::component::Component;
use claude_failover::config::notifications::Notifications;
use claude_failover::config::{
    Account, Agent, Config, Dispatcher, Http, Janitor, Lifecycle, Pool, Quota, Selection,
    SharedDirs, Strategy, Swap, Tmux, Watcher,
};
use claude_failover::core::action::OrderId;
use claude_failover::core::event::Event;
use claude_failover::files::{self, Flip, LockError};
use claude_failover::ids::ProcessRef;
use claude_failover::switcher::{self, Order, check};
use claude_failover::task::prompt::Template;
use crossbeam_channel::{Receiver, unbounded};

const WAIT: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// Two accounts under one directory, the link on the first.
struct Place {
    dir: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        for account in &config.accounts {
            std::fs::create_dir(&account.home).unwrap();
        }
        symlink(&config.accounts[0].home, &config.link).unwrap();
        std::fs::create_dir(&config.runtime_dir).unwrap();
        Self { dir, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn link(&self) -> &Path {
        &self.config.link
    }

    fn home(&self, at: usize) -> &Path {
        &self.config.accounts[at].home
    }

    fn switcher(&self) -> (Component<Order>, Receiver<Event>) {
        let (events, answers) = unbounded();
        let switcher = {
            let settings = AgentSettings::new("/opt/claude-failover".into());
            switcher::spawn(Arc::new(self.config.clone()), settings, events).unwrap()
        };
        (switcher, answers)
    }

    /// The answer to the check of the second account.
    fn check(&self) -> Result<(), String> {
        let (switcher, answers) = self.switcher();
        let account = self.config.accounts[1].name.clone();
        let order = OrderId(7);
        switcher.order(Order::CheckTarget { order, account }).unwrap();
        match answers.recv_timeout(WAIT).unwrap() {
            Event::TargetChecked { order: OrderId(7), result } => result,
            other => panic!("{other:?}"),
        }
    }
}

pub fn config(dir: &Path) -> Config {
    let account = |name: &str, priority| Account {
        name: name.parse().unwrap(),
        home: dir.join(name),
        priority,
    };
    Config {
        link: dir.join("link"),
        accounts: vec![account("first", 1), account("second", 2)],
        selection: Selection {
            strategy: Strategy::Priority,
            return_to_preferred: false,
            pin: None,
        },
        pool: Pool {
            shared: SharedDirs {
                projects: dir.join("shared/projects"),
                session_env: dir.join("shared/session-env"),
                file_history: dir.join("shared/file-history"),
            },
            dedicated: Vec::new(),
            autonomous: None,
        },
        agent: Agent {
            command: vec!["/bin/cat".to_owned()],
            env: BTreeMap::new(),
            models: BTreeMap::new(),
            guard: false,
            guard_rules: None,
        },
        tmux: Tmux {
            socket: Some(dir.join("tmux.sock")),
            command: "tmux".to_owned(),
            start_server: false,
        },
        lifecycle: Lifecycle { interval: MINUTE },
        quota: Quota {
            poll_interval: MINUTE,
            reactivate_cooldown: MINUTE,
            unknown_reset: MINUTE,
            preempt_at: None,
            statusline: false,
            patterns: Vec::new(),
        },
        swap: Swap {
            stop_grace: Duration::from_millis(200),
            busy_grace: MINUTE,
            verify_timeout: MINUTE,
            ramp_interval: MINUTE,
            max_per_hour: 12,
            attended_grace: MINUTE,
        },
        watcher: Watcher {
            interval: MINUTE,
            idle_timeout: MINUTE,
            done_signal_dir: dir.join("done"),
        },
        dispatcher: Dispatcher {
            projects_dir: dir.join("work"),
            rescan_interval: MINUTE,
            cooldown: MINUTE,
            per_project: 1,
            max_bytes: 1 << 20,
            trusted_uids: Vec::new(),
            prompt: Template::parse(claude_failover::task::prompt::DEFAULT)
                .expect("the default is good"),
        },
        janitor: Janitor { interval: MINUTE, keep_done: MINUTE, dry_run: false },
        notifications: Notifications::default(),
        http: Http { listen: None, allow_remote: false },
        state_dir: dir.join("state"),
        runtime_dir: dir.join("run"),
    }
}

/// The pid of a process that has ended.
fn dead_pid() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn a_flip_is_one_step_and_says_whether_it_was_needed() {
    let place = Place::new();
    assert_eq!(files::flip_link(place.link(), place.home(1)).unwrap(), Flip::Done);
    assert_eq!(files::read_link(place.link()).unwrap(), place.home(1));
    assert_eq!(files::flip_link(place.link(), place.home(1)).unwrap(), Flip::Already);
    // A relative link that an operator made leads there as well.
    std::fs::remove_file(place.link()).unwrap();
    symlink("second", place.link()).unwrap();
    assert_eq!(files::flip_link(place.link(), place.home(1)).unwrap(), Flip::Already);
    std::fs::remove_file(place.link()).unwrap();
    assert_eq!(files::flip_link(place.link(), place.home(0)).unwrap(), Flip::Done);
}

#[test]
fn readers_never_find_the_link_missing() {
    let place = Place::new();
    for home in [0, 1] {
        std::fs::write(place.home(home).join("login"), "x").unwrap();
    }
    let over = AtomicBool::new(false);
    let login = place.link().join("login");
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !over.load(Ordering::Relaxed) {
                std::fs::read(&login).unwrap();
                reads += 1;
            }
            reads
        });
        for flip in 0..1000 {
            let home = place.home((flip + 1) % 2);
            assert_eq!(files::flip_link(place.link(), home).unwrap(), Flip::Done);
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(reads > 1000, "{reads}");
    println!("{reads} reads during 1000 flips");
}

#[test]
fn what_a_crash_left_is_removed_by_the_next_flip() {
    let place = Place::new();
    let left = place.path(&format!(".failover-{}-0", dead_pid()));
    symlink(place.home(1), &left).unwrap();
    let others = place.path(".failover-1-0");
    symlink(place.home(1), &others).unwrap();
    files::flip_link(place.link(), place.home(1)).unwrap();
    assert!(left.symlink_metadata().is_err());
    assert!(others.symlink_metadata().is_ok(), "its writer lives");
}

#[test]
fn a_flip_over_anything_but_a_link_is_refused_with_the_remedy() {
    let place = Place::new();
    std::fs::remove_file(place.link()).unwrap();
    std::fs::create_dir(place.link()).unwrap();
    std::fs::write(place.link().join("history"), "precious").unwrap();
    let error = files::flip_link(place.link(), place.home(1)).unwrap_err().to_string();
    assert!(error.contains("is a real directory") && error.contains("mv "), "{error}");
    assert!(place.link().join("history").exists());

    std::fs::remove_dir_all(place.link()).unwrap();
    std::fs::write(place.link(), "precious").unwrap();
    let error = files::flip_link(place.link(), place.home(1)).unwrap_err().to_string();
    assert!(error.contains("is a real file"), "{error}");
    assert_eq!(std::fs::read(place.link()).unwrap(), b"precious");
}

#[test]
fn a_flip_to_nowhere_changes_nothing() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").unwrap();
    for target in
        [place.path("missing"), place.path("file"), place.link().to_owned(), "second".into()]
    {
        let error = files::flip_link(place.link(), &target).unwrap_err().to_string();
        assert!(error.contains(target.to_str().unwrap()), "{error}");
    }
    assert_eq!(files::read_link(place.link()).unwrap(), place.home(0));
}

#[test]
fn a_private_directory_is_made_or_refused() {
    let place = Place::new();
    let dir = place.path("a/b");
    files::make_private_dir(&dir).unwrap();
    files::make_private_dir(&dir).unwrap();
    assert_eq!(dir.metadata().unwrap().mode() & 0o7777, 0o700);

    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let error = files::make_private_dir(&dir).unwrap_err().to_string();
    assert!(error.contains("chmod 700"), "{error}");
    let link = place.path("to-first");
    symlink(place.home(0), &link).unwrap();
    std::fs::set_permissions(place.home(0), PermissionsExt::from_mode(0o700)).unwrap();
    let error = files::make_private_dir(&link).unwrap_err().to_string();
    assert!(error.contains("links are refused"), "{error}");
}

#[test]
fn a_lock_is_held_once_and_names_its_holder() {
    let place = Place::new();
    let path = place.path("lock");
    let held = files::lock(&path).unwrap();
    let Err(LockError::Held { pid, .. }) = files::lock(&path) else {
        panic!("two hold it");
    };
    assert_eq!(pid, Some(std::process::id().cast_signed()));
    let error = files::lock(&path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    drop(held);
    files::lock(&path).unwrap();
}

#[test]
fn a_good_target_passes_and_gets_its_missing_links() {
    let place = Place::new();
    assert_eq!(place.check(), Ok(()));
    for (name, target) in place.config.pool.shared.links() {
        assert_eq!(std::fs::read_link(place.home(1).join(name)).unwrap(), *target);
        assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o700);
    }
    assert_eq!(place.check(), Ok(()));
    assert_eq!(files::read_link(place.link()).unwrap(), place.home(0));
}

/// The client updates itself whenever it likes.
#[test]
fn before_a_swap_the_settings_of_agents_fit_the_client_that_is_there_now() {
    let mut place = Place::new();
    let program = place.path("claude");
    place.config.agent.command = vec![program.display().to_string()];
    let install = |version: &str| {
        let temp = place.path("claude.new");
        std::fs::write(&temp, format!("#!/bin/sh\necho '{version} (Claude Code)'\n")).unwrap();
        std::fs::set_permissions(&temp, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&temp, &program).unwrap();
    };
    let settings = agent_settings::path(&place.config.runtime_dir);
    let knows = || std::fs::read_to_string(&settings).unwrap().contains("StopFailure");
    install("2.1.77");
    let (switcher, answers) = place.switcher();
    let check = || {
        let account = place.config.accounts[1].name.clone();
        switcher.order(Order::CheckTarget { order: OrderId(7), account }).unwrap();
        let answer = answers.recv_timeout(WAIT).unwrap();
        assert!(matches!(answer, Event::TargetChecked { result: Ok(()), .. }), "{answer:?}");
    };
    check();
    assert!(!knows());
    install("2.1.330");
    check();
    assert!(knows());
}

#[test]
fn links_are_compared_by_where_they_lead() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("shared/projects")).unwrap();
    symlink("../shared/projects", place.home(1).join("projects")).unwrap();
    assert_eq!(place.check(), Ok(()));
}

#[test]
fn everything_wrong_with_a_target_is_told_at_once_and_left_alone() {
    let mut place = Place::new();
    place.config.agent.command = vec!["no-such-claude".to_owned()];
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    symlink(place.path("elsewhere"), place.home(1).join("projects")).unwrap();
    std::fs::create_dir(place.home(1).join("session-env")).unwrap();
    symlink(place.path("nowhere"), place.home(1).join("file-history")).unwrap();
    std::fs::remove_file(place.link()).unwrap();
    std::fs::create_dir(place.link()).unwrap();

    let error = place.check().unwrap_err();
    for path in [
        "elsewhere",
        "shared/projects",
        "second/session-env",
        "shared/session-env",
        "nowhere",
        "shared/file-history",
        "link",
    ] {
        assert!(error.contains(place.path(path).to_str().unwrap()), "{path}: {error}");
    }
    assert!(error.contains("no-such-claude"), "{error}");
    assert_eq!(files::read_link(&place.home(1).join("projects")).unwrap(), place.path("elsewhere"));
    assert!(place.home(1).join("session-env").is_dir());
}

#[test]
fn a_target_without_home_or_link_is_refused() {
    let place = Place::new();
    std::fs::remove_file(place.link()).unwrap();
    std::fs::remove_dir(place.home(1)).unwrap();
    let error = place.check().unwrap_err();
    assert!(error.contains("has no home"), "{error}");
    assert!(error.contains("is missing: make it (ln -s"), "{error}");
    let error = check::ensure_shared(&place.config, &place.config.accounts[1]).unwrap_err();
    assert!(error.contains(place.home(1).to_str().unwrap()), "{error}");
    assert_eq!(check::ensure_shared(&place.config, &place.config.accounts[0]), Ok(()));
}

#[test]
fn the_agent_is_looked_up_in_its_own_path_first() {
    let mut place = Place::new();
    let program = place.path("my-claude");
    std::fs::copy("/bin/true", &program).unwrap();
    place.config.agent.command = vec!["my-claude".to_owned(), "--flag".to_owned()];
    let own = place.dir.path().to_str().unwrap().to_owned();
    assert_eq!(check::resolve_agent(&place.config, Some(&own)).as_ref(), Ok(&program));
    assert!(check::resolve_agent(&place.config, Some("/bin")).is_err());
    assert!(check::resolve_agent(&place.config, None).is_err());
    place.config.agent.env.insert("PATH".to_owned(), own);
    assert_eq!(check::resolve_agent(&place.config, Some("/bin")), Ok(program));
}

#[test]
fn orders_are_answered_in_turn_and_a_new_configuration_holds_at_once() {
    let place = Place::new();
    let (switcher, answers) = place.switcher();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let started_ticks = stat.split(' ').nth(21).unwrap().parse().unwrap();
    let agents = vec![
        ProcessRef { pid, started_ticks },
        ProcessRef { pid, started_ticks: 1 },
        // Our pid, but not us.
        ProcessRef { pid: i32::try_from(std::process::id()).unwrap(), started_ticks: 1 },
    ];
    let to = place.config.accounts[1].name.clone();
    let mut config = place.config.clone();
    config.link = place.path("other-link");
    for order in [
        Order::StopAgents { order: OrderId(1), agents },
        Order::FlipLink { order: OrderId(2), to: to.clone() },
        Order::FlipLink { order: OrderId(3), to: "third".parse().unwrap() },
        Order::Reconfigure(Arc::new(config)),
        Order::FlipLink { order: OrderId(4), to },
    ] {
        switcher.order(order).unwrap();
    }
    let answer = || answers.recv_timeout(WAIT).unwrap();
    match answer() {
        Event::AgentsStopped { order, survivors, left_behind } => {
            assert_eq!((order, survivors, left_behind), (OrderId(1), Vec::new(), Vec::new()));
        }
        other => panic!("{other:?}"),
    }
    assert!(child.wait().unwrap().code().is_none(), "by a signal");
    for (number, good) in [(2, true), (3, false), (4, true)] {
        match answer() {
            Event::LinkFlipped { order, result } => {
                assert_eq!((order, result.is_ok()), (OrderId(number), good), "{result:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(files::read_link(place.link()).unwrap(), place.home(1));
    assert_eq!(files::read_link(&place.path("other-link")).unwrap(), place.home(1));
    drop(switcher);
    match answer() {
        Event::ComponentExited { name, error } => {
            assert_eq!((name.as_str(), error), ("switcher", None));
        }
        other => panic!("{other:?}"),
    }
}
