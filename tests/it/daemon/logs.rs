//! `logs`: by journalctl where the daemon's log is in the journal; else where it is.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::daemon::fleet::{Fleet, kill};
use crate::daemon::layout::Layout;
use crate::support::binary;

#[test]
fn a_log_that_is_a_file_is_named() {
    let mut fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    fleet.start();
    let said = fleet.refused(&["logs"]);
    let path = fleet.log_path();
    assert!(said.contains(&format!("its log is {}", path.display())), "{said}");
    fleet.stop_daemon();
    // By a PATH without a journalctl nothing of this machine's journal comes in.
    let output = Command::new(binary())
        .args(["logs", "--config"])
        .arg(fleet.root().join("config.yaml"))
        .env("PATH", fleet.root())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("journal"));
}

/// systemd gives a socket as standard error and names it in `JOURNAL_STREAM`; a journalctl of ours stands
/// for the real one.
#[test]
fn a_log_in_the_journal_is_read_by_journalctl() {
    let fleet = Fleet::new(Layout { pool: 1, ..Layout::default() });
    let (mut journal, stream) = UnixStream::pair().unwrap();
    let stat = rustix::fs::fstat(&stream).unwrap();
    let config = fleet.root().join("config.yaml");
    let mut command = Command::new(binary());
    fleet.at_home(&mut command);
    command
        .args(["run", "--config"])
        .arg(&config)
        .env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(stream))
        .process_group(0);
    let mut daemon = command.spawn().unwrap();
    drop(command); // and with it our end of its standard error
    fleet.await_state("normal");
    let dir = fleet.root().join("path");
    fs::create_dir(&dir).unwrap();
    let fake = dir.join("journalctl");
    fs::write(&fake, "#!/bin/sh\necho \"$*\"\nexit 3\n").unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(binary())
        .args(["logs", "-f", "-n", "5", "--config"])
        .arg(&config)
        .env("PATH", &dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "it becomes journalctl: {text}");
    assert!(text.ends_with(" --lines=5 --follow\n"), "{text}");
    let by = ["--unit=", "--user-unit=", "--identifier="];
    assert!(by.iter().any(|by| text.starts_with(by)), "{text}");
    kill(i32::try_from(daemon.id()).unwrap(), Signal::TERM);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let mut log = String::new();
    journal.read_to_string(&mut log).unwrap();
    assert!(log.starts_with("<6>"), "it speaks as to a journal: {log}");
}
