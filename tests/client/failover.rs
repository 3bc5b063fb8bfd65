//! The main job with the real client: an operator works on account A, A's 5-hour limit is hit, and
//! the same conversation goes on under B in the same pane.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::rig::Rig;
use crate::support::{PrivateTmux, binary, eventually};
use crate::typing::{screen, type_line};

pub const STARTS: Duration = Duration::from_secs(30);
pub const SWAPS: Duration = Duration::from_secs(60);

pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub fn start(config: &Path, log: PathBuf) -> Self {
        let child = Command::new(binary())
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- daemon log\n{}", self.log());
        }
    }
}

/// One dedicated session; the link names the first of the accounts.
pub fn write_config(rig: &Rig, tmux: &PrivateTmux, work: &Path, accounts: &[&str]) -> PathBuf {
    let dir = tmux.path();
    let link = dir.join("claude");
    std::os::unix::fs::symlink(rig.home(accounts[0]), &link).unwrap();
    let accounts: String = accounts
        .iter()
        .map(|name| format!("  - {{name: {name}, home: {}}}\n", rig.home(name).display()))
        .collect();
    let config = format!(
        "link: {link}\n\
         accounts:\n{accounts}\
         pool:\n  shared_projects_dir: {shared}\n  dedicated:\n    - {{name: work-1, project: {work}}}\n\
         agent:\n  command: [{client}, --dangerously-skip-permissions]\n  env: {{IS_SANDBOX: \"1\"}}\n\
         tmux: {{socket: {socket}}}\n\
         http: {{listen: null}}\n\
         state_dir: {dir}/state\nruntime_dir: {dir}/run\n",
        link = link.display(),
        shared = rig.shared_projects().display(),
        work = work.display(),
        client = rig.client().display(),
        socket = tmux.socket().display(),
        dir = dir.display(),
    );
    let path = dir.join("config.yaml");
    std::fs::write(&path, config).unwrap();
    path
}

pub fn is_idle(session: &Value) -> bool {
    session["status"] == "idle"
}

#[test]
fn a_conversation_goes_on_under_the_next_account_in_the_same_pane() {
    let rig = Rig::up();
    rig.answer("A", &["ok"]);
    rig.answer("B", &["ok"]);
    let tmux = PrivateTmux::new();
    let work = rig.work(&format!("failover-{}", std::process::id()));
    let config = write_config(&rig, &tmux, &work, &["A", "B"]);
    let daemon = Daemon::start(&config, tmux.path().join("daemon.log"));

    let pane = eventually("the dedicated session", STARTS, || {
        let panes = tmux.output(&["list-panes", "-t", "=work-1:", "-F", "#{pane_id}"]);
        panes.status.success().then(|| String::from_utf8_lossy(&panes.stdout).trim().to_owned())
    });
    let start = format!(
        "CLAUDE_CONFIG_DIR={} {} --dangerously-skip-permissions",
        rig.home("A").display(),
        rig.client().display()
    );
    type_line(&tmux, &pane, &start);
    let before =
        eventually("an idle client on A", STARTS, || rig.session("A", &work).filter(is_idle));
    let id = before["sessionId"].as_str().unwrap().to_owned();

    type_line(&tmux, &pane, "remember the word ZEBRA");
    eventually("an answer from A", STARTS, || {
        screen(&tmux, &pane).contains("MOCK-OK acct=A").then_some(())
    });
    eventually("A idle again", STARTS, || rig.session("A", &work).filter(is_idle));

    rig.answer("A", &["quota5h", "reset_in=7200"]);
    type_line(&tmux, &pane, "next step please");
    eventually("the link on B", SWAPS, || {
        (std::fs::read_link(tmux.path().join("claude")).ok()? == rig.home("B")).then_some(())
    });
    let after =
        eventually("an idle client on B", SWAPS, || rig.session("B", &work).filter(is_idle));
    assert_eq!(after["sessionId"].as_str(), Some(id.as_str()), "{}", daemon.log());
    let panes = tmux.run(&["list-panes", "-t", "=work-1:", "-F", "#{pane_id}"]);
    assert_eq!(panes, pane, "the same pane, and no other");
    assert!(rig.session("A", &work).is_none(), "no client is left on A");
    eventually("the swap recorded as done", SWAPS, || {
        daemon.log().contains("phase=Done").then_some(())
    });

    type_line(&tmux, &pane, "please go on");
    let answer = eventually("an answer from B", STARTS, || {
        let screen = screen(&tmux, &pane);
        screen.contains("MOCK-OK acct=B").then_some(screen)
    });
    assert!(answer.contains("ZEBRA"), "B was sent the whole conversation:\n{answer}");
    assert_eq!(daemon.log().matches("phase=Planned").count(), 1, "one swap:\n{}", daemon.log());
}
