//! What an adoption is refused for, always with nothing changed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::{Child, Command, Stdio};

use fs_err as fs;

use crate::edges::site::Site;
use crate::init::stage::Host;

/// Ended when dropped. Up when it is given: it has said so.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With nothing changed; what was said.
#[track_caller]
fn refused(host: &Host, verb: &str, code: i32) -> String {
    let before = host.tree();
    let said = host.says(&["init", verb], code);
    assert_eq!(host.tree(), before, "{said}");
    said
}

#[test]
fn while_any_process_has_a_home_as_its_configuration() {
    let host = Host::with_two_homes();
    host.says(&["init"], 0);
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo up; read line"])
        .env("CLAUDE_CONFIG_DIR", host.home(".claude-backup"));
    let process = Process::start(&mut command);
    let said = refused(&host, "--adopt", 1);
    let pid = process.0.id();
    assert!(
        said.contains(&format!("process {pid} (sh) has the home of backup as its configuration")),
        "{said}"
    );
    drop(process);
    host.says(&["init", "--adopt"], 0);
}

#[test]
fn while_a_client_lives_in_the_usual_home_or_in_the_link() {
    let host = Host::with_usual_home();
    host.says(&["init"], 0);
    let program = host.home("live/claude");
    host.write("live/claude", "echo up; read line");
    let client = || {
        let mut command = Command::new("sh");
        command.arg(&program).env("HOME", host.home("")).env_remove("CLAUDE_CONFIG_DIR");
        Process::start(&mut command)
    };
    let process = client();
    let said = refused(&host, "--adopt", 1);
    let pid = process.0.id();
    assert!(said.contains(&format!("process {pid} (sh) has HOME/.claude as its")), "{said}");
    drop(process);
    host.says(&["init", "--adopt"], 0);
    // A shell of the user's is no client, and does no harm.
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo up; read line"]).env("HOME", host.home(""));
    let shell = Process::start(shell.env_remove("CLAUDE_CONFIG_DIR"));
    host.says(&["init", "--adopt"], 0);
    let process = client();
    let said = refused(&host, "--undo", 1);
    assert!(said.contains("has the home of primary as its configuration"), "{said}");
    drop((process, shell));
    host.says(&["init", "--undo"], 0);
}

#[test]
fn while_a_daemon_runs() {
    let site = Site::new();
    let daemon = site.start();
    daemon.normal();
    let config = site.config();
    let args = ["init", "--adopt", "--config", config.to_str().unwrap()];
    let output = site.command(&args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains(&format!("another instance (pid {})", daemon.pid())), "{said}");
    daemon.drained();
    let output = site.command(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn when_a_link_leads_elsewhere() {
    let host = Host::with_usual_home();
    host.says(&["init", "--adopt"], 0);
    fs::create_dir(host.home("elsewhere")).unwrap();
    for (link, right) in
        [(".claude-primary/projects", ".claude-projects-shared"), (".claude", ".claude-primary")]
    {
        fs::remove_file(host.home(link)).unwrap();
        symlink(host.home("elsewhere"), host.home(link)).unwrap();
        let said = refused(&host, "--adopt", 1);
        assert!(said.contains(&format!("HOME/{link} leads to HOME/elsewhere")), "{said}");
        fs::remove_file(host.home(link)).unwrap();
        symlink(host.home(right), host.home(link)).unwrap();
    }
    host.says(&["init", "--adopt"], 0);
}

#[test]
fn when_something_else_is_in_the_place_of_a_link_or_a_home() {
    let host = Host::with_two_homes();
    host.says(&["init"], 0);
    fs::rename(host.home(".claude-backup/session-env"), host.home("kept")).unwrap();
    host.write(".claude-backup/session-env", "a file");
    host.write(".claude-projects-shared", "a file, too");
    let said = refused(&host, "--adopt", 1);
    for part in [
        "HOME/.claude-backup/session-env is a file in the way",
        "HOME/.claude-projects-shared shall be the shared directory",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn when_a_rename_would_have_to_be_a_copy() {
    let host = Host::with_usual_home();
    let other = tempfile::Builder::new().prefix("cf-").tempdir_in("/dev/shm").unwrap();
    let device = |path: &std::path::Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(other.path()), device(&host.home("")), "the test needs two file systems");
    host.says(&["init"], 0);
    let text = fs::read_to_string(host.config()).unwrap();
    let elsewhere = other.path().join("projects").to_str().unwrap().to_owned();
    fs::write(host.config(), text.replace("~/.claude-projects-shared", &elsewhere)).unwrap();
    let said = refused(&host, "--adopt", 1);
    assert!(said.contains("are on two file systems") && said.contains("cp -an"), "{said}");
    assert!(!other.path().join("projects").exists());
}

#[test]
fn when_no_account_is_left_for_the_usual_home() {
    let host = Host::with_two_homes();
    host.says(&["init"], 0);
    fs::create_dir(host.home(".claude-primary")).unwrap();
    let said = refused(&host, "--adopt", 1);
    assert!(said.contains("every account has a home already"), "{said}");
}

#[test]
fn when_root_asks_for_somebody_else() {
    let host = Host::with_usual_home();
    let mut command = host.command(&["init", "--adopt"]);
    command.env("SUDO_USER", "me");
    let before = host.tree();
    let is_root = rustix::process::geteuid().is_root();
    let said = host.said(&command.output().unwrap(), i32::from(is_root));
    assert_eq!(said.contains("run it as me, without sudo"), is_root, "{said}");
    assert_eq!(host.tree() == before, is_root);
}

/// Its title is painted over, so that only its session file tells.
#[test]
fn while_a_client_that_only_its_session_file_tells_of_lives() {
    let host = Host::with_usual_home();
    host.says(&["init", "--adopt"], 0);
    let mut command = Command::new("sh");
    command.args(["-c", "echo up; read line"]).env_remove("CLAUDE_CONFIG_DIR");
    let process = Process::start(command.env("HOME", host.home("nowhere")));
    let pid = process.0.id();
    let ticks = claude_failover::process::table::started_ticks(i32::try_from(pid).unwrap())
        .unwrap()
        .unwrap();
    host.write(
        &format!(".claude-primary/sessions/{pid}.json"),
        &format!(r#"{{"pid": {pid}, "procStart": "{ticks}", "status": "idle"}}"#),
    );
    let said = refused(&host, "--undo", 1);
    assert!(said.contains(&format!("process {pid} (sh) has the home of primary")), "{said}");
}
