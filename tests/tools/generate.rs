//! Completions in real shells, and the man page through a real formatter.

use std::fs;
use std::process::Command;
use std::time::Duration;

use claude_failover::cli::exit;

use crate::support::{PrivateTmux, binary, eventually};

const SOON: Duration = Duration::from_secs(20);

fn generated(args: &[&str]) -> String {
    let output = Command::new(binary()).arg("generate").args(args).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs that the help names.
fn verbs() -> Vec<String> {
    let help = Command::new(binary()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = lines.take_while(|line| !line.is_empty());
    verbs.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A shell of its own on a private tmux server; what it needs is typed into it.
struct Shell(PrivateTmux);

impl Shell {
    fn start(program: &str, script: &str, before: &str) -> Self {
        let tmux = PrivateTmux::new();
        fs::write(tmux.path().join("completions"), script).unwrap();
        let home = format!("HOME={}", tmux.path().display());
        tmux.run(&["new-session", "-d", "-s", "s", "-x", "120", "-y", "40", "-e", &home, program]);
        let shell = Self(tmux);
        let dir = shell.0.path().display().to_string();
        shell.keys(&[&format!(
            "cd {dir}; PS1='> '; {before} source ./completions; echo ready$((1+1))"
        )]);
        shell.keys(&["Enter"]);
        shell.shows("ready2");
        shell
    }

    fn keys(&self, keys: &[&str]) {
        self.0.run(&[&["send-keys", "-t", "s"], keys].concat());
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let mut screen = String::new();
        let found = eventually_or(&mut || {
            screen = self.0.run(&["capture-pane", "-p", "-t", "s"]);
            screen.contains(text)
        });
        assert!(found, "{text:?} is not on the screen:\n{screen}");
    }

    /// What a line becomes when it is completed.
    #[track_caller]
    fn completes(&self, typed: &str, becomes: &str) {
        self.keys(&[typed, "Tab"]);
        self.shows(becomes);
        self.keys(&["C-u"]);
    }
}

fn eventually_or(condition: &mut dyn FnMut() -> bool) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("it is shown", SOON, || condition().then_some(()));
    }))
    .is_ok()
}

/// bash and zsh must be there: a shell that is missing fails the test.
#[test]
fn verbs_and_options_complete_in_bash() {
    let shell = Shell::start("bash --norc --noprofile", &generated(&["completions", "bash"]), "");
    shell.completes("claude-failover dra", "claude-failover drain");
    shell.completes("claude-failover why --js", "claude-failover why --json");
    shell.completes("claude-failover account rel", "claude-failover account release");
    shell.completes("claude-failover pause --fo", "claude-failover pause --for");
}

#[test]
fn verbs_and_options_complete_in_zsh() {
    let before = "autoload -U compinit; compinit -u -d ./dump;";
    let shell = Shell::start("zsh -f", &generated(&["completions", "zsh"]), before);
    shell.completes("claude-failover dra", "claude-failover drain");
    shell.completes("claude-failover why --js", "claude-failover why --json");
    shell.completes("claude-failover account rel", "claude-failover account release");
    shell.completes("claude-failover pause --fo", "claude-failover pause --for");
}

#[test]
fn fish_gets_its_script_too() {
    let script = generated(&["completions", "fish"]);
    for verb in verbs() {
        assert!(script.contains(&format!("-a \"{verb}\"")), "{verb}");
    }
}

#[test]
fn the_man_page_has_every_verb_and_code_and_no_warning() {
    let page = generated(&["man"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claude-failover.1");
    fs::write(&path, &page).unwrap();
    let output = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-rLL=100n", "-rHY=0", "-P-c", "-P-b", "-P-o", "-P-u"])
        .arg(&path)
        .output()
        .expect("groff, of the package groff-base");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "groff warns");
    let text = String::from_utf8(output.stdout).unwrap();
    let verbs = verbs();
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        assert!(text.contains(&format!("claude-failover {verb}")), "{verb}: {text}");
    }
    for part in ["claude-failover account hold <NAME>", "-n, --lines N", "--for LENGTH", "NO_COLOR"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (code, meaning) in exit::TABLE {
        let words: Vec<&str> = meaning.split_whitespace().take(3).collect();
        let entry = format!("{code} {}", words.join(" "));
        assert!(flat.contains(&entry), "{entry}: {text}");
    }
}
