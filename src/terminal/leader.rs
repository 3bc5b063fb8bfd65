//! What a pane's first process is, so that nothing of an operator's is ever replaced.
//!
//! It only looks; the processes themselves are read by `process::table`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::instant;
use crate::ids::ProcessRef;
use crate::process::shell::known_shells;
use crate::process::{table, wait};

/// What a shell starts for its prompt lives for milliseconds; slow ones are given this long.
const PROMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// A child this old was not started for the prompt after the agent's end.
const YOUNG: Duration = Duration::from_secs(5);
/// The kernel may leave out one child while another ends, so one empty look proves nothing.
const EMPTY_LOOKS: u32 = 2;

/// Also where nobody lists them.
const SHELLS: [&str; 13] = [
    "sh", "bash", "zsh", "dash", "fish", "ksh", "mksh", "ash", "busybox", "csh", "tcsh", "nu",
    "elvish",
];
/// Listed by systems, or chosen by their users, as shells: what runs in one is elsewhere.
const MULTIPLEXERS: [&str; 3] = ["tmux", "screen", "zellij"];
/// What the kernel reads of a script's first line.
const SCRIPT_LINE_BYTES_MAX: u64 = 256;
/// Arguments that leave a shell interactive; anything else may be a script or a command.
const PLAIN_SHELL_ARGS: [&[u8]; 6] = [b"-l", b"-i", b"-il", b"-li", b"--login", b"--interactive"];

/// The process may be replaced by an agent: it is our own `launch`, or a shell at its prompt
/// with nothing running under it. Whatever cannot be read may not.
pub fn is_free(pid: i32, launcher: &Path) -> bool {
    let Ok(cmdline) = fs_err::read(proc(pid, "cmdline")) else {
        return false;
    };
    let args: Vec<&[u8]> =
        cmdline.strip_suffix(b"\0").unwrap_or(&cmdline).split(|&byte| byte == 0).collect();
    is_launch(&args, launcher) || (is_bare_shell(pid, &args) && comes_to_have_no_children(pid))
}

fn is_launch(args: &[&[u8]], launcher: &Path) -> bool {
    let launch = [launcher.as_os_str().as_bytes(), b"launch", b"--spec"];
    args.windows(launch.len()).any(|window| window == launch)
}

fn is_bare_shell(pid: i32, args: &[&[u8]]) -> bool {
    let Some(program) = table::exe(pid) else { return false };
    let [own_name, rest @ ..] = args else { return false };
    // A program that has only just been started has no arguments yet.
    if own_name.is_empty() {
        return false;
    }
    let name = program.file_name().unwrap_or_default();
    if MULTIPLEXERS.iter().any(|multiplexer| name == *multiplexer) {
        return false;
    }
    // All its tools are this one program; which of them it is, it was told by its name.
    if name == "busybox" && !is_name_of_shell(own_name) {
        return false;
    }
    let known = known_shells();
    let is_known = |shell: &PathBuf| shell.canonicalize().is_ok_and(|shell| shell == program);
    let is_shell = SHELLS.iter().any(|shell| name == *shell) || known.iter().any(is_known);
    (is_shell && are_plain(rest)) || known.iter().any(|shell| runs_script(args, shell))
}

/// With a path, or as a login shell, too.
fn is_name_of_shell(name: &[u8]) -> bool {
    let name = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = name.strip_prefix(b"-").unwrap_or(name);
    SHELLS.iter().any(|shell| shell.as_bytes() == name)
}

fn are_plain(args: &[&[u8]]) -> bool {
    args.iter().all(|arg| PLAIN_SHELL_ARGS.contains(arg))
}

/// Some shells are scripts themselves, as xonsh is: their program is an interpreter.
fn runs_script(args: &[&[u8]], shell: &Path) -> bool {
    let Some(start) = script_start(shell) else { return false };
    let begins_so = args.iter().zip(&start).all(|(arg, wanted)| *arg == wanted.as_bytes());
    begins_so && args.get(start.len()..).is_some_and(are_plain)
}

/// What the kernel, and `env` if the script names that, make of a start without arguments.
fn script_start(shell: &Path) -> Option<Vec<OsString>> {
    let mut head = Vec::new();
    let script = fs_err::File::open(shell).ok()?;
    script.take(SCRIPT_LINE_BYTES_MAX).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (interpreter, option) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let words: Vec<&str> = match Path::new(interpreter).file_name()? == "env" {
        true => option.trim_start().trim_start_matches("-S").split_whitespace().collect(),
        false => [interpreter, option.trim()].into_iter().filter(|word| !word.is_empty()).collect(),
    };
    Some(words.into_iter().map(OsString::from).chain([shell.into()]).collect())
}

/// A shell whose agent was just stopped is at its prompt a moment later: the ended child is
/// still to be waited for, and what makes the prompt (hooks, `$(…)`) comes and goes. Such young
/// children are waited for; anything that has been there for a while is somebody's work.
fn comes_to_have_no_children(shell: i32) -> bool {
    let deadline = instant() + PROMPT_TIMEOUT;
    let mut empty_looks = 0;
    loop {
        let Ok(living) = living_children(shell) else { return false };
        let Some(child) = living.first() else {
            empty_looks += 1;
            if empty_looks == EMPTY_LOOKS {
                return true;
            }
            continue;
        };
        empty_looks = 0;
        let all_young = living.iter().all(|child| table::age(child.started_ticks) < YOUNG);
        let left = deadline.saturating_duration_since(instant());
        if !all_young || left.is_zero() {
            return false;
        }
        wait::until_ended(*child, left);
    }
}

fn living_children(shell: i32) -> io::Result<Vec<ProcessRef>> {
    let mut living = Vec::new();
    for pid in table::children(shell)? {
        living.extend(table::identity(pid)?);
    }
    Ok(living)
}

fn proc(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_launch_counts_as_ours() {
        let launcher = Path::new("/usr/bin/claude-failover");
        let ours = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            is_launch(&args, launcher)
        };
        assert!(ours("/usr/bin/claude-failover launch --spec /run/x.json"));
        assert!(ours("/bin/sh /usr/bin/claude-failover launch --spec /run/x.json"));
        assert!(!ours("/usr/bin/claude-failover run"));
        assert!(!ours("/opt/claude-failover launch --spec /run/x.json"));
        assert!(!ours("vi /usr/bin/claude-failover"));
    }

    #[test]
    fn a_shell_that_is_a_script_is_known_by_its_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let shell = dir.path().join("xonsh");
        let path = shell.to_str().expect("text");
        for (line, start) in [
            ("#!/usr/bin/python3", vec!["/usr/bin/python3", path]),
            ("#! /usr/bin/python3 -sP x", vec!["/usr/bin/python3", "-sP x", path]),
            ("#!/usr/bin/env python3", vec!["python3", path]),
            ("#!/usr/bin/env -S python3 -s", vec!["python3", "-s", path]),
        ] {
            fs_err::write(&shell, format!("{line}\nmain()\n")).expect("a script");
            let runs = |more: &[&str]| {
                let args = [&start, more].concat();
                let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
                runs_script(&args, &shell)
            };
            assert!(runs(&[]) && runs(&["-l"]) && runs(&["--login", "-i"]), "{line}");
            assert!(!runs(&["run.xsh"]) && !runs(&["-c", "x"]), "{line}");
            assert!(!runs_script(&[b"vi", path.as_bytes()], &shell), "{line}");
            assert!(!runs_script(&[start[0].as_bytes()], &shell), "{line}");
        }
        fs_err::write(&shell, "\x7fELF").expect("a program");
        assert!(!runs_script(&[b"xonsh"], &shell));
    }

    #[test]
    fn this_process_is_no_free_leader() {
        let pid = i32::try_from(std::process::id()).expect("a pid fits");
        assert!(!is_free(pid, Path::new("/nowhere")));
    }
}
