//! Ending agents and running short commands, with real processes.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claude_failover::ids::ProcessRef;
use claude_failover::process::environment::Variables;
use claude_failover::process::run::{Environment, OUTPUT_BYTES_MAX, Output, RunError, run};
use claude_failover::process::shell::{LOGIN_PATH_TIMEOUT, login_path};
use claude_failover::process::stop::{KILLED_WAIT, StopOutcome, stop_trees};
use claude_failover::process::table::is_alive;
use claude_failover::process::wait::until_ended;
use crossbeam_channel::RecvTimeoutError;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::descriptors::{FEW, take_all_but, with_few};
use crate::support::{PrivateTmux, eventually};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(300);

/// Notes its pid as `$1`; sourced by the scripts below.
const NOTE: &str = r#"note() { echo "$2" > "$1.tmp"; mv "$1.tmp" "$1.pid"; }"#;

/// An agent that takes no hint, with children that try to stay.
const DEAF_AGENT: &str = r#"
trap '' HUP TERM
nohup sleep 1000 >/dev/null 2>&1 &
note nohup $!
setsid sleep 1000 &
note setsid $!
setsid sh -c '. ./note.sh; trap "" HUP TERM; note deaf $$; while :; do sleep 0.01; done' &
note agent $$
while :; do sleep 0.05; done
"#;

fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, body).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn noting_script(dir: &Path, name: &str, body: &str) -> PathBuf {
    std::fs::write(dir.join("note.sh"), NOTE).unwrap();
    script(dir, name, &format!("#!/bin/sh\n. ./note.sh\n{body}"))
}

/// State and start time of a living process; a zombie is none.
fn stat(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let state = fields[0].chars().next()?;
    (state != 'Z').then(|| (state, fields[19].parse().unwrap()))
}

fn reference(pid: i32) -> ProcessRef {
    let (_, started_ticks) = stat(pid).expect("it lives");
    ProcessRef { pid, started_ticks }
}

fn noted(dir: &Path, name: &str) -> i32 {
    eventually(name, 5 * SECOND, || {
        let text = std::fs::read_to_string(dir.join(format!("{name}.pid"))).ok()?;
        text.trim().parse().ok()
    })
}

/// A child of the test in a group of its own, killed with it when the test fails.
struct Agent(Child);

impl Agent {
    fn start(dir: &Path, script: &Path) -> Self {
        let mut command = Command::new(script);
        command.current_dir(dir).stdin(Stdio::null()).process_group(0);
        Self(command.spawn().unwrap())
    }

    fn reference(&self) -> ProcessRef {
        reference(i32::try_from(self.0.id()).unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Processes that outlive their tmux server; ended when the test is over.
struct Outliving<const N: usize>([i32; N]);

impl<const N: usize> Drop for Outliving<N> {
    fn drop(&mut self) {
        for pid in self.0.into_iter().filter(|pid| stat(*pid).is_some()) {
            kill(pid, Signal::KILL);
        }
    }
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Processes with this word among their arguments.
fn with_argument(word: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap();
    pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
        })
        .filter(|pid| stat(*pid).is_some())
        .collect()
}

#[test]
fn an_agent_ends_with_all_it_started_and_nobody_else() {
    let tmux = PrivateTmux::new();
    let dir = tmux.path().to_str().unwrap();
    noting_script(tmux.path(), "agent", DEAF_AGENT);
    // `set -m`: the pipeline has one group, led by the agent.
    noting_script(
        tmux.path(),
        "shell",
        "set -m\n\
         sleep 1000 & note sibling $!\n\
         note shell $$\n\
         ./agent | sh -c '. ./note.sh; note piped $$; exec sleep 1000'\n\
         sleep 1000\n",
    );
    tmux.run(&["new-session", "-d", "-s", "a", "-c", dir, "./shell"]);
    tmux.run(&["split-window", "-t", "=a:", "-c", dir, "exec sleep 1000"]);
    let editor = tmux.run(&["display-message", "-p", "-t", "=a:", "#{pane_pid}"]);
    let agent = noted(tmux.path(), "agent");
    let doomed = ["nohup", "setsid", "deaf"].map(|name| noted(tmux.path(), name));
    let spared = ["sibling", "shell", "piped"].map(|name| noted(tmux.path(), name));
    let _outliving = Outliving(spared);

    let root = reference(agent);
    assert_eq!(stop_trees(&[root], GRACE), [(root, StopOutcome::Stopped)]);
    for pid in doomed {
        assert_eq!(stat(pid), None, "{pid} of {doomed:?}");
    }
    assert_eq!(stat(agent), None);
    for pid in spared.into_iter().chain([editor.parse().unwrap()]) {
        assert!(stat(pid).is_some(), "{pid}: {spared:?} and {editor}");
    }
    assert_eq!(stop_trees(&[root], GRACE), [(root, StopOutcome::AlreadyGone)]);
}

#[test]
fn a_process_with_another_start_time_is_not_signalled() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path(), &script(dir.path(), "agent", "#!/bin/sh\nsleep 1000\n"));
    let alive = agent.reference();
    let former = ProcessRef { started_ticks: alive.started_ticks - 1, ..alive };
    assert_eq!(stop_trees(&[former], GRACE), [(former, StopOutcome::AlreadyGone)]);
    assert_eq!(agent.reference(), alive);
    assert_eq!(
        stop_trees(&[former, alive], GRACE),
        [(former, StopOutcome::AlreadyGone), (alive, StopOutcome::Stopped)]
    );
}

#[test]
fn a_stopped_agent_gets_to_say_good_bye() {
    let dir = tempfile::tempdir().unwrap();
    let path = noting_script(
        dir.path(),
        "agent",
        "trap 'echo bye > bye; exit 143' TERM\nnote agent $$\nwhile :; do sleep 0.01; done\n",
    );
    let agent = Agent::start(dir.path(), &path);
    let pid = noted(dir.path(), "agent");
    kill(pid, Signal::STOP);
    eventually("it is stopped", SECOND, || (stat(pid)?.0 == 'T').then_some(()));
    let began = Instant::now();
    let outcomes = stop_trees(&[agent.reference()], 5 * SECOND);
    assert_eq!(outcomes[0].1, StopOutcome::Stopped);
    assert!(dir.path().join("bye").exists());
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[test]
fn nobody_slips_away_from_an_agent_that_starts_processes_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let word = format!("1000.{}", std::process::id());
    let path = noting_script(
        dir.path(),
        "agent",
        &format!(
            "trap '' TERM\nnote agent $$\n\
             while :; do setsid sh -c \"trap '' TERM; sleep {word}\" & sleep 0.005; done\n"
        ),
    );
    let agent = Agent::start(dir.path(), &path);
    eventually("some children", 5 * SECOND, || (with_argument(&word).len() > 3).then_some(()));
    let outcomes = stop_trees(&[agent.reference()], GRACE);
    assert_eq!(outcomes[0].1, StopOutcome::Stopped);
    assert_eq!(with_argument(&word), Vec::<i32>::new());
}

#[test]
fn twenty_agents_end_in_the_time_of_one() {
    let dir = tempfile::tempdir().unwrap();
    // They may be hit while they start these.
    let word = format!("1002.{}", std::process::id());
    let polite = format!("trap 'exit 143' TERM\nsleep {word} & sleep {word} & wait\n");
    let polite = script(dir.path(), "polite", &format!("#!/bin/sh\n{polite}"));
    let deaf = format!("trap '' TERM\nsleep {word} &\nwhile :; do sleep 0.05; done\n");
    let deaf = script(dir.path(), "deaf", &format!("#!/bin/sh\n{deaf}"));
    for (kind, script, limit) in [("polite", &polite, SECOND), ("deaf", &deaf, GRACE + KILLED_WAIT)]
    {
        let agents: Vec<Agent> = (0..20).map(|_| Agent::start(dir.path(), script)).collect();
        let roots: Vec<ProcessRef> = agents.iter().map(Agent::reference).collect();
        let began = Instant::now();
        let outcomes = stop_trees(&roots, GRACE);
        let took = began.elapsed();
        println!("20 {kind} agents stopped in {took:?}");
        for (root, (process, outcome)) in roots.iter().zip(&outcomes) {
            assert_eq!((root, outcome), (process, &StopOutcome::Stopped));
        }
        assert_eq!(with_argument(&word), Vec::<i32>::new(), "{kind}");
        assert!(took < limit, "{kind}: {took:?}");
    }
}

#[test]
fn an_agent_that_cannot_be_looked_at_has_not_ended() {
    with_few("process::an_agent_that_cannot_be_looked_at_has_not_ended", || {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::start(dir.path(), &script(dir.path(), "agent", "#!/bin/sh\nsleep 9\n"));
        let root = agent.reference();
        // With one left the processes can be listed, and none of them looked at.
        for free in 0..2 {
            let taken = take_all_but(free);
            let outcomes = stop_trees(&[root], GRACE);
            let lives = is_alive(root).map_err(|error| error.to_string());
            drop(taken);
            let StopOutcome::Survived(why) = &outcomes[0].1 else { panic!("{free}: {outcomes:?}") };
            assert!(why.contains("Too many open files"), "{why}");
            assert_eq!(lives.is_ok(), free > 0, "{lives:?}");
            assert_eq!(agent.reference(), root, "it was not told to end");
        }
    });
}

#[test]
fn while_many_agents_end_most_descriptors_are_left_to_others() {
    with_few("process::while_many_agents_end_most_descriptors_are_left_to_others", || {
        let dir = tempfile::tempdir().unwrap();
        let deaf = script(dir.path(), "deaf", "#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n");
        let agents: Vec<Agent> = (0..40).map(|_| Agent::start(dir.path(), &deaf)).collect();
        let roots: Vec<ProcessRef> = agents.iter().map(Agent::reference).collect();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let count = std::thread::spawn(move || {
            let mut most = 0;
            while stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                most = most.max(open());
            }
            most
        });
        let outcomes = stop_trees(&roots, GRACE);
        drop(stop);
        let most = count.join().unwrap() - before;
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == StopOutcome::Stopped));
        // With those that a look and a signal need.
        let share = usize::try_from(FEW / 8).unwrap();
        assert!(most >= share, "{most}: nobody was waited for");
        assert!(most <= share + 4, "{most}");
    });
}

#[test]
fn the_end_of_a_process_is_waited_for_without_a_descriptor() {
    with_few("process::the_end_of_a_process_is_waited_for_without_a_descriptor", || {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::start(dir.path(), &script(dir.path(), "agent", "#!/bin/sh\nsleep 9\n"));
        let root = agent.reference();
        let taken = take_all_but(0);
        let began = Instant::now();
        until_ended(root, GRACE);
        assert!(began.elapsed() >= GRACE, "{:?}", began.elapsed());
        kill(root.pid, Signal::KILL);
        let began = Instant::now();
        let waits = std::thread::spawn(move || until_ended(root, 20 * SECOND));
        drop(taken);
        waits.join().unwrap();
        assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    });
}

fn sh(line: &str, timeout: Duration) -> Result<Output, RunError> {
    run(
        OsStr::new("/bin/sh"),
        &[OsStr::new("-c"), OsStr::new(line)],
        Environment::Exactly(&Variables::from([("PATH".into(), "/usr/bin:/bin".into())])),
        timeout,
    )
}

#[test]
fn a_command_gives_its_status_and_both_outputs_of_any_length() {
    let half = OUTPUT_BYTES_MAX / 2;
    let line = format!(
        "head -c {half} /dev/zero; head -c {half} /dev/zero >&2; echo \"$HOME$PATH\"; exit 3"
    );
    let output = sh(&line, 20 * SECOND).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.ends_with(b"\0/usr/bin:/bin\n"));
    assert_eq!(output.stderr.len(), half);
}

#[test]
fn a_command_past_its_time_dies_with_its_whole_group() {
    let word = format!("1001.{}", std::process::id());
    let began = Instant::now();
    let error = sh(&format!("sleep {word} & sleep {word}"), GRACE).unwrap_err();
    assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
    assert!(began.elapsed() < GRACE + SECOND);
    eventually("nobody is left", SECOND, || with_argument(&word).is_empty().then_some(()));
}

#[test]
fn a_grandchild_that_keeps_the_pipe_holds_nobody_up() {
    let began = Instant::now();
    let output = sh("sleep 1000 & echo $!", 20 * SECOND).unwrap();
    assert!(began.elapsed() < 5 * SECOND);
    let pid: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    assert!(stat(pid).is_some(), "left alone");
    kill(pid, Signal::KILL);
}

#[test]
fn a_command_that_floods_its_output_is_ended() {
    let error = sh("exec yes", 20 * SECOND).unwrap_err();
    assert!(matches!(error, RunError::TooMuchOutput { .. }), "{error}");
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let error = run(OsStr::new("/no/such/tmux"), &[], Environment::Inherited, SECOND);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("/no/such/tmux"), "{error}");
}

#[test]
fn the_path_of_a_login_shell_survives_a_noisy_profile() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join(".bash_profile"),
        "echo Welcome; set -x; PATH=/opt/agents:/usr/bin:/bin\n",
    )
    .unwrap();
    // Not the home of whoever runs the tests.
    let home = dir.path().display();
    let shell =
        script(dir.path(), "shell", &format!("#!/bin/sh\nHOME={home} exec /bin/bash \"$@\"\n"));
    let began = Instant::now();
    let path = login_path(&shell);
    println!("login_path took {:?}", began.elapsed());
    assert_eq!(path.as_deref(), Some("/opt/agents:/usr/bin:/bin"));
}

#[test]
fn a_profile_that_hangs_or_fails_gives_no_path() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = script(dir.path(), "hangs", "#!/bin/sh\nsleep 1000\n");
    let began = Instant::now();
    assert_eq!(login_path(&hangs), None);
    assert!(began.elapsed() < LOGIN_PATH_TIMEOUT + SECOND);
    let fails = script(dir.path(), "fails", "#!/bin/sh\nexit 1\n");
    assert_eq!(login_path(&fails), None);
    assert_eq!(login_path(&dir.path().join("missing")), None);
}
