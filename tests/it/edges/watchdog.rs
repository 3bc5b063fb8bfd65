//! The sign of life comes from the loop that decides: while that hangs, nobody else gives it. And the
//! other line to the service manager, the journal's stream.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::edges::service::Manager;
use crate::edges::site::{PATIENCE, Site, signal};
use crate::support::eventually;

/// Of the unit; it is fed three times as often.
const WATCHDOG: Duration = Duration::from_millis(400);

/// Killed when dropped.
struct Child(process::Child);

impl Child {
    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pipe by name, so that this end may be told not to wait while the daemon's end does.
struct Pipe {
    ours: File,
    theirs: File,
}

impl Pipe {
    fn new(site: &Site) -> Self {
        let path = site.at("log.pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let ours = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nonblocking)
            .open(&path)
            .unwrap();
        Self { ours, theirs: OpenOptions::new().write(true).open(path).unwrap() }
    }

    /// From now on who writes a line waits.
    fn fill(&mut self) {
        for size in [4096, 1] {
            while self.ours.write(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn drain(&mut self) {
        let mut bytes = [0; 4096];
        while self.ours.read(&mut bytes).is_ok_and(|length| length > 0) {}
    }
}

#[test]
fn a_loop_that_hangs_feeds_no_watchdog_while_its_threads_live_on() {
    let site = Site::new();
    let manager = Manager::new(&site.at("notify"));
    let mut pipe = Pipe::new(&site);
    let mut command = site.run_command();
    command.env("NOTIFY_SOCKET", site.at("notify"));
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    command.stdout(Stdio::null()).stderr(pipe.theirs.try_clone().unwrap());
    let mut child = Child(command.spawn().unwrap());
    let pid = child.pid();
    assert_eq!(manager.next_news(), "READY=1");
    // The journal does not read any more: the loop hangs in the next line of its log, a reload's at
    // the latest.
    pipe.fill();
    signal(pid, "-HUP");
    manager.socket.set_read_timeout(Some(WATCHDOG * 4)).unwrap();
    let mut bytes = [0; 256];
    eventually("no sign of life in the time of four", PATIENCE, || {
        let heard = manager.socket.recv(&mut bytes);
        heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock).then_some(())
    });
    // Its other threads are well: that alone is no life.
    let socket = site.at("run/control.sock");
    let mut asked = UnixStream::connect(socket).unwrap();
    asked.set_read_timeout(Some(PATIENCE)).unwrap();
    asked.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"status\""), "{answer}");
    // It goes on where it was.
    manager.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    eventually("the loop goes on", PATIENCE, || {
        pipe.drain();
        let length = manager.socket.recv(&mut bytes).ok()?;
        (&bytes[..length] == b"WATCHDOG=1").then_some(())
    });
    signal(pid, "-TERM");
    let status = eventually("its end", PATIENCE, || {
        pipe.drain();
        child.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_nothing_else_does() {
    let site = Site::new();
    let (journal, stderr) = UnixStream::pair().unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let stderr = OwnedFd::from(stderr);
    let stat = rustix::fs::fstat(&stderr).unwrap();
    let mut command = site.run_command();
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino));
    command.stdout(Stdio::null()).stderr(stderr);
    let mut child = Child(command.spawn().unwrap());
    drop(command); // it holds the journal's other end
    let mut lines = BufReader::new(journal).lines().map(Result::unwrap);
    let mut until = |what: &str| {
        lines
            .by_ref()
            .inspect(|line| assert!(line.starts_with('<'), "{line}"))
            .find(|line| line.contains(what))
    };
    let said = until("config loaded").unwrap();
    assert!(said.starts_with("<6>config loaded"), "{said}");
    let pid = child.pid();
    until("session=site").unwrap();
    site.write_config("nothing: good");
    signal(pid, "-HUP");
    let said = until("reload refused").unwrap();
    assert!(said.starts_with("<3>reload refused"), "{said}");
    signal(pid, "-TERM");
    assert!(until("no such line").is_none(), "all lines until its end");
    assert!(child.0.wait().unwrap().success());
}
