//! A test once more, alone in user and mount namespaces of its own: there it may mount and set limits,
//! and nobody else meets them.

use std::io::Write;
use std::process::Command;

use crate::daemon::fleet::ROOM;

/// Where an ordinary user may have no such namespaces, so that nothing is tried, and that is said past
/// the harness, which shows nothing of a test that passes.
const NAMESPACES: [&str; 2] = ["unshare", "-Urm"];

/// Runs `body` where `prepare`, a line of shell, has been done; `$ROOM` is the directory for its fleets.
#[track_caller]
pub fn in_a_room(test: &str, prepare: &str, body: impl FnOnce()) {
    if std::env::var_os(ROOM).is_some() {
        return body();
    }
    let dir = tempfile::Builder::new().prefix("cf-room-").tempdir_in("/tmp").unwrap();
    let run = |then: &str| {
        let line = format!("export ROOM={} && {prepare} && {then}", dir.path().display());
        let mut command = Command::new(NAMESPACES[0]);
        command.args(&NAMESPACES[1..]).args(["sh", "-c", &line]);
        command.arg(std::env::current_exe().unwrap()).env(ROOM, dir.path());
        command.output()
    };
    let may = run("true");
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        let mut loud = std::io::stderr();
        writeln!(loud, "NOT TRIED: {test}: this host allows no `{prepare}`: {may:?}").unwrap();
        return;
    }
    let output = run(&format!("exec \"$0\" --exact {test} --nocapture")).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{errors}");
    print!("{told}");
}
