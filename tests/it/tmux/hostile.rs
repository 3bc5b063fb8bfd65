//! Names and texts that tmux, a shell or a terminal would act upon: they arrive as they are, and nobody
//! acts.

use std::fs;
use std::path::{Path, PathBuf};

use claude_failover::ids::PaneId;
use claude_failover::launch::LaunchSpec;
use claude_failover::terminal::Order;

use crate::support::{PrivateTmux, eventually};
use crate::tmux::{Rig, SOON, name, settings};

/// Each would make a file `hit` in the home of the pane if anybody took it for more than a name, or
/// change what is said or where it goes. None has a slash, so that all can be names of directories.
const HOSTILE: [&str; 16] = [
    "#(cd;touch hit)",
    "#{E:#(cd;touch hit)}",
    "#{l:#{pid}}#[fg=red,fill=red]##{pid}",
    "$(cd;touch hit)`cd;touch hit`",
    "x' ; run-shell 'cd;touch hit' ; '",
    "x\" ; run-shell \"cd;touch hit\" ; \"",
    "x\nrun-shell 'cd;touch hit'\n",
    "x; run-shell 'cd;touch hit';",
    "x\n%end 1 1 1\n%exit\n",
    "-t=x",
    "--",
    "..hidden",
    "~root$HOME",
    "%H%M%%d",
    "\u{1b}]0;title\u{7}\u{1b}[31m\u{1b}[201~\u{9b}2J\r",
    "\u{202e}é\u{a0}\u{2028}😀*[a]?{x,y}\\",
];

struct Trap {
    hit: PathBuf,
}

impl Trap {
    /// Proves that it goes off in this server.
    #[track_caller]
    fn set(rig: &Rig) -> Self {
        let trap = Self { hit: rig.tmux.path().join("home/hit") };
        // Of a format, the first expansion starts the command, which ends with the client.
        let wait = "cd; for i in $(seq 500); do test -e hit && exit; sleep 0.02; done";
        rig.tmux.run(&["display-message", "-p", HOSTILE[0], ";", "run-shell", wait]);
        assert!(trap.hit.exists(), "the trap does not go off");
        fs::remove_file(&trap.hit).unwrap();
        trap
    }

    /// What a server was told before has been done when it has run a command of its own.
    #[track_caller]
    fn is_set(&self, rig: &Rig, what: &str) {
        let after = rig.tmux.path().join("home/after");
        rig.tmux.run(&["run-shell", "cd; touch after"]);
        eventually("a command of the server", SOON, || fs::remove_file(&after).ok());
        assert!(!self.hit.exists(), "somebody acted upon {what:?}");
    }
}

#[track_caller]
fn runs_in(rig: &Rig, session: &str, cwd: &Path) {
    let link = format!("/proc/{}/cwd", rig.pane(session).leader_pid);
    eventually(&format!("{session} is in {cwd:?}"), SOON, || {
        (fs::read_link(&link).ok()? == cwd).then_some(())
    });
}

#[test]
fn a_name_of_a_directory_or_an_argument_is_nothing_but_a_name() {
    let rig = Rig::connected();
    let trap = Trap::set(&rig);
    let server = rig.server();
    for (number, text) in (1..).zip(HOSTILE) {
        let cwd = rig.tmux.path().join(text);
        fs::create_dir(&cwd).unwrap();
        let session = format!("made-{number}");
        rig.create(&session, &cwd).unwrap();
        runs_in(&rig, &session, &cwd);

        let session = format!("launched-{number}");
        let mut order = rig.order(&session, None, 1);
        order.cwd.clone_from(&cwd);
        order.home = cwd.join("home");
        order.argv = vec!["claude".to_owned(), text.to_owned()];
        order.env.insert("SOME".to_owned(), text.to_owned());
        rig.launch(order).unwrap();
        runs_in(&rig, &session, &cwd);
        let specs = eventually("it has started", SOON, || {
            Some(rig.starts()).filter(|starts| starts.len() == number)
        });
        let spec = LaunchSpec::read(Path::new(&specs[number - 1])).unwrap();
        assert_eq!(spec.argv[1], text);
        assert_eq!(
            (&spec.cwd, &spec.home, spec.env["SOME"].as_str()),
            (&cwd, &cwd.join("home"), text)
        );
        trap.is_set(&rig, text);
    }
    assert_eq!(rig.server(), server);
    assert_eq!(rig.list().len(), 2 * HOSTILE.len());
}

#[test]
fn paths_of_ours_may_hold_anything_too() {
    for text in HOSTILE {
        let tmux = PrivateTmux::new();
        let mut settings = settings(&tmux);
        // A path of a socket has 107 bytes.
        settings.socket = Some(tmux.path().join(format!("s{text}")));
        settings.runtime_dir = tmux.path().join(format!("run{text}"));
        let launcher = tmux.path().join(format!("own{text}"));
        fs::rename(&settings.launcher, &launcher).unwrap();
        settings.launcher.clone_from(&launcher);
        let socket = settings.socket.clone().unwrap();
        let rig = Rig::start(tmux, settings);
        rig.connects();
        let log = PathBuf::from(format!("{}.log", launcher.display()));
        let started = |count: usize| {
            eventually(&format!("{count} have started"), SOON, || {
                let log = fs::read(&log).ok()?;
                let ends = log.windows(6).filter(|end| *end == b".json\n").count();
                (ends == count).then_some(log)
            })
        };
        let pane = rig.launch(rig.order("work", None, 1)).unwrap();
        started(1);
        assert_eq!(rig.launch(rig.order("work", None, 1)), Ok(pane), "it is found again");
        assert_eq!(rig.launch(rig.order("work", Some(pane), 2)), Ok(pane), "and known as ours");
        let starts = started(2);
        assert!(starts.windows(text.len()).any(|part| part == text.as_bytes()), "{text:?}");
        assert!(!rig.tmux.path().join("home/hit").exists(), "somebody acted upon {text:?}");
        let panes: Vec<PaneId> = rig.list().into_iter().map(|pane| pane.pane).collect();
        assert_eq!(panes, [pane]);
        let mut end = std::process::Command::new("tmux");
        end.arg("-S").arg(socket).args(["kill-server"]).env_remove("TMUX").output().unwrap();
    }
}

#[test]
fn what_is_said_to_a_person_or_typed_is_only_shown() {
    let rig = Rig::connected();
    let trap = Trap::set(&rig);
    let pane = rig.runs("work", "exec cat").pane;
    let outer = PrivateTmux::new();
    let attach = format!("env -u TMUX tmux -S {} attach -t =work:", rig.tmux.socket().display());
    outer.run(&["new-session", "-d", "-x", "120", "-y", "20", &attach]);
    eventually("attached", SOON, || (rig.pane("work").attached == 1).then_some(()));
    let mut typed = 0;
    for (fence, text) in (1..).zip(HOSTILE) {
        let said = format!("said {fence} {text} end");
        rig.terminal.order(Order::Tell { session: name("work"), text: said }).unwrap();
        eventually(&format!("the message {text:?}"), SOON, || {
            outer.run(&["capture-pane", "-p"]).contains(&format!("said {fence} ")).then_some(())
        });
        if text.contains(['\n', '\r']) {
            continue; // no line, which PasteLine says
        }
        typed += 1;
        let line = format!("typed {fence} ");
        assert_eq!(rig.paste("work", pane, fence, &format!("{line}{text}")), Ok(()));
        // Once as the terminal echoes it, once as `cat` read it.
        eventually(&format!("{text:?} is typed"), SOON, || {
            (rig.capture(pane).matches(&line).count() == 2).then_some(())
        });
        trap.is_set(&rig, text);
    }
    assert!(typed > HOSTILE.len() / 2);
    trap.is_set(&rig, "what was said");
    assert_eq!(rig.tmux.run(&["list-buffers"]), "");
}

/// A person may name things as he likes; a listing is read all the same, and only its own rows.
#[test]
fn names_and_titles_that_others_give_hide_nothing_in_a_listing() {
    const TITLED: &str = "printf '\\033]2;%s\\033\\\\' \"$TITLE\"; exec cat";
    let rig = Rig::connected();
    let trap = Trap::set(&rig);
    let shell = rig.shell("work");
    for (number, text) in (1..).zip(HOSTILE) {
        // tmux itself takes a name from a command line for a format, and a last `;` for an end.
        let text = &format!("{text}-");
        let text_by_letter = text.replace('#', "##");
        let session = format!("s{number}{text_by_letter}");
        rig.tmux.run(&["new-session", "-d", "-s", &session, "exec cat"]);
        rig.tmux.run(&["rename-window", "-t", "=work:", "--", &text_by_letter]);
        let variable = format!("TITLE={text}");
        let split = ["split-window", "-d", "-t", "=work:", "-e", &variable, "-P", "-F"];
        let beside = rig.tmux.run(&[&split[..], &["#{pane_id}", TITLED]].concat());
        for option in ["@failover_session", "@failover_account", "@failover_uuid"] {
            rig.tmux.run(&["set-option", "-p", "-t", &beside, option, text]);
        }
        eventually("the title is given", SOON, || {
            let format = ["display-message", "-p", "-t", &beside, "#{pane_current_command}"];
            (rig.tmux.run(&format) == "cat").then_some(())
        });
        let panes = rig.list();
        assert_eq!(panes.iter().filter(|pane| pane.session == "work").count(), 2, "{text:?}");
        assert_eq!(panes.len(), 2 + number, "{text:?}");
        let order = rig.order("work", Some(shell.pane), u64::try_from(number).unwrap());
        assert_eq!(rig.launch(order), Ok(shell.pane), "{text:?}");
        rig.tmux.run(&["kill-pane", "-t", &beside]);
        trap.is_set(&rig, text);
    }
}
