//! `claude-failover launch` in real panes: what the agent sees, which keys it survives, what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_failover::launch::LaunchSpec;

use crate::support::{PrivateTmux, binary, eventually};

const WAIT: Duration = Duration::from_secs(10);

/// One pane of a private server whose user has a home, a shell and secrets in the environment.
struct Pane {
    tmux: PrivateTmux,
    id: String,
}

impl Pane {
    fn open() -> Self {
        let tmux = PrivateTmux::new();
        let dir = tmux.path().to_str().unwrap().to_owned();
        for made in ["work", "home", "account"] {
            std::fs::create_dir(tmux.path().join(made)).unwrap();
        }
        tmux.run(&["new-session", "-d", "-s", "a", "-x", "100", "-y", "30", "exec cat"]);
        // tmux itself sets SHELL, once, when it makes a pane.
        tmux.run(&["set-option", "-g", "default-shell", "/bin/sh"]);
        for (name, value) in [
            ("HOME", format!("{dir}/home").as_str()),
            ("LC_TIME", "C"),
            ("ANTHROPIC_API_KEY", "sk-ant-secret"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "secret"),
            ("GITHUB_TOKEN", "secret"),
            ("NOTIFY_SOCKET", "/run/secret"),
            ("CLAUDE_CONFIG_DIR", "/another/home"),
        ] {
            tmux.run(&["set-environment", "-g", name, value]);
        }
        let new = ["new-window", "-P", "-F", "#{pane_id}", "-t", "=a:"];
        let id = tmux.run(&[&new[..], &["exec cat"]].concat());
        Self { tmux, id }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.tmux.path().join("work").join(name)
    }

    fn spec(&self, argv: &[&str]) -> LaunchSpec {
        LaunchSpec {
            argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
            cwd: self.tmux.path().join("work"),
            home: self.tmux.path().join("account"),
            env: BTreeMap::from([("IS_SANDBOX".to_owned(), "1".to_owned())]),
        }
    }

    fn launch(&self, spec: &LaunchSpec) {
        let path = self.tmux.path().join("spec");
        spec.write(&path).unwrap();
        self.launch_from(&path);
    }

    fn launch_from(&self, spec: &Path) {
        let (program, spec) = (binary(), spec.to_str().unwrap());
        let program = program.to_str().unwrap();
        let pane = ["respawn-pane", "-k", "-t", &self.id];
        self.tmux.run(&[&pane[..], &[program, "launch", "--spec", spec]].concat());
    }

    /// Launches `/bin/sh` on a script of this body and waits until it has made the file `ready`.
    fn launch_script(&self, body: &str) {
        let script = self.file("agent");
        std::fs::write(&script, format!("#!/bin/sh\n{body}")).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        self.launch(&self.spec(&[script.to_str().unwrap()]));
        self.made("ready");
    }

    /// The content of a file in the work directory, once it has some.
    #[track_caller]
    fn made(&self, name: &str) -> String {
        eventually(name, WAIT, || {
            let text = std::fs::read_to_string(self.file(name)).ok()?;
            text.ends_with('\n').then(|| text.trim_end().to_owned())
        })
    }

    fn key(&self, key: &str) {
        self.tmux.run(&["send-keys", "-t", &self.id, key]);
    }

    fn format(&self, format: &str) -> String {
        self.tmux.run(&["display-message", "-p", "-t", &self.id, format])
    }

    fn screen(&self) -> String {
        self.tmux.run(&["capture-pane", "-p", "-J", "-S", "-100", "-t", &self.id])
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        eventually(text, WAIT, || self.screen().contains(text).then_some(()));
    }

    /// What a line typed at the pane's shell gives; fails when no shell is there.
    #[track_caller]
    fn ask_shell(&self, line: &str) -> String {
        let answer = self.tmux.path().join("answer");
        let _ = std::fs::remove_file(&answer);
        let line = format!("{{ {line}; }} > {0}.tmp; mv {0}.tmp {0}", answer.display());
        self.tmux.run(&["send-keys", "-l", "-t", &self.id, &line]);
        self.key("Enter");
        let text = eventually(&line, WAIT, || std::fs::read_to_string(&answer).ok());
        text.trim_end().to_owned()
    }
}

#[test]
fn the_agent_gets_the_listed_environment_and_no_secret() {
    let pane = Pane::open();
    let (program, out) = (pane.file("agent"), pane.file("environ"));
    std::fs::copy("/bin/cp", &program).unwrap();
    let argv = [&program, Path::new("/proc/self/environ"), &out].map(|arg| arg.to_str().unwrap());
    let mut spec = pane.spec(&argv);
    spec.env.insert("CLAUDE_CONFIG_DIR".into(), "/wrong".into());
    spec.env.insert("ANTHROPIC_AUTH_TOKEN".into(), "secret".into());
    pane.launch(&spec);
    pane.shows("agent ended (exit 0)");
    pane.shows("ANTHROPIC_AUTH_TOKEN is not passed to agents");
    assert!(!pane.tmux.path().join("spec").exists(), "it is removed");

    let text = std::fs::read_to_string(&out).unwrap();
    let found: BTreeMap<&str, &str> =
        text.split_terminator('\0').map(|variable| variable.split_once('=').unwrap()).collect();
    let allowed = BTreeSet::from([
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TZ",
        "TERM",
        "COLORTERM",
        "TMUX",
        "TMUX_PANE",
        "PATH",
        "IS_SANDBOX",
        "CLAUDE_CONFIG_DIR",
    ]);
    for name in found.keys() {
        assert!(allowed.contains(name) || name.starts_with("LC_"), "{name}");
    }
    let dir = pane.tmux.path().to_str().unwrap();
    for (name, value) in [
        ("HOME", format!("{dir}/home")),
        ("SHELL", "/bin/sh".to_owned()),
        ("LC_TIME", "C".to_owned()),
        ("TMUX_PANE", pane.id.clone()),
        ("IS_SANDBOX", "1".to_owned()),
        ("CLAUDE_CONFIG_DIR", format!("{dir}/account")),
    ] {
        assert_eq!(found.get(name), Some(&value.as_str()), "{name}");
    }
    for name in ["PATH", "TERM", "TMUX"] {
        assert!(found.contains_key(name), "{name}");
    }
    assert!(!text.contains("secret"));
}

#[test]
fn after_the_agent_the_same_pane_is_a_login_shell_in_the_same_directory() {
    let pane = Pane::open();
    let leader = || pane.format("#{pane_id} #{pane_pid}");
    pane.launch_script("echo $PPID > ready\nexec cat\n");
    let before = leader();
    assert_eq!(before, format!("{} {}", pane.id, pane.made("ready")));
    pane.key("C-d");
    pane.shows("agent ended (exit 0)");
    let work = pane.tmux.path().join("work");
    assert_eq!(
        pane.ask_shell("echo \"$0 $PWD ${CLAUDE_CONFIG_DIR-unset} $ANTHROPIC_API_KEY\""),
        format!("-sh {} unset sk-ant-secret", work.display())
    );
    assert_eq!(leader(), before);
}

#[test]
fn keys_reach_an_agent_that_reads_them_raw() {
    let pane = Pane::open();
    pane.launch_script(
        "stty raw -echo\necho > ready\ndd bs=1 count=3 2>/dev/null | od -An -tx1 > keys\n",
    );
    for key in ["C-c", "C-z", "C-\\"] {
        pane.key(key);
    }
    assert_eq!(pane.made("keys").trim(), "03 1a 1c");
    pane.shows("agent ended (exit 0)");
    let modes = pane.ask_shell("stty -a");
    for mode in ["icanon", "isig", "echo", "opost"] {
        assert!(modes.split_whitespace().any(|found| found == mode), "{mode}: {modes}");
    }
}

#[test]
fn keys_that_signal_reach_an_agent_and_end_nobody_else() {
    for (key, number) in [("C-c", 2), ("C-\\", 3)] {
        let pane = Pane::open();
        pane.launch_script("ulimit -c 0\necho > ready\nexec sleep 1000\n");
        pane.key(key);
        pane.shows(&format!("agent ended (signal {number})"));
        assert_eq!(pane.ask_shell("echo alive"), "alive");
    }
}

#[test]
fn an_agent_that_handles_the_signals_of_keys_goes_on() {
    let pane = Pane::open();
    pane.launch_script(
        "trap 'echo > int' INT\ntrap 'echo > quit' QUIT\ntrap 'echo > cont' CONT\n\
         echo > ready\nwhile [ ! -e end ]; do sleep 0.02; done\n",
    );
    for (key, mark) in [("C-c", "int"), ("C-\\", "quit"), ("C-z", "cont")] {
        pane.key(key);
        pane.made(mark);
    }
    std::fs::write(pane.file("end"), "").unwrap();
    pane.shows("agent ended (exit 0)");
}

#[test]
fn an_agent_that_stops_itself_goes_on() {
    let pane = Pane::open();
    pane.launch_script("echo > ready\nkill -STOP $$\necho > continued\nexec cat\n");
    pane.made("continued");
    pane.key("C-d");
    pane.shows("agent ended (exit 0)");
}

/// As the daemon does before it kills: nobody may wake it in between.
#[test]
fn an_agent_that_is_stopped_stays_so_for_a_moment() {
    let pane = Pane::open();
    pane.launch_script(
        "echo > ready\ndate +%s%3N > stopped\nkill -STOP $$\ndate +%s%3N > continued\nexec cat\n",
    );
    let at = |name: &str| pane.made(name).parse::<i64>().unwrap();
    let (stopped, continued) = (at("stopped"), at("continued"));
    assert!((900..20_000).contains(&(continued - stopped)), "{} ms", continued - stopped);
    pane.key("C-d");
    pane.shows("agent ended (exit 0)");
}

/// The client suspends itself with `kill(0, SIGTSTP)` and shows nothing until it gets SIGCONT.
#[test]
fn an_agent_that_suspends_its_whole_group_is_woken() {
    let pane = Pane::open();
    pane.launch_script(
        "trap 'echo > resumed' CONT\necho > ready\nkill -TSTP 0\n\
         while [ ! -e end ]; do sleep 0.02; done\n",
    );
    pane.made("resumed");
    std::fs::write(pane.file("end"), "").unwrap();
    pane.shows("agent ended (exit 0)");
}

#[test]
fn the_end_of_launch_is_the_end_of_the_agent_first() {
    let pane = Pane::open();
    pane.launch_script(
        "trap 'sleep 0.1; echo > term; exit 7' TERM\ntrap 'sleep 0.1; echo > hup; exit 8' HUP\n\
         echo $PPID > ready\nwhile :; do sleep 0.02; done\n",
    );
    let launch = rustix::process::Pid::from_raw(pane.made("ready").parse().unwrap()).unwrap();
    rustix::process::kill_process(launch, rustix::process::Signal::TERM).unwrap();
    pane.made("term");
    pane.shows("agent ended (exit 7)");
    assert_eq!(pane.ask_shell("echo alive"), "alive");

    std::fs::remove_file(pane.file("ready")).unwrap();
    pane.launch_script(&std::fs::read_to_string(pane.file("agent")).unwrap());
    let launch = rustix::process::Pid::from_raw(pane.made("ready").parse().unwrap()).unwrap();
    pane.tmux.run(&["kill-pane", "-t", &pane.id]);
    pane.made("hup");
    eventually("launch is gone with its pane", WAIT, || {
        rustix::process::test_kill_process(launch).err()
    });
}

#[test]
fn a_killed_fullscreen_agent_leaves_a_usable_terminal() {
    let pane = Pane::open();
    pane.launch_script(
        "echo EARLIER\nprintf '\\033[?1049h\\033[?1000h\\033[?1006h\\033[?2004h\\033[?25l'\n\
         printf '\\033[3;7r\\033[?1h\\033[31mFULLSCREEN'\nstty raw -echo\necho > ready\n\
         sleep 0.2; kill -KILL $$\n",
    );
    pane.shows("agent ended (signal 9)");
    let modes = "#{alternate_on} #{mouse_any_flag} #{keypad_cursor_flag} #{cursor_flag} \
                 #{scroll_region_upper}-#{scroll_region_lower}";
    assert_eq!(pane.format(modes), "0 0 0 1 0-29");
    assert_eq!(pane.ask_shell("echo alive"), "alive");
    let screen = pane.screen();
    assert!(screen.contains("EARLIER") && !screen.contains("FULLSCREEN"), "{screen}");
}

#[test]
fn the_last_row_of_a_tidy_fullscreen_agent_stays() {
    let pane = Pane::open();
    pane.launch_script(
        "echo > ready\nprintf '\\033[?1049hFULLSCREEN\\033[?1049l'\n\
         echo 'claude --resume 82840528-5c4e-4114-8dc2-50dc43ea65c9'\n",
    );
    pane.shows("agent ended (exit 0)");
    let screen = pane.screen();
    let row = |text: &str| screen.lines().position(|line| line.contains(text));
    let resume = row("--resume 82840528-5c4e-4114-8dc2-50dc43ea65c9").expect("it stays");
    assert!(resume < row("agent ended").unwrap(), "{screen}");
}

/// The daemon reads it there; a pane begins anew at its first row.
#[test]
fn the_message_of_an_agent_that_ends_at_once_stays() {
    const MESSAGE: &str =
        "No conversation found with session ID: 82840528-5c4e-4114-8dc2-50dc43ea65c9";
    let pane = Pane::open();
    pane.launch(&pane.spec(&["/bin/sh", "-c", &format!("echo {MESSAGE} >&2; exit 1")]));
    pane.shows("sh ended (exit 1)");
    let screen = pane.screen();
    let rows: Vec<&str> = screen.lines().filter(|row| !row.is_empty()).collect();
    assert_eq!(rows[..2], [MESSAGE, "sh ended (exit 1)"], "{screen}");
}

#[test]
fn what_was_typed_for_the_agent_is_not_run_by_the_shell() {
    let pane = Pane::open();
    pane.launch_script("stty raw -echo\necho > ready\nwhile [ ! -e end ]; do sleep 0.02; done\n");
    let line = format!("touch {}", pane.file("executed").display());
    pane.tmux.run(&["send-keys", "-l", "-t", &pane.id, &line]);
    pane.key("Enter");
    std::fs::write(pane.file("end"), "").unwrap();
    pane.shows("agent ended (exit 0)");
    assert_eq!(pane.ask_shell("echo alive"), "alive");
    assert!(!pane.file("executed").exists());
}

#[test]
fn an_agent_that_cannot_start_is_named_and_the_shell_is_there() {
    let pane = Pane::open();
    let home = pane.tmux.path().join("home");
    let work = pane.tmux.path().join("work");
    let missing = pane.tmux.path().join("gone");
    let mut no_directory = pane.spec(&["/bin/cat"]);
    no_directory.cwd.clone_from(&missing);
    for (spec, said, dir) in [
        (pane.spec(&["/no/such/claude"]), "/no/such/claude", &work),
        (pane.spec(&["no-such-claude"]), "no-such-claude", &work),
        (no_directory, missing.to_str().unwrap(), &home),
    ] {
        pane.launch(&spec);
        pane.shows(said);
        assert_eq!(pane.ask_shell("pwd"), dir.to_str().unwrap());
        pane.tmux.run(&["send-keys", "-t", &pane.id, "-R"]);
    }
    pane.launch_from(&missing);
    pane.shows("cannot start an agent");
    assert_eq!(pane.ask_shell("pwd"), home.to_str().unwrap());
}
