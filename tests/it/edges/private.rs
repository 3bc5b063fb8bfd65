//! What the daemon makes is for its user alone, and a crash leaves nothing of what it held.

use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::edges::site::Site;

/// The daemon, by a shell that does this before.
fn run_after(site: &Site, before: &str) -> Command {
    let run = site.run_command();
    let mut command = site.clean(Path::new("/bin/sh"), &["-c", &format!("{before}\nexec \"$@\"")]);
    command.arg("sh").arg(run.get_program()).args(run.get_args());
    command
}

/// Everything below a directory, and itself.
fn all_below(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = vec![dir];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[track_caller]
fn assert_private(site: &Site, dir: &str) {
    for path in all_below(site.at(dir)) {
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.mode() & 0o7777, mode, "{}", path.display());
    }
}

#[test]
fn whatever_the_umask_only_our_user_can_open_what_the_daemon_makes() {
    let site = Site::new();
    site.edit("listen: null", "listen: \"127.0.0.1:0\"");
    let daemon = site.start_as(run_after(&site, "umask 0"));
    daemon.normal();
    let control = fs::symlink_metadata(site.at("run/control.sock")).unwrap();
    assert!(control.file_type().is_socket());
    assert!(!site.at("run/http.sock").exists(), "it has a name during the start alone");
    for dir in ["run/spool", "run/launch", "run/done"] {
        assert!(site.at(dir).is_dir(), "{dir}");
    }
    daemon.drained();
    // A hook finds nobody, and leaves its report.
    let mut hook = site.clean(Path::new("/bin/sh"), &["-c", "umask 0\nexec \"$@\"", "sh"]);
    hook.arg(crate::support::binary()).args(["hook", "--runtime-dir"]).arg(site.at("run"));
    let mut hook = hook.stdin(Stdio::piped()).spawn().unwrap();
    let report = b"{\"hook_event_name\":\"Stop\",\"session_id\":\"x\"}";
    hook.stdin.take().unwrap().write_all(report).unwrap();
    assert!(hook.wait().unwrap().success());
    assert_eq!(fs::read_dir(site.at("run/spool")).unwrap().count(), 1, "the report");
    assert_private(&site, "run");
    assert_private(&site, "state");
    assert_eq!(fs::metadata(site.at("link.failover-lock")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_crash_leaves_no_core() {
    let site = Site::new();
    let mut daemon = site.start_as(run_after(&site, "ulimit -S -c $(ulimit -H -c)"));
    daemon.normal();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let row = limits.lines().find(|row| row.starts_with("Max core file size")).unwrap();
    let soft: u64 = row.split_whitespace().nth(4).unwrap().parse().unwrap();
    // With 1 the kernel hands a core to no program either, whatever `core_pattern` says.
    assert!(soft <= 1, "{row}");
    daemon.signal("-ABRT");
    let status = daemon.ended();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
