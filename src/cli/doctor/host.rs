//! The host: clock, time zone, and the kernel's limits.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::cli::doctor::daemon::Answer;
use crate::cli::doctor::finding::{Finding, Verdict, fail, ok, told, warn};
use crate::clock::Clock;
use crate::config::Config;
use crate::moment::Wall;
use crate::monitor::zone;
use crate::queue;

/// No host that runs this lives before or after.
const YEARS_SANE: std::ops::Range<i64> = 2025..2100;
const MS_PER_YEAR: i64 = 31_556_952_000;
/// Whoever keeps the clock right leaves one of these.
const SYNC_MARKS: [&str; 4] = [
    "run/systemd/timesync/synchronized",
    "run/chrony/chronyd.pid",
    "run/ntpd.pid",
    "run/openntpd.sock",
];
/// For each project its directory, its queue and the inbox.
const WATCHES_PER_PROJECT: u64 = 3;
/// Homes, conversations, signal files, the root of the projects; many times what these need.
const WATCHES_BESIDE: u64 = 1_000;
/// Ours; a user's other programs take some as well.
const INSTANCES_MIN: u64 = 16;
/// Of the daemon: two pipes, journal, sockets; then some for each session.
const FILES_BESIDE: u64 = 64;
const FILES_PER_SESSION: u64 = 4;

/// What depends on no configuration. `root` is `/` but in tests.
pub fn check(root: &Path) -> Vec<Finding> {
    let tz = std::env::var_os("TZ");
    vec![
        clock(Clock::start().wall(), root),
        time_zone(zone::of_host(tz.as_deref(), &root.join("etc"))),
    ]
}

pub fn clock(now: Wall, root: &Path) -> Finding {
    let year = 1970 + now.0.div_euclid(MS_PER_YEAR);
    if !YEARS_SANE.contains(&year) {
        return fail(
            "clock",
            format!("it says {now}: resets of quotas would be taken for past or for far away"),
            "set it: timedatectl set-ntp true",
        );
    }
    match SYNC_MARKS.iter().find(|mark| root.join(mark).exists()) {
        Some(mark) => ok("clock", format!("{now}; kept by what left /{mark}")),
        None => warn(
            "clock",
            format!("{now}; nothing that keeps it right was found"),
            "compare it once, or: apt-get install systemd-timesyncd",
        ),
    }
}

/// Clients print resets in the host's zone, or name another.
pub fn time_zone(zone: Option<String>) -> Finding {
    match zone {
        Some(zone) => ok("zone", zone),
        None => warn(
            "zone",
            "not known: a reset that a client prints without its zone is taken as UTC",
            "timedatectl set-timezone Area/City, or TZ=Area/City in the unit",
        ),
    }
}

pub fn limits(root: &Path, config: &Config, answer: &Answer) -> Vec<Finding> {
    let projects = queue::projects(&config.dispatcher.projects_dir).map_or(0, |p| p.names.len());
    let kernel = |name: &str| {
        let path = root.join("proc/sys/fs/inotify").join(name);
        fs_err::read_to_string(path).ok()?.trim().parse().ok()
    };
    let needed = projects as u64 * WATCHES_PER_PROJECT + WATCHES_BESIDE;
    let mut findings =
        vec![inotify(kernel("max_user_watches"), kernel("max_user_instances"), needed)];
    let polled = answer.status().and_then(|status| status["tasks"]["polled_because"].as_str());
    findings.extend(polled.map(|why| {
        warn(
            "inotify",
            format!("queues are only polled: {why}"),
            "sysctl fs.inotify.max_user_watches=524288",
        )
    }));
    let pid = answer.status().and_then(|status| status["daemon"]["pid"].as_i64());
    let of_daemon = pid.and_then(|pid| open_files(root, i32::try_from(pid).ok()?));
    let pool = config.pool.autonomous.as_ref().map_or(0, |pool| u64::from(pool.max));
    let sessions = config.pool.dedicated.len() as u64 + pool;
    // A daemon that does not run would get what a child of ours gets.
    let soft = of_daemon.or(getrlimit(Resource::Nofile).current).unwrap_or(u64::MAX);
    findings.push(descriptors(soft, sessions));
    findings
}

pub fn inotify(watches: Option<u64>, instances: Option<u64>, needed: u64) -> Finding {
    let (Some(watches), Some(instances)) = (watches, instances) else {
        return told(
            "inotify",
            Verdict::Warn,
            "/proc/sys/fs/inotify cannot be read: whether queues are watched is in /status",
        );
    };
    let what = format!("{watches} watches, {instances} instances; needed: some {needed}");
    if watches < needed {
        return fail("inotify", what, format!("sysctl fs.inotify.max_user_watches={}", needed * 4));
    }
    if instances < INSTANCES_MIN {
        return fail("inotify", what, "sysctl fs.inotify.max_user_instances=128");
    }
    ok("inotify", what)
}

pub fn descriptors(soft: u64, sessions: u64) -> Finding {
    let needed = FILES_BESIDE + FILES_PER_SESSION * sessions;
    let what = format!("the daemon may open {soft} files; needed: some {needed}");
    match soft < needed {
        false => ok("files", what),
        true => fail("files", what, format!("LimitNOFILE={} in its unit", needed * 4)),
    }
}

/// The soft limit of open files of a process.
pub fn open_files(root: &Path, pid: i32) -> Option<u64> {
    let limits = fs_err::read_to_string(root.join(format!("proc/{pid}/limits"))).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
