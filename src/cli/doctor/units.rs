//! systemd's units: are they installed, for this user, and does a boot start them?

use crate::cli::doctor::finding::{Finding, fail, ok, skip, warn};
use crate::cli::units::{DAEMON, Kind, TMUX, Unit, Units};
use crate::config::Config;

const CHECK: &str = "units";

pub fn check(units: &Units, config: &Config, uid: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &units.daemon {
        None => findings.push(warn(
            CHECK,
            format!("{DAEMON} is not installed, or masked: nothing starts the daemon at a boot"),
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
            format!("{TMUX} is not installed, or masked, and tmux.start_server is false: nobody starts tmux"),
            "install systemd/claude-failover-tmux.service, or set tmux.start_server: true",
        )),
        None => {}
        Some(unit) => {
            findings.push(for_whom(units, unit, uid));
            if config.tmux.start_server {
                findings.push(warn(
                    CHECK,
                    format!("{TMUX} is installed, and tmux.start_server is true"),
                    format!(
                        "tmux: {{socket: {}/claude-failover-tmux/tmux.sock, start_server: false}}, or \
                         {} mask claude-failover-tmux",
                        runtime_dir_of(unit.kind, uid),
                        unit.kind.systemctl()
                    ),
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
                    unit.name()
                ),
            ),
            None => fail(
                CHECK,
                format!("{at}: there is no user {user}"),
                format!("set User={}: systemctl edit {}", units.name_of(uid), unit.name()),
            ),
        },
        (None, Kind::System) if uid == 0 => ok(CHECK, format!("{at}: runs as root")),
        (None, Kind::System) => fail(
            CHECK,
            format!("{at} has no User=: it would run as root"),
            format!("set User={}: systemctl edit {}", units.name_of(uid), unit.name()),
        ),
        (None, Kind::User) => ok(CHECK, format!("{at}: your own manager's")),
        (Some(user), Kind::User) => fail(
            CHECK,
            format!("{at}: User={user} in a user's unit does not start"),
            format!("take it out: systemctl --user edit {}", unit.name()),
        ),
    }
}

fn not_enabled(unit: &Unit, name: &str) -> Option<Finding> {
    (!unit.is_enabled).then(|| {
        warn(
            CHECK,
            format!("no boot starts {}", unit.path.display()),
            format!("{} enable {name}", unit.kind.systemctl()),
        )
    })
}

/// A user's manager ends with the user's last login, and everything in it.
fn lingers(units: &Units, unit: &Unit, uid: u32) -> Finding {
    if unit.kind == Kind::System {
        return skip("linger", "the system's units need none");
    }
    let name = units.name_of(uid);
    match units.lingers(&name) {
        true => ok("linger", format!("{name} lingers")),
        false => fail(
            "linger",
            format!("{name} does not linger: the daemon and all agents end with the last logout"),
            format!("loginctl enable-linger {name}"),
        ),
    }
}

/// `%t` of its manager.
fn runtime_dir_of(kind: Kind, uid: u32) -> String {
    match kind {
        Kind::System => "/run".to_owned(),
        Kind::User => format!("/run/user/{uid}"),
    }
}
