//! systemd's units, as files: which are installed, for whom, which of two that have one name is the
//! one in use, and whether a boot starts it. Asks no systemd, so that it works in a container and
//! starts nothing.

use std::path::{Path, PathBuf};

pub const DAEMON: &str = "claude-failover.service";
pub const TMUX: &str = "claude-failover-tmux.service";
/// The first that has a unit is the one that counts.
const SYSTEM_DIRS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Below the user's home.
const USER_DIRS: [&str; 2] = [".config/systemd/user", ".local/share/systemd/user"];
const GLOBAL_USER_DIRS: [&str; 3] =
    ["etc/systemd/user", "run/systemd/user", "usr/lib/systemd/user"];
/// Where an enabled unit is linked, beside the units.
const WANTS: [&str; 3] =
    ["multi-user.target.wants", "default.target.wants", "graphical.target.wants"];

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
    /// It has a control group where its manager puts it.
    pub is_running: bool,
}

/// Whose manager has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    System,
    User,
}

impl Kind {
    /// As it is typed, before the verb.
    pub fn systemctl(self) -> &'static str {
        match self {
            Kind::System => "systemctl",
            Kind::User => "systemctl --user",
        }
    }

    /// As it is typed, before the unit.
    pub fn journalctl(self) -> &'static str {
        match self {
            Kind::System => "journalctl -u",
            Kind::User => "journalctl --user -u",
        }
    }
}

impl Unit {
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Units {
    /// `root` is `/` but in tests; `uid` is the user whose own manager may have them.
    pub fn look(root: &Path, user_home: &Path, uid: u32) -> Self {
        let passwd = fs_err::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((name, fields.nth(1)?.parse().ok()?))
        };
        let below = |dirs: &[&str], of: &Path| dirs.iter().map(|dir| of.join(dir)).collect();
        let mut user_dirs: Vec<PathBuf> = below(&USER_DIRS, user_home);
        user_dirs.extend(GLOBAL_USER_DIRS.iter().map(|dir| root.join(dir)));
        let groups = root.join("sys/fs/cgroup");
        let slice = format!("user.slice/user-{uid}.slice/user@{uid}.service/app.slice");
        let system = Manager {
            kind: Kind::System,
            dirs: below(&SYSTEM_DIRS, root),
            groups: groups.join("system.slice"),
        };
        let users = Manager { kind: Kind::User, dirs: user_dirs, groups: groups.join(slice) };
        let in_use = |name: &str, rather: Kind| {
            let found = [&system, &users].into_iter().filter_map(|manager| manager.unit(name));
            found.max_by_key(|unit| (unit.is_running, unit.is_enabled, unit.kind == rather))
        };
        let daemon = in_use(DAEMON, Kind::System);
        let tmux = in_use(TMUX, daemon.as_ref().map_or(Kind::System, |unit| unit.kind));
        Self {
            daemon,
            tmux,
            users: passwd.lines().filter_map(user).collect(),
            lingering: root.join("var/lib/systemd/linger"),
        }
    }

    /// Whose manager a person asks for the daemon.
    pub fn kind_of_daemon(&self) -> Kind {
        self.daemon.as_ref().map_or(Kind::System, |unit| unit.kind)
    }

    /// Whose manager a person asks for the tmux server.
    pub fn kind_of_tmux(&self) -> Kind {
        self.tmux.as_ref().map_or(self.kind_of_daemon(), |unit| unit.kind)
    }

    pub fn uid_of(&self, user: &str) -> Option<u32> {
        let named = self.users.iter().find(|(name, _)| name == user).map(|(_, uid)| *uid);
        named.or_else(|| user.parse().ok())
    }

    pub fn name_of(&self, uid: u32) -> String {
        let named = self.users.iter().find(|(_, at)| *at == uid).map(|(name, _)| name.clone());
        named.unwrap_or_else(|| uid.to_string())
    }

    /// Whether the user's manager outlives the user's last login.
    pub fn lingers(&self, user: &str) -> bool {
        self.lingering.join(user).exists()
    }
}

struct Manager {
    kind: Kind,
    dirs: Vec<PathBuf>,
    /// Of the services that it runs.
    groups: PathBuf,
}

impl Manager {
    fn unit(&self, name: &str) -> Option<Unit> {
        let first = self.dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists());
        // A link to /dev/null masks what later directories have.
        let path = first.filter(|path| path.is_file())?;
        let mut texts = vec![fs_err::read_to_string(&path).unwrap_or_default()];
        for dir in self.dirs.iter().rev() {
            texts.extend(drop_ins(&dir.join(format!("{name}.d"))));
        }
        let is_wanted =
            |dir: &PathBuf| WANTS.iter().any(|target| dir.join(target).join(name).is_symlink());
        let lines = texts.iter().flat_map(|text| text.lines());
        let user =
            lines.filter_map(|line| line.trim().strip_prefix("User=")).rfind(|u| !u.is_empty());
        let user = user.map(|user| user.trim().to_owned());
        Some(Unit {
            path,
            kind: self.kind,
            user,
            is_enabled: self.dirs.iter().any(is_wanted),
            is_running: self.groups.join(name).is_dir(),
        })
    }
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
