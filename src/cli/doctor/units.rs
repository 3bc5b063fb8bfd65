//! systemd's units, as files: which are installed, for whom, and whether a boot starts them. Asks
//! no systemd, so that it works in a container and starts nothing.

use std::path::{Path, PathBuf};

use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::config::Config;

const CHECK: &str = "units";
const DAEMON: &str = "claude-failover.service";
const TMUX: &str = "claude-failover-tmux.service";
/// The first that has a unit is the one that counts.
const SYSTEM_DIRS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
];
/// Below the user's home.
const USER_DIRS: [&str; 2] = [".config/systemd/user", ".local/share/systemd/user"];
const GLOBAL_USER_DIRS: [&str; 2] = ["etc/systemd/user", "usr/lib/systemd/user"];

#[derive(Debug, Clone, Default)]
pub struct Units {
    pub daemon: Option<Unit>,
    pub tmux: Option<Unit>,
    /// Users by number, out of `/etc/passwd`.
    users: Vec<(String, u32)>,
    lingering: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub path: PathBuf,
    pub kind: Kind,
    /// The last `User=` that is not empty.
    pub user: Option<String>,
    /// Something at boot or login wants it.
    pub is_enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    System,
    User,
}

impl Units {
    /// `root` is `/` but in tests.
    pub fn look(root: &Path, user_home: &Path) -> Self {
        let passwd = fs_err::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((name, fields.nth(1)?.parse().ok()?))
        };
        Self {
            daemon: unit(DAEMON, root, user_home),
            tmux: unit(TMUX, root, user_home),
            users: passwd.lines().filter_map(user).collect(),
            lingering: root.join("var/lib/systemd/linger"),
        }
    }

    fn uid_of(&self, user: &str) -> Option<u32> {
        let named = self.users.iter().find(|(name, _)| name == user).map(|(_, uid)| *uid);
        named.or_else(|| user.parse().ok())
    }

    fn name_of(&self, uid: u32) -> String {
        let named = self.users.iter().find(|(_, at)| *at == uid).map(|(name, _)| name.clone());
        named.unwrap_or_else(|| uid.to_string())
    }
}

fn unit(name: &str, root: &Path, user_home: &Path) -> Option<Unit> {
    let below = |dirs: &[&str], of: &Path| dirs.iter().map(|dir| of.join(dir)).collect::<Vec<_>>();
    let system = below(&SYSTEM_DIRS, root);
    let mut user = below(&USER_DIRS, user_home);
    user.extend(below(&GLOBAL_USER_DIRS, root));
    for (kind, dirs) in [(Kind::System, system), (Kind::User, user)] {
        let Some(path) = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()) else {
            continue;
        };
        let mut texts = vec![fs_err::read_to_string(&path).unwrap_or_default()];
        for dir in dirs.iter().rev() {
            texts.extend(drop_ins(&dir.join(format!("{name}.d"))));
        }
        let wanted = |dir: &PathBuf| {
            let of = ["multi-user.target.wants", "default.target.wants", "graphical.target.wants"];
            of.iter().any(|target| dir.join(target).join(name).is_symlink())
        };
        let users = texts.iter().flat_map(|text| text.lines());
        let user =
            users.filter_map(|line| line.trim().strip_prefix("User=")).rfind(|u| !u.is_empty());
        let user = user.map(|user| user.trim().to_owned());
        return Some(Unit { path, kind, user, is_enabled: dirs.iter().any(wanted) });
    }
    None
}

/// In the order of their names, as systemd reads them.
fn drop_ins(dir: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "conf"))
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| fs_err::read_to_string(path).ok()).collect()
}

pub fn check(units: &Units, config: &Config, uid: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &units.daemon {
        None => findings.push(warn(
            CHECK,
            format!("{DAEMON} is not installed: nothing starts the daemon at a boot"),
            "install systemd/*.service, see README \"Install\"",
        )),
        Some(unit) => {
            findings.push(for_whom(units, unit, uid));
            findings.extend(not_enabled(unit, DAEMON));
            findings.push(lingers(units, unit, uid));
        }
    }
    match &units.tmux {
        None if !config.tmux.start_server => findings.push(fail(
            CHECK,
            format!("{TMUX} is not installed, and tmux.start_server is false: nobody starts tmux"),
            "install systemd/claude-failover-tmux.service, or set tmux.start_server: true",
        )),
        None => {}
        Some(unit) => {
            findings.push(for_whom(units, unit, uid));
            if config.tmux.start_server {
                findings.push(warn(
                    CHECK,
                    format!("{TMUX} is installed, and tmux.start_server is true"),
                    "tmux: {socket: /run/claude-failover-tmux/tmux.sock, start_server: false}, or \
                     systemctl mask claude-failover-tmux",
                ));
            } else {
                findings.extend(not_enabled(unit, TMUX));
            }
        }
    }
    findings
}

/// The daemon, the tmux server, the agents and whoever asks must be one user.
fn for_whom(units: &Units, unit: &Unit, uid: u32) -> Finding {
    let at = unit.path.display();
    match (&unit.user, unit.kind) {
        (Some(user), Kind::System) => match units.uid_of(user) {
            Some(found) if found == uid => ok(CHECK, format!("{at}: User={user}")),
            Some(found) => fail(
                CHECK,
                format!("{at}: User={user} is uid {found}, and you are uid {uid}"),
                format!(
                    "run this as {user} (sudo -u {user} claude-failover doctor), or set User={}: \
                     systemctl edit {}",
                    units.name_of(uid),
                    name(unit)
                ),
            ),
            None => fail(
                CHECK,
                format!("{at}: there is no user {user}"),
                format!("set User={}: systemctl edit {}", units.name_of(uid), name(unit)),
            ),
        },
        (None, Kind::System) if uid == 0 => ok(CHECK, format!("{at}: runs as root")),
        (None, Kind::System) => fail(
            CHECK,
            format!("{at} has no User=: it would run as root"),
            format!("set User={}: systemctl edit {}", units.name_of(uid), name(unit)),
        ),
        (None, Kind::User) => ok(CHECK, format!("{at}: your own manager's")),
        (Some(user), Kind::User) => fail(
            CHECK,
            format!("{at}: User={user} in a user's unit does not start"),
            format!("take it out: systemctl --user edit {}", name(unit)),
        ),
    }
}

fn not_enabled(unit: &Unit, name: &str) -> Option<Finding> {
    let user = if unit.kind == Kind::User { " --user" } else { "" };
    (!unit.is_enabled).then(|| {
        warn(
            CHECK,
            format!("no boot starts {}", unit.path.display()),
            format!("systemctl{user} enable {name}"),
        )
    })
}

/// A user's manager ends with the user's last login, and everything in it.
fn lingers(units: &Units, unit: &Unit, uid: u32) -> Finding {
    if unit.kind == Kind::System {
        return skip("linger", "the system's units need none");
    }
    let name = units.name_of(uid);
    match units.lingering.join(&name).exists() {
        true => ok("linger", format!("{name} lingers")),
        false => fail(
            "linger",
            format!("{name} does not linger: the daemon and all agents end with the last logout"),
            format!("loginctl enable-linger {name}"),
        ),
    }
}

fn name(unit: &Unit) -> String {
    unit.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
