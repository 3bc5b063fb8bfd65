//! Which shells may be replaced by an agent: also those that nobody has heard of.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use claude_failover::terminal::leader::is_free;

use crate::child::{in_a_child, is_child};
use crate::support::eventually;
use crate::tmux::SOON;

/// A program that waits at its input; ended when it is dropped.
struct Waiting(Child);

impl Waiting {
    fn new(program: &Path, args: &[&str]) -> Self {
        Self::started(Command::new(program).args(args))
    }

    /// Until it has been, the kernel shows no arguments. It has nobody's profile. A file that was just
    /// copied is held open for a moment by what other tests start.
    fn started(command: &mut Command) -> Self {
        let command = command.env("HOME", "/nowhere").stdin(Stdio::piped());
        let waiting = Self(eventually("nobody writes it", SOON, || command.spawn().ok()));
        let arguments = format!("/proc/{}/cmdline", waiting.0.id());
        eventually("it has been started", SOON, || {
            (!fs::read(&arguments).unwrap().is_empty()).then_some(())
        });
        waiting
    }

    fn is_free(&self) -> bool {
        is_free(i32::try_from(self.0.id()).unwrap(), Path::new("/nowhere"))
    }

    /// A login shell goes through the profile of the system first.
    #[track_caller]
    fn becomes_free(&self, what: &str) {
        eventually(&format!("{what} is free"), SOON, || self.is_free().then_some(()));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_shell_that_an_update_has_replaced_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let shell = dir.path().join("bash");
    fs::copy("/bin/bash", &shell).unwrap();
    let running = Waiting::new(&shell, &[]);
    fs::remove_file(&shell).unwrap();
    running.becomes_free("it");
}

#[test]
fn of_busybox_only_its_shell_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let busybox = dir.path().join("busybox");
    fs::copy("/bin/bash", &busybox).unwrap();
    let started = |name: &str| Waiting::started(Command::new(&busybox).arg0(name));
    for name in ["sh", "-ash", "/bin/sh"] {
        started(name).becomes_free(name);
    }
    assert!(!started("vi").is_free());
}

#[test]
fn the_login_shell_is_free_whatever_it_is() {
    if is_child() {
        let shell = std::env::var("SHELL").unwrap();
        let shell = Path::new(&shell);
        if shell.ends_with("tmux") {
            return assert!(!Waiting::new(shell, &[]).is_free());
        }
        Waiting::new(shell, &[]).becomes_free("the shell");
        Waiting::new(shell, &["-l"]).becomes_free("the login shell");
        return assert!(!Waiting::new(shell, &["/dev/stdin"]).is_free(), "it runs a script");
    }
    let dir = tempfile::tempdir().unwrap();
    let [odd, script, multiplexer] = ["odd", "script", "tmux"].map(|name| dir.path().join(name));
    fs::copy("/bin/bash", &odd).unwrap();
    fs::copy("/bin/bash", &multiplexer).unwrap();
    fs::write(&script, format!("#!{}\nread -r line\n", odd.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    for shell in [odd, script, multiplexer] {
        let mut child = in_a_child("tmux::shells::the_login_shell_is_free_whatever_it_is");
        let output = child.env("SHELL", &shell).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}\n{why}");
    }
}
