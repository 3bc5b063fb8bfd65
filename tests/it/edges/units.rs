//! The unit files, by systemd's own reader of them. No service manager runs here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

/// For the whole system, and for a user's own manager.
const PLACES: [(&str, &[&str]); 2] = [("systemd", &[]), ("systemd/user", &["--user"])];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn units(place: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(place)).unwrap().map(|entry| entry.unwrap().path());
    let units: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    assert_eq!(units.len(), 2, "{place}: {units:?}");
    units
}

fn all_units() -> Vec<(PathBuf, String)> {
    let paths = PLACES.into_iter().flat_map(|(place, _)| units(place));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Copies that name programs which exist; what systemd-analyze has to say about them.
fn verify(place: &str, options: &[&str], change: fn(String) -> String) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(options).args(["verify", "--man=no"]);
    command.env("SYSTEMD_LOG_LEVEL", "info").env("XDG_RUNTIME_DIR", dir.path());
    for unit in units(place) {
        let copy = dir.path().join(unit.file_name().unwrap());
        let text = change(fs::read_to_string(unit).unwrap());
        fs::write(&copy, text.replace("=claude-failover ", "=true ")).unwrap();
        command.arg(copy);
    }
    let output = command.output().expect("systemd-analyze, of the package systemd");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It says nothing to its exit code about unknown keys, so any word fails.
#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    for (place, options) in PLACES {
        assert_eq!(verify(place, options, |text| text), "", "{place}");
        let typo = verify(place, options, |text| text.replace("WatchdogSec=", "WatchdogSeconds="));
        assert!(typo.contains("WatchdogSeconds"), "it looks at the copies: {typo}");
    }
}

#[test]
fn no_unit_can_take_another_down() {
    for (path, text) in all_units() {
        for word in ["Requires=", "PartOf=", "BindsTo=", "Requisite=", "Conflicts="] {
            let is_there = text.lines().any(|line| line.starts_with(word));
            assert!(!is_there, "{}: {word}", path.display());
        }
    }
}

/// Measured: these kill Node.js, hide the socket, or take from agents what their tools need.
#[test]
fn nothing_is_forbidden_to_the_agents() {
    let forbidding = ["Protect", "Private", "Restrict", "NoNewPrivileges", "Capability", "System"];
    let mut seen = 0;
    for (path, text) in all_units() {
        let hardened = text.lines().filter(|line| forbidding.iter().any(|k| line.starts_with(k)));
        match path.file_name().unwrap().to_str().unwrap() {
            "claude-failover-tmux.service" => assert_eq!(hardened.count(), 0, "{}", path.display()),
            _ => seen += hardened.count(),
        }
        assert!(!text.contains("\nMemoryDenyWriteExecute"), "{}", path.display());
        assert!(!text.contains("\nRemoveIPC"), "{}", path.display());
    }
    assert!(seen > 10, "the daemon's units are hardened: {seen}");
}

#[test]
fn the_units_of_a_user_differ_where_they_must_and_nowhere_else() {
    let keys = ["Restart", "Watchdog", "Timeout", "Kill", "Type", "Notify", "OOMPolicy", "Limit"];
    let settings = |path: &Path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
        // The length of a line of restrictions differs by what the manager can do.
        lines.filter(|line| !line.starts_with("Restrict")).map(str::to_owned).collect()
    };
    for system in units("systemd") {
        let user = root().join("systemd/user").join(system.file_name().unwrap());
        let (of_system, of_user) = (settings(&system), settings(&user));
        assert!(of_system.len() >= 3, "{of_system:?}");
        assert_eq!(of_system, of_user, "{}", user.display());
        assert!(!fs::read_to_string(&user).unwrap().contains("\nUser="), "{}", user.display());
    }
}

#[test]
fn units_are_ordinary_readable_files() {
    for (path, _) in all_units() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0, "{} is executable, which systemd warns about", path.display());
    }
}
