//! What a pane's first process is, so that nothing of an operator's is ever replaced.
//!
//! It only looks; the processes themselves are read by `process::table`.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::instant;
use crate::ids::ProcessRef;
use crate::process::{table, wait};

/// What a shell starts for its prompt lives for milliseconds; slow ones are given this long.
const PROMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// A child this old was not started for the prompt after the agent's end.
const YOUNG: Duration = Duration::from_secs(5);
/// The kernel may leave out one child while another ends, so one empty look proves nothing.
const EMPTY_LOOKS: u32 = 2;

const SHELLS: [&str; 9] = ["sh", "bash", "zsh", "dash", "fish", "ksh", "mksh", "ash", "busybox"];
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
    let Ok(program) = fs_err::read_link(proc(pid, "exe")) else {
        return false;
    };
    let name = program.file_name().unwrap_or_default();
    let [_, rest @ ..] = args else { return false };
    SHELLS.iter().any(|shell| name == *shell)
        && rest.iter().all(|arg| PLAIN_SHELL_ARGS.contains(arg))
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
    fn this_process_is_no_free_leader() {
        let pid = i32::try_from(std::process::id()).expect("a pid fits");
        assert!(!is_free(pid, Path::new("/nowhere")));
    }
}
